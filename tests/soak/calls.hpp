/*
 * calls.hpp - the one way from a soak's thread to the library: each call is timed, counted, checked for its deadline and
 * for a status that the header and the faults of the moment allow; and here a bug is planted when one is asked for.
 *
 * Never decides what a key may hold: that is the model's.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_SOAK_CALLS_HPP
#define PGCACHE_SOAK_CALLS_HPP

#include "soak/shared.hpp"
#include "support/handles.hpp"

#include <functional>
#include <map>
#include <random>
#include <string>

namespace soak {

/* Bugs that the soak must find: build/tests/soak --self-test plants each and sees that it does. */
struct Plant {
  const char *name;
  const char *found_as; /* words of the finding */
};
enum PlantId {
  NO_PLANT,
  PLANT_CORRUPT,
  PLANT_OTHER_KEY,
  PLANT_STALE,
  PLANT_SKIPPED_WRITE,
  PLANT_WRONG_REFUSAL,
  PLANT_REPEATED_VERSION,
  PLANT_LATE_EXPIRY,
  PLANT_TWICE,
  PLANT_STATUS,
  PLANT_LATE_ANSWER,
  PLANT_DESCRIPTOR,
  PLANT_MEMORY,
  PLANT_CONNECTION,
  PLANT_THREAD,
  PLANT_BLOAT,
  PLANT_OUTAGE,
  PLANTS
};
extern const Plant plants[PLANTS];

struct Called {
  test::Answer answer;
  std::string bytes; /* of a hit */
  int64_t began_us = 0, ended_us = 0;
};

class Calls {
public:
  Calls(Block &block, int process, uint64_t seed) : block_(block), process_(process), random_(seed) {}

  /* Runs one call. `key` tells keys apart for the plants. The options that it is given hold the deadline. */
  Called run(Op op, const std::string &key, int64_t deadline_ms,
             const std::function<test::Answer(test::Options)> &call);

  /* A write was acknowledged with this version: newer than every one that was known when the call began. */
  void check_version(Op op, int64_t version, int64_t highest_before);

  /* What a TTL becomes when PLANT_LATE_EXPIRY is at work. */
  int64_t ttl_ms(int64_t ttl_ms) const;
  void count_item(pgcache_status status);

private:
  bool strikes(int one_in) {
    return random_() % static_cast<uint64_t>(one_in) == 0;
  }
  test::Answer planted(Op op, const std::string &key, test::Options options,
                       const std::function<test::Answer(test::Options)> &call, std::string *bytes);
  void check_status(Op op, const test::Answer &answer, int64_t deadline_ms, int64_t took_us, uint32_t faults);

  Block &block_;
  int process_;
  std::mt19937_64 random_;
  struct Kept {
    test::Answer answer;
    std::string bytes;
  };
  std::map<std::string, Kept> first_hits_; /* for the plants */
  int64_t last_version_ = 0;
};

} // namespace soak

#endif
