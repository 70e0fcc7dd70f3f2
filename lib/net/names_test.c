/* SPDX-License-Identifier: Apache-2.0
 *
 * The system is played by the test: it counts questions, and holds answers back while it is told to. */
#include "fixture.h"
#include "net/names.h"
#include "test.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        bool held;
        unsigned begun; /* questions, held ones included */
        unsigned begun_x;
        int error; /* what it answers; 0: 192.0.2.1 */
} played = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void play(const char *host, cel__answer *ret_answer)
{
        struct sockaddr_in *address = (void *)&ret_answer->addresses[0].storage;

        *ret_answer = (cel__answer){0};
        pthread_mutex_lock(&played.mutex);
        played.begun++;
        played.begun_x += strcasecmp(host, "x.test") == 0;
        pthread_cond_broadcast(&played.changed);
        while (played.held)
                pthread_cond_wait(&played.changed, &played.mutex);
        ret_answer->error = played.error;
        pthread_mutex_unlock(&played.mutex);
        if (ret_answer->error)
                return;
        ret_answer->n = 1;
        address->sin_family = AF_INET;
        inet_pton(AF_INET, "192.0.2.1", &address->sin_addr);
        ret_answer->addresses[0].bytes = sizeof(*address);
}

static void hold(bool held)
{
        pthread_mutex_lock(&played.mutex);
        played.held = held;
        pthread_cond_broadcast(&played.changed);
        pthread_mutex_unlock(&played.mutex);
}

static void wait_until_begun(unsigned n)
{
        pthread_mutex_lock(&played.mutex);
        while (played.begun < n)
                pthread_cond_wait(&played.changed, &played.mutex);
        pthread_mutex_unlock(&played.mutex);
}

static unsigned begun(void)
{
        pthread_mutex_lock(&played.mutex);
        unsigned n = played.begun;
        pthread_mutex_unlock(&played.mutex);
        return n;
}

static fixture new_fixture(const char *file)
{
        fixture f = fixture_new();

        pthread_mutex_lock(&played.mutex); /* a thread that was left behind on purpose may still be ending */
        played.held = false;
        played.begun = played.begun_x = 0;
        played.error = 0;
        pthread_mutex_unlock(&played.mutex);
        CHECK_INT(cel__names_set_source(f.runtime, &(cel__names_source){.ask = play, .files = {file}}), 0);
        return f;
}

typedef struct lookup {
        const char *host;
        int64_t within_ms; /* 0: no deadline */
        cel__address addresses[CEL__ADDRESSES_MAX];
} lookup;

static int look_up(cel_ctx *ctx, void *arg)
{
        lookup *l = arg;
        CEL_WITHIN_MS(ctx, l->within_ms ? l->within_ms : INT64_MAX);

        return cel__resolve(ctx, l->host, 80, l->addresses);
}

/* Look `host` up, to the end; returns what cel__resolve() returned. */
static int ask_for(fixture *f, fixture_kind kind, const char *host)
{
        lookup l = {.host = host};

        return fixture_actor_wait(f, fixture_act(f, kind, "asker", look_up, &l));
}

static void check_address(const lookup *l)
{
        const struct sockaddr_in *address = (const void *)&l->addresses[0].storage;
        char text[INET_ADDRSTRLEN];

        CHECK_STR(inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text)), "192.0.2.1");
        CHECK_INT(ntohs(address->sin_port), 80);
}

TEST_BOTH(a_name_is_asked_for_once_and_remembered_for_30_seconds)
{
        fixture f = new_fixture(NULL);
        lookup l = {.host = "a.test"};

        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "asker", look_up, &l)), 1);
        check_address(&l);
        lookup again = {.host = "A.Test"};
        CHECK_DONE(fixture_act(&f, kind, "again", look_up, &again), 1); /* without waiting */
        check_address(&again);
        fixture_advance_ms(&f, 29999);
        CHECK_INT(ask_for(&f, kind, "a.test"), 1);
        CHECK_INT(begun(), 1);
        fixture_advance_ms(&f, 1);
        CHECK_INT(ask_for(&f, kind, "a.test"), 1);
        CHECK_INT(begun(), 2);
        cel_dns_stats stats = cel_dns_get_stats(f.runtime);
        CHECK(stats.names == 1 && stats.hits == 2 && stats.misses == 2 && stats.failures == 0);
        fixture_free(&f);
}

static void check_remembered(fixture_kind kind, int error, int64_t ms)
{
        fixture f = new_fixture(NULL);
        lookup l = {.host = "none.test"};

        played.error = error;
        fixture_actor *asker = fixture_act(&f, kind, "asker", look_up, &l);
        CHECK_INT(fixture_actor_wait(&f, asker), CEL_ERESOLVE);
        CHECK(strstr(fixture_actor_text(asker), "host \"none.test\" cannot be resolved: "));
        fixture_advance_ms(&f, ms - 1);
        CHECK_INT(ask_for(&f, kind, "none.test"), CEL_ERESOLVE);
        CHECK_INT(begun(), 1);
        fixture_advance_ms(&f, 1);
        played.error = 0;
        CHECK_INT(ask_for(&f, kind, "none.test"), 1);
        CHECK_INT(cel_dns_get_stats(f.runtime).failures, 1);
        fixture_free(&f);
}

