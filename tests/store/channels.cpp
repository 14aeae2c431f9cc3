/*
 * channels.cpp - channels: many operations on their way at once on one connection. Each one's answer is its own and true,
 * whatever becomes of its neighbours or of the connection, and they come in the order of sending. Calls the library's own
 * code beneath the public interface, which never says how it sends.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/alloc_fail.hpp"
#include "support/answers.hpp"
#include "support/catch.hpp"
#include "support/keys.hpp"
#include "support/libpq_fails.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* flexible array members */
extern "C" {
#include "operations/call.h"
#include "store/channel.h"
}
#pragma GCC diagnostic pop

#include <algorithm>
#include <atomic>
#include <cstring>
#include <list>
#include <poll.h>
#include <thread>

using namespace test;
using std::string;

namespace {

/* An operation with all that it points to. */
struct Sent : pgc_sent {
  std::vector<string> names, values;
  std::vector<pgc_op_key> keys;
  bool refused = false; /* by send() */

  Sent(pgcache *cache, pgc_op_kind kind, std::vector<string> all, std::vector<string> contents = {})
      : pgc_sent(), names(std::move(all)), values(std::move(contents)) {
    error = PGCACHE_ERROR_INIT;
    for (size_t i = 0; i < names.size(); i++) {
      pgc_op_key key = {};
      key.key = names[i].data();
      key.key_len = names[i].size();
      key.ttl_ms = 60000;
      key.flags = pgc_encoding_flags(&cache->encoding);
      if (i < values.size()) {
        key.value = values[i].data();
        key.value_len = values[i].size();
      }
      pgc_encoding_digest(&cache->encoding, &key.digest, cache->settings.namespace_name, key.key, key.key_len);
      keys.push_back(key);
    }
    std::sort(keys.begin(), keys.end(), [](const pgc_op_key &left, const pgc_op_key &right) {
      return pgc_digest_compare(&left.digest, &right.digest) < 0;
    });
    op.kind = kind;
    op.deadline = pgc_deadline_in(30000);
    op.namespace_name = cache->settings.namespace_name;
    op.keys = keys.data();
    op.count = keys.size();
    op.decode = pgc_decode;
    op.decoder = &cache->encoding;
  }
  Sent(const Sent &) = delete;
  Sent &operator=(const Sent &) = delete;
  ~Sent() {
    for (const pgc_op_key &key : keys)
      pgcache_value_free(key.found);
  }
  const pgc_op_key &of(const string &name) const {
    for (const pgc_op_key &key : keys) {
      if (name == string(static_cast<const char *>(key.key), key.key_len))
        return key;
    }
    throw std::runtime_error("no such key");
  }
  static string bytes(const pgc_op_key &key) {
    return key.found == nullptr
               ? "-"
               : string(static_cast<const char *>(pgcache_value_data(key.found)), pgcache_value_size(key.found));
  }
  string bytes() const {
    return bytes(keys[0]);
  }
  int64_t version() const {
    return keys[0].version;
  }
  /* What became of it: "OK", "MISS", "again", "lost". */
  string end() const {
    switch (delivery) {
    case PGC_RUN_AGAIN:
      return "again";
    case PGC_LOST:
      return "lost";
    case PGC_DELIVERED:
      break;
    }
    return string(pgcache_status_name(status)).substr(8); /* without PGCACHE_ */
  }
};

/* A channel, and what was sent on it in the order of coming back. */
class Channel {
public:
  explicit Channel(const Cache &cache, int64_t timeout_ms = 5000) : cache_(cache.raw()), store_(cache.raw()->store) {
    status = store_->open_channel(store_, &self_, timeout_ms == 0 ? 0 : pgc_deadline_in(timeout_ms), &error);
  }
  Channel(const Channel &) = delete;
  Channel &operator=(const Channel &) = delete;
  ~Channel() {
    close();
  }
  void close() {
    if (self_ != nullptr)
      self_->close(self_);
    self_ = nullptr;
  }

  pgcache_status status;
  Error error;
  std::vector<Sent *> received;

  Sent &make(pgc_op_kind kind, std::vector<string> names, std::vector<string> values = {}) {
    return all_.emplace_back(cache_, kind, std::move(names), std::move(values));
  }
  bool try_send(Sent &sent) {
    const bool taken = self_->send(self_, &sent);
    sent.refused = !taken;
    under_way_ += taken ? 1 : 0;
    return taken;
  }
  Sent &send(Sent &sent) {
    REQUIRE(try_send(sent));
    return sent;
  }
  /* As the engine does with what is to run again. */
  pgcache_status run(Sent &sent, pgcache_error *why) {
    return store_->run(store_, &sent.op, why);
  }
  Sent &send(pgc_op_kind kind, const string &name) {
    return send(make(kind, {name}));
  }
  Sent &send(pgc_op_kind kind, const string &name, const string &value) {
    return send(make(kind, {name}, {value}));
  }
  Sent &swap(const string &name, const string &value, int64_t expected) {
    Sent &sent = make(PGC_OP_COMPARE_AND_SWAP, {name}, {value});
    sent.op.u.expected_version = expected;
    return send(sent);
  }
  Sent &increment(const string &name, int64_t delta) {
    Sent &sent = make(PGC_OP_INCREMENT, {name});
    sent.op.u.increment.delta = delta;
    return send(sent);
  }

