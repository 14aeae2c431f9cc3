/*
 * sql_watch.cpp - watched tables: that every way of changing rows invalidates what the tags say, and nothing that does not
 * change any; who may watch and what; and that writing to a watched table needs no right on the cache.
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

/* A cache, and a schema of the application's beside it; {a} in the SQL stands for that. */
struct Scene {
  Store store;
  Schema app;
  Pg writer{url()};

  Scene() {
    exec("CREATE SCHEMA {a}");
    exec("CREATE TABLE {a}.orders (id int PRIMARY KEY, customer int, region text, at timestamptz)");
  }
  string sql(string text) const {
    for (size_t at; (at = text.find("{a}")) != string::npos;)
      text.replace(at, 3, app.name());
    return store.sql(text);
  }
  void exec(const string &text) {
    writer.exec(sql(text));
  }
  string sqlstate(const string &text) {
    return writer.sqlstate(sql(text));
  }
  /* Which of these tags the statements invalidate, in their order. */
  string ended(const std::vector<string> &statements, const std::vector<string> &tags,
               const string &space = "default") {
    exec("TRUNCATE {s}.invalidations");
    for (const string &statement : statements)
      exec(statement);
    string all;
    int known = 0;
    for (const string &tag : tags)
      if (writer.one(sql("SELECT count(*) FROM {s}.invalidations WHERE digest = {s}.tag_digest($1::text, $2::text)"),
                     {tag, space}) != "0" &&
          ++known)
        all += (all.empty() ? "" : " ") + tag;
    const string count = writer.one(sql("SELECT count(*) FROM {s}.invalidations"));
    return count == std::to_string(known) ? all : all + " and others: " + count;
  }
};

const std::vector<string> tags = {"orders", "customer:1", "customer:2", "customer:3", "1/north", "2/south", "*"};

} // namespace

TEST_CASE("Every statement that changes rows of a watched table ends the tags of the old and new rows", "[watch]") {
  Scene scene;
  scene.exec("SELECT {s}.watch('{a}.orders', '{orders,customer:<customer>,<customer>/<region>}')");
  const auto ended = [&](const string &statement) { return scene.ended({statement}, tags); };
  CHECK(ended("INSERT INTO {a}.orders VALUES (1, 1, 'north')") == "orders customer:1 1/north");
  CHECK(ended("INSERT INTO {a}.orders VALUES (2, 2), (3, 3)") == "orders customer:2 customer:3");
  CHECK(ended("INSERT INTO {a}.orders VALUES (4)") == "orders"); /* NULL: no tag */
  CHECK(ended("INSERT INTO {a}.orders VALUES (1, 9) ON CONFLICT DO NOTHING") == "");
  CHECK(ended("INSERT INTO {a}.orders VALUES (1) ON CONFLICT (id) DO UPDATE SET customer = 2") ==
        "orders customer:1 customer:2 1/north and others: 5"); /* 2/north */
  CHECK(ended("UPDATE {a}.orders SET region = 'south' WHERE id = 1") == "orders customer:2 2/south and others: 4");
  CHECK(ended("UPDATE {a}.orders SET customer = 1 WHERE id = 0") == "");
  CHECK(ended("UPDATE {a}.orders SET customer = 2 WHERE id = 4") == "orders customer:2");
  CHECK(ended("DELETE FROM {a}.orders WHERE id = 3") == "orders customer:3");
  CHECK(ended("DELETE FROM {a}.orders WHERE id = 3") == "");
  CHECK(
      ended(
          "MERGE INTO {a}.orders o USING (SELECT 5) n(id) ON o.id = n.id WHEN NOT MATCHED THEN INSERT VALUES (5, 3)") ==
      "orders customer:3");
  CHECK(ended("COPY {a}.orders FROM PROGRAM 'printf \"6\\t1\\\\t\\\\\\\\N\\t\\\\\\\\N\\n\"'") == "orders customer:1");
  CHECK(ended("TRUNCATE {a}.orders") == "orders *");
  CHECK(scene.ended({"BEGIN", "INSERT INTO {a}.orders VALUES (1, 1)", "SAVEPOINT s",
                     "INSERT INTO {a}.orders VALUES (2, 2)", "ROLLBACK TO s", "COMMIT"},
                    tags) == "orders customer:1");
  CHECK(scene.ended({"BEGIN", "INSERT INTO {a}.orders VALUES (3, 3)", "ROLLBACK"}, tags) == "");
}

