/*
 * conditional.cpp - the calls whose outcome depends on what is there: add, replace, compare_and_swap, touch, exists,
 * increment; alone and under many threads.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <atomic>
#include <thread>

using namespace test;
using std::string;

TEST_CASE("[A14] add stores only what is absent; an expired row is absent", "[A14][add]") {
  Store store;
  Cache &cache = store.cache;
  const Answer first = cache.add("k", "first");
  REQUIRE(first == PGCACHE_OK);
  CHECK(first.version > 0);
  const Answer second = cache.add("k", "second");
  CHECK(second == PGCACHE_EXISTS);
  CHECK(second.version == 0);
  CHECK(second.error.text().empty());
  CHECK(cache.get("k").bytes() == "first");
  CHECK(cache.get("k").version == first.version);
  REQUIRE(cache.put("k", "short", 1) == PGCACHE_OK);
  sleep_ms(10);
  const Answer third = cache.add("k", "third", 50000, 9);
  REQUIRE(third == PGCACHE_OK);
  CHECK(third.version > first.version);
  const Answer got = cache.get("k");
  CHECK(got.bytes() == "third");
  CHECK(got.value.format() == 9);
  CHECK(got.value.ttl_ms() > 40000);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "1");
}

TEST_CASE("[A14] replace stores only over what is there", "[A14][replace]") {
  Store store;
  Cache &cache = store.cache;
  const Answer none = cache.replace("k", "v");
  CHECK(none == PGCACHE_MISS);
  CHECK(none.version == 0);
  CHECK(cache.get("k") == PGCACHE_MISS);
  const int64_t version = cache.put("k", "old", 1000000).version;
  const Answer done = cache.replace("k", "new", 50000, 5);
  REQUIRE(done == PGCACHE_OK);
  CHECK(done.version > version);
  const Answer got = cache.get("k");
  CHECK(got.bytes() == "new");
  CHECK(got.value.format() == 5);
  CHECK(got.value.ttl_ms() <= 50000);
  REQUIRE(cache.touch("k", 1) == PGCACHE_OK);
  sleep_ms(10);
  CHECK(cache.replace("k", "late") == PGCACHE_MISS);
  CHECK(cache.get("k") == PGCACHE_MISS);
}

TEST_CASE("[A14] compare_and_swap stores only over the version it was given", "[A14][cas]") {
  Store store;
  Cache &cache = store.cache;
  CHECK(cache.compare_and_swap("k", "v", 1) == PGCACHE_MISS);
  const int64_t one = cache.put("k", "one").version;
  const Answer swapped = cache.compare_and_swap("k", "two", one);
  REQUIRE(swapped == PGCACHE_OK);
  CHECK(swapped.version > one);
  const Answer refused = cache.compare_and_swap("k", "three", one);
  CHECK(refused == PGCACHE_EXISTS);
  CHECK(refused.version == 0);
  CHECK(cache.get("k").bytes() == "two");
  /* Removed and stored again with the same value: the old version must not fit. */
  REQUIRE(cache.remove("k") == PGCACHE_OK);
  CHECK(cache.compare_and_swap("k", "x", swapped.version) == PGCACHE_MISS);
  REQUIRE(cache.put("k", "two") == PGCACHE_OK);
  CHECK(cache.compare_and_swap("k", "x", swapped.version) == PGCACHE_EXISTS);
  /* Expired: there is none, whatever the version. */
  const int64_t brief = cache.put("k", "brief", 1).version;
  sleep_ms(10);
  CHECK(cache.compare_and_swap("k", "x", brief) == PGCACHE_MISS);
}

TEST_CASE("[A14] touch changes the expiry and nothing else", "[A14][touch]") {
  Store store;
  Cache &cache = store.cache;
  CHECK(cache.touch("k", 1000) == PGCACHE_MISS);
  const int64_t version = cache.put("k", string(100000, 'v'), 60000, 3).version;
  const int64_t toast = std::stoll(store.pg.one(store.sql("SELECT pg_total_relation_size('{s}.entries')")));
  Answer touched;
  for (int i = 0; i < 20; i++)
    REQUIRE((touched = cache.touch("k", 600000)) == PGCACHE_OK);
  CHECK(touched.version > version);
  const Answer got = cache.get("k");
  CHECK(got.version == touched.version);
  CHECK(got.value.format() == 3);
  CHECK(got.value.ttl_ms() > 500000);
  CHECK((got.bytes() == string(100000, 'v')));
  /* The value was not written again, nor sent: the table has not grown by another copy. */
  CHECK(std::stoll(store.pg.one(store.sql("SELECT pg_total_relation_size('{s}.entries')"))) < toast + 100000);
  CHECK(cache.compare_and_swap("k", "x", version) == PGCACHE_EXISTS);
}

