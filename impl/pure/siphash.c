/*
 * siphash.c - see siphash.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/siphash.h"

#include <string.h>

static inline uint64_t rotate(uint64_t word, int bits) {
  return word << bits | word >> (64 - bits);
}

static inline void stir(pgc_siphash_state *s) {
  s->a += s->b;
  s->c += s->d;
  s->b = rotate(s->b, 13) ^ s->a;
  s->d = rotate(s->d, 16) ^ s->c;
  s->a = rotate(s->a, 32);
  s->c += s->b;
  s->a += s->d;
  s->b = rotate(s->b, 17) ^ s->c;
  s->d = rotate(s->d, 21) ^ s->a;
  s->c = rotate(s->c, 32);
}

static inline void take_in(pgc_siphash_state *s, uint64_t word) {
  s->d ^= word;
  stir(s);
  stir(s);
  s->a ^= word;
}

static inline uint64_t finish(pgc_siphash_state *s) {
  stir(s);
  stir(s);
  stir(s);
  stir(s);
  return s->a ^ s->b ^ s->c ^ s->d;
}

/* Eight bytes as a little-endian number. */
static inline uint64_t load(const unsigned char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

/* The last 0 to 7 bytes of so many. */
static inline uint64_t load_rest(const unsigned char *bytes, size_t size) {
  size_t rest = size % 8;
  if (rest == 0)
    return 0;
  if (size > 8) /* the last eight, less what was taken in before */
    return load(bytes + size - 8) >> 8 * (8 - rest);
  uint64_t word = 0;
  for (size_t i = 0; i < rest; i++)
    word |= (uint64_t)bytes[i] << 8 * i;
  return word;
}

static inline void take_in_words(pgc_siphash_state *s, const unsigned char *bytes, size_t size) {
  for (size_t i = 0; i + 8 <= size; i += 8)
    take_in(s, load(bytes + i));
}

pgc_siphash_state pgc_siphash_begin(const uint64_t secret[2], const void *head, size_t head_len) {
  pgc_siphash_state s = {secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d ^ 0xee,
                         secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573, head_len};
  take_in_words(&s, head, head_len);
  return s;
}

void pgc_siphash_end(uint64_t hash[2], const pgc_siphash_state *begun, const void *data, size_t data_len) {
  pgc_siphash_state s = *begun;
  const unsigned char *bytes = data;
  take_in_words(&s, bytes, data_len);
  take_in(&s, load_rest(bytes, data_len) | (uint64_t)(s.length + data_len) << 56);
  s.c ^= 0xee;
  hash[0] = finish(&s);
  s.b ^= 0xdd;
  hash[1] = finish(&s);
}

void pgc_siphash(uint64_t hash[2], const uint64_t secret[2], const void *head, size_t head_len, const void *data,
                 size_t data_len) {
  pgc_siphash_state begun = pgc_siphash_begin(secret, head, head_len);
  pgc_siphash_end(hash, &begun, data, data_len);
}
