/*
 * measured.cpp - what is measured of reads that the near cache answers: all are counted, and one of 64 is timed.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"
#include "support/requests.hpp"
#include "support/snapshot.hpp"

using namespace test;

TEST_CASE("[A60] near hits are all counted, whoever asks", "[A60][measured][rule:measured]") {
  const Store store;
  Cache cache = store.open(near_on());
  listens(cache);
  REQUIRE(cache.put("a", "12345") == PGCACHE_OK);
  REQUIRE(comes_near(cache, "a", "12345"));
  const Snapshot before(cache);
  const auto more = [&](const Snapshot::Labels &labels) { return Snapshot(cache).hits(labels) - before.hits(labels); };
  for (int i = 0; i < 1000; i++)
    CHECK(copy_of(cache, "a") == "12345");
  CHECK(more({{"source", "near"}, {"span_name", ""}}) == 1000);
  for (int i = 0; i < 100; i++)
    CHECK(copy_of(cache, "a", with_span("page")) == "12345");
  CHECK(more({{"source", "near"}, {"span_name", "page"}}) == 100);
  for (int i = 0; i < 100; i++)
    CHECK(cache.exists("a", deadline(0)) == PGCACHE_OK);
  CHECK(more({{"source", "near"}, {"span_name", ""}}) == 1100);
  const std::string key = "a";
  Items items;
  for (int i = 0; i < 10; i++)
    items.add(key);
  Options now = deadline(0);
  CHECK(pgcache_get_many(cache.raw(), items.data(), items.size(), &now, nullptr) == PGCACHE_OK);
  CHECK(more({{"source", "near"}, {"span_name", ""}}) == 1110);
  Requests requests(cache);
  const Submitted one = requests.get("a");
  REQUIRE(one == PGCACHE_OK);
  pgcache_completion *taken = nullptr;
  REQUIRE(pgcache_wait(cache.raw(), &taken, one.id, 30000, nullptr) == PGCACHE_OK);
  const Completion completion(taken);
  CHECK(completion == PGCACHE_OK);
  CHECK(more({{"source", "near"}, {"span_name", ""}}) == 1111);
  CHECK(more({{"source", "store"}}) == 0);
  CHECK(Snapshot(cache).ended("get_many", "ok", "near") == 1);
  CHECK(Snapshot(cache).value("pgcache_near_hits_total") - before.value("pgcache_near_hits_total") == 1211);
}

TEST_CASE("a peek that finds a value is a hit, and one that finds none is nothing", "[measured][peek][rule:measured]") {
  const Store store;
  Cache cache = store.open(near_on());
  listens(cache);
  REQUIRE(cache.put("a", "12345") == PGCACHE_OK);
  REQUIRE(comes_near(cache, "a", "12345"));
  const Snapshot before(cache);
  const pgcache_counters counted = cache.counters();
  for (int i = 0; i < 100; i++) {
    const Options options = i % 2 == 0 ? Options() : with_span("page");
    CHECK(cache.peek("a", options) == PGCACHE_OK);
    CHECK(cache.peek("none", options) == PGCACHE_MISS);
  }
  const Snapshot after(cache);
  for (const char *span : {"", "page"})
    CHECK(after.hits({{"source", "near"}, {"span_name", span}}) -
              before.hits({{"source", "near"}, {"span_name", span}}) ==
          50);
  CHECK(after.misses({}) == before.misses({}));
  CHECK(after.ended("peek", "miss", "near") == 0);
  CHECK(cache.counters().near_hits - counted.near_hits == 100);
  CHECK(cache.counters().near_misses == counted.near_misses);
}

TEST_CASE("one near hit of 64 is timed, and stands for all 64", "[measured][rule:measured]") {
  const Store store;
  Cache cache = store.open(near_on());
  listens(cache);
  REQUIRE(cache.put("a", "12345") == PGCACHE_OK);
  REQUIRE(comes_near(cache, "a", "12345"));
  const int rounds = 200000; /* the count is random: 3125 samples, give or take 56; six times that is never reached */
  const Snapshot before(cache);
  for (int i = 0; i < rounds; i++)
    (void)cache.get("a", i % 2 ? Options() : with_span("page"));
  const Snapshot after(cache);
  const double hits = after.hits({{"source", "near"}}) - before.hits({{"source", "near"}});
  CHECK(hits > rounds * 0.9); /* but for what lapsed */
  for (const char *span : {"", "page"}) {
    const Snapshot::Labels labels{{"operation", "get"}, {"outcome", "hit"}, {"source", "near"}, {"span_name", span}};
    const auto timed = static_cast<double>(after.count("pgcache_operation_duration_seconds", labels) -
                                           before.count("pgcache_operation_duration_seconds", labels));
    INFO(span << ": " << timed << " of " << hits / 2);
    CHECK(timed > hits / 2 * 0.75);
    CHECK(timed < hits / 2 * 1.25);
    CHECK(static_cast<int64_t>(timed) % 64 == 0);
  }
}

TEST_CASE("what a near cache knows to be absent is a miss of its own", "[measured][rule:measured]") {
  const Store store;
  Cache cache = store.open(near_on({{"near_absent_ms", "60000"}}));
  listens(cache);
  REQUIRE(eventually([&] {
    (void)cache.get("none");
    return copy_of(cache, "none") == "absent";
  }));
  const Snapshot before(cache);
  for (int i = 0; i < 50; i++)
    CHECK(copy_of(cache, "none") == "absent");
  const Snapshot after(cache);
  CHECK(after.misses({{"source", "near"}}) - before.misses({{"source", "near"}}) == 50);
  CHECK(after.misses({{"source", "store"}}) == before.misses({{"source", "store"}}));
}

TEST_CASE("the near cache's state is in a snapshot", "[measured]") {
  const Store store;
  Cache cache = store.open(near_on());
  CHECK(Snapshot(cache).value("pgcache_near_proven") == 0);
  CHECK(Snapshot(cache).value("pgcache_near_proof_timestamp_seconds") == 0);
  CHECK(Snapshot(cache).value("pgcache_near_max_bytes") == 16777216);
  listens(cache);
  REQUIRE(cache.put("a", "12345") == PGCACHE_OK);
  REQUIRE(comes_near(cache, "a", "12345"));
  const Snapshot now(cache);
  CHECK(now.value("pgcache_near_proven") == 1);
  CHECK(std::abs(now.value("pgcache_near_proof_timestamp_seconds") - static_cast<double>(time(nullptr))) < 60);
  CHECK(now.value("pgcache_near_entries") == 1);
  CHECK(now.value("pgcache_near_bytes") > 0);
  CHECK(now.samples("pgcache_near_flushes_total") == 4);
  CHECK(now.ended("fence", "ok") == 1);
}
