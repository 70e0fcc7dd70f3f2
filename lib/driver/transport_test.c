/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/driver.h"
#include "fixture.h"
#include "test.h"

#include <celadon/transport.h>
#include <stdio.h>
#include <string.h>

static void check_why(const char *url, int code, const char *expected)
{
        char why[512] = "untouched";

        CHECK_INT(cel_transport_check_url(url, why, sizeof(why)), code);
        CHECK_STR(why, expected);
}

TEST(a_url_that_can_be_opened_has_nothing_wrong)
{
        check_why("rabbit://", 0, "untouched");
        check_why("rabbit://guest:p%40ss@h1:5672,h2,[::1]:65535/v?ssl=true&heartbeat_timeout_threshold=0", 0,
                  "untouched");
        check_why("RABBIT+x://h/?rabbit_login_method=PLAIN", 0, "untouched");
}

TEST(a_url_that_cannot_be_opened_says_why)
{
        check_why("rabit://h", CEL_ENOSUPPORT,
                  "there is no driver for \"rabit://\"; there is one for "
                  "rabbit://user:password@host:5672/vhost");
        check_why(
                "bus:///x", CEL_ENOSUPPORT,
                "there is no driver for \"bus://\"; there is one for rabbit://user:password@host:5672/vhost");
        check_why("localhost", CEL_EINVAL, "no scheme, such as \"rabbit://\", at the beginning");
        check_why("rabbit://h:70000/", CEL_EINVAL, "port \"70000\" is not a number from 1 to 65535");
        check_why("rabbit://h:notaport/", CEL_EINVAL,
                  "host 1: the port is not a number from 1 to 65535; if this is part of a password, write "
                  "its special "
                  "characters as %XX");
        check_why("rabbit://h/?ssll=true", CEL_EINVAL, "unknown option \"ssll\"; did you mean \"ssl\"?");
        check_why("rabbit://h/?ssl=maybe", CEL_EINVAL, "option ssl: \"maybe\" is neither true nor false");
        check_why("rabbit://h/?rabbit_login_method=plain", CEL_EINVAL,
                  "rabbit_login_method \"plain\" is not one of AMQPLAIN, PLAIN, EXTERNAL");
        check_why("rabbit://h/?ssl_enforce_hostname_verification=false", CEL_EINVAL,
                  "ssl_enforce_hostname_verification cannot be false: the broker's name is always verified");
}

TEST(a_password_is_never_told)
{
        static const char *const urls[] = {
                "rabit://guest:secret@h/",
                "rabbit://guest:secret@h:70000/",
                "rabbit://guest:secret@h/?ssll=1",
                "rabbit://guest:1,b?secret=c@h/",
                "rabbit://guest:1,b/c?ssl=secret@h/",
                "rabbit://guest:1,b/c?secret@h/&x=y",
                "rabbit://guest:pass?secret@h/",
        };

        for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
                char why[512] = "";

                CHECK(cel_transport_check_url(urls[i], why, sizeof(why)) < 0);
                CHECK(*why && !strstr(why, "secret"));
        }
}

/* --- Durable ---------------------------------------------------------------------------------- */

static int is_durable(cel_ctx *ctx, void *arg)
{
        cel_transport *transport;
        int r = cel_transport_open(ctx, arg, &transport);

        if (r < 0)
                return r;
        r = cel_transport_is_durable(transport);
        cel_transport_free(transport);
        return r;
}

TEST(a_transport_knows_whether_shared_queues_are_durable)
{
        static const struct {
                const char *url;
                bool durable;
        } all[] = {{"rabbit://127.0.0.1:1/", false},
                   {"rabbit://127.0.0.1:1/?amqp_durable_queues=true", true},
                   {"rabbit://127.0.0.1:1/?rabbit_quorum_queue=true", true},
                   {"rabbit://127.0.0.1:1/?rabbit_transient_quorum_queue=true", false}};
        fixture f = fixture_new();

        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
                CHECK_RESULT(fixture_spawn(&f, "opener", is_durable, (void *)(uintptr_t)all[i].url),
                             all[i].durable);
        fixture_free(&f);
}

/* --- Whose ctx -------------------------------------------------------------------------------- */

static int open_transport(cel_ctx *ctx, void *arg)
{
        return cel_transport_open(ctx, "rabbit://127.0.0.1:1/", arg);
}

static int declare(cel_ctx *ctx, void *arg)
{
        return cel_transport_declare_queue(ctx, arg, &(cel_queue){.name = "q"});
}

static int subscribe(cel_ctx *ctx, void *arg)
{
        static const cel_queue queue = {.name = "q"};
        cel_transport *transport = arg;
        void *subscription;

        return cel__transport_driver(transport)->subscribe(
                ctx, cel__transport_bus(transport),
                &(cel__subscription_options){.queues = &queue, .queues_n = 1, .prefetch = 1}, &subscription);
}

TEST(consuming_and_declaring_are_for_tasks_of_the_transports_loop)
{
        fixture f = fixture_new();
        cel_transport *transport;

        CHECK_RESULT(fixture_spawn(&f, "opener", open_transport, &transport), 0);
        CHECK_DONE(fixture_act(&f, FIXTURE_THREAD, "thread", declare, transport), CEL_ENOSUPPORT);
        CHECK_DONE(fixture_act(&f, FIXTURE_THREAD, "thread", subscribe, transport), CEL_ENOSUPPORT);
        cel_transport_free(transport);
        fixture_free(&f);
}
