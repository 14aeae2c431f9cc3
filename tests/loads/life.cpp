/*
 * life.cpp - loads among threads, at a shutdown, in a forked child, and where memory runs out.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"
#include "support/alloc_fail.hpp"
#include "support/fork.hpp"

#include <atomic>
#include <thread>

using namespace test;
using std::string;

TEST_CASE("Threads of two handles miss the same keys: each is loaded once, and everybody gets it", "[threads][life]") {
  const bool near = GENERATE(false, true);
  Store store;
  const Settings settings = {{"near_max_bytes", near ? "16777216" : "0"}, {"timeout_ms", "60000"}};
  Cache one = store.open(settings), two = store.open(settings);
  constexpr int keys = 8;
  std::atomic<int> loads{0}, wrong{0};
  in_threads(16, [&](int thread) {
    Cache &cache = thread % 2 == 0 ? one : two;
    for (int k = 0; k < keys; k++) {
      const string key = "k" + std::to_string(k);
      Begun got = begin(cache, key);
      if (got == PGCACHE_LEASE) {
        loads++;
        sleep_ms(5);
        wrong += got.load.fill("of " + key) != PGCACHE_OK;
      } else {
        wrong += got != PGCACHE_OK || got.bytes() != "of " + key;
      }
    }
  });
  CHECK(loads == keys);
  CHECK(wrong == 0);
}

TEST_CASE("Threads load, fail, abandon and invalidate: whoever gets a value gets a whole and stored one",
          "[threads][life]") {
  Store store;
  Cache one = store.open({{"near_max_bytes", "16777216"}, {"timeout_ms", "60000"}});
  Cache two = store.open({{"timeout_ms", "60000"}});
  std::atomic<int> wrong{0};
  const int rounds = longer(40, 1000);
  in_threads(8, [&](int thread) {
    Cache &cache = thread % 2 == 0 ? one : two;
    for (int i = 0; i < rounds; i++) {
      const string key = "k" + std::to_string((thread + i) % 3);
      if (i % 7 == 6) {
        wrong += invalidate(cache, Names().key(key)) != PGCACHE_OK;
        continue;
      }
      Begun got = begin(cache, key);
      if (got == PGCACHE_LEASE) {
        const int end = (thread + i) % 5;
        const Answer ended = end == 0   ? got.load.fail()
                             : end == 1 ? got.load.abandon()
                                        : got.load.fill(key + " " + string(static_cast<size_t>(i % 50), 'x'));
        wrong += end == 0   ? ended != PGCACHE_MISS
                 : end == 1 ? ended != PGCACHE_OK
                            : ended != PGCACHE_OK && ended != PGCACHE_REFUSED;
      } else {
        wrong += got != PGCACHE_OK || got.bytes().rfind(key + " ", 0) != 0;
      }
    }
  });
  CHECK(wrong == 0);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.leases")) == "0");
}

TEST_CASE("[A43] Loaders that use the cache, with one connection for all: nobody waits for ever",
          "[A43][threads][life]") {
  Store store;
  Cache cache = store.open({{"pool_max", "1"}, {"timeout_ms", "60000"}, {"near_max_bytes", "0"}});
  std::atomic<int> wrong{0};
  in_threads(8, [&](int thread) {
    /* Each loads its own key, and inside of that reads and loads others: never one below it, which would be a circle. */
    for (int k = 0; k < 8; k++) {
      const string key = "k" + std::to_string((k + thread) % 8);
      Begun outer = begin(cache, key);
      if (outer != PGCACHE_LEASE) {
        wrong += outer != PGCACHE_OK;
        continue;
      }
      wrong += cache.put("p" + key, "v") != PGCACHE_OK || cache.get("p" + key) != PGCACHE_OK;
      Begun inner = begin(cache, "inside of " + key);
      wrong += inner != PGCACHE_LEASE && inner != PGCACHE_OK;
      if (inner.load)
        wrong += inner.load.fill("v") != PGCACHE_OK;
      wrong += outer.load.fill("v") != PGCACHE_OK;
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("A shutdown wakes who waits for a load", "[rule:shutdown][threads][life]") {
  Store store;
  Begun theirs = begin(store.cache, "theirs");
  REQUIRE(theirs == PGCACHE_LEASE);
  Cache cache = store.open({{"timeout_ms", "60000"}});
  Begun own = begin(cache, "own");
  REQUIRE(own == PGCACHE_LEASE);
  std::atomic<int> closed{0};
  const int64_t before = now_ms();
  std::thread ender([&] {
    const bool all = eventually([&] { return cache.counters().load_waits == 6; }, 30000);
    CHECK(all);
    cache.shutdown();
  });
  in_threads(6, [&](int thread) { closed += begin(cache, thread < 3 ? "theirs" : "own") == PGCACHE_CLOSED; });
  ender.join();
  CHECK(closed == 6);
  CHECK(now_ms() - before < 50000);
  CHECK(own.load.fill("v") == PGCACHE_CLOSED);
  own.load.free();
  cache.free();
  CHECK(theirs.load.fill("v") == PGCACHE_OK);
}

TEST_CASE("A load is the process's that began it: a forked child cannot end it, and does not by freeing it",
          "[rule:fork][life]") {
  if (!can_fork_among_threads) {
    WARN("left out: under a sanitizer a child forked beside the pool's thread may hang in malloc");
    return;
  }
  Store store;
  Begun mine = begin(store.cache, "k");
  REQUIRE(mine == PGCACHE_LEASE);
  const int child = in_child([&] {
    if (mine.load.fill("child's") != PGCACHE_INVALID || mine.load.abandon() != PGCACHE_INVALID ||
        mine.load.fail() != PGCACHE_INVALID || mine.load.extend(1000) != PGCACHE_INVALID)
      return 1;
    mine.load.free();
    if (begin(store.cache, "k", waits({}, 0)) != PGCACHE_BUSY)
      return 2;
    Begun own = begin(store.cache, "l");
    if (own != PGCACHE_LEASE || own.load.fill("child's") != PGCACHE_OK)
      return 3;
    return 0;
  });
  CHECK(child == 0);
  CHECK(mine.load.fill("v") == PGCACHE_OK);
  CHECK(begin(store.cache, "l").bytes() == "child's");
}

namespace {

/* A load from its beginning to its fill, a read of it, and its invalidation, with whatever fails first. */
pgcache_status load_and_invalidate(pgcache *self, Names &names) {
  const How how = leased(kept(60000, 0, 60000), 200);
  const Options options = names.options();
  pgcache_load *load = nullptr;
  pgcache_value *value = nullptr;
  pgcache_status status = pgcache_load_begin(self, &value, &load, "k", 1, &how, nullptr, nullptr);
  if ((status == PGCACHE_LEASE) != (load != nullptr) || (status == PGCACHE_OK) != (value != nullptr))
    return PGCACHE_INVALID;
  if (status == PGCACHE_LEASE)
    status = pgcache_load_fill(load, nullptr, "value", 5, 0, &options, nullptr);
  pgcache_load_free(load);
  pgcache_value_free(value);
  value = nullptr;
  if (status == PGCACHE_OK) {
    status = pgcache_load_begin(self, &value, &load, "k", 1, &how, nullptr, nullptr);
    pgcache_value_free(value);
    pgcache_load_free(load);
  }
  return status == PGCACHE_OK ? pgcache_invalidate(self, names.data(), names.size(), nullptr, nullptr) : status;
}

} // namespace

TEST_CASE("Memory that runs out anywhere: nothing leaks, and no lease stays for ever", "[memory][life]") {
  Store store;
  const Config config = store.config({{"near_max_bytes", "0"}, {"timeout_ms", "20000"}});
  Names names = Names().tag("a").key("k");
  for (const Failing failing : {Failing::Once, Failing::FromThenOn}) {
    for (long n = 1; n < 10000; n++) {
      pgcache_status status = PGCACHE_NO_MEMORY;
      size_t left = 0;
      long failed;
      {
        Allocations allocations(n, failing);
        pgcache *self = nullptr;
        if (pgcache_new(&self, config.get(), nullptr) == PGCACHE_OK)
          status = load_and_invalidate(self, names);
        pgcache_free(self);
        eventually([&] { return (left = Allocations::alive()) == 0; }); /* a thread that connected may still end */
        failed = Allocations::failed();
      }
      INFO("allocation " << n << (failing == Failing::Once ? " alone" : " and all behind it"));
      CHECK((status == PGCACHE_OK || status == PGCACHE_NO_MEMORY || status == PGCACHE_UNKNOWN));
      CHECK(left == 0);
      if (n % 5 == 0) { /* whatever became of it: soon somebody else can load */
        const Begun got = begin(store.cache, "k", {}, deadline(20000));
        CHECK((got == PGCACHE_LEASE || got == PGCACHE_OK));
      }
      if (failed == 0) {
        CHECK(status == PGCACHE_OK);
        CHECK(n > 10);
        break;
      }
    }
  }
}
