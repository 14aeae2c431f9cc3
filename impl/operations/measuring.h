/*
 * measuring.h - what a handle measures in one process; for measure*.c, which count, and samples.c, which looks.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_MEASURING_H
#define PGC_OPERATIONS_MEASURING_H

#include "operations/call.h"

struct pgc_measuring {
  uint64_t fork_generation;
  pgc_meters *meters;
  pgc_counters
      before; /* what the store's counters were when this process was forked: they go on, and all else begins at 0 */
  int64_t cleaned_at_us; /* on the wall clock; 0: never; a pgc_counter */
  struct pgc_measuring *parents;
  char origin[PGC_ORIGIN_MAX + 1];
};

/* This process's, made by the first who needs it. NULL when out of memory. */
pgc_measuring *pgc_measuring_of(pgcache *cache);

#endif
