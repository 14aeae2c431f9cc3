/*
 * schema.cpp - making the schema, its names, its versions, and what happens when somebody changes it by hand.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <atomic>
#include <mutex>
#include <thread>

using namespace test;
using std::string;

namespace {

string init_sql(const Config &config) {
  pgcache_value *out = nullptr;
  Error error;
  if (pgcache_init_sql(&out, config.get(), &error) != PGCACHE_OK)
    throw std::runtime_error(error.text());
  return Value(out).bytes();
}

/* What the server knows of a schema: its tables, columns, functions, and options, without object numbers. */
std::vector<Row> description(Pg &pg, const string &schema) {
  auto rows =
      pg.query("SELECT c.relname, c.relkind, c.relpersistence, coalesce(array_to_string(c.reloptions, ','), ''), "
               "coalesce((SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || "
               "a.attstorage::text || a.attnotnull::text, ', ' ORDER BY a.attnum) FROM pg_attribute a "
               "WHERE a.attrelid = c.oid AND a.attnum > 0), '') "
               "FROM pg_class c WHERE c.relnamespace = '" +
               schema + "'::regnamespace ORDER BY 1");
  for (auto &row : pg.query("SELECT proname, pg_get_function_arguments(oid), prorettype::regtype, '', '' FROM pg_proc "
                            "WHERE pronamespace = '" +
                            schema + "'::regnamespace ORDER BY 1, 2")) {
    rows.push_back(row);
  }
  return rows;
}

} // namespace

TEST_CASE("[A20] init makes the schema, and a second init finds it", "[A20][init]") {
  Schema schema;
  Config config;
  config.set("url", url()).set("schema", schema.name());
  Cache cache(config);
  const Answer before = cache.get("k");
  CHECK(before == PGCACHE_SCHEMA_MISSING);
  CHECK(before.error.text().find(schema.name()) != string::npos);
  CHECK(before.error.text().find("init") != string::npos);
  CHECK(cache.put("k", "v") == PGCACHE_SCHEMA_MISSING);
  CHECK(cache.upgrade() == PGCACHE_SCHEMA_MISSING);
  CHECK(cache.init() == PGCACHE_OK);
  CHECK(cache.init() == PGCACHE_EXISTS);
  CHECK(cache.upgrade() == PGCACHE_EXISTS);
  CHECK(cache.put("k", "v") == PGCACHE_OK); /* the handle that saw it missing sees it now */
  CHECK(Cache(config).init() == PGCACHE_EXISTS);
  CHECK(cache.get("k").bytes() == "v"); /* init keeps what is there */
}

TEST_CASE("[A20] Eight inits at once all succeed", "[A20][init][threads]") {
  for (int round = 0; round < longer(3, 50); round++) {
    Schema schema;
    std::atomic<int> made{0}, found{0};
    string trouble;
    std::mutex mutex;
    in_threads(8, [&](int) {
      Config config;
      config.set("url", url()).set("schema", schema.name());
      Cache cache(config);
      const Answer answer = cache.init();
      made += answer == PGCACHE_OK;
      found += answer == PGCACHE_EXISTS;
      if (answer.status < 0) {
        std::lock_guard<std::mutex> lock(mutex);
        trouble = string(pgcache_status_name(answer.status)) + ": " + answer.error.message;
      }
      if (cache.put("k", "v") != PGCACHE_OK)
        made += 100;
    });
    INFO(trouble);
    CHECK(made == 1);
    CHECK(found == 7);
  }
}

TEST_CASE("[A20] Eight inits at once through one handle", "[A20][init][threads]") {
  Schema schema;
  Config config;
  config.set("url", url()).set("schema", schema.name());
  Cache cache(config);
  std::atomic<int> made{0}, found{0};
  in_threads(8, [&](int) {
    const Answer answer = cache.init();
    made += answer == PGCACHE_OK;
    found += answer == PGCACHE_EXISTS;
  });
  CHECK(made == 1);
  CHECK(found == 7);
}

