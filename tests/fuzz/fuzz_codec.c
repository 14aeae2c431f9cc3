/*
 * fuzz_codec.c - hostile rows: fields of any length and content; and what we encode is read back the same. Input: one
 * byte for the length that the server claims, then the field; the whole input also goes through a buffer and a digest.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "fuzz.h"

#include "platform/buffer.h"
#include "pure/codec.h"
#include "pure/digest.h"
#include "pure/sql_text.h"

/* The field stands at the very end of its memory, so that the sanitizer sees a read beyond it. */
static void decode(const uint8_t *data, size_t size) {
  uint8_t *field = malloc(size > 0 ? size : 1);
  REQUIRE(field != NULL);
  memcpy(field, data, size);
  bool truth = false;
  int32_t four = 0;
  int64_t eight = 0;
  REQUIRE(pgc_decode_bool(field, (int)size, &truth) == (size == 1));
  REQUIRE(pgc_decode_int4(field, (int)size, &four) == (size == 4));
  REQUIRE(pgc_decode_int8(field, (int)size, &eight) == (size == 8));
  pgc_buffer buffer = PGC_BUFFER_INIT;
  if (size == 4)
    pgc_buffer_append_u32(&buffer, (uint32_t)four);
  if (size == 8)
    pgc_buffer_append_u64(&buffer, (uint64_t)eight);
  REQUIRE(buffer.size == 0 || memcmp(buffer.data, field, size) == 0);
  pgc_buffer_clear(&buffer);
  free(field);
}

static void encode(const uint8_t *data, size_t size) {
  pgc_buffer buffer = PGC_BUFFER_INIT;
  size_t pieces = 0;
  pgc_encode_array_header(&buffer, PGC_OID_BYTEA, size);
  size_t head = buffer.size;
  for (size_t at = 0; at < size; pieces++) { /* in pieces whose lengths the input gives, as elements of an array */
    size_t length = data[at] % 16 < size - at ? data[at] % 16 + 1u : size - at;
    pgc_buffer_append_u32(&buffer, (uint32_t)length);
    pgc_buffer_append(&buffer, data + at, length);
    at += length;
  }
  REQUIRE(!buffer.failed && buffer.size == head + size + 4 * pieces);
  size_t read = 0;
  for (size_t at = head; at < buffer.size; pieces--) {
    size_t length = pgc_load_u32(buffer.data + at);
    REQUIRE(memcmp(buffer.data + at + 4, data + read, length) == 0);
    at += 4 + length;
    read += length;
  }
  REQUIRE(read == size && pieces == 0);
  pgc_buffer_clear(&buffer);
}

/* Text without a colon has nothing to resolve, and without a minus nothing to leave out. */
static void resolve(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  REQUIRE(text != NULL);
  memcpy(text, data, size);
  text[size] = '\0';
  pgc_buffer out = PGC_BUFFER_INIT;
  pgc_sql_resolve(&out, text, "schema", (pgc_schema_kind){true, size % 2 == 0});
  REQUIRE(!out.failed);
  if (strpbrk(text, ":-") == NULL)
    REQUIRE(out.size == strlen(text) && (out.size == 0 || memcmp(out.data, text, out.size) == 0));
  pgc_buffer_clear(&out);
  free(text);
}

/* Equal input, equal digest; another namespace, another digest. */
static void digest(const uint8_t *data, size_t size) {
  pgc_digest one;
  pgc_digest two;
  pgc_digest_of_key(&one, "namespace", data, size);
  pgc_digest_of_key(&two, "namespace", data, size);
  REQUIRE(pgc_digest_compare(&one, &two) == 0);
  pgc_digest_of_key(&two, "namespacf", data, size);
  REQUIRE(pgc_digest_compare(&one, &two) != 0);
  REQUIRE((pgc_digest_compare(&one, &two) < 0) == (pgc_digest_compare(&two, &one) > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 0) {
    size_t claimed = data[0] % 16;
    decode(data + 1, claimed < size - 1 ? claimed : size - 1);
  }
  encode(data, size);
  resolve(data, size);
  digest(data, size);
  return 0;
}
