/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of a message that was delivered. */
#ifndef CEL_WIRE_SETTLEMENT_H
#define CEL_WIRE_SETTLEMENT_H

typedef enum cel__settlement {
        CEL__SETTLE_ACK,     /* done with it */
        CEL__SETTLE_REQUEUE, /* give it to somebody else */
        CEL__SETTLE_REJECT,  /* to where the queue sends what nobody can handle, or to nowhere */
} cel__settlement;

#endif
