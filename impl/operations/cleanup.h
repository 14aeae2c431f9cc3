/*
 * cleanup.h - the walk that deletes what has expired and keeps the bounds, slice after slice: for callers who wait for it,
 * for the janitor's thread, and for writers by chance.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_OPERATIONS_CLEANUP_H
#define PGC_OPERATIONS_CLEANUP_H

#include "operations/call.h"

/* One slice of the shared walk; call: begun with PGC_OP_CLEAN_SLICE. anew, due_ms: see store.h. The answer is in
   call->op.u.slice. */
pgcache_status pgc_clean_slice(pgc_call *call, bool anew, int64_t due_ms);

/* A part of a walk of one's own, from this block on, for who may not walk for all; call: begun with PGC_OP_CLEANUP. The answer is in
   call->op.u.part. */
pgcache_status pgc_clean_part(pgc_call *call, int64_t next_block);

/* A whole walk, with pauses for others in the first half of its time; call: begun with PGC_OP_CLEAN_SLICE. Adds to *removed, also before an error. */
pgcache_status pgc_clean_whole(pgc_call *call, int64_t *removed);

/* Slices, with pauses for others between them, for budget_ms. Adds to what is counted in progress. */
pgcache_status pgc_clean_some(pgc_call *call, pgcache_cleanup_progress *progress, int64_t budget_ms);

/* After a write: whether the setting cleanup_chance has drawn it for a short slice; and the slice, whose failure is
   nobody's. Of a role that may not walk for all: a part of a walk of its own. */
bool pgc_clean_is_drawn(const pgcache *cache, pgc_op_kind written);
void pgc_clean_short_slice(pgcache *cache, const char *namespace_name, pgc_deadline latest);

#endif
