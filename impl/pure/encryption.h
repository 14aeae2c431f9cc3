/*
 * encryption.h - values that nobody without the key can read, or change without notice: XChaCha20-Poly1305.
 *
 * Owns: the stored form: a byte with its version (1) | length of the key's id | id | nonce of 24 random bytes | ciphertext
 * | tag of 16 bytes. What the value belongs to is authenticated with it, so that it opens nowhere else.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_ENCRYPTION_H
#define PGC_PURE_ENCRYPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pure/keyring.h"

/* How much longer than the value the stored form is, at most. */
#define PGC_SEALED_EXTRA_MAX (1 + 1 + PGC_KEY_ID_MAX + 24 + 16)

/* What a value belongs to. */
typedef struct pgc_seal_place {
  const char *namespace_name;
  const void *key;
  size_t key_len;
  int32_t format;
  int32_t flags;
} pgc_seal_place;

/* How many bytes of the stored form stand before the ciphertext, and how long all of it is for a value of size bytes. */
size_t pgc_sealed_head(const pgc_secret *secret);
size_t pgc_sealed_size(const pgc_secret *secret, size_t size);

/* Makes the stored form in place: the value stands at stored + pgc_sealed_head(). */
void pgc_seal(unsigned char *stored, size_t size, const pgc_secret *secret, const pgc_seal_place *place);

/* The size of the value in a stored form; SIZE_MAX: it is none, or of a key that the keyring does not have. */
size_t pgc_unsealed_size(const pgc_keyring *keyring, const void *stored, size_t stored_size);

/* Writes the value, whose size was just given, to out. False, and zeros in out, unless it is what was sealed, with this key,
   for this place. */
bool pgc_unseal(void *out, const pgc_keyring *keyring, const void *stored, size_t stored_size,
                const pgc_seal_place *place);

#endif
