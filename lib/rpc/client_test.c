/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls and casts, over a bus that the test plays. */
#include "bus.h"
#include "fixture.h"
#include "test.h"

#include <celadon/rpc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct world {
        fixture f;
        bus bus;
        cel_rpc_client *client;
        cel_rpc_options options; /* of the call */
        json_t *args, *result;
        char remote[256]; /* what came of a remote error */
} world;

static int make_client(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        return cel_rpc_client_new(ctx, w->bus.transport,
                                  &(cel_target){.exchange = "x", .topic = "t", .version = "1.1"},
                                  &(cel_rpc_options){.version_cap = "1.2"}, &w->client);
}

static int call(cel_ctx *ctx, void *arg)
{
        world *w = arg;
        int r = cel_rpc_call(ctx, w->client, &w->options, "m", json_incref(w->args), &w->result);
        const cel_remote_error *e = cel_remote_error_of(ctx);

        CHECK((e != NULL) == (r == CEL_EREMOTE));
        if (e)
                snprintf(w->remote, sizeof(w->remote), "%s %s %s %zu %zu%s", e->module, e->class_name,
                         e->message, json_array_size(e->args), json_array_size(e->traceback),
                         e->allowed ? " allowed" : "");
        return r;
}

static int cast(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        return cel_rpc_cast(ctx, w->client, &w->options, "m", json_incref(w->args));
}

static void world_init(world *w)
{
        memset(w, 0, sizeof(*w));
        w->f = fixture_new();
        bus_init(&w->bus, &w->f);
        CHECK_RESULT(fixture_spawn(&w->f, "opener", make_client, w), 0);
}

static void world_fini(world *w)
{
        cel_rpc_client_free(w->client);
        json_decref(w->args);
        json_decref(w->result);
        bus_fini(&w->bus);
        fixture_free(&w->f);
}

/* Reply to the last call; `rest` is what comes behind its message id. */
static void answer(world *w, const char *rest)
{
        char msg_id[64], body[1024];

        bus_get(bus_last(&w->bus), "_msg_id", msg_id, sizeof(msg_id));
        snprintf(body, sizeof(body), "{\"_msg_id\": \"%s\", %s}", msg_id, rest);
        bus_deliver(&w->bus, 0, body, NULL);
}

TEST_BOTH(a_call_goes_to_its_topic_and_returns_what_is_replied)
{
        world w;
        char text[64];

        world_init(&w);
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        CHECK_WAITS(caller);
        const bus_published *p = bus_last(&w.bus);
        CHECK_STR(w.bus.declared[0], "x");
        CHECK_STR(p->exchange, "x");
        CHECK_STR(p->routing_key, "t");
        CHECK_STR(p->expiration, "60000");
        bus_get(p, "method", text, sizeof(text));
        CHECK_STR(text, "m");
        bus_get(p, "version", text, sizeof(text));
        CHECK_STR(text, "1.1");
        bus_get(p, "_reply_q", text, sizeof(text));
        CHECK_STR(text, w.bus.subscriptions[0].queues[0]);
        answer(&w, "\"result\": 42, \"failure\": null, \"ending\": true");
        CHECK_DONE(caller, 0);
        CHECK_INT(json_integer_value(w.result), 42);
        CHECK_INT(w.bus.settled[0], 'a');
        world_fini(&w);
}

TEST_BOTH(a_reply_that_comes_before_the_confirmation_of_its_request_ends_the_call)
{
        world w;

        world_init(&w);
        CHECK_INT(cel_future_new(&w.bus.confirms), 0);
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        CHECK_WAITS(caller);
        answer(&w, "\"result\": 1");
        CHECK_DONE(caller, 0);
        CHECK_INT(json_integer_value(w.result), 1);
        /* What ended the sending ends nothing else. */
        w.args = json_object();
        fixture_actor *other = fixture_act(&w.f, kind, "other", cast, &w);
        CHECK_WAITS(other);
        cel_future_complete(w.bus.confirms, 0, NULL);
        fixture_settle(&w.f);
        CHECK_DONE(other, 0);
        world_fini(&w);
}

