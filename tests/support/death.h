/* SPDX-License-Identifier: Apache-2.0
 *
 * What a mistake prints before the program aborts: it happens in a child process. */
#ifndef CEL_TESTS_SUPPORT_DEATH_H
#define CEL_TESTS_SUPPORT_DEATH_H

#include "fixture.h"

/* Run `act` with a fixture of its own in a child process, which must die; what it printed to standard error is
 * in `text`. */
void death_of(void (*act)(fixture *f, fixture_kind kind), fixture_kind kind, char *text, size_t text_bytes);

#endif
