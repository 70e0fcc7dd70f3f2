/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams of bytes, one API for all of them: TCP, Unix sockets, pipes, a pair in memory, and TLS over any of
 * these (<celadon/tls.h>).
 *
 *     cel_auto(cel_stream) *stream = NULL;
 *     cel_auto_free char *answer = NULL;
 *
 *     int r = cel_tcp_connect(ctx, "localhost", 7, &stream);
 *     if (r >= 0)
 *             r = cel_stream_write_all(ctx, stream, "hello\n", 6);
 *     if (r >= 0)
 *             r = cel_stream_read_line(ctx, stream, 80, &answer);
 *
 * One task or thread at a time may read a stream, and one may write it; they may be different ones, on different
 * loops too. A second reader, or a second writer, gets CEL_EBUSY, and the error's text names both.
 *
 * A stream is watched by the loop of the task that first waits for it, for as long as it lives. A task of another
 * loop may use it as well: that loop then watches it too. A stream costs least when one loop does both. */
#ifndef CELADON_STREAM_H
#define CELADON_STREAM_H

#include <celadon/ctx.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cel_stream cel_stream;
typedef struct cel_listener cel_listener;

/* The longest line that cel_stream_read_line() can be asked for. */
#define CEL_STREAM_LINE_BYTES_MAX (1024 * 1024)

CEL_BEGIN

/* --- Making ----------------------------------------------------------------------------------- */

/* Connect to `host`, a name or an address, and `port`, trying its addresses in turn; of the time until the
 * deadline, each gets an equal share of what is left.
 * Owns:   *ret_stream is a reference of yours.
 * Waits:  for the name and the connection, the deadline or cancellation.
 * Errors: CEL_ERESOLVE, CEL_ECONNECT (every address refused; the text has the last one's reason),
 *         CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM, CEL_EFULL (too many names are asked for). */
CEL_API int cel_tcp_connect(cel_ctx *ctx, const char *host, uint16_t port, cel_stream **ret_stream);

/* Connect to the Unix socket at `path`.
 * Owns:   *ret_stream is a reference of yours.
 * Waits:  never; a socket whose queue of connections is full refuses.
 * Errors: CEL_ECONNECT, CEL_EINVAL (the path is empty or longer than a socket's can be), CEL_ECANCELED,
 *         CEL_ENOMEM. */
CEL_API int cel_unix_connect(cel_ctx *ctx, const char *path, cel_stream **ret_stream);

/* A stream over a descriptor that exists: a socket, a pipe, a terminal; not a file, which never makes anybody
 * wait but the disk. The descriptor becomes non-blocking, for everybody who shares it. `name` is copied, for
 * errors' texts.
 * Owns:   takes `fd`, unless this fails. *ret_stream is a reference of yours.
 * Errors: CEL_EINVAL (not open, or a file), CEL_ENOMEM. */
CEL_API int cel_stream_from_fd(int fd, const char *name, cel_stream **ret_stream);

/* Two streams in memory, no descriptor involved: what is written to one is read from the other. Each direction
 * holds at most `bytes_max` (1 to 1 GiB; 0: 64 KiB); then the writer waits.
 * Owns:   both are references of yours.
 * Errors: CEL_ENOMEM, CEL_EINVAL. */
CEL_API int cel_stream_pair(size_t bytes_max, cel_stream **ret_a, cel_stream **ret_b);

/* --- Listening -------------------------------------------------------------------------------- */

/* Take connections at `host`, an address or a name that has one ("0.0.0.0" or "::" for all of this machine), and
 * `port`; 0: any that is free, see cel_listener_port().
 * Owns:   *ret_listener is a reference of yours.
 * Waits:  for a name; not for an address.
 * Errors: CEL_EBUSY (somebody listens there), CEL_EACCESS, CEL_ERESOLVE, CEL_ESYSTEM, CEL_ETIMEDOUT, CEL_ECANCELED,
 *         CEL_ENOMEM. */
CEL_API int cel_tcp_listen(cel_ctx *ctx, const char *host, uint16_t port, cel_listener **ret_listener);

/* Take connections at the Unix socket `path`, which is made, with the process's umask, and removed when the
 * listener closes. A socket that a dead process left there is replaced.
 * Owns:   *ret_listener is a reference of yours.
 * Waits:  never.
 * Errors: CEL_EBUSY (somebody listens there, or it is no socket), CEL_EACCESS, CEL_EINVAL (as
 *         cel_unix_connect()), CEL_ESYSTEM, CEL_ECANCELED, CEL_ENOMEM. */
CEL_API int cel_unix_listen(cel_ctx *ctx, const char *path, cel_listener **ret_listener);

/* The next connection. Several tasks and threads may accept from one listener, on several loops.
 * Owns:   *ret_stream is a reference of yours.
 * Waits:  until somebody connects, the deadline or cancellation.
 * Errors: CEL_ECLOSED, CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM, CEL_ESYSTEM (descriptors ran out: the connection
 *         is still there, so do not try again at once). */
