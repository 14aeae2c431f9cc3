/*
 * watch.hpp - the promise, checked on every hit: a writer that never stops, and a thread that looks at the near cache all the
 * time and compares each hit with what was acknowledged before the bound.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_WATCH_HPP
#define PGCACHE_TESTS_WATCH_HPP

#include "reader.hpp"

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

namespace test {

class Watch {
public:
  /* bound_ms: the reader's near_staleness_ms. writer: a handle without a near cache, on the server itself. */
  Watch(Reader &reader, Cache writer, int64_t bound_ms)
      : reader_(reader), writer_(std::move(writer)),
        bound_us_(bound_ms * 1000), threads_{std::thread([this] { write(); }), std::thread([this] { read(); })} {}
  Watch(const Watch &) = delete;
  Watch &operator=(const Watch &) = delete;
  ~Watch() {
    end();
  }
  void end() {
    stop_ = true;
    for (std::thread &thread : threads_) {
      if (thread.joinable())
        thread.join();
    }
  }
  /* True once there were so many hits on values that were written after this call. */
  bool goes_on(int64_t more = 20, int milliseconds = 60000) {
    since_ = begun_.load();
    const int64_t before = fresh_;
    return eventually([&] { return fresh_ >= before + more; }, milliseconds);
  }
  std::atomic<int64_t> hits{0}, stale{0};

private:
  void write() {
    for (int64_t i = 1; !stop_; i++) {
      begun_ = i;
      if (writer_.put("watched", std::to_string(i), PGCACHE_TTL_NEVER, 0, deadline(500)) == PGCACHE_OK) {
        std::lock_guard<std::mutex> lock(mutex_);
        acknowledged_.emplace_back(pgc_now_us(), i);
      }
      sleep_ms(i % 8 == 0 ? 10 : 1); /* leaves the entry alone for a while, so that it is held */
    }
  }
  /* The last one that was acknowledged before then. */
  int64_t last_before(int64_t then_us) {
    std::lock_guard<std::mutex> lock(mutex_);
    while (!acknowledged_.empty() && acknowledged_.front().first < then_us) {
      last_ = acknowledged_.front().second;
      acknowledged_.pop_front();
    }
    return last_;
  }
  void read() {
    while (!stop_) {
      const int64_t must = last_before(pgc_now_us() - bound_us_);
      const std::string held = reader_.held("watched");
      if (held == "-") {
        if (reader_.is_valid())
          reader_.fill("watched");
        sleep_ms(1);
        continue;
      }
      hits++;
      const int64_t value = std::stoll(held);
      fresh_ += value > since_;
      stale += value < must;
      std::this_thread::yield();
    }
  }
  Reader &reader_;
  Cache writer_;
  int64_t bound_us_;
  std::mutex mutex_;
  std::deque<std::pair<int64_t, int64_t>> acknowledged_;
  int64_t last_ = 0;
  std::atomic<int64_t> begun_{0}, since_{0}, fresh_{0};
  std::atomic<bool> stop_{false};
  std::thread threads_[2];
};

} // namespace test

#endif
