/*
 * digest.h - the name under which an entry is stored. SQL computes the same: see digest() in impl/sql.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_DIGEST_H
#define PGC_PURE_DIGEST_H

#include <stddef.h>

#include "platform/buffer.h"

#define PGC_DIGEST_SIZE 16

typedef struct pgc_digest {
  unsigned char bytes[PGC_DIGEST_SIZE];
} pgc_digest;

/* The first 16 bytes of sha256(kind 'k' | length of the namespace as a big-endian int4 | namespace | key). The length
   makes it impossible that two pairs of namespace and key give the same input. */
void pgc_digest_of_key(pgc_digest *digest, const char *namespace_name, const void *key, size_t key_len);

/* The same of a tag, with kind 't': SQL computes it in tag_digest(). */
void pgc_digest_of_tag(pgc_digest *digest, const char *namespace_name, const void *tag, size_t tag_len);

/* That of a key in 16 bytes of BLAKE2b with a secret key of PGC_SECRET_SIZE bytes: without it nobody can tell which key an entry
   belongs to, nor try keys out. SQL cannot compute it. Digests of tags stay unkeyed, because triggers make them. */
void pgc_digest_of_key_with(pgc_digest *digest, const unsigned char *secret, const char *namespace_name,
                            const void *key, size_t key_len);

/* As memcmp(): the order of PostgreSQL's uuid type, which every multi-key statement locks rows in. */
static inline int pgc_digest_compare(const pgc_digest *left, const pgc_digest *right) {
  uint64_t a = pgc_load_u64(left->bytes), b = pgc_load_u64(right->bytes);
  if (a == b) {
    a = pgc_load_u64(left->bytes + 8);
    b = pgc_load_u64(right->bytes + 8);
  }
  return (a > b) - (a < b);
}

#endif
