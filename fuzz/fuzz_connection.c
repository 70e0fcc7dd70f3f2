/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection whose broker says what it likes. The first byte is how many requests the broker answers as it should, before it
 * sends the rest of the input instead; after that, and after the reconnect that may come of it, it answers again. On a real
 * socket, with a clock that stands still. */
#include "amqp/amqp.h"
#include "fuzz.h"
#include "rt/runtime.h"
#include "rt/task.h"
#include "wire/amqp_frame.h"

#include <arpa/inet.h>
#include <celadon/log.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
        FRAME_BYTES_MAX = 131072,
        KEPT_MAX = 16,
        ROUNDS_MAX = 200, /* in which anything happened; a frame may make the client ask again and again */
        RECONNECT_MS = 16000,
};

/* Made once. */
static cel_runtime *runtime;
static cel_clock *the_clock;
static int listening;
static uint16_t port;

typedef struct broker {
        int fd; /* -1: nobody is connected */
        unsigned answers_left;
        const uint8_t *input; /* borrowed; what is left of it */
        size_t n;
        bool greeted;
        cel__buf in, out;
        amqp_pool_t pool;
} broker;

typedef struct client {
        cel__url *url;
        cel__amqp *amqp;
        cel__amqp_channel *publishes, *consumes;
        cel__amqp_delivery kept[KEPT_MAX];
        unsigned kept_n, came;
        cel_scope *scope;
} client;

static void drop_line(cel_log_level level, const char *line, void *arg)
{
        (void)level;
        (void)line;
        (void)arg;
}

static void set_up(void)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(address);

        signal(SIGPIPE, SIG_IGN);
        cel_log_set_level(CEL_LOG_DEBUG);
        cel_log_set_sink(drop_line, NULL);
        the_clock = cel_clock_new_manual();
        MUST(cel_runtime_new(&(cel_runtime_options){.clock = the_clock}, &runtime) == 0);
        cel__loop_adopt(cel__runtime_loop(runtime));
        listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        MUST(bind(listening, (struct sockaddr *)&address, n) == 0 && listen(listening, 16) == 0);
        MUST(getsockname(listening, (struct sockaddr *)&address, &n) == 0);
        port = ntohs(address.sin_port);
}

/* --- The broker ------------------------------------------------------------------------------- */

/* What answers a request; 0: nothing does. The structs of all of them can be empty, but for these. */
static amqp_method_number_t answer_to(amqp_method_number_t id)
{
        switch (id) {
        case AMQP_CONNECTION_START_OK_METHOD:
                return AMQP_CONNECTION_TUNE_METHOD;
        case AMQP_CONNECTION_OPEN_METHOD:
        case AMQP_CONNECTION_CLOSE_METHOD:
        case AMQP_CHANNEL_OPEN_METHOD:
        case AMQP_CHANNEL_CLOSE_METHOD:
        case AMQP_CONFIRM_SELECT_METHOD:
        case AMQP_BASIC_QOS_METHOD:
        case AMQP_BASIC_CANCEL_METHOD:
        case AMQP_BASIC_CONSUME_METHOD:
        case AMQP_EXCHANGE_DECLARE_METHOD:
        case AMQP_QUEUE_DECLARE_METHOD:
        case AMQP_QUEUE_BIND_METHOD:
                return id + 1;
        default:
                return 0;
        }
}

static void answer(broker *b, const cel__frame *frame)
{
        amqp_connection_tune_t tune = {.channel_max = 100, .frame_max = FRAME_BYTES_MAX};
        static const uint8_t nothing[256];
        amqp_method_number_t id, reply;
        void *method;

        recycle_amqp_pool(&b->pool);
        if (frame->type != CEL__FRAME_METHOD)
                return;
        MUST(cel__method_decode(frame, &b->pool, &id, &method) ==
             0); /* the client speaks AMQP, whatever it heard */
        reply = answer_to(id);
        if (!reply || b->answers_left == 0)
                return;
        b->answers_left--;
        cel__frame_put_method(&b->out, frame->channel, reply,
                              reply == AMQP_CONNECTION_TUNE_METHOD ? (void *)&tune : (void *)nothing);
}

