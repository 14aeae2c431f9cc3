/*
 * pg_channel_answers.c - see pg_channel_inside.h. The answers of a pipeline, whose they are and what they mean; and what
 * becomes of the operations whose answers do not come.
 *
 * Must never: deliver anything before its group has ended, which is after the commit.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <sys/socket.h>

#include "platform/sync.h"
#include "pure/error.h"
#include "store/pg_channel_inside.h"
#include "store/pg_operations.h"
#include "store/pg_question.h"

/* More than libpq gives between two results of a pipeline: it has nothing, and will have nothing. */
#define NOTHING_MAX 8

/* The first statement of a write is the one that does it. */
static bool still_writes(const pgc_sent *sent) {
  return sent->step == 0 && pgc_op_writes(sent->op.kind);
}

pgc_session *pgc_channel_about(pgc_pg_channel *self, pgc_sent *sent) {
  pgc_session *session = &self->session;
  session->deadline = sent->op.deadline;
  session->writes = still_writes(sent);
  session->error = &sent->error;
  session->broken = session->retry = session->looked = session->no_marker = false;
  session->fault = PGC_FAULT_NONE;
  return session;
}

/* ---- The end of operations ---- */

void pgc_channel_settle(pgc_sent *sent, pgcache_status status, pgc_delivery delivery) {
  sent->status = status;
  sent->delivery = delivery;
  if (status < 0 || delivery != PGC_DELIVERED)
    pgc_pg_drop_outputs(&sent->op);
}

static void run_again(pgc_sent *sent) {
  bool unprepared = (sent->marks & PGC_SENT_UNPREPARED) != 0;
  pgc_channel_settle(sent, PGCACHE_CONFLICT, unprepared ? PGC_SEND_AGAIN : PGC_RUN_AGAIN);
  sent->marks |= PGC_SENT_JUDGED;
}

/* What the server did shows that it is there, or not. */
static void tell_breaker(pgc_pg_channel *self, pgc_fault fault, const pgcache_error *failure) {
  if (fault == PGC_FAULT_NONE && pgc_breaker_is_calm(self->place.breaker))
    return;
  if (self->place.source->closed(self->place.source))
    return;
  pgc_breaker_turn turn =
      pgc_breaker_leave(self->place.breaker, PGC_BREAKER_PASS, fault, pgc_monotonic_us(), pgc_random_u64(), failure);
  pgc_breaker_tell(turn, self->place.counters, self->place.audience, failure);
}

void pgc_channel_pass_kept_back(pgc_pg_channel *self) {
  while (self->under_way.first != NULL && (self->under_way.first->marks & PGC_SENT_KEPT_BACK) != 0)
    pgc_sent_append(&self->done, pgc_sent_take_first(&self->under_way));
}

/* The connection is of no use any more, in the middle of something. Of a write that was sent the sync has been queued, so
   that bytes of it may have left: it is in doubt, unless its answer said that it did nothing. What libpq still holds back is
   not sent any more: the socket is shut down, and nothing here calls libpq again but to free it. */
void pgc_channel_break_off(pgc_pg_channel *self, pgc_reply_kind how, const char *sqlstate) {
  if (self->broken)
    return;
  self->broken = true;
  shutdown(PQsocket(self->session.connection->pg), SHUT_RDWR);
  pgc_sent *sent;
  const pgcache_error *failure = NULL;
  while ((sent = pgc_sent_take_first(&self->under_way)) != NULL) {
    if ((sent->marks & (PGC_SENT_KEPT_BACK | PGC_SENT_JUDGED)) == 0) {
      pgc_session *session = pgc_channel_about(self, sent);
      pgc_reply reply = {.kind = how, .sent = true};
      if (sqlstate != NULL)
        memcpy(reply.sqlstate, sqlstate, sizeof reply.sqlstate);
      pgc_channel_settle(sent, pgc_session_explain(session, &reply), session->writes ? PGC_DELIVERED : PGC_LOST);
      failure = &sent->error;
    }
    pgc_sent_append(&self->done, sent);
  }
  self->reading = self->open = NULL;
  if (failure != NULL && how == PGC_REPLY_LOST && !self->ending)
    tell_breaker(self, PGC_FAULT_UNREACHABLE, failure);
}

/* Reads of a group that got no sync are lost with it. */
void pgc_channel_break_if_ended(pgc_pg_channel *self) {
  if (self->ending && self->groups == 0)
    pgc_channel_break_off(self, PGC_REPLY_LOST, NULL);
}

