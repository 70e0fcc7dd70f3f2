/* SPDX-License-Identifier: Apache-2.0
 *
 * What every other header needs: linkage, cleanup of locals, and taking ownership. */
#ifndef CELADON_BASE_H
#define CELADON_BASE_H

#include <stdlib.h>

#ifdef __cplusplus
#define CEL_BEGIN extern "C" {
#define CEL_END   }
#else
#define CEL_BEGIN
#define CEL_END
#endif

/* Every exported call carries this mark; everything else stays inside the library. */
#define CEL_API __attribute__((visibility("default")))

/* Let the compiler check the arguments of a printf-like function. */
#define CEL_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* A local that frees itself when its block ends. The type needs cel_x_free() or, where it is reference
 * counted, says so beside its declaration with CEL_AUTO_WITH.
 *
 *     cel_auto(cel_http_response) *response = NULL;
 */
#define cel_auto(type) __attribute__((cleanup(type##_auto))) type

/* Define what cel_auto(type) calls at the end of a block; a NULL pointer is left alone. */
#define CEL_AUTO_WITH(type, destroy)                                           \
        static inline __attribute__((unused)) void type##_auto(type **pointer) \
        {                                                                      \
                if (*pointer)                                                  \
                        destroy(*pointer);                                     \
        }

/* The same for memory from malloc: `cel_auto_free char *text = NULL;` */
#define cel_auto_free __attribute__((cleanup(cel_auto_free_pointer)))

static inline __attribute__((unused)) void cel_auto_free_pointer(void *pointer)
{
        free(*(void **)pointer);
}

/* Hand a self-freeing local's content on: yields the pointer and leaves NULL behind. */
#define CEL_TAKE(pointer)                                  \
        __extension__({                                    \
                __typeof__(pointer) cel_taken = (pointer); \
                (pointer) = NULL;                          \
                cel_taken;                                 \
        })

#endif
