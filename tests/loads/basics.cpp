/*
 * basics.cpp - one load from its beginning to each of its ends, and what others see meanwhile.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"

#include <atomic>
#include <thread>

using namespace test;
using std::string;

TEST_CASE("A miss gives a lease, its fill a value to everybody", "[rule:load][basics]") {
  Store store;
  Begun first = begin(store.cache, "k");
  REQUIRE(first == PGCACHE_LEASE);
  CHECK(first.load);
  CHECK_FALSE(first.value);
  CHECK(store.cache.get("k") == PGCACHE_MISS);
  const Answer filled = first.load.fill("value", {}, PGCACHE_FORMAT_JSON);
  REQUIRE(filled == PGCACHE_OK);
  CHECK(filled.version > 0);
  const Begun second = begin(store.cache, "k");
  CHECK(second == PGCACHE_OK);
  CHECK_FALSE(second.load);
  CHECK(second.bytes() == "value");
  CHECK(second.version == filled.version);
  CHECK(second.value.format() == PGCACHE_FORMAT_JSON);
  CHECK(store.cache.get("k").bytes() == "value");
  CHECK(first.load.fill("again") == PGCACHE_INVALID);
  CHECK(first.load.abandon() == PGCACHE_INVALID);
  const pgcache_counters counters = store.cache.counters();
  CHECK(counters.loads == 1);
  CHECK(counters.load_fills == 1);
  CHECK(counters.load_fills_refused == 0);
  CHECK(counters.load_waits == 0);
}

TEST_CASE("Values of all kinds: empty, large, compressed, encrypted, under keyed digests",
          "[rule:load][basics][digests]") {
  Store store;
  setenv("PGCACHE_TEST_LOAD_KEYS",
         "key1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
         "digest AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
         1);
  const string large(300000, 'x');
  struct Kind {
    const char *namespace_name;
    Settings settings;
  };
  const std::vector<Kind> kinds = {
      {"plain", {}},
      {"lz4", {{"compression", "lz4"}, {"compression_min_bytes", "1"}}},
      {"encrypted", {{"encryption", "required"}, {"keys", "env:PGCACHE_TEST_LOAD_KEYS"}}},
      {"keyed", {{"encryption", "on"}, {"digests", "keyed"}, {"keys", "env:PGCACHE_TEST_LOAD_KEYS"}}}};
  for (const Kind &kind : kinds) {
    INFO(kind.namespace_name);
    Settings settings = kind.settings;
    settings.emplace_back("namespace", kind.namespace_name);
    Cache cache = store.open(settings), other = store.open(settings);
    load(cache, "empty", "");
    load(cache, "large", large);
    load(cache, "small", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    CHECK(begin(other, "empty") == PGCACHE_OK);
    CHECK(begin(other, "large").bytes() == large);
    CHECK(other.get("small").bytes() == "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    How how;
    how.absent_ttl_ms = 60000;
    CHECK(begin(cache, "absent", how).load.fill_absent() == PGCACHE_OK);
    CHECK(begin(other, "absent") == PGCACHE_MISS);
    CHECK(other.get("absent") == PGCACHE_MISS);
    CHECK(other.counters().values_refused == 0);
  }
}

TEST_CASE("A key that is known to have no value is not listed", "[rule:load][basics]") {
  Store store;
  How how;
  how.absent_ttl_ms = 60000;
  REQUIRE(begin(store.cache, "absent", how).load.fill_absent() == PGCACHE_OK);
  REQUIRE(store.cache.put("there", "v") == PGCACHE_OK);
  pgcache_value *found[4] = {};
  size_t count = 0;
  REQUIRE(pgcache_keys(store.cache.raw(), found, 4, &count, nullptr, 0, nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
  CHECK(count == 1);
  CHECK(string(static_cast<const char *>(pgcache_value_data(found[0])), pgcache_value_size(found[0])) == "there");
  for (pgcache_value *key : found)
    pgcache_value_free(key);
}

TEST_CASE("A value that this handle cannot read is loaded anew", "[rule:load][basics]") {
  Store store;
  setenv("PGCACHE_TEST_LOAD_KEYS", "key1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 1);
  Cache secret = store.open({{"encryption", "required"}, {"keys", "env:PGCACHE_TEST_LOAD_KEYS"}});
  REQUIRE(store.cache.put("k", "not encrypted") == PGCACHE_OK);
  Begun mine = begin(secret, "k");
  REQUIRE(mine == PGCACHE_LEASE);
  CHECK(begin(secret, "k", waits({}, 0)) == PGCACHE_BUSY);
  CHECK(mine.load.fill("encrypted") == PGCACHE_OK);
  CHECK(begin(secret, "k").bytes() == "encrypted");
  Cache narrow = store.open({{"max_value_bytes", "4"}});
  REQUIRE(store.cache.put("large", "12345") == PGCACHE_OK);
  const Begun refused = begin(narrow, "large");
  CHECK(refused == PGCACHE_TOO_LARGE);
  CHECK_FALSE(refused.load);
}

TEST_CASE("[A44] A waiter's time: BUSY when it is over, the value as soon as it is there", "[A44][rule:load][basics]") {
  Store store;
  Cache other = store.open();
  Begun mine = begin(store.cache, "k", leased({}, 60000));
  REQUIRE(mine == PGCACHE_LEASE);
  for (Cache *cache : {&store.cache, &other}) { /* the same handle, and another process' as it were */
    CHECK(begin(*cache, "k", waits({}, 0)) == PGCACHE_BUSY);
    const int64_t before = now_ms();
    const Begun busy = begin(*cache, "k", waits({}, 150));
    CHECK(busy == PGCACHE_BUSY);
    CHECK_FALSE(busy.load);
    CHECK(now_ms() - before >= 150);
    /* It asks once more shortly before the deadline, and on a busy machine may be told too late. */
    CHECK(in_one_of(10, [&] {
      const Begun late = begin(*cache, "k", {}, deadline(300));
      CHECK((late == PGCACHE_BUSY || late == PGCACHE_TIMEOUT));
      return late == PGCACHE_BUSY;
    }));
    CHECK(begin(*cache, "k", {}, deadline(0)) == PGCACHE_TIMEOUT);
  }
  CHECK(store.cache.counters().load_waits >= 2);
  std::thread filler([&] {
    sleep_ms(100);
    (void)mine.load.fill("value");
  });
  const Begun waited = begin(store.cache, "k", {}, deadline(20000));
  const Begun also = begin(other, "k", {}, deadline(20000));
  filler.join();
  CHECK(waited.bytes() == "value");
  CHECK(also.bytes() == "value");
}

