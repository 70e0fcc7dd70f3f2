/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Four libraries with one shape: begin, step, end. A step reads some input and writes some
 * output; run() around it owns the loop, the growth and the limit, so each library adds no more than a few
 * lines. Output grows by what has been produced. What a header says about sizes is believed by nobody, except
 * the window that lzma and zstd look back through: they take it at once, within a limit, and give it back at
 * the end. */
#include "wire/decompress.h"
#include "wire/explain.h"

#include <bzlib.h>
#include <lzma.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
        ROOM_BYTES_MIN = 16 * 1024,
        STEP_BYTES_MAX = 1 << 30,  /* zlib and bzip2 count in 32 bits */
        ZLIB_WINDOW_ANY = 15 + 32, /* the largest window; zlib's header or gzip's */
        MEMORY_MIB_MAX = 128,      /* xz -9 needs half of that, zstd --ultra -22 all */
        ZSTD_WINDOW_LOG_MAX = 27,  /* the same */
};

/* One decompression. */
typedef struct job {
        const uint8_t *in;
        size_t in_bytes;
        uint8_t *room; /* where output goes */
        size_t room_bytes;
        union {
                z_stream zlib;
                bz_stream bzip2;
                lzma_stream lzma;
                ZSTD_DStream *zstd; /* owned */
        } as;
} job;

typedef enum outcome {
        MORE, /* call it again; if nothing was read and nothing written, it misses input */
        END,
        BROKEN,
        GREEDY, /* it asks for more memory than a decoder may have */
        NO_MEMORY,
        CUT,       /* this and the following: said by run() */
        LEFT_OVER, /* the end was not the body's end */
        TOO_BIG,
} outcome;

typedef struct library {
        const char *names[4];
        outcome (*begin)(job *j); /* MORE, or an error: there is nothing to end then */
        outcome (*step)(job *j);
        void (*end)(job *j);
} library;

static unsigned at_most(size_t n)
{
        return n < STEP_BYTES_MAX ? (unsigned)n : STEP_BYTES_MAX;
}

static void advance(job *j, size_t read, size_t written)
{
        j->in += read;
        j->in_bytes -= read;
        j->room += written;
        j->room_bytes -= written;
}

/* --- zlib and gzip ---------------------------------------------------------------------------- */

static outcome zlib_begin(job *j)
{
        j->as.zlib = (z_stream){0};
        return inflateInit2(&j->as.zlib, ZLIB_WINDOW_ANY) == Z_OK ? MORE : NO_MEMORY;
}

static outcome zlib_step(job *j)
{
        z_stream *zlib = &j->as.zlib;
        unsigned in = at_most(j->in_bytes), room = at_most(j->room_bytes);

        zlib->next_in = (z_const Bytef *)j->in;
        zlib->avail_in = in;
        zlib->next_out = j->room;
        zlib->avail_out = room;
        int r = inflate(zlib, Z_NO_FLUSH);
        advance(j, in - zlib->avail_in, room - zlib->avail_out);
        if (r == Z_STREAM_END)
                return END;
        if (r == Z_MEM_ERROR)
                return NO_MEMORY;
        return r == Z_OK || r == Z_BUF_ERROR ? MORE : BROKEN;
}

static void zlib_end(job *j)
{
        inflateEnd(&j->as.zlib);
}

/* --- bzip2 ------------------------------------------------------------------------------------ */

static outcome bzip2_begin(job *j)
{
        j->as.bzip2 = (bz_stream){0};
        return BZ2_bzDecompressInit(&j->as.bzip2, 0, 0) == BZ_OK ? MORE : NO_MEMORY;
}

static outcome bzip2_step(job *j)
{
        bz_stream *bzip2 = &j->as.bzip2;
        unsigned in = at_most(j->in_bytes), room = at_most(j->room_bytes);

        bzip2->next_in = (char *)j->in; /* only read */
        bzip2->avail_in = in;
        bzip2->next_out = (char *)j->room;
        bzip2->avail_out = room;
        int r = BZ2_bzDecompress(bzip2);
        advance(j, in - bzip2->avail_in, room - bzip2->avail_out);
        if (r == BZ_STREAM_END)
                return END;
        if (r == BZ_MEM_ERROR)
                return NO_MEMORY;
        return r == BZ_OK ? MORE : BROKEN;
}

static void bzip2_end(job *j)
{
        BZ2_bzDecompressEnd(&j->as.bzip2);
}

/* --- lzma ------------------------------------------------------------------------------------- */

static outcome xz_begin(job *j)
{
        j->as.lzma = (lzma_stream)LZMA_STREAM_INIT;
        return lzma_auto_decoder(&j->as.lzma, MEMORY_MIB_MAX << 20, 0) == LZMA_OK ? MORE : NO_MEMORY;
}

static outcome xz_step(job *j)
{
        lzma_stream *lzma = &j->as.lzma;

        lzma->next_in = j->in;
        lzma->avail_in = j->in_bytes;
        lzma->next_out = j->room;
        lzma->avail_out = j->room_bytes;
        lzma_ret r = lzma_code(lzma, LZMA_RUN);
        advance(j, j->in_bytes - lzma->avail_in, j->room_bytes - lzma->avail_out);
        if (r == LZMA_STREAM_END)
                return END;
        if (r == LZMA_MEMLIMIT_ERROR)
                return GREEDY;
        if (r == LZMA_MEM_ERROR)
                return NO_MEMORY;
        return r == LZMA_OK || r == LZMA_BUF_ERROR ? MORE : BROKEN;
}

static void xz_end(job *j)
{
        lzma_end(&j->as.lzma);
}

/* --- zstd ------------------------------------------------------------------------------------- */

