/* SPDX-License-Identifier: Apache-2.0
 *
 * What the functional tests need done to a broker from C, one verb each; the result is one line on standard
 * output.
 *
 *     probe ready URL MS             wait until connected
 *     probe hold URL MS              publish, hold the loop for MS, publish again
 *     probe unsent URL MS            publish, and hold the loop for MS before the message has left it
 *     probe burst URL QUEUE N        publish N messages from 64 tasks, all confirmed
 *     probe threads URL QUEUE N      the same from 4 threads, N each
 *     probe unroutable URL QUEUE N   equal messages, every other one to nowhere, at once
 *     probe refused URL QUEUE        publish to the default exchange; then something that is no expiration
 *     probe exchange URL QUEUE       publish to an exchange that does not exist, then to one that does
 *     probe conflict URL QUEUE       declare a queue that exists with other settings
 *     probe blocked URL QUEUE MS     publish within MS
 *     probe freed URL                free the transport while a task opens a listener
 *     probe outlived URL             free the transport under an open listener: aborts
 *     probe listen URL MS            listen until a line comes, with handlers that take MS each
 *     probe reopen URL N             open and close a listener N times
 *     probe listeners URL N          open N listeners, until one is refused; then close them
 *     probe forget URL N             declare N queues and forget each
 *     probe declare URL QUEUE MS     publish within a second, then declare within MS */
#include <celadon/celadon.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct probe {
        char **argv; /* from the URL on */
        cel_transport *bus;
        _Atomic long left, outcomes[64];
        int handler_ms;
} probe;

static int say(cel_ctx *ctx, int r)
{
        printf("%s %s\n", cel_error_name(r), r < 0 ? cel_ctx_error_text(ctx, r) : "");
        return 0;
}

static int publish(cel_ctx *ctx, probe *p, const char *exchange, const char *key)
{
        cel_message message = {.exchange = exchange,
                               .routing_key = key,
                               .content_type = "text/plain",
                               .delivery_mode = 2,
                               .body = "probe",
                               .body_bytes = 5};

        return cel_publish(ctx, p->bus, &message, CEL_PUBLISH_MANDATORY);
}

static int ready(cel_ctx *ctx, probe *p)
{
        CEL_WITHIN_MS(ctx, atoi(p->argv[1]));
        return say(ctx, cel_transport_ready(ctx, p->bus));
}

/* As a handler that calls something slow would: nothing else runs on this thread. */
static void hold_thread(int ms)
{
        struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

        while (nanosleep(&left, &left) != 0)
                ;
}

static int hold(cel_ctx *ctx, probe *p)
{
        int r = cel_transport_ready(ctx, p->bus);

        if (r >= 0)
                r = publish(ctx, p, "amq.fanout", "") == CEL_EUNROUTABLE ? 0 : CEL_EPROTO;
        hold_thread(atoi(p->argv[1]));
        if (r >= 0)
                r = publish(ctx, p, "amq.fanout", "") == CEL_EUNROUTABLE ? 0 : CEL_EPROTO;
        return say(ctx, r);
}

static int publish_task(cel_ctx *ctx, void *arg)
{
        return publish(ctx, arg, "amq.fanout", "") == CEL_EUNROUTABLE ? 0 : CEL_EPROTO;
}

static int hold_task(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        hold_thread(atoi(((probe *)arg)->argv[1]));
        return 0;
}

static int unsent(cel_ctx *ctx, probe *p)
{
        cel_scope *scope;
        int r = cel_transport_ready(ctx, p->bus);

        if (r >= 0) /* the channel is open then, too: what is published next leaves with this turn */
                r = publish_task(ctx, p);
        if (r >= 0)
                r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        if (r < 0)
                return say(ctx, r);
        cel_spawn(ctx, scope, "publisher", publish_task, p, NULL);
        cel_spawn(ctx, scope, "holder", hold_task, p, NULL);
        return say(ctx, cel_scope_close(ctx, scope));
}

/* --- Many at once ----------------------------------------------------------------------------- */

static int publish_share(cel_ctx *ctx, void *arg)
{
        probe *p = arg;

        while (atomic_fetch_sub(&p->left, 1) > 0)
                atomic_fetch_add(&p->outcomes[-publish(ctx, p, "", p->argv[1])], 1);
        return 0;
}

static int tell_outcomes(probe *p)
{
        for (int i = 0; i < 64; i++)
                if (p->outcomes[i])
                        printf("%s=%ld ", cel_error_name(-i), p->outcomes[i]);
        puts("");
        return 0;
}

