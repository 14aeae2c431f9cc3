/*
 * borrowed_memory.cpp - each of the library's allocations fails once in work on the application's connection; deadlines
 * that never come; a hook that refuses without a word.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache_hooks.h"
#include "support/alloc_fail.hpp"
#include "support/catch.hpp"
#include "support/server.hpp"

using namespace test;
using std::string;

TEST_CASE("[A52] Without memory a borrowed connection is given back as it came", "[A52][memory][borrowed]") {
  Store store;
  Config config = store.config();
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  for (const bool inside : {false, true}) {
    INFO((inside ? "inside" : "outside"));
    Pg own(url());
    const PGTransactionStatusType found = inside ? PQTRANS_INTRANS : PQTRANS_IDLE;
    if (inside)
      own.exec("BEGIN");
    const long points = fail_each_allocation([&] {
      pgcache *self = nullptr;
      pgcache_value *value = nullptr;
      pgcache_status status = pgcache_new_on_connection(&self, config.get(), own.raw(), nullptr);
      if (status == PGCACHE_OK)
        status = pgcache_get(self, &value, "k", 1, nullptr, nullptr);
      if (status == PGCACHE_OK)
        status = pgcache_put(self, nullptr, "k", 1, "new", 3, 0, PGCACHE_TTL_DEFAULT, nullptr, nullptr);
      pgcache_value_free(value);
      pgcache_free(self);
      CHECK(PQstatus(own.raw()) == CONNECTION_OK);
      CHECK(PQtransactionStatus(own.raw()) == found);
      CHECK(PQisnonblocking(own.raw()) == 0);
      CHECK(PQpipelineStatus(own.raw()) == PQ_PIPELINE_OFF);
      return status;
    });
    CHECK(points >= 8); /* the handle, its store and source, and a few for each operation */
    own.exec(inside ? "ROLLBACK" : "SELECT 1");
  }
}

TEST_CASE("A deadline that never comes is none, for the server and for the hooks", "[borrowed][hooks]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  struct Lent {
    Pg pg{url()};
    int64_t deadline_ms = 0;
    bool refuses = false;
  } lent;
  pgcache_connection_hooks hooks = PGCACHE_CONNECTION_HOOKS_INIT;
  hooks.context = &lent;
  hooks.acquire = [](void *context, int64_t deadline_ms, PGconn **connection, pgcache_error *) {
    Lent *self = static_cast<Lent *>(context);
    self->deadline_ms = deadline_ms;
    if (self->refuses)
      return PGCACHE_UNAVAILABLE;
    *connection = self->pg.raw();
    return PGCACHE_OK;
  };
  hooks.release = [](void *, PGconn *, int) {};
  pgcache *self = nullptr;
  REQUIRE(pgcache_new_with_hooks(&self, store.config().get(), &hooks, nullptr) == PGCACHE_OK);
  Cache cache(self);
  CHECK(cache.get("k", deadline(INT64_MAX)).bytes() == "v");
  CHECK(lent.deadline_ms == INT64_MAX);
  CHECK(lent.pg.one("SHOW statement_timeout") == "0");

  lent.refuses = true;
  const Answer refused = cache.get("k");
  CHECK(refused == PGCACHE_UNAVAILABLE);
  CHECK(refused.error.text().find("acquire hook gave no connection") != string::npos);
  CHECK(cache.get("k", deadline(INT64_MAX)) == PGCACHE_UNAVAILABLE);
}
