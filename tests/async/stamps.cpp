/*
 * stamps.cpp - entries that only requests read are known as used to whoever evicts, without a call that would tell.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/requests.hpp"

using namespace test;
using std::string;

TEST_CASE("Reads by requests alone are noted as use, when there is a limit to be kept", "[requests][stamps]") {
  Store store;
  Cache cache = store.open({{"access_stamp_ms", "1"}, {"cleanup_share", "100"}});
  REQUIRE(cache.set_limits(PGCACHE_LIMIT_ALL, 1000, 0) == PGCACHE_OK);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  const string used = store.sql("SELECT accessed_at FROM {s}.entries WHERE key = 'k'");
  const string before = store.pg.one(used);
  const Requests requests(cache);
  CHECK(eventually([&] {
    sleep_ms(5);
    REQUIRE(requests.wait(requests.get("k").id).bytes() == "v");
    return store.pg.one(used) > before;
  }));
}
