/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of an AMQP connection, shared by the files of this folder:
 *
 *     lifetime.c     open, ready, close, free
 *     connection.c   state, bytes out, requests, loss
 *     reading.c      bytes in, frames to whom they concern
 *     handshake.c    from a TCP connection to an open AMQP connection
 *     supervisor.c   the task that keeps it up: connect, restore, back off, close
 *     channel.c      channels: open, request and reply, close
 *     chores.c       what is declared and consumed on a channel
 *     requests.c     the requests for that
 *     publish.c      publishing: confirms and returns
 *     consume.c      deliveries and their settlement
 *     heartbeat.c    heartbeats, from the guardian's thread
 *
 *     retry.h        when to connect again, and to which host
 *     place.h        where in a stream a consumer is
 *
 * Who may touch what: fields are the loop's alone unless they stand below `mutex`. */
#ifndef CEL_AMQP_CONNECTION_H
#define CEL_AMQP_CONNECTION_H

#include "amqp/amqp.h"
#include "amqp/place.h"
#include "amqp/retry.h"
#include "base/buf.h"
#include "net/stream.h"
#include "rt/ctx.h"
#include "rt/guardian.h"

#include <celadon/channel.h>
#include <celadon/task.h>

enum {
        CHANNELS_MAX = 2047,               /* what RabbitMQ allows by default */
        CONFIRMS_MAX = 4096,               /* publishes without an answer, for each channel; a power of two */
        FRAME_BYTES_MAX = 1024 * 1024,     /* the most that we agree to */
        READ_BYTES = 64 * 1024,            /* at once */
        OUT_BYTES_SOFT = 4 * 1024 * 1024,  /* above this, publishing waits */
        OUT_BYTES_MAX = 512 * 1024 * 1024, /* one message and everything that must not wait fit in between */
        ERROR_TEXT_BYTES = 512,
};

typedef enum conn_state {
        CONN_DOWN,       /* no connection; the supervisor waits before it tries again */
        CONN_CONNECTING, /* TCP */
        CONN_GREETING,   /* TLS and AMQP handshake */
        CONN_OPEN,       /* channels open, work flows */
        CONN_BLOCKED,    /* open, but the broker takes no publishes (connection.blocked) */
        CONN_CLOSING,    /* our goodbye is on its way */
        CONN_GONE,       /* for good */
        CONN_STATES,
} conn_state;

/* Somebody waits for a method. One at a time for each channel: the supervisor asks. */
typedef struct expectation {
        cel__wait *wait; /* borrowed; NULL: nobody waits */
        amqp_method_number_t id;
        void (*on_method)(void *arg,
                          const void *method); /* on the hub, before the waiter runs; NULL: not needed */
        void *arg;
        bool *met; /* on the waiter's stack */
} expectation;

typedef enum chore_kind { CHORE_DECLARE, CHORE_CONSUME } chore_kind;

/* Something that a channel must have done with the broker, once in each incarnation. The channel's list and
 * whoever waits for the outcome each hold a reference. */
typedef struct chore {
        cel__list node; /* in channel->chores */
        unsigned refs;  /* on the loop only */
        chore_kind kind;
        bool wanted; /* false: undo and forget */
        bool durable, auto_delete, fanout;
        unsigned expires_ms;
        char *queue;            /* owned; "": no queue, only the exchange */
        char *exchange;         /* owned; NULL: no binding */
        char *binding_key;      /* owned */
        cel_headers *arguments; /* owned; of the queue, or of the consumer */
        char tag[16];           /* CHORE_CONSUME: the consumer's */
        bool spared;            /* it was done once more instead of failing */
        unsigned done_in;       /* the channel's incarnation it was done in; 0: it is to be done */
        int64_t retry_ms;       /* the last wait before trying again; doubles */
        cel_time retry_at;      /* it failed; not before then */
        cel_future *outcome;    /* owned; of the first try, or of undoing */
        char error_text[ERROR_TEXT_BYTES];
} chore;

/* A publish whose confirmation is awaited. */
typedef struct confirm {
        uint64_t tag;               /* 0: free */
        cel__wait *wait;            /* borrowed; NULL: whoever waited has left */
        char *why;                  /* borrowed from whoever waits, ERROR_TEXT_BYTES */
        const cel_message *message; /* borrowed, valid while somebody waits */
        uint64_t digest;            /* of the message, once nobody waits */
        bool mandatory, returned;
} confirm;

