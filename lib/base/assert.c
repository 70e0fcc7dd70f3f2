/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The place, from here outwards: `addr2line -e PROGRAM` makes lines of what has no name. */
static void print_stack(void)
{
        void *frames[24];
        int n = backtrace(frames, 24);

        backtrace_symbols_fd(frames, n, STDERR_FILENO);
}

void cel__abort_prepare(void)
{
        void *frame;

        backtrace(&frame, 1); /* the first call loads a library, which a signal handler must not */
}

_Noreturn void cel__abort(const char *file, int line, const char *format, ...)
{
        char text[1024];
        va_list args;

        int head = snprintf(text, sizeof(text), "celadon: %s:%d: ", file, line);
        va_start(args, format);
        int tail = vsnprintf(text + head, sizeof(text) - (size_t)head - 1, format, args);
        va_end(args);

        size_t n = (size_t)head + (size_t)(tail < 0 ? 0 : tail);
        if (n > sizeof(text) - 2)
                n = sizeof(text) - 2;
        text[n++] = '\n';
        ssize_t ignored = write(STDERR_FILENO, text, n);
        (void)ignored;
        print_stack();
        abort();
}
