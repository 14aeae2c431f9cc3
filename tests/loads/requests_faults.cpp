/*
 * requests_faults.cpp - requests of loads that are given up, cut off or starved: each has one completion, and no lease is left
 * behind.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "requests.hpp"

#include "support/alloc_fail.hpp"
#include "support/proxy.hpp"

#include <atomic>
#include <map>
#include <random>

using namespace test;
using std::string;

namespace {

/* Leases that are not over; those of throttled failures do not count. */
bool no_lease_is_left(Store &store) {
  return eventually(
      [&] {
        return store.pg.one(store.sql("SELECT count(*) FROM {s}.leases WHERE deadline > clock_timestamp()")) == "0";
      },
      60000);
}

} // namespace

TEST_CASE("A begin that is given up on its way leaves no lease behind", "[rule:late][rule:load][faults]") {
  Store store(Settings{{"near_max_bytes", "0"}});
  Proxy proxy;
  const Cache cache = store.open({{"url", proxy.conninfo()}, {"near_max_bytes", "0"}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.get("k", deadline(60000)).id) == PGCACHE_MISS);
  const auto asked =
      [&] { /* the server has given the lease, and the answer waits in the proxy */
            return eventually([&] { return store.pg.one(store.sql("SELECT count(*) FROM {s}.leases")) == "1"; });
      };
  proxy.hold_answers(true);
  SECTION("cancelled") {
    const Submitted mine = submit_begin(cache, "k", leased({}, 60000), deadline(60000));
    REQUIRE(asked());
    CHECK(requests.cancel(mine.id) == PGCACHE_OK);
    CHECK(requests.wait(mine.id) == PGCACHE_CANCELLED);
    proxy.hold_answers(false);
  }
  SECTION("late") {
    const Submitted mine = submit_begin(cache, "k", leased({}, 60000), deadline(1500));
    CHECK(requests.wait(mine.id) == PGCACHE_TIMEOUT);
    REQUIRE(asked());
    proxy.hold_answers(false);
  }
  SECTION("its completion is never asked for the load") {
    const Submitted mine = submit_begin(cache, "k", leased({}, 60000), deadline(60000));
    REQUIRE(asked());
    proxy.hold_answers(false);
    CHECK(requests.wait(mine.id) == PGCACHE_LEASE);
  }
  CHECK(no_lease_is_left(store));
  Load load = take_load(requests.wait(submit_begin(cache, "k", {}, deadline(60000)).id));
  CHECK(load); /* and nobody leads its flight */
  CHECK_FALSE(requests.take());
}

TEST_CASE("A begin whose connection is lost asks again with the same token, and gets the lease that it has",
          "[rule:load][faults]") {
  Store store(Settings{{"near_max_bytes", "0"}});
  Proxy proxy;
  const Cache cache = store.open({{"url", proxy.conninfo()}, {"near_max_bytes", "0"}});
  const Requests requests(cache);
  for (int i = 0; i < 5; i++) {
    REQUIRE(requests.wait(requests.get("x", deadline(60000)).id) == PGCACHE_MISS);
    proxy.hold_answers(true);
    const Submitted mine = submit_begin(cache, "k", leased({}, 60000), deadline(60000));
    REQUIRE(eventually([&] { return store.pg.one(store.sql("SELECT count(*) FROM {s}.leases")) == "1"; }));
    proxy.cut();
    proxy.hold_answers(false);
    const Completion completion = requests.wait(mine.id);
    INFO(completion);
    CHECK(completion == PGCACHE_LEASE);
    const Load load = take_load(completion);
    REQUIRE(load);
    CHECK(requests.wait(submit_end(pgcache_submit_load_abandon, load, deadline(60000)).id) == PGCACHE_OK);
  }
}

