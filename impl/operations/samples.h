/*
 * samples.h - takes a snapshot of all that is measured of a handle.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_SAMPLES_H
#define PGC_OPERATIONS_SAMPLES_H

#include "operations/call.h"
#include "state/snapshot.h"

/* NULL when out of memory. Asks no server; any thread. */
pgcache_snapshot *pgc_samples_take(pgcache *cache);

/* See pgcache_read_counters(). */
void pgc_samples_count(pgcache *cache, pgcache_counters *out);

#endif
