/*
 * borrowed.cpp - loads on the application's own connection.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"

#include "pgcache_hooks.h"

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
