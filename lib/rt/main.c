/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/runtime.h"

#include <celadon/log.h>
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

int cel_main(cel_task_fn fn, void *arg)
{
        static const int signals[] = {SIGTERM, SIGINT};
        uv_signal_t handles[2];
        cel_runtime *runtime;
        int r = cel_runtime_new(NULL, &runtime);

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
        main_job job = {.fn = fn, .arg = arg};
        r = cel_runtime_run(runtime, "main", run_job, &job);
        if (r < 0 && !job.ran)
                cel_error(NULL, "MAIN-FAILED", "the runtime cannot run: %s", cel_error_text(r));
        for (int i = 0; i < 2; i++)
                uv_close((uv_handle_t *)&handles[i], NULL);
        cel_runtime_free(runtime);
        return r < 0 || r > 255 ? EXIT_FAILURE : r;
}
