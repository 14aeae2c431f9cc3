/*
 * janitor.c - see janitor.h. One thread for each janitor, which sleeps most of the time.
 *
 * Owns: the threads, and the office that the janitors of a handle share: one lock, one condition. It lives as long as the
 * handle or any of its janitors, so that they can be freed in any order. After a fork nothing of it is touched in the
 * child, which has no janitor. Must never: hold the lock during a call.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/janitor.h"

#include <stdio.h>

#include "operations/cleanup.h"
#include "operations/measure.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"

/* A pause between two slices is never longer. */
#define PAUSE_MAX_US 1000000

/* With a bound the janitor looks so often whether there is something to do, and notes so often which entries were read. */
#define LOOK_MAX_MS 1000
#define LOOK_MIN_MS 10
/* Between two statements about the same look. */
#define STAMP_PAUSE_MS 50

/* A walk that another one is at is looked after so often: it is left unfinished when that one's process ends. */
#define BUSY_MS 2000

/* After failures the pauses double from the first to the last of these, or to the interval if that is longer. */
#define RETRY_FIRST_MS 200
#define RETRY_LAST_MS 30000

struct pgc_office {
  uint64_t fork_generation;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int refs;     /* the handle and the janitors that were not freed */
  int running;  /* threads that use the handle */
  bool closing; /* the handle was shut down */
};

struct pgcache_janitor {
  pgc_office *office;
  pgcache *cache; /* the thread's alone, and not after it ended */
  int64_t interval_ms;
  uint64_t fork_generation;
  pthread_t thread;
  pgc_deadline alone_at; /* when a role that may not walk for all walks again; the thread's */
  bool stopping;         /* these two under the office's lock */
  bool ended;
};

/* ---- The office ---- */

static void office_free(pgc_office *self) {
  pthread_cond_destroy(&self->changed);
  pthread_mutex_destroy(&self->lock);
  pgc_free(self);
}

/* Gives a reference back; the lock is held, and released. */
static void office_leave(pgc_office *self) {
  bool last = --self->refs == 0;
  pthread_mutex_unlock(&self->lock);
  if (last)
    office_free(self);
}

