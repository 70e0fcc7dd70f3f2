/* SPDX-License-Identifier: Apache-2.0 */
#include <celadon/log.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4096 };

static _Atomic int log_level = CEL_LOG_INFO;
static cel_log_sink log_sink;
static void *log_sink_arg;

void cel_log_set_level(cel_log_level level)
{
        atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

cel_log_level cel_log_get_level(void)
{
        return (cel_log_level)atomic_load_explicit(&log_level, memory_order_relaxed);
}

void cel_log_set_sink(cel_log_sink sink, void *arg)
{
        log_sink_arg = arg;
        log_sink = sink;
}

/* "2026-05-13T12:53:00.123Z WARN BRIDGE-DEAD-LETTER [task request-id] " */
static size_t format_head(char *line, size_t size, cel_log_level level, const cel_ctx *ctx, const char *id)
{
        static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG"};
        struct timespec now;
        struct tm utc;
        char time_text[32];

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%S", &utc);
        int n = snprintf(line, size, "%s.%03ldZ %s %s ", time_text, now.tv_nsec / 1000000, names[level], id);
        if (n > 0 && (size_t)n < size && ctx) {
                const char *request_id = cel_ctx_request_id(ctx);

                n += snprintf(line + n, size - (size_t)n, "[%s%s%s] ", cel_ctx_name(ctx),
                              *request_id ? " " : "", request_id);
        }
        return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

void cel_log(cel_log_level level, const cel_ctx *ctx, const char *id, const char *format, ...)
{
        char line[LINE_BYTES_MAX];
        va_list args;

        if (level > cel_log_get_level())
                return;
        size_t n = format_head(line, sizeof(line), level, ctx, id);
        va_start(args, format);
        int text = vsnprintf(line + n, sizeof(line) - n, format, args);
        va_end(args);
        n += text < 0 ? 0 : (size_t)text;
        if (n > sizeof(line) - 1)
                n = sizeof(line) - 1;
        for (size_t i = 0; i < n; i++) /* one call, one line, whatever a peer has sent */
                if ((unsigned char)line[i] < 0x20)
                        line[i] = ' ';
        line[n] = '\0';

        if (log_sink) {
                log_sink(level, line, log_sink_arg);
                return;
        }
        line[n] = '\n';
        ssize_t ignored = write(STDERR_FILENO, line, n + 1);
        (void)ignored;
}
