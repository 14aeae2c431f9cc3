/*
 * sql_roles_loads.cpp - who may invalidate and watch: every role that was let in, in each of the ways that there are, one that is
 * kept to namespaces there alone; and nobody may write to the log by himself.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/server.hpp"

using namespace test;
using std::string;

namespace {

/* A server of its own, whose roles end with it. */
struct Scene {
  PrivateServer server;
  Pg admin{server.conninfo()};

  Pg let_in(const string &name, const string &namespaces, const string &grants) {
    admin.exec("CREATE ROLE " + name + " LOGIN");
    admin.exec("SELECT c.grant_access('" + name + "', " + namespaces + ", '" + grants + "')");
    admin.exec("CREATE SCHEMA " + name + " AUTHORIZATION " + name);
    return Pg{server.conninfo(name)};
  }
  Scene() {
    Config config;
    config.set("url", server.conninfo()).set("schema", "c");
    REQUIRE(Cache(config).init().status >= 0);
  }
  string there(const string &key, const string &space) {
    return admin.one("SELECT c.exists('" + key + "'::text, '" + space + "')");
  }
  void put(const string &key, const string &space) {
    admin.exec("SELECT c.put('" + key + "'::text, 'v'::bytea, NULL, '" + space + "')");
    admin.exec("UPDATE c.entries SET dependencies = dependencies[1:1] || c.tag_digest('t'::text, '" + space +
               "') "
               "WHERE digest = c.digest('" +
               key + "'::text, '" + space + "')");
  }
};

} // namespace

TEST_CASE("[A81] A role that was let in invalidates and watches, with functions and with tables alike",
          "[A81][roles]") {
  const string grants = GENERATE(as<string>{}, "functions", "tables");
  CAPTURE(grants);
  Scene scene;
  Pg app = scene.let_in("app", "NULL", grants);
  scene.put("k", "a");
  app.exec("SELECT c.invalidate('{t}', namespace => 'a')");
  CHECK(scene.there("k", "a") == "f");
  scene.put("k", "a");
  app.exec("SELECT c.invalidate(keys => '{k}', namespace => 'a')");
  CHECK(scene.there("k", "a") == "f");
  CHECK(app.one("SELECT c.exists('k'::text, 'a')") == "f");

  app.exec("CREATE TABLE app.t (id int)");
  app.exec("SELECT c.watch('app.t', '{t}', 'a')");
  CHECK(scene.admin.one("SELECT relation FROM c.watched") == "app.t");
  scene.put("k", "a");
  app.exec("INSERT INTO app.t VALUES (1)");
  CHECK(scene.there("k", "a") == "f");

  /* Somebody who knows nothing of the cache. */
  scene.admin.exec("CREATE ROLE writer LOGIN");
  app.exec("GRANT USAGE ON SCHEMA app TO writer");
  app.exec("GRANT INSERT, SELECT, TRIGGER ON app.t TO writer");
  Pg writer{scene.server.conninfo("writer")};
  scene.put("k", "a");
  writer.exec("INSERT INTO app.t VALUES (2)");
  CHECK(scene.there("k", "a") == "f");
  CHECK(writer.sqlstate("SELECT c.invalidate('{t}')") == "42501");
  CHECK(app.sqlstate("SELECT * FROM c.watched") == (grants == "tables" ? "00000" : "42501"));
  CHECK(writer.sqlstate("SELECT c.watch('app.t')") == "42501");

  app.exec("SELECT c.unwatch('app.t')");
  scene.put("k", "a");
  writer.exec("INSERT INTO app.t VALUES (3)");
  CHECK(scene.there("k", "a") == "t");

  /* Nobody appends to the log but through the functions. */
  CHECK(app.sqlstate("INSERT INTO c.invalidations VALUES (gen_random_uuid(), '3')") == "42501");
  CHECK(app.sqlstate("INSERT INTO c.invalidations (digest) VALUES (gen_random_uuid())") == "42501");
  CHECK(app.sqlstate("DELETE FROM c.invalidations") == "42501");
  CHECK(app.sqlstate("CREATE TABLE c.mine (id int)") == "42501");
}