TEST_CASE("[A44] Leases of one key in two namespaces have nothing to do with each other", "[A44][rule:load][basics]") {
  Store store;
  Begun one = begin(store.cache, "k", {}, in_namespace("one")), two = begin(store.cache, "k", {}, in_namespace("two"));
  REQUIRE(one == PGCACHE_LEASE);
  REQUIRE(two == PGCACHE_LEASE);
  CHECK(one.load.fill("1") == PGCACHE_OK);
  CHECK(two.load.fill("2", in_namespace("ignored")) == PGCACHE_OK); /* it is the load's */
  CHECK(store.cache.get("k", in_namespace("one")).bytes() == "1");
  CHECK(store.cache.get("k", in_namespace("two")).bytes() == "2");
  CHECK(store.cache.get("k", in_namespace("ignored")) == PGCACHE_MISS);
}

TEST_CASE("[A41] A load that fails: nothing is stored, and who waits loads himself", "[A41][rule:load][basics]") {
  Store store;
  Cache other = store.open();
  for (Cache *cache : {&store.cache, &other}) {
    for (const bool abandons : {false, true}) {
      Begun mine = begin(store.cache, "k");
      REQUIRE(mine == PGCACHE_LEASE);
      std::thread fails([&] {
        sleep_ms(50);
        if (abandons)
          (void)mine.load.abandon();
        else
          (void)mine.load.fail();
      });
      const Begun next = begin(*cache, "k", {}, deadline(20000));
      fails.join();
      CHECK(next == PGCACHE_LEASE);
      CHECK(store.cache.get("k") == PGCACHE_MISS);
      CHECK(mine.load.fill("late") == PGCACHE_INVALID);
    } /* freed, and so abandoned */
  }
  Begun alone = begin(store.cache, "k");
  REQUIRE(alone == PGCACHE_LEASE);
  const Answer failed = alone.load.fail();
  CHECK(failed == PGCACHE_MISS);
  CHECK_FALSE(failed.value);
  CHECK(store.cache.counters().load_failures == 3);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.leases")) == "0");
}

