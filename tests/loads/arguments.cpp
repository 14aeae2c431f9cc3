/*
 * arguments.cpp - what callers of loads can get wrong, and callers that were built with an older header.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"

using namespace test;
using std::string;

TEST_CASE("NULL where something is needed is INVALID, in every function of loads", "[rule:refuse][arguments]") {
  Store store;
  pgcache *self = store.cache.raw();
  pgcache_value *value = reinterpret_cast<pgcache_value *>(1);
  pgcache_load *load = reinterpret_cast<pgcache_load *>(1);
  pgcache_error error = PGCACHE_ERROR_INIT, *e = &error;
  CHECK(pgcache_load_begin(nullptr, &value, &load, "k", 1, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(value == nullptr);
  CHECK(load == nullptr);
  CHECK(string(error.message) != "");
  CHECK(pgcache_load_begin(self, nullptr, &load, "k", 1, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_begin(self, &value, nullptr, "k", 1, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_begin(self, &value, &load, nullptr, 1, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_begin(self, &value, &load, "k", 0, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_begin(self, &value, &load, "k", SIZE_MAX, nullptr, nullptr, e) == PGCACHE_TOO_LARGE);
  CHECK(pgcache_load_fill(nullptr, nullptr, "v", 1, 0, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_fill_absent(nullptr, nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_fail(nullptr, &value, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_abandon(nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_extend(nullptr, 1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_invalidate(nullptr, nullptr, 0, nullptr, e) == PGCACHE_INVALID);
  pgcache_load_free(nullptr);

  /* What is refused does not end a load. */
  Begun mine = begin(store.cache, "k");
  REQUIRE(mine == PGCACHE_LEASE);
  CHECK(pgcache_load_fill(mine.load.raw(), nullptr, nullptr, 1, 0, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_fill(mine.load.raw(), nullptr, "v", 1, -1, nullptr, e) == PGCACHE_INVALID);
  CHECK(pgcache_load_fill(mine.load.raw(), nullptr, "v", SIZE_MAX, 0, nullptr, e) == PGCACHE_TOO_LARGE);
  CHECK(mine.load.fill("v", Names().tag("").options()) == PGCACHE_INVALID);
  CHECK(pgcache_load_fail(mine.load.raw(), nullptr, nullptr, e) == PGCACHE_INVALID);
  CHECK(mine.load.abandon(deadline(-2)) == PGCACHE_INVALID);
  CHECK(mine.load.extend(0) == PGCACHE_INVALID);
  CHECK(mine.load.fill("v") == PGCACHE_OK);
}

TEST_CASE("Load options out of range are refused, and those of an older header work",
          "[rule:refuse][rule:sizes][arguments]") {
  Store store;
  const auto refused = [&](void (*change)(How & how)) {
    How how;
    change(how);
    const Begun got = begin(store.cache, "k", how);
    return got == PGCACHE_INVALID && !got.load && got.error.text().size() > 10;
  };
  CHECK(refused([](How &how) { how.ttl_ms = 0; }));
  CHECK(refused([](How &how) { how.stale_ms = -1; }));
  CHECK(refused([](How &how) { how.fail_safe_ms = -1; }));
  CHECK(refused([](How &how) { how.throttle_ms = -1; }));
  CHECK(refused([](How &how) { how.absent_ttl_ms = -1; }));
  CHECK(refused([](How &how) { how.lease_ms = 0; }));
  CHECK(refused([](How &how) { how.lease_ms = PGCACHE_LEASE_MAX + 1LL; }));
  CHECK(refused([](How &how) { how.wait_ms = -2; }));
  CHECK(refused([](How &how) { how.jitter_percent = 51; }));
  CHECK(refused([](How &how) { how.early_percent = 1001; }));
  CHECK(refused([](How &how) { how.struct_size = 8; }));
  How older; /* it has the first field alone, and half of the next, which does not count */
  older.ttl_ms = 60000;
  older.stale_ms = -1;
  older.lease_ms = 0;
  older.struct_size = 20;
  Begun got = begin(store.cache, "k", older);
  REQUIRE(got == PGCACHE_LEASE);
  CHECK(got.load.fill("v") == PGCACHE_OK);
  CHECK(store.cache.get("k").value.ttl_ms() <= 60000);
  CHECK(store.pg.one(store.sql("SELECT expires_at = fresh_until FROM {s}.entries")) == "t");
  How longest;
  longest.ttl_ms = longest.stale_ms = longest.fail_safe_ms = longest.throttle_ms = longest.absent_ttl_ms = INT64_MAX;
  longest.lease_ms = PGCACHE_LEASE_MAX;
  longest.wait_ms = INT64_MAX;
  got = begin(store.cache, "l", longest);
  REQUIRE(got == PGCACHE_LEASE);
  CHECK(got.load.fill("v") == PGCACHE_OK);
  CHECK(store.cache.get("l").value.ttl_ms() == PGCACHE_TTL_NEVER);
}
