/*
 * system_fails.hpp - this program's own pthread_create() and eventfd(), which stand before libc's for the library and the
 * tests: a system that has no thread or no descriptor left. As libc's until a test asks otherwise. Never fails anything else
 * that opens a file or a socket.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_SYSTEM_FAILS_HPP
#define PGCACHE_TESTS_SYSTEM_FAILS_HPP

namespace test {

enum class Lacking { Threads, Descriptors };

/* While it lives, none of these are to be had; those that are there stay. */
class SystemFails {
public:
  explicit SystemFails(Lacking what);
  SystemFails(const SystemFails &) = delete;
  SystemFails &operator=(const SystemFails &) = delete;
  ~SystemFails();
  static int refused(); /* how often one was asked for */
};

} // namespace test

#endif
