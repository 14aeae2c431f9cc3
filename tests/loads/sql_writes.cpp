/*
 * sql_writes.cpp - what every statement that writes does with entries that are stale, say that there is no value or were
 * invalidated, with dependencies, and with loads that are under way.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/statements.hpp"
#include "support/catch.hpp"

#include <thread>

using namespace test;
using namespace statements;
using std::string;

namespace {

struct Scene {
  explicit Scene(const Settings &settings = {}) : store(settings) {}
  Store store;
  Session a{store.schema()}, b{store.schema()};

  string one(const string &sql) {
    return store.pg.one(store.sql(sql));
  }
  void exec(const string &sql) {
    store.pg.exec(store.sql(sql));
  }
  void invalidate(const string &digest) {
    exec("INSERT INTO {s}.invalidations (digest) VALUES ('" + digest + "')");
  }
  string column(const string &key, const string &what) {
    return one("SELECT " + what + " FROM {s}.entries WHERE key = '" + key + "'");
  }
  /* What a statement gives in its first column; "" without a row. */
  string first(pgc_statement_id id, const std::vector<string> &parameters) {
    const auto rows = a.run(id, parameters);
    return rows.empty() ? "" : rows[0][0];
  }
  string write(pgc_statement_id id, const string &key, const string &value, const string &tags = "NULL") {
    return first(id, {a.digest(key), "default", bytes(key), bytes(value), "1", "60000", "0", tags});
  }
  string swap(const string &key, const string &value, const string &version, const string &tags = "NULL") {
    return first(PGC_STATEMENT_COMPARE_AND_SWAP,
                 {a.digest(key), "default", bytes(key), bytes(value), "1", "60000", "0", version, tags});
  }
  string touch(const string &key) {
    return first(PGC_STATEMENT_TOUCH, {a.digest(key), "120000"});
  }
  string add_to(const string &key) {
    return first(PGC_STATEMENT_INCREMENT, {a.digest(key), "default", bytes(key), "100", "1", "60000", "0"});
  }
  string remove(const string &key) {
    return first(PGC_STATEMENT_REMOVE, {a.digest(key)});
  }
  void fill(const string &key, const string &value, const string &ttl_ms = "60000", int64_t keep_ms = 0,
            int flags = 0) {
    REQUIRE(a.begin(key).leased);
    REQUIRE(a.fill(key, value, TOKEN, string("{") + TAG + "}", ttl_ms, keep_ms, flags).reason == 0);
  }
  string leases() {
    return one("SELECT count(*) FROM {s}.leases");
  }
};

} // namespace

TEST_CASE("What is stale, says that there is no value or was invalidated is no entry to writes",
          "[sql][rule:freshness]") {
  Scene scene;
  const string how = GENERATE(as<string>(), "stale", "absent", "invalidated", "invalidated key", "fresh");
  INFO(how);
  scene.fill("k", "5", how == "stale" ? "1" : "60000", 60000, how == "absent" ? 64 : 0);
  const string version = scene.column("k", "version"), fresh = how == "fresh" ? "t" : "f";
  scene.exec("UPDATE {s}.entries SET format = 1");
  sleep_ms(5);
  if (how == "invalidated")
    scene.invalidate(TAG);
  if (how == "invalidated key")
    scene.invalidate(scene.a.digest("k"));
  SECTION("add") {
    CHECK((scene.write(PGC_STATEMENT_ADD, "k", "n") == "NULL") == (fresh == "t"));
    CHECK(scene.column("k", "encode(value, 'escape')") == (fresh == "t" ? "5" : "n"));
  }
  SECTION("replace") {
    CHECK((scene.write(PGC_STATEMENT_REPLACE, "k", "n") != "NULL") == (fresh == "t"));
  }
  SECTION("compare_and_swap") {
    CHECK(scene.swap("k", "n", "1") == "NULL");
    CHECK((scene.swap("k", "n", version) != "NULL") == (fresh == "t"));
  }
  SECTION("touch") {
    CHECK((scene.touch("k") != "NULL") == (fresh == "t"));
    if (fresh == "t")
      CHECK(scene.column("k", "fresh_until = expires_at AND expires_at > clock_timestamp() + '110 s'") == "t");
  }
  SECTION("increment") {
    CHECK(scene.add_to("k") == (fresh == "t" ? "6" : "100"));
    CHECK(scene.column("k", "cardinality(dependencies)") == (fresh == "t" ? "2" : "1"));
    CHECK(scene.add_to("k") == (fresh == "t" ? "7" : "101"));
  }
  SECTION("increment of what is no number") {
    scene.exec("UPDATE {s}.entries SET value = 'x'");
    CHECK(scene.add_to("k") == (fresh == "t" ? "NULL" : "100"));
  }
  SECTION("remove") {
    CHECK(scene.remove("k") == fresh);
    CHECK(scene.remove("k").empty());
  }
  SECTION("remove_many") {
    const auto rows = scene.a.run(PGC_STATEMENT_REMOVE_MANY, {"{" + scene.a.digest("k") + "}"});
    REQUIRE(rows.size() == 1);
    CHECK(rows[0] == Row{scene.a.digest("k"), fresh});
  }
  SECTION("put") {
    CHECK(scene.write(PGC_STATEMENT_PUT, "k", "n") != "NULL");
    CHECK(scene.column("k", "dependencies = ARRAY[digest] AND flags = 0 AND fresh_until = expires_at") == "t");
  }
}