CEL_API int cel_accept(cel_ctx *ctx, cel_listener *listener, cel_stream **ret_stream);

/* The TCP port it listens on; 0 for a Unix socket. */
CEL_API uint16_t cel_listener_port(const cel_listener *listener);

/* Where it listens, for people: "127.0.0.1 port 80", "unix /run/x". Borrowed: valid as long as the listener. */
CEL_API const char *cel_listener_address(const cel_listener *listener);

/* Take no more connections; everybody who waits for one gets CEL_ECLOSED. Never waits. Callable from any
 * thread, twice too. */
CEL_API void cel_listener_close(cel_listener *listener);
CEL_API cel_listener *cel_listener_ref(cel_listener *listener);
/* Drop a reference; the last one closes. */
CEL_API cel_listener *cel_listener_unref(cel_listener *listener);

/* --- Reading ---------------------------------------------------------------------------------- */

/* Read what there is, at most `n` bytes. Returns how many; 0: the peer has ended the stream, for good.
 * Waits:  until there is something, the deadline or cancellation. No byte is lost then: the next read gets it.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_EBUSY (somebody else reads), CEL_ECLOSED (closed by us), CEL_EIO,
 *         CEL_ETLS. */
CEL_API int cel_stream_read(cel_ctx *ctx, cel_stream *stream, void *bytes, size_t n);

/* Read exactly `n` bytes, at most INT_MAX, or nothing: on failure what has come is kept for the next read.
 * Returns n, or 0 if the stream ended before the first byte.
 * Waits:  until all have come, the deadline or cancellation.
 * Errors: as cel_stream_read(); CEL_EPROTO when the stream ended in the middle, CEL_EINVAL, CEL_ENOMEM. */
CEL_API int cel_stream_read_exactly(cel_ctx *ctx, cel_stream *stream, void *bytes, size_t n);

/* Read a line of at most `bytes_max` bytes, its end, "\n" or "\r\n", included; the end is left out of *ret_line.
 * The last line of a stream may lack it. Returns how many bytes of the stream the line took; 0: there is none,
 * the peer has ended the stream.
 * Owns:   *ret_line is yours; free() it. Untouched unless there is a line.
 * Waits:  until a line has come, the deadline or cancellation.
 * Errors: as cel_stream_read(); CEL_ETOOBIG, CEL_EPROTO (a zero byte in the line), CEL_EINVAL (bytes_max is 0 or
 *         above CEL_STREAM_LINE_BYTES_MAX), CEL_ENOMEM. What has come is kept for the next read. */
CEL_API int cel_stream_read_line(cel_ctx *ctx, cel_stream *stream, size_t bytes_max, char **ret_line);

/* --- Writing ---------------------------------------------------------------------------------- */

/* Write some of `n` bytes, as many as go at once; returns how many, at least 1. With 0 bytes it returns 0.
 * Waits:  until some go, the deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_EBUSY (somebody else writes), CEL_ECLOSED (closed or shut down by us,
 *         or an earlier write was cut short), CEL_EIO, CEL_ETLS. */
CEL_API int cel_stream_write(cel_ctx *ctx, cel_stream *stream, const void *bytes, size_t n);

/* Write all `n` bytes. If that ends early and some are gone, the peer has half a message: every later write then
 * returns CEL_ECLOSED. Reading goes on.
 * Waits:  until all are taken by the kernel (or by the other end's buffer, in memory), the deadline or
 *         cancellation.
 * Errors: as cel_stream_write(). */
CEL_API int cel_stream_write_all(cel_ctx *ctx, cel_stream *stream, const void *bytes, size_t n);

/* End our side: the peer reads what was written and then the end, and may go on writing. Over TLS this is its
 * goodbye (close_notify), without which the peer must take the end for an accident. The end that only writes to a
 * pipe is closed by it.
 * Waits:  TLS only: until the goodbye is taken, the deadline or cancellation.
 * Errors: as cel_stream_write(); CEL_ENOSUPPORT (a terminal, say). Twice is fine, unless that closed it. */
CEL_API int cel_stream_shutdown(cel_ctx *ctx, cel_stream *stream);

/* --- Ending ----------------------------------------------------------------------------------- */

/* Close: everybody who waits for this stream, and everybody who uses it later, gets CEL_ECLOSED. At once, and
 * without TLS's goodbye: see cel_stream_shutdown(). Never waits. Callable from any thread, twice too. */
CEL_API void cel_stream_close(cel_stream *stream);

CEL_API cel_stream *cel_stream_ref(cel_stream *stream);

/* Drop a reference; the last one closes, even while another task is inside a call: it gets CEL_ECLOSED. All
 * references are dropped before the runtime is freed. */
CEL_API cel_stream *cel_stream_unref(cel_stream *stream);

/* What it is, for people: "127.0.0.1 port 5672", "unix /run/x". Borrowed: valid as long as the stream. */
CEL_API const char *cel_stream_name(const cel_stream *stream);

CEL_END

CEL_AUTO_WITH(cel_stream, cel_stream_unref)
CEL_AUTO_WITH(cel_listener, cel_listener_unref)

#endif
