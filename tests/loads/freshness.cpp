/*
 * freshness.cpp - [A45]: what is given when a value is not fresh any more. The clock is the server's; what is stored is made older
 * instead, so that no test waits for a time to pass.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"

#include <atomic>

#include <set>

using namespace test;
using std::string;

namespace {

struct Scene {
  Store store;
  Cache other = store.open();
  Cache &cache = store.cache;

  void age(int64_t milliseconds) {
    const string by = " - " + std::to_string(milliseconds) + " * interval '1 millisecond'";
    store.pg.exec(
        store.sql("UPDATE {s}.entries SET fresh_until = fresh_until" + by + ", expires_at = expires_at" + by));
  }
  void age_leases(int64_t milliseconds) {
    store.pg.exec(store.sql("UPDATE {s}.leases SET deadline = deadline - " + std::to_string(milliseconds) +
                            " * interval '1 millisecond'"));
  }
};

constexpr int64_t minute = 60000, hour = 60 * minute;

} // namespace

TEST_CASE("[A45] Stale while one refreshes: STALE at once, with the lease for one",
          "[A45][rule:freshness][freshness]") {
  Scene scene;
  const How how = kept(hour, minute);
  load(scene.cache, "k", "old", how);
  scene.age(hour + minute / 2);
  CHECK(scene.cache.get("k") == PGCACHE_MISS);
  CHECK(scene.cache.exists("k") == PGCACHE_MISS);
  Begun one = begin(scene.cache, "k", how);
  CHECK(one == PGCACHE_STALE);
  CHECK(one.bytes() == "old");
  CHECK(pgcache_value_is_stale(one.value.get()) == 1);
  CHECK(one.value.ttl_ms() > 0);
  CHECK(one.value.ttl_ms() <= minute / 2);
  REQUIRE(one.load);
  for (Cache *cache : {&scene.cache, &scene.other}) {
    const Begun others = begin(*cache, "k", how);
    CHECK(others == PGCACHE_STALE);
    CHECK(others.bytes() == "old");
    CHECK_FALSE(others.load);
  }
  CHECK(one.load.fill("new") == PGCACHE_OK);
  const Begun fresh = begin(scene.other, "k", how);
  CHECK(fresh == PGCACHE_OK);
  CHECK(fresh.bytes() == "new");
  CHECK(pgcache_value_is_stale(fresh.value.get()) == 0);
  CHECK(scene.cache.get("k").value.ttl_ms() > hour - minute); /* of its freshness, not of what it is kept for */
  CHECK(scene.cache.get("k").value.ttl_ms() <= hour);
  CHECK(scene.cache.counters().load_stale == 2);
}

TEST_CASE("[A45] Fail-safe: the lease for one, who falls back on it; others wait, then get it",
          "[A45][rule:freshness][freshness]") {
  Scene scene;
  How how = waits(kept(hour, 0, minute), 100);
  how.throttle_ms = minute / 2;
  load(scene.cache, "k", "old", how);
  scene.age(hour + 1000);
  Begun one = begin(scene.cache, "k", how);
  REQUIRE(one == PGCACHE_LEASE);
  CHECK_FALSE(one.value);
  for (Cache *cache : {&scene.cache, &scene.other}) {
    const int64_t before = now_ms();
    const Begun late = begin(*cache, "k", how);
    CHECK(late == PGCACHE_STALE);
    CHECK(late.bytes() == "old");
    CHECK_FALSE(late.load);
    CHECK(now_ms() - before >= 100);
  }
  const Answer failed = one.load.fail();
  CHECK(failed == PGCACHE_STALE);
  CHECK(failed.bytes() == "old");
  /* While the throttle lasts, everybody gets it at once. */
  for (Cache *cache : {&scene.cache, &scene.other}) {
    const Begun throttled = begin(*cache, "k", waits(how, 20000));
    CHECK(throttled == PGCACHE_STALE);
    CHECK_FALSE(throttled.load);
  }
  scene.age_leases(minute);
  Begun again = begin(scene.other, "k", how);
  REQUIRE(again == PGCACHE_LEASE);
  CHECK(again.load.fill("new") == PGCACHE_OK);
  CHECK(begin(scene.cache, "k", how).bytes() == "new");
}

