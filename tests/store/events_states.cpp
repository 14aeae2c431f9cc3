/*
 * events_states.cpp - what providers and observers are told of beside operations: breaker, janitor, logs; and that nothing they are
 * told of shows a secret.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/events.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/requests.hpp"
#include "support/secrets.hpp"

#include <atomic>
#include <thread>

using namespace test;
using std::string;

namespace {

/* The states of one thing, in their order. */
string states_of(const char *what, const std::vector<Event> &events) {
  string out;
  for (const Event &event : events) {
    if (event.kind == PGCACHE_EVENT_STATE && event.operation == what)
      out += (out.empty() ? "" : " ") + event.outcome;
  }
  return out;
}

bool is_state(const Event &event, const char *what, const char *state) {
  return event.kind == PGCACHE_EVENT_STATE && event.operation == what && event.outcome == state;
}

} // namespace

TEST_CASE("The breaker tells that it opens, lets one through, and closes; a provider may call the handle there",
          "[events][breaker][rule:breaker]") {
  PrivateServer server;
  Config config;
  Cache cache(config.set("url", server.conninfo()));
  REQUIRE(cache.init() == PGCACHE_OK);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  Provider provider;
  std::atomic<int> refused{0};
  provider.inside = [&] { refused += cache.get("k", deadline(50)) == PGCACHE_UNAVAILABLE; };
  provider.add_to(cache, PGCACHE_OBSERVE_STATES, false);
  Observer observer(cache, PGCACHE_OBSERVE_STATES | PGCACHE_OBSERVE_LOG);
  server.stop();
  std::vector<Event> events;
  while (events.empty()) {
    CHECK(cache.get("k") == PGCACHE_UNAVAILABLE);
    events = observer.take();
  }
  REQUIRE(events.size() == 2);
  CHECK(is_state(events[0], "breaker", "open"));
  CHECK(events[0].level == PGCACHE_LEVEL_WARNING);
  CHECK(events[0].status == PGCACHE_UNAVAILABLE);
  CHECK(events[1].kind == PGCACHE_EVENT_LOG);
  CHECK(events[1].message == events[0].message);
  CHECK(events[1].message.find("circuit breaker is open") != string::npos);
  CHECK(refused >= 1);
  server.start();
  CHECK(eventually([&] { return cache.get("k") == PGCACHE_OK; }, 20000));
  const auto more = observer.until([](const Event &event) { return is_state(event, "breaker", "closed"); });
  events.insert(events.end(), more.begin(), more.end());
  const string states = states_of("breaker", events);
  INFO(states);
  CHECK(states.find("open half-open ") == 0);
  CHECK(is_state(events.back(), "breaker", "closed"));
}

TEST_CASE("The breaker tells of requests, too, from the engine's threads", "[events][breaker][async]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"breaker_failures", "1"}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.put("k", "v").id) == PGCACHE_OK);
  Observer observer(cache, PGCACHE_OBSERVE_STATES);
  proxy.refuse(true);
  proxy.cut();
  CHECK(requests.wait(requests.get("k", deadline(1500)).id).status() < 0);
  const auto events = observer.until([](const Event &event) { return is_state(event, "breaker", "open"); });
  CHECK(states_of("breaker", events) == "open");
}

TEST_CASE("A janitor tells of its walks, of failures, and of its end", "[events][janitor]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"breaker_failures", "0"}, {"timeout_ms", "1000"}});
  Observer observer(cache, PGCACHE_OBSERVE_STATES | PGCACHE_OBSERVE_LOG);
  for (int i = 0; i < 7; i++)
    REQUIRE(cache.put("k" + std::to_string(i), "v", 1) == PGCACHE_OK);
  sleep_ms(20);
  Janitor janitor(cache, 100);
  int64_t removed = 0;
  const auto walks = observer.until([&](const Event &event) {
    removed += is_state(event, "janitor", "walked") ? event.number : 0;
    return removed >= 7;
  });
  CHECK(removed == 7);
  CHECK(states_of("janitor", walks).find("started walked") == 0);
  proxy.refuse(true);
  proxy.cut();
  const auto failures = observer.until([](const Event &event) {
    return event.kind == PGCACHE_EVENT_LOG && event.operation == "janitor" && event.level == PGCACHE_LEVEL_WARNING;
  });
  REQUIRE_FALSE(failures.empty());
  CHECK(failures.back().message.find("the janitor failed, and tries again later: ") == 0);
  CHECK(failures.back().status < 0);
  janitor.free();
  const auto last = observer.take();
  REQUIRE_FALSE(last.empty());
  CHECK(is_state(last.back(), "janitor", "stopped"));
}

