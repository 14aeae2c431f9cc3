/*
 * channels_lost.cpp - channels whose connection, server or memory goes in the middle: what is OK happened, what is lost did
 * not, and UNKNOWN is only what nobody can know.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/alloc_fail.hpp"
#include "support/answers.hpp"
#include "support/catch.hpp"
#include "support/channels.hpp"
#include "support/libpq_fails.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <cstring>

using namespace test;
using std::string;

TEST_CASE("A connection that is killed in the middle: what was sent and writes is UNKNOWN or done, reads are lost",
          "[channel][rule:unknown]") {
  for (const bool prepared : modes()) {
    INFO((prepared ? "prepared" : "whole"));
    Store store(Settings{{"prepared", prepared ? "on" : "off"}});
    store.cache.put("slow", "old");
    Channel channel(store.cache);
    REQUIRE(channel.status == PGCACHE_OK);
    channel.send(PGC_OP_GET, "slow");
    channel.send(PGC_OP_PUT, "before", "v");
    REQUIRE(channel.finish());
    store.pg.exec(store.sql("CREATE FUNCTION {s}.sleep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
                            "IF NEW.key = 'slow' THEN PERFORM pg_sleep(20); END IF; RETURN NEW; END$$"));
    store.pg.exec(store.sql("CREATE TRIGGER sleep BEFORE INSERT OR UPDATE ON {s}.entries FOR EACH ROW EXECUTE FUNCTION "
                            "{s}.sleep()"));
    channel.send(PGC_OP_GET, "before");
    channel.send(PGC_OP_PUT, "done", "v");
    channel.send(PGC_OP_PUT, "slow", "new");
    channel.send(PGC_OP_GET, "before");
    channel.send(PGC_OP_PUT, "behind", "v");
    channel.send(PGC_OP_GET, "before"); /* without a sync */
    string pid;
    REQUIRE(eventually([&] {
      pid = store.pg.one("SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
      return pid != "0";
    }));
    channel.take(100);
    Pg(url()).exec("SELECT pg_terminate_backend(" + pid + ")");
    REQUIRE(channel.take());
    CHECK(channel.broken());
    CHECK(channel.ends(2) == Ends{"OK", "OK", "UNKNOWN", "lost", "UNKNOWN", "lost"});
    CHECK(channel.in_order());
    for (const Sent *sent : channel.received) {
      if (sent->status < 0)
        CHECK((sent->error.status == sent->status && sent->keys[0].version == 0 && strlen(sent->error.message) > 20));
    }
    Sent &late = channel.make(PGC_OP_GET, {"before"});
    CHECK_FALSE(channel.raw()->send(channel.raw(), &late));
    CHECK_FALSE(channel.push());
    channel.close();
    CHECK(store.cache.get("slow").bytes() == "old");
    CHECK(store.cache.get("behind") == PGCACHE_MISS);
    CHECK(store.cache.get("done").bytes() == "v");
    CHECK(store.cache.counters().connections_lost == 1);
  }
}

