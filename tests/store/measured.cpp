/*
 * measured.cpp - what is measured of calls: each once, with its operation, outcome, source, span name, sizes and keys.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/fork.hpp"
#include "support/server.hpp"
#include "support/snapshot.hpp"

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

using test::Cache;
using test::Settings;
using test::Snapshot;
using test::Store;
using test::with_span;

namespace {

const char *const durations = "pgcache_operation_duration_seconds";
const char *const sizes = "pgcache_item_size_bytes";

/* All operations that were measured, as "operation outcome source": how often. */
std::map<std::string, int64_t> all_of(const Snapshot &snapshot) {
  std::map<std::string, int64_t> all;
  const pgcache_snapshot *self = snapshot.get();
  for (size_t i = 0; i < pgcache_snapshot_size(self); i++) {
    if (std::string(pgcache_snapshot_name(self, i)) != durations)
      continue;
    const std::string what = std::string(pgcache_snapshot_label_value(self, i, 0)) + " " +
                             pgcache_snapshot_label_value(self, i, 1) + " " + pgcache_snapshot_label_value(self, i, 2);
    all[what] += pgcache_snapshot_count(self, i);
  }
  return all;
}

using Counts = std::map<std::string, int64_t>;

} // namespace

TEST_CASE("[A60] each call is measured once, by operation and outcome",
          "[A60][measured][rule:measured][rule:outcomes]") {
  Store store;
  Cache cache = store.open();
  char buffer[2];
  size_t size = 0;
  CHECK(cache.put("a", "12345") == PGCACHE_OK);
  CHECK(cache.get("a") == PGCACHE_OK);
  CHECK(cache.get("b") == PGCACHE_MISS);
  CHECK(pgcache_get_into(cache.raw(), buffer, sizeof buffer, &size, "a", 1, nullptr, nullptr) == PGCACHE_TOO_SMALL);
  CHECK(cache.exists("a") == PGCACHE_OK);
  CHECK(cache.exists("b") == PGCACHE_MISS);
  CHECK(cache.add("a", "x") == PGCACHE_EXISTS);
  CHECK(cache.replace("b", "x") == PGCACHE_MISS);
  CHECK(cache.compare_and_swap("a", "x", 1) == PGCACHE_EXISTS);
  CHECK(cache.touch("a", 60000) == PGCACHE_OK);
  CHECK(cache.increment("n") == PGCACHE_OK);
  CHECK(cache.put("text", "text") == PGCACHE_OK);
  CHECK(cache.increment("text") == PGCACHE_NOT_A_COUNTER);
  CHECK(cache.remove("a") == PGCACHE_OK);
  CHECK(cache.remove("a") == PGCACHE_MISS);
  CHECK(cache.peek("a") == PGCACHE_MISS);
  CHECK(cache.flush(PGCACHE_FLUSH_NAMESPACE) == PGCACHE_OK);
  CHECK(cache.cleanup() == PGCACHE_OK);
  (void)cache.stats();
  (void)cache.usage();
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  CHECK(cache.cleanup_some(progress, 1000) == PGCACHE_OK);
  CHECK(cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 0, 0) == PGCACHE_OK);
  CHECK(cache.init() == PGCACHE_EXISTS);
  /* What is refused before it begins is not measured. */
  CHECK(cache.put("", "x") == PGCACHE_INVALID);
  CHECK(cache.put("a", "x", 0) == PGCACHE_INVALID);
  CHECK(cache.get("a", with_span(std::string(65, 'x').c_str())) == PGCACHE_INVALID);
  (void)cache.counters();
  CHECK(all_of(Snapshot(cache)) == Counts{{"put ok store", 2},
                                          {"get hit store", 2},
                                          {"get miss store", 1},
                                          {"exists hit store", 1},
                                          {"exists miss store", 1},
                                          {"add exists store", 1},
                                          {"replace miss store", 1},
                                          {"compare_and_swap exists store", 1},
                                          {"touch ok store", 1},
                                          {"increment ok store", 1},
                                          {"increment not_a_counter store", 1},
                                          {"remove ok store", 1},
                                          {"remove miss store", 1},
                                          {"flush ok store", 1},
                                          {"cleanup ok store", 1},
                                          {"stats ok store", 1},
                                          {"read_usage ok store", 1},
                                          {"cleanup_some ok store", 1},
                                          {"set_limits ok store", 1},
                                          {"init exists store", 1}});
  const Snapshot snapshot(cache);
  CHECK(snapshot.hits({{"source", "store"}}) == 3);
  CHECK(snapshot.misses({{"source", "store"}}) == 2);
  CHECK(snapshot.misses({{"source", "near"}}) == 0); /* a peek that finds nothing is none */
  CHECK(snapshot.hits({{"source", "near"}}) == 0);
}

