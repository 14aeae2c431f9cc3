/*
 * lacking.cpp - a system that has no thread left: what needs one is refused with a word, what does not works, and with threads
 * everything does again.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/alloc_fail.hpp"
#include "support/catch.hpp"
#include "support/server.hpp"
#include "support/system_fails.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* flexible array members */
extern "C" {
#include "operations/call.h"
}
#pragma GCC diagnostic pop

using namespace test;
using std::string;

TEST_CASE("Without a thread no janitor starts, and it is said so", "[janitor][lacking]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  pgcache_janitor *janitor = nullptr;
  {
    const SystemFails none(Lacking::Threads);
    Error error;
    CHECK(pgcache_janitor_start(&janitor, store.cache.raw(), 1000, &error) == PGCACHE_NO_MEMORY);
    CHECK(error.text().find("no thread") != string::npos);
    CHECK(janitor == nullptr);
    CHECK(store.cache.get("k").bytes() == "v");
  }
  REQUIRE(pgcache_janitor_start(&janitor, store.cache.raw(), 1000, nullptr) == PGCACHE_OK);
  CHECK(pgcache_janitor_stop(janitor, 30000, nullptr) == PGCACHE_OK);
  pgcache_janitor_free(janitor);
}

TEST_CASE("Without a thread a handle publishes nothing, counts that once, and works", "[published][lacking]") {
  Store store;
  Cache cache = store.open({{"publish_ms", "1000"}});
  const pgc_counters &counters = cache.raw()->store->counters;
  {
    const SystemFails none(Lacking::Threads);
    for (int i = 0; i < 3; i++)
      CHECK(cache.get("k").status < 0); /* nor is there one to connect on */
    CHECK(SystemFails::refused() > 1);
    CHECK(pgc_counted(&counters.publish_failures) == 1);
  }
  CHECK(eventually([&] { return cache.put("k", "v") == PGCACHE_OK; }));
  CHECK(cache.get("k").bytes() == "v");
  CHECK(pgc_counted(&counters.publish_failures) == 1);
  cache.shutdown();
  cache.free();
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.summaries")) == "0");
}

TEST_CASE("Without memory nothing is published, that is counted, and the next summary comes", "[published][memory]") {
  Store store;
  Cache cache = store.open({{"publish_ms", "1000"}});
  const pgc_counters &counters = cache.raw()->store->counters;
  const auto published = [&] { return store.pg.one(store.sql("SELECT count(*) FROM {s}.summaries")) != "0"; };
  {
    const Allocations first(1, Failing::FromThenOn);
    CHECK(cache.get("k") == PGCACHE_NO_MEMORY); /* nor is there a publisher yet */
  }
  CHECK(eventually([&] { return cache.get("k") == PGCACHE_MISS; }));
  {
    const Allocations all(1, Failing::FromThenOn);
    CHECK(eventually([&] { return pgc_counted(&counters.publish_failures) > 0; }));
  }
  CHECK(eventually(published));
  CHECK(eventually([&] { return pgc_counted(&counters.summaries_published) > 0; })); /* behind the commit */
}
