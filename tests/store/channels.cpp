/*
 * channels.cpp - channels: many operations on their way at once on one connection. Each one's answer is its own and true,
 * whatever becomes of its neighbours, and they come in the order of sending.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/channels.hpp"
#include "support/keys.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <atomic>
#include <thread>

using namespace test;
using std::string;

namespace {

/* What the statements need, and not the functions that stand in for them. */
void let_in(Store &store, const string &role) {
  for (const char *what : {"USAGE ON SCHEMA {s}", "ALL ON ALL TABLES IN SCHEMA {s}",
                           "ALL ON ALL SEQUENCES IN SCHEMA {s}", "EXECUTE ON FUNCTION {s}.check_schema(text)"})
    store.pg.exec(store.sql(string("GRANT ") + what + " TO \"" + role + "\""));
}

} // namespace

TEST_CASE("All kinds of operations in one push: each has its own answer, in the order of sending", "[channel]") {
  for (const bool prepared : modes()) {
    INFO((prepared ? "prepared" : "whole"));
    Store store(Settings{{"prepared", prepared ? "on" : "off"}});
    const int64_t version = store.cache.put("old", "value").version;
    store.cache.put("text", "abc");
    Channel channel(store.cache);
    REQUIRE(channel.status == PGCACHE_OK);
    for (int round = 0; round < 2; round++) { /* in the second one nothing is prepared any more */
      INFO("round " << round);
      const string n = std::to_string(round);
      const Sent &hit = channel.send(PGC_OP_GET, "old");
      const Sent &miss = channel.send(PGC_OP_GET, "none");
      const Sent &there = channel.send(PGC_OP_EXISTS, "old");
      const Sent &not_there = channel.send(PGC_OP_EXISTS, "none");
      const Sent &put = channel.send(PGC_OP_PUT, "new" + n, string(100000, 'x') + n);
      const Sent &read = channel.send(PGC_OP_GET, "new" + n);
      const Sent &added = channel.send(PGC_OP_ADD, "added" + n, "a");
      const Sent &not_added = channel.send(PGC_OP_ADD, "added" + n, "b");
      const Sent &replaced = channel.send(PGC_OP_REPLACE, "added" + n, "c");
      const Sent &not_replaced = channel.send(PGC_OP_REPLACE, "none", "c");
      const Sent &swapped = channel.swap("new" + n, "d", round == 0 ? 1 : 2); /* of another version */
      const Sent &touched = channel.send(PGC_OP_TOUCH, "old");
      const Sent &not_touched = channel.send(PGC_OP_TOUCH, "none");
      const Sent &counted = channel.increment("counter", 5);
      const Sent &no_counter = channel.increment("text", 1);
      Sent &many = channel.send(channel.make(PGC_OP_PUT_MANY, {"m1", "m2", "m3"}, {"1" + n, "2" + n, ""}));
      Sent &all = channel.send(channel.make(PGC_OP_GET_MANY, {"m1", "none", "m2", "m3"}));
      Sent &some = channel.send(channel.make(PGC_OP_REMOVE_MANY, {"m1", "none"}));
      const Sent &removed = channel.send(PGC_OP_REMOVE, "m2");
      const Sent &not_removed = channel.send(PGC_OP_REMOVE, "m2");
      const Sent &last = channel.send(PGC_OP_GET, "m3");
      REQUIRE(channel.finish());
      CHECK(channel.ends(static_cast<size_t>(21 * round)) ==
            Ends{"OK", "MISS",   "OK", "MISS",          "OK", "OK", "OK", "EXISTS", "OK",   "ask on", "ask on",
                 "OK", "ask on", "OK", "NOT_A_COUNTER", "OK", "OK", "OK", "OK",     "MISS", "OK"});
      CHECK(hit.bytes() == "value");
      CHECK(hit.keys[0].found != nullptr);
      CHECK(miss.keys[0].found == nullptr);
      CHECK((there.status == PGCACHE_OK && not_there.status == PGCACHE_MISS));
      CHECK(put.version() > version);
      CHECK(read.bytes() == string(100000, 'x') + n);
      CHECK(pgcache_value_version(read.keys[0].found) == put.version());
      CHECK(added.version() > put.version());
      CHECK(not_added.version() == 0);
      CHECK(replaced.version() > added.version());
      CHECK((not_replaced.version() == 0 && swapped.version() == 0 && not_touched.version() == 0));
      CHECK(touched.version() > replaced.version());
      CHECK(counted.op.u.increment.number == 5 * (round + 1));
      CHECK(no_counter.error.status == PGCACHE_NOT_A_COUNTER);
      CHECK(many.of("m1").version > 0);
      CHECK((Sent::bytes(all.of("m1")) == "1" + n && Sent::bytes(all.of("m2")) == "2" + n));
      CHECK((Sent::bytes(all.of("m3")).empty() && all.of("m3").status == PGCACHE_OK));
      CHECK((all.of("none").status == PGCACHE_MISS && all.of("none").found == nullptr));
      CHECK((some.of("m1").status == PGCACHE_OK && some.of("none").status == PGCACHE_MISS));
      CHECK((removed.status == PGCACHE_OK && not_removed.status == PGCACHE_MISS && last.bytes().empty()));
    }
    CHECK(channel.in_order());
    channel.close();
    CHECK(store.cache.get("added1").bytes() == "c");
    CHECK(store.cache.counters().connections_lost == 0);
  }
}

