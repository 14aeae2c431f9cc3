/*
 * crash.cpp - what a crash of the server leaves: no version comes twice, and the handle serves again by itself.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>
#include <thread>

using namespace test;
using std::string;

namespace {

/* The first answer that is not about the server being away. */
Answer once_up(const std::function<Answer()> &call) {
  Answer answer;
  eventually(
      [&] {
        answer = call();
        return answer != PGCACHE_UNAVAILABLE && answer != PGCACHE_TIMEOUT && answer != PGCACHE_UNKNOWN;
      },
      30000);
  return answer;
}

} // namespace

TEST_CASE("After a crash unlogged entries are gone, logged ones are there, and versions go on above all before",
          "[crash][version]") {
  PrivateServer server;
  for (const bool logged : {false, true}) {
    INFO((logged ? "logged" : "unlogged"));
    Config config;
    config.set("url", server.conninfo()).set("table", logged ? "logged" : "unlogged");
    config.set("schema", logged ? "logged" : "unlogged");
    Cache cache(config);
    REQUIRE(cache.init() == PGCACHE_OK);
    int64_t highest = 0;
    for (int crash = 0; crash < 3; crash++) {
      for (int i = 0; i < 20; i++) {
        const Answer put = cache.put("k", "v" + std::to_string(i));
        REQUIRE(put == PGCACHE_OK);
        CHECK(put.version > highest);
        highest = put.version;
      }
      const int32_t epoch = cache.stats().epoch;
      server.crash();
      const Answer away = cache.get("k", deadline(1000));
      CHECK((away == PGCACHE_UNAVAILABLE || away == PGCACHE_TIMEOUT));
      server.start();
      const Answer read = once_up([&] { return cache.get("k"); });
      INFO(read);
      CHECK(read == (logged ? PGCACHE_OK : PGCACHE_MISS));
      if (logged)
        CHECK(read.version == highest);
      /* Each way to write must find out by itself; take another one after each crash. */
      Answer first;
      if (crash == 0) {
        first = once_up([&] { return cache.put("k", "after"); });
      } else if (crash == 1) {
        first = once_up([&] { return cache.increment("n"); });
      } else {
        first = once_up([&] { return cache.add("new", "after"); });
      }
      INFO(first);
      REQUIRE(first == PGCACHE_OK);
      CHECK(first.version > highest);
      highest = first.version;
      CHECK(cache.stats().epoch > epoch);
    }
  }
}

TEST_CASE("After a crash the conditional writes and put_many raise the epoch, too", "[crash][version]") {
  PrivateServer server;
  Config config;
  config.set("url", server.conninfo()).set("table", "logged");
  Cache cache(config);
  REQUIRE(cache.init() == PGCACHE_OK);
  int64_t highest = 0;
  const auto crash = [&] {
    highest = cache.put("k", "v").version;
    server.crash();
    server.start();
    return once_up([&] { return cache.get("k"); }).version;
  };
  const std::function<Answer(int64_t)> writes[] = {
      [&](int64_t) { return cache.replace("k", "w"); },
      [&](int64_t version) { return cache.compare_and_swap("k", "w", version); },
      [&](int64_t) { return cache.touch("k", 1000000); },
      [&](int64_t) {
        Answer answer;
        Items items;
        items.add("k", "w");
        answer.status = pgcache_put_many(cache.raw(), items.data(), 1, nullptr, &answer.error);
        answer.version = items[0].version;
        return answer;
      },
      [&](int64_t) {
        Answer answer;
        answer.status = PGCACHE_OK;
        answer.version = std::stoll(Pg(server.conninfo()).one("SELECT pgcache.put('k'::text, 'w'::bytea)"));
        return answer;
      },
  };
  int i = 0;
  for (const auto &write : writes) {
    INFO("write " << i++);
    const int64_t read = crash();
    CHECK(read == highest);
    const Answer answer = write(read);
    INFO(answer);
    REQUIRE(answer == PGCACHE_OK);
    CHECK(answer.version > highest);
  }
}

