/*
 * loads.hpp - loads as C++ objects that free themselves, and words to speak of them. Thin: each is one call of the C function
 * of its name.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_LOADS_HPP
#define PGCACHE_TESTS_LOADS_HPP

#include "support/catch.hpp"
#include "support/server.hpp"

#include <string_view>
#include <utility>
#include <vector>

namespace test {

struct How : pgcache_load_options {
  How() : pgcache_load_options(PGCACHE_LOAD_OPTIONS_INIT) {}
};

/* Fresh for so long, then stale for so long, then kept for so long. */
inline How kept(int64_t ttl_ms, int64_t stale_ms = 0, int64_t fail_safe_ms = 0) {
  How how;
  how.ttl_ms = ttl_ms;
  how.stale_ms = stale_ms;
  how.fail_safe_ms = fail_safe_ms;
  return how;
}

inline How waits(How how, int64_t wait_ms) {
  how.wait_ms = wait_ms;
  return how;
}

inline How leased(How how, int64_t lease_ms) {
  how.lease_ms = lease_ms;
  return how;
}

class Load {
public:
  Load() = default;
  explicit Load(pgcache_load *self) : self_(self) {}
  Load(const Load &) = delete;
  Load &operator=(const Load &) = delete;
  Load(Load &&other) noexcept : self_(std::exchange(other.self_, nullptr)) {}
  Load &operator=(Load &&other) noexcept {
    std::swap(self_, other.self_);
    return *this;
  }
  ~Load() {
    free();
  }
  void free() {
    pgcache_load_free(std::exchange(self_, nullptr));
  }
  explicit operator bool() const {
    return self_ != nullptr;
  }
  pgcache_load *raw() const {
    return self_;
  }
  Answer fill(std::string_view value, const Options &options = {}, int32_t format = PGCACHE_FORMAT_BYTES) {
    Answer a;
    a.status = pgcache_load_fill(self_, &a.version, value.data(), value.size(), format, &options, &a.error);
    return a;
  }
  Answer fill_absent(const Options &options = {}) {
    Answer a;
    a.status = pgcache_load_fill_absent(self_, &a.version, &options, &a.error);
    return a;
  }
  Answer fail(const Options &options = {}) {
    Answer a;
    pgcache_value *value = nullptr;
    a.status = pgcache_load_fail(self_, &value, &options, &a.error);
    a.value = Value(value);
    return a;
  }
  Answer abandon(const Options &options = {}) {
    Answer a;
    a.status = pgcache_load_abandon(self_, &options, &a.error);
    return a;
  }
  Answer extend(int64_t lease_ms, const Options &options = {}) {
    Answer a;
    a.status = pgcache_load_extend(self_, lease_ms, &options, &a.error);
    return a;
  }

private:
  pgcache_load *self_ = nullptr;
};

struct Begun : Answer {
  Load load;
};

inline Begun begin(Cache &cache, std::string_view key, const How &how = {}, const Options &options = {}) {
  Begun b;
  pgcache_value *value = nullptr;
  pgcache_load *load = nullptr;
  b.status = pgcache_load_begin(cache.raw(), &value, &load, key.data(), key.size(), &how, &options, &b.error);
  b.value = Value(value);
  if (value != nullptr)
    b.version = pgcache_value_version(value);
  b.load = Load(load);
  return b;
}

/* Loads a key that nobody has. */
inline void load(Cache &cache, std::string_view key, std::string_view value, const How &how = {},
                 const Options &options = {}) {
  Begun b = begin(cache, key, how);
  INFO(b);
  REQUIRE(b == PGCACHE_LEASE);
  const Answer filled = b.load.fill(value, options);
  INFO(filled);
  REQUIRE(filled == PGCACHE_OK);
}

/* Keys and tags that live as long as this. */
class Names {
public:
  Names &tag(const std::string &name) {
    return add(PGCACHE_DEPENDS_ON_TAG, name);
  }
  Names &key(const std::string &name) {
    return add(PGCACHE_DEPENDS_ON_KEY, name);
  }
  const pgcache_dependency *data() {
    for (size_t i = 0; i < names_.size(); i++) {
      all_[i].name = names_[i].data();
      all_[i].name_len = names_[i].size();
    }
    return all_.data();
  }
  size_t size() const {
    return all_.size();
  }
  /* Must not outlive it. */
  Options options() {
    Options options;
    options.dependencies = data();
    options.dependency_count = size();
    return options;
  }

private:
  Names &add(pgcache_dependency_kind kind, const std::string &name) {
    pgcache_dependency dependency = PGCACHE_DEPENDENCY_INIT;
    dependency.kind = kind;
    all_.push_back(dependency);
    names_.push_back(name);
    return *this;
  }
  std::vector<pgcache_dependency> all_;
  std::vector<std::string> names_;
};

inline Answer invalidate(Cache &cache, Names names, const Options &options = {}) {
  Answer a;
  a.status = pgcache_invalidate(cache.raw(), names.data(), names.size(), &options, &a.error);
  return a;
}

} // namespace test

#endif
