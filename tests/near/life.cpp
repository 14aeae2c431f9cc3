/*
 * life.cpp - a near cache from its handle's beginning to its end: threads, forks, shutdown.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"
#include "support/fork.hpp"

#include <atomic>
#include <thread>

using namespace test;
using std::string;

TEST_CASE("After a shutdown nothing is answered, and values live on", "[rule:shutdown][life]") {
  Store store;
  Cache cache = store.open(near_on());
  listens(cache);
  REQUIRE(store.cache.put("k", "value") == PGCACHE_OK);
  REQUIRE(comes_near(cache, "k", "value"));
  const Answer held = cache.get("k");
  cache.shutdown();
  CHECK(cache.get("k") == PGCACHE_CLOSED);
  CHECK(cache.exists("k") == PGCACHE_CLOSED);
  CHECK(cache.peek("k") == PGCACHE_CLOSED);
  CHECK(cache.fence() == PGCACHE_CLOSED);
  CHECK(cache.get("k", deadline(0)) == PGCACHE_CLOSED);
  Items items;
  items.add("k");
  CHECK(pgcache_get_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_CLOSED);
  CHECK(items[0].status == PGCACHE_CLOSED);
  CHECK(cache.counters().near_hits > 0);
  cache.free();
  CHECK(held.bytes() == "value");
}

TEST_CASE("shutdown while threads are answered from copies", "[rule:shutdown][threads][life]") {
  Store store;
  for (int round = 0; round < longer(3, 30); round++) {
    Cache cache = store.open(near_on());
    listens(cache);
    REQUIRE(cache.put("k", "value") == PGCACHE_OK);
    std::atomic<int> wrong{0}, reading{0};
    std::thread ender([&] {
      while (reading < 4)
        std::this_thread::yield();
      sleep_ms(20);
      cache.shutdown();
    });
    in_threads(4, [&](int) {
      reading++;
      for (;;) {
        const Answer got = cache.get("k");
        if (got == PGCACHE_CLOSED)
          break;
        wrong += got != PGCACHE_OK || got.bytes() != "value";
      }
    });
    ender.join();
    CHECK(wrong == 0);
    cache.free();
  }
}

TEST_CASE("Readers, writers and flushes on two handles: values are whole, and never older than one's own write",
          "[threads][rule:own][life]") {
  Store store;
  Cache one = store.open(near_on({{"near_max_bytes", "1048576"}})), two = store.open(near_on());
  listens(one);
  listens(two);
  const int rounds = longer(300, 5000);
  std::atomic<int> wrong{0};
  std::atomic<bool> over{false};
  std::thread flusher([&] {
    while (!over) {
      wrong += one.flush(PGCACHE_FLUSH_NAMESPACE, in_namespace("flushed")) != PGCACHE_OK;
      sleep_ms(20);
    }
  });
  in_threads(6, [&](int thread) {
    Cache &cache = thread % 2 == 0 ? one : two;
    const string own = "own" + std::to_string(thread);
    const auto value_of = [](int number) {
      return std::to_string(number) + ":" + string(static_cast<size_t>(number % 700), 'x');
    };
    const auto number_of = [&](const Answer &got) { /* -1: torn */
                                                    const int number = std::stoi(got.bytes());
                                                    return got.bytes() == value_of(number) ? number : -1;
    };
    for (int i = 1; i <= rounds; i++) {
      if (cache.put(own, value_of(i)) != PGCACHE_OK || number_of(cache.get(own)) != i)
        wrong++;
      for (int reads = 0; reads < 5; reads++) {
        const string key = "own" + std::to_string((thread + reads) % 6);
        const Answer got = cache.get(key);
        if (got == PGCACHE_MISS)
          continue;
        wrong += got != PGCACHE_OK || number_of(got) < (key == own ? i : 1);
      }
      const Options flushed = in_namespace("flushed");
      wrong += cache.put("f" + std::to_string(i % 10), "v", flushed) != PGCACHE_OK;
      const Answer some = cache.get("f" + std::to_string(i % 10), flushed);
      wrong += some != PGCACHE_MISS && some.bytes() != "v";
    }
  });
  over = true;
  flusher.join();
  CHECK(wrong == 0);
  listens(one);
  listens(two);
  for (int thread = 0; thread < 6; thread++) {
    const string key = "own" + std::to_string(thread);
    const string stored = one.get(key, from_store()).bytes();
    CHECK(one.get(key).bytes() == stored);
    CHECK(two.get(key).bytes() == stored);
  }
}

TEST_CASE("A forked child begins with a near cache of its own, and the parent's goes on", "[rule:fork][life]") {
  if (!can_fork_among_threads) {
    WARN("left out: under a sanitizer a child forked beside the listener's thread may hang in malloc");
    return;
  }
  Store store;
  Cache cache = store.open(near_on());
  listens(cache);
  REQUIRE(store.cache.put("k", "value") == PGCACHE_OK);
  REQUIRE(comes_near(cache, "k", "value"));
  const int child = in_child([&] {
    if (copy_of(cache, "k") != "nothing")
      return 1;
    if (cache.peek("k") != PGCACHE_MISS || cache.counters().near_entries != 0)
      return 2;
    if (cache.fence(deadline(20000)) != PGCACHE_OK)
      return 3;
    if (cache.get("k").bytes() != "value")
      return 4;
    if (!eventually([&] { return cache.get("k").bytes() == "value" && copy_of(cache, "k") == "value"; }, 20000))
      return 5;
    if (cache.put("k", "child's") != PGCACHE_OK || cache.get("k").bytes() != "child's")
      return 6;
    return 0;
  });
  CHECK(child == 0);
  CHECK(eventually([&] { return cache.get("k").bytes() == "child's"; }, 20000));
  REQUIRE(comes_near(cache, "k", "child's"));
}
