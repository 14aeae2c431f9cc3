/*
 * libpq_memory.cpp - each call of libpq that needs memory fails once, while the near cache's listener connects, looks at its place and polls for
 * the first time: whoever waits is told, and with memory everything goes on.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "reader.hpp"

#include "support/libpq_fails.hpp"

#include <set>

using namespace test;
using std::string;

namespace {

bool acceptable(pgcache_status status) {
  return status == PGCACHE_OK || status == PGCACHE_NO_MEMORY || status == PGCACHE_UNAVAILABLE;
}

} // namespace

TEST_CASE("Each call of libpq on the listener's way to its first answers fails once", "[memory][libpq]") {
  Store store;
  std::set<string> failed;
  int told = 0;
  for (long n = 1; n < 1000; n++) {
    Reader reader(store, {{"near_staleness_ms", "1000"}, {"listen_url", url()}});
    REQUIRE(reader.cache.put("k", "v") == PGCACHE_OK); /* the store's own connection is there */
    Answer fenced;
    string who;
    bool reached;
    {
      const LibpqFails fails(n);
      fenced = reader.fence();
      reached = LibpqFails::failed();
      who = LibpqFails::who();
    }
    INFO("call " << n << ", " << who << ": " << fenced);
    CHECK(acceptable(fenced.status));
    told += fenced == PGCACHE_NO_MEMORY;
    if (!reached)
      break;
    failed.insert(who);
    CHECK(eventually([&] { return reader.fence() == PGCACHE_OK && reader.keep("k"); }));
  }
  CHECK(told > 3);
  CHECK(failed.size() >= 4);
}
