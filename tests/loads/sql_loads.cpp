/*
 * sql_loads.cpp - the statements of loads, with each of their outcomes, and what can happen between two of them.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/statements.hpp"
#include "support/catch.hpp"

#include <atomic>
#include <memory>

using namespace test;
using namespace statements;
using std::string;

namespace {

struct Scene {
  Store store;
  Session a{store.schema()}, b{store.schema()};

  string one(const string &sql) {
    return store.pg.one(store.sql(sql));
  }
  void exec(const string &sql) {
    store.pg.exec(store.sql(sql));
  }
  /* As the application does, in a transaction of its own. */
  void invalidate(const string &digest) {
    exec("INSERT INTO {s}.invalidations (digest) VALUES ('" + digest + "')");
  }
  void invalidate_key(const string &key) {
    exec("INSERT INTO {s}.invalidations (digest) VALUES ({s}.digest('" + key + "'::text))");
  }
  /* The kinds of the events that are new, in their order. */
  string told() {
    const string kinds = one("SELECT coalesce(string_agg(kind::text, ' ' ORDER BY xid, ctid), '') FROM {s}.changes");
    exec("DELETE FROM {s}.changes");
    return kinds;
  }
  string leases() {
    return one("SELECT count(*) FROM {s}.leases");
  }
};

const char ABSENT[] = "NULL";

} // namespace

TEST_CASE("A miss gives the lease to one, until it is filled", "[sql][rule:load]") {
  Scene scene;
  CHECK(scene.a.begin("k").leased);
  const Begun other = scene.b.begin("k", OTHER);
  CHECK_FALSE(other.leased);
  CHECK_FALSE(other.failed);
  CHECK(other.value == ABSENT);
  CHECK(other.others_ms > 30000);
  CHECK(other.others_ms <= 60000);
  CHECK(scene.a.begin("k").leased); /* the same token's: its answer was lost */
  CHECK(scene.told().empty());
  const Filled filled = scene.a.fill("k", "v", TOKEN, string("{") + TAG + "," + TAG2 + "}");
  CHECK(filled.reason == 0);
  CHECK(filled.version == scene.one("SELECT version FROM {s}.entries"));
  CHECK(scene.told() == "0");
  CHECK(scene.leases() == "0");
  const Begun hit = scene.b.begin("k", OTHER);
  CHECK(hit.hit("v"));
  CHECK(hit.tags == string("{") + TAG + "," + TAG2 + "}");
  CHECK(hit.load_ms == "7");
  CHECK(hit.others_ms == 0);
  CHECK(scene.store.cache.get("k").bytes() == "v");
  CHECK(scene.one("SELECT dependencies[1] = digest AND cardinality(dependencies) = 3 AND fresh_until = expires_at "
                  "FROM {s}.entries") == "t");
  CHECK(scene.a.begin("k", TOKEN, 60000, true).leased); /* early */
  CHECK(scene.a.fill("k", "w", TOKEN, "NULL", "NULL").reason == 0);
  CHECK(scene.one("SELECT dependencies = ARRAY[digest] AND fresh_until = 'infinity' AND expires_at = 'infinity' "
                  "FROM {s}.entries") == "t");
}

