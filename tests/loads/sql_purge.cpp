/*
 * sql_purge.cpp - old invalidations are deleted, so that their table does not grow without bound, and no entry that one of them has
 * ended ever comes back by that: whatever else happens between the janitor's steps.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <map>
#include <random>

using namespace test;
using std::string;

namespace {

struct Scene {
  Store store{Settings{{"near_max_bytes", "0"}}};
  Pg janitor{url()};

  void exec(const string &sql) {
    store.pg.exec(store.sql(sql));
  }
  string one(const string &sql) {
    return store.pg.one(store.sql(sql));
  }
  string rows() {
    return one("SELECT count(*) FROM {s}.invalidations");
  }
  void put(const string &key, const string &tag) {
    exec("SELECT {s}.put('" + key + "'::text, 'v'::bytea, NULL)");
    exec("UPDATE {s}.entries SET dependencies = dependencies[1:1] || {s}.tag_digest('" + tag +
         "'::text) "
         "WHERE digest = {s}.digest('" +
         key + "'::text)");
  }
  bool there(const string &key) {
    return one("SELECT {s}.exists('" + key + "'::text)") == "t";
  }
  /* One slice, as short as can be; true at the walk's end. */
  bool slice(bool anew) {
    const Row row =
        janitor.query(store.sql("SELECT busy, finished FROM {s}.clean_slice('00000000-0000-0000-0000-00000000000a', "
                                "0, 60000, 0, " +
                                string(anew ? "true" : "false") + ")"))[0];
    REQUIRE(row[0] == "f");
    return row[1] == "t";
  }
  void walk() {
    for (bool anew = true; !slice(anew); anew = false)
      ;
  }
};

} // namespace

TEST_CASE("A cleanup deletes invalidated entries and old invalidations", "[purge][cleanup]") {
  Scene scene;
  scene.put("dead", "t");
  scene.put("alive", "u");
  scene.exec("SELECT {s}.invalidate('{t,none}')");
  scene.put("later", "t");
  const Answer answer = scene.store.cache.cleanup();
  INFO(answer);
  REQUIRE(answer == PGCACHE_OK);
  CHECK(scene.rows() == "0");
  CHECK(scene.one("SELECT count(*) FROM {s}.entries") == "2");
  CHECK(scene.there("alive"));
  CHECK(scene.there("later"));
}

TEST_CASE("What a transaction or a lease still needs is kept, and what is over is not", "[purge][cleanup]") {
  Scene scene;
  Pg old{url()};
  old.exec("BEGIN");
  old.exec("SELECT pg_current_xact_id()");
  scene.exec("SELECT {s}.invalidate('{t}')");
  scene.walk();
  CHECK(scene.rows() == "1");
  old.exec("COMMIT");
  scene.exec(
      "INSERT INTO {s}.leases SELECT gen_random_uuid(), gen_random_uuid(), now() + interval '1 hour', xid, NULL, 0 "
      "FROM {s}.invalidations");
  scene.walk();
  CHECK(scene.rows() == "1");
  scene.exec("UPDATE {s}.leases SET deadline = now() - interval '1 second'");
  scene.walk();
  CHECK(scene.rows() == "0");
  CHECK(scene.one("SELECT count(*) FROM {s}.leases") == "0");
}

TEST_CASE("Leases that are over go in every walk; one that stands for a failed load keeps no invalidation",
          "[purge][cleanup][rule:load]") {
  Scene scene;
  const auto lease = [&](const string &token, const string &lasts) {
    scene.exec("INSERT INTO {s}.leases SELECT gen_random_uuid(), " + token + ", now() + interval '" + lasts +
               "', pg_current_xact_id(), NULL, 0");
  };
  lease("gen_random_uuid()", "-1 second");
  lease("'00000000-0000-0000-0000-000000000000'", "1 year");
  scene.exec("SELECT {s}.invalidate('{t}')");
  while (!scene.slice(false)) /* not asked for, but due: few invalidations are not looked at */
    ;
  CHECK(scene.one("SELECT count(*) FROM {s}.leases") == "1");
  CHECK(scene.rows() == "1");
  scene.walk();
  CHECK(scene.one("SELECT count(*) FROM {s}.leases") == "1");
  CHECK(scene.rows() == "0");
}

