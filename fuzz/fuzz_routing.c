/* SPDX-License-Identifier: Apache-2.0
 *
 * oslo.messaging's routing file: any bytes give routes that can be asked, or a sentence that names the place. */
#include "notify/drivers.h"
#include "notify/routing.h"

#include <celadon/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool condition)
{
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        cel__routing *routing;
        char why[512];

        if (cel__routing_parse((const char *)data, n, "f", &routing, why, sizeof(why)) < 0) {
                check(strncmp(why, "f:", 2) == 0);
                return 0;
        }
        check(!(cel__routing_drivers(routing, "compute.instance.start", "info") & CEL__DRIVER_ROUTING));
        cel__routing_drivers(routing, "", "");
        cel__routing_free(routing);
        return 0;
}
