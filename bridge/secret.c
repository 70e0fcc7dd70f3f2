/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/secret.h"

#include <celadon/error.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refuse(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(char *why, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(why, BRIDGE_SECRET_WHY_BYTES, format, arguments);
        va_end(arguments);
        return CEL_EINVAL;
}

/* Not stdio, whose buffers would keep a copy. */
static int read_file(const char *path, bridge_secret *secret, char *why)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold up the start */
        ssize_t n = 1;

        if (fd < 0)
                return refuse(why, "cannot be read from %.150s: %s", path, strerror(errno));
        while (n > 0 && secret->n < sizeof(secret->bytes)) {
                n = read(fd, secret->bytes + secret->n, sizeof(secret->bytes) - secret->n);
                secret->n += n > 0 ? (size_t)n : 0;
        }
        int r = n < 0 ? refuse(why, "cannot be read from %.150s: %s", path, strerror(errno)) : 0;

        close(fd);
        if (r >= 0 && secret->n > BRIDGE_SECRET_BYTES_MAX)
                r = refuse(why, "is larger than 4 KiB in %.150s", path);
        return r;
}

static int read_credential(const char *name, bridge_secret *secret, char *why)
{
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        char path[1024];

        if (!folder)
                return refuse(
                        why, "is a credential, but systemd has passed none, add LoadCredential= to the unit");
        if (!*name || strchr(name, '/') ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
                return refuse(why, "is a credential whose name cannot be right");
        return read_file(path, secret, why);
}

static int read_environment(const char *name, bridge_secret *secret, char *why)
{
        const char *value = getenv(name);

        if (!value)
                return refuse(why, "is not in the environment, set %.150s", name);
        if (strlen(value) > BRIDGE_SECRET_BYTES_MAX)
                return refuse(why, "is larger than 4 KiB in the environment, as %.150s", name);
        secret->n = strlen(value);
        memcpy(secret->bytes, value, secret->n);
        return 0;
}

static int check(bridge_secret *secret, char *why)
{
        while (secret->n > 0 && strchr("\r\n", secret->bytes[secret->n - 1]))
                secret->n--;
        if (secret->n == 0)
                return refuse(why, "is empty");
        if (memchr(secret->bytes, '\0', secret->n))
                return refuse(why, "has a NUL in it");
        secret->bytes[secret->n] = '\0';
        return 0;
}

int bridge_secret_read(const char *reference, bridge_secret *ret_secret, char why[BRIDGE_SECRET_WHY_BYTES])
{
        int r;

        ret_secret->n = 0;
        if (strncmp(reference, "file:", 5) == 0)
                r = read_file(reference + 5, ret_secret, why);
        else if (strncmp(reference, "env:", 4) == 0)
                r = read_environment(reference + 4, ret_secret, why);
        else if (strncmp(reference, "credential:", 11) == 0)
                r = read_credential(reference + 11, ret_secret, why);
        else
                r = refuse(
                        why,
                        "does not belong into a configuration, write file:PATH, env:NAME or credential:NAME");
        if (r >= 0)
                r = check(ret_secret, why);
        if (r < 0)
                bridge_secret_wipe(ret_secret);
        return r;
}

void bridge_secret_wipe(bridge_secret *secret)
{
        explicit_bzero(secret, sizeof(*secret));
}
