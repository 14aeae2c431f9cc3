/*
 * samples.c - see samples.h. Looks at everything that counts, and changes nothing.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/samples.h"

#include "engine/engine.h"
#include "operations/copies.h"
#include "operations/measuring.h"
#include "operations/metrics.h"
#include "operations/room.h"
#include "platform/memory.h"

/* ---- The counters ---- */

static void add_near(pgcache_counters *out, pgc_near *near) {
  pgc_near_counts counts = {0};
  pgc_near_count(near, &counts);
  out->near_hits = counts.hits;
  out->near_absent_hits = counts.absent_hits;
  out->near_misses = counts.misses;
  out->near_fills = counts.fills;
  out->near_fills_refused = counts.fills_refused;
  out->near_invalidations = counts.invalidations;
  out->near_evictions = counts.evictions;
  out->near_lapses = counts.lapses;
  out->near_flushes_start = counts.flushes[PGC_NEAR_FLUSH_START];
  out->near_flushes_epoch = counts.flushes[PGC_NEAR_FLUSH_EPOCH];
  out->near_flushes_gap = counts.flushes[PGC_NEAR_FLUSH_GAP];
  out->near_flushes_stream = counts.flushes[PGC_NEAR_FLUSH_STREAM];
  for (int reason = 0; reason < PGC_NEAR_FLUSH_REASONS; reason++)
    out->near_flushes += counts.flushes[reason];
  out->near_entries = counts.entries;
  out->near_bytes = counts.bytes;
}

/* Those of the store, less what they were at first: NULL, nothing. */
static void count(pgcache *cache, pgcache_counters *out, const pgc_counters *before) {
  static const pgc_counters nothing;
  pgc_counters now;
  pgc_counters_read(&now, &cache->store->counters);
  if (before == NULL)
    before = &nothing;
  *out = (pgcache_counters){
      .struct_size = sizeof *out,
      .connections_opened = now.connections_opened - before->connections_opened,
      .connections_lost = now.connections_lost - before->connections_lost,
      .breaker_opened = now.breaker_opened - before->breaker_opened,
      .breaker_refused = now.breaker_refused - before->breaker_refused,
      .reads_failed = now.reads_failed - before->reads_failed,
      .values_refused = now.values_refused - before->values_refused,
      .entries_touched = now.entries_touched - before->entries_touched,
      .entries_evicted = now.entries_evicted - before->entries_evicted,
      .cleanup_failures = now.cleanup_failures - before->cleanup_failures,
      .summaries_published = now.summaries_published - before->summaries_published,
      .publish_failures = now.publish_failures - before->publish_failures,
      .loads = now.loads - before->loads,
      .load_waits = now.load_waits - before->load_waits,
      .load_stale = now.load_stale - before->load_stale,
      .load_fills = now.load_fills - before->load_fills,
      .load_fills_refused = now.load_fills_refused - before->load_fills_refused,
      .load_failures = now.load_failures - before->load_failures,
      .invalidations = now.invalidations - before->invalidations,
      .near_polls = now.near_polls - before->near_polls,
      .near_messages = now.near_messages - before->near_messages,
      .near_messages_refused = now.near_messages_refused - before->near_messages_refused,
      .near_gaps = now.near_gaps - before->near_gaps,
      .near_audited = now.near_audited - before->near_audited,
      .near_disagreements = now.near_disagreements - before->near_disagreements,
  };
  pgc_near *near = pgc_copies_of(cache, false);
  if (near != NULL)
    add_near(out, near);
}

void pgc_samples_count(pgcache *cache, pgcache_counters *out) {
  count(cache, out, NULL);
}

static void add_counters(pgcache_snapshot *out, pgcache *cache, const pgc_counters *before) {
  pgcache_counters now;
  count(cache, &now, before);
  const pgc_counter_metric *metric;
  for (size_t i = 0; (metric = pgc_counter_metric_at(i)) != NULL; i++) {
    int64_t value = *(const int64_t *)(const void *)((const char *)&now + metric->offset);
    pgc_snapshot_add_value(out, &metric->metric, &metric->label, metric->label.name != NULL, (double)value);
  }
}

