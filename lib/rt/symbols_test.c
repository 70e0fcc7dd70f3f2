/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/symbols.h"
#include "test.h"

#include <string.h>

static __attribute__((noinline)) void *my_place(void)
{
        return __builtin_return_address(0);
}

/* Of a function, as data. */
static const void *address_of(void *(*fn)(void))
{
        const void *address;

        memcpy(&address, &fn, sizeof(address));
        return address;
}

TEST(a_static_function_is_named)
{
        cel__symbols *symbols = cel__symbols_new();
        char text[CEL__SYMBOL_BYTES];

        for (int i = 0; i < 2; i++) { /* the second time from memory */
                cel__symbols_name(symbols, address_of(my_place), false, text, sizeof(text));
                CHECK_STR(text, "my_place+0x0 (rt_symbols_test)");
        }
        cel__symbols_free(symbols);
}

TEST(a_place_that_a_call_returns_to_belongs_to_the_caller)
{
        cel__symbols *symbols = cel__symbols_new();
        char text[CEL__SYMBOL_BYTES];

        cel__symbols_name(symbols, my_place(), true, text, sizeof(text));
        CHECK(strstr(text, "test_a_place_that_a_call_returns_to_belongs_to_the_caller+0x") == text);
        cel__symbols_name(symbols, (const char *)address_of(my_place), true, text, sizeof(text));
        CHECK(strstr(text, "my_place+") == NULL);
        cel__symbols_free(symbols);
}

TEST(a_function_of_a_shared_library_is_named_with_the_library)
{
        cel__symbols *symbols = cel__symbols_new();
        char text[CEL__SYMBOL_BYTES];
        void *(*fn)(void);
        int (*tap)(const char *, const struct CMUnitTest *, size_t, CMFixtureFunction, CMFixtureFunction) =
                _cmocka_run_group_tests;

        memcpy(&fn, &tap, sizeof(fn));
        cel__symbols_name(symbols, (const char *)address_of(fn) + 4, false, text, sizeof(text));
        CHECK(strstr(text, "+0x4 (libcmocka.so.0)") != NULL);
        cel__symbols_free(symbols);
}

TEST(what_has_no_name_is_a_number)
{
        cel__symbols *symbols = cel__symbols_new();
        char text[CEL__SYMBOL_BYTES];
        int here;

        cel__symbols_name(symbols, &here, false, text, sizeof(text));
        CHECK(strncmp(text, "0x", 2) == 0);
        cel__symbols_name(NULL, NULL, true, text, sizeof(text)); /* without memory, too */
        CHECK(*text);
        cel__symbols_free(symbols);
}