struct cel__amqp_channel {
        cel__amqp *amqp; /* borrowed */
        uint16_t number;
        cel__amqp_channel_options options;
        expectation expected;
        cel_future
                *quiet;   /* owned; complete once no unwanted consumer is left; NULL: nobody waits for that */
        cel__list chores; /* in the order in which they were asked for */
        unsigned chores_n;
        bool settled; /* all that is wanted has been done: the supervisor passes it by */
        bool reads_stream;
        bool closing;                      /* nobody wants it any more */
        bool free;                         /* closed: its number can have another channel */
        amqp_method_number_t asked;        /* the last request */
        int close_code;                    /* why the broker closed it last: a CEL_E… code; 0: it did not */
        amqp_method_number_t close_method; /* what the broker closed it over; 0: it did not say */
        char close_text[ERROR_TEXT_BYTES];

        /* The message that is coming in. */
        enum { CONTENT_NONE, CONTENT_DELIVERY, CONTENT_RETURN } content_kind;
        cel__content *content; /* owned; NULL before its header, or if refused */
        uint64_t skip_bytes;   /* of body that still comes of a refused message */
        const char *refused;   /* static; why */
        uint64_t delivery_tag;
        bool redelivered;
        char in_exchange[256], in_routing_key[256];
        size_t in_exchange_bytes, in_routing_key_bytes;
        char in_queue[256]; /* "": the consumer is gone */

        /* Under amqp->mutex. */
        bool open;
        unsigned incarnation; /* counts openings: 1, 2, … */
        unsigned unsettled;   /* deliveries of this incarnation */
        cel__list acking;     /* in amqp->acking while there are acknowledgements to be sent as one */
        unsigned acks_n;      /* how many */
        uint64_t ack_tag;     /* the last of them; all deliveries before it are settled */
        uint64_t tag_next;    /* of the next publish */
        uint64_t tag_oldest;  /* of the oldest publish without an answer */
        confirm *confirms;    /* owned, CONFIRMS_MAX of them; NULL without confirms */
        place place;          /* of a consumer of a stream */
};

struct cel__amqp {
        cel_runtime *runtime;  /* borrowed */
        cel__loop *loop;       /* borrowed */
        _Atomic unsigned refs; /* see cel__amqp_ref() */
        cel__url *url;         /* owned */
        char name[128];
        cel__amqp_login login;
        cel_tls *tls; /* owned; NULL without TLS */
        unsigned heartbeat_s_wanted;
        size_t body_bytes_max;
        retry_plan retry;
        char peer[300]; /* "host port 5672": whom it is or was last connected to */

        cel_task *supervisor;   /* owned reference */
        cel_channel *attention; /* owned; holds at most one token: "supervisor, look again" */
        bool closing;           /* cel__amqp_close() was called */
        conn_state told_state;  /* to the log */
        int failure;            /* why it is down; 0 while it is up */
        char failure_text[ERROR_TEXT_BYTES];

        cel__poller *poller; /* owned; NULL while there is no stream */
        cel__buf in;         /* bytes that came and make no whole frame yet */
        amqp_pool_t pool;    /* what the method at hand points to */
        size_t frame_bytes_max;
        unsigned channel_max;                          /* what the broker allows, and we */
        expectation expected;                          /* on channel 0 */
        cel__amqp_channel *channels[CHANNELS_MAX + 1]; /* owned; [0] unused */
        unsigned channels_n;
        unsigned tags_used; /* consumer tags are "1", "2", … on each connection, as oslo.messaging has them */
        cel__deferred flush; /* write what was gathered in this turn */
        cel__deferred pump;  /* read on: more is buffered than one turn takes */
        cel__mail rouse;     /* from another thread: flush on the loop, or look whether the peer is silent */
        _Atomic bool rouse_sent;

