/*
 * borrowed.cpp - loads on the application's own connection.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"

#include "pgcache_hooks.h"

#include <atomic>
#include <thread>

using namespace test;

TEST_CASE("A lease is refused where what is loaded would be older than it", "[rule:guard][borrowed]") {
  Store store;
  Pg pg(url());
  const Config config = store.config();
  pgcache *made = nullptr;
  REQUIRE(pgcache_new_on_connection(&made, config.get(), pg.raw(), nullptr) == PGCACHE_OK);
  Cache cache(made);
  for (const char *level : {"REPEATABLE READ", "SERIALIZABLE"}) {
    INFO(level);
    pg.exec(std::string("BEGIN ISOLATION LEVEL ") + level);
    const Begun refused = begin(cache, "k");
    INFO(refused);
    CHECK(refused == PGCACHE_INVALID);
    CHECK_FALSE(refused.load);
    CHECK(pg.one("SELECT 1") == "1"); /* the transaction goes on */
    pg.exec("COMMIT");
    CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.leases")) == "0");
  }
  Begun outside = begin(cache, "k");
  REQUIRE(outside == PGCACHE_LEASE);
  CHECK(outside.load.fill("v") == PGCACHE_OK);
  pg.exec("BEGIN ISOLATION LEVEL READ COMMITTED");
  Begun inside = begin(cache, "l");
  REQUIRE(inside == PGCACHE_LEASE);
  CHECK(inside.load.fill("v") == PGCACHE_OK);
  pg.exec("COMMIT");
  CHECK(store.cache.get("l").bytes() == "v");
}

namespace {

/* Each thread has a connection of its own. */
thread_local Pg *own = nullptr;

pgcache_status lend(void *, int64_t, PGconn **connection, pgcache_error *) {
  *connection = own->raw();
  return PGCACHE_OK;
}

void take_back(void *, PGconn *, int) {}

} // namespace

TEST_CASE("What was loaded in a transaction is nobody else's before the commit, in the same process neither",
          "[rule:inside][rule:guard][borrowed][threads]") {
  const bool commits = GENERATE(true, false);
  CAPTURE(commits);
  Store store;
  const Config config = store.config({{"timeout_ms", "60000"}});
  pgcache_connection_hooks hooks = PGCACHE_CONNECTION_HOOKS_INIT;
  hooks.acquire = lend;
  hooks.release = take_back;
  pgcache *made = nullptr;
  REQUIRE(pgcache_new_with_hooks(&made, config.get(), &hooks, nullptr) == PGCACHE_OK);
  Cache cache(made);
  Pg one(url()), other(url());
  own = &one;
  one.exec("BEGIN");
  Begun first = begin(cache, "k");
  REQUIRE(first == PGCACHE_LEASE);
  Begun second;
  std::atomic<bool> told{false};
  std::thread waits([&] {
    own = &other;
    second = begin(cache, "k");
    told = true;
  });
  CHECK(eventually([&] { return cache.counters().load_waits == 1; }, 20000));
  const Answer filled = first.load.fill("v");
  INFO(filled);
  CHECK(filled == PGCACHE_OK);
  CHECK_FALSE(eventually([&] { return told.load(); }, 300));
  one.exec(commits ? "COMMIT" : "ROLLBACK");
  waits.join();
  INFO(second);
  if (commits) {
    CHECK(second == PGCACHE_OK);
    CHECK(second.bytes() == "v");
  } else {
    CHECK(second == PGCACHE_LEASE);
  }
  own = &other;
  second.load.free();
}
