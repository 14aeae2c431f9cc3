/*
 * deadlines.cpp - every call ends by its deadline, whatever hangs; and shutdown wakes every waiting call. Asserts
 * generous upper bounds: what is tested is that nothing waits for ever. How closely deadlines are kept is one test.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/interpose.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"
#include "support/snapshot.hpp"

#include <atomic>
#include <functional>
#include <thread>

using namespace test;
using std::string;

namespace {

const int SOON = 10000; /* ms: far more than the deadlines below, far less than for ever */

/* Runs the call, which must return soon. */
Answer soon(const std::function<Answer()> &call) {
  const int64_t start = now_ms();
  Answer answer = call();
  CHECK(now_ms() - start < SOON);
  return answer;
}

/* Runs the call on a thread of its own; `act` happens while it waits. */
Answer during(const std::function<Answer()> &call, const std::function<void()> &act) {
  Answer answer;
  std::atomic<bool> done{false};
  std::thread thread([&] {
    answer = call();
    done = true;
  });
  sleep_ms(400); /* what it sends is sent by then */
  CHECK_FALSE(done);
  const int64_t start = now_ms();
  act();
  CHECK(eventually([&] { return done.load(); }, SOON));
  CHECK(now_ms() - start < SOON);
  thread.join();
  return answer;
}

} // namespace

TEST_CASE("A black hole behind an open connection: reads TIMEOUT, writes UNKNOWN, in time",
          "[rule:deadline][rule:timeout]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}});
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  proxy.black_hole(true);
  Answer answer = soon([&] { return cache.get("k", deadline(200)); });
  INFO(answer);
  CHECK(answer == PGCACHE_TIMEOUT);
  CHECK(answer.error.text().size() > 10);
  proxy.black_hole(false);
  CHECK(eventually([&] { return cache.get("k", deadline(1000)) == PGCACHE_OK; }));
  REQUIRE(cache.put("k", "v") == PGCACHE_OK); /* prepared on the new connection: the next is sent in one piece */
  proxy.black_hole(true);
  answer = soon([&] { return cache.put("k", "w", deadline(700)); }); /* time enough to be sent */
  INFO(answer);
  CHECK(answer == PGCACHE_UNKNOWN);
  CHECK(answer.version == 0);
  answer = soon([&] { return cache.put("k", "w", deadline(200)); });
  CHECK(answer == PGCACHE_TIMEOUT); /* no connection was made: nothing was sent */
}

TEST_CASE("A deadline is kept to a fraction of a second, with a black hole behind the connection or where one is made",
          "[rule:deadline]") {
  const int limit = 300;
  struct Case {
    const char *name;
    bool connected;
    std::function<Answer(Cache &)> call;
  };
  const auto get = [&](Cache &cache) { return cache.get("k", deadline(limit)); };
  for (const Case &one : {Case{"get", true, get}, Case{"get, connecting", false, get},
                          Case{"put", true, [&](Cache &cache) { return cache.put("k", "w", deadline(limit)); }},
                          Case{"cleanup", true, [&](Cache &cache) { return cache.cleanup(deadline(limit)); }}}) {
    INFO(one.name);
    Store store;
    CHECK(in_one_of(5, [&] { /* what keeps to it is late now and then; what does not always is */
                             Proxy proxy;
                             Cache cache = store.open({{"url", proxy.conninfo()}});
                             if (one.connected)
                               REQUIRE(cache.put("k", "v") == PGCACHE_OK);
                             proxy.black_hole(true);
                             const int64_t start = now_ms();
                             const Answer answer = one.call(cache);
                             const int64_t took = now_ms() - start;
                             INFO(answer);
                             CHECK((answer == PGCACHE_TIMEOUT || answer == PGCACHE_UNKNOWN));
                             CHECK(took < SOON);
                             return took < limit + 150;
    }));
  }
}

TEST_CASE("A large write of which a part was sent by the deadline is given up for good",
          "[rule:deadline][rule:timeout]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
  const string large(300000, 'x'); /* more than a socket takes at once, less than it takes in two goes */
  REQUIRE(cache.put("k", "old") == PGCACHE_OK);
  proxy.black_hole(true);
  Answer answer;
  {
    /* The network comes back just after the deadline: what is still queued must not follow. */
    AtPollTimeout recovered([&] {
      proxy.black_hole(false);
      sleep_ms(200);
    });
    answer = soon([&] { return cache.put("k", large, deadline(200)); });
  }
  INFO(answer);
  CHECK((answer == PGCACHE_TIMEOUT || answer == PGCACHE_UNKNOWN));
  sleep_ms(200);
  if (answer == PGCACHE_TIMEOUT)
    CHECK(store.cache.get("k").value.get() != nullptr);
  if (answer == PGCACHE_TIMEOUT)
    CHECK((store.cache.get("k").bytes() == "old"));
}

