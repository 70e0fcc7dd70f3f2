/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_BYTES_MAX = 131072, HEARTBEAT_S = 60 };

static _Noreturn void fail(const char *what, const char *why)
{
        fprintf(stderr, "%s: %s\n", what, why);
        exit(1);
}

void peer_expect(amqp_rpc_reply_t reply, const char *what)
{
        if (reply.reply_type == AMQP_RESPONSE_NORMAL)
                return;
        if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
                fail(what, amqp_error_string2(reply.library_error));
        fail(what, "the broker refused");
}

void peer_expect_ok(int status, const char *what)
{
        if (status != AMQP_STATUS_OK)
                fail(what, amqp_error_string2(status));
}

amqp_connection_state_t peer_connect(const char *url)
{
        amqp_connection_state_t conn = amqp_new_connection();
        amqp_socket_t *socket = amqp_tcp_socket_new(conn);
        struct amqp_connection_info info;
        char *parts = strdup(url); /* info points into it */

        if (!conn || !socket || !parts)
                fail("connect", "out of memory");
        peer_expect_ok(amqp_parse_url(parts, &info), url);
        peer_expect_ok(amqp_socket_open(socket, info.host, info.port), "connect");
        peer_expect(amqp_login(conn, info.vhost, 0, FRAME_BYTES_MAX, HEARTBEAT_S, AMQP_SASL_METHOD_PLAIN,
                               info.user, info.password),
                    "login");
        amqp_channel_open(conn, PEER_CHANNEL);
        peer_expect(amqp_get_rpc_reply(conn), "open a channel");
        free(parts);
        return conn;
}
