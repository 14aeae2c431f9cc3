/*
 * pool.c - see pool.h.
 *
 * One mutex guards everything but `closed`, which opening threads also read while they poll, and the list of sockets,
 * which a forked child reads. No input or output happens under the mutex.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pool.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"

/* Pauses after failed attempts: full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A server that
   refuses at once costs nearly nothing to ask, so that it is found soon after a restart; others are asked ever less. */
#define BACKOFF_FIRST_US 50000
#define BACKOFF_REFUSED_MAX_US 250000
#define BACKOFF_MAX_US 10000000

/* By how much the coarse clock, which pauses are measured on, may lag the one that waits are. */
#define CLOCK_LAG_US 10000

/* A connection that nobody used for this long is looked at before it is lent. */
#define LOOK_AT_IDLE_US 100000

/* The connection that this thread had last. A hint and never followed: a thread that keeps its connection stays on one CPU
   with the server process behind it, and neither is moved for the other's sake. */
static _Thread_local const pgc_connection *had_last;

/* How many idle connections are looked through for it. */
#define LOOK_FOR_LAST 16

/* One who waits; lives on his stack. */
typedef struct waiter {
  pthread_cond_t woken;
  pgc_connection *given;
  pgcache_status failure; /* PGCACHE_OK: not failed */
  pgcache_error error;
  struct waiter *next;
} waiter;

/* The socket of an open connection. libpq closes its descriptor when the stream has ended, whenever that is: shutdown uses
   a second one, that nobody else closes, and a forked child closes libpq's only if it is still the same file. */
typedef struct slot {
  atomic_int fd;   /* libpq's; -1: free */
  atomic_int ours; /* the second one; -1: none */
  ino_t inode;
} slot;

typedef struct pgc_pool {
  pgc_source base;
  pthread_mutex_t mutex;
  atomic_bool closed;
  int references; /* the handle's and one for each opening thread */
  pgc_connect_plan plan;
  int min, max;
  pgc_counters *counters; /* the store's, until shutdown */

  int open;    /* connections there are, lent or idle */
  int opening; /* threads that try to open one */
  int idle_count;
  pgc_connection *idle; /* the last one given back comes first: it is warm */
  waiter *first_waiter; /* in the order of asking */
  int waiting;

  int64_t broke_at_us; /* when a connection was last found broken: what was idle then is looked at, too */
  int failures;        /* attempts failed in a row */
  int64_t retry_at_us;
  pgcache_error last_failure;

  slot slots[]; /* max */
} pgc_pool;

/* Lets one reference go; unlocks. */
static void release_reference(pgc_pool *self) {
  bool last = --self->references == 0;
  pthread_mutex_unlock(&self->mutex);
  if (last) {
    pthread_mutex_destroy(&self->mutex);
    pgc_connect_plan_clear(&self->plan);
    pgc_free(self);
  }
}

/* ---- Connections come and go. All these are called with the mutex held. ---- */

/* False when there is no descriptor left for the second one: then shutdown could not wake this connection's user. */
static bool remember_socket(pgc_pool *self, pgc_connection *connection) {
  struct stat file;
  int fd = PQsocket(connection->pg);
  int ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (ours == -1)
    return false;
  fstat(ours, &file); /* cannot fail on an open descriptor */
  int i = 0;
  while (atomic_load(&self->slots[i].fd) != -1)
    i++; /* there are as many as connections */
  self->slots[i].inode = file.st_ino;
  atomic_store(&self->slots[i].ours, ours);
  atomic_store(&self->slots[i].fd, fd);
  connection->slot = i;
  return true;
}

/* Whether the number still stands for our socket: libpq closes it when the stream has ended. */
static bool is_our_socket(const slot *place, int fd) {
  struct stat file;
  return fd != -1 && fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode) && file.st_ino == place->inode;
}

static void close_ours(slot *place) {
  int fd = atomic_exchange(&place->ours, -1);
  if (fd != -1)
    close(fd);
}

static void forget_socket(pgc_pool *self, pgc_connection *connection) {
  if (connection->slot >= 0) {
    close_ours(&self->slots[connection->slot]);
    atomic_store(&self->slots[connection->slot].fd, -1);
  }
  connection->slot = -1;
}

static void wake(waiter *who) {
  pthread_cond_signal(&who->woken);
}

static waiter *take_first_waiter(pgc_pool *self) {
  waiter *first = self->first_waiter;
  self->first_waiter = first->next;
  self->waiting--;
  return first;
}

static void remove_waiter(pgc_pool *self, const waiter *who) {
  for (waiter **link = &self->first_waiter; *link != NULL; link = &(*link)->next) {
    if (*link == who) {
      *link = who->next;
      self->waiting--;
      return;
    }
  }
}

static void append_waiter(pgc_pool *self, waiter *who) {
  waiter **link = &self->first_waiter;
  while (*link != NULL)
    link = &(*link)->next;
  *link = who;
  self->waiting++;
}

