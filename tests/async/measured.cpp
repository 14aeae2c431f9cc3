/*
 * measured.cpp - what is measured of requests: each once, from its submission to its completion, whichever way it ends.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/events.hpp"
#include "support/requests.hpp"
#include "support/server.hpp"
#include "support/snapshot.hpp"

using namespace test;

namespace {

Completion wait(const Cache &cache, const Submitted &submitted) {
  REQUIRE(submitted == PGCACHE_OK);
  pgcache_completion *taken = nullptr;
  REQUIRE(pgcache_wait(cache.raw(), &taken, submitted.id, 60000, nullptr) == PGCACHE_OK);
  return Completion(taken);
}

template <class Call, class... More> Submitted submit(const Cache &cache, Call call, More... more) {
  Submitted s;
  s.status = call(cache.raw(), &s.id, more..., nullptr, &s.error);
  return s;
}

} // namespace

TEST_CASE("each request is measured once, by operation and outcome", "[measured][rule:measured]") {
  Store store;
  Cache cache = store.open();
  const Requests requests(cache);
  CHECK(wait(cache, requests.put("a", "12345", with_span("page"))) == PGCACHE_OK);
  CHECK(wait(cache, requests.get("a", with_span("page"))) == PGCACHE_OK);
  CHECK(wait(cache, requests.get("b")) == PGCACHE_MISS);
  CHECK(wait(cache, requests.exists("a")) == PGCACHE_OK);
  CHECK(wait(cache, requests.add("a", "x")) == PGCACHE_EXISTS);
  CHECK(wait(cache, submit(cache, pgcache_submit_flush, PGCACHE_FLUSH_NAMESPACE)) == PGCACHE_OK);
  CHECK(wait(cache, submit(cache, pgcache_submit_cleanup)) == PGCACHE_OK);
  CHECK(wait(cache, submit(cache, pgcache_submit_stats)) == PGCACHE_OK);
  CHECK(wait(cache, submit(cache, pgcache_submit_init)) == PGCACHE_EXISTS);
  const Snapshot now(cache);
  CHECK(now.ended("put") == 1);
  CHECK(now.ended("get", "hit") == 1);
  CHECK(now.ended("get", "miss") == 1);
  CHECK(now.ended("exists", "hit") == 1);
  CHECK(now.ended("add", "exists") == 1);
  CHECK(now.ended("flush", "ok") == 1); /* and not once more for the call that does it */
  CHECK(now.ended("cleanup", "ok") == 1);
  CHECK(now.ended("stats", "ok") == 1);
  CHECK(now.ended("init", "exists") == 1);
  CHECK(now.count("pgcache_operation_duration_seconds") == 9);
  CHECK(now.count("pgcache_operation_duration_seconds", {{"span_name", "page"}}) == 2);
  CHECK(now.hits() == 2);
  CHECK(now.hits({{"span_name", "page"}}) == 1);
  CHECK(now.misses() == 1);
  CHECK(now.value("pgcache_item_size_bytes", {{"operation", "put"}}) == 5);
  CHECK(now.value("pgcache_item_size_bytes", {{"operation", "get"}}) == 5);
  CHECK(now.count("pgcache_flushed_entries") == 1);
  CHECK(now.value("pgcache_flushed_entries") == 1);
  CHECK(now.count("pgcache_cleanup_deleted_entries") == 1);
}

TEST_CASE("requests on many keys are one each", "[measured][rule:outcomes]") {
  Store store;
  Cache cache = store.open();
  const std::string a = "a", b = "b", value = "12345";
  Items put, get;
  put.add(a, value);
  get.add(a);
  get.add(b);
  get.add(a);
  CHECK(wait(cache, submit(cache, pgcache_submit_put_many, static_cast<const pgcache_item *>(put.data()),
                           put.size())) == PGCACHE_OK);
  CHECK(wait(cache, submit(cache, pgcache_submit_get_many, static_cast<const pgcache_item *>(get.data()),
                           get.size())) == PGCACHE_OK);
  const Snapshot now(cache);
  CHECK(now.ended("put_many", "ok") == 1);
  CHECK(now.ended("get_many", "ok") == 1);
  CHECK(now.count("pgcache_operation_duration_seconds") == 2);
  CHECK(now.hits() == 2);
  CHECK(now.misses() == 1);
}