TEST_CASE("A fill is refused when its lease is over, and says why", "[sql][rule:guard]") {
  Scene scene;
  SECTION("there was none") {
    CHECK(scene.a.fill("k", "v").reason == 1);
    CHECK(scene.told().empty());
  }
  SECTION("it ran out") {
    REQUIRE(scene.a.begin("k", TOKEN, 1).leased);
    sleep_ms(5);
    CHECK(scene.a.fill("k", "v").reason == 1);
    CHECK(scene.told() == "3");
  }
  SECTION("it ran out and is another's") {
    REQUIRE(scene.a.begin("k", TOKEN, 1).leased);
    sleep_ms(5);
    REQUIRE(scene.b.begin("k", OTHER).leased);
    CHECK(scene.a.fill("k", "v").reason == 1);
    CHECK_FALSE(scene.a.extend("k"));
    CHECK_FALSE(scene.a.end("k"));
    CHECK(scene.leases() == "1");
    CHECK(scene.b.fill("k", "w", OTHER).reason == 0);
  }
  SECTION("it was filled already") {
    REQUIRE(scene.a.begin("k").leased);
    REQUIRE(scene.a.fill("k", "v").reason == 0);
    CHECK(scene.a.fill("k", "w").reason == 1);
    CHECK(scene.b.begin("k").hit("v"));
  }
  SECTION("its key was invalidated") {
    REQUIRE(scene.a.begin("k").leased);
    scene.invalidate_key("k");
    CHECK(scene.a.fill("k", "v").reason == 2);
    CHECK(scene.told() == "3");
  }
  SECTION("a tag was invalidated") {
    REQUIRE(scene.a.begin("k").leased);
    scene.invalidate(TAG2);
    CHECK(scene.a.fill("k", "v", TOKEN, string("{") + TAG + "," + TAG2 + "}").reason == 2);
  }
  SECTION("another tag was invalidated, or this one before") {
    scene.invalidate(TAG);
    REQUIRE(scene.a.begin("k").leased);
    scene.invalidate(TAG2);
    CHECK(scene.a.fill("k", "v", TOKEN, string("{") + TAG + "}").reason == 0);
  }
  SECTION("the entry was put meanwhile") {
    REQUIRE(scene.a.begin("k").leased);
    REQUIRE(scene.store.cache.put("k", "put") == PGCACHE_OK);
    scene.told();
    CHECK(scene.a.fill("k", "v").reason == 3);
    CHECK(scene.told() == "3");
    CHECK(scene.b.begin("k").hit("put"));
  }
  SECTION("the entry that was stale was put meanwhile") {
    REQUIRE(scene.a.begin("k").leased);
    REQUIRE(scene.a.fill("k", "old", TOKEN, "NULL", "1", 60000).reason == 0);
    sleep_ms(5);
    REQUIRE(scene.a.begin("k").leased);
    REQUIRE(scene.store.cache.put("k", "put") == PGCACHE_OK);
    CHECK(scene.a.fill("k", "v").reason == 3);
    CHECK(scene.b.begin("k").hit("put"));
  }
  CHECK(scene.one("SELECT count(*) FROM {s}.leases WHERE token = '" + string(TOKEN) + "'") == "0");
}

TEST_CASE("Stale entries are given to loads alone, with and without the lease", "[sql][rule:freshness]") {
  Scene scene;
  REQUIRE(scene.a.begin("k").leased);
  REQUIRE(scene.a.fill("k", "v", TOKEN, string("{") + TAG + "}", "1", 60000).reason == 0);
  sleep_ms(5);
  const Begun first = scene.a.begin("k"), second = scene.b.begin("k", OTHER);
  CHECK(first.leased);
  CHECK(first.value == "v");
  CHECK_FALSE(second.leased);
  CHECK(second.value == "v");
  CHECK(second.others_ms > 30000);
  SECTION("invalidated, it is gone") {
    scene.invalidate(TAG);
    CHECK(scene.b.begin("k", OTHER).value == ABSENT);
    CHECK(scene.a.begin("k").value == ABSENT);
    CHECK(scene.a.fill("k", "w").reason == 0); /* the lease was taken again, after it */
  }
  SECTION("filled, it is fresh") {
    CHECK(scene.a.fill("k", "w").reason == 0);
    CHECK(scene.b.begin("k", OTHER).hit("w"));
  }
  SECTION("a load that ends without a value leaves it as it was") {
    CHECK(scene.a.end("k"));
    CHECK(scene.told() == "0 3");
    CHECK_FALSE(scene.a.end("k"));
    CHECK(scene.told().empty());
    CHECK(scene.b.begin("k", OTHER).leased);
  }
  SECTION("of a load that failed nobody has the lease for a while") {
    CHECK(scene.a.end("k", TOKEN, 60000));
    CHECK(scene.told() == "0 3");
    CHECK_FALSE(scene.a.end("k", TOKEN, 60000));
    const Begun third = scene.b.begin("k", OTHER);
    CHECK(third.failed);
    CHECK_FALSE(third.leased);
    CHECK(third.value == "v");
    CHECK(third.others_ms > 30000);
    CHECK_FALSE(scene.a.begin("k").leased);
    CHECK_FALSE(scene.a.extend("k"));
    CHECK(scene.a.fill("k", "w").reason == 1);
    scene.invalidate(TAG);
    CHECK(scene.b.begin("k", OTHER).leased); /* nothing stands in any more */
  }
  SECTION("that while ends") {
    CHECK(scene.a.end("k", TOKEN, 1));
    sleep_ms(5);
    CHECK(scene.b.begin("k", OTHER).leased);
  }
}

