/*
 * null.cpp - loads where nothing is stored: with `null:`, and where the server fails and on_error is `miss`.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"

#include <atomic>

using namespace test;

TEST_CASE("[A51] With null: everybody loads, and nobody waits for anybody", "[A51][null][threads]") {
  Cache cache(Config().set("url", "null:"));
  How how;
  how.absent_ttl_ms = 1000;
  std::atomic<int> loads{0}, wrong{0};
  in_threads(4, [&](int) {
    for (int i = 0; i < 50; i++) {
      Begun mine = begin(cache, "k", how);
      loads += mine == PGCACHE_LEASE;
      Begun other = begin(cache, "k", how);
      wrong += other != PGCACHE_LEASE;
      const Answer filled = mine.load.fill("v");
      wrong += filled != PGCACHE_OK || filled.version != 0;
      wrong += other.load.extend(1000) != PGCACHE_OK || other.load.fill_absent() != PGCACHE_OK;
      wrong += cache.get("k") != PGCACHE_MISS;
    }
  });
  CHECK(loads == 200);
  CHECK(wrong == 0);
  CHECK(begin(cache, "k").load.fail() == PGCACHE_MISS);
  CHECK(begin(cache, "k").load.abandon() == PGCACHE_OK);
  CHECK(invalidate(cache, Names().tag("t").key("k")) == PGCACHE_OK);
  cache.shutdown();
  CHECK(begin(cache, "k") == PGCACHE_CLOSED);
}

TEST_CASE("[A51] on_error=miss: where the server fails the caller loads for himself", "[A51][rule:on_error][null]") {
  Config config;
  config.set("url", "host=127.0.0.1 port=1 connect_timeout=2").set("on_error", "miss");
  Cache cache(config);
  Begun mine = begin(cache, "k");
  REQUIRE(mine == PGCACHE_LEASE);
  REQUIRE(mine.load);
  CHECK(begin(cache, "k") == PGCACHE_LEASE);
  CHECK(mine.load.extend(1000) == PGCACHE_OK);
  const Answer filled = mine.load.fill("v");
  CHECK(filled == PGCACHE_OK);
  CHECK(filled.version == 0);
  CHECK(mine.load.fill("v") == PGCACHE_INVALID);
  CHECK(begin(cache, "k").load.fail() == PGCACHE_MISS);
  CHECK(cache.counters().reads_failed == 3);
  CHECK(cache.counters().loads == 0);
  config.set("on_error", "error");
  Cache strict(config);
  const Begun failed = begin(strict, "k");
  CHECK(failed == PGCACHE_UNAVAILABLE);
  CHECK_FALSE(failed.load);
  CHECK(failed.error.text() != "");
}
