/* SPDX-License-Identifier: Apache-2.0
 *
 * What all clients of one transport share: the reply queue, and the calls that wait for a reply. */
#ifndef CEL_RPC_CALLERS_H
#define CEL_RPC_CALLERS_H

#include "base/list.h"
#include "base/uuid.h"
#include "driver/errands.h"
#include "rt/ctx.h"

#include <celadon/rpc.h>
#include <stdatomic.h>

typedef struct callers callers;

/* A call that waits, on its caller's stack. */
typedef struct pending_call {
        cel__list node; /* in the table of calls */
        char msg_id[CEL__UUID_BYTES];
        const char *const *allowed_modules; /* borrowed, for the remote error; NULL: none */

        /* Under the callers' mutex. */
        cel__wait *wait;           /* borrowed; NULL: it does not wait yet, or has left */
        cel__interrupt *sending;   /* borrowed; NULL: it is not being sent */
        bool done;                 /* the reply is here, or will not come */
        int status;                /* of it: 0, CEL_EREMOTE or another error */
        json_t *result;            /* owned; NULL: null, or a failure */
        cel__error_detail *detail; /* a reference; of CEL_EREMOTE */
        char why[256];             /* another error's sentence */
} pending_call;

typedef struct callers_counts {
        _Atomic uint64_t calls, casts, timeouts, replies_late, replies_invalid, sent_again;
} callers_counts;

/* Those of `transport`, made when first asked for. From any thread.
 * Owns:   *ret_callers is a reference of yours.
 * Errors: CEL_ENOMEM. */
int callers_of(cel_transport *transport, callers **ret_callers);
callers *callers_ref(callers *c);
callers *callers_unref(callers *c);

callers_counts *callers_get_counts(callers *c);
unsigned callers_waiting(callers *c);

/* How the URL wants queues and exchanges to be. */
const cel__driver_settings *callers_settings(const callers *c);

/* The name of the reply queue; it need not be there yet. */
const char *callers_reply_queue(const callers *c);

/* Wait until the reply queue is there and consumed from.
 * Errors: as driver->subscribe; CEL_ECLOSED. */
int callers_await_replies(cel_ctx *ctx, callers *c);

/* What declares and publishes. Borrowed. */
cel__errands *callers_errands(const callers *c);

/* Expect a reply: from now on it may come. `call` is initialised here; `allowed_modules` may be NULL.
 * Errors: CEL_EFULL, CEL_ECLOSED. */
int callers_expect(cel_ctx *ctx, callers *c, const char *const *allowed_modules, pending_call *call);

/* The request is being sent, until this is called with NULL: the reply ends that by raising `sending`. */
void callers_note_sending(callers *c, pending_call *call, cel__interrupt *sending);

/* Is the reply here, or known not to come? */
bool callers_is_done(callers *c, const pending_call *call);

/* Wait for the reply; with `monitor_ms`, no longer than that for a sign of life.
 * Errors: the reply's status, CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ECLOSED. */
int callers_await(cel_ctx *ctx, callers *c, pending_call *call, int64_t monitor_ms);

/* Expect it no longer. What the call owns is freed, unless it was taken. */
void callers_forget(callers *c, pending_call *call);

#endif
