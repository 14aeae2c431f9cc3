/*
 * arguments.cpp - what callers can get wrong, and callers that were built with an older header: smaller structs.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include "pgcache_hooks.h"

#include <cstddef>
#include <cstring>

using namespace test;
using std::string;

TEST_CASE("NULL where something is needed is INVALID, in every function", "[rule:refuse][arguments]") {
  Store store;
  pgcache *self = store.cache.raw();
  pgcache_value *value = reinterpret_cast<pgcache_value *>(1);
  size_t size = 0;
  char buffer[4];
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_error *e = &error;
  const int64_t ttl = PGCACHE_TTL_DEFAULT;

  CHECK(pgcache_get(nullptr, &value, "k", 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(value == nullptr);
  CHECK(error.status == PGCACHE_INVALID);
  CHECK(strlen(error.message) > 10);
  CHECK(pgcache_get(self, nullptr, "k", 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_get(self, &value, nullptr, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_get(self, &value, nullptr, 0, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_get(self, &value, "k", 0, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_get(self, &value, "k", SIZE_MAX, nullptr, e) == PGCACHE_TOO_LARGE);
  CHECK(pgcache_peek(nullptr, &value, "k", 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_peek(self, nullptr, "k", 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_peek(self, &value, nullptr, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_peek(self, &value, "k", 0, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_peek(self, &value, "k", SIZE_MAX, nullptr, e) == PGCACHE_TOO_LARGE);
  CHECK(pgcache_fence(nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_get_into(nullptr, buffer, 4, &size, "k", 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_put(nullptr, nullptr, "k", 1, "v", 1, 0, ttl, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_put(self, nullptr, nullptr, 1, "v", 1, 0, ttl, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_put(self, nullptr, "k", 1, nullptr, 1, 0, ttl, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_put(self, nullptr, "k", 1, "v", SIZE_MAX, 0, ttl, nullptr, e) == PGCACHE_TOO_LARGE);
  CHECK(pgcache_add(nullptr, nullptr, "k", 1, "v", 1, 0, ttl, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_add(self, nullptr, "k", 1, nullptr, 1, 0, ttl, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_replace(nullptr, nullptr, "k", 1, "v", 1, 0, ttl, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_replace(self, nullptr, nullptr, 1, "v", 1, 0, ttl, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_compare_and_swap(nullptr, nullptr, "k", 1, "v", 1, 0, ttl, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_compare_and_swap(self, nullptr, nullptr, 1, "v", 1, 0, ttl, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_remove(nullptr, "k", 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_remove(self, nullptr, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_touch(nullptr, nullptr, "k", 1, 1000, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_touch(self, nullptr, nullptr, 1, 1000, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_exists(nullptr, "k", 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_exists(self, nullptr, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_increment(nullptr, nullptr, nullptr, "k", 1, 1, 0, ttl, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_increment(self, nullptr, nullptr, nullptr, 1, 1, 0, ttl, nullptr, e) == PGCACHE_INVALID);
  pgcache_item item = PGCACHE_ITEM_INIT;
  CHECK(pgcache_get_many(nullptr, &item, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_put_many(nullptr, &item, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_remove_many(nullptr, &item, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_put_many(self, nullptr, 2, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_remove_many(self, nullptr, 2, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_flush(nullptr, nullptr, PGCACHE_FLUSH_ALL, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_cleanup(nullptr, nullptr, nullptr, e) == PGCACHE_INVALID);
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  CHECK(pgcache_cleanup_some(nullptr, &progress, 10, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_cleanup_some(self, nullptr, 10, nullptr, e) == PGCACHE_INVALID);
  pgcache_janitor *janitor = reinterpret_cast<pgcache_janitor *>(1);
  CHECK(pgcache_janitor_start(&janitor, nullptr, 1000, e) == PGCACHE_INVALID);
  CHECK(janitor == nullptr);
  CHECK(pgcache_janitor_start(nullptr, self, 1000, e) == PGCACHE_INVALID);
  CHECK(pgcache_janitor_stop(nullptr, 1000, e) == PGCACHE_INVALID);
  pgcache_janitor_free(nullptr);
  CHECK(pgcache_set_limits(nullptr, PGCACHE_LIMIT_ALL, 1, 1, nullptr, e) == PGCACHE_INVALID);
  pgcache_usage usage = PGCACHE_USAGE_INIT;
  CHECK(pgcache_read_usage(nullptr, &usage, 1, &size, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_read_usage(self, nullptr, 1, &size, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_read_usage(self, &usage, 1, nullptr, nullptr, nullptr, e) == PGCACHE_INVALID);
  pgcache_snapshot *published = nullptr;
  size = 7;
  CHECK(pgcache_read_published(nullptr, &published, 1, &size, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(size == 0);
  CHECK(pgcache_read_published(self, nullptr, 1, &size, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_read_published(self, &published, 1, nullptr, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_read_published(self, &published, 0, &size, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_read_published(self, &published, PGCACHE_BATCH_MAX + 1, &size, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_read_published(self, &published, 1, &size, string(256, 'o').c_str(), nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_stats(nullptr, nullptr, nullptr, e) == PGCACHE_INVALID);
  value = reinterpret_cast<pgcache_value *>(1);
  CHECK(pgcache_doctor(nullptr, &value, nullptr, e) == PGCACHE_INVALID);
  CHECK(value == nullptr);
  CHECK(pgcache_doctor(self, nullptr, nullptr, e) == PGCACHE_INVALID);
  value = reinterpret_cast<pgcache_value *>(1);
  CHECK(pgcache_dependents(nullptr, &value, nullptr, 0, nullptr, e) == PGCACHE_INVALID);
  CHECK(value == nullptr);
  CHECK(pgcache_dependents(self, nullptr, nullptr, 0, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_dependents(self, &value, nullptr, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_keys(nullptr, &value, 1, &size, nullptr, 0, nullptr, 0, nullptr, e) == PGCACHE_INVALID);
  pgcache_snapshot *snapshot = reinterpret_cast<pgcache_snapshot *>(1);
  CHECK(pgcache_stats_snapshot(nullptr, &snapshot, e) == PGCACHE_INVALID);
  CHECK(snapshot == nullptr);
  CHECK(pgcache_stats_snapshot(self, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_snapshot_add(nullptr, nullptr, e) == PGCACHE_INVALID);
  REQUIRE(pgcache_stats_snapshot(self, &snapshot, e) == PGCACHE_OK);
  CHECK(pgcache_snapshot_add(nullptr, snapshot, e) == PGCACHE_INVALID);
  CHECK(pgcache_snapshot_add(snapshot, nullptr, e) == PGCACHE_INVALID);
  pgcache_snapshot_free(snapshot);
  pgcache_snapshot_free(nullptr);
  pgcache_observer *observer = reinterpret_cast<pgcache_observer *>(1);
  CHECK(pgcache_observe(nullptr, &observer, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_INFO, 1, e) == PGCACHE_INVALID);
  CHECK(observer == nullptr);
  CHECK(pgcache_observe(self, nullptr, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_INFO, 1, e) == PGCACHE_INVALID);
  CHECK(pgcache_observe(self, &observer, PGCACHE_OBSERVE_KEYS, PGCACHE_LEVEL_INFO, 1, e) == PGCACHE_INVALID);
  CHECK(pgcache_observe(self, &observer, 1u << 7, PGCACHE_LEVEL_INFO, 1, e) == PGCACHE_INVALID);
  CHECK(pgcache_observe(self, &observer, PGCACHE_OBSERVE_LOG, static_cast<pgcache_level>(5), 1, e) == PGCACHE_INVALID);
  CHECK(pgcache_observe(self, &observer, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_INFO, 0, e) == PGCACHE_INVALID);
  const size_t beyond = PGCACHE_OBSERVER_ROOM_MAX + 1;
  CHECK(pgcache_observe(self, &observer, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_INFO, beyond, e) == PGCACHE_INVALID);
  pgcache_event *event = reinterpret_cast<pgcache_event *>(1);
  CHECK(pgcache_observer_next(nullptr, &event, 0, e) == PGCACHE_INVALID);
  CHECK(event == nullptr);
  REQUIRE(pgcache_observe(self, &observer, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_INFO, 1, e) == PGCACHE_OK);
  CHECK(pgcache_observer_next(observer, nullptr, 0, e) == PGCACHE_INVALID);
  CHECK(pgcache_observer_next(observer, &event, -1, e) == PGCACHE_INVALID);
  CHECK(pgcache_observer_dropped(nullptr) == 0);
  pgcache_observer_free(observer);
  pgcache_observer_free(nullptr);
  pgcache_event_free(nullptr);
  pgcache_provider provider = PGCACHE_PROVIDER_INIT;
  CHECK(pgcache_add_provider(self, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_add_provider(self, &provider, e) == PGCACHE_INVALID); /* it has no function */
  provider.told = [](void *, const pgcache_event *) {};
  CHECK(pgcache_add_provider(self, &provider, e) == PGCACHE_INVALID); /* and this one is told of nothing */
  provider.what = PGCACHE_OBSERVE_LOG;
  CHECK(pgcache_add_provider(nullptr, &provider, e) == PGCACHE_INVALID);
  provider.struct_size = 0;
  CHECK(pgcache_add_provider(self, &provider, e) == PGCACHE_INVALID);
  CHECK(pgcache_init(nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_upgrade(nullptr, nullptr, e) == PGCACHE_INVALID);
  pgcache *made = reinterpret_cast<pgcache *>(1);
  CHECK(pgcache_new(&made, nullptr, e) == PGCACHE_INVALID);
  CHECK(made == nullptr);
  Config config;
  CHECK(pgcache_new(nullptr, config.get(), e) == PGCACHE_INVALID);
  CHECK(pgcache_new(&made, config.get(), e) == PGCACHE_BAD_SETTING); /* no url */
  CHECK(string(error.message).find("url") != string::npos);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
}

