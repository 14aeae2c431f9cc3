/*
 * measured.cpp - what is measured of loads.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "requests.hpp"
#include "support/snapshot.hpp"

#include "pgcache_hooks.h"

using namespace test;

namespace {

pgcache_status fill(void *value, pgcache_load *load, pgcache_error *error) {
  const auto *text = static_cast<const std::string *>(value);
  return pgcache_load_fill(load, nullptr, text->data(), text->size(), 0, nullptr, error);
}

Answer get_or_load(const Cache &cache, std::string_view key, std::string *value) {
  Answer a;
  pgcache_loader loader = PGCACHE_LOADER_INIT;
  loader.load = fill;
  loader.context = value;
  pgcache_value *out = nullptr;
  a.status = pgcache_get_or_load(cache.raw(), &out, key.data(), key.size(), nullptr, &loader, nullptr, &a.error);
  a.value = Value(out);
  return a;
}

Completion wait(const Cache &cache, const Submitted &submitted) {
  REQUIRE(submitted == PGCACHE_OK);
  pgcache_completion *taken = nullptr;
  REQUIRE(pgcache_wait(cache.raw(), &taken, submitted.id, 60000, nullptr) == PGCACHE_OK);
  return Completion(taken);
}

} // namespace

TEST_CASE("each step of a load is measured, and begins are hits and misses", "[measured][rule:measured]") {
  Store store;
  Cache cache = store.open();
  pgcache_load *load = nullptr;
  pgcache_value *value = nullptr;
  const auto begin = [&](std::string_view key) {
    return pgcache_load_begin(cache.raw(), &value, &load, key.data(), key.size(), nullptr, nullptr, nullptr);
  };
  REQUIRE(begin("a") == PGCACHE_LEASE);
  CHECK(pgcache_load_extend(load, 5000, nullptr, nullptr) == PGCACHE_OK);
  CHECK(pgcache_load_fill(load, nullptr, "12345", 5, 0, nullptr, nullptr) == PGCACHE_OK);
  pgcache_load_free(load);
  REQUIRE(begin("a") == PGCACHE_OK);
  pgcache_value_free(value);
  REQUIRE(begin("b") == PGCACHE_LEASE);
  CHECK(pgcache_load_abandon(load, nullptr, nullptr) == PGCACHE_OK);
  pgcache_load_free(load);
  REQUIRE(begin("b") == PGCACHE_LEASE);
  CHECK(pgcache_load_fail(load, &value, nullptr, nullptr) == PGCACHE_MISS);
  pgcache_load_free(load);
  REQUIRE(begin("b") == PGCACHE_LEASE);
  CHECK(pgcache_load_fill_absent(load, nullptr, nullptr, nullptr) == PGCACHE_OK);
  pgcache_load_free(load);
  REQUIRE(begin("c") == PGCACHE_LEASE);
  pgcache_load_free(load); /* is no call of its own */
  const Snapshot now(cache);
  CHECK(now.ended("load_begin", "hit") == 1);
  CHECK(now.ended("load_begin", "lease") == 5);
  CHECK(now.ended("load_extend", "ok") == 1);
  CHECK(now.ended("load_fill", "ok") == 1);
  CHECK(now.ended("load_fill_absent", "ok") == 1);
  CHECK(now.ended("load_abandon", "ok") == 1);
  CHECK(now.ended("load_fail", "miss") == 1);
  CHECK(now.count("pgcache_operation_duration_seconds") == 11);
  CHECK(now.hits() == 1);
  CHECK(now.misses() == 5);
  CHECK(now.value("pgcache_item_size_bytes", {{"operation", "load_fill"}}) == 5);
  CHECK(now.count("pgcache_item_size_bytes", {{"operation", "load_begin"}}) == 1);
  CHECK(now.value("pgcache_loads_total") == 5);
}

TEST_CASE("get_or_load is one operation, and what its loader calls is measured by itself",
          "[measured][rule:measured]") {
  Store store;
  Cache cache = store.open();
  std::string value = "12345";
  CHECK(get_or_load(cache, "a", &value).bytes() == value);
  CHECK(get_or_load(cache, "a", &value).bytes() == value);
  const Snapshot now(cache);
  CHECK(now.ended("get_or_load", "ok") == 1); /* it was loaded */
  CHECK(now.ended("get_or_load", "hit") == 1);
  CHECK(now.ended("load_fill", "ok") == 1);
  CHECK(now.count("pgcache_operation_duration_seconds") == 3);
  CHECK(now.hits() == 1);
  CHECK(now.misses() == 1);
}

TEST_CASE("loads by requests are measured once each", "[measured][rule:measured]") {
  Store store;
  Cache cache = store.open();
  Completion begun = wait(cache, submit_begin(cache, "a"));
  REQUIRE(begun == PGCACHE_LEASE);
  Load load = take_load(begun);
  Submitted extended;
  extended.status = pgcache_submit_load_extend(load.raw(), &extended.id, 5000, nullptr, &extended.error);
  CHECK(wait(cache, extended) == PGCACHE_OK);
  CHECK(wait(cache, submit_fill(load, "12345")) == PGCACHE_OK);
  begun = wait(cache, submit_begin(cache, "b"));
  load = take_load(begun);
  CHECK(wait(cache, submit_end(pgcache_submit_load_fail, load)) == PGCACHE_MISS);
  begun = wait(cache, submit_begin(cache, "b"));
  load = take_load(begun);
  CHECK(wait(cache, submit_end(pgcache_submit_load_abandon, load)) == PGCACHE_OK);
  CHECK(wait(cache, submit_begin(cache, "a")) == PGCACHE_OK);
  const Snapshot now(cache);
  CHECK(now.ended("load_begin", "lease") == 3);
  CHECK(now.ended("load_begin", "hit") == 1);
  CHECK(now.ended("load_fill", "ok") == 1);
  CHECK(now.ended("load_fail", "miss") == 1);
  CHECK(now.ended("load_abandon", "ok") == 1);
  CHECK(now.ended("load_extend", "ok") == 1);
  CHECK(now.count("pgcache_operation_duration_seconds") == 8);
  CHECK(now.value("pgcache_item_size_bytes", {{"operation", "load_fill"}}) == 5);
}
