/*
 * observer.h - queues of events, for those who take them instead of being called; see pgcache_observe().
 *
 * Owns: events that wait, up to the room, and the number of those that did not fit. Must never: keep who tells waiting, but for
 * the lock of the hall, under which nothing is waited for.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_OBSERVER_H
#define PGC_STATE_OBSERVER_H

#include "state/audience.h"

/* See the exported functions of the same names; these here trust their arguments. */
pgcache_status pgc_observe(pgc_audience *audience, pgcache_observer **out, uint32_t what, pgcache_level level,
                           size_t room, pgcache_error *error);
pgcache_status pgc_observer_next(pgcache_observer *self, pgcache_event **out, int64_t wait_ms, pgcache_error *error);
int64_t pgc_observer_dropped(const pgcache_observer *self);
void pgc_observer_free(pgcache_observer *self);

#endif
