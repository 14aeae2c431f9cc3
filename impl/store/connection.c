/*
 * connection.c - see connection.h. The socket never blocks: every wait is a poll() with what is left of the deadline.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "platform/buffer.h"
#include "platform/memory.h"
#include "pgc_sql.h"
#include "pure/sql_text.h"

_Static_assert(PGC_STATEMENT_COUNT <= 64, "pgc_connection.prepared has a bit for each statement");

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
  if (!self->borrowed)
    PQfinish(self->pg);
  PQclear(self->before);
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
  self->unusable = true;
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

/* Takes the next result into the reply: the last result counts, or the first error and nothing after it. */
static void note_result(pgc_connection *self, pgc_reply *reply, PGresult *result) {
  ExecStatusType status = PQresultStatus(result);
  bool failed = status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
  if (reply->kind == PGC_REPLY_ERROR || status == PGRES_PIPELINE_ABORTED) {
    PQclear(result);
  } else if (self->mode == PGC_MODE_NESTED && self->entered && self->before == NULL && status == PGRES_TUPLES_OK) {
    self->before = result; /* the first rows behind the savepoint are those of local_settings.sql */
  } else {
    PQclear(reply->result);
    reply->result = result;
    if (failed) {
      reply->kind = PGC_REPLY_ERROR;
      note_sqlstate(reply, result);
    }
  }
}

/* More than a pipeline of ours has commands: libpq has nothing, and will have nothing. */
#define NOTHING_MAX 8

/* Sends what was queued and collects the answer. It is complete only when the server says that it is ready again: for a
   statement outside of a transaction block that is after its commit. */
static pgc_reply exchange(pgc_connection *self, pgc_deadline deadline) {
  bool pipeline = PQpipelineStatus(self->pg) != PQ_PIPELINE_OFF;
  pgc_reply reply = {.kind = PGC_REPLY_RESULT};
  reply.kind = flush(self, &reply.sent, deadline);
  if (reply.kind != PGC_REPLY_RESULT)
    return reply;

  for (int nothing = 0; nothing < NOTHING_MAX;) {
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
    if (result == NULL) { /* the end; in a pipeline, that of one command */
      if (!pipeline || PQstatus(self->pg) == CONNECTION_BAD)
        break;
      nothing++;
    } else if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
      PQclear(result);
      break;
    } else {
      note_result(self, &reply, result);
    }
  }

  if (PQstatus(self->pg) == CONNECTION_BAD)
    reply.kind = PGC_REPLY_LOST;
  else if (reply.kind == PGC_REPLY_ERROR && reply.sqlstate[0] == '\0')
    reply.kind = PGC_REPLY_NO_MEMORY; /* libpq made this error itself, on a sound connection */
  else if (reply.result == NULL || (pipeline && !PQexitPipelineMode(self->pg)))
    reply.kind = PGC_REPLY_NO_MEMORY;
  return reply;
}

static pgc_reply finish_exchange(pgc_connection *self, pgc_deadline deadline) {
  pgc_reply reply = exchange(self, deadline);
  if (reply.kind != PGC_REPLY_RESULT && reply.kind != PGC_REPLY_ERROR)
    self->unusable = true;
  return reply;
}

bool pgc_connection_text(const pgc_connection *self, pgc_buffer *out, pgc_statement_id id, const char *schema,
                         pgc_schema_kind kind) {
  const char *text = pgc_statement_get(id)->sql[self->access];
  if (self->mode == PGC_MODE_NESTED)
    pgc_sql_resolve(out, text, schema, kind);
  else
    pgc_sql_resolve_alone(out, text, schema, kind);
  pgc_buffer_append(out, "", 1);
  if (out->failed)
    pgc_buffer_clear(out);
  return out->data != NULL;
}

/* Prepares a statement. A RESULT reply is spent; any other one is the caller's answer, with nothing executed. */
static pgc_reply prepare(pgc_connection *self, pgc_statement_id id, const char *schema, pgc_schema_kind kind,
                         pgc_deadline deadline) {
  pgc_buffer sql = PGC_BUFFER_INIT;
  if (!pgc_connection_text(self, &sql, id, schema, kind))
    return (pgc_reply){.kind = PGC_REPLY_NO_MEMORY};
  int queued = PQsendPrepare(self->pg, pgc_statement_get(id)->name, (const char *)sql.data, 0, NULL);
  pgc_buffer_clear(&sql);
  if (!queued)
    return not_queued(self);

  pgc_reply reply = finish_exchange(self, deadline);
  reply.sent = false;
  if (reply.kind == PGC_REPLY_RESULT) {
    PQclear(reply.result);
    reply.result = NULL;
    self->prepared |= UINT64_C(1) << id;
  }
  return reply;
}