TEST_CASE("Each call of libpq fails once for want of memory: what was refused or lost did not happen",
          "[channel][memory][libpq]") {
  for (const bool prepared : modes()) {
    Store store(Settings{{"prepared", prepared ? "on" : "off"}});
    bool failed = true;
    long points = 0;
    for (long n = 1; failed; n++) {
      store.pg.exec(store.sql("DELETE FROM {s}.entries"));
      REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
      Cache cache = store.open();
      Channel channel(cache);
      REQUIRE(channel.status == PGCACHE_OK);
      const std::vector<string> keys = {"k", "a", "b", "k", "k", "c"};
      std::vector<Sent *> all;
      {
        LibpqFails fails(n);
        for (size_t i = 0; i < keys.size(); i++) {
          all.push_back(&channel.make(keys[i] == "k" ? PGC_OP_GET : PGC_OP_PUT, {keys[i]}, {"v"}));
          channel.try_send(*all.back());
        }
        channel.push();
        failed = LibpqFails::failed();
        INFO((prepared ? "prepared" : "whole") << ", call " << n << ", " << LibpqFails::who());
        REQUIRE(channel.take());
        CHECK(channel.in_order());
        CHECK(channel.broken() == failed);
        failed = LibpqFails::failed();
      }
      points += failed ? 1 : 0;
      for (size_t i = 0; i < keys.size(); i++) {
        const string end = all[i]->refused ? "refused" : all[i]->end();
        INFO((prepared ? "prepared" : "whole") << ", call " << n << ", operation " << i << ": " << end);
        if (end == "OK" || keys[i] == "k")
          CHECK(store.cache.get(keys[i]) == PGCACHE_OK);
        else if (end != "UNKNOWN")
          CHECK(store.cache.get(keys[i]) == PGCACHE_MISS);
        CHECK((failed || end == "OK"));
        CHECK((end == "OK" || end == "refused" || end == "lost" || end == "send again" || end == "UNKNOWN"));
      }
    }
    CHECK(points >= 6);
  }
}

TEST_CASE("Wherever a connection is cut, what was lost did not happen and what is OK did", "[channel][rule:unknown]") {
  Store store;
  Proxy proxy;
  int seen_lost = 0, seen_unknown = 0, seen_ok = 0;
  for (const Proxy::Direction direction : {Proxy::TO_SERVER, Proxy::TO_CLIENT}) {
    bool was_cut = true;
    for (int64_t at = 1; was_cut; at += longer(97, 3)) {
      INFO((direction == Proxy::TO_SERVER ? "to the server" : "to the client") << ", after byte " << at);
      /* Keys of its own: what was UNKNOWN before may still happen. */
      const string turn = std::to_string(direction) + "." + std::to_string(at);
      store.pg.exec(store.sql("DELETE FROM {s}.entries"));
      REQUIRE(store.cache.put("old", "v") == PGCACHE_OK);
      Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}, {"breaker_failures", "0"}});
      Channel channel(cache);
      REQUIRE(channel.status == PGCACHE_OK);
      const int64_t passed = proxy.bytes(direction);
      proxy.cut_after(direction, at);
      struct Write {
        string key;
        Sent *sent;
        bool taken;
      };
      std::vector<Write> writes;
      const auto write = [&](pgc_op_kind kind, const string &key) {
        Sent &sent = channel.make(kind, {key}, {"new " + key});
        writes.push_back({key, &sent, channel.try_send(sent)});
      };
      channel.try_send(channel.make(PGC_OP_GET, {"old"}));
      write(PGC_OP_PUT, "a" + turn);
      write(PGC_OP_ADD, "b" + turn);
      Sent &read = channel.make(PGC_OP_GET, {"a" + turn});
      const bool asked = channel.try_send(read);
      write(PGC_OP_PUT, "c" + turn);
      if (!channel.broken())
        channel.push();
      REQUIRE(channel.take());
      CHECK(channel.in_order());
      for (const Write &each : writes) {
        const string there = each.taken ? each.sent->end() : "refused";
        INFO(each.key << ": " << there);
        const int64_t version = store.cache.get(each.key).version;
        if (there == "OK") {
          CHECK(version == each.sent->version());
          seen_ok++;
        } else if (there == "UNKNOWN") {
          seen_unknown++;
        } else {
          CHECK((there == "lost" || there == "refused"));
          CHECK(version == -1);
          seen_lost++;
        }
      }
      if (asked && read.end() == "OK")
        CHECK(read.bytes() == "new a" + turn);
      else if (asked)
        CHECK((read.end() == "lost" || read.end() == "MISS"));
      was_cut = proxy.bytes(direction) - passed >= at;
      channel.close();
      proxy.cut_after(direction, INT64_MAX / 2);
    }
  }
  CHECK(seen_unknown > 0);
  CHECK(seen_ok > 0);
}

