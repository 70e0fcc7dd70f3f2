/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's verbs, one file each. */
#ifndef CELADON_CLI_CLI_H
#define CELADON_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

/* Exit statuses beside 0; those from 64 on are from <sysexits.h>. */
enum { CLI_REMOTE = 1, CLI_TIMEOUT = 2, CLI_TRANSPORT = 3, CLI_USAGE = 64, CLI_CONFIG = 78 };

/* Read a time in seconds, such as "0.5"; false if it is none. */
bool cli_read_seconds(const char *text, int64_t *ret_ms);

/* Each gets its own arguments, argv[0] being the verb, and returns an exit status. */
int cli_bench(int argc, char **argv);
int cli_bridge(int argc, char **argv);
int cli_call(int argc, char **argv);
int cli_cast(int argc, char **argv);
int cli_listen(int argc, char **argv);
int cli_notify(int argc, char **argv);

#endif
