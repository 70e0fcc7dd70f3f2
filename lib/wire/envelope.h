/* SPDX-License-Identifier: Apache-2.0
 *
 * oslo.messaging's envelope: {"oslo.version": "2.0", "oslo.message": "<the message as JSON text>"}.
 * A body without these two keys is the message itself (version 1).
 *
 * Python peers send JSON that jansson refuses. It is then parsed in a rewritten copy, where
 *
 *  - NaN, Infinity and -Infinity are strings: "NaN", "Infinity", "-Infinity";
 *  - numbers beyond int64 or double are strings of what was sent: "1267650600228229401496703205376";
 *  - half a surrogate pair (\ud800) is U+FFFD;
 *  - so is \u0000 in the name of a member. In values it is kept: see json_string_length().
 *
 * `text` is not affected: whoever passes it on, passes on what was sent. */
#ifndef CEL_WIRE_ENVELOPE_H
#define CEL_WIRE_ENVELOPE_H

#include "wire/json_text.h"

typedef struct cel__envelope {
        int version;      /* 2, or 1: no envelope */
        const char *text; /* the message's JSON text, byte for byte; version 1: borrowed, the body itself */
        size_t text_bytes;
        json_t *message; /* owned: an object */

        /* For envelope.c only: where `text` is kept in version 2, one of the two. */
        char *unescaped; /* owned */
        json_t *outer;   /* owned */
} cel__envelope;

/* Open the envelope in the `n` bytes of `body`; on failure, `why` is a sentence.
 * Owns:   *ret_envelope is yours: cel__envelope_fini() it. `body` must outlive it.
 * Errors: CEL_EDECODE (no JSON, not an object, nested too deep), CEL_EVERSION (an envelope that is not 2.0),
 *         CEL_ENOMEM. */
int cel__envelope_open(const void *body, size_t n, cel__envelope *ret_envelope, char *why, size_t why_bytes);
void cel__envelope_fini(cel__envelope *envelope);

/* Append the envelope around the JSON text `inner`, with the bytes that Python's json.dumps() would write.
 * Errors: CEL_EINVAL (`inner` is not UTF-8), CEL_ETOOBIG (the buffer's maximum), CEL_ENOMEM; nothing was
 *         appended then. */
int cel__envelope_wrap(const char *inner, size_t n, cel__buf *out);

#endif
