/*
 * siphash.c - see siphash.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/siphash.h"

typedef struct state {
  uint64_t a, b, c, d; /* v0 .. v3 of the paper */
} state;

static inline uint64_t rotate(uint64_t word, int bits) {
  return word << bits | word >> (64 - bits);
}

static inline void stir(state *s) {
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

static inline void take_in(state *s, uint64_t word) {
  s->d ^= word;
  stir(s);
  stir(s);
  s->a ^= word;
}

static inline uint64_t finish(state *s) {
  stir(s);
  stir(s);
  stir(s);
  stir(s);
  return s->a ^ s->b ^ s->c ^ s->d;
}

/* Little-endian; compilers make one instruction of it. */
static inline uint64_t load(const unsigned char *bytes) {
  uint64_t word = 0;
  for (int i = 0; i < 8; i++)
    word |= (uint64_t)bytes[i] << 8 * i;
  return word;
}

/* The last 0 to 7 bytes. */
static inline uint64_t load_rest(const unsigned char *bytes, size_t size) {
  uint64_t word = 0;
  for (size_t i = 0; i < size; i++)
    word |= (uint64_t)bytes[i] << 8 * i;
  return word;
}

static inline void take_in_words(state *s, const unsigned char *bytes, size_t size) {
  for (size_t i = 0; i + 8 <= size; i += 8)
    take_in(s, load(bytes + i));
}

void pgc_siphash(uint64_t hash[2], const uint64_t secret[2], const void *head, size_t head_len, const void *data,
                 size_t data_len) {
  state s = {secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d ^ 0xee, secret[0] ^ 0x6c7967656e657261,
             secret[1] ^ 0x7465646279746573};
  const unsigned char *bytes = data;
  take_in_words(&s, head, head_len);
  take_in_words(&s, bytes, data_len);
  take_in(&s, load_rest(bytes + data_len / 8 * 8, data_len % 8) | (uint64_t)(head_len + data_len) << 56);
  s.c ^= 0xee;
  hash[0] = finish(&s);
  s.b ^= 0xdd;
  hash[1] = finish(&s);
}
