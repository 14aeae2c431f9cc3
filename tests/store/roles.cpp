/*
 * roles.cpp - application roles: that one which may only call functions can use the cache and nothing else, that one which
 * is kept to namespaces sees no other, and that neither finds a way around.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/server.hpp"

#include <atomic>
#include <random>

extern "C" {
#include "pure/sql_text.h"
#include "store/statements.h"
}

using namespace test;
using std::string;

namespace {

/* A server of its own, whose roles end with it: whoever names one may log in as it. */
struct Scene {
  PrivateServer server;
  Pg admin{server.conninfo()};

  Config config(const string &user, const Settings &settings = {}) const {
    Config config;
    config.set("url", server.conninfo(user)).set("schema", "c");
    for (const auto &[name, value] : settings)
      config.set(name, value);
    return config;
  }
  void role(const string &name, const string &more = "") {
    admin.exec("CREATE ROLE \"" + name + "\" LOGIN " + more);
  }
  Answer init(const Settings &settings, const string &user = "postgres") {
    return Cache(config(user, settings)).init();
  }
  /* The superuser lets the role in. */
  void let_in(const string &name, const string &namespaces = "", const string &grants = "functions") {
    role(name);
    const Answer answer = init({{"app_role", name}, {"app_namespaces", namespaces}, {"grants", grants}});
    INFO(answer);
    REQUIRE(answer.status >= 0);
  }
};

using Result = std::unique_ptr<PGresult, void (*)(PGresult *)>;

/* What the library can do, as one list of statuses. */
void use_everything(Cache &cache, const Options &options = {}) {
  const Answer put = cache.put("k", "v", options);
  INFO(put);
  REQUIRE(put == PGCACHE_OK);
  CHECK(cache.get("k", options).bytes() == "v");
  CHECK(cache.exists("k", options) == PGCACHE_OK);
  CHECK(cache.add("k", "w", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_BYTES, options) == PGCACHE_EXISTS);
  CHECK(cache.replace("k", "w", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_BYTES, options) == PGCACHE_OK);
  CHECK(cache.compare_and_swap("k", "x", put.version, PGCACHE_TTL_DEFAULT, options) == PGCACHE_EXISTS);
  CHECK(cache.touch("k", 60000, options) == PGCACHE_OK);
  CHECK(cache.increment("n", 5, 1, PGCACHE_TTL_DEFAULT, options).number == 6);
  CHECK(cache.remove("k", options) == PGCACHE_OK);
  Items items;
  for (const char *key : {"1", "2", "3"})
    items.add(key, "value");
  Error error;
  CHECK(pgcache_put_many(cache.raw(), items.data(), items.size(), &options, &error) == PGCACHE_OK);
  CHECK(pgcache_get_many(cache.raw(), items.data(), items.size(), &options, &error) == PGCACHE_OK);
  CHECK(items.bytes(2) == "value");
  items.clear_results();
  CHECK(pgcache_remove_many(cache.raw(), items.data(), 1, &options, &error) == PGCACHE_OK);
  pgcache_value *keys[5];
  size_t count = 0;
  CHECK(pgcache_keys(cache.raw(), keys, 5, &count, nullptr, 0, nullptr, 0, &options, &error) == PGCACHE_OK);
  CHECK(count == 3);
  for (size_t i = 0; i < count; i++)
    pgcache_value_free(keys[i]);
  CHECK(cache.put("short", "v", 1, PGCACHE_FORMAT_BYTES, options) == PGCACHE_OK);
  sleep_ms(5);
  CHECK(cache.cleanup().number == 1);
  CHECK(cache.stats().entries == 3);
  CHECK(cache.flush(PGCACHE_FLUSH_NAMESPACE, options).number == 3);
  CHECK(cache.put("k", "v", options) == PGCACHE_OK);
  CHECK(cache.flush(PGCACHE_FLUSH_ALL).number == 1);
}

} // namespace

