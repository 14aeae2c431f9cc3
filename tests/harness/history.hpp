/*
 * history.hpp - what has been written to each key and when it was acknowledged, in memory that all processes share, and the
 * judgement of what a reader saw.
 *
 * Each write of a key draws a ticket, which is part of the value; of two writes the one that began after the other was
 * acknowledged is the newer one. Writes that overlap may have come in either order, and a write whose fate is not known may
 * still come: then the key is given up, and the slot goes on with another key, its next generation.
 *
 * Owns the rules and nothing else. Errs on the side of the library: what cannot be known is no violation.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_HISTORY_HPP
#define PGCACHE_HARNESS_HISTORY_HPP

#include <atomic>
#include <cstdint>

namespace harness {

/* On CLOCK_BOOTTIME, which is the same in all processes and goes on while one is stopped. */
int64_t now_ns();

constexpr int RING = 64; /* the last writes of a key */

enum How : uint32_t { PUT = 0, REMOVE = 1, BY_SQL = 2 };

/* A write's `acked` before it is acknowledged. */
constexpr int64_t UNDER_WAY = 0, REFUSED = -1, UNKNOWN = -2;

struct Write {
  std::atomic<uint64_t> id; /* generation and ticket; 0 while the slot is written */
  std::atomic<uint32_t> how;
  std::atomic<int64_t> begun, acked;
};

struct Cell {
  std::atomic<uint64_t> head; /* generation << 40 | the last ticket */
  Write ring[RING];
};

constexpr uint64_t ticket_of(uint64_t id) {
  return id & ((UINT64_C(1) << 40) - 1);
}
constexpr uint64_t generation_of(uint64_t id) {
  return id >> 40;
}

/* Something that removes everything: a flush, TRUNCATE, a crash. `done` is 0 while it goes on. */
struct Wipe {
  std::atomic<int64_t> begun, done;
};
constexpr int WIPES = 4096;
struct Wipes {
  std::atomic<int> count;
  Wipe all[WIPES];

  void begin();
  void end();
};

/* Draws a ticket for a write that begins now; 0: too many are under way, leave this key alone for now. */
uint64_t begin_write(Cell &cell, uint32_t how);
/* It is acknowledged, as of now; or REFUSED; or UNKNOWN, which begins another generation. */
void end_write(Cell &cell, uint64_t id, int64_t outcome);
void write_acknowledged(Cell &cell, uint64_t id);

/* What a read gave: a ticket, or 0 for a miss. It must show what was acknowledged before `cut`. */
struct Sight {
  uint64_t generation, ticket;
  int64_t began, ended, cut;
  bool own_alone; /* count only the writes by the library, which the reader's own process made */
};

struct Judgement {
  const char *wrong = nullptr;
  int64_t stale_ns = 0; /* how long before the read began a newer write had been acknowledged */
  uint64_t newer = 0;   /* the ticket of a write that should have been seen */
};

/* When a write can no longer take effect; INT64_MAX: it still can. */
int64_t end_of_write(const Cell &cell, uint64_t id);

Judgement judge(const Cell &cell, const Wipes &wipes, const Sight &sight);

} // namespace harness

#endif
