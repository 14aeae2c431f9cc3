/*
 * evicting.cpp - eviction beside others: a row that somebody holds is passed by. What a walk evicts is in limits.cpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

using namespace test;
using std::string;

TEST_CASE("A walk with a limit waits for no row that somebody has locked: it stays, the others go", "[limits]") {
  const string lock = GENERATE(as<string>(), "SELECT FROM {s}.entries WHERE key = 'k07' FOR UPDATE",
                               "SELECT {s}.put('k07', 'new'::bytea, '1 hour', 'default')");
  INFO(lock);
  Store store;
  for (int i = 0; i < 20; i++)
    REQUIRE(store.cache.put((i < 10 ? "k0" : "k") + std::to_string(i), "v") == PGCACHE_OK);
  /* Number 0 was used last; 7 is one of the cold. */
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = clock_timestamp() - interval '1 hour' * "
                          "(1 + substr(convert_from(key, 'UTF8'), 2)::int)"));
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 5, 0) == PGCACHE_OK);
  const auto held = [&] {
    return store.pg.one(store.sql("SELECT string_agg(convert_from(key, 'UTF8'), ' ' ORDER BY key) FROM {s}.entries"));
  };

  Pg other(url());
  other.exec(store.sql("BEGIN; " + lock));
  const int64_t start = now_ms();
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  progress.restart = 1;
  const Answer walked = store.cache.cleanup_some(progress, 60000, deadline(60000));
  INFO(walked);
  CHECK(walked == PGCACHE_OK);
  CHECK(progress.finished == 1);
  CHECK(now_ms() - start < 30000); /* whoever waits for the row does so until the deadline */
  CHECK(progress.evicted == 14);
  CHECK(held() == "k00 k01 k02 k03 k04 k07");

  other.exec("ROLLBACK");
  progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  progress.restart = 1;
  REQUIRE(store.cache.cleanup_some(progress, 60000) == PGCACHE_OK);
  CHECK(progress.evicted == 1); /* the next walk finds it free */
  CHECK(held() == "k00 k01 k02 k03 k04");
}