TEST_CASE("[A45] Without stale_ms a value that is over is not given, however short ago",
          "[A45][rule:freshness][freshness]") {
  Scene scene;
  const How how = kept(1, 0, minute);
  for (int i = 0; i < 200; i++) {
    const string key = "k" + std::to_string(i);
    load(scene.cache, key, "old", how);
    Begun begun;
    while ((begun = begin(scene.cache, key, how)) == PGCACHE_OK)
      ;
    REQUIRE(begun == PGCACHE_LEASE);
  }
}

TEST_CASE("[A45] A value beyond all its times, or invalidated, does not stand in", "[A45][rule:freshness][freshness]") {
  Scene scene;
  const How how = waits(kept(hour, minute, minute), 0);
  load(scene.cache, "k", "old", how);
  SECTION("its time is over") {
    scene.age(hour + minute + 1);
  }
  SECTION("it was invalidated") {
    scene.age(hour + 1000);
    REQUIRE(invalidate(scene.cache, Names().key("k")) == PGCACHE_OK);
  }
  Begun one = begin(scene.cache, "k", how);
  CHECK(one == PGCACHE_LEASE);
  CHECK(begin(scene.other, "k", how) == PGCACHE_BUSY);
  CHECK(one.load.fail() == PGCACHE_MISS);
  CHECK(begin(scene.other, "k", how) == PGCACHE_LEASE); /* nothing stands in: nobody has to wait for a throttle */
}

TEST_CASE("[A45] What was invalidated during a load does not stand in for it", "[A45][rule:freshness][freshness]") {
  Scene scene;
  const How how = kept(hour, 0, minute);
  load(scene.cache, "k", "old", how);
  scene.age(hour + 1000);
  Begun one = begin(scene.cache, "k", how);
  REQUIRE(one == PGCACHE_LEASE);
  REQUIRE(invalidate(scene.other, Names().key("k")) == PGCACHE_OK);
  const Answer failed = one.load.fail();
  CHECK(failed == PGCACHE_MISS);
  CHECK_FALSE(failed.value);
  CHECK(begin(scene.other, "k", how) == PGCACHE_LEASE);
}

TEST_CASE("[A45] Who asks decides what is too stale for him", "[A45][rule:freshness][freshness]") {
  Scene scene;
  load(scene.cache, "k", "old", kept(hour, minute, hour));
  scene.age(hour + minute / 2);
  Begun strict = begin(scene.cache, "k", kept(hour));
  CHECK(strict == PGCACHE_LEASE);
  CHECK(begin(scene.other, "k", waits(kept(hour), 0)) == PGCACHE_BUSY);
  CHECK(begin(scene.other, "k", waits(kept(hour, minute), 0)) == PGCACHE_STALE);
  CHECK(begin(scene.other, "k", waits(kept(hour, 0, minute), 0)) == PGCACHE_STALE);
}

TEST_CASE("[A45] Threads share what is stale, each if it is fresh enough for him",
          "[A45][rule:freshness][freshness][threads]") {
  Store store;
  Cache cache = store.open({{"near_max_bytes", "0"}, {"timeout_ms", "60000"}});
  load(store.cache, "k", "old", kept(1, hour));
  sleep_ms(5);
  const Begun refreshes = begin(store.cache, "k", kept(1, hour));
  REQUIRE(refreshes.load);
  std::atomic<int> stale{0}, busy{0}, wrong{0};
  in_threads(8, [&](int thread) {
    for (int i = 0; i < 50; i++) {
      const bool strict = (thread + i) % 4 == 0;
      const Begun got = strict ? begin(cache, "k", waits(kept(1), 1)) : begin(cache, "k", kept(1, hour));
      stale += got == PGCACHE_STALE && got.bytes() == "old";
      busy += got == PGCACHE_BUSY;
      wrong += got.load || got != (strict ? PGCACHE_BUSY : PGCACHE_STALE);
    }
  });
  CHECK(wrong == 0);
  CHECK(busy == 100);
  CHECK(stale == 300);
  CHECK(cache.counters().load_stale == 300);
}

