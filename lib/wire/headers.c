/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A table stays encoded: most are only passed on, and most others have one name looked up. A
 * table that came from outside is walked once with all that is nested in it; afterwards one level is scanned,
 * with the same checks. When a name occurs twice, the last one counts, as in Python's dicts; setting or
 * removing a name affects all of its occurrences. */
#include "wire/headers.h"
#include "base/assert.h"
#include "wire/bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 255, CAPACITY_MIN = 64 };

typedef struct table_field {
        const uint8_t *start; /* of the name's length byte */
        size_t bytes;         /* of all of it */
        const uint8_t *name;
        size_t name_bytes;
        uint8_t kind;
        const uint8_t *value; /* without the length that strings, tables and arrays have */
        size_t value_bytes;
} table_field;

/* The size of values that have a fixed one; -1 for others. */
static int fixed_size(uint8_t kind)
{
        switch (kind) {
        case 'V':
                return 0;
        case 't':
        case 'b':
        case 'B':
                return 1;
        case 's':
        case 'u':
                return 2;
        case 'I':
        case 'i':
        case 'f':
                return 4;
        case 'D':
                return 5;
        case 'l':
        case 'L':
        case 'T':
        case 'd':
                return 8;
        default:
                return -1;
        }
}

static bool read_value(cel__reader *reader, table_field *ret_field)
{
        int size;

        if (!cel__read_u8(reader, &ret_field->kind))
                return false;
        size = fixed_size(ret_field->kind);
        if (size >= 0) {
                ret_field->value_bytes = (size_t)size;
                return cel__read_bytes(reader, (size_t)size, &ret_field->value);
        }
        if (!memchr("SxAF", ret_field->kind, 4))
                return false;
        return cel__read_long(reader, &ret_field->value, &ret_field->value_bytes);
}

static bool read_field(cel__reader *reader, table_field *ret_field)
{
        ret_field->start = reader->at;
        if (!cel__read_short(reader, &ret_field->name, &ret_field->name_bytes) ||
            !read_value(reader, ret_field))
                return false;
        ret_field->bytes = (size_t)(reader->at - ret_field->start);
        return true;
}

/* The recursion ends at CEL__TABLE_DEPTH_MAX. */
static bool check_level(const uint8_t *bytes, size_t n, bool is_array, int depth)
{
        cel__reader reader = {bytes, n};
        table_field field;

        if (depth > CEL__TABLE_DEPTH_MAX)
                return false;
        while (reader.left > 0) {
                if (is_array ? !read_value(&reader, &field) : !read_field(&reader, &field))
                        return false;
                if ((field.kind == 'A' || field.kind == 'F') &&
                    !check_level(field.value, field.value_bytes, field.kind == 'A', depth + 1))
                        return false;
        }
        return true;
}

int cel__table_check(const uint8_t *bytes, size_t n)
{
        return check_level(bytes, n, false, 1) ? 0 : CEL_EDECODE;
}

static bool find(const cel_headers *headers, const char *name, table_field *ret_field)
{
        cel__reader reader = {headers->bytes, headers->used};
        size_t name_bytes = strlen(name);
        bool found = false;
        table_field field;

        while (reader.left > 0 && read_field(&reader, &field))
                if (field.name_bytes == name_bytes && memcmp(field.name, name, name_bytes) == 0) {
                        *ret_field = field;
                        found = true;
                }
        return found;
}

/* How many bytes the fields named `name` take. */
static size_t bytes_of(const cel_headers *headers, const char *name, size_t name_bytes)
{
        cel__reader reader = {headers->bytes, headers->used};
        size_t total = 0;
        table_field field;

        while (reader.left > 0 && read_field(&reader, &field))
                if (field.name_bytes == name_bytes && memcmp(field.name, name, name_bytes) == 0)
                        total += field.bytes;
        return total;
}

