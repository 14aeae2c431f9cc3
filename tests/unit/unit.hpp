/*
 * unit.hpp - what every unit test includes: Catch2, the library's inside, and a few helpers.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_UNIT_HPP
#define PGCACHE_TESTS_UNIT_HPP

#include "support/alloc_fail.hpp"
#include "support/catch.hpp"
#include "support/handles.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* C's flexible array members */
extern "C" {
#include "platform/buffer.h"
#include "platform/clock.h"
#include "platform/library.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/address.h"
#include "pure/codec.h"
#include "pure/compression.h"
#include "pure/config.h"
#include "pure/digest.h"
#include "pure/encryption.h"
#include "pure/error.h"
#include "pure/keyring.h"
#include "pure/migrations.h"
#include "pure/sql_text.h"
#include "pure/sqlstate.h"
#include "pure/status.h"
#include "pure/suggest.h"
#include "state/value.h"
}
#pragma GCC diagnostic pop

namespace test {

inline bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

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