TEST_BOTH(a_call_without_a_reply_ends_with_its_timeout_and_names_its_target)
{
        world w;

        world_init(&w);
        w.options = (cel_rpc_options){.server = "h", .timeout_ms = 500};
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        CHECK_STR(bus_last(&w.bus)->routing_key, "t.h");
        CHECK_STR(bus_last(&w.bus)->expiration, "500");
        fixture_advance_ms(&w.f, 499);
        CHECK_WAITS(caller);
        fixture_advance_ms(&w.f, 1);
        CHECK_DONE(caller, CEL_ETIMEDOUT);
        CHECK(strstr(fixture_actor_text(caller), "no reply from method \"m\" of topic \"t\", server \"h\""));
        CHECK(strstr(fixture_actor_text(caller), w.bus.subscriptions[0].queues[0]));
        answer(&w, "\"result\": 1"); /* too late */
        cel_rpc_stats stats = cel_rpc_client_get_stats(w.client);
        CHECK_INT(stats.calls, 1);
        CHECK_INT(stats.timeouts, 1);
        CHECK_INT(stats.replies_late, 1);
        CHECK_INT(stats.waiting, 0);
        CHECK_INT(w.bus.settled[0], 'a');
        world_fini(&w);
}

/* So that what waits, and then waits again, does so in between. */
static void advance_in_steps(world *w, int ms)
{
        for (; ms > 0; ms -= 10)
                fixture_advance_ms(&w->f, 10);
}

TEST_BOTH(a_call_that_nobody_takes_is_sent_again_until_somebody_does)
{
        world w;
        char first[64], last[64];

        world_init(&w);
        for (unsigned i = 0; i < 4; i++)
                w.bus.outcomes[i] = CEL_EUNROUTABLE;
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        CHECK_INT(w.bus.published_n, 1);
        CHECK(bus_last(&w.bus)->mandatory);
        advance_in_steps(&w, 200); /* after 50, 100, 200, 400 ms, each give or take a quarter */
        CHECK_INT(w.bus.published_n, 3);
        advance_in_steps(&w, 800);
        CHECK_INT(w.bus.published_n, 5);
        CHECK(strtol(bus_last(&w.bus)->expiration, NULL, 10) < 60000 - 50 - 100 - 200 - 200);
        bus_get(&w.bus.published[0], "_unique_id", first, sizeof(first));
        bus_get(&w.bus.published[4], "_unique_id", last, sizeof(last));
        CHECK_STR(first, last);
        answer(&w, "\"result\": 1");
        CHECK_DONE(caller, 0);
        world_fini(&w);
}

TEST_BOTH(a_call_that_nobody_takes_ends_with_its_timeout_and_few_messages)
{
        world w;

        world_init(&w);
        for (unsigned i = 0; i < BUS_MESSAGES_MAX; i++)
                w.bus.outcomes[i] = CEL_EUNROUTABLE;
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        advance_in_steps(&w, 60000);
        CHECK_DONE(caller, CEL_ETIMEDOUT);
        CHECK(strstr(fixture_actor_text(caller),
                     "method \"m\" of topic \"t\" could not be called in time: as the test wants it"));
        CHECK(w.bus.published_n >= 10 && w.bus.published_n <= 20);
        CHECK_INT(cel_rpc_client_get_stats(w.client).timeouts, 1);
        world_fini(&w);
}

TEST_BOTH(a_call_that_must_be_taken_fails_at_once_and_a_cast_need_not_be)
{
        world w;

        world_init(&w);
        w.options.mandatory = CEL_YES;
        w.bus.outcomes[0] = CEL_EUNROUTABLE;
        CHECK_DONE(fixture_act(&w.f, kind, "caller", call, &w), CEL_EUNROUTABLE);
        w.options.mandatory = CEL_NO;
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), 0);
        CHECK(!bus_last(&w.bus)->mandatory);
        world_fini(&w);
}

TEST_BOTH(a_cast_that_nobody_takes_is_sent_again_while_the_bus_settles)
{
        world w;

        world_init(&w);
        w.bus.settling = true;
        for (unsigned i = 0; i < 3; i++)
                w.bus.outcomes[i] = CEL_EUNROUTABLE;
        fixture_actor *caster = fixture_act(&w.f, kind, "caster", cast, &w);
        CHECK(bus_last(&w.bus)->mandatory);
        advance_in_steps(&w, 200);
        CHECK_WAITS(caster);
        CHECK_INT(w.bus.published_n, 3);
        w.bus.settling = false;
        advance_in_steps(&w, 400);
        CHECK_DONE(caster, 0);
        CHECK(w.bus.published_n == 4 && !bus_last(&w.bus)->mandatory);
        world_fini(&w);
}

