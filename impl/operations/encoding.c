/*
 * encoding.c - see encoding.h. Values are compressed first and encrypted then, in one buffer; and read straight from where
 * libpq put them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/encoding.h"

#include <inttypes.h>
#include <string.h>

#include "platform/memory.h"
#include "pure/compression.h"
#include "pure/encryption.h"
#include "pure/error.h"

/* The largest value that any handle stores: the upper limit of max_value_bytes. Who claims more lies. */
#define VALUE_MAX ((size_t)256 << 20)

/* ---- Life ---- */

static pgcache_status check_keyring(const pgc_encoding *self, pgcache_error *error) {
  if (self->encryption != PGC_ENCRYPTION_OFF && self->keyring->count == 0)
    return pgc_fail(error, PGCACHE_BAD_SETTING,
                    "keys: encryption needs a key, and there is none in the key file but the digest key");
  if (self->keyed_digests && !self->keyring->has_digest_key)
    return pgc_fail(error, PGCACHE_BAD_SETTING,
                    "keys: digests=keyed needs a line with the id digest in the key file; `pgcache keygen digest` "
                    "prints one");
  return PGCACHE_OK;
}

pgcache_status pgc_encoding_open(pgc_encoding *self, const pgc_settings *settings, pgc_counter *values_refused,
                                 pgcache_error *error) {
  *self = (pgc_encoding){.compression = settings->compression,
                         .compression_min_bytes = (size_t)settings->compression_min_bytes,
                         .encryption = settings->encryption,
                         .keyed_digests = settings->keyed_digests,
                         .max_value_bytes = (size_t)settings->max_value_bytes,
                         .values_refused = values_refused};
  if (!pgc_codec_available(self->compression))
    return pgc_fail(error, PGCACHE_BAD_SETTING,
                    "compression: its library is not there; install it (Debian: the package %s), or set "
                    "compression=off",
                    pgc_codec_package(self->compression));
  if (settings->keys == NULL)
    return PGCACHE_OK;
  pgcache_status status = pgc_keyring_load(&self->keyring, settings->keys, error);
  if (status == PGCACHE_OK)
    status = check_keyring(self, error);
  if (status != PGCACHE_OK)
    pgc_encoding_close(self);
  return status;
}

void pgc_encoding_close(pgc_encoding *self) {
  pgc_keyring_free(self->keyring);
  self->keyring = NULL;
}

void pgc_encoding_digest(const pgc_encoding *self, pgc_digest *digest, const char *namespace_name, const void *key,
                         size_t key_len) {
  if (self->keyed_digests)
    pgc_digest_of_key_with(digest, self->keyring->digest_key, namespace_name, key, key_len);
  else
    pgc_digest_of_key(digest, namespace_name, key, key_len);
}

/* ---- Writing ---- */

pgcache_status pgc_encode(const pgc_encoding *self, const char *namespace_name, pgc_op_key *entry,
                          pgcache_error *error) {
  const pgc_secret *secret = self->encryption != PGC_ENCRYPTION_OFF ? &self->keyring->secrets[0] : NULL;
  size_t size = entry->value_len;
  bool compress = self->compression != PGC_CODEC_NONE && size >= self->compression_min_bytes;
  if ((entry->flags & PGC_STORED_ABSENT) != 0)
    return PGCACHE_OK;
  entry->flags = pgc_encoding_flags(self);
  if (secret == NULL && !compress)
    return PGCACHE_OK;

  size_t room = secret != NULL ? pgc_sealed_size(secret, size) : pgc_compress_room(size);
  unsigned char *stored = pgc_alloc(room);
  if (stored == NULL)
    return pgc_fail_memory(error);
  size_t head = secret != NULL ? pgc_sealed_head(secret) : 0;
  size_t compressed =
      compress ? pgc_compress(self->compression, stored + head, pgc_compress_room(size), entry->value, size) : 0;
  if (compressed > 0) {
    entry->flags |= (int32_t)self->compression;
    size = compressed;
  } else if (secret != NULL && size > 0) {
    memcpy(stored + head, entry->value, size);
  } else if (secret == NULL) { /* it does not get smaller */
    pgc_free(stored);
    return PGCACHE_OK;
  }
  if (secret != NULL) {
    entry->flags |= PGC_STORED_ENCRYPTED;
    pgc_seal_place place = {namespace_name, entry->key, entry->key_len, entry->format, entry->flags};
    pgc_seal(stored, size, secret, &place);
    size = pgc_sealed_size(secret, size);
  }
  entry->value = entry->encoded = stored;
  entry->value_len = size;
  return PGCACHE_OK;
}

