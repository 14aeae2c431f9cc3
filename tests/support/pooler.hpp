/*
 * pooler.hpp - a PgBouncer in transaction mode before a server: each statement of a client may run on another connection of
 * the server. On a Unix socket in a temporary folder; it ends with the object, and with the test program.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_POOLER_HPP
#define PGCACHE_TESTS_POOLER_HPP

#include "support/server.hpp"

#include <string>
#include <sys/types.h>
#include <vector>

namespace test {

class Pooler {
public:
  /* `settings` as in pgbouncer.ini. It accepts connections when the constructor returns. */
  explicit Pooler(const std::string &server = url(), const std::vector<std::string> &settings = {});
  Pooler(const Pooler &) = delete;
  Pooler &operator=(const Pooler &) = delete;
  ~Pooler();
  const std::string &conninfo() const {
    return conninfo_;
  }

  /* The one that the tests' stores go through when PGCACHE_TEST_POOLER is set. */
  static Pooler &shared();

private:
  std::string folder_;
  std::string conninfo_;
  pid_t pid_ = -1;
};

} // namespace test

#endif
