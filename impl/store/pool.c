/*
 * pool.c - see pool.h. Lends connections and takes them back; pool_threads.c opens them and closes those whose time is up.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pool.h"

#include <sys/socket.h>

#include "platform/memory.h"
#include "pure/error.h"
#include "store/pool_inside.h"

/* A connection that nobody used for this long is looked at before it is lent. */
#define LOOK_AT_IDLE_US 100000

/* The connection that this thread had last. A hint and never followed: a thread that keeps its connection stays on one CPU
   with the server process behind it, and neither is moved for the other's sake. */
static _Thread_local const pgc_connection *had_last;

/* How many idle connections are looked through for it. */
#define LOOK_FOR_LAST 16

void pgc_pool_release_reference(pgc_pool *self) {
  bool last = --self->references == 0;
  pthread_mutex_unlock(&self->mutex);
  if (last) {
    pthread_cond_destroy(&self->keeper_wakes);
    pthread_mutex_destroy(&self->mutex);
    pgc_connect_plan_clear(&self->plan);
    pgc_sockets_free(self->sockets);
    pgc_free(self);
  }
}

/* ---- Connections come and go. All these are called with the mutex held. ---- */

static pgc_waiter *take_first_waiter(pgc_pool *self) {
  pgc_waiter *first = self->first_waiter;
  self->first_waiter = first->next;
  self->waiting--;
  return first;
}

static void remove_waiter(pgc_pool *self, const pgc_waiter *who) {
  for (pgc_waiter **link = &self->first_waiter; *link != NULL; link = &(*link)->next) {
    if (*link == who) {
      *link = who->next;
      self->waiting--;
      return;
    }
  }
}

static void append_waiter(pgc_pool *self, pgc_waiter *who) {
  pgc_waiter **link = &self->first_waiter;
  while (*link != NULL)
    link = &(*link)->next;
  *link = who;
  self->waiting++;
}

void pgc_pool_offer(pgc_pool *self, pgc_connection *connection) {
  connection->idle_since_us = pgc_monotonic_us();
  if (self->first_waiter != NULL) {
    pgc_waiter *first = take_first_waiter(self);
    first->given = connection;
    pthread_cond_signal(&first->woken);
    return;
  }
  connection->next = self->idle;
  self->idle = connection;
  self->idle_count++;
  if (self->keeping && pgc_pool_idle_end(self, connection) < self->keeper_until_us)
    pthread_cond_signal(&self->keeper_wakes);
}

void pgc_pool_fail_waiters(pgc_pool *self, pgcache_status status, const char *sqlstate, const char *message) {
  while (self->first_waiter != NULL) {
    pgc_waiter *first = take_first_waiter(self);
    first->failure = pgc_fail_sql(&first->error, status, sqlstate, "%s", message);
    pthread_cond_signal(&first->woken);
  }
}

/* ---- Lending ---- */

/* Waits in line; called and returns with the mutex held. */
static pgcache_status wait_in_line(pgc_pool *self, pgc_connection **out, pgc_deadline deadline, bool *busy,
                                   pgcache_error *error) {
  pgc_waiter me = {.error = PGCACHE_ERROR_INIT};
  pgc_cond_init(&me.woken);
  append_waiter(self, &me);
  while (me.given == NULL && me.failure == PGCACHE_OK) {
    pgc_pool_open_more(self, 0);
    if (me.failure != PGCACHE_OK)
      break;
    /* After a failed attempt somebody must begin the next one when its pause is over. */
    bool pausing =
        self->failures > 0 && self->opening == 0 && self->open < self->limits.max && self->retry_at_us < deadline;
    bool woken = pgc_cond_wait_until(&me.woken, &self->mutex, pausing ? self->retry_at_us : deadline);
    if (!woken && !pausing && me.given == NULL && me.failure == PGCACHE_OK) {
      remove_waiter(self, &me);
      *busy = self->open > 0;
      if (self->failures > 0)
        pgc_fail_sql(&me.error, PGCACHE_TIMEOUT, self->last_failure.sqlstate,
                     "no connection before the deadline; the last attempt to open one: %s", self->last_failure.message);
      else if (self->open > 0 && self->open < self->limits.max)
        pgc_fail(&me.error, PGCACHE_TIMEOUT,
                 "no connection before the deadline: all %d are in use, and to open another one took longer",
                 self->open);
      else if (self->open > 0)
        pgc_fail(&me.error, PGCACHE_TIMEOUT,
                 "no connection became free before the deadline; all %d are in use: raise pool_max, or call from fewer "
                 "threads",
                 self->open);
      else
        pgc_fail(&me.error, PGCACHE_TIMEOUT, "connecting to the server took longer than the deadline");
      me.failure = PGCACHE_TIMEOUT;
    }
  }
  pthread_cond_destroy(&me.woken);
  *out = me.given;
  if (me.given != NULL)
    return PGCACHE_OK;
  return pgc_fail_sql(error, me.failure, me.error.sqlstate, "%s", me.error.message);
}

