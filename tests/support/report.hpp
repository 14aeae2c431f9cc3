/*
 * report.hpp - the doctor's report as C++ sees it: a strict reader of its JSON. Refuses whatever has another form than
 * the header promises.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_REPORT_HPP
#define PGCACHE_TESTS_REPORT_HPP

#include "support/handles.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace test {

struct Finding {
  std::string severity, check, finding, evidence, remedy;
};

inline int weight(const std::string &severity) {
  const char *const names[] = {"ok", "info", "warning", "error"};
  for (int i = 0; i < 4; i++)
    if (severity == names[i])
      return i;
  throw std::runtime_error("no severity: " + severity);
}

class Report {
public:
  explicit Report(const std::string &json) : json_(json) {
    take("{\"findings\":[");
    int worst_seen = 0;
    while (peek() != ']') {
      if (!findings.empty())
        take(",");
      if (peek() == '\n')
        at_++;
      Finding f;
      take("{");
      member("severity", f.severity);
      take(",");
      member("check", f.check);
      take(",");
      member("finding", f.finding);
      take(",");
      member("evidence", f.evidence);
      take(",");
      member("remedy", f.remedy);
      take("}");
      worst_seen = std::max(worst_seen, weight(f.severity));
      findings.push_back(f);
    }
    take("],");
    member("worst", worst);
    take("}");
    if (at_ != json_.size() || weight(worst) != worst_seen)
      throw std::runtime_error("not a report: " + json_);
  }

  std::vector<Finding> findings;
  std::string worst;

  const std::string &json() const {
    return json_;
  }
  /* All findings of one check, or of one severity. */
  std::vector<Finding> of(const std::string &check) const {
    std::vector<Finding> out;
    std::copy_if(findings.begin(), findings.end(), std::back_inserter(out),
                 [&](const Finding &f) { return f.check == check || f.severity == check; });
    return out;
  }
  /* The weightiest finding of a check; one with the severity "none" when there is none. */
  Finding the(const std::string &check) const {
    Finding out;
    out.severity = "none";
    for (const auto &f : of(check))
      if (out.severity == "none" || weight(f.severity) > weight(out.severity))
        out = f;
    return out;
  }
  /* The checks that found something above that severity; without what only says that the server is not its latest minor release. */
  std::set<std::string> above(const std::string &severity) const {
    std::set<std::string> out;
    for (const auto &f : findings)
      if (f.check != "version" && weight(f.severity) > weight(severity))
        out.insert(f.check);
    return out;
  }

private:
  char peek() const {
    return at_ < json_.size() ? json_[at_] : '\0';
  }
  void take(const std::string &text) {
    if (json_.compare(at_, text.size(), text) != 0)
      throw std::runtime_error("not a report, at " + std::to_string(at_) + ": " + json_);
    at_ += text.size();
  }
  void member(const std::string &name, std::string &value) {
    take("\"" + name + "\":\"");
    while (peek() != '"') {
      if (peek() == '\0' || static_cast<unsigned char>(peek()) < 0x20)
        throw std::runtime_error("not a JSON string: " + json_);
      if (peek() == '\\') {
        at_++;
        if (peek() == 'u') {
          value += static_cast<char>(std::stoi(json_.substr(at_ + 1, 4), nullptr, 16));
          at_ += 4;
        } else {
          value += peek();
        }
      } else {
        value += peek();
      }
      at_++;
    }
    at_++;
  }

  std::string json_;
  size_t at_ = 0;
};

inline Report examine(const Cache &cache, const Options &options = {}) {
  pgcache_value *report = nullptr;
  Error error;
  const pgcache_status status = pgcache_doctor(cache.raw(), &report, &options, &error);
  if (status != PGCACHE_OK)
    throw std::runtime_error(std::string("pgcache_doctor: ") + error.message);
  const Value value(report);
  if (value.format() != PGCACHE_FORMAT_JSON)
    throw std::runtime_error("the report is not JSON");
  return Report(value.bytes());
}

} // namespace test

#endif
