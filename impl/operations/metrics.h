/*
 * metrics.h - the list of what a snapshot holds: names, helps, units and kinds. instrumentation/METRICS.md is written from it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_METRICS_H
#define PGC_OPERATIONS_METRICS_H

#include "state/snapshot.h"

typedef enum pgc_metric_id {
  PGC_METRIC_DURATION,
  PGC_METRIC_HITS,
  PGC_METRIC_MISSES,
  PGC_METRIC_ITEM_SIZE,
  PGC_METRIC_FLUSHED,
  PGC_METRIC_CLEANED,
  PGC_METRIC_CLEANED_AT,
  PGC_METRIC_HANDLES,
  PGC_METRIC_POOL_CONNECTIONS,
  PGC_METRIC_POOL_MAX,
  PGC_METRIC_POOL_WAITING,
  PGC_METRIC_BREAKER_OPEN,
  PGC_METRIC_REQUESTS_UNDER_WAY,
  PGC_METRIC_REQUESTS_UNTAKEN,
  PGC_METRIC_REQUESTS_BYTES,
  PGC_METRIC_NEAR_MAX_BYTES,
  PGC_METRIC_NEAR_PROVEN,
  PGC_METRIC_NEAR_PROOF_AT,
  PGC_METRIC_EVENTS_DROPPED,
  PGC_METRIC_UNMEASURED,
  PGC_METRICS
} pgc_metric_id;

typedef struct pgc_metric_entry {
  pgc_metric metric;
  const char *labels; /* their names, for the document; "": none */
} pgc_metric_entry;

const pgc_metric_entry *pgc_metric_entry_of(pgc_metric_id id);

/* A member of pgcache_counters. Those with a label share a name, and stand together. */
typedef struct pgc_counter_metric {
  size_t offset;
  pgc_metric metric;
  pgc_label label; /* name NULL: none */
} pgc_counter_metric;

/* NULL: no more. */
const pgc_counter_metric *pgc_counter_metric_at(size_t index);

#endif