/* ---- Answers ---- */

static bool is_fatal(const PGresult *result) {
  const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  return severity != NULL && strcmp(severity, "ERROR") != 0;
}

/* An error that the session does not survive, or that libpq made itself: whether the statement was executed, nobody knows.
   A pooler reports the end of its own connection like that. False: an error after which all goes on. */
static bool breaks(pgc_pg_channel *self, const PGresult *result) {
  const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (code != NULL && strlen(code) == 5 && !is_fatal(result))
    return false;
  bool lost = code != NULL || PQstatus(self->session.connection->pg) == CONNECTION_BAD;
  pgc_channel_break_off(self, lost ? PGC_REPLY_LOST : PGC_REPLY_NO_MEMORY,
                        code != NULL && strlen(code) == 5 ? code : NULL);
  return true;
}

/* What the answer says about the connection, beside the operation. */
static void look_at_connection(pgc_pg_channel *self, pgcache_status status) {
  pgc_session *session = &self->session;
  /* The role may not do what it could. run() looks into that, also for those behind it. */
  if (!session->connection->checked)
    session->connection->checked = session->broken = true;
  if (session->broken)
    self->ending = true;
  if (session->broken && status == PGCACHE_READ_ONLY)
    self->place.source->distrust(self->place.source, PGC_NO_DEADLINE);
}

/* Takes the answer, a result or an error. */
static void answer(pgc_pg_channel *self, pgc_sent *sent, PGresult *result) {
  pgc_session *session = pgc_channel_about(self, sent);
  ExecStatusType how = PQresultStatus(result);
  bool failed = how != PGRES_TUPLES_OK && how != PGRES_COMMAND_OK, another = false;
  pgc_reply reply = {.kind = failed ? PGC_REPLY_ERROR : PGC_REPLY_RESULT, .result = result};
  if (failed)
    memcpy(reply.sqlstate, PQresultErrorField(result, PG_DIAG_SQLSTATE), sizeof reply.sqlstate);
  PGresult *rows;
  pgcache_status status = pgc_session_judge(session, (pgc_statement_id)sent->statement, &reply, &rows);
  if (status != PGCACHE_OK)
    status = pgc_question_refused(session, &sent->op, status);
  else
    status = pgc_question_understand(session, &sent->op, sent->step, sent->sent_us, &rows, &another);
  PQclear(rows);
  bool again = session->no_marker || (status < 0 && session->retry);
  pgc_channel_settle(sent, status, another ? PGC_ASK_ON : again ? PGC_RUN_AGAIN : PGC_DELIVERED);
  sent->step += another;
  if (failed || again || another)
    sent->marks |= PGC_SENT_JUDGED;
  look_at_connection(self, status);
}

/* The commit failed. A group is a write alone, or reads, which are asked again. */
static void take_back_group(pgc_pg_channel *self, PGresult *result) {
  for (pgc_sent *sent = self->under_way.first; sent != self->reading; sent = sent->next) {
    if ((sent->marks & PGC_SENT_KEPT_BACK) == 0)
      run_again(sent);
  }
  pgc_sent *last = self->reading;
  if ((last->marks & PGC_SENT_JUDGED) == 0 && still_writes(last)) {
    answer(self, last, result);
  } else {
    PQclear(result);
    run_again(last);
  }
}

void pgc_channel_begin_reading(pgc_pg_channel *self, pgc_sent *sent) {
  while (sent != NULL && (sent->marks & PGC_SENT_KEPT_BACK) != 0)
    sent = sent->next;
  self->reading = sent;
  if (sent != NULL)
    self->next = (sent->marks & PGC_SENT_PREPARES) != 0 ? PGC_NEXT_PREPARED
                 : (sent->marks & PGC_SENT_SETS) != 0   ? PGC_NEXT_SETTINGS
                                                        : PGC_NEXT_ANSWER;
}

static void take_sync(pgc_pg_channel *self) {
  if (self->next == PGC_NEXT_PREPARED_SYNC) {
    self->next = PGC_NEXT_ANSWER;
    return;
  }
  self->groups--;
  pgc_sent *sent;
  do {
    sent = pgc_sent_take_first(&self->under_way);
    pgc_sent_append(&self->done, sent);
  } while (sent != self->reading);
  tell_breaker(self, PGC_FAULT_NONE, NULL);
  pgc_channel_pass_kept_back(self);
  pgc_channel_begin_reading(self, self->under_way.first);
}

