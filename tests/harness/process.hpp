/*
 * process.hpp - what writers and readers have in common: their handle, their pace, values and how a finding is told.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_PROCESS_HPP
#define PGCACHE_HARNESS_PROCESS_HPP

#include "harness/shared.hpp"
#include "support/handles.hpp"

#include <memory>
#include <string>
#include <vector>

namespace harness {

constexpr int64_t TTL_MS = 86400000;

/* The handle of a process; its server sees the process as harness-<number>. */
test::Cache open_cache(const Block &block, int process);
/* Keys that the near cache has answered so far. */
int64_t near_hits(test::Cache &cache);
std::string application_name(int process);

/* How long one thread of a writer waits before its next write, and which key that is. Thread 0 uses the library, 1 SQL. */
class Pace {
public:
  Pace(const Block &block, int process, int thread);
  /* From now on. */
  void start();
  /* False when the work is over. */
  bool wait();
  int slot();
  /* All keys of its own. */
  std::vector<int> own_slots() const;
  uint64_t random(uint64_t below);

private:
  int threads() const;

  const Block &block_;
  const int process_, thread_;
  uint64_t state_;
  int64_t interval_ns_, next_ns_;
};

/* Fills `room`, which has the size of all values. The first number is the ticket. */
std::string_view value_of(const Options &options, std::string_view key, uint64_t id, std::string &room);
/* The ticket of a value; what is no value of this key is a violation. */
uint64_t ticket_in(Block &block, int slot, uint64_t generation, std::string_view value);

uint64_t next_random(uint64_t *state);

/* What a submitted request came to, or why it could not be. */
class Completion {
public:
  Completion(test::Cache &cache, pgcache_status submitted, uint64_t id);
  pgcache_status status() const {
    return status_;
  }
  const pgcache_item *item(size_t index) const {
    return pgcache_completion_item(completion_.get(), index);
  }

private:
  std::unique_ptr<pgcache_completion, void (*)(pgcache_completion *)> completion_;
  pgcache_status status_;
};

void tell(Block &block, const std::string &who, int slot, const Sight &sight, const Judgement &judgement);

} // namespace harness

#endif
