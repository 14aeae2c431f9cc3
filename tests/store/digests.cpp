/*
 * digests.cpp - keyed digests: the database knows no key, every call by key works, and who cannot compute the digests is
 * told so.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache_hooks.h"
#include "support/catch.hpp"
#include "support/keys.hpp"
#include "support/server.hpp"

#include "pgcache_hooks.h"

using namespace test;
using std::string;

namespace {

Settings keyed(const KeyFile &keys, Settings more = {}) {
  more.emplace_back("digests", "keyed");
  more.emplace_back("keys", keys.source());
  return more;
}

Cache on_connection(const Store &store, const Pg &pg, const Settings &settings = {}) {
  pgcache *self = nullptr;
  Error error;
  if (pgcache_new_on_connection(&self, store.config(settings).get(), pg.raw(), &error) != PGCACHE_OK)
    throw std::runtime_error(error.message);
  return Cache(self);
}

pgcache_status list_keys(Cache &cache, Error &error) {
  pgcache_value *keys[4];
  size_t count = 0;
  return pgcache_keys(cache.raw(), keys, 4, &count, nullptr, 0, nullptr, 0, nullptr, &error);
}

} // namespace

TEST_CASE("With keyed digests every call by key works, and the database sees no key", "[digests]") {
  const KeyFile keys(key_line("digest", 'B') + key_line("one", 'C')), others(key_line("digest", 'D'));
  Store store;
  for (const bool encrypted : {false, true}) {
    Cache cache = store.open(keyed(keys, encrypted ? Settings{{"encryption", "required"}} : Settings{}));
    REQUIRE(cache.put("Xanary", "v", 60000) == PGCACHE_OK);
    CHECK(cache.get("Xanary").bytes() == "v");
    CHECK(cache.exists("Xanary") == PGCACHE_OK);
    CHECK(cache.touch("Xanary", 50000) == PGCACHE_OK);
    CHECK(cache.get("Xanary").bytes() == "v");
    CHECK(cache.add("Xanary", "w") == PGCACHE_EXISTS);
    CHECK(cache.replace("Xanary", "w") == PGCACHE_OK);
    CHECK(cache.compare_and_swap("Xanary", "x", cache.get("Xanary").version) == PGCACHE_OK);
    CHECK(cache.get("Xanary").bytes() == "x");
    Items items;
    items.add("Xanary1", "1");
    items.add("Xanary2", "2");
    REQUIRE(pgcache_put_many(cache.raw(), items.data(), 2, nullptr, nullptr) == PGCACHE_OK);
    REQUIRE(pgcache_get_many(cache.raw(), items.data(), 2, nullptr, nullptr) == PGCACHE_OK);
    CHECK(items.bytes(1) == "2");
    CHECK(store.pg.one(store.sql("SELECT count(*) || ' ' || count(key) FROM {s}.entries")) == "3 0");
    CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries e WHERE e::text LIKE '%Xanary%'")) == "0");
    CHECK(store.pg.one(store.sql("SELECT string_agg(DISTINCT flags::text, ' ') FROM {s}.entries")) ==
          (encrypted ? "48" : "32"));
    CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries WHERE digest = {s}.digest('Xanary')")) == "0");
    Cache stranger = store.open(keyed(others));
    CHECK(stranger.get("Xanary") == PGCACHE_MISS); /* other digests */
    items.clear_results();
    REQUIRE(pgcache_remove_many(cache.raw(), items.data(), 2, nullptr, nullptr) == PGCACHE_OK);
    CHECK(cache.remove("Xanary") == PGCACHE_OK);
    CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
  }
  Cache cache = store.open(keyed(keys));
  CHECK(cache.increment("n", 5).number == 5);
  CHECK(cache.increment("n", 5).number == 10);
  CHECK(store.pg.one(store.sql("SELECT flags || ' ' || (key IS NULL) FROM {s}.entries")) == "32 true");
  CHECK(cache.get("n").bytes() == "10");
}

TEST_CASE("With keyed digests keys cannot be listed", "[digests]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  Cache cache = store.open(keyed(keys, {{"namespace", "hidden"}}));
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  Error error;
  CHECK(list_keys(cache, error) == PGCACHE_UNSUPPORTED);
  CHECK(error.text().find("digests=keyed") != string::npos);
  CHECK(cache.stats().entries == 1);
  CHECK(cache.flush(PGCACHE_FLUSH_NAMESPACE).number == 1);
}

