/*
 * sql_invalidate.cpp - the SQL function invalidate(): that it counts from the commit on and not without one, in every kind of
 * transaction; that nobody waits for anybody; and that SQL and the library name tags alike.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/server.hpp"

extern "C" {
#include "pure/digest.h"
}

using namespace test;
using std::string;

namespace {

string uuid(const pgc_digest &digest) {
  string text;
  for (int i = 0; i < PGC_DIGEST_SIZE; i++) {
    char two[3];
    snprintf(two, sizeof two, "%02x", static_cast<unsigned>(digest.bytes[i]));
    text += i == 4 || i == 6 || i == 8 || i == 10 ? string("-") + two : string(two);
  }
  return text;
}

/* Puts an entry that depends on these tags, as of now. */
void put(const Store &store, Pg &pg, const string &key, const string &tags) {
  pg.exec(store.sql("SELECT {s}.put('" + key + "'::text, 'v'::bytea, NULL)"));
  pg.exec(store.sql(
      "UPDATE {s}.entries SET dependencies = dependencies[1:1] || ARRAY(SELECT {s}.tag_digest(t) FROM unnest('" + tags +
      "'::text[]) t) WHERE digest = {s}.digest('" + key + "'::text)"));
}

string there(const Store &store, Pg &pg, const string &key) {
  return pg.one(store.sql("SELECT {s}.exists('" + key + "'::text)"));
}

} // namespace

TEST_CASE("SQL and the library name a tag alike, and not like the key of the same bytes", "[invalidate][digest]") {
  Store store;
  const string names[] = {"t", "orders", "customer:42", string("a\0b", 3), "\xff\xfe", string(PGCACHE_TAG_MAX, 't')};
  for (const string &name : names)
    for (const string space : {"default", "x", "a-long.namespace_with~63~characters-is-what-this-name-is-made-of.."}) {
      pgc_digest of_tag, of_key;
      pgc_digest_of_tag(&of_tag, space.c_str(), name.data(), name.size());
      pgc_digest_of_key(&of_key, space.c_str(), name.data(), name.size());
      string hex = "\\x";
      for (unsigned char c : name) {
        char two[3];
        snprintf(two, sizeof two, "%02x", static_cast<unsigned>(c));
        hex += two;
      }
      CHECK(store.pg.one(store.sql("SELECT {s}.tag_digest($1::bytea, $2::text)"), {hex, space}) == uuid(of_tag));
      CHECK(store.pg.one(store.sql("SELECT {s}.digest($1::bytea, $2::text)"), {hex, space}) == uuid(of_key));
      CHECK(uuid(of_tag) != uuid(of_key));
    }
  pgc_digest of_text;
  pgc_digest_of_tag(&of_text, "default", "k\xc3\xa9y", 4);
  CHECK(store.pg.one(store.sql("SELECT {s}.tag_digest('k\xc3\xa9y'::text)")) == uuid(of_text));
}

TEST_CASE("Invalidating a tag or key ends what depends on it and nothing else", "[invalidate][rule:invalidate]") {
  Store store;
  put(store, store.pg, "a", "{t}");
  put(store, store.pg, "b", "{u,t}");
  put(store, store.pg, "c", "{u}");
  put(store, store.pg, "t", "{}");
  store.pg.exec(store.sql("SELECT {s}.invalidate('{t}')"));
  CHECK(there(store, store.pg, "a") == "f");
  CHECK(there(store, store.pg, "b") == "f");
  CHECK(there(store, store.pg, "c") == "t");
  CHECK(there(store, store.pg, "t") == "t"); /* a key is no tag */
  CHECK(store.cache.get("a") == PGCACHE_MISS);
  CHECK(store.cache.get("c") == PGCACHE_OK);
  store.pg.exec(store.sql("SELECT {s}.invalidate(keys => '{t,c}', namespace => 'other')"));
  CHECK(store.cache.get("c") == PGCACHE_OK); /* the same names in another namespace */
  store.pg.exec(store.sql("SELECT {s}.invalidate(keys => '{t}', tags => '{none}')"));
  CHECK(there(store, store.pg, "t") == "f");
  CHECK(there(store, store.pg, "c") == "t");
  put(store, store.pg, "a", "{t}"); /* written since */
  CHECK(there(store, store.pg, "a") == "t");
}

