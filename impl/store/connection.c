/*
 * connection.c - see connection.h. The socket never blocks: every wait is a poll() with what is left of the deadline.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "platform/buffer.h"
#include "platform/memory.h"
#include "pgc_sql.h"
#include "pure/sql_text.h"

/* What the server says unasked. Notices are nobody's business; FATAL and the announcement of a shutdown mean that it
   closes the connection, even if the end of the stream has not arrived yet. */
static void note_last_words(void *connection, const PGresult *notice) {
  const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  const char *code = PQresultErrorField(notice, PG_DIAG_SQLSTATE);
  if ((severity != NULL && strcmp(severity, "FATAL") == 0) || (code != NULL && strncmp(code, "57P", 3) == 0))
    ((pgc_connection *)connection)->doomed = true;
}

pgc_connection *pgc_connection_new(PGconn *pg) {
  pgc_connection *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL || PQsetnonblocking(pg, 1) != 0) {
    pgc_free(self);
    PQfinish(pg);
    return NULL;
  }
  self->pg = pg;
  self->slot = -1;
  PQsetNoticeReceiver(pg, note_last_words, self);
  return self;
}

void pgc_connection_free(pgc_connection *self) {
  if (self == NULL)
    return;
  PQfinish(self->pg);
  pgc_free(self);
}

void pgc_connections_free(pgc_connection *first) {
  while (first != NULL) {
    pgc_connection *next = first->next;
    pgc_connection_free(first);
    first = next;
  }
}

/* Waits for one of the events; 0 when the deadline has passed. */
static short wait_for(pgc_connection *self, short events, pgc_deadline deadline) {
  struct pollfd socket = {.fd = PQsocket(self->pg), .events = events};
  for (;;) {
    int ready = poll(&socket, 1, pgc_deadline_poll_ms(deadline));
    if (ready > 0)
      return socket.revents; /* POLLERR and POLLHUP, too: reading tells what it is */
    if (ready == 0 || errno != EINTR)
      return 0;
  }
}

static void note_sqlstate(pgc_reply *reply, const PGresult *result) {
  const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (code != NULL && strlen(code) == 5)
    memcpy(reply->sqlstate, code, 6);
}

/* What libpq could not even queue: its memory ran out, or the connection is gone. */
static pgc_reply not_queued(pgc_connection *self) {
  return (pgc_reply){.kind = PQstatus(self->pg) == CONNECTION_BAD ? PGC_REPLY_LOST : PGC_REPLY_NO_MEMORY};
}

/* Pushes out what was queued, and reads meanwhile, so that two full socket buffers never wait for each other.
   *all_sent: the last byte has left, or may have. */
static pgc_reply_kind flush(pgc_connection *self, bool *all_sent, pgc_deadline deadline) {
  for (;;) {
    int left = PQflush(self->pg);
    if (left == 0) {
      *all_sent = true;
      return PGC_REPLY_RESULT;
    }
    if (left < 0)
      return PGC_REPLY_LOST;
    short ready = wait_for(self, POLLIN | POLLOUT, deadline);
    if (ready == 0)
      return PGC_REPLY_TIMEOUT;
    if ((ready & ~POLLOUT) != 0 && !PQconsumeInput(self->pg)) {
      *all_sent = true; /* it sends before it reads, and does not tell how much: perhaps all */
      return PGC_REPLY_LOST;
    }
  }
}

/* Sends what was queued and collects the answer. It is complete only when the server says that it is ready again: for a
   statement outside of a transaction block that is after its commit. */
static pgc_reply finish_exchange(pgc_connection *self, pgc_deadline deadline) {
  pgc_reply reply = {.kind = PGC_REPLY_RESULT};
  reply.kind = flush(self, &reply.sent, deadline);
  if (reply.kind != PGC_REPLY_RESULT)
    return reply;

  for (;;) {
    while (PQisBusy(self->pg)) {
      if (wait_for(self, POLLIN, deadline) == 0) {
        reply.kind = PGC_REPLY_TIMEOUT;
        PQclear(reply.result);
        reply.result = NULL;
        return reply;
      }
      if (!PQconsumeInput(self->pg))
        break; /* PQgetResult() tells, with what the server may have said at last */
    }
    PGresult *result = PQgetResult(self->pg);
    if (result == NULL)
      break;
    ExecStatusType status = PQresultStatus(result);
    bool failed = status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
    if (reply.kind == PGC_REPLY_RESULT || failed) { /* the last result, or the first error and nothing after it */
      if (reply.kind == PGC_REPLY_RESULT) {
        PQclear(reply.result);
        reply.result = result;
      } else {
        PQclear(result);
      }
      if (failed) {
        reply.kind = PGC_REPLY_ERROR;
        note_sqlstate(&reply, reply.result);
      }
    } else {
      PQclear(result);
    }
  }

  if (PQstatus(self->pg) == CONNECTION_BAD)
    reply.kind = PGC_REPLY_LOST;
  else if (reply.kind == PGC_REPLY_ERROR && reply.sqlstate[0] == '\0')
    reply.kind = PGC_REPLY_NO_MEMORY; /* libpq made this error itself, on a sound connection */
  else if (reply.result == NULL)
    reply.kind = PGC_REPLY_NO_MEMORY;
  return reply;
}

