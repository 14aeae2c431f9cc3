/*
 * buffer.c - see buffer.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "platform/buffer.h"

#include <string.h>

#include "platform/memory.h"

void pgc_buffer_reserve(pgc_buffer *buffer, size_t size) {
  if (buffer->failed || size <= buffer->capacity - buffer->size)
    return;
  size_t needed = buffer->size + size;
  size_t capacity = buffer->capacity * 2 > needed ? buffer->capacity * 2 : needed;
  if (capacity < 64)
    capacity = 64;
  unsigned char *data = pgc_realloc(buffer->data, capacity);
  if (data == NULL) {
    buffer->failed = true;
    return;
  }
  buffer->data = data;
  buffer->capacity = capacity;
}

void pgc_buffer_append(pgc_buffer *buffer, const void *bytes, size_t size) {
  pgc_buffer_reserve(buffer, size);
  if (buffer->failed || size == 0)
    return;
  memcpy(buffer->data + buffer->size, bytes, size);
  buffer->size += size;
}

void pgc_buffer_append_text(pgc_buffer *buffer, const char *text) {
  pgc_buffer_append(buffer, text, strlen(text));
}

void pgc_buffer_append_u32(pgc_buffer *buffer, uint32_t number) {
  unsigned char bytes[4];
  pgc_store_u32(bytes, number);
  pgc_buffer_append(buffer, bytes, sizeof bytes);
}

void pgc_buffer_append_u64(pgc_buffer *buffer, uint64_t number) {
  unsigned char bytes[8];
  pgc_store_u64(bytes, number);
  pgc_buffer_append(buffer, bytes, sizeof bytes);
}

void pgc_buffer_clear(pgc_buffer *buffer) {
  pgc_free(buffer->data);
  *buffer = (pgc_buffer)PGC_BUFFER_INIT;
}
