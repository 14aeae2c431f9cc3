/*
 * api_dependents.c - exported: counts what depends on keys and tags, and tells what is watched.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/call.h"
#include "operations/dependencies.h"
#include "operations/measure.h"
#include "platform/memory.h"
#include "pure/error.h"

pgcache_status pgcache_dependents(pgcache *self, pgcache_value **report, const pgcache_dependency *what, size_t count,
                                  const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  if (report != NULL)
    *report = NULL;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_DEPENDENTS, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (report == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "report is NULL");
  pgc_digest *digests = NULL;
  if (count > 0 && count <= PGCACHE_BATCH_MAX) {
    digests = pgc_alloc(count * sizeof *digests);
    if (digests == NULL)
      return pgc_fail_memory(error);
  }
  status = pgc_call_set_dependents(&call, what, count, digests);
  if (status == PGCACHE_OK)
    status = pgc_measure_run(&call, PGC_OPERATION_DEPENDENTS);
  *report = call.op.u.dependents.report;
  pgc_free(digests);
  return status;
}
