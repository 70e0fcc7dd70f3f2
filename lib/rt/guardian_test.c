/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "rt/guardian.h"
#include "test.h"

#include <semaphore.h>
#include <stdlib.h>

typedef struct noted_ward {
        cel__ward ward;
        fixture *f;
        _Atomic unsigned calls;
        _Atomic int64_t busy_ms; /* of the loop, as seen when called */
        int64_t every_ms;        /* 0: never again */
        sem_t called;
} noted_ward;

static cel_time on_due(cel__ward *ward, cel_time now)
{
        noted_ward *w = cel__container(ward, noted_ward, ward);

        atomic_fetch_add(&w->calls, 1);
        atomic_store(&w->busy_ms, cel__loop_busy_ms(cel__runtime_loop(w->f->runtime), now));
        sem_post(&w->called);
        return w->every_ms ? cel_time_add_ms(now, w->every_ms) : CEL_TIME_NEVER;
}

/* A ward due in `ms`, watched. */
static void watch(noted_ward *w, fixture *f, int64_t ms, int64_t every_ms)
{
        *w = (noted_ward){.f = f, .every_ms = every_ms};
        w->ward.on_due = on_due;
        w->ward.due = cel_time_add_ms(cel_clock_now(f->clock), ms);
        sem_init(&w->called, 0, 0);
        CHECK_INT(cel__guardian_watch(cel__runtime_guardian(f->runtime), &w->ward), 0);
}

static void unwatch(noted_ward *w)
{
        cel__guardian_unwatch(cel__runtime_guardian(w->f->runtime), &w->ward);
}

static void wait_for_call(noted_ward *w)
{
        while (sem_wait(&w->called) < 0)
                ;
}

/* Let the guardian look at all its wards once more: a ward that is due at once stands at the end of its list.
 */
static void let_it_look(fixture *f)
{
        noted_ward probe;

        watch(&probe, f, 0, 0);
        wait_for_call(&probe);
        unwatch(&probe);
        sem_destroy(&probe.called);
}

static int hold_the_loop_until_called(cel_ctx *ctx, void *arg)
{
        noted_ward *w = arg;

        (void)ctx;
        cel_clock_advance_ms(w->f->clock, 50);
        wait_for_call(w); /* the loop stands still */
        return 0;
}

TEST(a_ward_is_called_when_due_even_while_a_task_holds_the_loop)
{
        fixture f = fixture_new();
        noted_ward w;

        watch(&w, &f, 50, 0);
        CHECK_RESULT(fixture_spawn(&f, "busy", hold_the_loop_until_called, &w), 0);
        CHECK_INT(atomic_load(&w.calls), 1);
        CHECK_INT(atomic_load(&w.busy_ms), 50);
        unwatch(&w);
        fixture_free(&f);
}

TEST(a_ward_is_not_called_before_it_is_due)
{
        fixture f = fixture_new();
        noted_ward w;

        watch(&w, &f, 50, 0);
        let_it_look(&f);
        cel_clock_advance_ms(f.clock, 49);
        let_it_look(&f);
        CHECK_INT(atomic_load(&w.calls), 0);
        cel_clock_advance_ms(f.clock, 1);
        wait_for_call(&w);
        CHECK_INT(atomic_load(&w.busy_ms), 0); /* nobody turns the loop, and nobody waits for it */
        unwatch(&w);
        fixture_free(&f);
}

TEST(a_ward_says_itself_when_it_is_due_next)
{
        fixture f = fixture_new();
        noted_ward often, seldom;

        watch(&often, &f, 10, 10);
        watch(&seldom, &f, 25, 25);
        for (int i = 1; i <= 10; i++) {
                cel_clock_advance_ms(f.clock, 5);
                let_it_look(&f);
                CHECK_INT(atomic_load(&often.calls), i / 2);
                CHECK_INT(atomic_load(&seldom.calls), i / 5);
        }
        unwatch(&often);
        unwatch(&seldom);
        fixture_free(&f);
}

TEST(a_ward_that_is_unwatched_never_runs_again)
{
        fixture f = fixture_new();
        noted_ward w;

        watch(&w, &f, 10, 10);
        cel_clock_advance_ms(f.clock, 10);
        wait_for_call(&w);
        unwatch(&w);
        unwatch(&w); /* twice is fine */
        for (int i = 0; i < 5; i++) {
                cel_clock_advance_ms(f.clock, 10);
                let_it_look(&f);
        }
        CHECK_INT(atomic_load(&w.calls), 1);
        fixture_free(&f);
}

typedef struct stir {
        fixture *f;
        _Atomic bool over;
} stir;

static void *thread_advances(void *arg)
{
        stir *s = arg;

        while (!atomic_load(&s->over))
                cel_clock_advance_ms(s->f->clock, 1);
        return NULL;
}

TEST(a_ward_may_be_freed_once_unwatched_while_the_guardian_is_calling_others)
{
        fixture f = fixture_new();
        stir s = {.f = &f};
        pthread_t thread;

        CHECK_INT(pthread_create(&thread, NULL, thread_advances, &s), 0);
        for (int i = 0; i < 300; i++) {
                noted_ward *w = malloc(sizeof(*w));

                CHECK(w != NULL);
                watch(w, &f, 0, 1);
                if (i % 2)
                        wait_for_call(w);
                unwatch(w);
                sem_destroy(&w->called);
                free(w);
        }
        atomic_store(&s.over, true);
        pthread_join(thread, NULL);
        fixture_free(&f);
}

static cel_time on_due_note_only(cel__ward *ward, cel_time now)
{
        (void)now;
        sem_post(&cel__container(ward, noted_ward, ward)->called);
        return CEL_TIME_NEVER;
}

TEST(on_the_real_clock_the_guardian_wakes_on_its_own)
{
        cel_runtime *runtime;
        noted_ward w = {0};
        cel_time due = cel_time_add_ms(cel_clock_now(cel_clock_system()), 5);

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        sem_init(&w.called, 0, 0);
        w.ward.on_due = on_due_note_only;
        w.ward.due = due;
        CHECK_INT(cel__guardian_watch(cel__runtime_guardian(runtime), &w.ward), 0);
        wait_for_call(&w);
        CHECK(cel_clock_now(cel_clock_system()).ns >= due.ns);
        cel__guardian_unwatch(cel__runtime_guardian(runtime), &w.ward);
        cel_runtime_free(runtime);
}
