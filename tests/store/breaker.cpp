/*
 * breaker.cpp - a server that fails costs its callers little: the circuit breaker and on_error=miss, as callers see them.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

pgcache_counters counters(const Cache &cache) {
  pgcache_counters out = PGCACHE_COUNTERS_INIT;
  if (pgcache_read_counters(cache.raw(), &out, nullptr) != PGCACHE_OK)
    throw std::runtime_error("pgcache_read_counters failed");
  return out;
}

bool refused(const Answer &answer) {
  return answer == PGCACHE_UNAVAILABLE && answer.error.text().find("circuit breaker is open") != string::npos;
}

int64_t microseconds(const std::function<void()> &call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start).count();
}

/* The best of several medians of many calls' times: others are at work on the machine, but not all the time. */
int64_t usual_microseconds(const std::function<void()> &call) {
  int64_t best = INT64_MAX;
  for (int round = 0; round < 5; round++) {
    std::vector<int64_t> times(201);
    for (auto &time : times)
      time = microseconds(call);
    std::sort(times.begin(), times.end());
    best = std::min(best, times[times.size() / 2]);
  }
  return best;
}

} // namespace

TEST_CASE("With the server away a call is refused in microseconds, and served soon after the server is back",
          "[breaker][restart][rule:breaker]") {
  PrivateServer server;
  Config config;
  Cache cache(config.set("url", server.conninfo()));
  REQUIRE(cache.init() == PGCACHE_OK);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  server.stop();
  Answer answer;
  int asked = 0;
  while (!refused(answer = cache.get("k")) && asked < 100) {
    CHECK(answer == PGCACHE_UNAVAILABLE);
    asked++;
  }
  CHECK(asked == 5);
  INFO(answer);
  CHECK(answer.error.text().find("5 failures in a row") != string::npos);
  CHECK(answer.error.text().find("nothing listens there") == string::npos); /* a Unix socket */
  CHECK(answer.error.text().find("cannot connect") != string::npos);
  CHECK(counters(cache).breaker_opened == 1);
  CHECK(counters(cache).breaker_refused == 1);
  const int64_t usual = usual_microseconds([&] { cache.get("k", deadline(20000)); });
  const int64_t write = usual_microseconds([&] { cache.put("k", "w", deadline(20000)); });
  printf("with the breaker open: a get takes %lld us, a put %lld us\n", static_cast<long long>(usual),
         static_cast<long long>(write));
  CHECK(usual < 200); /* of microseconds: whoever asks the server needs its deadline */
  CHECK(write < 200);
  CHECK(counters(cache).breaker_refused >= 1 + 2 * 5 * 201);
  /* Long enough for pauses to have grown, if any grew while there is no connection. */
  const int64_t until = now_ms() + 3000;
  while (now_ms() < until) {
    CHECK_FALSE(cache.get("k") == PGCACHE_OK);
    sleep_ms(10);
  }
  std::atomic<int64_t> served{0};
  std::thread reader([&] {
    while (served == 0) {
      if (cache.get("k").status >= 0)
        served = now_ms();
      else
        sleep_ms(1);
    }
  });
  server.start();
  const int64_t accepts = now_ms();
  reader.join();
  printf("recovery through the breaker: %lld ms after the server accepted\n",
         static_cast<long long>(std::max<int64_t>(0, served - accepts)));
  CHECK(served - accepts < 15000);
  CHECK(counters(cache).breaker_opened == 1);
  const pgcache_counters before = counters(cache);
  CHECK(cache.put("k", "w") == PGCACHE_OK);
  CHECK(counters(cache).breaker_refused == before.breaker_refused);
}