        pthread_mutex_t mutex; /* of all below, and of what stands so in channels */
        conn_state state;
        cel__stream *stream;  /* owned; NULL while down */
        cel__buf out;         /* whole frames that were not written yet */
        cel__list acking;     /* of channels with acknowledgements that come behind `out` */
        int write_needs;      /* what writing waits for: 0 or CEL__READABLE or CEL__WRITABLE */
        int read_needs;       /* what reading waits for beside CEL__READABLE: 0 or CEL__WRITABLE */
        cel__list publishers; /* of cel__waiter: who wait until they may publish, or until it is open */
        cel_time written_at, read_at;
        unsigned heartbeat_s;     /* agreed; 0: none */
        bool silent;              /* the guardian found that the peer has not been heard for too long */
        bool blocked;             /* the broker has said so in this connection, maybe before it was open */
        bool was_open;            /* at least once: what it logs in with is right */
        cel_time up_again_at;     /* when it was last connected again; 0: only once, or not yet */
        unsigned attempts_failed; /* to connect, in all */
        bool unsettled;           /* an acknowledgement could not be queued: only a new connection helps */
        bool wedge_told;          /* the guardian has said that it stopped heartbeating */
        cel__ward ward;
        bool warded;
};

/* --- connection.c ----------------------------------------------------------------------------- */

/* Go to another state; the one door. With the mutex held; conn_tell_state() after that. */
void conn_enter_locked(cel__amqp *amqp, conn_state next);

/* Take on a new stream and watch it.
 * Errors: CEL_ENOMEM, CEL_ESYSTEM. */
int conn_attach(cel__amqp *amqp, cel__stream *stream);

/* The connection is lost, for this reason, unless it is down already: everything under way fails, the
 * supervisor is told. On the loop. */
void conn_lost(cel__amqp *amqp, int code, const char *format, ...) CEL_PRINTF(3, 4);

/* Remember why it is down. With the mutex held. */
void conn_note_failure_locked(cel__amqp *amqp, int code, const char *text);

/* CEL_ETIMEDOUT, with why there was no connection as the ctx's text, if there was none. */
int conn_timed_out(cel_ctx *ctx, cel__amqp *amqp);

/* Have what is in `out` written before the loop next waits, from whichever thread. With the mutex held. Connections are
 * flushed in the order in which this was asked for: what was acknowledged before it was handled is acknowledged on the wire
 * before its reply is sent, so that whoever has the reply will not see it handled again. */
void conn_flush_later_locked(cel__amqp *amqp);

/* Write as much as the socket takes. With the mutex held. Returns 0, or an error: then the connection is
 * lost, which is for the loop to find out when it reads. */
int conn_flush_locked(cel__amqp *amqp);

/* Append one method. With the mutex held.
 * Errors: as cel__frame_put_method(), CEL_ECLOSED. */
int conn_send_locked(cel__amqp *amqp, uint16_t channel, amqp_method_number_t id, const void *method);

/* Send a method, unless `id` is 0, and wait for another. On the supervisor's ctx.
 * Errors: CEL_ECLOSED (the channel or connection went away instead: its own text says why), CEL_ETIMEDOUT,
 *         CEL_ECANCELED. */
int conn_request(cel_ctx *ctx, cel__amqp *amqp, expectation *expected, uint16_t channel,
                 amqp_method_number_t id, const void *method, amqp_method_number_t wanted);

/* Wake everybody in the list `publishers`, so that they look again. With the mutex held. */
void conn_wake_publishers_locked(cel__amqp *amqp);

/* "Supervisor, look again." From the loop. */
void conn_attention(cel__amqp *amqp);

bool conn_is_open(conn_state state);

/* Watch the stream for what reading and writing need. With the mutex held. */
void conn_want_locked(cel__amqp *amqp);

/* Log the state, if it is news. On the loop, without the mutex: whoever writes the log may publish. */
void conn_tell_state(cel__amqp *amqp);

/* Map what the broker says about a channel (a reply code, AMQP section 1.3 "Constants") to ours. */
int conn_error_of_reply(unsigned reply_code);

/* What bytes in and out need, for lifetime.c. */
void conn_init_io(cel__amqp *amqp);
void conn_fini_io(cel__amqp *amqp);

/* --- reading.c -------------------------------------------------------------------------------- */

/* Read what has come. On the hub. */
void conn_read(cel__amqp *amqp);
void conn_on_pump(cel__deferred *deferred);

/* --- handshake.c ------------------------------------------------------------------------------ */
int conn_handshake(cel_ctx *ctx, cel__amqp *amqp, const cel__url_host *host);

/* --- supervisor.c ----------------------------------------------------------------------------- */
int conn_supervise(cel_ctx *ctx, void *arg);

/* --- channel.c -------------------------------------------------------------------------------- */

