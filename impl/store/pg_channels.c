/*
 * pg_channels.c - see pg_inside.h. Lends connections of the store to channels, and lets what they meet count as a call's does.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/error.h"
#include "store/pg_channel.h"
#include "store/pg_inside.h"
#include "store/pg_schema.h"

/* Brings a connection to where a statement can be sent at once. */
static pgcache_status make_ready(pgc_session *session) {
  pgc_connection *connection = session->connection;
  pgcache_status status = connection->checked ? PGCACHE_OK : pgc_schema_check(session);
  pgc_reply reply = {.kind = PGC_REPLY_RESULT};
  if (status == PGCACHE_OK && connection->scans_allowed)
    reply = pgc_connection_allow_scans(connection, false, session->deadline);
  if (status == PGCACHE_OK && reply.kind == PGC_REPLY_RESULT && !connection->impatient &&
      connection->mode == PGC_MODE_PREPARED)
    reply = pgc_connection_make_impatient(connection, true, session->deadline);
  return reply.kind == PGC_REPLY_RESULT ? status : pgc_session_explain(session, &reply);
}

static bool is_ready(const pgc_connection *connection) {
  return connection->checked && !connection->scans_allowed &&
         (connection->impatient || connection->mode != PGC_MODE_PREPARED);
}

/* One attempt on one connection. *retry: another one may succeed. */
static pgcache_status attempt(pgc_pg_store *self, pgc_process *here, pgc_channel **out, pgc_deadline deadline,
                              bool *busy, pgcache_error *error, bool *retry) {
  pgc_source *source = here->source;
  pgc_session session = pgc_pg_session(self, here, deadline, error);
  const pgc_channel_place place = {source, &here->breaker, &self->base.counters, self->base.audience};
  *retry = false;
  pgcache_status status = source->acquire(source, &session.connection, deadline, busy, error);
  if (status != PGCACHE_OK)
    return status;
  int64_t began_us = pgc_monotonic_us();
  status = make_ready(&session);
  if (status == PGCACHE_OK) {
    *out = pgc_pg_channel_new(&session, &place);
    if (*out != NULL)
      return PGCACHE_OK;
    status = pgc_fail_memory(error);
  }
  source->release(source, session.connection, !session.broken);
  if (session.fault == PGC_FAULT_SILENT && pgc_monotonic_us() - began_us >= self->patience_us)
    source->distrust(source, began_us);
  else if ((status == PGCACHE_READ_ONLY || (status == PGCACHE_DENIED && session.retry)) && session.broken)
    source->distrust(source, PGC_NO_DEADLINE);
  if ((status == PGCACHE_UNAVAILABLE || status == PGCACHE_TIMEOUT) && source->closed(source))
    return pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
  *retry = session.retry;
  return status;
}

/* What is open and ready: asks the server nothing, and says nothing about it. */
static pgcache_status open_at_once(pgc_pg_store *self, pgc_process *here, pgc_channel **out, bool *busy,
                                   pgcache_error *error) {
  pgc_source *source = here->source;
  pgc_session session = pgc_pg_session(self, here, 0, error);
  const pgc_channel_place place = {source, &here->breaker, &self->base.counters, self->base.audience};
  pgcache_status status = source->acquire(source, &session.connection, 0, busy, error);
  if (status != PGCACHE_OK)
    return status;
  if (is_ready(session.connection)) {
    *out = pgc_pg_channel_new(&session, &place);
    if (*out != NULL)
      return PGCACHE_OK;
    status = pgc_fail_memory(error);
  } else {
    status = pgc_fail(error, PGCACHE_TIMEOUT, "the idle connection is not ready");
  }
  source->release(source, session.connection, true);
  return status;
}

pgcache_status pgc_pg_open_channel(pgc_store *base, pgc_channel **out, pgc_deadline deadline, bool *busy,
                                   pgcache_error *error) {
  pgc_pg_store *self = (pgc_pg_store *)base;
  *out = NULL;
  *busy = false;
  pgc_process *here = pgc_pg_process(self);
  if (here == NULL)
    return pgc_fail_memory(error);
  if (deadline == 0)
    return open_at_once(self, here, out, busy, error);
  pgcache_error failure = PGCACHE_ERROR_INIT; /* of attempts that a later one makes good */
  pgcache_status status = PGCACHE_OK;
  bool retry = true;
  for (int number = 1; retry && number <= PGC_ATTEMPTS_MAX; number++) {
    if (number > 1 && pgc_deadline_poll_ms(deadline) == 0)
      break;
    status = attempt(self, here, out, deadline, busy, &failure, &retry);
  }
  if (status == PGCACHE_OK)
    return PGCACHE_OK;
  /* The breaker is not told: how long what is queued may wait for a connection is the engine's to say. */
  return pgc_fail_sql(error, status, failure.sqlstate, "%s", failure.message);
}

bool pgc_pg_is_troubled(pgc_store *base) {
  pgc_process *here = pgc_pg_process((pgc_pg_store *)base);
  return here != NULL && pgc_breaker_is_open(&here->breaker);
}

void pgc_pg_waited_in_vain(pgc_store *base, const pgcache_error *why) {
  if (why != NULL && why->status == PGCACHE_NO_MEMORY)
    return; /* which is not the server's failure */
  pgc_pg_store *self = (pgc_pg_store *)base;
  pgc_process *here = pgc_pg_process(self);
  if (here == NULL || here->source->closed(here->source))
    return;
  pgcache_error silence = PGCACHE_ERROR_INIT;
  if (why == NULL) { /* what was idle meanwhile may be as dead */
    here->source->distrust(here->source, pgc_monotonic_us() - self->patience_us);
    pgc_fail(&silence, PGCACHE_TIMEOUT, "the server did not answer before the deadline");
  }
  pgc_pg_leave_breaker(self, here, PGC_BREAKER_PASS, why == NULL ? PGC_FAULT_SILENT : PGC_FAULT_UNREACHABLE,
                       why == NULL ? &silence : why);
}

bool pgc_pg_is_stamp_due(pgc_store *base) {
  pgc_process *here = pgc_pg_process((pgc_pg_store *)base);
  return here != NULL && pgc_stamps_due(&here->stamps);
}