TEST_CASE("An invalidation counts from its commit on, and not after a rollback", "[invalidate][rule:invalidate]") {
  const string level = GENERATE(as<string>{}, "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE");
  CAPTURE(level);
  Store store;
  Pg writer{url()};
  put(store, store.pg, "a", "{t}");
  const string begin = "BEGIN ISOLATION LEVEL " + level;

  writer.exec(begin);
  writer.exec(store.sql("SELECT {s}.invalidate('{t}')"));
  CHECK(there(store, writer, "a") == "f");
  CHECK(there(store, store.pg, "a") == "t");
  writer.exec("ROLLBACK");
  CHECK(there(store, store.pg, "a") == "t");
  CHECK(there(store, writer, "a") == "t");

  writer.exec(begin);
  writer.exec(store.sql("SELECT {s}.invalidate('{t}')"));
  put(store, store.pg, "b", "{t}"); /* while the transaction has not ended: it has not seen it */
  CHECK(there(store, store.pg, "b") == "t");
  writer.exec("COMMIT");
  CHECK(there(store, store.pg, "a") == "f");
  CHECK(there(store, store.pg, "b") == "f");
  put(store, store.pg, "b", "{t}");
  CHECK(there(store, store.pg, "b") == "t");
}

TEST_CASE("A savepoint takes an invalidation back, and its release does not", "[invalidate][rule:invalidate]") {
  Store store;
  Pg writer{url()};
  put(store, store.pg, "a", "{t}");
  writer.exec("BEGIN");
  writer.exec("SAVEPOINT one");
  writer.exec(store.sql("SELECT {s}.invalidate('{t}')"));
  writer.exec("ROLLBACK TO one");
  CHECK(there(store, writer, "a") == "t");
  writer.exec("COMMIT");
  CHECK(there(store, store.pg, "a") == "t");

  writer.exec("BEGIN");
  writer.exec("SAVEPOINT one");
  writer.exec(store.sql("SELECT {s}.invalidate('{t}')"));
  writer.exec("ROLLBACK TO one");
  writer.exec("SAVEPOINT two");
  writer.exec("SAVEPOINT three");
  writer.exec(store.sql("SELECT {s}.invalidate('{t}')"));
  put(store, store.pg, "b", "{t}");
  const string own = writer.one("SELECT pg_current_xact_id()");
  writer.exec("RELEASE two");
  writer.exec("COMMIT");
  CHECK(there(store, store.pg, "a") == "f");
  CHECK(there(store, store.pg, "b") == "f"); /* its snapshot knows the transaction's number and none of a savepoint's */
  CHECK(store.pg.one(store.sql("SELECT string_agg(xid::text, ',') FROM {s}.invalidations")) == own);
}

TEST_CASE("A prepared transaction invalidates when it is committed, also after a crash", "[invalidate][crash]") {
  PrivateServer server({"max_prepared_transactions = 5"});
  Store store({}, server.conninfo());
  bool crash = GENERATE(false, true);
  CAPTURE(crash);
  {
    Pg writer{server.conninfo()};
    put(store, store.pg, "a", "{t}");
    writer.exec("BEGIN");
    writer.exec(store.sql("SELECT {s}.invalidate('{t}')"));
    writer.exec("PREPARE TRANSACTION 'p'");
  }
  if (crash) {
    server.crash();
    server.start();
  }
  Pg pg{server.conninfo()};
  put(store, pg, "a", "{t}"); /* has not seen it */
  CHECK(there(store, pg, "a") == "t");
  pg.exec("COMMIT PREPARED 'p'");
  CHECK(there(store, pg, "a") == "f");
  put(store, pg, "a", "{t}");
  CHECK(there(store, pg, "a") == "t");
}

TEST_CASE("An entry of a snapshot with transactions in progress dies of those alone", "[invalidate]") {
  Store store;
  Pg unrelated{url()}, before{url()}, during{url()};
  unrelated.exec("BEGIN");
  unrelated.exec("SELECT pg_current_xact_id()");
  during.exec("BEGIN");
  during.exec(store.sql("SELECT {s}.invalidate('{u}')"));
  before.exec(store.sql("SELECT {s}.invalidate('{t}')")); /* younger than those two, and seen */
  put(store, store.pg, "a", "{t}");
  put(store, store.pg, "b", "{u}");
  CHECK(store.pg.one(store.sql("SELECT count(snapshot) FROM {s}.entries")) == "2");
  CHECK(there(store, store.pg, "a") == "t");
  CHECK(there(store, store.pg, "b") == "t");
  during.exec("COMMIT");
  CHECK(there(store, store.pg, "a") == "t");
  CHECK(there(store, store.pg, "b") == "f");
  unrelated.exec("COMMIT");
  CHECK(there(store, store.pg, "a") == "t");
}