TEST_CASE("A reader's entry dies with the commit that changes what it was made of", "[watch]") {
  Scene scene;
  scene.exec("SELECT {s}.watch('{a}.orders')");
  const string tag = scene.app.name() + ".orders"; /* without tags: the table's name */
  const auto put = [&] {
    scene.store.pg.exec(scene.sql("SELECT {s}.put('count'::text, '1'::bytea, NULL)"));
    scene.store.pg.exec(
        scene.sql("UPDATE {s}.entries SET dependencies = dependencies || {s}.tag_digest('" + tag + "'::text)"));
  };
  const auto there = [&] { return scene.store.pg.one(scene.sql("SELECT {s}.exists('count'::text)")); };
  put();
  scene.exec("BEGIN");
  scene.exec("INSERT INTO {a}.orders VALUES (1)");
  CHECK(there() == "t");
  put();
  scene.exec("COMMIT");
  CHECK(there() == "f");
  put();
  CHECK(there() == "t");
}

TEST_CASE("Any names and values may stand in tags", "[watch][quoting]") {
  Scene scene;
  scene.exec("CREATE TABLE {a}.\"b'a\"\"d %s t\xc3\xa4"
             "ble\" (\"a b\" text, \"q'\"\"\\\" text, \"\xc3\xbc\" text, "
             "\"%I\" text, new text)");
  scene.exec("SELECT {s}.watch('{a}.\"b''a\"\"d %s t\xc3\xa4"
             "ble\"', ARRAY['it''s \\ \"%s\" $$ $q$<<x>:<a b>', "
             "'<q''\"\\>%<\xc3\xbc>', '<%I><new>'])");
  CHECK(scene.ended({"INSERT INTO {a}.\"b'a\"\"d %s t\xc3\xa4"
                     "ble\" VALUES ('v', 'w''', '\xe2\x82\xac', '%L', '\\')"},
                    {"it's \\ \"%s\" $$ $q$<x>:v", "w'%\xe2\x82\xac", "%L\\"}) ==
        "it's \\ \"%s\" $$ $q$<x>:v w'%\xe2\x82\xac %L\\");
  CHECK(scene.writer.one(scene.sql("SELECT tags[1] FROM {s}.watched")) == "it's \\ \"%s\" $$ $q$<<x>:<a b>");
  scene.exec("CREATE TABLE {a}.\"<odd>\" (id int)");
  scene.exec("SELECT {s}.watch('{a}.\"<odd>\"')");
  const string name = scene.app.name() + ".\"<odd>\"";
  CHECK(scene.ended({"INSERT INTO {a}.\"<odd>\" VALUES (1)"}, {name}) == name);
}

TEST_CASE("Columns may have the names of a trigger's variables", "[watch][quoting]") {
  Scene scene;
  scene.exec("CREATE TABLE {a}.rental (ended text, found text, new text, old text, tg_op text, r text, o text, n text, "
             "t text)");
  scene.exec("SELECT {s}.watch('{a}.rental', '{a:<ended>,b:<found>,c:<new>,d:<old>,e:<tg_op>,f:<r><o><n><t>}')");
  CHECK(scene.ended({"INSERT INTO {a}.rental VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9)"},
                    {"a:1", "b:2", "c:3", "d:4", "e:5", "f:6789"}) == "a:1 b:2 c:3 d:4 e:5 f:6789");
  CHECK(scene.ended({"UPDATE {a}.rental SET ended = 'x', old = 'y', n = 'z'"},
                    {"a:1", "a:x", "b:2", "c:3", "d:4", "d:y", "e:5", "f:6789", "f:67z9"}) ==
        "a:1 a:x b:2 c:3 d:4 d:y e:5 f:6789 f:67z9");
  CHECK(scene.ended({"SET session_replication_role = replica", "UPDATE {a}.rental SET found = 'x', t = '0'",
                     "RESET session_replication_role"},
                    {"a:x", "b:2", "b:x", "c:3", "d:y", "e:5", "f:67z9", "f:67z0"}) ==
        "a:x b:2 b:x c:3 d:y e:5 f:67z9 f:67z0");
  CHECK(scene.ended({"DELETE FROM {a}.rental"}, {"a:x", "b:x", "c:3", "d:y", "e:5", "f:67z0"}) ==
        "a:x b:x c:3 d:y e:5 f:67z0");
}