TEST_BOTH(a_cast_that_must_be_taken_fails_while_the_bus_settles_and_a_fanout_does_not)
{
        world w;

        world_init(&w);
        w.bus.settling = true;
        w.options.mandatory = CEL_YES;
        w.bus.outcomes[0] = CEL_EUNROUTABLE;
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), CEL_EUNROUTABLE);
        w.options.fanout = CEL_YES;
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), 0);
        CHECK(!bus_last(&w.bus)->mandatory);
        world_fini(&w);
}

TEST_BOTH(a_call_with_a_limit_to_its_retries_does_not_wait_for_its_timeout)
{
        world w;

        world_init(&w);
        w.options.retry = 1;
        w.bus.connects_failing = 2;
        CHECK_DONE(fixture_act(&w.f, kind, "caller", call, &w), CEL_ECONNECT);
        w.bus.connects_failing = 1;
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        answer(&w, "\"result\": 1");
        CHECK_DONE(caller, 0);
        world_fini(&w);
}

TEST_BOTH(a_bus_that_is_away_counts_for_the_timeout)
{
        world w;

        world_init(&w);
        w.options.timeout_ms = 500;
        CHECK_INT(cel_future_new(&w.bus.up), 0);
        fixture_actor *first = fixture_act(&w.f, kind, "first", call, &w);
        fixture_advance_ms(&w.f, 500);
        CHECK_DONE(first, CEL_ETIMEDOUT);
        CHECK(strstr(fixture_actor_text(first), "could not be called in time"));
        CHECK_INT(w.bus.published_n, 0);
        /* The reply queue is still being declared, for the next one. */
        fixture_actor *second = fixture_act(&w.f, kind, "second", call, &w);
        fixture_advance_ms(&w.f, 100);
        cel_future_complete(w.bus.up, 0, NULL);
        fixture_settle(&w.f);
        CHECK_INT(w.bus.subscriptions_n, 1);
        CHECK_STR(bus_last(&w.bus)->expiration, "400");
        answer(&w, "\"result\": null");
        CHECK_DONE(second, 0);
        CHECK(json_is_null(w.result));
        world_fini(&w);
}

TEST_BOTH(a_failure_comes_as_a_remote_error_with_all_it_has)
{
        world w;

        world_init(&w);
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        answer(&w, "\"result\": null, \"failure\": \"{\\\"class\\\": \\\"E\\\", \\\"module\\\": \\\"mod\\\", "
                   "\\\"message\\\": \\\"boo\\\", \\\"tb\\\": [\\\"a\\\", \\\"b\\\"], \\\"args\\\": [1], "
                   "\\\"kwargs\\\": {}}\"");
        CHECK_DONE(caller, CEL_EREMOTE);
        CHECK_STR(w.remote, "mod E boo 1 2");
        CHECK_STR(fixture_actor_text(caller), "E: boo");
        world_fini(&w);
}

TEST_BOTH(errors_of_modules_that_are_allowed_say_so)
{
        static const char *const modules[] = {"nova.exception", "other", NULL};
        static const struct {
                const char *module, *what;
        } cases[] = {{"nova.exception", "nova.exception E  0 0 allowed"},
                     {"nova.exception.deeper", "nova.exception.deeper E  0 0"},
                     {"nova", "nova E  0 0"},
                     {"builtins", "builtins E  0 0 allowed"},
                     {"exceptions", "builtins E  0 0 allowed"}, /* Python 2's name of it */
                     {"oslo_messaging.exceptions", "oslo_messaging.exceptions E  0 0"}};
        world w;
        char rest[256];

        world_init(&w);
        w.options.allowed_remote_exmods = modules;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);

                snprintf(rest, sizeof(rest),
                         "\"failure\": \"{\\\"class\\\": \\\"E\\\", \\\"module\\\": \\\"%s\\\"}\"",
                         cases[i].module);
                answer(&w, rest);
                CHECK_DONE(caller, CEL_EREMOTE);
                CHECK_STR(w.remote, cases[i].what);
        }
        world_fini(&w);
}

