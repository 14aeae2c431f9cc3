/*
 * sql_events.cpp - every statement that changes entries leaves exactly its events in the change stream, in its own
 * transaction; and what changes nothing leaves none.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near/stream.hpp"
#include "support/catch.hpp"
#include "support/private_server.hpp"

#include <algorithm>
#include <set>

using namespace test;
using std::string;
using stream::Event;
using stream::Poller;

namespace {

struct Scene {
  explicit Scene(const Settings &settings = {}) : store(settings), poller(store.schema()) {}
  Store store;
  Poller poller;

  string digest(const string &key) {
    return store.pg.one(store.sql("SELECT replace({s}.digest('" + key + "'::text)::text, '-', '')"));
  }
  int64_t version(const string &key) {
    return std::stoll(store.pg.one(store.sql("SELECT version FROM {s}.entries WHERE key = '" + key + "'")));
  }
  string sql(const string &call) {
    return store.pg.one(store.sql("SELECT {s}." + call));
  }
  /* One event of one entry, and nothing else, is new; its version. */
  int64_t told(const string &key) {
    const auto events = poller.poll();
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == 0);
    CHECK(events[0].digest == digest(key));
    return events[0].version;
  }
  void told_nothing() {
    CHECK(poller.poll().empty());
  }
};

} // namespace

TEST_CASE("Each write of the library leaves its event, with the entry's version", "[changes]") {
  Scene scene(GENERATE(Settings{}, Settings{{"table", "logged"}}));
  Cache &cache = scene.store.cache;
  scene.told_nothing();
  for (int i = 0; i < 2; i++) {
    const Answer put = cache.put("k", "v");
    CHECK(scene.told("k") == put.version);
    CHECK(scene.version("k") == put.version);
  }
  CHECK(cache.add("k", "w") == PGCACHE_EXISTS);
  scene.told_nothing();
  CHECK(cache.compare_and_swap("k", "w", 1) == PGCACHE_EXISTS);
  scene.told_nothing();
  CHECK(cache.replace("none", "w") == PGCACHE_MISS);
  CHECK(cache.touch("none", 1000) == PGCACHE_MISS);
  CHECK(cache.remove("none") == PGCACHE_MISS);
  CHECK(cache.get("k") == PGCACHE_OK);
  CHECK(cache.cleanup() == PGCACHE_OK);
  scene.told_nothing();
  const int64_t added = cache.add("new", "w").version;
  CHECK(scene.told("new") == added);
  const int64_t replaced = cache.replace("k", "w").version;
  CHECK(scene.told("k") == replaced);
  const int64_t swapped = cache.compare_and_swap("k", "x", replaced).version;
  CHECK(scene.told("k") == swapped);
  CHECK(cache.touch("k", 60000) == PGCACHE_OK);
  CHECK(scene.told("k") == scene.version("k"));
  CHECK(scene.version("k") > swapped);
  for (int i = 0; i < 2; i++) {
    CHECK(cache.increment("n", 1) == PGCACHE_OK);
    CHECK(scene.told("n") == scene.version("n"));
  }
  CHECK(cache.increment("k", 1).status < 0); /* no counter */
  scene.told_nothing();
  const int64_t before = scene.version("k");
  CHECK(cache.remove("k") == PGCACHE_OK);
  const int64_t removed = scene.told("k");
  CHECK(removed > before);
  CHECK(cache.put("k", "v").version > removed);
}