TEST_CASE("Writers of one tag, and of keys in any order, do not wait for each other", "[invalidate][rule:invalidate]") {
  Store store;
  Pg one{url()}, other{url()};
  put(store, store.pg, "a", "{t}");
  for (Pg *pg : {&one, &other}) {
    pg->exec("SET lock_timeout = '2s'");
    pg->exec("BEGIN");
  }
  one.exec(store.sql("SELECT {s}.invalidate('{t}', '{a}')"));
  CHECK(other.sqlstate(store.sql("SELECT {s}.invalidate('{t}', '{b}')")) == "00000");
  CHECK(other.sqlstate(store.sql("SELECT {s}.invalidate('{t}', '{a}')")) == "00000");
  CHECK(one.sqlstate(store.sql("SELECT {s}.invalidate('{t}', '{b}')")) == "00000");
  store.pg.exec("SET lock_timeout = '2s'");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.put('a'::text, 'w'::bytea)")) == "00000");
  one.exec("COMMIT");
  other.exec("ROLLBACK");
  CHECK(there(store, store.pg, "a") == "f");
}

TEST_CASE("A transaction notes each digest once; the change stream hears of calls that note any, in rows of 100",
          "[invalidate]") {
  Store store;
  Pg writer{url()};
  writer.exec("BEGIN");
  writer.exec(store.sql("SELECT {s}.invalidate(ARRAY(SELECT 't' || n FROM generate_series(1, 250) n), '{k,k}')"));
  writer.exec(store.sql("SELECT {s}.invalidate('{t1,t250}', '{k}')"));
  CHECK(writer.one(store.sql("SELECT {s}.invalidate_digests(ARRAY[{s}.tag_digest('t1'::text), "
                             "{s}.tag_digest('new'::text)], 'default', NULL)")) == "1");
  writer.exec("COMMIT");
  CHECK(store.pg.one(store.sql("SELECT count(*) || ' ' || count(DISTINCT xid) FROM {s}.invalidations")) == "252 1");
  CHECK(store.pg.one(store.sql("SELECT string_agg(octet_length(event)::text, ' ' ORDER BY octet_length(event)) "
                               "FROM {s}.changes WHERE kind = 1")) == "32 832 1600 1600");
  CHECK(store.pg.one(store.sql("SELECT count(DISTINCT substring(event FROM n * 16 + 1 FOR 16)) "
                               "FROM {s}.changes, generate_series(0, 99) n "
                               "WHERE kind = 1 AND n * 16 < octet_length(event)")) == "252");
}

TEST_CASE("What cannot be invalidated is refused", "[invalidate][sql]") {
  Store store;
  const auto refused = [&](const string &arguments) {
    return store.pg.sqlstate(store.sql("SELECT {s}.invalidate(" + arguments + ")"));
  };
  CHECK(refused("NULL") == "22004");
  CHECK(refused("'{NULL}'") == "22004");
  CHECK(refused("keys => '{a,NULL}'") == "22004");
  CHECK(refused("ARRAY['']") == "22023");
  CHECK(refused("ARRAY[repeat('t', 256)]") == "22023");
  CHECK(refused("ARRAY[repeat('t', 255)]") == "00000");
  CHECK(refused("keys => ARRAY['']") == "22023");
  CHECK(refused("keys => ARRAY[repeat('k', 4097)]") == "22023");
  CHECK(refused("'{t}', namespace => 'a b'") == "22023");
  CHECK(refused("'{t}', namespace => NULL") == "22023");
  CHECK(refused("") == "00000"); /* nothing to do */
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.invalidations")) == "1");
}

TEST_CASE("A standby says that nothing can be invalidated there", "[invalidate][standby]") {
  PrivateServer primary;
  Store store({}, primary.conninfo());
  PrivateServer standby(&primary);
  Pg pg{standby.conninfo()};
  CHECK(pg.sqlstate(store.sql("SELECT {s}.invalidate('{t}')")) == "25006");
}