TEST_CASE("A server that accepts and never answers: TIMEOUT in time, for reads and writes", "[rule:deadline]") {
  Store store;
  Proxy proxy;
  proxy.black_hole(true);
  Cache cache = store.open({{"url", proxy.conninfo()}, {"timeout_ms", "250"}, {"maintenance_timeout_ms", "300"}});
  CHECK(soon([&] { return cache.get("k"); }) == PGCACHE_TIMEOUT);
  CHECK(soon([&] { return cache.put("k", "v"); }) == PGCACHE_TIMEOUT);
  CHECK(soon([&] { return cache.get("k", deadline(50)); }) == PGCACHE_TIMEOUT);
  CHECK(soon([&] { return cache.flush(PGCACHE_FLUSH_ALL); }) == PGCACHE_TIMEOUT);
  CHECK(soon([&] { return cache.cleanup(); }) == PGCACHE_TIMEOUT);
  CHECK(soon([&] { return cache.init(); }) == PGCACHE_TIMEOUT);
}

TEST_CASE("A name look-up that hangs does not hold the caller past its deadline", "[rule:deadline][dns]") {
  HangingNames hanging;
  const int before = HangingNames::started();
  Config config;
  config.set("url", "host=server.hangs.invalid dbname=x user=x");
  Cache cache(config);
  CHECK(soon([&] { return cache.get("k", deadline(200)); }) == PGCACHE_TIMEOUT);
  CHECK(HangingNames::started() > before); /* it really was looked up */
  CHECK(soon([&] { return cache.put("k", "v", deadline(200)); }) == PGCACHE_TIMEOUT);
  const Answer woken = during([&] { return cache.get("k", deadline(60000)); }, [&] { cache.shutdown(); });
  CHECK(woken == PGCACHE_CLOSED);
  soon([&] {
    cache.free();
    return Answer();
  });
}

TEST_CASE("A deadline of 0 sends nothing and keeps the connection", "[rule:deadline]") {
  Store store;
  Cache cache = store.open({{"url", url_with({{"application_name", store.schema()}})}});
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  const auto session = [&] {
    return store.pg.one("SELECT pid FROM pg_stat_activity WHERE application_name = $1", {store.schema()});
  };
  const string before = session();
  const Options now = deadline(0);
  const std::pair<const char *, std::function<Answer()>> calls[] = {
      {"put", [&] { return cache.put("k", "w", now); }},
      {"get", [&] { return cache.get("k", now); }},
      {"add", [&] { return cache.add("new", "w", PGCACHE_TTL_DEFAULT, 0, now); }},
      {"remove", [&] { return cache.remove("k", now); }},
      {"increment", [&] { return cache.increment("n", 1, 0, PGCACHE_TTL_DEFAULT, now); }},
      {"flush", [&] { return cache.flush(PGCACHE_FLUSH_ALL, now); }},
      {"flush namespace", [&] { return cache.flush(PGCACHE_FLUSH_NAMESPACE, now); }},
      {"cleanup", [&] { return cache.cleanup(now); }},
  };
  for (const auto &[name, call] : calls) {
    INFO(name);
    CHECK(call() == PGCACHE_TIMEOUT);
    CHECK(session() == before);
  }
  sleep_ms(50);
  CHECK(store.pg.one(store.sql(
            "SELECT string_agg(convert_from(key || '='::bytea || value, 'UTF8'), ' ') FROM {s}.entries")) == "k=v");
  CHECK(cache.get("k").bytes() == "v");
  CHECK(session() == before);
  CHECK(cache.init(now) == PGCACHE_TIMEOUT);
  CHECK(cache.upgrade(now) == PGCACHE_TIMEOUT);
  CHECK(cache.get("k").bytes() == "v");
}

