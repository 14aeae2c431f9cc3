/*
 * siphash.cpp - tests of the keyed hash: its published vectors, and libsodium's, which is another implementation.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <sodium.h>

extern "C" {
#include "pure/siphash.h"
}

namespace {

std::string hex_of(const uint64_t hash[2]) {
  std::string text;
  for (int i = 0; i < 16; i++) {
    char part[3];
    snprintf(part, sizeof part, "%02x", static_cast<unsigned>(hash[i / 8] >> 8 * (i % 8) & 0xff));
    text += part;
  }
  return text;
}

/* The secret of the vectors, 00 01 .. 0f, as two little-endian numbers. */
constexpr uint64_t secret[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

} // namespace

TEST_CASE("SipHash-2-4-128 gives its authors' vectors", "[siphash]") {
  unsigned char input[64];
  for (unsigned char i = 0; i < 64; i++)
    input[i] = i;
  uint64_t hash[2];
  pgc_siphash(hash, secret, nullptr, 0, input, 0);
  CHECK(hex_of(hash) == "a3817f04ba25a8e66df67214c7550293");
  pgc_siphash(hash, secret, nullptr, 0, input, 1);
  CHECK(hex_of(hash) == "da87c1d86b99af44347659119b22fc45");
  pgc_siphash(hash, secret, nullptr, 0, input, 2);
  CHECK(hex_of(hash) == "8177228da4a45dc7fca38bdef60affe4");
}

TEST_CASE("SipHash is libsodium's for all lengths, and a head is no more than the bytes before", "[siphash]") {
  unsigned char input[1024], key[16], expected[16];
  uint64_t random[2], hash[2];
  for (size_t round = 0; round < 20; round++) {
    randombytes_buf(input, sizeof input);
    randombytes_buf(key, sizeof key);
    memcpy(random, key, sizeof key); /* both little-endian on this machine, or the vectors above have failed */
    for (size_t size = 0; size < sizeof input; size += size < 80 ? 1 : 61) {
      REQUIRE(crypto_shorthash_siphashx24(expected, input, size, key) == 0);
      pgc_siphash(hash, random, nullptr, 0, input, size);
      REQUIRE(memcmp(hash, expected, 16) == 0);
      for (size_t head = 8; head <= size && head < 80; head += 8) {
        pgc_siphash(hash, random, input, head, input + head, size - head);
        REQUIRE(memcmp(hash, expected, 16) == 0);
      }
    }
  }
}
