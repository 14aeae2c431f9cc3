/*
 * failures.cpp - a server that is not there, refuses, or has no schema: requests fail as calls do, as soon as calls do, and
 * recover as calls do.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/pooler.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/requests.hpp"

#include <thread>

using namespace test;
using std::string;

TEST_CASE("A server that is not there when requests come: they wait for it", "[unavailable][rule:late]") {
  PrivateServer server;
  Store store({}, server.conninfo());
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  server.stop();
  const Cache cache = store.open({{"breaker_failures", "0"}});
  const Requests requests(cache);
  const Submitted get = requests.get("k", deadline(60000)), put = requests.put("new", "v", deadline(60000));
  const Submitted impatient = requests.get("k", deadline(300));
  const int64_t start = now_ms();
  CHECK(requests.wait(impatient.id) == PGCACHE_TIMEOUT);
  CHECK(now_ms() - start < 5000);
  CHECK_FALSE(requests.take());
  server.start();
  const int64_t up = now_ms();
  CHECK(requests.wait(get.id).status() >= 0); /* unlogged tables survive an orderly stop */
  CHECK(requests.wait(put.id) == PGCACHE_OK);
  CHECK(now_ms() - up < 15000);
}

TEST_CASE("The breaker: requests are refused at once while it is open, and succeed when the server is back",
          "[unavailable][rule:breaker]") {
  PrivateServer server;
  Store store({}, server.conninfo());
  Cache cache = store.open({{"breaker_failures", "3"}, {"breaker_pause_ms", "100"}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.put("k", "v").id) == PGCACHE_OK);
  server.stop();
  CHECK(eventually(
      [&] {
        requests.wait(requests.put("k", "v", deadline(1500)).id);
        return cache.counters().breaker_opened > 0;
      },
      20000));
  int refused = 0;
  const int64_t start = now_ms();
  for (int i = 0; i < 20; i++) {
    const Completion completion = requests.wait(requests.put("k", "v", deadline(3000)).id);
    refused += completion == PGCACHE_UNAVAILABLE;
    CHECK(completion.message().size() > 20);
  }
  CHECK(refused == 20);
  CHECK(now_ms() - start < 10000); /* twenty deadlines are a minute */
  CHECK(cache.counters().breaker_refused > 0);
  server.start();
  CHECK(eventually([&] { return requests.wait(requests.put("k", "back").id) == PGCACHE_OK; }));
  CHECK(requests.wait(requests.get("k").id).bytes() == "back");
}

TEST_CASE("on_error=miss: failed reads are misses and are counted, writes tell", "[unavailable][rule:on_error]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"on_error", "miss"}, {"breaker_failures", "0"}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.put("k", "v").id) == PGCACHE_OK);
  proxy.refuse(true);
  proxy.cut();
  const Submitted get = requests.get("k", deadline(200)), exists = requests.exists("k", deadline(200));
  const Submitted put = requests.put("other", "v", deadline(200));
  Items items;
  items.add("k");
  items.add("l");
  const Submitted many = requests.many(pgcache_submit_get_many, items, deadline(200));
  const Completion found = requests.wait(get.id);
  CHECK(found == PGCACHE_MISS);
  CHECK(found.message().empty());
  CHECK(requests.wait(exists.id) == PGCACHE_MISS);
  CHECK(requests.wait(put.id).status() < 0);
  const Completion all = requests.wait(many.id);
  CHECK(all == PGCACHE_OK);
  REQUIRE(all.count() == 2);
  CHECK(all.item(0)->status == PGCACHE_MISS);
  CHECK(all.item(0)->result == nullptr);
  CHECK(cache.counters().reads_failed >= 3);
  const Submitted cancelled = requests.get("k", deadline(5000));
  CHECK(requests.cancel(cancelled.id) == PGCACHE_OK);
  CHECK(requests.wait(cancelled.id) == PGCACHE_CANCELLED); /* that is no failure of the store's */
  proxy.refuse(false);
  CHECK(eventually([&] { return requests.wait(requests.get("k").id).bytes() == "v"; }));
}

TEST_CASE("Without a schema each request gets the error of the call, at once", "[failures][rule:submit]") {
  Store store;
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  Cache cache = store.open();
  const Requests requests(cache);
  const Answer called = cache.get("k");
  REQUIRE(called == PGCACHE_SCHEMA_MISSING);
  const int64_t start = now_ms();
  for (int i = 0; i < 20; i++) {
    const Completion completion =
        i % 2 == 0 ? requests.wait(requests.get("k").id) : requests.wait(requests.put("k", "v").id);
    CHECK(completion == PGCACHE_SCHEMA_MISSING);
    CHECK(completion.message() == called.error.message);
  }
  CHECK(now_ms() - start < 15000); /* and not at their deadlines */
  for (int i = 0; i < 100; i++)
    REQUIRE(requests.get("k" + std::to_string(i)) == PGCACHE_OK);
  for (const auto &[id, completion] : requests.collect(100))
    CHECK(completion == PGCACHE_SCHEMA_MISSING);
  const Completion made = requests.wait(requests.whole(pgcache_submit_init).id);
  CHECK(made == PGCACHE_OK);
  CHECK(requests.wait(requests.put("k", "v").id) == PGCACHE_OK);
  CHECK(requests.wait(requests.get("k").id).bytes() == "v");
}