/* Hands a sound connection to whoever waits longest, or keeps it. */
static void offer(pgc_pool *self, pgc_connection *connection) {
  connection->idle_since_us = pgc_monotonic_us();
  if (self->first_waiter != NULL) {
    waiter *first = take_first_waiter(self);
    first->given = connection;
    wake(first);
    return;
  }
  connection->next = self->idle;
  self->idle = connection;
  self->idle_count++;
}

static void fail_waiters(pgc_pool *self, pgcache_status status, const char *sqlstate, const char *message) {
  while (self->first_waiter != NULL) {
    waiter *first = take_first_waiter(self);
    first->failure = pgc_fail_sql(&first->error, status, sqlstate, "%s", message);
    wake(first);
  }
}

static void note_failure(pgc_pool *self, const pgcache_error *error) {
  bool refused = error->status == PGCACHE_UNAVAILABLE;
  int64_t limit = refused ? BACKOFF_REFUSED_MAX_US : BACKOFF_MAX_US;
  int64_t longest = self->failures < 20 ? (int64_t)BACKOFF_FIRST_US << self->failures : limit;
  if (longest > limit)
    longest = limit;
  self->failures++;
  self->retry_at_us = pgc_monotonic_us() + (int64_t)(pgc_random_u64() % (uint64_t)longest);
  self->last_failure = *error;
  /* With connections open, those who wait will get one of them. */
  if (self->open == 0 && self->opening == 0)
    fail_waiters(self, error->status, error->sqlstate, error->message);
  /* But they also begin the next attempt, after the pause. */
  for (waiter *other = self->first_waiter; other != NULL; other = other->next)
    wake(other);
}

/* ---- Opening ---- */

static void open_more(pgc_pool *self);

static void *open_one(void *argument) {
  pgc_pool *self = argument;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgc_connection *connection = NULL;
  pgc_connect(&connection, &self->plan, &self->closed, &error);

  pthread_mutex_lock(&self->mutex);
  self->opening--;
  bool closed = atomic_load(&self->closed);
  if (connection != NULL && !closed && remember_socket(self, connection)) {
    self->failures = 0;
    self->open++;
    pgc_count(&self->counters->connections_opened);
    offer(self, connection);
    connection = NULL;
    if (self->waiting > 0)
      open_more(self);
  } else if (!closed) {
    if (connection != NULL)
      pgc_fail(&error, PGCACHE_NO_MEMORY, "this process has no file descriptor left for a connection; it needs two");
    note_failure(self, &error);
  }
  release_reference(self);
  pgc_connection_free(connection);
  return NULL;
}

