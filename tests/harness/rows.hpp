/*
 * rows.hpp - the application's rows, from which values are loaded, and when each of their numbers was acknowledged.
 *
 * A row's number is raised under its lock, so the order of numbers is that of commits. A value that was loaded from a row
 * carries the number; it is too old if a higher one had been acknowledged before the moment that the reader may count on.
 * A commit whose answer was lost counts for nothing until a later one of the row is acknowledged.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_ROWS_HPP
#define PGCACHE_HARNESS_ROWS_HPP

#include <atomic>
#include <cstdint>

namespace harness {

constexpr int ROWS_MOST = 4096;
constexpr int COMMITS = 256; /* the last ones of a row */

struct Row {
  struct Commit {
    std::atomic<int64_t> number, at;
  };
  Commit commits[COMMITS];
  std::atomic<int64_t> last; /* acknowledged */

  /* As of now. Of one row in any order, from any process. */
  void acknowledged(int64_t number);
  /* When a number was first known to be too old: 0: not yet. Never too early; later only if it is long ago. */
  int64_t outdated_at(int64_t number) const;
};

/* What loaders did. */
struct LoadFigures {
  std::atomic<int64_t> leases, fills, refused, hits, near_hits, stale, waited, ended_otherwise, late, killed, compared,
      reads;
};

} // namespace harness

#endif
