/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/queue_manager.h"
#include "fixture.h"
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/queue-manager-XXXXXX", file[64];

static void begin(void)
{
        strcpy(folder + strlen(folder) - 6, "XXXXXX");
        CHECK(mkdtemp(folder));
        snprintf(file, sizeof(file), "%s/h_p_qmanager", folder);
        unsetenv("OSLO_LOCK_PATH");
}

static void end(void)
{
        unlink(file);
        CHECK_INT(rmdir(folder), 0);
}

static long long draw(void)
{
        queue_manager_draw d = {.folder = folder, .hostname = "h", .processname = "p"};

        CHECK_INT(queue_manager_run(&d), 0);
        return d.number;
}

static void put(const char *text)
{
        FILE *f = fopen(file, "w");

        CHECK(f);
        fputs(text, f);
        fclose(f);
}

TEST(numbers_go_up_within_a_process_group)
{
        begin();
        for (int i = 1; i <= 12; i++)
                CHECK_INT(draw(), i);
        end();
}

TEST(the_file_holds_group_counter_and_start_time_as_oslo_reads_them)
{
        char text[128] = "", command[200], expected[64];

        begin();
        draw();
        draw();
        FILE *f = fopen(file, "r");
        CHECK(f && fgets(text, sizeof(text), f));
        fclose(f);
        snprintf(command, sizeof(command), "sed 's/.*) //' /proc/%d/stat | cut -d' ' -f20", (int)getpgrp());
        FILE *p = popen(command, "r");
        char started[32];
        CHECK(p && fgets(started, sizeof(started), p));
        pclose(p);
        snprintf(expected, sizeof(expected), "%d:2:%s", (int)getpgrp(), started);
        expected[strcspn(expected, "\n")] = '\0';
        CHECK_STR(text, expected);
        end();
}

TEST(a_file_of_another_group_or_time_or_of_nonsense_begins_anew)
{
        char same_group[64];
        const char *texts[] = {"1:41:5", "", "nonsense", "7:8", same_group, "::", "1:-5:1"};

        begin();
        snprintf(same_group, sizeof(same_group), "%d:41:5", (int)getpgrp());
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                put(texts[i]);
                CHECK_INT(draw(), 1);
        }
        end();
}

TEST(a_folder_that_is_not_there_is_named)
{
        queue_manager_draw d = {.folder = "/no/such", .hostname = "h", .processname = "p"};

        unsetenv("OSLO_LOCK_PATH");
        CHECK_INT(queue_manager_run(&d), CEL_ESYSTEM);
        CHECK_STR(d.error, "use_queue_manager: cannot open /no/such/h_p_qmanager: No such file or directory");
        setenv("OSLO_LOCK_PATH", "/no/such", 1);
        CHECK_INT(queue_manager_run(&d), CEL_ESYSTEM);
        CHECK_STR(d.error,
                  "use_queue_manager: cannot open /no/such/oslo_read_shm_h_p: No such file or directory");
}

enum { THREADS = 4, PROCESSES = 4, DRAWS = 50 };

static void *draw_many(void *arg)
{
        (void)arg;
        for (int i = 0; i < DRAWS; i++)
                draw();
        return NULL;
}

static void draw_in_threads(void)
{
        pthread_t threads[THREADS];

        for (int i = 0; i < THREADS; i++)
                CHECK_INT(pthread_create(&threads[i], NULL, draw_many, NULL), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
}

TEST(no_number_is_drawn_twice_by_threads_and_processes)
{
        char lock[64];

        begin();
        setenv("OSLO_LOCK_PATH", folder, 1);
        for (int i = 0; i < PROCESSES; i++)
                if (fork() == 0) {
                        draw_in_threads();
                        _exit(0);
                }
        while (wait(NULL) > 0)
                ;
        CHECK_INT(draw(), PROCESSES * THREADS * DRAWS + 1);
        snprintf(lock, sizeof(lock), "%s/oslo_read_shm_h_p", folder);
        CHECK_INT(unlink(lock), 0);
        end();
}

/* --- From a ctx ------------------------------------------------------------------------------- */

typedef struct naming {
        queue_manager manager;
        char name[256];
} naming;

static int name_one(cel_ctx *ctx, void *arg)
{
        naming *n = arg;

        return queue_manager_name(ctx, &n->manager, "reply_", n->name, sizeof(n->name));
}

static int name_within_50_ms(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, 50);

        return name_one(ctx, arg);
}

/* A host that nobody else has, and its counter's file. */
static naming naming_new(char counter[128])
{
        naming n = {0};
        char host[32];

        unsetenv("OSLO_LOCK_PATH");
        snprintf(host, sizeof(host), "test-%d", (int)getpid());
        queue_manager_init(&n.manager, host, "p");
        snprintf(counter, 128, "/dev/shm/%s_p_qmanager", host);
        return n;
}

TEST_BOTH(queues_are_named_by_host_process_and_number)
{
        fixture f = fixture_new();
        char counter[128], expected[64];
        naming n = naming_new(counter);

        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "first", name_one, &n)), 0);
        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "second", name_one, &n)), 0);
        snprintf(expected, sizeof(expected), "reply_test-%d:p:2", (int)getpid());
        CHECK_STR(n.name, expected);
        queue_manager_fini(&n.manager);
        unlink(counter);
        fixture_free(&f);
}

TEST_BOTH(whoever_waits_for_another_process_has_a_deadline)
{
        fixture f = fixture_new();
        char counter[128];
        naming n = naming_new(counter);
        struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(counter, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        CHECK_INT(fcntl(fd, F_OFD_SETLK, &all), 0);
        fixture_actor *actor = fixture_act(&f, kind, "named", name_within_50_ms, &n);
        CHECK(!fixture_actor_done(actor));
        fixture_advance_ms(&f, 50);
        CHECK_INT(fixture_actor_wait(&f, actor), CEL_ETIMEDOUT);
        close(fd); /* the job that was given up ends */
        queue_manager_fini(&n.manager);
        unlink(counter);
        fixture_free(&f);
}

TEST(without_names_it_has_this_hosts_and_this_programs)
{
        queue_manager m;
        char host[256];

        queue_manager_init(&m, NULL, NULL);
        gethostname(host, sizeof(host));
        CHECK_INT(strncmp(m.hostname, host, QUEUE_MANAGER_NAME_BYTES_MAX), 0);
        CHECK_STR(m.processname, "driver_queue_manager_test");
        queue_manager_fini(&m);
}