/* --- Serializers ------------------------------------------------------------------------------ */

typedef struct journal {
        char text[512]; /* what was converted, in which context */
        int outcome;    /* of what comes next */
} journal;

static int convert(cel_ctx *ctx, journal *j, const char *what, const json_t *context, json_t *entity,
                   json_t **ret_entity)
{
        cel_auto_free char *in = context ? json_dumps(context, JSON_COMPACT) : NULL,
                           *of = json_dumps(entity, JSON_COMPACT | JSON_ENCODE_ANY);
        size_t n = strlen(j->text);

        snprintf(j->text + n, sizeof(j->text) - n, "%s %s%s%s; ", what, of, in ? " in " : "", in ? in : "");
        if (j->outcome < 0)
                return cel_fail(ctx, j->outcome, "as the test wants it");
        *ret_entity = json_pack("{s:O}", what, entity);
        return 0;
}

static int serialize(cel_ctx *ctx, void *arg, const json_t *context, json_t *entity, json_t **ret_entity)
{
        return convert(ctx, arg, "s", context, entity, ret_entity);
}

static int deserialize(cel_ctx *ctx, void *arg, const json_t *context, json_t *entity, json_t **ret_entity)
{
        return convert(ctx, arg, "d", context, entity, ret_entity);
}

static int serialize_context(cel_ctx *ctx, void *arg, json_t *context, json_t **ret_context)
{
        return convert(ctx, arg, "c", NULL, context, ret_context);
}

TEST_BOTH(a_serializer_is_asked_for_each_argument_then_the_context_and_then_the_result)
{
        world w;
        journal j = {0};
        const cel_serializer serializer = {.serialize_entity = serialize,
                                           .deserialize_entity = deserialize,
                                           .serialize_context = serialize_context,
                                           .arg = &j};

        world_init(&w);
        w.args = json_pack("{s:i, s:n}", "a", 1, "b");
        json_t *context = json_pack("{s:s}", "user", "u");
        w.options = (cel_rpc_options){.context = context, .serializer = &serializer};
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        CHECK(strstr(bus_last(&w.bus)->body,
                     "\\\"args\\\": {\\\"a\\\": {\\\"s\\\": 1}, \\\"b\\\": {\\\"s\\\": null}}"));
        CHECK(strstr(bus_last(&w.bus)->body, "\\\"_context_c\\\": {\\\"user\\\": \\\"u\\\"}"));
        answer(&w, "\"result\": 2");
        CHECK_DONE(caller, 0);
        CHECK_INT(json_integer_value(json_object_get(w.result, "d")), 2);
        CHECK_STR(j.text, "s 1 in {\"user\":\"u\"}; s null in {\"user\":\"u\"}; c {\"user\":\"u\"}; "
                          "d 2 in {\"user\":\"u\"}; ");
        json_decref(context);
        world_fini(&w);
}

static int make_client_with_options(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        cel_rpc_client_free(w->client);
        return cel_rpc_client_new(ctx, w->bus.transport, &(cel_target){.topic = "t"}, &w->options,
                                  &w->client);
}

TEST_BOTH(a_client_keeps_its_serializer_and_gives_it_an_empty_context_if_there_is_none)
{
        world w;
        journal j = {0};
        const cel_serializer serializer = {.serialize_entity = serialize, .arg = &j};

        world_init(&w);
        w.args = json_pack("{s:i}", "a", 1);
        w.options.serializer = &serializer;
        CHECK_RESULT(fixture_spawn(&w.f, "opener", make_client_with_options, &w), 0);
        w.options.serializer = NULL;
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), 0);
        CHECK_STR(j.text, "s 1 in {}; ");
        world_fini(&w);
}