TEST_CASE("durations are those of the calls, and every sample of a name has its help, unit and kind", "[measured]") {
  Store store;
  Cache cache = store.open();
  const int64_t before = test::now_ms();
  for (int i = 0; i < 20; i++)
    CHECK(cache.get("nothing") == PGCACHE_MISS);
  const double took = static_cast<double>(test::now_ms() - before + 1) / 1000;
  const Snapshot snapshot(cache);
  CHECK(snapshot.value(durations, {{"operation", "get"}}) > 0);
  CHECK(snapshot.value(durations, {{"operation", "get"}}) <= took);
  CHECK(snapshot.origin().find('/') != std::string::npos);
  CHECK(Snapshot(cache).origin() == snapshot.origin());
  CHECK(Snapshot(store.cache).origin() != snapshot.origin());
  const pgcache_snapshot *self = snapshot.get();
  CHECK(std::llabs(pgcache_snapshot_taken_at(self) - static_cast<int64_t>(time(nullptr)) * 1000) < 60000);
  std::set<std::string> done;
  for (size_t i = 0; i < pgcache_snapshot_size(self); i++) {
    const std::string name = pgcache_snapshot_name(self, i), unit = pgcache_snapshot_unit(self, i);
    INFO(name);
    CHECK(name.rfind("pgcache_", 0) == 0);
    CHECK(std::string(pgcache_snapshot_help(self, i)).size() > 10);
    const bool counter = pgcache_snapshot_kind(self, i) == PGCACHE_COUNTER;
    CHECK(counter == (name.size() > 6 && name.substr(name.size() - 6) == "_total"));
    if (!unit.empty())
      CHECK(name.substr(name.size() - unit.size()) == unit);
    CHECK(std::isfinite(pgcache_snapshot_value(self, i)));
    if (i > 0 && name != pgcache_snapshot_name(self, i - 1))
      CHECK(done.insert(name).second); /* those of one name stand together */
  }
}

TEST_CASE("sizes are those of values as stored", "[measured][rule:measured]") {
  Store store;
  Cache plain = store.open(), packed = store.open(Settings{{"compression", "zstd"}, {"compression_min_bytes", "64"}});
  const std::string large(100000, 'x');
  CHECK(plain.put("plain", large) == PGCACHE_OK);
  CHECK(plain.put("small", "12345") == PGCACHE_OK);
  CHECK(packed.put("packed", large) == PGCACHE_OK);
  CHECK(packed.get("packed").bytes() == large);
  CHECK(plain.get("small") == PGCACHE_OK);
  CHECK(plain.get("none") == PGCACHE_MISS);
  CHECK(plain.add("small", "123") == PGCACHE_EXISTS);
  const Snapshot of_plain(plain), of_packed(packed);
  CHECK(of_plain.count(sizes, {{"operation", "put"}}) == 2);
  CHECK(of_plain.value(sizes, {{"operation", "put"}}) == 100005);
  CHECK(of_plain.count(sizes, {{"operation", "get"}}) == 1);
  CHECK(of_plain.value(sizes, {{"operation", "get"}}) == 5);
  CHECK(of_plain.count(sizes, {{"operation", "add"}}) == 0);
  CHECK(of_packed.count(sizes, {{"operation", "put"}}) == 1);
  CHECK(of_packed.value(sizes, {{"operation", "put"}}) < 1000);
  CHECK(of_packed.value(sizes, {{"operation", "get"}}) == of_packed.value(sizes, {{"operation", "put"}}));
}

