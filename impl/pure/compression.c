/*
 * compression.c - see compression.h. The libraries' functions are declared here as their manuals give them (lz4.h since
 * 1.7, zstd.h since 1.0: both are promised to be stable), because their headers need not be there.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/compression.h"

#include <stdatomic.h>

#include "platform/buffer.h"
#include "platform/library.h"

/* A value is written once and read often, by the application's own processor: the quickest level. */
#define ZSTD_LEVEL 1

#define HEAD_SIZE 4

typedef int (*lz4_compress)(const char *from, char *to, int size, int room);   /* LZ4_compress_default; 0: failed */
typedef int (*lz4_decompress)(const char *from, char *to, int size, int room); /* LZ4_decompress_safe; < 0: failed */
typedef size_t (*zstd_compress)(void *to, size_t room, const void *from, size_t size, int level); /* ZSTD_compress */
typedef size_t (*zstd_decompress)(void *to, size_t room, const void *from, size_t size);          /* ZSTD_decompress */
typedef unsigned (*zstd_is_error)(size_t result);                                                 /* ZSTD_isError */

/* Set by whoever needs them first. Two threads that come at once both set them, to the same: no lock, which a fork could
   leave behind locked. */
static struct {
  _Atomic(lz4_compress) compress;
  _Atomic(lz4_decompress) decompress;
} lz4;

static struct {
  _Atomic(zstd_compress) compress;
  _Atomic(zstd_decompress) decompress;
  _Atomic(zstd_is_error) is_error;
} zstd;

/* A library that is missing is looked for again the next time: it may be installed while we run. */
static bool load_lz4(void) {
  if (atomic_load_explicit(&lz4.decompress, memory_order_acquire) != NULL) /* the one that is set last */
    return true;
  lz4_compress compress;
  lz4_decompress decompress;
  void *library = pgc_library_open("liblz4.so.1");
  if (library == NULL || !pgc_library_find(library, "LZ4_compress_default", &compress) ||
      !pgc_library_find(library, "LZ4_decompress_safe", &decompress))
    return false;
  atomic_store(&lz4.compress, compress);
  atomic_store(&lz4.decompress, decompress);
  return true;
}

static bool load_zstd(void) {
  if (atomic_load_explicit(&zstd.decompress, memory_order_acquire) != NULL)
    return true;
  zstd_compress compress;
  zstd_decompress decompress;
  zstd_is_error is_error;
  void *library = pgc_library_open("libzstd.so.1");
  if (library == NULL || !pgc_library_find(library, "ZSTD_compress", &compress) ||
      !pgc_library_find(library, "ZSTD_decompress", &decompress) ||
      !pgc_library_find(library, "ZSTD_isError", &is_error))
    return false;
  atomic_store(&zstd.compress, compress);
  atomic_store(&zstd.is_error, is_error);
  atomic_store(&zstd.decompress, decompress);
  return true;
}

void pgc_compression_forget(void) {
  atomic_store(&lz4.decompress, NULL);
  atomic_store(&zstd.decompress, NULL);
}

bool pgc_codec_available(pgc_codec codec) {
  switch (codec) {
  case PGC_CODEC_NONE:
    return true;
  case PGC_CODEC_LZ4:
    return load_lz4();
  case PGC_CODEC_ZSTD:
    return load_zstd();
  }
  return false;
}

const char *pgc_codec_package(pgc_codec codec) {
  return codec == PGC_CODEC_LZ4 ? "liblz4-1" : "libzstd1";
}

size_t pgc_compress_room(size_t size) {
  return size - size / 10 - (size % 10 != 0);
}

size_t pgc_compress(pgc_codec codec, unsigned char *out, size_t room, const void *bytes, size_t size) {
  if (room <= HEAD_SIZE || !pgc_codec_available(codec))
    return 0;
  size_t block = 0;
  if (codec == PGC_CODEC_LZ4) {
    block = (size_t)atomic_load(&lz4.compress)(bytes, (char *)out + HEAD_SIZE, (int)size, (int)(room - HEAD_SIZE));
  } else if (codec == PGC_CODEC_ZSTD) {
    block = atomic_load(&zstd.compress)(out + HEAD_SIZE, room - HEAD_SIZE, bytes, size, ZSTD_LEVEL);
    if (atomic_load(&zstd.is_error)(block))
      block = 0;
  }
  if (block == 0)
    return 0;
  pgc_store_u32(out, (uint32_t)size);
  return HEAD_SIZE + block;
}

size_t pgc_compressed_claim(const void *stored, size_t stored_size) {
  return stored_size > HEAD_SIZE ? pgc_load_u32(stored) : 0;
}

bool pgc_decompress(pgc_codec codec, void *out, size_t size, const void *stored, size_t stored_size) {
  if (stored_size <= HEAD_SIZE || stored_size > INT32_MAX || size > INT32_MAX || !pgc_codec_available(codec))
    return false;
  const unsigned char *block = (const unsigned char *)stored + HEAD_SIZE;
  size_t block_size = stored_size - HEAD_SIZE;
  if (codec == PGC_CODEC_LZ4)
    return atomic_load(&lz4.decompress)((const char *)block, out, (int)block_size, (int)size) == (int)size;
  if (codec == PGC_CODEC_ZSTD) /* an error is a number near SIZE_MAX */
    return atomic_load(&zstd.decompress)(out, size, block, block_size) == size;
  return false;
}