TEST_CASE("A server that accepts and never answers costs five deadlines, then microseconds, and one call now and then",
          "[breaker][blackhole][rule:breaker]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Proxy proxy;
  Cache cache =
      store.open({{"url", proxy.conninfo()}, {"timeout_ms", "200"}, {"breaker_pause_ms", "400"}, {"pool_max", "4"}});
  REQUIRE(cache.get("k", deadline(20000)) == PGCACHE_OK);
  proxy.hold_answers(true);
  for (int i = 0; i < 5; i++) {
    const Answer answer = cache.get("k");
    INFO(answer);
    CHECK(answer == PGCACHE_TIMEOUT);
  }
  CHECK(counters(cache).breaker_opened == 1);
  std::atomic<int> slow{0}, quick{0}, other{0};
  const int64_t start = now_ms();
  in_threads(4, [&](int) {
    while (now_ms() - start < 3000) {
      Answer answer;
      const int64_t took = microseconds([&] { answer = cache.get("k"); });
      if (answer == PGCACHE_TIMEOUT)
        slow++;
      else if (refused(answer) && took < 2000000)
        quick++;
      else
        other++;
      sleep_ms(1);
    }
  });
  INFO(slow << " calls waited, " << quick << " were refused");
  CHECK(other == 0);
  CHECK(slow <= 5 * (now_ms() - start) / 1000); /* one at a time, with pauses: a second would have room for 20 */
  CHECK(quick > slow);
  proxy.hold_answers(false);
  CHECK(eventually([&] { return cache.get("k").bytes() == "v"; }));
  CHECK(cache.put("k", "w", deadline(20000)) == PGCACHE_OK);
  CHECK(counters(cache).breaker_opened == 1);
}