TEST_CASE("A load that failed with nothing to stand in leaves the lease to the next", "[sql][rule:load]") {
  Scene scene;
  REQUIRE(scene.a.begin("k").leased);
  SECTION("there is nothing") {}
  SECTION("there is only what says that there is none") {
    REQUIRE(scene.a.fill("k", "", TOKEN, "NULL", "1", 60000, 64).reason == 0);
    sleep_ms(5);
    REQUIRE(scene.a.begin("k").leased);
  }
  CHECK(scene.a.end("k", TOKEN, 60000));
  CHECK(scene.leases() == "0");
  CHECK(scene.b.begin("k", OTHER).leased);
}

TEST_CASE("That there is no value is a fresh answer to loads and no entry to others", "[sql][rule:freshness]") {
  Scene scene;
  REQUIRE(scene.a.begin("k").leased);
  REQUIRE(scene.a.fill("k", "", TOKEN, string("{") + TAG + "}", "60000", 0, 64).reason == 0);
  CHECK(scene.b.begin("k", OTHER).hit(""));
  scene.invalidate(TAG);
  CHECK(scene.b.begin("k", OTHER).leased);
}

TEST_CASE("A lease is extended by its owner alone, while it lasts", "[sql][rule:load]") {
  Scene scene;
  CHECK_FALSE(scene.a.extend("k"));
  REQUIRE(scene.a.begin("k", TOKEN, 30000).leased);
  CHECK_FALSE(scene.b.extend("k", OTHER));
  CHECK(scene.a.extend("k", TOKEN, 500000));
  CHECK(scene.b.begin("k", OTHER).others_ms > 400000);
  CHECK(scene.a.extend("k", TOKEN, 1));
  sleep_ms(5);
  CHECK_FALSE(scene.a.extend("k"));
}

TEST_CASE("No lease lasts longer than an hour, whatever is asked for", "[sql][rule:load]") {
  Scene scene;
  REQUIRE(scene.a.begin("k", TOKEN, INT64_C(1000000000000)).leased);
  CHECK(scene.b.begin("k", OTHER).others_ms <= 3600000);
  REQUIRE(scene.a.extend("k", TOKEN, INT64_C(1000000000000)));
  const Begun waits = scene.b.begin("k", OTHER);
  CHECK_FALSE(waits.leased);
  CHECK(waits.others_ms <= 3600000);
  scene.exec("UPDATE {s}.leases SET deadline = now() + interval '2 hours'"); /* as of a clock that was set back since */
  CHECK(scene.b.begin("k", OTHER).leased);
  CHECK(scene.a.fill("k", "v").reason == 1);
}

TEST_CASE("Without the marker the statements of a load say so and write nothing", "[sql][epoch]") {
  Scene scene;
  REQUIRE(scene.a.begin("k").leased);
  scene.exec("TRUNCATE {s}.marker");
  const string digest = scene.a.digest("k");
  CHECK(scene.a.run(PGC_STATEMENT_BEGIN_LOAD, {digest, OTHER, "1000", "f"}).empty());
  CHECK(scene.a.run(PGC_STATEMENT_BEGIN_LOAD, {scene.a.digest("l"), OTHER, "1000", "f"}).empty());
  CHECK(scene.leases() == "1");
  CHECK(scene.a
            .run(PGC_STATEMENT_FILL_LOAD,
                 {digest, TOKEN, "default", bytes("k"), bytes("v"), "0", "1000", "0", "0", "7", "NULL"})
            .empty());
  CHECK(scene.one("SELECT count(*) FROM {s}.entries") == "0");
}

