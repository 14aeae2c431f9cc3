/*
 * libpq_fails.hpp - this program's own libpq functions that need memory to begin something, which stand before libpq's
 * for the library and the tests: the n-th call of any of them fails as if malloc() had. As libpq's until a test asks
 * otherwise. Never fails what only looks, frees or closes: the library must be able to rely on these.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_LIBPQ_FAILS_HPP
#define PGCACHE_TESTS_LIBPQ_FAILS_HPP

#include <string>

namespace test {

/* While it lives, call number n from now on fails, counted over all functions and threads. */
class LibpqFails {
public:
  explicit LibpqFails(long n);
  LibpqFails(const LibpqFails &) = delete;
  LibpqFails &operator=(const LibpqFails &) = delete;
  ~LibpqFails();
  static bool failed();     /* it has happened */
  static std::string who(); /* to which function */
};

} // namespace test

#endif
