/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/runtime.h"
#include "rt/thread.h"

#include <celadon/dump.h>
#include <celadon/log.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void on_signal(uv_signal_t *handle, int signal_number)
{
        (void)signal_number;
        cel_stop(handle->data);
}

typedef struct main_job {
        cel_task_fn fn;
        void *arg;
        bool ran;
} main_job;

/* The first task: runs the program's function and says why it failed, while its ctx still knows. */
static int run_job(cel_ctx *ctx, void *arg)
{
        main_job *job = arg;

        job->ran = true;
        int r = job->fn(ctx, job->arg);

        if (r < 0)
                cel_error(NULL, "MAIN-FAILED", "%s", cel_ctx_error_text(ctx, r));
        return r;
}

/* --- A dump on SIGUSR1 ------------------------------------------------------------------------
 *
 * On a thread of its own, because the loop may be what is stuck. */

typedef struct dumper {
        cel_runtime *runtime;
        pthread_t thread;
        bool started;
        _Atomic bool stop;
        struct sigaction previous;
} dumper;

static sem_t dump_wanted; /* of the one program that a process is; posted by the handler */

static void on_dump_signal(int signal_number)
{
        int saved_errno = errno;

        (void)signal_number;
        sem_post(&dump_wanted);
        errno = saved_errno;
}

static void *dumper_main(void *arg)
{
        dumper *d = arg;
        cel_ctx *ctx;

        pthread_setname_np(pthread_self(), "cel-dump");
        if (cel_thread_ctx_new(d->runtime, "dump", &ctx) < 0)
                return NULL;
        for (;;) {
                while (sem_wait(&dump_wanted) < 0)
                        ;
                if (atomic_load(&d->stop))
                        break;
                int r = cel_dump(ctx, stderr);
                if (r < 0)
                        cel_error(NULL, "DUMP-FAILED", "%s", cel_ctx_error_text(ctx, r));
        }
        cel_thread_ctx_free(ctx);
        return NULL;
}

/* Unless the program has plans of its own for the signal. A program that cannot be looked into still runs. */
static void dumper_start(dumper *d, cel_runtime *runtime)
{
        *d = (dumper){.runtime = runtime};
        sigaction(SIGUSR1, NULL, &d->previous);
        if ((d->previous.sa_flags & SA_SIGINFO) || d->previous.sa_handler != SIG_DFL)
                return;
        sem_init(&dump_wanted, 0, 0);
        if (cel__thread_start(dumper_main, d, &d->thread) < 0) {
                sem_destroy(&dump_wanted);
                return;
        }
        d->started = true;
        struct sigaction action = {.sa_handler = on_dump_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
        sigemptyset(&action.sa_mask);
        sigaction(SIGUSR1, &action, NULL);
}

static void dumper_stop(dumper *d)
{
        if (!d->started)
                return;
        signal(SIGUSR1, SIG_IGN); /* one that comes now, to a program that ends, must not kill it */
        atomic_store(&d->stop, true);
        sem_post(&dump_wanted);
        pthread_join(d->thread, NULL);
        sigaction(SIGUSR1, &d->previous, NULL);
        sem_destroy(&dump_wanted);
}

int cel_main_with(const cel_runtime_options *options, cel_task_fn fn, void *arg)
{
        static const int signals[] = {SIGTERM, SIGINT};
        uv_signal_t handles[2];
        cel_runtime *runtime;
        int r = cel_runtime_new(options, &runtime);

        if (r < 0) {
                cel_error(NULL, "MAIN-FAILED", "the runtime cannot be made: %s", cel_error_text(r));
                return EXIT_FAILURE;
        }
        signal(SIGPIPE, SIG_IGN);
        for (int i = 0; i < 2; i++) {
                uv_signal_init(&cel__runtime_loop(runtime)->uv, &handles[i]);
                handles[i].data = runtime;
                uv_signal_start(&handles[i], on_signal, signals[i]);
        }
        dumper d;
        dumper_start(&d, runtime);
        main_job job = {.fn = fn, .arg = arg};
        r = cel_runtime_run(runtime, "main", run_job, &job);
        if (r < 0 && !job.ran)
                cel_error(NULL, "MAIN-FAILED", "the runtime cannot run: %s", cel_error_text(r));
        for (int i = 0; i < 2; i++)
                uv_close((uv_handle_t *)&handles[i], NULL);
        dumper_stop(&d);
        cel_runtime_free(runtime);
        return r < 0 || r > 255 ? EXIT_FAILURE : r;
}

int cel_main(cel_task_fn fn, void *arg)
{
        return cel_main_with(NULL, fn, arg);
}
