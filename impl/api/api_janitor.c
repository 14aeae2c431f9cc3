/*
 * api_janitor.c - exported: cleanup in parts, the janitor, bounds, usage.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "operations/arguments.h"
#include "operations/cleanup.h"
#include "operations/janitor.h"
#include "operations/measure.h"
#include "pure/error.h"
#include "pure/sizes.h"

pgcache_status pgcache_cleanup_some(pgcache *self, pgcache_cleanup_progress *progress, int64_t budget_ms,
                                    const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_CLEAN_SLICE, options, error);
  pgcache_cleanup_progress now;
  size_t size;
  if (status == PGCACHE_OK)
    status = pgc_call_check_progress(&call, &now, &size, progress, budget_ms);
  if (status != PGCACHE_OK)
    return status;
  int64_t removed = now.removed;
  pgc_measure_begin(&call, PGC_OPERATION_CLEANUP_SOME);
  status = pgc_clean_some(&call, &now, budget_ms);
  memcpy(progress, &now, size);
  removed = now.removed - removed;
  if (status == PGCACHE_OK && !now.busy)
    pgc_measure_cleaned(self, removed, now.finished);
  call.measure.number = removed;
  return pgc_measure_end(&call, status);
}

pgcache_status pgcache_janitor_start(pgcache_janitor **out, pgcache *cache, int64_t interval_ms, pgcache_error *error) {
  if (out != NULL)
    *out = NULL;
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (out == NULL || cache == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out or the handle is NULL");
  if (interval_ms < 1 || interval_ms > PGCACHE_JANITOR_INTERVAL_MAX)
    return pgc_fail(error, PGCACHE_INVALID, "interval_ms must be 1 to %lld", PGCACHE_JANITOR_INTERVAL_MAX);
  if (cache->single) /* nobody can know when its thread is at it */
    return pgc_fail(error, PGCACHE_INVALID,
                    "a janitor needs a connection of its own; this handle has the application's only");
  return pgc_janitor_start(out, cache, interval_ms, error);
}

pgcache_status pgcache_janitor_stop(pgcache_janitor *janitor, int64_t timeout_ms, pgcache_error *error) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (janitor == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "the janitor is NULL");
  if (timeout_ms < 0)
    return pgc_fail(error, PGCACHE_INVALID, "timeout_ms is negative");
  return pgc_janitor_stop(janitor, timeout_ms, error);
}

void pgcache_janitor_free(pgcache_janitor *janitor) {
  if (janitor != NULL)
    pgc_janitor_free(janitor);
}

pgcache_status pgcache_set_limits(pgcache *self, pgcache_limit_scope scope, int64_t max_entries, int64_t max_bytes,
                                  const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_SET_LIMITS, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_limits(&call, scope, max_entries, max_bytes);
  return status == PGCACHE_OK ? pgc_measure_run(&call, PGC_OPERATION_SET_LIMITS) : status;
}

pgcache_status pgcache_read_usage(pgcache *self, pgcache_usage *out, size_t out_len, size_t *count, const char *after,
                                  const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  if (count != NULL)
    *count = 0;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_USAGE, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (out == NULL || count == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out or count is NULL");
  status = pgc_call_set_usage(&call, "out_len", out_len, after);
  if (status != PGCACHE_OK)
    return status;
  const size_t size = out->struct_size;
  if (!PGC_MAKES_ARRAY(pgcache_usage, size, max_bytes, out_len))
    return pgc_fail(error, PGCACHE_INVALID, "element 0: struct_size is not set; use PGCACHE_USAGE_INIT");
  for (size_t i = 1; i < out_len; i++) {
    if (((const pgcache_usage *)pgc_element(out, size, i))->struct_size != size)
      return pgc_fail(error, PGCACHE_INVALID,
                      "element %zu: struct_size differs from the first one's; use PGCACHE_USAGE_INIT for each", i);
  }
  call.op.u.usage.found = out;
  call.op.u.usage.found_size = size;
  status = pgc_measure_run(&call, PGC_OPERATION_READ_USAGE);
  if (status == PGCACHE_OK)
    *count = call.op.u.usage.count;
  return status;
}
