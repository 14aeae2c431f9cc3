/*
 * alloc_fail.hpp - makes the library's allocations fail, one after the other, and counts what it leaves behind.
 *
 * Owns the allocation hooks while a run is under way. Must never be used while another test's thread is inside the
 * library: the hooks are global.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_ALLOC_FAIL_HPP
#define PGCACHE_TESTS_ALLOC_FAIL_HPP

#include "catch.hpp"

#include <cstdlib>
#include <limits>
#include <mutex>
#include <unordered_set>

extern "C" {
#include "platform/memory.h"
}

namespace test {

/* Which allocations fail in a run: the n-th alone (a moment of need), or the n-th and all behind it (it is over). */
enum class Failing { Once, FromThenOn };

/* While it lives, the library allocates through it. */
class Allocations {
public:
  Allocations(long fail_at, Failing failing) {
    state() = State{fail_at, failing, 0, 0, {}};
    pgc_memory_set_hooks(alloc, resize);
    pgc_memory_set_free_hook(release);
  }
  Allocations(const Allocations &) = delete;
  Allocations &operator=(const Allocations &) = delete;
  ~Allocations() {
    pgc_memory_set_hooks(nullptr, nullptr);
    pgc_memory_set_free_hook(nullptr);
  }

  static long count() { /* how many were asked for */
    std::lock_guard<std::mutex> guard(mutex());
    return state().count;
  }
  static long failed() { /* how many of these were refused */
    std::lock_guard<std::mutex> guard(mutex());
    return state().failed;
  }
  static size_t alive() { /* how many were not freed yet */
    std::lock_guard<std::mutex> guard(mutex());
    return state().blocks.size();
  }

private:
  struct State {
    long fail_at = std::numeric_limits<long>::max();
    Failing failing = Failing::Once;
    long count = 0;
    long failed = 0;
    std::unordered_set<void *> blocks = {};
  };
  static State &state() {
    static State the_state;
    return the_state;
  }
  static std::mutex &mutex() {
    static std::mutex the_mutex;
    return the_mutex;
  }

  static bool refuses() {
    State &s = state();
    s.count++;
    bool refused = s.failing == Failing::Once ? s.count == s.fail_at : s.count >= s.fail_at;
    s.failed += refused ? 1 : 0;
    return refused;
  }
  static void *alloc(size_t size) {
    std::lock_guard<std::mutex> guard(mutex());
    if (refuses())
      return nullptr;
    void *block = std::malloc(size);
    state().blocks.insert(block);
    return block;
  }
  static void *resize(void *block, size_t size) {
    std::lock_guard<std::mutex> guard(mutex());
    if (refuses())
      return nullptr;
    state().blocks.erase(block);
    void *moved = std::realloc(block, size);
    state().blocks.insert(moved);
    return moved;
  }
  static void release(void *block) {
    std::lock_guard<std::mutex> guard(mutex());
    state().blocks.erase(block);
    std::free(block);
  }
};

/* Runs body() with its n-th allocation failing, for n = 1, 2, ... until a run comes through without one. body makes,
   uses and frees all that it needs, and returns the status of what it tests: PGCACHE_NO_MEMORY when an allocation
   failed, and `success` when none did. Gives the number of allocations that were made to fail. */
template <class Body> long fail_each_allocation(Failing failing, Body body, pgcache_status success = PGCACHE_OK) {
  for (long n = 1;; n++) {
    pgcache_status status;
    long failed;
    size_t alive;
    {
      Allocations allocations(n, failing);
      status = body();
      failed = Allocations::failed();
      alive = Allocations::alive();
    }
    INFO("allocation " << n << " failing");
    CHECK(alive == 0);
    if (failed == 0) {
      CHECK(status == success);
      return n - 1;
    }
    CHECK(status == PGCACHE_NO_MEMORY);
    REQUIRE(n < 100000);
  }
}

/* Both ways, one after the other. */
template <class Body> long fail_each_allocation(Body body, pgcache_status success = PGCACHE_OK) {
  long points = fail_each_allocation(Failing::Once, body, success);
  CHECK(fail_each_allocation(Failing::FromThenOn, body, success) == points);
  return points;
}

} // namespace test

#endif
