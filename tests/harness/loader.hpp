/*
 * loader.hpp - a process that loads values from the application's rows through the cache, reads them, and checks that none
 * is older than the commits that it has to show. Some loads are left, ended late, extended or given up, and the process may
 * be killed in the middle of one: then another takes its place.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_LOADER_HPP
#define PGCACHE_HARNESS_LOADER_HPP

#include "harness/shared.hpp"

namespace harness {

void run_loader(Block &block, int process);

/* Several keys are made of one row; they differ in what they depend on. Those of even rows: 0 nothing but itself, 1 a tag,
   2 sixteen tags. Those of odd ones, which are watched: tags alone. */
constexpr int KEYS_OF_ROW = 3;
std::string loaded_key(int row, int variant);

/* Where the application's rows are. */
inline std::string rows_schema(const std::string &of_the_cache) {
  return of_the_cache + "_rows";
}

inline bool is_watched(int row) {
  return row % 2 == 1;
}

} // namespace harness

#endif
