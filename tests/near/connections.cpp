/*
 * connections.cpp - connections are a budget: what the near cache adds to them, and what it does not.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"

#include "support/requests.hpp"

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

TEST_CASE("[A31] Without a setting there is a near cache of 64 MiB, but not for those who only write", "[A31]") {
  Store store;
  pgcache_config *config = nullptr;
  pgcache *raw = nullptr;
  REQUIRE(pgcache_config_new(&config, nullptr) == PGCACHE_OK);
  bool set = pgcache_config_set(config, "url", url().c_str(), nullptr) == PGCACHE_OK &&
             pgcache_config_set(config, "schema", store.schema().c_str(), nullptr) == PGCACHE_OK &&
             pgcache_config_set(config, "near_staleness_ms", "60000", nullptr) == PGCACHE_OK;
  const pgcache_status made = set ? pgcache_new(&raw, config, nullptr) : PGCACHE_INVALID;
  pgcache_config_free(config);
  REQUIRE(made == PGCACHE_OK);
  Cache cache(raw);
  for (int i = 0; i < 3; i++)
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  sleep_ms(50);
  CHECK(cache.counters().connections_opened == 1);
  CHECK(cache.counters().near_entries == 0);
  CHECK(comes_near(cache, "k", "v"));
  CHECK(cache.counters().connections_opened == 2);
  /* Without an entry it holds little of what it may. */
  CHECK(cache.counters().near_bytes < 1048576);
}

TEST_CASE("[A31] An idle process with a near cache, a janitor and requests holds one connection", "[A31][slow]") {
  Store store;
  const std::string name = store.schema() + "_idle";
  Cache cache = store.open(
      near_on({{"url", url_with({{"application_name", name}})}, {"pool_min", "0"}, {"pool_idle_ms", "200"}}));
  const auto connections = [&] {
    return store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", {name});
  };
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(comes_near(cache, "k", "v"));
  const Requests requests(cache);
  CHECK(requests.wait(requests.get("k").id).status() == PGCACHE_OK);
  CHECK(requests.wait(requests.get("other").id).status() == PGCACHE_MISS);
  const Janitor janitor(cache, 3600000);
  CHECK(eventually([&] { return connections() == "1"; }, 20000));
  REQUIRE(store.cache.put("k", "w") == PGCACHE_OK);
  CHECK(eventually([&] { return copy_of(cache, "k") == "nothing"; }, 20000)); /* it still listens */
  CHECK(cache.get("k").bytes() == "w");
  CHECK(eventually([&] { return connections() == "1"; }, 20000));
}