TEST_CASE("SQL says that it cannot name entries with keyed digests", "[digests][sql]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  Cache cache = store.open(keyed(keys));
  const auto state = [&](const string &call) { return store.pg.sqlstate(store.sql("SELECT {s}." + call)); };
  CHECK(state("get('k'::text, 'hidden')") == "00000"); /* nobody has stored anything there */
  REQUIRE(cache.put("k", "v", in_namespace("hidden")) == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT settings FROM {s}.namespaces WHERE name = 'hidden'")) ==
        "{\"digests\": \"keyed\"}");
  for (const char *call :
       {"get('k'::text, 'hidden')", "get('k'::bytea, 'hidden')", "get_json('k', 'hidden')",
        "exists('k'::text, 'hidden')", "exists('k'::bytea, 'hidden')", "remove('k'::text, 'hidden')",
        "remove('k'::bytea, 'hidden')", "put('k'::text, 'v'::bytea, namespace => 'hidden')",
        "put('k'::bytea, 'v'::bytea, namespace => 'hidden')", "put_json('k', '1', namespace => 'hidden')"}) {
    INFO(call);
    CHECK(state(call) == "0A000");
  }
  CHECK(state("put('k'::text, 'v'::bytea, namespace => 'elsewhere')") == "00000");
  CHECK(cache.get("k", in_namespace("hidden")).bytes() == "v");
}

TEST_CASE("A namespace keeps the kind of digests that it began with", "[digests]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  store.pg.exec(store.sql("INSERT INTO {s}.namespaces VALUES ('hidden', '{\"quota\": 5}')"));
  Cache cache = store.open(keyed(keys, {{"namespace", "hidden"}}));
  CHECK(cache.get("k") == PGCACHE_MISS); /* to look does not note anything */
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.namespaces WHERE settings ? 'digests'")) == "0");
  REQUIRE(cache.init() == PGCACHE_EXISTS);
  CHECK(store.pg.one(store.sql("SELECT settings FROM {s}.namespaces")) ==
        "{\"quota\": 5, \"digests\": \"keyed\"}"); /* what else stands there stays */
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);

  Cache plain = store.open({{"namespace", "hidden"}});
  const Answer got = plain.get("k");
  INFO(got);
  CHECK(got == PGCACHE_SCHEMA_DIFFERS);
  CHECK(got.error.text().find("digests=keyed") != string::npos);
  CHECK(plain.put("k", "v") == PGCACHE_SCHEMA_DIFFERS);
  CHECK(plain.remove("k") == PGCACHE_SCHEMA_DIFFERS);
  CHECK(plain.increment("k") == PGCACHE_SCHEMA_DIFFERS);
  Items items;
  items.add("k");
  CHECK(pgcache_get_many(plain.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_SCHEMA_DIFFERS);
  Error error;
  CHECK(list_keys(plain, error) == PGCACHE_SCHEMA_DIFFERS);
  /* What needs no key is for everybody: administrators have no secrets. */
  CHECK(plain.stats().entries == 1);
  CHECK(plain.cleanup() == PGCACHE_OK);
  CHECK(plain.flush(PGCACHE_FLUSH_NAMESPACE).number == 1);
  CHECK(plain.init() == PGCACHE_EXISTS);
  CHECK(plain.get("k", in_namespace("default")) == PGCACHE_MISS);
}

TEST_CASE("A schema that a keyed handle makes is noted from the beginning", "[digests][schema]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  Cache cache = store.open(keyed(keys));
  REQUIRE(cache.init() == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT name || settings::text FROM {s}.namespaces")) ==
        "default{\"digests\": \"keyed\"}");
}

TEST_CASE("A digest is noted once for a handle, in any number of namespaces", "[digests]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  Cache cache = store.open(keyed(keys));
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 100; i++) {
      const string name = "n" + std::to_string(i);
      const Options options = in_namespace(name.c_str());
      REQUIRE(cache.put("k", name, options) == PGCACHE_OK);
      CHECK(cache.get("k", options).bytes() == name);
    }
  }
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.namespaces")) == "100");
  store.pg.exec(store.sql("DELETE FROM {s}.namespaces"));
  REQUIRE(cache.put("k", "v", in_namespace("n99")) == PGCACHE_OK); /* is remembered, and not noted again */
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.namespaces")) == "0");
}