TEST_CASE("The options are checked before anything is sent", "[rule:options][arguments]") {
  Store store;
  const auto with = [&](const std::function<void(Options &)> &spoil) {
    Options options;
    spoil(options);
    const Answer read = store.cache.get("k", options), write = store.cache.put("k", "v", options);
    CHECK(read == write.status);
    return write.status;
  };
  CHECK(with([](Options &o) { o.flags = 1; }) == PGCACHE_INVALID);
  CHECK(with([](Options &o) { o.flags = UINT32_MAX; }) == PGCACHE_INVALID);
  CHECK(with([](Options &o) { o.deadline_ms = -2; }) == PGCACHE_INVALID);
  CHECK(with([](Options &o) { o.read_mode = static_cast<pgcache_read_mode>(2); }) == PGCACHE_INVALID);
  CHECK(with([](Options &o) { o.read_mode = static_cast<pgcache_read_mode>(-1); }) == PGCACHE_INVALID);
  const string long_name(PGCACHE_NAMESPACE_MAX + 1, 'n'), longest_name(PGCACHE_NAMESPACE_MAX, 'n');
  for (const char *bad : {"", " ", "a b", "a\n", "\x7f", "\xc3\xa4", long_name.c_str()}) {
    CHECK(with([&](Options &o) { o.namespace_name = bad; }) == PGCACHE_INVALID);
  }
  const string long_span(PGCACHE_SPAN_NAME_MAX + 1, 's');
  CHECK(with([&](Options &o) { o.span_name = long_span.c_str(); }) == PGCACHE_INVALID);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");

  Options options;
  options.span_name = long_span.c_str() + 1;
  options.namespace_name = longest_name.c_str();
  options.read_mode = PGCACHE_READ_STORE;
  CHECK(store.cache.put("k", "v", options) == PGCACHE_OK);
  CHECK(store.cache.get("k", options).bytes() == "v");
  for (const char *good : {"!", "~", "a:b", "\"'\\;--"}) {
    CHECK(store.cache.put("k", good, in_namespace(good)) == PGCACHE_OK);
    CHECK(store.cache.get("k", in_namespace(good)).bytes() == good);
  }
}

