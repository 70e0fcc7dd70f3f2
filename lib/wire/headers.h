/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library knows about a header table beyond <celadon/headers.h>: its encoded bytes.
 *
 * The types are those of RabbitMQ and py-amqp, which are not those of the standard's text:
 *
 *     t          boolean
 *     b s I l    signed integers of 1, 2, 4 and 8 bytes
 *     B u i L    unsigned ones, but we read L as signed: librabbitmq and py-amqp disagree about it
 *     f d D      float, double, decimal
 *     S x        long string, byte array
 *     A F        array, table
 *     T V        seconds since 1970, nothing
 */
#ifndef CEL_WIRE_HEADERS_H
#define CEL_WIRE_HEADERS_H

#include <celadon/headers.h>

enum {
        CEL__TABLE_DEPTH_MAX = 16,                 /* tables and arrays inside each other */
        CEL__HEADERS_BYTES_MAX = 64 * 1024,        /* of a table that is set */
        CEL__HEADERS_RECEIVED_BYTES_MAX = 1 << 20, /* of one that arrived */
};

struct cel_headers {
        uint8_t *bytes; /* the encoded table without its length; owned unless `capacity` is 0 */
        size_t used;
        size_t capacity; /* 0: `bytes` belongs to somebody else, or is NULL */
};

/* Walk the `n` bytes of an encoded table (without its length), all that is nested in it included.
 * Errors: CEL_EDECODE (cut short, an unknown type, or nested deeper than CEL__TABLE_DEPTH_MAX). */
int cel__table_check(const uint8_t *bytes, size_t n);

/* A new table from the `n` bytes of an encoded one (without its length), which are checked and copied.
 * Owns:   *ret_headers is yours.
 * Errors: CEL_EDECODE, CEL_ETOOBIG (over CEL__HEADERS_RECEIVED_BYTES_MAX), CEL_ENOMEM. */
int cel__headers_from_bytes(const uint8_t *bytes, size_t n, cel_headers **ret_headers);

/* The same in place and without a copy: `bytes` must outlive `headers`, which must not be changed or freed.
 * Errors: CEL_EDECODE, CEL_ETOOBIG. */
int cel__headers_borrow(cel_headers *headers, const uint8_t *bytes, size_t n);

/* The encoded table without its length: borrowed, until `headers` changes. NULL and 0 for an empty one. */
const uint8_t *cel__headers_bytes(const cel_headers *headers, size_t *ret_n);

#endif
