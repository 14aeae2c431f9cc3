/*
 * observer.c - see observer.h. A queue is a list, because its room may be a million and is mostly empty.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/observer.h"

#include <pthread.h>

#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"
#include "state/audience_inside.h"
#include "state/counters.h"
#include "state/event.h"

/* What is not set once is under the hall's lock, but for `dropped`. */
struct pgcache_observer {
  pgc_audience *audience;
  uint32_t what;
  pgcache_level level;
  size_t room;
  uint64_t fork_generation; /* of the process whose events wait */
  pthread_cond_t came;
  pgc_event_copy *first, *last; /* events that wait */
  size_t count;
  pgc_counter dropped;
};

/* Before anything is done with the queue in this process: a forked child's begins empty. What waited is the parent's, and is left as
   it is, because it may have been in the middle of a change at the fork. */
static void move_in(pgcache_observer *self) {
  if (self->fork_generation == pgc_fork_generation())
    return;
  self->fork_generation = pgc_fork_generation();
  self->first = self->last = NULL;
  self->count = 0;
  pgc_cond_init(&self->came);
}

/* ---- Telling ---- */

bool pgc_event_is_wanted(const pgcache_event *event, uint32_t what, pgcache_level level) {
  return (what & pgc_event_flag(event)) != 0 && (event->kind != PGCACHE_EVENT_LOG || event->level >= level);
}

void pgc_observer_wants(const pgcache_observer *self, uint32_t *what, pgcache_level *level) {
  *what = self->what;
  *level = self->level;
}

/* False: it did not fit. */
static bool put(pgcache_observer *self, const pgcache_event *event) {
  if (self->count >= self->room)
    return false;
  pgc_event_copy *copy = pgc_event_copy_of(event, (self->what & PGCACHE_OBSERVE_KEYS) != 0);
  if (copy == NULL)
    return false;
  if (self->last != NULL)
    self->last->next = copy;
  else
    self->first = copy;
  self->last = copy;
  self->count++;
  pthread_cond_signal(&self->came);
  return true;
}

void pgc_observers_tell(pgc_audience *audience, const pgcache_event *event) {
  pgc_hall *hall = pgc_audience_hall(audience);
  if (hall == NULL) { /* a child without memory, where nobody could take anything either */
    pgc_count(&audience->dropped);
    return;
  }
  pthread_mutex_lock(&hall->lock);
  for (int i = 0; i < PGC_SEATS; i++) {
    pgcache_observer *observer = audience->observers[i];
    if (observer == NULL || !pgc_event_is_wanted(event, observer->what, observer->level))
      continue;
    move_in(observer);
    if (!put(observer, event)) {
      pgc_count(&observer->dropped);
      pgc_count(&audience->dropped);
    }
  }
  pthread_mutex_unlock(&hall->lock);
}

void pgc_observers_wake(pgc_audience *audience) {
  pgc_hall *hall = pgc_audience_hall(audience);
  if (hall == NULL)
    return;
  pthread_mutex_lock(&hall->lock);
  for (int i = 0; i < PGC_SEATS; i++) {
    if (audience->observers[i] != NULL) {
      move_in(audience->observers[i]);
      pthread_cond_broadcast(&audience->observers[i]->came);
    }
  }
  pthread_mutex_unlock(&hall->lock);
}

/* ---- For callers ---- */

pgcache_status pgc_observe(pgc_audience *audience, pgcache_observer **out, uint32_t what, pgcache_level level,
                           size_t room, pgcache_error *error) {
  pgc_hall *hall = pgc_audience_hall(audience);
  pgcache_observer *self = hall != NULL ? pgc_alloc_zero(sizeof *self) : NULL;
  if (self == NULL)
    return pgc_fail_memory(error);
  *self = (pgcache_observer){
      .audience = audience, .what = what, .level = level, .room = room, .fork_generation = pgc_fork_generation()};
  pgc_cond_init(&self->came);
  pthread_mutex_lock(&hall->lock);
  pgcache_status status = pgc_audience_admit(audience, error);
  if (status == PGCACHE_OK) {
    int seat = 0;
    while (audience->observers[seat] != NULL)
      seat++;
    audience->observers[seat] = self;
    pgc_audience_reckon(audience);
  }
  pthread_mutex_unlock(&hall->lock);
  if (status == PGCACHE_OK) {
    *out = self;
    return status;
  }
  pthread_cond_destroy(&self->came);
  pgc_free(self);
  return status;
}

pgcache_status pgc_observer_next(pgcache_observer *self, pgcache_event **out, int64_t wait_ms, pgcache_error *error) {
  pgc_hall *hall = pgc_audience_hall(self->audience);
  if (hall == NULL)
    return pgc_fail_memory(error);
  pgcache_status status = PGCACHE_OK;
  pgc_deadline deadline = wait_ms > 0 ? pgc_deadline_in(wait_ms) : 0;
  pgc_event_copy *first = NULL;
  pthread_mutex_lock(&hall->lock);
  move_in(self);
  for (bool late = wait_ms == 0; (first = self->first) == NULL && status == PGCACHE_OK;) {
    if (__atomic_load_n(&self->audience->closed, __ATOMIC_SEQ_CST))
      status = pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down, and no event waits");
    else if (late)
      status = PGCACHE_MISS;
    else
      late = !pgc_cond_wait_until(&self->came, &hall->lock, deadline);
  }
  if (first != NULL) {
    self->first = first->next;
    if (self->first == NULL)
      self->last = NULL;
    self->count--;
  }
  pthread_mutex_unlock(&hall->lock);
  if (first == NULL)
    return status;
  *out = &first->event;
  return PGCACHE_OK;
}

int64_t pgc_observer_dropped(const pgcache_observer *self) {
  return pgc_counted(&self->dropped);
}

void pgc_observer_free(pgcache_observer *self) {
  pgc_audience *audience = self->audience;
  pgc_hall *hall = pgc_audience_hall(audience);
  if (hall != NULL)
    pthread_mutex_lock(&hall->lock);
  for (int i = 0; i < PGC_SEATS; i++) {
    if (audience->observers[i] == self)
      audience->observers[i] = NULL;
  }
  pgc_audience_reckon(audience);
  move_in(self);
  if (hall != NULL)
    pthread_mutex_unlock(&hall->lock);
  for (pgc_event_copy *first = self->first, *next; first != NULL; first = next) {
    next = first->next;
    pgc_free(first);
  }
  pthread_cond_destroy(&self->came);
  pgc_free(self);
}
