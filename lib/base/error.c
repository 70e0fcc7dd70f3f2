/* SPDX-License-Identifier: Apache-2.0 */
#include <celadon/error.h>

const char *cel_error_text(int code)
{
        if (code >= 0)
                return "success";
        switch (code) {
#define TEXT(name, value, text) \
        case value:             \
                return text;
                CEL_ERRORS(TEXT)
#undef TEXT
        }
        return "unknown error";
}

const char *cel_error_name(int code)
{
        if (code >= 0)
                return "CEL_OK";
        switch (code) {
#define NAME(name, value, text) \
        case value:             \
                return "CEL_" #name;
                CEL_ERRORS(NAME)
#undef NAME
        }
        return "CEL_E?";
}
