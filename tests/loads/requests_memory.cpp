/*
 * requests_memory.cpp - every allocation on the way of a load by requests fails, without a server: what is refused is refused with a
 * word, a load that could not be ended can still be, and nothing leaks.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/requests.hpp"

#include "support/alloc_fail.hpp"

using namespace test;
using std::string;

namespace {

/* The load of a key, which is ended in one way; NO_MEMORY if that or anything before it failed. */
pgcache_status live(const Config &config, int way) {
  pgcache *self = nullptr;
  const pgcache_status made = pgcache_new(&self, config.get(), nullptr);
  if (made != PGCACHE_OK)
    return made;
  const Cache cache(self);
  const Requests requests(cache);
  const auto await = [&](const Submitted &submitted) {
    return submitted == PGCACHE_OK ? requests.wait(submitted.id, 20000).status() : submitted.status;
  };
  const Submitted submitted = submit_begin(cache, "key");
  if (submitted != PGCACHE_OK)
    return submitted.status;
  Completion begun = requests.wait(submitted.id, 20000);
  if (begun != PGCACHE_LEASE)
    return begun.status();
  if (way == 0) { /* nobody takes the load: it is given back with the completion */
    begun = Completion();
    return PGCACHE_OK;
  }
  const Load load = take_load(begun);
  pgcache_status status;
  switch (way) {
  case 1:
    status = await(submit_extend(load, 1000));
    if (status >= 0)
      status = await(submit_fill(load, "value"));
    break;
  case 2:
    status = await(submit_end(pgcache_submit_load_fail, load));
    break;
  case 3:
    status = await(submit_end(pgcache_submit_load_abandon, load));
    break;
  default: {
    uint64_t id = 0;
    status = pgcache_submit_load_fill_absent(load.raw(), &id, nullptr, nullptr);
    if (status == PGCACHE_OK)
      status = requests.wait(id, 20000).status();
  }
  }
  return status == PGCACHE_NO_MEMORY ? status : PGCACHE_OK;
}

} // namespace

TEST_CASE("Each allocation on the way of a submitted load fails, however it ends: it is told, and nothing leaks",
          "[memory][allocations][requests]") {
  Config config;
  config.set("url", "null:");
  for (int way = 0; way < 5; way++) {
    for (const Failing failing : {Failing::Once, Failing::FromThenOn}) {
      int told = 0;
      for (long n = 1;; n++) {
        pgcache_status status;
        size_t left = 0;
        long failed;
        {
          Allocations allocations(n, failing);
          status = live(config, way);
          eventually([&] { return (left = Allocations::alive()) == 0; });
          failed = Allocations::failed();
        }
        INFO("way " << way << ", allocation " << n << ": " << pgcache_status_name(status));
        CHECK(left == 0);
        CHECK((status == PGCACHE_OK || status == PGCACHE_NO_MEMORY));
        told += status == PGCACHE_NO_MEMORY;
        if (failed == 0) {
          CHECK(status == PGCACHE_OK);
          CHECK(told > 5);
          break;
        }
        REQUIRE(n < 1000);
      }
    }
  }
}