/* ---- Operations ---- */

typedef struct looking {
  pgcache_snapshot *out;
  const pgc_meters *meters;
  const pgc_cell *cells[PGC_CELLS_MAX];
  size_t count;
} looking;

static void add_durations(const looking *self) {
  for (size_t i = 0; i < self->count; i++) {
    const pgc_cell *cell = self->cells[i];
    const pgc_label labels[] = {{"operation", pgc_operation_name(cell->of.operation)},
                                {"outcome", pgc_outcome_name(cell->of.outcome)},
                                {"source", pgc_answerer_name(cell->of.source)},
                                {"span_name", pgc_meters_span_name(self->meters, cell->of.span)}};
    if (cell->of.measured == PGC_DURATIONS)
      pgc_snapshot_add_histogram(self->out, &pgc_metric_entry_of(PGC_METRIC_DURATION)->metric, labels, 4,
                                 &cell->histogram);
  }
}

static void add_sizes(const looking *self) {
  for (size_t i = 0; i < self->count; i++) {
    const pgc_cell *cell = self->cells[i];
    const pgc_label labels[] = {{"operation", pgc_operation_name(cell->of.operation)},
                                {"span_name", pgc_meters_span_name(self->meters, cell->of.span)}};
    if (cell->of.measured == PGC_SIZES)
      pgc_snapshot_add_histogram(self->out, &pgc_metric_entry_of(PGC_METRIC_ITEM_SIZE)->metric, labels, 2,
                                 &cell->histogram);
  }
}

static void add_entries(const looking *self, pgc_metric_id id, pgc_operation operation) {
  for (size_t i = 0; i < self->count; i++) {
    const pgc_cell *cell = self->cells[i];
    if (cell->of.measured == PGC_ENTRIES && cell->of.operation == operation)
      pgc_snapshot_add_histogram(self->out, &pgc_metric_entry_of(id)->metric, NULL, 0, &cell->histogram);
  }
}

typedef int64_t sums[PGC_ANSWERERS][PGC_SPAN_FIRST + PGCACHE_SPANS_MAX];

/* Without a span name they are there from the beginning. */
static void add_sums(const looking *self, pgc_metric_id id, sums by) {
  for (int source = 0; source < PGC_ANSWERERS; source++) {
    for (int span = 0; span < PGC_SPAN_FIRST + PGCACHE_SPANS_MAX; span++) {
      if (by[source][span] == 0 && span != PGC_SPAN_NONE)
        continue;
      const pgc_label labels[] = {{"source", pgc_answerer_name((pgc_answerer)source)},
                                  {"span_name", pgc_meters_span_name(self->meters, span)}};
      pgc_snapshot_add_value(self->out, &pgc_metric_entry_of(id)->metric, labels, 2, (double)by[source][span]);
    }
  }
}

static void add_hits(const looking *self, pgc_near *near) {
  sums hits = {{0}}, misses = {{0}};
  pgc_near_counts counts = {0};
  if (near != NULL)
    pgc_near_count(near, &counts);
  hits[PGC_FROM_NEAR][PGC_SPAN_NONE] = counts.plain_hits;
  misses[PGC_FROM_NEAR][PGC_SPAN_NONE] = counts.plain_absent_hits;
  for (size_t i = 0; i < self->count; i++) {
    const pgc_cell *cell = self->cells[i];
    for (int source = 0; source < PGC_ANSWERERS; source++) {
      hits[source][cell->of.span] += pgc_counted(&cell->hits[source]);
      misses[source][cell->of.span] += pgc_counted(&cell->misses[source]);
    }
  }
  add_sums(self, PGC_METRIC_HITS, hits);
  add_sums(self, PGC_METRIC_MISSES, misses);
}

/* ---- How things are now ---- */

static void add_one(pgcache_snapshot *out, pgc_metric_id id, double value) {
  pgc_snapshot_add_value(out, &pgc_metric_entry_of(id)->metric, NULL, 0, value);
}

