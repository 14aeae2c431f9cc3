/*
 * failing.hpp - allocations that fail: calls of calloc(), realloc() and strdup() from all that is linked into this program, but not from
 * shared libraries.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_FAILING_HPP
#define PGCACHE_TESTS_FAILING_HPP

#include <stdexcept>

namespace test {

/* After so many that go well one fails; below 0: none does. */
void fail_after(int count);
/* The one that was to fail has failed. */
bool has_failed();

/* Runs it with the first allocation failing, with the second, and so on, until all go well. Gives how many there are. */
template <class Body> int failing_each(const Body &body) {
  for (int n = 0; n < 1000; n++) {
    fail_after(n);
    body();
    const bool failed = has_failed();
    fail_after(-1);
    if (!failed)
      return n;
  }
  throw std::runtime_error("there is no end to allocations");
}

} // namespace test

#endif
