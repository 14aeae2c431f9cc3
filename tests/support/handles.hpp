/*
 * handles.hpp - the public interface as C++ objects that free themselves, so that a failing test leaks nothing.
 * Thin on purpose: each method is one call of the C function of its name. Never hides an error: every call's status
 * and message are in the Answer.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_HANDLES_HPP
#define PGCACHE_TESTS_HANDLES_HPP

#include "pgcache.h"

#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace test {

struct Error : pgcache_error {
  Error() : pgcache_error(PGCACHE_ERROR_INIT) {}
  std::string text() const {
    return message;
  }
};

struct Options : pgcache_options {
  Options() : pgcache_options(PGCACHE_OPTIONS_INIT) {}
};

inline Options deadline(int64_t milliseconds) {
  Options options;
  options.deadline_ms = milliseconds;
  return options;
}

/* `name` must outlive the options. */
inline Options in_namespace(const char *name) {
  Options options;
  options.namespace_name = name;
  return options;
}

class Value {
public:
  Value() = default;
  explicit Value(pgcache_value *value) : value_(value, pgcache_value_free) {}
  const pgcache_value *get() const {
    return value_.get();
  }
  explicit operator bool() const {
    return value_ != nullptr;
  }
  std::string bytes() const {
    return value_ ? std::string(static_cast<const char *>(pgcache_value_data(get())), pgcache_value_size(get())) : "";
  }
  int64_t version() const {
    return pgcache_value_version(get());
  }
  int32_t format() const {
    return pgcache_value_format(get());
  }
  int64_t ttl_ms() const {
    return pgcache_value_ttl_ms(get());
  }

private:
  std::shared_ptr<pgcache_value> value_;
};

/* What one call gave: compare it with a status; the rest is for the details. */
struct Answer {
  pgcache_status status = PGCACHE_OK;
  int64_t version = -1; /* -1: the call has none */
  int64_t number = -1;  /* counter, removed */
  Value value;
  Error error;

  std::string bytes() const {
    return value.bytes();
  }
  bool operator==(pgcache_status other) const {
    return status == other;
  }
  bool operator!=(pgcache_status other) const {
    return status != other;
  }
};

inline std::ostream &operator<<(std::ostream &out, const Answer &answer) {
  out << pgcache_status_name(answer.status);
  if (answer.status < 0)
    out << " [" << answer.error.sqlstate << "] " << answer.error.message;
  return out;
}

/* Without a near cache: its copies would hide what a test says of the store. Those of the near cache ask for one. */
class Config {
public:
  Config() {
    if (pgcache_config_new(&config_, nullptr) != PGCACHE_OK)
      throw std::runtime_error("pgcache_config_new failed");
    set("near_max_bytes", "0");
  }
  Config(const Config &) = delete;
  Config &operator=(const Config &) = delete;
  Config(Config &&other) noexcept : config_(std::exchange(other.config_, nullptr)) {}
  ~Config() {
    pgcache_config_free(config_);
  }

  Config &set(const char *name, const std::string &value) {
    Error error;
    if (pgcache_config_set(config_, name, value.c_str(), &error) != PGCACHE_OK) {
      throw std::runtime_error(std::string("setting ") + name + ": " + error.message);
    }
    return *this;
  }
  pgcache_config *get() const {
    return config_;
  }

private:
  pgcache_config *config_ = nullptr;
};

class Cache {
public:
  Cache() = default;
  explicit Cache(const Config &config) {
    Error error;
    if (pgcache_new(&self_, config.get(), &error) != PGCACHE_OK) {
      throw std::runtime_error(std::string("pgcache_new: ") + error.message);
    }
  }
  explicit Cache(pgcache *self) : self_(self) {} /* takes it over */
  Cache(const Cache &) = delete;
  Cache &operator=(const Cache &) = delete;
  Cache(Cache &&other) noexcept : self_(std::exchange(other.self_, nullptr)) {}
  Cache &operator=(Cache &&other) noexcept {
    std::swap(self_, other.self_);
    return *this;
  }
  ~Cache() {
    pgcache_free(self_);
  }
  pgcache *raw() const {
    return self_;
  }
  void shutdown() {
    pgcache_shutdown(self_);
  }
  void free() {
    pgcache_free(std::exchange(self_, nullptr));
  }

