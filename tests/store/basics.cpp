/*
 * basics.cpp - one key at a time: what was put is what is got, whatever its bytes. Never tests time or conditions.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <cstring>
#include <set>

using namespace test;
using std::string;

TEST_CASE("[A01] A missing key is a miss; a stored one gives its bytes back", "[A01]") {
  Store store;
  Cache &cache = store.cache;
  const Answer before = cache.get("k");
  REQUIRE(before == PGCACHE_MISS);
  CHECK_FALSE(before.value);
  CHECK(before.error.text().empty());
  const Answer put = cache.put("k", "some bytes", 60000);
  REQUIRE(put == PGCACHE_OK);
  CHECK(put.version > 0);
  const Answer got = cache.get("k");
  REQUIRE(got == PGCACHE_OK);
  CHECK(got.bytes() == "some bytes");
  CHECK(got.version == put.version);
  CHECK(got.value.format() == PGCACHE_FORMAT_BYTES);
  CHECK(got.value.ttl_ms() > 50000);
  CHECK(got.value.ttl_ms() <= 60000);
  CHECK(pgcache_value_is_stale(got.value.get()) == 0);
  CHECK(static_cast<const char *>(pgcache_value_data(got.value.get()))[10] == '\0');
  CHECK(cache.get("K") == PGCACHE_MISS);
  CHECK(cache.get("k ") == PGCACHE_MISS);
  CHECK(cache.get("other") == PGCACHE_MISS);
}

TEST_CASE("[A02] Of two puts the second value and expiry win, longer or shorter", "[A02]") {
  Store store;
  const Answer first = store.cache.put("k", "first", 1000);
  const Answer second = store.cache.put("k", "second, longer", 3600000);
  REQUIRE(second == PGCACHE_OK);
  CHECK(second.version > first.version);
  Answer got = store.cache.get("k");
  CHECK(got.bytes() == "second, longer");
  CHECK(got.value.ttl_ms() > 3000000);
  REQUIRE(store.cache.put("k", "3", 50000) == PGCACHE_OK);
  got = store.cache.get("k");
  CHECK(got.bytes() == "3");
  CHECK(got.value.ttl_ms() <= 50000);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "1");
}

TEST_CASE("[A03] A removed entry is a miss; removing what is not there says so", "[A03]") {
  Store store;
  CHECK(store.cache.remove("k") == PGCACHE_MISS);
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(store.cache.put("other", "w") == PGCACHE_OK);
  CHECK(store.cache.remove("k") == PGCACHE_OK);
  CHECK(store.cache.get("k") == PGCACHE_MISS);
  CHECK(store.cache.remove("k") == PGCACHE_MISS);
  CHECK(store.cache.get("other") == PGCACHE_OK);
}

TEST_CASE("[A04] The same key in two schemas and in two namespaces is two entries", "[A04]") {
  Store one, two;
  REQUIRE(one.cache.put("k", "schema one") == PGCACHE_OK);
  CHECK(two.cache.get("k") == PGCACHE_MISS);
  REQUIRE(two.cache.put("k", "schema two") == PGCACHE_OK);
  CHECK(one.cache.get("k").bytes() == "schema one");
  CHECK(two.cache.get("k").bytes() == "schema two");

  Cache other = one.open({{"namespace", "other"}});
  CHECK(other.get("k") == PGCACHE_MISS);
  REQUIRE(other.put("k", "namespace other") == PGCACHE_OK);
  CHECK(one.cache.get("k").bytes() == "schema one");
  CHECK(one.cache.get("k", in_namespace("other")).bytes() == "namespace other");
  CHECK(other.get("k", in_namespace("default")).bytes() == "schema one");
  REQUIRE(other.remove("k") == PGCACHE_OK);
  CHECK(one.cache.get("k").bytes() == "schema one");

  /* Where one name ends and the next begins must matter: ("ab", "c") is not ("a", "bc"). */
  REQUIRE(one.cache.put("c", "ab/c", in_namespace("ab")) == PGCACHE_OK);
  CHECK(one.cache.get("bc", in_namespace("a")) == PGCACHE_MISS);
  CHECK(one.cache.get("c", in_namespace("ab")).bytes() == "ab/c");
}

