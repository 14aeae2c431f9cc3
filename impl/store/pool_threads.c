/*
 * pool_threads.c - the threads of a pool. Each opens one connection; one of them stays as the keeper, which closes what has
 * been open or idle for too long also while the application is quiet. Must never touch the handle: it may be gone.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/backoff.h"
#include "pure/error.h"
#include "store/pool_inside.h"

/* A server that refuses at once costs nearly nothing to ask, so that it is found soon after a restart; others are asked
   ever less. */
#define BACKOFF_FIRST_US 50000
#define BACKOFF_REFUSED_MAX_US 250000
#define BACKOFF_MAX_US 10000000

static void note_failure(pgc_pool *self, const pgcache_error *error) {
  bool refused = error->status == PGCACHE_UNAVAILABLE;
  int64_t pause_us = pgc_backoff_us(self->failures, BACKOFF_FIRST_US, refused ? BACKOFF_REFUSED_MAX_US : BACKOFF_MAX_US,
                                    pgc_random_u64());
  self->failures++;
  self->retry_at_us = pgc_monotonic_us() + pause_us;
  self->last_failure = *error;
  /* With connections open, those who wait will get one of them. */
  if (self->open == 0 && self->opening == 0)
    pgc_pool_fail_waiters(self, error->status, error->sqlstate, error->message);
  /* But they also begin the next attempt, after the pause. */
  for (pgc_waiter *other = self->first_waiter; other != NULL; other = other->next)
    pthread_cond_signal(&other->woken);
}

/* ---- The keeper ---- */

int64_t pgc_pool_idle_end(const pgc_pool *self, const pgc_connection *connection) {
  int64_t end = connection->ends_at_us;
  if (self->limits.idle_us > 0 && self->open > self->limits.min) {
    int64_t idle_end = connection->idle_since_us + self->limits.idle_us;
    if (idle_end < end)
      end = idle_end;
  }
  return end;
}

/* Takes the idle connections whose time is up, and gives the time at which the next one's is. */
static pgc_connection *take_ended(pgc_pool *self, int64_t *next_us) {
  pgc_connection *ended = NULL;
  int64_t now = pgc_monotonic_us();
  *next_us = PGC_NO_DEADLINE;
  for (pgc_connection **link = &self->idle; *link != NULL;) {
    pgc_connection *connection = *link;
    int64_t end = pgc_pool_idle_end(self, connection);
    if (end <= now) {
      *link = connection->next;
      self->idle_count--;
      pgc_pool_strike(self, connection);
      connection->next = ended;
      ended = connection;
    } else {
      if (end < *next_us)
        *next_us = end;
      link = &connection->next;
    }
  }
  return ended;
}

/* Stays while there are connections. pgc_pool_offer() wakes it when one becomes idle that ends before it would look. */
static void keep(pgc_pool *self) {
  if (self->keeping || (self->limits.idle_us == 0 && self->limits.lifetime_us == 0))
    return;
  self->keeping = true;
  while (!atomic_load(&self->closed) && self->open > 0) {
    int64_t next_us;
    pgc_connection *ended = take_ended(self, &next_us);
    if (ended != NULL) {
      pgc_pool_open_more(self, 0); /* pool_min of them stay warm */
      pthread_mutex_unlock(&self->mutex);
      pgc_connections_free(ended);
      pthread_mutex_lock(&self->mutex);
      continue;
    }
    self->keeper_until_us = next_us;
    pgc_cond_wait_until(&self->keeper_wakes, &self->mutex, next_us);
  }
  self->keeping = false;
}

/* ---- Opening ---- */

/* The connections of a pool that was filled at once do not all end at once. */
static int64_t end_of_life(const pgc_pool *self) {
  if (self->limits.lifetime_us == 0)
    return PGC_NO_DEADLINE;
  uint64_t jitter = pgc_random_u64() % (uint64_t)(self->limits.lifetime_us / 10 + 1);
  return pgc_monotonic_us() + self->limits.lifetime_us - (int64_t)jitter;
}

static void *open_one(void *argument) {
  pgc_pool *self = argument;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgc_connection *connection = NULL;
  pgc_connect(&connection, &self->plan, &self->closed, &error);

  pthread_mutex_lock(&self->mutex);
  self->opening--;
  bool closed = atomic_load(&self->closed);
  if (connection != NULL && !closed && pgc_sockets_add(self->sockets, connection)) {
    self->failures = 0;
    self->open++;
    pgc_count(&self->counters->connections_opened);
    connection->ends_at_us = end_of_life(self);
    pgc_pool_offer(self, connection);
    connection = NULL;
    if (self->open == self->limits.min + 1)
      pthread_cond_signal(&self->keeper_wakes); /* from now on idle ones may be closed */
    if (self->waiting > 0)
      pgc_pool_open_more(self, 0);
    keep(self);
  } else if (!closed) {
    if (connection != NULL)
      pgc_fail(&error, PGCACHE_NO_MEMORY, "this process has no file descriptor left for a connection; it needs two");
    note_failure(self, &error);
  }
  pgc_pool_release_reference(self);
  pgc_connection_free(connection);
  return NULL;
}

void pgc_pool_open_more(pgc_pool *self, int least) {
  bool failing = self->failures > 0;
  if (atomic_load(&self->closed))
    return;
  if (failing && (self->opening > 0 || pgc_monotonic_us() < self->retry_at_us))
    return;
  if (least < self->limits.min)
    least = self->limits.min;
  int wanted = self->waiting > least - self->open ? self->waiting : least - self->open;
  if (failing && wanted > 1)
    wanted = 1;
  while (self->opening < wanted && self->open + self->opening < self->limits.max) {
    self->opening++;
    self->references++;
    if (!pgc_thread_start_detached(open_one, self)) {
      self->opening--;
      self->references--;
      pgcache_error error = PGCACHE_ERROR_INIT;
      pgc_fail(&error, PGCACHE_NO_MEMORY, "no thread could be started to open a connection");
      note_failure(self, &error);
      return;
    }
  }
}
