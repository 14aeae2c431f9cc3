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

/* ---- What requests on many keys need of it, too. call: begun with GET_MANY, PUT_MANY or REMOVE_MANY. ---- */

typedef struct pgc_sorted_item {
  pgc_digest digest;
  size_t index; /* of the item */
} pgc_sorted_item;

/* Items lie as far apart as the caller's struct is long. */
static inline const pgcache_item *pgc_item_at(const pgcache_item *items, size_t index) {
  return (const pgcache_item *)(const void *)((const char *)items + index * items->struct_size);
}

/* Whether items is an array of count (> 0) elements. PGCACHE_OK, PGCACHE_INVALID. */
pgcache_status pgc_batch_check_array(pgc_call *call, const pgcache_item *items, size_t count);

/* Checks all items. PGCACHE_OK, PGCACHE_INVALID, PGCACHE_TOO_LARGE. */
pgcache_status pgc_batch_check(pgc_call *call, const pgcache_item *items, size_t count);

/* Takes the digests of items that were checked, whose indexes are set, and sorts them: by digest, duplicates as they stand. */
void pgc_batch_sort(const pgc_call *call, const pgcache_item *items, pgc_sorted_item *sorted, size_t count);

/* Where the run of items with the same digest as the one at `from` ends. Of duplicate puts the last one counts. */
size_t pgc_batch_end_of_run(const pgc_sorted_item *sorted, size_t count, size_t from);

/* Fills the key of an item that was checked, with its defaults resolved; it points to what the item points to. */
void pgc_batch_set_key(pgc_call *call, pgc_op_key *key, const pgcache_item *item, const pgc_digest *digest);

#endif
