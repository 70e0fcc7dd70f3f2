/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/explain.h"

#include <stdarg.h>
#include <stdio.h>

void cel__explain(char *why, size_t why_bytes, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(why, why_bytes, format, arguments);
        va_end(arguments);
        for (size_t i = 0; i < why_bytes && why[i]; i++)
                if (why[i] < ' ' || why[i] > '~')
                        why[i] = '?';
}