TEST_BOTH(that_there_is_no_such_name_is_remembered_for_5_seconds)
{
        check_remembered(kind, EAI_NONAME, 5000);
}

TEST_BOTH(that_nobody_could_say_is_remembered_for_1_second)
{
        check_remembered(kind, EAI_AGAIN, 1000);
}

TEST_BOTH(many_who_ask_at_once_share_one_answer)
{
        fixture f = new_fixture(NULL);
        lookup l[6];
        fixture_actor *askers[6];

        hold(true);
        for (int i = 0; i < 6; i++) {
                l[i] = (lookup){.host = "a.test"};
                askers[i] = fixture_act(&f, i % 2 ? kind : fixture_other(kind), "asker", look_up, &l[i]);
        }
        for (int i = 0; i < 6; i++)
                CHECK_WAITS(askers[i]);
        hold(false);
        for (int i = 0; i < 6; i++) {
                CHECK_INT(fixture_actor_wait(&f, askers[i]), 1);
                check_address(&l[i]);
        }
        CHECK_INT(begun(), 1);
        CHECK_INT(cel_dns_get_stats(f.runtime).shared, 5);
        fixture_free(&f);
}

TEST_BOTH(an_answer_comes_even_if_who_asked_first_has_left)
{
        fixture f = new_fixture(NULL);
        lookup first = {.host = "a.test", .within_ms = 50}, second = {.host = "a.test"};

        hold(true);
        fixture_actor *leaves = fixture_act(&f, kind, "leaves", look_up, &first);
        fixture_actor *stays = fixture_act(&f, kind, "stays", look_up, &second);
        wait_until_begun(1);
        fixture_advance_ms(&f, 50);
        CHECK_DONE(leaves, CEL_ETIMEDOUT);
        CHECK_WAITS(stays);
        hold(false);
        CHECK_INT(fixture_actor_wait(&f, stays), 1);
        CHECK_INT(ask_for(&f, kind, "a.test"), 1);
        CHECK_INT(begun(), 1);
        fixture_free(&f);
}

TEST_BOTH(a_question_that_never_ran_is_asked_by_the_next)
{
        static const char *const busy[] = {"b1.test", "b2.test", "b3.test", "b4.test"};
        fixture f = new_fixture(NULL);
        lookup l[4], first = {.host = "x.test"}, second = first, third = first;
        fixture_actor *blockers[4];

        hold(true); /* all threads of the pool */
        for (int i = 0; i < 4; i++) {
                l[i] = (lookup){.host = busy[i]};
                blockers[i] = fixture_act(&f, kind, "blocker", look_up, &l[i]);
        }
        wait_until_begun(4);
        fixture_actor *leaves = fixture_act(&f, kind, "leaves", look_up, &first);
        fixture_actor *leads = fixture_act(&f, kind, "leads", look_up, &second);
        fixture_actor *stays = fixture_act(&f, fixture_other(kind), "stays", look_up, &third);
        fixture_cancel(leaves);
        CHECK_DONE(leaves, CEL_ECANCELED);
        CHECK_WAITS(leads);
        CHECK_WAITS(stays);
        fixture_cancel(leads);
        CHECK_DONE(leads, CEL_ECANCELED);
        CHECK_WAITS(stays);
        hold(false);
        CHECK_INT(fixture_actor_wait(&f, stays), 1);
        for (int i = 0; i < 4; i++)
                CHECK_INT(fixture_actor_wait(&f, blockers[i]), 1);
        CHECK_INT(played.begun_x, 1);
        fixture_free(&f);
}

TEST_BOTH(a_question_that_nobody_waits_for_is_forgotten)
{
        static const char *const busy[] = {"b1.test", "b2.test", "b3.test", "b4.test"};
        fixture f = new_fixture(NULL);
        lookup l[4], first = {.host = "x.test"};

        hold(true);
        for (int i = 0; i < 4; i++) {
                l[i] = (lookup){.host = busy[i]};
                fixture_act(&f, kind, "blocker", look_up, &l[i]);
        }
        wait_until_begun(4);
        fixture_actor *leaves = fixture_act(&f, kind, "leaves", look_up, &first);
        fixture_cancel(leaves);
        CHECK_DONE(leaves, CEL_ECANCELED);
        CHECK_INT(cel_dns_get_stats(f.runtime).names, 4);
        hold(false);
        CHECK_INT(ask_for(&f, kind, "x.test"), 1);
        fixture_free(&f);
}

