/*
 * invalidate_on.cpp - invalidating on a connection of the application: with its transaction or not at all, and the session
 * as it was found.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads.hpp"
#include "pgcache_hooks.h"

#include "support/proxy.hpp"

#include <atomic>

using namespace test;
using std::string;

namespace {

Answer on(const Cache &cache, const Pg &pg, Names names, const Options &options = {}) {
  Answer a;
  a.status = pgcache_invalidate_on(cache.raw(), pg.raw(), names.data(), names.size(), &options, &a.error);
  return a;
}

Answer on(const Cache &cache, const Pg &pg, const string &tag, const Options &options = {}) {
  return on(cache, pg, Names().tag(tag), options);
}

void fill(Cache &cache, const string &key) {
  Names tags;
  load(cache, key, "v", {}, tags.tag("orders").options());
}

bool is_there(Cache &cache, const string &key = "k") {
  const Answer a = cache.get(key);
  if (a != PGCACHE_OK && a != PGCACHE_MISS)
    throw std::runtime_error(a.error.text());
  return a == PGCACHE_OK;
}

string state_of(Pg &pg) {
  return pg.one("SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_settings WHERE name IN "
                "('search_path', 'statement_timeout', 'synchronous_commit', 'lock_timeout', 'client_encoding')") +
         pg.one("SELECT count(*) FROM pg_prepared_statements") +
         std::to_string(static_cast<int>(PQtransactionStatus(pg.raw()))) + std::to_string(PQisnonblocking(pg.raw())) +
         std::to_string(PQpipelineStatus(pg.raw()));
}

} // namespace

TEST_CASE("Outside of a transaction it is done when the call returns, and the session is as it was found",
          "[rule:invalidate][rule:found][on]") {
  Store store;
  Cache near = store.open({{"near_max_bytes", "1048576"}, {"near_staleness_ms", "60000"}});
  fill(store.cache, "k");
  CHECK(is_there(near));
  Pg pg(url());
  pg.exec("SET statement_timeout = '54321ms'; SET search_path = pg_catalog; SET synchronous_commit = off");
  const string before = state_of(pg);
  const Answer a = on(store.cache, pg, "orders");
  INFO(a);
  CHECK(a == PGCACHE_OK);
  CHECK(state_of(pg) == before);
  CHECK(eventually([&] { return !is_there(store.cache) && !is_there(near); }));
  fill(store.cache, "k");
  CHECK(on(store.cache, pg, Names().key("k")) == PGCACHE_OK); /* once more on the same connection, by key */
  CHECK(eventually([&] { return !is_there(store.cache); }));
  CHECK(on(store.cache, pg, Names()) == PGCACHE_OK);
}

TEST_CASE("With the transaction, at each isolation level, or not at all", "[rule:invalidate][rule:inside][on]") {
  Store store(Settings{{"near_max_bytes", "0"}});
  Pg pg(url());
  const string level = GENERATE("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE");
  INFO(level);
  fill(store.cache, "k");
  Begun loading = begin(store.cache, "late");
  REQUIRE(loading == PGCACHE_LEASE);
  Names tags;
  tags.tag("orders");
  pg.exec("BEGIN ISOLATION LEVEL " + level + "; SELECT count(*) FROM pg_class");
  SECTION("committed") {
    const string before = state_of(pg);
    CHECK(on(store.cache, pg, "orders") == PGCACHE_OK);
    CHECK(on(store.cache, pg, "orders") == PGCACHE_OK); /* twice is once */
    CHECK(state_of(pg) == before);
    CHECK(is_there(store.cache)); /* until the commit */
    pg.exec("COMMIT");
    CHECK_FALSE(is_there(store.cache));
    CHECK(loading.load.fill("older", tags.options()) == PGCACHE_REFUSED);
  }
  SECTION("rolled back") {
    CHECK(on(store.cache, pg, "orders") == PGCACHE_OK);
    pg.exec("ROLLBACK");
    CHECK(is_there(store.cache));
    CHECK(loading.load.fill("good", tags.options()) == PGCACHE_OK);
  }
  SECTION("rolled back to a savepoint before it") {
    pg.exec("SAVEPOINT mine");
    CHECK(on(store.cache, pg, "orders") == PGCACHE_OK);
    pg.exec("ROLLBACK TO mine; COMMIT");
    CHECK(is_there(store.cache));
  }
  SECTION("rolled back to a savepoint behind it") {
    CHECK(on(store.cache, pg, "orders") == PGCACHE_OK);
    pg.exec("SAVEPOINT mine; CREATE TEMP TABLE t (a int); ROLLBACK TO mine; COMMIT");
    CHECK_FALSE(is_there(store.cache));
  }
  SECTION("inside of a savepoint that is released") {
    pg.exec("SAVEPOINT mine");
    CHECK(on(store.cache, pg, "orders") == PGCACHE_OK);
    pg.exec("RELEASE mine; COMMIT");
    CHECK_FALSE(is_there(store.cache));
    CHECK(loading.load.fill("older", tags.options()) == PGCACHE_REFUSED);
  }
}

TEST_CASE("Writers of one tag do not wait for each other's transactions", "[rule:invalidate][on]") {
  Store store;
  Pg one(url()), other(url());
  one.exec("BEGIN");
  other.exec("BEGIN");
  CHECK(on(store.cache, one, Names().tag("a").tag("b"), deadline(20000)) == PGCACHE_OK);
  CHECK(on(store.cache, other, Names().tag("b").tag("a"), deadline(20000)) == PGCACHE_OK);
  other.exec("COMMIT");
  one.exec("COMMIT");
}