TEST_CASE("Values are printed as they are by default, whatever the writer has set", "[watch]") {
  Scene scene;
  scene.exec("CREATE DOMAIN {a}.number AS float8");
  scene.exec("CREATE TYPE {a}.colour AS ENUM ('red', 'blue')");
  scene.exec("CREATE TYPE {a}.pair AS (a int, b timestamptz)");
  scene.exec("CREATE TABLE {a}.t (at timestamptz, n {a}.number, c {a}.colour, p {a}.pair, b bytea, y bool)");
  scene.exec("SELECT {s}.watch('{a}.t', '{at <at>,n <n>,c <c>,p <p>,b <b>,y <y>}')");
  scene.exec("SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET extra_float_digits = -10; SET bytea_output = "
             "'escape'");
  CHECK(
      scene.ended(
          {"INSERT INTO {a}.t VALUES ('2026-01-02 03:04:05+00', 0.1, 'red', (1, '2026-01-02 00:00:00+00'), 'a', true)"},
          {"at 2026-01-02 03:04:05+00", "n 0.1", "c red", "p (1,\"2026-01-02 00:00:00+00\")", "b \\x61", "y t"}) ==
      "at 2026-01-02 03:04:05+00 n 0.1 c red p (1,\"2026-01-02 00:00:00+00\") b \\x61 y t");
  /* A cast would be its maker's code, with the rights of the cache's owner. */
  scene.exec(
      "CREATE FUNCTION {a}.own(v {a}.colour) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''mine''; END'");
  scene.exec("CREATE CAST ({a}.colour AS text) WITH FUNCTION {a}.own AS IMPLICIT");
  CHECK(scene.ended({"INSERT INTO {a}.t (c) VALUES ('blue')"}, {"c blue"}) == "c blue");
}

TEST_CASE("Letters that a collation holds for the same make different tags", "[watch]") {
  Scene scene;
  if (scene.sqlstate(
          "CREATE COLLATION {a}.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)") !=
      "00000") {
    WARN("skipped: the server was built without ICU");
    return;
  }
  scene.exec("CREATE TABLE {a}.t (name text COLLATE {a}.any_case)");
  scene.exec("SELECT {s}.watch('{a}.t', '{<name>}')");
  CHECK(scene.ended({"INSERT INTO {a}.t VALUES ('a'), ('A')"}, {"a", "A"}) == "a A");
}

TEST_CASE("A statement of very many tags ends all entries that have tags", "[watch]") {
  Scene scene;
  scene.exec("SELECT {s}.watch('{a}.orders', '{orders,customer:<customer>}')");
  CHECK(scene.ended({"INSERT INTO {a}.orders SELECT n, n FROM generate_series(1, 10000) n"}, {"orders", "*"}) ==
        "orders and others: 10001");
  CHECK(scene.ended({"UPDATE {a}.orders SET customer = customer + 1"}, {"orders", "*"}) == "orders *");
}

TEST_CASE("A table may be watched for several namespaces, and each watch replaced", "[watch]") {
  Scene scene;
  scene.exec("SELECT {s}.watch('{a}.orders', '{one}')");
  scene.exec("SELECT {s}.watch('{a}.orders', '{two}', 'other')");
  CHECK(scene.ended({"INSERT INTO {a}.orders VALUES (1)"}, {"one"}) == "one and others: 2");
  CHECK(scene.ended({"INSERT INTO {a}.orders VALUES (2)"}, {"two"}, "other") == "two and others: 2");
  scene.exec("SELECT {s}.watch('{a}.orders', '{three,four}')");
  CHECK(scene.ended({"INSERT INTO {a}.orders VALUES (3)"}, {"one", "three", "four"}) == "three four and others: 3");
  CHECK(scene.writer.one(
            scene.sql("SELECT string_agg(relation || ' ' || namespace || ' ' || tags::text, '; ' ORDER BY namespace) "
                      "FROM {s}.watched")) ==
        scene.app.name() + ".orders default {three,four}; " + scene.app.name() + ".orders other {two}");
  const auto functions = [&] {
    return scene.writer.one(scene.sql("SELECT count(*) FROM pg_proc WHERE pronamespace = '{s}'::regnamespace "
                                      "AND proname ~ '^watch_[0-9a-f]{16}$'"));
  };
  CHECK(functions() == "2"); /* what was replaced is gone */
  scene.exec("SELECT {s}.unwatch('{a}.orders')");
  CHECK(scene.ended({"INSERT INTO {a}.orders VALUES (4)"}, {"one"}) == "");
  CHECK(scene.writer.one(scene.sql("SELECT count(*) FROM {s}.watched")) == "0");
  CHECK(functions() == "0");
  scene.exec("SELECT {s}.unwatch('{a}.orders')"); /* does nothing */
}

