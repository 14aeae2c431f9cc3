/*
 * catch.hpp - Catch2, whichever of 2.x and 3.x is installed, and how our statuses are printed.
 * Never holds a helper of its own.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_CATCH_HPP
#define PGCACHE_TESTS_CATCH_HPP

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include "pgcache.h"

#include <string>

namespace Catch {
template <> struct StringMaker<pgcache_status> {
  static std::string convert(pgcache_status status) {
    return pgcache_status_name(status);
  }
};
} // namespace Catch

#endif
