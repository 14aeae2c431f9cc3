/*
 * codec.h - PostgreSQL's binary formats of the types that the statements use (documented by the types' send and receive
 * functions in PostgreSQL's source). What comes from the server is checked for length before it is used: rows are
 * hostile.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_CODEC_H
#define PGC_PURE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/buffer.h"

/* Type numbers of PostgreSQL's catalog (pg_type.dat); they never change. */
enum {
  PGC_OID_BYTEA = 17,
  PGC_OID_INT8 = 20,
  PGC_OID_INT4 = 23,
  PGC_OID_TEXT = 25,
  PGC_OID_TID = 27,
  PGC_OID_UUID = 2950,
  PGC_OID_BYTEA_ARRAY = 1001,
  PGC_OID_INT4_ARRAY = 1007,
  PGC_OID_INT8_ARRAY = 1016,
  PGC_OID_UUID_ARRAY = 2951
};

/* Begins a one-dimensional array of count elements; each follows as a big-endian int4 length (-1: NULL) and its bytes. */
void pgc_encode_array_header(pgc_buffer *buffer, uint32_t element_type, size_t count);

/* Numbers as they came from the server; false when the field has another length. */
bool pgc_decode_bool(const void *bytes, int size, bool *value);
bool pgc_decode_int4(const void *bytes, int size, int32_t *value);
bool pgc_decode_int8(const void *bytes, int size, int64_t *value);

/* An array of uuids, as it came from the server: how many there are; SIZE_MAX: it is none, or has NULLs. *first: where the first
   one lies, in bytes; the others follow at PGC_UUID_STRIDE bytes each. */
#define PGC_UUID_SIZE 16
#define PGC_UUID_STRIDE (4 + PGC_UUID_SIZE)
size_t pgc_decode_uuids(const void *bytes, int size, const unsigned char **first);

#endif