  using Bytes = std::string_view;
  Answer init(const Options &options = {}) {
    Answer a;
    a.status = pgcache_init(self_, &options, &a.error);
    return a;
  }
  Answer upgrade(const Options &options = {}) {
    Answer a;
    a.status = pgcache_upgrade(self_, &options, &a.error);
    return a;
  }
  Answer get(Bytes key, const Options &options = {}) {
    Answer a;
    pgcache_value *value = nullptr;
    a.status = pgcache_get(self_, &value, key.data(), key.size(), &options, &a.error);
    a.value = Value(value);
    if (value != nullptr)
      a.version = pgcache_value_version(value);
    return a;
  }
  Answer peek(Bytes key, const Options &options = {}) {
    Answer a;
    pgcache_value *value = nullptr;
    a.status = pgcache_peek(self_, &value, key.data(), key.size(), &options, &a.error);
    a.value = Value(value);
    if (value != nullptr)
      a.version = pgcache_value_version(value);
    return a;
  }
  Answer fence(const Options &options = {}) {
    Answer a;
    a.status = pgcache_fence(self_, &options, &a.error);
    return a;
  }
  Answer put(Bytes key, Bytes value, int64_t ttl_ms = PGCACHE_TTL_DEFAULT, int32_t format = PGCACHE_FORMAT_BYTES,
             const Options &options = {}) {
    Answer a;
    a.status = pgcache_put(self_, &a.version, key.data(), key.size(), value.data(), value.size(), format, ttl_ms,
                           &options, &a.error);
    return a;
  }
  Answer put(Bytes key, Bytes value, const Options &options) {
    return put(key, value, PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_BYTES, options);
  }
  Answer add(Bytes key, Bytes value, int64_t ttl_ms = PGCACHE_TTL_DEFAULT, int32_t format = PGCACHE_FORMAT_BYTES,
             const Options &options = {}) {
    Answer a;
    a.status = pgcache_add(self_, &a.version, key.data(), key.size(), value.data(), value.size(), format, ttl_ms,
                           &options, &a.error);
    return a;
  }
  Answer replace(Bytes key, Bytes value, int64_t ttl_ms = PGCACHE_TTL_DEFAULT, int32_t format = PGCACHE_FORMAT_BYTES,
                 const Options &options = {}) {
    Answer a;
    a.status = pgcache_replace(self_, &a.version, key.data(), key.size(), value.data(), value.size(), format, ttl_ms,
                               &options, &a.error);
    return a;
  }
  Answer compare_and_swap(Bytes key, Bytes value, int64_t expected, int64_t ttl_ms = PGCACHE_TTL_DEFAULT,
                          const Options &options = {}) {
    Answer a;
    a.status = pgcache_compare_and_swap(self_, &a.version, key.data(), key.size(), value.data(), value.size(),
                                        PGCACHE_FORMAT_BYTES, ttl_ms, expected, &options, &a.error);
    return a;
  }
  Answer remove(Bytes key, const Options &options = {}) {
    Answer a;
    a.status = pgcache_remove(self_, key.data(), key.size(), &options, &a.error);
    return a;
  }
  Answer touch(Bytes key, int64_t ttl_ms, const Options &options = {}) {
    Answer a;
    a.status = pgcache_touch(self_, &a.version, key.data(), key.size(), ttl_ms, &options, &a.error);
    return a;
  }
  Answer exists(Bytes key, const Options &options = {}) {
    Answer a;
    a.status = pgcache_exists(self_, key.data(), key.size(), &options, &a.error);
    return a;
  }
  Answer increment(Bytes key, int64_t delta = 1, int64_t initial = 0, int64_t ttl_ms = PGCACHE_TTL_DEFAULT,
                   const Options &options = {}) {
    Answer a;
    a.status = pgcache_increment(self_, &a.number, &a.version, key.data(), key.size(), delta, initial, ttl_ms, &options,
                                 &a.error);
    return a;
  }
  Answer flush(pgcache_flush_scope scope, const Options &options = {}) {
    Answer a;
    a.status = pgcache_flush(self_, &a.number, scope, &options, &a.error);
    return a;
  }
  Answer cleanup(const Options &options = {}) {
    Answer a;
    a.status = pgcache_cleanup(self_, &a.number, &options, &a.error);
    return a;
  }
  Answer cleanup_some(pgcache_cleanup_progress &progress, int64_t budget_ms, const Options &options = {}) {
    Answer a;
    a.status = pgcache_cleanup_some(self_, &progress, budget_ms, &options, &a.error);
    a.number = progress.removed;
    return a;
  }
  Answer set_limits(pgcache_limit_scope scope, int64_t max_entries, int64_t max_bytes, const Options &options = {}) {
    Answer a;
    a.status = pgcache_set_limits(self_, scope, max_entries, max_bytes, &options, &a.error);
    return a;
  }
  /* All namespaces; the first is "", for all together. */
  std::vector<pgcache_usage> usage() {
    std::vector<pgcache_usage> out(PGCACHE_BATCH_MAX, pgcache_usage(PGCACHE_USAGE_INIT));
    size_t count = 0;
    Error error;
    if (pgcache_read_usage(self_, out.data(), out.size(), &count, nullptr, nullptr, &error) != PGCACHE_OK) {
      throw std::runtime_error(std::string("pgcache_read_usage: ") + error.message);
    }
    out.resize(count);
    return out;
  }
  pgcache_counters counters() const {
    pgcache_counters out = PGCACHE_COUNTERS_INIT;
    if (pgcache_read_counters(self_, &out, nullptr) != PGCACHE_OK) {
      throw std::runtime_error("pgcache_read_counters failed");
    }
    return out;
  }
  pgcache_store_stats stats() {
    pgcache_store_stats out = PGCACHE_STORE_STATS_INIT;
    Error error;
    if (pgcache_stats(self_, &out, nullptr, &error) != PGCACHE_OK) {
      throw std::runtime_error(std::string("pgcache_stats: ") + error.message);
    }
    return out;
  }

private:
  pgcache *self_ = nullptr;
};

