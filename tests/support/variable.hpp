/*
 * variable.hpp - a variable of the environment, for as long as a test needs it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_VARIABLE_HPP
#define PGCACHE_TESTS_VARIABLE_HPP

#include <cstdlib>
#include <string>

namespace test {

/* One environment variable, set or (with NULL) removed; put back as it was at the end. */
class Variable {
public:
  Variable(const char *name, const char *value) : name_(name) {
    const char *old = getenv(name);
    had_ = old != nullptr;
    old_ = had_ ? old : "";
    put(value);
  }
  Variable(const Variable &) = delete;
  Variable &operator=(const Variable &) = delete;
  ~Variable() {
    put(had_ ? old_.c_str() : nullptr);
  }

private:
  void put(const char *value) {
    if (value != nullptr)
      setenv(name_, value, 1);
    else
      unsetenv(name_);
  }
  const char *name_;
  bool had_;
  std::string old_;
};

} // namespace test

#endif
