/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"
#include <celadon/log.h>

#include <regex.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4095 };

typedef struct heard {
        char line[8192];
        cel_log_level level;
        unsigned lines;
} heard;

static void hear(cel_log_level level, const char *line, void *arg)
{
        heard *h = arg;

        snprintf(h->line, sizeof(h->line), "%s", line);
        h->level = level;
        h->lines++;
}

static bool matches(const char *text, const char *pattern)
{
        regex_t regex;

        CHECK_INT(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
        bool yes = regexec(&regex, text, 0, NULL, 0) == 0;
        regfree(&regex);
        return yes;
}

#define TIME "^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

static int log_as_task(cel_ctx *ctx, void *arg)
{
        heard *h = arg;

        cel_info(ctx, "TEST-TASK", "text");
        CHECK(matches(h->line, TIME "INFO TEST-TASK \\[talker\\] text$"));
        cel_ctx_set_request_id(ctx, "req-1");
        cel_warn(ctx, "TEST-TASK", "%d and %s", 1, "two");
        CHECK(matches(h->line, TIME "WARN TEST-TASK \\[talker req-1\\] 1 and two$"));
        CHECK_INT(h->level, CEL_LOG_WARN);
        return 0;
}

TEST(a_line_has_time_level_id_task_request_and_text)
{
        fixture f = fixture_new();
        heard h = {0};

        cel_log_set_sink(hear, &h);
        cel_error(NULL, "TEST-NOBODY", "text");
        CHECK(matches(h.line, TIME "ERROR TEST-NOBODY text$"));
        CHECK_RESULT(fixture_spawn(&f, "talker", log_as_task, &h), 0);
        CHECK_INT(h.lines, 3);
        cel_log_set_sink(NULL, NULL);
        fixture_free(&f);
}

TEST(control_characters_never_break_a_line)
{
        heard h = {0};
        char evil[34] = "";

        for (char c = 1; c < 32; c++)
                evil[c - 1] = c;
        cel_log_set_sink(hear, &h);
        cel_error(NULL, "TEST-EVIL", "before%safter\nforged line\r\n", evil);
        for (const char *c = h.line; *c; c++)
                CHECK((unsigned char)*c >= 0x20);
        CHECK(strstr(h.line, "before  ") != NULL && strstr(h.line, "  after forged line") != NULL);
        cel_error(NULL, "TEST-UTF-8", "grün");
        CHECK(strstr(h.line, "grün") != NULL); /* what is no control character stays */
        cel_log_set_sink(NULL, NULL);
}

static int evaluated;

static int evaluate(void)
{
        return ++evaluated;
}

TEST(lines_above_the_level_are_dropped_and_their_arguments_not_even_evaluated)
{
        heard h = {0};

        cel_log_set_sink(hear, &h);
        CHECK_INT(cel_log_get_level(), CEL_LOG_INFO);
        cel_debug(NULL, "TEST-LEVEL", "%d", evaluate());
        cel_log(CEL_LOG_DEBUG, NULL, "TEST-LEVEL", "text");
        CHECK_INT(h.lines, 0);
        CHECK_INT(evaluated, 0);
        cel_log_set_level(CEL_LOG_DEBUG);
        cel_debug(NULL, "TEST-LEVEL", "%d", evaluate());
        CHECK_INT(h.lines, 1);
        cel_log_set_level(CEL_LOG_ERROR);
        cel_warn(NULL, "TEST-LEVEL", "text");
        CHECK_INT(h.lines, 1);
        cel_error(NULL, "TEST-LEVEL", "text");
        CHECK_INT(h.lines, 2);
        cel_log_set_level(CEL_LOG_INFO);
        cel_log_set_sink(NULL, NULL);
}

TEST(a_long_line_is_cut_whatever_part_of_it_is_long)
{
        heard h = {0};
        char text[9000];

        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        cel_log_set_sink(hear, &h);
        cel_error(NULL, "TEST-LONG", "%s", text);
        CHECK_INT(strlen(h.line), LINE_BYTES_MAX);
        cel_error(NULL, text, "text");
        CHECK_INT(strlen(h.line), LINE_BYTES_MAX);

        fixture f = fixture_new();
        cel_ctx *ctx;
        cel__loop_leave(cel__runtime_loop(f.runtime));
        CHECK_INT(cel_thread_ctx_new(f.runtime, "ctx", &ctx), 0);
        cel_error(ctx, text, "text");
        CHECK_INT(strlen(h.line), LINE_BYTES_MAX);
        text[LINE_BYTES_MAX - 35] = '\0'; /* the head ends somewhere near the end of the line */
        for (int i = 0; i < 70; i++) {
                cel_error(ctx, text + i, "text");
                CHECK(strlen(h.line) <= LINE_BYTES_MAX);
        }
        cel_thread_ctx_free(ctx);
        cel__loop_adopt(cel__runtime_loop(f.runtime));
        fixture_free(&f);
        cel_log_set_sink(NULL, NULL);
}

TEST(without_a_sink_a_line_and_its_newline_go_to_standard_error_in_one_piece)
{
        char got[8192], text[9000];
        int fds[2], saved = dup(STDERR_FILENO);

        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        CHECK_INT(pipe(fds), 0);
        dup2(fds[1], STDERR_FILENO);
        cel_warn(NULL, "TEST-STDERR", "short");
        ssize_t n = read(fds[0], got, sizeof(got) - 1);
        cel_warn(NULL, "TEST-STDERR", "%s", text);
        ssize_t long_n = read(fds[0], text, sizeof(text));
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(fds[0]);
        close(fds[1]);
        CHECK(n > 0);
        got[n] = '\0';
        CHECK(matches(got, TIME "WARN TEST-STDERR short\n$"));
        CHECK_INT(long_n, LINE_BYTES_MAX + 1);
        CHECK_INT(text[long_n - 1], '\n');
        CHECK(memchr(text, '\n', (size_t)long_n) == text + long_n - 1);
}
