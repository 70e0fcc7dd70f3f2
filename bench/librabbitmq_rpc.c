/* SPDX-License-Identifier: Apache-2.0
 *
 * The least that RPC over RabbitMQ has to do: a request to a queue, a reply to the caller's queue, in blocking loops
 * on librabbitmq. No JSON, no envelope, no confirms: the body comes back as it is.
 *
 *     librabbitmq_rpc server URL QUEUE
 *     librabbitmq_rpc client URL QUEUE IN_FLIGHT SECONDS BYTES */
#include "peer.h"
#include "rpc_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_FLIGHT_MAX = 10000 };

static void consume(amqp_connection_state_t conn, amqp_bytes_t queue, bool acknowledge)
{
        amqp_basic_consume(conn, PEER_CHANNEL, queue, amqp_empty_bytes, 0, !acknowledge, 0, amqp_empty_table);
        peer_expect(amqp_get_rpc_reply(conn), "consume");
}

/* The next message; to be freed by amqp_destroy_envelope(). */
static amqp_envelope_t next_message(amqp_connection_state_t conn)
{
        amqp_envelope_t envelope;

        amqp_maybe_release_buffers(conn);
        peer_expect(amqp_consume_message(conn, &envelope, NULL, 0), "wait for a message");
        return envelope;
}

static void publish(amqp_connection_state_t conn, amqp_bytes_t queue,
                    const amqp_basic_properties_t *properties, amqp_bytes_t body)
{
        peer_expect_ok(
                amqp_basic_publish(conn, PEER_CHANNEL, amqp_empty_bytes, queue, 0, 0, properties, body),
                "publish");
}

static _Noreturn void serve(amqp_connection_state_t conn, amqp_bytes_t queue)
{
        amqp_queue_declare(conn, PEER_CHANNEL, queue, 0, 0, 0, 1, amqp_empty_table);
        peer_expect(amqp_get_rpc_reply(conn), "declare the queue");
        consume(conn, queue, true);
        puts("ready");
        fflush(stdout);
        for (;;) {
                amqp_envelope_t request = next_message(conn);
                const amqp_basic_properties_t *asked = &request.message.properties;
                amqp_basic_properties_t properties = {._flags = AMQP_BASIC_CORRELATION_ID_FLAG,
                                                      .correlation_id = asked->correlation_id};

                peer_expect_ok(amqp_basic_ack(conn, PEER_CHANNEL, request.delivery_tag, 0), "acknowledge");
                publish(conn, asked->reply_to, &properties, request.message.body);
                amqp_destroy_envelope(&request);
        }
}

typedef struct client {
        amqp_connection_state_t conn;
        amqp_bytes_t queue, reply_queue, body;
        int64_t begun_ns[IN_FLIGHT_MAX]; /* of each call; its number is the correlation id */
} client;

static void ask(client *c, unsigned number)
{
        amqp_basic_properties_t properties = {._flags = AMQP_BASIC_REPLY_TO_FLAG |
                                                        AMQP_BASIC_CORRELATION_ID_FLAG,
                                              .reply_to = c->reply_queue,
                                              .correlation_id = {.len = sizeof(number), .bytes = &number}};

        c->begun_ns[number] = rpc_load_now_ns();
        publish(c->conn, c->queue, &properties, c->body);
}

/* Take a reply; returns the call's number. */
static unsigned take_reply(client *c)
{
        amqp_envelope_t reply = next_message(c->conn);
        amqp_bytes_t id = reply.message.properties.correlation_id;
        unsigned number = IN_FLIGHT_MAX;

        if (id.len == sizeof(number))
                memcpy(&number, id.bytes, sizeof(number));
        if (number >= IN_FLIGHT_MAX || reply.message.body.len != c->body.len) {
                fputs("a reply is not what was asked for\n", stderr);
                exit(1);
        }
        amqp_destroy_envelope(&reply);
        return number;
}

static void call(client *c, unsigned in_flight, double seconds)
{
        rpc_load *load;
        unsigned number;

        amqp_queue_declare_ok_t *declared =
                amqp_queue_declare(c->conn, PEER_CHANNEL, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
        peer_expect(amqp_get_rpc_reply(c->conn), "declare the reply queue");
        c->reply_queue = amqp_bytes_malloc_dup(declared->queue);
        consume(c->conn, c->reply_queue, false);
        load = rpc_load_new(seconds);
        for (unsigned i = 0; i < in_flight; i++)
                ask(c, i);
        while (number = take_reply(c), rpc_load_note(load, c->begun_ns[number]))
                ask(c, number);
        rpc_load_report(load);
        rpc_load_free(load);
        amqp_bytes_free(c->reply_queue);
}

int main(int argc, char **argv)
{
        static client c;

        if (argc == 4 && strcmp(argv[1], "server") == 0)
                serve(peer_connect(argv[2]), amqp_cstring_bytes(argv[3]));
        if (argc != 7 || strcmp(argv[1], "client") != 0 || atoi(argv[4]) < 1 ||
            atoi(argv[4]) > IN_FLIGHT_MAX) {
                fprintf(stderr,
                        "usage: %s server URL QUEUE\n       %s client URL QUEUE IN_FLIGHT SECONDS BYTES\n",
                        argv[0], argv[0]);
                return 2;
        }
        c.conn = peer_connect(argv[2]);
        c.queue = amqp_cstring_bytes(argv[3]);
        c.body = amqp_bytes_malloc((size_t)atol(argv[6]));
        memset(c.body.bytes, 'x', c.body.len);
        call(&c, (unsigned)atoi(argv[4]), atof(argv[5]));
        amqp_bytes_free(c.body);
        peer_expect(amqp_connection_close(c.conn, AMQP_REPLY_SUCCESS), "close");
        amqp_destroy_connection(c.conn);
        return 0;
}
