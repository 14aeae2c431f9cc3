/*
 * sql_text.cpp - tests of putting a cache's names into the SQL files, and of the script that makes a schema.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

namespace {

std::string resolve(const char *text, const char *schema = "s", bool logged = false, bool coherent = true) {
  pgc_buffer buffer = PGC_BUFFER_INIT;
  pgc_sql_resolve(&buffer, text, schema, {logged, coherent});
  std::string out(reinterpret_cast<const char *>(buffer.data), buffer.size);
  pgc_buffer_clear(&buffer);
  return out;
}

std::string script(const char *schema, bool logged, bool inline_values = false, bool coherent = true) {
  pgc_buffer buffer = PGC_BUFFER_INIT;
  pgc_migrations_script(&buffer, schema, {logged, coherent}, inline_values, nullptr);
  std::string out(reinterpret_cast<const char *>(buffer.data), buffer.size);
  pgc_buffer_clear(&buffer);
  return out;
}

size_t count(const std::string &text, const std::string &part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    found++;
  return found;
}

} // namespace

TEST_CASE("the variables of SQL files are resolved", "[sql]") {
  CHECK(resolve("") == "");
  CHECK(resolve("SELECT 1") == "SELECT 1");
  CHECK(resolve("FROM :\"schema\".entries") == "FROM \"s\".entries");
  CHECK(resolve(":\"schema\".a, :\"schema\".b", "pgcache_x") == "\"pgcache_x\".a, \"pgcache_x\".b");
  CHECK(resolve("nextval(:'version_seq')") == "nextval('s.version_seq')");
  CHECK(resolve("nextval(:'version_seq')", "t") == "nextval('t.version_seq')");
  CHECK(resolve("CREATE :persistence TABLE") == "CREATE UNLOGGED TABLE");
  CHECK(resolve("CREATE :persistence TABLE", "s", true) == "CREATE  TABLE");
  CHECK(resolve("VALUES (:logged)") == "VALUES (false)");
  CHECK(resolve("VALUES (:logged)", "s", true) == "VALUES (true)");
  CHECK(resolve("x > :now") == "x > statement_timestamp()");
}

TEST_CASE("in a statement that is a transaction of its own, now is its beginning", "[sql]") {
  pgc_buffer buffer = PGC_BUFFER_INIT;
  pgc_sql_resolve_alone(&buffer, "FROM :\"schema\".t WHERE :logged AND x > :now", "s", {true, true});
  CHECK(std::string(reinterpret_cast<const char *>(buffer.data), buffer.size) ==
        "FROM \"s\".t WHERE true AND x > now()");
  pgc_buffer_clear(&buffer);
}

TEST_CASE("a channel's name is put in, and nothing else", "[sql]") {
  pgc_buffer buffer = PGC_BUFFER_INIT;
  pgc_sql_resolve_channel(&buffer, "LISTEN :\"channel\" :\"schema\" :\"channel\"::x", "c_1");
  CHECK(std::string(reinterpret_cast<const char *>(buffer.data), buffer.size) ==
        "LISTEN \"c_1\" :\"schema\" \"c_1\"::x");
  pgc_buffer_clear(&buffer);
}

TEST_CASE("other colons stay as they are", "[sql]") {
  CHECK(resolve("a::uuid") == "a::uuid");
  CHECK(resolve("a::bytea :logged") == "a::bytea false");
  CHECK(resolve("-- note: this") == "-- note: this");
  CHECK(resolve(":") == ":");
  CHECK(resolve("::") == "::");
  CHECK(resolve("a:") == "a:");
  CHECK(resolve(":\"schem\"") == ":\"schem\"");
  CHECK(resolve("x := 1") == "x := 1");
  CHECK(resolve("::logged") == "::logged"); /* a cast to a type of that name */
}