TEST_CASE("Of many who miss one has the lease, also just behind a fill", "[sql][rule:load][threads]") {
  Scene scene;
  const int sessions = 8, rounds = longer(40, 1000);
  std::atomic<int> loads{0}, wrong{0}, arrived{0};
  in_threads(sessions, [&](int me) {
    const auto leave =
        std::shared_ptr<void>(nullptr, [&](void *) { arrived += sessions * rounds; }); /* also thrown out */
    Session session(scene.store.schema());
    string token = TOKEN;
    token.replace(0, 8, std::to_string(10000000 + me));
    for (int r = 0; r < rounds; r++) {
      const string key = "k" + std::to_string(r);
      for (;;) { /* until there is a value: who has the lease fills at once, and all others ask again and again */
        const Begun begun = session.begin(key, token);
        if (begun.leased) {
          loads++;
          wrong += session.fill(key, key, token).reason != 0;
        } else if (begun.value != ABSENT) {
          wrong += begun.value != key;
          break;
        }
      }
      arrived++;
      while (arrived < sessions * (r + 1)) /* they miss the next one together */
        sleep_ms(1);
    }
  });
  CHECK(loads == rounds);
  CHECK(wrong == 0);
  CHECK(scene.leases() == "0");
}

TEST_CASE("In transactions of the application a load is as of what its statements see", "[sql][rule:guard]") {
  Scene scene;
  const string level = GENERATE(as<string>(), "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE");
  INFO(level);
  scene.a.pg.exec("BEGIN ISOLATION LEVEL " + level);
  scene.a.pg.one("SELECT 1"); /* with a snapshot, from which on the latter two look */
  SECTION("an invalidation that it does not see refuses the fill or ends the entry") {
    if (level == "READ COMMITTED")
      REQUIRE(scene.a.begin("k").leased);
    scene.invalidate_key("k");
    if (level != "READ COMMITTED")
      REQUIRE(scene.a.begin("k").leased);
    const Filled filled = scene.a.fill("k", "old");
    CHECK(filled.reason == (level == "READ COMMITTED" ? 2 : 0)); /* the latter do not see it even now */
    scene.a.pg.exec("COMMIT");
    CHECK(scene.b.begin("k", OTHER).leased);
    CHECK(scene.b.fill("k", "new", OTHER).reason == 0);
    CHECK(scene.b.begin("k").hit("new"));
  }
  SECTION("an invalidation before it is none") {
    scene.a.pg.exec("ROLLBACK");
    scene.invalidate_key("k");
    scene.a.pg.exec("BEGIN ISOLATION LEVEL " + level);
    REQUIRE(scene.a.begin("k").leased);
    REQUIRE(scene.a.fill("k", "v").reason == 0);
    CHECK(scene.a.begin("k").hit("v"));
    scene.a.pg.exec("COMMIT");
    CHECK(scene.b.begin("k", OTHER).hit("v"));
  }
  SECTION("its own invalidation ends what it fills") {
    scene.a.pg.exec(scene.store.sql("INSERT INTO {s}.invalidations (digest) VALUES ({s}.digest('k'::text))"));
    REQUIRE(scene.a.begin("k").leased);
    scene.a.fill("k", "v");
    scene.a.pg.exec("COMMIT");
    CHECK(scene.b.begin("k", OTHER).leased);
  }
  SECTION("with it the lease and the entry go") {
    REQUIRE(scene.a.begin("k").leased);
    REQUIRE(scene.a.fill("k", "v").reason == 0);
    scene.a.pg.exec("ROLLBACK");
    CHECK(scene.leases() == "0");
    CHECK(scene.b.begin("k", OTHER).leased);
  }
}

TEST_CASE("An invalidation in progress at the lease ends the entry when it commits", "[sql][rule:guard]") {
  Scene scene;
  Pg writer(url());
  writer.exec("BEGIN");
  writer.exec(scene.store.sql("INSERT INTO {s}.invalidations (digest) VALUES ('" + string(TAG) + "')"));
  scene.invalidate(TAG2); /* a later transaction that has ended: so the former is in progress, and not of the future */
  REQUIRE(scene.a.begin("k").leased);
  CHECK(scene.one("SELECT snapshot IS NOT NULL AND asof < pg_snapshot_xmax(snapshot) FROM {s}.leases") == "t");
  const bool before = GENERATE(true, false), commit = GENERATE(true, false);
  INFO(before << commit);
  if (before)
    writer.exec(commit ? "COMMIT" : "ROLLBACK");
  CHECK(scene.a.fill("k", "v", TOKEN, string("{") + TAG + "}").reason == (before && commit ? 2 : 0));
  if (!before) {
    CHECK(scene.b.begin("k").hit("v"));
    writer.exec(commit ? "COMMIT" : "ROLLBACK");
  }
  if (commit)
    CHECK(scene.b.begin("k", OTHER).leased);
  else
    CHECK(scene.b.begin("k", OTHER).hit("v"));
}
