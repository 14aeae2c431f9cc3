/*
 * roles_attacks.cpp - what could undo the walls around application roles from outside: how the schema is made, who else
 * lives in it, and which roles are let in.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/server.hpp"

#include "pgcache_hooks.h"

#include <sstream>
#include <stdexcept>

using namespace test;
using std::string;

namespace {

/* A server of its own, whose roles end with it. */
struct Place {
  PrivateServer server;
  Pg admin{server.conninfo()};

  Answer init(const Settings &settings, const string &user = "postgres") {
    Config config;
    config.set("url", server.conninfo(user)).set("schema", "c");
    for (const auto &[name, value] : settings)
      config.set(name, value);
    return Cache(config).init();
  }
};

/* What somebody other than owners has, by the catalog: "PUBLIC EXECUTE on function get", ... */
string rights_of(Pg &admin, const string &grantee) {
  string out;
  for (const Row &row :
       admin.query("SELECT r.name || ' ' || a.privilege_type FROM ("
                   "  SELECT p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p"
                   "   WHERE p.pronamespace = 'c'::regnamespace"
                   "  UNION ALL"
                   "  SELECT c.relname::text, c.relacl FROM pg_class c WHERE c.relnamespace = 'c'::regnamespace) r "
                   "(name, acl), "
                   "aclexplode(r.acl) a WHERE a.grantee = " +
                   (grantee == "PUBLIC" ? string("0") : "'" + grantee + "'::regrole") + " ORDER BY 1"))
    out += row[0] + "; ";
  return out;
}

string init_sql(const Settings &settings) {
  Config config;
  config.set("schema", "c");
  for (const auto &[name, value] : settings)
    config.set(name, value);
  pgcache_value *out = nullptr;
  REQUIRE(pgcache_init_sql(&out, config.get(), nullptr) == PGCACHE_OK);
  return Value(out).bytes();
}

/* The statements of a script, each between savepoints, as psql runs them under ON_ERROR_ROLLBACK. */
void run_with_savepoints(Pg &pg, const string &script) {
  string statement, tag;
  std::istringstream lines(script);
  for (string line; std::getline(lines, line);) {
    for (size_t at = 0; (at = line.find('$', at)) != string::npos;) { /* a dollar quote begins or ends */
      const size_t end = line.find('$', at + 1);
      const string word = end == string::npos ? "" : line.substr(at, end - at + 1);
      const bool is_tag = !word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyz$") == string::npos;
      if (is_tag && (tag.empty() || tag == word)) {
        tag = tag.empty() ? word : "";
        at = end + 1;
      } else {
        at++;
      }
    }
    statement += line + "\n";
    const string code = line.substr(0, line.find(" --"));
    if (!tag.empty() || code.empty() || code.find_last_not_of(' ') == string::npos ||
        code[code.find_last_not_of(' ')] != ';' || code.rfind("--", 0) == 0)
      continue;
    const bool frame = code == "BEGIN;" || code == "COMMIT;";
    if (!frame)
      pg.exec("SAVEPOINT s");
    pg.exec(statement);
    if (!frame)
      pg.exec("RELEASE s");
    statement.clear();
  }
}

} // namespace

TEST_CASE("[A81] PUBLIC may call nothing, whatever the defaults are and however the schema was made",
          "[A81][roles][init]") {
  Place place;
  place.admin.exec("CREATE ROLE app; CREATE ROLE c_owner");
  place.admin.exec("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;"
                   "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC");
  SECTION("by the library") {
    REQUIRE(place.init({}) == PGCACHE_OK);
  }
  SECTION("by the library, with roles") {
    REQUIRE(place.init({{"app_role", "app"}, {"app_namespaces", "a"}}) == PGCACHE_OK);
  }
  SECTION("by psql, which gives each statement a savepoint") {
    run_with_savepoints(place.admin, init_sql({{"app_role", "app"}, {"app_namespaces", "a"}}));
  }
  SECTION("by psql without roles, which gives each statement a savepoint") {
    run_with_savepoints(place.admin, init_sql({}));
  }
  REQUIRE(place.admin.one("SELECT count(*) > 40 FROM pg_proc WHERE pronamespace = 'c'::regnamespace") == "t");
  CHECK(rights_of(place.admin, "PUBLIC") == "");
}

TEST_CASE("[A81] What default privileges gave the role ends when it is let in", "[A81][roles][init]") {
  Place place;
  place.admin.exec("CREATE ROLE app LOGIN; CREATE ROLE plain LOGIN;"
                   "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO app;"
                   "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO app;"
                   "ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO app");
  REQUIRE(place.init({}) == PGCACHE_OK);
  REQUIRE(rights_of(place.admin, "app").find("grant_access") != string::npos);
  for (const char *arguments : {"", ", '{a}'", ", NULL, 'tables'", ", '{a}', 'tables'"}) {
    INFO(arguments);
    for (const char *role : {"app", "plain"})
      place.admin.exec(string("SELECT c.grant_access('") + role + "'" + arguments + ")");
    CHECK(rights_of(place.admin, "app") == rights_of(place.admin, "plain"));
    CHECK(rights_of(place.admin, "plain").find("EXECUTE") != string::npos);
  }
}

