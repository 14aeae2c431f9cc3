/*
 * sql_reads.cpp - what counts as an entry when it is read: a fresh one, with a value, that nobody has invalidated; alike in
 * all reads of the library and of SQL; and that the check finds its way by the index.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

extern "C" {
#include "pure/sql_text.h"
#include "store/statements.h"
}

using namespace test;
using std::string;

namespace {

string text_of(const Store &store, pgc_statement_id id) {
  pgc_buffer text = PGC_BUFFER_INIT;
  pgc_sql_resolve_alone(&text, pgc_statement_get(id)->sql[PGC_ACCESS_TABLES], store.schema().c_str(), {false, true});
  pgc_buffer_append(&text, "", 1);
  const string out = reinterpret_cast<const char *>(text.data);
  pgc_buffer_clear(&text);
  return out;
}

/* Which of the reads find the entry `k`, as letters. */
string found_by(const Store &store, Pg &pg, Cache &cache) {
  string found;
  found += cache.get("k") == PGCACHE_OK ? "g" : "";
  found += cache.exists("k") == PGCACHE_OK ? "e" : "";
  const string digest = pg.one(store.sql("SELECT {s}.digest('k'::text)"));
  found += pg.query(text_of(store, PGC_STATEMENT_GET_MANY), {"{" + digest + "}"}).empty() ? "" : "m";
  found += pg.one(store.sql("SELECT {s}.get('k'::text)")) != "NULL" ? "s" : "";
  found += pg.one(store.sql("SELECT {s}.exists('k'::text)")) == "t" ? "x" : "";
  found += pg.one(store.sql("SELECT {s}.get_json('k'::text)")) != "NULL" ? "j" : "";
  found += pg.one(store.sql("SELECT count(*) FROM {s}.entries_json")) == "1" ? "w" : "";
  return found;
}

/* Which of the unguarded ones do. */
string found_unguarded(const Store &store, Pg &pg) {
  const string digest = pg.one(store.sql("SELECT {s}.digest('k'::text)"));
  return string(pg.query(text_of(store, PGC_STATEMENT_GET_UNGUARDED), {digest}).empty() ? "" : "u") +
         (pg.query(text_of(store, PGC_STATEMENT_GET_MANY_UNGUARDED), {"{" + digest + "}"}).empty() ? "" : "n");
}

} // namespace

TEST_CASE("Every read gives fresh, present entries that were not invalidated, and no others",
          "[reads][rule:freshness]") {
  Store store(Settings{{"near_max_bytes", "0"}});
  const string all = "gemsxjw";
  REQUIRE(store.cache.put("k", "{}", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  CHECK(found_by(store, store.pg, store.cache) == all);
  CHECK(found_unguarded(store, store.pg) == "un");
  const auto with = [&](const string &change) {
    REQUIRE(store.cache.put("k", "{}", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
    store.pg.exec(store.sql("UPDATE {s}.entries SET " + change));
    return found_by(store, store.pg, store.cache) + "/" + found_unguarded(store, store.pg);
  };
  CHECK(with("fresh_until = now() - interval '1 second'") == "/"); /* stale: for loads alone */
  CHECK(with("fresh_until = now() - interval '1 day', expires_at = now() - interval '1 second'") == "/");
  CHECK(with("flags = flags | 64") == "/"); /* known to be absent */
  CHECK(with("load_ms = 7, dependencies = dependencies || gen_random_uuid()") == all + "/un");
  REQUIRE(store.cache.put("k", "{}", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  store.pg.exec(store.sql("SELECT {s}.invalidate(keys => '{k}')"));
  CHECK(found_by(store, store.pg, store.cache).empty());
  CHECK(found_unguarded(store, store.pg) == "un");
}

TEST_CASE("A read gives what an entry depends on beside its own key, and how long it took to load", "[reads]") {
  Store store(Settings{{"near_max_bytes", "0"}});
  const string digest = store.pg.one(store.sql("SELECT {s}.digest('k'::text)"));
  const string tags = "{00000000-0000-0000-0000-000000000001,ffffffff-0000-0000-0000-000000000002}";
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  for (pgc_statement_id id :
       {PGC_STATEMENT_GET, PGC_STATEMENT_GET_UNGUARDED, PGC_STATEMENT_GET_MANY, PGC_STATEMENT_GET_MANY_UNGUARDED}) {
    const bool many = id == PGC_STATEMENT_GET_MANY || id == PGC_STATEMENT_GET_MANY_UNGUARDED;
    const string parameter = many ? "{" + digest + "}" : digest;
    const size_t column = many ? 9 : 8;
    store.pg.exec(store.sql("UPDATE {s}.entries SET load_ms = 0, dependencies = dependencies[1:1]"));
    std::vector<Row> rows = store.pg.query(text_of(store, id), {parameter});
    REQUIRE(rows.size() == 1);
    REQUIRE(rows[0].size() == column + 2);
    CHECK(rows[0][column] == "NULL");
    CHECK(rows[0][column + 1] == "0");
    store.pg.exec(
        store.sql("UPDATE {s}.entries SET load_ms = 42, dependencies = dependencies || '" + tags + "'::uuid[]"));
    rows = store.pg.query(text_of(store, id), {parameter});
    REQUIRE(rows.size() == 1);
    CHECK(rows[0][column] == tags);
    CHECK(rows[0][column + 1] == "42");
  }
}

TEST_CASE("One of many dependencies ends an entry", "[reads]") {
  Store store(Settings{{"near_max_bytes", "0"}});
  for (int which = 1; which <= 16; which++) {
    REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
    store.pg.exec(
        store.sql("UPDATE {s}.entries SET dependencies = dependencies || ARRAY(SELECT {s}.tag_digest('t' || n) "
                  "FROM generate_series(1, 16) n)"));
    REQUIRE(store.cache.get("k") == PGCACHE_OK);
    store.pg.exec(store.sql("SELECT {s}.invalidate(ARRAY['t" + std::to_string(which) + "'])"));
    CHECK(store.cache.get("k") == PGCACHE_MISS);
  }
}

TEST_CASE("A plan made on an empty log reads the index when the log is full", "[reads][plans]") {
  Store store(Settings{{"near_max_bytes", "0"}});
  Pg application{url()}; /* with the planner's own settings */
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  store.pg.exec(store.sql("ALTER TABLE {s}.invalidations SET (autovacuum_enabled = off)"));
  store.pg.exec(store.sql("VACUUM ANALYZE {s}.invalidations")); /* tells the planner that nothing is there */
  const auto scans =
      [&](Pg &pg) { /* in this transaction, which sees its own */
                    return pg.one(store.sql("SELECT pg_stat_get_xact_numscans('{s}.invalidations'::regclass) || ' ' || "
                                            "pg_stat_get_xact_numscans('{s}.invalidations_pkey'::regclass)"));
      };
  application.exec("BEGIN");
  for (int i = 0; i < 10; i++)
    CHECK(application.one(store.sql("SELECT {s}.exists('k'::text)")) == "t");
  CHECK(scans(application) == "0 10");
  application.exec("COMMIT");
}
