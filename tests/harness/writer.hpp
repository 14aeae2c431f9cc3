/*
 * writer.hpp - a process that writes: keys of its own, and some that all writers share, through the library and through SQL.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_WRITER_HPP
#define PGCACHE_HARNESS_WRITER_HPP

#include "harness/shared.hpp"

namespace harness {

/* Waits for WORK, writes until SETTLE, and stays until the readers have compared: its near cache may hold the relay. */
void run_writer(Block &block, int process);

} // namespace harness

#endif
