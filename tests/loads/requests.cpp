/*
 * requests.cpp - loads as requests: what they give is what the calls give, nobody waits in a thread, and of many who ask at once
 * one asks the store.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "requests.hpp"

#include "support/proxy.hpp"

#include <atomic>
#include <map>
#include <set>

using namespace test;
using std::string;

namespace {

/* How often a prepared statement of this name was executed through the proxy. */
class Executed {
public:
  explicit Executed(Proxy &proxy, const char *name) : name_(string("\0", 1) + name + string("\0", 1)) {
    proxy.rewrite([this](Proxy::Direction direction, string &data) {
      if (direction != Proxy::TO_SERVER)
        return;
      for (size_t at = 0; (at = data.find(name_, at)) != string::npos; at++)
        count_++;
    });
  }
  int count() const {
    return count_;
  }

private:
  string name_;
  std::atomic<int> count_{0};
};

string leases(Store &store) {
  return store.pg.one(store.sql("SELECT count(*) FROM {s}.leases WHERE deadline > clock_timestamp()"));
}

} // namespace

TEST_CASE("A submitted begin gives a lease, its submitted fill a value to everybody", "[rule:load][requests]") {
  Store store;
  const Requests requests(store.cache);
  const Completion begun = requests.wait(submit_begin(store.cache, "k").id);
  INFO(begun);
  CHECK(begun == PGCACHE_LEASE);
  CHECK(begun.count() == 0);
  Load load = take_load(begun);
  REQUIRE(load);
  CHECK_FALSE(take_load(begun)); /* once */
  const Submitted submitted = submit_fill(load, "value");
  REQUIRE(submitted == PGCACHE_OK);
  CHECK(submit_fill(load, "twice") == PGCACHE_INVALID); /* it has ended with the submission */
  CHECK(load.fill("twice") == PGCACHE_INVALID);
  load.free();
  const Completion filled = requests.wait(submitted.id);
  INFO(filled);
  CHECK(filled == PGCACHE_OK);
  CHECK(filled.version() > 0);
  CHECK(leases(store) == "0");
  for (const Cache &cache : {store.open(), store.open({{"near_max_bytes", "0"}})}) {
    const Completion again = Requests(cache).wait(submit_begin(cache, "k").id);
    CHECK(again == PGCACHE_OK);
    CHECK(again.bytes() == "value");
    CHECK(again.value().version() == filled.version());
    CHECK_FALSE(take_load(again));
  }
}