static void greet(broker *b)
{
        amqp_connection_start_t start = {.version_minor = 9,
                                         .mechanisms = amqp_cstring_bytes("PLAIN AMQPLAIN"),
                                         .locales = amqp_cstring_bytes("en_US")};

        if (b->answers_left > 0 &&
            cel__frame_put_method(&b->out, 0, AMQP_CONNECTION_START_METHOD, &start) == 0)
                b->answers_left--;
        b->greeted = true;
}

/* The protocol's header first, then frames. */
static void read_requests(broker *b)
{
        static const char header[] = "AMQP\0\0\x09\x01";
        cel__frame frame;
        size_t consumed;

        if (!b->greeted && cel__buf_used(&b->in) >= 8) {
                MUST(memcmp(cel__buf_head(&b->in), header, 8) == 0);
                cel__buf_consume(&b->in, 8);
                greet(b);
        }
        while (b->greeted && cel__buf_used(&b->in) > 0) {
                int r = cel__frame_parse(cel__buf_head(&b->in), cel__buf_used(&b->in), FRAME_BYTES_MAX,
                                         &frame, &consumed);
                MUST(r >= 0);
                if (r == 0)
                        return;
                answer(b, &frame);
                cel__buf_consume(&b->in, consumed);
        }
}

static void hang_up(broker *b)
{
        struct linger reset = {.l_onoff = 1};

        if (b->fd < 0)
                return;
        setsockopt(b->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* and leave no port behind */
        close(b->fd);
        b->fd = -1;
        cel__buf_clear(&b->in, 0);
        cel__buf_clear(&b->out, 0);
}

static bool take_connection(broker *b)
{
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
                return false;
        hang_up(b);
        b->fd = fd;
        b->greeted = false;
        return true;
}

/* Returns whether anything happened. */
static bool broker_turn(broker *b)
{
        bool did = take_connection(b);

        if (b->fd < 0)
                return did;
        uint8_t *room = cel__buf_reserve(&b->in, 65536, NULL);
        ssize_t n = room ? read(b->fd, room, 65536) : 0;
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
                hang_up(b);
                return true;
        }
        if (n > 0) {
                cel__buf_commit(&b->in, (size_t)n);
                read_requests(b);
                did = true;
        }
        if (b->answers_left == 0 && b->n > 0) { /* now it says what it likes */
                cel__buf_append(&b->out, b->input, b->n);
                b->n = 0;
                b->answers_left = UINT32_MAX;
        }
        if (cel__buf_used(&b->out) > 0) {
                n = write(b->fd, cel__buf_head(&b->out), cel__buf_used(&b->out));
                did |= n > 0;
                if (n > 0)
                        cel__buf_consume(&b->out, (size_t)n);
        }
        return did;
}

static void run_until_quiet(broker *b)
{
        cel__loop *loop = cel__runtime_loop(runtime);

        for (int quiet = 0, rounds = 0; quiet < 2 && rounds < ROUNDS_MAX; rounds++) {
                bool did = cel__loop_turn(loop, false);

                did |= broker_turn(b);
                quiet = did ? 0 : quiet + 1;
        }
}

/* --- The client ------------------------------------------------------------------------------- */

static void settle(const cel__amqp_delivery *d, unsigned how)
{
        cel__amqp_settle(d, how % 3 == 0   ? CEL__SETTLE_ACK
                            : how % 3 == 1 ? CEL__SETTLE_REJECT
                                           : CEL__SETTLE_REQUEUE);
}

/* Every fourth one is settled in the end, when it may be too late. */
static void on_delivery(void *arg, cel__amqp_delivery *d)
{
        client *c = arg;

        d->content = cel__content_free(d->content);
        if (c->came++ % 4 == 0 && c->kept_n < KEPT_MAX)
                c->kept[c->kept_n++] = *d;
        else
                settle(d, c->came);
}

