/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
        abort();
}
