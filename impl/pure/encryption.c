/*
 * encryption.c - see encryption.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/encryption.h"

#include <sodium.h>
#include <string.h>

#include "platform/buffer.h"

#define VERSION 1
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES

_Static_assert(PGC_SEALED_EXTRA_MAX == 2 + PGC_KEY_ID_MAX + NONCE_SIZE + TAG_SIZE, "the header counts bytes");
_Static_assert(PGC_SECRET_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "one size of keys for all");

#define PLACE_MAX (1 + 4 + 4 + 4 + PGC_KEY_ID_MAX + 4 + PGCACHE_NAMESPACE_MAX + 4 + PGCACHE_KEY_MAX)

static size_t append(unsigned char *out, const void *bytes, size_t size) {
  pgc_store_u32(out, (uint32_t)size);
  memcpy(out + 4, bytes, size);
  return 4 + size;
}

/* What is authenticated beside the value: each part with its length, so that no two places give the same bytes. */
static size_t describe_place(unsigned char *out, const pgc_secret *secret, const pgc_seal_place *place) {
  size_t size = 0;
  out[size++] = VERSION;
  pgc_store_u32(out + size, (uint32_t)place->format);
  size += 4;
  pgc_store_u32(out + size, (uint32_t)place->flags);
  size += 4;
  size += append(out + size, secret->id, secret->id_len);
  size += append(out + size, place->namespace_name, strlen(place->namespace_name));
  size += append(out + size, place->key, place->key_len);
  return size;
}

size_t pgc_sealed_head(const pgc_secret *secret) {
  return 2 + (size_t)secret->id_len + NONCE_SIZE;
}

size_t pgc_sealed_size(const pgc_secret *secret, size_t size) {
  return pgc_sealed_head(secret) + size + TAG_SIZE;
}

void pgc_seal(unsigned char *stored, size_t size, const pgc_secret *secret, const pgc_seal_place *place) {
  unsigned char about[PLACE_MAX];
  size_t about_size = describe_place(about, secret, place);
  unsigned char *nonce = stored + 2 + secret->id_len, *value = nonce + NONCE_SIZE;
  stored[0] = VERSION;
  stored[1] = secret->id_len;
  memcpy(stored + 2, secret->id, secret->id_len);
  randombytes_buf(nonce, NONCE_SIZE);
  crypto_aead_xchacha20poly1305_ietf_encrypt(value, NULL, value, size, about, about_size, NULL, nonce, secret->key);
}

/* The key of a stored form that is long enough to be one; NULL otherwise. */
static const pgc_secret *secret_of(const pgc_keyring *keyring, const unsigned char *stored, size_t stored_size) {
  if (stored_size < 2 || stored[0] != VERSION || stored_size < 2 + (size_t)stored[1] + NONCE_SIZE + TAG_SIZE)
    return NULL;
  return pgc_keyring_find(keyring, stored + 2, stored[1]);
}

size_t pgc_unsealed_size(const pgc_keyring *keyring, const void *stored, size_t stored_size) {
  const pgc_secret *secret = secret_of(keyring, stored, stored_size);
  return secret != NULL ? stored_size - pgc_sealed_size(secret, 0) : SIZE_MAX;
}

bool pgc_unseal(void *out, const pgc_keyring *keyring, const void *stored, size_t stored_size,
                const pgc_seal_place *place) {
  unsigned char about[PLACE_MAX];
  const pgc_secret *secret = secret_of(keyring, stored, stored_size);
  if (secret == NULL)
    return false;
  size_t about_size = describe_place(about, secret, place);
  const unsigned char *nonce = (const unsigned char *)stored + 2 + secret->id_len, *value = nonce + NONCE_SIZE;
  return crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, value, stored_size - pgc_sealed_head(secret),
                                                    about, about_size, nonce, secret->key) == 0;
}