/* Prepares a statement. A RESULT reply is spent; any other one is the caller's answer, with nothing executed. */
static pgc_reply prepare(pgc_connection *self, pgc_statement_id id, const char *schema, bool logged,
                         pgc_deadline deadline) {
  const pgc_statement *statement = pgc_statement_get(id);
  pgc_buffer sql = PGC_BUFFER_INIT;
  pgc_sql_resolve(&sql, statement->sql, schema, logged);
  pgc_buffer_append(&sql, "", 1);
  if (sql.failed) {
    pgc_buffer_clear(&sql);
    return (pgc_reply){.kind = PGC_REPLY_NO_MEMORY};
  }
  int queued = PQsendPrepare(self->pg, statement->name, (const char *)sql.data, 0, NULL);
  pgc_buffer_clear(&sql);
  if (!queued)
    return not_queued(self);

  pgc_reply reply = finish_exchange(self, deadline);
  reply.sent = false;
  if (reply.kind == PGC_REPLY_RESULT) {
    PQclear(reply.result);
    reply.result = NULL;
    self->prepared |= UINT32_C(1) << id;
  }
  return reply;
}

static pgc_reply allow_scans(pgc_connection *self, bool allowed, pgc_deadline deadline) {
  pgc_reply reply = pgc_connection_run_with(self, pgc_sql_statements_allow_scans, allowed ? "on" : "off", deadline);
  reply.sent = false;
  if (reply.kind == PGC_REPLY_RESULT) {
    PQclear(reply.result);
    reply.result = NULL;
    self->scans_allowed = allowed;
  }
  return reply;
}

pgc_reply pgc_connection_execute(pgc_connection *self, pgc_statement_id id, const pgc_parameters *parameters,
                                 const char *schema, bool logged, pgc_deadline deadline) {
  const pgc_statement *statement = pgc_statement_get(id);
  if (statement->scans != self->scans_allowed) {
    pgc_reply reply = allow_scans(self, statement->scans, deadline);
    if (reply.kind != PGC_REPLY_RESULT)
      return reply;
  }
  if ((self->prepared & UINT32_C(1) << id) == 0) {
    pgc_reply reply = prepare(self, id, schema, logged, deadline);
    if (reply.kind != PGC_REPLY_RESULT)
      return reply;
  }
  if (!PQsendQueryPrepared(self->pg, statement->name, parameters->count, parameters->values, parameters->lengths,
                           parameters->formats, 1))
    return not_queued(self);
  return finish_exchange(self, deadline);
}

pgc_reply pgc_connection_run(pgc_connection *self, const char *sql, pgc_deadline deadline) {
  if (!PQsendQuery(self->pg, sql))
    return not_queued(self);
  return finish_exchange(self, deadline);
}

pgc_reply pgc_connection_run_with(pgc_connection *self, const char *sql, const char *parameter, pgc_deadline deadline) {
  if (!PQsendQueryParams(self->pg, sql, 1, NULL, &parameter, NULL, NULL, 0))
    return not_queued(self);
  return finish_exchange(self, deadline);
}

bool pgc_connection_alive(pgc_connection *self) {
  struct pollfd socket = {.fd = PQsocket(self->pg), .events = POLLIN};
  while (poll(&socket, 1, 0) != 0) { /* nothing to read is the usual case */
    if (!PQconsumeInput(self->pg) || PQstatus(self->pg) != CONNECTION_OK)
      return false;
    PQisBusy(self->pg); /* looks at what was read */
    if (self->doomed)
      return false;
  }
  return true;
}
