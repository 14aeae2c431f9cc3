/*
 * pooler.cpp - behind a connection pooler in transaction mode, where each statement may run on another connection of the
 * server: with prepared=off nothing relies on a session, and nothing is left on one. `make test-pooler` runs many of the
 * other tests the same way.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/pooler.hpp"
#include "support/report.hpp"
#include "support/server.hpp"

#include <atomic>
#include <set>

using namespace test;
using std::string;

namespace {

Settings through(const Pooler &pooler) {
  return {{"url", pooler.conninfo()}, {"prepared", "off"}};
}

/* What the sessions behind the pooler are set to that is not their default, looked at through the pooler itself: as often
   as it has connections to the server. */
std::set<string> left_behind(const Pooler &pooler) {
  Pg pg(pooler.conninfo());
  std::set<string> left;
  for (int i = 0; i < 10; i++) {
    for (const Row &row :
         pg.query("SELECT name || '=' || setting FROM pg_settings WHERE source = 'session' AND name NOT "
                  "IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', "
                  "'standard_conforming_strings')"
                  "UNION ALL SELECT 'prepared ' || name FROM pg_prepared_statements"))
      left.insert(row[0]);
  }
  return left;
}

} // namespace

TEST_CASE("With prepared=on a pooler is recognised, and what to do is said; nothing was set on its sessions",
          "[pooler]") {
  Store store;
  Pooler pooler;
  const Answer answer = store.open({{"url", pooler.conninfo()}, {"prepared", "on"}}).get("k");
  CHECK(answer == PGCACHE_BAD_SETTING);
  CHECK(answer.error.text().find("prepared=off") != string::npos);
  CHECK(left_behind(pooler).empty());
}

TEST_CASE("With prepared=off each statement may run on another connection, and leaves nothing behind", "[pooler]") {
  Store store;
  Pooler pooler;
  Cache cache = store.open(through(pooler));
  for (int i = 0; i < 20; i++) {
    const string key = "k" + std::to_string(i);
    REQUIRE(cache.put(key, "v") == PGCACHE_OK);
    REQUIRE(cache.get(key).bytes() == "v");
    REQUIRE(cache.increment("n").number == i + 1);
    REQUIRE(cache.remove(key) == PGCACHE_OK);
    REQUIRE(cache.get(key) == PGCACHE_MISS);
  }
  const pgcache_store_stats stats = cache.stats();
  CHECK(stats.entries == 1);
  CHECK(cache.cleanup() == PGCACHE_OK);
  CHECK(cache.flush(PGCACHE_FLUSH_ALL).number == 1);
  /* The pooler did hand the statements to several server connections. */
  std::set<string> pids;
  Pg pg(pooler.conninfo());
  for (int i = 0; i < 10; i++)
    pids.insert(pg.one("SELECT pg_backend_pid()"));
  CHECK(pids.size() > 1);
  CHECK(left_behind(pooler).empty());
}

TEST_CASE("Doctor: a PgBouncer in transaction mode and one in session mode are told apart", "[pooler][doctor]") {
  Store store;
  struct Mode {
    const char *name, *finding, *evidence;
  };
  for (const Mode &mode : {Mode{"transaction", "a pooler stands in between and changes the session between statements",
                                " in the first answer, others in later ones"},
                           Mode{"session", "a pooler stands in between, in session mode as it seems",
                                " in the first answer and in later ones"}}) {
    INFO(mode.name);
    Pooler pooler(url(), {string("pool_mode = ") + mode.name});
    Cache cache = store.open(through(pooler));
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
    const Finding found = examine(cache).the("pooler");
    CHECK(found.severity == "info"); /* with prepared=off it does no harm */
    CHECK(found.finding == mode.finding);
    INFO(found.evidence);
    CHECK(found.evidence.find(string(" at the log-in, ")) != string::npos);
    CHECK(found.evidence.find(mode.evidence) != string::npos);
    CHECK(found.remedy.empty());
    CHECK(cache.get("k").bytes() == "v"); /* the handle is none the worse */
    /* With prepared=on nothing can be examined; the error says what to do. */
    Cache on = store.open({{"url", pooler.conninfo()}, {"prepared", "on"}});
    pgcache_value *report = nullptr;
    Error error;
    CHECK(pgcache_doctor(on.raw(), &report, nullptr, &error) == PGCACHE_BAD_SETTING);
    CHECK(report == nullptr);
    CHECK(error.text().find("prepared=off") != string::npos);
  }
}

