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
