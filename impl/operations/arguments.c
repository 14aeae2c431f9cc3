/*
 * arguments.c - see arguments.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/arguments.h"

#include <string.h>

#include "pure/error.h"
#include "pure/sizes.h"

pgcache_status pgc_call_set_expected(pgc_call *call, int64_t expected) {
  if (expected <= 0)
    return pgc_fail(call->error, PGCACHE_INVALID, "expected is no version: versions are positive");
  call->op.u.expected_version = expected;
  return PGCACHE_OK;
}

pgcache_status pgc_call_set_increment(pgc_call *call, int64_t delta, int64_t initial) {
  if (call->cache->settings.encryption != PGC_ENCRYPTION_OFF)
    return pgc_fail(call->error, PGCACHE_UNSUPPORTED,
                    "the server adds to counters and cannot read encrypted ones; use a handle with encryption=off for "
                    "counters");
  if ((delta > 0 && initial > INT64_MAX - delta) || (delta < 0 && initial < INT64_MIN - delta))
    return pgc_fail(call->error, PGCACHE_OVERFLOW, "initial + delta does not fit 64 bits");
  call->op.u.increment.delta = delta;
  call->op.u.increment.initial = initial;
  return PGCACHE_OK;
}

pgcache_status pgc_call_set_flush(pgc_call *call, pgcache_flush_scope scope) {
  if (scope != PGCACHE_FLUSH_ALL && scope != PGCACHE_FLUSH_NAMESPACE)
    return pgc_fail(call->error, PGCACHE_INVALID, "unknown scope");
  call->op.kind = scope == PGCACHE_FLUSH_ALL ? PGC_OP_FLUSH_ALL : PGC_OP_FLUSH_NAMESPACE;
  return PGCACHE_OK;
}

pgcache_status pgc_call_check_progress(pgc_call *call, pgcache_cleanup_progress *now, size_t *size,
                                       const pgcache_cleanup_progress *progress, int64_t budget_ms) {
  if (progress == NULL || !PGC_HOLDS(pgcache_cleanup_progress, progress->struct_size, evicted))
    return pgc_fail(call->error, PGCACHE_INVALID,
                    "progress is NULL, or its struct_size is not set; use PGCACHE_CLEANUP_PROGRESS_INIT");
  if (budget_ms < 0 || budget_ms > PGCACHE_JANITOR_INTERVAL_MAX)
    return pgc_fail(call->error, PGCACHE_INVALID, "budget_ms must be 0 to %lld", PGCACHE_JANITOR_INTERVAL_MAX);
  *now = (pgcache_cleanup_progress)PGCACHE_CLEANUP_PROGRESS_INIT;
  *size = progress->struct_size < sizeof *now ? progress->struct_size : sizeof *now;
  memcpy(now, progress, *size);
  now->busy = now->finished = now->evicting = 0;
  return PGCACHE_OK;
}

pgcache_status pgc_call_set_limits(pgc_call *call, pgcache_limit_scope scope, int64_t max_entries, int64_t max_bytes) {
  if (scope != PGCACHE_LIMIT_NAMESPACE && scope != PGCACHE_LIMIT_ALL)
    return pgc_fail(call->error, PGCACHE_INVALID, "unknown scope");
  if (max_entries < PGCACHE_LIMIT_KEEP || max_bytes < PGCACHE_LIMIT_KEEP)
    return pgc_fail(call->error, PGCACHE_INVALID,
                    "a limit is a positive number, PGCACHE_LIMIT_NONE or PGCACHE_LIMIT_KEEP");
  call->op.u.limits.all = scope == PGCACHE_LIMIT_ALL;
  call->op.u.limits.max_entries = max_entries;
  call->op.u.limits.max_bytes = max_bytes;
  return PGCACHE_OK;
}

static pgcache_status check_limit(pgc_call *call, const char *limit_name, size_t limit) {
  if (limit < 1 || limit > PGCACHE_BATCH_MAX)
    return pgc_fail(call->error, PGCACHE_INVALID, "%s must be 1 to %d", limit_name, PGCACHE_BATCH_MAX);
  return PGCACHE_OK;
}

pgcache_status pgc_call_set_usage(pgc_call *call, const char *limit_name, size_t limit, const char *after) {
  pgcache_status status = check_limit(call, limit_name, limit);
  if (status == PGCACHE_OK && after != NULL && after[0] != '\0' && !pgc_namespace_ok(after))
    status = pgc_fail(call->error, PGCACHE_INVALID, "after: a namespace has 1 to %d visible ASCII characters",
                      PGCACHE_NAMESPACE_MAX);
  call->op.u.usage.after = after;
  call->op.u.usage.limit = limit;
  return status;
}

pgcache_status pgc_call_set_summaries(pgc_call *call, pgcache_snapshot **out, size_t room, const char *after) {
  pgcache_status status = check_limit(call, "room", room);
  if (status == PGCACHE_OK && after != NULL && strnlen(after, PGC_ORIGIN_MAX + 1) > PGC_ORIGIN_MAX)
    status = pgc_fail(call->error, PGCACHE_INVALID, "after: an origin has up to %d bytes", PGC_ORIGIN_MAX);
  call->op.u.summaries.after = after;
  call->op.u.summaries.found = out;
  call->op.u.summaries.limit = room;
  return status;
}

/* The first byte string behind all that begin with prefix: the prefix with its last byte that can be raised raised. Its
   length; 0 when there is none. */
static size_t end_of_prefix(unsigned char *end, const void *prefix, size_t prefix_len) {
  memcpy(end, prefix, prefix_len);
  while (prefix_len > 0 && end[prefix_len - 1] == 0xff)
    prefix_len--;
  if (prefix_len > 0)
    end[prefix_len - 1]++;
  return prefix_len;
}

pgcache_status pgc_call_set_list(pgc_call *call, const char *limit_name, size_t limit, const void *prefix,
                                 size_t prefix_len, const void *after, size_t after_len, unsigned char *end) {
  pgcache_status status = check_limit(call, limit_name, limit);
  if (status != PGCACHE_OK)
    return status;
  if ((prefix == NULL && prefix_len != 0) || (after == NULL && after_len != 0))
    return pgc_fail(call->error, PGCACHE_INVALID, "prefix or after is NULL and its length is not 0");
  if (prefix_len > PGCACHE_KEY_MAX || after_len > PGCACHE_KEY_MAX)
    return pgc_fail(call->error, PGCACHE_TOO_LARGE, "prefix or after is longer than a key can be (%d bytes)",
                    PGCACHE_KEY_MAX);
  if (call->cache->settings.keyed_digests)
    return pgc_fail(call->error, PGCACHE_UNSUPPORTED,
                    "with digests=keyed the server does not know the keys, and cannot list them");
  call->op.u.list.prefix = prefix;
  call->op.u.list.prefix_len = prefix_len;
  if (prefix_len > 0) {
    call->op.u.list.prefix_end_len = end_of_prefix(end, prefix, prefix_len);
    call->op.u.list.prefix_end = call->op.u.list.prefix_end_len > 0 ? end : NULL;
  }
  call->op.u.list.after = after;
  call->op.u.list.after_len = after_len;
  call->op.u.list.limit = limit;
  return PGCACHE_OK;
}
