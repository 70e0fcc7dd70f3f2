/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/settle.h"
#include "death.h"
#include "test.h"

#include <string.h>

static bridge_attempts with(bridge_proof proof)
{
        return (bridge_attempts){.proof = proof};
}

TEST(an_event_is_acknowledged_for_its_proof_and_counted_as_that)
{
        bridge_route route = {0};
        bridge_attempts answer = with(BRIDGE_PROOF_ANSWER), unmatched = with(BRIDGE_PROOF_UNMATCHED),
                        parked = with(BRIDGE_PROOF_PARKED), dead = with(BRIDGE_PROOF_DEAD_LETTER);

        CHECK_INT(bridge_settle(&route, &answer), CEL_HANDLED);
        CHECK_INT(bridge_settle(&route, &unmatched), CEL_HANDLED);
        CHECK_INT(route.delivered, 1);
        CHECK_INT(route.unmatched, 1);
        CHECK_INT(bridge_settle(&route, &parked), CEL_PASSED_ON); /* it comes back, and is not a copy then */
        CHECK_INT(bridge_settle(&route, &dead), CEL_PASSED_ON);
        CHECK_INT(route.parked, 1);
        CHECK_INT(route.dead, 1);
}

static void settle_without_proof(void *unused)
{
        bridge_route route = {0};
        bridge_attempts none = with(BRIDGE_PROOF_NONE);

        (void)unused;
        bridge_settle(&route, &none);
}

TEST(who_acknowledges_without_proof_ends_the_program)
{
        char text[512];

        death_of(settle_without_proof, NULL, text, sizeof(text));
        CHECK(strstr(text, "without proof") != NULL);
}

static void give_back_what_is_safe(void *unused)
{
        bridge_attempts parked = with(BRIDGE_PROOF_PARKED);

        (void)unused;
        bridge_give_back(&parked);
}

TEST(what_is_safe_elsewhere_is_not_given_back)
{
        bridge_attempts none = with(BRIDGE_PROOF_NONE);
        char text[512];

        CHECK_INT(bridge_give_back(&none), CEL_REQUEUE);
        death_of(give_back_what_is_safe, NULL, text, sizeof(text));
        CHECK(strstr(text, "BRIDGE_PROOF_NONE") != NULL);
}
