/*
 * reads.cpp - reads with a near cache: what it answers, what it takes in, and what it must not.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"

#include "support/alloc_fail.hpp"
#include "support/keys.hpp"
#include "support/requests.hpp"

#include <functional>
#include <thread>

using namespace test;
using std::string;

TEST_CASE("What was read once is answered without the server, as the same object", "[rule:near][reads]") {
  Store store;
  Cache cache = store.open(near_on());
  REQUIRE(store.cache.put("k", "value", 600000, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  listens(cache);
  CHECK(copy_of(cache, "k") == "nothing");
  REQUIRE(comes_near(cache, "k", "value"));

  const Answer first = cache.get("k", deadline(0)), second = cache.get("k", deadline(0));
  CHECK(first.value.get() == second.value.get());
  CHECK(second.bytes() == "value");
  CHECK(second.value.format() == PGCACHE_FORMAT_JSON);
  CHECK(second.version == store.cache.get("k").version);
  CHECK(second.value.ttl_ms() <= 600000);
  CHECK(second.value.ttl_ms() > 300000);
  CHECK(cache.exists("k", deadline(0)) == PGCACHE_OK);
  char buffer[5];
  size_t size = 0;
  const Options at_once = deadline(0);
  CHECK(pgcache_get_into(cache.raw(), buffer, 5, &size, "k", 1, &at_once, nullptr) == PGCACHE_OK);
  CHECK(string(buffer, size) == "value");
  CHECK(pgcache_get_into(cache.raw(), buffer, 4, &size, "k", 1, &at_once, nullptr) == PGCACHE_TOO_SMALL);
  CHECK(size == 5);

  Options options = from_store();
  options.deadline_ms = 0;
  CHECK(cache.get("k", options) == PGCACHE_TIMEOUT);
  CHECK(cache.exists("k", options) == PGCACHE_TIMEOUT);
  CHECK(cache.get("k", from_store()).bytes() == "value");
}

TEST_CASE("pgcache_peek() looks and does nothing else", "[rule:near][peek]") {
  Store store;
  Cache cache = store.open(near_on());
  REQUIRE(store.cache.put("k", "value") == PGCACHE_OK);
  CHECK(cache.peek("k") == PGCACHE_MISS);
  CHECK(cache.counters().connections_opened == 0);
  listens(cache);
  CHECK(cache.peek("k") == PGCACHE_MISS);
  REQUIRE(comes_near(cache, "k", "value"));
  const Answer seen = cache.peek("k");
  CHECK(seen.bytes() == "value");
  CHECK(seen.value.get() == cache.get("k", deadline(0)).value.get());
  CHECK(cache.peek("k", from_store()) == PGCACHE_INVALID);
  CHECK(cache.peek("other") == PGCACHE_MISS);
  CHECK(store.cache.peek("k") == PGCACHE_MISS); /* has no near cache */
  CHECK(store.cache.fence() == PGCACHE_OK);
  cache.shutdown();
  CHECK(cache.peek("k") == PGCACHE_CLOSED);
}

TEST_CASE("Reads of the store replace copies, also where nobody has told of the change", "[rule:read_mode][reads]") {
  const bool absences = GENERATE(false, true);
  CAPTURE(absences);
  Deaf deaf(absences ? Settings{{"near_absent_ms", "60000"}} : Settings{});
  REQUIRE(deaf.other.put("k", "one") == PGCACHE_OK);
  REQUIRE(comes_near(deaf.cache, "k", "one"));
  deaf.deafen();

  REQUIRE(deaf.other.put("k", "two") == PGCACHE_OK);
  CHECK(deaf.cache.get("k").bytes() == "one"); /* within the bound */
  CHECK(deaf.cache.get("k", from_store()).bytes() == "two");
  CHECK(deaf.cache.get("k").bytes() == "two");

  REQUIRE(deaf.other.remove("k") == PGCACHE_OK);
  CHECK(deaf.cache.get("k").bytes() == "two");
  CHECK(deaf.cache.get("k", from_store()) == PGCACHE_MISS);
  CHECK(deaf.cache.get("k") == PGCACHE_MISS);
  CHECK(copy_of(deaf.cache, "k") == (absences ? "absent" : "nothing"));

  REQUIRE(deaf.other.put("k", "three") == PGCACHE_OK);
  CHECK(deaf.cache.exists("k", from_store()) == PGCACHE_OK);
  CHECK(deaf.cache.exists("k") == PGCACHE_OK);
  CHECK(deaf.cache.get("k").bytes() == "three");
  REQUIRE(deaf.other.remove("k") == PGCACHE_OK);
  CHECK(deaf.cache.exists("k", from_store()) == PGCACHE_MISS);
  CHECK(deaf.cache.exists("k") == PGCACHE_MISS);

  /* A value that this handle does not let in. */
  Cache small = deaf.store.open(
      near_on({{"near_staleness_ms", "60000"}, {"listen_url", deaf.listening.conninfo()}, {"max_value_bytes", "10"}}));
  deaf.hear();
  REQUIRE(deaf.other.put("k", "four") == PGCACHE_OK);
  listens(small);
  REQUIRE(comes_near(small, "k", "four"));
  deaf.deafen();
  REQUIRE(deaf.other.put("k", string(11, 'x')) == PGCACHE_OK);
  CHECK(small.get("k", from_store()) == PGCACHE_TOO_LARGE);
  CHECK(small.get("k") == PGCACHE_TOO_LARGE);
  deaf.hear();
}

