/*
 * early.cpp - tests of early refresh: a logarithm without libm, and how often a reader is drawn.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <cmath>
#include <cstdint>
#include <random>

extern "C" {
#include "pure/early.h"
}

TEST_CASE("The gap is -ln of the number that random bits make, and finite for all of them", "[early]") {
  for (const uint64_t random :
       {UINT64_C(0), UINT64_C(1), UINT64_C(2), UINT64_C(1) << 31, UINT64_C(1) << 63, UINT64_MAX}) {
    const double number = static_cast<double>(random | 1) / 18446744073709551616.0;
    const double gap = pgc_early_gap(random);
    INFO(random);
    CHECK(std::isfinite(gap));
    CHECK(gap >= 0);
    CHECK(std::abs(gap - -std::log(number)) <= 0.0001);
  }
}

TEST_CASE("A reader is drawn with the probability e^(-left / (took * beta))", "[early]") {
  std::mt19937_64 random(7);
  const auto share = [&](int64_t left_ms, int64_t took_ms, int percent) {
    int drawn = 0;
    for (int i = 0; i < 20000; i++)
      drawn += pgc_early_is_drawn(left_ms * 1000, took_ms, percent, random());
    return drawn / 20000.0;
  };
  CHECK(share(0, 100, 100) == 1);  /* at its end everybody */
  CHECK(share(1000, 0, 100) == 0); /* what costs nothing is not refreshed early */
  CHECK(std::abs(share(100, 100, 100) - std::exp(-1.0)) < 0.02);
  CHECK(std::abs(share(100, 100, 200) - std::exp(-0.5)) < 0.02);
  CHECK(std::abs(share(300, 100, 100) - std::exp(-3.0)) < 0.02);
}