TEST_CASE("[A62] No event or log shows a key, value, password or address, whatever goes wrong",
          "[events][A62][secrets][rule:secret]") {
  PrivateServer server({}, {"local all keeper scram-sha-256"});
  Pg admin(server.conninfo());
  admin.exec("CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '" + canary + "'");
  const auto with = [&](const string &password) {
    return "host=" + server.socket_folder() + " user=keeper dbname=postgres password=" + password;
  };
  std::vector<Event> all;
  const auto live = [&](const string &address, bool stops) {
    Config config;
    config.set("url", address).set("slow_ms", "1").set("timeout_ms", "1000").set("breaker_failures", "2");
    Cache cache(config);
    Provider provider;
    provider.add_to(cache);
    Observer observer(cache);
    const Requests requests(cache);
    (void)cache.init();
    for (int round = 0; round < 3; round++) {
      (void)cache.put(canary + " key", canary + " value");
      (void)cache.get(canary + " key");
      (void)cache.get(canary + " key", deadline(0));
      (void)cache.increment(canary + " key");
      (void)requests.wait(requests.put(canary + " key", canary + " value").id);
      Items items;
      const string key = canary + " key";
      items.add(key, canary);
      pgcache_put_many(cache.raw(), items.data(), items.size(), nullptr, nullptr);
      pgcache_get_many(cache.raw(), items.data(), items.size(), nullptr, nullptr);
      if (stops && round == 0)
        server.stop();
    }
    {
      Janitor janitor(cache, 1000);
      sleep_ms(100);
    }
    for (const Event &event : observer.take())
      all.push_back(event);
    for (const Event &event : provider.told())
      all.push_back(event);
    for (const auto &span : provider.spans()) {
      all.push_back(span.begin);
      all.insert(all.end(), span.ends.begin(), span.ends.end());
    }
    if (stops)
      server.start();
  };
  live(with(canary), true);
  live(with("wrong" + canary), false);
  std::map<int, int> kinds;
  for (const Event &event : all) {
    INFO(event.text());
    CHECK_FALSE(shows_canary(event.text()));
    CHECK(event.text().find(server.socket_folder() + " user") == string::npos);
    kinds[event.kind]++;
  }
  CHECK(kinds[PGCACHE_EVENT_OPERATION] > 50);
  CHECK(kinds[PGCACHE_EVENT_SLOW] > 0);
  CHECK(kinds[PGCACHE_EVENT_STATE] > 0);
  CHECK(kinds[PGCACHE_EVENT_LOG] > 0);
}

TEST_CASE("An observer that nobody reads costs events, not calls; who waits is told of the end",
          "[events][rule:observer]") {
  Store store;
  Cache cache = store.open();
  Observer observer(cache, PGCACHE_OBSERVE_OPERATIONS, PGCACHE_LEVEL_DEBUG, 2);
  for (int i = 0; i < 5; i++)
    CHECK(cache.get("k") == PGCACHE_MISS);
  CHECK(observer.dropped() == 3);
  CHECK(observer.take().size() == 2);
  std::vector<Event> events;
  pgcache_status last = PGCACHE_OK;
  std::thread waiter([&] {
    while ((last = observer.next(events, 60000)) == PGCACHE_OK) {
    }
  });
  CHECK(cache.get("k") == PGCACHE_MISS);
  cache.shutdown();
  waiter.join();
  CHECK(last == PGCACHE_CLOSED);
  CHECK(events.size() == 1);
  pgcache_observer *late = nullptr;
  CHECK(pgcache_observe(cache.raw(), &late, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_INFO, 1, nullptr) == PGCACHE_CLOSED);
}
