/*
 * snapshot.hpp - a snapshot of what is measured, for tests: samples by name and labels.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_SNAPSHOT_HPP
#define PGCACHE_TESTS_SNAPSHOT_HPP

#include "support/handles.hpp"

#include <map>
#include <memory>
#include <stdexcept>
#include <string>

namespace test {

class Snapshot {
public:
  using Labels = std::map<std::string, std::string>;

  explicit Snapshot(pgcache *cache) {
    pgcache_snapshot *taken = nullptr;
    if (pgcache_stats_snapshot(cache, &taken, nullptr) != PGCACHE_OK)
      throw std::runtime_error("pgcache_stats_snapshot failed");
    snapshot_.reset(taken, pgcache_snapshot_free);
  }
  explicit Snapshot(const Cache &cache) : Snapshot(cache.raw()) {}
  const pgcache_snapshot *get() const {
    return snapshot_.get();
  }
  std::string origin() const {
    return pgcache_snapshot_origin(get());
  }
  /* Of all samples of that name that have these labels, whatever others they have: how many values, and their sum. */
  int64_t count(const std::string &name, const Labels &labels = {}) const {
    int64_t sum = 0;
    for_each(name, labels, [&](size_t i) { sum += pgcache_snapshot_count(get(), i); });
    return sum;
  }
  double value(const std::string &name, const Labels &labels = {}) const {
    double sum = 0;
    for_each(name, labels, [&](size_t i) { sum += pgcache_snapshot_value(get(), i); });
    return sum;
  }
  size_t samples(const std::string &name, const Labels &labels = {}) const {
    size_t sum = 0;
    for_each(name, labels, [&](size_t) { sum++; });
    return sum;
  }
  /* Operations that ended so; "": with any outcome. */
  int64_t ended(const std::string &operation, const std::string &outcome = "",
                const std::string &source = "store") const {
    Labels labels{{"operation", operation}, {"source", source}};
    if (!outcome.empty())
      labels["outcome"] = outcome;
    return count("pgcache_operation_duration_seconds", labels);
  }
  double hits(const Labels &labels = {}) const {
    return value("pgcache_hits_total", labels);
  }
  double misses(const Labels &labels = {}) const {
    return value("pgcache_misses_total", labels);
  }

private:
  template <class Body> void for_each(const std::string &name, const Labels &labels, Body body) const {
    for (size_t i = 0; i < pgcache_snapshot_size(get()); i++) {
      if (name == pgcache_snapshot_name(get(), i) && has(i, labels))
        body(i);
    }
  }
  bool has(size_t sample, const Labels &labels) const {
    size_t found = 0;
    for (size_t l = 0; l < pgcache_snapshot_labels(get(), sample); l++) {
      const auto wanted = labels.find(pgcache_snapshot_label_name(get(), sample, l));
      found += wanted != labels.end() && wanted->second == pgcache_snapshot_label_value(get(), sample, l);
    }
    return found == labels.size();
  }

  std::shared_ptr<pgcache_snapshot> snapshot_;
};

inline Options with_span(const char *name) {
  Options options;
  options.span_name = name;
  return options;
}

} // namespace test

#endif