static void remove_all(cel_headers *headers, const char *name, size_t name_bytes)
{
        cel__reader reader = {headers->bytes, headers->used};
        table_field field;

        while (reader.left > 0 && read_field(&reader, &field)) {
                if (field.name_bytes != name_bytes || memcmp(field.name, name, name_bytes) != 0)
                        continue;
                memmove(headers->bytes + (field.start - headers->bytes), reader.at, reader.left);
                headers->used -= field.bytes;
                reader.at = field.start;
        }
}

static int ensure_capacity(cel_headers *headers, size_t needed)
{
        size_t capacity = headers->capacity < CAPACITY_MIN ? CAPACITY_MIN : headers->capacity;
        uint8_t *bytes;

        cel_assert(headers->capacity > 0 || !headers->bytes); /* borrowed bytes are not ours to change */
        if (needed <= headers->capacity)
                return 0;
        while (capacity < needed)
                capacity *= 2;
        bytes = realloc(headers->bytes, capacity);
        if (!bytes)
                return CEL_ENOMEM;
        headers->bytes = bytes;
        headers->capacity = capacity;
        return 0;
}

/* Replace whatever is called `name`; `value` is encoded, a string's length included. */
static int set(cel_headers *headers, const char *name, uint8_t kind, const void *prefix, size_t prefix_bytes,
               const void *value, size_t value_bytes)
{
        size_t name_bytes = strlen(name);
        size_t added, kept;
        int r;

        if (name_bytes < 1 || name_bytes > NAME_BYTES_MAX)
                return CEL_EINVAL;
        kept = headers->used - bytes_of(headers, name, name_bytes);
        if (value_bytes > CEL__HEADERS_BYTES_MAX)
                return CEL_ETOOBIG;
        added = 1 + name_bytes + 1 + prefix_bytes + value_bytes;
        if (kept + added > CEL__HEADERS_BYTES_MAX)
                return CEL_ETOOBIG;
        r = ensure_capacity(headers, headers->used + added);
        if (r < 0)
                return r;

        remove_all(headers, name, name_bytes);
        uint8_t *to = headers->bytes + headers->used;

        to = cel__put_u8(to, (uint8_t)name_bytes);
        to = cel__put_bytes(to, name, name_bytes);
        to = cel__put_u8(to, kind);
        to = cel__put_bytes(to, prefix, prefix_bytes);
        cel__put_bytes(to, value, value_bytes);
        headers->used += added;
        return 0;
}

static bool read_integer(const table_field *field, int64_t *ret_value)
{
        switch (field->kind) {
        case 'b':
                *ret_value = (int8_t)field->value[0];
                return true;
        case 'B':
                *ret_value = field->value[0];
                return true;
        case 's':
                *ret_value = (int16_t)cel__get_u16(field->value);
                return true;
        case 'u':
                *ret_value = cel__get_u16(field->value);
                return true;
        case 'I':
                *ret_value = (int32_t)cel__get_u32(field->value);
                return true;
        case 'i':
                *ret_value = cel__get_u32(field->value);
                return true;
        case 'l':
        case 'L':
        case 'T':
                *ret_value = (int64_t)cel__get_u64(field->value);
                return true;
        default:
                return false;
        }
}

static char *copy_string(const void *bytes, size_t n)
{
        char *copy = malloc(n + 1);

        if (copy) {
                cel__put_bytes((uint8_t *)copy, bytes, n);
                copy[n] = '\0';
        }
        return copy;
}

int cel__headers_borrow(cel_headers *headers, const uint8_t *bytes, size_t n)
{
        if (n > CEL__HEADERS_RECEIVED_BYTES_MAX)
                return CEL_ETOOBIG;
        if (cel__table_check(bytes, n) < 0)
                return CEL_EDECODE;
        /* Nothing writes through this pointer: ensure_capacity() insists on it. */
        *headers = (cel_headers){.bytes = n > 0 ? (uint8_t *)(uintptr_t)bytes : NULL, .used = n};
        return 0;
}

