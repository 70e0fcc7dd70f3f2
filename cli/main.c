/* SPDX-License-Identifier: Apache-2.0
 *
 * celadon VERB … */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
        const char *summary;
} verbs[] = {
        {"bench", cli_bench, "measure how fast RPC is over a bus"},
        {"bridge", cli_bridge, "take events off queues and make HTTP requests of them"},
        {"call", cli_call, "call a method and print its result"},
        {"cast", cli_cast, "have a method called, without a result"},
        {"listen", cli_listen, "print notifications as they come"},
        {"notify", cli_notify, "send a notification"},
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void print_usage(FILE *out)
{
        fputs("usage: celadon VERB …\n\nverbs:\n", out);
        for (int i = 0; i < VERBS; i++)
                fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
        fputs("\n`celadon VERB --help` tells more; `celadon --version` tells which one this is.\n", out);
}

int main(int argc, char **argv)
{
        const char *verb = argc > 1 ? argv[1] : "";

        for (int i = 0; i < VERBS; i++)
                if (strcmp(verb, verbs[i].name) == 0)
                        return verbs[i].run(argc - 1, argv + 1);
        if (strcmp(verb, "--version") == 0) {
                puts("celadon " CELADON_VERSION);
                return 0;
        }
        if (strcmp(verb, "--help") == 0) {
                print_usage(stdout);
                return 0;
        }
        if (*verb)
                fprintf(stderr, "celadon: there is no verb \"%s\"\n\n", verb);
        print_usage(stderr);
        return CLI_USAGE;
}