/* A setting of the session. A RESULT reply is spent. */
static pgc_reply set(pgc_connection *self, const char *sql, const char *value, pgc_deadline deadline) {
  pgc_reply reply = pgc_connection_run_with(self, sql, value, deadline);
  reply.sent = false;
  if (reply.kind == PGC_REPLY_RESULT) {
    PQclear(reply.result);
    reply.result = NULL;
  }
  return reply;
}

pgc_reply pgc_connection_allow_scans(pgc_connection *self, bool allowed, pgc_deadline deadline) {
  pgc_reply reply = set(self, pgc_sql_statements_allow_scans, allowed ? "on" : "off", deadline);
  if (reply.kind == PGC_REPLY_RESULT)
    self->scans_allowed = allowed;
  return reply;
}

pgc_reply pgc_connection_make_impatient(pgc_connection *self, bool impatient, pgc_deadline deadline) {
  char wait_ms[12];
  snprintf(wait_ms, sizeof wait_ms, "%d", impatient ? PGC_LOCK_MS : 0);
  pgc_reply reply = set(self, pgc_sql_statements_lock_timeout, wait_ms, deadline);
  if (reply.kind == PGC_REPLY_RESULT)
    self->impatient = impatient;
  return reply;
}

static pgc_reply execute_prepared(pgc_connection *self, pgc_statement_id id, const pgc_parameters *parameters,
                                  const char *schema, pgc_schema_kind kind, pgc_deadline deadline) {
  const pgc_statement *statement = pgc_statement_get(id);
  if (statement->scans != self->scans_allowed) {
    pgc_reply reply = pgc_connection_allow_scans(self, statement->scans, deadline);
    if (reply.kind != PGC_REPLY_RESULT)
      return reply;
  }
  if ((self->prepared & UINT64_C(1) << id) == 0) {
    pgc_reply reply = prepare(self, id, schema, kind, deadline);
    if (reply.kind != PGC_REPLY_RESULT)
      return reply;
  }
  if (!PQsendQueryPrepared(self->pg, statement->name, parameters->count, parameters->values, parameters->lengths,
                           parameters->formats, 1))
    return not_queued(self);
  return finish_exchange(self, deadline);
}

/* ---- Sessions that are not ours: everything is sent in one pipeline, which is one round trip and one transaction ---- */

/* Adds a command to the pipeline; all parameters are text. */
static bool queue(pgc_connection *self, const char *sql, int count, const char *const *values) {
  return PQsendQueryParams(self->pg, sql, count, NULL, values, NULL, NULL, 0) == 1;
}

/* Ends the pipeline, if all of it could be queued. It may have been sent when its end was refused. */
static pgc_reply finish_pipeline(pgc_connection *self, bool queued, pgc_deadline deadline) {
  if (!queued)
    return not_queued(self);
  if (!PQpipelineSync(self->pg)) {
    pgc_reply reply = not_queued(self);
    reply.sent = true;
    return reply;
  }
  return finish_exchange(self, deadline);
}

/* When the server shall end a statement by itself, in milliseconds: somewhat before the deadline, so that its word comes in
   time and the connection can be kept. */
static int server_limit_ms(pgc_deadline deadline) {
  int left_ms = pgc_deadline_poll_ms(deadline);
  if (left_ms < 0)
    return INT_MAX;
  int margin_ms = left_ms / 5 < 200 ? left_ms / 5 : 200;
  return left_ms - margin_ms > 0 ? left_ms - margin_ms : 1;
}

bool pgc_connection_queue_settings(pgc_connection *self, bool impatient, pgc_deadline deadline) {
  char limit[16], lock_limit[16];
  const char *const limits[] = {limit, impatient ? lock_limit : NULL};
  snprintf(limit, sizeof limit, "%d", server_limit_ms(deadline));
  snprintf(lock_limit, sizeof lock_limit, "%d", PGC_LOCK_MS);
  return queue(self, pgc_sql_statements_local_settings, 2, limits);
}

static pgc_reply execute_unprepared(pgc_connection *self, pgc_statement_id id, const pgc_parameters *parameters,
                                    const char *schema, pgc_schema_kind kind, pgc_deadline deadline) {
  pgc_buffer sql = PGC_BUFFER_INIT;
  if (!pgc_connection_text(self, &sql, id, schema, kind))
    return (pgc_reply){.kind = PGC_REPLY_NO_MEMORY};
  bool queued = PQenterPipelineMode(self->pg) == 1;
  if (queued && self->mode == PGC_MODE_NESTED && !self->entered)
    queued = self->entered = queue(self, "SAVEPOINT pgcache", 0, NULL);
  queued = queued && pgc_connection_queue_settings(self, self->impatient, deadline) &&
           PQsendQueryParams(self->pg, (const char *)sql.data, parameters->count, NULL, parameters->values,
                             parameters->lengths, parameters->formats, 1) == 1;
  pgc_buffer_clear(&sql);
  return finish_pipeline(self, queued, deadline);
}

