/*
 * api_invalidate.c - exported: invalidating keys and tags, [rule:invalidate], on the handle's connections or on one of the
 * application's.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "operations/dependencies.h"
#include "operations/lent.h"
#include "operations/measure.h"
#include "platform/memory.h"
#include "pure/error.h"

/* connection NULL: on the handle's. */
static pgcache_status invalidate(pgc_call *call, pgc_operation operation, const pgcache_dependency *what, size_t count,
                                 struct pg_conn *connection) {
  pgc_digest *digests = count <= PGCACHE_BATCH_MAX ? pgc_alloc(count * sizeof *digests) : NULL;
  if (digests == NULL && count <= PGCACHE_BATCH_MAX)
    return pgc_fail_memory(call->error);
  pgcache_status status = pgc_call_set_invalidated(call, what, count, digests);
  if (status == PGCACHE_OK) {
    pgc_measure_begin_many(call, operation, count);
    status = pgc_measure_end(call, connection != NULL ? pgc_lent_run(call, connection) : pgc_call_invalidate(call));
  }
  pgc_free(digests);
  return status;
}

pgcache_status pgcache_invalidate(pgcache *self, const pgcache_dependency *what, size_t count,
                                  const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_INVALIDATE, options, error);
  return status == PGCACHE_OK && count > 0 ? invalidate(&call, PGC_OPERATION_INVALIDATE, what, count, NULL) : status;
}

/* Nothing is told here: whether it will ever be true, the commit decides, and the change stream tells of that. */
pgcache_status pgcache_invalidate_on(pgcache *self, struct pg_conn *connection, const pgcache_dependency *what,
                                     size_t count, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_INVALIDATE, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (connection == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "the connection is NULL");
  bool off = !self->borrows && strcmp(self->settings.url, "null:") == 0;
  return count > 0 ? invalidate(&call, PGC_OPERATION_INVALIDATE_ON, what, count, off ? NULL : connection) : PGCACHE_OK;
}
