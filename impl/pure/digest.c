/*
 * digest.c - see digest.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/digest.h"

#include <sodium.h>
#include <string.h>

#include "pure/keyring.h"

_Static_assert(PGC_SECRET_SIZE == crypto_generichash_KEYBYTES, "one size of keys for all");
_Static_assert(PGC_DIGEST_SIZE == crypto_generichash_BYTES_MIN, "the shortest digest is a uuid");

/* What is hashed before the key or tag: at most 5 + PGCACHE_NAMESPACE_MAX bytes. Its length. */
static size_t begin_input(unsigned char *input, char kind, const char *namespace_name) {
  size_t name_len = strlen(namespace_name);
  input[0] = (unsigned char)kind;
  pgc_store_u32(input + 1, (uint32_t)name_len);
  memcpy(input + 5, namespace_name, name_len);
  return 5 + name_len;
}

static void take_digest(pgc_digest *digest, char kind, const char *namespace_name, const void *key, size_t key_len) {
  unsigned char hash[crypto_hash_sha256_BYTES];
  unsigned char input[256]; /* keys are mostly short: one call then costs less than four */
  size_t head_len = begin_input(input, kind, namespace_name);

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

void pgc_digest_of_key(pgc_digest *digest, const char *namespace_name, const void *key, size_t key_len) {
  take_digest(digest, 'k', namespace_name, key, key_len);
}

void pgc_digest_of_tag(pgc_digest *digest, const char *namespace_name, const void *tag, size_t tag_len) {
  take_digest(digest, 't', namespace_name, tag, tag_len);
}

void pgc_digest_of_key_with(pgc_digest *digest, const unsigned char *secret, const char *namespace_name,
                            const void *key, size_t key_len) {
  unsigned char head[5 + PGCACHE_NAMESPACE_MAX];
  crypto_generichash_state state;
  crypto_generichash_init(&state, secret, PGC_SECRET_SIZE, PGC_DIGEST_SIZE);
  crypto_generichash_update(&state, head, begin_input(head, 'k', namespace_name));
  crypto_generichash_update(&state, key, key_len);
  crypto_generichash_final(&state, digest->bytes, PGC_DIGEST_SIZE);
  sodium_memzero(&state, sizeof state); /* the key is its first block */
}
