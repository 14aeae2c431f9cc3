/*
 * api_invalidate.c - exported: invalidating keys and tags, [rule:invalidate].
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/dependencies.h"
#include "platform/memory.h"
#include "pure/error.h"

pgcache_status pgcache_invalidate(pgcache *self, const pgcache_dependency *what, size_t count,
                                  const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_INVALIDATE, options, error);
  if (status != PGCACHE_OK || count == 0)
    return status;
  pgc_digest *digests = count <= PGCACHE_BATCH_MAX ? pgc_alloc(count * sizeof *digests) : NULL;
  if (digests == NULL && count <= PGCACHE_BATCH_MAX)
    return pgc_fail_memory(error);
  status = pgc_call_set_invalidated(&call, what, count, digests);
  if (status == PGCACHE_OK)
    status = pgc_call_invalidate(&call);
  pgc_free(digests);
  return status;
}
