/*
 * maintenance.cpp - requests on the cache as a whole give what the calls give, and what they give stands in their completions.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/requests.hpp"

using namespace test;
using std::string;

namespace {

void fill(Store &store) {
  for (int i = 0; i < 20; i++) {
    const string key = "k" + std::to_string(i);
    REQUIRE(store.cache.put(key, string(100, 'v'), in_namespace(i % 2 == 0 ? "one" : "two")) == PGCACHE_OK);
  }
}

/* id: set by the submission, which may well be evaluated last. */
Completion wait(const Requests &requests, pgcache_status submitted, const uint64_t &id) {
  REQUIRE(submitted == PGCACHE_OK);
  Completion completion = requests.wait(id);
  REQUIRE(completion);
  return completion;
}

} // namespace

TEST_CASE("flush and cleanup tell how many rows they removed", "[rule:submit][maintenance]") {
  Store store;
  const Requests requests(store.cache);
  fill(store);
  const Completion one = requests.wait(requests.flush(PGCACHE_FLUSH_NAMESPACE, in_namespace("one")).id);
  CHECK(one == PGCACHE_OK);
  CHECK(one.number() == 10);
  CHECK(store.cache.get("k1", in_namespace("two")) == PGCACHE_OK);
  const Completion all = requests.wait(requests.flush(PGCACHE_FLUSH_ALL).id);
  CHECK(all == PGCACHE_OK);
  CHECK(all.number() == 10);
  for (int i = 0; i < 5; i++)
    REQUIRE(store.cache.put("k" + std::to_string(i), "v", 1) == PGCACHE_OK);
  sleep_ms(20);
  const Completion cleaned = requests.wait(requests.whole(pgcache_submit_cleanup).id);
  CHECK(cleaned == PGCACHE_OK);
  CHECK(cleaned.number() == 5);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
}

