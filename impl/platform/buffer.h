/*
 * buffer.h - a byte string that grows while it is written. Failure is sticky: write on, look once at the end.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PLATFORM_BUFFER_H
#define PGC_PLATFORM_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pgc_buffer {
  unsigned char *data;
  size_t size;
  size_t capacity;
  bool failed; /* an allocation failed; what was written since is lost */
} pgc_buffer;

#define PGC_BUFFER_INIT                                                                                                \
  { NULL, 0, 0, false }

/* Makes room for size more bytes at once. */
void pgc_buffer_reserve(pgc_buffer *buffer, size_t size);
void pgc_buffer_append(pgc_buffer *buffer, const void *bytes, size_t size);
void pgc_buffer_append_text(pgc_buffer *buffer, const char *text);
void pgc_buffer_append_u32(pgc_buffer *buffer, uint32_t number); /* big-endian */
void pgc_buffer_append_u64(pgc_buffer *buffer, uint64_t number); /* big-endian */
void pgc_buffer_clear(pgc_buffer *buffer);

/* Big-endian numbers in memory that need not be aligned. Compilers make one instruction of each. */
static inline void pgc_store_u32(unsigned char *bytes, uint32_t number) {
  bytes[0] = (unsigned char)(number >> 24);
  bytes[1] = (unsigned char)(number >> 16);
  bytes[2] = (unsigned char)(number >> 8);
  bytes[3] = (unsigned char)number;
}

static inline void pgc_store_u64(unsigned char *bytes, uint64_t number) {
  pgc_store_u32(bytes, (uint32_t)(number >> 32));
  pgc_store_u32(bytes + 4, (uint32_t)number);
}

static inline uint32_t pgc_load_u32(const unsigned char *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3];
}

static inline uint64_t pgc_load_u64(const unsigned char *bytes) {
  return (uint64_t)pgc_load_u32(bytes) << 32 | pgc_load_u32(bytes + 4);
}

#endif