TEST_CASE("A log-in that is refused is the error of the call, at once", "[failures][rule:submit]") {
  Store store;
  const Cache cache = store.open({{"url", url_with({{"user", "nobody_of_that_name"}})}, {"breaker_failures", "0"}});
  const Requests requests(cache);
  const int64_t start = now_ms();
  for (int i = 0; i < 10; i++) {
    const Completion completion = requests.wait(requests.get("k").id);
    CHECK(completion == PGCACHE_DENIED);
    CHECK(completion.message().size() > 20);
  }
  CHECK(now_ms() - start < 15000);
}

TEST_CASE("A schema that is dropped and made anew, or a table that is changed, while requests go on",
          "[failures][direct]") {
  Store store;
  const Requests requests(store.cache);
  REQUIRE(requests.wait(requests.put("k", "v").id) == PGCACHE_OK);
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  const Completion gone = requests.wait(requests.get("k").id);
  CHECK((gone == PGCACHE_SCHEMA_MISSING || gone == PGCACHE_SCHEMA_CHANGED));
  REQUIRE(store.cache.init().status >= 0);
  CHECK(eventually([&] { return requests.wait(requests.put("k", "w").id) == PGCACHE_OK; }));
  CHECK(requests.wait(requests.get("k").id).bytes() == "w");
  store.pg.exec(store.sql("ALTER TABLE {s}.entries ADD COLUMN another int")); /* plans of prepared statements change */
  for (int i = 0; i < 50; i++)
    REQUIRE(requests.get("k") == PGCACHE_OK);
  for (const auto &[id, completion] : requests.collect(50)) {
    INFO(completion);
    CHECK((completion.bytes() == "w" || completion == PGCACHE_SCHEMA_CHANGED));
  }
}

TEST_CASE("A crash empties unlogged tables: requests go on, and versions still rise", "[failures][epoch]") {
  PrivateServer server;
  Store store({}, server.conninfo());
  Cache cache = store.open({{"breaker_pause_ms", "50"}});
  const Requests requests(cache);
  const Completion before = requests.wait(requests.put("k", "v").id);
  REQUIRE(before == PGCACHE_OK);
  server.crash();
  server.start();
  CHECK(eventually([&] { return requests.wait(requests.get("k").id) == PGCACHE_MISS; }));
  std::vector<uint64_t> ids;
  for (int i = 0; i < 100; i++)
    ids.push_back(requests.put(i == 0 ? "k" : "k" + std::to_string(i), "w").id);
  for (const uint64_t id : ids) {
    const Completion after = requests.wait(id);
    INFO(after);
    CHECK(after == PGCACHE_OK);
    CHECK(after.version() > before.version());
  }
}

TEST_CASE("Lost connections: reads are asked again, writes are UNKNOWN or done", "[failures][rule:unknown]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"breaker_failures", "0"}});
  const Requests requests(cache);
  for (int i = 0; i < 50; i++)
    REQUIRE(store.cache.put("r" + std::to_string(i), "v") == PGCACHE_OK);
  int unknown = 0, done = 0;
  /* Later and later in the answers; how these are put together depends on the machine. */
  for (int round = 0; round < 40 || ((unknown == 0 || done == 0) && round < 400); round++) {
    REQUIRE(requests.wait(requests.exists("r0").id) == PGCACHE_OK); /* a connection */
    proxy.cut_after(Proxy::TO_CLIENT, 1 + round * 37);
    std::vector<uint64_t> reads, writes;
    for (int i = 0; i < 50; i++) {
      reads.push_back(requests.get("r" + std::to_string(i)).id);
      writes.push_back(requests.put("w" + std::to_string(i), std::to_string(round)).id);
    }
    for (const uint64_t id : reads) {
      const Completion completion = requests.wait(id);
      INFO(completion);
      CHECK(completion.bytes() == "v");
    }
    for (const uint64_t id : writes) {
      const Completion completion = requests.wait(id);
      INFO(completion);
      CHECK((completion == PGCACHE_OK || completion == PGCACHE_UNKNOWN));
      unknown += completion == PGCACHE_UNKNOWN;
      done += completion == PGCACHE_OK;
    }
  }
  CHECK(unknown > 0);
  CHECK(done > 0);
  CHECK(proxy.was_cut());
}

TEST_CASE("Behind a pooler in transaction mode: thousands of requests, small and large, none fails or waits",
          "[pooler][failures]") {
  const Pooler pooler;
  Store store(Settings{{"url", pooler.conninfo()}, {"prepared", "off"}, {"timeout_ms", "60000"}}); /* a busy machine */
  const Requests requests(store.cache);
  const string large(50000, 'x');
  const int64_t start = now_ms();
  for (int round = 0; round < 5; round++) {
    std::vector<uint64_t> ids;
    for (int i = 0; i < 2000; i++) {
      const string key = "k" + std::to_string(i % 300);
      const Submitted submitted = i % 40 == 0  ? requests.put("large" + key, large)
                                  : i % 4 == 0 ? requests.put(key, "v")
                                  : i % 4 == 1 ? requests.increment("n" + key)
                                               : requests.get(key);
      REQUIRE(submitted == PGCACHE_OK);
      ids.push_back(submitted.id);
    }
    size_t failed = 0;
    for (const uint64_t id : ids)
      failed += requests.wait(id).status() < 0;
    CHECK(failed == 0);
  }
  CHECK(now_ms() - start < 250000); /* a request that waits for something has 30 s, and these are five rounds of many */
  CHECK(store.cache.counters().connections_lost == 0);
}
