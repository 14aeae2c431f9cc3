/*
 * snapshot.h - what was measured at one moment: a list of samples, which is what pgcache_snapshot is; and its form in bytes,
 * in which a process publishes it.
 *
 * Owns: the samples, their texts, and how two snapshots add up. Knows nothing of what is measured, so that it reads what newer
 * and older versions have packed. Must never: change after its maker gave it away, or believe bytes that it reads.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_SNAPSHOT_H
#define PGC_STATE_SNAPSHOT_H

#include "pgcache.h"
#include "platform/buffer.h"
#include "state/histogram.h"

/* What samples of one name have in common. The texts outlive the call that they are given to, or are copied: see there. */
typedef struct pgc_metric {
  const char *name, *help, *unit; /* unit: "" or what the name says */
  pgcache_metric_kind kind;
  bool latest;     /* of two snapshots the larger value stays, instead of the sum: times */
  double per_unit; /* of a histogram: so many of its whole numbers are one of the unit */
} pgc_metric;

typedef struct pgc_label {
  const char *name, *value;
} pgc_label;

#define PGC_LABELS_MAX 8

/* ---- Making one: by one thread. Failure is sticky: add on, look once at the end. All texts are copied. ---- */

/* Empty. origin: see pgcache_snapshot_origin(). NULL when out of memory. */
pgcache_snapshot *pgc_snapshot_new(int64_t taken_at_ms, const char *origin);

/* Samples of one metric are to be added one after the other. */
void pgc_snapshot_add_value(pgcache_snapshot *self, const pgc_metric *metric, const pgc_label *labels, size_t count,
                            double value);
void pgc_snapshot_add_histogram(pgcache_snapshot *self, const pgc_metric *metric, const pgc_label *labels, size_t count,
                                const pgc_histogram *histogram);

/* Memory was out: something is missing. */
bool pgc_snapshot_failed(const pgcache_snapshot *self);

void pgc_snapshot_free(pgcache_snapshot *self);

/* See pgcache_snapshot_add(). False when out of memory; then nothing was added. */
bool pgc_snapshot_merge(pgcache_snapshot *self, const pgcache_snapshot *other);

/* See pgcache_snapshot_origin(). */
const char *pgc_snapshot_origin(const pgcache_snapshot *self);

/* Of one that was published the server knows better. */
void pgc_snapshot_set_taken_at(pgcache_snapshot *self, int64_t taken_at_ms);

/* ---- Bytes ---- */

/* Appends the snapshot, with its origin and time. False when out of memory. */
bool pgc_snapshot_pack(const pgcache_snapshot *self, pgc_buffer *out);

/* The snapshot that was packed. NULL: out of memory, or (*damaged) these are not the bytes of a snapshot, or of one that a newer
   version packed in another form. Takes no more memory than a small multiple of the size. */
pgcache_snapshot *pgc_snapshot_unpack(const void *bytes, size_t size, bool *damaged);

#endif
