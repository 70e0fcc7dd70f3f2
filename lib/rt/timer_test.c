/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "rt/timer.h"
#include "test.h"

#include <stdlib.h>

enum { FIRED_MAX = 64 };

typedef struct watch {
        cel__timers timers;
        int fired[FIRED_MAX];
        size_t fired_n;
} watch;

typedef struct numbered {
        cel__timer timer;
        watch *watch;
        int number;
        struct numbered *sets; /* when it fires, it sets this one … */
        cel_time sets_to;
        struct numbered *unsets; /* … and unsets that one */
} numbered;

static void on_due(cel__timer *timer)
{
        numbered *n = cel__container(timer, numbered, timer);

        CHECK(n->watch->fired_n < FIRED_MAX);
        n->watch->fired[n->watch->fired_n++] = n->number;
        if (n->sets)
                CHECK_INT(cel__timer_set(&n->watch->timers, &n->sets->timer, n->sets_to), 0);
        if (n->unsets)
                cel__timer_unset(&n->watch->timers, &n->unsets->timer);
}

static cel_time at(int64_t ns)
{
        return (cel_time){ns};
}

static void numbered_init(numbered *n, watch *w, int number)
{
        *n = (numbered){.watch = w, .number = number};
        cel__timer_init(&n->timer, on_due);
}

static void set(numbered *n, watch *w, int number, int64_t ns)
{
        numbered_init(n, w, number);
        CHECK_INT(cel__timer_set(&w->timers, &n->timer, at(ns)), 0);
}

#define CHECK_FIRED(w, ...)                                                      \
        do {                                                                     \
                static const int expected[] = {__VA_ARGS__};                     \
                CHECK_INT((w)->fired_n, sizeof(expected) / sizeof(expected[0])); \
                CHECK_BYTES((w)->fired, expected, sizeof(expected));             \
        } while (0)

TEST(timers_fire_in_the_order_of_their_time_and_not_before_it)
{
        watch w = {0};
        numbered n[4];

        cel__timers_init(&w.timers);
        CHECK_INT(cel__timers_next(&w.timers).ns, CEL_TIME_NEVER.ns);
        set(&n[0], &w, 0, 40);
        set(&n[1], &w, 1, 10);
        set(&n[2], &w, 2, 30);
        set(&n[3], &w, 3, 20);
        CHECK_INT(cel__timers_next(&w.timers).ns, 10);
        CHECK_INT(cel__timers_fire(&w.timers, at(9)), 0);
        CHECK_INT(cel__timers_fire(&w.timers, at(30)), 3);
        CHECK_FIRED(&w, 1, 3, 2);
        CHECK(!cel__timer_is_set(&n[1].timer) && cel__timer_is_set(&n[0].timer));
        CHECK_INT(cel__timers_fire(&w.timers, at(40)), 1);
        CHECK_FIRED(&w, 1, 3, 2, 0);
        cel__timers_fini(&w.timers);
}

TEST(timers_of_one_instant_fire_in_the_order_they_were_set)
{
        watch w = {0};
        numbered n[FIRED_MAX];

        cel__timers_init(&w.timers);
        for (int i = 0; i < FIRED_MAX; i++)
                set(&n[i], &w, i, 7);
        CHECK_INT(cel__timers_fire(&w.timers, at(7)), FIRED_MAX);
        for (int i = 0; i < FIRED_MAX; i++)
                CHECK_INT(w.fired[i], i);
        cel__timers_fini(&w.timers);
}

TEST(a_timer_unset_in_the_middle_never_fires_and_leaves_the_others_in_order)
{
        watch w = {0};
        numbered n[8];

        cel__timers_init(&w.timers);
        for (int i = 0; i < 8; i++)
                set(&n[i], &w, i, 10 + i);
        cel__timer_unset(&w.timers, &n[0].timer);
        cel__timer_unset(&w.timers, &n[3].timer);
        cel__timer_unset(&w.timers, &n[3].timer);
        cel__timer_unset(&w.timers, &n[7].timer);
        CHECK_INT(cel__timers_next(&w.timers).ns, 11);
        cel__timers_fire(&w.timers, at(100));
        CHECK_FIRED(&w, 1, 2, 4, 5, 6);
        cel__timers_fini(&w.timers);
}

TEST(setting_a_timer_again_moves_it)
{
        watch w = {0};
        numbered n[2];

        cel__timers_init(&w.timers);
        set(&n[0], &w, 0, 10);
        set(&n[1], &w, 1, 20);
        CHECK_INT(cel__timer_set(&w.timers, &n[0].timer, at(30)), 0);
        CHECK_INT(cel__timers_fire(&w.timers, at(30)), 2);
        CHECK_FIRED(&w, 1, 0);
        cel__timers_fini(&w.timers);
}

