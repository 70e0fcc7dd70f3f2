/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Tasks put their transfers into the client's lists and the hub, before the loop next waits,
 * tells libcurl about all of them in one go. No more transfers run than there may be connections; the rest
 * waits here and not inside libcurl, where each waiting one costs time whenever another ends.
 *
 * libcurl's timer moves with every transfer. Ours is only ever moved to an earlier time; when it fires too
 * early it is set again to what libcurl wants by then. That costs a needless wake-up now and then, and saves
 * most work on timers. */
#include "base/assert.h"
#include "http/http.h"
#include "rt/runtime.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static cel__http_slot *slot_from_node(cel__list *node)
{
        return cel__container(node, cel__http_slot, node);
}

static cel__http_transfer *transfer_from_node(cel__list *node)
{
        return cel__container(node, cel__http_transfer, node);
}

void cel__http_client_attend(cel_http_client *client)
{
        cel__loop_defer(client->loop, &client->pump);
}

/* --- libcurl's timer -------------------------------------------------------------------------- */

static void set_timer(cel_http_client *client)
{
        if (cel__timer_is_set(&client->timer) && client->timer_at.ns <= client->due.ns)
                return;
        client->timer_at = client->due;
        if (cel__timer_set(&client->loop->timers, &client->timer, client->due) < 0)
                client->kicked = true; /* no memory: too early is better than never */
}

static int on_curl_timer(CURLM *multi, long ms, void *arg)
{
        cel_http_client *client = arg;

        (void)multi;
        client->due = CEL_TIME_NEVER;
        client->kicked = ms == 0; /* whoever has called libcurl looks at it when libcurl returns */
        if (ms <= 0)
                return 0;
        client->due = cel_time_add_ms(cel_clock_now(cel__runtime_clock(client->runtime)), ms);
        set_timer(client);
        return 0;
}

static void on_due(cel__timer *timer)
{
        cel_http_client *client = cel__container(timer, cel_http_client, timer);

        if (client->due.ns == CEL_TIME_NEVER.ns)
                return;
        if (client->due.ns > cel_clock_now(cel__runtime_clock(client->runtime)).ns) {
                set_timer(client);
                if (client->kicked)
                        cel__http_client_attend(client);
                return;
        }
        client->due = CEL_TIME_NEVER;
        cel__http_client_act(client, CURL_SOCKET_TIMEOUT, 0);
}

/* --- Ends ------------------------------------------------------------------------------------- */

/* libcurl is done with it, or never had it. */
static void end(cel_http_client *client, cel__http_transfer *transfer)
{
        cel__http_slot *slot = transfer->slot;

        cel__list_remove(&transfer->node);
        if (slot) {
                slot->transfer = NULL;
                transfer->slot = NULL;
                cel__list_remove(&slot->nudge_node);
                cel__list_remove(&slot->node);
                cel__list_append(&client->idle, &slot->node);
        }
        cel__http_transfer_enter(transfer, CEL__HTTP_ENDED);
        if (transfer->wait)
                cel__wait_finish(transfer->wait, 0);
}

static void fail(cel_http_client *client, cel__http_transfer *transfer, int code, const char *text)
{
        cel__http_transfer_drop_response(transfer);
        transfer->result = code;
        snprintf(transfer->text, sizeof(transfer->text), "%s", text);
        end(client, transfer);
}

static void collect(cel_http_client *client)
{
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(client->multi, &left))) {
                CURLcode code = message->data.result;
                cel__http_slot *slot = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
                curl_multi_remove_handle(client->multi, slot->easy); /* frees the message */
                cel__http_slot_judge(slot, code);
                end(client, slot->transfer);
        }
}

static void drop_abandoned(cel_http_client *client)
{
        cel__list *node;

        while ((node = cel__list_pop(&client->abandoned))) {
                cel__http_transfer *transfer = transfer_from_node(node);

                transfer->sent = cel__http_slot_sent(transfer->slot);
                cel__http_transfer_drop_response(transfer);
                curl_multi_remove_handle(client->multi, transfer->slot->easy);
                end(client, transfer);
        }
}

/* libcurl is out of memory, or one of our callbacks was: it cannot go on with any transfer. */
static void drop_running(cel_http_client *client, CURLMcode code)
{
        cel__list *node;

        while ((node = cel__list_pop(&client->running))) {
                cel__http_slot *slot = slot_from_node(node);
                bool sent = cel__http_slot_sent(slot);

                slot->transfer->sent = sent;
                curl_multi_remove_handle(client->multi, slot->easy);
                fail(client, slot->transfer, sent ? CEL_EUNKNOWN : CEL_ENOMEM, curl_multi_strerror(code));
        }
}