/* The one that this thread had last, or the warmest. */
static pgc_connection *take_idle(pgc_pool *self) {
  pgc_connection **link = &self->idle;
  int looked = 0;
  while (*link != had_last && (*link)->next != NULL && looked++ < LOOK_FOR_LAST)
    link = &(*link)->next;
  if (*link != had_last)
    link = &self->idle;
  pgc_connection *taken = *link;
  *link = taken->next;
  self->idle_count--;
  return taken;
}

/* Gets some connection, looked at or not; called and returns with the mutex held. */
static pgcache_status take(pgc_pool *self, pgc_connection **out, pgc_deadline deadline, bool *busy,
                           pgcache_error *error) {
  if (atomic_load(&self->closed))
    return pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
  if (self->idle != NULL) {
    *out = take_idle(self);
    if (self->open < self->limits.min)
      pgc_pool_open_more(self, 0);
    return PGCACHE_OK;
  }
  if (self->failures > 0 && self->open == 0 && self->opening == 0 && pgc_monotonic_us() < self->retry_at_us)
    return pgc_fail_sql(error, self->last_failure.status, self->last_failure.sqlstate, "%s",
                        self->last_failure.message);
  return wait_in_line(self, out, deadline, busy, error);
}

void pgc_pool_strike(pgc_pool *self, pgc_connection *connection) {
  pgc_sockets_remove(self->sockets, connection);
  if (--self->open == 0 && self->keeping)
    pthread_cond_signal(&self->keeper_wakes);
}

/* Opens others in place of what was struck off, if they are wanted. */
static void make_up(pgc_pool *self) {
  pgc_pool_open_more(self, 0);
  if (self->open == 0 && self->opening == 0) /* in a pause: nobody is left to wait for */
    pgc_pool_fail_waiters(self, self->last_failure.status, self->last_failure.sqlstate, self->last_failure.message);
}

/* Closes a connection that broke. */
static void discard(pgc_pool *self, pgc_connection *connection) {
  /* PQfinish() would send what is still queued, and so carry out a write that was reported as not done. */
  shutdown(PQsocket(connection->pg), SHUT_RDWR);
  pthread_mutex_lock(&self->mutex);
  pgc_pool_strike(self, connection);
  self->broke_at_us = pgc_monotonic_us();
  pgc_count(&self->counters->connections_lost);
  if (self->waiting > 0)
    make_up(self);
  pthread_mutex_unlock(&self->mutex);
  pgc_connection_free(connection);
}

static pgcache_status pool_acquire(pgc_source *base, pgc_connection **out, pgc_deadline deadline, bool *busy,
                                   pgcache_error *error) {
  pgc_pool *self = (pgc_pool *)base;
  *busy = false;
  for (;;) {
    pgc_connection *connection = NULL;
    pthread_mutex_lock(&self->mutex);
    pgcache_status status = take(self, &connection, deadline, busy, error);
    int64_t broke_at_us = self->broke_at_us;
    pthread_mutex_unlock(&self->mutex);
    if (status != PGCACHE_OK)
      return status;
    bool trusted =
        connection->idle_since_us > broke_at_us && pgc_monotonic_us() - connection->idle_since_us < LOOK_AT_IDLE_US;
    if (trusted || pgc_connection_alive(connection)) {
      had_last = connection;
      *out = connection;
      return PGCACHE_OK;
    }
    discard(self, connection);
  }
}

static void pool_release(pgc_source *base, pgc_connection *connection, bool sound) {
  pgc_pool *self = (pgc_pool *)base;
  if (!sound || atomic_load(&self->closed)) {
    discard(self, connection);
    return;
  }
  pthread_mutex_lock(&self->mutex);
  if (!atomic_load(&self->closed) && pgc_monotonic_us() < connection->ends_at_us) {
    pgc_pool_offer(self, connection);
    connection = NULL;
  } else {
    pgc_pool_strike(self, connection);
    make_up(self);
  }
  pthread_mutex_unlock(&self->mutex);
  pgc_connection_free(connection);
}

