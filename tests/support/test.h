/* SPDX-License-Identifier: Apache-2.0
 *
 * Unit tests: a test is a sentence.
 *
 *     TEST(a_buffer_never_grows_past_its_maximum)
 *     {
 *             …
 *             CHECK(cel__buf_append(&buf, "x", 1) == CEL_ETOOBIG);
 *     }
 *
 * Tests register themselves and run in the order of the file; main() is in test_main.c. Results are printed
 * as TAP. */
#ifndef CEL_TESTS_SUPPORT_TEST_H
#define CEL_TESTS_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Called by TEST() before main(). */
void test_register(const char *name, CMUnitTestFunction fn);

#define TEST(name)                                                     \
        static void test_##name(void **);                              \
        __attribute__((constructor)) static void register_##name(void) \
        {                                                              \
                test_register(#name, test_##name);                     \
        }                                                              \
        static void test_##name(__attribute__((unused)) void **cmocka_state)

#define CHECK(condition) assert_true(condition)

/* Both values are printed when they differ. */
#define CHECK_INT(actual, expected)      assert_int_equal(actual, expected)
#define CHECK_STR(actual, expected)      assert_string_equal(actual, expected)
#define CHECK_BYTES(actual, expected, n) assert_memory_equal(actual, expected, n)

#endif
