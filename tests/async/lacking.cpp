/*
 * lacking.cpp - a system that has no thread or no descriptor left: requests that need one are refused or fail with a word, each
 * has one completion, and with what was lacking everything works again.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/requests.hpp"
#include "support/system_fails.hpp"

using namespace test;
using std::string;

TEST_CASE("Without a thread or descriptor for the engine a submission is refused, and the next one works",
          "[requests][lacking]") {
  Store store;
  for (const Lacking what : {Lacking::Threads, Lacking::Descriptors}) {
    Cache cache = store.open();
    const Requests requests(cache);
    {
      const SystemFails none(what);
      const Submitted submitted = requests.put("k", "v");
      CHECK(submitted == PGCACHE_NO_MEMORY);
      CHECK(submitted.id == 0);
      CHECK(submitted.error.text().find(what == Lacking::Threads ? "no thread" : "no descriptor") != string::npos);
      CHECK_FALSE(requests.take());
    }
    const Submitted submitted = requests.put("k", "v");
    REQUIRE(submitted == PGCACHE_OK);
    CHECK(requests.wait(submitted.id) == PGCACHE_OK);
  }
}

TEST_CASE("Without a thread to connect on requests wait up to their deadlines, and are told why",
          "[requests][lacking]") {
  Store store;
  Cache cache = store.open();
  const Requests requests(cache);
  {
    const Submitted first = requests.put("k", "v", deadline(0)); /* the engine is there, and no connection */
    REQUIRE(first == PGCACHE_OK);
    REQUIRE(requests.wait(first.id) == PGCACHE_TIMEOUT);
  }
  {
    const SystemFails none(Lacking::Threads);
    const Submitted waits = requests.get("k", deadline(100));
    REQUIRE(waits == PGCACHE_OK);
    const Completion completion = requests.wait(waits.id);
    INFO(completion);
    CHECK(completion == PGCACHE_TIMEOUT);
    CHECK(completion.message().find("no thread") != string::npos);
    const Submitted whole = requests.whole(pgcache_submit_stats);
    REQUIRE(whole == PGCACHE_OK);
    const Completion refused = requests.wait(whole.id);
    CHECK(refused == PGCACHE_NO_MEMORY);
    CHECK(refused.message().find("no thread") != string::npos);
    CHECK_FALSE(requests.take());
  }
  const Submitted put = requests.put("k", "v", deadline(30000));
  REQUIRE(put == PGCACHE_OK);
  CHECK(requests.wait(put.id) == PGCACHE_OK);
  const Submitted whole = requests.whole(pgcache_submit_stats);
  REQUIRE(whole == PGCACHE_OK);
  CHECK(requests.wait(whole.id) == PGCACHE_OK);
}
