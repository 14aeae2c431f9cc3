/*
 * requests.hpp - requests and their completions as C++ objects that free themselves. Thin on purpose, as handles.hpp: each
 * method is one call of the C function of its name. Never takes a completion that a test did not ask for.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_REQUESTS_HPP
#define PGCACHE_TESTS_REQUESTS_HPP

#include "pgcache_hooks.h"
#include "support/server.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>

namespace test {

class Completion {
public:
  Completion() = default;
  explicit Completion(pgcache_completion *completion) : completion_(completion, pgcache_completion_free) {}
  explicit operator bool() const {
    return completion_ != nullptr;
  }
  const pgcache_completion *get() const {
    return completion_.get();
  }
  uint64_t id() const {
    return pgcache_completion_id(get());
  }
  uint64_t token() const {
    return pgcache_completion_token(get());
  }
  pgcache_status status() const {
    return pgcache_completion_status(get());
  }
  std::string message() const {
    return pgcache_completion_message(get());
  }
  std::string sqlstate() const {
    return pgcache_completion_sqlstate(get());
  }
  int64_t version() const {
    return pgcache_completion_version(get());
  }
  int64_t number() const {
    return pgcache_completion_number(get());
  }
  size_t count() const {
    return pgcache_completion_count(get());
  }
  Value value(size_t index = 0) const {
    return Value(pgcache_value_retain(pgcache_completion_value(get(), index)));
  }
  std::string bytes(size_t index = 0) const {
    return value(index).bytes();
  }
  const pgcache_item *item(size_t index) const {
    return pgcache_completion_item(get(), index);
  }
  bool operator==(pgcache_status other) const {
    return status() == other;
  }
  bool operator!=(pgcache_status other) const {
    return status() != other;
  }

private:
  std::shared_ptr<pgcache_completion> completion_;
};

inline std::ostream &operator<<(std::ostream &out, const Completion &completion) {
  out << pgcache_status_name(completion.status());
  if (completion.status() < 0)
    out << " [" << completion.sqlstate() << "] " << completion.message();
  return out;
}

/* What a submission gave; compare it with a status. */
struct Submitted {
  pgcache_status status = PGCACHE_INVALID;
  uint64_t id = 0;
  Error error;
  bool operator==(pgcache_status other) const {
    return status == other;
  }
  bool operator!=(pgcache_status other) const {
    return status != other;
  }
};

inline std::ostream &operator<<(std::ostream &out, const Submitted &submitted) {
  out << pgcache_status_name(submitted.status);
  if (submitted.status < 0)
    out << " " << submitted.error.message;
  return out;
}

/* A handle's requests. The handle stays its owner's. */
class Requests {
public:
  using Bytes = std::string_view;
  explicit Requests(const Cache &cache) : self_(cache.raw()) {}
  explicit Requests(pgcache *self) : self_(self) {}

  Submitted get(Bytes key, const Options &options = {}) const {
    Submitted s;
    s.status = pgcache_submit_get(self_, &s.id, key.data(), key.size(), &options, &s.error);
    return s;
  }
  Submitted exists(Bytes key, const Options &options = {}) const {
    Submitted s;
    s.status = pgcache_submit_exists(self_, &s.id, key.data(), key.size(), &options, &s.error);
    return s;
  }
  Submitted put(Bytes key, Bytes value, const Options &options = {}, int64_t ttl_ms = PGCACHE_TTL_DEFAULT,
                int32_t format = PGCACHE_FORMAT_BYTES) const {
    Submitted s;
    s.status = pgcache_submit_put(self_, &s.id, key.data(), key.size(), value.data(), value.size(), format, ttl_ms,
                                  &options, &s.error);
    return s;
  }
  Submitted add(Bytes key, Bytes value, const Options &options = {}) const {
    Submitted s;
    s.status = pgcache_submit_add(self_, &s.id, key.data(), key.size(), value.data(), value.size(), 0,
                                  PGCACHE_TTL_DEFAULT, &options, &s.error);
    return s;
  }
  Submitted replace(Bytes key, Bytes value, const Options &options = {}) const {
    Submitted s;
    s.status = pgcache_submit_replace(self_, &s.id, key.data(), key.size(), value.data(), value.size(), 0,
                                      PGCACHE_TTL_DEFAULT, &options, &s.error);
    return s;
  }
  Submitted compare_and_swap(Bytes key, Bytes value, int64_t expected, const Options &options = {}) const {
    Submitted s;
    s.status = pgcache_submit_compare_and_swap(self_, &s.id, key.data(), key.size(), value.data(), value.size(), 0,
                                               PGCACHE_TTL_DEFAULT, expected, &options, &s.error);
    return s;
  }
  Submitted remove(Bytes key, const Options &options = {}) const {
    Submitted s;
    s.status = pgcache_submit_remove(self_, &s.id, key.data(), key.size(), &options, &s.error);
    return s;
  }
  Submitted touch(Bytes key, int64_t ttl_ms, const Options &options = {}) const {
    Submitted s;
    s.status = pgcache_submit_touch(self_, &s.id, key.data(), key.size(), ttl_ms, &options, &s.error);
    return s;
  }
  Submitted increment(Bytes key, int64_t delta = 1, int64_t initial = 0, const Options &options = {}) const {
    Submitted s;
    s.status = pgcache_submit_increment(self_, &s.id, key.data(), key.size(), delta, initial, PGCACHE_TTL_DEFAULT,
                                        &options, &s.error);
    return s;
  }
  using Many = decltype(pgcache_submit_get_many);
  Submitted many(Many *call, Items &items, const Options &options = {}) const {
    Submitted s;
    s.status = call(self_, &s.id, items.data(), items.size(), &options, &s.error);
    return s;
  }
  Submitted flush(pgcache_flush_scope scope, const Options &options = {}) const {
    Submitted s;
    s.status = pgcache_submit_flush(self_, &s.id, scope, &options, &s.error);
    return s;
  }
  using Whole = decltype(pgcache_submit_init);
  Submitted whole(Whole *call, const Options &options = {}) const { /* init, upgrade, cleanup, stats, doctor */
    Submitted s;
    s.status = call(self_, &s.id, &options, &s.error);
    return s;
  }

