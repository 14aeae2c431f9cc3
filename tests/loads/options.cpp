/*
 * options.cpp - the options of a load: their defaults, and sizes that came before and after.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/handles.hpp"

#include <cstring>

TEST_CASE("Load options by macro and by function are the same", "[options][rule:sizes]") {
  const pgcache_load_options by_macro = PGCACHE_LOAD_OPTIONS_INIT;
  struct {
    pgcache_load_options options;
    unsigned char behind[16];
  } newer;
  const size_t sizes[] = {16, sizeof(pgcache_load_options), sizeof newer};
  for (size_t size : sizes) {
    std::memset(&newer, 0xee, sizeof newer);
    pgcache_load_options_init(&newer.options, size);
    CHECK(newer.options.struct_size == size);
    CHECK(newer.options.ttl_ms == by_macro.ttl_ms);
    if (size >= sizeof by_macro) {
      pgcache_load_options same = newer.options;
      same.struct_size = by_macro.struct_size;
      CHECK(std::memcmp(&same, &by_macro, sizeof by_macro) == 0);
    }
    for (size_t i = size; i < sizeof newer; i++)
      CHECK(reinterpret_cast<const unsigned char *>(&newer)[i] == 0xee);
    for (size_t i = sizeof by_macro; i < size; i++)
      CHECK(reinterpret_cast<const unsigned char *>(&newer)[i] == 0);
  }
  pgcache_load_options_init(nullptr, sizeof(pgcache_load_options));
  std::memset(&newer, 0xee, sizeof newer);
  pgcache_load_options_init(&newer.options, 15);
  CHECK(newer.options.ttl_ms == static_cast<int64_t>(0xeeeeeeeeeeeeeeeeu));
}
