/*
 * counters.h - what a handle counts beside the answers it gives. Relaxed atomics: each is exact, together they are of
 * slightly different moments.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_COUNTERS_H
#define PGC_STATE_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

typedef int64_t pgc_counter; /* through the functions below only; C++ includes this, too, and has no C11 atomics */

/* See pgcache_counters in pgcache.h, which has a member for each. */
typedef struct pgc_counters {
  pgc_counter connections_opened;
  pgc_counter connections_lost;
  pgc_counter breaker_opened;
  pgc_counter breaker_refused;
  pgc_counter reads_failed;
  pgc_counter values_refused;
  pgc_counter entries_touched;
  pgc_counter entries_evicted;
  pgc_counter cleanup_failures;
  pgc_counter summaries_published;
  pgc_counter publish_failures;
  pgc_counter loads;
  pgc_counter load_waits;
  pgc_counter load_stale;
  pgc_counter load_fills;
  pgc_counter load_fills_refused;
  pgc_counter load_failures;
  pgc_counter invalidations;
  pgc_counter near_polls; /* these by the listener; the rest of the near cache's are in pgc_near_counts */
  pgc_counter near_messages;
  pgc_counter near_messages_refused;
  pgc_counter near_gaps;
  pgc_counter near_audited;
  pgc_counter near_disagreements;
} pgc_counters;

static inline void pgc_count(pgc_counter *counter) {
  __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static inline void pgc_count_more(pgc_counter *counter, int64_t number) {
  __atomic_fetch_add(counter, number, __ATOMIC_RELAXED);
}

static inline int64_t pgc_counted(const pgc_counter *counter) {
  return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* All of them, which are nothing but pgc_counters. */
static inline void pgc_counters_read(pgc_counters *out, const pgc_counters *counters) {
  const pgc_counter *from = (const pgc_counter *)counters;
  pgc_counter *to = (pgc_counter *)out;
  for (size_t i = 0; i < sizeof *out / sizeof *to; i++)
    to[i] = pgc_counted(&from[i]);
}

#endif
