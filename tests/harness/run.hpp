/*
 * run.hpp - one run: the schema, the processes, the faults in between, and what came of it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_RUN_HPP
#define PGCACHE_HARNESS_RUN_HPP

#include "harness/shared.hpp"
#include "support/private_server.hpp"

#include <memory>
#include <string>
#include <vector>

namespace harness {

/* What a run gave; the block is unmapped with it. */
struct Outcome {
  std::shared_ptr<Block> block;
  std::vector<std::string> findings;
  double seconds = 0;
  int struck = 0;

  int64_t sum(std::atomic<int64_t> Figures::*counter) const;
  int64_t sum(int64_t pgcache_counters::*counter) const;
  Distribution times(Time what) const;
};

/* `address`: of a server of the user's, on which nothing strikes; "": `server`, on which `fault` does (see faults.hpp), every
   `every` seconds. Ends early when something is found. */
Outcome run(const Options &options, const std::string &address, test::PrivateServer *server, const std::string &fault,
            double every);

} // namespace harness

#endif
