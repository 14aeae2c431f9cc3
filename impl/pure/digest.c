/*
 * digest.c - see digest.h. The only file of the library that calls libsodium.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/digest.h"

#include <sodium.h>
#include <string.h>

void pgc_digest_of_key(pgc_digest *digest, const char *namespace_name, const void *key, size_t key_len) {
  unsigned char hash[crypto_hash_sha256_BYTES];
  unsigned char input[256]; /* keys are mostly short: one call then costs less than four */
  size_t name_len = strlen(namespace_name);
  size_t head_len = 1 + 4 + name_len;

  input[0] = 'k';
  pgc_store_u32(input + 1, (uint32_t)name_len);
  memcpy(input + 5, namespace_name, name_len); /* at most PGCACHE_NAMESPACE_MAX bytes */
  if (key_len <= sizeof input - head_len) {
    memcpy(input + head_len, key, key_len);
    crypto_hash_sha256(hash, input, head_len + key_len);
  } else {
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, input, head_len);
    crypto_hash_sha256_update(&state, key, key_len);
    crypto_hash_sha256_final(&state, hash);
  }
  memcpy(digest->bytes, hash, PGC_DIGEST_SIZE);
}