static int from_tasks(cel_ctx *ctx, probe *p, cel_task_fn fn)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);

        if (r < 0)
                return r;
        for (int i = 0; i < 64; i++)
                cel_spawn(ctx, scope, "publisher", fn, p, NULL);
        r = cel_scope_close(ctx, scope);
        return r < 0 ? say(ctx, r) : tell_outcomes(p);
}

static int burst(cel_ctx *ctx, probe *p)
{
        p->left = atol(p->argv[2]);
        return from_tasks(ctx, p, publish_share);
}

static int publish_by_turns(cel_ctx *ctx, void *arg)
{
        probe *p = arg;
        long n;

        while ((n = atomic_fetch_sub(&p->left, 1)) > 0) {
                int r = publish(ctx, p, "", n % 2 ? "celadon.probe.nowhere" : p->argv[1]);

                if (r != (n % 2 ? CEL_EUNROUTABLE : 0))
                        return cel_fail(ctx, CEL_EPROTO, "message %ld: %s", n, cel_error_name(r));
                atomic_fetch_add(&p->outcomes[-r], 1);
        }
        return 0;
}

static int unroutable(cel_ctx *ctx, probe *p)
{
        p->left = atol(p->argv[2]);
        return from_tasks(ctx, p, publish_by_turns);
}

typedef struct publisher_thread {
        pthread_t thread;
        probe *probe;
        cel_runtime *runtime;
} publisher_thread;

static void *thread_main(void *arg)
{
        publisher_thread *t = arg;
        cel_auto(cel_ctx) *ctx = NULL;

        if (cel_thread_ctx_new(t->runtime, "publisher", &ctx) == 0)
                for (long i = atol(t->probe->argv[2]); i > 0; i--)
                        atomic_fetch_add(&t->probe->outcomes[-publish(ctx, t->probe, "", t->probe->argv[1])],
                                         1);
        return NULL;
}

static int join(void *arg)
{
        return pthread_join(((publisher_thread *)arg)->thread, NULL);
}

static int threads(cel_ctx *ctx, probe *p)
{
        publisher_thread t[4];
        cel_pool *pool;

        cel_pool_new(cel_ctx_runtime(ctx), "join", 1, 4, &pool);
        for (int i = 0; i < 4; i++) {
                t[i] = (publisher_thread){.probe = p, .runtime = cel_ctx_runtime(ctx)};
                pthread_create(&t[i].thread, NULL, thread_main, &t[i]);
        }
        for (int i = 0; i < 4; i++)
                cel_offload(ctx, pool, join, &t[i], NULL, NULL);
        cel_pool_free(pool);
        return tell_outcomes(p);
}

/* --- Refusals --------------------------------------------------------------------------------- */

static int refused(cel_ctx *ctx, probe *p)
{
        cel_message message = {.exchange = "nova", .routing_key = "key", .expiration = "soon"};

        say(ctx, publish(ctx, p, "", p->argv[1]));
        return say(ctx, cel_publish(ctx, p->bus, &message, 0));
}

static int exchange(cel_ctx *ctx, probe *p)
{
        say(ctx, publish(ctx, p, "celadon.probe.missing", "key"));
        return say(ctx, publish(ctx, p, "", p->argv[1]));
}

static int conflict(cel_ctx *ctx, probe *p)
{
        say(ctx, cel_transport_declare_queue(ctx, p->bus, &(cel_queue){.name = p->argv[1], .durable = true}));
        return say(ctx, publish(ctx, p, "", p->argv[1]));
}

static int blocked(cel_ctx *ctx, probe *p)
{
        CEL_WITHIN_MS(ctx, atoi(p->argv[2]));
        return say(ctx, publish(ctx, p, "", p->argv[1]));
}

/* --- Listening -------------------------------------------------------------------------------- */

static int on_notification(cel_ctx *ctx, const cel_notification *notification, void *arg)
{
        probe *p = arg;

        printf("begins %s\n", notification->message_id);
        int r = p->handler_ms > 0 ? cel_sleep_ms(ctx, p->handler_ms) : 0;
        printf("ends %s %s\n", notification->message_id, cel_error_name(r));
        return r < 0 ? r : CEL_HANDLED;
}

static int open_listener(cel_ctx *ctx, probe *p, cel_notification_listener **ret_listener)
{
        static const char *const priorities[] = {"info", "error", NULL};
        cel_notification_listener_options options = {.exchange = "nova",
                                                     .priorities = priorities,
                                                     .on_notification = on_notification,
                                                     .allow_requeue = true,
                                                     .arg = p};

        return cel_notification_listener_open(ctx, p->bus, &options, ret_listener);
}

