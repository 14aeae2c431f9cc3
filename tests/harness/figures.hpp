/*
 * figures.hpp - a histogram of times that one thread fills and others read: three digits, 100 ns to hours.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_FIGURES_HPP
#define PGCACHE_HARNESS_FIGURES_HPP

#include <atomic>
#include <cstdint>
#include <vector>

namespace harness {

constexpr int STEPS = 32; /* of each doubling: 3% */
constexpr int BUCKETS = 45 * STEPS;

struct Histogram {
  std::atomic<int64_t> counts[BUCKETS];
  std::atomic<int64_t> most_ns;

  void add(int64_t ns);
};

/* Several of them together. */
class Distribution {
public:
  void add(const Histogram &one);
  int64_t count() const {
    return count_;
  }
  double most_us() const {
    return static_cast<double>(most_ns_) / 1000;
  }
  /* The time that so many of a hundred do not exceed; 0 when there are none. */
  double percentile_us(double percent) const;

private:
  std::vector<int64_t> counts_ = std::vector<int64_t>(BUCKETS);
  int64_t count_ = 0, most_ns_ = 0;
};

} // namespace harness

#endif