/* ---- Reading ---- */

/* The row is not what a handle like this one wrote for that key: it is as if there were none. */
static pgcache_status refuse(const pgc_encoding *self) {
  pgc_count(self->values_refused);
  return PGCACHE_MISS;
}

static pgcache_status too_large(const pgc_encoding *self, size_t size, pgcache_error *error) {
  return pgc_fail(error, PGCACHE_TOO_LARGE,
                  "the stored value has %zu bytes, more than the setting max_value_bytes (%zu) lets in", size,
                  self->max_value_bytes);
}

/* Decompresses into a new value. */
static pgcache_status decompress(const pgc_encoding *self, pgc_codec codec, const void *stored, size_t stored_size,
                                 pgcache_value **value, pgcache_error *error) {
  size_t size = pgc_compressed_claim(stored, stored_size);
  if (size == 0 || size > VALUE_MAX)
    return refuse(self);
  if (size > self->max_value_bytes)
    return too_large(self, size, error);
  if (!pgc_codec_available(codec))
    return refuse(self);
  pgcache_value *made = pgc_value_new(size);
  if (made == NULL)
    return pgc_fail_memory(error);
  if (!pgc_decompress(codec, made->own, size, stored, stored_size)) {
    pgc_value_release(made);
    return refuse(self);
  }
  *value = made;
  return PGCACHE_OK;
}

/* Decrypts into a new value. */
static pgcache_status unseal(const pgc_encoding *self, const pgc_stored *stored, const pgc_seal_place *place,
                             size_t size, pgcache_value **value, pgcache_error *error) {
  pgcache_value *made = pgc_value_new(size);
  if (made == NULL)
    return pgc_fail_memory(error);
  if (!pgc_unseal(made->own, self->keyring, stored->bytes, stored->size, place)) {
    pgc_value_release(made);
    return refuse(self);
  }
  *value = made;
  return PGCACHE_OK;
}

static pgcache_status decrypt(const pgc_encoding *self, const pgc_stored *stored, const pgc_seal_place *place,
                              pgcache_value **value, pgcache_error *error) {
  pgc_codec codec = (pgc_codec)(stored->flags & PGC_STORED_CODEC);
  size_t size = self->keyring != NULL ? pgc_unsealed_size(self->keyring, stored->bytes, stored->size) : SIZE_MAX;
  if (size == SIZE_MAX)
    return refuse(self);
  if (size > self->max_value_bytes)
    return too_large(self, size, error);
  pgcache_value *opened = NULL;
  pgcache_status status = unseal(self, stored, place, size, &opened, error);
  if (status == PGCACHE_OK && codec != PGC_CODEC_NONE) {
    status = decompress(self, codec, opened->own, size, value, error);
    pgc_value_release(opened);
  } else if (status == PGCACHE_OK) {
    *value = opened;
  }
  return status;
}

pgcache_status pgc_decode(const pgc_op *op, const pgc_op_key *key, const pgc_stored *stored, pgcache_value **value,
                          pgcache_error *error) {
  const pgc_encoding *self = op->decoder;
  int32_t codec = stored->flags & PGC_STORED_CODEC;
  bool encrypted = stored->flags & PGC_STORED_ENCRYPTED, keyed = stored->flags & PGC_STORED_KEYED;
  bool known = (stored->flags & ~(PGC_STORED_CODEC | PGC_STORED_ENCRYPTED | PGC_STORED_KEYED)) == 0 &&
               (codec == PGC_CODEC_NONE || codec == PGC_CODEC_LZ4 || codec == PGC_CODEC_ZSTD);
  *value = NULL;
  if (!known || keyed != self->keyed_digests || (!encrypted && self->encryption == PGC_ENCRYPTION_REQUIRED))
    return refuse(self);
  if (encrypted) {
    pgc_seal_place place = {op->namespace_name, key->key, key->key_len, stored->format, stored->flags};
    return decrypt(self, stored, &place, value, error);
  }
  if (codec != PGC_CODEC_NONE)
    return decompress(self, (pgc_codec)codec, stored->bytes, stored->size, value, error);
  return PGCACHE_OK; /* the bytes are the value */
}
