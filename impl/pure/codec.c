/*
 * codec.c - see codec.h. Never allocates beyond the buffer it is given.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/codec.h"

void pgc_encode_array_header(pgc_buffer *buffer, uint32_t element_type, size_t count) {
  pgc_buffer_append_u32(buffer, 1); /* dimensions */
  pgc_buffer_append_u32(buffer, 0); /* a hint only: the server looks for NULLs itself */
  pgc_buffer_append_u32(buffer, element_type);
  pgc_buffer_append_u32(buffer, (uint32_t)count);
  pgc_buffer_append_u32(buffer, 1); /* the first subscript */
}

size_t pgc_decode_uuids(const void *bytes, int size, const unsigned char **first) {
  enum { HEADER = 20, ELEMENT = PGC_UUID_STRIDE };
  const unsigned char *head = bytes;
  *first = NULL;
  if (size == 12 && pgc_load_u32(head) == 0) /* no dimensions: no elements */
    return 0;
  if (size < HEADER || pgc_load_u32(head) != 1 || pgc_load_u32(head + 8) != PGC_OID_UUID)
    return SIZE_MAX;
  size_t count = pgc_load_u32(head + 12);
  if (count != (size_t)(size - HEADER) / ELEMENT || (size - HEADER) % ELEMENT != 0)
    return SIZE_MAX;
  for (size_t i = 0; i < count; i++) {
    if (pgc_load_u32(head + HEADER + i * ELEMENT) != PGC_UUID_SIZE) /* a NULL is shorter, too */
      return SIZE_MAX;
  }
  *first = head + HEADER + 4;
  return count;
}

bool pgc_decode_bool(const void *bytes, int size, bool *value) {
  if (size != 1)
    return false;
  *value = *(const unsigned char *)bytes != 0;
  return true;
}

bool pgc_decode_int4(const void *bytes, int size, int32_t *value) {
  if (size != 4)
    return false;
  *value = (int32_t)pgc_load_u32(bytes);
  return true;
}

bool pgc_decode_int8(const void *bytes, int size, int64_t *value) {
  if (size != 8)
    return false;
  *value = (int64_t)pgc_load_u64(bytes);
  return true;
}
