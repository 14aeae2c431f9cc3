/*
 * api_janitor.c - exported: cleanup in parts, the janitor, bounds, usage.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "operations/cleanup.h"
#include "operations/janitor.h"
#include "pure/error.h"
#include "pure/sizes.h"

pgcache_status pgcache_cleanup_some(pgcache *self, pgcache_cleanup_progress *progress, int64_t budget_ms,
                                    const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_CLEAN_SLICE, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (progress == NULL || !PGC_HOLDS(pgcache_cleanup_progress, progress->struct_size, evicted))
    return pgc_fail(error, PGCACHE_INVALID,
                    "progress is NULL, or its struct_size is not set; use PGCACHE_CLEANUP_PROGRESS_INIT");
  if (budget_ms < 0 || budget_ms > PGCACHE_JANITOR_INTERVAL_MAX)
    return pgc_fail(error, PGCACHE_INVALID, "budget_ms must be 0 to %lld", PGCACHE_JANITOR_INTERVAL_MAX);
  pgcache_cleanup_progress now = PGCACHE_CLEANUP_PROGRESS_INIT;
  size_t size = progress->struct_size < sizeof now ? progress->struct_size : sizeof now;
  memcpy(&now, progress, size);
  now.busy = now.finished = now.evicting = 0;
  status = pgc_clean_some(&call, &now, budget_ms);
  memcpy(progress, &now, size);
  return status;
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
  if (status != PGCACHE_OK)
    return status;
  if (scope != PGCACHE_LIMIT_NAMESPACE && scope != PGCACHE_LIMIT_ALL)
    return pgc_fail(error, PGCACHE_INVALID, "unknown scope");
  if (max_entries < PGCACHE_LIMIT_KEEP || max_bytes < PGCACHE_LIMIT_KEEP)
    return pgc_fail(error, PGCACHE_INVALID, "a limit is a positive number, PGCACHE_LIMIT_NONE or PGCACHE_LIMIT_KEEP");
  call.op.u.limits.all = scope == PGCACHE_LIMIT_ALL;
  call.op.u.limits.max_entries = max_entries;
  call.op.u.limits.max_bytes = max_bytes;
  return pgc_call_run(&call);
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
  if (out_len < 1 || out_len > PGCACHE_BATCH_MAX)
    return pgc_fail(error, PGCACHE_INVALID, "out_len must be 1 to %d", PGCACHE_BATCH_MAX);
  if (after != NULL && after[0] != '\0' && !pgc_namespace_ok(after))
    return pgc_fail(error, PGCACHE_INVALID, "after: a namespace has 1 to %d visible ASCII characters",
                    PGCACHE_NAMESPACE_MAX);
  const size_t size = out->struct_size;
  if (!PGC_MAKES_ARRAY(pgcache_usage, size, max_bytes, out_len))
    return pgc_fail(error, PGCACHE_INVALID, "element 0: struct_size is not set; use PGCACHE_USAGE_INIT");
  for (size_t i = 1; i < out_len; i++) {
    if (((const pgcache_usage *)pgc_element(out, size, i))->struct_size != size)
      return pgc_fail(error, PGCACHE_INVALID,
                      "element %zu: struct_size differs from the first one's; use PGCACHE_USAGE_INIT for each", i);
  }
  call.op.u.usage.after = after;
  call.op.u.usage.found = out;
  call.op.u.usage.found_size = size;
  call.op.u.usage.limit = out_len;
  status = pgc_call_run(&call);
  if (status == PGCACHE_OK)
    *count = call.op.u.usage.count;
  return status;
}
