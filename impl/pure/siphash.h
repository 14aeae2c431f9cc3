/*
 * siphash.h - SipHash-2-4 with 128 bits (Aumasson, Bernstein: a fast short-input PRF): who does not know the secret can
 * neither make keys that fall on one place nor two keys with one hash.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_SIPHASH_H
#define PGC_PURE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* What was taken in so far; the four numbers are v0 to v3 of the paper. */
typedef struct pgc_siphash_state {
  uint64_t a, b, c, d;
  size_t length;
} pgc_siphash_state;

/* The hash of head and of data behind it, where many data have the same head: begun once, and ended for each. head_len is a
   multiple of 8. */
pgc_siphash_state pgc_siphash_begin(const uint64_t secret[2], const void *head, size_t head_len);
void pgc_siphash_end(uint64_t hash[2], const pgc_siphash_state *begun, const void *data, size_t data_len);

/* The hash of head followed by data, as two little-endian numbers. head_len is a multiple of 8. */
void pgc_siphash(uint64_t hash[2], const uint64_t secret[2], const void *head, size_t head_len, const void *data,
                 size_t data_len);

#endif
