/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

enum { TESTS_MAX = 256 };

static struct CMUnitTest tests[TESTS_MAX];
static size_t tests_n;

void test_register(const char *name, CMUnitTestFunction fn)
{
        if (tests_n == TESTS_MAX) {
                fprintf(stderr, "more than %d tests in one file: split it or raise TESTS_MAX\n", TESTS_MAX);
                abort();
        }
        tests[tests_n++] = (struct CMUnitTest){.name = name, .test_func = fn};
}

int main(int argc, char **argv)
{
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        cmocka_set_message_output(CM_OUTPUT_TAP);
        return _cmocka_run_group_tests(argv[0], tests, tests_n, NULL, NULL);
}
