/*
 * channels.hpp - the library's own code beneath the public interface as objects: operations, and a channel on which many
 * are on their way at once. Behaves as the engine does, and judges nothing.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_CHANNELS_HPP
#define PGCACHE_TESTS_CHANNELS_HPP

#include "support/catch.hpp"
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

namespace test {

/* An operation with all that it points to. */
struct Sent : pgc_sent {
  std::vector<std::string> names, values;
  std::vector<pgc_op_key> keys;
  bool refused = false; /* by send() */

  Sent(pgcache *cache, pgc_op_kind kind, std::vector<std::string> all, std::vector<std::string> contents = {})
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
  const pgc_op_key &of(const std::string &name) const {
    for (const pgc_op_key &key : keys) {
      if (name == std::string(static_cast<const char *>(key.key), key.key_len))
        return key;
    }
    throw std::runtime_error("no such key");
  }
  static std::string bytes(const pgc_op_key &key) {
    return key.found == nullptr
               ? "-"
               : std::string(static_cast<const char *>(pgcache_value_data(key.found)), pgcache_value_size(key.found));
  }
  std::string bytes() const {
    return bytes(keys[0]);
  }
  int64_t version() const {
    return keys[0].version;
  }
  /* What became of it: "OK", "MISS", "ask on", "again", "lost", "send again". */
  std::string end() const {
    switch (delivery) {
    case PGC_ASK_ON:
      return "ask on";
    case PGC_RUN_AGAIN:
      return "again";
    case PGC_LOST:
      return "lost";
    case PGC_SEND_AGAIN:
      return "send again";
    case PGC_DELIVERED:
      break;
    }
    return std::string(pgcache_status_name(status)).substr(8); /* without PGCACHE_ */
  }
};

/* A channel, and what was sent on it in the order of coming back. */
class Channel {
public:
  explicit Channel(const Cache &cache, int64_t timeout_ms = 5000) : cache_(cache.raw()), store_(cache.raw()->store) {
    bool busy = false;
    status = store_->open_channel(store_, &self_, timeout_ms == 0 ? 0 : pgc_deadline_in(timeout_ms), &busy, &error);
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

  Sent &make(pgc_op_kind kind, std::vector<std::string> names, std::vector<std::string> values = {}) {
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
  Sent &send(pgc_op_kind kind, const std::string &name) {
    return send(make(kind, {name}));
  }
  Sent &send(pgc_op_kind kind, const std::string &name, const std::string &value) {
    return send(make(kind, {name}, {value}));
  }
  Sent &swap(const std::string &name, const std::string &value, int64_t expected) {
    Sent &sent = make(PGC_OP_COMPARE_AND_SWAP, {name}, {value});
    sent.op.u.expected_version = expected;
    return send(sent);
  }
  Sent &increment(const std::string &name, int64_t delta) {
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
  std::vector<std::string> ends(size_t from = 0) const {
    std::vector<std::string> out;
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

using Ends = std::vector<std::string>;

/* With prepared statements and without; through a pooler there are none. */
inline std::vector<bool> modes() {
  return through_pooler() ? std::vector<bool>{false} : std::vector<bool>{true, false};
}

} // namespace test

#endif
