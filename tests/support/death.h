/* SPDX-License-Identifier: Apache-2.0
 *
 * What a mistake prints before the program aborts. It happens in a child process, which must die; `text` is what that
 * has printed to standard error. */
#ifndef CEL_TESTS_SUPPORT_DEATH_H
#define CEL_TESTS_SUPPORT_DEATH_H

#include "fixture.h"

void death_of(void (*act)(void *arg), void *arg, char *text, size_t text_bytes);

/* `act` gets a fixture of its own. */
void death_with_fixture(void (*act)(fixture *f, fixture_kind kind), fixture_kind kind, char *text,
                        size_t text_bytes);

/* Run `fn` as the task "victim" of a fixture. */
void death_of_task(cel_task_fn fn, char *text, size_t text_bytes);

#endif
