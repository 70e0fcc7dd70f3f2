/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors. A call that can fail returns an int: zero or a count is success, one of the negative codes below is
 * failure. The text that belongs to one particular failure travels in the ctx: see cel_ctx_error_text() in
 * <celadon/ctx.h>. */
#ifndef CELADON_ERROR_H
#define CELADON_ERROR_H

#include <celadon/base.h>

/* X(name, value, text): the one table. Values are part of the ABI: append, never renumber. */
#define CEL_ERRORS(X)                                    \
        X(ENOMEM, -1, "out of memory")                   \
        X(EINVAL, -2, "invalid argument")                \
        X(ECANCELED, -3, "cancelled")                    \
        X(ETIMEDOUT, -4, "deadline passed")              \
        X(ECLOSED, -5, "closed")                         \
        X(EFULL, -6, "limit reached")                    \
        X(EAGAIN, -7, "would have to wait")              \
        X(EPROTO, -8, "protocol violated by the peer")   \
        X(EIO, -9, "input or output failed")             \
        X(ECONNECT, -10, "cannot connect")               \
        X(ERESOLVE, -11, "name cannot be resolved")      \
        X(ETLS, -12, "TLS refused")                      \
        X(EAUTH, -13, "credentials refused")             \
        X(EACCESS, -14, "access refused")                \
        X(ENOTFOUND, -15, "not found")                   \
        X(ECONFLICT, -16, "exists with other settings")  \
        X(ETOOBIG, -17, "too big")                       \
        X(EDECODE, -18, "cannot be decoded")             \
        X(EVERSION, -19, "version not supported")        \
        X(EUNROUTABLE, -20, "no queue took the message") \
        X(ENACK, -21, "refused by the broker")           \
        X(EUNKNOWN, -22, "outcome unknown")              \
        X(ENOSUPPORT, -23, "not supported")              \
        X(EBUSY, -24, "in use")                          \
        X(ESYSTEM, -25, "system call failed")            \
        X(EFORKED, -26, "forked with a live runtime")    \
        X(EREMOTE, -27, "the other side failed")

enum {
#define CEL_ERROR_ENUM(name, value, text) CEL_##name = (value),
        CEL_ERRORS(CEL_ERROR_ENUM)
#undef CEL_ERROR_ENUM
};

CEL_BEGIN

/* The general text of an error code, such as "deadline passed"; "success" for zero and counts, "unknown
 * error" for what is not in the table. The text is static. */
CEL_API const char *cel_error_text(int code);

/* The name of an error code, such as "CEL_ETIMEDOUT"; "CEL_OK" for zero and counts. The text is static. */
CEL_API const char *cel_error_name(int code);

CEL_END

#endif
