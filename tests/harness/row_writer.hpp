/*
 * row_writer.hpp - a process that changes the application's rows in transactions of all kinds, and invalidates what was made of
 * them in the same transaction: by a call, or by triggers. Knows nothing of the library but its SQL functions.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_ROW_WRITER_HPP
#define PGCACHE_HARNESS_ROW_WRITER_HPP

#include "harness/shared.hpp"

namespace harness {

void run_row_writer(Block &block, int process);

/* The statements that make the tables, with rows whose number is 0; in a schema of their own: those of the cache cannot be
   watched. */
std::string make_rows(const Block &block);

} // namespace harness

#endif
