/*
 * faults.hpp - what strikes while the soak runs, and which statuses that explains.
 *
 * Owns the table of faults. Never touches a server other than the soak's own.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_SOAK_FAULTS_HPP
#define PGCACHE_SOAK_FAULTS_HPP

#include "soak/shared.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"

#include <random>
#include <string>
#include <vector>

namespace soak {

/* The soak's role, which is no superuser: so that it can be refused. */
extern const char *const role;

/* Whether one of the faults (bits as in Block::faults) can make a call give this status. */
bool faults_explain(uint32_t faults, pgcache_status status);
std::string fault_names(uint32_t faults);

class Faults {
public:
  /* `proxy` may be null: then nothing of the network strikes. */
  Faults(Block &block, test::PrivateServer &server, test::Proxy *proxy, uint64_t seed);

  /* Strikes with the next fault and returns when it is over, with its name. All kinds come before one comes again. */
  std::string strike();

private:
  int64_t some_ms(int64_t least, int64_t most);
  std::string admin() const {
    return server_.conninfo();
  }
  void terminate(const char *limit);
  void crash();
  void freeze();
  void exhaust();
  void read_only();
  void lock();
  void full();
  void empty();

  Block &block_;
  test::PrivateServer &server_;
  test::Proxy *proxy_;
  std::mt19937_64 random_;
  uint32_t before_ = 0;      /* the last one, as a bit */
  std::vector<int> waiting_; /* kinds that are still to come in this round */
};

} // namespace soak

#endif