TEST_CASE("[A11] An empty value and a cached null are hits", "[A11]") {
  Store store;
  Cache &cache = store.cache;
  REQUIRE(pgcache_put(cache.raw(), nullptr, "empty", 5, nullptr, 0, PGCACHE_FORMAT_BYTES, PGCACHE_TTL_DEFAULT, nullptr,
                      nullptr) == PGCACHE_OK);
  REQUIRE(cache.put("null", "null", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  const Answer empty = cache.get("empty");
  REQUIRE(empty == PGCACHE_OK);
  CHECK(pgcache_value_size(empty.value.get()) == 0);
  REQUIRE(pgcache_value_data(empty.value.get()) != nullptr);
  CHECK(*static_cast<const char *>(pgcache_value_data(empty.value.get())) == '\0');
  const Answer null = cache.get("null");
  REQUIRE(null == PGCACHE_OK);
  CHECK(null.bytes() == "null");
  CHECK(null.value.format() == PGCACHE_FORMAT_JSON);
  CHECK(cache.get("neither") == PGCACHE_MISS);
  CHECK(cache.exists("empty") == PGCACHE_OK);
}

TEST_CASE("[A12] Keys of any bytes round-trip and none is taken for another", "[A12][rule:key]") {
  Store store;
  Cache &cache = store.cache;
  const string longest(PGCACHE_KEY_MAX, 'x');
  string almost = longest;
  almost.back() = 'y';
  std::vector<string> keys = {string("\0", 1),
                              string("\0\0", 2),
                              "a",
                              string("a\0", 2),
                              string("a\0b", 3),
                              string("a\0c", 3),
                              "\xff\xfe",
                              "\xc3\x28",
                              "\xed\xa0\x80",
                              "a:b",
                              "a/b",
                              "a|b",
                              "a b",
                              "\n",
                              "\\",
                              "\\x61",
                              "'",
                              "\"",
                              "%s%n",
                              "\x1f",
                              longest,
                              almost,
                              longest.substr(1),
                              "NULL",
                              "\xe2\x82\xac"};
  for (int byte = 0; byte < 256; byte++) {
    const string key(1, static_cast<char>(byte));
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      keys.push_back(key);
  }
  std::set<int64_t> versions;
  for (size_t i = 0; i < keys.size(); i++) {
    const Answer put = cache.put(keys[i], "value " + std::to_string(i));
    REQUIRE(put == PGCACHE_OK);
    versions.insert(put.version);
  }
  CHECK(versions.size() == keys.size());
  size_t right = 0;
  for (size_t i = 0; i < keys.size(); i++)
    right += cache.get(keys[i]).bytes() == "value " + std::to_string(i);
  CHECK(right == keys.size());
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == std::to_string(keys.size()));
}

TEST_CASE("[A12] Values of any bytes, size and format round-trip", "[A12][rule:value][rule:format]") {
  Store store;
  string all;
  for (int i = 0; i < 70000; i++)
    all += static_cast<char>(i * 7 + i / 256);
  const size_t sizes[] = {0, 1, 2, 7, 8, 1999, 2000, 2040, 3072, 3073, 8191, 65536, 70000};
  for (const size_t size : sizes) {
    const string value = all.substr(0, size);
    REQUIRE(store.cache.put("k", value) == PGCACHE_OK);
    const Answer got = store.cache.get("k");
    REQUIRE(got == PGCACHE_OK);
    CHECK(got.bytes() == value);
    CHECK(reinterpret_cast<uintptr_t>(pgcache_value_data(got.value.get())) % 8 == 0);
  }
  for (const int32_t format : {0, 1, 2, 77, INT32_MAX}) {
    REQUIRE(store.cache.put("k", "v", 1000, format) == PGCACHE_OK);
    CHECK(store.cache.get("k").value.format() == format);
  }
  CHECK(store.cache.put("k", "v", 1000, -1) == PGCACHE_INVALID);
  CHECK(store.cache.get("k").value.format() == INT32_MAX);
  /* The library does not look into the bytes: what is called JSON need not be. */
  CHECK(store.cache.put("k", "{not json\xff", 1000, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  CHECK(store.cache.get("k").bytes() == "{not json\xff");
}

TEST_CASE("[A12] The largest value allowed goes through and back", "[A12][rule:value]") {
  Store store(Settings{{"max_value_bytes", "16777216"}, {"timeout_ms", "60000"}});
  string value(16777216, 'a');
  for (size_t i = 0; i < value.size(); i += 4099)
    value[i] = static_cast<char>(i);
  REQUIRE(store.cache.put("big", value) == PGCACHE_OK);
  const Answer got = store.cache.get("big");
  REQUIRE(got == PGCACHE_OK);
  CHECK((got.bytes() == value));
  value += 'x';
  CHECK(store.cache.put("big", value) == PGCACHE_TOO_LARGE);
}

TEST_CASE("[A13] A key or value over its limit is refused and nothing is sent", "[A13][rule:refuse]") {
  Store store(Settings{{"max_value_bytes", "1000"}});
  Cache &cache = store.cache;
  Cache unconnected = store.open({{"url", "host=/nonexistent"}}); /* refusing needs no server */
  const string big_key(PGCACHE_KEY_MAX + 1, 'k'), big_value(1001, 'v');
  for (Cache *c : {&cache, &unconnected}) {
    CHECK(c->put(big_key, "v") == PGCACHE_TOO_LARGE);
    CHECK(c->put("k", big_value) == PGCACHE_TOO_LARGE);
    CHECK(c->add(big_key, "v") == PGCACHE_TOO_LARGE);
    CHECK(c->add("k", big_value) == PGCACHE_TOO_LARGE);
    CHECK(c->replace(big_key, "v") == PGCACHE_TOO_LARGE);
    CHECK(c->replace("k", big_value) == PGCACHE_TOO_LARGE);
    CHECK(c->compare_and_swap(big_key, "v", 1) == PGCACHE_TOO_LARGE);
    CHECK(c->compare_and_swap("k", big_value, 1) == PGCACHE_TOO_LARGE);
    CHECK(c->get(big_key) == PGCACHE_TOO_LARGE);
    CHECK(c->exists(big_key) == PGCACHE_TOO_LARGE);
    CHECK(c->remove(big_key) == PGCACHE_TOO_LARGE);
    CHECK(c->touch(big_key, 1000) == PGCACHE_TOO_LARGE);
    CHECK(c->increment(big_key) == PGCACHE_TOO_LARGE);
    CHECK(c->get("") == PGCACHE_INVALID);
    CHECK(c->put("", "v") == PGCACHE_INVALID);
    CHECK(c->remove("") == PGCACHE_INVALID);
    CHECK(c->compare_and_swap("k", "v", 0) == PGCACHE_INVALID);
    CHECK(c->compare_and_swap("k", "v", -5) == PGCACHE_INVALID);
  }
  const Answer refused = cache.put(big_key, "v");
  CHECK(refused.error.text().find("4096") != string::npos);
  CHECK(refused.error.text().find("4097") != string::npos);
  CHECK(cache.put("k", string(1000, 'v')) == PGCACHE_OK);
  CHECK(cache.put(string(PGCACHE_KEY_MAX, 'k'), "v") == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "2");
}

TEST_CASE("get_into: fits, is too small, is missing", "[rule:outputs][get_into]") {
  Store store;
  REQUIRE(store.cache.put("k", "0123456789") == PGCACHE_OK);
  char buffer[16];
  size_t size = 99;
  const auto into = [&](size_t room) {
    memset(buffer, '#', sizeof buffer);
    size = 99;
    return pgcache_get_into(store.cache.raw(), buffer, room, &size, "k", 1, nullptr, nullptr);
  };
  CHECK(into(16) == PGCACHE_OK);
  CHECK(size == 10);
  CHECK(string(buffer, 11) == "0123456789#");
  CHECK(into(10) == PGCACHE_OK);
  CHECK(string(buffer, 11) == "0123456789#");
  CHECK(into(9) == PGCACHE_TOO_SMALL);
  CHECK(size == 10);
  CHECK(string(buffer, 4) == "####");
  CHECK(pgcache_get_into(store.cache.raw(), nullptr, 0, &size, "k", 1, nullptr, nullptr) == PGCACHE_TOO_SMALL);
  CHECK(size == 10);
  CHECK(pgcache_get_into(store.cache.raw(), nullptr, 5, &size, "k", 1, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_get_into(store.cache.raw(), buffer, 5, nullptr, "k", 1, nullptr, nullptr) == PGCACHE_INVALID);
  size = 99;
  CHECK(pgcache_get_into(store.cache.raw(), buffer, 16, &size, "no", 2, nullptr, nullptr) == PGCACHE_MISS);
  CHECK(size == 0);
  REQUIRE(store.cache.put("k", "") == PGCACHE_OK);
  CHECK(pgcache_get_into(store.cache.raw(), nullptr, 0, &size, "k", 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(size == 0);
}

TEST_CASE("Versions grow with every write and never come back after a removal", "[version]") {
  Store store;
  Cache &cache = store.cache;
  int64_t last = 0;
  std::set<int64_t> seen;
  const auto next = [&](const Answer &answer) {
    REQUIRE(answer == PGCACHE_OK);
    CHECK(answer.version > last);
    CHECK(seen.insert(answer.version).second);
    last = answer.version;
  };
  for (int round = 0; round < 5; round++) {
    next(cache.add("k", "v"));
    next(cache.put("k", "v"));
    next(cache.replace("k", "v"));
    next(cache.touch("k", 50000));
    next(cache.compare_and_swap("k", "7", last));
    next(cache.put("k", "7", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON));
    next(cache.increment("k"));
    CHECK(cache.get("k").version == last);
    if (round % 2 == 0)
      REQUIRE(cache.remove("k") == PGCACHE_OK);
    else
      REQUIRE(cache.flush(PGCACHE_FLUSH_ALL) == PGCACHE_OK);
  }
}

TEST_CASE("A value outlives its handle and counts its references", "[rule:free]") {
  Value kept;
  pgcache_value *second = nullptr;
  {
    Store store;
    REQUIRE(store.cache.put("k", "kept") == PGCACHE_OK);
    const Answer got = store.cache.get("k");
    kept = got.value;
    second = pgcache_value_retain(const_cast<pgcache_value *>(kept.get()));
    CHECK(second == kept.get());
  }
  CHECK(kept.bytes() == "kept");
  kept = Value();
  CHECK(string(static_cast<const char *>(pgcache_value_data(second)), 4) == "kept");
  pgcache_value_free(second);
}
