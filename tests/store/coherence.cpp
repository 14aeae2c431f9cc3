/*
 * coherence.cpp - schemas whose writes tell nobody of themselves (coherence=off), and that no near cache can be beside one.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <cstring>
#include <functional>
#include <map>

using namespace test;
using std::string;

namespace {

const Settings OFF = {{"coherence", "off"}};

struct Writer {
  Store &store;
  Cache &cache;

  string rows() {
    return store.pg.one(store.sql("SELECT count(*) FROM {s}.changes"));
  }

  void load(const char *key, const std::function<pgcache_status(pgcache_load *)> &end) {
    pgcache_value *value = nullptr;
    pgcache_load *load = nullptr;
    REQUIRE(pgcache_load_begin(cache.raw(), &value, &load, key, strlen(key), nullptr, nullptr, nullptr) ==
            PGCACHE_LEASE);
    CHECK(end(load) == PGCACHE_OK);
    pgcache_load_free(load);
  }

  /* Every kind of write there is, each with its outcome. */
  std::map<string, std::function<void()>> all() {
    return {
        {"put", [&] { CHECK(cache.put("k", "v") == PGCACHE_OK); }},
        {"put_many",
         [&] {
           Items items;
           items.add("m1", "v");
           items.add("m2", "v");
           CHECK(pgcache_put_many(cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
         }},
        {"add", [&] { CHECK(cache.add("a", "v") == PGCACHE_OK); }},
        {"replace", [&] { CHECK(cache.replace("there", "v") == PGCACHE_OK); }},
        {"compare_and_swap",
         [&] { CHECK(cache.compare_and_swap("there", "v", cache.get("there").version) == PGCACHE_OK); }},
        {"touch", [&] { CHECK(cache.touch("there", 100000) == PGCACHE_OK); }},
        {"increment", [&] { CHECK(cache.increment("n", 5).number == 5); }},
        {"remove", [&] { CHECK(cache.remove("gone") == PGCACHE_OK); }},
        {"remove_many",
         [&] {
           Items items;
           items.add("gone1");
           items.add("gone2");
           CHECK(pgcache_remove_many(cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
         }},
        {"load_fill",
         [&] {
           load("filled", [&](pgcache_load *self) {
             return pgcache_load_fill(self, nullptr, "v", 1, PGCACHE_FORMAT_BYTES, nullptr, nullptr);
           });
         }},
        {"load_abandon",
         [&] { load("left", [&](pgcache_load *self) { return pgcache_load_abandon(self, nullptr, nullptr); }); }},
        {"flush", [&] { CHECK(cache.flush(PGCACHE_FLUSH_NAMESPACE).number > 0); }},
        {"SQL put", [&] { store.pg.exec(store.sql("SELECT {s}.put('s', 'v'::bytea)")); }},
    };
  }

  void prepare() {
    for (const char *key : {"there", "gone", "gone1", "gone2"})
      REQUIRE(cache.put(key, "v") == PGCACHE_OK);
  }
};

} // namespace

TEST_CASE("Without coherence no write leaves an event, and with it each does", "[coherence][direct]") {
  for (const char *prepared : {"on", "off"}) {
    for (const bool coherent : {true, false}) {
      Store store(Settings{{"coherence", coherent ? "on" : "off"}, {"prepared", prepared}});
      Writer writer{store, store.cache};
      for (const auto &[name, write] : writer.all()) {
        INFO(name << ", prepared=" << prepared << ", coherent " << coherent);
        writer.prepare();
        store.pg.exec(store.sql("DELETE FROM {s}.changes"));
        write();
        CHECK((writer.rows() != "0") == coherent);
      }
    }
  }
}

TEST_CASE("Without coherence there is no near cache: what anybody writes is read at once", "[coherence]") {
  Store store(OFF);
  const Settings wants_copies = {{"near_max_bytes", "67108864"}, {"near_absent_ms", "60000"}};
  Cache one = store.open(wants_copies), two = store.open(wants_copies);
  for (int i = 0; i < 50; i++) {
    const string value = std::to_string(i);
    REQUIRE(two.put("k", value) == PGCACHE_OK);
    CHECK(one.get("k").bytes() == value);
    CHECK(one.get("k").bytes() == value);
    store.pg.exec(store.sql("SELECT {s}.remove('k')"));
    CHECK(one.get("k") == PGCACHE_MISS);
  }
  CHECK(one.peek("k") == PGCACHE_MISS);
  CHECK(one.counters().near_hits == 0);
  CHECK(one.counters().near_fills == 0);
  CHECK(one.stats().pool_open == 1); /* nobody listens */
  CHECK(store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%" + store.schema() + "%'") ==
        "0");
}

TEST_CASE("A handle and a schema that disagree on coherence do not come together", "[coherence][schema]") {
  for (const bool coherent : {true, false}) {
    const string is = coherent ? "on" : "off", other = coherent ? "off" : "on";
    Store store(Settings{{"coherence", is}});
    Cache wrong = store.open({{"coherence", other}});
    for (const Answer &answer : {wrong.put("k", "v"), wrong.get("k"), wrong.init(), wrong.upgrade()}) {
      INFO(answer);
      CHECK(answer == PGCACHE_SCHEMA_DIFFERS);
      CHECK(answer.error.text().find("was made with coherence=" + is + " and the setting is coherence=" + other +
                                     "; set coherence=" + is) != string::npos);
    }
    CHECK(store.cache.get("k") == PGCACHE_MISS);
    CHECK(store.cache.init() == PGCACHE_EXISTS);
  }
}

namespace {

/* Makes the schema anew, with other settings. */
void make_anew(Store &store, const Settings &settings) {
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  REQUIRE(store.open(settings).init() == PGCACHE_OK);
}

} // namespace

TEST_CASE("Another schema in the place of one without coherence: no write goes there without an event",
          "[coherence][direct]") {
  for (const char *prepared : {"on", "off"}) {
    INFO(prepared);
    Store store(Settings{{"coherence", "off"}, {"prepared", prepared}});
    REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
    make_anew(store, {{"coherence", "on"}, {"prepared", prepared}});
    const Answer first = store.cache.put("k", "w"), second = store.cache.put("k", "w");
    INFO(first << second);
    CHECK((first == PGCACHE_SCHEMA_CHANGED || first == PGCACHE_SCHEMA_DIFFERS));
    CHECK(second == PGCACHE_SCHEMA_DIFFERS);
    CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
  }
}

TEST_CASE("Another schema, without coherence, in the place of one: near caches give nothing of the old one",
          "[coherence][direct]") {
  Store store(Settings{{"near_max_bytes", "16777216"}});
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  REQUIRE(eventually([&] {
    store.cache.get("k");
    return store.cache.counters().near_hits > 0;
  }));
  make_anew(store, OFF);
  REQUIRE(store.open(OFF).put("k", "new") == PGCACHE_OK);
  sleep_ms(2500); /* the bound and more */
  const int64_t hits = store.cache.counters().near_hits;
  for (int i = 0; i < 20; i++) {
    const Answer got = store.cache.get("k");
    INFO(got);
    CHECK((got.status < 0 || got.bytes() == "new"));
    sleep_ms(10);
  }
  CHECK(store.cache.counters().near_hits == hits);
}