TEST_CASE("[A45] That there is no value is known for its own time", "[A45][rule:freshness][freshness]") {
  Scene scene;
  How how = kept(hour, minute, minute);
  how.absent_ttl_ms = minute;
  CHECK(begin(scene.cache, "k", how).load.fill_absent() == PGCACHE_OK);
  CHECK(begin(scene.other, "k", how) == PGCACHE_MISS);
  scene.age(minute + 1);
  Begun over = begin(scene.other, "k", how);
  CHECK(over == PGCACHE_LEASE);
  CHECK(over.load.fill("there") == PGCACHE_OK);
}

TEST_CASE("[A45] Jitter shortens the time to live, each time otherwise", "[A45][freshness]") {
  Scene scene;
  How how = kept(hour);
  how.jitter_percent = 50;
  std::set<int64_t> times;
  for (int i = 0; i < 30; i++) {
    const string key = "k" + std::to_string(i);
    load(scene.cache, key, "v", how);
    const int64_t ttl_ms = scene.cache.get(key).value.ttl_ms();
    CHECK(ttl_ms <= hour);
    CHECK(ttl_ms > hour / 2 - minute);
    times.insert(ttl_ms / minute);
  }
  CHECK(times.size() > 5); /* 30 of 30 minutes */
  how.ttl_ms = PGCACHE_TTL_NEVER;
  load(scene.cache, "never", "v", how);
  CHECK(scene.cache.get("never").value.ttl_ms() == PGCACHE_TTL_NEVER);
}

TEST_CASE("[A45] Early refresh: near the end some reader gets the lease with the value, and others do not wait",
          "[A45][freshness]") {
  const bool near = GENERATE(false, true);
  Store store;
  Cache cache = store.open({{"near_max_bytes", near ? "16777216" : "0"}, {"near_staleness_ms", "20000"}});
  How how = kept(minute);
  how.early_percent = 100;
  Begun first = begin(cache, "k", how);
  sleep_ms(30); /* it takes so long to load */
  REQUIRE(first.load.fill("v") == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT load_ms BETWEEN 30 AND 30000 FROM {s}.entries")) == "t");
  for (int i = 0; i < 20; i++)
    CHECK_FALSE(begin(cache, "k", how).load); /* a minute ahead: once in e^(60/load) */
  store.pg.exec(store.sql("UPDATE {s}.entries SET load_ms = 10 * 60000, version = version + 1"));
  Options fresh;
  fresh.read_mode = PGCACHE_READ_STORE;
  Begun refreshes;
  for (int i = 0; i < 10000 && !refreshes.load; i++) {
    refreshes = begin(cache, "k", how, near && i > 0 ? Options() : fresh);
    CHECK(refreshes == PGCACHE_OK);
    CHECK(refreshes.bytes() == "v");
  }
  REQUIRE(refreshes.load);
  for (int i = 0; i < 100; i++) {
    const Begun others = begin(cache, "k", how);
    CHECK(others == PGCACHE_OK);
    CHECK_FALSE(others.load);
  }
  CHECK(begin(cache, "k", kept(minute)) == PGCACHE_OK); /* early_percent 0 */
  CHECK(refreshes.load.fill("new") == PGCACHE_OK);
  CHECK(begin(cache, "k", kept(minute)).bytes() == "new");
}

TEST_CASE("[A45] A load that fails to refresh early leaves what is there", "[A45][freshness]") {
  Scene scene;
  How how = kept(minute);
  how.early_percent = 1000;
  load(scene.cache, "k", "v", how);
  scene.store.pg.exec(scene.store.sql("UPDATE {s}.entries SET load_ms = 100000000"));
  Begun refreshes;
  for (int i = 0; i < 10000 && !refreshes.load; i++)
    refreshes = begin(scene.cache, "k", how);
  REQUIRE(refreshes.load);
  CHECK(refreshes.load.fail().bytes() == "v");
  CHECK(scene.cache.get("k").bytes() == "v");
  CHECK(begin(scene.other, "k", kept(minute)).bytes() == "v");
}
