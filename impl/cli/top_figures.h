/*
 * top_figures.h - what processes have published of their measurements, read again and again: what happens per second.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_TOP_FIGURES_H
#define PGC_CLI_TOP_FIGURES_H

#include <stdbool.h>
#include <stddef.h>

#include "pgcache.h"

/* What is known of calls of one kind; NaN: nothing. */
typedef struct top_row {
  const char *name; /* of the operation or the span name; lives until the next top_read() */
  double calls;     /* how many */
  double per_second;
  double errors_per_second;
  double hits, misses; /* keys */
  double p50, p99;     /* seconds */
} top_row;

typedef struct top_table {
  top_row *rows; /* the most calls first */
  size_t count;
} top_table;

/* A gauge of all processes; NaN: none has it. */
typedef struct top_gauge {
  double sum, most;
} top_gauge;

typedef enum top_gauge_id {
  TOP_POOL_IDLE,
  TOP_POOL_LENT,
  TOP_POOL_WAITING,
  TOP_REQUESTS,
  TOP_NEAR_ENTRIES,
  TOP_NEAR_BYTES,
  TOP_NEAR_LAG, /* seconds since it was proven how fresh the near cache is */
  TOP_BREAKER_OPEN,
  TOP_GAUGES
} top_gauge_id;

typedef struct top_process top_process;

/* All zero: nothing was read yet. */
typedef struct top_figures {
  top_process *processes;
  size_t process_count;
  bool between; /* the figures are of the time between the last two summaries of processes, else since their start */
  double near_hits; /* of all.hits */
  top_row all;
  top_table operations, spans; /* spans: those that have a name */
  top_gauge gauges[TOP_GAUGES];
} top_figures;

/* Reads what is published now, and reckons. What is there stays as it was after an error. */
pgcache_status top_read(top_figures *self, pgcache *cache, pgcache_error *error);

void top_clear(top_figures *self);

#endif /* PGC_CLI_TOP_FIGURES_H */