static int open_client(cel_ctx *ctx, void *arg)
{
        client *c = arg;
        cel__amqp_options options = {.url = cel__url_ref(c->url), .name = "fuzz", .body_bytes_max = 100000};

        MUST(cel__amqp_open(ctx, &options, &c->amqp) == 0);
        MUST(cel__amqp_channel_open(ctx, c->amqp, &(cel__amqp_channel_options){.confirms = true},
                                    &c->publishes) == 0);
        MUST(cel__amqp_channel_open(
                     ctx, c->amqp,
                     &(cel__amqp_channel_options){
                             .prefetch = 10, .durable_optional = true, .on_delivery = on_delivery, .arg = c},
                     &c->consumes) == 0);
        return 0;
}

static int consume(cel_ctx *ctx, void *arg)
{
        client *c = arg;
        cel_auto(cel_headers) *arguments = NULL;
        cel_queue queue = {
                .name = "q", .exchange = "x", .binding_key = "k", .durable = true, .expires_ms = 5000};

        MUST(cel_headers_new(&arguments) == 0);
        MUST(cel_headers_set_str(arguments, "x-stream-offset", "last") == 0);
        int r = cel__amqp_declare(ctx, c->consumes, &queue);
        return r < 0 ? r : cel__amqp_consume(ctx, c->consumes, "q", arguments);
}

static int publish(cel_ctx *ctx, void *arg)
{
        client *c = arg;
        cel_message message = {.exchange = "x", .routing_key = "k", .body = "body", .body_bytes = 4};

        return cel__amqp_publish(ctx, c->publishes, &message, CEL_PUBLISH_MANDATORY);
}

static void spawn(client *c, const char *name, cel_task_fn fn)
{
        cel_task *task;

        MUST(cel__task_spawn(c->scope, NULL, name, fn, c, &task) == 0);
        cel_task_unref(task);
}

static void begin(client *c)
{
        char text[64], why[200];

        *c = (client){0};
        snprintf(text, sizeof(text), "rabbit://127.0.0.1:%u/", port);
        MUST(cel__url_parse(text, &c->url, why, sizeof(why)) == 0);
        MUST(cel__scope_new(runtime, cel__runtime_loop(runtime), CEL_SCOPE_COLLECT_ALL, &c->scope) == 0);
        spawn(c, "open", open_client);
        cel__loop_turn(cel__runtime_loop(runtime), false);
        MUST(c->amqp);
        spawn(c, "consume", consume);
        for (int i = 0; i < 3; i++)
                spawn(c, "publish", publish);
}

/* Everybody who waits is told, and the supervisor ends. */
static void end(client *c)
{
        cel__loop *loop = cel__runtime_loop(runtime);

        for (unsigned i = 0; i < c->kept_n; i += 2)
                settle(&c->kept[i], i);
        cel__amqp_free(c->amqp);
        while (cel_scope_tasks(c->scope) > 0 || cel_scope_tasks(cel__runtime_system_scope(runtime)) > 0)
                cel__loop_turn(loop, true);
        for (unsigned i = 1; i < c->kept_n; i += 2)
                settle(&c->kept[i], i);
        cel__scope_free(c->scope);
        cel__url_free(c->url);
        while (cel__loop_turn(loop, false))
                ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        client c;

        if (!runtime)
                set_up();
        if (n == 0)
                return 0;
        broker b = {.fd = -1, .answers_left = data[0], .input = data + 1, .n = n - 1};
        cel__buf_init(&b.in, 1 << 22);
        cel__buf_init(&b.out, 1 << 22);
        init_amqp_pool(&b.pool, 4096);
        begin(&c);
        run_until_quiet(&b);
        b.answers_left = UINT32_MAX; /* whatever it made of that: a broker that answers brings it up again */
        hang_up(&b);
        run_until_quiet(&b);
        cel_clock_advance_ms(the_clock, RECONNECT_MS);
        run_until_quiet(&b);
        end(&c);
        hang_up(&b);
        while (take_connection(&b))
                hang_up(&b);
        cel__buf_fini(&b.in);
        cel__buf_fini(&b.out);
        empty_amqp_pool(&b.pool);
        return 0;
}
