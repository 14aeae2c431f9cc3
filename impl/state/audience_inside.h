/*
 * audience_inside.h - what audience.c and observer.c share. Nobody else includes it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_AUDIENCE_INSIDE_H
#define PGC_STATE_AUDIENCE_INSIDE_H

#include <pthread.h>

#include "state/audience.h"

/* Of one process; in a forked child the parent's is left as it is, because its lock may have been held at the fork. */
struct pgc_hall {
  uint64_t fork_generation;
  pthread_mutex_t lock;
  int telling; /* how many threads tell of states and logs; through __atomic functions */
};

/* Made by the first who needs it. NULL when out of memory. */
pgc_hall *pgc_audience_hall(pgc_audience *self);

/* Somebody came or went; the hall's lock is held. */
void pgc_audience_reckon(pgc_audience *self);

/* Whether there is room for one more; the hall's lock is held. PGCACHE_OK, PGCACHE_QUEUE_FULL, PGCACHE_CLOSED. */
pgcache_status pgc_audience_admit(const pgc_audience *self, pgcache_error *error);

/* What an observer wants. */
void pgc_observer_wants(const pgcache_observer *self, uint32_t *what, pgcache_level *level);

/* Wakes whoever waits for an event. */
void pgc_observers_wake(pgc_audience *audience);

/* Puts a copy of the event into the queue of each observer who wants it. */
void pgc_observers_tell(pgc_audience *audience, const pgcache_event *event);

/* Whether it is for who wants `what`, of logs from `level` on. */
bool pgc_event_is_wanted(const pgcache_event *event, uint32_t what, pgcache_level level);

#endif
