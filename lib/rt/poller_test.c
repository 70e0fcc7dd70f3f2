/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "rt/poller.h"
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

typedef struct watched {
        int ends[2]; /* of a pipe: read, write */
        cel__poller *poller;
        unsigned times;
        int events;
        bool frees;
} watched;

static void on_ready(void *arg, int events)
{
        watched *w = arg;

        w->times++;
        w->events = events;
        if (w->frees)
                w->poller = cel__poller_free(w->poller);
}

static void watched_init(watched *w, fixture *f, int end)
{
        *w = (watched){0};
        CHECK_INT(pipe2(w->ends, O_NONBLOCK | O_CLOEXEC), 0);
        CHECK_INT(cel__poller_new(cel__runtime_loop(f->runtime), w->ends[end], on_ready, w, &w->poller), 0);
}

static void turn(fixture *f)
{
        cel__loop_turn(cel__runtime_loop(f->runtime), false);
}

TEST(a_poller_tells_what_it_was_asked_for_as_long_as_it_holds)
{
        fixture f = fixture_new();
        watched w;

        watched_init(&w, &f, 0);
        CHECK_INT(write(w.ends[1], "x", 1), 1);
        turn(&f);
        CHECK_INT(w.times, 0); /* at first for nothing */
        cel__poller_want(w.poller, CEL__READABLE);
        turn(&f);
        turn(&f);
        CHECK_INT(w.times, 2);
        CHECK_INT(w.events, CEL__READABLE);
        cel__poller_want(w.poller, 0);
        turn(&f);
        CHECK_INT(w.times, 2);
        cel__poller_want(w.poller, CEL__READABLE);
        turn(&f);
        CHECK_INT(w.times, 3);
        cel__poller_free(w.poller);
        close(w.ends[0]);
        close(w.ends[1]);
        fixture_free(&f);
}

TEST(a_hang_up_makes_it_readable)
{
        fixture f = fixture_new();
        watched w;

        watched_init(&w, &f, 0);
        cel__poller_want(w.poller, CEL__READABLE);
        turn(&f);
        CHECK_INT(w.times, 0);
        close(w.ends[1]);
        turn(&f);
        CHECK_INT(w.times, 1);
        CHECK_INT(w.events, CEL__READABLE);
        cel__poller_free(w.poller);
        close(w.ends[0]);
        fixture_free(&f);
}

TEST(an_error_too_is_told_as_long_as_it_holds)
{
        fixture f = fixture_new();
        char block[4096] = {0};
        watched w;

        watched_init(&w, &f, 1);
        while (write(w.ends[1], block, sizeof(block)) > 0)
                ;
        cel__poller_want(w.poller, CEL__WRITABLE);
        turn(&f);
        CHECK_INT(w.times, 0);
        close(w.ends[0]);
        turn(&f);
        CHECK_INT(w.times, 1);
        CHECK_INT(w.events, CEL__WRITABLE);
        turn(&f);
        CHECK_INT(w.times, 2);
        cel__poller_free(w.poller);
        close(w.ends[1]);
        fixture_free(&f);
}

TEST(a_poller_may_be_freed_while_it_tells)
{
        fixture f = fixture_new();
        watched w;

        watched_init(&w, &f, 1);
        w.frees = true;
        cel__poller_want(w.poller, CEL__WRITABLE);
        fixture_settle(&f);
        CHECK_INT(w.times, 1);
        CHECK(w.poller == NULL);
        close(w.ends[0]);
        close(w.ends[1]);
        fixture_free(&f);
}

TEST(a_callback_of_a_poller_counts_as_busy)
{
        fixture f = fixture_new();
        cel__loop *loop = cel__runtime_loop(f.runtime);

        fixture_settle(&f);
        CHECK_INT(atomic_load(&loop->busy_since_ns), 0);
        cel__loop_awake(loop);
        CHECK_INT(cel__loop_busy_ms(loop, cel_clock_now(f.clock)), 0);
        cel_clock_advance_ms(f.clock, 70);
        cel__loop_awake(loop); /* a second callback of the same wait: busy since the first */
        CHECK_INT(cel__loop_busy_ms(loop, cel_clock_now(f.clock)), 70);
        fixture_settle(&f);
        fixture_free(&f);
}