TEST_CASE("On another timeline the epoch goes far beyond what the old primary can have reached", "[crash][version]") {
  Store store;
  const int64_t version = store.cache.put("k", "v").version;
  const int32_t epoch = store.cache.stats().epoch;
  store.pg.exec(store.sql("TRUNCATE {s}.marker")); /* as after a crash on the same timeline */
  CHECK(store.cache.put("k", "v").version > version);
  CHECK(store.cache.stats().epoch == epoch + 1);
  store.pg.exec(store.sql("UPDATE {s}.cache SET timeline = timeline + 7; TRUNCATE {s}.marker"));
  const int64_t before = store.cache.get("k").version;
  CHECK(store.cache.put("k", "v").version > before);
  CHECK(store.cache.stats().epoch == epoch + 17);
  CHECK(store.cache.put("k", "v") == PGCACHE_OK);
  CHECK(store.cache.stats().epoch == epoch + 17);
}

TEST_CASE("No version is given twice while writers run through crashes", "[crash][version][threads]") {
  PrivateServer server;
  Config config;
  config.set("url", server.conninfo());
  Cache cache(config);
  REQUIRE(cache.init() == PGCACHE_OK);
  std::mutex mutex;
  std::set<int64_t> versions;
  std::atomic<int> twice{0}, done{0}, odd{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int thread = 0; thread < 4; thread++) {
    writers.emplace_back([&, thread] {
      for (int i = 0; !stop; i++) {
        const string key = "k" + std::to_string((i + thread) % 5);
        const Answer answer = i % 3 == 0   ? cache.increment("n", 1, 0, PGCACHE_TTL_DEFAULT, deadline(500))
                              : i % 3 == 1 ? cache.put(key, "v", deadline(500))
                                           : cache.remove(key, deadline(500));
        if (answer == PGCACHE_OK && i % 3 != 2) {
          std::lock_guard<std::mutex> lock(mutex);
          twice += !versions.insert(answer.version).second;
          done++;
        }
        odd += answer.status < 0 && answer != PGCACHE_UNAVAILABLE && answer != PGCACHE_UNKNOWN &&
               answer != PGCACHE_TIMEOUT && answer != PGCACHE_TOO_MANY_CONNECTIONS;
      }
    });
  }
  for (int crash = 0; crash < longer(2, 20); crash++) {
    const int before = done;
    CHECK(eventually([&] { return done > before + 50; }, 60000));
    server.crash();
    server.start();
  }
  const int before = done;
  CHECK(eventually([&] { return done > before + 50; }, 60000));
  stop = true;
  for (auto &writer : writers)
    writer.join();
  CHECK(twice == 0);
  CHECK(odd == 0);
  CHECK(done > 150);
}

TEST_CASE("A handle recovers by itself after a restart of the server, and soon", "[restart][reconnect]") {
  PrivateServer server;
  Config config;
  config.set("url", server.conninfo());
  Cache cache(config);
  REQUIRE(cache.init() == PGCACHE_OK);
  REQUIRE(cache.put("k", "v", PGCACHE_TTL_NEVER) == PGCACHE_OK);
  for (const bool crash : {false, true}) {
    if (crash)
      server.crash();
    else
      server.stop();
    for (int i = 0; i < 5; i++) {
      const Answer away = cache.get("k", deadline(200));
      INFO(away);
      CHECK((away == PGCACHE_UNAVAILABLE || away == PGCACHE_TIMEOUT));
    }
    std::atomic<int64_t> served{0};
    std::thread reader([&] { /* an application that keeps asking */
                             while (served == 0) {
                               if (cache.get("k", deadline(5000)).status >= 0)
                                 served = now_ms();
                               else
                                 sleep_ms(5);
                             }
    });
    server.start();
    const int64_t accepts = now_ms();
    reader.join();
    const int64_t took = std::max<int64_t>(0, served - accepts);
    printf("recovery after %s: %lld ms after the server accepted\n", crash ? "a crash" : "a restart",
           static_cast<long long>(took));
    CHECK(took < 20000);
    CHECK(cache.get("k").status == (crash ? PGCACHE_MISS : PGCACHE_OK));
  }
}

TEST_CASE("While the server is away callers are told quickly, not at their deadline", "[restart][unavailable]") {
  PrivateServer server;
  Config config;
  config.set("url", server.conninfo());
  Cache cache(config);
  REQUIRE(cache.init() == PGCACHE_OK);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  server.stop();
  const int64_t start = now_ms();
  for (int i = 0; i < 3; i++) {
    const Answer away = cache.get("k", deadline(30000));
    INFO(away);
    CHECK(away == PGCACHE_UNAVAILABLE);
  }
  CHECK(now_ms() - start < 45000);
}
