/*
 * encoding.h - how a handle stores values: compressed, encrypted, under keyed digests; and what it takes for a value when
 * it reads.
 *
 * Owns: the handle's secret keys. Must never: hand out bytes that are not what was stored for that key.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_OPERATIONS_ENCODING_H
#define PGC_OPERATIONS_ENCODING_H

#include "pure/keyring.h"
#include "store/store.h"

typedef struct pgc_encoding {
  pgc_codec compression;
  size_t compression_min_bytes;
  pgc_encryption encryption;
  bool keyed_digests;
  size_t max_value_bytes;
  pgc_keyring *keyring; /* NULL: no keys were given */
  pgc_counter *values_refused;
} pgc_encoding;

/* Reads the keys and opens the library of the compression that the settings ask for. PGCACHE_OK, PGCACHE_BAD_SETTING,
   PGCACHE_NO_MEMORY. values_refused: where to count; outlives the encoding. */
pgcache_status pgc_encoding_open(pgc_encoding *self, const pgc_settings *settings, pgc_counter *values_refused,
                                 pgcache_error *error);

/* Wipes the keys. A zeroed encoding is a no-op. */
void pgc_encoding_close(pgc_encoding *self);

/* The digest under which an entry is stored. */
void pgc_encoding_digest(const pgc_encoding *self, pgc_digest *digest, const char *namespace_name, const void *key,
                         size_t key_len);

/* The flags of an entry whose value is stored as it is. */
static inline int32_t pgc_encoding_flags(const pgc_encoding *self) {
  return self->keyed_digests ? PGC_STORED_KEYED : 0;
}

/* Sets entry->flags, and makes of entry->value what is to be stored, in memory that entry->encoded then holds, to be
   given to pgc_free(); where nothing is to be done the value stays as it is. PGCACHE_OK, PGCACHE_NO_MEMORY. */
pgcache_status pgc_encode(const pgc_encoding *self, const char *namespace_name, pgc_op_key *entry,
                          pgcache_error *error);

/* pgc_op.decode, with an encoding as pgc_op.decoder. */
pgcache_status pgc_decode(const pgc_op *op, const pgc_op_key *key, const pgc_stored *stored, pgcache_value **value,
                          pgcache_error *error);

#endif