/* --- Begins ----------------------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global_code;

static void init_global(void)
{
        global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int init_multi(cel_http_client *client)
{
        if (client->multi)
                return 0;
        pthread_once(&once, init_global);
        CURLM *multi = global_code == CURLE_OK ? curl_multi_init() : NULL;
        if (!multi)
                return CEL_ENOMEM;
        curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, cel__http_on_socket);
        curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
        curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)client->connections_max);
        curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)client->connections_max);
        curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
        client->multi = multi;
        return 0;
}

/* The slot used last, whose memory is warm; a new one if there is none. */
static int get_slot(cel_http_client *client, cel__http_slot **ret_slot)
{
        if (!cel__list_empty(&client->idle)) {
                *ret_slot = slot_from_node(client->idle.previous);
                return 0;
        }
        int r = init_multi(client);
        if (r >= 0)
                r = cel__http_slot_new(client, ret_slot);
        if (r < 0)
                return r;
        client->slots_n++;
        cel__list_append(&client->idle, &(*ret_slot)->node);
        return 0;
}

static void start(cel_http_client *client, cel__http_transfer *transfer)
{
        cel__http_slot *slot = NULL;

        int r = get_slot(client, &slot);
        if (r >= 0)
                r = cel__http_slot_load(slot, transfer);
        if (r >= 0 && curl_multi_add_handle(client->multi, slot->easy) != CURLM_OK)
                r = CEL_ENOMEM;
        if (r < 0) {
                if (slot)
                        slot->transfer = NULL;
                fail(client, transfer, r, r == CEL_EINVAL ? "libcurl lacks HTTP or TLS" : cel_error_text(r));
                return;
        }
        transfer->slot = slot;
        cel__list_remove(&slot->node);
        cel__list_append(&client->running, &slot->node);
        cel__http_transfer_enter(transfer, CEL__HTTP_RUNNING);
}

static bool may_start(const cel_http_client *client)
{
        return !cel__list_empty(&client->queued) &&
               (!cel__list_empty(&client->idle) || client->slots_n < client->connections_max);
}

/* --- On the hub ------------------------------------------------------------------------------- */

/* When one address of a server has failed, libcurl 7.88 goes on to the next when it next looks at the
 * transfer; but it neither has a socket nor sets a timer for that, so it may be as late as the end of
 * connect_ms_max. Ending a pause is the one thing that has it look at a transfer at once; the transfer was
 * not paused, so it is that first. */
static void nudge(cel_http_client *client)
{
        cel__list *node;

        while ((node = cel__list_pop(&client->to_nudge))) {
                cel__http_slot *slot = cel__container(node, cel__http_slot, nudge_node);

                curl_easy_pause(slot->easy, CURLPAUSE_RECV);
                curl_easy_pause(slot->easy, CURLPAUSE_CONT);
        }
}

void cel__http_client_act(cel_http_client *client, curl_socket_t fd, int events)
{
        int running_n;

        if (fd == CURL_SOCKET_TIMEOUT)
                client->kicked = false;
        CURLMcode code = curl_multi_socket_action(client->multi, fd, events, &running_n);
        collect(client);
        if (code != CURLM_OK)
                drop_running(client, code);
        nudge(client);
        if (client->kicked || may_start(client))
                cel__http_client_attend(client);
}

static void pump(cel__deferred *deferred)
{
        cel_http_client *client = cel__container(deferred, cel_http_client, pump);

        drop_abandoned(client);
        while (may_start(client))
                start(client, transfer_from_node(cel__list_pop(&client->queued)));
        if (client->kicked)
                cel__http_client_act(client, CURL_SOCKET_TIMEOUT, 0);
}

/* --- Life ------------------------------------------------------------------------------------- */

void cel__http_client_init(cel_http_client *client, cel_ctx *ctx)
{
        client->runtime = ctx->runtime;
        client->loop = ctx->loop;
        client->pump.run = pump;
        cel__list_init(&client->pump.node);
        cel__timer_init(&client->timer, on_due);
        client->due = CEL_TIME_NEVER;
        cel__list_init(&client->queued);
        cel__list_init(&client->abandoned);
        cel__list_init(&client->to_nudge);
        cel__list_init(&client->running);
        cel__list_init(&client->idle);
}

static void destroy(cel_http_client *client)
{
        cel__list *node;

        while ((node = cel__list_pop(&client->idle)))
                cel__http_slot_free(slot_from_node(node));
        curl_multi_cleanup(client->multi);
        cel__http_sockets_fini(client);
        cel__list_remove(&client->pump.node); /* libcurl may have asked for its timer again */
        cel__timer_unset(&client->loop->timers, &client->timer);
        free(client->user_agent);
        free(client->ca_file);
        free(client);
}

static void destroy_later(cel__deferred *deferred)
{
        destroy(cel__container(deferred, cel_http_client, pump));
}

void cel__http_client_destroy(cel_http_client *client)
{
        cel_assert(cel__list_empty(&client->queued) && cel__list_empty(&client->abandoned) &&
                   cel__list_empty(&client->running));
        cel__timer_unset(&client->loop->timers, &client->timer);
        if (!client->loop->running) {
                destroy(client);
                return;
        }
        client->pump.run = destroy_later; /* closing TLS connections is not for a task's stack */
        cel__http_client_attend(client);
}