TEST_CASE("Options of an older, smaller size work: what they lack has its default", "[rule:sizes]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  for (const size_t size : {offsetof(pgcache_options, namespace_name), offsetof(pgcache_options, span_name),
                            offsetof(pgcache_options, read_mode), offsetof(pgcache_options, flags)}) {
    INFO("size " << size);
    Options options;
    memset(static_cast<void *>(static_cast<pgcache_options *>(&options)), 0xAA, sizeof(pgcache_options));
    options.struct_size = size;
    options.deadline_ms = 5000;
    if (size > offsetof(pgcache_options, namespace_name))
      options.namespace_name = nullptr;
    if (size > offsetof(pgcache_options, span_name))
      options.span_name = nullptr;
    if (size > offsetof(pgcache_options, read_mode))
      options.read_mode = PGCACHE_READ_STORE;
    const Answer got = store.cache.get("k", options); /* the garbage behind the old end is not looked at */
    INFO(got);
    CHECK(got.bytes() == "v");
  }
  /* A newer caller's larger struct: accepted, what we do not know is ignored. */
  struct {
    pgcache_options options = PGCACHE_OPTIONS_INIT;
    char more[64];
  } larger;
  memset(larger.more, 0, sizeof larger.more);
  larger.options.struct_size = sizeof larger;
  pgcache_value *value = nullptr;
  CHECK(pgcache_get(store.cache.raw(), &value, "k", 1, &larger.options, nullptr) == PGCACHE_OK);
  pgcache_value_free(value);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{8}, size_t{15}}) {
    Options options;
    options.struct_size = size;
    CHECK(store.cache.get("k", options) == PGCACHE_INVALID);
  }
}