TEST_CASE("operations on many keys are one each, and hits, misses and sizes count their keys",
          "[measured][rule:outcomes]") {
  Store store;
  Cache cache = store.open();
  test::Items put, get;
  std::vector<std::string> keys;
  for (int i = 0; i < 3000; i++)
    keys.push_back("key " + std::to_string(i));
  for (size_t i = 0; i < 1500; i++) {
    put.add(keys[i], "12345678");
    get.add(keys[i * 2]);
  }
  CHECK(pgcache_put_many(cache.raw(), put.data(), put.size(), nullptr, nullptr) == PGCACHE_OK);
  CHECK(pgcache_get_many(cache.raw(), get.data(), get.size(), nullptr, nullptr) == PGCACHE_OK);
  const Snapshot snapshot(cache);
  CHECK(all_of(snapshot) == Counts{{"put_many ok store", 1}, {"get_many ok store", 1}});
  CHECK(snapshot.hits() == 750);
  CHECK(snapshot.misses() == 750);
  CHECK(snapshot.count(sizes, {{"operation", "put_many"}}) == 1500);
  CHECK(snapshot.value(sizes, {{"operation", "put_many"}}) == 1500 * 8);
  CHECK(snapshot.count(sizes, {{"operation", "get_many"}}) == 750);
}

TEST_CASE("[A60] flushes and cleanups count what they removed", "[A60][measured]") {
  Store store;
  Cache cache = store.open();
  const auto last_run = [&] { return Snapshot(cache).value("pgcache_cleanup_last_run_timestamp_seconds"); };
  CHECK(last_run() == 0);
  for (int i = 0; i < 7; i++)
    CHECK(cache.put("short " + std::to_string(i), "x", 1) == PGCACHE_OK);
  test::sleep_ms(50);
  CHECK(cache.cleanup().number == 7);
  CHECK(std::fabs(last_run() - static_cast<double>(time(nullptr))) < 60);
  for (int i = 0; i < 5; i++)
    CHECK(cache.put("long " + std::to_string(i), "x") == PGCACHE_OK);
  CHECK(cache.flush(PGCACHE_FLUSH_NAMESPACE).number == 5);
  CHECK(cache.flush(PGCACHE_FLUSH_NAMESPACE).number == 0);
  const Snapshot snapshot(cache);
  CHECK(snapshot.count("pgcache_cleanup_deleted_entries") == 1);
  CHECK(snapshot.value("pgcache_cleanup_deleted_entries") == 7);
  CHECK(snapshot.count("pgcache_flushed_entries") == 2);
  CHECK(snapshot.value("pgcache_flushed_entries") == 5);
}

TEST_CASE("a janitor's walks are measured", "[measured][janitor]") {
  Store store;
  Cache cache = store.open();
  for (int i = 0; i < 3; i++)
    CHECK(cache.put("short " + std::to_string(i), "x", 1) == PGCACHE_OK);
  test::sleep_ms(50);
  const test::Janitor janitor(cache, 100);
  CHECK(test::eventually(
      [&] {
        return Snapshot(cache).value("pgcache_cleanup_deleted_entries") == 3 &&
               Snapshot(cache).value("pgcache_cleanup_last_run_timestamp_seconds") > 0;
      },
      30000));
}

TEST_CASE("[A60] span names are told apart up to a bound", "[A60][measured][rule:spans]") {
  Store store;
  Cache cache = store.open();
  CHECK(cache.put("a", "12345", with_span("checkout")) == PGCACHE_OK);
  CHECK(cache.get("a", with_span("checkout")) == PGCACHE_OK);
  CHECK(cache.get("b", with_span("checkout")) == PGCACHE_MISS);
  CHECK(cache.get("b", with_span("")) == PGCACHE_MISS);
  const Snapshot one(cache);
  CHECK(one.count(durations, {{"operation", "get"}, {"span_name", "checkout"}}) == 2);
  CHECK(one.count(durations, {{"operation", "get"}, {"span_name", ""}}) == 1);
  CHECK(one.hits({{"span_name", "checkout"}}) == 1);
  CHECK(one.misses({{"span_name", "checkout"}}) == 1);
  CHECK(one.misses({{"span_name", ""}}) == 1);
  CHECK(one.count(sizes, {{"operation", "put"}, {"span_name", "checkout"}}) == 1);
  for (int i = 0; i < 100; i++)
    CHECK(cache.exists("b", with_span(("span " + std::to_string(i)).c_str())) == PGCACHE_MISS);
  const Snapshot many(cache);
  CHECK(many.samples(durations, {{"operation", "exists"}}) == PGCACHE_SPANS_MAX);
  CHECK(many.count(durations, {{"operation", "exists"}}) == 100);
  CHECK(many.count(durations, {{"span_name", "other"}}) == 100 - (PGCACHE_SPANS_MAX - 1));
  CHECK(many.misses({{"span_name", "other"}}) == 100 - (PGCACHE_SPANS_MAX - 1));
}