/* A janitor that ends with the test. */
class Janitor {
public:
  Janitor(const Cache &cache, int64_t interval_ms) {
    Error error;
    if (pgcache_janitor_start(&self_, cache.raw(), interval_ms, &error) != PGCACHE_OK) {
      throw std::runtime_error(std::string("pgcache_janitor_start: ") + error.message);
    }
  }
  Janitor(const Janitor &) = delete;
  Janitor &operator=(const Janitor &) = delete;
  ~Janitor() {
    free();
  }
  pgcache_status stop(int64_t timeout_ms) {
    return pgcache_janitor_stop(self_, timeout_ms, nullptr);
  }
  void free() {
    pgcache_janitor_free(std::exchange(self_, nullptr));
  }

private:
  pgcache_janitor *self_ = nullptr;
};

/* An array of items that owns the results read into it. */
class Items {
public:
  pgcache_item &add(std::string_view key, std::string_view value = {}, int64_t ttl_ms = PGCACHE_TTL_DEFAULT) {
    pgcache_item item = PGCACHE_ITEM_INIT;
    item.key = key.data();
    item.key_len = key.size();
    item.value = value.data();
    item.value_len = value.size();
    item.ttl_ms = ttl_ms;
    items_.push_back(item);
    return items_.back();
  }
  Items() = default;
  Items(const Items &) = delete;
  Items &operator=(const Items &) = delete;
  ~Items() {
    clear_results();
  }
  void clear_results() {
    for (auto &item : items_) {
      pgcache_value_free(item.result);
      item.result = nullptr;
    }
  }
  pgcache_item *data() {
    return items_.data();
  }
  size_t size() const {
    return items_.size();
  }
  pgcache_item &operator[](size_t i) {
    return items_[i];
  }
  std::string bytes(size_t i) const {
    const pgcache_value *value = items_[i].result;
    return value ? std::string(static_cast<const char *>(pgcache_value_data(value)), pgcache_value_size(value)) : "";
  }

private:
  std::vector<pgcache_item> items_;
};

} // namespace test

#endif
