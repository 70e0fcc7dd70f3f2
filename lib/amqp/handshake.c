/* SPDX-License-Identifier: Apache-2.0
 *
 * From a TCP connection to an open AMQP connection (AMQP 0-9-1, class connection; oslo-wire section 2). */
#include "amqp/connection.h"
#include "rt/runtime.h"
#include "wire/sasl.h"

#include <stdio.h>
#include <string.h>

static const char *const mechanisms[] = {
        [CEL__AMQP_AMQPLAIN] = "AMQPLAIN", [CEL__AMQP_PLAIN] = "PLAIN", [CEL__AMQP_EXTERNAL] = "EXTERNAL"};

enum { CREDENTIALS_BYTES_MAX = 16 * 1024 };

static bool word_in(amqp_bytes_t list, const char *word)
{
        const char *at = list.bytes, *end = at + list.len;
        size_t n = strlen(word);

        for (; (size_t)(end - at) >= n; at++) {
                if (memcmp(at, word, n) == 0 && (at + n == end || at[n] == ' '))
                        return true;
                at = memchr(at, ' ', (size_t)(end - at));
                if (!at)
                        return false;
        }
        return false;
}

/* What connection.start and connection.tune said; the rest of the methods is gone once they are handled. */
typedef struct greeting {
        bool version_ok, mechanism_ok;
        const char *mechanism;
        char offered[128];
        amqp_connection_tune_t tune;
} greeting;

static void on_start(void *arg, const void *method)
{
        const amqp_connection_start_t *start = method;
        greeting *g = arg;

        g->version_ok = start->version_major == 0 && start->version_minor == 9;
        g->mechanism_ok = word_in(start->mechanisms, g->mechanism);
        snprintf(g->offered, sizeof(g->offered), "%.*s", (int)start->mechanisms.len,
                 (char *)start->mechanisms.bytes);
}

static void on_tune(void *arg, const void *method)
{
        ((greeting *)arg)->tune = *(const amqp_connection_tune_t *)method;
}

static amqp_table_entry_t entry_str(const char *key, const char *value)
{
        return (amqp_table_entry_t){
                .key = amqp_cstring_bytes(key),
                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

static amqp_table_entry_t entry_true(const char *key)
{
        return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                    .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}};
}

static int send_start_ok(cel__amqp *amqp, const cel__url_host *host)
{
        amqp_table_entry_t capabilities[] = {entry_true("authentication_failure_close"),
                                             entry_true("connection.blocked"),
                                             entry_true("consumer_cancel_notify"),
                                             entry_true("publisher_confirms"), entry_true("basic.nack")};
        amqp_table_entry_t properties[] = {
                entry_str("product", "celadon"),
                entry_str("version", CELADON_VERSION),
                {.key = amqp_cstring_bytes("capabilities"),
                 .value = {.kind = AMQP_FIELD_KIND_TABLE,
                           .value.table = {sizeof(capabilities) / sizeof(capabilities[0]), capabilities}}},
                entry_str("connection_name", amqp->name),
        };
        /* oslo.messaging's defaults, each for itself; an empty password counts as none. */
        const char *user = host->user ? host->user : "guest";
        const char *password = host->password && *host->password ? host->password : "guest";
        cel__buf response;
        int r = 0;

        cel__buf_init(&response, CREDENTIALS_BYTES_MAX);
        if (amqp->login == CEL__AMQP_AMQPLAIN)
                r = cel__sasl_amqplain(user, password, &response);
        else if (amqp->login == CEL__AMQP_PLAIN)
                r = cel__sasl_plain(user, password, &response);
        if (r >= 0) {
                amqp_connection_start_ok_t ok = {
                        .client_properties = {sizeof(properties) / sizeof(properties[0]), properties},
                        .mechanism = amqp_cstring_bytes(mechanisms[amqp->login]),
                        .response = {cel__buf_used(&response), response.bytes},
                        .locale = amqp_cstring_bytes("en_US"),
                };
                pthread_mutex_lock(&amqp->mutex);
                r = conn_send_locked(amqp, 0, AMQP_CONNECTION_START_OK_METHOD, &ok);
                pthread_mutex_unlock(&amqp->mutex);
        }
        if (response.bytes)
                explicit_bzero(response.bytes, response.capacity);
        cel__buf_fini(&response);
        return r;
}

