/*
 * shared.cpp - see shared.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "soak/shared.hpp"

#include <cstring>
#include <ctime>
#include <stdexcept>
#include <sys/mman.h>

namespace soak {

static const char *const names[] = {"get",      "get_into", "exists",      "put",   "add",
                                    "replace",  "cas",      "remove",      "touch", "incr",
                                    "get_many", "put_many", "remove_many", "flush", "cleanup"};
static_assert(sizeof names / sizeof *names == static_cast<size_t>(Op::COUNT));

const char *op_name(Op op) {
  return names[static_cast<int>(op)];
}

bool op_writes(Op op) {
  return op != Op::GET && op != Op::GET_INTO && op != Op::EXISTS && op != Op::GET_MANY;
}

Block *new_block() {
  /* Zeros are valid atomics here, and pages that are never touched cost nothing. */
  void *memory = mmap(nullptr, sizeof(Block), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw std::runtime_error("mmap failed");
  return static_cast<Block *>(memory);
}

int64_t now_us() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000 + now.tv_nsec / 1000;
}

void Block::violation(const std::string &text) {
  const int number = violations++;
  if (number >= NOTES)
    return;
  strncpy(notes[number], text.c_str(), sizeof notes[number] - 1);
  note_written[number] = true;
}

void Block::raise_highest_version(int64_t version) {
  int64_t known = highest_version;
  while (version > known && !highest_version.compare_exchange_weak(known, version)) {
  }
}

} // namespace soak