TEST_BOTH(what_a_serializer_refuses_is_not_sent)
{
        world w;
        journal j = {.outcome = CEL_EBUSY};
        const cel_serializer serializer = {.serialize_entity = serialize,
                                           .deserialize_entity = deserialize,
                                           .serialize_context = serialize_context,
                                           .arg = &j};

        world_init(&w);
        w.options.serializer = &serializer;
        fixture_actor *without_args = fixture_act(&w.f, kind, "caster", cast, &w);
        CHECK_DONE(without_args, CEL_EBUSY);
        CHECK_STR(fixture_actor_text(without_args), "the context cannot be serialized: as the test wants it");
        w.args = json_pack("{s:i}", "a", 1);
        fixture_actor *caster = fixture_act(&w.f, kind, "caster", cast, &w);
        CHECK_DONE(caster, CEL_EBUSY);
        CHECK_STR(fixture_actor_text(caster), "argument a cannot be serialized: as the test wants it");
        CHECK_INT(w.bus.published_n, 0);
        j.outcome = 0;
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        j.outcome = CEL_EBUSY;
        answer(&w, "\"result\": 2");
        CHECK_DONE(caller, CEL_EBUSY);
        CHECK_STR(fixture_actor_text(caller), "the result cannot be deserialized: as the test wants it");
        CHECK_INT(cel_rpc_client_get_stats(w.client).waiting, 0);
        world_fini(&w);
}

/* --- Tasks that call -------------------------------------------------------------------------- */

/* What is known of the remote error that comes with the result of another task. */
static void note_remote(cel_ctx *ctx, char *text, size_t text_bytes)
{
        const cel_remote_error *e = cel_remote_error_of(ctx);

        snprintf(text, text_bytes, "%s.%s: %s, %zu lines", e ? e->module : "?", e ? e->class_name : "?",
                 e ? e->message : "?", e ? json_array_size(e->traceback) : 0);
}

typedef struct delegation {
        world *w;
        char awaited[256], of_all[256], closed[256];
} delegation;

/* Has a task call, and hears of the outcome in every way that there is. */
static int delegate(cel_ctx *ctx, void *arg)
{
        delegation *d = arg;
        cel_scope *scope;
        cel_task *task;

        CHECK_INT(cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope), 0);
        CHECK_INT(cel_spawn(ctx, scope, "caller", call, d->w, &task), 0);
        CHECK_INT(cel_task_await(ctx, task), CEL_EREMOTE);
        note_remote(ctx, d->awaited, sizeof(d->awaited));
        cel_fail(ctx, CEL_EINVAL, "something else");
        cel_future *future = cel_task_future(task);
        CHECK_INT(cel_await_all(ctx, &future, 1), CEL_EREMOTE);
        note_remote(ctx, d->of_all, sizeof(d->of_all));
        cel_fail(ctx, CEL_EINVAL, "something else");
        cel_task_unref(task);
        int r = cel_scope_close(ctx, scope);
        note_remote(ctx, d->closed, sizeof(d->closed));
        return r;
}

TEST_BOTH(a_remote_error_comes_with_the_result_of_the_task_that_called)
{
        world w;
        delegation d = {.w = &w};

        world_init(&w);
        fixture_actor *delegator = fixture_act(&w.f, kind, "delegator", delegate, &d);
        answer(&w, "\"failure\": \"{\\\"class\\\": \\\"E\\\", \\\"module\\\": \\\"mod\\\", "
                   "\\\"message\\\": \\\"boo\\\", \\\"tb\\\": [\\\"a\\\", \\\"b\\\"]}\"");
        CHECK_DONE(delegator, CEL_EREMOTE);
        CHECK_STR(d.awaited, "mod.E: boo, 2 lines");
        CHECK_STR(d.of_all, "mod.E: boo, 2 lines");
        CHECK_STR(d.closed, "mod.E: boo, 2 lines");
        CHECK_STR(fixture_actor_text(delegator), "E: boo");
        world_fini(&w);
}

static int fail_remotely(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_fail(ctx, CEL_EREMOTE, "without a detail");
}

/* Calls, and then awaits a task whose failure has the same code and no more. */
static int mistake(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        cel_task *task;

        CHECK_INT(call(ctx, arg), CEL_EREMOTE);
        CHECK_INT(cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope), 0);
        CHECK_INT(cel_spawn(ctx, scope, "other", fail_remotely, NULL, &task), 0);
        CHECK_INT(cel_task_await(ctx, task), CEL_EREMOTE);
        CHECK(!cel_remote_error_of(ctx));
        cel_task_unref(task);
        CHECK_INT(cel_scope_close(ctx, scope), CEL_EREMOTE);
        CHECK(!cel_remote_error_of(ctx));
        return 0;
}