TEST_CASE("Each function of the SQL API leaves its event", "[changes][sql]") {
  Scene scene;
  for (const char *call :
       {"put('k'::text, 'v')", "put('k'::text, 'w')", "put_json('k'::text, '1')", "replace('k'::text, 'v')",
        "touch('k'::text, '1 min')", "incr('n'::text)", "incr('n'::text, 5)", "add('a'::text, 'v')"}) {
    INFO(call);
    scene.sql(call);
    const string key = string(call).substr(string(call).find('\'') + 1, 1);
    CHECK(scene.told(key) == scene.version(key));
  }
  const string version = std::to_string(scene.version("k"));
  CHECK(scene.sql("compare_and_swap('k'::text, 'v', 1)") == "NULL");
  CHECK(scene.sql("add('k'::text, 'v')") == "NULL");
  CHECK(scene.sql("touch('none'::text, '1 min')") == "NULL");
  CHECK(scene.sql("remove('none'::text)") == "f");
  scene.told_nothing();
  const string swapped = scene.sql("compare_and_swap('k'::text, 'v', " + version + ")");
  CHECK(swapped == std::to_string(scene.version("k")));
  CHECK(scene.told("k") == scene.version("k"));
  const int64_t before = scene.version("k");
  CHECK(scene.sql("remove('k'::text)") == "t");
  CHECK(scene.told("k") > before);
  CHECK(scene.sql("flush()") == "2");
  CHECK(scene.poller.poll().size() == 2);
  scene.sql("put('k'::text, 'v')");
  CHECK(scene.told("k") == scene.version("k"));
  CHECK(scene.sql("flush_all()") == "1");
  scene.told("k");
}

TEST_CASE("Statements of many keys leave a row for up to 100 of them", "[changes]") {
  Scene scene;
  const int n = GENERATE(1, 99, 100, 101, 250);
  Items items;
  std::vector<string> names;
  for (int i = 0; i < n; i++)
    names.push_back("key " + std::to_string(i));
  std::set<string> keys;
  for (const string &name : names) {
    items.add(name, "v");
    keys.insert(scene.digest(name));
  }
  const auto told_all = [&] {
    const auto events = scene.poller.poll();
    CHECK(scene.poller.rows == static_cast<size_t>(n + 99) / 100);
    std::set<string> digests;
    std::set<int64_t> versions;
    for (const Event &event : events) {
      CHECK(event.kind == 0);
      digests.insert(event.digest);
      versions.insert(event.version);
    }
    CHECK(events.size() == static_cast<size_t>(n));
    CHECK(digests == keys);
    return versions;
  };
  Error error;
  REQUIRE(pgcache_put_many(scene.store.cache.raw(), items.data(), items.size(), nullptr, &error) == PGCACHE_OK);
  std::set<int64_t> stored;
  for (const Row &row : scene.store.pg.query(scene.store.sql("SELECT version FROM {s}.entries")))
    stored.insert(std::stoll(row[0]));
  CHECK(told_all() == stored);
  items.clear_results();
  SECTION("remove_many") {
    REQUIRE(pgcache_remove_many(scene.store.cache.raw(), items.data(), items.size(), nullptr, &error) == PGCACHE_OK);
  }
  SECTION("flush of a namespace") {
    REQUIRE(scene.store.cache.flush(PGCACHE_FLUSH_NAMESPACE) == PGCACHE_OK);
  }
  SECTION("flush in SQL") {
    CHECK(scene.sql("flush()") == std::to_string(n));
  }
  CHECK(*told_all().begin() > *stored.rbegin());
}

TEST_CASE("TRUNCATE of the entries, by the library or by hand, is one event", "[changes][flush]") {
  Scene scene;
  REQUIRE(scene.store.cache.put("k", "v") == PGCACHE_OK);
  scene.told("k");
  SECTION("the library's flush") {
    REQUIRE(scene.store.cache.flush(PGCACHE_FLUSH_ALL) == PGCACHE_OK);
  }
  SECTION("truncate_entries()") {
    CHECK(scene.sql("truncate_entries()") == "1");
  }
  SECTION("by hand") {
    scene.store.pg.exec(scene.store.sql("TRUNCATE {s}.entries"));
  }
  CHECK(scene.poller.poll() == std::vector<Event>{{2, "", 0}});
}

