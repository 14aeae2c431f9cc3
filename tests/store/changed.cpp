/*
 * changed.cpp - tables, rows and functions changed by hand into what no version of the library ever made: the calls say
 * so, and what still can work does.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

using namespace test;
using std::string;

TEST_CASE("Columns of other types are SCHEMA_CHANGED for a handle that comes new", "[schema][changed]") {
  struct Case {
    const char *change;
    pgcache_status expected;
  };
  for (const Case &one : {
           Case{"ALTER TABLE {s}.cache ALTER schema_version TYPE bigint", PGCACHE_SCHEMA_CHANGED},
           Case{"ALTER TABLE {s}.cache ALTER logged TYPE text", PGCACHE_SCHEMA_CHANGED},
           Case{"ALTER TABLE {s}.cache ALTER system_identifier DROP NOT NULL;"
                "UPDATE {s}.cache SET system_identifier = NULL",
                PGCACHE_SCHEMA_CHANGED},
           Case{"DELETE FROM {s}.cache", PGCACHE_SCHEMA_CHANGED},
           Case{"ALTER TABLE {s}.entries ALTER version TYPE numeric", PGCACHE_SCHEMA_CHANGED},
           Case{"ALTER TABLE {s}.entries ALTER format TYPE bigint", PGCACHE_SCHEMA_CHANGED},
           Case{"ALTER TABLE {s}.entries ALTER fresh_until TYPE text", PGCACHE_SCHEMA_CHANGED},
           Case{"ALTER TABLE {s}.entries ALTER expires_at TYPE date USING current_date + 2", PGCACHE_SCHEMA_CHANGED},
           Case{"ALTER TABLE {s}.entries ALTER value DROP NOT NULL; UPDATE {s}.entries SET value = NULL",
                PGCACHE_SCHEMA_CHANGED},
       }) {
    INFO(one.change);
    Store store;
    REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
    Cache open = store.open();
    REQUIRE(open.get("k") == PGCACHE_OK);
    store.pg.exec(store.sql("DROP VIEW {s}.entries_json")); /* which holds on to the columns */
    store.pg.exec(store.sql(one.change));
    const Answer fresh = store.open().get("k");
    INFO(fresh);
    CHECK(fresh == one.expected);
    CHECK(fresh.error.text().find(store.schema()) != string::npos);
    CHECK_FALSE(fresh.value);
    if (string(one.change).find("entries") != string::npos)
      CHECK(open.get("k") == one.expected); /* also where statements were prepared before */
  }
}

TEST_CASE("init and upgrade refuse a schema whose one row is gone or not alone", "[schema][changed][init]") {
  Store store;
  store.pg.exec(store.sql("CREATE TABLE {s}.kept AS SELECT * FROM {s}.cache; DELETE FROM {s}.cache"));
  CHECK(store.open().init() == PGCACHE_SCHEMA_CHANGED);
  CHECK(store.open().upgrade() == PGCACHE_SCHEMA_CHANGED);
  store.pg.exec(
      store.sql("ALTER TABLE {s}.cache DROP CONSTRAINT cache_pkey;"
                "INSERT INTO {s}.cache SELECT * FROM {s}.kept; INSERT INTO {s}.cache SELECT * FROM {s}.kept"));
  CHECK(store.open().init() == PGCACHE_SCHEMA_CHANGED);
  CHECK(store.open().get("k") == PGCACHE_SCHEMA_CHANGED);
  store.pg.exec(store.sql("DELETE FROM {s}.cache; INSERT INTO {s}.cache SELECT * FROM {s}.kept"));
  CHECK(store.open().init() == PGCACHE_EXISTS);
  CHECK(store.open().get("k") == PGCACHE_MISS);
}

TEST_CASE("A database that was restored on another cluster is emptied by the first who comes", "[schema][epoch]") {
  for (const bool logged : {false, true}) {
    Store store(Settings{{"table", logged ? "logged" : "unlogged"}});
    const int64_t before = store.cache.put("k", "of the old cluster").version;
    const int32_t epoch = store.cache.stats().epoch;
    store.pg.exec(store.sql("UPDATE {s}.cache SET system_identifier = system_identifier + 1"));
    Cache cache = store.open();
    CHECK(cache.get("k") == PGCACHE_MISS);
    CHECK(cache.stats().epoch > epoch);
    const Answer put = cache.put("k", "new");
    CHECK(put == PGCACHE_OK);
    CHECK(put.version > before);
    CHECK(store.open().get("k").bytes() == "new"); /* once */
    CHECK(store.pg.one(store.sql("SELECT system_identifier = (SELECT system_identifier FROM pg_control_system()) "
                                 "FROM {s}.cache")) == "t");
  }
}

