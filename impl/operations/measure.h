/*
 * measure.h - the one place that a call or request passes at its begin and at its end: takes the times, counts, and tells those who
 * want to be told (state/audience.h).
 *
 * Owns: what is counted of a call [rule:measured]. Must never: change what a call gives, or fail it.
 *
 * A call is begun when its arguments were accepted, and ended once. What one exported function does by others, or by
 * pgc_call_run(), is measured once, as the outermost.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_MEASURE_H
#define PGC_OPERATIONS_MEASURE_H

#include "engine/engine.h"
#include "operations/call.h"

/* ---- Calls ---- */

/* The arguments were accepted: the operation begins. The call may be one that was prepared alone, whose time has not been taken:
   that of a single-key read is then taken only if it is needed. */
void pgc_measure_begin(pgc_call *call, pgc_operation operation);

/* The same of an operation on so many keys, whose hits and misses are counted in call->measure. */
void pgc_measure_begin_many(pgc_call *call, pgc_operation operation, size_t key_count);

/* It ended with this status, which it returns. */
pgcache_status pgc_measure_end(pgc_call *call, pgcache_status status);

/* Begins, runs and ends it. */
pgcache_status pgc_measure_run(pgc_call *call, pgc_operation operation);

/* For pgc_call_run(): the store has answered an operation with this status, which is not an error. */
void pgc_measure_values(pgc_call *call, pgcache_status status);

/* ---- Hits of the near cache that are no calls, see pgc_copies_get() ---- */

/* Whether the duration of this one is to be taken: of one of PGC_MEASURE_ONE_OF, chosen at random. */
#define PGC_MEASURE_ONE_OF 64
bool pgc_measure_is_timed(void);

/* The duration of one that is. */
void pgc_measure_near(pgcache *cache, pgc_operation operation, pgcache_status status, int64_t began_ns);

/* ---- Requests ---- */

/* What a request of a call of this kind is, where that is told by the kind alone. */
pgc_operation pgc_measure_operation_of(pgc_op_kind kind);

/* The call, whose measure.operation is set, is about to be submitted as this request, which begins, unless nobody wants its completion.
   If it is refused the next one follows, else the two after that are called by the engine. */
void pgc_measure_submit(pgc_call *call, pgc_request *request);

/* It was refused with this status, and is freed next. */
void pgc_measure_refused(pgcache *cache, pgc_request *request, pgcache_status status, const pgcache_error *error);

/* For the engine, whose context is the handle: the request has its outcome; its completion was taken. */
void pgc_measure_completed(void *cache, pgc_request *request);
void pgc_measure_taken(void *cache, pgc_request *request);

/* ---- What is measured beside operations ---- */

/* A flush removed so many entries. */
void pgc_measure_flushed(pgcache *cache, int64_t removed);

/* A cleanup, or a walk of a janitor, removed so many entries; whole: it passed everything. */
void pgc_measure_cleaned(pgcache *cache, int64_t removed, bool whole);

/* What is called between the two, on this thread, is part of something that is measured as a whole. */
void pgc_measure_mute(void);
void pgc_measure_unmute(void);

/* The handle goes. */
void pgc_measure_free(pgcache *cache);

#endif
