/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/secret.h"
#include "test.h"

#include <celadon/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check_secret(const char *reference, const char *expected)
{
        char why[BRIDGE_SECRET_WHY_BYTES] = "";
        bridge_secret secret;
        int r = bridge_secret_read(reference, &secret, why);

        CHECK_STR(why, "");
        CHECK_INT(r, 0);
        CHECK_STR(secret.bytes, expected);
        bridge_secret_wipe(&secret);
        CHECK_INT(secret.n, 0);
}

static void check_refused(const char *reference, const char *why_expected)
{
        char why[BRIDGE_SECRET_WHY_BYTES] = "";
        bridge_secret secret;

        CHECK_INT(bridge_secret_read(reference, &secret, why), CEL_EINVAL);
        CHECK_STR(why, why_expected);
        CHECK_INT(secret.n, 0);
}

/* A folder with a file `name` that holds `n` bytes. */
static void write_file(const char *path, const char *bytes, size_t n)
{
        FILE *file = fopen(path, "w");

        CHECK(file);
        CHECK_INT(fwrite(bytes, 1, n, file), n);
        fclose(file);
}

TEST(a_secret_is_read_from_where_it_is_without_the_lines_end)
{
        char folder[] = "/tmp/celadon-secret-XXXXXX", path[64], reference[80];

        CHECK(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/key", folder);
        write_file(path, "hush \r\n", 7);
        snprintf(reference, sizeof(reference), "file:%s", path);
        check_secret(reference, "hush ");
        setenv("CREDENTIALS_DIRECTORY", folder, 1);
        check_secret("credential:key", "hush ");
        check_refused("credential:../key", "is a credential whose name cannot be right");
        unsetenv("CREDENTIALS_DIRECTORY");
        check_refused("credential:key",
                      "is a credential, but systemd has passed none, add LoadCredential= to the unit");
        setenv("CELADON_TEST_SECRET", "psst", 1);
        check_secret("env:CELADON_TEST_SECRET", "psst");
        unsetenv("CELADON_TEST_SECRET");
        unlink(path);
        rmdir(folder);
}

TEST(a_secret_that_cannot_be_had_is_refused_with_a_reason)
{
        static char big[BRIDGE_SECRET_BYTES_MAX + 1];
        char path[] = "/tmp/celadon-secret-XXXXXX", reference[80], why[128];

        close(mkstemp(path));
        snprintf(reference, sizeof(reference), "file:%s", path);
        check_refused(reference, "is empty");
        write_file(path, "a\0b", 3);
        check_refused(reference, "has a NUL in it");
        memset(big, 'x', sizeof(big));
        write_file(path, big, sizeof(big));
        snprintf(why, sizeof(why), "is larger than 4 KiB in %s", path);
        check_refused(reference, why);
        unlink(path);
        snprintf(why, sizeof(why), "cannot be read from %s: No such file or directory", path);
        check_refused(reference, why);
        check_refused("env:CELADON_TEST_NO", "is not in the environment, set CELADON_TEST_NO");
}

TEST(a_secret_in_the_configuration_is_refused_and_not_quoted)
{
        check_refused("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                      "does not belong into a configuration, write file:PATH, env:NAME or credential:NAME");
}
