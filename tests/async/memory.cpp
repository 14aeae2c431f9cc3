/*
 * memory.cpp - every allocation on a request's way fails once: it is refused, or has exactly one completion, in time; nothing
 * leaks, and the handle works on.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/alloc_fail.hpp"
#include "support/catch.hpp"
#include "support/proxy.hpp"
#include "support/requests.hpp"

using namespace test;
using std::string;

namespace {

struct Operation {
  const char *name;
  bool writes;
  std::function<Submitted(const Requests &, const Options &)> submit;
};

const std::vector<Operation> &operations() {
  static const std::vector<string> keys = [] {
    std::vector<string> all;
    for (int i = 0; i < 40; i++)
      all.push_back("many" + std::to_string(i));
    return all;
  }();
  static const auto many = [](Requests::Many *call) {
    return [call](const Requests &r, const Options &o) {
      Items items;
      for (const auto &key : keys)
        items.add(key, "v");
      return r.many(call, items, o);
    };
  };
  static const std::vector<Operation> all = {
      {"get", false, [](const Requests &r, const Options &o) { return r.get("k", o); }},
      {"put", true, [](const Requests &r, const Options &o) { return r.put("k", "new", o); }},
      {"increment", true, [](const Requests &r, const Options &o) { return r.increment("n", 1, 0, o); }},
      {"compare_and_swap", true,
       [](const Requests &r, const Options &o) { return r.compare_and_swap("k", "w", 1, o); }},
      {"get_many", false, many(pgcache_submit_get_many)},
      {"put_many", true, many(pgcache_submit_put_many)},
      {"remove_many", true, many(pgcache_submit_remove_many)},
      {"flush", true, [](const Requests &r, const Options &o) { return r.flush(PGCACHE_FLUSH_NAMESPACE, o); }},
      {"stats", false, [](const Requests &r, const Options &o) { return r.whole(pgcache_submit_stats, o); }},
      {"keys", false,
       [](const Requests &, const Options &) -> Submitted { throw std::runtime_error("see submit_keys"); }},
  };
  return all;
}

Submitted submit(const Operation &operation, pgcache *self, const Options &options) {
  if (string(operation.name) != "keys")
    return operation.submit(Requests(self), options);
  Submitted s;
  s.status = pgcache_submit_keys(self, &s.id, 10, "m", 1, nullptr, 0, &options, &s.error);
  return s;
}

struct Run {
  pgcache_status made = PGCACHE_OK, submitted = PGCACHE_INVALID, first = PGCACHE_INVALID, again = PGCACHE_INVALID;
  bool completed = false, twice = false;
  long failed = 0;
  size_t left = 0;
  int64_t took = 0;
};

/* One request on a new handle whose n-th allocation fails, and one more behind it. */
Run run(const Config &config, const Operation &operation, long n, Failing failing, int64_t deadline_ms) {
  Run r;
  const int64_t start = now_ms();
  {
    Allocations allocations(n, failing);
    pgcache *self = nullptr;
    r.made = pgcache_new(&self, config.get(), nullptr);
    if (r.made == PGCACHE_OK) {
      const Requests requests(self);
      const Submitted first = submit(operation, self, deadline(deadline_ms));
      r.submitted = first.status;
      if (first == PGCACHE_OK) {
        const Completion completion = requests.wait(first.id, 10000);
        r.completed = static_cast<bool>(completion);
        r.first = completion.status();
      }
      r.twice = static_cast<bool>(requests.take());
      if (failing == Failing::Once) {
        const Submitted second = requests.put("later", "v", deadline(5000));
        r.again = second == PGCACHE_OK ? requests.wait(second.id, 10000).status() : second.status;
      }
    }
    pgcache_free(self);
    r.took = now_ms() - start;
    eventually([&] { return (r.left = Allocations::alive()) == 0; });
    r.failed = Allocations::failed();
  }
  return r;
}

void check(const Run &r, const Operation &operation, long n, Failing failing) {
  INFO(operation.name << ", allocation " << n << (failing == Failing::Once ? " alone" : " and all behind it")
                      << ": made " << pgcache_status_name(r.made) << ", submitted " << pgcache_status_name(r.submitted)
                      << ", first " << pgcache_status_name(r.first) << ", again " << pgcache_status_name(r.again)
                      << ", " << r.took << " ms");
  CHECK(r.left == 0);
  CHECK_FALSE(r.twice);
  CHECK((r.made == PGCACHE_OK || r.made == PGCACHE_NO_MEMORY));
  if (r.made != PGCACHE_OK)
    return;
  CHECK((r.submitted == PGCACHE_OK || r.submitted == PGCACHE_NO_MEMORY));
  if (r.submitted == PGCACHE_OK) {
    CHECK(r.completed);
    CHECK((r.first >= 0 || r.first == PGCACHE_NO_MEMORY || (operation.writes && r.first == PGCACHE_UNKNOWN) ||
           (failing == Failing::FromThenOn && r.first == PGCACHE_TIMEOUT)));
  }
  if (failing == Failing::Once)
    CHECK((r.again == PGCACHE_OK || (r.again == PGCACHE_NO_MEMORY && r.failed > 0)));
}

} // namespace