  bool push() {
    return self_->push(self_);
  }
  /* As the engine does: waits for the socket, reads, takes what is done. False when something is still on its way. */
  bool take(int milliseconds = 10000) {
    const int64_t end = now_ms() + milliseconds;
    while (take_done() > 0) {
      const int64_t left = end - now_ms();
      if (left <= 0)
        return false;
      struct pollfd socket = {};
      socket.fd = self_->descriptor(self_);
      socket.events = static_cast<short>(POLLIN | (self_->is_full(self_) ? POLLOUT : 0));
      if (poll(&socket, 1, static_cast<int>(left)) <= 0)
        continue;
      self_->read(self_);
      if (self_->is_full(self_))
        self_->push(self_);
    }
    return true;
  }
  bool finish() {
    push();
    return take();
  }
  std::vector<string> ends(size_t from = 0) const {
    std::vector<string> out;
    for (; from < received.size(); from++)
      out.push_back(received[from]->end());
    return out;
  }
  bool in_order() const {
    size_t next = 0;
    for (const Sent &sent : all_) {
      if (!sent.refused && next < received.size() && received[next++] != &sent)
        return false;
    }
    return next == received.size();
  }
  pgc_channel *raw() const {
    return self_;
  }
  bool broken() const {
    return self_->is_broken(self_);
  }

private:
  size_t take_done() {
    while (pgc_sent *sent = self_->receive(self_)) {
      received.push_back(static_cast<Sent *>(sent));
      under_way_--;
    }
    return under_way_;
  }
  pgcache *cache_;
  pgc_store *store_;
  pgc_channel *self_ = nullptr;
  std::list<Sent> all_;
  size_t under_way_ = 0;
};

using Ends = std::vector<string>;

/* With prepared statements and without; through a pooler there are none. */
std::vector<bool> modes() {
  return through_pooler() ? std::vector<bool>{false} : std::vector<bool>{true, false};
}

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
            Ends{"OK", "MISS",  "OK", "MISS",          "OK", "OK", "OK", "EXISTS", "OK",   "again", "again",
                 "OK", "again", "OK", "NOT_A_COUNTER", "OK", "OK", "OK", "OK",     "MISS", "OK"});
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
    CHECK(now_ms() - began < 5000);
    CHECK(channel.ends() == Ends{"TIMEOUT", "OK"});
    CHECK(string(channel.received[0]->error.sqlstate) == "55P03");
    channel.close();
    /* A call on the same connection waits up to its deadline. */
    std::thread other([&] {
      sleep_ms(500);
      Pg(url()).exec("SELECT pg_terminate_backend(" + std::to_string(store.pg.pid()) + ")");
    });
    CHECK(store.cache.put("locked", "newer", deadline(10000)) == PGCACHE_OK);
    other.join();
    CHECK(store.cache.counters().connections_opened == 1);
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
        CHECK((end == "OK" || end == "refused" || end == "lost" || end == "UNKNOWN"));
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
      write(PGC_OP_PUT, "a");
      write(PGC_OP_ADD, "b");
      Sent &read = channel.make(PGC_OP_GET, {"a"});
      const bool asked = channel.try_send(read);
      write(PGC_OP_PUT, "c");
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
        CHECK(read.bytes() == "new a");
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
  CHECK(now_ms() - began < 3000);
  CHECK(channel.raw()->is_full(channel.raw()));
  REQUIRE(channel.take(60000));
  CHECK_FALSE(channel.raw()->is_full(channel.raw()));
  CHECK(channel.ends() == Ends(16, "OK"));
  CHECK(channel.received.back()->bytes() == large);
  CHECK(channel.in_order());
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
  std::thread other([&] { waiting = cache.get("k", deadline(10000)); });
  CHECK(eventually([&] { return channel.raw()->is_wanted(channel.raw()); }));
  channel.close();
  other.join();
  CHECK(waiting == PGCACHE_MISS);
  CHECK(cache.counters().connections_opened == 1);
  CHECK(cache.counters().connections_lost == 0);
  CHECK_FALSE(cache.raw()->store->is_troubled(cache.raw()->store));
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
  raw->waited_in_vain(raw);
  CHECK_FALSE(raw->is_troubled(raw));
  raw->waited_in_vain(raw);
  CHECK(raw->is_troubled(raw));
  CHECK(cache.counters().breaker_opened == 2);
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
          if (columns.size() == 8)
            columns[1].reset();
          return true;
        })) == Ends{"OK", "SCHEMA_CHANGED", "OK"});
  CHECK(ends_with(Answers::rows([](Columns &columns) {
          if (columns.size() == 1)
            columns.emplace_back("more");
          return true;
        })) == Ends{"lost", "lost", "UNKNOWN"});
}
