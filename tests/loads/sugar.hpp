/*
 * sugar.hpp - loaders as lambdas, with their calls and releases counted.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_LOADS_SUGAR_HPP
#define PGCACHE_TESTS_LOADS_SUGAR_HPP

#include "loads.hpp"
#include "pgcache_hooks.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace test {

/* Must outlive all that it loads: see released(). */
class Loader {
public:
  using Function = std::function<pgcache_status(pgcache_load *, pgcache_error *)>;
  explicit Loader(Function function) : function_(std::move(function)) {}
  /* Fills with this value. */
  explicit Loader(std::string value)
      : Loader([value = std::move(value)](pgcache_load *load, pgcache_error *error) {
          return pgcache_load_fill(load, nullptr, value.data(), value.size(), 0, nullptr, error);
        }) {}
  Loader(const Loader &) = delete;
  Loader &operator=(const Loader &) = delete;
  int calls() const {
    return calls_;
  }
  int releases() const {
    return releases_;
  }
  /* So many calls of pgcache_get_or_load() were released, and no more. */
  bool released(int times) const {
    return eventually([&] { return releases_ >= times; }, 30000) && releases_ == times;
  }
  Answer get(pgcache *self, std::string_view key, const How &how = {}, const Options &options = {}) {
    pgcache_loader loader = PGCACHE_LOADER_INIT;
    loader.load = [](void *context, pgcache_load *load, pgcache_error *error) {
      Loader &me = *static_cast<Loader *>(context);
      me.calls_++;
      return me.function_(load, error);
    };
    loader.release = [](void *context) { static_cast<Loader *>(context)->releases_++; };
    loader.context = this;
    Answer a;
    pgcache_value *value = nullptr;
    a.status = pgcache_get_or_load(self, &value, key.data(), key.size(), &how, &loader, &options, &a.error);
    a.value = Value(value);
    return a;
  }
  Answer get(Cache &cache, std::string_view key, const How &how = {}, const Options &options = {}) {
    return get(cache.raw(), key, how, options);
  }

private:
  Function function_;
  std::atomic<int> calls_{0}, releases_{0};
};

/* A door that loaders wait at. */
class Door {
public:
  void open() {
    const std::lock_guard<std::mutex> guard(lock_);
    open_ = true;
    opened_.notify_all();
  }
  void pass() {
    std::unique_lock<std::mutex> guard(lock_);
    waiting_++;
    opened_.wait(guard, [&] { return open_; });
    waiting_--;
  }
  int waiting() const {
    return waiting_;
  }

private:
  std::mutex lock_;
  std::condition_variable opened_;
  bool open_ = false;
  std::atomic<int> waiting_{0};
};

} // namespace test

#endif