static void add_labelled(pgcache_snapshot *out, pgc_metric_id id, const char *name, const char *label, double value) {
  const pgc_label labels[] = {{name, label}};
  pgc_snapshot_add_value(out, &pgc_metric_entry_of(id)->metric, labels, 1, value);
}

static void add_store(pgcache_snapshot *out, pgcache *cache) {
  pgc_store_look look = {0};
  if (cache->store->look != NULL)
    cache->store->look(cache->store, &look);
  add_labelled(out, PGC_METRIC_POOL_CONNECTIONS, "state", "idle", look.pool_idle);
  add_labelled(out, PGC_METRIC_POOL_CONNECTIONS, "state", "lent", look.pool_open - look.pool_idle);
  add_one(out, PGC_METRIC_POOL_MAX, look.pool_max);
  add_one(out, PGC_METRIC_POOL_WAITING, look.pool_waiting);
  add_one(out, PGC_METRIC_BREAKER_OPEN, look.breaker_open);
}

static void add_engine(pgcache_snapshot *out, pgcache *cache) {
  pgc_engine *engine = pgc_room_engine_here(cache);
  pgc_engine_load load = {0};
  if (engine != NULL)
    pgc_engine_look(engine, &load);
  add_one(out, PGC_METRIC_REQUESTS_UNDER_WAY, (double)load.under_way);
  add_one(out, PGC_METRIC_REQUESTS_UNTAKEN, (double)load.untaken);
  add_one(out, PGC_METRIC_REQUESTS_BYTES, (double)load.bytes);
}

static void add_proof(pgcache_snapshot *out, const pgcache *cache, const pgc_near *near) {
  int64_t until_us = near != NULL ? pgc_near_valid_until(near) : INT64_MIN, now_us = pgc_now_us();
  double proven_s = 0;
  if (until_us != INT64_MIN) {
    int64_t ago_us = now_us - (until_us - cache->settings.near_staleness_ms * 1000);
    proven_s = (double)(pgc_wall_us() - ago_us) / 1e6;
  }
  add_one(out, PGC_METRIC_NEAR_MAX_BYTES, near != NULL ? (double)cache->settings.near_max_bytes : 0);
  add_one(out, PGC_METRIC_NEAR_PROVEN, now_us < until_us);
  add_one(out, PGC_METRIC_NEAR_PROOF_AT, proven_s);
}

pgcache_snapshot *pgc_samples_take(pgcache *cache) {
  pgc_measuring *here = pgc_measuring_of(cache);
  looking *self = here != NULL ? pgc_alloc(sizeof *self) : NULL;
  if (self == NULL)
    return NULL;
  pgcache_snapshot *out = pgc_snapshot_new(pgc_wall_us() / 1000, here->origin);
  if (out != NULL) {
    pgc_near *near = pgc_copies_of(cache, false);
    *self = (looking){.out = out, .meters = here->meters};
    self->count = pgc_meters_list(here->meters, self->cells);
    add_durations(self);
    add_hits(self, near);
    add_sizes(self);
    add_entries(self, PGC_METRIC_FLUSHED, PGC_OPERATION_FLUSH);
    add_entries(self, PGC_METRIC_CLEANED, PGC_OPERATION_CLEANUP);
    add_one(out, PGC_METRIC_CLEANED_AT, (double)pgc_counted(&here->cleaned_at_us) / 1e6);
    add_labelled(out, PGC_METRIC_HANDLES, "version", PGCACHE_VERSION_STRING, 1);
    add_store(out, cache);
    add_engine(out, cache);
    add_counters(out, cache, &here->before);
    add_proof(out, cache, near);
    add_one(out, PGC_METRIC_EVENTS_DROPPED, (double)(pgc_counted(&cache->audience.dropped) - here->dropped_before));
    add_one(out, PGC_METRIC_UNMEASURED, (double)pgc_meters_lost(here->meters));
  }
  pgc_free(self);
  if (out != NULL && !pgc_snapshot_failed(out))
    return out;
  pgc_snapshot_free(out);
  return NULL;
}
