/*
 * janitor.h - the threads that tidy up for a handle.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_OPERATIONS_JANITOR_H
#define PGC_OPERATIONS_JANITOR_H

#include "operations/call.h"

/* See the exported functions of the same names; these here trust their pointers. */
pgcache_status pgc_janitor_start(pgcache_janitor **out, pgcache *cache, int64_t interval_ms, pgcache_error *error);
pgcache_status pgc_janitor_stop(pgcache_janitor *self, int64_t timeout_ms, pgcache_error *error);
void pgc_janitor_free(pgcache_janitor *self);

/* The handle was shut down: its janitors end soon. */
void pgc_janitors_end(pgcache *cache);

/* The handle goes: waits until none of its janitors uses it any more. It was shut down. */
void pgc_janitors_leave(pgcache *cache);

#endif
