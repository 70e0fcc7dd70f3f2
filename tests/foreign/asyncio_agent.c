/* SPDX-License-Identifier: Apache-2.0
 *
 * A shared object for test_asyncio.py: a small agent whose tasks answer what Python asks, driven by asyncio's
 * loop. Python's functions are called from loop code, which has the thread's own large stack. */
#include <celadon/celadon.h>
#include <stdio.h>
#include <string.h>

enum { REQUESTS_MAX = 1000, PATH_BYTES = 108, LINE_BYTES_MAX = 100 };

typedef void (*answer_fn)(int id, int status, int value);

typedef struct request {
        int id, value;
        char path[PATH_BYTES]; /* of a server to ask; "": none */
} request;

typedef struct agent {
        cel_runtime *runtime;
        cel_channel *requests; /* of request */
        cel_scope *scope;
        answer_fn on_answer;
} agent;

/* One request under way. */
typedef struct job {
        agent *agent;
        request request;
        int status, value;
} job;

static void deliver_answer(void *arg)
{
        job *j = arg;

        j->agent->on_answer(j->request.id, j->status, j->value);
        free(j);
}

static int ask_server(cel_ctx *ctx, const job *j, int *ret_value)
{
        cel_auto(cel_stream) *stream = NULL;
        cel_auto_free char *line = NULL;
        char question[LINE_BYTES_MAX];
        int r = cel_unix_connect(ctx, j->request.path, &stream);

        if (r < 0)
                return r;
        int n = snprintf(question, sizeof(question), "%d\n", j->request.value);
        r = cel_stream_write_all(ctx, stream, question, (size_t)n);
        if (r >= 0)
                r = cel_stream_read_line(ctx, stream, LINE_BYTES_MAX, &line);
        if (r >= 0)
                *ret_value = atoi(line);
        return r < 0 ? r : 0;
}

static int answer(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        int r;

        CEL_WITHIN_MS(ctx, 30000);
        if (*j->request.path) {
                r = ask_server(ctx, j, &j->value);
        } else {
                r = cel_sleep_ms(ctx, j->request.value % 5);
                j->value = 2 * j->request.value;
        }
        j->status = r;
        return cel_post(j->agent->runtime, deliver_answer, j);
}

static int serve(cel_ctx *ctx, void *arg)
{
        agent *a = arg;
        request next;
        int served = 0;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &a->scope);

        if (r < 0)
                return r;
        while ((r = cel_channel_receive(ctx, a->requests, &next)) >= 0) {
                job *j = calloc(1, sizeof(*j));

                if (!j)
                        break;
                *j = (job){.agent = a, .request = next};
                r = cel_spawn(ctx, a->scope, "answer", answer, j, NULL);
                if (r < 0) {
                        free(j);
                        break;
                }
                served++;
        }
        int closed = cel_scope_close(ctx, a->scope);
        return r < 0 && r != CEL_ECLOSED ? r : closed < 0 ? closed : served;
}

CEL_BEGIN
CEL_API agent *agent_begin(answer_fn on_answer);
CEL_API int agent_fd(agent *a);
CEL_API int agent_step(agent *a);
CEL_API int agent_ask(agent *a, int id, int value, const char *path);
CEL_API void agent_stop(agent *a);
CEL_API int agent_end(agent *a);
CEL_END

agent *agent_begin(answer_fn on_answer)
{
        agent *a = calloc(1, sizeof(*a));

        if (!a)
                return NULL;
        a->on_answer = on_answer;
        if (cel_runtime_new(NULL, &a->runtime) < 0 ||
            cel_channel_new(sizeof(request), REQUESTS_MAX, &a->requests) < 0 ||
            cel_runtime_begin(a->runtime, "agent", serve, a) < 0)
                abort();
        return a;
}

int agent_fd(agent *a)
{
        return cel_runtime_fd(a->runtime);
}

int agent_step(agent *a)
{
        return cel_runtime_step(a->runtime);
}

/* From any thread. */
int agent_ask(agent *a, int id, int value, const char *path)
{
        request r = {.id = id, .value = value};

        snprintf(r.path, sizeof(r.path), "%s", path);
        return cel_channel_try_send(a->requests, &r);
}

void agent_stop(agent *a)
{
        cel_channel_close(a->requests);
}

/* Returns how many requests it has served. */
int agent_end(agent *a)
{
        int served = cel_runtime_end(a->runtime);

        cel_channel_unref(a->requests);
        cel_runtime_free(a->runtime);
        free(a);
        return served;
}
