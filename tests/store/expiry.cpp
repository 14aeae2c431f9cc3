/*
 * expiry.cpp - how long entries live: the server's clock decides, nothing else does. Never asserts a lower bound that a
 * slow machine could miss without also proving how much time passed.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/interpose.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <thread>

using namespace test;
using std::string;

namespace {
const int64_t DAY = 86400000;
}

TEST_CASE("[A07] An entry of 500 ms is a hit at once and a miss after 700 ms, with no cleanup", "[A07][expiry]") {
  Store store;
  const int64_t start = now_ms();
  REQUIRE(store.cache.put("k", "v", 500) == PGCACHE_OK);
  const Answer hit = store.cache.get("k");
  if (now_ms() - start < 500)
    CHECK(hit == PGCACHE_OK);
  sleep_ms(700);
  CHECK(store.cache.get("k") == PGCACHE_MISS);
  CHECK(store.cache.exists("k") == PGCACHE_MISS);
  CHECK(store.cache.touch("k", 1000) == PGCACHE_MISS);
  CHECK(store.cache.replace("k", "w") == PGCACHE_MISS);
  char buffer[4];
  size_t size;
  CHECK(pgcache_get_into(store.cache.raw(), buffer, 4, &size, "k", 1, nullptr, nullptr) == PGCACHE_MISS);
  Items items;
  items.add("k");
  REQUIRE(pgcache_get_many(store.cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(items[0].status == PGCACHE_MISS);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "1"); /* the row is still there */
  CHECK(store.cache.remove("k") == PGCACHE_MISS);
}

TEST_CASE("[A08] The client's clock does not matter, an hour ahead or behind", "[A08][expiry]") {
  Store store;
  for (const int64_t seconds : {3600, -3600}) {
    const string key = std::to_string(seconds);
    {
      const time_t right = time(nullptr);
      WrongClock wrong(seconds);
      REQUIRE(std::abs(time(nullptr) - right - seconds) <= 1); /* the clock really is wrong */
      REQUIRE(store.cache.put(key + "short", "v", 300) == PGCACHE_OK);
      REQUIRE(store.cache.put(key + "long", "v", 60000) == PGCACHE_OK);
      const Answer got = store.cache.get(key + "long");
      REQUIRE(got == PGCACHE_OK);
      CHECK(got.value.ttl_ms() > 30000);
      CHECK(got.value.ttl_ms() <= 60000);
      Cache fresh = store.open();
      CHECK(fresh.get(key + "long") == PGCACHE_OK);
      sleep_ms(400);
      CHECK(store.cache.get(key + "short") == PGCACHE_MISS);
    }
    CHECK(store.cache.get(key + "long") == PGCACHE_OK);
  }
}

TEST_CASE("[A08] The session's TimeZone does not matter", "[A08][expiry]") {
  Store store;
  for (const char *zone : {"Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu", "America/New_York"}) {
    Cache cache = store.open({{"url", url_with({{"options", string("-c TimeZone=") + zone}})}});
    const string key = zone;
    REQUIRE(cache.put(key + "short", "v", 300) == PGCACHE_OK);
    REQUIRE(cache.put(key, "v", 60000) == PGCACHE_OK);
    REQUIRE(cache.put(key + "never", "v", PGCACHE_TTL_NEVER) == PGCACHE_OK);
    CHECK(store.cache.get(key) == PGCACHE_OK);
    const Answer got = cache.get(key);
    REQUIRE(got == PGCACHE_OK);
    CHECK(got.value.ttl_ms() > 30000);
    CHECK(got.value.ttl_ms() <= 60000);
    CHECK(store.cache.get(key).value.ttl_ms() <= 60000);
    CHECK(cache.get(key + "never").value.ttl_ms() == PGCACHE_TTL_NEVER);
    sleep_ms(350);
    CHECK(cache.get(key + "short") == PGCACHE_MISS);
    CHECK(store.cache.get(key + "short") == PGCACHE_MISS);
  }
}

namespace {

/* A message of the client's in the protocol of PostgreSQL. */
string message(char type, const string &body) {
  const auto size = static_cast<uint32_t>(body.size() + 4);
  string out(1, type);
  for (int shift = 24; shift >= 0; shift -= 8)
    out += static_cast<char>(size >> shift & 0xff);
  return out + body;
}

} // namespace