static int listen(cel_ctx *ctx, probe *p)
{
        cel_notification_listener *listener;

        p->handler_ms = atoi(p->argv[1]);
        int r = open_listener(ctx, p, &listener);
        say(ctx, r);
        if (r < 0)
                return 0;
        cel_auto(cel_stream) *input = NULL;
        cel_auto_free char *line = NULL;
        r = cel_stream_from_fd(STDIN_FILENO, "input", &input);
        if (r >= 0)
                cel_stream_read_line(ctx, input, 100, &line);
        return say(ctx, cel_notification_listener_close(ctx, listener));
}

static int reopen(cel_ctx *ctx, probe *p)
{
        int r = 0;

        for (int i = atoi(p->argv[1]); i > 0 && r >= 0; i--) {
                cel_notification_listener *listener;

                r = open_listener(ctx, p, &listener);
                if (r >= 0)
                        r = cel_notification_listener_close(ctx, listener);
        }
        return say(ctx, r);
}

static int listeners(cel_ctx *ctx, probe *p)
{
        enum { LISTENERS_MAX = 16 };
        cel_notification_listener *opened[LISTENERS_MAX];
        int n = 0, r = 0;
        CEL_WITHIN_MS(ctx, 8000);

        while (n < atoi(p->argv[1]) && n < LISTENERS_MAX && r >= 0) {
                r = open_listener(ctx, p, &opened[n]);
                say(ctx, r);
                n += r >= 0;
        }
        while (n > 0)
                cel_notification_listener_close(ctx, opened[--n]);
        return 0;
}

static int forget(cel_ctx *ctx, probe *p)
{
        int r = 0;

        for (int i = atoi(p->argv[1]); i > 0 && r >= 0; i--) {
                char name[32];
                cel_queue queue = {.name = name, .auto_delete = true};

                snprintf(name, sizeof(name), "probe.%d", i);
                r = cel_transport_declare_queue(ctx, p->bus, &queue);
                cel_transport_forget_queue(p->bus, &queue);
        }
        return say(ctx, r);
}

static int declare(cel_ctx *ctx, probe *p)
{
        {
                CEL_WITHIN_MS(ctx, 1000);
                say(ctx, publish(ctx, p, "", p->argv[1]));
        }
        CEL_WITHIN_MS(ctx, atoi(p->argv[2]));
        return say(ctx, cel_transport_declare_queue(ctx, p->bus, &(cel_queue){.name = "probe.declared"}));
}

static int open_task(cel_ctx *ctx, void *arg)
{
        cel_notification_listener *listener;

        return say(ctx, open_listener(ctx, arg, &listener));
}

static int freed(cel_ctx *ctx, probe *p)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);

        if (r < 0)
                return r;
        cel_spawn(ctx, scope, "opener", open_task, p, NULL);
        cel_sleep_ms(ctx, 100); /* it waits for the broker now */
        p->bus = cel_transport_free(p->bus);
        return cel_scope_close(ctx, scope);
}

static int outlived(cel_ctx *ctx, probe *p)
{
        cel_notification_listener *listener;
        int r = open_listener(ctx, p, &listener);

        if (r >= 0)
                p->bus = cel_transport_free(p->bus);
        return say(ctx, r);
}

static const struct {
        const char *name;
        int (*run)(cel_ctx *ctx, probe *p);
        int arguments; /* behind the verb */
} verbs[] = {
        {"ready", ready, 2},       {"hold", hold, 2},       {"unsent", unsent, 2},
        {"burst", burst, 3},       {"threads", threads, 3}, {"unroutable", unroutable, 3},
        {"exchange", exchange, 2}, {"refused", refused, 2}, {"conflict", conflict, 2},
        {"blocked", blocked, 3},   {"freed", freed, 1},     {"outlived", outlived, 1},
        {"listen", listen, 2},     {"reopen", reopen, 2},   {"listeners", listeners, 2},
        {"forget", forget, 2},     {"declare", declare, 3},
};

static int run(cel_ctx *ctx, void *arg)
{
        char **argv = arg;
        probe p = {.argv = argv + 1};

        int r = cel_transport_open(ctx, p.argv[0], &p.bus);
        if (r < 0)
                return say(ctx, r);
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (strcmp(argv[0], verbs[i].name) == 0)
                        r = verbs[i].run(ctx, &p);
        if (p.bus)
                cel_transport_close(ctx, p.bus);
        return r;
}

int main(int argc, char **argv)
{
        setvbuf(stdout, NULL, _IOLBF, 0); /* a test reads along */
        for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (strcmp(argv[1], verbs[i].name) == 0 && argc == verbs[i].arguments + 2)
                        return cel_main(run, argv + 1);
        fputs("usage: probe VERB URL …; the verbs are at the top of probe.c\n", stderr);
        return 64;
}