TEST_CASE("A crash of the server: the channel breaks, and one that is opened later finds the marker gone",
          "[channel][crash]") {
  PrivateServer server;
  Config config;
  config.set("url", server.conninfo()).set("breaker_failures", "0");
  Cache cache(config);
  REQUIRE(cache.init() == PGCACHE_OK);
  const int64_t version = cache.put("k", "v").version;
  Channel channel(cache);
  REQUIRE(channel.status == PGCACHE_OK);
  channel.send(PGC_OP_PUT, "k", "w");
  REQUIRE(channel.finish());
  channel.send(PGC_OP_GET, "k");
  server.crash();
  channel.push();
  REQUIRE(channel.take());
  CHECK(channel.broken());
  CHECK(channel.ends() == Ends{"OK", "lost"});
  channel.close();
  CHECK(Channel(cache, 300).status == PGCACHE_UNAVAILABLE);
  server.start();
  pgcache_status opened = PGCACHE_OK;
  CHECK(eventually(
      [&] {
        Channel later(cache);
        opened = later.status;
        if (opened != PGCACHE_OK)
          return false;
        later.send(PGC_OP_GET, "k");
        Sent &put = later.send(PGC_OP_PUT, "k", "new");
        REQUIRE(later.finish());
        CHECK(later.ends() == Ends{"MISS", "again"});
        CHECK(later.run(put, nullptr) == PGCACHE_OK);
        CHECK(put.version() > version);
        return true;
      },
      30000));
}

TEST_CASE("A channel that is severed or shut down gives back all that is under way", "[channel][rule:unknown]") {
  for (const bool severed : {true, false}) {
    INFO((severed ? "severed" : "shut down"));
    Store store;
    Proxy proxy;
    Cache cache = store.open({{"url", proxy.conninfo()}});
    Channel channel(cache);
    REQUIRE(channel.status == PGCACHE_OK);
    channel.send(PGC_OP_GET, "k");
    REQUIRE(channel.finish());
    proxy.black_hole(true);
    channel.send(PGC_OP_GET, "k");
    channel.send(PGC_OP_PUT, "k", "v");
    REQUIRE(channel.push());
    CHECK_FALSE(channel.take(50));
    if (severed)
      channel.raw()->sever(channel.raw());
    else
      cache.shutdown();
    REQUIRE(channel.take(1000));
    CHECK(channel.broken());
    CHECK(channel.ends() == Ends{"MISS", "lost", "UNKNOWN"});
    CHECK_FALSE(cache.raw()->store->is_troubled(cache.raw()->store));
    channel.close();
    if (!severed)
      CHECK(Channel(cache, 0).status == PGCACHE_CLOSED);
    if (!severed)
      CHECK(Channel(cache).status == PGCACHE_CLOSED);
  }
}

TEST_CASE("What channels meet counts for the breaker", "[channel][breaker]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"breaker_failures", "2"}, {"timeout_ms", "200"}});
  pgc_store *raw = cache.raw()->store;
  for (int i = 0; i < 2; i++) {
    CHECK_FALSE(raw->is_troubled(raw));
    Channel channel(cache);
    REQUIRE(channel.status == PGCACHE_OK);
    channel.send(PGC_OP_GET, "k");
    proxy.cut();
    channel.push();
    REQUIRE(channel.take());
    CHECK(channel.ends() == Ends{"lost"});
  }
  CHECK(raw->is_troubled(raw));
  CHECK(cache.counters().breaker_opened == 1);
  Channel healed(cache);
  REQUIRE(healed.status == PGCACHE_OK);
  healed.send(PGC_OP_GET, "k");
  REQUIRE(healed.finish());
  CHECK_FALSE(raw->is_troubled(raw));
  const pgcache_error here = {sizeof(pgcache_error), PGCACHE_NO_MEMORY, "", "no memory is left"};
  for (int i = 0; i < 3; i++)
    raw->waited_in_vain(raw, &here);
  CHECK_FALSE(raw->is_troubled(raw)); /* which is not the server's failure */
  raw->waited_in_vain(raw, nullptr);
  CHECK_FALSE(raw->is_troubled(raw));
  raw->waited_in_vain(raw, nullptr);
  CHECK(raw->is_troubled(raw));
  CHECK(cache.counters().breaker_opened == 2);
}

