/*
 * api_published.c - exported: what the processes of a schema have published of their measurements.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/arguments.h"
#include "operations/measure.h"
#include "pure/error.h"

pgcache_status pgcache_read_published(pgcache *self, pgcache_snapshot **out, size_t room, size_t *count,
                                      const char *after, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  if (count != NULL)
    *count = 0;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_READ_SUMMARIES, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (out == NULL || count == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out or count is NULL");
  status = pgc_call_set_summaries(&call, out, room, after);
  if (status == PGCACHE_OK)
    status = pgc_measure_run(&call, PGC_OPERATION_READ_PUBLISHED);
  if (status == PGCACHE_OK)
    *count = call.op.u.summaries.count;
  return status;
}