TEST_CASE("init and upgrade work through a pooler, also many at once", "[pooler]") {
  Pooler pooler;
  Schema schema;
  Config config;
  config.set("url", pooler.conninfo()).set("prepared", "off").set("schema", schema.name());
  CHECK(Cache(config).get("k") == PGCACHE_SCHEMA_MISSING);
  std::atomic<int> made{0}, there{0};
  in_threads(4, [&](int) {
    Cache cache(config);
    const Answer answer = cache.init();
    made += answer == PGCACHE_OK;
    there += answer == PGCACHE_EXISTS;
  });
  CHECK(made == 1);
  CHECK(there == 3);
  Cache cache(config);
  CHECK(cache.upgrade() == PGCACHE_EXISTS);
  CHECK(cache.put("k", "v") == PGCACHE_OK);
  CHECK(left_behind(pooler).empty());
}

TEST_CASE("16 threads through a pooler with five server connections", "[pooler][threads]") {
  Store store;
  Pooler pooler;
  Cache cache = store.open(through(pooler));
  in_threads(16, [&](int thread) {
    const string own = "own" + std::to_string(thread);
    for (int i = 0; i < longer(25, 500); i++) {
      if (cache.put(own, std::to_string(i)) != PGCACHE_OK || cache.get(own).bytes() != std::to_string(i) ||
          cache.increment("all") != PGCACHE_OK)
        throw std::runtime_error("an operation failed");
    }
  });
  CHECK(cache.get("all").bytes() == std::to_string(16 * longer(25, 500)));
  CHECK(left_behind(pooler).empty());
}

TEST_CASE("The limits of the role end statements: TIMEOUT, and nothing was changed", "[pooler]") {
  Store store;
  Role role("LOGIN SUPERUSER");
  Pg admin(url());
  admin.exec("ALTER ROLE " + role.name() + " SET statement_timeout = '150ms'");
  Cache cache = store.open({{"url", url_with({{"user", role.name()}})}, {"prepared", "off"}});
  REQUIRE(cache.put("k", "old") == PGCACHE_OK);
  admin.exec(store.sql("BEGIN; SELECT 1 FROM {s}.entries FOR UPDATE"));
  const int64_t start = now_ms();
  const Answer answer = cache.put("k", "new", deadline(30000));
  CHECK(answer == PGCACHE_TIMEOUT);
  CHECK(string(answer.error.sqlstate) == "57014");
  CHECK(now_ms() - start < 15000);
  admin.exec("ROLLBACK");
  CHECK(cache.get("k").bytes() == "old");
}

TEST_CASE("At the deadline the server itself ends the statement, and the connection lives on", "[pooler]") {
  Store store;
  Pooler pooler;
  Cache cache = store.open(through(pooler));
  REQUIRE(cache.put("k", "old") == PGCACHE_OK);
  Pg admin(url());
  admin.exec(store.sql("BEGIN; SELECT 1 FROM {s}.entries FOR UPDATE"));
  const int64_t start = now_ms();
  const Answer answer = cache.put("k", "new", deadline(1000));
  CHECK(now_ms() - start < 10000);
  INFO(answer);
  CHECK(answer == PGCACHE_TIMEOUT);
  admin.exec("ROLLBACK");
  CHECK(cache.get("k").bytes() == "old");
  pgcache_counters counters = PGCACHE_COUNTERS_INIT;
  REQUIRE(pgcache_read_counters(cache.raw(), &counters, nullptr) == PGCACHE_OK);
  CHECK(counters.connections_lost == 0);
}

TEST_CASE("An error at the commit of a statement is that statement's", "[pooler]") {
  Store store;
  store.pg.exec(store.sql("CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS "
                          "$$ BEGIN RAISE 'at the commit' USING ERRCODE = '53100'; END $$;"
                          "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {s}.entries DEFERRABLE INITIALLY DEFERRED "
                          "FOR EACH ROW EXECUTE FUNCTION {s}.refuse()"));
  Cache cache = store.open({{"prepared", "off"}});
  for (int i = 0; i < 3; i++) {
    const Answer answer = cache.put("k", "v");
    CHECK(answer == PGCACHE_FULL);
    CHECK(string(answer.error.sqlstate) == "53100");
    CHECK(cache.get("k") == PGCACHE_MISS);
  }
  pgcache_counters counters = PGCACHE_COUNTERS_INIT;
  REQUIRE(pgcache_read_counters(cache.raw(), &counters, nullptr) == PGCACHE_OK);
  CHECK(counters.connections_opened == 1);
}

TEST_CASE("A parameter of the url that the pooler refuses gives a hint at it", "[pooler]") {
  Store store;
  Pooler pooler;
  Cache cache =
      store.open({{"url", conninfo_with(pooler.conninfo(), {{"options", "-c geqo=off"}})}, {"prepared", "off"}});
  const Answer answer = cache.get("k");
  CHECK(answer == PGCACHE_UNAVAILABLE);
  CHECK(answer.error.text().find("options") != string::npos);
}
