/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. libcurl asks for a socket at the beginning of each transfer and lets go of it at the end,
 * which would cost several system calls for each request. So a connection that has brought a response keeps
 * its poller as long as it lives, and goes on being watched for reading between transfers; if something comes
 * in then (mostly the server's good-bye) watching stops until libcurl asks again. libcurl finds out about the
 * dead connection when it next wants to use it.
 *
 * Only for connections like these does libcurl 7.88 call back before it closes the socket. One that it gives
 * up while it connects (the slower address of a host that has two) and those of its resolver are closed first
 * and let go of after that, within the same call of libcurl's. In between, the transfer may have opened
 * another socket of the same number; libcurl then takes it for the old one and does not ask again for what it
 * asked for that, see replace_watch(). */
#include "base/assert.h"
#include "http/http.h"
#include "rt/poller.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct cel__http_watch {
        cel_http_client *client; /* borrowed */
        int fd;                  /* libcurl's */
        cel__poller *poller;     /* owned */
        int asked;               /* what libcurl asked for */
        int watched;             /* what the poller is watching for */
};

static cel__http_watch *find(const cel_http_client *client, int fd)
{
        return fd >= 0 && (size_t)fd < client->watches_n ? client->watches[fd] : NULL;
}

static void watch_for(cel__http_watch *watch, int events)
{
        if (events == watch->watched)
                return;
        watch->watched = events;
        cel__poller_want(watch->poller, events);
}

static void on_ready(void *arg, int events)
{
        cel__http_watch *watch = arg;
        int wanted = events & watch->asked;
        int curl_events = 0;

        if (!wanted) {
                watch_for(watch, watch->asked);
                return;
        }
        if (wanted & CEL__READABLE)
                curl_events |= CURL_CSELECT_IN;
        if (wanted & CEL__WRITABLE)
                curl_events |= CURL_CSELECT_OUT;
        cel__http_client_act(watch->client, watch->fd, curl_events); /* the watch may be gone after this */
}

static int make_room(cel_http_client *client, int fd)
{
        size_t n = client->watches_n ? client->watches_n : 64;

        while (n <= (size_t)fd)
                n *= 2;
        if (n == client->watches_n)
                return 0;
        cel__http_watch **watches = realloc(client->watches, n * sizeof(*watches));
        if (!watches)
                return CEL_ENOMEM;
        memset(watches + client->watches_n, 0, (n - client->watches_n) * sizeof(*watches));
        client->watches = watches;
        client->watches_n = n;
        return 0;
}

static int watch_new(cel_http_client *client, int fd, cel__http_watch **ret_watch)
{
        int r = make_room(client, fd);

        if (r < 0)
                return r;
        cel_assert(!client->watches[fd]);
        cel__http_watch *watch = calloc(1, sizeof(*watch));
        if (!watch)
                return CEL_ENOMEM;
        watch->client = client;
        watch->fd = fd;
        r = cel__poller_new(client->loop, fd, on_ready, watch, &watch->poller);
        if (r < 0) {
                free(watch);
                return r;
        }
        client->watches[fd] = watch;
        *ret_watch = watch;
        return 0;
}

static void watch_free(cel__http_watch *watch)
{
        if (!watch)
                return;
        watch->client->watches[watch->fd] = NULL;
        cel__poller_free(watch->poller);
        free(watch);
}

/* `fd` has just been opened: a watch that it has was another socket's. */
static int replace_watch(cel_http_client *client, int fd)
{
        cel__http_watch *watch = find(client, fd);
        int asked;

        if (!watch)
                return 0;
        asked = watch->asked;
        watch_free(watch);
        int r = watch_new(client, fd, &watch);
        if (r < 0)
                return r;
        watch->asked = asked;
        watch_for(watch, asked);
        return 0;
}

/* libcurl lets go of a socket. A connection that has brought a response is kept, and closed in time through
 * cel__http_on_close_socket(). Any other has failed, and its transfer may have no other to wait for. */
static void let_go(cel_http_client *client, cel__http_watch *watch, CURL *easy)
{
        cel__http_slot *slot = NULL;

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot); /* NULL: a handle of libcurl's own */
        if (slot && slot->transfer && slot->transfer->response) {
                if (watch) {
                        watch->asked = 0;
                        watch_for(watch, watch->watched & CEL__READABLE);
                }
                return;
        }
        watch_free(watch);
        if (slot && slot->transfer && cel__list_empty(&slot->nudge_node))
                cel__list_append(&client->to_nudge, &slot->nudge_node);
}

int cel__http_on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
        cel_http_client *client = arg;
        cel__http_watch *watch = find(client, fd);

        (void)socket_arg;
        if (what == CURL_POLL_REMOVE) {
                let_go(client, watch, easy);
                return 0;
        }
        if (!watch && watch_new(client, fd, &watch) < 0)
                return -1; /* fails all transfers, see cel__http_client_act() */

        watch->asked = 0;
        if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
                watch->asked |= CEL__READABLE;
        if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
                watch->asked |= CEL__WRITABLE;
        watch_for(watch, watch->asked | (watch->watched & CEL__READABLE));
        return 0;
}

curl_socket_t cel__http_on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
        int fd = socket(address->family, address->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->protocol);

        (void)purpose;
        ((cel_http_client *)arg)->socket_error = fd < 0 ? errno : 0;
        if (fd < 0)
                return CURL_SOCKET_BAD;
        if (replace_watch(arg, fd) < 0) {
                close(fd);
                errno = ENOMEM;
                return CURL_SOCKET_BAD;
        }
        return fd;
}

int cel__http_on_close_socket(void *arg, curl_socket_t fd)
{
        watch_free(find(arg, fd));
        return close(fd);
}

void cel__http_sockets_fini(cel_http_client *client)
{
        for (size_t i = 0; i < client->watches_n; i++)
                cel_assert(!client->watches[i]); /* libcurl has closed all */
        free(client->watches);
        client->watches = NULL;
        client->watches_n = 0;
}