TEST_CASE("requests that are refused, late or cancelled are measured as what they gave", "[measured][rule:late]") {
  Store store;
  Cache few = store.open(Settings{{"async_requests_max", "1"}}), cache = store.open();
  const Submitted first = Requests(few).get("a");
  REQUIRE(first == PGCACHE_OK);
  CHECK(Requests(few).get("b") == PGCACHE_QUEUE_FULL);
  CHECK(wait(few, first) == PGCACHE_MISS);
  CHECK(Snapshot(few).ended("get", "queue_full") == 1);
  CHECK(Snapshot(few).ended("get", "miss") == 1);
  const Requests requests(cache);
  Pg blocker = Pg(url());
  blocker.exec("BEGIN");
  blocker.exec(store.sql("LOCK TABLE {s}.entries IN ACCESS EXCLUSIVE MODE"));
  CHECK(wait(cache, requests.get("a", deadline(200))) == PGCACHE_TIMEOUT);
  const Submitted cancelled = requests.get("a", deadline(60000));
  REQUIRE(cancelled == PGCACHE_OK);
  sleep_ms(100);
  CHECK(pgcache_cancel(cache.raw(), cancelled.id, nullptr) == PGCACHE_OK);
  CHECK(wait(cache, cancelled) == PGCACHE_CANCELLED);
  const Snapshot meanwhile(cache);
  CHECK(meanwhile.ended("get", "timeout") == 1);
  CHECK(meanwhile.ended("get", "cancelled") == 1);
  CHECK(meanwhile.value("pgcache_operation_duration_seconds", {{"outcome", "timeout"}}) > 0.15);
  blocker.exec("COMMIT");
  CHECK(eventually([&] { return Snapshot(cache).value("pgcache_requests_under_way") == 0; }, 30000));
  CHECK(Snapshot(cache).count("pgcache_operation_duration_seconds") == 2); /* what came later counts no more */
}

TEST_CASE("A request that is refused without being asked for its message is told of all the same",
          "[events][measured]") {
  Store store;
  Cache few = store.open(Settings{{"async_requests_max", "1"}});
  Observer observer(few, PGCACHE_OBSERVE_OPERATIONS);
  const Submitted first = Requests(few).get("a");
  REQUIRE(first == PGCACHE_OK);
  uint64_t id = 1;
  CHECK(pgcache_submit_get(few.raw(), &id, "b", 1, nullptr, nullptr) == PGCACHE_QUEUE_FULL);
  CHECK(id == 0);
  std::vector<Event> told;
  REQUIRE(observer.next(told, 30000) == PGCACHE_OK);
  CHECK(told[0].outcome == "queue_full");
  CHECK(wait(few, first) == PGCACHE_MISS);
}

TEST_CASE("what is under way and what waits to be taken is in a snapshot", "[measured]") {
  Store store;
  Cache cache = store.open();
  const Requests requests(cache);
  CHECK(Snapshot(cache).value("pgcache_requests_untaken") == 0);
  for (int i = 0; i < 3; i++)
    REQUIRE(requests.put("key", "12345") == PGCACHE_OK);
  CHECK(eventually([&] { return Snapshot(cache).value("pgcache_requests_untaken") == 3; }, 30000));
  const Snapshot now(cache);
  CHECK(now.value("pgcache_requests_under_way") == 0);
  CHECK(now.value("pgcache_requests_bytes") == 3 * 8);
  CHECK(now.ended("put", "ok") == 3); /* measured when they ended, taken or not */
}
