/*
 * histogram.cpp - tests of histograms: buckets, and percentiles against exact ones on several distributions.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

extern "C" {
#include "state/histogram.h"
}

namespace {

/* As it is documented: a value is known to within 1/32 of itself. */
const double error_max = 1.0 / 32;

struct Tally {
  pgc_tally tally = {};
  explicit Tally(const pgc_histogram &histogram) {
    REQUIRE(pgc_tally_take(&tally, &histogram));
  }
  Tally(const Tally &) = delete;
  Tally &operator=(const Tally &) = delete;
  ~Tally() {
    pgc_tally_clear(&tally);
  }
};

double exact_percentile(const std::vector<int64_t> &sorted, double percent) {
  const auto rank =
      std::max<size_t>(1, static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(sorted.size()))));
  return static_cast<double>(sorted[rank - 1]);
}

/* Draws values; every percentile is within the error of the exact one, every count within the buckets' width. */
void is_as_exact(const char *name, const std::function<int64_t(std::mt19937_64 &)> &draw) {
  std::mt19937_64 random(7);
  const auto histogram = std::make_unique<pgc_histogram>();
  std::vector<int64_t> values;
  int64_t sum = 0;
  for (int i = 0; i < 20000; i++) {
    values.push_back(draw(random));
    sum += values.back();
    pgc_histogram_add(histogram.get(), values.back(), 1);
  }
  std::sort(values.begin(), values.end());
  const Tally taken(*histogram);
  INFO(name);
  CHECK(taken.tally.count == 20000);
  CHECK(taken.tally.sum == sum);
  int64_t before = 0;
  for (const double percent : {0.0, 0.1, 1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
    const double exact = exact_percentile(values, percent), got = pgc_tally_percentile(&taken.tally, percent);
    INFO(percent << "%: " << got << ", exactly " << exact);
    CHECK(std::fabs(got - exact) <= exact * error_max);
    const int64_t counted = pgc_tally_count_to(&taken.tally, exact);
    const auto at_most = [&](double bound) {
      return std::upper_bound(values.begin(), values.end(), static_cast<int64_t>(bound)) - values.begin();
    };
    CHECK(counted >= at_most(exact));
    CHECK(counted <= at_most(exact * (1 + 1.0 / 16)));
    CHECK(counted >= before);
    before = counted;
  }
}

} // namespace

TEST_CASE("histograms: each value has the bucket whose bounds it lies in, and buckets are narrow", "[histogram]") {
  for (int shift = 0; shift < 44; shift++) {
    for (int64_t step = -3; step <= 3; step++) {
      const int64_t value =
          std::max<int64_t>(0, (INT64_C(1) << shift) + step * std::max<int64_t>(1, (INT64_C(1) << shift) / 17));
      const uint16_t bucket = pgc_histogram_bucket(value);
      INFO(value << " in " << bucket);
      REQUIRE(bucket < PGC_HISTOGRAM_BUCKETS);
      CHECK(pgc_histogram_least(bucket) <= value);
      CHECK(pgc_histogram_most(bucket) >= value);
    }
  }
  for (uint16_t i = 0; i < PGC_HISTOGRAM_BUCKETS; i++) {
    const double least = static_cast<double>(pgc_histogram_least(i)), most = static_cast<double>(pgc_histogram_most(i));
    CHECK(pgc_histogram_bucket(pgc_histogram_least(i)) == i);
    CHECK(pgc_histogram_bucket(pgc_histogram_most(i)) == i);
    CHECK((most - least) / 2 <= least * error_max);
    if (i < 32)
      CHECK(most == i);
  }
  CHECK(pgc_histogram_bucket(-5) == 0);
  CHECK(pgc_histogram_bucket(INT64_MAX) == PGC_HISTOGRAM_BUCKETS - 1);
  CHECK(pgc_histogram_most(PGC_HISTOGRAM_BUCKETS - 1) == PGC_HISTOGRAM_MAX);
}