TEST_CASE("[A42] A lease that is over: somebody else gets one, and the late fill is refused",
          "[A42][rule:load][basics]") {
  Store store;
  Cache other = store.open();
  for (Cache *cache : {&store.cache, &other}) {
    const string key = cache == &other ? "other" : "own";
    Begun stalled = begin(store.cache, key, leased({}, 300));
    REQUIRE(stalled == PGCACHE_LEASE);
    const int64_t before = now_ms();
    Begun next = begin(*cache, key, {}, deadline(20000));
    CHECK(next == PGCACHE_LEASE);
    CHECK(now_ms() - before < 19000); /* and not at its deadline */
    CHECK(stalled.load.fill("late") == PGCACHE_REFUSED);
    CHECK(store.cache.get(key) == PGCACHE_MISS);
    CHECK(next.load.fill("mine") == PGCACHE_OK);
    CHECK(store.cache.get(key).bytes() == "mine");
  }
  CHECK(store.cache.counters().load_fills_refused == 2);
}

TEST_CASE("A lease can be made longer; one that is over cannot", "[rule:load][basics]") {
  Store store;
  Begun mine = begin(store.cache, "k", leased({}, 2000));
  REQUIRE(mine == PGCACHE_LEASE);
  CHECK(mine.load.extend(0) == PGCACHE_INVALID);
  CHECK(mine.load.extend(PGCACHE_LEASE_MAX + 1LL) == PGCACHE_INVALID);
  REQUIRE(mine.load.extend(60000) == PGCACHE_OK);
  sleep_ms(2100);
  CHECK(begin(store.cache, "k", waits({}, 0)) == PGCACHE_BUSY);
  CHECK(mine.load.fill("value") == PGCACHE_OK);

  Begun over = begin(store.cache, "l", leased({}, 1));
  REQUIRE(over == PGCACHE_LEASE);
  sleep_ms(20);
  CHECK(over.load.extend(60000) == PGCACHE_REFUSED);
  CHECK(over.load.fill("value") == PGCACHE_INVALID);
}

TEST_CASE("A put, a remove or a flush during a load wins", "[rule:guard][basics]") {
  Store store;
  Begun mine = begin(store.cache, "k");
  REQUIRE(store.cache.put("k", "newer") == PGCACHE_OK);
  CHECK(mine.load.fill("older") == PGCACHE_REFUSED);
  CHECK(store.cache.get("k").bytes() == "newer");
  Begun removed = begin(store.cache, "l");
  (void)store.cache.remove("l");
  CHECK(removed.load.fill("older") == PGCACHE_REFUSED);
  Begun flushed = begin(store.cache, "l");
  REQUIRE(store.cache.flush(PGCACHE_FLUSH_ALL) == PGCACHE_OK);
  CHECK(flushed.load.fill("older") == PGCACHE_REFUSED);
  CHECK(store.cache.get("l") == PGCACHE_MISS);
}

TEST_CASE("That there is no value is remembered for loads alone", "[rule:load][basics]") {
  Store store;
  How how;
  how.absent_ttl_ms = PGCACHE_TTL_NEVER;
  CHECK(begin(store.cache, "k", how).load.fill_absent() == PGCACHE_OK);
  CHECK(begin(store.cache, "k") == PGCACHE_MISS);
  CHECK(store.cache.get("k") == PGCACHE_MISS);
  CHECK(store.cache.exists("k") == PGCACHE_MISS);
  CHECK(store.cache.add("k", "v") == PGCACHE_OK);
  CHECK(begin(store.cache, "k").bytes() == "v");
  how.absent_ttl_ms = 0;
  const Answer nothing = begin(store.cache, "l", how).load.fill_absent();
  CHECK(nothing == PGCACHE_OK);
  CHECK(nothing.version == 0);
  CHECK(begin(store.cache, "l") == PGCACHE_LEASE);
}
