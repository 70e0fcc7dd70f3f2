/* SPDX-License-Identifier: Apache-2.0
 *
 * Fill a queue with notifications as Nova sends them: oslo.messaging's second format, persistent messages.
 * Exchange, queue and binding are declared as a notification listener declares them. Prints the bytes of one
 * body. */
#include "peer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `text` as a JSON document; the caller frees it. */
static char *dump(json_t *document)
{
        char *text = document ? json_dumps(document, JSON_ENSURE_ASCII) : NULL;

        if (!text) {
                fprintf(stderr, "cannot make a notification\n");
                exit(1);
        }
        json_decref(document);
        return text;
}

/* The body of notification `number`: all are different and of one size. */
static char *notification(long number)
{
        char id[33];

        snprintf(id, sizeof(id), "%032lx", number);
        char *message = dump(json_pack(
                "{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:i, s:i}, s:s, s:s, s:s}", "message_id", id,
                "publisher_id", "compute.host-1", "event_type", "compute.instance.create.end", "priority",
                "INFO", "payload", "instance_id", id, "host", "h1", "state", "active", "image", "debian",
                "memory_mb", 2048, "vcpus", 2, "timestamp", "2026-01-01 00:00:00.000001", "_unique_id", id,
                "_context_request_id", "req-5e3f2a86-8d5c-4c8a-b5a7-6f2f3f0c9d11"));
        char *body = dump(json_pack("{s:s, s:s}", "oslo.version", "2.0", "oslo.message", message));

        free(message);
        return body;
}

static void declare(amqp_connection_state_t conn, const char *exchange, const char *key, const char *queue)
{
        amqp_bytes_t queue_name = amqp_cstring_bytes(queue);

        amqp_exchange_declare(conn, PEER_CHANNEL, amqp_cstring_bytes(exchange), amqp_cstring_bytes("topic"),
                              0, 0, 0, 0, amqp_empty_table);
        peer_expect(amqp_get_rpc_reply(conn), "declare the exchange");
        amqp_queue_declare(conn, PEER_CHANNEL, queue_name, 0, 0, 0, 0, amqp_empty_table);
        peer_expect(amqp_get_rpc_reply(conn), "declare the queue");
        amqp_queue_bind(conn, PEER_CHANNEL, queue_name, amqp_cstring_bytes(exchange), amqp_cstring_bytes(key),
                        amqp_empty_table);
        peer_expect(amqp_get_rpc_reply(conn), "bind the queue");
}

static size_t publish(amqp_connection_state_t conn, const char *exchange, const char *key, long number)
{
        amqp_basic_properties_t properties = {
                ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG |
                          AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG,
                .content_type = amqp_cstring_bytes("application/json"),
                .content_encoding = amqp_cstring_bytes("utf-8"),
                .delivery_mode = AMQP_DELIVERY_PERSISTENT,
        };
        char *body = notification(number);
        size_t bytes = strlen(body);

        peer_expect_ok(amqp_basic_publish(conn, PEER_CHANNEL, amqp_cstring_bytes(exchange),
                                          amqp_cstring_bytes(key), 0, 0, &properties,
                                          amqp_cstring_bytes(body)),
                       "publish");
        free(body);
        return bytes;
}

int main(int argc, char **argv)
{
        size_t bytes = 0;

        if (argc != 6) {
                fprintf(stderr, "usage: %s URL EXCHANGE KEY QUEUE EVENTS\n", argv[0]);
                return 2;
        }
        const char *exchange = argv[2], *key = argv[3], *queue = argv[4];
        long n = atol(argv[5]);
        amqp_connection_state_t conn = peer_connect(argv[1]);

        declare(conn, exchange, key, queue);
        for (long i = 0; i < n; i++)
                bytes = publish(conn, exchange, key, i);

        /* The answer to one more request comes after everything before it has reached the queue. */
        declare(conn, exchange, key, queue);
        printf("%zu\n", bytes);
        peer_expect(amqp_connection_close(conn, AMQP_REPLY_SUCCESS), "close");
        amqp_destroy_connection(conn);
        return 0;
}
