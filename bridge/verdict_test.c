/* SPDX-License-Identifier: Apache-2.0
 *
 * The table is read here a second time, as the documentation shows it. */
#include "bridge/verdict.h"
#include "test.h"

#include <celadon/error.h>
#include <string.h>

typedef struct row {
        const char *profile; /* NULL: the defaults */
        int first, last;
        bridge_class class;
        unsigned attempts_max;
        bool storm;
        const char *why;
} row;

static const row defaults[] = {
#define BRIDGE_STATUS(first, last, class, attempts, storm, why) \
        {NULL, first, last, BRIDGE_##class, attempts, storm, why},
#include "bridge/verdicts.def"
};

static const row in_profiles[] = {
#define BRIDGE_PROFILE(profile, first, last, class, why) \
        {profile, first, last, BRIDGE_##class, 0, false, why},
#include "bridge/verdicts.def"
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const bridge_verdict_config none;

/* The first row for this status; NULL: there is none. */
static const row *find(const row *rows, size_t n, const char *profile, int status)
{
        for (size_t i = 0; i < n; i++)
                if (status >= rows[i].first && status <= rows[i].last &&
                    (!profile || strcmp(profile, rows[i].profile) == 0))
                        return &rows[i];
        return NULL;
}

static bridge_class class_of(const bridge_verdict_config *config, int status)
{
        return bridge_verdict_of_status(config, status).class;
}

TEST(each_status_has_the_verdict_of_its_first_row)
{
        for (int status = 0; status <= 999; status++) {
                const row *r = find(defaults, N(defaults), NULL, status);
                bridge_verdict verdict = bridge_verdict_of_status(&none, status);

                CHECK(r != NULL);
                CHECK_INT(verdict.class, r->class);
                CHECK_INT(verdict.attempts_max, r->attempts_max);
                CHECK_INT(verdict.storm, r->storm);
                CHECK_STR(verdict.why, r->why);
                CHECK(!verdict.no_connection);
        }
}

TEST(each_row_is_the_first_one_for_some_status)
{
        for (size_t i = 0; i < N(defaults); i++) {
                bool is_first = false;

                for (int status = defaults[i].first; status <= defaults[i].last; status++)
                        is_first |= find(defaults, N(defaults), NULL, status) == &defaults[i];
                CHECK(is_first);
                CHECK(*defaults[i].why);
        }
}

TEST(success_is_a_2xx_and_nothing_else)
{
        for (int status = 0; status <= 999; status++)
                CHECK_INT(class_of(&none, status) == BRIDGE_OK, status >= 200 && status <= 299);
}

TEST(what_is_no_status_is_tried_again)
{
        CHECK_INT(class_of(&none, -1), BRIDGE_RETRY);
        CHECK_INT(class_of(&none, 1000), BRIDGE_RETRY);
}

TEST(a_profile_goes_before_the_defaults)
{
        for (size_t i = 1; bridge_profiles[i]; i++) {
                bridge_verdict_config config = {.profile = (char *)bridge_profiles[i]};
                bool differs = false;

                for (int status = 0; status <= 999; status++) {
                        const row *r = find(in_profiles, N(in_profiles), config.profile, status);
                        bridge_verdict verdict = bridge_verdict_of_status(&config, status);

                        CHECK_INT(verdict.class, r ? r->class : class_of(&none, status));
                        if (r)
                                CHECK_STR(verdict.why, r->why);
                        differs |= verdict.class != class_of(&none, status);
                }
                CHECK(differs);
        }
}

TEST(every_profile_of_the_table_can_be_chosen)
{
        for (size_t i = 0; i < N(in_profiles); i++) {
                size_t n = 0;

                while (bridge_profiles[n] && strcmp(bridge_profiles[n], in_profiles[i].profile) != 0)
                        n++;
                CHECK(bridge_profiles[n] != NULL);
        }
}

TEST(the_profile_default_is_the_defaults)
{
        bridge_verdict_config config = {.profile = (char *)"default"};

        for (int status = 0; status <= 999; status++)
                CHECK_INT(class_of(&config, status), class_of(&none, status));
}

TEST(a_rule_goes_before_all_else_and_one_status_before_a_hundred)
{
        bridge_status_rule rules[] = {{500, 599, BRIDGE_REJECT},
                                      {503, 503, BRIDGE_OK},
                                      {404, 404, BRIDGE_REJECT},
                                      {400, 499, BRIDGE_ROUTE}};
        bridge_verdict_config config = {.profile = (char *)"knative", .rules = rules, .rules_n = N(rules)};

        CHECK_INT(class_of(&config, 500), BRIDGE_REJECT);
        CHECK_INT(class_of(&config, 503), BRIDGE_OK);
        CHECK_INT(class_of(&config, 404), BRIDGE_REJECT);
        CHECK_INT(class_of(&config, 403), BRIDGE_ROUTE);
        CHECK_INT(class_of(&config, 200), BRIDGE_OK);
        CHECK_INT(class_of(&config, 302), BRIDGE_REJECT);
        CHECK_INT(bridge_verdict_of_status(&config, 404).attempts_max, 0);
        CHECK(!bridge_verdict_of_status(&config, 403).storm);
}

typedef struct transport_case {
        int code;
        cel_http_failure failure;
        const char *why;
        bridge_class class;
} transport_case;

TEST(each_way_to_fail_without_an_answer_has_its_verdict)
{
        static const transport_case cases[] = {
                {CEL_EUNKNOWN, {.maybe_sent = true, .stale = true}, "stale", BRIDGE_FREE},
                {CEL_ECONNECT, {0}, "connect", BRIDGE_RETRY},
                {CEL_ERESOLVE, {0}, "resolve", BRIDGE_RETRY},
                {CEL_ETLS, {0}, "tls", BRIDGE_ROUTE},
                {CEL_ETIMEDOUT, {0}, "unsent", BRIDGE_RETRY},
                {CEL_EUNKNOWN, {.maybe_sent = true}, "broken", BRIDGE_RETRY},
                {CEL_ETIMEDOUT, {.maybe_sent = true}, "timeout", BRIDGE_RETRY},
                {CEL_EPROTO, {.maybe_sent = true}, "protocol", BRIDGE_RETRY},
                {CEL_ENOMEM, {0}, "local", BRIDGE_FREE},
                {CEL_EFULL, {0}, "local", BRIDGE_FREE},
                {CEL_EINVAL, {0}, "unsendable", BRIDGE_REJECT},
        };
        static const char *const words[] = {
#define BRIDGE_TRANSPORT(name, word, class, attempts, why) word,
#include "bridge/verdicts.def"
        };

        for (size_t i = 0; i < N(cases); i++) {
                bridge_verdict verdict = bridge_verdict_of_failure(&none, cases[i].code, &cases[i].failure);

                CHECK_STR(verdict.why, cases[i].why);
                CHECK_INT(verdict.class, cases[i].class);
                CHECK_INT(verdict.no_connection,
                          cases[i].code == CEL_ECONNECT || cases[i].code == CEL_ERESOLVE);
        }
        for (size_t i = 0; i < N(words); i++) { /* none of the table's rows is without a case */
                size_t n = 0;

                while (n < N(cases) && strcmp(cases[n].why, words[i]) != 0)
                        n++;
                CHECK(n < N(cases));
        }
}

TEST(a_status_counts_even_if_the_body_broke_off_behind_it)
{
        static const int statuses[] = {200, 204, 403, 500, 503};

        for (size_t i = 0; i < N(statuses); i++) {
                cel_http_failure failure = {.maybe_sent = true, .status = statuses[i]};

                CHECK_INT(bridge_verdict_of_failure(&none, CEL_EUNKNOWN, &failure).class,
                          class_of(&none, statuses[i]));
        }
}
