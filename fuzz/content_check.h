/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CEL_FUZZ_CONTENT_CHECK_H
#define CEL_FUZZ_CONTENT_CHECK_H

#include "wire/content.h"

/* Send a complete message once more: what arrives must be the same. */
void check_content_round_trip(const cel__content *content);

#endif