TEST_CASE("[A81] A role that is kept to namespaces invalidates and watches for those alone", "[A81][roles]") {
  const string grants = GENERATE(as<string>{}, "functions", "tables");
  CAPTURE(grants);
  Scene scene;
  Pg kept = scene.let_in("kept", "'{a}'", grants);
  for (const string space : {"a", "b"}) {
    CAPTURE(space);
    const string expected = space == "a" ? "00000" : "42501";
    scene.put("k", space);
    CHECK(kept.sqlstate("SELECT c.invalidate('{t}', namespace => '" + space + "')") == expected);
    CHECK((scene.there("k", space) == "f") == (space == "a"));
    scene.put("k", space);
    CHECK(kept.sqlstate("SELECT c.invalidate(keys => '{k}', namespace => '" + space + "')") == expected);
    CHECK((scene.there("k", space) == "f") == (space == "a"));
    kept.exec("CREATE TABLE kept.t_" + space + " (id int, n text)");
    CHECK(kept.sqlstate("SELECT c.watch('kept.t_" + space + "', '{t,<n>}', '" + space + "')") == expected);
    scene.put("k", space);
    kept.exec("INSERT INTO kept.t_" + space + " VALUES (1)");
    CHECK((scene.there("k", space) == "f") == (space == "a"));
  }
  /* Digests do not tell whose they are, and names are asked for. */
  const string of_b = "c.digest('k'::text, 'b')";
  for (const string names : {"NULL", "'{}'", "ARRAY['\\x6b6b'::bytea]", "ARRAY['\\x'::bytea,NULL,'\\x6b'::bytea]"}) {
    CAPTURE(names);
    CHECK(kept.sqlstate("SELECT c.invalidate_digests(ARRAY[" + of_b + "], 'a', " + names + ")") == "42501");
    CHECK(kept.sqlstate("SELECT c.append_own_invalidations(ARRAY[" + of_b + "], 'b', " + names + ")") == "42501");
    CHECK(kept.sqlstate("SELECT c.append_own_invalidations(ARRAY[" + of_b + "], NULL, " + names + ")") == "42501");
  }
  CHECK(kept.sqlstate("SELECT c.invalidate_digests(ARRAY[c.digest('k'::text, 'a'), " + of_b +
                      "], 'a', ARRAY['\\x6b6b'::bytea])") == "42501");
  CHECK(kept.sqlstate("SELECT c.invalidate_digests(ARRAY[c.digest('k'::text, 'a')], 'a', ARRAY['\\x6b6b'::bytea])") ==
        "00000");
  CHECK(kept.sqlstate("SELECT c.append_invalidations(ARRAY[" + of_b + "])") == "42501");
  CHECK(kept.sqlstate("SELECT c.make_watch('kept.t_a', '{t}', 'b')") == "42501");
  CHECK(kept.sqlstate("INSERT INTO c.invalidations (digest) VALUES (gen_random_uuid())") == "42501");
  CHECK(scene.there("k", "b") == "t");
}

TEST_CASE("Only a table's owner may have it watched, and takes it back with the table's", "[roles][watch]") {
  Scene scene;
  Pg one = scene.let_in("one", "NULL", "functions");
  Pg other = scene.let_in("other", "NULL", "functions");
  one.exec("CREATE TABLE one.t (id int)");
  one.exec("GRANT ALL ON ALL TABLES IN SCHEMA one TO other");
  one.exec("GRANT USAGE ON SCHEMA one TO other");
  CHECK(other.sqlstate("SELECT c.watch('one.t')") == "42501");
  one.exec("SELECT c.watch('one.t', '{t}')");
  CHECK(other.sqlstate("SELECT c.unwatch('one.t')") == "42501");
  /* The function of one's watch is not for the other's tables. */
  other.exec("CREATE TABLE other.t (id int)");
  const string function =
      scene.admin.one("SELECT tgfoid::regproc FROM pg_trigger WHERE tgrelid = 'one.t'::regclass LIMIT 1");
  CHECK(other.sqlstate("CREATE TRIGGER mine AFTER INSERT ON other.t FOR EACH STATEMENT EXECUTE FUNCTION " + function +
                       "()") == "42501");
  scene.admin.exec("SELECT c.watch('other.t', '{u}')"); /* a superuser */
  other.exec("INSERT INTO other.t VALUES (1)");
  CHECK(scene.admin.one("SELECT count(*) FROM c.invalidations WHERE digest = c.tag_digest('u'::text)") == "1");
  CHECK(scene.admin.one("SELECT count(*) FROM c.watched") == "2");
  /* Who was shut out. */
  scene.admin.exec("REVOKE USAGE ON SCHEMA c FROM other");
  CHECK(other.sqlstate("SELECT c.invalidate('{t}')") == "42501");
  CHECK(other.sqlstate("INSERT INTO other.t VALUES (1)") == "00000");
}