TEST_CASE("One operation fails, and its neighbours in the same push do not", "[channel]") {
  for (const bool prepared : modes()) {
    INFO((prepared ? "prepared" : "whole"));
    Store store(Settings{{"prepared", prepared ? "on" : "off"}});
    store.pg.exec(store.sql("CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
                            "IF NEW.key = 'bad' THEN RAISE EXCEPTION 'no' USING ERRCODE = '22000'; END IF; "
                            "IF NEW.key = 'conflict' THEN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END IF; "
                            "RETURN NEW; END$$"));
    store.pg.exec(
        store.sql("CREATE TRIGGER refuse BEFORE INSERT ON {s}.entries FOR EACH ROW EXECUTE FUNCTION {s}.refuse()"));
    store.pg.exec(store.sql("CREATE FUNCTION {s}.refuse_late() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
                            "IF NEW.key = 'late' THEN RAISE EXCEPTION 'no' USING ERRCODE = '22000'; END IF; "
                            "RETURN NULL; END$$"));
    store.pg.exec(
        store.sql("CREATE CONSTRAINT TRIGGER refuse_late AFTER INSERT ON {s}.entries DEFERRABLE INITIALLY DEFERRED "
                  "FOR EACH ROW EXECUTE FUNCTION {s}.refuse_late()"));
    Channel channel(store.cache);
    REQUIRE(channel.status == PGCACHE_OK);
    for (int round = 0; round < 2; round++) {
      INFO("round " << round);
      const string value = "v" + std::to_string(round);
      channel.send(PGC_OP_PUT, "a", value);
      const Sent &bad = channel.send(PGC_OP_PUT, "bad", "v");
      channel.send(PGC_OP_PUT, "b", value);
      channel.send(PGC_OP_GET, "bad");
      const Sent &conflict = channel.send(PGC_OP_ADD, "conflict", "v");
      const Sent &late = channel.send(PGC_OP_PUT, "late", "v"); /* refused at its commit, behind its result */
      const Sent &batch = channel.send(channel.make(PGC_OP_PUT_MANY, {"c", "bad"}, {"v", "v"}));
      const Sent &read = channel.send(PGC_OP_GET, "a");
      channel.send(PGC_OP_PUT, "d", value);
      REQUIRE(channel.finish());
      CHECK(channel.ends(static_cast<size_t>(9 * round)) ==
            Ends{"OK", "SERVER_ERROR", "OK", "MISS", "again", "SERVER_ERROR", "SERVER_ERROR", "OK", "OK"});
      CHECK((bad.error.status == PGCACHE_SERVER_ERROR && string(bad.error.sqlstate) == "22000"));
      CHECK((bad.version() == 0 && conflict.version() == 0 && late.version() == 0));
      CHECK((batch.keys[0].version == 0 && batch.keys[1].version == 0));
      CHECK(read.bytes() == value);
    }
    CHECK(channel.in_order());
    CHECK_FALSE(channel.broken());
    channel.close();
    CHECK(store.cache.get("c") == PGCACHE_MISS);
    CHECK(store.cache.get("late") == PGCACHE_MISS);
    CHECK(store.cache.get("d").bytes() == "v1");
    CHECK(store.cache.counters().connections_lost == 0);
  }
}

