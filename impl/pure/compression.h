/*
 * compression.h - values made smaller by LZ4 or zstd, whose libraries are opened when they are first needed.
 *
 * Owns: the stored form: the value's size as a big-endian int4, then the codec's own block (an LZ4 block, a zstd frame).
 * Must never: believe a size before it was compared with a limit, or write more than it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_COMPRESSION_H
#define PGC_PURE_COMPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers stand in entries.flags. */
typedef enum pgc_codec { PGC_CODEC_NONE = 0, PGC_CODEC_LZ4 = 1, PGC_CODEC_ZSTD = 2 } pgc_codec;

/* True if the codec's library is there; opens it. */
bool pgc_codec_available(pgc_codec codec);

/* The Debian package that has it, for messages. */
const char *pgc_codec_package(pgc_codec codec);

/* The largest stored form that is worth having instead of size bytes: it saves 10%. */
size_t pgc_compress_room(size_t size);

/* Writes the stored form of size bytes (at most 256 MiB) to out, which has room bytes. Its size; 0: it does not fit, or
   the library is not there. */
size_t pgc_compress(pgc_codec codec, unsigned char *out, size_t room, const void *bytes, size_t size);

/* The size that a stored form claims for its value; 0 when it is none. */
size_t pgc_compressed_claim(const void *stored, size_t stored_size);

/* Writes the value of a stored form to out, which has the claimed size. False unless it is exactly that long. */
bool pgc_decompress(pgc_codec codec, void *out, size_t size, const void *stored, size_t stored_size);

/* For tests: the libraries are looked for anew. */
void pgc_compression_forget(void);

#endif