  pgcache_status cancel(uint64_t id) const {
    return pgcache_cancel(self_, id, nullptr);
  }
  Completion take() const { /* none: an empty one */
    pgcache_completion *out = nullptr;
    const pgcache_status status = pgcache_take(self_, &out, nullptr);
    if ((status == PGCACHE_OK) != (out != nullptr) || (status != PGCACHE_OK && status != PGCACHE_MISS))
      throw std::runtime_error("pgcache_take");
    return Completion(out);
  }
  Completion wait(uint64_t id, int64_t timeout_ms = 30000) const {
    pgcache_completion *out = nullptr;
    wait_for(id, timeout_ms, &out);
    return Completion(out);
  }
  pgcache_status wait_for(uint64_t id, int64_t timeout_ms, pgcache_completion **out) const {
    return pgcache_wait(self_, out, id, timeout_ms, nullptr);
  }
  size_t dispatch(int64_t timeout_ms) const {
    size_t count = 0;
    const pgcache_status status = pgcache_dispatch(self_, &count, timeout_ms, nullptr);
    if (status != PGCACHE_OK && status != PGCACHE_CLOSED)
      throw std::runtime_error("pgcache_dispatch");
    return count;
  }
  int fd() const {
    int fd = -1;
    Error error;
    if (pgcache_event_fd(self_, &fd, &error) != PGCACHE_OK)
      throw std::runtime_error(std::string("pgcache_event_fd: ") + error.message);
    return fd;
  }
  bool readable(int timeout_ms = 0) const {
    struct pollfd polled = {fd(), POLLIN, 0};
    return poll(&polled, 1, timeout_ms) == 1;
  }
  /* The next one to be taken, waited for with the descriptor; an empty one when none comes in time. */
  Completion next(int timeout_ms = 30000) const {
    const int64_t end = now_ms() + timeout_ms;
    for (;;) {
      Completion completion = take();
      const int64_t left = end - now_ms();
      if (completion || left <= 0)
        return completion;
      readable(static_cast<int>(left));
    }
  }
  /* So many completions by id, or those that came in time. An id that comes twice throws. */
  std::map<uint64_t, Completion> collect(size_t count, int timeout_ms = 30000) const {
    std::map<uint64_t, Completion> all;
    const int64_t end = now_ms() + timeout_ms;
    while (all.size() < count) {
      Completion completion = next(static_cast<int>(end - now_ms()));
      if (!completion)
        break;
      if (!all.emplace(completion.id(), completion).second)
        throw std::runtime_error("an id was completed twice");
    }
    return all;
  }

private:
  pgcache *self_;
};

/* A callback that is a lambda; lives until it was called. */
class Callback {
public:
  using Function = std::function<void(const pgcache_completion *)>;
  explicit Callback(Function function) : function_(std::move(function)) {
    callback_.call = [](void *self, const pgcache_completion *completion) {
      static_cast<Callback *>(self)->function_(completion);
    };
    callback_.userdata = this;
  }
  Callback(const Callback &) = delete;
  Callback &operator=(const Callback &) = delete;
  Options options(uint64_t token = 0) const {
    Options options;
    options.callback = &callback_;
    options.token = token;
    return options;
  }

private:
  Function function_;
  pgcache_callback callback_ = PGCACHE_CALLBACK_INIT;
};

inline Options with_token(uint64_t token) {
  Options options;
  options.token = token;
  return options;
}

} // namespace test

#endif
