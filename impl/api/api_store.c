/*
 * api_store.c - exported: operations on the cache as a whole.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "operations/cleanup.h"
#include "pure/error.h"

/* The first version's required part: the size and one figure. */
#define STATS_SIZE_MIN 16

pgcache_status pgcache_flush(pgcache *self, int64_t *removed, pgcache_flush_scope scope, const pgcache_options *options,
                             pgcache_error *error) {
  pgc_call call;
  if (removed != NULL)
    *removed = 0;
  pgc_op_kind kind = scope == PGCACHE_FLUSH_ALL ? PGC_OP_FLUSH_ALL : PGC_OP_FLUSH_NAMESPACE;
  pgcache_status status = pgc_call_begin(&call, self, kind, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (scope != PGCACHE_FLUSH_ALL && scope != PGCACHE_FLUSH_NAMESPACE)
    return pgc_fail(error, PGCACHE_INVALID, "unknown scope");
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
  };
  memcpy(out, &now, out->struct_size < sizeof now ? out->struct_size : sizeof now);
  return PGCACHE_OK;
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
  if (keys_len < 1 || keys_len > PGCACHE_BATCH_MAX)
    return pgc_fail(error, PGCACHE_INVALID, "keys_len must be 1 to %d", PGCACHE_BATCH_MAX);
  if ((prefix == NULL && prefix_len != 0) || (after == NULL && after_len != 0))
    return pgc_fail(error, PGCACHE_INVALID, "prefix or after is NULL and its length is not 0");
  if (prefix_len > PGCACHE_KEY_MAX || after_len > PGCACHE_KEY_MAX)
    return pgc_fail(error, PGCACHE_TOO_LARGE, "prefix or after is longer than a key can be (%d bytes)",
                    PGCACHE_KEY_MAX);
  if (self->settings.keyed_digests)
    return pgc_fail(error, PGCACHE_UNSUPPORTED,
                    "with digests=keyed the server does not know the keys, and cannot list them");
  call.op.u.list.prefix = prefix;
  call.op.u.list.prefix_len = prefix_len;
  if (prefix_len > 0) {
    call.op.u.list.prefix_end_len = end_of_prefix(end, prefix, prefix_len);
    call.op.u.list.prefix_end = call.op.u.list.prefix_end_len > 0 ? end : NULL;
  }
  call.op.u.list.after = after;
  call.op.u.list.after_len = after_len;
  call.op.u.list.found = keys;
  call.op.u.list.limit = keys_len;
  status = pgc_call_run(&call);
  if (status == PGCACHE_OK)
    *count = call.op.u.list.count;
  return status;
}
