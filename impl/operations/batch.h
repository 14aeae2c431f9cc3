/*
 * batch.h - multi-key calls: sorts, removes duplicates, splits, and gives each item its answer. [rule:batch]
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_OPERATIONS_BATCH_H
#define PGC_OPERATIONS_BATCH_H

#include "operations/call.h"

/* Runs the call's operation (get_many, put_many or remove_many) over the items. */
pgcache_status pgc_batch_run(pgc_call *call, pgcache_item *items, size_t count);

#endif
