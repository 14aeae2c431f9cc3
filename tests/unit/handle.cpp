/*
 * handle.cpp - tests of making handles, which does no input or output, and of what needs no server: running out of
 * memory anywhere on the way, and [A62] addresses that libpq refuses in words that show passwords.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

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

TEST_CASE("[A62] [A22] making a handle shows nothing of the address", "[handle][secrets][rule:error]") {
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
  CHECK(tiny.status == PGCACHE_MISS); /* nothing was written */
  pgcache_config_free(config);
}
