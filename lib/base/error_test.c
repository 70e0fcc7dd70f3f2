/* SPDX-License-Identifier: Apache-2.0 */
#include <celadon/error.h>

#include "test.h"

#include <string.h>

TEST(every_error_code_has_a_name_and_a_text)
{
        for (int code = -1; strcmp(cel_error_name(code), "CEL_E?") != 0; code--)
                CHECK(strcmp(cel_error_text(code), "unknown error") != 0);
        CHECK_STR(cel_error_name(CEL_ESYSTEM), "CEL_ESYSTEM"); /* the last one: there is no hole before it */
        CHECK_STR(cel_error_text(CEL_ETIMEDOUT), "deadline passed");
}

TEST(zero_and_counts_are_success)
{
        CHECK_STR(cel_error_name(0), "CEL_OK");
        CHECK_STR(cel_error_text(12), "success");
}