TEST_CASE("Absences are remembered for near_absent_ms, and not without it", "[rule:near][absent]") {
  Store store;
  SECTION("without") {
    Cache cache = store.open(near_on());
    listens(cache);
    CHECK(cache.get("k") == PGCACHE_MISS);
    CHECK(cache.get("k") == PGCACHE_MISS);
    CHECK(copy_of(cache, "k") == "nothing");
    CHECK(cache.counters().near_absent_hits == 0);
    CHECK(cache.counters().near_entries == 0);
  }
  SECTION("with, until somebody writes the key") {
    Cache cache = store.open(near_on({{"near_absent_ms", "60000"}}));
    listens(cache);
    REQUIRE(comes_near(cache, "k", "absent"));
    CHECK(cache.exists("k", deadline(0)) == PGCACHE_MISS);
    CHECK(cache.peek("k") == PGCACHE_MISS);
    char buffer[1];
    size_t size;
    const Options at_once = deadline(0);
    CHECK(pgcache_get_into(cache.raw(), buffer, 1, &size, "k", 1, &at_once, nullptr) == PGCACHE_MISS);
    CHECK(cache.counters().near_absent_hits >= 3);
    REQUIRE(store.cache.put("k", "value") == PGCACHE_OK);
    CHECK(eventually([&] { return cache.get("k").bytes() == "value"; }, 20000));
  }
  SECTION("with, until the time is over") {
    Cache cache = store.open(near_on({{"near_absent_ms", "50"}}));
    listens(cache);
    CHECK(cache.get("k") == PGCACHE_MISS);
    CHECK(eventually([&] { return copy_of(cache, "k") == "nothing"; }));
  }
}

TEST_CASE("What a read was refused is never taken for an absence", "[rule:on_error][absent]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open(near_on({{"url", proxy.conninfo()},
                                    {"listen_url", url()},
                                    {"near_absent_ms", "60000"},
                                    {"on_error", "miss"},
                                    {"breaker_failures", "0"}}));
  REQUIRE(store.cache.put("k", "value") == PGCACHE_OK);
  listens(cache);
  proxy.cut();
  proxy.refuse(true);
  CHECK(cache.get("k") == PGCACHE_MISS);
  CHECK(cache.exists("k") == PGCACHE_MISS);
  Items items;
  items.add("k");
  CHECK(pgcache_get_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(items[0].status == PGCACHE_MISS);
  CHECK(cache.counters().near_absent_hits == 0);
  proxy.refuse(false);
  CHECK(eventually([&] { return cache.get("k").bytes() == "value"; }, 20000));
  proxy.cut();
  proxy.refuse(true);
  CHECK(cache.get("k").bytes() == "value"); /* the server is not needed */
}