int cel__headers_from_bytes(const uint8_t *bytes, size_t n, cel_headers **ret_headers)
{
        cel_headers borrowed;
        int r = cel__headers_borrow(&borrowed, bytes, n);

        return r < 0 ? r : cel_headers_copy(&borrowed, ret_headers);
}

const uint8_t *cel__headers_bytes(const cel_headers *headers, size_t *ret_n)
{
        *ret_n = headers->used;
        return headers->used > 0 ? headers->bytes : NULL;
}

int cel_headers_new(cel_headers **ret_headers)
{
        cel_headers *headers = calloc(1, sizeof(*headers));

        if (!headers)
                return CEL_ENOMEM;
        *ret_headers = headers;
        return 0;
}

cel_headers *cel_headers_free(cel_headers *headers)
{
        if (headers && headers->capacity > 0)
                free(headers->bytes);
        free(headers);
        return NULL;
}

int cel_headers_copy(const cel_headers *headers, cel_headers **ret_copy)
{
        cel_auto(cel_headers) *copy = NULL;
        int r = cel_headers_new(&copy);

        if (r < 0)
                return r;
        if (headers && headers->used > 0) {
                r = ensure_capacity(copy, headers->used);
                if (r < 0)
                        return r;
                memcpy(copy->bytes, headers->bytes, headers->used);
                copy->used = headers->used;
        }
        *ret_copy = CEL_TAKE(copy);
        return 0;
}

int cel_headers_set_str(cel_headers *headers, const char *name, const char *value)
{
        size_t n = strlen(value);
        uint8_t length[4];

        if (n > CEL__HEADERS_BYTES_MAX)
                return CEL_ETOOBIG;
        cel__put_u32(length, (uint32_t)n);
        return set(headers, name, 'S', length, sizeof(length), value, n);
}

int cel_headers_set_int(cel_headers *headers, const char *name, int64_t value)
{
        uint8_t encoded[8];

        /* As py-amqp does, so that brokers and peers see the types that they are used to. */
        if (value >= INT32_MIN && value <= INT32_MAX) {
                cel__put_u32(encoded, (uint32_t)value);
                return set(headers, name, 'I', NULL, 0, encoded, 4);
        }
        cel__put_u64(encoded, (uint64_t)value);
        return set(headers, name, 'l', NULL, 0, encoded, 8);
}

int cel_headers_set_bool(cel_headers *headers, const char *name, bool value)
{
        uint8_t encoded = value;

        return set(headers, name, 't', NULL, 0, &encoded, 1);
}

void cel_headers_remove(cel_headers *headers, const char *name)
{
        cel_assert(headers->capacity > 0 || !headers->bytes);
        remove_all(headers, name, strlen(name));
}

int cel_headers_get_str(const cel_headers *headers, const char *name, char **ret_value)
{
        char number[sizeof("-9223372036854775808")];
        const void *from = number;
        int64_t value;
        table_field field;
        size_t n;

        if (!headers || !find(headers, name, &field))
                return CEL_ENOTFOUND;
        if (field.kind == 'S' || field.kind == 'x') {
                from = field.value;
                n = field.value_bytes;
        } else if (field.kind == 't') {
                from = field.value[0] ? "true" : "false";
                n = strlen(from);
        } else if (read_integer(&field, &value)) {
                n = (size_t)snprintf(number, sizeof(number), "%" PRId64, value);
        } else {
                return CEL_ENOSUPPORT;
        }

        char *copy = copy_string(from, n);

        if (!copy)
                return CEL_ENOMEM;
        *ret_value = copy;
        return 0;
}

int cel_headers_get_int(const cel_headers *headers, const char *name, int64_t *ret_value)
{
        table_field field;

        if (!headers || !find(headers, name, &field))
                return CEL_ENOTFOUND;
        return read_integer(&field, ret_value) ? 0 : CEL_ENOSUPPORT;
}
