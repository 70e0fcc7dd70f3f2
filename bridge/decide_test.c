/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/decide.h"
#include "test.h"

#define NOW_MS   INT64_C(1780000000000)
#define LONGEST  UINT32_MAX
#define SHORTEST 0U

static const bridge_route_config config = {
        .attempts_max = 12,
        .age_ms_max = 1000000,
        .backoff_ms_base = 1000,
        .backoff_ms_cap = 60000,
        .retry_after_ms_max = 30000,
};

static bridge_attempts fresh(void)
{
        return (bridge_attempts){.first_ms = NOW_MS};
}

static bridge_outcome of_status(int status)
{
        static const bridge_verdict_config defaults;

        return (bridge_outcome){.status = status, .verdict = bridge_verdict_of_status(&defaults, status)};
}

static bridge_outcome after(int status, int64_t ms)
{
        bridge_outcome outcome = of_status(status);

        outcome.retry_after = (bridge_retry_after){.given = true, .ms = ms};
        return outcome;
}

static bridge_decision decide(bridge_attempts *attempts, bridge_outcome outcome, uint32_t random)
{
        return bridge_decide(&config, attempts, &outcome, NOW_MS, random);
}

/* Which step follows a status of each class, and what it costs. */
TEST(each_class_has_its_consequence)
{
        static const struct {
                int status;
                bridge_step step;
                bridge_reason reason;
                unsigned counted;
                bool waits;
        } cases[] = {
                {204, BRIDGE_STEP_DONE, 0, 0, false},
                {500, BRIDGE_STEP_AGAIN, 0, 1, true},
                {503, BRIDGE_STEP_AGAIN, 0, 0, true},
                {421, BRIDGE_STEP_AGAIN, 0, 0, false},
                {401, BRIDGE_STEP_AGAIN, 0, 0, false},
                {511, BRIDGE_STEP_AGAIN, 0, 0, false},
                {400, BRIDGE_STEP_GIVE_UP, BRIDGE_HTTP_STATUS, 0, false},
                {307, BRIDGE_STEP_GIVE_UP, BRIDGE_REDIRECT, 0, false},
                {410, BRIDGE_STEP_GIVE_UP, BRIDGE_GONE, 0, false},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                bridge_attempts attempts = fresh();
                bridge_decision d = decide(&attempts, of_status(cases[i].status), LONGEST);

                CHECK_INT(d.step, cases[i].step);
                if (d.step == BRIDGE_STEP_GIVE_UP)
                        CHECK_INT(d.reason, cases[i].reason);
                CHECK_INT(attempts.n, 1);
                CHECK_INT(attempts.counted, cases[i].counted);
                CHECK_INT(d.wait_ms > 0, cases[i].waits);
                CHECK_INT(d.route_wait_ms, 0);
        }
}

TEST(the_last_attempt_that_counts_gives_up)
{
        bridge_attempts attempts = fresh();

        for (unsigned i = 1; i < config.attempts_max; i++)
                CHECK_INT(decide(&attempts, of_status(500), LONGEST).step, BRIDGE_STEP_AGAIN);
        bridge_decision d = decide(&attempts, of_status(500), LONGEST);
        CHECK_INT(d.step, BRIDGE_STEP_GIVE_UP);
        CHECK_INT(d.reason, BRIDGE_MAX_ATTEMPTS);
        CHECK_INT(attempts.n, config.attempts_max);
}

TEST(a_404_is_believed_after_five_attempts)
{
        bridge_attempts attempts = fresh();

        for (unsigned i = 1; i < 5; i++)
                CHECK_INT(decide(&attempts, of_status(404), LONGEST).step, BRIDGE_STEP_AGAIN);
        bridge_decision d = decide(&attempts, of_status(404), LONGEST);
        CHECK_INT(d.step, BRIDGE_STEP_GIVE_UP);
        CHECK_INT(d.reason, BRIDGE_HTTP_STATUS);
}

TEST(a_doubted_answer_is_believed_after_five_attempts_however_few_the_route_has)
{
        bridge_attempts attempts = fresh();
        bridge_outcome outcome = of_status(403);

        outcome.verdict.class = BRIDGE_RETRY;
        outcome.verdict.doubted = true;
        attempts.counted = config.attempts_max - 1;
        for (unsigned i = 1; i < 5; i++)
                CHECK_INT(decide(&attempts, outcome, LONGEST).step, BRIDGE_STEP_AGAIN);
        CHECK_INT(attempts.counted, config.attempts_max - 1);
        bridge_decision d = decide(&attempts, outcome, LONGEST);
        CHECK_INT(d.step, BRIDGE_STEP_GIVE_UP);
        CHECK_INT(d.reason, BRIDGE_HTTP_STATUS);
}

TEST(waits_grow_with_the_requests_made_whether_they_count_or_not)
{
        static const int statuses[] = {500, 503, 429, 500};
        static const int64_t waits[] = {1000, 2000, 4000, 8000};
        bridge_attempts attempts = fresh();

        for (unsigned i = 0; i < 4; i++)
                CHECK_INT(decide(&attempts, of_status(statuses[i]), LONGEST).wait_ms, waits[i]);
        CHECK_INT(attempts.counted, 2);
}

