/*
 * sanitizer.hpp - whether the program runs under ASan or TSan, which have locks and memory of their own. Asked while it runs: the tests
 * are compiled once, and linked with the library of each variant.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_SANITIZER_HPP
#define PGCACHE_TESTS_SANITIZER_HPP

extern "C" {
void __asan_init() __attribute__((weak)); // NOLINT: the sanitizers' own names
void __tsan_init() __attribute__((weak)); // NOLINT
}

namespace test {

inline bool is_sanitized() {
  return __asan_init != nullptr || __tsan_init != nullptr;
}

} // namespace test

#endif
