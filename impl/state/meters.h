/*
 * meters.h - what is measured of operations: a cell for each operation, outcome, source and span name that there was, made when it is
 * first needed.
 *
 * Owns: the cells, the names of operations, and which span names are told apart. Must never: lock, wait, or take more memory than
 * PGC_CELLS_MAX histograms.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_METERS_H
#define PGC_STATE_METERS_H

#include "state/counters.h"
#include "state/histogram.h"
#include "pgcache.h"

/* What is measured, [rule:measured]. The names stand in meters.c, in the same order. */
typedef enum pgc_operation {
  PGC_OPERATION_GET,
  PGC_OPERATION_GET_MANY,
  PGC_OPERATION_EXISTS,
  PGC_OPERATION_PEEK,
  PGC_OPERATION_GET_OR_LOAD,
  PGC_OPERATION_LOAD_BEGIN,
  PGC_OPERATION_LOAD_FILL,
  PGC_OPERATION_LOAD_FILL_ABSENT,
  PGC_OPERATION_LOAD_FAIL,
  PGC_OPERATION_LOAD_ABANDON,
  PGC_OPERATION_LOAD_EXTEND,
  PGC_OPERATION_PUT,
  PGC_OPERATION_ADD,
  PGC_OPERATION_REPLACE,
  PGC_OPERATION_COMPARE_AND_SWAP,
  PGC_OPERATION_PUT_MANY,
  PGC_OPERATION_REMOVE,
  PGC_OPERATION_REMOVE_MANY,
  PGC_OPERATION_TOUCH,
  PGC_OPERATION_INCREMENT,
  PGC_OPERATION_INVALIDATE,
  PGC_OPERATION_INVALIDATE_ON,
  PGC_OPERATION_FENCE,
  PGC_OPERATION_FLUSH,
  PGC_OPERATION_CLEANUP,
  PGC_OPERATION_CLEANUP_SOME,
  PGC_OPERATION_SET_LIMITS,
  PGC_OPERATION_READ_USAGE,
  PGC_OPERATION_STATS,
  PGC_OPERATION_KEYS,
  PGC_OPERATION_DEPENDENTS,
  PGC_OPERATION_DOCTOR,
  PGC_OPERATION_INIT,
  PGC_OPERATION_UPGRADE,
  PGC_OPERATION_READ_PUBLISHED,
  PGC_OPERATIONS
} pgc_operation;

/* As in the header without pgcache_. */
const char *pgc_operation_name(pgc_operation operation);

/* Whether it looks for entries, so that there are hits and misses: those that come first. */
static inline bool pgc_operation_looks(pgc_operation operation) {
  return operation <= PGC_OPERATION_LOAD_BEGIN;
}

/* A pgcache_status, or that what was looked for was there. */
typedef int pgc_outcome;
#define PGC_OUTCOME_HIT 64

/* [rule:outcomes]. */
const char *pgc_outcome_name(pgc_outcome outcome);

typedef enum pgc_answerer { PGC_FROM_STORE, PGC_FROM_NEAR, PGC_ANSWERERS } pgc_answerer;
const char *pgc_answerer_name(pgc_answerer source);

/* Most cells, of about 5 KiB each: so many that have span names of their own, what would need more counts as span "other"; and
   in all. */
#define PGC_CELLS_OF_SPANS_MAX 768
#define PGC_CELLS_MAX 1024

/* What a histogram is of. */
typedef enum pgc_measured { PGC_DURATIONS, PGC_SIZES, PGC_ENTRIES } pgc_measured;

typedef struct pgc_cell_name {
  pgc_measured measured;
  pgc_operation operation;
  pgc_outcome outcome; /* this and the next: of durations */
  pgc_answerer source;
  int span;
} pgc_cell_name;

typedef struct pgc_cell {
  pgc_cell_name of;
  pgc_counter hits[PGC_ANSWERERS], misses[PGC_ANSWERERS]; /* keys, of durations */
  pgc_histogram histogram;                                /* nanoseconds, bytes, entries */
} pgc_cell;

/* Numbers of span names: these two, and from PGC_SPAN_FIRST on those that are told apart. */
enum { PGC_SPAN_NONE, PGC_SPAN_OTHER, PGC_SPAN_FIRST };

typedef struct pgc_meters pgc_meters;

/* NULL when out of memory. All functions: any thread, but for the next two. */
pgc_meters *pgc_meters_new(void);
void pgc_meters_free(pgc_meters *self);

/* The number of a span name; NULL is "". */
int pgc_meters_span(pgc_meters *self, const char *name);
const char *pgc_meters_span_name(const pgc_meters *self, int span);

/* The cell of that name, made if there is none. NULL: memory is out, or all cells are in use; that is counted. */
pgc_cell *pgc_meters_cell(pgc_meters *self, const pgc_cell_name *of);

/* The cells that there are, sorted by what they are of; how many. What is added meanwhile is seen or not. */
size_t pgc_meters_list(const pgc_meters *self, const pgc_cell *cells[PGC_CELLS_MAX]);

/* Measurements that found no cell. */
int64_t pgc_meters_lost(const pgc_meters *self);

#endif
