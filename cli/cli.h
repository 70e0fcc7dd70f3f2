/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's verbs, one file each. */
#ifndef CELADON_CLI_CLI_H
#define CELADON_CLI_CLI_H

/* Exit statuses beside 0 and 1, from <sysexits.h>. */
enum { CLI_USAGE = 64, CLI_CONFIG = 78 };

/* Each gets its own arguments, argv[0] being the verb, and returns an exit status. */
int cli_bridge(int argc, char **argv);

#endif