TEST_CASE("Each allocation of a channel fails once: its operation was not done, or again is, and the others are",
          "[channel][memory]") {
  for (const bool prepared : modes()) {
    INFO((prepared ? "prepared" : "whole"));
    Store store(Settings{{"prepared", prepared ? "on" : "off"}});
    REQUIRE(store.cache.put("k", string(500, 'v')) == PGCACHE_OK);
    long failed = 1, points = 0;
    for (long n = 1; failed > 0; n++) {
      INFO("allocation " << n);
      pgcache_status opened;
      Ends ends;
      std::vector<bool> taken;
      int64_t put = 0, many = 0;
      store.pg.exec(store.sql("DELETE FROM {s}.entries WHERE key <> 'k'"));
      REQUIRE(store.cache.get("k") == PGCACHE_OK);
      {
        Allocations allocations(n, Failing::Once);
        {
          Channel channel(store.cache);
          opened = channel.status;
          if (opened == PGCACHE_OK) {
            taken.push_back(channel.try_send(channel.make(PGC_OP_GET, {"k"})));
            taken.push_back(channel.try_send(channel.make(PGC_OP_PUT, {"a"}, {"v"})));
            taken.push_back(channel.try_send(channel.make(PGC_OP_PUT_MANY, {"b", "c"}, {"v", "v"})));
            taken.push_back(channel.try_send(channel.make(PGC_OP_GET_MANY, {"k", "none"})));
            REQUIRE(channel.finish());
            REQUIRE_FALSE(channel.broken());
            ends = channel.ends();
          }
        }
        failed = Allocations::failed();
        CHECK(Allocations::alive() == 0);
      }
      if (failed > 0)
        points++;
      put = store.cache.get("a").version;
      many = store.cache.get("b").version;
      if (opened != PGCACHE_OK) {
        CHECK(opened == PGCACHE_NO_MEMORY);
        continue;
      }
      long wrong = 0;
      size_t next = 0;
      for (size_t i = 0; i < taken.size(); i++) {
        const string end = taken[i] ? ends[next++] : "NO_MEMORY";
        INFO(i << ": " << end);
        CHECK((end == "OK" || end == "NO_MEMORY"));
        wrong += end == "OK" ? 0 : 1;
        if (i == 1)
          CHECK((put > 0) == (end == "OK"));
        if (i == 2)
          CHECK((many > 0) == (end == "OK"));
      }
      CHECK(wrong == (failed > 0 ? 1 : 0));
    }
    CHECK(points >= 8);
  }
}

TEST_CASE("An answer of another shape ends the channel; those before it have theirs", "[channel]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}});
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  const auto ends_with = [&](const Answers::Edit &edit) {
    Channel channel(cache);
    REQUIRE(channel.status == PGCACHE_OK);
    channel.send(PGC_OP_GET, "k");
    REQUIRE(channel.finish());
    {
      Answers forged(proxy, edit);
      channel.send(PGC_OP_EXISTS, "k");
      channel.send(PGC_OP_GET, "k");
      channel.send(PGC_OP_PUT, "k", "w");
      channel.push();
      REQUIRE(channel.take());
    }
    CHECK(channel.broken());
    CHECK(channel.in_order());
    return channel.ends(1);
  };
  CHECK(ends_with(Answers::rows([](Columns &columns) {
          if (columns.size() == 10)
            columns[1].reset();
          return true;
        })) == Ends{"OK", "SCHEMA_CHANGED", "OK"});
  CHECK(ends_with(Answers::rows([](Columns &columns) {
          if (columns.size() == 1)
            columns.emplace_back("more");
          return true;
        })) == Ends{"lost", "lost", "UNKNOWN"});
}
