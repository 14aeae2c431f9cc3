/*
 * null.cpp - the address `null:`: a cache that keeps nothing and needs no server.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/handles.hpp"

using namespace test;
using std::string;

TEST_CASE("[A51] The null cache misses whatever was put, and every call has its outcome", "[A51][null]") {
  Config config;
  Cache cache(config.set("url", "null:"));
  for (int round = 0; round < 2; round++) {
    CHECK(cache.get("k") == PGCACHE_MISS);
    const Answer put = cache.put("k", "v");
    CHECK(put == PGCACHE_OK);
    CHECK(put.version == 0);
    CHECK(cache.get("k") == PGCACHE_MISS);
    CHECK(cache.exists("k") == PGCACHE_MISS);
    CHECK(cache.add("k", "v") == PGCACHE_OK);
    CHECK(cache.add("k", "v").version == 0);
    CHECK(cache.replace("k", "v") == PGCACHE_MISS);
    CHECK(cache.compare_and_swap("k", "v", 1) == PGCACHE_MISS);
    CHECK(cache.touch("k", 1000) == PGCACHE_MISS);
    CHECK(cache.remove("k") == PGCACHE_MISS);
    const Answer counted = cache.increment("n", 5, 10);
    CHECK(counted == PGCACHE_OK); /* as if there were none, every time */
    CHECK(counted.number == 15);
    CHECK(counted.version == 0);
    char buffer[8];
    size_t size = 99;
    CHECK(pgcache_get_into(cache.raw(), buffer, sizeof buffer, &size, "k", 1, nullptr, nullptr) == PGCACHE_MISS);
    CHECK(size == 0);
    CHECK(cache.init().status >= 0);
    CHECK(cache.upgrade().status >= 0);
    const Answer flushed = cache.flush(PGCACHE_FLUSH_ALL);
    CHECK(flushed == PGCACHE_OK);
    CHECK(flushed.number == 0);
    CHECK(cache.cleanup() == PGCACHE_OK);
    CHECK(cache.cleanup().number == 0);
    const pgcache_store_stats stats = cache.stats();
    CHECK(stats.entries == 0);
    CHECK(stats.pool_open == 0);
    CHECK(stats.server_version == 0);
    CHECK(stats.schema_version == 0);
    pgcache_value *keys[2];
    size_t count = 9;
    CHECK(pgcache_keys(cache.raw(), keys, 2, &count, nullptr, 0, nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
    CHECK(count == 0);
  }
  CHECK(cache.increment("n", 1, INT64_MAX) == PGCACHE_OVERFLOW);
}

TEST_CASE("[A51] The null cache answers multi-key calls", "[A51][null]") {
  Config config;
  Cache cache(config.set("url", "null:"));
  std::vector<string> keys;
  for (int i = 0; i < 2500; i++)
    keys.push_back("k" + std::to_string(i % 2400));
  Items items;
  for (const auto &key : keys)
    items.add(key, "v").version = 77;
  int wrong = 0;
  REQUIRE(pgcache_put_many(cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
  for (size_t i = 0; i < items.size(); i++)
    wrong += items[i].status != PGCACHE_OK || items[i].version != 0;
  REQUIRE(pgcache_get_many(cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
  for (size_t i = 0; i < items.size(); i++)
    wrong += items[i].status != PGCACHE_MISS || items[i].result != nullptr;
  REQUIRE(pgcache_remove_many(cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
  for (size_t i = 0; i < items.size(); i++)
    wrong += items[i].status != PGCACHE_MISS;
  CHECK(wrong == 0);
}

TEST_CASE("[A51] The null cache refuses what any other refuses", "[A51][A13][null][rule:refuse]") {
  Config config;
  Cache cache(config.set("url", "null:").set("max_value_bytes", "10"));
  CHECK(cache.get("") == PGCACHE_INVALID);
  CHECK(cache.get(string(PGCACHE_KEY_MAX + 1, 'k')) == PGCACHE_TOO_LARGE);
  CHECK(cache.put("k", "0123456789a") == PGCACHE_TOO_LARGE);
  CHECK(cache.put("k", "v", 0) == PGCACHE_INVALID);
  CHECK(cache.put("k", "v", 1000, -1) == PGCACHE_INVALID);
  CHECK(cache.put("k", "v", in_namespace("a b")) == PGCACHE_INVALID);
  CHECK(cache.compare_and_swap("k", "v", 0) == PGCACHE_INVALID);
  cache.shutdown();
  CHECK(cache.get("k") == PGCACHE_CLOSED);
  CHECK(cache.put("k", "v") == PGCACHE_CLOSED);
  CHECK(cache.init() == PGCACHE_CLOSED);
  cache.shutdown();
}
