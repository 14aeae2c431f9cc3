/*
 * sql_writer.hpp - a thread that writes through the SQL functions on a plain libpq connection: single statements, and
 * transactions with savepoints, some of which are rolled back, some of which last.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_SQL_WRITER_HPP
#define PGCACHE_HARNESS_SQL_WRITER_HPP

#include "harness/shared.hpp"

namespace harness {

void write_through_sql(Block &block, int process);

} // namespace harness

#endif