static void pool_distrust(pgc_source *base, int64_t since_us) {
  pgc_pool *self = (pgc_pool *)base;
  pgc_connection *distrusted = NULL;
  pthread_mutex_lock(&self->mutex);
  for (pgc_connection **link = &self->idle; *link != NULL;) {
    pgc_connection *connection = *link;
    if (connection->idle_since_us > since_us) {
      link = &connection->next;
      continue;
    }
    *link = connection->next;
    self->idle_count--;
    pgc_pool_strike(self, connection);
    pgc_count(&self->counters->connections_lost);
    connection->next = distrusted;
    distrusted = connection;
  }
  pthread_mutex_unlock(&self->mutex);
  pgc_connections_free(distrusted);
}

static bool pool_look(pgc_source *base) {
  pgc_pool *self = (pgc_pool *)base;
  pthread_mutex_lock(&self->mutex);
  if (self->open == 0 && self->opening == 0)
    pgc_pool_open_more(self, 1);
  bool there = self->open > 0;
  pthread_mutex_unlock(&self->mutex);
  return there;
}

static bool pool_is_wanted(pgc_source *base) {
  pgc_pool *self = (pgc_pool *)base;
  pthread_mutex_lock(&self->mutex);
  bool wanted = self->waiting > self->opening;
  pthread_mutex_unlock(&self->mutex);
  return wanted;
}

/* ---- The end ---- */

static void pool_shutdown(pgc_source *base) {
  pgc_pool *self = (pgc_pool *)base;
  pthread_mutex_lock(&self->mutex);
  atomic_store(&self->closed, true);
  pgc_connection *idle = self->idle;
  self->idle = NULL;
  self->idle_count = 0;
  for (pgc_connection *connection = idle; connection != NULL; connection = connection->next)
    pgc_pool_strike(self, connection);
  pgc_sockets_wake_all(self->sockets); /* what is lent: its thread sees the end of the stream and gives it back */
  pgc_pool_fail_waiters(self, PGCACHE_CLOSED, NULL, "the handle was shut down");
  pthread_cond_signal(&self->keeper_wakes);
  pthread_mutex_unlock(&self->mutex);
  pgc_connections_free(idle);
}

static bool pool_closed(const pgc_source *base) {
  return atomic_load(&((const pgc_pool *)base)->closed);
}

static void pool_free(pgc_source *base) {
  pgc_pool *self = (pgc_pool *)base;
  pool_shutdown(base);
  pthread_mutex_lock(&self->mutex);
  pgc_pool_release_reference(self);
}

static void pool_count(pgc_source *base, int *open, int *idle, int *waiting) {
  pgc_pool *self = (pgc_pool *)base;
  pthread_mutex_lock(&self->mutex);
  *open = self->open;
  *idle = self->idle_count;
  *waiting = self->waiting;
  pthread_mutex_unlock(&self->mutex);
}

/* ---- After a fork ---- */

static pgc_source *pool_new_after_fork(pgc_source *base) {
  pgc_pool *parents = (pgc_pool *)base;
  pgc_connect_plan plan;
  if (!pgc_connect_plan_copy(&plan, &parents->plan)) /* which never changes, so that it can be read without the lock */
    return NULL;
  pgc_pool *self = (pgc_pool *)pgc_pool_new(&plan, &parents->limits, parents->counters);
  if (self == NULL)
    return NULL;
  atomic_store(&self->closed, atomic_load(&parents->closed));
  return &self->base;
}

static void pool_close_sockets_after_fork(pgc_source *base) {
  pgc_sockets_close_after_fork(((pgc_pool *)base)->sockets);
}

/* ---- The beginning ---- */

pgc_source *pgc_pool_new(pgc_connect_plan *plan, const pgc_pool_limits *limits, pgc_counters *counters) {
  pgc_pool *self = pgc_alloc_zero(sizeof *self);
  pgc_sockets *sockets = pgc_sockets_new(limits->max);
  if (self == NULL || sockets == NULL) {
    pgc_connect_plan_clear(plan);
    pgc_free(self);
    pgc_sockets_free(sockets);
    return NULL;
  }
  self->base = (pgc_source){.acquire = pool_acquire,
                            .release = pool_release,
                            .distrust = pool_distrust,
                            .look = pool_look,
                            .is_wanted = pool_is_wanted,
                            .shutdown = pool_shutdown,
                            .closed = pool_closed,
                            .free = pool_free,
                            .count = pool_count,
                            .new_after_fork = pool_new_after_fork,
                            .close_sockets_after_fork = pool_close_sockets_after_fork};
  pthread_mutex_init(&self->mutex, NULL);
  pgc_cond_init(&self->keeper_wakes);
  self->references = 1;
  self->plan = *plan;
  self->limits = *limits;
  self->counters = counters;
  self->sockets = sockets;
  self->last_failure = (pgcache_error)PGCACHE_ERROR_INIT;
  *plan = (pgc_connect_plan){0};
  return &self->base;
}
