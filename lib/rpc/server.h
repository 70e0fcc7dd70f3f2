/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of an RPC server, shared by the files of this folder:
 *
 *     server.c     its life: start and stop
 *     intake.c     from a delivery to a request
 *     turns.c      who begins when
 *     handle.c     one request in its task
 *     dispatch.c   which method is meant
 *     request.c    a request: its life, and what its handler sees of it
 *     answer.c     replies, and signs of life of long calls
 *
 * All of it belongs to the transport's loop. */
#ifndef CEL_RPC_SERVER_H
#define CEL_RPC_SERVER_H

#include "base/list.h"
#include "base/seen.h"
#include "base/uuid.h"
#include "driver/driver.h"
#include "rt/ctx.h"
#include "rt/loop.h"
#include "wire/request.h"

#include <celadon/rpc_server.h>
#include <celadon/sync.h>
#include <celadon/task.h>

enum {
        RPC_BODY_BYTES_MAX = 128 << 20,
        RPC_CLASS_BYTES = 128,
};

/* Requests for one method. Those that wait for their turn do so here, so that a method which is slow, or may run
 * only so often at once, does not hold up the others. */
typedef struct lane {
        const cel_endpoint *endpoint; /* borrowed */
        const cel_method *method;     /* borrowed */
        unsigned running;
        cel__list waiting; /* of cel_request.lane_node, in the order in which they came */
        cel__list turn;    /* in server->turns while it could begin its next one */
} lane;

/* In this order. From SERVER_STOPPED, it can be started again. */
typedef enum server_state {
        SERVER_NEW,
        SERVER_STARTING,
        SERVER_SERVING,
        SERVER_STOPPING,
        SERVER_STOPPED,
} server_state;

struct cel_rpc_server {
        cel_transport *transport;  /* borrowed, and held */
        const cel__driver *driver; /* borrowed */
        void *bus;                 /* borrowed */
        const cel__driver_settings *settings;
        cel__loop *loop;  /* borrowed */
        cel_clock *clock; /* borrowed */
        char exchange[256], topic[256], server[256];
        cel_rpc_access_policy access_policy;
        void *access_policy_arg; /* borrowed */
        cel_serializer serializer;
        unsigned concurrency;
        size_t bytes_max, bytes; /* of the bodies of requests that are kept */

        server_state state;
        unsigned epoch;           /* how often it was started */
        cel_event *moved;         /* owned; set for a moment when the state changes */
        cel__interrupt *starting; /* borrowed; of whoever starts it, or NULL */
        void *subscription;       /* the driver's; NULL before the first start and after the end */
        char fanout_queue[512];   /* made at each start */

        cel_scope *scope; /* owned; of the handlers */
        bool scope_canceled;
        unsigned monitors; /* tasks that show signs of life */
        cel_future *freed; /* owned; complete once its owner has freed it */
        bool keeper_ended;
        cel_event *idle;    /* owned; set while nothing runs and no reply is on its way */
        cel__seen *seen;    /* owned; unique ids of requests */
        cel__seen *missing; /* owned; reply queues that are gone */
        cel__list waiting;  /* of cel_request.waiting_node: all that wait, in the order in which they came */
        cel__list turns;    /* of lane.turn */
        cel__list starved;  /* of cel_request.lane_node: wait for room for their bytes, at the bus */
        cel__list late;     /* of cel_request.lane_node: begun, and to be acknowledged late */
        cel__timer impatience; /* set while something waits: no later than the first one's time is over */
        cel_rpc_server_stats stats;

        cel_endpoint own_endpoint;  /* of cel_rpc_server_open() */
        const cel_endpoint **asked; /* owned; endpoints in the order to ask them, with that for pings */
        unsigned asked_n;
        lane refusals; /* requests that no method is there for */
        unsigned lanes_n;
        lane lanes[]; /* of every method of every endpoint, in that order */
};

