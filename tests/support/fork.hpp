/*
 * fork.hpp - a forked child that runs a test's steps. A child here never returns into the test framework: it ends with a code
 * that the parent checks.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_FORK_HPP
#define PGCACHE_TESTS_FORK_HPP

#include "support/sanitizer.hpp"

#include <cerrno>
#include <cstdio>
#include <functional>
#include <sys/wait.h>
#include <unistd.h>

namespace test {

/* 0: the child's steps were all right; n: step n was not; 1000 + signal: it was killed (14: it hung). */
inline int in_child(const std::function<int()> &body) {
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(120);
    _exit(body());
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* The sanitizers' own locks are not made free in a child that was forked beside other threads: it can hang in malloc, or
   die of the sanitizer's book-keeping. libc's are. */
const bool can_fork_among_threads = !is_sanitized();

} // namespace test

#endif