TEST_CASE("Each allocation on a request's way fails once", "[memory][allocations][rule:once]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  REQUIRE(store.cache.increment("n") == PGCACHE_OK);
  const Config config = store.config();
  for (const Operation &operation : operations()) {
    const string name = operation.name;
    if (!is_long() && name != "get" && name != "put_many" && name != "stats") /* the others in a long run */
      continue;
    long n = 1;
    for (;; n++) {
      const Run r = run(config, operation, n, Failing::Once, 5000);
      check(r, operation, n, Failing::Once);
      if (r.failed == 0)
        break;
      REQUIRE(n < 5000);
    }
    CHECK(n > 20); /* the handle, the engine, a request, a connection: else nothing was tested */
  }
}

TEST_CASE("Memory that is out for good: each request still ends, and no later than its deadline",
          "[memory][allocations][rule:once][rule:late]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  const Config config = store.config();
  for (const Operation &operation : operations()) {
    const string name = operation.name;
    if (!is_long() && name != "get" && name != "put_many") /* the others in a long run */
      continue;
    for (long n = 1;; n++) {
      const Run r = run(config, operation, n, Failing::FromThenOn, 100);
      check(r, operation, n, Failing::FromThenOn);
      INFO(n << ": " << r.took << " ms");
      CHECK(r.took < 8000); /* less than is waited for its completion */
      if (r.failed == 0)
        break;
      REQUIRE(n < 5000);
    }
  }
}

TEST_CASE("Memory that is short for a moment in the middle of many requests", "[memory][allocations][rule:once]") {
  Store store;
  Cache cache = store.open();
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.put("k", "v").id) == PGCACHE_OK);
  size_t refused = 0, failed = 0, done = 0;
  for (long n = 1; n < longer(400, 4000); n += 3) {
    std::vector<uint64_t> ids;
    {
      Allocations allocations(n, Failing::Once);
      for (int i = 0; i < 60; i++) {
        const string key = "k" + std::to_string(i % 30);
        const Submitted submitted = i % 3 == 0   ? requests.put(key, "v")
                                    : i % 3 == 1 ? requests.get(key)
                                                 : requests.touch(key, 60000);
        if (submitted == PGCACHE_OK)
          ids.push_back(submitted.id);
        else
          refused += submitted == PGCACHE_NO_MEMORY ? 1 : 1000000;
      }
      for (const uint64_t id : ids) {
        const Completion completion = requests.wait(id, 10000);
        INFO("allocation " << n << ": " << completion);
        REQUIRE(completion);
        CHECK((completion.status() >= 0 || completion == PGCACHE_NO_MEMORY || completion == PGCACHE_UNKNOWN));
        failed += completion.status() < 0;
        done += completion.status() >= 0;
      }
    }
    REQUIRE_FALSE(requests.take());
  }
  CHECK(refused > 0);
  CHECK(refused < 1000000);
  CHECK(failed > 0);
  CHECK(failed < done);
  CHECK(requests.wait(requests.put("k", "after").id) == PGCACHE_OK);
}

TEST_CASE("Without memory a cancellation of what was sent is told as soon as there is some", "[memory][rule:once]") {
  Store store;
  Proxy proxy;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Cache cache = store.open({{"url", proxy.conninfo()}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.get("k").id) == PGCACHE_OK);
  for (const bool whole : {false, true}) {
    proxy.hold_answers(true);
    const int64_t sent = proxy.bytes(Proxy::TO_SERVER);
    Options options;
    options.deadline_ms = INT64_MAX;
    const Submitted submitted = whole ? requests.whole(pgcache_submit_stats, options) : requests.get("k", options);
    REQUIRE(submitted == PGCACHE_OK);
    REQUIRE(eventually([&] { return proxy.bytes(Proxy::TO_SERVER) > sent; }));
    sleep_ms(20);
    {
      Allocations none(1, Failing::FromThenOn);
      CHECK(requests.cancel(submitted.id) == PGCACHE_OK);
      CHECK(eventually([] { return Allocations::failed() > 0; }));
      CHECK_FALSE(requests.take());
    }
    CHECK(requests.wait(submitted.id, 20000) == PGCACHE_CANCELLED);
    proxy.hold_answers(false);
    CHECK_FALSE(requests.take());
    CHECK(requests.wait(requests.get("k").id).bytes() == "v");
  }
}