TEST_BOTH(an_earlier_remote_error_is_not_taken_for_that_of_a_task)
{
        world w;

        world_init(&w);
        fixture_actor *mistaken = fixture_act(&w.f, kind, "mistaken", mistake, &w);
        answer(&w, "\"failure\": \"{\\\"class\\\": \\\"E\\\"}\"");
        fixture_settle(&w.f);
        CHECK_DONE(mistaken, 0);
        world_fini(&w);
}

TEST_BOTH(a_reply_that_is_none_is_an_error_for_its_caller)
{
        world w;

        world_init(&w);
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        bus_deliver(&w.bus, 0, "nonsense", NULL);
        bus_deliver(&w.bus, 0, "{\"_msg_id\": \"somebody else's\", \"result\": 1}", NULL);
        CHECK_INT(w.bus.settled[0], 'r');
        CHECK_INT(w.bus.settled[1], 'a');
        CHECK_WAITS(caller);
        answer(&w, "\"failure\": \"nonsense\"");
        CHECK_DONE(caller, CEL_EDECODE);
        CHECK(strstr(fixture_actor_text(caller), "the failure is not JSON"));
        CHECK_INT(cel_rpc_client_get_stats(w.client).replies_invalid, 2);
        world_fini(&w);
}

TEST_BOTH(signs_of_life_keep_a_monitored_call_waiting)
{
        world w;

        world_init(&w);
        w.options = (cel_rpc_options){.timeout_ms = 100000, .call_monitor_timeout_s = 10};
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        for (int i = 0; i < 3; i++) {
                fixture_advance_ms(&w.f, 9999);
                CHECK_WAITS(caller);
                answer(&w, "\"result\": null, \"failure\": null, \"ending\": false");
        }
        fixture_advance_ms(&w.f, 9999);
        CHECK_WAITS(caller);
        fixture_advance_ms(&w.f, 1);
        CHECK_DONE(caller, CEL_ETIMEDOUT);
        CHECK(strstr(fixture_actor_text(caller), "no sign of life from method"));
        world_fini(&w);
}

TEST_BOTH(a_cancelled_call_is_forgotten)
{
        world w;

        world_init(&w);
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        fixture_cancel(caller);
        fixture_settle(&w.f);
        CHECK_DONE(caller, CEL_ECANCELED);
        CHECK_INT(cel_rpc_client_get_stats(w.client).waiting, 0);
        world_fini(&w);
}

TEST_BOTH(what_may_be_lost_is_sent_again_with_the_same_id)
{
        world w;
        char first[64], second[64];

        world_init(&w);
        w.bus.outcomes[0] = CEL_EUNKNOWN;
        fixture_actor *caster = fixture_act(&w.f, kind, "caster", cast, &w);
        CHECK_DONE(caster, 0);
        CHECK_INT(w.bus.published_n, 2);
        bus_get(&w.bus.published[0], "_unique_id", first, sizeof(first));
        bus_get(&w.bus.published[1], "_unique_id", second, sizeof(second));
        CHECK_STR(first, second);
        CHECK_INT(strlen(first), 32);
        CHECK_INT(cel_rpc_client_get_stats(w.client).sent_again, 1);
        world_fini(&w);
}

TEST_BOTH(a_cast_that_must_not_be_sent_again_says_that_it_is_unknown)
{
        world w;

        world_init(&w);
        w.options.retry = CEL_RETRY_NEVER;
        w.bus.outcomes[0] = CEL_EUNKNOWN;
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), CEL_EUNKNOWN);
        w.options.retry = 1;
        w.bus.outcomes[1] = w.bus.outcomes[2] = CEL_EUNKNOWN;
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), CEL_EUNKNOWN);
        CHECK_INT(w.bus.published_n, 3);
        world_fini(&w);
}

TEST_BOTH(a_cast_without_retries_does_not_wait_for_a_bus_that_is_away)
{
        world w;

        world_init(&w);
        w.options.retry = CEL_RETRY_NEVER;
        w.bus.connects_failing = 1;
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), CEL_ECONNECT);
        CHECK_INT(cel_future_new(&w.bus.up), 0); /* it goes in the very moment */
        fixture_actor *caster = fixture_act(&w.f, kind, "caster", cast, &w);
        fixture_advance_ms(&w.f, 10000);
        CHECK_DONE(caster, CEL_ETIMEDOUT);
        world_fini(&w);
}

