/*
 * meters.cpp - tests of the cells that operations are measured in: names, bounds, threads.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

extern "C" {
#include "platform/memory.h"
#include "pure/status.h"
#include "state/meters.h"
}

namespace {

struct Free {
  void operator()(pgc_meters *meters) const {
    pgc_meters_free(meters);
  }
};
using Meters = std::unique_ptr<pgc_meters, Free>;

Meters make() {
  Meters meters(pgc_meters_new());
  REQUIRE(meters != nullptr);
  return meters;
}

pgc_cell_name name_of(pgc_operation operation, int outcome, int span) {
  pgc_cell_name name = {};
  name.measured = PGC_DURATIONS;
  name.operation = operation;
  name.outcome = outcome;
  name.span = span;
  return name;
}

std::vector<const pgc_cell *> all_of(const Meters &meters) {
  std::vector<const pgc_cell *> cells(PGC_CELLS_MAX);
  cells.resize(pgc_meters_list(meters.get(), cells.data()));
  return cells;
}

int64_t count_of(const pgc_cell *cell) {
  int64_t count = 0;
  for (const int64_t bucket : cell->histogram.buckets)
    count += bucket;
  return count;
}

} // namespace

TEST_CASE("meters: every operation and outcome has a name of its own", "[meters][rule:outcomes]") {
  std::set<std::string> names;
  for (int i = 0; i < PGC_OPERATIONS; i++) {
    const char *name = pgc_operation_name(static_cast<pgc_operation>(i));
    REQUIRE(name != nullptr);
    CHECK(names.insert(name).second);
  }
  CHECK(names.count("get") == 1);
  CHECK(names.count("compare_and_swap") == 1);
  CHECK(std::string(pgc_outcome_name(PGC_OUTCOME_HIT)) == "hit");
  for (int status = -100; status < PGC_OUTCOME_HIT; status++) {
    std::string name = pgc_status_name(static_cast<pgcache_status>(status));
    if (name == "PGCACHE_?") {
      CHECK(std::string(pgc_outcome_name(status)) == "other");
      continue;
    }
    name.erase(0, std::string("PGCACHE_").size());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    CHECK(name == pgc_outcome_name(status));
  }
}

TEST_CASE("meters: the first 64 span names are told apart, all others are one", "[meters][rule:spans]") {
  const Meters meters = make();
  CHECK(pgc_meters_span(meters.get(), nullptr) == PGC_SPAN_NONE);
  CHECK(pgc_meters_span(meters.get(), "") == PGC_SPAN_NONE);
  std::map<int, std::string> numbers;
  for (int i = 0; i < PGCACHE_SPANS_MAX; i++) {
    const std::string name = "span " + std::to_string(i);
    const int number = pgc_meters_span(meters.get(), name.c_str());
    CHECK(number >= PGC_SPAN_FIRST);
    CHECK(numbers.emplace(number, name).second);
  }
  CHECK(pgc_meters_span(meters.get(), "one more") == PGC_SPAN_OTHER);
  CHECK(pgc_meters_span(meters.get(), "and another one") == PGC_SPAN_OTHER);
  for (const auto &[number, name] : numbers) {
    CHECK(pgc_meters_span(meters.get(), name.c_str()) == number);
    CHECK(pgc_meters_span_name(meters.get(), number) == name);
  }
  CHECK(std::string(pgc_meters_span_name(meters.get(), PGC_SPAN_NONE)).empty());
  CHECK(std::string(pgc_meters_span_name(meters.get(), PGC_SPAN_OTHER)) == "other");
  CHECK(pgc_meters_span(make().get(), "other") == PGC_SPAN_OTHER); /* or two would have one name */
}

TEST_CASE("meters: memory is bounded, and what finds no cell of its span counts as other", "[meters][rule:spans]") {
  const Meters meters = make();
  int64_t added = 0;
  for (int operation = 0; operation < PGC_OPERATIONS; operation++) {
    for (int outcome = -25; outcome < 8; outcome++) {
      for (int span = 0; span < 20; span++) {
        const pgc_cell_name name = name_of(static_cast<pgc_operation>(operation), outcome, span);
        pgc_cell *cell = pgc_meters_cell(meters.get(), &name);
        if (cell == nullptr)
          continue;
        CHECK((cell->of.span == span || (span >= PGC_SPAN_FIRST && cell->of.span == PGC_SPAN_OTHER)));
        CHECK(cell->of.operation == operation);
        CHECK(cell->of.outcome == outcome);
        pgc_histogram_add(&cell->histogram, 1, 1);
        added++;
      }
    }
  }
  const auto cells = all_of(meters);
  CHECK(cells.size() == PGC_CELLS_MAX);
  CHECK(std::count_if(cells.begin(), cells.end(), [](auto *cell) { return cell->of.span >= PGC_SPAN_FIRST; }) ==
        PGC_CELLS_OF_SPANS_MAX);
  int64_t counted = 0;
  for (const pgc_cell *cell : cells)
    counted += count_of(cell);
  CHECK(counted == added);
  CHECK(counted + pgc_meters_lost(meters.get()) == INT64_C(20) * 33 * PGC_OPERATIONS);
  CHECK(sizeof(pgc_cell) < 5500); /* "about 5 KiB each" */
}

TEST_CASE("meters: without memory a measurement is lost, and counted as lost", "[meters][allocation]") {
  const Meters meters = make();
  const pgc_cell_name name = name_of(PGC_OPERATION_GET, 0, PGC_SPAN_NONE);
  pgc_memory_set_spare(true);
  CHECK(pgc_meters_new() == nullptr);
  CHECK(pgc_meters_cell(meters.get(), &name) == nullptr);
  CHECK(pgc_meters_span(meters.get(), "span") == PGC_SPAN_OTHER);
  pgc_memory_set_spare(false);
  CHECK(pgc_meters_lost(meters.get()) == 1);
  CHECK(pgc_meters_cell(meters.get(), &name) != nullptr);
  CHECK(pgc_meters_span(meters.get(), "span") >= PGC_SPAN_FIRST);
  CHECK(pgc_meters_lost(meters.get()) == 1);
}

TEST_CASE("meters: threads that need the same cells and names first get the same ones", "[meters][threads]") {
  const Meters meters = make();
  const int threads = 8, rounds = 2000;
  std::atomic<int> ready{0};
  std::atomic<bool> looking{true};
  const auto work = [&] {
    ready++;
    while (ready < threads) {
    }
    for (int i = 0; i < rounds; i++) {
      const int number = i % 40;
      const int span = pgc_meters_span(meters.get(), ("span " + std::to_string(number)).c_str());
      pgc_cell_name name = name_of(static_cast<pgc_operation>(number % PGC_OPERATIONS), number % 3, span);
      pgc_cell *cell = pgc_meters_cell(meters.get(), &name);
      if (cell != nullptr)
        pgc_histogram_add(&cell->histogram, i, 1);
    }
  };
  std::thread looker([&] { /* as snapshots do */
                           while (looking) {
                             for (const pgc_cell *cell : all_of(meters)) {
                               pgc_tally tally;
                               if (pgc_tally_take(&tally, &cell->histogram))
                                 pgc_tally_clear(&tally);
                             }
                           }
  });
  std::vector<std::thread> all;
  for (int i = 0; i < threads; i++)
    all.emplace_back(work);
  for (std::thread &thread : all)
    thread.join();
  looking = false;
  looker.join();
  const auto cells = all_of(meters);
  CHECK(cells.size() == 40);
  for (const pgc_cell *cell : cells)
    CHECK(count_of(cell) == threads * rounds / 40);
  CHECK(pgc_meters_lost(meters.get()) == 0);
}