TEST_CASE("[A81] Other objects in the schema keep their rights", "[A81][roles][init]") {
  Place place;
  place.admin.exec(
      "CREATE ROLE app LOGIN; CREATE ROLE dba; CREATE SCHEMA c; GRANT USAGE ON SCHEMA c TO app;"
      "CREATE TABLE c.orders (n integer); CREATE SEQUENCE c.numbers; GRANT ALL ON c.orders, c.numbers TO app;"
      "CREATE FUNCTION c.library_of_ours(integer) RETURNS integer LANGUAGE sql RETURN 1;"
      "CREATE FUNCTION c.get(integer) RETURNS integer LANGUAGE sql RETURN 1;"
      "GRANT EXECUTE ON FUNCTION c.get(integer) TO app");
  SECTION("of another owner") {
    const Answer made = place.init({{"app_role", "app"}, {"app_namespaces", "a"}});
    INFO(made);
    REQUIRE(made == PGCACHE_OK);
    Pg app(place.server.conninfo("app"));
    CHECK(app.one("SELECT c.get(1)") == "1");
  }
  SECTION("of the same owner") {
    REQUIRE(place.init({}) == PGCACHE_OK);
    place.admin.exec("SELECT c.grant_access('app')");
  }
  Pg app(place.server.conninfo("app"));
  CHECK(app.one("SELECT count(*) FROM c.orders") == "0");
  CHECK(app.one("SELECT nextval('c.numbers')") == "1");
  CHECK(app.sqlstate("SELECT c.put('k'::text, 'v'::bytea, namespace => 'a')") == "00000");
  CHECK(app.sqlstate("SELECT count(*) FROM c.entries") == "42501");
}

TEST_CASE("[A81] Roles that no grant holds back are not let in", "[A81][roles][init]") {
  Place place;
  place.admin.exec("CREATE ROLE maker LOGIN CREATEROLE; GRANT CREATE ON DATABASE postgres TO maker;"
                   "CREATE ROLE app LOGIN; CREATE ROLE mighty LOGIN SUPERUSER; CREATE ROLE free LOGIN BYPASSRLS");
  /* Who makes the schema becomes a member of its owner. */
  CHECK(place.init({{"app_role", "maker"}}, "maker") == PGCACHE_DENIED);
  CHECK(place.init({{"app_role", "c_owner"}}) == PGCACHE_DENIED);
  CHECK(place.init({{"app_role", "mighty"}}) == PGCACHE_DENIED);
  CHECK(place.admin.one("SELECT to_regnamespace('c') IS NULL") == "t");
  CHECK(place.init({{"app_role", "free"}, {"app_namespaces", "a"}, {"grants", "tables"}}) == PGCACHE_DENIED);
  /* Through functions it is kept to its namespaces all the same. */
  REQUIRE(place.init({{"app_role", "free"}, {"app_namespaces", "a"}}) == PGCACHE_OK);
  place.admin.exec("SELECT c.put('secret'::text, 'v'::bytea, namespace => 'b')");
  CHECK(Pg(place.server.conninfo("free")).one("SELECT c.get('secret'::text, 'b')") == "NULL");
}

TEST_CASE("[A81] Where the role or everybody may create objects, it could put functions beside ours",
          "[A81][roles][init]") {
  Place place;
  place.admin.exec("CREATE ROLE app LOGIN; CREATE SCHEMA c; GRANT ALL ON SCHEMA c TO PUBLIC");
  CHECK(place.init({{"app_role", "app"}}) == PGCACHE_DENIED);
  place.admin.exec("REVOKE ALL ON SCHEMA c FROM PUBLIC; ALTER SCHEMA c OWNER TO app");
  CHECK(place.init({{"app_role", "app"}}) == PGCACHE_DENIED);
  place.admin.exec("ALTER SCHEMA c OWNER TO postgres");
  CHECK(place.init({{"app_role", "app"}}) == PGCACHE_OK);
}

