/*
 * values.hpp - values that tell whose they are: made from the key's name, the number of the write and a size alone, so
 * that one look at what came back shows a value of another key, a torn one, and which write it is of.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_SOAK_VALUES_HPP
#define PGCACHE_SOAK_VALUES_HPP

#include <cstdint>
#include <string>
#include <string_view>

namespace soak {

/* Every other value compresses well. `size` is raised to what the first line needs. */
std::string make_value(const std::string &name, uint64_t write, size_t size);

/* The number of the write, or 0 and what is wrong. */
uint64_t read_value(std::string_view bytes, const std::string &name, std::string *wrong);

} // namespace soak

#endif