TEST_CASE("histograms: percentiles are within 1/32 of the exact ones", "[histogram][rule:histogram]") {
  is_as_exact("uniform", [](auto &random) { return std::uniform_int_distribution<int64_t>(0, 1000000)(random); });
  is_as_exact("small", [](auto &random) { return std::uniform_int_distribution<int64_t>(0, 40)(random); });
  is_as_exact("constant", [](auto &) { return INT64_C(123456789); });
  is_as_exact("exponential",
              [](auto &random) { return static_cast<int64_t>(std::exponential_distribution<double>(1e-5)(random)); });
  is_as_exact("log-normal",
              [](auto &random) { return static_cast<int64_t>(std::lognormal_distribution<double>(11, 2)(random)); });
  is_as_exact("Pareto", [](auto &random) {
    return static_cast<int64_t>(1000 / std::pow(std::uniform_real_distribution<double>(1e-6, 1)(random), 1.2));
  });
  is_as_exact("two peaks", [](auto &random) {
    return std::normal_distribution<double>(random() % 10 == 0 ? 5e7 : 2e5, 1e4)(random);
  });
  is_as_exact("all powers", [](auto &random) { return INT64_C(1) << random() % 43; });
}

TEST_CASE("histograms: what has no answer has none", "[histogram]") {
  const auto histogram = std::make_unique<pgc_histogram>();
  const Tally empty(*histogram);
  CHECK(std::isnan(pgc_tally_percentile(&empty.tally, 50)));
  CHECK(pgc_tally_count_to(&empty.tally, INFINITY) == 0);
  pgc_histogram_add(histogram.get(), -1, 1);
  pgc_histogram_add(histogram.get(), INT64_MAX, 2);
  const Tally some(*histogram);
  CHECK(some.tally.count == 3);
  CHECK(some.tally.sum == 2 * PGC_HISTOGRAM_MAX);
  CHECK(pgc_tally_percentile(&some.tally, 0) == 0);
  CHECK(std::isnan(pgc_tally_percentile(&some.tally, -1)));
  CHECK(std::isnan(pgc_tally_percentile(&some.tally, 101)));
  CHECK(std::isnan(pgc_tally_percentile(&some.tally, NAN)));
  CHECK(pgc_tally_count_to(&some.tally, NAN) == 0);
  CHECK(pgc_tally_count_to(&some.tally, -1) == 0);
  CHECK(pgc_tally_count_to(&some.tally, 0) == 1);
  CHECK(pgc_tally_count_to(&some.tally, INFINITY) == 3);
}

TEST_CASE("histograms: one that is taken while others count never has less than before", "[histogram][threads]") {
  const auto histogram = std::make_unique<pgc_histogram>();
  std::atomic<bool> done{false};
  std::thread counting([&] { /* each of these is the first in its bucket, below all others */
                             for (int round = 0; round < 200; round++) {
                               for (int64_t value = int64_t(1) << 30; value > 0; value -= value / 20 + 1)
                                 pgc_histogram_add(histogram.get(), value, 1);
                             }
                             done = true;
  });
  int64_t before = 0, fallen = 0;
  while (!done) {
    pgc_tally tally = {};
    if (!pgc_tally_take(&tally, histogram.get()))
      break;
    int64_t sum = 0;
    for (size_t i = 0; i < tally.size; i++)
      sum += tally.buckets[i].count;
    fallen += tally.count < before || sum != tally.count;
    before = tally.count;
    pgc_tally_clear(&tally);
  }
  counting.join();
  CHECK(fallen == 0);
}

TEST_CASE("histograms: two add up to what one would hold", "[histogram][rule:histogram]") {
  const auto left = std::make_unique<pgc_histogram>(), right = std::make_unique<pgc_histogram>(),
             both = std::make_unique<pgc_histogram>();
  for (int64_t value = 1; value < 100000000; value = value * 3 / 2 + 1) {
    pgc_histogram_add(value % 2 ? left.get() : right.get(), value, 3);
    pgc_histogram_add(both.get(), value, 3);
    pgc_histogram_add(left.get(), 77, 1);
    pgc_histogram_add(right.get(), 77, 1);
    pgc_histogram_add(both.get(), 77, 2);
  }
  const Tally a(*left), b(*right), expected(*both);
  pgc_tally sum;
  REQUIRE(pgc_tally_merge(&sum, &a.tally, &b.tally));
  CHECK(sum.count == expected.tally.count);
  CHECK(sum.sum == expected.tally.sum);
  REQUIRE(sum.size == expected.tally.size);
  for (size_t i = 0; i < sum.size; i++) {
    CHECK(sum.buckets[i].bucket == expected.tally.buckets[i].bucket);
    CHECK(sum.buckets[i].count == expected.tally.buckets[i].count);
  }
  pgc_tally_clear(&sum);
}
