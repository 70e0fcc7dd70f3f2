/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A select that must wait stands in the list of every channel it names, with one wait: whoever
 * picks it there decides the wait with that case's index, and all others find it decided and pass on. So
 * exactly one case happens, and it happens in the hands of the peer.
 *
 * Looking at all channels and standing in all lists is one step: it holds the locks of all channels, taken in
 * the order of their addresses. That is why a select never has to decide its own wait and a peer's at the same
 * time, which two selects that face each other could only try, fail and try again. */
#include "rt/channel.h"

#include <stdint.h>

/* The channels of a select, each once, by address. */
typedef struct lock_set {
        cel_channel *channels[CEL_SELECT_MAX]; /* borrowed */
        unsigned n;
} lock_set;

static void lock_set_add(lock_set *set, cel_channel *channel)
{
        unsigned place = set->n;

        while (place > 0 && (uintptr_t)set->channels[place - 1] > (uintptr_t)channel)
                place--;
        if (place > 0 && set->channels[place - 1] == channel)
                return;
        for (unsigned i = set->n++; i > place; i--)
                set->channels[i] = set->channels[i - 1];
        set->channels[place] = channel;
}

static void lock_all(cel_select_case cases[], unsigned n, lock_set *ret_set)
{
        ret_set->n = 0;
        for (unsigned i = 0; i < n; i++)
                if (cases[i].channel)
                        lock_set_add(ret_set, cases[i].channel);
        for (unsigned i = 0; i < ret_set->n; i++)
                pthread_mutex_lock(&ret_set->channels[i]->mutex);
}

static void unlock_all(lock_set *set)
{
        for (unsigned i = 0; i < set->n; i++)
                pthread_mutex_unlock(&set->channels[i]->mutex);
}

/* What is wrong with the cases, or NULL. */
static const char *complaint(const cel_select_case cases[], unsigned n)
{
        bool any = false;

        if (n > CEL_SELECT_MAX)
                return "there are too many cases";
        for (unsigned i = 0; i < n; i++) {
                if (!cases[i].channel)
                        continue;
                if (!cases[i].send_item == !cases[i].ret_item)
                        return "a case must either send or receive";
                any = true;
        }
        return any ? NULL : "no case has a channel";
}

/* Do the case if that needs no waiting; its channel is locked. */
static bool try_case_locked(cel_select_case *c)
{
        int r = c->send_item ? cel__channel_send_locked(c->channel, c->send_item)
                             : cel__channel_receive_locked(c->channel, c->ret_item);

        if (r == 0)
                return false;
        c->status = r < 0 ? r : 0;
        return true;
}

/* With all channels locked: do the first case that needs no waiting, or stand in line for all. Returns its
 * index, or CEL_EAGAIN. */
static int try_or_enlist_locked(cel_select_case cases[], unsigned n, cel__waiter waiters[], cel__wait *wait)
{
        for (unsigned i = 0; i < n; i++)
                if (cases[i].channel && try_case_locked(&cases[i]))
                        return (int)i;
        for (unsigned i = 0; i < n; i++) {
                cel_select_case *c = &cases[i];

                if (!c->channel)
                        continue;
                waiters[i] =
                        (cel__waiter){.wait = wait,
                                      .index = (int)i,
                                      .item = c->send_item ? (void *)(uintptr_t)c->send_item : c->ret_item};
                cel__list_append(c->send_item ? &c->channel->senders : &c->channel->receivers,
                                 &waiters[i].node);
        }
        return CEL_EAGAIN;
}

static void leave(const cel_select_case *c, cel__waiter *waiter)
{
        pthread_mutex_lock(&c->channel->mutex);
        cel__list_remove(&waiter->node);
        pthread_mutex_unlock(&c->channel->mutex);
}

int cel_try_select(cel_select_case cases[], unsigned n)
{
        if (complaint(cases, n))
                return CEL_EINVAL;
        for (unsigned i = 0; i < n; i++) {
                if (!cases[i].channel)
                        continue;
                pthread_mutex_lock(&cases[i].channel->mutex);
                bool happened = try_case_locked(&cases[i]);
                pthread_mutex_unlock(&cases[i].channel->mutex);
                if (happened)
                        return (int)i;
        }
        return CEL_EAGAIN;
}

int cel_select(cel_ctx *ctx, cel_select_case cases[], unsigned n)
{
        cel__waiter waiters[CEL_SELECT_MAX];
        cel__wait wait;
        lock_set set;
        const char *wrong = complaint(cases, n);

        if (wrong)
                return cel_fail(ctx, CEL_EINVAL, "cel_select() takes 1 to %d cases, and %s", CEL_SELECT_MAX,
                                wrong);
        int begun = cel__ctx_begin(ctx, "select");
        if (begun < 0)
                return begun;
        int r = cel_try_select(cases, n);
        if (r != CEL_EAGAIN)
                return r;

        cel__wait_begin(&wait, ctx, "select");
        lock_all(cases, n, &set);
        r = try_or_enlist_locked(cases, n, waiters, &wait);
        unlock_all(&set);
        if (r != CEL_EAGAIN)
                return r;
        r = cel__wait_block(&wait);
        for (unsigned i = 0; i < n; i++)
                if (cases[i].channel)
                        leave(&cases[i], &waiters[i]);
        if (r >= 0)
                cases[r].status = waiters[r].status;
        return r;
}
