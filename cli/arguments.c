/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

int cli_read_arguments(const cli_verb *verb, int argc, char **argv, void *job)
{
        const char *wrong = NULL;
        int flag;

        optind = 0; /* begin anew, whoever used getopt() before */
        while (!wrong && (flag = getopt_long(argc, argv, "", verb->flags, NULL)) != -1) {
                if (flag == 'h') {
                        fputs(verb->usage, stdout);
                        return 0;
                }
                if (!verb->read_flag(job, flag))
                        wrong = "what is this?";
        }
        if (!wrong)
                wrong = verb->check(job, argc - optind, argv + optind);
        if (!wrong)
                return -1;
        fprintf(stderr, "celadon %s: %s\n\n%s", verb->name, wrong, verb->usage);
        return CLI_USAGE;
}

bool cli_read_seconds(const char *text, int64_t *ret_ms)
{
        char *end;
        double seconds = strtod(text, &end);

        if (end == text || *end || !(seconds > 0 && seconds <= 1e9))
                return false;
        *ret_ms = (int64_t)(seconds * 1000 + 0.5);
        return true;
}

bool cli_read_number(const char *text, long min, long max, long *ret_number)
{
        char *end;

        *ret_number = strtol(text, &end, 10);
        return end != text && !*end && *ret_number >= min && *ret_number <= max;
}

bool cli_add(cli_list *list, const char *text)
{
        if (list->n == CLI_LIST_MAX)
                return false;
        list->texts[list->n++] = text;
        return true;
}

const char *const *cli_list_or_null(const cli_list *list)
{
        return list->n > 0 ? list->texts : NULL;
}