/* The server takes a statement's snapshot when it binds its parameters, and may execute it any time later. */
TEST_CASE("An entry that is refreshed in time is never missed, however long the server takes to a read",
          "[expiry][direct]") {
  Store store;
  store.pg.exec(store.sql("CREATE FUNCTION {s}.slow() RETURNS int LANGUAGE plpgsql IMMUTABLE AS "
                          "$$ BEGIN PERFORM pg_sleep(1.5); RETURN 1; END $$"));
  const string prepared = GENERATE(as<string>(), "on", "off");
  const bool many = GENERATE(false, true);
  INFO("prepared=" << prepared << (many ? ", get_many" : ", get"));
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"prepared", prepared}});
  Items items;
  items.add("k");
  const auto read = [&] {
    if (!many)
      return cache.get("k", deadline(20000)).status;
    items.clear_results();
    const Options options = deadline(20000);
    const pgcache_status all = pgcache_get_many(cache.raw(), items.data(), 1, &options, nullptr);
    return all == PGCACHE_OK ? items[0].status : all;
  };
  REQUIRE(cache.put("k", "warm", 60000) == PGCACHE_OK);
  REQUIRE(read() == PGCACHE_OK);

  /* Before the last Execute of the read another statement is planned, which takes 1.5 s. */
  std::atomic<bool> armed{true};
  proxy.rewrite([&](Proxy::Direction direction, string &data) {
    const string execute = message('E', string(5, '\0'));
    const size_t at = direction == Proxy::TO_SERVER ? data.rfind(execute) : string::npos;
    if (at == string::npos || !armed.exchange(false))
      return;
    const string name("slow\0", 5);
    data.insert(at, message('P', name + store.sql("SELECT {s}.slow()") + string(3, '\0')) +
                        message('B', name + name + string(6, '\0')));
  });
  REQUIRE(store.cache.put("k", "old", 800) == PGCACHE_OK);
  pgcache_status seen = PGCACHE_UNKNOWN;
  std::thread reader([&] { seen = read(); });
  const bool slept = eventually(
      [&] {
        return store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = "
                            "current_database()") != "0";
      },
      10000);
  const pgcache_status refreshed = store.cache.replace("k", "new", 60000).status;
  reader.join();
  REQUIRE(slept);
  if (refreshed == PGCACHE_OK)
    CHECK(seen == PGCACHE_OK);
  else
    WARN("the machine was too slow to refresh the entry in time");
  CHECK(read() == refreshed);
}

TEST_CASE("[A08] A transaction's age does not matter to the server's functions", "[A08][expiry][sql]") {
  Store store;
  REQUIRE(store.cache.put("k", "v", 300) == PGCACHE_OK);
  store.pg.exec("BEGIN");
  store.pg.one("SELECT now()");
  sleep_ms(400);
  CHECK(store.pg.one(store.sql("SELECT {s}.exists('k'::text)")) == "f");
  store.pg.exec("COMMIT");
}

TEST_CASE("[A09] Zero, negative, huge, never and default TTLs mean one thing in every call", "[A09][rule:ttl]") {
  Store store(Settings{{"default_ttl_ms", "7000"}});
  Cache &cache = store.cache;
  const auto remaining = [&](const char *key) { return cache.get(key).value.ttl_ms(); };

  for (const int64_t bad : std::initializer_list<int64_t>{0, -1, -1000, INT64_MIN, PGCACHE_TTL_DEFAULT + 1}) {
    CHECK(cache.put("k", "v", bad) == PGCACHE_INVALID);
    CHECK(cache.add("k", "v", bad) == PGCACHE_INVALID);
    CHECK(cache.replace("k", "v", bad) == PGCACHE_INVALID);
    CHECK(cache.compare_and_swap("k", "v", 1, bad) == PGCACHE_INVALID);
    CHECK(cache.touch("k", bad) == PGCACHE_INVALID);
    CHECK(cache.increment("k", 1, 0, bad) == PGCACHE_INVALID);
    Items items;
    items.add("k", "v", bad);
    CHECK(pgcache_put_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_INVALID);
  }
  CHECK(cache.get("k") == PGCACHE_MISS);

  struct Case {
    int64_t ttl, least, most;
  };
  for (const Case &c :
       {Case{PGCACHE_TTL_DEFAULT, 1, 7000}, Case{PGCACHE_TTL_NEVER, PGCACHE_TTL_NEVER, PGCACHE_TTL_NEVER},
        Case{PGCACHE_TTL_NEVER - 1, 3649 * DAY, PGCACHE_TTL_MAX},
        Case{PGCACHE_TTL_MAX + 1, 3649 * DAY, PGCACHE_TTL_MAX}, Case{PGCACHE_TTL_MAX, 3649 * DAY, PGCACHE_TTL_MAX},
        Case{DAY, DAY - 60000, DAY}}) {
    INFO("ttl " << c.ttl);
    const auto check = [&](const char *key) {
      INFO("key " << key);
      CHECK(remaining(key) >= c.least);
      CHECK(remaining(key) <= c.most);
    };
    REQUIRE(cache.flush(PGCACHE_FLUSH_ALL) == PGCACHE_OK);
    const int64_t version = cache.put("put", "v", c.ttl).version;
    check("put");
    REQUIRE(cache.add("add", "v", c.ttl) == PGCACHE_OK);
    check("add");
    REQUIRE(cache.touch("add", 12345) == PGCACHE_OK);
    REQUIRE(cache.touch("add", c.ttl) == PGCACHE_OK);
    check("add");
    REQUIRE(cache.compare_and_swap("put", "w", version, 12345) == PGCACHE_OK);
    REQUIRE(cache.compare_and_swap("put", "w", cache.get("put").version, c.ttl) == PGCACHE_OK);
    check("put");
    REQUIRE(cache.replace("put", "x", 12345) == PGCACHE_OK);
    REQUIRE(cache.replace("put", "x", c.ttl) == PGCACHE_OK);
    check("put");
    REQUIRE(cache.increment("counter", 1, 0, c.ttl) == PGCACHE_OK);
    check("counter");
    Items items;
    items.add("many", "v", c.ttl);
    REQUIRE(pgcache_put_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_OK);
    check("many");
  }
  Cache never = store.open({{"default_ttl_ms", "never"}});
  REQUIRE(never.put("n", "v") == PGCACHE_OK);
  CHECK(remaining("n") == PGCACHE_TTL_NEVER);
}