pgc_reply pgc_connection_execute(pgc_connection *self, pgc_statement_id id, const pgc_parameters *parameters,
                                 const char *schema, pgc_schema_kind kind, pgc_deadline deadline) {
  return (self->mode == PGC_MODE_PREPARED ? execute_prepared : execute_unprepared)(self, id, parameters, schema, kind,
                                                                                   deadline);
}

pgc_reply pgc_connection_run(pgc_connection *self, const char *sql, pgc_deadline deadline) {
  if (self->impatient && self->mode == PGC_MODE_PREPARED) {
    pgc_reply reply = pgc_connection_make_impatient(self, false, deadline);
    if (reply.kind != PGC_REPLY_RESULT)
      return reply;
  }
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

/* ---- The application's connection ---- */

pgc_connection *pgc_connection_borrow(PGconn *pg) {
  pgc_connection *self = pgc_alloc_zero(sizeof *self);
  bool was_blocking = !PQisnonblocking(pg);
  if (self == NULL || (was_blocking && PQsetnonblocking(pg, 1) != 0)) {
    pgc_free(self);
    return NULL;
  }
  self->pg = pg;
  self->slot = -1;
  self->borrowed = true;
  self->was_blocking = was_blocking;
  self->mode = PQtransactionStatus(pg) == PQTRANS_INTRANS ? PGC_MODE_NESTED : PGC_MODE_UNPREPARED;
  return self;
}

/* Takes the settings back, which would last until the end of the transaction, and forgets the savepoint. */
static pgc_reply release_savepoint(pgc_connection *self, pgc_deadline deadline) {
  const char *const found[] = {PQgetvalue(self->before, 0, 0), PQgetvalue(self->before, 0, 1),
                               PQgetvalue(self->before, 0, 2)};
  bool queued = PQenterPipelineMode(self->pg) == 1 && queue(self, pgc_sql_statements_restore_settings, 3, found) &&
                queue(self, "RELEASE SAVEPOINT pgcache", 0, NULL);
  return finish_pipeline(self, queued, deadline);
}

/* The same with all that was done since: settings, too, are as they were at the savepoint. */
static pgc_reply roll_back_to_savepoint(pgc_connection *self, pgc_deadline deadline) {
  bool queued = PQenterPipelineMode(self->pg) == 1 && queue(self, "ROLLBACK TO SAVEPOINT pgcache", 0, NULL) &&
                queue(self, "RELEASE SAVEPOINT pgcache", 0, NULL);
  return finish_pipeline(self, queued, deadline);
}

pgc_reply pgc_connection_leave(pgc_connection *self, bool keep, pgc_deadline deadline) {
  pgc_reply reply = {.kind = PGC_REPLY_RESULT};
  PGTransactionStatusType now = PQtransactionStatus(self->pg);
  if (self->unusable)
    return reply;
  if (self->mode != PGC_MODE_NESTED) { /* a migration that failed has left its transaction open */
    if (now != PQTRANS_IDLE)
      reply = pgc_connection_run(self, "ROLLBACK", deadline);
  } else if (self->entered) {
    keep = keep && now == PQTRANS_INTRANS && self->before != NULL;
    if (keep)
      reply = release_savepoint(self, deadline);
    if (!keep || reply.kind == PGC_REPLY_ERROR) {
      pgc_reply undone = roll_back_to_savepoint(self, deadline);
      if (!keep || undone.kind != PGC_REPLY_RESULT) {
        PQclear(reply.result);
        reply = undone;
      } else {
        PQclear(undone.result);
      }
    }
  }
  if (reply.kind == PGC_REPLY_RESULT) {
    PQclear(reply.result);
    reply.result = NULL;
  }
  return reply;
}

bool pgc_connection_has_old_snapshot(const pgc_connection *self) {
  enum { ISOLATION = 6 };
  return self->mode == PGC_MODE_NESTED && self->before != NULL && PQnfields(self->before) > ISOLATION &&
         strncmp(PQgetvalue(self->before, 0, ISOLATION), "read ", 5) != 0;
}

/* How often what the server still had to say is read, before its end of the stream. */
#define LAST_READS 100000

bool pgc_connection_give_back(pgc_connection *self) {
  PGTransactionStatusType found = self->mode == PGC_MODE_NESTED ? PQTRANS_INTRANS : PQTRANS_IDLE;
  bool sound = !self->unusable && PQtransactionStatus(self->pg) == found &&
               (!self->was_blocking || PQsetnonblocking(self->pg, 0) == 0);
  if (!sound && PQstatus(self->pg) == CONNECTION_OK) {
    shutdown(PQsocket(self->pg), SHUT_RDWR);
    for (int i = 0; i < LAST_READS && PQstatus(self->pg) == CONNECTION_OK; i++)
      PQconsumeInput(self->pg);
  }
  pgc_connection_free(self);
  return sound;
}
