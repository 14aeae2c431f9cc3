/*
 * encryption.cpp - tests of the sealed form: it opens for its key and place alone, and no byte of it can be changed.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <set>

namespace {

/* Two keys: "new" of 32 bytes 'n', "old" of 32 bytes 'o'; `text` names other lines. */
struct Keys {
  pgc_keyring *self = nullptr;
  explicit Keys(const std::string &text = "new bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=\n"
                                          "old b29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb28=\n") {
    REQUIRE(pgc_keyring_parse(&self, text.data(), text.size(), nullptr) == PGCACHE_OK);
  }
  Keys(const Keys &) = delete;
  Keys &operator=(const Keys &) = delete;
  ~Keys() {
    pgc_keyring_free(self);
  }
};

pgc_seal_place place_of(const std::string &key, const char *name = "default", int32_t format = 0, int32_t flags = 16) {
  return {name, key.data(), key.size(), format, flags};
}

std::string sealed(const pgc_secret &secret, const std::string &value, const pgc_seal_place &place) {
  std::string out(pgc_sealed_size(&secret, value.size()), '\0');
  out.replace(pgc_sealed_head(&secret), value.size(), value);
  pgc_seal(reinterpret_cast<unsigned char *>(&out[0]), value.size(), &secret, &place);
  return out;
}

bool opens(const Keys &keys, const std::string &stored, const pgc_seal_place &place, std::string *value = nullptr) {
  const size_t size = pgc_unsealed_size(keys.self, stored.data(), stored.size());
  std::string out(size == SIZE_MAX ? 0 : size, '#');
  const bool done = pgc_unseal(&out[0], keys.self, stored.data(), stored.size(), &place);
  if (size == SIZE_MAX)
    CHECK_FALSE(done);
  if (value != nullptr)
    *value = out;
  return done;
}

} // namespace

TEST_CASE("[A80] sealed values open for their key and place", "[A80][encryption]") {
  Keys keys;
  const std::string key = "some key";
  for (const size_t size : {0u, 1u, 15u, 16u, 17u, 1000u, 100000u}) {
    for (size_t i = 0; i < 2; i++) {
      const std::string value(size, 'v');
      const std::string stored = sealed(keys.self->secrets[i], value, place_of(key));
      CHECK(stored.size() <= size + PGC_SEALED_EXTRA_MAX);
      CHECK(stored.substr(0, 5) == std::string("\1\3", 2) + (i == 0 ? "new" : "old"));
      std::string back;
      CHECK(opens(keys, stored, place_of(key), &back));
      CHECK(back == value);
    }
  }
}

TEST_CASE("[A80] a sealed value opens at no other place", "[A80][encryption]") {
  Keys keys;
  const std::string key = "some key";
  const std::string stored = sealed(keys.self->secrets[0], "value", place_of(key, "default", 1, 17));
  CHECK(opens(keys, stored, place_of(key, "default", 1, 17)));
  CHECK_FALSE(opens(keys, stored, place_of("some keY", "default", 1, 17)));
  CHECK_FALSE(opens(keys, stored, place_of("some key ", "default", 1, 17)));
  CHECK_FALSE(opens(keys, stored, place_of("tsome key", "defaul", 1, 17))); /* where a name ends matters */
  CHECK_FALSE(opens(keys, stored, place_of(key, "default2", 1, 17)));
  CHECK_FALSE(opens(keys, stored, place_of(key, "default", 0, 17)));
  CHECK_FALSE(opens(keys, stored, place_of(key, "default", 1, 16)));
  CHECK_FALSE(opens(keys, stored, place_of(key, "default", 1, 18)));
  CHECK_FALSE(opens(keys, stored, place_of(key, "default", 1, 17 | 32)));
}

TEST_CASE("[A80] no bit of a sealed value can be changed, no byte taken or added", "[A80][encryption]") {
  Keys keys;
  const std::string key = "k", stored = sealed(keys.self->secrets[0], "the value", place_of(key));
  for (size_t i = 0; i < stored.size(); i++) {
    for (int bit = 0; bit < 8; bit++) {
      std::string changed = stored;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      INFO("byte " << i << ", bit " << bit);
      CHECK_FALSE(opens(keys, changed, place_of(key)));
    }
  }
  for (size_t size = 0; size < stored.size(); size++)
    CHECK_FALSE(opens(keys, stored.substr(0, size), place_of(key)));
  CHECK_FALSE(opens(keys, stored + '\0', place_of(key)));
  /* The id names one key; with the other key's id it is that one alone that is tried. */
  std::string renamed = stored;
  renamed.replace(2, 3, "old");
  CHECK_FALSE(opens(keys, renamed, place_of(key)));
  Keys same("new bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=\nold bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=");
  CHECK(opens(same, stored, place_of(key)));
  CHECK_FALSE(opens(same, renamed, place_of(key))); /* not even with the same key under another id */
  Keys others("other bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=");
  CHECK_FALSE(opens(others, stored, place_of(key)));
  Keys wrong("new b29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb28=");
  CHECK_FALSE(opens(wrong, stored, place_of(key)));
}

TEST_CASE("each sealing has a nonce of its own", "[encryption]") {
  Keys keys;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; i++)
    seen.insert(sealed(keys.self->secrets[0], "value", place_of("k")).substr(5, 24));
  CHECK(seen.size() == 1000);
}

TEST_CASE("the longest key and namespace can be sealed", "[encryption]") {
  Keys keys;
  Keys longest("sixteen_letters1 bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=");
  const std::string key(PGCACHE_KEY_MAX, 'k'), name(PGCACHE_NAMESPACE_MAX, 'n');
  const std::string stored = sealed(longest.self->secrets[0], "v", place_of(key, name.c_str()));
  CHECK(stored.size() == 1 + PGC_SEALED_EXTRA_MAX);
  CHECK(opens(longest, stored, place_of(key, name.c_str())));
  CHECK_FALSE(opens(keys, stored, place_of(key, name.c_str())));
}
