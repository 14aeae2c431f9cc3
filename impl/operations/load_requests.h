/*
 * load_requests.h - loads as requests [rule:load]: what load.h says of calls, done without anybody waiting.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_LOAD_REQUESTS_H
#define PGC_OPERATIONS_LOAD_REQUESTS_H

#include "operations/load.h"
#include "operations/requests.h"

/* Submits a BEGIN_LOAD with its key and plan set. PGCACHE_OK, or as pgc_request_submit_key(). */
pgcache_status pgc_load_submit_begin(pgc_call *call, uint64_t *id, const pgc_load_plan *plan);

/* Begins a call that ends a load by a request: pgc_load_begin_end(), and the options of requests. */
pgcache_status pgc_load_begin_submitted_end(pgc_call *call, uint64_t *id, pgcache_load *load, pgc_op_kind kind,
                                            pgc_operation operation, const pgcache_options *options,
                                            pgcache_error *error);

/* Submits a FILL_LOAD, or an END_LOAD that gives the lease back. If that is refused the load goes on. */
pgcache_status pgc_load_submit_end(pgc_call *call, uint64_t *id, pgcache_load *load);

/* Submits an EXTEND_LOAD, with lease_ms set. */
pgcache_status pgc_load_submit_extend(pgc_call *call, uint64_t *id, pgcache_load *load);

/* Submits what pgc_load_fail() does. If that is refused the load goes on. */
pgcache_status pgc_load_submit_fail(pgc_call *call, uint64_t *id, pgcache_load *load);

/* Gives the lease of a load back, with nobody to see the completion. False: it goes on. */
bool pgc_load_submit_give_back(pgcache_load *load);

#endif