TEST_CASE("Writes give an entry its dependencies, add to them or keep them", "[sql][rule:dependencies]") {
  Scene scene;
  const string tag = string("{") + TAG + "}", both = string("{") + TAG + "," + TAG2 + "}";
  const auto tags = [&] { return scene.column("k", "CASE dependencies[1] WHEN digest THEN dependencies[2:] END"); };
  scene.write(PGC_STATEMENT_ADD, "k", "1", tag);
  CHECK(tags() == tag);
  scene.write(PGC_STATEMENT_PUT, "k", "1", both);
  CHECK(tags() == both);
  scene.write(PGC_STATEMENT_PUT, "k", "1");
  CHECK(tags() == "{}");
  scene.write(PGC_STATEMENT_REPLACE, "k", "1", tag);
  CHECK(tags() == tag);
  scene.exec("UPDATE {s}.entries SET asof = '1', snapshot = '1:3:1'");
  const auto asof = [&] { return scene.column("k", "asof || ' ' || coalesce(snapshot::text, '-')"); };
  const auto version = [&] { return scene.column("k", "version"); };
  CHECK(scene.swap("k", "2", version()) != "NULL");
  CHECK(tags() == tag);
  CHECK(scene.swap("k", "3", version(), tag) != "NULL");
  CHECK(tags() == tag);
  CHECK(scene.swap("k", "3", version(), both) != "NULL");
  CHECK(tags() == both);
  CHECK(scene.touch("k") != "NULL");
  CHECK(scene.add_to("k") == "4");
  CHECK(tags() == both);
  CHECK(asof() == "1 1:3:1"); /* none of those said anything new of what others had committed */
  scene.write(PGC_STATEMENT_REPLACE, "k", "1", tag);
  CHECK(asof() != "1 1:3:1");
  scene.invalidate(TAG);
  CHECK(scene.touch("k") == "NULL");
  REQUIRE(scene.a
              .run(PGC_STATEMENT_PUT_MANY, {"{" + scene.a.digest("k") + "," + scene.a.digest("l") + "}", "default",
                                            "{k,l}", "{v,w}", "{0,0}", "{60000,NULL}", "{0,0}", both})
              .size() == 2);
  CHECK(tags() == both);
  CHECK(scene.touch("k") != "NULL");
  scene.invalidate(TAG2);
  CHECK(scene.touch("k") == "NULL");
  CHECK(scene.touch("l") == "NULL");
}

TEST_CASE("A put in a transaction that has invalidated before is gone with its commit", "[sql][rule:guard]") {
  Scene scene;
  scene.exec("BEGIN");
  scene.invalidate(scene.a.digest("k"));
  scene.one("SELECT {s}.put('k'::text, 'v')");
  scene.exec("COMMIT");
  CHECK(scene.touch("k") == "NULL");
  scene.exec("BEGIN");
  scene.exec("SAVEPOINT s");
  scene.invalidate(scene.a.digest("l"));
  scene.exec("ROLLBACK TO s");
  scene.one("SELECT {s}.put('l'::text, 'v')");
  scene.exec("COMMIT");
  CHECK(scene.touch("l") != "NULL");
}

TEST_CASE("An invalidation ends what was put before its commit", "[sql][rule:guard]") {
  Scene scene;
  Pg writer(url());
  writer.exec("BEGIN");
  writer.exec(scene.store.sql("SAVEPOINT s"));
  writer.exec(scene.store.sql("INSERT INTO {s}.invalidations (digest) VALUES ('" + string(TAG) + "')"));
  writer.exec(scene.store.sql("RELEASE s"));
  scene.write(PGC_STATEMENT_PUT, "k", "v", string("{") + TAG + "}");
  CHECK(scene.touch("k") != "NULL");
  writer.exec("COMMIT");
  CHECK(scene.touch("k") == "NULL");
}

