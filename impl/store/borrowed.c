/*
 * borrowed.c - see borrowed.h. Owns nothing of a connection but what it knows about it. Must never close one, and never
 * touch one that it would not give back as it came.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/borrowed.h"

#include <pthread.h>
#include <stdatomic.h>

#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"
#include "store/connect.h"

/* A connection whose schema was looked at, and what was found. A PGconn that is opened again, or another one at the same
   place, has another server process. */
typedef struct known {
  const PGconn *pg;
  int process;
  pgc_access access; /* of the role that it then was; SET ROLE makes it another, see explain_error() of pg_session.c */
  bool keyed_digests;
} known;

/* How many are remembered; who is forgotten is looked at again, which is one more round trip. */
#define KNOWN_MAX 64

typedef struct borrowed {
  pgc_source base;
  pgcache_connection_hooks hooks; /* acquire is NULL: there is the one connection alone */
  PGconn *single;
  bool parents; /* the one connection is that of the process which forked this one */
  atomic_bool closed;

  pthread_mutex_t mutex; /* guards what follows; not held while a hook runs */
  pthread_cond_t freed;
  bool in_use; /* the one connection */
  known known[KNOWN_MAX];
} borrowed;

static known *place_of(borrowed *self, const PGconn *pg) {
  return &self->known[((uintptr_t)pg >> 6) % KNOWN_MAX];
}

static void recall(borrowed *self, pgc_connection *connection) {
  pthread_mutex_lock(&self->mutex);
  const known *place = place_of(self, connection->pg);
  connection->checked = place->pg == connection->pg && place->process == PQbackendPID(connection->pg);
  if (connection->checked) {
    connection->access = place->access;
    connection->keyed_digests = place->keyed_digests;
  }
  pthread_mutex_unlock(&self->mutex);
}

static void remember(borrowed *self, const pgc_connection *connection, bool sound) {
  pthread_mutex_lock(&self->mutex);
  known *place = place_of(self, connection->pg);
  if (sound && connection->checked)
    *place = (known){connection->pg, PQbackendPID(connection->pg), connection->access, connection->keyed_digests};
  else if (place->pg == connection->pg)
    *place = (known){.pg = NULL};
  pthread_mutex_unlock(&self->mutex);
}

/* ---- Getting one ---- */

static pgcache_status closed(pgcache_error *error) {
  return pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
}

/* Waits until nobody else has the one connection. */
static pgcache_status take_single(borrowed *self, pgc_deadline deadline, pgcache_error *error) {
  pgcache_status status = PGCACHE_OK;
  pthread_mutex_lock(&self->mutex);
  bool in_time = true;
  while (self->in_use && in_time && !atomic_load(&self->closed))
    in_time = pgc_cond_wait_until(&self->freed, &self->mutex, deadline);
  if (atomic_load(&self->closed))
    status = closed(error);
  else if (self->in_use)
    status = pgc_fail(error, PGCACHE_TIMEOUT,
                      "another call had the application's connection until the deadline; call from one thread, or give "
                      "more connections (pgcache_new_with_hooks)");
  else
    self->in_use = true;
  pthread_mutex_unlock(&self->mutex);
  return status;
}

static pgcache_status ask_hook(borrowed *self, PGconn **pg, pgc_deadline deadline, pgcache_error *error) {
  pgcache_error theirs = PGCACHE_ERROR_INIT;
  int64_t left_ms = pgc_deadline_poll_ms(deadline);
  pgcache_status status = self->hooks.acquire(self->hooks.context, left_ms < 0 ? INT64_MAX : left_ms, pg, &theirs);
  if (status >= 0)
    return PGCACHE_OK;
  theirs.sqlstate[sizeof theirs.sqlstate - 1] = '\0';
  theirs.message[sizeof theirs.message - 1] = '\0';
  *pg = NULL;
  return pgc_fail_sql(error, status, theirs.sqlstate, "%s",
                      theirs.message[0] != '\0' ? theirs.message : "the application's acquire hook gave no connection");
}

static pgcache_status take(borrowed *self, PGconn **pg, pgc_deadline deadline, pgcache_error *error) {
  if (atomic_load(&self->closed))
    return closed(error);
  if (self->parents)
    return pgc_fail(error, PGCACHE_CLOSED,
                    "the handle's connection belongs to the process that forked this one; make a handle with a "
                    "connection of this process");
  if (self->hooks.acquire != NULL)
    return ask_hook(self, pg, deadline, error);
  *pg = self->single;
  return take_single(self, deadline, error);
}

static void give(borrowed *self, PGconn *pg, bool sound) {
  if (self->hooks.acquire != NULL) {
    self->hooks.release(self->hooks.context, pg, sound);
    return;
  }
  pthread_mutex_lock(&self->mutex);
  self->in_use = false;
  pthread_cond_signal(&self->freed);
  pthread_mutex_unlock(&self->mutex);
}