TEST_CASE("A deadline that the caller made short, and a busy pool, do not open the breaker",
          "[breaker][rule:breaker]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(store.cache.put("locked", "v") == PGCACHE_OK);
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}, {"breaker_failures", "2"}});
  REQUIRE(cache.get("k") == PGCACHE_OK);
  proxy.hold_answers(true);
  for (int i = 0; i < 10; i++) {
    CHECK(cache.get("k", deadline(0)) == PGCACHE_TIMEOUT);
    CHECK(cache.get("k", deadline(30)) == PGCACHE_TIMEOUT);
    CHECK(cache.put("k", "w", deadline(30)).status < 0);
  }
  proxy.hold_answers(false);
  CHECK(cache.get("k", deadline(20000)) == PGCACHE_OK);
  Pg holder(url());
  holder.exec("BEGIN");
  holder.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at WHERE key = 'locked'"));
  std::thread busy([&] { cache.put("locked", "w", deadline(60000)); });
  REQUIRE(eventually([&] { return store.pg.one("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == "t"; }));
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; i++) {
    waiters.emplace_back([&] {
      const Answer answer = cache.get("k", deadline(1500)); /* long enough to count, if it were the server's fault */
      if (answer != PGCACHE_TIMEOUT)
        FAIL_CHECK(answer);
    });
  }
  for (auto &waiter : waiters)
    waiter.join();
  holder.exec("COMMIT");
  busy.join();
  CHECK(cache.get("k") == PGCACHE_OK);
  CHECK(counters(cache).breaker_opened == 0);
}

TEST_CASE("What a server answers, good or bad, keeps the breaker closed", "[breaker][rule:breaker]") {
  Store store;
  Role role("LOGIN");
  Cache denied = store.open({{"url", url_with({{"user", role.name()}})}, {"breaker_failures", "1"}});
  Cache nobody = store.open({{"url", url_with({{"user", "no_such_role"}})}, {"breaker_failures", "1"}});
  for (int i = 0; i < 5; i++) {
    CHECK(denied.get("k") == PGCACHE_DENIED);
    CHECK(nobody.get("k") == PGCACHE_DENIED);
  }
  CHECK(counters(denied).breaker_opened == 0);
  CHECK(counters(nobody).breaker_opened == 0);
}

TEST_CASE("[A24] A server without a connection to spare opens the breaker, and a place closes it", "[A24][breaker]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Role role("LOGIN CONNECTION LIMIT 1");
  const string name = role.name();
  store.pg.exec(store.sql("GRANT USAGE ON SCHEMA {s} TO \"" + name +
                          "\"; GRANT SELECT ON ALL TABLES IN SCHEMA {s} TO \"" + name +
                          "\"; GRANT EXECUTE ON FUNCTION {s}.check_schema(text) TO \"" + name + "\""));
  Cache cache = store.open({{"url", url_with({{"user", name}})}, {"breaker_failures", "3"}});
  auto other = std::make_unique<Pg>(url_with({{"user", name}}));
  Answer answer;
  for (int i = 0; i < 3; i++) {
    answer = cache.get("k");
    INFO(answer);
    CHECK(answer == PGCACHE_TOO_MANY_CONNECTIONS);
    CHECK(answer.error.text().find("CONNECTION LIMIT") != string::npos);
  }
  answer = cache.get("k");
  INFO(answer);
  CHECK(refused(answer));
  CHECK(string(answer.error.sqlstate) == "53300");
  CHECK(answer.error.text().find("CONNECTION LIMIT") != string::npos); /* the remedy is still named */
  other.reset();
  CHECK(eventually([&] { return cache.get("k").bytes() == "v"; }));
}

TEST_CASE("[A24] A pool larger than its role's limit takes turns", "[A24][breaker]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Role role("LOGIN CONNECTION LIMIT 2");
  const string name = role.name();
  store.pg.exec(store.sql("GRANT USAGE ON SCHEMA {s} TO \"" + name +
                          "\"; GRANT SELECT ON ALL TABLES IN SCHEMA {s} TO \"" + name +
                          "\"; GRANT EXECUTE ON FUNCTION {s}.check_schema(text) TO \"" + name + "\""));
  Cache cache = store.open({{"url", url_with({{"user", name}})}, {"pool_max", "8"}, {"breaker_failures", "1"}});
  std::atomic<int> failed{0};
  REQUIRE(cache.get("k") == PGCACHE_OK);
  in_threads(8, [&](int) {
    for (int i = 0; i < 50; i++)
      failed += cache.get("k") != PGCACHE_OK;
  });
  CHECK(failed == 0);
  CHECK(counters(cache).breaker_opened == 0);
  CHECK(cache.stats().pool_open <= 2);
}

TEST_CASE("Maintenance passes an open breaker, and closes it when it succeeds", "[breaker][rule:breaker]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"timeout_ms", "100"}, {"breaker_pause_ms", "30000"}});
  REQUIRE(cache.get("k", deadline(20000)) == PGCACHE_OK);
  proxy.hold_answers(true);
  for (int i = 0; i < 5; i++)
    CHECK(cache.get("k") == PGCACHE_TIMEOUT);
  /* Its failure neither counts nor is it refused. */
  CHECK(cache.cleanup(deadline(300)).status != PGCACHE_OK);
  CHECK_FALSE(refused(cache.cleanup(deadline(300))));
  const Options short_one = deadline(100);
  pgcache_store_stats stats = PGCACHE_STORE_STATS_INIT;
  pgcache_usage usage = PGCACHE_USAGE_INIT;
  pgcache_value *value = nullptr;
  pgcache_snapshot *published = nullptr;
  size_t count = 0;
  int64_t removed = 0;
  using Call = std::function<pgcache_status(Error &)>;
  const std::vector<std::pair<const char *, Call>> calls = {
      {"flush",
       [&](Error &e) { return pgcache_flush(cache.raw(), &removed, PGCACHE_FLUSH_NAMESPACE, &short_one, &e); }},
      {"stats", [&](Error &e) { return pgcache_stats(cache.raw(), &stats, &short_one, &e); }},
      {"read_usage",
       [&](Error &e) { return pgcache_read_usage(cache.raw(), &usage, 1, &count, nullptr, &short_one, &e); }},
      {"dependents", [&](Error &e) { return pgcache_dependents(cache.raw(), &value, nullptr, 0, &short_one, &e); }},
      {"keys",
       [&](Error &e) { return pgcache_keys(cache.raw(), &value, 1, &count, nullptr, 0, nullptr, 0, &short_one, &e); }},
      {"read_published",
       [&](Error &e) { return pgcache_read_published(cache.raw(), &published, 1, &count, nullptr, &short_one, &e); }},
      {"doctor", [&](Error &e) { return pgcache_doctor(cache.raw(), &value, &short_one, &e); }},
      {"init", [&](Error &e) { return pgcache_init(cache.raw(), &short_one, &e); }},
      {"upgrade", [&](Error &e) { return pgcache_upgrade(cache.raw(), &short_one, &e); }},
  };
  for (const auto &call : calls) {
    Answer answer;
    answer.status = call.second(answer.error);
    INFO(call.first << ": " << answer);
    CHECK(answer != PGCACHE_OK);
    CHECK_FALSE(refused(answer));
    pgcache_value_free(value);
    value = nullptr;
  }
  proxy.hold_answers(false);
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK); /* in place of what the flush may have removed */
  if (refused(cache.get("k"))) {                    /* the pause is random, and may be over */
    CHECK(eventually([&] { return cache.cleanup(deadline(2000)) == PGCACHE_OK; }));
    CHECK(cache.get("k", deadline(5000)) == PGCACHE_OK);
  }
  CHECK(counters(cache).breaker_opened == 1);
}

TEST_CASE("With breaker_failures at 0 every call asks", "[breaker]") {
  Config config;
  Cache cache(config.set("url", "host=/nonexistent/folder dbname=x").set("breaker_failures", "0"));
  for (int i = 0; i < 50; i++) {
    const Answer answer = cache.get("k");
    CHECK(answer == PGCACHE_UNAVAILABLE);
    CHECK_FALSE(refused(answer));
  }
  CHECK(counters(cache).breaker_opened == 0);
  CHECK(counters(cache).breaker_refused == 0);
}

TEST_CASE("An open breaker is the parent's alone, and shutdown is told before it", "[breaker][rule:fork]") {
  PrivateServer server;
  Config config;
  Cache cache(config.set("url", server.conninfo()).set("breaker_failures", "1"));
  REQUIRE(cache.init() == PGCACHE_OK);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  server.stop();
  CHECK(cache.get("k") == PGCACHE_UNAVAILABLE);
  CHECK(refused(cache.get("k")));
  server.start();
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(cache.get("k") == PGCACHE_OK ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  server.stop();
  cache.get("k", deadline(500));
  cache.shutdown();
  CHECK(cache.get("k") == PGCACHE_CLOSED);
}

namespace {

/* All reads of a handle whose store fails them are misses, and say nothing. */
void check_missed(Cache &cache, const Options &options) {
  Answer answer = cache.get("k", options);
  CHECK(answer == PGCACHE_MISS);
  CHECK(answer.error.status == PGCACHE_OK); /* left alone */
  CHECK(answer.error.text().empty());
  CHECK_FALSE(answer.value);
  answer = cache.exists("k", options);
  CHECK(answer == PGCACHE_MISS);
  CHECK(answer.error.text().empty());
  char buffer[4] = "abc";
  size_t size = 77;
  CHECK(pgcache_get_into(cache.raw(), buffer, sizeof buffer, &size, "k", 1, &options, nullptr) == PGCACHE_MISS);
  CHECK(size == 0);
  CHECK(string(buffer) == "abc");
  Items items;
  std::vector<string> keys;
  for (int i = 0; i < 1500; i++)
    keys.push_back("k" + std::to_string(i));
  for (const string &key : keys)
    items.add(key);
  CHECK(pgcache_get_many(cache.raw(), items.data(), items.size(), &options, nullptr) == PGCACHE_OK);
  for (size_t i = 0; i < items.size(); i++) {
    if (items[i].status != PGCACHE_MISS || items[i].result != nullptr || items[i].version != 0)
      FAIL_CHECK("item " << i);
  }
}

} // namespace

TEST_CASE("on_error=miss: a read that the store fails is a miss, in time and counted; a write tells",
          "[on_error][rule:on_error]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"on_error", "miss"}, {"timeout_ms", "300"}});
  CHECK(cache.get("k", deadline(20000)).bytes() == "v");
  CHECK(cache.exists("k", deadline(20000)) == PGCACHE_OK);
  CHECK(cache.get("none", deadline(20000)) == PGCACHE_MISS);
  CHECK(counters(cache).reads_failed == 0);

  proxy.black_hole(true);
  const int64_t first = microseconds([&] { CHECK(cache.get("k") == PGCACHE_MISS); });
  CHECK(counters(cache).reads_failed == 1);
  check_missed(cache, Options());
  CHECK(counters(cache).reads_failed == 6); /* get_many asks twice */
  const Answer write = cache.put("k", "w");
  CHECK((write == PGCACHE_TIMEOUT || write == PGCACHE_UNAVAILABLE || write == PGCACHE_UNKNOWN));
  CHECK_FALSE(write.error.text().empty());
  CHECK(cache.remove("k").status < 0);
  CHECK(cache.increment("n").status < 0);
  CHECK(counters(cache).breaker_opened == 1);
  const int64_t open = usual_microseconds([&] { cache.get("k"); });
  printf("on_error=miss, a black hole: %lld us for a call with the breaker closed (timeout_ms=300), %lld us with it "
         "open\n",
         static_cast<long long>(first), static_cast<long long>(open));
  CHECK(first < 10000000);
  CHECK(open < 200);
  CHECK(in_one_of(
      5, [&] { /* by each other one the server is asked for the first time */
               Proxy other;
               Cache another = store.open({{"url", other.conninfo()}, {"on_error", "miss"}, {"timeout_ms", "300"}});
               CHECK(another.get("k", deadline(20000)).bytes() == "v");
               other.black_hole(true);
               const int64_t took = microseconds([&] { CHECK(another.get("k") == PGCACHE_MISS); });
               CHECK(took < 10000000);
               return took < 450000;
      }));

  /* What the caller must know stays an error. */
  CHECK(cache.get("") == PGCACHE_INVALID);
  CHECK(cache.get(string(5000, 'k')) == PGCACHE_TOO_LARGE);
  CHECK(cache.get("k", in_namespace("a b")) == PGCACHE_INVALID);
  Items bad;
  bad.add("");
  CHECK(pgcache_get_many(cache.raw(), bad.data(), 1, nullptr, nullptr) == PGCACHE_INVALID);
  const int64_t counted = counters(cache).reads_failed;
  proxy.black_hole(false);
  proxy.cut();
  CHECK(eventually([&] { return cache.get("k").bytes() == "v"; }));
  const int64_t after = counters(cache).reads_failed;
  CHECK(after >= counted);
  CHECK(cache.put("k", "w", deadline(20000)) == PGCACHE_OK);
  cache.shutdown();
  const Answer closed = cache.get("k");
  CHECK(closed == PGCACHE_CLOSED);
  CHECK_FALSE(closed.error.text().empty());
  CHECK(counters(cache).reads_failed == after);
}

TEST_CASE("on_error=miss covers whatever the store can fail with", "[on_error][rule:on_error]") {
  Store store;
  REQUIRE(store.cache.put("k", "longer than allowed") == PGCACHE_OK);
  Role role("LOGIN");
  const std::vector<Settings> failing = {{{"url", "host=/nonexistent/folder dbname=x"}},
                                         {{"url", url_with({{"user", role.name()}})}},
                                         {{"schema", "no_such_schema"}},
                                         {{"table", "logged"}}};
  for (Settings settings : failing) {
    settings.emplace_back("on_error", "miss");
    INFO(settings[0].first << "=" << settings[0].second);
    Cache cache = store.open(settings);
    check_missed(cache, Options());
    CHECK(counters(cache).reads_failed == 5);
    CHECK(cache.put("k", "v").status < 0);
  }
  Cache small = store.open({{"on_error", "miss"}, {"max_value_bytes", "5"}});
  const Answer large = small.get("k");
  CHECK(large == PGCACHE_TOO_LARGE); /* the store did not fail */
  CHECK_FALSE(large.error.text().empty());
  CHECK(small.get("k", deadline(0)) == PGCACHE_MISS);
}
