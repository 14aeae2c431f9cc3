/*
 * shared.hpp - the memory that the soak's processes share: what is going on, what was counted, what was found wrong.
 *
 * Owns the layout and nothing else. Everything in it is an atomic or written before the workers start; never a pointer.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_SOAK_SHARED_HPP
#define PGCACHE_SOAK_SHARED_HPP

#include "pgcache.h"

#include <atomic>
#include <cstdint>
#include <string>

namespace soak {

constexpr int PROCESSES = 2;
constexpr int THREADS = 8;
constexpr int KEYS = 48;    /* owned by each thread: nobody else writes them */
constexpr int COUNTERS = 8; /* incremented by everybody */
constexpr int WIPES = 1024; /* how often a run may lose everything */
constexpr int RECENT = 1 << 20;
constexpr int NOTES = 32;

enum class Op {
  GET,
  GET_INTO,
  EXISTS,
  PUT,
  ADD,
  REPLACE,
  COMPARE_AND_SWAP,
  REMOVE,
  TOUCH,
  INCREMENT,
  GET_MANY,
  PUT_MANY,
  REMOVE_MANY,
  FLUSH,
  CLEANUP,
  COUNT
};
const char *op_name(Op op);
bool op_writes(Op op);

/* One more than the highest outcome, and than the number of any error. */
constexpr int OUTCOMES = PGCACHE_TOO_SMALL + 1;
constexpr int ERRORS = 64;

/* A counter that all threads increment; its key carries the number of wipes, so that it begins anew after each. */
struct Counter {
  std::atomic<int64_t> begun;   /* what the calls so far add up to, */
  std::atomic<int64_t> acked;   /* those that were answered, */
  std::atomic<int64_t> refused; /* and those that are said to have changed nothing */
};

/* What the owner of a key tells those who read it: a hit that begins now holds a write from `floor` to `started`. */
struct Cell {
  std::atomic<uint64_t> floor, started;
};

struct Block {
  char address[PROCESSES][512];
  char schema[32];
  uint64_t seed;
  int plant;
  int64_t slack_us;
  std::atomic<bool> go, stop;
  std::atomic<int> ready;

  std::atomic<uint32_t> faults; /* bits of the fault that strikes and of the one before */
  std::atomic<int> wipes_begun, wipes_done;

  Counter counters[WIPES][COUNTERS];
  Cell cells[PROCESSES][THREADS][KEYS];
  std::atomic<int64_t> highest_version;  /* that any call has given */
  std::atomic<int64_t> versions[RECENT]; /* the last ones given by writes, by their low bits */

  std::atomic<int64_t> outcomes[PROCESSES][OUTCOMES], errors[PROCESSES][ERRORS],
      operations[static_cast<int>(Op::COUNT)];
  std::atomic<int64_t> worst_over_us; /* the longest time that a call went on past its deadline */
  std::atomic<int> worst_over_op;
  std::atomic<int64_t> late_us[PROCESSES];    /* when a deadline passed last in each process */
  std::atomic<int64_t> heap_bytes[PROCESSES]; /* in use in each process, of what malloc() gave */
  std::atomic<int64_t> left_heap_bytes[PROCESSES];
  std::atomic<int64_t> left_descriptors[PROCESSES], left_threads[PROCESSES]; /* after the handle was freed */

  std::atomic<int> violations;
  char notes[NOTES][600];
  std::atomic<bool> note_written[NOTES];

  /* Says what is wrong; the first ones are kept. */
  void violation(const std::string &text);
  void raise_highest_version(int64_t version);
};

Block *new_block();

int64_t now_us();

} // namespace soak

#endif
