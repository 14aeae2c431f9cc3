/*
 * reader.hpp - reads through a near cache, and judges all that it sees.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_READER_HPP
#define PGCACHE_HARNESS_READER_HPP

#include "harness/shared.hpp"
#include "support/handles.hpp"

#include <functional>
#include <string>
#include <vector>

namespace harness {

/* One thread of a process; a writer has one, too, for the keys that others write as well. */
class Reader {
public:
  Reader(Block &block, int process, int thread, test::Cache &cache);

  /* Reads until COMPARE. */
  void work();
  /* One read, through the near cache or past it. */
  void look(int slot, bool store) {
    one(slot, store, false);
  }
  /* Nobody writes any more: what is near is what the store has. */
  void compare();

private:
  static const int BATCH = 16;

  /* What it knows of a key. */
  struct Known {
    uint64_t generation = UINT64_MAX;
    std::string name;
    uint64_t highest = 0; /* the latest ticket seen, of a key with one writer, */
    int64_t highest_at = 0;
    uint64_t stored = 0; /* the ticket that the store gave last, in a read between these two */
    int64_t stored_since = 0, stored_at = 0;
    uint64_t copy = 0; /* of the fakes: what they go on showing */
    int64_t copied_at = 0;
  };

  std::string name() const;
  int some_slot();
  Known &know(int slot);
  void failed(pgcache_status status);
  void one(int slot, bool store, bool timed);
  void many();
  void many_read(const int *slots, const uint64_t *generations, int64_t began,
                 const std::function<const pgcache_item *(size_t)> &item);
  void check(int slot, const pgcache_value *value, int64_t began, int64_t ended, bool store);
  void compare_with_seen(int slot, Known &key, const Sight &sight, bool store);
  void fence();
  void mistake(int slot, Known &key, Sight *sight);
  bool recover();
  test::Answer again(const std::string &key, const test::Options &options);

  Block &block_;
  const Options &options_;
  Figures &figures_;
  test::Cache &cache_;
  const int process_;
  const int64_t bound_ns_;
  uint64_t random_;
  std::vector<Known> known_;
  std::string names_[BATCH];
  int64_t next_fence_ns_, fenced_ns_ = 0;
  test::Options near_, from_store_;
};

/* A process: waits for WORK, reads until COMPARE, then compares each key near and in the store. */
void run_reader(Block &block, int process);

} // namespace harness

#endif
