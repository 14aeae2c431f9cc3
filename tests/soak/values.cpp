/*
 * values.cpp - see values.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "soak/values.hpp"

#include <cstdlib>
#include <cstring>

namespace soak {

std::string make_value(const std::string &name, uint64_t write, size_t size) {
  std::string value = "soak " + name + " " + std::to_string(write) + " " + std::to_string(size) + "\n";
  const size_t first_line = value.size();
  if (size <= first_line)
    return value;
  if (write % 2 == 0) {
    value.resize(size, static_cast<char>('a' + write % 26));
    return value;
  }
  value.resize(size);
  uint64_t random = write * UINT64_C(0x9E3779B97F4A7C15) + name.size();
  for (size_t i = first_line; i < size; i += sizeof random) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    memcpy(value.data() + i, &random, size - i < sizeof random ? size - i : sizeof random);
  }
  return value;
}

uint64_t read_value(std::string_view bytes, const std::string &name, std::string *wrong) {
  const size_t line = bytes.find('\n');
  if (bytes.substr(0, 5) != "soak " || line == std::string_view::npos) {
    *wrong = "a value that nobody stored";
    return 0;
  }
  const std::string first(bytes.substr(0, line));
  const size_t name_end = first.find(' ', 5);
  if (name_end == std::string::npos || first.compare(5, name_end - 5, name) != 0) {
    *wrong = "the value of another key: " + first.substr(0, 80);
    return 0;
  }
  char *end = nullptr;
  const uint64_t write = strtoull(first.c_str() + name_end, &end, 10);
  const size_t size = strtoull(end, nullptr, 10);
  if (write == 0 || size > (64u << 20) || make_value(name, write, size) != bytes) {
    *wrong = "a value that is not as it was stored: " + first.substr(0, 80);
    return 0;
  }
  return write;
}

} // namespace soak