TEST_CASE("cleanup_some goes on from the progress that it was given, which is left alone",
          "[rule:submit][maintenance]") {
  Store store;
  const Requests requests(store.cache);
  for (int i = 0; i < 50; i++)
    REQUIRE(store.cache.put("k" + std::to_string(i), "v", 1) == PGCACHE_OK);
  sleep_ms(20);
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  progress.restart = 1;
  progress.removed = 1000;
  bool finished = false;
  for (int i = 0; i < 100 && !finished; i++) {
    uint64_t id = 0;
    const pgcache_cleanup_progress before = progress;
    const Completion completion =
        wait(requests, pgcache_submit_cleanup_some(store.cache.raw(), &id, &progress, 10000, nullptr, nullptr), id);
    INFO(completion);
    REQUIRE(completion == PGCACHE_OK);
    const pgcache_cleanup_progress *now = pgcache_completion_progress(completion.get());
    REQUIRE(now != nullptr);
    CHECK(progress.removed == before.removed);
    CHECK(progress.restart == before.restart);
    CHECK(now->struct_size == sizeof progress);
    CHECK(now->restart == 0);
    CHECK(now->busy == 0);
    progress = *now;
    finished = progress.finished != 0;
  }
  CHECK(finished);
  CHECK(progress.removed == 1050);
  uint64_t id = 7;
  CHECK(pgcache_submit_cleanup_some(store.cache.raw(), &id, nullptr, 1000, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(id == 0);
  CHECK(pgcache_submit_cleanup_some(store.cache.raw(), &id, &progress, -1, nullptr, nullptr) == PGCACHE_INVALID);
}

TEST_CASE("stats, usage, doctor, keys and limits", "[rule:submit][maintenance]") {
  Store store;
  const Requests requests(store.cache);
  fill(store);
  const Completion stats = requests.wait(requests.whole(pgcache_submit_stats).id);
  REQUIRE(stats == PGCACHE_OK);
  const pgcache_store_stats *figures = pgcache_completion_stats(stats.get());
  REQUIRE(figures != nullptr);
  const pgcache_store_stats called = store.cache.stats();
  CHECK(figures->struct_size == sizeof called);
  CHECK(figures->entries == 20);
  CHECK(figures->value_bytes == called.value_bytes);
  CHECK(figures->schema_version == called.schema_version);
  CHECK(figures->server_version == called.server_version);
  CHECK(figures->pool_open >= 1);

  uint64_t id = 0;
  const Completion limited =
      wait(requests,
           pgcache_submit_set_limits(store.cache.raw(), &id, PGCACHE_LIMIT_ALL, 1000, 1000000, nullptr, nullptr), id);
  CHECK(limited == PGCACHE_OK);
  const Completion usage =
      wait(requests, pgcache_submit_read_usage(store.cache.raw(), &id, 2, nullptr, nullptr, nullptr), id);
  REQUIRE(usage == PGCACHE_OK);
  REQUIRE(usage.count() == 2);
  CHECK(string(pgcache_completion_usage(usage.get(), 0)->namespace_name).empty());
  CHECK(pgcache_completion_usage(usage.get(), 0)->entries == 20);
  CHECK(pgcache_completion_usage(usage.get(), 0)->max_entries == 1000);
  CHECK(string(pgcache_completion_usage(usage.get(), 1)->namespace_name) == "one");
  CHECK(pgcache_completion_usage(usage.get(), 1)->entries == 10);
  CHECK(pgcache_completion_usage(usage.get(), 2) == nullptr);
  string after = "one";
  REQUIRE(pgcache_submit_read_usage(store.cache.raw(), &id, 10, after.c_str(), nullptr, nullptr) == PGCACHE_OK);
  after.assign(after.size(), 'X');
  const Completion next = requests.wait(id);
  REQUIRE(next.count() == 1);
  CHECK(string(pgcache_completion_usage(next.get(), 0)->namespace_name) == "two");

  const Completion doctor = requests.wait(requests.whole(pgcache_submit_doctor).id);
  REQUIRE(doctor == PGCACHE_OK);
  CHECK(doctor.value().format() == PGCACHE_FORMAT_JSON);
  CHECK(doctor.bytes().find("\"findings\"") != string::npos);

  Options options = in_namespace("two");
  string prefix = "k1", behind = "k11";
  REQUIRE(pgcache_submit_keys(store.cache.raw(), &id, 3, prefix.data(), prefix.size(), behind.data(), behind.size(),
                              &options, nullptr) == PGCACHE_OK);
  prefix.assign(prefix.size(), 'X');
  behind.assign(behind.size(), 'X');
  const Completion keys = requests.wait(id);
  REQUIRE(keys == PGCACHE_OK);
  REQUIRE(keys.count() == 3);
  CHECK(keys.bytes(0) == "k13");
  CHECK(keys.bytes(2) == "k17");
  CHECK(keys.value(0).version() > 0);
  CHECK_FALSE(keys.value(3));
}

TEST_CASE("Maintenance requests refuse what the calls refuse", "[rule:submit][rule:refuse][maintenance]") {
  Store store;
  uint64_t id = 7;
  pgcache *self = store.cache.raw();
  CHECK(pgcache_submit_read_usage(self, &id, 0, nullptr, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(id == 0);
  CHECK(pgcache_submit_read_usage(self, &id, PGCACHE_BATCH_MAX + 1, nullptr, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_submit_keys(self, &id, 0, nullptr, 0, nullptr, 0, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_submit_keys(self, &id, PGCACHE_BATCH_MAX + 1, nullptr, 0, nullptr, 0, nullptr, nullptr) ==
        PGCACHE_INVALID);
  const string huge(PGCACHE_KEY_MAX + 1, 'k');
  CHECK(pgcache_submit_keys(self, &id, 1, huge.data(), huge.size(), nullptr, 0, nullptr, nullptr) == PGCACHE_TOO_LARGE);
  CHECK(pgcache_submit_set_limits(self, &id, PGCACHE_LIMIT_ALL, -5, 0, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_submit_set_limits(self, &id, static_cast<pgcache_limit_scope>(9), 1, 0, nullptr, nullptr) ==
        PGCACHE_INVALID);
  CHECK_FALSE(Requests(store.cache).take());
}

TEST_CASE("With null: maintenance requests do nothing, and say so", "[rule:submit][maintenance]") {
  Config config;
  const Cache cache(config.set("url", "null:"));
  const Requests requests(cache);
  uint64_t id = 0;
  CHECK(requests.wait(requests.whole(pgcache_submit_init).id).status() >= 0);
  CHECK(requests.wait(requests.flush(PGCACHE_FLUSH_ALL).id).number() == 0);
  const Completion stats = requests.wait(requests.whole(pgcache_submit_stats).id);
  CHECK(stats == PGCACHE_OK);
  REQUIRE(pgcache_completion_stats(stats.get()) != nullptr);
  CHECK(pgcache_completion_stats(stats.get())->entries == 0);
  const Completion usage =
      wait(requests, pgcache_submit_read_usage(cache.raw(), &id, 5, nullptr, nullptr, nullptr), id);
  CHECK(usage == PGCACHE_OK);
  CHECK(usage.count() == 0);
}

TEST_CASE("init and upgrade as requests make a schema and bring it up to date", "[rule:submit][maintenance]") {
  Store store;
  const Requests requests(store.cache);
  CHECK(requests.wait(requests.whole(pgcache_submit_upgrade).id) == PGCACHE_EXISTS);
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  CHECK(requests.wait(requests.whole(pgcache_submit_upgrade).id) == PGCACHE_SCHEMA_MISSING);
  CHECK(requests.wait(requests.whole(pgcache_submit_init).id) == PGCACHE_OK);
  CHECK(requests.wait(requests.whole(pgcache_submit_init).id) == PGCACHE_EXISTS);
  CHECK(requests.wait(requests.put("k", "v").id) == PGCACHE_OK);
}

TEST_CASE("A maintenance request is cancelled, before it is begun and in the middle",
          "[rule:late][cancel][maintenance]") {
  Store store;
  fill(store);
  const Requests requests(store.cache);
  Pg other(url());
  other.exec(store.sql("BEGIN; LOCK TABLE {s}.entries IN ACCESS EXCLUSIVE MODE"));
  std::vector<uint64_t> ids;
  for (int i = 0; i < 8; i++)
    ids.push_back(requests.flush(PGCACHE_FLUSH_NAMESPACE, in_namespace("one")).id);
  const uint64_t read = requests.whole(pgcache_submit_stats).id;
  REQUIRE(somebody_waits(store.pg));
  const int64_t start = now_ms();
  int cancelled = 0, unknown = 0;
  for (const uint64_t id : ids) {
    CHECK(requests.cancel(id) == PGCACHE_OK);
    const Completion completion = requests.wait(id);
    cancelled += completion == PGCACHE_CANCELLED;
    unknown += completion == PGCACHE_UNKNOWN;
  }
  CHECK(requests.cancel(read) == PGCACHE_OK);
  CHECK(requests.wait(read) == PGCACHE_CANCELLED);
  CHECK(now_ms() - start < 20000); /* maintenance may take minutes */
  CHECK(cancelled + unknown == 8);
  CHECK(unknown > 0);
  CHECK(cancelled > 0);
  other.exec("COMMIT");
  CHECK(requests.wait(requests.flush(PGCACHE_FLUSH_ALL).id) == PGCACHE_OK);
  CHECK_FALSE(requests.take());
}