TEST(throttling_costs_age_and_not_attempts)
{
        bridge_attempts attempts = fresh();
        bridge_outcome outcome = of_status(429);

        for (unsigned i = 0; i < 1000; i++)
                CHECK_INT(decide(&attempts, outcome, LONGEST).step, BRIDGE_STEP_AGAIN);
        CHECK_INT(attempts.counted, 0);
        bridge_decision d =
                bridge_decide(&config, &attempts, &outcome, NOW_MS + config.age_ms_max - 59999, LONGEST);
        CHECK_INT(d.step, BRIDGE_STEP_GIVE_UP);
        CHECK_INT(d.reason, BRIDGE_MAX_AGE);
}

TEST(no_attempt_begins_past_the_age)
{
        bridge_outcome outcome = of_status(500);

        for (int64_t late = 0; late < 2; late++) { /* the wait is 1,000 */
                bridge_attempts attempts = fresh();
                bridge_decision d = bridge_decide(&config, &attempts, &outcome,
                                                  NOW_MS + config.age_ms_max - 1000 + late, LONGEST);

                CHECK_INT(d.step, late ? BRIDGE_STEP_GIVE_UP : BRIDGE_STEP_AGAIN);
        }
}

TEST(a_fault_of_the_route_never_ages_an_event)
{
        static const int statuses[] = {401, 511};

        for (unsigned i = 0; i < 2; i++) {
                bridge_attempts attempts = fresh();
                bridge_outcome outcome = of_status(statuses[i]);

                CHECK_INT(
                        bridge_decide(&config, &attempts, &outcome, NOW_MS + 10 * config.age_ms_max, LONGEST)
                                .step,
                        BRIDGE_STEP_AGAIN);
        }
}

TEST(three_free_attempts_in_a_row_are_free_and_the_first_goes_at_once)
{
        bridge_attempts attempts = fresh();

        CHECK_INT(decide(&attempts, of_status(421), LONGEST).wait_ms, 0);
        CHECK_INT(decide(&attempts, of_status(421), LONGEST).wait_ms, 2000);
        CHECK_INT(decide(&attempts, of_status(421), LONGEST).wait_ms, 4000);
        CHECK_INT(attempts.counted, 0);
        decide(&attempts, of_status(421), LONGEST);
        CHECK_INT(attempts.counted, 1);
        decide(&attempts, of_status(421), LONGEST);
        CHECK_INT(attempts.counted, 2);
        decide(&attempts, of_status(503), LONGEST); /* something else: a new row begins */
        CHECK_INT(decide(&attempts, of_status(421), LONGEST).wait_ms, 0);
        CHECK_INT(attempts.counted, 2);
}

TEST(free_attempts_end_all_the_same)
{
        bridge_attempts attempts = fresh();
        unsigned n = 0;

        while (decide(&attempts, of_status(421), LONGEST).step == BRIDGE_STEP_AGAIN)
                n++;
        CHECK_INT(n, 3 + config.attempts_max - 1);
}

TEST(retry_after_makes_a_wait_longer_and_never_shorter)
{
        bridge_attempts attempts = fresh();

        CHECK_INT(decide(&attempts, after(500, 5000), SHORTEST).wait_ms, 5000);
        CHECK_INT(decide(&attempts, after(500, 5000), LONGEST).wait_ms, 5000 + 500);
        attempts.n = 4;
        CHECK_INT(decide(&attempts, after(500, 5000), LONGEST).wait_ms, 16000);
}

TEST(retry_after_is_followed_up_to_the_routes_own_limit)
{
        bridge_attempts attempts = fresh();

        CHECK_INT(decide(&attempts, after(503, 3600000), SHORTEST).wait_ms, config.retry_after_ms_max);
}

TEST(a_throttled_route_waits_as_a_whole_when_it_was_told_how_long)
{
        bridge_attempts attempts = fresh();

        CHECK_INT(decide(&attempts, after(429, 5000), LONGEST).route_wait_ms, 5000);
        CHECK_INT(decide(&attempts, after(503, 90000), LONGEST).route_wait_ms, 30000);
        CHECK_INT(decide(&attempts, after(500, 5000), LONGEST).route_wait_ms, 0);
        CHECK_INT(decide(&attempts, of_status(429), LONGEST).route_wait_ms, 0);
}

TEST(a_negative_retry_after_gives_up)
{
        bridge_attempts attempts = fresh();
        bridge_outcome outcome = of_status(503);

        outcome.retry_after.never = true;
        bridge_decision d = decide(&attempts, outcome, LONGEST);
        CHECK_INT(d.step, BRIDGE_STEP_GIVE_UP);
        CHECK_INT(d.reason, BRIDGE_HTTP_STATUS);
}

TEST(what_cannot_be_made_a_request_is_given_up_at_once)
{
        bridge_attempts attempts = fresh();
        bridge_outcome outcome = {.verdict.class = BRIDGE_REJECT};
        bridge_decision d = decide(&attempts, outcome, LONGEST);

        CHECK_INT(d.step, BRIDGE_STEP_GIVE_UP);
        CHECK_INT(d.reason, BRIDGE_UNPROCESSABLE);
}