TEST_CASE("[A20] The SQL of init is printed without a server and makes the same schema", "[A20][init]") {
  for (const char *table : {"unlogged", "logged"}) {
    Schema by_hand, by_library;
    Config config;
    config.set("schema", by_hand.name()).set("table", table);
    const string sql = init_sql(config);
    CHECK(sql.find(":") != string::npos);
    CHECK(sql.find(":\"") == string::npos); /* nothing left to fill in */
    CHECK(sql.find(":'") == string::npos);
    CHECK(sql.find(":persistence") == string::npos);
    Pg pg(url());
    pg.exec(sql);
    Cache cache(config.set("url", url()));
    CHECK(cache.init() == PGCACHE_EXISTS);
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
    CHECK(cache.get("k").bytes() == "v");
    Cache other(config.set("schema", by_library.name()));
    REQUIRE(other.init() == PGCACHE_OK);
    CHECK(description(pg, by_hand.name()).size() > 20);
    CHECK(description(pg, by_hand.name()) == description(pg, by_library.name()));
  }
  CHECK(pgcache_init_sql(nullptr, nullptr, nullptr) == PGCACHE_INVALID);
  pgcache_value *out = reinterpret_cast<pgcache_value *>(1);
  CHECK(pgcache_init_sql(&out, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(out == nullptr);
}

TEST_CASE("The table is as documented: storage, fillfactor, no index but the key's, no compression",
          "[schema][direct]") {
  Store store;
  CHECK(store.pg.one(store.sql("SELECT attstorage FROM pg_attribute WHERE attrelid = '{s}.entries'::regclass "
                               "AND attname = 'value'")) == "e");
  /* All options that there are, those of the out-of-line values, too: what is not set is the server's. */
  const auto options = [](Store &of) {
    return of.pg.query(of.sql("SELECT array_to_string(c.reloptions, ' '), array_to_string(t.reloptions, ' ') "
                              "FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid "
                              "WHERE c.oid = '{s}.entries'::regclass"))[0];
  };
  const string vacuum = "autovacuum_vacuum_scale_factor=0.05 autovacuum_vacuum_cost_delay=0";
  const Row usual = {"fillfactor=70 " + vacuum + " autovacuum_analyze_scale_factor=0.2", vacuum};
  CHECK(options(store) == usual);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM pg_index WHERE indrelid = '{s}.entries'::regclass")) == "1");
  CHECK(store.pg.one(store.sql("SELECT relpersistence FROM pg_class WHERE oid = '{s}.entries'::regclass")) == "u");
  Store logged(Settings{{"table", "logged"}});
  CHECK(logged.pg.one(logged.sql("SELECT relpersistence FROM pg_class WHERE oid = '{s}.entries'::regclass")) == "p");
  CHECK(options(logged) == usual);
  /* Updates of one entry stay on their page: no index entry is written for them. */
  for (int i = 0; i < 300; i++)
    REQUIRE(store.cache.put("hot", "v" + std::to_string(i)) == PGCACHE_OK);
  store.cache.free(); /* its session's end makes the server count */
  const auto hot = [&] {
    return store.pg.query(store.sql("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
                                    "WHERE relid = '{s}.entries'::regclass"))[0];
  };
  CHECK(eventually([&] { return hot()[0] == "299"; }));
  CHECK(std::stoi(hot()[1]) >= 280);
}

TEST_CASE("With values=inline a value of 3 KiB stays in its row", "[schema]") {
  const auto out_of_line = [](Store &store) {
    REQUIRE(store.cache.put("k", string(3072, 'v')) == PGCACHE_OK);
    CHECK(store.cache.get("k").bytes() == string(3072, 'v'));
    return store.pg.one(store.sql("SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class "
                                  "WHERE oid = '{s}.entries'::regclass"));
  };
  Store mixed;
  CHECK(out_of_line(mixed) == "t");
  Store in_line(Settings{{"values", "inline"}});
  CHECK(out_of_line(in_line) == "f");
}

TEST_CASE("A table laid out for small values holds all sizes, whatever a handle's own setting is", "[schema][inline]") {
  Store store(Settings{{"values", "inline"}});
  Cache other = store.open({{"values", "mixed"}});
  string all;
  for (int i = 0; i < 70000; i++)
    all += static_cast<char>(i * 31 + i / 251);
  for (const size_t size : {0, 1, 100, 1000, 2000, 2040, 3000, 3072, 4000, 8191, 9000, 70000}) {
    const string value = all.substr(0, size);
    REQUIRE(store.cache.put("k", value) == PGCACHE_OK);
    CHECK((other.get("k").bytes() == value));
    REQUIRE(other.put("k", value + "x") == PGCACHE_OK);
    CHECK((store.cache.get("k").bytes() == value + "x"));
  }
  CHECK(store.cache.init() == PGCACHE_EXISTS);
  Schema by_hand;
  Config config;
  config.set("schema", by_hand.name()).set("values", "inline");
  Pg pg(url());
  pg.exec(init_sql(config));
  CHECK(description(pg, by_hand.name()) == description(pg, store.schema()));
  Store mixed;
  CHECK(description(pg, mixed.schema()) != description(pg, store.schema()));
}

TEST_CASE("[A21] A schema's name is checked at once and can carry no SQL", "[A21]") {
  Config config;
  for (const char *bad :
       {"", "Upper", "with space", "1digit", "pg_cache", "a-b", "a.b", "a\"b", "a'b", "a;b", "a\\b", "\xc3\xa4",
        "x\"; DROP SCHEMA public CASCADE; --", "a\nb", "abcdefghijklmnopqrstuvwxyz012345", "pg_cache"}) {
    INFO(bad);
    Error error;
    CHECK(pgcache_config_set(config.get(), "schema", bad, &error) == PGCACHE_BAD_SETTING);
    CHECK(error.text().find("schema") != string::npos);
    CHECK(error.text().find('\n') == string::npos);
    CHECK(string(pgcache_config_get(config.get(), "schema")) == "pgcache");
  }
  for (const char *good : {"a", "_", "user", "select", "abcdefghijklmnopqrstuvwxyz01234"}) {
    CHECK(pgcache_config_set(config.get(), "schema", good, nullptr) == PGCACHE_OK);
  }
}

TEST_CASE("[A21] A schema may be named like a reserved word", "[A21]") {
  Config config;
  config.set("url", url()).set("schema", "select");
  Pg pg(url());
  pg.exec("DROP SCHEMA IF EXISTS \"select\" CASCADE");
  Cache cache(config);
  CHECK(cache.init() == PGCACHE_OK);
  CHECK(cache.put("k", "v") == PGCACHE_OK);
  CHECK(cache.get("k").bytes() == "v");
  CHECK(cache.flush(PGCACHE_FLUSH_ALL).number == 1);
  CHECK(cache.cleanup() == PGCACHE_OK);
  CHECK(cache.stats().entries == 0);
  pg.exec("DROP SCHEMA \"select\" CASCADE");
}

TEST_CASE("[A23] A newer schema is refused with the remedy, by every call", "[A23]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  store.pg.exec(store.sql("UPDATE {s}.cache SET schema_version = schema_version + 1000"));
  Cache fresh = store.open();
  for (const Answer &answer : {fresh.get("k"), fresh.put("k", "w"), fresh.init(), fresh.upgrade(), fresh.cleanup(),
                               fresh.flush(PGCACHE_FLUSH_ALL)}) {
    CHECK(answer == PGCACHE_SCHEMA_NEWER);
    CHECK(answer.error.text().find("100") != string::npos); /* which version it found */
    CHECK(answer.error.text().find("upgrade the library") != string::npos);
  }
  CHECK(store.pg.one(store.sql("SELECT convert_from(value, 'UTF8') FROM {s}.entries")) == "v");
  store.pg.exec(store.sql("UPDATE {s}.cache SET schema_version = schema_version - 1000"));
  CHECK(fresh.get("k").bytes() == "v"); /* the handle recovers */
}

TEST_CASE("[A23] An older schema is not used until it is upgraded", "[A23]") {
  Store store;
  store.pg.exec(store.sql("UPDATE {s}.cache SET schema_version = 0"));
  Cache fresh = store.open();
  const Answer answer = fresh.get("k");
  CHECK(answer == PGCACHE_SCHEMA_OLDER);
  CHECK(answer.error.text().find("upgrade") != string::npos);
  CHECK(fresh.put("k", "w") == PGCACHE_SCHEMA_OLDER);
}

TEST_CASE("The setting `table` must agree with how the schema was made", "[schema][differs]") {
  for (const bool logged : {false, true}) {
    Store store(Settings{{"table", logged ? "logged" : "unlogged"}});
    Cache other = store.open({{"table", logged ? "unlogged" : "logged"}});
    for (const Answer &answer : {other.get("k"), other.put("k", "v"), other.init(), other.upgrade()}) {
      CHECK(answer == PGCACHE_SCHEMA_DIFFERS);
      CHECK(answer.error.text().find("table") != string::npos);
      CHECK(answer.error.text().find("logged") != string::npos);
    }
    CHECK(store.cache.put("k", "v") == PGCACHE_OK);
  }
}

TEST_CASE("Something of the schema changed or dropped under an open handle", "[schema][changed]") {
  struct Case {
    const char *change;
    bool drops_entries;
  };
  for (const Case &c :
       {Case{"ALTER TABLE {s}.entries DROP COLUMN value", true},
        Case{"ALTER TABLE {s}.entries DROP COLUMN format CASCADE", true}, Case{"DROP TABLE {s}.entries CASCADE", true},
        Case{"ALTER TABLE {s}.entries RENAME COLUMN expires_at TO expired_at", true},
        Case{"ALTER TABLE {s}.entries RENAME TO entrees", true},
        Case{"ALTER TABLE {s}.entries ALTER COLUMN version TYPE text", true}}) {
    INFO(c.change);
    Store store;
    REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
    REQUIRE(store.cache.get("k") == PGCACHE_OK);
    store.pg.exec(store.sql("DROP VIEW IF EXISTS {s}.entries_json CASCADE"));
    store.pg.exec(store.sql(c.change));
    for (int i = 0; i < 2; i++) {
      const Answer read = store.cache.get("k"), write = store.cache.put("k", "w");
      INFO(read << " / " << write);
      CHECK(read == PGCACHE_SCHEMA_CHANGED);
      CHECK(write == PGCACHE_SCHEMA_CHANGED);
      CHECK(write.error.sqlstate[0] != '\0');
      CHECK(read.error.text().find(store.schema()) != string::npos);
    }
    Cache fresh = store.open();
    CHECK(fresh.get("k") == PGCACHE_SCHEMA_CHANGED);
  }
}

TEST_CASE("The whole schema dropped under an open handle, and made again", "[schema][changed]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  const Answer read = store.cache.get("k");
  INFO(read);
  CHECK((read == PGCACHE_SCHEMA_MISSING || read == PGCACHE_SCHEMA_CHANGED));
  CHECK(store.cache.get("k") == PGCACHE_SCHEMA_MISSING);
  CHECK(store.cache.put("k", "v") == PGCACHE_SCHEMA_MISSING);
  REQUIRE(store.cache.init() == PGCACHE_OK);
  CHECK(store.cache.get("k") == PGCACHE_MISS);
  CHECK(store.cache.put("k", "v") == PGCACHE_OK);
  CHECK(store.cache.get("k") == PGCACHE_OK);
}

TEST_CASE("The schema dropped and made again by somebody else goes unnoticed by an open handle", "[schema][changed]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(store.cache.get("k") == PGCACHE_OK);
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  Cache other = store.open();
  REQUIRE(other.init() == PGCACHE_OK);
  /* The prepared statements mean tables that are gone; the library may need one error to find out, never two. */
  Answer put = store.cache.put("k", "w");
  if (put != PGCACHE_OK)
    put = store.cache.put("k", "w");
  CHECK(put == PGCACHE_OK);
  CHECK(store.cache.get("k").bytes() == "w");
}

TEST_CASE("A dropped function is noticed by the call that needs it", "[schema][changed]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  store.pg.exec(store.sql("DROP FUNCTION {s}.truncate_entries() CASCADE"));
  const Answer flushed = store.cache.flush(PGCACHE_FLUSH_ALL);
  CHECK(flushed == PGCACHE_SCHEMA_CHANGED);
  CHECK(string(flushed.error.sqlstate) == "42883");
  CHECK(store.cache.get("k") == PGCACHE_OK);
}

TEST_CASE("A column added by hand, a new index, or an autovacuum setting harm nothing", "[schema][changed]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(store.cache.get("k") == PGCACHE_OK);
  store.pg.exec(store.sql("ALTER TABLE {s}.entries ADD COLUMN note text"));
  CHECK(store.cache.get("k").bytes() == "v");
  CHECK(store.cache.put("k", "w") == PGCACHE_OK);
  store.pg.exec(store.sql("CREATE INDEX ON {s}.entries (namespace); ALTER TABLE {s}.entries SET (fillfactor = 90)"));
  CHECK(store.cache.get("k").bytes() == "w");
  CHECK(store.cache.put("k", "x") == PGCACHE_OK);
}
