/*
 * limits.cpp - near caches beside limits: what is read from copies is in use and stays, and what is evicted is told to whoever
 * holds a copy, because its removal would tell nobody.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"
#include "reader.hpp"

using namespace test;
using std::string;

namespace {

string key(int number) {
  return "k" + std::to_string(number);
}

/* Evicts all entries but those of the last puts, which begin after its walk. */
void evict_all(Store &store) {
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 1, 0) == PGCACHE_OK);
  const auto few = [&] {
    REQUIRE(store.cache.cleanup() == PGCACHE_OK);
    return store.pg.one(store.sql("SELECT count(*) <= 1 FROM {s}.entries")) == "t";
  };
  REQUIRE(eventually(few));
}

} // namespace

TEST_CASE("Hits in copies are use, too: what is read from them alone is not evicted", "[limits][stamps][direct]") {
  Store store;
  Cache cache = store.open(near_on({{"access_stamp_ms", "20"}, {"cleanup_share", "100"}}));
  REQUIRE(cache.set_limits(PGCACHE_LIMIT_ALL, 60, 0) == PGCACHE_OK);
  const int hot = 50, all = 400;
  for (int i = 0; i < all; i++)
    REQUIRE(store.cache.put(key(i), "v") == PGCACHE_OK);
  listens(cache);
  for (int i = 0; i < hot; i++)
    REQUIRE(comes_near(cache, key(i), "v"));
  /* From here on they are asked for in copies alone, and nothing else is ever read. */
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = now() - interval '1 hour'"));
  const int64_t misses = cache.counters().near_misses;
  const auto all_noted = [&] {
    for (int i = 0; i < hot; i++)
      REQUIRE(copy_of(cache, key(i)) == "v");
    return store.pg.one(
               store.sql("SELECT count(*) FROM {s}.entries WHERE accessed_at > now() - interval '30 minutes'")) ==
           std::to_string(hot);
  };
  {
    Janitor janitor(cache, 3600000);
    CHECK(eventually(all_noted, 20000));
  }
  CHECK(cache.counters().near_misses == misses);
  const auto within = [&] {
    REQUIRE(cache.cleanup() == PGCACHE_OK);
    return store.pg.one(store.sql("SELECT count(*) <= 60 FROM {s}.entries")) == "t";
  };
  CHECK(eventually(within));
  for (int i = 0; i < hot; i++)
    CHECK(store.cache.exists(key(i)) == PGCACHE_OK);
}

TEST_CASE("An evicted entry has no copies: who removes it then, or flushes, tells nobody", "[limits][events][A30]") {
  Store store;
  Cache cache = store.open(near_on());
  const int many = 200; /* more than one event row's */
  for (int i = 0; i < many; i++)
    REQUIRE(store.cache.put(key(i), "old", PGCACHE_TTL_NEVER) == PGCACHE_OK);
  listens(cache);
  for (int i = 0; i < many; i++)
    REQUIRE(comes_near(cache, key(i), "old"));
  evict_all(store);
  SECTION("removed") {
    for (int i = 0; i < many; i++)
      REQUIRE(store.cache.remove(key(i)) != PGCACHE_UNAVAILABLE);
  }
  SECTION("flushed") {
    REQUIRE(store.cache.flush(PGCACHE_FLUSH_NAMESPACE) == PGCACHE_OK);
  }
  listens(cache);
  for (int i = 0; i < many; i++)
    CHECK(copy_of(cache, key(i)) != "old");
}

TEST_CASE("What comes after an eviction stays: the event is of what was evicted", "[limits][events]") {
  Deaf scene;
  for (const char *key : {"k", "l"}) {
    REQUIRE(scene.other.put(key, "old") == PGCACHE_OK);
    REQUIRE(comes_near(scene.cache, key, "old"));
  }
  scene.store.pg.exec(
      scene.store.sql("UPDATE {s}.entries SET accessed_at = accessed_at - interval '1 hour' WHERE key = 'k'"));
  scene.deafen();
  evict_all(scene.store);
  REQUIRE(scene.other.exists("k") == PGCACHE_MISS);
  REQUIRE(scene.cache.put("k", "new") == PGCACHE_OK);
  scene.hear();
  listens(scene.cache); /* the event has come by now */
  CHECK(copy_of(scene.cache, "k") == "new");
  CHECK(copy_of(scene.cache, "l") == "old"); /* which was not evicted */
}