/* Starts to open as many connections as are wanted and allowed; after a failure one at a time, after the pause. */
static void open_more(pgc_pool *self) {
  bool failing = self->failures > 0;
  if (failing && (self->opening > 0 || pgc_monotonic_us() < self->retry_at_us))
    return;
  int wanted = self->waiting > self->min - self->open ? self->waiting : self->min - self->open;
  if (failing && wanted > 1)
    wanted = 1;
  while (self->opening < wanted && self->open + self->opening < self->max) {
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

/* ---- Lending ---- */

/* Waits in line; called and returns with the mutex held. */
static pgcache_status wait_in_line(pgc_pool *self, pgc_connection **out, pgc_deadline deadline, pgcache_error *error) {
  waiter me = {.error = PGCACHE_ERROR_INIT};
  pgc_cond_init(&me.woken);
  append_waiter(self, &me);
  while (me.given == NULL && me.failure == PGCACHE_OK) {
    open_more(self);
    if (me.failure != PGCACHE_OK)
      break;
    /* After a failed attempt somebody must begin the next one when its pause is over. */
    bool pausing = self->failures > 0 && self->opening == 0 && self->open < self->max &&
                   self->retry_at_us + CLOCK_LAG_US < deadline;
    bool woken = pgc_cond_wait_until(&me.woken, &self->mutex, pausing ? self->retry_at_us + CLOCK_LAG_US : deadline);
    if (!woken && !pausing && me.given == NULL && me.failure == PGCACHE_OK) {
      remove_waiter(self, &me);
      if (self->failures > 0)
        pgc_fail_sql(&me.error, PGCACHE_TIMEOUT, self->last_failure.sqlstate,
                     "no connection before the deadline; the last attempt to open one: %s", self->last_failure.message);
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
static pgcache_status take(pgc_pool *self, pgc_connection **out, pgc_deadline deadline, pgcache_error *error) {
  if (atomic_load(&self->closed))
    return pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
  if (self->idle != NULL) {
    *out = take_idle(self);
    if (self->open < self->min)
      open_more(self);
    return PGCACHE_OK;
  }
  if (self->failures > 0 && self->open == 0 && self->opening == 0 && pgc_monotonic_us() < self->retry_at_us)
    return pgc_fail_sql(error, self->last_failure.status, self->last_failure.sqlstate, "%s",
                        self->last_failure.message);
  return wait_in_line(self, out, deadline, error);
}

static void discard(pgc_pool *self, pgc_connection *connection) {
  /* PQfinish() would send what is still queued, and so carry out a write that was reported as not done. */
  shutdown(PQsocket(connection->pg), SHUT_RDWR);
  pthread_mutex_lock(&self->mutex);
  forget_socket(self, connection);
  self->open--;
  self->broke_at_us = pgc_monotonic_us();
  pgc_count(&self->counters->connections_lost);
  if (self->waiting > 0)
    open_more(self);
  if (self->open == 0 && self->opening == 0) /* in a pause: nobody is left to wait for */
    fail_waiters(self, self->last_failure.status, self->last_failure.sqlstate, self->last_failure.message);
  pthread_mutex_unlock(&self->mutex);
  pgc_connection_free(connection);
}

static pgcache_status pool_acquire(pgc_source *base, pgc_connection **out, pgc_deadline deadline,
                                   pgcache_error *error) {
  pgc_pool *self = (pgc_pool *)base;
  for (;;) {
    pgc_connection *connection = NULL;
    pthread_mutex_lock(&self->mutex);
    pgcache_status status = take(self, &connection, deadline, error);
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
  if (sound) {
    pthread_mutex_lock(&self->mutex);
    bool kept = !atomic_load(&self->closed);
    if (kept)
      offer(self, connection);
    pthread_mutex_unlock(&self->mutex);
    if (kept)
      return;
  }
  discard(self, connection);
}

/* ---- The end ---- */

static void pool_shutdown(pgc_source *base) {
  pgc_pool *self = (pgc_pool *)base;
  pthread_mutex_lock(&self->mutex);
  atomic_store(&self->closed, true);
  pgc_connection *idle = self->idle;
  self->idle = NULL;
  self->idle_count = 0;
  for (pgc_connection *connection = idle; connection != NULL; connection = connection->next) {
    forget_socket(self, connection);
    self->open--;
  }
  /* What is lent: its thread sees the end of the stream and gives it back. */
  for (int i = 0; i < self->max; i++) {
    int fd = atomic_load(&self->slots[i].ours);
    if (fd != -1)
      shutdown(fd, SHUT_RDWR);
  }
  fail_waiters(self, PGCACHE_CLOSED, NULL, "the handle was shut down");
  pthread_mutex_unlock(&self->mutex);

  while (idle != NULL) {
    pgc_connection *next = idle->next;
    pgc_connection_free(idle);
    idle = next;
  }
}

static bool pool_closed(const pgc_source *base) {
  return atomic_load(&((const pgc_pool *)base)->closed);
}

static void pool_free(pgc_source *base) {
  pgc_pool *self = (pgc_pool *)base;
  pool_shutdown(base);
  pthread_mutex_lock(&self->mutex);
  release_reference(self);
}

static void pool_count(pgc_source *base, int *open, int *idle) {
  pgc_pool *self = (pgc_pool *)base;
  pthread_mutex_lock(&self->mutex);
  *open = self->open;
  *idle = self->idle_count;
  pthread_mutex_unlock(&self->mutex);
}

/* ---- After a fork ---- */

static pgc_source *pool_new_after_fork(pgc_source *base) {
  pgc_pool *parents = (pgc_pool *)base;
  pgc_connect_plan plan;
  if (!pgc_connect_plan_copy(&plan, &parents->plan)) /* which never changes, so that it can be read without the lock */
    return NULL;
  pgc_pool *self = (pgc_pool *)pgc_pool_new(&plan, parents->min, parents->max, parents->counters);
  if (self == NULL)
    return NULL;
  atomic_store(&self->closed, atomic_load(&parents->closed));
  return &self->base;
}

static void pool_close_sockets_after_fork(pgc_source *base) {
  pgc_pool *parents = (pgc_pool *)base;
  for (int i = 0; i < parents->max; i++) {
    close_ours(&parents->slots[i]);
    int fd = atomic_exchange(&parents->slots[i].fd, -1);
    /* Only this process's copy is closed: the session is the parent's, and no word is sent on it. */
    if (is_our_socket(&parents->slots[i], fd))
      close(fd);
  }
}

/* ---- The beginning ---- */

pgc_source *pgc_pool_new(pgc_connect_plan *plan, int min, int max, pgc_counters *counters) {
  pgc_pool *self = pgc_alloc_zero(sizeof *self + (size_t)max * sizeof(slot));
  if (self == NULL) {
    pgc_connect_plan_clear(plan);
    return NULL;
  }
  self->base = (pgc_source){.acquire = pool_acquire,
                            .release = pool_release,
                            .shutdown = pool_shutdown,
                            .closed = pool_closed,
                            .free = pool_free,
                            .count = pool_count,
                            .new_after_fork = pool_new_after_fork,
                            .close_sockets_after_fork = pool_close_sockets_after_fork};
  pthread_mutex_init(&self->mutex, NULL);
  self->references = 1;
  self->plan = *plan;
  self->min = min;
  self->max = max;
  self->counters = counters;
  self->last_failure = (pgcache_error)PGCACHE_ERROR_INIT;
  for (int i = 0; i < max; i++) {
    atomic_init(&self->slots[i].fd, -1);
    atomic_init(&self->slots[i].ours, -1);
  }
  *plan = (pgc_connect_plan){0};
  return &self->base;
}
