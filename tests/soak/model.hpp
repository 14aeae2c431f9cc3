/*
 * model.hpp - what one key may hold, as far as the calls of its only writer tell: a set of possible states, which an
 * answer narrows and an UNKNOWN widens. An answer that none of the states explains is a violation.
 *
 * Owns the rules of the header as a function from state and call to answer and state. Never asks the cache anything.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_SOAK_MODEL_HPP
#define PGCACHE_SOAK_MODEL_HPP

#include "soak/shared.hpp"

#include <string>
#include <vector>

namespace soak {

constexpr int64_t FOREVER_US = INT64_MAX / 4;
/* How far the two clocks (the server's, this machine's monotonic one) may drift apart within one life of an entry. */
constexpr int64_t MARGIN_US = 250 * 1000;
/* How long after its end an UNKNOWN write may still happen: longer than any fault lasts. */
constexpr int64_t PENDING_US = 20 * 1000 * 1000;
constexpr size_t PENDING_MAX = 3;

struct State {
  bool present = false;
  bool counter = false;
  uint64_t write = 0; /* the number of the write that gave the value */
  int32_t format = 0;
  int64_t number = 0;  /* of a counter */
  int64_t version = 0; /* 0: not known, but higher than */
  int64_t version_above = 0;
  int64_t dies_from = 0, dies_until = 0; /* the expiry lies between */
  unsigned applied = 0;                  /* the pending writes that have happened in this state, by their bits */
  bool operator==(const State &other) const;
};

/* A call as its caller meant it. */
struct Request {
  Op op = Op::GET;
  uint64_t write = 0;
  int32_t format = 0;
  int64_t ttl_us = FOREVER_US;
  int64_t expected = 0;           /* compare_and_swap */
  int64_t delta = 0, initial = 0; /* increment */
};

/* What came of it. */
struct Reply {
  pgcache_status status = PGCACHE_OK;
  int64_t began_us = 0, ended_us = 0;
  int64_t version = 0;
  int64_t number = 0;   /* increment, or a hit on a counter */
  bool counter = false; /* the hit is a number in JSON */
  uint64_t write = 0;   /* of the value that was hit */
  int32_t format = 0;
  int64_t ttl_left_us = -1; /* of a hit, -1: not asked */
};

class KeyModel {
public:
  KeyModel() : states_(1) {}

  /* Takes a call and its answer; "" or what is wrong. `wiped`: everything may have been lost since the call before. */
  std::string observe(const Request &request, const Reply &reply, bool wiped);

  /* No more writes for now: too many are pending. */
  bool crowded() const {
    return pending_.size() >= PENDING_MAX;
  }
  /* The version, when there is no doubt; else 0. */
  int64_t known_version() const {
    return states_.size() == 1 ? states_[0].version : 0;
  }
  /* No present state is of an earlier write than this. */
  uint64_t floor() const;
  /* The key must be read or written again before `floor` says more. */
  std::string describe() const;

private:
  struct Pending {
    Request request;
    int64_t began_us, until_us, version_above;
    unsigned bit;
  };
  void add(const State &state);
  void close(int64_t now);  /* adds the states that pending writes may have made */
  void retire(int64_t now); /* forgets pending writes that cannot happen any more */

  std::vector<State> states_;
  std::vector<Pending> pending_;
  int64_t highest_ = 0; /* version seen of this key */
};

} // namespace soak

#endif
