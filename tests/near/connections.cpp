/*
 * connections.cpp - connections are a budget: what the near cache adds to them, and what it does not.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <atomic>

using namespace test;

TEST_CASE(
    "[A31] Without a near cache nothing listens: reads and writes of several threads open the pool's connections only",
    "[A31][threads]") {
  Store store;
  Cache cache = store.open(
      {{"near_max_bytes", "0"}, {"pool_max", "1"}, {"url", url_with({{"application_name", store.schema()}})}});
  std::atomic<int> wrong{0};
  in_threads(4, [&](int thread) {
    const std::string key = "k" + std::to_string(thread);
    wrong += cache.put(key, "v") != PGCACHE_OK;
    wrong += cache.get(key).bytes() != "v";
  });
  CHECK(wrong == 0);
  CHECK(store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", {store.schema()}) == "1");
  CHECK(cache.counters().connections_opened == 1);
}
