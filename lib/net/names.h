/* SPDX-License-Identifier: Apache-2.0
 *
 * The names that a runtime has asked for, and what it was told. */
#ifndef CEL_NET_NAMES_H
#define CEL_NET_NAMES_H

#include "net/resolve.h"

#include <celadon/dns.h>

enum {
        CEL__NAMES_MAX = 1024,
        CEL__NAMES_GOOD_MS = 30000,
        CEL__NAMES_NONE_MS = 5000,   /* there is no such name */
        CEL__NAMES_FAILED_MS = 1000, /* the system could not find out */
        CEL__NAMES_FILES = 2,
};

/* From memory, or from the system in the pool for names. Returns 0 with an answer, which may be that there is
 * none.
 * Waits:  for the system, the deadline or cancellation; not at all when it is known.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM, CEL_EFULL, CEL_ESYSTEM, CEL_EFORKED. */
int cel__names_look_up(cel_ctx *ctx, const char *host, cel__answer *ret_answer);

/* For tests: whom to ask, and the files whose change counts, instead of the system's. */
typedef struct cel__names_source {
        void (*ask)(const char *host, cel__answer *ret_answer); /* blocks; on a thread of the pool */
        const char *files[CEL__NAMES_FILES];                    /* borrowed */
} cel__names_source;

/* Errors: CEL_ENOMEM. */
int cel__names_set_source(cel_runtime *runtime, const cel__names_source *source);

#endif