static void write_file(const char *path, const char *text)
{
        FILE *file = fopen(path, "w");

        CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

TEST_BOTH(a_file_that_changes_makes_everything_be_asked_anew)
{
        char path[] = "/tmp/celadon-hosts-XXXXXX";
        int fd = mkstemp(path);

        CHECK(fd >= 0);
        close(fd);
        fixture f = new_fixture(path);
        CHECK_INT(ask_for(&f, kind, "a.test"), 1);
        write_file(path, "192.0.2.7 a.test\n");
        CHECK_INT(ask_for(&f, kind, "a.test"), 1); /* within a second nobody looks */
        CHECK_INT(begun(), 1);
        fixture_advance_ms(&f, 1000);
        CHECK_INT(ask_for(&f, kind, "a.test"), 1);
        CHECK_INT(begun(), 2);
        CHECK_INT(cel_dns_get_stats(f.runtime).invalidated, 1);
        fixture_advance_ms(&f, 1000);
        CHECK_INT(ask_for(&f, kind, "a.test"), 1);
        CHECK_INT(begun(), 2);
        unlink(path);
        fixture_free(&f);
}

TEST_BOTH(an_answer_to_what_was_forgotten_meanwhile_is_given_but_not_remembered)
{
        fixture f = new_fixture(NULL);
        lookup l = {.host = "a.test"};

        hold(true);
        fixture_actor *asker = fixture_act(&f, kind, "asker", look_up, &l);
        wait_until_begun(1);
        cel_dns_forget(f.runtime);
        hold(false);
        CHECK_INT(fixture_actor_wait(&f, asker), 1);
        CHECK_INT(cel_dns_get_stats(f.runtime).names, 0);
        CHECK_INT(ask_for(&f, kind, "a.test"), 1);
        CHECK_INT(begun(), 2);
        fixture_free(&f);
}

static int ask_for_many(cel_ctx *ctx, void *arg)
{
        cel__address addresses[CEL__ADDRESSES_MAX];
        int n = *(int *)arg;
        char host[32];
        int r = 0;

        for (int i = 0; i < n && r >= 0; i++) {
                snprintf(host, sizeof(host), "n%d.test", i);
                r = cel__resolve(ctx, host, 1, addresses);
        }
        return r;
}

TEST_BOTH(no_more_than_1024_names_are_remembered_and_the_longest_unused_goes_first)
{
        fixture f = new_fixture(NULL);
        int n = CEL__NAMES_MAX;

        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "asker", ask_for_many, &n)), 1);
        CHECK_INT(ask_for(&f, kind, "n0.test"), 1); /* used: n1 is the oldest now */
        CHECK_INT(begun(), CEL__NAMES_MAX);
        CHECK_INT(ask_for(&f, kind, "one.more.test"), 1);
        cel_dns_stats stats = cel_dns_get_stats(f.runtime);
        CHECK(stats.names == CEL__NAMES_MAX && stats.evicted == 1);
        CHECK_INT(ask_for(&f, kind, "n0.test"), 1);
        CHECK_INT(begun(), CEL__NAMES_MAX + 1);
        CHECK_INT(ask_for(&f, kind, "n1.test"), 1);
        CHECK_INT(begun(), CEL__NAMES_MAX + 2);
        fixture_free(&f);
}

TEST_BOTH(an_address_needs_no_answer)
{
        static const char *const hosts[] = {"192.0.2.1", "::1", "localhost"};
        fixture f = new_fixture(NULL);

        for (int i = 0; i < 3; i++) {
                lookup l = {.host = hosts[i]};
                CHECK_DONE(fixture_act(&f, kind, "asker", look_up, &l), 1);
        }
        CHECK_INT(begun(), 0);
        fixture_free(&f);
}

/* The first name in /etc/hosts that is no plain "localhost", and its address. */
static bool find_in_hosts(char host[128], char address[64])
{
        FILE *file = fopen("/etc/hosts", "r");
        char line[512];
        bool found = false;

        while (file && !found && fgets(line, sizeof(line), file))
                found = *line != '#' && sscanf(line, "%63s %127s", address, host) == 2 &&
                        strcmp(host, "localhost") != 0 && strchr(address, '.');
        if (file)
                fclose(file);
        return found;
}

TEST_BOTH(the_hosts_file_counts)
{
        fixture f = fixture_new();
        char host[128], address[64], text[INET_ADDRSTRLEN];
        lookup l = {.host = host};

        if (find_in_hosts(host, address)) {
                CHECK(fixture_actor_wait(&f, fixture_act(&f, kind, "asker", look_up, &l)) >= 1);
                const struct sockaddr_in *in = (const void *)&l.addresses[0].storage;
                CHECK_STR(inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)), address);
        }
        fixture_free(&f);
}