TEST_CASE("[A14] exists tells without reading", "[A14][exists]") {
  Store store;
  CHECK(store.cache.exists("k") == PGCACHE_MISS);
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  CHECK(store.cache.exists("k") == PGCACHE_OK);
  CHECK(store.cache.exists("k", in_namespace("other")) == PGCACHE_MISS);
  REQUIRE(store.cache.remove("k") == PGCACHE_OK);
  CHECK(store.cache.exists("k") == PGCACHE_MISS);
}

TEST_CASE("[A14] increment makes, adds, subtracts and keeps the expiry", "[A14][increment]") {
  Store store;
  Cache &cache = store.cache;
  Answer a = cache.increment("n", 5, 100, 60000);
  REQUIRE(a == PGCACHE_OK);
  CHECK(a.number == 105);
  CHECK(a.version > 0);
  Answer got = cache.get("n");
  CHECK(got.bytes() == "105");
  CHECK(got.version == a.version);
  CHECK(got.value.format() == PGCACHE_FORMAT_JSON);
  CHECK(got.value.ttl_ms() <= 60000);
  const Answer b = cache.increment("n", -200, 77, 3600000);
  REQUIRE(b == PGCACHE_OK);
  CHECK(b.number == -95);
  CHECK(b.version > a.version);
  got = cache.get("n");
  CHECK(got.bytes() == "-95");
  CHECK(got.value.ttl_ms() <= 60000); /* initial and ttl are for a new entry only */
  CHECK(cache.increment("n", 0).number == -95);
  /* Expired counts as none. */
  REQUIRE(cache.touch("n", 1) == PGCACHE_OK);
  sleep_ms(10);
  CHECK(cache.increment("n", 1, 10, PGCACHE_TTL_NEVER).number == 11);
  CHECK(cache.get("n").value.ttl_ms() == PGCACHE_TTL_NEVER);
  /* Both outputs are optional. */
  CHECK(pgcache_increment(cache.raw(), nullptr, nullptr, "n", 1, 1, 0, PGCACHE_TTL_DEFAULT, nullptr, nullptr) ==
        PGCACHE_OK);
  CHECK(cache.get("n").bytes() == "12");
}

TEST_CASE("[A14] increment never overflows and leaves the entry as it was", "[A14][increment]") {
  Store store;
  Cache &cache = store.cache;
  REQUIRE(cache.increment("n", INT64_MAX, 0) == PGCACHE_OK);
  const int64_t version = cache.get("n").version;
  Answer a = cache.increment("n", 1);
  CHECK(a == PGCACHE_OVERFLOW);
  CHECK(a.number == 0);
  CHECK(a.version == 0);
  CHECK_FALSE(a.error.text().empty());
  CHECK(cache.get("n").bytes() == "9223372036854775807");
  CHECK(cache.get("n").version == version);
  CHECK(cache.increment("n", INT64_MIN).number == -1);
  CHECK(cache.increment("n", INT64_MIN) == PGCACHE_OVERFLOW);
  CHECK(cache.increment("n", INT64_MIN + 1).number == INT64_MIN);
  CHECK(cache.increment("n", -1) == PGCACHE_OVERFLOW);
  CHECK(cache.increment("n", 0).number == INT64_MIN);
  CHECK(cache.increment("new", 1, INT64_MAX) == PGCACHE_OVERFLOW);
  CHECK(cache.increment("new", -1, INT64_MIN) == PGCACHE_OVERFLOW);
  CHECK(cache.get("new") == PGCACHE_MISS);
  /* initial + delta must fit also where an entry is there and they are not used. */
  REQUIRE(cache.increment("there", 1, 0) == PGCACHE_OK);
  CHECK(cache.increment("there", 1, INT64_MAX) == PGCACHE_OVERFLOW);
  CHECK(cache.get("there").bytes() == "1");
}