TEST_CASE("A watched table may be renamed and dropped, and may change in what its tags do not name", "[watch]") {
  Scene scene;
  scene.exec("SELECT {s}.watch('{a}.orders', '{customer:<customer>}')");
  scene.exec("INSERT INTO {a}.orders VALUES (1, 1)");
  scene.exec("ALTER TABLE {a}.orders DROP COLUMN region, ADD COLUMN more text, ALTER customer TYPE text");
  scene.exec("ALTER TABLE {a}.orders RENAME TO renamed");
  CHECK(scene.ended({"UPDATE {a}.renamed SET customer = '2'"}, tags) == "customer:1 customer:2");
  scene.exec("ALTER TABLE {a}.renamed RENAME customer TO client");
  CHECK(scene.sqlstate("UPDATE {a}.renamed SET client = '3'") == "42703"); /* and not silently nothing */
  string failure;
  try {
    scene.exec("UPDATE {a}.renamed SET client = '3'");
  } catch (const std::exception &error) {
    failure = error.what();
  }
  INFO(failure);
  CHECK(failure.find("customer") != string::npos);
  CHECK(scene.writer.one(scene.sql("SELECT client FROM {a}.renamed")) == "2");
  scene.exec("SELECT {s}.watch('{a}.renamed', '{customer:<client>}')");
  CHECK(scene.ended({"UPDATE {a}.renamed SET client = '3'"}, tags) == "customer:2 customer:3");
  scene.exec("DROP TABLE {a}.renamed");
  CHECK(scene.writer.one(scene.sql("SELECT count(*) FROM {s}.watched")) == "0");
}

TEST_CASE("Changes of partitions and of tables that inherit are seen, whichever is named", "[watch][partitions]") {
  Scene scene;
  scene.exec("CREATE TABLE {a}.p (id int, customer int) PARTITION BY RANGE (id)");
  scene.exec("CREATE TABLE {a}.p1 PARTITION OF {a}.p FOR VALUES FROM (0) TO (10)");
  scene.exec("CREATE TABLE {a}.p2 (customer int, gone text, id int)"); /* its columns stand elsewhere */
  scene.exec("ALTER TABLE {a}.p2 DROP COLUMN gone");
  scene.exec("ALTER TABLE {a}.p ATTACH PARTITION {a}.p2 FOR VALUES FROM (10) TO (20)");
  scene.exec("SELECT {s}.watch('{a}.p', '{orders,customer:<customer>}')");
  const auto ended = [&](const string &statement) { return scene.ended({statement}, tags); };
  CHECK(ended("INSERT INTO {a}.p VALUES (1, 1), (11, 2)") == "orders customer:1 customer:2");
  CHECK(ended("INSERT INTO {a}.p2 (id, customer) VALUES (12, 3)") == "orders customer:3");
  CHECK(ended("UPDATE {a}.p1 SET customer = 2") == "orders customer:1 customer:2");
  CHECK(ended("UPDATE {a}.p SET id = 13 WHERE id = 1") == "orders customer:2"); /* to the other partition */
  CHECK(ended("DELETE FROM {a}.p2 WHERE id = 12") == "orders customer:3");
  CHECK(ended("TRUNCATE {a}.p2") == "orders *");
  CHECK(ended("TRUNCATE {a}.p") == "orders *");
  scene.exec("CREATE TABLE {a}.p3 PARTITION OF {a}.p FOR VALUES FROM (20) TO (30)");
  CHECK(ended("INSERT INTO {a}.p VALUES (21, 1)") == "orders customer:1");
  CHECK(ended("INSERT INTO {a}.p3 VALUES (22, 1)") == ""); /* made later */
  scene.exec("SELECT {s}.watch('{a}.p', '{orders,customer:<customer>}')");
  CHECK(ended("INSERT INTO {a}.p3 VALUES (23, 1)") == "orders customer:1");

  scene.exec("CREATE TABLE {a}.child () INHERITS ({a}.orders)");
  scene.exec("SELECT {s}.watch('{a}.orders', '{orders}')");
  CHECK(ended("INSERT INTO {a}.child VALUES (1)") == "orders");
  CHECK(ended("UPDATE {a}.orders SET customer = 1") == "orders");
  scene.exec("SELECT {s}.unwatch('{a}.orders')");
  CHECK(ended("INSERT INTO {a}.child VALUES (2)") == "");
}