TEST_CASE("What a call on loads refuses a request refuses, and then there is no completion, and the load goes on",
          "[rule:load][rule:refuse][requests]") {
  Store store(Settings{{"max_value_bytes", "100"}});
  const Requests requests(store.cache);
  How how;
  how.lease_ms = 0;
  CHECK(submit_begin(store.cache, "k", how) == PGCACHE_INVALID);
  CHECK(submit_begin(store.cache, "") == PGCACHE_INVALID);
  CHECK(submit_begin(store.cache, string(PGCACHE_KEY_MAX + 1, 'k')) == PGCACHE_TOO_LARGE);
  Load load = take_load(requests.wait(submit_begin(store.cache, "k").id));
  REQUIRE(load);
  CHECK(submit_fill(load, string(101, 'v')) == PGCACHE_TOO_LARGE);
  Names nameless;
  nameless.tag("");
  CHECK(submit_fill(load, "v", nameless.options()) == PGCACHE_INVALID);
  pgcache_callback callback = PGCACHE_CALLBACK_INIT;
  Options options;
  options.callback = &callback;
  CHECK(submit_fill(load, "v", options) == PGCACHE_INVALID);
  CHECK(submit_end(pgcache_submit_load_fail, load, options) == PGCACHE_INVALID);
  CHECK(submit_end(pgcache_submit_load_abandon, load, options) == PGCACHE_INVALID);
  CHECK(submit_extend(load, 1000, options) == PGCACHE_INVALID);
  CHECK(submit_extend(load, 0) == PGCACHE_INVALID);
  CHECK(submit_extend(load, PGCACHE_LEASE_MAX + 1LL) == PGCACHE_INVALID);
  CHECK(submit_invalidate(store.cache, Names().tag(string(PGCACHE_TAG_MAX + 1, 't'))) == PGCACHE_TOO_LARGE);
  CHECK_FALSE(requests.take());
  CHECK(requests.wait(submit_fill(load, "v").id) == PGCACHE_OK);
  CHECK(pgcache_submit_load_fill(nullptr, nullptr, "v", 1, 0, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_completion_load(nullptr) == nullptr);
}

TEST_CASE("A lease is made longer by a request; one that is over is not", "[rule:load][requests]") {
  Store store;
  const Requests requests(store.cache);
  const auto seconds_left = [&] {
    return std::stod(
        store.pg.one(store.sql("SELECT extract(epoch FROM max(deadline) - clock_timestamp()) FROM {s}.leases")));
  };
  Load load = take_load(requests.wait(submit_begin(store.cache, "k", leased({}, 60000)).id));
  REQUIRE(load);
  CHECK(requests.wait(submit_extend(load, 600000).id) == PGCACHE_OK);
  CHECK(seconds_left() > 500);
  CHECK(requests.wait(submit_extend(load, 60000).id) == PGCACHE_OK);
  CHECK(seconds_left() < 500);
  /* Those who wait in this process wait for the longer lease, too, which ends before the extension is answered. */
  const Submitted waits = submit_begin(store.cache, "k");
  const Submitted extended = submit_extend(load, 600000), filled = submit_fill(load, "value");
  load.free();
  CHECK(requests.wait(filled.id) == PGCACHE_OK);
  const pgcache_status late = requests.wait(extended.id).status();
  CHECK((late == PGCACHE_OK || late == PGCACHE_REFUSED));
  CHECK(requests.wait(waits.id).bytes() == "value");

  Load over = take_load(requests.wait(submit_begin(store.cache, "l").id));
  REQUIRE(over);
  store.pg.exec(store.sql("UPDATE {s}.leases SET deadline = clock_timestamp()"));
  CHECK(requests.wait(submit_extend(over, 60000).id) == PGCACHE_REFUSED);
  CHECK(requests.wait(submit_fill(over, "late").id) == PGCACHE_REFUSED);
  CHECK(store.cache.get("l") == PGCACHE_MISS);
}

TEST_CASE("A load ends by a request in each way that it ends by a call", "[rule:load][requests]") {
  Store store;
  const Requests requests(store.cache);
  const auto begun = [&](const How &how = {}) {
    const Completion completion = requests.wait(submit_begin(store.cache, "k", how).id);
    INFO(completion);
    Load load = take_load(completion);
    REQUIRE(load);
    return load;
  };
  SECTION("abandoned: the next who asks gets the lease") {
    for (int i = 0; i < 3; i++) {
      const Load load = begun();
      CHECK(requests.wait(submit_end(pgcache_submit_load_abandon, load).id) == PGCACHE_OK);
    }
    CHECK(leases(store) == "0");
  }
  SECTION("failed with nothing that may stand in") {
    const Load load = begun();
    CHECK(requests.wait(submit_end(pgcache_submit_load_fail, load).id) == PGCACHE_MISS);
    begun();
  }
  SECTION("failed with something stale: others get it, too, and nobody a lease") {
    How how = kept(1, 0, 60000);
    how.throttle_ms = 60000;
    const Load first = begun(how);
    CHECK(requests.wait(submit_fill(first, "old").id) == PGCACHE_OK);
    Completion stale;
    REQUIRE(eventually([&] { return (stale = requests.wait(submit_begin(store.cache, "k", how).id)) != PGCACHE_OK; }));
    CHECK(stale == PGCACHE_LEASE);
    const Load second = take_load(stale);
    REQUIRE(second);
    const Completion failed = requests.wait(submit_end(pgcache_submit_load_fail, second).id);
    CHECK(failed == PGCACHE_STALE);
    CHECK(failed.bytes() == "old");
    const Completion other = requests.wait(submit_begin(store.cache, "k", how).id);
    CHECK(other == PGCACHE_STALE);
    CHECK(other.bytes() == "old");
    CHECK(pgcache_value_is_stale(pgcache_completion_value(other.get(), 0)) == 1);
    CHECK_FALSE(take_load(other));
  }
  SECTION("there is no value") {
    How how;
    how.absent_ttl_ms = 60000;
    const Load load = begun(how);
    CHECK(requests.wait(submit_end(pgcache_submit_load_fill_absent, load).id) == PGCACHE_OK);
    CHECK(requests.wait(submit_begin(store.cache, "k").id) == PGCACHE_MISS);
    CHECK(requests.wait(submit_invalidate(store.cache, Names().key("k")).id) == PGCACHE_OK);
    begun();
  }
  SECTION("there is no value, and that is not to be remembered") {
    const Load load = begun();
    CHECK(requests.wait(submit_end(pgcache_submit_load_fill_absent, load).id) == PGCACHE_OK);
    begun();
  }
}

TEST_CASE("A submitted invalidation ends what depends on it, and refuses fills of loads that began before",
          "[rule:invalidate][requests]") {
  Store store;
  const Requests requests(store.cache);
  Names tags;
  tags.tag("orders").key("other");
  CHECK(requests.wait(requests.put("untouched", "v").id) == PGCACHE_OK);
  Load filled = take_load(requests.wait(submit_begin(store.cache, "filled").id));
  REQUIRE(filled);
  CHECK(requests.wait(submit_fill(filled, "v", tags.options()).id) == PGCACHE_OK);
  Load late = take_load(requests.wait(submit_begin(store.cache, "late").id));
  REQUIRE(late);
  CHECK(requests.wait(submit_invalidate(store.cache, Names().tag("orders")).id) == PGCACHE_OK);
  CHECK(store.cache.get("filled") == PGCACHE_MISS);
  CHECK(store.cache.get("untouched") == PGCACHE_OK);
  CHECK(requests.wait(submit_fill(late, "v", tags.options()).id) == PGCACHE_REFUSED);
  CHECK(store.cache.get("late") == PGCACHE_MISS);
  CHECK(requests.wait(submit_invalidate(store.cache, Names()).id) == PGCACHE_OK);
}

TEST_CASE("Submitted writes carry what their entries depend on, each its own", "[rule:dependencies][requests]") {
  Store store(Settings{{"near_max_bytes", GENERATE("0", "1048576")}});
  const Requests requests(store.cache);
  Names one, other;
  const Options with_one = one.tag("one").options(), with_other = other.tag("other").key("x").options();
  std::vector<uint64_t> ids;
  for (int i = 0; i < 300; i++) { /* many at once, so that they go together */
    const Options options = i % 3 == 0 ? with_one : i % 3 == 1 ? with_other : Options();
    ids.push_back(requests.put("k" + std::to_string(i), "v", options).id);
  }
  Items items;
  items.add("m1", "v");
  items.add("m2", "v");
  ids.push_back(requests.many(pgcache_submit_put_many, items, with_one).id);
  ids.push_back(requests.add("added", "v", with_one).id);
  ids.push_back(requests.put("replaced", "v", with_other).id);
  ids.push_back(requests.replace("replaced", "w", with_one).id);
  for (const uint64_t id : ids)
    REQUIRE(requests.wait(id) == PGCACHE_OK);
  REQUIRE(requests.wait(submit_invalidate(store.cache, Names().tag("one")).id) == PGCACHE_OK);
  for (int i = 0; i < 300; i++)
    CHECK(store.cache.get("k" + std::to_string(i)) == (i % 3 == 0 ? PGCACHE_MISS : PGCACHE_OK));
  for (const char *key : {"m1", "m2", "added", "replaced"})
    CHECK(store.cache.get(key) == PGCACHE_MISS);
  REQUIRE(requests.wait(submit_invalidate(store.cache, Names().key("x")).id) == PGCACHE_OK);
  for (int i = 0; i < 300; i++)
    CHECK(store.cache.get("k" + std::to_string(i)) == (i % 3 == 2 ? PGCACHE_OK : PGCACHE_MISS));
}

TEST_CASE("[A40] A thousand begins of one key, submitted at once: one load, one question to the store",
          "[A40][rule:load][requests]") {
  Proxy proxy;
  Store store(Settings{{"near_max_bytes", "0"}});
  Executed asked(proxy, "pgcache_begin_load");
  const Cache cache = store.open({{"url", proxy.conninfo()}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.get("k", deadline(60000)).id) == PGCACHE_MISS);
  constexpr size_t COUNT = 1000;
  std::set<uint64_t> ids;
  for (size_t i = 0; i < COUNT; i++) {
    const Submitted submitted = submit_begin(cache, "k", leased({}, 60000), deadline(60000));
    REQUIRE(submitted == PGCACHE_OK);
    ids.insert(submitted.id);
  }
  const Completion first = requests.next();
  REQUIRE(first == PGCACHE_LEASE);
  Load load = take_load(first);
  REQUIRE(load);
  REQUIRE(
      eventually([&] { return cache.counters().load_waits == static_cast<int64_t>(COUNT) - 1; })); /* the others wait */
  CHECK_FALSE(requests.take());
  const Submitted fill = submit_fill(load, "loaded once", deadline(60000));
  REQUIRE(fill == PGCACHE_OK);
  std::map<uint64_t, Completion> all = requests.collect(COUNT, 60000);
  REQUIRE(all.size() == COUNT); /* but the first, and the fill */
  CHECK(all[fill.id] == PGCACHE_OK);
  all.erase(fill.id);
  ids.erase(first.id());
  for (const auto &each : all) {
    CHECK(ids.erase(each.first) == 1);
    CHECK(each.second == PGCACHE_OK);
    CHECK(each.second.bytes() == "loaded once");
    CHECK(each.second.value().version() > 0);
  }
  CHECK(ids.empty());
  CHECK(asked.count() == 1);
  CHECK_FALSE(requests.take());
}

TEST_CASE("Many begins of an entry that is there share few questions", "[rule:load][requests]") {
  Proxy proxy;
  Store store(Settings{{"near_max_bytes", "0"}});
  Executed asked(proxy, "pgcache_begin_load");
  const Cache cache = store.open({{"url", proxy.conninfo()}});
  const Requests requests(cache);
  const pgcache_status expected = GENERATE(PGCACHE_OK, PGCACHE_STALE, PGCACHE_MISS);
  CAPTURE(expected);
  How how = leased(kept(expected == PGCACHE_STALE ? 1 : 600000, 600000), 600000);
  how.absent_ttl_ms = 600000;
  Begun first = begin(store.cache, "k", how);
  REQUIRE(first == PGCACHE_LEASE);
  REQUIRE((expected == PGCACHE_MISS ? first.load.fill_absent() : first.load.fill("v")) == PGCACHE_OK);
  sleep_ms(5);
  const Begun refreshes = begin(store.cache, "k", how); /* with the lease, of what is stale */
  REQUIRE(refreshes == expected);
  REQUIRE(requests.wait(requests.get("k", deadline(60000)).id) ==
          (expected == PGCACHE_OK ? PGCACHE_OK : PGCACHE_MISS)); /* there is a connection */
  constexpr size_t COUNT = 500;
  proxy.hold_answers(true); /* so that no answer comes before the last of them */
  for (size_t i = 0; i < COUNT; i++)
    REQUIRE(submit_begin(cache, "k", how, deadline(60000)) == PGCACHE_OK);
  proxy.hold_answers(false);
  const std::map<uint64_t, Completion> all = requests.collect(COUNT, 60000);
  REQUIRE(all.size() == COUNT);
  for (const auto &each : all) {
    CHECK(each.second == expected);
    CHECK(each.second.bytes() == (expected == PGCACHE_MISS ? "" : "v"));
  }
  INFO(asked.count() << " questions");
  CHECK(asked.count() <= static_cast<int>(COUNT / 2));
}

TEST_CASE("[A44] Whose time to wait is over asks once and is told: BUSY, or what is stale",
          "[A44][rule:load][requests]") {
  Store store;
  const Requests requests(store.cache);
  Cache other = store.open();
  SECTION("there is nothing") {
    const Begun theirs = begin(other, "k", leased({}, 60000));
    REQUIRE(theirs == PGCACHE_LEASE);
    CHECK(requests.wait(submit_begin(store.cache, "k", waits({}, 0)).id) == PGCACHE_BUSY);
    const int64_t start = now_ms();
    CHECK(requests.wait(submit_begin(store.cache, "k", waits({}, 300)).id) == PGCACHE_BUSY);
    CHECK(now_ms() - start >= 300);
  }
  SECTION("one of this process is loading") {
    const Load mine = take_load(requests.wait(submit_begin(store.cache, "k", leased({}, 60000)).id));
    REQUIRE(mine);
    CHECK(requests.wait(submit_begin(store.cache, "k", waits({}, 0)).id) == PGCACHE_BUSY);
    CHECK(requests.wait(submit_begin(store.cache, "k", waits({}, 100)).id) == PGCACHE_BUSY);
    CHECK(begin(store.cache, "k", waits({}, 50)) == PGCACHE_BUSY);
  }
  SECTION("something stale is there") {
    const How how = kept(1, 0, 60000);
    load(other, "k", "old", how);
    Begun theirs;
    REQUIRE(eventually([&] { return static_cast<bool>((theirs = begin(other, "k", leased(how, 60000))).load); }));
    const Completion mine = requests.wait(submit_begin(store.cache, "k", waits(how, 100)).id);
    CHECK(mine == PGCACHE_STALE);
    CHECK(mine.bytes() == "old");
  }
}

TEST_CASE("Who waits for a load of another process is told when it ends", "[rule:load][requests]") {
  const bool near = GENERATE(true, false);
  Store store(Settings{{"near_max_bytes", near ? "1048576" : "0"}});
  const Requests requests(store.cache);
  Cache other = store.open();
  INFO((near ? "with" : "without") << " a near cache");
  Begun theirs = begin(other, "k", leased({}, 60000));
  REQUIRE(theirs == PGCACHE_LEASE);
  std::vector<uint64_t> ids;
  for (int i = 0; i < 20; i++)
    ids.push_back(submit_begin(store.cache, "k", {}, deadline(60000)).id);
  CHECK_FALSE(requests.next(100));
  SECTION("filled") {
    REQUIRE(theirs.load.fill("theirs") == PGCACHE_OK);
    for (const uint64_t id : ids) {
      const Completion mine = requests.wait(id);
      CHECK(mine == PGCACHE_OK);
      CHECK(mine.bytes() == "theirs");
    }
  }
  SECTION("given back: one of these loads") {
    REQUIRE(theirs.load.abandon() == PGCACHE_OK);
    const Completion first = requests.next();
    REQUIRE(first == PGCACHE_LEASE);
    CHECK_FALSE(requests.next(100));
    const Load mine = take_load(first);
    CHECK(submit_fill(mine, "mine") == PGCACHE_OK);
    CHECK(requests.collect(ids.size()).size() == ids.size());
  }
}

TEST_CASE("Calls and requests wait for each other's loads", "[rule:load][requests]") {
  Store store(Settings{{"near_max_bytes", "0"}});
  const Requests requests(store.cache);
  SECTION("a request waits for a call") {
    Begun mine = begin(store.cache, "k", leased({}, 60000));
    REQUIRE(mine == PGCACHE_LEASE);
    const Submitted waiting = submit_begin(store.cache, "k", {}, deadline(60000));
    CHECK_FALSE(requests.next(100));
    REQUIRE(mine.load.fill("v") == PGCACHE_OK);
    CHECK(requests.wait(waiting.id).bytes() == "v");
  }
  SECTION("a request takes over from a call whose time is over") {
    const Begun mine = begin(store.cache, "k", leased({}, 200));
    REQUIRE(mine == PGCACHE_LEASE);
    CHECK(requests.wait(submit_begin(store.cache, "k", {}, deadline(60000)).id) == PGCACHE_LEASE);
  }
  SECTION("a call waits for a request") {
    Load mine = take_load(requests.wait(submit_begin(store.cache, "k", leased({}, 60000)).id));
    REQUIRE(mine);
    in_threads(2, [&](int number) {
      if (number == 0) {
        sleep_ms(50);
        if (requests.wait(submit_fill(mine, "v").id) != PGCACHE_OK)
          throw std::runtime_error("the fill");
      } else if (begin(store.cache, "k", {}, deadline(60000)).bytes() != "v") {
        throw std::runtime_error("the call");
      }
    });
  }
}

TEST_CASE("A stale value is given at once, and to one with the lease to refresh it", "[rule:freshness][requests]") {
  Store store;
  const Requests requests(store.cache);
  const How how = kept(1, 60000);
  load(store.cache, "k", "old", how);
  std::vector<uint64_t> ids;
  Completion first;
  REQUIRE(eventually([&] { return (first = requests.wait(submit_begin(store.cache, "k", how).id)) == PGCACHE_STALE; }));
  const Load refresh = take_load(first);
  CHECK(refresh);
  CHECK(first.bytes() == "old");
  for (int i = 0; i < 50; i++)
    ids.push_back(submit_begin(store.cache, "k", how).id);
  for (const uint64_t id : ids) {
    const Completion other = requests.wait(id);
    CHECK(other == PGCACHE_STALE);
    CHECK(other.bytes() == "old");
    CHECK_FALSE(take_load(other));
  }
  CHECK(requests.wait(submit_fill(refresh, "new").id) == PGCACHE_OK);
}

TEST_CASE("An entry near its end is refreshed early by one, and given to all", "[rule:freshness][requests]") {
  const bool near = GENERATE(true, false);
  Store store(Settings{{"near_max_bytes", near ? "1048576" : "0"}});
  const Requests requests(store.cache);
  How how = kept(60000);
  how.early_percent = 1000;
  {
    Load load = take_load(requests.wait(submit_begin(store.cache, "k", how).id));
    REQUIRE(load);
    store.pg.exec("SELECT pg_sleep(0.02)"); /* so that it took some time */
    REQUIRE(load.fill("v") == PGCACHE_OK);
  }
  store.pg.exec(store.sql("UPDATE {s}.entries SET load_ms = 30000 WHERE key = 'k'")); /* as if it took half its life */
  const Cache fresh = store.open();
  const Requests others(fresh);
  Completion mine;
  REQUIRE(eventually([&] {
    mine = others.wait(submit_begin(fresh, "k", how).id);
    if (mine != PGCACHE_OK)
      throw std::runtime_error("not fresh");
    return static_cast<bool>(pgcache_completion_load(nullptr) != nullptr) || leases(store) == "1";
  }));
  CHECK(mine.bytes() == "v");
  const Load refresh = take_load(mine);
  CHECK(refresh);
  for (int i = 0; i < 20; i++) {
    const Completion other = others.wait(submit_begin(fresh, "k", how).id);
    CHECK(other == PGCACHE_OK);
    CHECK_FALSE(take_load(other));
  }
  CHECK(others.wait(submit_fill(refresh, "w").id) == PGCACHE_OK);
}

TEST_CASE("[A43] A load that needs other loads, and many of them, all as requests on one thread",
          "[A43][rule:load][requests]") {
  Store store(Settings{{"async_connections", "1"}});
  const Requests requests(store.cache);
  constexpr int DEPTH = 20;
  std::vector<Load> loads;
  for (int i = 0; i < DEPTH; i++) {
    const Completion completion = requests.wait(submit_begin(store.cache, "k" + std::to_string(i)).id);
    REQUIRE(completion == PGCACHE_LEASE);
    loads.push_back(take_load(completion));
  }
  std::vector<uint64_t> waiting;
  for (int i = 0; i < DEPTH; i++) /* who waits keeps nobody from going on, nor from using the cache otherwise */
    waiting.push_back(submit_begin(store.cache, "k" + std::to_string(i), {}, deadline(60000)).id);
  CHECK(requests.wait(requests.put("x", "y").id) == PGCACHE_OK);
  for (int i = DEPTH; i-- > 0;)
    CHECK(requests.wait(submit_fill(loads[i], std::to_string(i)).id) == PGCACHE_OK);
  for (int i = 0; i < DEPTH; i++)
    CHECK(requests.wait(waiting[i]).bytes() == std::to_string(i));
}

TEST_CASE("null: gives leases whose fills store nothing, and requests on the application's connections are refused",
          "[rule:load][requests]") {
  Config config;
  config.set("url", "null:");
  const Cache cache(config);
  const Requests requests(cache);
  for (int i = 0; i < 2; i++) {
    const Completion begun = requests.wait(submit_begin(cache, "k").id);
    CHECK(begun == PGCACHE_LEASE);
    const Load load = take_load(begun);
    REQUIRE(load);
    CHECK(requests.wait(submit_fill(load, "v").id) == PGCACHE_OK);
  }
  CHECK(requests.wait(submit_invalidate(cache, Names().tag("t")).id) == PGCACHE_OK);
  Store store;
  const Pg pg(url());
  pgcache *self = nullptr;
  REQUIRE(pgcache_new_on_connection(&self, store.config().get(), pg.raw(), nullptr) == PGCACHE_OK);
  CHECK(submit_begin(self, "k") == PGCACHE_UNSUPPORTED);
  pgcache_free(self);
}