TEST_BOTH(a_confirmation_that_stays_away_uses_up_a_retry)
{
        world w;

        world_init(&w);
        w.options.retry = 1;
        CHECK_INT(cel_future_new(&w.bus.confirms), 0);
        fixture_actor *caster = fixture_act(&w.f, kind, "caster", cast, &w);
        fixture_advance_ms(&w.f, 9999);
        CHECK_INT(w.bus.published_n, 1);
        fixture_advance_ms(&w.f, 1);
        CHECK_INT(w.bus.published_n, 2);
        CHECK_WAITS(caster);
        fixture_advance_ms(&w.f, 10000);
        CHECK_DONE(caster, CEL_EUNKNOWN);
        CHECK(strstr(fixture_actor_text(caster), "has not confirmed the message within 10 s"));
        world_fini(&w);
}

TEST_BOTH(an_exchange_is_declared_once_and_again_when_it_has_gone)
{
        world w;

        world_init(&w);
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), 0);
        CHECK_INT(w.bus.declared_n, 1);
        w.bus.outcomes[2] = CEL_ENOTFOUND;
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), 0);
        CHECK_INT(w.bus.declared_n, 2);
        CHECK_INT(w.bus.published_n, 4);
        world_fini(&w);
}

TEST_BOTH(a_fanout_goes_to_the_fanout_exchange_and_is_no_call)
{
        world w;

        world_init(&w);
        w.options = (cel_rpc_options){.fanout = CEL_YES, .server = "h", .mandatory = CEL_YES};
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), 0);
        CHECK_STR(w.bus.declared[0], "t_fanout (fanout)");
        CHECK_STR(bus_last(&w.bus)->exchange, "t_fanout");
        CHECK_STR(bus_last(&w.bus)->routing_key, "");
        CHECK_STR(bus_last(&w.bus)->expiration, "");
        CHECK(!bus_last(&w.bus)->mandatory);
        CHECK_DONE(fixture_act(&w.f, kind, "caller", call, &w), CEL_EINVAL);
        CHECK_INT(w.bus.published_n, 1);
        world_fini(&w);
}

TEST_BOTH(options_override_the_client_and_may_take_away)
{
        world w;
        char text[64];

        world_init(&w);
        w.options = (cel_rpc_options){.exchange = CEL_NONE,
                                      .topic = "other",
                                      .version = CEL_NONE,
                                      .version_cap = CEL_NONE,
                                      .name_space = "ns",
                                      .mandatory = CEL_YES};
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), 0);
        CHECK_STR(bus_last(&w.bus)->exchange, "openstack");
        CHECK_STR(bus_last(&w.bus)->routing_key, "other");
        CHECK(bus_last(&w.bus)->mandatory);
        bus_get(bus_last(&w.bus), "version", text, sizeof(text));
        CHECK_STR(text, "");
        bus_get(bus_last(&w.bus), "namespace", text, sizeof(text));
        CHECK_STR(text, "ns");
        world_fini(&w);
}

typedef struct asking {
        world *w;
        const cel_rpc_options *options;
        cel_rpc_client *client;
} asking;

static int make_another(cel_ctx *ctx, void *arg)
{
        asking *a = arg;

        return cel_rpc_client_new(ctx, a->w->bus.transport, &(cel_target){.topic = "t", .version = "1.0"},
                                  a->options, &a->client);
}

