/*
 * memory.cpp - every allocation of the library fails once, in every operation on the store: the call says NO_MEMORY or
 * succeeds, nothing leaks, what was refused did not happen, and the handle goes on.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include "support/alloc_fail.hpp"

#include <functional>

using namespace test;
using std::string;

namespace {

struct Operation {
  const char *name;
  bool writes;
  std::function<pgcache_status(pgcache *)> run;
};

pgcache_status many(decltype(pgcache_get_many) *call, pgcache *self) {
  Items items;
  items.add("k", "new");
  items.add("other", "new");
  items.add("k", "new");
  return call(self, items.data(), items.size(), nullptr, nullptr);
}

int64_t current_version = 0; /* of the entry "k", for compare_and_swap */

const std::vector<Operation> &operations() {
  static const int64_t ttl = PGCACHE_TTL_DEFAULT;
  static const std::vector<Operation> all = {
      {"get", false,
       [](pgcache *self) {
         pgcache_value *value = nullptr;
         const pgcache_status status = pgcache_get(self, &value, "k", 1, nullptr, nullptr);
         if ((status == PGCACHE_OK) != (value != nullptr))
           return PGCACHE_INVALID;
         pgcache_value_free(value);
         return status;
       }},
      {"get_into", false,
       [](pgcache *self) {
         char buffer[10];
         size_t size;
         return pgcache_get_into(self, buffer, sizeof buffer, &size, "k", 1, nullptr, nullptr);
       }},
      {"exists", false, [](pgcache *self) { return pgcache_exists(self, "k", 1, nullptr, nullptr); }},
      {"put", true,
       [](pgcache *self) { return pgcache_put(self, nullptr, "k", 1, "new", 3, 0, ttl, nullptr, nullptr); }},
      {"add", true,
       [](pgcache *self) { return pgcache_add(self, nullptr, "fresh", 5, "new", 3, 0, ttl, nullptr, nullptr); }},
      {"replace", true,
       [](pgcache *self) { return pgcache_replace(self, nullptr, "k", 1, "new", 3, 0, ttl, nullptr, nullptr); }},
      {"compare_and_swap", true,
       [](pgcache *self) {
         return pgcache_compare_and_swap(self, nullptr, "k", 1, "new", 3, 0, ttl, current_version, nullptr, nullptr);
       }},
      {"remove", true, [](pgcache *self) { return pgcache_remove(self, "k", 1, nullptr, nullptr); }},
      {"touch", true, [](pgcache *self) { return pgcache_touch(self, nullptr, "k", 1, 50000, nullptr, nullptr); }},
      {"increment", true,
       [](pgcache *self) { return pgcache_increment(self, nullptr, nullptr, "n", 1, 1, 0, ttl, nullptr, nullptr); }},
      {"get_many", false, [](pgcache *self) { return many(pgcache_get_many, self); }},
      {"put_many", true, [](pgcache *self) { return many(pgcache_put_many, self); }},
      {"remove_many", true, [](pgcache *self) { return many(pgcache_remove_many, self); }},
      {"doctor", false,
       [](pgcache *self) {
         pgcache_value *report = nullptr;
         const pgcache_status status = pgcache_doctor(self, &report, nullptr, nullptr);
         if ((status == PGCACHE_OK) != (report != nullptr))
           return PGCACHE_INVALID;
         pgcache_value_free(report);
         return status;
       }},
      {"keys", false,
       [](pgcache *self) {
         pgcache_value *keys[4];
         size_t count = 0;
         const pgcache_status status = pgcache_keys(self, keys, 4, &count, "k", 1, nullptr, 0, nullptr, nullptr);
         if (status != PGCACHE_OK && count != 0)
           return PGCACHE_INVALID;
         for (size_t i = 0; i < count; i++)
           pgcache_value_free(keys[i]);
         return status;
       }},
      {"stats", false,
       [](pgcache *self) {
         pgcache_store_stats stats = PGCACHE_STORE_STATS_INIT;
         return pgcache_stats(self, &stats, nullptr, nullptr);
       }},
      {"flush namespace", true,
       [](pgcache *self) { return pgcache_flush(self, nullptr, PGCACHE_FLUSH_NAMESPACE, nullptr, nullptr); }},
      {"flush all", true,
       [](pgcache *self) { return pgcache_flush(self, nullptr, PGCACHE_FLUSH_ALL, nullptr, nullptr); }},
      {"cleanup", true, [](pgcache *self) { return pgcache_cleanup(self, nullptr, nullptr, nullptr); }},
      {"cleanup some", true,
       [](pgcache *self) {
         pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
         return pgcache_cleanup_some(self, &progress, 1000, nullptr, nullptr);
       }},
      {"set limits", true,
       [](pgcache *self) { return pgcache_set_limits(self, PGCACHE_LIMIT_ALL, 1000, 0, nullptr, nullptr); }},
      {"usage", false,
       [](pgcache *self) {
         pgcache_usage usage = PGCACHE_USAGE_INIT;
         size_t count = 0;
         return pgcache_read_usage(self, &usage, 1, &count, nullptr, nullptr, nullptr);
       }},
      {"janitor", true,
       [](pgcache *self) {
         pgcache_janitor *janitor = nullptr;
         const pgcache_status status = pgcache_janitor_start(&janitor, self, 1000, nullptr);
         if ((status == PGCACHE_OK) != (janitor != nullptr))
           return PGCACHE_INVALID;
         pgcache_janitor_free(janitor);
         return status;
       }},
      {"init", true, [](pgcache *self) { return pgcache_init(self, nullptr, nullptr); }},
      {"upgrade", true, [](pgcache *self) { return pgcache_upgrade(self, nullptr, nullptr); }},
  };
  return all;
}