TEST_CASE("Rows that replication writes are seen, too", "[watch][replica]") {
  Scene scene;
  scene.exec("SELECT {s}.watch('{a}.orders', '{orders,customer:<customer>}')");
  scene.exec("SET session_replication_role = replica");
  CHECK(scene.ended({"INSERT INTO {a}.orders VALUES (1, 1), (2, 2)"}, tags) == "orders customer:1 customer:2");
  CHECK(scene.ended({"UPDATE {a}.orders SET customer = 3 WHERE id = 1"}, tags) == "orders customer:1 customer:3");
  CHECK(scene.ended({"DELETE FROM {a}.orders WHERE id = 2"}, tags) == "orders customer:2");
  CHECK(scene.ended({"TRUNCATE {a}.orders"}, tags) == "orders *");
}

TEST_CASE("Rows of a logical subscription are seen, too", "[watch][replica]") {
  PrivateServer server({"wal_level = logical"});
  Store store({}, server.conninfo());
  store.pg.exec("CREATE DATABASE origin");
  Pg origin{server.conninfo("postgres", "origin")};
  for (Pg *pg : {&origin, &store.pg})
    pg->exec("CREATE TABLE orders (id int PRIMARY KEY, customer int)");
  store.pg.exec(store.sql("SELECT {s}.watch('orders', '{customer:<customer>}')"));
  origin.exec("CREATE PUBLICATION p FOR TABLE orders");
  origin.exec("SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
  store.pg.exec("CREATE SUBSCRIPTION s CONNECTION '" + server.conninfo("postgres", "origin") +
                "' PUBLICATION p WITH (create_slot = false, slot_name = 's')");
  origin.exec("INSERT INTO orders VALUES (1, 1)");
  CHECK(eventually(
      [&] {
        return store.pg.one(store.sql("SELECT count(*) FROM {s}.invalidations "
                                      "WHERE digest = {s}.tag_digest('customer:1'::text)")) == "1";
      },
      60000));
  origin.exec("UPDATE orders SET customer = 2");
  CHECK(eventually(
      [&] {
        return store.pg.one(store.sql("SELECT count(*) FROM {s}.invalidations "
                                      "WHERE digest = {s}.tag_digest('customer:2'::text)")) == "1";
      },
      60000));
  store.pg.exec("ALTER SUBSCRIPTION s DISABLE");
  store.pg.exec("ALTER SUBSCRIPTION s SET (slot_name = NONE)");
  store.pg.exec("DROP SUBSCRIPTION s");
}

TEST_CASE("What cannot be watched is refused", "[watch]") {
  Scene scene;
  const auto refused = [&](const string &arguments) { return scene.sqlstate("SELECT {s}.watch(" + arguments + ")"); };
  scene.exec("CREATE VIEW {a}.v AS SELECT * FROM {a}.orders");
  scene.exec("CREATE MATERIALIZED VIEW {a}.m AS SELECT * FROM {a}.orders");
  scene.exec("CREATE SEQUENCE {a}.s");
  scene.exec("CREATE TEMPORARY TABLE temporary (id int)");
  for (const char *name : {"'{a}.v'", "'{a}.m'", "'{a}.s'", "'temporary'", "'pg_catalog.pg_class'", "'{s}.entries'",
                           "'{a}.orders_pkey'", "'information_schema.sql_features'"}) {
    INFO(name);
    CHECK(refused(name) == "42809");
  }
  CHECK(refused("'{a}.none'") == "42P01");
  CHECK(refused("NULL") == "22004");
  CHECK(refused("'{a}.orders', '{NULL}'") == "22004");
  CHECK(refused("'{a}.orders', '{}'") == "22004");
  CHECK(refused("'{a}.orders', ARRAY['']") == "22023");
  CHECK(refused("'{a}.orders', ARRAY[repeat('t', 256)]") == "22023");
  CHECK(refused("'{a}.orders', '{t}', 'a b'") == "22023");
  for (const char *tag : {"<none>", "<customer", "<>", "<ctid>", "<Customer>", "<customer.x>"}) {
    INFO(tag);
    CHECK(refused("'{a}.orders', ARRAY['" + string(tag) + "']") == "42703");
  }
  if (scene.sqlstate("CREATE EXTENSION IF NOT EXISTS postgres_fdw") == "00000") {
    scene.exec("CREATE SERVER \"{a}\" FOREIGN DATA WRAPPER postgres_fdw");
    scene.exec("CREATE FOREIGN TABLE {a}.f (id int) SERVER \"{a}\"");
    CHECK(refused("'{a}.f'") == "42809");
    scene.exec("DROP SERVER \"{a}\" CASCADE");
  } else {
    WARN("foreign tables skipped: the server has no postgres_fdw");
  }
  CHECK(scene.writer.one(scene.sql("SELECT count(*) FROM {s}.watched")) == "0");
}
