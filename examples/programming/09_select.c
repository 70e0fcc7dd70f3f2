/* SPDX-License-Identifier: Apache-2.0
 *
 * Wait for whichever of two channels has something first. */
#include <celadon/celadon.h>
#include <stdio.h>

static int control(cel_ctx *ctx, cel_channel *work, cel_channel *orders)
{
        int n;
        char order;
        cel_select_case cases[] = {
                {.channel = orders, .ret_item = &order},
                {.channel = work, .ret_item = &n},
        };

        while (cases[0].channel || cases[1].channel) {
                int r = cel_select(ctx, cases, 2);
                if (r < 0)
                        return r;
                if (cases[r].status == CEL_ECLOSED)
                        cases[r].channel = NULL; /* this one is over; wait for the other only */
                else if (r == 0)
                        printf("order %c\n", order);
                else
                        printf("work %d\n", n);
        }
        printf("both are closed\n");
        return 0;
}

static int run(cel_ctx *ctx, void *unused)
{
        cel_auto(cel_channel) *work = NULL, *orders = NULL;

        (void)unused;
        int r = cel_channel_new(sizeof(int), 10, &work);
        if (r >= 0)
                r = cel_channel_new(sizeof(char), 10, &orders);
        for (int n = 1; n <= 2 && r >= 0; n++)
                r = cel_channel_try_send(work, &n);
        if (r >= 0)
                r = cel_channel_try_send(orders, "s");
        if (r < 0)
                return r;
        cel_channel_close(work);
        cel_channel_close(orders);
        return control(ctx, work, orders);
}

int main(void)
{
        return cel_main(run, NULL);
}