TEST_CASE("Errors of an older, smaller size are filled as far as they reach", "[rule:sizes][rule:error]") {
  Store store;
  struct {
    pgcache_error error;
    char guard[16];
  } box;
  for (const size_t size :
       {size_t{16}, offsetof(pgcache_error, message), offsetof(pgcache_error, message) + 20, sizeof(pgcache_error)}) {
    INFO("size " << size);
    memset(static_cast<void *>(&box), '#', sizeof box);
    pgcache_error_init(&box.error, size);
    pgcache_value *value = nullptr;
    CHECK(pgcache_get(store.cache.raw(), &value, "k", 0, nullptr, &box.error) == PGCACHE_INVALID);
    CHECK(box.error.status == PGCACHE_INVALID);
    const char *bytes = reinterpret_cast<const char *>(&box);
    for (size_t i = size; i < sizeof box; i++) {
      if (bytes[i] != '#')
        FAIL("wrote behind the end, at byte " << i);
    }
    if (size > offsetof(pgcache_error, message)) {
      CHECK(memchr(box.error.message, '\0', size - offsetof(pgcache_error, message)) != nullptr);
    }
  }
  pgcache_error tiny = PGCACHE_ERROR_INIT;
  tiny.struct_size = 5;
  pgcache_value *value = nullptr;
  CHECK(pgcache_get(store.cache.raw(), &value, "k", 1, nullptr, &tiny) == PGCACHE_INVALID);
  /* An error is left alone by a call that succeeds or misses. */
  pgcache_error kept = PGCACHE_ERROR_INIT;
  strcpy(kept.message, "as it was");
  kept.status = PGCACHE_FULL;
  CHECK(pgcache_get(store.cache.raw(), &value, "k", 1, nullptr, &kept) == PGCACHE_MISS);
  CHECK(store.cache.put("k", "v") == PGCACHE_OK);
  CHECK(string(kept.message) == "as it was");
  CHECK(kept.status == PGCACHE_FULL);
}

