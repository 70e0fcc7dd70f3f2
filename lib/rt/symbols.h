/* SPDX-License-Identifier: Apache-2.0
 *
 * Names for addresses in code: also of static functions, as long as the program is not stripped. Reads files
 * and allocates, so not for signal handlers. */
#ifndef CEL_RT_SYMBOLS_H
#define CEL_RT_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>

/* What is known so far, so that the same file is read once. By one thread at a time. */
typedef struct cel__symbols cel__symbols;

enum { CEL__SYMBOL_BYTES = 160 };

/* NULL when memory is out, which the others take: names are then plain numbers. */
cel__symbols *cel__symbols_new(void);
cel__symbols *cel__symbols_free(cel__symbols *symbols);

/* "function+0x12 (program)" for `pc`, as much as is known of it and fits. `returns`: it is where a call returns
 * to, so the call before it is what counts. */
void cel__symbols_name(cel__symbols *symbols, const void *pc, bool returns, char *text, size_t bytes);

#endif