static bool met_a_lock(const PGresult *result) {
  const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  return code != NULL && strcmp(code, "55P03") == 0;
}

/* A statement cannot be prepared while somebody has locked its table: as if it had met the lock itself. Those behind it that
   count on the same preparation were not executed either. */
static void take_lock_of_preparation(pgc_pg_channel *self, PGresult *result) {
  pgc_sent *first = self->reading;
  answer(self, first, result);
  first->marks &= (uint8_t)~PGC_SENT_JUDGED; /* until its own answer is there */
  self->session.connection->prepared &= ~(UINT64_C(1) << first->statement);
  for (pgc_sent *each = first; each != NULL; each = each->next) {
    if (each->statement == first->statement && (each->marks & PGC_SENT_KEPT_BACK) == 0)
      each->marks |= PGC_SENT_UNPREPARED;
  }
}

/* An error behind a preparation that met a lock says nothing new. */
static void take_answer(pgc_pg_channel *self, PGresult *result, bool good) {
  pgc_sent *sent = self->reading;
  if (good || (sent->marks & PGC_SENT_UNPREPARED) == 0) {
    answer(self, sent, result);
    return;
  }
  PQclear(result);
  if ((sent->marks & PGC_SENT_PREPARES) == 0)
    run_again(sent);
  sent->marks |= PGC_SENT_JUDGED;
}

/* Takes a result that is no sync. */
static void take_result(pgc_pg_channel *self, PGresult *result) {
  ExecStatusType how = PQresultStatus(result);
  bool good = how == PGRES_TUPLES_OK || how == PGRES_COMMAND_OK || how == PGRES_PIPELINE_ABORTED;
  if (!good && breaks(self, result)) {
    PQclear(result);
  } else if (self->next == PGC_NEXT_ANSWER && how != PGRES_PIPELINE_ABORTED) {
    take_answer(self, result, good);
    self->next = PGC_NEXT_END;
  } else if (self->next == PGC_NEXT_PREPARED && met_a_lock(result)) {
    take_lock_of_preparation(self, result);
    self->next = PGC_NEXT_PREPARED_SYNC;
  } else if (self->next == PGC_NEXT_SYNC && !good) {
    take_back_group(self, result);
  } else if (self->next == PGC_NEXT_PREPARED_SYNC || self->next == PGC_NEXT_SYNC) {
    PQclear(result); /* one answer more than there were statements */
    pgc_channel_break_off(self, PGC_REPLY_LOST, NULL);
  } else { /* if it failed, the statement itself cannot be executed, and tells */
    PQclear(result);
    if (self->next == PGC_NEXT_ANSWER)
      run_again(self->reading);
    self->next = self->next == PGC_NEXT_PREPARED   ? PGC_NEXT_PREPARED_SYNC
                 : self->next == PGC_NEXT_SETTINGS ? PGC_NEXT_ANSWER
                                                   : PGC_NEXT_END;
  }
}

/* Whether an answer is to come. What comes behind the answer to a read is known when the next one is sent, or the sync. */
static bool is_waiting(pgc_pg_channel *self) {
  if (self->reading == NULL)
    return false;
  if (self->next != PGC_NEXT_END)
    return true;
  if ((self->reading->marks & PGC_SENT_ENDS) != 0)
    self->next = PGC_NEXT_SYNC;
  else if (self->reading != self->open)
    pgc_channel_begin_reading(self, self->reading->next);
  return self->next != PGC_NEXT_END;
}

void pgc_channel_take_answers(pgc_pg_channel *self) {
  PGconn *pg = self->session.connection->pg;
  int nothing = 0;
  while (!self->broken && is_waiting(self) && !PQisBusy(pg)) {
    PGresult *result = PQgetResult(pg);
    if (result == NULL) {
      if (++nothing > NOTHING_MAX)
        pgc_channel_break_off(self, PGC_REPLY_LOST, NULL);
      continue;
    }
    nothing = 0;
    if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
      take_result(self, result);
      continue;
    }
    PQclear(result);
    if (self->next == PGC_NEXT_SYNC || self->next == PGC_NEXT_PREPARED_SYNC)
      take_sync(self);
    else
      pgc_channel_break_off(self, PGC_REPLY_LOST, NULL); /* fewer answers than there were statements */
  }
}

void pgc_channel_lose(pgc_pg_channel *self) {
  pgc_channel_take_answers(self);
  pgc_channel_break_off(self, PGC_REPLY_LOST, NULL);
}
