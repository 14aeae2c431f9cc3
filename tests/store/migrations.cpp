/*
 * migrations.cpp - from an older schema to a newer one, with steps that only this test knows: what is stored stays, a
 * step that fails leaves nothing behind, and of many that upgrade at once one does it. Calls the library's own code
 * beneath the public interface, because there is only one version yet.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* a value ends in a flexible array, which is C */
extern "C" {
#include "store/pg_schema.h"
}
#pragma GCC diagnostic pop

#include <atomic>

using namespace test;
using std::string;

namespace {

const char SECOND[] = "ALTER TABLE :\"schema\".namespaces ADD COLUMN note text DEFAULT 'new';";
const char SECOND_B[] = "UPDATE :\"schema\".cache SET schema_version = 2;";
const char THIRD[] = "CREATE FUNCTION :\"schema\".answer() RETURNS int LANGUAGE sql AS 'SELECT 42';"
                     "UPDATE :\"schema\".cache SET schema_version = 3;";
const char FAILS[] = "UPDATE :\"schema\".cache SET schema_version = 3; CREATE TABLE :\"schema\".half (); SELECT 1 / 0;";

/* The library's own first version, and what follows it here. */
std::vector<pgc_migration> steps(const std::vector<pgc_migration> &more) {
  const pgc_migrations own = pgc_migrations_list();
  std::vector<pgc_migration> all;
  for (size_t i = 0; i < own.count && own.steps[i].version == 1; i++)
    all.push_back(own.steps[i]);
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Answer migrate(const string &schema, const std::vector<pgc_migration> &list, bool create, bool logged = false) {
  Answer answer;
  PGconn *pg = PQconnectdb(url().c_str());
  PQsetNoticeProcessor(
      pg, [](void *, const char *) {}, nullptr);
  pgc_connection *connection = pgc_connection_new(pg);
  pgc_session session = {};
  session.connection = connection;
  session.schema = schema.c_str();
  session.kind = {logged, true};
  session.max_value_bytes = 1000;
  session.deadline = pgc_deadline_in(30000);
  session.error = &answer.error;
  const pgc_sql_roles nobody = {"", "", "", "", ""};
  session.roles = &nobody;
  answer.status = pgc_schema_migrate(&session, pgc_migrations{list.data(), list.size()}, create);
  if ((answer.status < 0) != session.broken)
    throw std::runtime_error("a failed migration must end its connection");
  pgc_connection_free(connection);
  return answer;
}

} // namespace

TEST_CASE("[A23] An older schema is migrated, and its entries stay", "[A23][migrations]") {
  Store store;
  REQUIRE(store.cache.put("k", "kept") == PGCACHE_OK);
  const auto version = [&] { return store.pg.one(store.sql("SELECT schema_version FROM {s}.cache")); };
  const auto all = steps({{2, SECOND}, {2, SECOND_B}, {3, THIRD}});
  REQUIRE(version() == "1");
  const Answer upgraded = migrate(store.schema(), all, false);
  INFO(upgraded);
  CHECK(upgraded == PGCACHE_OK);
  CHECK(version() == "3");
  CHECK(store.pg.one(store.sql("SELECT {s}.answer()")) == "42");
  CHECK(store.pg.one(store.sql("SELECT convert_from({s}.get('k'::text), 'UTF8')")) == "kept");
  CHECK(migrate(store.schema(), all, false) == PGCACHE_EXISTS);
  CHECK(migrate(store.schema(), all, true) == PGCACHE_EXISTS);
  /* The library as it is now finds that somebody else was upgraded. */
  const Answer newer = store.open().get("k");
  CHECK(newer == PGCACHE_SCHEMA_NEWER);
  CHECK(newer.error.text().find("upgrade the library") != string::npos);
  CHECK(migrate(store.schema(), steps({{2, SECOND}, {2, SECOND_B}}), true) == PGCACHE_SCHEMA_NEWER);
}

TEST_CASE("[A23] A version in between is brought on by the steps that it lacks", "[A23][migrations]") {
  Schema schema;
  REQUIRE(migrate(schema.name(), steps({{2, SECOND}, {2, SECOND_B}}), true) == PGCACHE_OK);
  Pg pg(url());
  pg.exec("INSERT INTO \"" + schema.name() + "\".namespaces VALUES ('n', '{}', 'mine')");
  REQUIRE(migrate(schema.name(), steps({{2, SECOND}, {2, SECOND_B}, {3, THIRD}}), true) == PGCACHE_OK);
  CHECK(pg.one("SELECT note FROM \"" + schema.name() + "\".namespaces") == "mine");
  CHECK(pg.one("SELECT schema_version FROM \"" + schema.name() + "\".cache") == "3");
}

TEST_CASE("[A23] upgrade makes no schema, and keeps to the table that was made", "[A23][migrations]") {
  Schema schema;
  const auto all = steps({{2, SECOND}, {2, SECOND_B}});
  CHECK(migrate(schema.name(), all, false) == PGCACHE_SCHEMA_MISSING);
  CHECK(Pg(url()).one("SELECT to_regnamespace('" + schema.name() + "') IS NULL") == "t");
  REQUIRE(migrate(schema.name(), steps({}), true, true) == PGCACHE_OK);
  CHECK(migrate(schema.name(), all, false, false) == PGCACHE_SCHEMA_DIFFERS);
  CHECK(migrate(schema.name(), all, false, true) == PGCACHE_OK);
}

TEST_CASE("[A23] A step that fails leaves the schema as it was", "[A23][migrations]") {
  Store store;
  REQUIRE(store.cache.put("k", "kept") == PGCACHE_OK);
  const Answer failed = migrate(store.schema(), steps({{2, SECOND}, {2, SECOND_B}, {3, FAILS}}), false);
  INFO(failed);
  CHECK(failed == PGCACHE_SERVER_ERROR);
  CHECK(string(failed.error.sqlstate) == "22012");
  CHECK(store.pg.one(store.sql("SELECT schema_version FROM {s}.cache")) == "1");
  CHECK(store.pg.one(store.sql("SELECT to_regclass('{s}.half') IS NULL")) == "t");
  CHECK(store.cache.get("k").bytes() == "kept");
  Schema fresh;
  CHECK(migrate(fresh.name(), steps({{3, FAILS}}), true) == PGCACHE_SERVER_ERROR);
  CHECK(store.pg.one("SELECT to_regnamespace('" + fresh.name() + "') IS NULL") == "t");
}

TEST_CASE("[A23] Of eight that upgrade at once, while others read and write, one does it",
          "[A23][migrations][threads]") {
  Store store;
  REQUIRE(store.cache.put("k", "kept") == PGCACHE_OK);
  const auto all = steps({{2, SECOND}, {2, SECOND_B}, {3, THIRD}});
  std::atomic<int> done{0}, found{0}, lost{0};
  in_threads(10, [&](int thread) {
    if (thread < 8) {
      const Answer answer = migrate(store.schema(), all, thread % 2 == 0);
      done += answer == PGCACHE_OK;
      found += answer == PGCACHE_EXISTS;
    } else {
      for (int i = 0; i < 50; i++) { /* connections that were open before go on */
        const Answer answer = store.cache.get("k");
        lost += answer.status >= 0 ? answer.bytes() != "kept" : answer != PGCACHE_SCHEMA_NEWER;
      }
    }
  });
  CHECK(done == 1);
  CHECK(found == 7);
  CHECK(lost == 0);
}
