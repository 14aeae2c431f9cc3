/*
 * client.hpp - one thread that does random operations on few keys, through calls or through requests, and keeps what it saw.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HISTORIES_CLIENT_HPP
#define PGCACHE_HISTORIES_CLIENT_HPP

#include "histories/record.hpp"
#include "support/handles.hpp"

#include <functional>
#include <random>

namespace histories {

struct Plan {
  bool requests = false;        /* asynchronous ones, several under way at once */
  bool short_deadlines = false; /* some, so that calls time out */
  bool lies = false;            /* some reads give what was read before: the checker must notice */
  uint64_t seed = 0;
};

class Client {
public:
  Client(test::Cache &cache, Keys &keys, Record &record, const Plan &plan);
  /* Until `enough` says so. Counted there is every operation whose answer says something. */
  void work(const std::function<bool()> &enough, std::atomic<int64_t> *done);
  /* Errors, and writes whose fate is not known. */
  int64_t failures() const {
    return failures_;
  }
  int64_t unsure() const {
    return unsure_;
  }

private:
  uint64_t below(uint64_t n) {
    return random_() % n;
  }
  Operation choose();
  test::Options options();
  void call(Operation *one);
  void call_many();
  void request_some();
  pgcache_status submit(const Operation &one, uint64_t *id);
  void finish(Operation *one);
  void lie(Operation *one);

  test::Cache &cache_;
  Keys &keys_;
  Record &record_;
  const Plan plan_;
  std::mt19937_64 random_;
  std::vector<Operation> ended_;
  std::vector<Operation> before_; /* by slot: what was read last */
  int64_t failures_ = 0, unsure_ = 0, done_ = 0;
};

} // namespace histories

#endif