TEST_CASE("What cannot be used is refused untouched", "[rule:refused][on]") {
  Store store;
  Pg pg(url());
  CHECK(pgcache_invalidate_on(store.cache.raw(), nullptr, Names().tag("t").data(), 1, nullptr, nullptr) ==
        PGCACHE_INVALID);
  CHECK(pgcache_invalidate_on(nullptr, pg.raw(), Names().tag("t").data(), 1, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_invalidate_on(store.cache.raw(), pg.raw(), nullptr, 1, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(on(store.cache, pg, string(PGCACHE_TAG_MAX + 1, 't')) == PGCACHE_TOO_LARGE);
  CHECK(on(store.cache, pg, "t", deadline(0)) == PGCACHE_TIMEOUT);
  SECTION("busy") {
    REQUIRE(PQsendQuery(pg.raw(), "SELECT 1") == 1);
    CHECK(on(store.cache, pg, "t") == PGCACHE_INVALID);
    PGresult *result = PQgetResult(pg.raw());
    CHECK(string(PQgetvalue(result, 0, 0)) == "1");
    PQclear(result);
    CHECK(PQgetResult(pg.raw()) == nullptr);
  }
  SECTION("in a failed transaction") {
    pg.exec("BEGIN");
    CHECK(pg.sqlstate("SELECT 1/0") == "22012");
    CHECK(on(store.cache, pg, "t") == PGCACHE_INVALID);
    pg.exec("ROLLBACK");
  }
  SECTION("in pipeline mode") {
    REQUIRE(PQenterPipelineMode(pg.raw()) == 1);
    CHECK(on(store.cache, pg, "t") == PGCACHE_INVALID);
    REQUIRE(PQexitPipelineMode(pg.raw()) == 1);
  }
  SECTION("broken") {
    Pg(url()).exec("SELECT pg_terminate_backend(" + std::to_string(pg.pid()) + ", 5000)");
    pg.sqlstate("SELECT 1");
    CHECK(on(store.cache, pg, "t") == PGCACHE_UNAVAILABLE);
    return;
  }
  SECTION("the handle was shut down") {
    pgcache_shutdown(store.cache.raw());
    CHECK(on(store.cache, pg, "t") == PGCACHE_CLOSED);
    CHECK(pg.one("SELECT 1") == "1");
    return;
  }
  CHECK(on(store.cache, pg, "t") == PGCACHE_OK);
}

TEST_CASE("After an error inside of a transaction that goes on", "[rule:inside][on]") {
  Store store;
  Pg pg(url());
  pg.exec("CREATE TEMP TABLE mine (a int); BEGIN; INSERT INTO mine VALUES (1)");
  Schema none;
  const Cache lost = store.open({{"schema", none.name()}});
  CHECK(on(lost, pg, "t") == PGCACHE_SCHEMA_MISSING);
  CHECK(PQtransactionStatus(pg.raw()) == PQTRANS_INTRANS);
  pg.exec("INSERT INTO mine VALUES (2)");
  CHECK(on(store.cache, pg, "t") == PGCACHE_OK);
  pg.exec("COMMIT");
  CHECK(pg.one("SELECT count(*) FROM mine") == "2");
}

TEST_CASE("An answer that does not come breaks the connection off, and the transaction is over", "[rule:limit][on]") {
  Store store;
  fill(store.cache, "k");
  Proxy proxy;
  Pg pg(proxy.conninfo());
  pg.exec("BEGIN");
  CHECK(on(store.cache, pg, "other") == PGCACHE_OK);
  proxy.hold_answers(true);
  const int64_t start = now_ms();
  CHECK(on(store.cache, pg, "orders", deadline(1000)) == PGCACHE_TIMEOUT);
  CHECK(now_ms() - start < 10000);
  CHECK(PQstatus(pg.raw()) == CONNECTION_BAD);
  proxy.cut();
  CHECK(is_there(store.cache));
}

TEST_CASE("With null: nothing is sent; a handle on one connection invalidates on another", "[on][borrowed]") {
  Store store;
  fill(store.cache, "k");
  Pg pg(url()), its(url());
  Config config;
  config.set("url", "null:");
  const Cache off(config);
  CHECK(on(off, pg, "orders") == PGCACHE_OK);
  CHECK(is_there(store.cache));
  pgcache *self = nullptr;
  REQUIRE(pgcache_new_on_connection(&self, store.config().get(), its.raw(), nullptr) == PGCACHE_OK);
  its.exec("BEGIN");
  Names tag;
  tag.tag("orders");
  CHECK(pgcache_invalidate_on(self, pg.raw(), tag.data(), tag.size(), nullptr, nullptr) == PGCACHE_OK);
  CHECK(eventually([&] { return !is_there(store.cache); }));
  its.exec("COMMIT");
  pgcache_free(self);
}

TEST_CASE("Several threads, each on a connection of its own", "[on][threads]") {
  Store store(Settings{{"near_max_bytes", "0"}});
  std::atomic<int> wrong{0};
  in_threads(4, [&](int number) {
    Pg pg(url());
    const string tag = "t" + std::to_string(number), key = "k" + std::to_string(number);
    Names tags;
    const Options options = tags.tag(tag).options();
    for (int i = 0; i < 20; i++) {
      Begun mine = begin(store.cache, key);
      wrong += mine.load.fill("v", options) != PGCACHE_OK;
      const bool commits = i % 2 == 0;
      pg.exec("BEGIN");
      wrong += on(store.cache, pg, tag) != PGCACHE_OK;
      pg.exec(commits ? "COMMIT" : "ROLLBACK");
      wrong += is_there(store.cache, key) == commits;
      wrong += store.cache.remove(key).status < 0;
    }
  });
  CHECK(wrong == 0);
}
