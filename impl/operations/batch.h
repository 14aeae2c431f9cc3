/*
 * batch.h - multi-key calls: sorts, removes duplicates, splits, and gives each item its answer. [rule:batch]
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_OPERATIONS_BATCH_H
#define PGC_OPERATIONS_BATCH_H

#include "operations/call.h"

/* Runs get_many, put_many or remove_many over the items. */
pgcache_status pgc_batch_run(pgcache *cache, pgc_op_kind kind, pgcache_item *items, size_t count,
                             const pgcache_options *options, pgcache_error *error);

#endif