TEST_BOTH(a_client_tells_its_target_and_options_with_the_defaults_filled_in)
{
        world w;
        cel_serializer none = {0};
        char cap[] = "1.4";
        asking plain = {.w = &w}, special = {.w = &w,
                                             .options = &(cel_rpc_options){.exchange = "x",
                                                                           .server = "h",
                                                                           .name_space = "n",
                                                                           .version = CEL_NONE,
                                                                           .version_cap = cap,
                                                                           .timeout_ms = 5,
                                                                           .call_monitor_timeout_s = 3,
                                                                           .retry = CEL_RETRY_NEVER,
                                                                           .mandatory = CEL_YES,
                                                                           .serializer = &none}};

        world_init(&w);
        CHECK_DONE(fixture_act(&w.f, kind, "maker", make_another, &plain), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "maker", make_another, &special), 0);
        cap[2] = '9'; /* it was copied */
        cel_rpc_options o = cel_rpc_client_get_options(plain.client);
        CHECK_STR(o.topic, "t");
        CHECK_STR(o.version, "1.0");
        CHECK(!o.exchange && !o.server && !o.name_space && !o.version_cap && !o.context && !o.serializer);
        CHECK_INT(o.timeout_ms, 60000);
        CHECK_INT(o.call_monitor_timeout_s, -1);
        CHECK_INT(o.retry, CEL_RETRY_FOREVER);
        CHECK(o.mandatory == CEL_NO && o.fanout == CEL_NO);
        o = cel_rpc_client_get_options(special.client);
        CHECK_STR(o.exchange, "x");
        CHECK_STR(o.server, "h");
        CHECK_STR(o.name_space, "n");
        CHECK_STR(o.version_cap, "1.4");
        CHECK(!o.version && o.mandatory == CEL_YES && o.serializer == &none);
        CHECK_INT(o.timeout_ms, 5);
        CHECK_INT(o.call_monitor_timeout_s, 3);
        CHECK_INT(o.retry, CEL_RETRY_NEVER);
        cel_rpc_client_free(plain.client);
        cel_rpc_client_free(special.client);
        world_fini(&w);
}

TEST_BOTH(a_version_above_the_cap_is_not_sent)
{
        world w;

        world_init(&w);
        w.options.version = "1.3";
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), CEL_EVERSION);
        w.options.version = CEL_NONE; /* no version is none that the cap lets pass */
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), CEL_EVERSION);
        w.options.version = "1.b";
        CHECK_DONE(fixture_act(&w.f, kind, "caster", cast, &w), CEL_EINVAL);
        CHECK(cel_rpc_can_send_version(w.client, NULL, NULL) &&
              cel_rpc_can_send_version(w.client, NULL, "1.2"));
        CHECK(!cel_rpc_can_send_version(w.client, NULL, "1.3"));
        CHECK(cel_rpc_can_send_version(w.client, &(cel_rpc_options){.version_cap = CEL_NONE}, "9.9"));
        CHECK(!cel_rpc_can_send_version(w.client, NULL, "2.0") &&
              cel_rpc_can_send_version(w.client, NULL, "1.0"));
        CHECK(!cel_rpc_can_send_version(w.client, NULL, CEL_NONE) &&
              !cel_rpc_can_send_version(w.client, NULL, "1.b"));
        CHECK(!cel_rpc_can_send_version(w.client, &(cel_rpc_options){.version = "1.3"}, NULL));
        CHECK_INT(w.bus.published_n, 0);
        world_fini(&w);
}

TEST_BOTH(a_transport_that_is_freed_ends_the_calls_that_wait)
{
        world w;

        world_init(&w);
        fixture_actor *waits = fixture_act(&w.f, kind, "waits", call, &w);
        CHECK_WAITS(waits);
        w.bus.transport = cel_transport_free(w.bus.transport);
        fixture_settle(&w.f);
        CHECK_DONE(waits, CEL_ECLOSED);
        CHECK(w.bus.closed && w.bus.subscriptions[0].gone);
        CHECK_STR(w.bus.deleted, w.bus.subscriptions[0].queues[0]);
        CHECK_DONE(fixture_act(&w.f, kind, "late", call, &w), CEL_ECLOSED);
        world_fini(&w);
}

TEST_BOTH(a_transport_that_is_freed_ends_what_is_being_declared)
{
        world w;

        world_init(&w);
        CHECK_INT(cel_future_new(&w.bus.up), 0);
        fixture_actor *caller = fixture_act(&w.f, kind, "caller", call, &w);
        fixture_actor *caster = fixture_act(&w.f, kind, "caster", cast, &w);
        w.bus.transport = cel_transport_free(w.bus.transport);
        CHECK(!w.bus.closed); /* the tasks that declare use it */
        fixture_settle(&w.f);
        CHECK(w.bus.closed);
        CHECK_DONE(caller, CEL_ECLOSED);
        CHECK_DONE(caster, CEL_ECLOSED);
        world_fini(&w);
}