TEST_CASE("[A81] The role behind restricted functions must be one that row-level security holds",
          "[A81][roles][init]") {
  for (const string attribute : {"BYPASSRLS", "SUPERUSER", "LOGIN"}) {
    INFO(attribute);
    Place place;
    place.admin.exec("CREATE ROLE app LOGIN; CREATE ROLE c_owner_restricted " + attribute);
    CHECK(place.init({{"app_role", "app"}, {"app_namespaces", "a"}}) == PGCACHE_DENIED);
    place.admin.exec("ALTER ROLE c_owner_restricted NOLOGIN NOSUPERUSER NOBYPASSRLS");
    CHECK(place.init({{"app_role", "app"}, {"app_namespaces", "a"}}) == PGCACHE_OK);
  }
}

TEST_CASE("Every SQL function works where backslashes are escapes", "[A81][sql]") {
  Store store;
  store.pg.exec("SET standard_conforming_strings = off; SET client_min_messages = error");
  store.pg.exec(
      store.sql("SELECT {s}.put('k'::text, 'v'::bytea), {s}.add('a'::text, 'v'::bytea), {s}.incr('n'::text)"));
  store.pg.exec(store.sql("SELECT {s}.touch('k'::text, '1 h'), {s}.replace('k'::text, 'w'::bytea), {s}.stats()"));
  CHECK(store.pg.one(store.sql("SELECT {s}.compare_and_swap('k'::text, 'x'::bytea, 1)")) == "NULL");
  CHECK(store.pg.one(store.sql("SELECT {s}.remove('n'::text)")) == "t");
  CHECK(store.pg.one(store.sql("SELECT {s}.flush()")) == "2");
  CHECK(store.pg.one(store.sql("SELECT {s}.flush_all()")) == "0");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.get('k'::text, U&'\\00e9')")) != "00000");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.get('k'::text, 'a b')")) == "22023");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.get('k'::text, '!x21~')")) == "00000");
}

TEST_CASE("[A81] What a role may do is known on the application's connections, too, and follows SET ROLE",
          "[A81][roles][borrowed]") {
  Place place;
  place.admin.exec("CREATE ROLE app LOGIN; CREATE ROLE kept LOGIN; CREATE ROLE direct LOGIN;"
                   "CREATE ROLE login LOGIN NOINHERIT IN ROLE app, kept, direct");
  REQUIRE(place.init({{"app_role", "app"}}) == PGCACHE_OK);
  REQUIRE(place.init({{"app_role", "kept"}, {"app_namespaces", "default"}}) == PGCACHE_EXISTS);
  REQUIRE(place.init({{"app_role", "direct"}, {"grants", "tables"}}) == PGCACHE_EXISTS);
  Pg pg(place.server.conninfo("login"));
  Config config;
  config.set("schema", "c");
  pgcache *raw = nullptr;
  REQUIRE(pgcache_new_on_connection(&raw, config.get(), pg.raw(), nullptr) == PGCACHE_OK);
  Cache cache(raw);
  for (const bool inside : {false, true}) {
    for (const char *role : {"direct", "app", "kept", "direct", "kept", "app"}) {
      INFO(role << (inside ? ", inside of a transaction" : ""));
      if (inside)
        pg.exec("BEGIN");
      pg.exec(string("SET ROLE ") + role);
      for (int i = 0; i < 3; i++) {
        const Answer put = cache.put("k", role);
        INFO(put);
        CHECK(put == PGCACHE_OK);
        CHECK(cache.get("k").bytes() == role);
      }
      CHECK(cache.put("k", "v", in_namespace("other")) == (role == string("kept") ? PGCACHE_DENIED : PGCACHE_OK));
      CHECK(cache.get("k").bytes() == role); /* which leaves the transaction in use */
      if (inside)
        pg.exec("COMMIT");
    }
  }
}

TEST_CASE("[A81] Open connections follow what the role may do from now on", "[A81][roles]") {
  Place place;
  place.admin.exec("CREATE ROLE app LOGIN");
  REQUIRE(place.init({{"app_role", "app"}, {"grants", "tables"}}) == PGCACHE_OK);
  Config config;
  config.set("schema", "c").set("url", place.server.conninfo("app"));
  Cache cache(config);
  for (const char *grants : {"NULL, 'tables'", "NULL, 'functions'", "'{default}', 'functions'", "NULL, 'functions'",
                             "'{default}', 'tables'", "'{default}', 'functions'", "NULL, 'tables'"}) {
    INFO(grants);
    place.admin.exec(string("SELECT c.grant_access('app', ") + grants + ")");
    in_threads(3, [&](int thread) {
      const string key = "k" + std::to_string(thread);
      for (int i = 0; i < 3; i++) {
        const Answer put = cache.put(key, grants);
        if (put != PGCACHE_OK || cache.get(key).bytes() != grants)
          throw std::runtime_error(string(pgcache_status_name(put.status)) + ": " + put.error.message);
      }
    });
    CHECK(cache.put("k", "v", in_namespace("other")) == (grants[0] == '\'' ? PGCACHE_DENIED : PGCACHE_OK));
  }
}
