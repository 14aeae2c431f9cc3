/*
 * events.cpp - what providers and observers are told of the near cache: its hits, and its listener's connection.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"

#include "support/events.hpp"
#include "support/pooler.hpp"
#include "support/requests.hpp"

using namespace test;
using std::string;

TEST_CASE("A hit of the near cache is told of like any other, to calls, requests and of many keys", "[events]") {
  Store store;
  Cache cache = store.open(near_on());
  listens(cache);
  REQUIRE(cache.put("k", "value") == PGCACHE_OK);
  REQUIRE(comes_near(cache, "k", "value"));
  Provider provider;
  provider.add_to(cache, EVERY_EVENT | PGCACHE_OBSERVE_KEYS);
  const auto did = [&] {
    string out;
    for (const auto &span : provider.spans()) {
      REQUIRE(span.ends.size() == 1);
      const Event &end = span.ends[0];
      CHECK(end.duration_ns > 0);
      CHECK(end.space == "default");
      CHECK(end.key == "k");
      out += end.operation + " " + end.outcome + " " + end.source + " " + std::to_string(end.bytes) + ";";
    }
    provider.forget();
    return out;
  };
  const Requests requests(cache);
  Options span;
  span.span_name = "page";
  REQUIRE(cache.get("k") == PGCACHE_OK);
  CHECK(did() == "get hit near 5;");
  REQUIRE(cache.get("k", span) == PGCACHE_OK);
  CHECK(did() == "get hit near 5;");
  REQUIRE(cache.exists("k") == PGCACHE_OK);
  CHECK(did().find("exists hit near ") == 0);
  REQUIRE(requests.wait(requests.get("k").id) == PGCACHE_OK);
  CHECK(did().find("get hit near ") == 0);
  REQUIRE(cache.get("k", from_store()) == PGCACHE_OK);
  CHECK(did() == "get hit store 5;");
}

TEST_CASE("The listener tells once that it is connected, that its connection is lost, and that there is one again",
          "[events]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open(near_on({{"listen_url", proxy.conninfo()}}));
  Observer observer(cache, PGCACHE_OBSERVE_STATES | PGCACHE_OBSERVE_LOG);
  const auto await = [&](const char *state) {
    const auto events = observer.until([&](const Event &event) {
      return event.kind == PGCACHE_EVENT_LOG && event.operation == "listener" && event.outcome == state;
    });
    REQUIRE_FALSE(events.empty());
    string states;
    for (const Event &event : events)
      states += event.kind == PGCACHE_EVENT_STATE && event.operation == "listener" ? event.outcome + ";" : "";
    CHECK(states == string(state) + ";");
    return events.back();
  };
  listens(cache);
  CHECK(await("connected").level == PGCACHE_LEVEL_INFO);
  proxy.refuse(true);
  proxy.cut();
  const Event lost = await("lost");
  CHECK(lost.level == PGCACHE_LEVEL_WARNING);
  CHECK(lost.status < 0);
  CHECK(lost.message.size() > 10);
  proxy.refuse(false);
  CHECK(await("connected").level == PGCACHE_LEVEL_INFO);
}

TEST_CASE("The listener tells that it stays off behind a pooler", "[events][pooler]") {
  Store store;
  Pooler pooler;
  Cache cache = store.open(near_on({{"url", pooler.conninfo()}, {"prepared", "off"}}));
  Observer observer(cache, PGCACHE_OBSERVE_STATES);
  CHECK(cache.fence(deadline(20000)) == PGCACHE_BAD_SETTING);
  const auto events = observer.until([](const Event &event) { return event.operation == "listener"; });
  REQUIRE_FALSE(events.empty());
  CHECK(events.back().outcome == "off");
  CHECK(events.back().message.find("listen_url") != string::npos);
}