/* Whether it can be used and then given back as it is now. Only asks libpq. */
static pgcache_status judge(const PGconn *pg, pgcache_error *error) {
  if (pg == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "the application's acquire hook gave NULL instead of a connection");
  if (PQstatus(pg) != CONNECTION_OK)
    return pgc_fail(error, PGCACHE_UNAVAILABLE,
                    "the application's connection is broken or not open; PQreset() it, or give another one");
  if (PQpipelineStatus(pg) != PQ_PIPELINE_OFF)
    return pgc_fail(error, PGCACHE_INVALID, "the application's connection is in pipeline mode; leave it first");
  switch (PQtransactionStatus(pg)) {
  case PQTRANS_IDLE:
  case PQTRANS_INTRANS:
    return pgc_connect_check_version(PQserverVersion(pg), error);
  case PQTRANS_INERROR:
    return pgc_fail(error, PGCACHE_INVALID,
                    "the transaction on the application's connection has failed; roll it back first");
  case PQTRANS_ACTIVE:
  case PQTRANS_UNKNOWN:
    break;
  }
  return pgc_fail(error, PGCACHE_INVALID,
                  "the application's connection is busy with a statement, a COPY, or results that were not read yet");
}

static pgcache_status borrowed_acquire(pgc_source *base, pgc_connection **out, pgc_deadline deadline, bool *busy,
                                       pgcache_error *error) {
  borrowed *self = (borrowed *)base;
  *busy = true; /* what is wrong here is known without asking the server */
  PGconn *pg = NULL;
  pgcache_status status = take(self, &pg, deadline, error);
  if (status != PGCACHE_OK)
    return status;
  status = judge(pg, error);
  if (status == PGCACHE_OK) {
    *out = pgc_connection_borrow(pg);
    if (*out == NULL)
      status = pgc_fail_memory(error);
  }
  if (status != PGCACHE_OK) {
    if (pg != NULL)
      give(self, pg, PQstatus(pg) == CONNECTION_OK);
    return status;
  }
  recall(self, *out);
  return PGCACHE_OK;
}

static void borrowed_release(pgc_source *base, pgc_connection *connection, bool sound) {
  borrowed *self = (borrowed *)base;
  PGconn *pg = connection->pg;
  remember(self, connection, sound);
  give(self, pg, pgc_connection_give_back(connection));
}

/* Each is looked at when it is lent, and opening them is the application's business. */
static void borrowed_distrust(pgc_source *base, int64_t since_us) {
  (void)base;
  (void)since_us;
}

static bool borrowed_look(pgc_source *base) {
  (void)base;
  return true;
}

/* There are no channels, which alone ask this. */
static bool borrowed_is_wanted(pgc_source *base) {
  (void)base;
  return false;
}

/* ---- The end ---- */

static void borrowed_shutdown(pgc_source *base) {
  borrowed *self = (borrowed *)base;
  pthread_mutex_lock(&self->mutex);
  atomic_store(&self->closed, true);
  pthread_cond_broadcast(&self->freed);
  pthread_mutex_unlock(&self->mutex);
}

static bool borrowed_closed(const pgc_source *base) {
  return atomic_load(&((const borrowed *)base)->closed);
}

static void borrowed_free(pgc_source *base) {
  borrowed *self = (borrowed *)base;
  pthread_cond_destroy(&self->freed);
  pthread_mutex_destroy(&self->mutex);
  pgc_free(self);
}

static void borrowed_count(pgc_source *base, int *open, int *idle, int *waiting) {
  (void)base;
  *open = *idle = *waiting = 0;
}

/* ---- After a fork ---- */

static pgc_source *borrowed_new_after_fork(pgc_source *base) {
  borrowed *parents = (borrowed *)base;
  bool hooks = parents->hooks.acquire != NULL;
  borrowed *self = (borrowed *)pgc_borrowed_new(parents->single, hooks ? &parents->hooks : NULL);
  if (self == NULL)
    return NULL;
  self->parents = !hooks;
  atomic_store(&self->closed, atomic_load(&parents->closed));
  return &self->base;
}

/* They are the application's, and so is the child's copy of them. */
static void borrowed_close_sockets_after_fork(pgc_source *base) {
  (void)base;
}

/* ---- The beginning ---- */

pgc_source *pgc_borrowed_new(PGconn *connection, const pgcache_connection_hooks *hooks) {
  borrowed *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL)
    return NULL;
  self->base = (pgc_source){.acquire = borrowed_acquire,
                            .release = borrowed_release,
                            .distrust = borrowed_distrust,
                            .look = borrowed_look,
                            .is_wanted = borrowed_is_wanted,
                            .shutdown = borrowed_shutdown,
                            .closed = borrowed_closed,
                            .free = borrowed_free,
                            .count = borrowed_count,
                            .new_after_fork = borrowed_new_after_fork,
                            .close_sockets_after_fork = borrowed_close_sockets_after_fork};
  self->single = connection;
  if (hooks != NULL)
    self->hooks = *hooks;
  pthread_mutex_init(&self->mutex, NULL);
  pgc_cond_init(&self->freed);
  return &self->base;
}