TEST_CASE("[A34] What changed while it was fetched is not kept", "[A34][rule:stale][reads]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open(near_on({{"url", proxy.conninfo()}, {"listen_url", url()}}));
  const int rounds = longer(5, 50);
  listens(cache);
  REQUIRE(cache.get("warm") == PGCACHE_MISS); /* there is a connection */
  for (int round = 0; round < rounds; round++) {
    const string key = "k" + std::to_string(round);
    REQUIRE(store.cache.put(key, "one") == PGCACHE_OK);
    listens(cache); /* has heard of it, so that the fetch is not refused because of that */
    const int64_t refused = cache.counters().near_fills_refused;
    proxy.hold_answers(true);
    string read;
    std::thread reader([&] { read = cache.get(key).bytes(); });
    CHECK(eventually([&] { return proxy.holds_answers(); })); /* the server has answered */
    REQUIRE(store.cache.put(key, "two") == PGCACHE_OK);
    listens(cache);
    proxy.hold_answers(false);
    reader.join();
    CHECK(read == "one");
    CHECK(copy_of(cache, key) == "nothing");
    CHECK(cache.get(key).bytes() == "two");
    CHECK(cache.counters().near_fills_refused > refused);
  }
}

TEST_CASE("A copy lives no longer than its entry, and its TTL is counted down", "[rule:ttl][reads]") {
  Deaf deaf;
  REQUIRE(deaf.other.put("read", "v", 1500) == PGCACHE_OK);
  REQUIRE(deaf.cache.put("own", "v", 1500) == PGCACHE_OK);
  REQUIRE(deaf.other.put("long", "v", 600000) == PGCACHE_OK);
  (void)deaf.cache.get("read");
  REQUIRE(comes_near(deaf.cache, "long", "v"));
  const int64_t before = deaf.cache.get("long", deadline(0)).value.ttl_ms();
  for (const char *key : {"read", "own"}) {
    CAPTURE(key);
    CHECK(eventually([&] { return deaf.cache.get(key) == PGCACHE_MISS; }, 20000));
    CHECK(copy_of(deaf.cache, key) == "nothing");
  }
  const int64_t after = deaf.cache.get("long", deadline(0)).value.ttl_ms();
  CHECK(after < before);
  CHECK(after > 600000 - 60000);
}

TEST_CASE("A TTL counts from when a request was sent, not from when its answer came", "[rule:ttl][reads]") {
  Store store;
  Proxy proxy, listening;
  Cache cache = store.open(
      near_on({{"url", proxy.conninfo()}, {"listen_url", listening.conninfo()}, {"near_staleness_ms", "60000"}}));
  listens(cache);
  const Requests requests(cache);
  const int64_t ttl_ms = 60000, held_ms = 700;
  Items items;
  items.add("k");
  const std::pair<const char *, std::function<pgcache_status()>> ways[] = {
      {"get", [&] { return cache.get("k").status; }},
      {"get_many", [&] { return pgcache_get_many(cache.raw(), items.data(), 1, nullptr, nullptr); }},
      {"a submitted get", [&] { return requests.wait(requests.get("k").id).status(); }},
      {"put", [&] { return cache.put("k", "own", ttl_ms).status; }},
      {"a submitted put", [&] { return requests.wait(requests.put("k", "own", {}, ttl_ms).id).status(); }},
  };
  for (const auto &[name, call] : ways) {
    CAPTURE(name);
    REQUIRE(call() >= 0); /* there is a connection, and nothing else to be asked */
    items.clear_results();
    REQUIRE(store.cache.put("k", "v", ttl_ms) == PGCACHE_OK);
    listens(cache);
    REQUIRE(copy_of(cache, "k") == "nothing");
    listening.hold_answers(true); /* else it hears of its own put before the answer, and makes no copy */
    proxy.hold_answers(true);
    bool was_held = false;
    std::thread release([&] {
      was_held = eventually([&] { return proxy.holds_answers(); });
      sleep_ms(static_cast<int>(held_ms));
      proxy.hold_answers(false);
    });
    const pgcache_status status = call();
    const Answer copy = cache.peek("k");
    release.join();
    listening.hold_answers(false);
    CHECK(was_held);
    CHECK(status == PGCACHE_OK);
    REQUIRE(copy == PGCACHE_OK);
    CHECK(copy.value.ttl_ms() <= ttl_ms - held_ms);
    CHECK(copy.value.ttl_ms() > 0);
  }
}

