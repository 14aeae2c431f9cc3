/*
 * rows.cpp - see rows.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/rows.hpp"

#include "harness/history.hpp"

#include <algorithm>

namespace harness {

void Row::acknowledged(int64_t number) {
  const int64_t now = now_ns();
  Commit &commit = commits[number % COMMITS];
  /* Two writers of one place are COMMITS commits apart. */
  if (commit.number < number) {
    commit.at = now;
    commit.number = number;
  }
  for (int64_t before = last; before < number && !last.compare_exchange_weak(before, number);) {
  }
}

int64_t Row::outdated_at(int64_t number) const {
  const int64_t newest = last;
  int64_t first = 0;
  for (int64_t newer = std::max(number + 1, newest - COMMITS + 1); newer <= newest; newer++) {
    const Commit &commit = commits[newer % COMMITS];
    const int64_t known = commit.number, at = commit.at;
    /* One that nobody acknowledged has no time; the next of its place is later than what is asked. */
    if (known >= newer && (first == 0 || at < first))
      first = at;
  }
  return first;
}

} // namespace harness
