/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's verbs, one file each. */
#ifndef CELADON_CLI_CLI_H
#define CELADON_CLI_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit statuses beside 0; those from 64 on are from <sysexits.h>. */
enum { CLI_REMOTE = 1, CLI_TIMEOUT = 2, CLI_TRANSPORT = 3, CLI_USAGE = 64, CLI_CONFIG = 78 };

/* What a verb's command line comes to. */
typedef struct cli_verb {
        const char *name;                       /* for messages */
        const char *usage;                      /* all of --help */
        const struct option *flags;             /* for getopt_long(); --help is one of them, 'h' */
        bool (*read_flag)(void *job, int flag); /* with its value in optarg; false: that cannot be */
        const char *(*check)(void *job, int argc,
                             char **argv); /* what is not a flag: what is wrong, or NULL */
} cli_verb;

/* Read the arguments into `job`, by the verb's functions. Returns -1 to go on; or the exit status, after --help or
 * after it has said what is wrong. */
int cli_read_arguments(const cli_verb *verb, int argc, char **argv, void *job);

/* Read a time in seconds, such as "0.5"; false if it is none. */
bool cli_read_seconds(const char *text, int64_t *ret_ms);

/* Read a whole number from `min` to `max`; false if it is none. */
bool cli_read_number(const char *text, long min, long max, long *ret_number);

/* Values of a flag that may come several times: NULL-terminated, since the list was zero. */
enum { CLI_LIST_MAX = 16 };
typedef struct cli_list {
        const char *texts[CLI_LIST_MAX + 1];
        unsigned n;
} cli_list;

/* Add one; false if there are too many. */
bool cli_add(cli_list *list, const char *text);

/* What an option that takes NULL for its default gets. */
const char *const *cli_list_or_null(const cli_list *list);

/* Each gets its own arguments, argv[0] being the verb, and returns an exit status. */
int cli_bench(int argc, char **argv);
int cli_bridge(int argc, char **argv);
int cli_bridge_replay(int argc, char **argv);
int cli_call(int argc, char **argv);
int cli_cast(int argc, char **argv);
int cli_listen(int argc, char **argv);
int cli_notify(int argc, char **argv);

#endif
