/*
 * handle.cpp - tests of making handles, which does no input or output, and of what needs no server: running out of
 * memory anywhere on the way, and [A62] addresses that libpq refuses in words that show passwords.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include "pgcache_hooks.h"

#include "support/fork.hpp"
#include "support/secrets.hpp"

#include <libpq-fe.h>

#include <vector>

namespace {

/* Makes a configuration and a handle of it, and gives the handle to body. */
template <class Body> pgcache_status with_handle(const char *url, pgcache_error *error, Body body) {
  pgcache_config *config = nullptr;
  pgcache *self = nullptr;
  pgcache_status status = pgcache_config_new(&config, error);
  if (status == PGCACHE_OK)
    status = pgcache_config_set(config, "url", url, error);
  if (status == PGCACHE_OK) /* a handle that has no memory for one works without */
    status = pgcache_config_set(config, "near_max_bytes", "0", error);
  if (status == PGCACHE_OK)
    status = pgcache_new(&self, config, error);
  CHECK((self != nullptr) == (status == PGCACHE_OK));
  if (status == PGCACHE_OK)
    status = body(self);
  pgcache_free(self);
  pgcache_config_free(config);
  return status;
}

long points_of_new(const char *url) {
  return test::fail_each_allocation([url] {
    test::Error error;
    pgcache_status status = with_handle(url, &error, [](pgcache *) { return PGCACHE_OK; });
    CHECK(error.status == status);
    return status;
  });
}

} // namespace

TEST_CASE("every allocation of a new handle may fail", "[handle][allocation]") {
  CHECK(points_of_new("null:") >= 5);
  CHECK(points_of_new("local:/nowhere") >= 8);
  CHECK(points_of_new("postgresql://u:p@a,b,c/d?connect_timeout=3") >= 6);
}

TEST_CASE("every allocation of a multi-key call may fail, and the items know", "[handle][allocation][rule:batch]") {
  for (auto call : {pgcache_get_many, pgcache_put_many, pgcache_remove_many}) {
    test::fail_each_allocation([call] {
      return with_handle("null:", nullptr, [call](pgcache *self) {
        std::vector<std::string> keys;
        std::vector<pgcache_item> items;
        for (int i = 0; i < 50; i++)
          keys.push_back("key " + std::to_string(i));
        for (const std::string &key : keys) {
          pgcache_item item = PGCACHE_ITEM_INIT;
          item.key = key.data();
          item.key_len = key.size();
          items.push_back(item);
        }
        test::Error error;
        pgcache_status status = call(self, items.data(), items.size(), nullptr, &error);
        CHECK(error.status == status);
        for (const pgcache_item &item : items) {
          CHECK(item.result == nullptr);
          CHECK(item.version == 0);
        }
        return status;
      });
    });
  }
}

TEST_CASE("every allocation of the printed SQL may fail", "[handle][allocation]") {
  long points = test::fail_each_allocation([] {
    pgcache_config *config = nullptr;
    pgcache_value *sql = nullptr;
    pgcache_status status = pgcache_config_new(&config, nullptr);
    if (status == PGCACHE_OK)
      status = pgcache_init_sql(&sql, config, nullptr);
    CHECK((sql != nullptr) == (status == PGCACHE_OK));
    pgcache_value_free(sql);
    pgcache_config_free(config);
    return status;
  });
  CHECK(points >= 4);
}

TEST_CASE("a handle needs an address", "[handle]") {
  test::Error error;
  CHECK(with_handle("", &error, [](pgcache *) { return PGCACHE_OK; }) == PGCACHE_BAD_SETTING);
  CHECK(test::contains(error.text(), "url: not set"));
}

TEST_CASE("settings that contradict each other make no handle", "[handle]") {
  test::Config config;
  config.set("url", "null:").set("pool_min", "11");
  auto *self = reinterpret_cast<pgcache *>(&config);
  test::Error error;
  CHECK(pgcache_new(&self, config.get(), &error) == PGCACHE_BAD_SETTING);
  CHECK(self == nullptr);
  CHECK(test::contains(error.text(), "pool_min"));
}

