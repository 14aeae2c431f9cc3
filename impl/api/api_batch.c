/*
 * api_batch.c - exported: operations on many keys.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/batch.h"

static pgcache_status run(pgcache *self, pgc_op_kind kind, pgcache_item *items, size_t count,
                          const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, kind, options, error);
  return status == PGCACHE_OK ? pgc_batch_run(&call, items, count) : status;
}

pgcache_status pgcache_get_many(pgcache *self, pgcache_item *items, size_t count, const pgcache_options *options,
                                pgcache_error *error) {
  return run(self, PGC_OP_GET_MANY, items, count, options, error);
}

pgcache_status pgcache_put_many(pgcache *self, pgcache_item *items, size_t count, const pgcache_options *options,
                                pgcache_error *error) {
  return run(self, PGC_OP_PUT_MANY, items, count, options, error);
}

pgcache_status pgcache_remove_many(pgcache *self, pgcache_item *items, size_t count, const pgcache_options *options,
                                   pgcache_error *error) {
  return run(self, PGC_OP_REMOVE_MANY, items, count, options, error);
}
