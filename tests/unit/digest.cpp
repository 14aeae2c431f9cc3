/*
 * digest.cpp - tests of digests against values that sha256sum computed.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <algorithm>
#include <random>
#include <set>

namespace {

std::string hex(const pgc_digest &digest) {
  static const char digits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char byte : digest.bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::string digest_of(const std::string &name, const std::string &key) {
  pgc_digest digest;
  pgc_digest_of_key(&digest, name.c_str(), key.data(), key.size());
  return hex(digest);
}

} // namespace

/* { printf 'k\x00\x00\x00\x07default'; printf KEY; } | sha256sum | cut -c1-32 */
TEST_CASE("digests are what sha256sum says", "[digest]") {
  CHECK(digest_of("default", "a") == "fb8982f79c1f7d51a0c3d2e2421c1027");
  CHECK(digest_of("default", std::string("a\0b", 3)) == "03d18ab7925dbc52c920e15984a8d52d");
  CHECK(digest_of("default", std::string("\xff\xfe\x00\x1f", 4)) == "75ad0e37d3bfddb908cef3cdaece8801");
  CHECK(digest_of(std::string(63, 'n'), "k") == "568c8c21df771345de1eb7b7d938831b");
  CHECK(digest_of("!", "~") == "355d5b5df49072624b5f34096a864956");
}

TEST_CASE("digests of short and long keys are computed alike", "[digest]") {
  CHECK(digest_of("default", std::string(243, 'x')) == "cba0b7b185728fe9988f108db0d19807");
  CHECK(digest_of("default", std::string(244, 'x')) == "acfe723bbc46b616fc47713fa896b4df"); /* 256 bytes in all */
  CHECK(digest_of("default", std::string(245, 'x')) == "0dd80a63658041e67e5fc65023106e01");
  CHECK(digest_of("default", std::string(1000, 'x')) == "e5fb828d8f7df3fe8169f84cd82daa3e");
  CHECK(digest_of("default", std::string(PGCACHE_KEY_MAX, 'x')) == "f3b99c5b7738db7f1f9b600f2b2fff91");
}

TEST_CASE("[A12] namespace and key do not run into each other", "[A12][digest]") {
  CHECK(digest_of("a", "bc") == "1732345cafc204972605588a6aec33ed");
  CHECK(digest_of("ab", "c") == "45617ed739438392115ba77ef38c16b9");
  /* Every way to cut one text, and keys that differ in a NUL, a separator or a byte that is no UTF-8. */
  std::set<std::string> digests;
  size_t pairs = 0;
  const std::string text = "abcdefgh";
  for (size_t cut = 1; cut < text.size(); cut++, pairs++)
    digests.insert(digest_of(text.substr(0, cut), text.substr(cut)));
  for (const std::string &key : {std::string("a"), std::string("a\0", 2), std::string("a\0b", 3), std::string("a:b"),
                                 std::string("a\x1f"), std::string("\0", 1), std::string("\0\0", 2),
                                 std::string("\xff"), std::string("\xc3\xa4"), std::string("\xe4")}) {
    digests.insert(digest_of("default", key));
    pairs++;
  }
  CHECK(digests.size() == pairs);
}

/* With the secret's 32 bytes in hexadecimal:
   python3 -c 'import hashlib; print(hashlib.blake2b(b"k\\0\\0\\0\\7defaulta", key=b"s" * 32, digest_size=16).hexdigest())' */
TEST_CASE("keyed digests are keyed BLAKE2b over the same input", "[digest]") {
  const std::string secret(32, 's'), other(32, 't'), long_key(PGCACHE_KEY_MAX, 'x'), name(PGCACHE_NAMESPACE_MAX, 'n');
  const auto keyed = [](const std::string &with, const std::string &in, const std::string &key) {
    pgc_digest digest;
    pgc_digest_of_key_with(&digest, reinterpret_cast<const unsigned char *>(with.data()), in.c_str(), key.data(),
                           key.size());
    return hex(digest);
  };
  CHECK(keyed(secret, "default", "a") == "f40dd16791a815c4fdeba1d940d4b4ee");
  CHECK(keyed(secret, name, long_key) == "63c0b1d27fe5624b0ff55efd7b59cd78");
  CHECK(keyed(other, "default", "a") != keyed(secret, "default", "a"));
  CHECK(keyed(secret, "ab", "c") != keyed(secret, "a", "bc"));
}

TEST_CASE("digests are ordered as PostgreSQL orders uuids", "[digest]") {
  std::mt19937 random(7);
  for (int i = 0; i < 1000; i++) {
    pgc_digest left;
    pgc_digest right;
    std::generate(std::begin(left.bytes), std::end(left.bytes), [&] { return random() & 0xFF; });
    right = left;
    CHECK(pgc_digest_compare(&left, &right) == 0);
    right.bytes[random() % PGC_DIGEST_SIZE] ^= static_cast<unsigned char>(1 + random() % 255);
    CHECK((pgc_digest_compare(&left, &right) < 0) == (hex(left) < hex(right)));
    CHECK((pgc_digest_compare(&right, &left) < 0) == (hex(right) < hex(left)));
  }
}

/* { printf 't\x00\x00\x00\x07default'; printf TAG; } | sha256sum | cut -c1-32 */
TEST_CASE("A tag has another digest than a key of the same name", "[digest]") {
  pgc_digest digest;
  pgc_digest_of_tag(&digest, "default", "a", 1);
  CHECK(hex(digest) == "4592f22df8e72bfd6d4e5ae330372760");
  const std::string longest(PGCACHE_TAG_MAX, 'x');
  pgc_digest_of_tag(&digest, "default", longest.data(), longest.size());
  CHECK(hex(digest) == "b6267649efacdb4a27bdde6cef4ce916");
}