/* The handle's office in this process, made by the first who needs it. NULL when out of memory. */
static pgc_office *office_of(pgcache *cache) {
  pgc_office *known = __atomic_load_n(&cache->office, __ATOMIC_ACQUIRE);
  if (known != NULL && known->fork_generation == pgc_fork_generation())
    return known;
  pgc_office *fresh = pgc_alloc_zero(sizeof *fresh);
  if (fresh == NULL)
    return NULL;
  fresh->fork_generation = pgc_fork_generation();
  fresh->refs = 1;
  pthread_mutex_init(&fresh->lock, NULL);
  pgc_cond_init(&fresh->changed);
  if (__atomic_compare_exchange_n(&cache->office, &known, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return fresh;
  office_free(fresh); /* another thread was first */
  return known;
}

/* The same, if there is one, and if it is not the parent's. */
static pgc_office *office_here(pgcache *cache) {
  pgc_office *known = __atomic_load_n(&cache->office, __ATOMIC_ACQUIRE);
  return known != NULL && known->fork_generation == pgc_fork_generation() ? known : NULL;
}

void pgc_janitors_end(pgcache *cache) {
  __atomic_store_n(&cache->closed, true, __ATOMIC_SEQ_CST);
  pgc_office *office = office_here(cache);
  if (office == NULL)
    return;
  pthread_mutex_lock(&office->lock);
  office->closing = true;
  pthread_cond_broadcast(&office->changed);
  pthread_mutex_unlock(&office->lock);
}

void pgc_janitors_leave(pgcache *cache) {
  pgc_office *office = office_here(cache);
  if (office == NULL) {
    pgc_free(cache->office); /* none, or the parent's: its locks are left alone */
    return;
  }
  pthread_mutex_lock(&office->lock);
  while (office->running > 0)
    pgc_cond_wait_until(&office->changed, &office->lock, PGC_NO_DEADLINE);
  office_leave(office);
}

/* ---- The thread ---- */

/* Sleeps until then; false when the janitor is to end. */
static bool sleep_until(pgcache_janitor *self, pgc_deadline deadline) {
  pgc_office *office = self->office;
  pthread_mutex_lock(&office->lock);
  bool awake = true;
  while (awake && !self->stopping && !office->closing)
    awake = pgc_cond_wait_until(&office->changed, &office->lock, deadline);
  bool goes_on = !self->stopping && !office->closing;
  pthread_mutex_unlock(&office->lock);
  return goes_on;
}

/* What a walk, or a look whether one is due, has come to. */
typedef struct outcome {
  bool bounded;    /* there is a bound to keep */
  bool busy;       /* another janitor is at it */
  int slices;      /* that came to something */
  int64_t removed; /* by them, */
  int64_t expired; /* and of these what had expired */
  pgcache_error error;
} outcome;

static void tell(pgcache_janitor *self, const char *state, pgcache_level level) {
  pgc_audience_state(&self->cache->audience, "janitor", state, level, 0, NULL, NULL);
}

static void tell_walk(pgcache_janitor *self, const outcome *walk) {
  pgc_measure_cleaned(self->cache, walk->expired, !walk->busy);
  pgc_audience_state(&self->cache->audience, "janitor", "walked", PGCACHE_LEVEL_DEBUG, walk->removed, NULL, NULL);
}

static void tell_failure(pgcache_janitor *self, const pgcache_error *error) {
  char words[sizeof error->message + 64];
  snprintf(words, sizeof words, "the janitor failed, and tries again later: %s", error->message);
  pgc_audience_state(&self->cache->audience, "janitor", "failed", PGCACHE_LEVEL_WARNING, 0, error, words);
}

static pgcache_status begin(pgcache_janitor *self, pgc_call *call, pgc_op_kind kind, pgcache_error *error) {
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  options.deadline_ms = self->cache->settings.timeout_ms; /* a slice is short */
  return pgc_call_begin(call, self->cache, kind, &options, error);
}

/* How often the janitor looks after a bound. */
static int64_t look_ms(const pgcache_janitor *self) {
  int64_t wait_ms = self->cache->settings.access_stamp_ms / 4;
  if (wait_ms < LOOK_MIN_MS)
    wait_ms = LOOK_MIN_MS;
  return wait_ms < LOOK_MAX_MS ? wait_ms : LOOK_MAX_MS;
}

/* Tells the store which entries were read, if there is a bound and it is time. */
static pgcache_status hand_stamps_over(pgcache_janitor *self, pgc_deadline *next, pgcache_error *error) {
  if (pgc_deadline_poll_ms(*next) != 0)
    return PGCACHE_OK;
  pgc_call call;
  pgcache_status status;
  *next = pgc_deadline_in(look_ms(self));
  do {
    status = begin(self, &call, PGC_OP_STAMP, error);
    if (status == PGCACHE_OK)
      status = pgc_call_run(&call);
  } while (status == PGCACHE_OK && call.op.u.stamp.more && pgc_deadline_poll_ms(*next) != 0 &&
           sleep_until(self, pgc_deadline_in(STAMP_PAUSE_MS)));
  return status;
}

/* Leaves the server to others after so much work, by the setting cleanup_share. False when the janitor is to end. */
static bool make_way(pgcache_janitor *self, int64_t spent_us) {
  int share = self->cache->settings.cleanup_share;
  int64_t pause_us = spent_us * (100 - share) / share;
  if (pause_us > PAUSE_MAX_US)
    pause_us = PAUSE_MAX_US;
  return pause_us <= 0 || sleep_until(self, pgc_monotonic_us() + pause_us);
}

/* The walk of a role that may not walk for all: what has expired of its own namespaces. */
static pgcache_status walk_alone(pgcache_janitor *self, outcome *out) {
  int64_t next = 0;
  for (;;) {
    pgc_call call;
    pgcache_status status = begin(self, &call, PGC_OP_CLEANUP, &out->error);
    if (status == PGCACHE_OK)
      status = pgc_clean_part(&call, next);
    if (status != PGCACHE_OK)
      return status;
    out->slices++;
    out->bounded = call.op.u.part.bounded;
    out->removed += call.op.u.part.removed;
    out->expired = out->removed;
    next = call.op.u.part.next_block;
    if (call.op.u.part.finished) {
      self->alone_at = pgc_deadline_in(self->interval_ms);
      return PGCACHE_OK;
    }
    if (!sleep_until(self, 0) || !make_way(self, call.op.u.part.spent_us))
      return PGCACHE_OK;
  }
}

/* The same, if it is due, and what else such a role's janitor does. */
static pgcache_status attend_alone(pgcache_janitor *self, pgc_deadline *next_stamps, outcome *out) {
  pgcache_status status = PGCACHE_OK;
  out->busy = false;
  out->error = (pgcache_error)PGCACHE_ERROR_INIT;
  if (pgc_deadline_poll_ms(self->alone_at) == 0)
    status = walk_alone(self, out);
  if (status == PGCACHE_OK && out->bounded)
    status = hand_stamps_over(self, next_stamps, &out->error);
  return status;
}

/* One walk, if one is due or under way, at the pace of the setting cleanup_share. */
static pgcache_status walk(pgcache_janitor *self, int64_t due_ms, pgc_deadline *next_stamps, outcome *out) {
  out->slices = 0;
  out->removed = out->expired = 0;
  out->error = (pgcache_error)PGCACHE_ERROR_INIT;
  for (;;) {
    pgc_call call;
    pgcache_status status = begin(self, &call, PGC_OP_CLEAN_SLICE, &out->error);
    if (status == PGCACHE_OK)
      status = pgc_clean_slice(&call, false, due_ms);
    if (status == PGCACHE_DENIED)
      return attend_alone(self, next_stamps, out);
    if (status != PGCACHE_OK)
      return status;
    out->bounded = call.op.u.slice.bounded;
    out->busy = call.op.u.slice.busy;
    out->slices += !out->busy;
    out->removed += call.op.u.slice.removed + call.op.u.slice.evicted;
    out->expired += call.op.u.slice.removed;
    if (!sleep_until(self, 0)) /* whoever waits for the end waits for one statement */
      return PGCACHE_OK;
    if (out->bounded)
      status = hand_stamps_over(self, next_stamps, &out->error);
    if (status != PGCACHE_OK || out->busy || call.op.u.slice.finished)
      return status;
    if (!make_way(self, call.op.u.slice.spent_us))
      return PGCACHE_OK;
  }
}

static void *work(void *argument) {
  pgcache_janitor *self = argument;
  pgc_office *office = self->office;
  pgc_deadline next_stamps = 0;
  int64_t due_ms = 0; /* the first walk is at once */
  int failures = 0;
  outcome last = {.bounded = false};
  pgc_deadline tell_again = 0; /* what was not due looks like a walk that found nothing */
  int64_t wait_ms;
  tell(self, "started", PGCACHE_LEVEL_INFO);
  do {
    pgcache_status status = walk(self, due_ms, &next_stamps, &last);
    if (status == PGCACHE_CLOSED)
      break;
    if (status >= 0) {
      due_ms = self->interval_ms;
      failures = 0;
      wait_ms = self->interval_ms;
      if (last.bounded && look_ms(self) < wait_ms)
        wait_ms = look_ms(self);
      if (last.busy && wait_ms > BUSY_MS)
        wait_ms = BUSY_MS;
      if (last.slices > 1 || last.removed > 0 || (last.slices == 1 && pgc_deadline_poll_ms(tell_again) == 0)) {
        tell_walk(self, &last);
        tell_again = pgc_deadline_in(self->interval_ms);
      }
    } else {
      pgc_count(&self->cache->store->counters.cleanup_failures);
      tell_failure(self, &last.error);
      int64_t longest = self->interval_ms > RETRY_LAST_MS ? self->interval_ms : RETRY_LAST_MS;
      wait_ms = failures < 20 ? (int64_t)RETRY_FIRST_MS << failures++ : longest;
      if (wait_ms > longest)
        wait_ms = longest;
    }
  } while (sleep_until(self, pgc_deadline_in(wait_ms)));
  tell(self, "stopped", PGCACHE_LEVEL_INFO);

  pthread_mutex_lock(&office->lock);
  self->ended = true;
  office->running--;
  pthread_cond_broadcast(&office->changed);
  pthread_mutex_unlock(&office->lock);
  return NULL;
}

/* ---- For callers ---- */

pgcache_status pgc_janitor_start(pgcache_janitor **out, pgcache *cache, int64_t interval_ms, pgcache_error *error) {
  pgc_office *office = office_of(cache);
  pgcache_janitor *self = office != NULL ? pgc_alloc_zero(sizeof *self) : NULL;
  if (self == NULL)
    return pgc_fail_memory(error);
  *self = (pgcache_janitor){
      .office = office, .cache = cache, .interval_ms = interval_ms, .fork_generation = pgc_fork_generation()};

  pgcache_status status = PGCACHE_OK;
  pthread_mutex_lock(&office->lock);
  if (__atomic_load_n(&cache->closed, __ATOMIC_SEQ_CST))
    status = pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
  else if (!pgc_thread_start(&self->thread, work, self))
    status = pgc_fail(error, PGCACHE_NO_MEMORY, "no thread can be started for the janitor");
  if (status == PGCACHE_OK) {
    office->refs++;
    office->running++;
    *out = self;
  }
  pthread_mutex_unlock(&office->lock);
  if (status != PGCACHE_OK)
    pgc_free(self);
  return status;
}

pgcache_status pgc_janitor_stop(pgcache_janitor *self, int64_t timeout_ms, pgcache_error *error) {
  if (self->fork_generation != pgc_fork_generation())
    return PGCACHE_OK; /* the thread is the parent's */
  pgc_office *office = self->office;
  pgc_deadline deadline = pgc_deadline_in(timeout_ms);
  pthread_mutex_lock(&office->lock);
  self->stopping = true;
  pthread_cond_broadcast(&office->changed);
  bool in_time = true;
  while (!self->ended && in_time)
    in_time = pgc_cond_wait_until(&office->changed, &office->lock, deadline);
  bool ended = self->ended;
  pthread_mutex_unlock(&office->lock);
  if (ended)
    return PGCACHE_OK;
  return pgc_fail(error, PGCACHE_TIMEOUT, "the janitor has not stopped yet; it will when the statement under way ends");
}

void pgc_janitor_free(pgcache_janitor *self) {
  if (self->fork_generation == pgc_fork_generation()) {
    pgc_janitor_stop(self, INT64_MAX, NULL);
    pthread_join(self->thread, NULL);
    pthread_mutex_lock(&self->office->lock);
    office_leave(self->office);
  }
  pgc_free(self);
}