TEST_CASE("A read that fails does not fail those of its group: they are asked again", "[channel]") {
  Store store;
  Role role("LOGIN");
  let_in(store, role.name());
  store.pg.exec(
      store.sql("ALTER TABLE {s}.entries ENABLE ROW LEVEL SECURITY; CREATE POLICY torn ON {s}.entries USING (CASE "
                "WHEN key = 'torn' THEN 1 / (flags & 0) = 1 ELSE true END)"));
  Cache cache = store.open({{"url", url_with({{"user", role.name()}})}});
  for (const char *key : {"a", "torn"})
    REQUIRE(store.cache.put(key, "v") == PGCACHE_OK);
  Channel channel(cache);
  INFO(channel.error.text());
  REQUIRE(channel.status == PGCACHE_OK);
  for (int round = 0; round < 2; round++) { /* what the first has prepared is there in the second */
    channel.send(PGC_OP_GET, "a");
    channel.send(PGC_OP_GET, "torn");
    channel.send(PGC_OP_GET, "a");
    channel.send(PGC_OP_EXISTS, "a");
    channel.send(PGC_OP_PUT, "b", "v");
    channel.send(PGC_OP_GET, "b");
    REQUIRE(channel.finish());
    /* To prepare `exists` ends a group. */
    CHECK(channel.ends(static_cast<size_t>(6 * round)) ==
          Ends{"OK", "SERVER_ERROR", "again", round == 0 && !through_pooler() ? "OK" : "again", "OK", "OK"});
  }
  CHECK(channel.in_order());
  CHECK_FALSE(channel.broken());
}

TEST_CASE("A row that somebody else has locked keeps a channel waiting for a moment only", "[channel]") {
  for (const bool prepared : modes()) {
    INFO((prepared ? "prepared" : "whole"));
    Store store(Settings{{"prepared", prepared ? "on" : "off"}, {"pool_max", "1"}});
    REQUIRE(store.cache.put("locked", "old") == PGCACHE_OK);
    Channel channel(store.cache);
    REQUIRE(channel.status == PGCACHE_OK);
    store.pg.exec("BEGIN");
    store.pg.exec(store.sql("SELECT 1 FROM {s}.entries WHERE key = 'locked' FOR UPDATE"));
    channel.send(PGC_OP_PUT, "locked", "new");
    channel.send(PGC_OP_PUT, "other", "new");
    const int64_t began = now_ms();
    REQUIRE(channel.finish());
    CHECK(now_ms() - began < 20000);
    CHECK(channel.ends() == Ends{"TIMEOUT", "OK"});
    CHECK(string(channel.received[0]->error.sqlstate) == "55P03");
    channel.close();
    /* A call on the same connection waits up to its deadline. */
    std::thread other([&] {
      sleep_ms(500);
      Pg(url()).exec("SELECT pg_terminate_backend(" + std::to_string(store.pg.pid()) + ")");
    });
    CHECK(store.cache.put("locked", "newer", deadline(30000)) == PGCACHE_OK);
    other.join();
    CHECK(store.cache.counters().connections_opened == 1);
  }
}

TEST_CASE("What cannot be prepared while the table is locked has met the lock; what counted on it is to be sent again",
          "[channel]") {
  Store store;
  Channel channel(store.cache);
  REQUIRE(channel.status == PGCACHE_OK);
  const auto all = [&] {
    for (const char *key : {"a", "b"})
      channel.send(PGC_OP_PUT, key, "v");
    for (const char *key : {"a", "b"})
      channel.send(PGC_OP_GET, key); /* one group: the first one's error ends the second one's turn */
    REQUIRE(channel.finish());
  };
  Pg holder(url());
  holder.exec(store.sql("BEGIN; LOCK TABLE {s}.entries IN ACCESS EXCLUSIVE MODE"));
  all();
  CHECK(channel.ends() == Ends{"TIMEOUT", "send again", "TIMEOUT", "send again"});
  CHECK(string(channel.received[0]->error.sqlstate) == "55P03");
  CHECK(string(channel.received[2]->error.sqlstate) == "55P03");
  CHECK(channel.in_order());
  CHECK_FALSE(channel.broken());
  holder.exec("ROLLBACK");
  CHECK(store.cache.get("a") == PGCACHE_MISS);
  all();
  CHECK(channel.ends(4) == Ends{"OK", "OK", "OK", "OK"});
  CHECK_FALSE(channel.broken());
}