TEST_CASE("Events are of their transaction: with it they come, and with it, or its savepoint, they go", "[changes]") {
  Scene scene;
  Pg &pg = scene.store.pg;
  pg.exec("BEGIN");
  scene.sql("put('a'::text, 'v')");
  pg.exec("SAVEPOINT s");
  scene.sql("put('b'::text, 'v')");
  pg.exec("ROLLBACK TO s");
  scene.sql("put('c'::text, 'v')");
  pg.exec("RELEASE s");
  scene.told_nothing();
  pg.exec("COMMIT");
  std::vector<string> digests;
  for (const Event &event : scene.poller.poll())
    digests.push_back(event.digest);
  CHECK(digests == std::vector<string>{scene.digest("a"), scene.digest("c")});
  pg.exec("BEGIN");
  scene.sql("put('a'::text, 'v')");
  scene.sql("remove('c'::text)");
  pg.exec("ROLLBACK");
  scene.told_nothing();
}

TEST_CASE("A removal while the marker is gone is told, of whatever version", "[changes][epoch]") {
  Scene scene;
  REQUIRE(scene.store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(scene.store.cache.put("l", "v") == PGCACHE_OK);
  const string nonce = scene.poller.last[1];
  scene.poller.poll();
  scene.store.pg.exec(scene.store.sql("DELETE FROM {s}.marker"));
  CHECK_THROWS(scene.poller.poll());
  CHECK(scene.sql("remove('k'::text)") == "t");
  CHECK(scene.sql("flush()") == "1");
  scene.sql("new_epoch()");
  const auto events = scene.poller.poll();
  CHECK(scene.poller.last[1] != nonce);
  REQUIRE(events.size() == 2);
  for (const Event &event : events)
    CHECK(event.version == INT64_MAX);
}

TEST_CASE("The nonce is another one after a crash, a new marker, TRUNCATE by hand, and a restored table", "[changes]") {
  PrivateServer server;
  Pg pg(server.conninfo());
  const bool logged = GENERATE(false, true);
  Config config;
  config.set("url", server.conninfo()).set("schema", "c").set("near_max_bytes", "0");
  config.set("table", logged ? "logged" : "unlogged");
  REQUIRE(Cache(config).init() == PGCACHE_OK);
  std::set<string> seen;
  const auto differs = [&] {
    const bool anew = seen.insert(Poller("c", server.conninfo()).last[1]).second;
    CHECK(anew);
    CHECK(Poller("c", server.conninfo()).last[1] == Poller("c", server.conninfo()).last[1]);
  };
  differs();
  pg.exec("TRUNCATE c.marker; SELECT c.new_epoch()");
  differs();
  pg.exec("TRUNCATE c.changes");
  differs();
  /* What a dump that was restored has: the same row in another table. */
  pg.exec("CREATE TABLE c.copy AS TABLE c.marker; DROP TABLE c.marker; ALTER TABLE c.copy RENAME TO marker");
  differs();
  pg.exec("UPDATE c.cache SET system_identifier = 1; SELECT c.put('k'::text, 'v'); SELECT c.new_epoch()");
  differs();
  CHECK(pg.query("SELECT kind, event FROM c.changes") == std::vector<Row>{{"2", "\\x"}}); /* the entries are gone */
  pg.exec("DROP TABLE c.marker");
  pg.exec("CREATE UNLOGGED TABLE c.marker (only_row boolean PRIMARY KEY DEFAULT true, epoch integer, nonce uuid, "
          "floor bigint DEFAULT 0, slot smallint DEFAULT 0, prepared xid8[]); SELECT c.new_epoch()");
  differs();
  pg.exec("SELECT c.put('k'::text, 'v'); UPDATE c.marker SET slot = 2, floor = 5");
  server.crash();
  server.start();
  Pg again(server.conninfo());
  again.exec("SELECT c.put('k'::text, 'v')");
  differs();
  CHECK(again.query("SELECT slot, floor FROM c.marker") == std::vector<Row>{{"0", "0"}});
  if (!logged)
    CHECK(again.one("SELECT count(*) FROM c.changes") == "1");
}