TEST_CASE("On the application's connection, too, a plain handle is kept out each time", "[digests][borrowed]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  REQUIRE(store.open(keyed(keys)).put("k", "v") == PGCACHE_OK);
  Pg own(url());
  Cache plain = on_connection(store, own);
  for (int round = 0; round < 3; round++) {
    CHECK(plain.get("k") == PGCACHE_SCHEMA_DIFFERS);
    CHECK(plain.put("Xanary", "v") == PGCACHE_SCHEMA_DIFFERS);
    CHECK(plain.put("k", "v", in_namespace("other")) == PGCACHE_OK);
  }
  CHECK(store.pg.one(store.sql("SELECT count(key) FROM {s}.entries WHERE namespace = 'default'")) == "0");
}

TEST_CASE("A note that went with the application's rollback is made again", "[digests][borrowed][rule:inside]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  Pg own(url());
  Cache cache = on_connection(store, own, keyed(keys));
  const string noted = store.sql("SELECT count(*) FROM {s}.namespaces WHERE settings ->> 'digests' = 'keyed'");
  own.exec("BEGIN");
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  own.exec("ROLLBACK");
  CHECK(store.pg.one(noted) == "0");
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  CHECK(store.pg.one(noted) == "1");

  /* What is noted is not locked until the application's transaction ends. */
  Cache other = on_connection(store, own, keyed(keys));
  own.exec("BEGIN");
  REQUIRE(other.put("l", "v") == PGCACHE_OK);
  CHECK(store.open(keyed(keys)).put("m", "v", deadline(3000)) == PGCACHE_OK);
  store.pg.exec(store.sql("SET lock_timeout = '3s'; UPDATE {s}.namespaces SET settings = settings"));
  own.exec("COMMIT");
}

TEST_CASE("Digests are noted anew in a schema that was made anew", "[digests][schema]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  Cache cache = store.open(keyed(keys, {{"pool_max", "1"}}));
  const string noted = store.sql("SELECT string_agg(name, ' ' ORDER BY name) FROM {s}.namespaces");
  const auto put_both = [&] {
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
    REQUIRE(cache.put("k", "v", in_namespace("other")) == PGCACHE_OK);
  };
  put_both();
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  REQUIRE(cache.init() == PGCACHE_OK); /* by itself, */
  CHECK(store.pg.one(noted) == "default");
  put_both();
  CHECK(store.pg.one(noted) == "default other");
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  REQUIRE(store.open().init() == PGCACHE_OK); /* or by somebody else: then from the next connection on */
  const string others = " FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() AND "
                        "backend_type = 'client backend'";
  store.pg.exec("SELECT pg_terminate_backend(pid)" + others);
  REQUIRE(eventually([&] { return store.pg.one("SELECT count(*)" + others) == "0"; }));
  REQUIRE(cache.get("k") == PGCACHE_MISS); /* a read comes again on another connection; a write would say UNKNOWN */
  put_both();
  CHECK(store.pg.one(noted) == "default other");
}

TEST_CASE("Keyed digests need their key", "[digests]") {
  const KeyFile none(key_line("one", 'B')), digest_alone(key_line("digest", 'B'));
  Store store;
  pgcache *made = nullptr;
  Error error;
  CHECK(pgcache_new(&made, store.config(keyed(none)).get(), &error) == PGCACHE_BAD_SETTING);
  CHECK(error.text().find("pgcache keygen digest") != string::npos);
  CHECK(pgcache_new(&made, store.config({{"encryption", "on"}, {"keys", digest_alone.source()}}).get(), &error) ==
        PGCACHE_BAD_SETTING);
  CHECK(error.text().find("encryption needs a key") != string::npos);
  CHECK(made == nullptr);
}

TEST_CASE("A namespace's kind of digests is noted again after a transaction with the note was rolled back",
          "[digests][rule:inside]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  Pg pg(url());
  pgcache *self = nullptr;
  REQUIRE(pgcache_new_on_connection(&self, store.config(keyed(keys)).get(), pg.raw(), nullptr) == PGCACHE_OK);
  Cache cache(self);
  const auto noted = [&] { return store.pg.one(store.sql("SELECT count(*) FROM {s}.namespaces")); };
  pg.exec("BEGIN");
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  pg.exec("ROLLBACK");
  REQUIRE(noted() == "0");
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  CHECK(noted() == "1");
}