TEST_CASE("Statistics of an older, smaller size are filled as far as they reach", "[rule:sizes][stats]") {
  Store store;
  REQUIRE(store.cache.put("k", "12345") == PGCACHE_OK);
  struct {
    pgcache_store_stats stats;
    char guard[16];
  } box;
  for (const size_t size : {offsetof(pgcache_store_stats, expired), offsetof(pgcache_store_stats, schema_version),
                            offsetof(pgcache_store_stats, server_version), sizeof(pgcache_store_stats)}) {
    INFO("size " << size);
    memset(&box, '#', sizeof box);
    box.stats.struct_size = size;
    Error error;
    const pgcache_status status = pgcache_stats(store.cache.raw(), &box.stats, nullptr, &error);
    INFO(error.text());
    CHECK(status == PGCACHE_OK);
    CHECK(box.stats.struct_size == size);
    CHECK(box.stats.entries == 1);
    const char *bytes = reinterpret_cast<const char *>(&box);
    for (size_t i = size; i < sizeof box; i++) {
      if (bytes[i] != '#')
        FAIL("wrote behind the end, at byte " << i);
    }
  }
  for (const size_t size : {size_t{0}, size_t{4}, size_t{8}}) {
    box.stats.struct_size = size;
    CHECK(pgcache_stats(store.cache.raw(), &box.stats, nullptr, nullptr) == PGCACHE_INVALID);
  }
}

TEST_CASE("Counters of an older, smaller size are filled as far as they reach", "[rule:sizes][counters]") {
  Store store;
  REQUIRE(store.cache.put("k", "12345") == PGCACHE_OK);
  struct {
    pgcache_counters counters;
    char guard[16];
  } box;
  for (const size_t size : {offsetof(pgcache_counters, connections_lost), offsetof(pgcache_counters, near_hits),
                            sizeof(pgcache_counters)}) {
    INFO("size " << size);
    memset(&box, '#', sizeof box);
    box.counters.struct_size = size;
    CHECK(pgcache_read_counters(store.cache.raw(), &box.counters, nullptr) == PGCACHE_OK);
    CHECK(box.counters.struct_size == size);
    CHECK(box.counters.connections_opened == 1);
    const char *bytes = reinterpret_cast<const char *>(&box);
    for (size_t i = size; i < sizeof box; i++) {
      if (bytes[i] != '#')
        FAIL("wrote behind the end, at byte " << i);
    }
  }
  Error error;
  pgcache_counters counters = PGCACHE_COUNTERS_INIT;
  CHECK(pgcache_read_counters(nullptr, &counters, &error) == PGCACHE_INVALID);
  CHECK(pgcache_read_counters(store.cache.raw(), nullptr, &error) == PGCACHE_INVALID);
  counters.struct_size = 8;
  CHECK(pgcache_read_counters(store.cache.raw(), &counters, &error) == PGCACHE_INVALID);
  error.struct_size = 3;
  CHECK(pgcache_read_counters(store.cache.raw(), &counters, &error) == PGCACHE_INVALID);
}

TEST_CASE("Items of a larger size than ours are walked by their own size", "[rule:sizes][rule:batch]") {
  Store store;
  struct Larger {
    pgcache_item item = PGCACHE_ITEM_INIT;
    uint64_t new_field = 0x2323232323232323;
  };
  Larger items[3];
  const char *keys[] = {"a", "b", "a"};
  for (int i = 0; i < 3; i++) {
    items[i].item.struct_size = sizeof(Larger);
    items[i].item.key = keys[i];
    items[i].item.key_len = 1;
    items[i].item.value = i == 2 ? "last" : "once";
    items[i].item.value_len = 4;
  }
  REQUIRE(pgcache_put_many(store.cache.raw(), &items[0].item, 3, nullptr, nullptr) == PGCACHE_OK);
  CHECK(store.cache.get("a").bytes() == "last");
  CHECK(store.cache.get("b").bytes() == "once");
  REQUIRE(pgcache_get_many(store.cache.raw(), &items[0].item, 3, nullptr, nullptr) == PGCACHE_OK);
  for (auto &item : items) {
    CHECK(item.item.status == PGCACHE_OK);
    CHECK(item.new_field == 0x2323232323232323);
    pgcache_value_free(item.item.result);
  }
  /* All elements of an array have one size. */
  items[1].item.struct_size = sizeof(pgcache_item);
  CHECK(pgcache_get_many(store.cache.raw(), &items[0].item, 3, nullptr, nullptr) == PGCACHE_INVALID);
}