struct cel_request {
        cel__list lane_node, waiting_node;
        cel_rpc_server *server; /* borrowed */
        lane *lane;             /* borrowed */
        unsigned refs;
        cel__delivery delivery;
        size_t bytes; /* what it counts for in server->bytes, or would */
        bool counted;
        bool settled;
        bool lost;      /* it was not acknowledged in time: the bus gives it to somebody else */
        cel__buf plain; /* the decompressed body, if it came compressed */
        cel__envelope envelope;
        bool opened;          /* there is an envelope */
        cel__request wire;    /* borrowed, from the envelope */
        json_t *context;      /* owned */
        json_t *args;         /* owned; as the handler sees them; NULL: none came */
        cel_time deadline;    /* of its caller, at the latest */
        cel_time waits_until; /* then it is given back */
        cel_future *done;     /* owned; of a call that is monitored: the handler has returned */

        /* The outcome. */
        json_t *result; /* owned; NULL: null */
        bool failed;
        bool gives_up;                      /* it was cancelled, and somebody else is to handle the request */
        cel__buf failure;                   /* JSON text, if it has failed */
        char failed_class[RPC_CLASS_BYTES]; /* for the log */
        char why[256];                      /* likewise */
};

/* --- server.c --------------------------------------------------------------------------------- */

/* Something has ended: tell those who wait for the last one. */
void server_tell_idle(cel_rpc_server *server);

/* --- intake.c --------------------------------------------------------------------------------- */

/* For the driver. `arg` is the server. */
void intake_on_delivery(void *arg, const cel__delivery *delivery);

/* --- turns.c ---------------------------------------------------------------------------------- */

/* Let the request, which has a lane, wait for its turn there. Takes it. */
void turns_admit(cel_request *request);

/* The handler has returned: its place goes to another request. */
void turns_leave_place(cel_request *request);

/* Count the request's bytes as kept. False: there is no room for them, and it is taken: it waits without them. */
bool turns_make_room(cel_request *request);

/* Its bytes are not kept any more. */
void turns_free_room(cel_request *request);

/* After a reconnect, everything that waits is out of date; without this it would add up. */
void turns_drop_stale(cel_rpc_server *server);

/* Give back everything that waits. */
void turns_give_back_all(cel_rpc_server *server);

/* Of server->impatience. */
void turns_on_impatience(cel__timer *timer);

/* --- handle.c --------------------------------------------------------------------------------- */

/* A task's function. `arg` is the request, which has a place and is taken. */
int handle_request(cel_ctx *ctx, void *arg);

/* --- dispatch.c ------------------------------------------------------------------------------- */

/* Prepare the lanes and the order of asking. `endpoints` must outlive the server. */
void dispatch_init(cel_rpc_server *server, const cel_endpoint *endpoints, unsigned endpoints_n, bool ping);
unsigned dispatch_count_lanes(const cel_endpoint *endpoints, unsigned endpoints_n);

/* The lane of the method that is meant; that of the refusals if there is none. */
lane *dispatch_find(cel_rpc_server *server, const cel__request *request);

/* --- request.c -------------------------------------------------------------------------------- */

cel_request *request_ref(cel_request *request);
void request_unref(cel_request *request);

/* Settle the request's message, once. Returns whether that was in time. */
bool request_settle(cel_request *request, cel__settlement how);

/* Settle it and be done with it. Takes it. */
void request_drop(cel_request *request, cel__settlement how);

/* Has its caller given up? */
bool request_has_expired(const cel_request *request);

/* Forget the outcome. */
void request_clear_outcome(cel_request *request);

/* --- answer.c --------------------------------------------------------------------------------- */

/* Send the outcome to the caller. Waits: until the bus has confirmed it, or it is of no use any more; the loss is
 * counted and logged. Returns whether the caller's queue has it. */
bool answer_send(cel_ctx *ctx, cel_request *request);

/* Show the caller signs of life, until the handler has returned or one cannot be sent. */
void answer_monitor(cel_ctx *ctx, const cel_request *request);

#endif
