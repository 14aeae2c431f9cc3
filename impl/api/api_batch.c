/*
 * api_batch.c - exported: operations on many keys.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/batch.h"

pgcache_status pgcache_get_many(pgcache *self, pgcache_item *items, size_t count, const pgcache_options *options,
                                pgcache_error *error) {
  return pgc_batch_run(self, PGC_OP_GET_MANY, items, count, options, error);
}

pgcache_status pgcache_put_many(pgcache *self, pgcache_item *items, size_t count, const pgcache_options *options,
                                pgcache_error *error) {
  return pgc_batch_run(self, PGC_OP_PUT_MANY, items, count, options, error);
}

pgcache_status pgcache_remove_many(pgcache *self, pgcache_item *items, size_t count, const pgcache_options *options,
                                   pgcache_error *error) {
  return pgc_batch_run(self, PGC_OP_REMOVE_MANY, items, count, options, error);
}