TEST_CASE("[A62] [A22] making a handle shows nothing of the address", "[A62][A22][handle][secrets][rule:error]") {
  size_t refused = 0;
  size_t leaks_of_libpq = 0;
  for (const std::string &secret : test::broken_canaries()) {
    for (const std::string &url : test::addresses_with(secret)) {
      test::Error error;
      pgcache_status status = with_handle(url.c_str(), &error, [](pgcache *) { return PGCACHE_OK; });
      INFO(url);
      INFO(error.text());
      CHECK((status == PGCACHE_OK || status == PGCACHE_BAD_SETTING));
      REQUIRE_FALSE(test::shows_canary(error.text()));
      refused += status != PGCACHE_OK;
      char *words = nullptr;
      PQconninfoFree(PQconninfoParse(url.c_str(), &words));
      leaks_of_libpq += words != nullptr && test::shows_canary(words);
      PQfreemem(words);
    }
  }
  CHECK(refused > 1000);
  CHECK(leaks_of_libpq > 500); /* so there was something to hide */
}

TEST_CASE("what cannot be an array of items is refused and not touched", "[handle][rule:batch][rule:sizes]") {
  with_handle("null:", nullptr, [](pgcache *self) {
    for (auto call : {pgcache_get_many, pgcache_put_many, pgcache_remove_many}) {
      test::Error error;
      CHECK(call(self, nullptr, 1, nullptr, &error) == PGCACHE_INVALID);
      CHECK(test::contains(error.text(), "PGCACHE_ITEM_INIT"));
      for (size_t size : {size_t{0}, sizeof(pgcache_item) - 1, sizeof(pgcache_item) + 1, SIZE_MAX}) {
        INFO("struct_size " << size);
        pgcache_item item = PGCACHE_ITEM_INIT;
        item.struct_size = size;
        item.version = 42;
        CHECK(call(self, &item, 1, nullptr, nullptr) == PGCACHE_INVALID);
        CHECK(item.version == 42);
      }
      pgcache_item item = PGCACHE_ITEM_INIT; /* so many of these no memory holds */
      item.version = 42;
      CHECK(call(self, &item, SIZE_MAX / sizeof item, nullptr, nullptr) == PGCACHE_INVALID);
      CHECK(item.version == 42);
      CHECK(call(self, nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
    }
    return PGCACHE_OK;
  });
}

TEST_CASE("an error of a size that never was is refused, in every function that makes something",
          "[handle][rule:sizes]") {
  pgcache_error tiny = PGCACHE_ERROR_INIT;
  tiny.struct_size = 8;
  tiny.status = PGCACHE_MISS;
  pgcache_config *config = nullptr;
  REQUIRE(pgcache_config_new(&config, nullptr) == PGCACHE_OK);
  REQUIRE(pgcache_config_set(config, "url", "null:", nullptr) == PGCACHE_OK);
  pgcache *self = nullptr;
  CHECK(pgcache_new(&self, config, &tiny) == PGCACHE_INVALID);
  CHECK(self == nullptr);
  pgcache_value *script = nullptr;
  CHECK(pgcache_init_sql(&script, config, &tiny) == PGCACHE_INVALID);
  CHECK(script == nullptr);
  char lent = 0;
  CHECK(pgcache_new_on_connection(&self, config, reinterpret_cast<struct pg_conn *>(&lent), &tiny) == PGCACHE_INVALID);
  CHECK(self == nullptr);
  const pgcache_connection_hooks hooks = PGCACHE_CONNECTION_HOOKS_INIT;
  CHECK(pgcache_new_with_hooks(&self, config, &hooks, &tiny) == PGCACHE_INVALID);
  CHECK(self == nullptr);

  REQUIRE(pgcache_new(&self, config, nullptr) == PGCACHE_OK);
  pgcache_janitor *janitor = nullptr;
  CHECK(pgcache_janitor_start(&janitor, self, 1000, &tiny) == PGCACHE_INVALID);
  CHECK(janitor == nullptr);
  CHECK(pgcache_janitor_stop(janitor, 1000, &tiny) == PGCACHE_INVALID);
  const pgcache_provider provider = PGCACHE_PROVIDER_INIT;
  CHECK(pgcache_add_provider(self, &provider, &tiny) == PGCACHE_INVALID);
  pgcache_observer *observer = nullptr;
  pgcache_event *event = nullptr;
  CHECK(pgcache_observe(self, &observer, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_ERROR, 1, &tiny) == PGCACHE_INVALID);
  CHECK(observer == nullptr);
  CHECK(pgcache_observer_next(observer, &event, 0, &tiny) == PGCACHE_INVALID);
  CHECK(event == nullptr);
  pgcache_snapshot *snapshot = nullptr;
  CHECK(pgcache_stats_snapshot(self, &snapshot, &tiny) == PGCACHE_INVALID);
  CHECK(snapshot == nullptr);
  CHECK(pgcache_snapshot_add(snapshot, snapshot, &tiny) == PGCACHE_INVALID);
  pgcache_load *load = nullptr;
  pgcache_value *value = nullptr;
  REQUIRE(pgcache_load_begin(self, &value, &load, "k", 1, nullptr, nullptr, nullptr) == PGCACHE_LEASE);
  CHECK(pgcache_load_fill(load, nullptr, "v", 1, 0, nullptr, &tiny) == PGCACHE_INVALID);
  CHECK(pgcache_load_fail(load, &value, nullptr, &tiny) == PGCACHE_INVALID);
  CHECK(pgcache_load_abandon(load, nullptr, &tiny) == PGCACHE_INVALID);
  CHECK(pgcache_load_fill(load, nullptr, "v", 1, 0, nullptr, nullptr) != PGCACHE_INVALID); /* it had not ended */
  pgcache_load_free(load);
  CHECK(tiny.status == PGCACHE_MISS); /* nothing was written */
  pgcache_free(self);
  pgcache_config_free(config);
}

TEST_CASE("what names what an entry depends on is looked at before it is used", "[handle][arguments]") {
  test::Error error;
  CHECK(with_handle("null:", &error, [&](pgcache *self) {
          pgcache_dependency names[2] = {PGCACHE_DEPENDENCY_INIT, PGCACHE_DEPENDENCY_INIT};
          for (pgcache_dependency &name : names) {
            name.kind = PGCACHE_DEPENDS_ON_KEY;
            name.name = "a name";
            name.name_len = 6;
          }
          const auto refused = [&](const pgcache_dependency *what, size_t count) {
            pgcache_options options = PGCACHE_OPTIONS_INIT;
            options.dependencies = what;
            options.dependency_count = count;
            uint64_t id = 0;
            CHECK(pgcache_put(self, nullptr, "k", 1, "v", 1, 0, 1000, &options, &error) == PGCACHE_INVALID);
            CHECK(pgcache_invalidate(self, what, count, nullptr, &error) == PGCACHE_INVALID);
            CHECK(pgcache_submit_invalidate(self, &id, what, count, nullptr, &error) == PGCACHE_INVALID);
            CHECK(id == 0);
            return std::string(error.message);
          };
          CHECK(refused(nullptr, 2) != "");
          names[1].name = nullptr;
          CHECK(test::contains(refused(names, 2), "dependency 1: the key is NULL"));
          names[1].name = "a name";
          names[1].name_len = 0;
          CHECK(test::contains(refused(names, 2), "dependency 1: the key is empty"));
          names[1].name_len = 6;
          names[1].struct_size += 8;
          CHECK(test::contains(refused(names, 2), "dependency 1: struct_size differs"));
          names[1].struct_size = names[0].struct_size;
          names[0].struct_size = 8;
          CHECK(test::contains(refused(names, 2), "struct_size is not set"));
          names[0].struct_size = names[1].struct_size + 1; /* no struct has this size */
          CHECK(test::contains(refused(names, 2), "struct_size is not set"));
          names[0].struct_size = SIZE_MAX / 16 * 8;
          CHECK(test::contains(refused(names, 2), "struct_size is not set"));
          names[0].struct_size = names[1].struct_size;
          CHECK(refused(names, PGCACHE_BATCH_MAX + 1) != "");
          uint64_t id = 0;
          CHECK(pgcache_submit_invalidate(self, &id, names, 0, nullptr, &error) == PGCACHE_OK);
          CHECK(pgcache_submit_invalidate(nullptr, &id, names, 0, nullptr, &error) == PGCACHE_INVALID);
          pgcache_load_options how = PGCACHE_LOAD_OPTIONS_INIT;
          pgcache_value *value = nullptr;
          pgcache_load *load = nullptr;
          how.jitter_percent = -1;
          CHECK(pgcache_load_begin(self, &value, &load, "k", 1, &how, nullptr, &error) == PGCACHE_INVALID);
          how.jitter_percent = 0;
          how.early_percent = -1;
          CHECK(pgcache_load_begin(self, &value, &load, "k", 1, &how, nullptr, &error) == PGCACHE_INVALID);
          CHECK(pgcache_submit_load_begin(self, &id, nullptr, 1, nullptr, nullptr, &error) == PGCACHE_INVALID);
          CHECK(pgcache_submit_load_begin(self, &id, "k", 1, &how, nullptr, &error) == PGCACHE_INVALID);
          CHECK(load == nullptr);
          REQUIRE(pgcache_load_begin(self, &value, &load, "k", 1, nullptr, nullptr, &error) == PGCACHE_LEASE);
          pgcache_options late = PGCACHE_OPTIONS_INIT;
          late.deadline_ms = -2;
          CHECK(pgcache_submit_load_fill(load, &id, "v", 1, -1, nullptr, &error) == PGCACHE_INVALID);
          CHECK(pgcache_submit_load_fill_absent(load, &id, &late, &error) == PGCACHE_INVALID);
          CHECK(pgcache_submit_load_fail(load, &id, &late, &error) == PGCACHE_INVALID);
          CHECK(pgcache_load_fail(load, &value, &late, &error) == PGCACHE_INVALID);
          CHECK(pgcache_load_abandon(load, &late, &error) == PGCACHE_INVALID);
          pgcache_load_free(load);
          size_t count = 0;
          pgcache_usage usage = PGCACHE_USAGE_INIT;
          CHECK(pgcache_read_usage(self, &usage, 1, &count, "no namespace", nullptr, &error) == PGCACHE_INVALID);
          return PGCACHE_OK;
        }) == PGCACHE_OK);
}

TEST_CASE("a provider is checked before it is let in", "[handle][events][arguments]") {
  test::Error error;
  CHECK(with_handle("null:", &error, [&](pgcache *self) {
          pgcache_provider provider = PGCACHE_PROVIDER_INIT;
          CHECK(pgcache_add_provider(self, &provider, &error) == PGCACHE_INVALID);
          CHECK(test::contains(error.message, "would never be called"));
          static int ended;
          ended = 0;
          provider.end = [](void *, void *, const pgcache_event *) { ended++; };
          provider.what = ~UINT32_C(0);
          CHECK(pgcache_add_provider(self, &provider, &error) == PGCACHE_INVALID);
          CHECK(test::contains(error.message, "unknown flags"));
          provider.what = 0;
          CHECK(pgcache_add_provider(self, &provider, &error) == PGCACHE_OK); /* its end alone */
          CHECK(pgcache_get(self, nullptr, "k", 1, nullptr, nullptr) == PGCACHE_INVALID);
          CHECK(pgcache_remove(self, "k", 1, nullptr, nullptr) == PGCACHE_MISS);
          CHECK(ended >= 1);
          return PGCACHE_OK;
        }) == PGCACHE_OK);
}

TEST_CASE("arrays whose elements have no possible size are refused", "[handle][arguments][rule:sizes]") {
  test::Error error;
  CHECK(with_handle("null:", &error, [&](pgcache *self) {
          size_t count = 7;
          pgcache_usage usage = PGCACHE_USAGE_INIT;
          for (const size_t size : {size_t{0}, sizeof usage - 8, sizeof usage + 1, SIZE_MAX / 8 * 8}) {
            INFO(size);
            usage.struct_size = size;
            CHECK(pgcache_read_usage(self, &usage, 2, &count, nullptr, nullptr, &error) == PGCACHE_INVALID);
            CHECK(count == 0);
          }
          pgcache_item items[2] = {PGCACHE_ITEM_INIT, PGCACHE_ITEM_INIT};
          for (const size_t size : {size_t{0}, sizeof items[0] - 8, sizeof items[0] + 1, SIZE_MAX / 8 * 8}) {
            INFO(size);
            items[0].struct_size = size;
            CHECK(pgcache_get_many(self, items, 2, nullptr, &error) == PGCACHE_INVALID);
          }
          return PGCACHE_OK;
        }) == PGCACHE_OK);
}

TEST_CASE("a load is its process's own: a forked child can only let it go", "[handle][fork]") {
  test::Error error;
  CHECK(with_handle("null:", &error, [&](pgcache *self) {
          pgcache_value *value = nullptr;
          pgcache_load *load = nullptr;
          REQUIRE(pgcache_load_begin(self, &value, &load, "k", 1, nullptr, nullptr, &error) == PGCACHE_LEASE);
          CHECK(test::in_child([&] {
                  if (pgcache_load_fill(load, nullptr, "v", 1, 0, nullptr, &error) != PGCACHE_INVALID)
                    return 1;
                  if (!test::contains(error.message, "process that forked"))
                    return 2;
                  if (pgcache_load_abandon(load, nullptr, nullptr) != PGCACHE_INVALID)
                    return 3;
                  pgcache_load_free(load);
                  return 0;
                }) == 0);
          CHECK(pgcache_load_fill(load, nullptr, "v", 1, 0, nullptr, &error) != PGCACHE_INVALID);
          pgcache_load_free(load);
          return PGCACHE_OK;
        }) == PGCACHE_OK);
}

TEST_CASE("every allocation of a snapshot and of a sum of snapshots may fail", "[handle][allocation]") {
  test::Error error;
  CHECK(with_handle("null:", &error, [&](pgcache *self) {
          pgcache_value *value = nullptr;
          pgcache_load *load = nullptr;
          CHECK(pgcache_get(self, &value, "k", 1, nullptr, nullptr) == PGCACHE_MISS);
          CHECK(pgcache_put(self, nullptr, "k", 1, "v", 1, 0, 1000, nullptr, nullptr) == PGCACHE_OK);
          CHECK(pgcache_load_begin(self, &value, &load, "k", 1, nullptr, nullptr, nullptr) == PGCACHE_LEASE);
          pgcache_load_free(load);
          const auto sum = [&] {
            pgcache_snapshot *one = nullptr, *other = nullptr;
            pgcache_status status = pgcache_stats_snapshot(self, &one, nullptr);
            CHECK((one != nullptr) == (status == PGCACHE_OK));
            if (status == PGCACHE_OK)
              status = pgcache_stats_snapshot(self, &other, nullptr);
            if (status == PGCACHE_OK)
              status = pgcache_snapshot_add(one, other, nullptr);
            pgcache_snapshot_free(one);
            pgcache_snapshot_free(other);
            return status;
          };
          CHECK(test::fail_each_allocation(sum) > 20);
          return PGCACHE_OK;
        }) == PGCACHE_OK);
}