/* Bring every channel to what is wanted of it. Returns 0, or the error that the connection died of; channel
 * errors are kept with the chores they hit. `*ret_retry` is set when some chore failed that will be tried
 * again later. */
int channels_reconcile(cel_ctx *ctx, cel__amqp *amqp, bool *ret_retry);

/* Something else is wanted of it, or it has changed: "supervisor, look at it again". From the loop. */
void channel_attention(cel__amqp_channel *channel);

/* One request on a channel, of the supervisor. CEL_ECLOSED and the connection still up: the broker closed the channel, and
 * said why; maybe after it had answered, but before this task ran again. */
int channel_request(cel_ctx *ctx, cel__amqp_channel *channel, amqp_method_number_t id, const void *method,
                    amqp_method_number_t wanted);

/* The channel is open no more, as `text` says. With the mutex held. */
void channel_down_locked(cel__amqp_channel *channel, const char *text);

/* A stream is read from where its consumer's arguments say. */
void channel_forget_place(cel__amqp_channel *channel);

/* The connection is down. If nobody wants the channel any more, it is free. */
void channel_retire_closing(cel__amqp_channel *channel);

void channel_free(cel__amqp_channel *channel);

/* A method came for it. Returns 0, or CEL_EPROTO with the connection to be dropped. */
int channel_on_method(cel__amqp_channel *channel, amqp_method_number_t id, void *method);

/* --- chores.c --------------------------------------------------------------------------------- */

enum { CHANNEL_IS_SETTLED = 1, CHANNEL_IS_WAITING };

/* Do the next chore of an open channel. CHANNEL_IS_SETTLED: there is none. CHANNEL_IS_WAITING: none now, but later.
 * Errors: CEL_ECLOSED: the channel or the connection is closed; the chore knows if that was its fault. */
int channel_do_chore(cel_ctx *ctx, cel__amqp_channel *channel, bool *ret_retry);

/* Nothing can be done on this channel now. */
void channel_fail_chores(cel_ctx *ctx, cel__amqp_channel *channel, int code, const char *text);

/* The broker ended the consumer with this tag: it is to be done again. Returns its queue; NULL: there is none. */
const char *channel_consumer_ended(cel__amqp_channel *channel, amqp_bytes_t tag);

/* The channel is down, and its consumers with it: those that were not wanted any more are done with. */
void channel_end_unwanted(cel__amqp_channel *channel);

/* Every chore ends with CEL_ECLOSED. */
void channel_abandon_chores(cel__amqp_channel *channel);

/* --- requests.c ------------------------------------------------------------------------------- */
int requests_declare(cel_ctx *ctx, cel__amqp_channel *channel, const chore *c);
int requests_consume(cel_ctx *ctx, cel__amqp_channel *channel, chore *c);
int requests_stop_consuming(cel_ctx *ctx, cel__amqp_channel *channel, const chore *c);

/* --- publish.c -------------------------------------------------------------------------------- */
void publish_on_ack_locked(cel__amqp_channel *channel, uint64_t tag, bool multiple, int outcome);
void publish_on_return(cel__amqp_channel *channel, const cel_message *returned);
/* The broker closed the channel, or it went down, as `text` says: no publish on it will be answered. `code` is for the one
 * that the broker refused; CEL_EUNKNOWN: none was. With the mutex held. */
void publish_fail_all_locked(cel__amqp_channel *channel, int code, const char *text);

/* --- consume.c -------------------------------------------------------------------------------- */

/* Append the acknowledgements that have been gathered. With the mutex held.
 * Errors: CEL_ENOMEM: they are still there. */
int consume_put_acks_locked(cel__amqp_channel *channel);
/* There is nothing to acknowledge any more. With the mutex held. */
void consume_forget_acks_locked(cel__amqp_channel *channel);
int consume_on_content_frame(cel__amqp_channel *channel, const cel__frame *frame);
void consume_on_deliver(cel__amqp_channel *channel, const amqp_basic_deliver_t *deliver);
void consume_on_return(cel__amqp_channel *channel, const amqp_basic_return_t *returned);
/* What was coming in will not go on. */
void consume_forget(cel__amqp_channel *channel);

/* --- heartbeat.c ------------------------------------------------------------------------------ */
int heartbeat_start(cel__amqp *amqp);
void heartbeat_stop(cel__amqp *amqp);
/* On the loop, after the guardian found the peer silent. */
void heartbeat_check(cel__amqp *amqp);

#endif
