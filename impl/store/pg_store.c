/*
 * pg_store.c - the store on PostgreSQL: borrows a connection for each attempt, and decides how often to try.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"
#include "store/borrowed.h"
#include "store/pg_inside.h"
#include "store/pg_operations.h"
#include "store/pool.h"

/* What a server is given to answer before its silence says something about it, unless the handle's own timeout_ms is
   shorter: a caller may choose to wait for less. */
#define PATIENCE_US 1000000
/* A call's deadline begins before its statement is sent. */
#define HEAD_START_US 10000
/* What noting which entries are hot may add to a read, in milliseconds; it takes two or three. */
#define STAMP_MS 50

/* A probe of the breaker that has not come back by then does not keep the next one away. */
#define PROBE_MAX_US 10000000

/* Takes source, flights and near cache over, also when it fails. */
static pgc_process *process_new(pgc_source *source, pgc_flights *flights, pgc_pg_near near, int64_t stamp_us,
                                int breaker_failures, int64_t breaker_pause_us) {
  pgc_process *self = source != NULL && flights != NULL ? pgc_alloc_zero(sizeof *self) : NULL;
  if (self == NULL) {
    if (source != NULL)
      source->free(source);
    pgc_pg_near_free(&near);
    pgc_flights_free(flights);
    return NULL;
  }
  self->source = source;
  self->flights = flights;
  self->near = near;
  pgc_stamps_init(&self->stamps, stamp_us);
  pgc_store_u64(self->walker, pgc_random_u64());
  pgc_store_u64(self->walker + 8, pgc_random_u64());
  self->fork_generation = pgc_fork_generation();
  pgc_breaker_init(&self->breaker, breaker_failures, breaker_pause_us);
  return self;
}

static void process_free(pgc_process *self) {
  pgc_pg_near_free(&self->near); /* its listener tells the flights */
  pgc_flights_free(self->flights);
  self->source->free(self->source);
  pgc_stamps_destroy(&self->stamps);
  pgc_breaker_destroy(&self->breaker);
  pgc_free(self);
}

static void close_sockets_after_fork(pgc_process *parents) {
  parents->source->close_sockets_after_fork(parents->source);
  if (parents->near.listener != NULL)
    pgc_listener_close_sockets_after_fork(parents->near.listener);
}

/* After a fork the first call of the child makes its own; the parent's memory is left as it is, because its locks may have
   been held at the fork. NULL when out of memory. */
pgc_process *pgc_pg_process(pgc_pg_store *self) {
  pgc_process *known = atomic_load_explicit(&self->process, memory_order_acquire);
  if (known->fork_generation == pgc_fork_generation())
    return known;
  pgc_flights *flights = pgc_flights_new();
  pgc_process *fresh =
      process_new(known->source->new_after_fork(known->source), flights,
                  pgc_pg_near_after_fork(&known->near, self->settings, flights), known->stamps.stamp_us,
                  known->breaker.threshold, known->breaker.pause_us); /* which never change */
  if (fresh == NULL)
    return NULL;
  if (atomic_compare_exchange_strong(&self->process, &known, fresh)) {
    close_sockets_after_fork(known);
    return fresh;
  }
  process_free(fresh); /* another thread of the child was first */
  return known;
}

/* Why there was no connection. */
static pgc_fault fault_of_acquire(pgcache_status status, bool waited_enough) {
  switch (status) {
  case PGCACHE_UNAVAILABLE:
  case PGCACHE_TOO_MANY_CONNECTIONS:
    return PGC_FAULT_UNREACHABLE;
  case PGCACHE_TIMEOUT:
    return waited_enough ? PGC_FAULT_UNREACHABLE : PGC_FAULT_NOBODYS;
  case PGCACHE_CLOSED:
  case PGCACHE_NO_MEMORY:
    return PGC_FAULT_NOBODYS;
  default:
    return PGC_FAULT_NONE; /* a log-in that was refused, for example */
  }
}

pgc_session pgc_pg_session(pgc_pg_store *self, pgc_process *here, pgc_deadline deadline, pgcache_error *error) {
  return (pgc_session){.schema = self->schema,
                       .kind = self->kind,
                       .max_value_bytes = self->max_value_bytes,
                       .inline_values = self->inline_values,
                       .namespace_name = self->namespace_name,
                       .keyed_digests = self->keyed_digests,
                       .noted = self->noted,
                       .roles = &self->roles,
                       .stamps = &here->stamps,
                       .near = here->near.near,
                       .walker = here->walker,
                       .deadline = deadline,
                       .error = error};
}

