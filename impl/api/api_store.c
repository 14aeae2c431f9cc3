/*
 * api_store.c - exported: operations on the cache as a whole.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "operations/arguments.h"
#include "operations/cleanup.h"
#include "operations/measure.h"
#include "operations/samples.h"
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
  pgc_measure_begin(&call, PGC_OPERATION_FLUSH);
  status = pgc_call_run(&call);
  if (removed != NULL)
    *removed = call.op.u.removed;
  if (status == PGCACHE_OK)
    pgc_measure_flushed(self, call.op.u.removed);
  call.measure.number = call.op.u.removed;
  return pgc_measure_end(&call, status);
}

pgcache_status pgcache_cleanup(pgcache *self, int64_t *removed, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  if (removed != NULL)
    *removed = 0;
  int64_t count = 0;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_CLEAN_SLICE, options, error);
  if (status != PGCACHE_OK)
    return status;
  pgc_measure_begin(&call, PGC_OPERATION_CLEANUP);
  status = pgc_clean_whole(&call, &count);
  if (removed != NULL)
    *removed = count;
  if (status == PGCACHE_OK)
    pgc_measure_cleaned(self, count, true);
  call.measure.number = count;
  return pgc_measure_end(&call, status);
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
  status = pgc_measure_run(&call, PGC_OPERATION_STATS);
  if (status != PGCACHE_OK)
    stats = (pgcache_store_stats)PGCACHE_STORE_STATS_INIT;
  stats.struct_size = out->struct_size;
  memcpy(out, &stats, size);
  return status;
}

pgcache_status pgcache_read_counters(pgcache *self, pgcache_counters *out, pgcache_error *error) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (self == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "the handle is NULL");
  if (out == NULL || out->struct_size < STATS_SIZE_MIN)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL, or its struct_size is not set; use PGCACHE_COUNTERS_INIT");
  pgcache_counters now;
  pgc_samples_count(self, &now);
  now.struct_size = out->struct_size;
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
  status = pgc_measure_run(&call, PGC_OPERATION_KEYS);
  if (status == PGCACHE_OK)
    *count = call.op.u.list.count;
  return status;
}