TEST_CASE("A deadline of 0 waits for nothing", "[rule:deadline]") {
  Store store;
  Cache fresh = store.open(); /* no connection yet */
  CHECK(soon([&] { return fresh.get("k", deadline(0)); }) == PGCACHE_TIMEOUT);
  CHECK(soon([&] { return fresh.put("k", "v", deadline(0)); }) == PGCACHE_TIMEOUT);
  const Answer put = soon([&] { return store.cache.put("k", "v", deadline(0)); });
  INFO(put);
  CHECK((put == PGCACHE_TIMEOUT || put == PGCACHE_UNKNOWN));
  sleep_ms(50);
  if (put == PGCACHE_TIMEOUT)
    CHECK(store.cache.get("k") == PGCACHE_MISS);
  CHECK(store.cache.get("k", deadline(-2)) == PGCACHE_INVALID);
  CHECK(store.cache.get("k", deadline(INT64_MIN)) == PGCACHE_INVALID);
  CHECK(store.cache.get("other", deadline(INT64_MAX)) == PGCACHE_MISS);
}

TEST_CASE("A row that another transaction holds: the write ends in time, and TIMEOUT means nothing happened",
          "[rule:deadline][rule:timeout]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at"));
  const Answer blocked = soon([&] { return store.cache.put("k", "new", deadline(300)); });
  INFO(blocked);
  CHECK((blocked == PGCACHE_TIMEOUT || blocked == PGCACHE_UNKNOWN));
  CHECK(store.cache.get("k").bytes() == "old"); /* reads do not wait */
  store.pg.exec("COMMIT");
  sleep_ms(300);
  if (blocked == PGCACHE_TIMEOUT)
    CHECK(store.cache.get("k").bytes() == "old");
  CHECK(store.cache.put("k", "newer") == PGCACHE_OK);
  /* Whatever was left behind is over soon: the late write does not come after the later one. */
  sleep_ms(300);
  CHECK(store.cache.get("k").bytes() == "newer");
}

TEST_CASE("Waiting for a connection of a busy pool ends by the deadline, in turn, and by shutdown",
          "[rule:deadline][rule:shutdown][pool]") {
  Store store;
  Cache cache = store.open({{"pool_max", "1"}});
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(cache.increment("turn", 0) == PGCACHE_OK); /* its row is there, and the statement prepared */
  const auto hold = [&] {
    store.pg.exec("BEGIN");
    store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at WHERE key = 'k'"));
    std::thread holder([&] { cache.put("k", "w", deadline(60000)); });
    CHECK(somebody_waits(store.pg));
    return holder;
  };
  /* Begins the calls one after the other, each when those before it stand in line. */
  const auto line_up = [&](int n, const std::function<void(int)> &call) {
    std::vector<std::thread> waiters;
    for (int i = 0; i < n; i++) {
      waiters.emplace_back(call, i);
      CHECK(eventually([&] { return Snapshot(cache).value("pgcache_pool_waiting") == i + 1; }));
    }
    return waiters;
  };

  std::thread holder = hold();
  const Answer late = soon([&] { return cache.get("k", deadline(200)); });
  INFO(late);
  CHECK(late == PGCACHE_TIMEOUT);
  CHECK(soon([&] { return cache.get("k", deadline(0)); }) == PGCACHE_TIMEOUT);

  std::vector<int64_t> turns(6, -1); /* the server gives each its number when it is served */
  std::vector<std::thread> waiters = line_up(6, [&](int i) {
    turns[static_cast<size_t>(i)] = cache.increment("turn", 1, 0, PGCACHE_TTL_DEFAULT, deadline(60000)).number;
  });
  store.pg.exec("COMMIT");
  for (auto &waiter : waiters)
    waiter.join();
  holder.join();
  CHECK(turns == std::vector<int64_t>{1, 2, 3, 4, 5, 6});

  holder = hold();
  std::vector<Answer> closed(4);
  waiters = line_up(4, [&](int i) {
    closed[static_cast<size_t>(i)] =
        i % 2 == 0 ? cache.get("k", deadline(60000)) : cache.put("other", "v", deadline(60000));
  });
  const int64_t start = now_ms();
  cache.shutdown();
  for (auto &waiter : waiters)
    waiter.join();
  CHECK(now_ms() - start < SOON);
  holder.join();
  store.pg.exec("COMMIT");
  for (const Answer &answer : closed) {
    INFO(answer);
    CHECK(answer == PGCACHE_CLOSED); /* the writers, too: nothing of theirs was sent */
  }
  CHECK(store.cache.get("other") == PGCACHE_MISS);
}

