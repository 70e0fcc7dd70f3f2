/* SPDX-License-Identifier: Apache-2.0
 *
 * celadon bridge [--check] CONFIG.yaml, and what begins with another word */
#include "cli/cli.h"

#include "bridge/bridge.h"
#include <celadon/runtime.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char usage[] = "usage: celadon bridge [--check] CONFIG.yaml\n"
                            "       celadon bridge replay --help\n"
                            "\n"
                            "Take events off queues and make HTTP requests of them, as CONFIG.yaml says.\n"
                            "  --check   only say what is wrong with CONFIG.yaml; nothing, if nothing is\n"
                            "  --help    show this\n";

static void print_error(const char *line, void *arg)
{
        (void)arg;
        fprintf(stderr, "%s\n", line);
}

/* bridge_run() has said what was wrong; cel_main() need not say it again. */
static int run(cel_ctx *ctx, void *arg)
{
        return bridge_run(ctx, arg) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int cli_bridge(int argc, char **argv)
{
        cel_auto(bridge_config) *config = NULL;
        const char *path = NULL;
        bool check = false;

        if (argc > 1 && strcmp(argv[1], "replay") == 0)
                return cli_bridge_replay(argc - 1, argv + 1);
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--check") == 0) {
                        check = true;
                } else if (strcmp(argv[i], "--help") == 0) {
                        fputs(usage, stdout);
                        return 0;
                } else if (argv[i][0] == '-' || path) {
                        fprintf(stderr, "celadon bridge: unexpected argument \"%s\"\n\n%s", argv[i], usage);
                        return CLI_USAGE;
                } else {
                        path = argv[i];
                }
        }
        if (!path) {
                fprintf(stderr, "celadon bridge: which configuration?\n\n%s", usage);
                return CLI_USAGE;
        }
        if (bridge_config_load(path, print_error, NULL, &config) < 0)
                return CLI_CONFIG;
        return check ? EXIT_SUCCESS : cel_main(run, config);
}
