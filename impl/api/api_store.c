/*
 * api_store.c - exported: operations on the cache as a whole.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "operations/arguments.h"
#include "operations/cleanup.h"
#include "operations/copies.h"
#include "pure/error.h"

/* The first version's required part: the size and one figure. */
#define STATS_SIZE_MIN 16

pgcache_status pgcache_flush(pgcache *self, int64_t *removed, pgcache_flush_scope scope, const pgcache_options *options,
                             pgcache_error *error) {
  pgc_call call;
  if (removed != NULL)
    *removed = 0;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_FLUSH_NAMESPACE, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_flush(&call, scope);
  if (status != PGCACHE_OK)
    return status;
  status = pgc_call_run(&call);
  if (removed != NULL)
    *removed = call.op.u.removed;
  return status;
}

pgcache_status pgcache_cleanup(pgcache *self, int64_t *removed, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  if (removed != NULL)
    *removed = 0;
  int64_t count = 0;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_CLEAN_SLICE, options, error);
  if (status == PGCACHE_OK)
    status = pgc_clean_whole(&call, &count);
  if (removed != NULL)
    *removed = count;
  return status;
}

pgcache_status pgcache_stats(pgcache *self, pgcache_store_stats *out, const pgcache_options *options,
                             pgcache_error *error) {
  pgc_call call;
  pgcache_store_stats stats = PGCACHE_STORE_STATS_INIT;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_STATS, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (out == NULL || out->struct_size < STATS_SIZE_MIN)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL, or its struct_size is not set; use PGCACHE_STORE_STATS_INIT");
  size_t size = out->struct_size < sizeof stats ? out->struct_size : sizeof stats;
  call.op.u.stats = &stats;
  status = pgc_call_run(&call);
  if (status != PGCACHE_OK)
    stats = (pgcache_store_stats)PGCACHE_STORE_STATS_INIT;
  stats.struct_size = out->struct_size;
  memcpy(out, &stats, size);
  return status;
}

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

pgcache_status pgcache_read_counters(pgcache *self, pgcache_counters *out, pgcache_error *error) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (self == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "the handle is NULL");
  if (out == NULL || out->struct_size < STATS_SIZE_MIN)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL, or its struct_size is not set; use PGCACHE_COUNTERS_INIT");
  const pgc_counters *counters = &self->store->counters;
  pgcache_counters now = {
      .struct_size = out->struct_size,
      .connections_opened = pgc_counted(&counters->connections_opened),
      .connections_lost = pgc_counted(&counters->connections_lost),
      .breaker_opened = pgc_counted(&counters->breaker_opened),
      .breaker_refused = pgc_counted(&counters->breaker_refused),
      .reads_failed = pgc_counted(&counters->reads_failed),
      .values_refused = pgc_counted(&counters->values_refused),
      .entries_touched = pgc_counted(&counters->entries_touched),
      .entries_evicted = pgc_counted(&counters->entries_evicted),
      .cleanup_failures = pgc_counted(&counters->cleanup_failures),
      .summaries_published = pgc_counted(&counters->summaries_published),
      .publish_failures = pgc_counted(&counters->publish_failures),
      .loads = pgc_counted(&counters->loads),
      .load_waits = pgc_counted(&counters->load_waits),
      .load_stale = pgc_counted(&counters->load_stale),
      .load_fills = pgc_counted(&counters->load_fills),
      .load_fills_refused = pgc_counted(&counters->load_fills_refused),
      .load_failures = pgc_counted(&counters->load_failures),
      .invalidations = pgc_counted(&counters->invalidations),
      .near_polls = pgc_counted(&counters->near_polls),
      .near_messages = pgc_counted(&counters->near_messages),
      .near_messages_refused = pgc_counted(&counters->near_messages_refused),
      .near_gaps = pgc_counted(&counters->near_gaps),
      .near_audited = pgc_counted(&counters->near_audited),
      .near_disagreements = pgc_counted(&counters->near_disagreements),
  };
  pgc_near *near = pgc_copies_of(self, false);
  if (near != NULL)
    add_near(&now, near);
  memcpy(out, &now, out->struct_size < sizeof now ? out->struct_size : sizeof now);
  return PGCACHE_OK;
}

pgcache_status pgcache_keys(pgcache *self, pgcache_value **keys, size_t keys_len, size_t *count, const void *prefix,
                            size_t prefix_len, const void *after, size_t after_len, const pgcache_options *options,
                            pgcache_error *error) {
  pgc_call call;
  unsigned char end[PGCACHE_KEY_MAX];
  if (count != NULL)
    *count = 0;
  if (keys != NULL && keys_len >= 1 && keys_len <= PGCACHE_BATCH_MAX)
    memset(keys, 0, keys_len * sizeof *keys);
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_KEYS, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (keys == NULL || count == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "keys or count is NULL");
  status = pgc_call_set_list(&call, "keys_len", keys_len, prefix, prefix_len, after, after_len, end);
  if (status != PGCACHE_OK)
    return status;
  call.op.u.list.found = keys;
  status = pgc_call_run(&call);
  if (status == PGCACHE_OK)
    *count = call.op.u.list.count;
  return status;
}