TEST_CASE("A remove, remove_many or flush ends the loads that are under way", "[sql][rule:guard]") {
  Scene scene({{"table", GENERATE(as<string>(), "unlogged", "logged")}});
  const bool stale = GENERATE(true, false);
  INFO(stale);
  if (stale) {
    scene.fill("k", "old", "1", 60000);
    sleep_ms(5);
  }
  REQUIRE(scene.a.begin("k").leased);
  REQUIRE(scene.b.begin("other", OTHER).leased);
  scene.exec("DELETE FROM {s}.changes");
  string left = "1";
  const auto events = [&] {
    return scene.one(
        "SELECT string_agg(kind || ' ' || encode(substring(event FOR 16), 'hex')::uuid, ',' ORDER BY kind, event) "
        "FROM {s}.changes");
  };
  const string removed = "0 " + scene.a.digest("k") + ",", released = "3 " + scene.a.digest("k");
  SECTION("remove") {
    CHECK(scene.remove("k") == (stale ? "f" : ""));
    CHECK(events() == (stale ? removed : "") + released);
  }
  SECTION("remove_many") {
    CHECK(scene.a.run(PGC_STATEMENT_REMOVE_MANY, {"{" + scene.a.digest("k") + "," + scene.a.digest("none") + "}"})
              .size() == (stale ? 1 : 0));
    CHECK(events() == (stale ? removed : "") + released);
  }
  SECTION("remove in SQL") {
    CHECK(scene.one("SELECT {s}.remove('k'::text)") == "f");
  }
  SECTION("flush") {
    REQUIRE(scene.store.cache.flush(PGCACHE_FLUSH_NAMESPACE) == PGCACHE_OK);
    left = "0";
    CHECK(scene.one("SELECT sum(octet_length(event)) FROM {s}.changes WHERE kind = 3") == "32");
  }
  SECTION("flush in SQL") {
    CHECK(scene.one("SELECT {s}.flush()") == (stale ? "1" : "0"));
    left = "0";
  }
  SECTION("flush of all, which truncates") {
    REQUIRE(scene.store.cache.flush(PGCACHE_FLUSH_ALL) == PGCACHE_OK);
    left = "0";
  }
  SECTION("TRUNCATE by hand") {
    scene.exec("TRUNCATE {s}.entries");
    left = "0";
  }
  CHECK(scene.leases() == left);
  CHECK(scene.a.fill("k", "read before").reason == 1);
  CHECK(scene.one("SELECT count(*) FROM {s}.entries") == "0");
  CHECK(scene.b.begin("k", OTHER).leased);
}

TEST_CASE("A remove or flush waits for a fill that is under way, and removes its entry", "[sql][rule:guard][threads]") {
  Scene scene;
  REQUIRE(scene.a.begin("k").leased);
  scene.a.pg.exec("BEGIN");
  REQUIRE(scene.a.fill("k", "read before").reason == 0);
  const int what = GENERATE(range(0, 4));
  INFO(what);
  string gone;
  Pg &pg = scene.b.pg;
  const string waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = " + std::to_string(pg.pid());
  const string digest = scene.store.pg.one(scene.store.sql("SELECT {s}.digest('k'::text)"));
  std::exception_ptr failure;
  std::thread other([&] {
    try {
      if (what == 0)
        gone = scene.b.run(PGC_STATEMENT_REMOVE, {digest}).at(0).at(0);
      else if (what == 1)
        gone = scene.b.run(PGC_STATEMENT_REMOVE_MANY, {"{" + digest + "}"}).at(0).at(1);
      else if (what == 2)
        gone = pg.one(scene.store.sql("SELECT {s}.flush()"));
      else
        pg.exec(scene.store.sql("TRUNCATE {s}.entries"));
    } catch (...) {
      failure = std::current_exception();
    }
  });
  const bool waited = eventually([&] { return scene.store.pg.one(waits) != "0"; });
  scene.a.pg.exec("COMMIT");
  other.join();
  if (failure)
    std::rethrow_exception(failure);
  CHECK(waited);
  CHECK(gone == (what < 2 ? "t" : what == 2 ? "1" : ""));
  CHECK(scene.one("SELECT count(*) FROM {s}.entries") == "0");
  CHECK(scene.leases() == "0");
}

TEST_CASE("Without the marker a remove still ends loads", "[sql][epoch]") {
  Scene scene;
  scene.write(PGC_STATEMENT_PUT, "k", "v");
  REQUIRE(scene.a.begin("k", TOKEN, 60000, true).leased);
  scene.exec("TRUNCATE {s}.marker");
  CHECK(scene.remove("k") == "t");
  CHECK(scene.leases() == "0");
}