/* The entries as every run finds them, and what tells whether a write happened. */
string reset(Store &store) {
  store.pg.exec(store.sql("DELETE FROM {s}.entries"));
  current_version = store.cache.put("k", "old").version;
  REQUIRE(store.cache.put("k2", "old") == PGCACHE_OK);
  REQUIRE(store.cache.increment("n", 1) == PGCACHE_OK);
  return store.pg.one(store.sql("SELECT string_agg(version::text, ' ' ORDER BY version) FROM {s}.entries"));
}

string state(Store &store) {
  return store.pg.one(store.sql("SELECT string_agg(version::text, ' ' ORDER BY version) FROM {s}.entries"));
}

bool acceptable(pgcache_status status, bool writes) {
  return status >= 0 || status == PGCACHE_NO_MEMORY || (writes && status == PGCACHE_UNKNOWN);
}

} // namespace

TEST_CASE("Each allocation of each operation fails once, connecting included", "[memory]") {
  Store store;
  const Config config = store.config();
  for (const Operation &operation : operations()) {
    INFO(operation.name);
    long points = 0;
    for (const Failing failing : {Failing::Once, Failing::FromThenOn}) {
      for (long n = 1; n < 10000; n++) {
        const string before = reset(store);
        pgcache_status made, status = PGCACHE_NO_MEMORY, again = PGCACHE_OK;
        long failed;
        size_t left = 0;
        {
          Allocations allocations(n, failing);
          pgcache *self = nullptr;
          made = pgcache_new(&self, config.get(), nullptr);
          if (made == PGCACHE_OK)
            status = operation.run(self);
          if (made == PGCACHE_OK && failing == Failing::Once) {
            again = pgcache_put(self, nullptr, "later", 5, "v", 1, 0, PGCACHE_TTL_DEFAULT, nullptr, nullptr);
          }
          pgcache_free(self);
          eventually([&] { return (left = Allocations::alive()) == 0; }); /* a thread that connected may still end */
          failed = Allocations::failed();
        }
        INFO("allocation " << n << (failing == Failing::Once ? " alone" : " and all behind it") << ": made "
                           << pgcache_status_name(made) << ", status " << pgcache_status_name(status));
        CHECK((made == PGCACHE_OK || made == PGCACHE_NO_MEMORY));
        CHECK(acceptable(status, operation.writes));
        CHECK(left == 0);
        /* A pause before the next attempt to connect may have begun; otherwise the handle works on. */
        CHECK((again == PGCACHE_OK || again == PGCACHE_NO_MEMORY));
        if (again != PGCACHE_OK)
          CHECK(failed > 0);
        store.pg.exec(store.sql("DELETE FROM {s}.entries WHERE key = 'later'"));
        if (status == PGCACHE_NO_MEMORY)
          CHECK(state(store) == before);
        if (failed == 0) {
          CHECK(status >= 0);
          points = n - 1;
          break;
        }
      }
    }
    CHECK(points >= 4); /* the handle, its settings, the pool, a connection: else nothing was tested */
  }
}

TEST_CASE("A handle that ran out of memory works on as soon as there is some", "[memory]") {
  Store store;
  for (const Operation &operation : operations()) {
    INFO(operation.name);
    reset(store);
    REQUIRE(operation.run(store.cache.raw()) >= 0); /* connected and prepared */
    for (long n = 1; n < 1000; n++) {
      const string before = reset(store);
      pgcache_status status;
      long failed;
      {
        Allocations allocations(n, Failing::FromThenOn);
        status = operation.run(store.cache.raw());
        failed = Allocations::failed();
      }
      INFO("allocation " << n << ": " << pgcache_status_name(status));
      CHECK(acceptable(status, operation.writes));
      if (status == PGCACHE_NO_MEMORY)
        CHECK(state(store) == before);
      reset(store);
      CHECK(operation.run(store.cache.raw()) >= 0);
      if (failed == 0)
        break;
    }
  }
}