TEST_CASE("An entry that somebody holds keeps the invalidations", "[purge][cleanup]") {
  Scene scene;
  Pg holder{url()};
  scene.put("k", "t");
  holder.exec("BEGIN");
  holder.exec(scene.store.sql("SELECT FROM {s}.entries FOR UPDATE"));
  scene.exec("SELECT {s}.invalidate('{t}')");
  scene.walk();
  CHECK(scene.rows() == "1");
  CHECK_FALSE(scene.there("k"));
  holder.exec("COMMIT");
  scene.walk();
  CHECK(scene.rows() == "0");
  CHECK_FALSE(scene.there("k"));
}

TEST_CASE("The janitor's walks keep the invalidations few", "[purge][cleanup]") {
  Scene scene;
  for (int round = 0; round < longer(2, 10); round++) {
    scene.exec("SELECT {s}.invalidate(ARRAY(SELECT 't' || n FROM generate_series(1, 12000) n))");
    while (!scene.slice(false)) /* not asked for, but due */
      ;
    CHECK(scene.rows() == "0");
    scene.exec("VACUUM {s}.invalidations");
  }
  CHECK(std::stoll(scene.one("SELECT pg_relation_size('{s}.invalidations')")) < 2000000);
}

/* One thread of steps, so that each order is what it says: writers, readers and loads between slices that stop anywhere. What
   was ended is never there again before it is written anew. */
TEST_CASE("No order of slices, invalidations and writes brings an entry back", "[purge][cleanup]") {
  std::mt19937_64 random(seed());
  for (int round = 0; round < longer(6, 200); round++) {
    Scene scene;
    Pg writer{url()};
    std::map<string, bool> ended; /* keys whose tag was invalidated and committed since they were written */
    const auto key = [&] { return "k" + std::to_string(random() % 6); };
    const auto tag_of = [](const string &name) { return "t" + std::to_string((name[1] - '0') % 3); };
    string open, leased; /* the tag of the open transaction, the key of the load under way */
    bool walking = false, refused = false;
    for (int step = 0; step < 120; step++) {
      const string name = key();
      switch (random() % 8) {
      case 0:
        scene.put(name, tag_of(name));
        ended[name] = false;
        break;
      case 1:
        if (open.empty()) {
          open = tag_of(name);
          writer.exec("BEGIN");
          writer.exec(scene.store.sql("SELECT {s}.invalidate('{" + open + "}')"));
        } else {
          writer.exec("COMMIT");
          for (auto &[each, gone] : ended)
            gone = gone || tag_of(each) == open;
          refused = refused || (!leased.empty() && tag_of(leased) == open);
          open.clear();
        }
        break;
      case 2:
        scene.exec("SELECT {s}.touch('" + name + "'::text, interval '1 hour')");
        break;
      case 3: /* a load begins, or fills */
        if (leased.empty() && !scene.there(name)) {
          scene.exec(
              "INSERT INTO {s}.leases SELECT {s}.digest('" + name +
              "'::text), gen_random_uuid(), "
              "now() + interval '1 hour', pg_snapshot_xmin(s), CASE WHEN pg_snapshot_xmin(s) <> pg_snapshot_xmax(s) "
              "THEN s END, 0 FROM (SELECT pg_current_snapshot() s OFFSET 0) q");
          leased = name;
          refused = false;
        } else if (!leased.empty()) {
          scene.exec(
              "WITH l AS (DELETE FROM {s}.leases RETURNING *) INSERT INTO {s}.entries (digest, version, expires_at, "
              "fresh_until, accessed_at, asof, format, flags, load_ms, namespace, key, snapshot, dependencies, value) "
              "SELECT l.digest, 1, 'infinity', 'infinity', now(), l.asof, 0, 0, 0, 'default', convert_to('" +
              leased + "', 'UTF8'), l.snapshot, ARRAY[l.digest, {s}.tag_digest('" + tag_of(leased) +
              "'::text)], 'v' FROM l "
              "ON CONFLICT (digest) DO UPDATE SET version = 2, asof = EXCLUDED.asof, snapshot = EXCLUDED.snapshot, "
              "dependencies = EXCLUDED.dependencies");
          ended[leased] = refused; /* filled without the check: reads have to find out */
          leased.clear();
        }
        break;
      case 4:
        if (!open.empty() && random() % 2 == 0) {
          writer.exec("ROLLBACK");
          open.clear();
        }
        break;
      default:
        walking = !scene.slice(!walking);
      }
      for (const auto &[each, gone] : ended) {
        INFO("seed " << seed() << " round " << round << " step " << step << " " << each);
        if (gone)
          REQUIRE_FALSE(scene.there(each));
      }
    }
  }
}