TEST_CASE("[A14] increment refuses what is no counter", "[A14][increment]") {
  Store store;
  Cache &cache = store.cache;
  const char *const bad[] = {"",
                             " ",
                             "x",
                             "1x",
                             "x1",
                             "1.0",
                             "1e3",
                             "+1",
                             "-",
                             "--1",
                             "1 ",
                             " 1",
                             "null",
                             "\"1\"",
                             "01",
                             "-0",
                             "0x1",
                             "1\n",
                             "\\061",
                             "9223372036854775808",
                             "-9223372036854775809",
                             "9999999999999999999",
                             "99999999999999999999999"};
  for (const char *text : bad) {
    INFO("<" << text << ">");
    const int64_t version = cache.put("k", text, PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON).version;
    CHECK(cache.increment("k") == PGCACHE_NOT_A_COUNTER);
    CHECK(cache.get("k").bytes() == text);
    CHECK(cache.get("k").version == version);
  }
  REQUIRE(cache.put("k", "5", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_BYTES) == PGCACHE_OK);
  CHECK(cache.increment("k") == PGCACHE_NOT_A_COUNTER);
  REQUIRE(cache.put("k", "5", PGCACHE_TTL_DEFAULT, 2) == PGCACHE_OK);
  CHECK(cache.increment("k") == PGCACHE_NOT_A_COUNTER);
  REQUIRE(cache.put("k", string(200000, '1'), PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  CHECK(cache.increment("k") == PGCACHE_NOT_A_COUNTER);
  for (const char *good : {"0", "7", "-7", "9223372036854775806", "-9223372036854775808"}) {
    INFO(good);
    REQUIRE(cache.put("k", good, PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
    CHECK(cache.increment("k").number == std::stoll(good) + 1);
  }
}

TEST_CASE("[A14] increment of an entry that expires while it waits for the row begins anew", "[A14][increment]") {
  Store store;
  REQUIRE(store.cache.increment("n", 5, 0, 500) == PGCACHE_OK);
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at"));
  Answer answer;
  std::thread waits([&] { answer = store.cache.increment("n", 1, 100, 60000); });
  sleep_ms(800);
  store.pg.exec("COMMIT");
  waits.join();
  INFO(answer);
  CHECK(answer == PGCACHE_OK);
  CHECK(answer.number == 101);
  const Answer got = store.cache.get("n");
  CHECK(got.bytes() == "101");
  CHECK(got.version == answer.version);
  CHECK(got.value.ttl_ms() > 30000);
}

TEST_CASE("[A14] increments by 16 threads are all counted", "[A14][increment][threads]") {
  Store store;
  const int each = longer(25, 1000);
  std::atomic<int> failed{0};
  in_threads(16, [&](int thread) {
    for (int i = 0; i < each; i++)
      failed += store.cache.increment("n", thread % 2 == 0 ? 3 : -1) != PGCACHE_OK;
  });
  CHECK(failed == 0);
  CHECK(store.cache.get("n").bytes() == std::to_string(each * 8 * 2));
}

TEST_CASE("[A14] Of 16 threads that add one key exactly one wins", "[A14][add][threads]") {
  Store store;
  for (int round = 0; round < longer(15, 500); round++) {
    const string key = "k" + std::to_string(round);
    if (round % 2 == 1) { /* an expired row is there: one winner all the same */
      REQUIRE(store.cache.put(key, "expired", 1) == PGCACHE_OK);
      sleep_ms(5);
    }
    std::atomic<int> winners{0}, losers{0}, winner{-1};
    in_threads(16, [&](int thread) {
      const Answer a = store.cache.add(key, std::to_string(thread));
      if (a == PGCACHE_OK) {
        winners++;
        winner = thread;
      }
      losers += a == PGCACHE_EXISTS;
    });
    REQUIRE(winners == 1);
    REQUIRE(losers == 15);
    REQUIRE(store.cache.get(key).bytes() == std::to_string(winner));
  }
}

TEST_CASE("[A14] No compare_and_swap is lost between 16 threads", "[A14][cas][threads]") {
  Store store;
  REQUIRE(store.cache.put("n", "0") == PGCACHE_OK);
  const int each = longer(6, 100);
  std::atomic<int> failed{0}, retries{0};
  in_threads(16, [&](int) {
    for (int done = 0; done < each;) {
      const Answer read = store.cache.get("n");
      if (read != PGCACHE_OK) {
        failed++;
        return;
      }
      const string next = std::to_string(std::stoi(read.bytes()) + 1);
      const Answer swapped = store.cache.compare_and_swap("n", next, read.version);
      if (swapped == PGCACHE_OK) {
        done++;
      } else if (swapped == PGCACHE_EXISTS) {
        retries++;
      } else {
        failed++;
        return;
      }
    }
  });
  INFO("retries: " << retries);
  CHECK(failed == 0);
  CHECK(store.cache.get("n").bytes() == std::to_string(16 * each));
}

TEST_CASE("[A14] Of the writers of one key the later has the higher version", "[A14][version][threads]") {
  Store store;
  std::atomic<int> wrong{0};
  in_threads(8, [&](int thread) {
    Cache cache = store.open();
    int64_t last = 0;
    for (int i = 0; i < longer(40, 2000); i++) {
      const Answer put = cache.put("k", std::to_string(thread));
      const Answer read = cache.get("k");
      /* Each sees its own versions grow, and reads back nothing older than what it wrote. */
      wrong += put != PGCACHE_OK || put.version <= last || read.version < put.version;
      last = read.version;
    }
  });
  CHECK(wrong == 0);
}