TEST_CASE("A lost marker: writes are to run again, which makes a new epoch, and the channel goes on",
          "[channel][epoch]") {
  Store store;
  REQUIRE(store.cache.put("old", "v") == PGCACHE_OK);
  Channel channel(store.cache);
  store.pg.exec(store.sql("DELETE FROM {s}.marker"));
  Sent &put = channel.send(PGC_OP_PUT, "a", "v");
  channel.send(PGC_OP_GET, "old");
  channel.send(PGC_OP_TOUCH, "old");
  channel.send(PGC_OP_COMPARE_AND_SWAP, "old", "v");
  channel.increment("n", 1);
  channel.send(channel.make(PGC_OP_PUT_MANY, {"b", "c"}, {"v", "v"}));
  channel.send(PGC_OP_REMOVE, "old");
  REQUIRE(channel.finish());
  CHECK(channel.ends() == Ends{"again", "OK", "again", "again", "again", "again", "OK"});
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
  Error error;
  CHECK(channel.run(put, &error) == PGCACHE_OK);
  CHECK(put.version() > 0);
  channel.send(PGC_OP_PUT, "b", "v");
  REQUIRE(channel.finish());
  CHECK(channel.ends(7) == Ends{"OK"});
}

TEST_CASE("A statement is prepared once for a connection, whoever uses it", "[channel][direct]") {
  Store store;
  Proxy proxy;
  std::atomic<int> prepared{0};
  proxy.rewrite([&](Proxy::Direction direction, string &data) {
    if (direction == Proxy::TO_SERVER && data.find("INSERT INTO") != string::npos)
      prepared++;
  });
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
  for (int i = 0; i < 3; i++) {
    Channel channel(cache);
    REQUIRE(channel.status == PGCACHE_OK);
    for (int j = 0; j < 10; j++)
      channel.send(PGC_OP_PUT, "k", "v");
    REQUIRE(channel.finish());
    CHECK(channel.ends() == Ends(10, "OK"));
    channel.close();
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  }
  CHECK(prepared == 1);
  CHECK(cache.counters().connections_opened == 1);
}

TEST_CASE("Large operations go through a full socket without waiting for it", "[channel]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}});
  Channel channel(cache);
  REQUIRE(channel.status == PGCACHE_OK);
  const string large(300000, 'x');
  proxy.delay(2);
  const int64_t began = now_ms();
  for (int i = 0; i < 8; i++)
    channel.send(PGC_OP_PUT, "k" + std::to_string(i), large);
  for (int i = 0; i < 8; i++)
    channel.send(PGC_OP_GET, "k" + std::to_string(i));
  REQUIRE(channel.push());
  CHECK(now_ms() - began < 15000);
  CHECK(channel.raw()->is_full(channel.raw()));
  REQUIRE(channel.take(60000));
  CHECK_FALSE(channel.raw()->is_full(channel.raw()));
  CHECK(channel.ends() == Ends(16, "OK"));
  CHECK(channel.received.back()->bytes() == large);
  CHECK(channel.in_order());
}

TEST_CASE("Opened at once is what lies ready; others wait for a connection as calls do", "[channel][pool][direct]") {
  Store store(Settings{{"pool_max", "1"}});
  Cache cache = store.open();
  CHECK(Channel(cache, 0).status == PGCACHE_TIMEOUT); /* none is open */
  REQUIRE(eventually([&] { return cache.counters().connections_opened == 1; }));
  CHECK(
      eventually([&] { return Channel(cache, 0).error.text().find("not ready") != string::npos; })); /* not looked at */
  REQUIRE(cache.get("k") == PGCACHE_MISS);
  (void)cache.stats(); /* which allows scans */
  CHECK(Channel(cache, 0).status == PGCACHE_TIMEOUT);
  REQUIRE(Channel(cache).status == PGCACHE_OK);
  Channel channel(cache, 0);
  REQUIRE(channel.status == PGCACHE_OK);
  CHECK(Channel(cache, 0).status == PGCACHE_TIMEOUT);
  CHECK_FALSE(channel.raw()->is_wanted(channel.raw()));
  Answer waiting;
  std::thread other([&] { waiting = cache.get("k", deadline(60000)); });
  CHECK(eventually([&] { return channel.raw()->is_wanted(channel.raw()); }));
  channel.close();
  other.join();
  CHECK(waiting == PGCACHE_MISS);
  CHECK(cache.counters().connections_opened == 1);
  CHECK(cache.counters().connections_lost == 0);
  CHECK_FALSE(cache.raw()->store->is_troubled(cache.raw()->store));
}

