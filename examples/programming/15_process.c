/* SPDX-License-Identifier: Apache-2.0
 *
 * Run programs, read what they print, and have none outlive its deadline. */
#include <celadon/celadon.h>
#include <stdio.h>

static int run(cel_ctx *ctx, void *unused)
{
        cel_process_options options = {
                .argv = (const char *const[]){"tr", "a-z", "A-Z", NULL}, .input = "hello", .input_bytes = 5};
        cel_auto(cel_capture) *capture = NULL;

        (void)unused;
        int status = cel_process_capture(ctx, &options, 1000, &capture);
        if (status < 0)
                return status; /* no such program, say */
        printf("status %d, it printed %s\n", status, capture->out);

        CEL_WITHIN_MS(ctx, 50);
        status = cel_process_run(ctx, (const char *const[]){"sleep", "3600", NULL});
        printf("%s; and it does not run any more\n", cel_error_text(status));
        return status == CEL_ETIMEDOUT ? 0 : status;
}

int main(void)
{
        return cel_main(run, NULL);
}
