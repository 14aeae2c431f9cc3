/*
 * stamps.cpp - how reads become known as use: not at all without a limit; with one at most once an interval for each entry,
 * in statements of many, which wait for nobody and change nothing else.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <set>

using namespace test;
using std::string;

namespace {

/* Where each row's present version stands and who wrote it: another one after any update. */
std::vector<Row> rows(Store &store) {
  return store.pg.query(store.sql("SELECT key, ctid, xmin, accessed_at, version FROM {s}.entries ORDER BY key"));
}

string stamp(Store &store, const string &key) {
  return store.pg.one(store.sql("SELECT accessed_at FROM {s}.entries WHERE key = '" + key + "'"));
}

Cache open_with_limit(Store &store, const string &access_stamp_ms) {
  Cache cache = store.open({{"access_stamp_ms", access_stamp_ms}, {"cleanup_share", "100"}});
  REQUIRE(cache.set_limits(PGCACHE_LIMIT_ALL, 1000, 0) == PGCACHE_OK);
  return cache;
}

} // namespace

TEST_CASE("Without a limit reads write nothing; with one, handles that learn of it do", "[limits][stamps]") {
  Store store;
  Cache early = store.open({{"access_stamp_ms", "1"}, {"cleanup_share", "100"}});
  for (const char *key : {"a", "b"})
    REQUIRE(early.put(key, "v") == PGCACHE_OK);
  const std::vector<Row> before = rows(store);
  sleep_ms(5);
  Items items;
  items.add("a");
  items.add("b");
  const auto read = [&](Cache &cache) {
    for (int i = 0; i < 200; i++)
      REQUIRE(cache.get("a") == PGCACHE_OK);
    REQUIRE(pgcache_get_many(cache.raw(), items.data(), 2, nullptr, nullptr) == PGCACHE_OK);
    items.clear_results();
    REQUIRE(cache.exists("b") == PGCACHE_OK);
  };
  read(early);
  CHECK(rows(store) == before);
  CHECK(early.counters().entries_touched == 0);

  store.pg.exec(store.sql("SELECT {s}.set_limit(NULL, 1000)")); /* elsewhere */
  read(early);
  CHECK(rows(store) == before); /* it has not learnt of it yet, as is documented */
  Cache late = store.open({{"access_stamp_ms", "1"}, {"cleanup_share", "100"}});
  read(late);
  read(late);
  CHECK(late.counters().entries_touched > 0);
  CHECK(rows(store) != before);

  /* Lifted: no more. */
  REQUIRE(late.set_limits(PGCACHE_LIMIT_ALL, PGCACHE_LIMIT_NONE, PGCACHE_LIMIT_NONE) == PGCACHE_OK);
  const std::vector<Row> after = rows(store);
  sleep_ms(5);
  read(late);
  CHECK(rows(store) == after);
}

TEST_CASE("A hot entry's stamp moves at most once an interval, and nothing else of it does", "[limits][stamps]") {
  Store store;
  const int interval_ms = 150;
  Cache cache = open_with_limit(store, std::to_string(interval_ms));
  const int64_t version = cache.put("hot", "v", 60000).version;
  REQUIRE(version > 0);
  const string same =
      "SELECT version, expires_at, fresh_until, value, format, flags FROM {s}.entries WHERE key = 'hot'";
  const std::vector<Row> before = store.pg.query(store.sql(same));
  const int64_t began = now_ms();
  string last = stamp(store, "hot");
  int moves = 0;
  while (now_ms() - began < 8 * interval_ms) {
    for (int i = 0; i < 20; i++)
      REQUIRE(cache.get("hot").version == version);
    const string now = stamp(store, "hot");
    if (now != last) {
      moves++;
      CHECK(store.pg.one("SELECT $1::timestamptz - $2::timestamptz >= $3::int * interval '1 millisecond'",
                         {now, last, std::to_string(interval_ms)}) == "t");
    }
    last = now;
  }
  CHECK(moves >= 2);
  CHECK(moves <= (now_ms() - began) / interval_ms + 1);
  CHECK(cache.counters().entries_touched == moves);
  CHECK(store.pg.query(store.sql(same)) == before);

  /* What was just stored is not noted. */
  REQUIRE(cache.put("fresh", "v", 60000) == PGCACHE_OK);
  const string stored = stamp(store, "fresh");
  REQUIRE(cache.get("fresh") == PGCACHE_OK);
  CHECK(stamp(store, "fresh") == stored);
}

