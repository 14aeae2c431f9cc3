/*
 * keyring.h - the secret keys of a handle: where they come from, and the memory that they live in.
 *
 * Owns: locked memory that is read-only while keys are in it, and wiped when it is given back. Must never: leave a copy of
 * a key in other memory, or show anything of a key file in a message.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_KEYRING_H
#define PGC_PURE_KEYRING_H

#include <stdbool.h>
#include <stddef.h>

#include "pgcache.h"

#define PGC_SECRET_SIZE 32
#define PGC_KEY_ID_MAX 16
#define PGC_KEYRING_MAX 16                  /* keys: for a rotation two are enough */
#define PGC_KEY_FILE_MAX ((size_t)16 << 10) /* bytes */

typedef struct pgc_secret {
  unsigned char id_len; /* 1 to PGC_KEY_ID_MAX of a-z, 0-9, _ and - */
  char id[PGC_KEY_ID_MAX];
  unsigned char key[PGC_SECRET_SIZE];
} pgc_secret;

typedef struct pgc_keyring {
  size_t count;
  pgc_secret secrets[PGC_KEYRING_MAX]; /* the first one is for writing */
  bool has_digest_key;
  unsigned char digest_key[PGC_SECRET_SIZE];
} pgc_keyring;

/* True if text says where keys may come from: file:/path or env:NAME. */
bool pgc_keyring_source_ok(const char *source);

/* Reads the keys. PGCACHE_OK, PGCACHE_BAD_SETTING, PGCACHE_NO_MEMORY; *out is NULL on an error. */
pgcache_status pgc_keyring_load(pgc_keyring **out, const char *source, pgcache_error *error);

/* The same from the text of a key file: size bytes. */
pgcache_status pgc_keyring_parse(pgc_keyring **out, const char *text, size_t size, pgcache_error *error);

/* The key of that id; NULL: there is none. */
const pgc_secret *pgc_keyring_find(const pgc_keyring *keyring, const void *id, size_t id_len);

/* Wipes. NULL is a no-op. */
void pgc_keyring_free(pgc_keyring *keyring);

#endif
