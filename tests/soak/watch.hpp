/*
 * watch.hpp - looks at the workers and the server once a second, prints what it sees, and judges at the end.
 *
 * Never touches the cache: it reads /proc and the server's own views.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_SOAK_WATCH_HPP
#define PGCACHE_SOAK_WATCH_HPP

#include "soak/shared.hpp"
#include "support/server.hpp"

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace soak {

struct Sample {
  double second = 0;
  bool quiet = true; /* no fault strikes, and the last one is a while ago */
  int64_t memory_kib[PROCESSES] = {}, heap_kib[PROCESSES] = {}, descriptors[PROCESSES] = {}, threads[PROCESSES] = {};
  int64_t connections = 0, relation_bytes = 0;
  int64_t operations = 0, hits = 0, misses = 0, others = 0, errors = 0;
};

class Watch {
public:
  Watch(Block &block, std::string admin, std::array<int, PROCESSES> pids, bool verbose);

  /* Takes a sample and, every 10 s, prints a row. */
  void look(double second, bool quiet, const std::string &fault);

  /* The findings after the workers have ended: empty if all is well. `connections_left`: those the server still has. */
  std::vector<std::string> judge(int64_t connections_left) const;

  /* Tables of statuses and operations, and the line of JSON. */
  void print_summary(double seconds, const std::vector<std::string> &findings) const;

private:
  void ask_server(Sample *sample);
  void print_row(const Sample &sample, const std::string &faults);

  Block &block_;
  std::string admin_;
  std::array<int, PROCESSES> pids_;
  bool verbose_;
  std::unique_ptr<test::Pg> pg_;
  std::vector<Sample> samples_;
  Sample printed_;
  std::string faults_; /* since the last row */
};

} // namespace soak

#endif
