/* SPDX-License-Identifier: Apache-2.0
 *
 * Header tables: any bytes are refused or make a table that librabbitmq understands too, and that stays
 * well-formed when it is changed. */
#include "fuzz.h"
#include "wire/amqp_frame.h"
#include "wire/headers.h"

#include <string.h>

static void check_well_formed(const cel_headers *headers)
{
        size_t n;
        const uint8_t *bytes = cel__headers_bytes(headers, &n);

        MUST(cel__table_check(bytes, n) == 0);
}

/* librabbitmq wants the length in front. */
static void check_librabbitmq_agrees(const uint8_t *data, size_t n)
{
        cel_auto_free uint8_t *bytes = malloc(4 + n);
        amqp_bytes_t encoded = {4 + n, bytes};
        amqp_table_t table;
        amqp_pool_t pool;
        size_t offset = 0;

        MUST(bytes);
        bytes[0] = (uint8_t)(n >> 24);
        bytes[1] = (uint8_t)(n >> 16);
        bytes[2] = (uint8_t)(n >> 8);
        bytes[3] = (uint8_t)n;
        memcpy(bytes + 4, data, n);
        init_amqp_pool(&pool, 4096);
        MUST(amqp_decode_table(encoded, &pool, &table, &offset) == 0);
        MUST(offset == 4 + n);
        empty_amqp_pool(&pool);
}

static void check_reads(const cel_headers *headers, const char *name)
{
        cel_auto_free char *text = NULL;
        int64_t number, parsed;
        int r = cel_headers_get_str(headers, name, &text);

        MUST(r == 0 ? text != NULL : !text && (r == CEL_ENOTFOUND || r == CEL_ENOSUPPORT));
        if (cel_headers_get_int(headers, name, &number) == 0) {
                MUST(text);
                parsed = strtoll(text, NULL, 10);
                MUST(parsed == number);
        }
}

static void check_changes(cel_headers *headers, const char *name)
{
        cel_auto_free char *text = NULL;
        int64_t number;

        if (cel_headers_set_int(headers, name, INT64_MIN) == 0) {
                MUST(cel_headers_get_int(headers, name, &number) == 0 && number == INT64_MIN);
                check_well_formed(headers);
                MUST(cel_headers_set_str(headers, name, "short") == 0);
                MUST(cel_headers_get_str(headers, name, &text) == 0 && strcmp(text, "short") == 0);
                check_well_formed(headers);
        }
        cel_headers_remove(headers, name);
        check_well_formed(headers);
        MUST(cel_headers_get_int(headers, name, &number) == CEL_ENOTFOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        cel_auto(cel_headers) *headers = NULL;
        cel_auto(cel_headers) *copy = NULL;
        int r = cel__headers_from_bytes(data, n, &headers);
        char name[256] = {0};

        MUST(r == 0 ? headers != NULL : !headers && (r == CEL_EDECODE || r == CEL_ETOOBIG));
        if (r < 0)
                return 0;
        if (n > 0) {
                check_librabbitmq_agrees(data, n);
                memcpy(name, data + 1, data[0]); /* the first name */
        }
        MUST(cel_headers_copy(headers, &copy) == 0);
        check_reads(headers, name);
        check_reads(headers, "x-death");
        check_changes(copy, name);
        check_changes(copy, "x-death");
        return 0;
}
