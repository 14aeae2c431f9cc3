/*
 * shared.hpp - the memory that the harness's processes share: what they are to do, the keys' histories, what was counted
 * and what was found wrong.
 *
 * Owns the layout and nothing else. Everything in it is an atomic or written before the processes begin; never a pointer.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_SHARED_HPP
#define PGCACHE_HARNESS_SHARED_HPP

#include "harness/figures.hpp"
#include "harness/history.hpp"
#include "harness/rows.hpp"

#include "pgcache.h"

#include <string>

namespace harness {

constexpr int PROCESSES = 64;
constexpr int THREADS = 8;
constexpr int KEYS_MOST = 1000000;
constexpr int NOTES = 32;
constexpr int ERRORS = 64; /* more than the number of any error */

/* A mistake that a reader makes on purpose, to show that the harness would notice. */
enum Fake {
  NO_FAKE,
  STALE_COPY,
  LOST_ENTRY,
  ROLLED_BACK,
  STALE_WHEN_QUIET,
  FENCE_WITHOUT_EFFECT,
  LOADS_BEFORE_LEASE,
  GUARD_OFF
};

struct Options {
  double seconds = 30;
  int64_t reads = 0; /* goes on until so many were done, too */
  int writers = 2;
  int readers = 4;
  int threads = 1; /* of a reader */
  int keys = 10000;
  int contended = 0; /* the first so many keys are written by everybody */
  int value_bytes = 200;
  int64_t writes_per_second = 1000; /* of all writers together */
  bool sql = false;                 /* writers write through SQL functions, too */
  bool all_operations = false;      /* removes, counters, touches and batches beside puts; checks of own writes */
  bool logged = false;              /* entries survive a crash of the server */
  const char *grants = "";   /* "functions" or "tables": the handles' role is let in with these, and owns nothing */
  bool hold_answers = false; /* what the store answers to readers comes late, what they listen to does not */
  int64_t staleness_ms = 2000;
  int64_t absent_ms = 0;
  int64_t near_bytes = 64 << 20;
  uint64_t seed = 0;
  bool loads = false; /* what is cached is loaded from rows that others change */
  int fake = NO_FAKE;
};

enum Phase { WAIT, FILL, WORK, SETTLE, COMPARE, END };

enum class Time { NEAR_HIT, STORE_READ, WRITE, FENCE, STALE, COUNT };

/* Of one thread, which alone writes it. */
struct Figures {
  Histogram times[static_cast<int>(Time::COUNT)];
  std::atomic<int64_t> reads, misses, writes, fences, failures, own_reads, compared;
};

struct Block {
  Options options;
  char address[PROCESSES][512]; /* first the writers', then the readers' */
  char listen_address[512];     /* "": the same */
  char sql_address[512];
  char schema[64];
  std::atomic<int> phase, ready;

  Wipes wipes;
  Figures figures[PROCESSES][THREADS];
  pgcache_counters counters[PROCESSES]; /* of the handles, before the comparison */
  std::atomic<int64_t> errors[ERRORS];  /* by status, with its sign turned */

  std::atomic<int> violations;
  char notes[NOTES][600];
  std::atomic<bool> note_written[NOTES];

  Cell cells[KEYS_MOST];

  Row rows[ROWS_MOST];
  LoadFigures loads;
  std::atomic<int> doomed; /* so many loaders are to be killed in the middle of a load */

  int64_t staleness_ns() const {
    return options.staleness_ms * 1000000;
  }
  /* Says what is wrong; the first ones are kept. */
  void violation(const std::string &text);
  void count_error(pgcache_status status);
};

Block *new_block();
void free_block(Block *block);

/* The key of a slot in a generation, and its value: the ticket, the key's name, and bytes to fill up. */
std::string key_name(int slot, uint64_t generation);
bool is_counter(const Options &options, int slot);

} // namespace harness

#endif
