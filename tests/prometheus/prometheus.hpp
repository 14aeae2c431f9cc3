/*
 * prometheus.hpp - snapshots made by hand, and what is written of them. Never needs a server.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_PROMETHEUS_HPP
#define PGCACHE_TESTS_PROMETHEUS_HPP

#include "support/catch.hpp"
#include "support/handles.hpp"

#include "pgcache_prometheus.h"

extern "C" {
#include "state/snapshot.h"
}

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace test {

using Labels = std::vector<std::pair<std::string, std::string>>;

/* The samples are those that it is told, in this order. */
class Made {
public:
  Made() : snapshot_(pgc_snapshot_new(0, "host/1/1"), pgcache_snapshot_free) {}
  Made &value(pgcache_metric_kind kind, const char *name, const char *help, const char *unit, const Labels &labels,
              double value) {
    const auto given = labels_of(labels);
    const pgc_metric metric = metric_of(kind, name, help, unit, 1);
    pgc_snapshot_add_value(snapshot_.get(), &metric, given.data(), given.size(), value);
    return *this;
  }
  /* per_unit: so many of the whole numbers are one of the unit. */
  Made &histogram(const char *name, const char *help, const char *unit, const Labels &labels, double per_unit,
                  const std::vector<int64_t> &values) {
    auto histogram = std::make_unique<pgc_histogram>();
    for (const int64_t value : values)
      pgc_histogram_add(histogram.get(), value, 1);
    const auto given = labels_of(labels);
    const pgc_metric metric = metric_of(PGCACHE_HISTOGRAM, name, help, unit, per_unit);
    pgc_snapshot_add_histogram(snapshot_.get(), &metric, given.data(), given.size(), histogram.get());
    return *this;
  }
  const pgcache_snapshot *get() const {
    if (pgc_snapshot_failed(snapshot_.get()))
      throw std::runtime_error("the snapshot could not be made");
    return snapshot_.get();
  }
  pgcache_prometheus_source source(const char *label_name = nullptr, const char *label_value = nullptr) const {
    return {sizeof(pgcache_prometheus_source), get(), label_name, label_value};
  }

private:
  static pgc_metric metric_of(pgcache_metric_kind kind, const char *name, const char *help, const char *unit,
                              double per_unit) {
    pgc_metric metric{};
    metric.name = name;
    metric.help = help;
    metric.unit = unit;
    metric.kind = kind;
    metric.per_unit = per_unit;
    return metric;
  }
  static std::vector<pgc_label> labels_of(const Labels &labels) {
    std::vector<pgc_label> given;
    for (const auto &label : labels)
      given.push_back({label.first.c_str(), label.second.c_str()});
    return given;
  }
  std::shared_ptr<pgcache_snapshot> snapshot_;
};

using Sources = std::vector<pgcache_prometheus_source>;

/* The text, or a test that fails. */
inline std::string exposition(const Sources &sources, pgcache_prometheus_format format) {
  char *text = nullptr;
  size_t length = 0;
  Error error;
  INFO(error.message);
  REQUIRE(pgcache_prometheus_text(&text, &length, sources.data(), sources.size(), format, &error) == PGCACHE_OK);
  const std::string result(text, length);
  REQUIRE(result.size() == std::char_traits<char>::length(text));
  pgcache_prometheus_text_free(text);
  return result;
}

/* Without the lines that begin with #. */
inline std::string samples(const Sources &sources, pgcache_prometheus_format format = PGCACHE_PROMETHEUS_TEXT) {
  std::string result;
  const std::string text = exposition(sources, format);
  for (size_t at = 0, end; at < text.size(); at = end + 1) {
    end = text.find('\n', at);
    if (text[at] != '#')
      result += text.substr(at, end + 1 - at);
  }
  return result;
}

} // namespace test

#endif