/* One attempt on one connection; the lost marker is put back here, so that the next attempt finds it. */
static pgcache_status attempt(pgc_pg_store *self, pgc_process *here, pgc_op *op, pgcache_error *error, pgc_fault *fault,
                              bool *retry) {
  pgc_source *source = here->source;
  pgc_session session = pgc_pg_session(self, here, op->deadline, error);
  session.impatient = op->impatient;
  bool busy;
  *retry = false;
  int64_t began_us = pgc_monotonic_us();
  pgcache_status status = source->acquire(source, &session.connection, op->deadline, &busy, error);
  if (status != PGCACHE_OK) {
    *fault = fault_of_acquire(status, !busy && pgc_monotonic_us() - began_us >= self->patience_us);
    return status;
  }
  began_us = pgc_monotonic_us();
  status = pgc_pg_operate(&session, op);
  if (session.no_marker && session.connection->mode == PGC_MODE_NESTED) {
    status = pgc_session_refuse_epoch(&session);
  } else if (session.no_marker) {
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
  if (session.connection->borrowed)
    status = pgc_session_leave(&session, status);
  if (status < 0)
    pgc_pg_drop_outputs(op);
  source->release(source, session.connection, !session.broken);
  if (session.fault == PGC_FAULT_SILENT && pgc_monotonic_us() - began_us < self->patience_us)
    session.fault = PGC_FAULT_NOBODYS;
  /* What was idle meanwhile may be as dead, and would cost a call each; or lead to a primary that is none any more; or have
     prepared what the role may not do any more. */
  if (session.fault == PGC_FAULT_SILENT)
    source->distrust(source, began_us);
  else if ((status == PGCACHE_READ_ONLY || (status == PGCACHE_DENIED && session.retry)) && session.broken)
    source->distrust(source, PGC_NO_DEADLINE);
  bool closed = source->closed(source);
  *fault = closed ? PGC_FAULT_NOBODYS : session.fault;
  if ((status == PGCACHE_UNAVAILABLE || status == PGCACHE_TIMEOUT) && closed)
    return pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
  *retry = status < 0 && session.retry;
  return status;
}

/* A short pause of random length, longer from time to time, so that those who met do not meet again. */
static void pause_before(int attempt_number) {
  usleep((useconds_t)(pgc_random_u64() % (uint64_t)(1000 << attempt_number)));
}

/* Asks the breaker. Each call that it refuses also sees to it that a lost connection is being replaced. */
static pgc_breaker_verdict let_through(pgc_pg_store *self, pgc_process *here, const pgc_op *op, pgcache_error *error) {
  pgc_source *source = here->source;
  if (pgc_op_is_maintenance(op->kind) || !pgc_breaker_is_open(&here->breaker) || source->closed(source))
    return PGC_BREAKER_PASS;
  bool connected = source->look(source);
  int64_t now = pgc_monotonic_us();
  int64_t lease = op->deadline < now + PROBE_MAX_US ? op->deadline : now + PROBE_MAX_US;
  pgc_breaker_verdict verdict = pgc_breaker_enter(&here->breaker, now, lease, connected, error);
  if (verdict == PGC_BREAKER_REFUSE)
    pgc_count(&self->base.counters.breaker_refused);
  else if (verdict == PGC_BREAKER_PROBE)
    pgc_audience_state(self->base.audience, "breaker", "half-open", PGCACHE_LEVEL_INFO, 0, NULL, NULL);
  return verdict;
}

/* The clock is read only when there is something to tell. */
void pgc_pg_leave_breaker(pgc_pg_store *self, pgc_process *here, pgc_breaker_verdict verdict, pgc_fault fault,
                          const pgcache_error *failure) {
  if (fault == PGC_FAULT_NONE && pgc_breaker_is_calm(&here->breaker))
    return;
  pgc_breaker_turn turn =
      pgc_breaker_leave(&here->breaker, verdict, fault, pgc_monotonic_us(), pgc_random_u64(), failure);
  pgc_breaker_tell(turn, &self->base.counters, self->base.audience, failure);
}

static pgc_deadline sooner(pgc_deadline left, pgc_deadline right) {
  return left < right ? left : right;
}

static int compare_digests(const void *left, const void *right) {
  return pgc_digest_compare(left, right);
}

/* Notes in the store which entries were read, from it or from copies. What fails is not tried again: hot entries are read again.
   *more: there may be more copies to tell of. */
static pgcache_status hand_stamps_over(pgc_pg_store *self, pgc_process *here, pgc_deadline deadline, bool attending,
                                       bool *more, pgcache_error *error) {
  pgc_digest digests[2 * PGC_STAMPS_MAX]; /* half of it for what is read from copies, whatever else is read */
  size_t count, copies = 0;
  *more = false;
  if (!pgc_stamps_take(&here->stamps, digests, &count, attending))
    return PGCACHE_OK;
  if (here->near.near != NULL)
    copies = pgc_near_used(here->near.near, digests + count, PGC_STAMPS_MAX, pgc_now_us(), here->stamps.stamp_us);
  *more = copies == PGC_STAMPS_MAX;
  count += copies;
  if (count == 0)
    return PGCACHE_OK;
  qsort(digests, count, sizeof *digests, compare_digests); /* see stamp.sql */
  pgc_op op = {.kind = PGC_OP_STAMP, .deadline = deadline, .u.stamp = {.digests = digests, .count = count}};
  pgcache_error failure = PGCACHE_ERROR_INIT;
  pgc_fault fault = PGC_FAULT_NONE;
  bool retry;
  int64_t began_us = pgc_now_us();
  pgcache_status status = attempt(self, here, &op, &failure, &fault, &retry);
  pgc_stamps_spent(&here->stamps, pgc_now_us() - began_us, self->cleanup_share);
  if (status < 0)
    return pgc_fail_sql(error, status, failure.sqlstate, "%s", failure.message);
  pgc_count_more(&self->base.counters.entries_touched, op.u.stamp.noted);
  return PGCACHE_OK;
}

static pgcache_status pg_run(pgc_store *base, pgc_op *op, pgcache_error *error) {
  pgc_pg_store *self = (pgc_pg_store *)base;
  pgc_process *here = pgc_pg_process(self);
  if (here == NULL)
    return pgc_fail_memory(error);
  if (op->kind == PGC_OP_STAMP)
    return hand_stamps_over(self, here, op->deadline, true, &op->u.stamp.more, error);
  pgc_breaker_verdict verdict = let_through(self, here, op, error);
  if (verdict == PGC_BREAKER_REFUSE)
    return PGCACHE_UNAVAILABLE;

  if (op->kind == PGC_OP_DOCTOR) {
    int idle, waiting;
    here->source->count(here->source, &op->u.doctor.pool_open, &idle, &waiting);
    op->u.doctor.near_max_bytes = self->settings->near_max_bytes;
    op->u.doctor.listens_elsewhere = self->settings->listen_url[0] != '\0';
    op->u.doctor.listener = pgc_listener_is_started(here->near.listener) ? here->near.listener : NULL;
  }
  pgcache_error failure = PGCACHE_ERROR_INIT; /* of attempts that a later one makes good */
  pgcache_status status = PGCACHE_OK;
  pgc_fault fault = PGC_FAULT_NONE;
  bool retry = true, more;
  for (int number = 1; retry && number <= PGC_ATTEMPTS_MAX; number++) {
    if (number > 1) {
      if (pgc_deadline_poll_ms(op->deadline) == 0)
        break;
      if (status == PGCACHE_CONFLICT && failure.sqlstate[0] != '\0')
        pause_before(number);
    }
    status = attempt(self, here, op, &failure, &fault, &retry);
  }
  if (status >= 0)
    fault = PGC_FAULT_NONE;
  else if (fault != PGC_FAULT_NONE && pgc_op_is_maintenance(op->kind))
    fault = PGC_FAULT_NOBODYS; /* its success closes the breaker, its failure counts for nothing */
  pgc_pg_leave_breaker(self, here, verdict, fault, &failure);
  if (status < 0)
    return pgc_fail_sql(error, status, failure.sqlstate, "%s", failure.message);
  if (op->kind == PGC_OP_STATS) {
    int open, idle, waiting;
    here->source->count(here->source, &open, &idle, &waiting);
    op->u.stats->pool_open = open;
    op->u.stats->pool_idle = idle;
  }
  if (status == PGCACHE_OK && pgc_stamps_due(&here->stamps) && (op->kind == PGC_OP_GET || op->kind == PGC_OP_GET_MANY))
    (void)hand_stamps_over(self, here, sooner(op->deadline, pgc_deadline_in(STAMP_MS)), false, &more, NULL);
  return status;
}

static void pg_shutdown(pgc_store *base) {
  pgc_process *here = pgc_pg_process((pgc_pg_store *)base);
  if (here == NULL)
    return;
  here->source->shutdown(here->source);
  if (here->near.listener != NULL)
    pgc_listener_shutdown(here->near.listener);
  pgc_flights_rouse_all(here->flights);
}

static pgc_flights *pg_flights(pgc_store *base) {
  pgc_process *here = pgc_pg_process((pgc_pg_store *)base);
  return here != NULL ? here->flights : NULL;
}

static void pg_look(pgc_store *base, pgc_store_look *out) {
  pgc_pg_store *self = (pgc_pg_store *)base;
  pgc_process *here = pgc_pg_process(self);
  if (here == NULL)
    return;
  here->source->count(here->source, &out->pool_open, &out->pool_idle, &out->pool_waiting);
  out->pool_max = self->settings->pool_max;
  out->breaker_open = pgc_breaker_is_open(&here->breaker);
}

static void pg_free(pgc_store *base) {
  pgc_pg_store *self = (pgc_pg_store *)base;
  pgc_process *known = atomic_load(&self->process);
  if (known->fork_generation == pgc_fork_generation())
    process_free(known);
  else
    close_sockets_after_fork(known); /* a child that never used the handle */
  pgc_free(self);
}

/* A store without its source, which needs the store's counters. NULL when out of memory. */
static pgc_pg_store *store_new(const pgc_settings *settings) {
  pgc_pg_store *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL)
    return NULL;
  self->base = (pgc_store){.run = pg_run, .flights = pg_flights, .shutdown = pg_shutdown, .free = pg_free};
  self->settings = settings;
  memcpy(self->schema, settings->schema, sizeof self->schema);
  self->kind = settings->kind;
  self->max_value_bytes = settings->max_value_bytes;
  self->inline_values = settings->inline_values;
  pgc_settings_roles(settings, &self->roles);
  self->cleanup_share = settings->cleanup_share;
  self->patience_us =
      (settings->timeout_ms < PATIENCE_US / 1000 ? settings->timeout_ms * 1000 : PATIENCE_US) - HEAD_START_US;
  memcpy(self->namespace_name, settings->namespace_name, sizeof self->namespace_name);
  self->keyed_digests = settings->keyed_digests;
  return self;
}

