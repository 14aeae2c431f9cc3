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
#include "support/variable.hpp"

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

} // namespace test

#endif