TEST_CASE("[rule:on_error] A server that fails gives a lease whose fill stores nothing", "[rule:on_error][faults]") {
  Store store;
  Proxy proxy;
  const Cache cache = store.open({{"url", proxy.conninfo()}, {"on_error", "miss"}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.get("k", deadline(60000)).id) == PGCACHE_MISS);
  const bool silent = GENERATE(true, false);
  if (silent)
    proxy.black_hole(true);
  else
    proxy.refuse(true), proxy.cut();
  std::vector<uint64_t> ids;
  for (int i = 0; i < 5; i++)
    ids.push_back(submit_begin(cache, "k", waits({}, 100), deadline(600)).id);
  for (const uint64_t id : ids) {
    const Completion completion = requests.wait(id);
    INFO(completion);
    CHECK(completion == PGCACHE_LEASE);
    const Load load = take_load(completion);
    REQUIRE(load);
    CHECK(requests.wait(submit_fill(load, "v").id) == PGCACHE_OK);
  }
  CHECK(store.cache.get("k") == PGCACHE_MISS);
}

TEST_CASE("The handle goes while loads stand in completions, taken and not", "[rule:free][rule:load][faults]") {
  Store store;
  Completion taken, late;
  Cache other = store.open();
  {
    const Requests requests(other);
    taken = requests.wait(submit_begin(other, "taken").id);
    REQUIRE(taken == PGCACHE_LEASE);
    late = requests.wait(submit_begin(other, "late").id);
    REQUIRE(late == PGCACHE_LEASE);
    const Completion dropped = requests.wait(submit_begin(other, "dropped").id);
    REQUIRE(dropped == PGCACHE_LEASE);
    const Submitted waiting = submit_begin(other, "taken", {}, deadline(60000));
    CHECK_FALSE(requests.next(50));
    const Load load = take_load(taken);
    REQUIRE(load);
    pgcache_shutdown(other.raw());
    CHECK(requests.wait(waiting.id) == PGCACHE_CLOSED);
    CHECK(submit_fill(load, "v") == PGCACHE_CLOSED);
    CHECK(submit_end(pgcache_submit_load_fail, load) == PGCACHE_CLOSED);
    CHECK(load.raw() != nullptr);
  } /* the load goes before its handle */
  other = Cache();
  CHECK_FALSE(take_load(late)); /* with the handle it was over */
  CHECK_FALSE(take_load(late));
}

TEST_CASE("A load whose failure is cancelled before it is told is given back", "[rule:late][rule:load][faults]") {
  Store store;
  const Requests requests(store.cache);
  std::vector<Load> loads;
  std::vector<uint64_t> ids;
  for (int i = 0; i < 8; i++) {
    loads.push_back(take_load(requests.wait(submit_begin(store.cache, "k" + std::to_string(i), leased({}, 60000)).id)));
    REQUIRE(loads.back());
  }
  Pg pg(url());
  pg.exec(store.sql("BEGIN; LOCK TABLE {s}.leases IN ACCESS EXCLUSIVE MODE")); /* only a few are told at once */
  for (const Load &load : loads)
    ids.push_back(submit_end(pgcache_submit_load_fail, load, deadline(60000)).id);
  sleep_ms(50);
  for (const uint64_t id : ids)
    requests.cancel(id);
  for (const uint64_t id : ids) {
    const Completion completion = requests.wait(id);
    INFO(completion);
    CHECK((completion == PGCACHE_CANCELLED || completion == PGCACHE_UNKNOWN));
  }
  pg.exec("COMMIT");
  CHECK(no_lease_is_left(store));
}