TEST_CASE("what tells near caches is left out where the schema is not coherent, and nothing else", "[sql][coherence]") {
  const char *text = "a - 1\n-- @told\n, told (:now)\n-- @end\n-- b :logged\n-- @untold\n, x :now\n-- @end\nc --";
  CHECK(resolve(text) == "a - 1\n-- @told\n, told (statement_timestamp())\n-- @end\n-- b false\n-- @end\nc --");
  CHECK(resolve(text, "s", false, false) ==
        "a - 1\n-- @end\n-- b false\n-- @untold\n, x statement_timestamp()\n-- @end\nc --");
  CHECK(resolve("VALUES (:coherent)") == "VALUES (true)");
  CHECK(resolve("VALUES (:coherent)", "s", true, false) == "VALUES (false)");
  /* Each statement that writes entries, and each function made of one: all of them, and none at all. */
  CHECK(count(script("s", false), ", told AS (") == 13); /* and what evicts */
  CHECK(count(script("s", false, false, false), ", told AS (") == 0);
  CHECK(count(script("s", false, false, false), "-- @told") == 0);
  CHECK(count(script("s", false), "untold") == 0);
  CHECK(count(script("s", false, false, false), ", untold AS (") == 12);
}

TEST_CASE("the script makes a schema and leaves no variable open", "[sql]") {
  for (bool logged : {false, true}) {
    const std::string text = script("my_cache", logged);
    INFO("logged " << logged);
    CHECK(text.rfind("BEGIN;\n", 0) == 0);
    CHECK(text.substr(text.size() - 8) == "COMMIT;\n");
    CHECK(count(text, "CREATE SCHEMA") == 1);
    CHECK(test::contains(text, "\"my_cache\".entries"));
    CHECK(test::contains(text, "'my_cache.version_seq'"));
    CHECK(test::contains(text, "CREATE UNLOGGED TABLE \"my_cache\".entries") == !logged);
    for (const char *open :
         {":\"schema\"", ":'version_seq'", ":'entries'", ":persistence TABLE", " :logged,", "(:logged", " :coherent"})
      CHECK_FALSE(test::contains(text, open));
  }
}

TEST_CASE("the script makes the roles first and lets the application in last", "[sql]") {
  const pgc_sql_roles roles = {"my-app", "a,b", "tables", "my.owner", "quiet"};
  pgc_buffer buffer = PGC_BUFFER_INIT;
  pgc_migrations_script(&buffer, "s", {false, true}, false, &roles);
  const std::string text(reinterpret_cast<const char *>(buffer.data), buffer.size);
  pgc_buffer_clear(&buffer);
  CHECK(text.find("'my.owner'") < text.find("CREATE UNLOGGED TABLE"));
  CHECK(text.rfind("grant_access('my-app', string_to_array(nullif('a,b', ''), ','), 'tables')") > text.rfind("REVOKE"));
  for (const char *open : {":'app_role'", ":'app_namespaces'", ":'grants'", ":'owner_role'", ":'notify_channel'"})
    CHECK_FALSE(test::contains(text, open));
  CHECK(count(text, "SET notify_channel = 'quiet'") == 1);
  CHECK_FALSE(test::contains(script("s", false), "my-app"));
  CHECK_FALSE(test::contains(script("s", false), "SET notify_channel"));
}

TEST_CASE("the script lays the table out for values in the row when that is wanted", "[sql]") {
  CHECK_FALSE(test::contains(script("s", false), "toast_tuple_target"));
  const std::string text = script("s", false, true);
  CHECK(count(text, "ALTER TABLE \"s\".entries SET (toast_tuple_target = 8160, fillfactor = 50)\n;\nCOMMIT;\n") == 1);
}

TEST_CASE("the steps lead forward to this library's version", "[sql]") {
  pgc_migrations migrations = pgc_migrations_list();
  REQUIRE(migrations.count > 0);
  CHECK(migrations.steps[0].version == 1);
  for (size_t i = 1; i < migrations.count; i++) {
    CHECK(migrations.steps[i].version >= migrations.steps[i - 1].version);
    CHECK(migrations.steps[i].version <= migrations.steps[i - 1].version + 1);
  }
  CHECK(pgc_migrations_version(migrations) == migrations.steps[migrations.count - 1].version);
}
