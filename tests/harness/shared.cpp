/*
 * shared.cpp - see shared.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/shared.hpp"

#include <cstring>
#include <new>
#include <stdexcept>
#include <sys/mman.h>

namespace harness {

Block *new_block() {
  /* Zeros are valid atomics here, and pages that are never touched cost nothing. */
  void *memory =
      mmap(nullptr, sizeof(Block), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    throw std::runtime_error("mmap failed");
  return static_cast<Block *>(memory);
}

void free_block(Block *block) {
  munmap(block, sizeof *block);
}

void Block::violation(const std::string &text) {
  const int number = violations++;
  if (number >= NOTES)
    return;
  strncpy(notes[number], text.c_str(), sizeof notes[number] - 1);
  note_written[number] = true;
}

void Block::count_error(pgcache_status status) {
  const int number = -static_cast<int>(status);
  if (number > 0 && number < ERRORS)
    errors[number]++;
}

std::string key_name(int slot, uint64_t generation) {
  return "harness:" + std::to_string(slot) + ":" + std::to_string(generation);
}

bool is_counter(const Options &options, int slot) {
  return options.all_operations && slot >= options.contended && slot % 8 == 7;
}

} // namespace harness