TEST(a_timer_set_by_a_timer_waits_for_the_next_firing)
{
        watch w = {0};
        numbered again;

        cel__timers_init(&w.timers);
        set(&again, &w, 0, 10);
        again.sets = &again;
        again.sets_to = at(10);
        CHECK_INT(cel__timers_fire(&w.timers, at(10)), 1);
        CHECK_INT(cel__timers_fire(&w.timers, at(10)), 1);
        CHECK_FIRED(&w, 0, 0);
        cel__timers_fini(&w.timers);
}

TEST(a_timer_that_sets_itself_to_the_past_does_not_starve_the_others)
{
        watch w = {0};
        numbered greedy, patient;

        cel__timers_init(&w.timers);
        set(&greedy, &w, 0, 5);
        set(&patient, &w, 1, 10);
        greedy.sets = &greedy;
        greedy.sets_to = at(1);
        CHECK_INT(cel__timers_fire(&w.timers, at(10)), 2);
        CHECK_FIRED(&w, 0, 1);
        cel__timers_fini(&w.timers);
}

TEST(a_timer_may_unset_another_that_is_due_at_the_same_instant)
{
        watch w = {0};
        numbered n[2];

        cel__timers_init(&w.timers);
        set(&n[0], &w, 0, 10);
        set(&n[1], &w, 1, 10);
        n[0].unsets = &n[1];
        CHECK_INT(cel__timers_fire(&w.timers, at(10)), 1);
        CHECK_FIRED(&w, 0);
        cel__timers_fini(&w.timers);
}

/* --- Against a model -------------------------------------------------------------------------- */

enum { MODEL_TIMERS = 300, MODEL_STEPS = 20000, MODEL_TIMES = 50 };

typedef struct modelled {
        cel__timer timer;
        bool set;
        int64_t when_ns;
        uint64_t sequence;
        struct model *model;
} modelled;

typedef struct model {
        cel__timers timers;
        modelled all[MODEL_TIMERS];
        uint64_t sequence;
        int64_t now_ns;
} model;

static modelled *model_first(model *m)
{
        modelled *first = NULL;

        for (int i = 0; i < MODEL_TIMERS; i++) {
                modelled *t = &m->all[i];

                if (t->set && (!first || t->when_ns < first->when_ns ||
                               (t->when_ns == first->when_ns && t->sequence < first->sequence)))
                        first = t;
        }
        return first;
}

static void on_modelled_due(cel__timer *timer)
{
        modelled *t = cel__container(timer, modelled, timer);

        CHECK(t == model_first(t->model));
        CHECK(t->when_ns <= t->model->now_ns);
        t->set = false;
}

TEST(random_timers_fire_as_a_list_searched_from_end_to_end_says)
{
        fixture_random random = fixture_random_new();
        model *m = calloc(1, sizeof(*m));

        CHECK(m != NULL);
        cel__timers_init(&m->timers);
        for (int i = 0; i < MODEL_TIMERS; i++) {
                m->all[i].model = m;
                cel__timer_init(&m->all[i].timer, on_modelled_due);
        }
        for (int step = 0; step < MODEL_STEPS; step++) {
                modelled *t = &m->all[fixture_random_below(&random, MODEL_TIMERS)];

                switch (fixture_random_below(&random, 8)) {
                case 0:
                        cel__timer_unset(&m->timers, &t->timer);
                        t->set = false;
                        break;
                case 1:
                        m->now_ns += fixture_random_below(&random, 5);
                        cel__timers_fire(&m->timers, at(m->now_ns));
                        break;
                default:
                        t->set = true;
                        t->when_ns = m->now_ns + fixture_random_below(&random, MODEL_TIMES);
                        t->sequence = m->sequence++;
                        CHECK_INT(cel__timer_set(&m->timers, &t->timer, at(t->when_ns)), 0);
                }
                modelled *first = model_first(m);
                CHECK_INT(cel__timers_next(&m->timers).ns, first ? first->when_ns : CEL_TIME_NEVER.ns);
                CHECK_INT(cel__timer_is_set(&t->timer), t->set);
        }
        m->now_ns += MODEL_TIMES;
        cel__timers_fire(&m->timers, at(m->now_ns));
        CHECK(model_first(m) == NULL);
        cel__timers_fini(&m->timers);
        free(m);
}
