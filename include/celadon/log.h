/* SPDX-License-Identifier: Apache-2.0
 *
 * Logging. The library returns errors and the program logs them, once, with an id that one can search for:
 *     cel_warn(ctx, "BRIDGE-DEAD-LETTER", "route %s gave up after %u attempts", route->name, attempts);
 * One call writes one line with one write(2), from any thread; no lock is taken. */
#ifndef CELADON_LOG_H
#define CELADON_LOG_H

#include <celadon/ctx.h>
#include <stdarg.h>

typedef enum cel_log_level { CEL_LOG_ERROR, CEL_LOG_WARN, CEL_LOG_INFO, CEL_LOG_DEBUG } cel_log_level;

/* Receives each finished line: without newline, valid during the call. Called from any thread. */
typedef void (*cel_log_sink)(cel_log_level level, const char *line, void *arg);

CEL_BEGIN

/* Lines above this level are dropped. Default: CEL_LOG_INFO. Callable from any thread. */
CEL_API void cel_log_set_level(cel_log_level level);
CEL_API cel_log_level cel_log_get_level(void);

/* Where lines go; NULL: standard error. Set it before threads start. */
CEL_API void cel_log_set_sink(cel_log_sink sink, void *arg);

/* Log one line: time, level, id, task name and request id of `ctx` (NULL: none), text. Never fails; waits for
 * nothing but write(2), which a full pipe behind standard error holds up. A line over 4,095 bytes is cut. Use
 * the macros below. */
CEL_API void cel_log(cel_log_level level, const cel_ctx *ctx, const char *id, const char *format, ...)
        CEL_PRINTF(4, 5);

CEL_END

#define cel_log_if(level, ctx, id, ...)                       \
        do {                                                  \
                if ((level) <= cel_log_get_level())           \
                        cel_log(level, ctx, id, __VA_ARGS__); \
        } while (0)
#define cel_error(ctx, id, ...) cel_log_if(CEL_LOG_ERROR, ctx, id, __VA_ARGS__)
#define cel_warn(ctx, id, ...)  cel_log_if(CEL_LOG_WARN, ctx, id, __VA_ARGS__)
#define cel_info(ctx, id, ...)  cel_log_if(CEL_LOG_INFO, ctx, id, __VA_ARGS__)
#define cel_debug(ctx, id, ...) cel_log_if(CEL_LOG_DEBUG, ctx, id, __VA_ARGS__)

#endif