/* The library would also read formats from before 1.0, which nobody sends, and frames without content. */
static bool is_zstd(const job *j)
{
        static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd};

        return memcmp(j->in, magic, j->in_bytes < sizeof(magic) ? j->in_bytes : sizeof(magic)) == 0;
}

static outcome zstd_begin(job *j)
{
        if (!is_zstd(j))
                return BROKEN;
        j->as.zstd = ZSTD_createDStream();
        if (!j->as.zstd)
                return NO_MEMORY;
        ZSTD_DCtx_setParameter(j->as.zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
        return MORE;
}

static outcome zstd_step(job *j)
{
        ZSTD_inBuffer in = {j->in, j->in_bytes, 0};
        ZSTD_outBuffer out = {j->room, j->room_bytes, 0};
        size_t r = ZSTD_decompressStream(j->as.zstd, &out, &in);

        advance(j, in.pos, out.pos);
        if (r == 0)
                return END;
        if (!ZSTD_isError(r))
                return MORE;
        switch (ZSTD_getErrorCode(r)) {
        case ZSTD_error_frameParameter_windowTooLarge:
                return GREEDY;
        case ZSTD_error_memory_allocation:
                return NO_MEMORY;
        default:
                return BROKEN;
        }
}

static void zstd_end(job *j)
{
        ZSTD_freeDStream(j->as.zstd);
}

/* --- All of them ------------------------------------------------------------------------------ */

/* names[0] is what kombu writes, names[1] what people say. */
static const library libraries[] = {
        {{"application/x-gzip", "gzip", "zlib"}, zlib_begin, zlib_step, zlib_end},
        {{"application/x-bz2", "bzip2", "bzip"}, bzip2_begin, bzip2_step, bzip2_end},
        {{"application/x-lzma", "lzma", "xz"}, xz_begin, xz_step, xz_end},
        {{"application/zstd", "zstd", "zstandard"}, zstd_begin, zstd_step, zstd_end},
};

static const library *find_library(const char *compression)
{
        for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
                for (const char *const *name = libraries[i].names; *name; name++)
                        if (strcmp(*name, compression) == 0)
                                return &libraries[i];
        return NULL;
}

/* All the room that `out` has, or some more if it has none; when it is full, the byte `beyond`, which tells
 * the end from a byte too many. */
static outcome make_room(job *j, cel__buf *out, uint8_t *beyond)
{
        size_t left = out->bytes_max - cel__buf_used(out);

        if (left == 0) {
                j->room = beyond;
                j->room_bytes = 1;
                return MORE;
        }
        if (out->end == out->capacity &&
            !cel__buf_reserve(out, left < ROOM_BYTES_MIN ? left : ROOM_BYTES_MIN, NULL))
                return NO_MEMORY;
        j->room = out->bytes + out->end;
        j->room_bytes = out->capacity - out->end;
        if (j->room_bytes > left)
                j->room_bytes = left;
        return MORE;
}

static outcome run(const library *lib, job *j, cel__buf *out)
{
        uint8_t beyond;

        for (;;) {
                outcome o = make_room(j, out, &beyond);

                if (o != MORE)
                        return o;
                size_t in_bytes = j->in_bytes, room_bytes = j->room_bytes;
                bool full = j->room == &beyond;
                o = lib->step(j);
                size_t written = room_bytes - j->room_bytes;
                if (full && written > 0)
                        return TOO_BIG;
                cel__buf_commit(out, written);
                if (o == END)
                        return j->in_bytes > 0 ? LEFT_OVER : END;
                if (o != MORE)
                        return o;
                if (written == 0 && j->in_bytes == in_bytes)
                        return CUT;
        }
}

/* The error code and the sentence for an outcome. */
static int report(outcome o, const char *name, size_t bytes_max, char *why, size_t why_bytes)
{
        switch (o) {
        case MORE:
        case END:
                return 0;
        case BROKEN:
                cel__explain(why, why_bytes, "the body cannot be decompressed: it is damaged, or not %s",
                             name);
                return CEL_EDECODE;
        case GREEDY:
                cel__explain(why, why_bytes,
                             "the body cannot be decompressed: its %s needs more than %d MiB of memory", name,
                             MEMORY_MIB_MAX);
                return CEL_EDECODE;
        case NO_MEMORY:
                cel__explain(why, why_bytes, "out of memory");
                return CEL_ENOMEM;
        case CUT:
                cel__explain(why, why_bytes, "the body cannot be decompressed: its %s ends too early", name);
                return CEL_EDECODE;
        case LEFT_OVER:
                cel__explain(why, why_bytes,
                             "the body cannot be decompressed: its %s ends before the body does", name);
                return CEL_EDECODE;
        case TOO_BIG:
                cel__explain(why, why_bytes, "the body decompresses to more than %zu bytes", bytes_max);
                return CEL_ETOOBIG;
        }
        return CEL_EDECODE; /* not reached: gcc does not know that */
}

int cel__decompress(const char *compression, const void *body, size_t n, cel__buf *out, char *why,
                    size_t why_bytes)
{
        const library *lib = find_library(compression);
        size_t used = cel__buf_used(out);
        job j = {.in = body, .in_bytes = n};

        if (!lib) {
                cel__explain(why, why_bytes,
                             "compression \"%.64s\" is not supported; gzip, bzip2, lzma and zstd are",
                             compression);
                return CEL_EDECODE;
        }
        outcome o = n > 0 ? lib->begin(&j) : CUT;
        if (o == MORE) {
                o = run(lib, &j, out);
                lib->end(&j);
        }
        if (o != END)
                out->end = out->start + used;
        return report(o, lib->names[1], out->bytes_max - used, why, why_bytes);
}