TEST_CASE("calls that fail are measured with their error", "[measured][rule:outcomes][direct]") {
  Cache cache(test::Config().set("url", "postgresql://127.0.0.1:1/none").set("breaker_failures", "2"));
  CHECK(cache.get("a").status < 0);
  CHECK(cache.put("a", "x").status < 0);
  CHECK(cache.get("a", test::deadline(0)) == PGCACHE_UNAVAILABLE); /* by the breaker */
  const Snapshot snapshot(cache);
  CHECK(snapshot.ended("get", "unavailable") == 2);
  CHECK(snapshot.ended("put", "unavailable") == 1);
  CHECK(snapshot.hits() == 0);
  CHECK(snapshot.misses() == 0);
  CHECK(snapshot.value("pgcache_breaker_open") == 1);
  CHECK(snapshot.value("pgcache_breaker_opened_total") == 1);
  CHECK(snapshot.value("pgcache_breaker_refused_total") >= 1);
  Cache soft(test::Config().set("url", "postgresql://127.0.0.1:1/none").set("on_error", "miss"));
  CHECK(soft.get("a") == PGCACHE_MISS);
  CHECK(Snapshot(soft).ended("get", "miss") == 1);
  CHECK(Snapshot(soft).misses() == 1);
  CHECK(Snapshot(soft).value("pgcache_reads_failed_total") == 1);
  soft.shutdown();
  CHECK(soft.get("a") == PGCACHE_CLOSED);
  CHECK(Snapshot(soft).ended("get", "closed") == 1);
}

TEST_CASE("the state of the pool, and all counters, are in a snapshot", "[measured]") {
  Store store;
  Cache cache = store.open(Settings{{"pool_max", "7"}});
  CHECK(cache.put("a", "x") == PGCACHE_OK);
  const Snapshot snapshot(cache);
  CHECK(snapshot.value("pgcache_pool_connections_max") == 7);
  CHECK(snapshot.value("pgcache_pool_connections") >= 1);
  CHECK(snapshot.value("pgcache_pool_connections", {{"state", "lent"}}) == 0);
  CHECK(snapshot.value("pgcache_pool_waiting") == 0);
  CHECK(snapshot.value("pgcache_breaker_open") == 0);
  CHECK(snapshot.value("pgcache_handles", {{"version", PGCACHE_VERSION_STRING}}) == 1);
  CHECK(snapshot.value("pgcache_connections_opened_total") == static_cast<double>(cache.counters().connections_opened));
  CHECK(snapshot.value("pgcache_unmeasured_total") == 0);
  CHECK(snapshot.samples("pgcache_events_dropped_total") == 1);
}

TEST_CASE("a forked child measures from 0 on, under an origin of its own", "[measured][fork]") {
  Store store;
  Cache cache = store.open();
  for (int i = 0; i < 10; i++)
    CHECK(cache.put("a", "x") == PGCACHE_OK);
  const std::string origin = Snapshot(cache).origin();
  const int failed = test::in_child([&] {
    if (cache.get("a") != PGCACHE_OK)
      return 1;
    const Snapshot own(cache);
    if (own.origin() == origin)
      return 2;
    if (own.ended("put") != 0 || own.ended("get", "hit") != 1)
      return 3;
    return own.value("pgcache_connections_opened_total") == 1 ? 0 : 4;
  });
  CHECK(failed == 0);
  CHECK(Snapshot(cache).ended("put", "ok") == 10);
  CHECK(Snapshot(cache).ended("get") == 0);
}

TEST_CASE("threads are counted exactly, and snapshots are taken meanwhile", "[measured][threads]") {
  Store store;
  Cache cache = store.open();
  CHECK(cache.put("a", "12345") == PGCACHE_OK);
  const int threads = 4, rounds = 100;
  test::in_threads(threads + 1, [&](int number) {
    for (int i = 0; i < rounds; i++) {
      if (number == threads)
        (void)Snapshot(cache);
      else
        (void)cache.get("a", with_span(number % 2 ? "odd" : "even"));
    }
  });
  const Snapshot snapshot(cache);
  CHECK(snapshot.count(durations, {{"operation", "get"}, {"outcome", "hit"}, {"span_name", "odd"}}) == 2 * rounds);
  CHECK(snapshot.hits() == threads * rounds);
  CHECK(snapshot.value(sizes, {{"operation", "get"}}) == threads * rounds * 5);
}
