/*
 * fuzz_keyring.c - key files of any content, with a secret in them that no message may show; and hostile stored values
 * under the keys: nothing that was not sealed opens. Input: the file; the same bytes are the stored value.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "fuzz.h"

#include "pure/compression.h"
#include "pure/encryption.h"

static void open_hostile(const pgc_keyring *keyring, const uint8_t *data, size_t size) {
  const pgc_seal_place place = {"default", "k", 1, 0, 16};
  size_t value_size = pgc_unsealed_size(keyring, data, size);
  if (value_size == SIZE_MAX)
    return;
  REQUIRE(value_size < size);
  unsigned char *value = malloc(value_size + 1);
  REQUIRE(value != NULL);
  REQUIRE(!pgc_unseal(value, keyring, data, size, &place));
  free(value);
}

/* Whatever a row claims: at most the claimed size is written, and all of it or nothing counts. */
static void decompress_hostile(pgc_codec codec, const uint8_t *data, size_t size) {
  size_t claimed = pgc_compressed_claim(data, size);
  if (claimed == 0 || claimed > 1 << 16)
    return;
  unsigned char *value = malloc(claimed);
  REQUIRE(value != NULL);
  pgc_decompress(codec, value, claimed, data, size);
  free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = text_with_canary(data, size);
  pgc_keyring *keyring;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status = pgc_keyring_parse(&keyring, text, strlen(text), &error);
  check_error(status, &error);
  REQUIRE((keyring != NULL) == (status == PGCACHE_OK));
  pgc_keyring_free(keyring);
  free(text);

  static const char known[] = "a QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n";
  REQUIRE(pgc_keyring_parse(&keyring, known, sizeof known - 1, NULL) == PGCACHE_OK);
  open_hostile(keyring, data, size);
  pgc_keyring_free(keyring);
  decompress_hostile(PGC_CODEC_LZ4, data, size);
  decompress_hostile(PGC_CODEC_ZSTD, data, size);
  return 0;
}