TEST_CASE("Noting use passes locked rows by, and waits for nobody", "[limits][stamps]") {
  Store store;
  Cache cache = open_with_limit(store, "1");
  for (const char *key : {"locked", "free"})
    REQUIRE(cache.put(key, "v", 60000) == PGCACHE_OK);
  const string locked = stamp(store, "locked"), other = stamp(store, "free");
  Pg writer(url());
  writer.exec("BEGIN");
  writer.exec(store.sql("SELECT 1 FROM {s}.entries WHERE key = 'locked' FOR UPDATE"));
  sleep_ms(5);
  const int64_t began = now_ms();
  for (int i = 0; i < 50; i++) {
    REQUIRE(cache.get("locked", deadline(5000)) == PGCACHE_OK);
    REQUIRE(cache.get("free", deadline(5000)) == PGCACHE_OK);
  }
  CHECK(now_ms() - began < 15000); /* the lock is held until the end */
  CHECK(stamp(store, "locked") == locked);
  CHECK(stamp(store, "free") != other);
  writer.exec("COMMIT");
  const auto noted = [&] { return cache.get("locked") == PGCACHE_OK && stamp(store, "locked") != locked; };
  CHECK(eventually(noted));
}

TEST_CASE("A janitor hands the stamps over, so that readers need not", "[limits][stamps][janitor]") {
  Store store;
  Cache cache = open_with_limit(store, "40");
  for (int i = 0; i < 100; i++)
    REQUIRE(cache.put(std::to_string(i), "v", 60000) == PGCACHE_OK);
  const std::vector<Row> before = rows(store);
  Janitor janitor(cache, 3600000);
  CHECK(eventually([&] { return store.pg.one(store.sql("SELECT count(*) FROM {s}.janitor")) == "1"; }));
  sleep_ms(100);
  for (int i = 0; i < 50; i++)
    REQUIRE(cache.get(std::to_string(i)) == PGCACHE_OK);
  /* With no further read. Those that come while the janitor takes the others are left to the next read of their entry. */
  CHECK(eventually([&] { return cache.counters().entries_touched >= 25; }));
  const std::vector<Row> after = rows(store);
  int moved = 0;
  for (size_t i = 0; i < before.size(); i++) {
    moved += after[i][3] != before[i][3];
    CHECK(after[i][4] == before[i][4]);
  }
  CHECK(moved >= 25);
  CHECK(janitor.stop(5000) == PGCACHE_OK);
}

TEST_CASE("What was read outlives what was not, although it was stored earlier", "[limits][stamps]") {
  Store store;
  Cache cache = open_with_limit(store, "1");
  for (int i = 0; i < 400; i++)
    REQUIRE(cache.put(std::to_string(i), "v") == PGCACHE_OK);
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at - (500 - convert_from(key, 'UTF8')::int) * "
                          "interval '1 second'"));
  const auto read_oldest = [&] {
    for (int i = 0; i < 50; i++)
      REQUIRE(cache.get(std::to_string(i)) == PGCACHE_OK);
    return store.pg.one(store.sql("SELECT count(*) FROM {s}.entries WHERE convert_from(key, 'UTF8')::int < 50 AND "
                                  "accessed_at < clock_timestamp() - interval '1 minute'")) == "0";
  };
  CHECK(eventually(read_oldest));
  REQUIRE(cache.set_limits(PGCACHE_LIMIT_ALL, 60, PGCACHE_LIMIT_NONE) == PGCACHE_OK);
  REQUIRE(cache.cleanup() == PGCACHE_OK);
  for (int i = 0; i < 50; i++)
    CHECK(cache.get(std::to_string(i)) == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "60");
  CHECK(cache.counters().entries_evicted == 340);
}

TEST_CASE("What hands have written as never used is the oldest there can be, and noted at its next use", "[stamps]") {
  Store store;
  Cache cache = store.open({{"access_stamp_ms", "1"}, {"cleanup_share", "100"}});
  REQUIRE(cache.set_limits(PGCACHE_LIMIT_ALL, 1000, 0) == PGCACHE_OK);
  for (const char *used : {"-infinity", "infinity", "4714-11-24 00:00:00+00 BC"}) {
    INFO(used);
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
    store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = '" + string(used) + "'"));
    CHECK(eventually([&] {
      sleep_ms(5);
      REQUIRE(cache.get("k").bytes() == "v");
      return used == string("infinity") ||
             store.pg.one(store.sql("SELECT accessed_at > now() - interval '1 hour' FROM {s}.entries")) == "t";
    }));
  }
}
