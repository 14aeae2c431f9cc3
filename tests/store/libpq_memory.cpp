/*
 * libpq_memory.cpp - each call of libpq that needs memory fails once, in every operation, on prepared and unprepared
 * connections and on the application's, inside of its transaction and outside: the status is true, what was refused did
 * not happen, the application's connection comes back as it came or is broken off, and the handle goes on.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache_hooks.h"
#include "support/catch.hpp"
#include "support/libpq_fails.hpp"
#include "support/server.hpp"

#include <functional>

using namespace test;
using std::string;

namespace {

struct Operation {
  const char *name;
  bool writes;
  bool inside; /* of a transaction it can run, too */
  std::function<pgcache_status(pgcache *)> run;
};

pgcache_status many(decltype(pgcache_get_many) *call, pgcache *self) {
  Items items;
  items.add("k", "new");
  items.add("other", "new");
  return call(self, items.data(), items.size(), nullptr, nullptr);
}

const std::vector<Operation> &operations() {
  static const int64_t ttl = PGCACHE_TTL_DEFAULT;
  static const std::vector<Operation> all = {
      {"get", false, true,
       [](pgcache *self) {
         pgcache_value *value = nullptr;
         const pgcache_status status = pgcache_get(self, &value, "k", 1, nullptr, nullptr);
         if ((status == PGCACHE_OK) != (value != nullptr))
           return PGCACHE_INVALID;
         pgcache_value_free(value);
         return status;
       }},
      {"put", true, true,
       [](pgcache *self) { return pgcache_put(self, nullptr, "k", 1, "new", 3, 0, ttl, nullptr, nullptr); }},
      {"add", true, true,
       [](pgcache *self) { return pgcache_add(self, nullptr, "fresh", 5, "new", 3, 0, ttl, nullptr, nullptr); }},
      {"remove", true, true, [](pgcache *self) { return pgcache_remove(self, "k", 1, nullptr, nullptr); }},
      {"increment", true, true,
       [](pgcache *self) { return pgcache_increment(self, nullptr, nullptr, "n", 1, 1, 0, ttl, nullptr, nullptr); }},
      {"put_many", true, true, [](pgcache *self) { return many(pgcache_put_many, self); }},
      {"get_many", false, true, [](pgcache *self) { return many(pgcache_get_many, self); }},
      {"flush", true, true,
       [](pgcache *self) { return pgcache_flush(self, nullptr, PGCACHE_FLUSH_NAMESPACE, nullptr, nullptr); }},
      {"flush all", true, true,
       [](pgcache *self) { return pgcache_flush(self, nullptr, PGCACHE_FLUSH_ALL, nullptr, nullptr); }},
      {"dependents", false, true,
       [](pgcache *self) {
         pgcache_dependency what = PGCACHE_DEPENDENCY_INIT;
         what.kind = PGCACHE_DEPENDS_ON_TAG;
         what.name = "tag";
         what.name_len = 3;
         pgcache_value *report = nullptr;
         const pgcache_status status = pgcache_dependents(self, &report, &what, 1, nullptr, nullptr);
         if ((status == PGCACHE_OK) != (report != nullptr))
           return PGCACHE_INVALID;
         pgcache_value_free(report);
         return status;
       }},
      {"stats", false, true,
       [](pgcache *self) {
         pgcache_store_stats stats = PGCACHE_STORE_STATS_INIT;
         return pgcache_stats(self, &stats, nullptr, nullptr);
       }},
      {"cleanup", true, true, [](pgcache *self) { return pgcache_cleanup(self, nullptr, nullptr, nullptr); }},
      {"set limits", true, true,
       [](pgcache *self) { return pgcache_set_limits(self, PGCACHE_LIMIT_ALL, 1000, 0, nullptr, nullptr); }},
      {"usage", false, true,
       [](pgcache *self) {
         pgcache_usage usage = PGCACHE_USAGE_INIT;
         size_t count = 0;
         return pgcache_read_usage(self, &usage, 1, &count, nullptr, nullptr, nullptr);
       }},
      {"doctor", false, true,
       [](pgcache *self) {
         pgcache_value *report = nullptr;
         const pgcache_status status = pgcache_doctor(self, &report, nullptr, nullptr);
         if ((status == PGCACHE_OK) != (report != nullptr))
           return PGCACHE_INVALID;
         pgcache_value_free(report);
         return status;
       }},
      {"init", true, false, [](pgcache *self) { return pgcache_init(self, nullptr, nullptr); }},
      {"upgrade", true, false, [](pgcache *self) { return pgcache_upgrade(self, nullptr, nullptr); }},
  };
  return all;
}