/* Gives the store what belongs to its first process; all is gone when out of memory, or when source or flights are NULL
   because of that. */
static pgcache_status complete(pgc_store **out, pgc_pg_store *self, pgc_source *source, pgc_flights *flights,
                               pgc_pg_near near, int64_t stamp_us, int breaker_failures, int64_t breaker_pause_ms,
                               pgcache_error *error) {
  pgc_process *first = process_new(source, flights, near, stamp_us, breaker_failures, breaker_pause_ms * 1000);
  if (first == NULL) {
    pgc_free(self);
    return pgc_fail_memory(error);
  }
  atomic_init(&self->process, first);
  *out = &self->base;
  return PGCACHE_OK;
}

pgcache_status pgc_pg_store_new(pgc_store **out, const char *conninfo, const char *local_dir,
                                const pgc_settings *settings, pgc_audience *audience, pgcache_error *error) {
  *out = NULL;
  pgc_connect_plan plan;
  pgcache_status status = pgc_connect_plan_make(&plan, conninfo, local_dir, settings->prepared, error);
  if (status != PGCACHE_OK)
    return status;
  pgc_pg_store *self = store_new(settings);
  if (self == NULL) {
    pgc_connect_plan_clear(&plan);
    return pgc_fail_memory(error);
  }
  self->base.audience = audience;
  pgc_pg_near near;
  pgc_flights *flights = pgc_flights_new();
  status = pgc_pg_near_make(&near, conninfo, local_dir, settings, flights, &self->base, error);
  if (status != PGCACHE_OK) {
    pgc_connect_plan_clear(&plan);
    pgc_flights_free(flights);
    pgc_free(self);
    return status;
  }
  const pgc_pool_limits limits = {.min = settings->pool_min,
                                  .max = settings->pool_max,
                                  .lifetime_us = settings->pool_max_lifetime_ms * 1000,
                                  .idle_us = settings->pool_idle_ms * 1000};
  self->base.open_channel = pgc_pg_open_channel;
  self->base.is_troubled = pgc_pg_is_troubled;
  self->base.waited_in_vain = pgc_pg_waited_in_vain;
  self->base.is_stamp_due = pgc_pg_is_stamp_due;
  if (settings->near_max_bytes > 0) /* else reads do not look for one */
    self->base.near = pgc_pg_near_of;
  self->base.fence = pgc_pg_fence;
  self->base.look = pg_look;
  return complete(out, self, pgc_pool_new(&plan, &limits, &self->base.counters), flights, near,
                  settings->access_stamp_ms * 1000, settings->breaker_failures, settings->breaker_pause_ms, error);
}

pgcache_status pgc_borrowing_store_new(pgc_store **out, PGconn *connection, const pgcache_connection_hooks *hooks,
                                       const pgc_settings *settings, pgcache_error *error) {
  *out = NULL;
  pgc_pg_store *self = store_new(settings);
  if (self == NULL)
    return pgc_fail_memory(error);
  /* Without the breaker: a connection that is broken is known as such at once, and a new one is worth a try at once. */
  /* And reads are not noted: that would lock rows until the end of the application's transaction. */
  const pgc_pg_near none = {0}; /* a near cache would hold what is not committed */
  return complete(out, self, pgc_borrowed_new(connection, hooks), pgc_flights_new(), none, INT64_MAX, 0, 0, error);
}
