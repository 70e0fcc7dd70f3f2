/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/settle.h"

#include <assert.h>

int bridge_publish_copy(cel_ctx *ctx, const bridge_route *route, cel_message copy, bridge_proof proof,
                        bridge_attempts *attempts)
{
        assert(attempts->proof == BRIDGE_PROOF_NONE);
        copy.delivery_mode = 2;
        copy.expiration = NULL; /* it stays until somebody takes it */
        copy.user_id = NULL;    /* the broker refuses any but our own */
        int r = cel_publish(ctx, route->transport, &copy, CEL_PUBLISH_MANDATORY);
        if (r >= 0)
                attempts->proof = proof;
        return r;
}

int bridge_settle(bridge_route *route, const bridge_attempts *attempts)
{
        switch (attempts->proof) {
        case BRIDGE_PROOF_ANSWER:
                route->delivered++;
                return CEL_HANDLED;
        case BRIDGE_PROOF_UNMATCHED:
                route->unmatched++;
                return CEL_HANDLED;
        case BRIDGE_PROOF_PARKED:
                route->parked++;
                return CEL_PASSED_ON;
        case BRIDGE_PROOF_DEAD_LETTER:
                route->dead++;
                return CEL_PASSED_ON; /* somebody may publish it again */
        case BRIDGE_PROOF_NONE:
                break;
        }
        assert(!"an event is acknowledged without proof that it is safe");
        return CEL_REQUEUE;
}

int bridge_give_back(const bridge_attempts *attempts)
{
        assert(attempts->proof == BRIDGE_PROOF_NONE);
        (void)attempts;
        return CEL_REQUEUE;
}
