/* SPDX-License-Identifier: Apache-2.0
 *
 * Our own mistakes abort with a sentence; they are checked in every build. The world's misbehaviour is an
 * error code. */
#ifndef CEL_BASE_ASSERT_H
#define CEL_BASE_ASSERT_H

#include <celadon/base.h>

#define cel_assert(condition) \
        ((condition) ? (void)0 : cel__abort(__FILE__, __LINE__, "%s", #condition " does not hold"))

/* Abort with a sentence that names the culprit, and the stack. Async-signal-safe as long as the format is and
 * cel__abort_prepare() was called before. */
_Noreturn void cel__abort(const char *file, int line, const char *format, ...) CEL_PRINTF(3, 4);
void cel__abort_prepare(void);
#define cel__misuse(...) cel__abort(__FILE__, __LINE__, __VA_ARGS__)

#endif