TEST_CASE("Begins, fills and ends that are cancelled, late and cut off at random have one completion each",
          "[rule:once][rule:load][faults][threads]") {
  Store store;
  Proxy proxy;
  std::map<uint64_t, pgcache_status> all;
  {
    Cache cache = store.open({{"url", proxy.conninfo()}, {"async_connections", "2"}});
    const Requests requests(cache);
    std::mt19937 random(static_cast<unsigned>(seed()));
    std::vector<uint64_t> submitted;
    std::vector<Load> loads;
    const auto note = [&](const Submitted &s) {
      if (s == PGCACHE_OK)
        submitted.push_back(s.id);
      if (random() % 9 == 0)
        requests.cancel(s.id);
    };
    const auto take = [&] {
      for (Completion completion = requests.take(); completion; completion = requests.take()) {
        if (!all.emplace(completion.id(), completion.status()).second)
          throw std::runtime_error("an id was completed twice");
        Load load = take_load(completion);
        if (load && random() % 4 != 0)
          loads.push_back(std::move(load));
      }
    };
    const int steps = longer(3000, 50000);
    for (int i = 0; i < steps; i++) {
      const Options options = deadline(random() % 5 == 0 ? static_cast<int64_t>(random() % 20) : 20000);
      const How how = waits(leased(kept(static_cast<int64_t>(1 + random() % 50), 20, 1000), 500),
                            static_cast<int64_t>(random() % 500));
      note(submit_begin(cache, "k" + std::to_string(random() % 5), how, options));
      if (random() % 6 == 0)
        note(submit_invalidate(cache, Names().key("k" + std::to_string(random() % 5)), options));
      take();
      if (!loads.empty() && random() % 2 == 0) {
        const Load load = std::move(loads.back());
        loads.pop_back();
        switch (random() % 4) {
        case 0:
          note(submit_end(pgcache_submit_load_fail, load, options));
          break;
        case 1:
          note(submit_end(pgcache_submit_load_abandon, load, options));
          break;
        default:
          note(submit_fill(load, "v", options));
          break;
        }
      }
      if (random() % 100 == 0)
        proxy.cut();
    }
    loads.clear();
    const bool shut = GENERATE(true, false);
    if (shut)
      pgcache_shutdown(cache.raw());
    const int64_t end = now_ms() + 60000;
    while (all.size() < submitted.size() && now_ms() < end) {
      requests.readable(100);
      take();
      loads.clear();
    }
    INFO("seed " << seed());
    CHECK(all.size() == submitted.size());
    for (const uint64_t id : submitted)
      REQUIRE(all.count(id) == 1);
    CHECK_FALSE(requests.take());
    for (const auto &each : all) {
      INFO(pgcache_status_name(each.second));
      CHECK((each.second >= 0 || each.second == PGCACHE_TIMEOUT || each.second == PGCACHE_CANCELLED ||
             each.second == PGCACHE_UNKNOWN || each.second == PGCACHE_CLOSED || each.second == PGCACHE_UNAVAILABLE));
    }
  }
  CHECK(no_lease_is_left(store)); /* those of a shutdown end soon */
}

TEST_CASE("Each allocation on the way of a load by requests fails once: refused, or one completion, and nothing leaks",
          "[memory][allocations][rule:once][faults]") {
  Store store;
  const Config config = store.config();
  long n = 1;
  for (long reached = 1; reached > 0; n++) {
    Allocations allocations(n, Failing::Once);
    size_t left = 0;
    bool twice = false, hung = false;
    pgcache *self = nullptr;
    if (pgcache_new(&self, config.get(), nullptr) == PGCACHE_OK) {
      const Requests requests(self);
      const auto done = [&](const Submitted &s) {
        if (s != PGCACHE_OK)
          return Completion();
        Completion completion = requests.wait(s.id, 20000);
        hung = hung || !completion;
        return completion;
      };
      const string key = "k" + std::to_string(n);
      const Completion begun = done(submit_begin(self, key, leased(kept(1, 0, 60000), 300), deadline(15000)));
      Load load = take_load(begun);
      (void)done(submit_begin(self, key, waits({}, 10), deadline(15000)));
      if (load)
        done(submit_fill(load, "value", deadline(15000)));
      load = Load();
      const Completion again = done(submit_begin(self, key, leased(kept(1, 0, 60000), 300), deadline(15000)));
      load = take_load(again);
      if (load)
        done(submit_end(pgcache_submit_load_fail, load, deadline(15000)));
      load = Load();
      const Completion untaken = done(submit_begin(self, key + "u", {}, deadline(15000)));
      Names names;
      names.key(key);
      Submitted invalidation;
      invalidation.status =
          pgcache_submit_invalidate(self, &invalidation.id, names.data(), names.size(), nullptr, nullptr);
      done(invalidation);
      twice = static_cast<bool>(requests.take());
    }
    pgcache_free(self);
    eventually([&] { return (left = Allocations::alive()) == 0; });
    reached = Allocations::failed();
    INFO("allocation " << n);
    CHECK(left == 0);
    CHECK_FALSE(twice);
    CHECK_FALSE(hung);
    REQUIRE(n < 3000);
  }
  CHECK(n > 50);
}
