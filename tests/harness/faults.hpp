/*
 * faults.hpp - what strikes while the harness runs.
 *
 * Owns the table of faults. Never touches a server other than the harness's own, nor a process that it did not start.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_FAULTS_HPP
#define PGCACHE_HARNESS_FAULTS_HPP

#include "harness/shared.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"

#include <random>
#include <string>
#include <vector>

namespace harness {

/* The role of all handles, which is no superuser. */
extern const char *const role;

/* The names of all kinds, in their order; the first is "none". */
const std::vector<std::string> &fault_kinds(bool loads);

class Faults {
public:
  /* `pids`: of the processes, writers first. `proxy`: between every other reader and the server. */
  Faults(Block &block, test::PrivateServer &server, test::Proxy &proxy, const std::vector<int> &pids);

  /* Strikes and returns when it is over. False: there was nothing to strike, such as no relay. */
  bool strike(const std::string &kind);

private:
  int64_t some_ms(int64_t least, int64_t most);
  std::vector<test::Row> sessions(const std::string &condition);
  bool terminate(const std::string &condition);
  bool stop(const std::vector<int> &pids);
  void crash();
  void network();
  void remove_all(bool by_hand);

  Block &block_;
  test::PrivateServer &server_;
  test::Proxy &proxy_;
  const std::vector<int> pids_;
  std::mt19937_64 random_;
};

} // namespace harness

#endif
