/*
 * pg_store.c - the store on PostgreSQL: borrows a connection for each attempt, and decides how often to try.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"
#include "store/pg_operations.h"
#include "store/pool.h"
#include "store/store.h"

/* Attempts of one call that the server answered with a conflict, a lost marker or a dead connection. */
#define ATTEMPTS_MAX 5

/* The pool of one process; a forked child puts its own in its place. */
typedef struct process {
  pgc_pool *pool;
  uint64_t fork_generation;
} process;

typedef struct pg_store {
  pgc_store base;
  _Atomic(process *) process;
  char schema[PGC_SCHEMA_MAX + 1];
  bool logged;
  int64_t max_value_bytes;
  bool inline_values;
} pg_store;

static process *process_new(pgc_pool *pool) {
  process *self = pool != NULL ? pgc_alloc_zero(sizeof *self) : NULL;
  if (self == NULL) {
    if (pool != NULL)
      pgc_pool_free(pool);
    return NULL;
  }
  self->pool = pool;
  self->fork_generation = pgc_fork_generation();
  return self;
}

/* The pool of this process. After a fork the first call of the child makes one; the parent's memory is left as it is,
   because its locks may have been held at the fork. NULL when out of memory. */
static pgc_pool *current_pool(pg_store *self) {
  process *known = atomic_load_explicit(&self->process, memory_order_acquire);
  if (known->fork_generation == pgc_fork_generation())
    return known->pool;
  process *fresh = process_new(pgc_pool_new_after_fork(known->pool));
  if (fresh == NULL)
    return NULL;
  if (atomic_compare_exchange_strong(&self->process, &known, fresh)) {
    pgc_pool_close_sockets_after_fork(known->pool);
    return fresh->pool;
  }
  pgc_pool_free(fresh->pool); /* another thread of the child was first */
  pgc_free(fresh);
  return known->pool;
}

/* One attempt on one connection; the lost marker is put back here, so that the next attempt finds it. */
static pgcache_status attempt(pg_store *self, pgc_pool *pool, pgc_op *op, pgcache_error *error, bool *retry) {
  pgc_session session = {.schema = self->schema,
                         .logged = self->logged,
                         .max_value_bytes = self->max_value_bytes,
                         .inline_values = self->inline_values,
                         .deadline = op->deadline,
                         .error = error};
  *retry = false;
  pgcache_status status = pgc_pool_acquire(pool, &session.connection, op->deadline, error);
  if (status != PGCACHE_OK)
    return status;
  status = pgc_pg_operate(&session, op);
  if (session.no_marker) {
    pgc_parameters none = {0};
    PGresult *result;
    session.writes = false; /* of the caller's operation nothing is under way */
    pgcache_status raised = pgc_session_execute(&session, PGC_STATEMENT_NEW_EPOCH, &none, &result);
    PQclear(result);
    if (raised == PGCACHE_OK)
      session.retry = true;
    else
      status = raised;
  }
  if (status < 0)
    pgc_pg_drop_outputs(op);
  pgc_pool_release(pool, session.connection, !session.broken);
  if ((status == PGCACHE_UNAVAILABLE || status == PGCACHE_TIMEOUT) && pgc_pool_closed(pool))
    return pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
  *retry = status < 0 && session.retry;
  return status;
}

/* A short pause of random length, longer from time to time, so that those who met do not meet again. */
static void pause_before(int attempt_number) {
  usleep((useconds_t)(pgc_random_u64() % (uint64_t)(1000 << attempt_number)));
}

static pgcache_status pg_run(pgc_store *base, pgc_op *op, pgcache_error *error) {
  pg_store *self = (pg_store *)base;
  pgc_pool *pool = current_pool(self);
  if (pool == NULL)
    return pgc_fail_memory(error);

  pgcache_error failure = PGCACHE_ERROR_INIT; /* of attempts that a later one makes good */
  pgcache_status status = PGCACHE_OK;
  bool retry = true;
  for (int number = 1; retry && number <= ATTEMPTS_MAX; number++) {
    if (number > 1) {
      if (pgc_deadline_poll_ms(op->deadline) == 0)
        break;
      if (status == PGCACHE_CONFLICT && failure.sqlstate[0] != '\0')
        pause_before(number);
    }
    status = attempt(self, pool, op, &failure, &retry);
  }
  if (status < 0)
    return pgc_fail_sql(error, status, failure.sqlstate, "%s", failure.message);
  if (op->kind == PGC_OP_STATS) {
    int open, idle;
    pgc_pool_count(pool, &open, &idle);
    op->u.stats->pool_open = open;
    op->u.stats->pool_idle = idle;
  }
  return status;
}

static void pg_shutdown(pgc_store *base) {
  pgc_pool *pool = current_pool((pg_store *)base);
  if (pool != NULL)
    pgc_pool_shutdown(pool);
}

static void pg_free(pgc_store *base) {
  pg_store *self = (pg_store *)base;
  process *known = atomic_load(&self->process);
  if (known->fork_generation == pgc_fork_generation()) {
    pgc_pool_free(known->pool);
    pgc_free(known);
  } else {
    pgc_pool_close_sockets_after_fork(known->pool); /* a child that never used the handle */
  }
  pgc_free(self);
}

pgcache_status pgc_pg_store_new(pgc_store **out, const char *conninfo, const char *local_dir,
                                const pgc_settings *settings, pgcache_error *error) {
  *out = NULL;
  pgc_connect_plan plan;
  pgcache_status status = pgc_connect_plan_make(&plan, conninfo, local_dir, error);
  if (status != PGCACHE_OK)
    return status;
  pg_store *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL) {
    pgc_connect_plan_clear(&plan);
    return pgc_fail_memory(error);
  }
  process *first = process_new(pgc_pool_new(&plan, settings->pool_min, settings->pool_max, &self->base.counters));
  if (first == NULL) {
    pgc_free(self);
    return pgc_fail_memory(error);
  }
  self->base = (pgc_store){.run = pg_run, .shutdown = pg_shutdown, .free = pg_free};
  atomic_init(&self->process, first);
  memcpy(self->schema, settings->schema, sizeof self->schema);
  self->logged = settings->logged;
  self->max_value_bytes = settings->max_value_bytes;
  self->inline_values = settings->inline_values;
  *out = &self->base;
  return PGCACHE_OK;
}