TEST_CASE("Usage of a larger size than ours is walked by its own size", "[rule:sizes][limits]") {
  Store store;
  REQUIRE(store.cache.put("k", "12345") == PGCACHE_OK);
  struct Larger {
    pgcache_usage usage = PGCACHE_USAGE_INIT;
    uint64_t new_field = 0x2323232323232323;
  };
  Larger found[4];
  const auto read = [&](size_t len) {
    size_t count = 9;
    const pgcache_status status =
        pgcache_read_usage(store.cache.raw(), &found[0].usage, len, &count, nullptr, nullptr, nullptr);
    CHECK(count == (status == PGCACHE_OK ? 2U : 0U));
    return status;
  };
  for (auto &one : found)
    one.usage.struct_size = sizeof(Larger);
  REQUIRE(read(4) == PGCACHE_OK);
  for (size_t i = 0; i < 4; i++) {
    INFO("element " << i);
    CHECK(found[i].usage.struct_size == sizeof(Larger));
    CHECK(found[i].usage.entries == (i < 2 ? 1 : 0));
    CHECK(string(found[i].usage.namespace_name) == (i == 1 ? "default" : ""));
    CHECK(found[i].new_field == 0x2323232323232323);
  }
  /* All elements have one size, which some version had and at which they can lie one behind the other. */
  found[2].usage.struct_size = sizeof(pgcache_usage);
  CHECK(read(2) == PGCACHE_OK);
  CHECK(read(3) == PGCACHE_INVALID);
  for (const size_t size : {size_t{0}, sizeof(pgcache_usage) - 8, sizeof(Larger) - 1, SIZE_MAX - 7}) {
    for (auto &one : found)
      one.usage.struct_size = size;
    CHECK(read(2) == PGCACHE_INVALID);
  }
}

TEST_CASE("What is read into larger structs than ours ends where ours does", "[rule:sizes]") {
  Store store;
  REQUIRE(store.cache.put("k", "12345") == PGCACHE_OK);
  const uint64_t mark = 0x2323232323232323;
  struct {
    pgcache_store_stats stats = PGCACHE_STORE_STATS_INIT;
    uint64_t new_field = mark;
  } stats;
  stats.stats.struct_size = sizeof stats;
  CHECK(pgcache_stats(store.cache.raw(), &stats.stats, nullptr, nullptr) == PGCACHE_OK);
  CHECK(stats.stats.entries == 1);
  CHECK(stats.stats.struct_size == sizeof stats);
  CHECK(stats.new_field == mark);
  struct {
    pgcache_counters counters = PGCACHE_COUNTERS_INIT;
    uint64_t new_field = mark;
  } counters;
  counters.counters.struct_size = sizeof counters;
  CHECK(pgcache_read_counters(store.cache.raw(), &counters.counters, nullptr) == PGCACHE_OK);
  CHECK(counters.counters.connections_opened == 1);
  CHECK(counters.counters.struct_size == sizeof counters);
  CHECK(counters.new_field == mark);
  struct {
    pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
    uint64_t new_field = mark;
  } cleanup;
  cleanup.progress.struct_size = sizeof cleanup;
  CHECK(pgcache_cleanup_some(store.cache.raw(), &cleanup.progress, 1000, nullptr, nullptr) == PGCACHE_OK);
  CHECK(cleanup.progress.finished == 1);
  CHECK(cleanup.progress.struct_size == sizeof cleanup);
  CHECK(cleanup.new_field == mark);
}

TEST_CASE("Handles made from a configuration do not depend on it afterwards", "[rule:free][config]") {
  Store store;
  Config config = store.config();
  Cache first(config);
  config.set("schema", "no_such_schema_at_all");
  Cache second(config);
  { Config gone = std::move(config); }
  CHECK(first.put("k", "v") == PGCACHE_OK);
  CHECK(second.get("k") == PGCACHE_SCHEMA_MISSING);
}