/* Both limits are the broker's, within ours; the heartbeat is the smaller of the two sides', 0 meaning "no
 * wish". */
static int send_tune_ok(cel__amqp *amqp, const amqp_connection_tune_t *tune)
{
        uint32_t frame_max = tune->frame_max == 0 ? 131072 : tune->frame_max;
        unsigned heartbeat_s = amqp->heartbeat_s_wanted;
        uint16_t channel_max = tune->channel_max == 0 || tune->channel_max > CHANNELS_MAX ? CHANNELS_MAX
                                                                                          : tune->channel_max;

        if (frame_max > FRAME_BYTES_MAX)
                frame_max = FRAME_BYTES_MAX;
        if (frame_max < CEL__FRAME_BYTES_MIN)
                return CEL_EPROTO;
        if (heartbeat_s > 0 && tune->heartbeat > 0 && tune->heartbeat < heartbeat_s)
                heartbeat_s = tune->heartbeat;
        amqp_connection_tune_ok_t ok = {
                .channel_max = channel_max, .frame_max = frame_max, .heartbeat = (uint16_t)heartbeat_s};

        pthread_mutex_lock(&amqp->mutex);
        amqp->heartbeat_s = heartbeat_s;
        amqp->frame_bytes_max = frame_max;
        amqp->channel_max = channel_max;
        int r = conn_send_locked(amqp, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &ok);
        pthread_mutex_unlock(&amqp->mutex);
        return r;
}

static int open_virtual_host(cel_ctx *ctx, cel__amqp *amqp)
{
        const char *name = amqp->url->virtual_host && *amqp->url->virtual_host ? amqp->url->virtual_host
                                                                               : "/";
        amqp_connection_open_t open = {.virtual_host = amqp_cstring_bytes(name)};

        return conn_request(ctx, amqp, &amqp->expected, 0, AMQP_CONNECTION_OPEN_METHOD, &open,
                            AMQP_CONNECTION_OPEN_OK_METHOD);
}

int conn_handshake(cel_ctx *ctx, cel__amqp *amqp, const cel__url_host *host)
{
        greeting g = {.mechanism = mechanisms[amqp->login]};

        pthread_mutex_lock(&amqp->mutex);
        int r = cel__frame_put_protocol_header(&amqp->out);
        conn_flush_later_locked(amqp);
        pthread_mutex_unlock(&amqp->mutex);
        if (r < 0)
                return r;

        amqp->expected.on_method = on_start;
        amqp->expected.arg = &g;
        r = conn_request(ctx, amqp, &amqp->expected, 0, 0, NULL, AMQP_CONNECTION_START_METHOD);
        if (r < 0)
                return r;
        if (!g.version_ok)
                return cel_fail(ctx, CEL_EVERSION, "the broker does not speak AMQP 0-9-1");
        if (!g.mechanism_ok)
                return cel_fail(ctx, CEL_EAUTH, "the broker offers no %s login, but %s", g.mechanism,
                                g.offered);

        r = send_start_ok(amqp, host);
        if (r < 0)
                return r;
        amqp->expected.on_method = on_tune;
        amqp->expected.arg = &g;
        r = conn_request(ctx, amqp, &amqp->expected, 0, 0, NULL, AMQP_CONNECTION_TUNE_METHOD);
        if (r >= 0)
                r = send_tune_ok(amqp, &g.tune);
        if (r >= 0)
                r = open_virtual_host(ctx, amqp);
        if (r >= 0) /* it may have been lost between the last answer and now */
                r = amqp->stream ? heartbeat_start(amqp) : CEL_ECLOSED;
        return r;
}