TEST_CASE("[A81] A role that may call functions only can use the cache and nothing else", "[A81][roles]") {
  Scene scene;
  scene.let_in("app");
  Cache cache(scene.config("app"));
  use_everything(cache);

  /* The owner owns, and cannot log in. */
  CHECK(
      scene.admin.one("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'c' "
                      "AND pg_get_userbyid(relowner) <> 'c_owner'") == "0");
  CHECK(
      scene.admin.one("SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'c' "
                      "AND pg_get_userbyid(proowner) <> 'c_owner'") == "0");
  CHECK(scene.admin.one("SELECT rolcanlogin OR rolsuper FROM pg_roles WHERE rolname = 'c_owner'") == "f");
  /* PUBLIC has nothing, and whoever has the owner's rights has them under a search_path that nobody else chooses. */
  CHECK(scene.admin.one(
            "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace, "
            "aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE nspname = 'c' AND a.grantee = 0") == "0");
  CHECK(scene.admin.one(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl) a "
            "WHERE nspname = 'c' AND a.grantee <> relowner") == "0");
  CHECK(scene.admin.one(
            "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'c' AND "
            "prosecdef AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)") == "0");

  Pg app(scene.server.conninfo("app"));
  for (const auto &table :
       scene.admin.query("SELECT relname, relkind FROM pg_class c JOIN pg_namespace n "
                         "ON n.oid = relnamespace WHERE nspname = 'c' AND relkind IN ('r','p','v','S')")) {
    INFO(table[0]);
    for (const char *privilege : {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"})
      CHECK((table[1] == "S"
                 ? app.sqlstate("SELECT nextval('c." + table[0] + "')") == "42501"
                 : app.one("SELECT has_table_privilege('c." + table[0] + "', '" + privilege + "')") == "f"));
  }
  for (const char *attack :
       {"SELECT * FROM c.entries", "TRUNCATE c.entries", "CREATE TABLE c.mine (x int)",
        "DROP FUNCTION c.digest(bytea, text)", "CREATE FUNCTION c.get(varchar) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER SCHEMA c OWNER TO app", "SELECT c.grant_access('app', NULL, 'tables')",
        "SELECT c.make_restricted('app')", "SELECT c.granted_namespaces()", "SET ROLE c_owner",
        "SELECT * FROM c.entries_json", "SELECT * FROM c.cache",
        "CREATE TRIGGER t BEFORE INSERT ON c.entries EXECUTE FUNCTION suppress_redundant_updates_trigger()"}) {
    INFO(attack);
    CHECK(app.sqlstate(attack) == "42501");
  }
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  CHECK(app.one("SELECT c.truncate_entries() IS NULL") == "t"); /* with the caller's rights it may not */
  CHECK(cache.get("k").bytes() == "v");
  const string epoch = scene.admin.one("SELECT epoch FROM c.cache");
  CHECK(app.one("SELECT c.new_epoch()") == epoch); /* nothing is lost, so nothing is raised */
  for (const Answer &answer : {cache.init(), cache.upgrade()}) {
    INFO(answer);
    CHECK(answer == PGCACHE_DENIED);
    CHECK(answer.error.text().find("owner") != string::npos);
  }
  CHECK(cache.get("k").bytes() == "v");
}

TEST_CASE("[A81] With grants on the tables the same works without functions", "[A81][roles]") {
  Scene scene;
  scene.let_in("app", "", "tables");
  Cache cache(scene.config("app"));
  use_everything(cache);
  Pg app(scene.server.conninfo("app"));
  CHECK(app.sqlstate("SELECT count(*) FROM c.entries") == "00000");
  for (const char *attack : {"UPDATE c.marker SET epoch = 1", "DELETE FROM c.cache", "TRUNCATE c.entries",
                             "SELECT * FROM c.roles", "INSERT INTO c.namespaces (name) VALUES ('x')"}) {
    INFO(attack);
    CHECK(app.sqlstate(attack) == "42501");
  }
}

TEST_CASE("[A81] A crash of the server is mended under an application role, too", "[A81][roles][crash]") {
  for (const char *namespaces : {"", "default"}) {
    Scene scene;
    scene.let_in("app", namespaces);
    Cache cache(scene.config("app"));
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
    const int64_t before = cache.put("k", "v").version;
    scene.server.crash();
    scene.server.start();
    Answer put;
    CHECK(eventually([&] { return (put = cache.put("k", "w")) == PGCACHE_OK; }, 10000));
    CHECK(put.version > before);
  }
}

TEST_CASE("[A81] No search_path, temporary object or operator of the caller's gets the owner's rights",
          "[A81][roles][hostile]") {
  Scene scene;
  scene.let_in("app");
  scene.let_in("kept", "default");
  scene.admin.exec("CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO PUBLIC");
  for (const char *user : {"app", "kept"}) {
    INFO(user);
    Pg app(scene.server.conninfo(user));
    app.exec("SET search_path = pg_temp, evil, pg_catalog, c");
    app.exec(
        "DROP SCHEMA IF EXISTS nothing; CREATE TEMP TABLE entries (digest uuid, value bytea, expires_at timestamptz, "
        "namespace text, version bigint)");
    app.exec("CREATE TEMP TABLE marker (epoch int); CREATE TEMP TABLE cache (epoch int); CREATE TEMP TABLE pg_proc "
             "(oid oid)");
    const string trap = string("trap_") + user;
    app.exec("CREATE FUNCTION evil." + trap +
             "(a uuid, b uuid) RETURNS boolean LANGUAGE plpgsql AS "
             "$$BEGIN RAISE 'trapped as %', current_user; END$$");
    app.exec("CREATE FUNCTION pg_temp." + trap +
             "2(a timestamptz, b timestamptz) RETURNS boolean LANGUAGE plpgsql AS "
             "$$BEGIN RAISE 'trapped as %', current_user; END$$");
    app.exec("CREATE OPERATOR evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = evil." + trap + ")");
    app.exec("CREATE OPERATOR evil.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = pg_temp." + trap +
             "2)");
    for (const char *function :
         {"clock_timestamp() RETURNS timestamptz", "statement_timestamp() RETURNS timestamptz",
          "sha256(bytea) RETURNS bytea", "nextval(regclass) RETURNS bigint", "octet_length(bytea) RETURNS int",
          "convert_to(text, name) RETURNS bytea", "pg_current_snapshot() RETURNS pg_snapshot",
          "pg_control_system() RETURNS int", "jsonb_typeof(jsonb) RETURNS text"}) {
      for (const char *schema : {"pg_temp.", "evil."})
        app.exec(string("CREATE OR REPLACE FUNCTION ") + schema + function +
                 " LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped as %', current_user; END$$");
    }
    for (const char *call :
         {"SELECT c.put('k'::text, 'v'::bytea)", "SELECT c.get('k'::text)", "SELECT c.exists('k'::bytea)",
          "SELECT c.put_json('j'::text, '{}')", "SELECT c.get_json('j'::text)", "SELECT c.add('a'::text, 'v')",
          "SELECT c.replace('a'::text, 'w')", "SELECT c.compare_and_swap('a'::text, 'w', 1)",
          "SELECT c.touch('a'::text, '1 s')", "SELECT c.incr('n'::text)", "SELECT c.remove('a'::text)",
          "SELECT * FROM c.stats()", "SELECT c.flush()", "SELECT c.flush_all()", "SELECT c.put('k'::text, 'v'::bytea)",
          "SELECT c.new_epoch()", "SELECT c.digest('k'::text)", "SELECT * FROM c.check_schema('default')"}) {
      INFO(call);
      CHECK(app.sqlstate(call) == "00000");
    }
    const string prefix = string("SELECT * FROM c.") + (string(user) == "app" ? "library" : "restricted");
    for (const char *call : {"_get(gen_random_uuid())", "_remove_many(ARRAY[gen_random_uuid()])", "_stats()",
                             "_flush(gen_random_uuid(), 'default', 10)", "_cleanup('(0,0)', '(128,0)')",
                             "_put(c.digest('k'::text), 'default', 'k', 'v', 0, NULL, 0, NULL)"}) {
      INFO(call);
      CHECK(app.sqlstate(prefix + call) == "00000");
    }
    app.exec("DROP FUNCTION evil." + trap + " CASCADE");
    scene.admin.exec("DROP SCHEMA evil CASCADE; CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO PUBLIC");
  }
}

TEST_CASE("[A81] Arguments are data: none of them is run, and none leads to another table", "[A81][roles]") {
  Scene scene;
  scene.let_in("app");
  Cache cache(scene.config("app"));
  Pg app(scene.server.conninfo("app"));
  for (const string text : {"'; DROP TABLE c.entries; --", "\" OR true --", "$$; SELECT 1", "c.cache", "%I%L%s"}) {
    const Answer put = cache.put(text, text);
    INFO(put);
    CHECK(put == PGCACHE_OK);
    CHECK(cache.get(text).bytes() == text);
    CHECK(app.one("SELECT convert_from(c.get($1::text), 'UTF8')", {text}) == text);
  }
  CHECK(app.one("SELECT entries FROM c.stats()") == "5");
}

TEST_CASE("[A81] A role that is kept to namespaces neither reads, writes, lists, flushes nor counts others",
          "[A81][roles]") {
  for (const char *grants : {"functions", "tables"}) {
    INFO(grants);
    Scene scene;
    REQUIRE(scene.init({}) == PGCACHE_OK);
    scene.let_in("a", "a,common", grants);
    scene.let_in("b", "b,common", grants);
    scene.let_in("all", "", grants);
    Cache cache(scene.config("a")), other(scene.config("b")), all(scene.config("all"));
    const Options a = in_namespace("a"), b = in_namespace("b"), common = in_namespace("common");
    use_everything(cache, a);
    REQUIRE(other.put("secret", "of b", b) == PGCACHE_OK);
    REQUIRE(cache.put("mine", "of a", a) == PGCACHE_OK);

    CHECK(cache.get("secret", b) == PGCACHE_MISS);
    CHECK(cache.exists("secret", b) == PGCACHE_MISS);
    CHECK(cache.remove("secret", b) == PGCACHE_MISS);
    CHECK(cache.touch("secret", 1, b) == PGCACHE_MISS);
    for (const Answer &answer :
         {cache.put("secret", "x", b), cache.put("new", "x", b), cache.add("new", "x", PGCACHE_TTL_DEFAULT, 0, b),
          cache.increment("n", 1, 0, PGCACHE_TTL_DEFAULT, b), cache.put("k", "v"),
          cache.put("x", "y", in_namespace("A"))}) {
      INFO(answer);
      CHECK(answer == PGCACHE_DENIED);
    }
    CHECK(cache.replace("secret", "x", PGCACHE_TTL_DEFAULT, 0, b) == PGCACHE_MISS);
    Items items;
    items.add("secret", "x");
    Error error;
    CHECK(pgcache_get_many(cache.raw(), items.data(), 1, &b, &error) == PGCACHE_OK);
    CHECK(items[0].status == PGCACHE_MISS);
    CHECK(pgcache_put_many(cache.raw(), items.data(), 1, &b, &error) == PGCACHE_DENIED);
    pgcache_value *keys[5];
    size_t count = 9;
    CHECK(pgcache_keys(cache.raw(), keys, 5, &count, nullptr, 0, nullptr, 0, &b, &error) == PGCACHE_OK);
    CHECK(count == 0);
    CHECK(cache.stats().entries == 1);
    CHECK(all.stats().entries == 2);
    CHECK(cache.flush(PGCACHE_FLUSH_NAMESPACE, b).number == 0);
    CHECK(cache.flush(PGCACHE_FLUSH_ALL).number == 1);
    REQUIRE(other.put("short", "v", 1, 0, b) == PGCACHE_OK);
    sleep_ms(5);
    CHECK(cache.cleanup().number == 0);
    CHECK(other.get("secret", b).bytes() == "of b");
    REQUIRE(cache.put("shared", "by a", common) == PGCACHE_OK);
    CHECK(other.get("shared", common).bytes() == "by a");

    Pg sql(scene.server.conninfo("a"));
    CHECK(sql.one("SELECT c.get('secret'::text, 'b') IS NULL") == "t");
    CHECK(sql.one("SELECT c.exists('secret'::text, 'b')") == "f");
    CHECK(sql.one("SELECT c.flush('b')") == "0");
    CHECK(sql.one("SELECT entries FROM c.stats()") == "1");
    for (const char *attack :
         {"SELECT c.put('secret'::text, 'x'::bytea, namespace => 'b')", "SELECT c.incr('n'::text, namespace => 'b')",
          "SELECT c.add('new'::text, 'x'::bytea, namespace => 'b')", "SELECT c.note_keyed_digests('b')",
          "SELECT c.grant_access('a')"}) {
      INFO(attack);
      CHECK(sql.sqlstate(attack) == "42501");
    }
    /* An entry of `a` under the digest of b's key would be what b reads: with a wrong key, with none, over what is there. */
    const string put = string("SELECT * FROM c.restricted_put(c.digest('");
    for (const string &attack : {put + "new'::text, 'b'), 'a', 'new', 'x', 0, NULL, 0, NULL)",
                                 put + "new'::text, 'b'), 'a', NULL, 'x', 0, NULL, 32, NULL)",
                                 put + "secret'::text, 'b'), 'a', 'secret', 'x', 0, NULL, 0, NULL)",
                                 put + "x'::text, 'a'), 'b', 'x', 'x', 0, NULL, 0, NULL)"}) {
      INFO(attack);
      CHECK(sql.sqlstate(attack) == "42501");
    }
    CHECK(sql.sqlstate("SELECT * FROM c.library_get(c.digest('secret'::text, 'b'))") == "42501");
    if (string(grants) == "tables") {
      CHECK(sql.one("SELECT count(*) FROM c.entries WHERE namespace = 'b'") == "0");
      CHECK(sql.sqlstate("UPDATE c.entries SET namespace = 'b'") == "42501");
      CHECK(sql.sqlstate("UPDATE c.entries SET digest = c.digest('secret'::text, 'b')") == "42501");
      /* Not even with a digest() of its own in front of ours. */
      sql.exec("CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$SELECT '\\x00'::bytea$$");
      sql.exec("SET search_path = pg_temp, pg_catalog");
      CHECK(sql.sqlstate("UPDATE c.entries SET digest = c.digest('secret'::text, 'b')") == "42501");
    } else {
      CHECK(sql.sqlstate("SELECT count(*) FROM c.entries") == "42501");
    }
    CHECK(other.get("secret", b).bytes() == "of b");
    CHECK(all.get("secret", b).bytes() == "of b");
  }
}

TEST_CASE("[A81] What a log-in may do is what its groups may; SET ROLE narrows it", "[A81][roles]") {
  Scene scene;
  REQUIRE(scene.init({{"app_role", "group_a"}, {"app_namespaces", "a"}}) == PGCACHE_OK); /* made, as a group */
  REQUIRE(scene.init({{"app_role", "group_b"}, {"app_namespaces", "b"}}) == PGCACHE_EXISTS);
  CHECK(scene.admin.one("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'group_a'") == "f");
  scene.role("both", "IN ROLE group_a, group_b");
  scene.role("pooled", "NOINHERIT IN ROLE group_a, group_b");
  scene.role("stranger");
  Cache cache(scene.config("both"));
  CHECK(cache.put("k", "v", in_namespace("a")) == PGCACHE_OK);
  CHECK(cache.put("k", "v", in_namespace("b")) == PGCACHE_OK);
  CHECK(cache.put("k", "v", in_namespace("c")) == PGCACHE_DENIED);
  CHECK(Cache(scene.config("stranger")).get("k") == PGCACHE_DENIED);
  CHECK(Cache(scene.config("pooled")).get("k", in_namespace("a")) == PGCACHE_DENIED);

  Pg pooled(scene.server.conninfo("pooled"));
  CHECK(pooled.sqlstate("SELECT c.get('k'::text, 'a')") == "42501");
  pooled.exec("SET ROLE group_a");
  CHECK(pooled.one("SELECT c.exists('k'::text, 'a')") == "t");
  CHECK(pooled.one("SELECT c.exists('k'::text, 'b')") == "f");
  pooled.exec("SET ROLE group_b");
  CHECK(pooled.one("SELECT c.exists('k'::text, 'a')") == "f");
  CHECK(pooled.one("SELECT c.exists('k'::text, 'b')") == "t");
  CHECK(pooled.sqlstate("SELECT c.put('k'::text, 'x'::bytea, namespace => 'a')") == "42501");
  Pg both(scene.server.conninfo("both"));
  both.exec("SET ROLE group_a");
  CHECK(both.one("SELECT c.exists('k'::text, 'b')") == "f");

  /* In one namespace more, or in all: the last grant holds. */
  REQUIRE(scene.init({{"app_role", "group_a"}}) == PGCACHE_EXISTS);
  CHECK(Cache(scene.config("both")).put("k", "v", in_namespace("c")) == PGCACHE_OK);
  scene.admin.exec("SELECT c.grant_access('group_a', '{x}')");
  CHECK(Cache(scene.config("both")).put("k", "v", in_namespace("c")) == PGCACHE_DENIED);
  CHECK(Cache(scene.config("both")).put("k", "v", in_namespace("x")) == PGCACHE_OK);
  for (const char *bad : {"'nobody'", "'group_a', '{}'", "'group_a', '{a,NULL}'", "'group_a', '{\"a b\"}'",
                          "'group_a', NULL, 'all'", "'group_a', NULL, NULL", "'public'"}) {
    INFO(bad);
    CHECK(scene.admin.sqlstate(string("SELECT c.grant_access(") + bad + ")") != "00000");
  }
}

TEST_CASE("[A81] Who may make roles makes the schema without being a superuser, and members of the owner upgrade it",
          "[A81][roles][init]") {
  Scene scene;
  scene.role("maker", "CREATEROLE");
  scene.role("member");
  scene.admin.exec("GRANT CREATE ON DATABASE postgres TO maker");
  const Settings settings = {{"app_role", "app"}, {"app_namespaces", "default"}, {"owner_role", "my.Owner"}};
  const Answer made = scene.init(settings, "maker");
  INFO(made);
  REQUIRE(made == PGCACHE_OK);
  CHECK(scene.admin.one("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'c'") == "my.Owner");
  CHECK(scene.init(settings, "maker") == PGCACHE_EXISTS);
  CHECK(scene.init({}, "member") == PGCACHE_DENIED);
  scene.admin.exec("GRANT \"my.Owner\" TO member");
  CHECK(scene.init({}, "member") == PGCACHE_EXISTS);
  scene.role("login", "IN ROLE app");
  Cache cache(scene.config("login"));
  CHECK(cache.put("k", "v") == PGCACHE_OK);
  CHECK(cache.get("k").bytes() == "v");
  /* An owner that can log in is none. */
  Cache wrong(scene.config("postgres", {{"schema", "d"}, {"app_role", "app"}, {"owner_role", "login"}}));
  CHECK(wrong.init() == PGCACHE_DENIED);
  CHECK(scene.admin.one("SELECT to_regnamespace('d') IS NULL") == "t");
}

TEST_CASE("[A81] The SQL of init lets the role in as init does", "[A81][roles][init]") {
  Scene scene;
  const Config config = scene.config("postgres", {{"app_role", "app"}, {"app_namespaces", "a,b"}});
  pgcache_value *out = nullptr;
  REQUIRE(pgcache_init_sql(&out, config.get(), nullptr) == PGCACHE_OK);
  scene.admin.exec(Value(out).bytes());
  scene.admin.exec("ALTER ROLE app LOGIN");
  Cache cache(scene.config("app"));
  use_everything(cache, in_namespace("a"));
  CHECK(cache.put("k", "v") == PGCACHE_DENIED);
}

TEST_CASE("[A81] Every statement of the data path has its functions, with its parameters and columns", "[A81][roles]") {
  Scene scene;
  scene.let_in("app");
  scene.let_in("kept", "default");
  for (int id = 0; id < PGC_STATEMENT_COUNT; id++) {
    const pgc_statement *statement = pgc_statement_get(static_cast<pgc_statement_id>(id));
    INFO(statement->name);
    const string own = statement->sql[PGC_ACCESS_TABLES];
    const auto prepare = [&](Pg &pg, pgc_access access) {
      pgc_buffer text = PGC_BUFFER_INIT;
      pgc_sql_resolve(&text, statement->sql[access], "c", {false, true});
      const string sql(reinterpret_cast<const char *>(text.data), text.size);
      pgc_buffer_clear(&text);
      Result prepared(PQprepare(pg.raw(), "s", sql.c_str(), 0, nullptr), PQclear);
      REQUIRE(PQresultStatus(prepared.get()) == PGRES_COMMAND_OK);
      return Result(PQdescribePrepared(pg.raw(), "s"), PQclear);
    };
    Pg owner(scene.server.conninfo());
    const Result direct = prepare(owner, PGC_ACCESS_TABLES);
    CHECK(PQnfields(direct.get()) == statement->columns);
    for (const pgc_access access : {PGC_ACCESS_LIBRARY, PGC_ACCESS_RESTRICTED}) {
      /* Either it is a call of a function in every case, or a statement on the tables and two functions. */
      const bool on_tables = own.find(":\"schema\".entries") != string::npos ||
                             own.find(":\"schema\".leases") != string::npos ||
                             own.find(":\"schema\".relay") != string::npos;
      CHECK((statement->sql[access] == own) == !on_tables);
      Pg pg(scene.server.conninfo(access == PGC_ACCESS_LIBRARY ? "app" : "kept"));
      const Result called = prepare(pg, access);
      CHECK(PQnparams(called.get()) == PQnparams(direct.get()));
      for (int i = 0; i < PQnparams(direct.get()); i++)
        CHECK(PQparamtype(called.get(), i) == PQparamtype(direct.get(), i));
      REQUIRE(PQnfields(called.get()) == statement->columns);
      for (int i = 0; i < statement->columns; i++)
        CHECK(PQftype(called.get(), i) == PQftype(direct.get(), i));
    }
  }
}

TEST_CASE("The SQL functions do what the library's calls do", "[A81][sql][property]") {
  Store store;
  std::mt19937 random(static_cast<unsigned>(seed()));
  INFO("PGCACHE_TEST_SEED=" << seed());
  const Options c = in_namespace("c_side");
  int64_t last = 1; /* versions differ on the two sides, so what each was told last stands for them */
  string last_sql = "1";
  for (int i = 0; i < longer(400, 20000); i++) {
    const string key(1, static_cast<char>('a' + random() % 3)), value = std::to_string(random() % 50);
    const int64_t ttl = random() % 4 == 0 ? 1 : random() % 3 == 0 ? PGCACHE_TTL_NEVER : 60000;
    const string interval = ttl == 1 ? "'1 ms'" : ttl == PGCACHE_TTL_NEVER ? "NULL" : "'60 s'";
    const int32_t format = random() % 2;
    const string name = "'" + key + "'::text, ", behind = interval + ", 'sql_side'";
    const auto sql = [&](const string &call) { return store.pg.one(store.sql("SELECT {s}." + call)); };
    Answer answer;
    string got, wanted;
    switch (random() % 10) {
    case 0:
      answer = store.cache.put(key, value, ttl, format, c);
      wanted = answer == PGCACHE_OK ? "written" : "?";
      got = sql("put(" + name + "'" + value + "', " + behind + ", " + std::to_string(format) + ")");
      break;
    case 1:
      answer = store.cache.add(key, value, ttl, format, c);
      wanted = answer == PGCACHE_OK ? "written" : answer == PGCACHE_EXISTS ? "NULL" : "?";
      got = sql("add(" + name + "'" + value + "', " + behind + ", " + std::to_string(format) + ")");
      break;
    case 2:
      answer = store.cache.replace(key, value, ttl, format, c);
      wanted = answer == PGCACHE_OK ? "written" : answer == PGCACHE_MISS ? "NULL" : "?";
      got = sql("replace(" + name + "'" + value + "', " + behind + ", " + std::to_string(format) + ")");
      break;
    case 3:
      answer = store.cache.compare_and_swap(key, value, last, ttl, c);
      wanted = answer == PGCACHE_OK ? "written" : answer.status >= 0 ? "NULL" : "?";
      got = sql("compare_and_swap(" + name + "'" + value + "', " + last_sql + ", " + behind + ")");
      break;
    case 4:
      answer = store.cache.touch(key, ttl, c);
      wanted = answer == PGCACHE_OK ? "written" : answer == PGCACHE_MISS ? "NULL" : "?";
      got = sql("touch(" + name + behind + ")");
      break;
    case 5:
      answer = store.cache.remove(key, c);
      wanted = answer == PGCACHE_OK ? "t" : "f";
      got = sql("remove(" + name + "'sql_side')");
      break;
    case 6: {
      answer = store.cache.increment(key, 7, 3, ttl, c);
      const string call = store.sql("SELECT {s}.incr(" + name + "7, 3, " + behind + ")");
      if (answer == PGCACHE_NOT_A_COUNTER) {
        wanted = "55000";
        got = store.pg.sqlstate(call);
      } else {
        wanted = std::to_string(answer.number);
        got = store.pg.one(call);
      }
      break;
    }
    case 7:
      answer = store.cache.flush(PGCACHE_FLUSH_NAMESPACE, c);
      wanted = std::to_string(answer.number);
      got = random() % 4 == 0 ? sql("flush('sql_side')") : sql("flush('sql_side')");
      break;
    case 8:
      answer = store.cache.exists(key, c);
      wanted = answer == PGCACHE_OK ? "t" : "f";
      got = sql("exists(" + name + "'sql_side')");
      break;
    default:
      answer = store.cache.get(key, c);
      wanted = answer == PGCACHE_OK ? answer.bytes() : "NULL";
      got = store.pg.one(store.sql("SELECT convert_from({s}.get(" + name + "'sql_side'), 'UTF8')"));
    }
    if (wanted == "written") {
      CHECK(got != "NULL");
      last = answer.version;
      last_sql = got;
    } else {
      INFO(answer);
      REQUIRE(got == wanted);
    }
    if (ttl == 1)
      sleep_ms(5); /* on both sides it is over, or it is not */
  }
  store.pg.exec(store.sql("SELECT {s}.put('big'::text, 'x'::bytea, namespace => 'sql_side')"));
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.incr('full'::text, 9223372036854775807)")) == "00000");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.incr('full'::text)")) == "22003");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.incr('new'::text, 1, 9223372036854775807)")) == "22003");
  CHECK(store.cache.get("full").bytes() == "9223372036854775807");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.incr('n'::text, NULL)")) == "22004");
  for (const char *call : {"get(''::text)", "get(NULL::bytea)", "exists('k'::text, '')", "remove('k'::text, 'a b')",
                           "touch('k'::text, '0')", "touch(''::bytea, '1 s')", "incr('n'::text, ttl => '-1 s')",
                           "flush('')", "get(repeat('k', 4097))"}) {
    INFO(call);
    CHECK(store.pg.sqlstate(store.sql(string("SELECT {s}.") + call)) == "22023");
  }
}