TEST_CASE("A new epoch that cannot be made is the call's error, and nothing is stored", "[schema][changed][epoch]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  store.pg.exec(store.sql("CREATE OR REPLACE FUNCTION {s}.new_epoch() RETURNS integer LANGUAGE plpgsql AS "
                          "$$ BEGIN RAISE 'not today' USING ERRCODE = 'P0001'; END $$; DELETE FROM {s}.marker"));
  const Answer put = store.cache.put("k", "new");
  INFO(put);
  CHECK(put == PGCACHE_SERVER_ERROR);
  CHECK(string(put.error.sqlstate) == "P0001");
  CHECK(store.cache.increment("n") == PGCACHE_SERVER_ERROR);
  Items items;
  items.add("k", "new");
  CHECK(pgcache_put_many(store.cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_SERVER_ERROR);
  CHECK(items[0].status == PGCACHE_SERVER_ERROR);
  CHECK(store.cache.get("k").bytes() == "old");
  store.pg.exec(store.sql("UPDATE {s}.cache SET system_identifier = 1"));
  CHECK(store.open().get("k") == PGCACHE_SERVER_ERROR); /* also where another cluster asks for one */
}

TEST_CASE("An increment that the server refuses is not taken for an overflow", "[increment][changed]") {
  Store store;
  REQUIRE(store.cache.increment("n", 5) == PGCACHE_OK);
  store.pg.exec(store.sql("CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                          "RAISE 'no' USING ERRCODE = 'P0001'; END $$;"
                          "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {s}.entries "
                          "FOR EACH ROW EXECUTE FUNCTION {s}.refuse()"));
  const Answer refused = store.cache.increment("n", 1);
  INFO(refused);
  CHECK(refused == PGCACHE_SERVER_ERROR);
  CHECK(string(refused.error.sqlstate) == "P0001");
  CHECK(store.cache.get("n").bytes() == "5");
}

TEST_CASE("flush goes on behind each thousand entries, up to the last digest that there can be", "[flush]") {
  Store store;
  const auto fill = [&](int entries, const string &last) {
    /* Digests 0...01 to 0...0N, and then the last one. */
    store.pg.exec(store.sql(
        "INSERT INTO {s}.entries (digest, version, expires_at, fresh_until, accessed_at, asof, format, flags, "
        "load_ms, namespace, key, dependencies, value) SELECT d::uuid, 1, 'infinity', 'infinity', now(), '3', "
        "0, 0, 0, 'many', '', '{}', 'v' FROM (SELECT lpad(to_hex(i), 32, '0') AS d FROM generate_series(1, " +
        std::to_string(entries) + ") i UNION ALL SELECT '" + last + "') x"));
  };
  const Options many = in_namespace("many");
  REQUIRE(store.cache.put("k", "kept") == PGCACHE_OK);
  const string all_ones(32, 'f');
  for (const int entries : {998, 999, 1000, 1023, 1999, 2500}) {
    INFO(entries << " entries and one");
    for (const string &last : {all_ones, "0000000000000000000000000000ffff" + string()}) {
      fill(entries, last);
      const Answer flushed = store.cache.flush(PGCACHE_FLUSH_NAMESPACE, many);
      CHECK(flushed == PGCACHE_OK);
      CHECK(flushed.number == entries + 1);
      CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries WHERE namespace = 'many'")) == "0");
    }
  }
  CHECK(store.cache.get("k").bytes() == "kept");
}

TEST_CASE("put_many with a value of more than 64 MiB, which is a part of its own", "[A15][rule:batch][large]") {
  Store store(Settings{{"timeout_ms", "300000"}, {"max_value_bytes", "268435456"}});
  const string large(65 * 1024 * 1024, 'x');
  Items items;
  items.add("a", "small");
  items.add("large", large);
  items.add("b", "small");
  CHECK(pgcache_put_many(store.cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
  for (size_t i = 0; i < items.size(); i++) {
    CHECK(items[i].status == PGCACHE_OK);
    CHECK(items[i].version > 0);
  }
  CHECK(store.pg.one(store.sql("SELECT octet_length({s}.get('large'::text))")) == std::to_string(large.size()));
  CHECK(store.cache.get("a").bytes() == "small");
  CHECK(store.cache.get("b").bytes() == "small");
}
