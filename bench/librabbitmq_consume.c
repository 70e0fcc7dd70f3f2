/* SPDX-License-Identifier: Apache-2.0
 *
 * The least that anything on RabbitMQ has to do: consume and acknowledge, one by one, in a blocking loop on
 * librabbitmq. Prints the seconds from the first message to the last acknowledgement, then waits for SIGTERM.
 */
#include "peer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds_now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void start_consuming(amqp_connection_state_t conn, const char *queue, uint16_t prefetch)
{
        amqp_basic_qos(conn, PEER_CHANNEL, 0, prefetch, 0);
        peer_expect(amqp_get_rpc_reply(conn), "set the prefetch count");
        amqp_basic_consume(conn, PEER_CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                           amqp_empty_table);
        peer_expect(amqp_get_rpc_reply(conn), "consume");
}

/* Consume `n` messages; returns the seconds it took. */
static double consume(amqp_connection_state_t conn, long n)
{
        double start = 0;

        for (long i = 0; i < n; i++) {
                amqp_envelope_t envelope;

                amqp_maybe_release_buffers(conn);
                peer_expect(amqp_consume_message(conn, &envelope, NULL, 0), "wait for a message");
                if (i == 0)
                        start = seconds_now();
                peer_expect_ok(amqp_basic_ack(conn, PEER_CHANNEL, envelope.delivery_tag, 0), "acknowledge");
                amqp_destroy_envelope(&envelope);
        }
        return seconds_now() - start;
}

int main(int argc, char **argv)
{
        sigset_t ending;
        int which;

        if (argc != 5) {
                fprintf(stderr, "usage: %s URL QUEUE EVENTS PREFETCH\n", argv[0]);
                return 2;
        }
        sigemptyset(&ending);
        sigaddset(&ending, SIGTERM);
        sigprocmask(SIG_BLOCK, &ending, NULL);

        amqp_connection_state_t conn = peer_connect(argv[1]);
        start_consuming(conn, argv[2], (uint16_t)atoi(argv[4]));
        printf("%.6f\n", consume(conn, atol(argv[3])));
        fflush(stdout);
        sigwait(&ending, &which);

        peer_expect(amqp_connection_close(conn, AMQP_REPLY_SUCCESS), "close");
        amqp_destroy_connection(conn);
        return 0;
}