TEST_CASE("[A09] A TTL of one millisecond is a life, if a short one", "[A09][rule:ttl]") {
  Store store;
  REQUIRE(store.cache.put("k", "v", 1) == PGCACHE_OK);
  sleep_ms(5);
  CHECK(store.cache.get("k") == PGCACHE_MISS);
}

TEST_CASE("The time a value has left is counted down on this machine after the read", "[expiry][value]") {
  Store store;
  REQUIRE(store.cache.put("k", "v", 2000) == PGCACHE_OK);
  const Answer got = store.cache.get("k");
  REQUIRE(got == PGCACHE_OK);
  const int64_t first = got.value.ttl_ms();
  CHECK(first <= 2000);
  sleep_ms(100);
  CHECK(got.value.ttl_ms() <= std::max<int64_t>(0, first - 100 + 1));
  CHECK(eventually([&] { return got.value.ttl_ms() == 0; }));
  CHECK(got.bytes() == "v"); /* what was read stays readable */
}

TEST_CASE("[A05] cleanup deletes what has expired and nothing else, and says how many", "[A05][cleanup]") {
  Store store;
  Cache &cache = store.cache;
  REQUIRE(cache.put("expired", "v", 1) == PGCACHE_OK);
  REQUIRE(cache.put("live", "v", 60000) == PGCACHE_OK);
  REQUIRE(cache.put("never", "v", PGCACHE_TTL_NEVER) == PGCACHE_OK);
  sleep_ms(10);
  Answer cleaned = cache.cleanup();
  REQUIRE(cleaned == PGCACHE_OK);
  CHECK(cleaned.number == 1);
  CHECK(cache.get("live") == PGCACHE_OK);
  CHECK(cache.get("never") == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "2");
  CHECK(cache.cleanup().number == 0);

  /* Many rows, in all namespaces, in more than one batch. */
  const int n = 3500;
  store.pg.exec(store.sql("SELECT {s}.put('k' || i, 'v'::bytea, interval '1 ms', 'ns' || (i % 7)) "
                          "FROM generate_series(1, " +
                          std::to_string(n) + ") i"));
  sleep_ms(10);
  cleaned = cache.cleanup();
  REQUIRE(cleaned == PGCACHE_OK);
  CHECK(cleaned.number == n);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "2");
  CHECK(pgcache_cleanup(cache.raw(), nullptr, nullptr, nullptr) == PGCACHE_OK);
}

TEST_CASE("[A10] A cleanup that races refreshes never deletes a refreshed entry", "[A10][cleanup]") {
  Store store;
  const int keys = 40;
  const int rounds = longer(15, 500);
  std::atomic<int> lost{0}, failed{0};
  std::atomic<bool> done{false};
  std::thread cleaner([&] {
    Cache cache = store.open();
    while (!done)
      failed += cache.cleanup() != PGCACHE_OK;
  });
  in_threads(3, [&](int thread) {
    Cache cache = store.open();
    for (int round = 0; round < rounds; round++) {
      for (int i = 0; i < keys; i++)
        failed += cache.put(std::to_string(thread * 1000 + i), "short", 2) != PGCACHE_OK;
      sleep_ms(3);
      for (int i = 0; i < keys; i++) { /* expired by now: cleanup is after them while they are made new */
        const string key = std::to_string(thread * 1000 + i);
        const Answer put = cache.put(key, "refreshed", 60000);
        failed += put != PGCACHE_OK;
        lost += cache.get(key).bytes() != "refreshed";
      }
    }
  });
  done = true;
  cleaner.join();
  CHECK(failed == 0);
  CHECK(lost == 0);
}

TEST_CASE("[A10] cleanup passes by a row that a writer holds", "[A10][cleanup]") {
  Store store;
  REQUIRE(store.cache.put("held", "v", 1) == PGCACHE_OK);
  REQUIRE(store.cache.put("free", "v", 1) == PGCACHE_OK);
  sleep_ms(10);
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("SELECT {s}.put('held'::text, 'refreshed'::bytea, interval '1 minute')"));
  const Answer cleaned = store.cache.cleanup(deadline(30000));
  CHECK(cleaned == PGCACHE_OK);
  CHECK(cleaned.number == 1);
  store.pg.exec("COMMIT");
  CHECK(store.cache.cleanup().number == 0);
  CHECK(store.cache.get("held").bytes() == "refreshed");
}