TEST_CASE("Copies are plain values, however they are stored", "[rule:near][encoding][reads]") {
  const KeyFile keys(key_line("a", 'a') + key_line("digest", 'd'));
  const Settings how = GENERATE(Settings{{"compression", "lz4"}}, Settings{{"encryption", "required"}},
                                Settings{{"encryption", "required"}, {"compression", "lz4"}, {"digests", "keyed"}});
  Settings settings{{"keys", keys.source()}};
  settings.insert(settings.end(), how.begin(), how.end());
  Store store(settings);
  Cache cache = store.open(near_on());
  listens(cache);
  const string value(5000, 'z');
  REQUIRE(store.cache.put("read", value) == PGCACHE_OK);
  REQUIRE(comes_near(cache, "read", value));
  REQUIRE(cache.put("own", value) == PGCACHE_OK);
  REQUIRE(comes_near(cache, "own", value));
  REQUIRE(store.cache.put("read", "new") == PGCACHE_OK);
  CHECK(eventually([&] { return cache.get("read").bytes() == "new"; }, 20000));
}

TEST_CASE("The same key in two namespaces is two copies", "[rule:namespace][reads]") {
  Store store;
  Cache cache = store.open(near_on());
  listens(cache);
  for (const char *name : {"a", "b"})
    REQUIRE(cache.put("k", name, in_namespace(name)) == PGCACHE_OK);
  for (const char *name : {"a", "b"}) {
    REQUIRE(eventually([&] {
      (void)cache.get("k", in_namespace(name));
      return copy_of(cache, "k", in_namespace(name)) == name;
    }));
  }
  CHECK(copy_of(cache, "k") == "nothing");
  REQUIRE(cache.remove("k", in_namespace("a")) == PGCACHE_OK);
  CHECK(copy_of(cache, "k", in_namespace("a")) != "a");
  CHECK(cache.get("k", in_namespace("b")).bytes() == "b");
}

TEST_CASE("An answer from a copy takes no memory", "[rule:near][allocation]") {
  Deaf deaf;
  REQUIRE(deaf.other.put("k", "value") == PGCACHE_OK);
  REQUIRE(comes_near(deaf.cache, "k", "value"));
  deaf.deafen();
  /* Soon the listener waits for an answer, and allocates nothing either. */
  CHECK(in_one_of(20, [&] {
    sleep_ms(100);
    Items items;
    items.add("k");
    items.add("k");
    pgcache_value *value = nullptr;
    pgcache_status got, exists, many;
    long asked;
    {
      Allocations allocations(1, Failing::FromThenOn);
      got = pgcache_get(deaf.cache.raw(), &value, "k", 1, nullptr, nullptr);
      exists = pgcache_exists(deaf.cache.raw(), "k", 1, nullptr, nullptr);
      many = pgcache_get_many(deaf.cache.raw(), items.data(), 2, nullptr, nullptr);
      asked = Allocations::count();
    }
    pgcache_value_free(value);
    CHECK(got == PGCACHE_OK);
    CHECK(exists == PGCACHE_OK);
    CHECK(many == PGCACHE_OK);
    return asked == 0;
  }));
  deaf.hear();
}

TEST_CASE("A read whose copy finds no memory is none the worse", "[rule:near][allocation]") {
  Deaf deaf;
  REQUIRE(deaf.other.put("k", "value") == PGCACHE_OK);
  REQUIRE(deaf.cache.get("warm") == PGCACHE_MISS);
  deaf.deafen();
  sleep_ms(100);
  for (const Failing failing : {Failing::Once, Failing::FromThenOn}) {
    for (long n = 1;; n++) {
      CAPTURE(n);
      pgcache_value *value = nullptr;
      pgcache_status got;
      long failed;
      REQUIRE(deaf.cache.put("k", "value") == PGCACHE_OK);
      REQUIRE(deaf.cache.touch("k", 600000) == PGCACHE_OK); /* no copy is left */
      REQUIRE(copy_of(deaf.cache, "k") == "nothing");
      {
        Allocations allocations(n, failing);
        got = pgcache_get(deaf.cache.raw(), &value, "k", 1, nullptr, nullptr);
        failed = Allocations::failed();
      }
      const string bytes = value == nullptr ? "" : static_cast<const char *>(pgcache_value_data(value));
      pgcache_value_free(value);
      if (got == PGCACHE_OK)
        CHECK(bytes == "value");
      else
        CHECK(got == PGCACHE_NO_MEMORY);
      CHECK(deaf.cache.get("k").bytes() == "value");
      if (failed == 0)
        break;
    }
  }
  deaf.hear();
}
