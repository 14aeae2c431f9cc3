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
  int64_t dropped_before; /* the same of events that were dropped */
  int64_t cleaned_at_us;  /* on the wall clock; 0: never; a pgc_counter */
  struct pgc_measuring *parents;
  char origin[PGC_ORIGIN_MAX + 1];
};

/* This process's, made by the first who needs it. NULL when out of memory. */
pgc_measuring *pgc_measuring_of(pgcache *cache);

/* ---- Counting ---- */

/* What is known of an operation at its end. */
typedef struct pgc_ending {
  pgc_operation operation;
  pgc_outcome outcome;
  pgc_answerer source;
  int span;
  int64_t duration_ns, times; /* it stands for so many; 0: it was not taken */
  int64_t hits[PGC_ANSWERERS], misses[PGC_ANSWERERS];
} pgc_ending;

/* Counts a value so many times. */
void pgc_measuring_add(pgcache *cache, const pgc_cell_name *of, int64_t value, int64_t times);

/* Counts an operation that has ended. */
void pgc_measuring_count(pgcache *cache, const pgc_ending *what);

/* loaded: see pgc_measure. */
pgc_outcome pgc_measuring_outcome(pgc_operation operation, pgcache_status status, bool loaded);

/* Of an operation on one key: a value that is given without having been loaded is a hit. */
void pgc_measuring_note_key(pgc_ending *what);

int pgc_measuring_span(pgcache *cache, const char *span_name);

/* Counts the value of a key that was written or read with this status, in its size as stored. Gives the sum with those before; -1:
   there was none yet. */
int64_t pgc_measuring_add_value(pgcache *cache, const pgc_cell_name *of, const pgc_op_key *key, pgc_op_kind kind,
                                pgcache_status status, int64_t sum);

/* ---- Telling ---- */

/* What is known of a call at its begin. */
pgcache_event pgc_measuring_event(const pgc_call *call);

/* error: what the call told, or NULL. */
void pgc_measuring_set_message(pgcache_event *event, pgcache_status status, const pgcache_error *error);

#endif