TEST_CASE("The pool opens no more than pool_max connections and keeps them", "[pool]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "3"}});
  CHECK(proxy.accepted() == 0); /* making a handle asks nobody */
  std::atomic<int> failed{0};
  in_threads(12, [&](int thread) {
    for (int i = 0; i < 30; i++)
      failed += cache.put("k" + std::to_string(thread), "v") != PGCACHE_OK;
  });
  CHECK(failed == 0);
  CHECK(proxy.accepted() <= 3);
  CHECK(cache.stats().pool_open <= 3);
}

TEST_CASE("shutdown wakes readers with CLOSED and writers with UNKNOWN", "[rule:shutdown]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  const auto black_hole = [&](const std::function<Answer(Cache &)> &call) {
    Proxy proxy;
    Cache cache = store.open({{"url", proxy.conninfo()}});
    REQUIRE(cache.put("k", "v") == PGCACHE_OK); /* connected, and the statements prepared */
    REQUIRE(cache.get("k") == PGCACHE_OK);
    REQUIRE(cache.remove("none") == PGCACHE_MISS);
    proxy.black_hole(true);
    return during([&] { return call(cache); }, [&] { cache.shutdown(); });
  };
  CHECK(black_hole([](Cache &cache) { return cache.get("k", deadline(60000)); }) == PGCACHE_CLOSED);
  CHECK(black_hole([](Cache &cache) { return cache.put("k", "w", deadline(60000)); }) == PGCACHE_UNKNOWN);
  CHECK(black_hole([](Cache &cache) { return cache.remove("k", deadline(60000)); }) == PGCACHE_UNKNOWN);

  Proxy proxy;
  proxy.black_hole(true); /* still connecting */
  Cache cache = store.open({{"url", proxy.conninfo()}});
  CHECK(during([&] { return cache.put("k", "w", deadline(60000)); }, [&] { cache.shutdown(); }) == PGCACHE_CLOSED);
}

TEST_CASE("After shutdown every call is CLOSED, and a second shutdown is fine", "[rule:shutdown]") {
  Store store;
  Cache &cache = store.cache;
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  const Value kept = cache.get("k").value;
  cache.shutdown();
  cache.shutdown();
  const Answer closed = cache.get("k");
  CHECK(closed == PGCACHE_CLOSED);
  CHECK_FALSE(closed.error.text().empty());
  CHECK(cache.put("k", "w") == PGCACHE_CLOSED);
  CHECK(cache.add("k", "w") == PGCACHE_CLOSED);
  CHECK(cache.replace("k", "w") == PGCACHE_CLOSED);
  CHECK(cache.compare_and_swap("k", "w", 1) == PGCACHE_CLOSED);
  CHECK(cache.remove("k") == PGCACHE_CLOSED);
  CHECK(cache.touch("k", 1000) == PGCACHE_CLOSED);
  CHECK(cache.exists("k") == PGCACHE_CLOSED);
  CHECK(cache.increment("k") == PGCACHE_CLOSED);
  CHECK(cache.flush(PGCACHE_FLUSH_ALL) == PGCACHE_CLOSED);
  CHECK(cache.cleanup() == PGCACHE_CLOSED);
  CHECK(cache.init() == PGCACHE_CLOSED);
  CHECK(cache.upgrade() == PGCACHE_CLOSED);
  Items items;
  items.add("k", "v");
  CHECK(pgcache_get_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_CLOSED);
  CHECK(pgcache_put_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_CLOSED);
  CHECK(pgcache_remove_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_CLOSED);
  pgcache_value *keys[1];
  size_t count;
  CHECK(pgcache_keys(cache.raw(), keys, 1, &count, nullptr, 0, nullptr, 0, nullptr, nullptr) == PGCACHE_CLOSED);
  pgcache_store_stats stats = PGCACHE_STORE_STATS_INIT;
  CHECK(pgcache_stats(cache.raw(), &stats, nullptr, nullptr) == PGCACHE_CLOSED);
  CHECK(kept.bytes() == "v");
  pgcache_shutdown(nullptr);
  pgcache_free(nullptr);
}

TEST_CASE("shutdown closes the server's sessions", "[rule:shutdown]") {
  Store store;
  Cache cache = store.open({{"url", url_with({{"application_name", store.schema()}})}});
  in_threads(4, [&](int) { cache.put("k", "v"); });
  const auto sessions = [&] {
    return store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", {store.schema()});
  };
  CHECK(sessions() != "0");
  cache.shutdown();
  CHECK(eventually([&] { return sessions() == "0"; }));
}
