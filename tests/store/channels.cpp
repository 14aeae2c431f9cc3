/*
 * channels.cpp - channels: many operations on their way at once on one connection. Each one's answer is its own and true,
 * whatever becomes of its neighbours or of the connection, and they come in the order of sending. Calls the library's own
 * code beneath the public interface, which never says how it sends.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/alloc_fail.hpp"
#include "support/catch.hpp"
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
#include <list>
#include <poll.h>
#include <set>
#include <thread>

using namespace test;
using std::string;

namespace {

/* An operation with all that it points to. */
struct Sent : pgc_sent {
  std::vector<string> names, values;
  std::vector<pgc_op_key> keys;

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
  Sent &send(Sent &sent) {
    REQUIRE(self_->send(self_, &sent));
    under_way_++;
    return sent;
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
    auto next = all_.begin();
    for (const Sent *sent : received) {
      if (next == all_.end() || sent != &*next++)
        return false;
    }
    return true;
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

} // namespace

TEST_CASE("All kinds of operations in one push: each has its own answer, in the order of sending", "[channel]") {
  for (const bool prepared : {true, false}) {
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
