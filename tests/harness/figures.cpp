/*
 * figures.cpp - see figures.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/figures.hpp"

#include <algorithm>
#include <cmath>

namespace harness {

/* Below 2 * STEPS each nanosecond has its own; then each doubling has STEPS. */
static int bucket_of(int64_t ns) {
  const uint64_t value = static_cast<uint64_t>(std::max<int64_t>(ns, 0));
  if (value < STEPS)
    return static_cast<int>(value);
  const int doubling = 63 - __builtin_clzll(value) - 5; /* STEPS is 2 to the 5 */
  return std::min(BUCKETS - 1, (doubling + 1) * STEPS + static_cast<int>(value >> doubling) - STEPS);
}

static double middle_of(int bucket) {
  if (bucket < STEPS)
    return bucket;
  return std::ldexp(STEPS + bucket % STEPS + 0.5, bucket / STEPS - 1);
}

void Histogram::add(int64_t ns) {
  std::atomic<int64_t> &count = counts[bucket_of(ns)];
  count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (ns > most_ns.load(std::memory_order_relaxed))
    most_ns.store(ns, std::memory_order_relaxed);
}

void Distribution::add(const Histogram &one) {
  for (int i = 0; i < BUCKETS; i++) {
    counts_[static_cast<size_t>(i)] += one.counts[i];
    count_ += one.counts[i];
  }
  most_ns_ = std::max(most_ns_, one.most_ns.load());
}

double Distribution::percentile_us(double percent) const {
  int64_t left = static_cast<int64_t>(std::ceil(static_cast<double>(count_) * percent / 100));
  for (int i = 0; i < BUCKETS && count_ > 0; i++) {
    left -= counts_[static_cast<size_t>(i)];
    if (left <= 0)
      return std::min(middle_of(i), static_cast<double>(most_ns_)) / 1000;
  }
  return 0;
}

} // namespace harness