void reset(Store &store) {
  store.pg.exec(store.sql("DELETE FROM {s}.entries"));
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  REQUIRE(store.cache.put("n", "1", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
}

string state(Store &store) {
  return store.pg.one(store.sql("SELECT string_agg(version::text, ' ' ORDER BY version) FROM {s}.entries"));
}

} // namespace

TEST_CASE("Each call of libpq fails once for want of memory, connecting included", "[memory][libpq]") {
  Store store;
  for (const char *prepared : {"on", "off"}) {
    const Config config = store.config({{"prepared", prepared}, {"pool_max", "1"}});
    for (const Operation &operation : operations()) {
      long points = 0;
      for (long n = 1; n < 1000; n++) {
        reset(store);
        const string before = state(store);
        pgcache_status made, status = PGCACHE_NO_MEMORY, again = PGCACHE_OK;
        bool failed;
        string who;
        pgcache *self = nullptr;
        {
          LibpqFails fails(n);
          made = pgcache_new(&self, config.get(), nullptr);
          if (made == PGCACHE_OK)
            status = operation.run(self);
          failed = LibpqFails::failed();
          who = LibpqFails::who();
        }
        /* After an attempt to connect that failed there is a short pause. */
        if (made == PGCACHE_OK && !eventually([&] { return (again = operation.run(self)) >= 0; }, 2000))
          CHECK(again >= 0);
        pgcache_free(self);
        INFO(operation.name << ", prepared=" << prepared << ", call " << n << " failing, " << who << ": made "
                            << pgcache_status_name(made) << ", status " << pgcache_status_name(status));
        if (!failed) {
          CHECK(status >= 0);
          points = n - 1;
          break;
        }
        CHECK((made == PGCACHE_OK || made == PGCACHE_NO_MEMORY));
        CHECK((status >= 0 || status == PGCACHE_NO_MEMORY || (operation.writes && status == PGCACHE_UNKNOWN)));
        if (made != PGCACHE_OK)
          CHECK(state(store) == before);
      }
      INFO(operation.name);
      CHECK(points >=
            5); /* the address, the connection, its mode, the schema, the operation: else nothing was tested */
    }
  }
}

TEST_CASE("The same on the application's connection, which is as it was or broken off", "[memory][libpq][borrowed]") {
  Store store;
  for (const bool inside : {false, true}) {
    for (const Operation &operation : operations()) {
      if (inside && !operation.inside)
        continue;
      long points = 0;
      for (long n = 1; n < 1000; n++) {
        reset(store);
        const string before = state(store);
        Pg own(url());
        if (inside)
          own.exec("BEGIN");
        pgcache *self = nullptr;
        REQUIRE(pgcache_new_on_connection(&self, store.config().get(), own.raw(), nullptr) == PGCACHE_OK);
        Cache cache(self);
        pgcache_status status;
        bool failed;
        string who;
        {
          LibpqFails fails(n);
          status = operation.run(self);
          failed = LibpqFails::failed();
          who = LibpqFails::who();
        }
        INFO(operation.name << (inside ? ", inside" : ", outside") << ", call " << n << " failing, " << who << ": "
                            << pgcache_status_name(status));
        const bool usable = PQstatus(own.raw()) == CONNECTION_OK;
        if (usable) {
          CHECK(PQtransactionStatus(own.raw()) == (inside ? PQTRANS_INTRANS : PQTRANS_IDLE));
          CHECK(PQpipelineStatus(own.raw()) == PQ_PIPELINE_OFF);
          CHECK(PQisnonblocking(own.raw()) == 0);
          CHECK(operation.run(self) >= 0);
          if (inside)
            own.exec("ROLLBACK");
        }
        if (!failed) {
          CHECK(usable);
          CHECK(status >= 0);
          points = n - 1;
          break;
        }
        /* What takes the connection several times may find it broken off by its own failure to give it back. */
        CHECK((status >= 0 || status == PGCACHE_NO_MEMORY || (!usable && status == PGCACHE_UNAVAILABLE) ||
               (operation.writes && !inside && status == PGCACHE_UNKNOWN)));
        if (inside)
          CHECK(state(store) == before); /* nothing was committed */
        else if (status == PGCACHE_NO_MEMORY && !usable)
          CHECK(state(store) == before);
      }
      INFO(operation.name);
      CHECK(points >= 4);
    }
  }
}
