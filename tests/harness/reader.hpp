/*
 * reader.hpp - a process with a near cache that reads, and judges all that it sees.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_READER_HPP
#define PGCACHE_HARNESS_READER_HPP

#include "harness/shared.hpp"

namespace harness {

/* Waits for WORK, reads until COMPARE, then compares each key near and in the store. */
void run_reader(Block &block, int process);

} // namespace harness

#endif