TEST_CASE("A role that loses its privileges: what it asks is to run again, and the channel ends", "[channel][roles]") {
  Store store;
  Role role("LOGIN");
  let_in(store, role.name());
  Cache cache = store.open({{"url", url_with({{"user", role.name()}})}});
  Channel channel(cache);
  INFO(channel.error.text());
  REQUIRE(channel.status == PGCACHE_OK);
  channel.send(PGC_OP_PUT, "k", "v");
  REQUIRE(channel.finish());
  store.pg.exec(store.sql("REVOKE ALL ON {s}.entries FROM \"" + role.name() + "\""));
  Sent &get = channel.send(PGC_OP_GET, "k");
  Sent &put = channel.send(PGC_OP_PUT, "k", "v");
  REQUIRE(channel.finish());
  CHECK(channel.ends() == Ends{"OK", "again", "again"});
  CHECK(channel.broken());
  channel.close();
  Error error;
  CHECK(channel.run(get, &error) == PGCACHE_DENIED);
  CHECK(error.text().find("privilege") != string::npos);
  CHECK(channel.run(put, nullptr) == PGCACHE_DENIED);
}

TEST_CASE("A namespace that is not noted as having keyed digests is noted by a call first", "[channel][digests]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  const KeyFile keys(key_line("digest", 'B'));
  Cache cache = store.open({{"digests", "keyed"}, {"keys", keys.source()}, {"namespace", "secret"}});
  Channel channel(cache);
  INFO(channel.error.text());
  REQUIRE(channel.status == PGCACHE_OK);
  channel.send(PGC_OP_GET, "k");
  Sent &put = channel.send(PGC_OP_PUT, "k", "v");
  channel.send(PGC_OP_GET, "k");
  REQUIRE(channel.finish());
  CHECK(channel.ends() == Ends{"MISS", "again", "MISS"});
  CHECK(channel.in_order());
  REQUIRE(channel.run(put, nullptr) == PGCACHE_OK);
  channel.send(PGC_OP_PUT, "k", "w");
  channel.send(PGC_OP_GET, "k");
  REQUIRE(channel.finish());
  CHECK(channel.ends(3) == Ends{"OK", "OK"});
  CHECK(channel.received.back()->bytes() == "w");
  /* And a handle without the secret says so. */
  Cache plain = store.open({{"namespace", "secret"}});
  Channel without(plain);
  Sent &get = without.send(PGC_OP_GET, "k");
  REQUIRE(without.finish());
  CHECK(without.ends() == Ends{"again"});
  CHECK(without.run(get, nullptr) == PGCACHE_SCHEMA_DIFFERS);
}

TEST_CASE("Reads on a channel are noted as use, and handed over by whoever may wait", "[channel][stamps]") {
  Store store;
  Cache cache = store.open({{"access_stamp_ms", "1"}, {"cleanup_share", "100"}});
  REQUIRE(cache.set_limits(PGCACHE_LIMIT_ALL, 1000, 0) == PGCACHE_OK);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  pgc_store *raw = cache.raw()->store;
  const string stamp = store.sql("SELECT accessed_at FROM {s}.entries WHERE key = 'k'");
  const string before = store.pg.one(stamp);
  Channel channel(cache);
  REQUIRE(eventually([&] {
    sleep_ms(5);
    channel.send(PGC_OP_GET, "k");
    REQUIRE(channel.finish());
    return raw->is_stamp_due(raw);
  }));
  CHECK(store.pg.one(stamp) == before);
  pgc_op op = {};
  op.kind = PGC_OP_STAMP;
  op.deadline = pgc_deadline_in(5000);
  CHECK(raw->run(raw, &op, nullptr) == PGCACHE_OK);
  CHECK_FALSE(raw->is_stamp_due(raw));
  CHECK(store.pg.one(stamp) > before);
}
