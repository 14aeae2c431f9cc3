/*
 * pg_channel.c - see pg_channel.h. Operations go out in groups that end with a sync, each a transaction of its own: a write
 * alone, or reads that follow each other. Nothing is delivered before its group has ended, which is after the commit.
 *
 * Owns: the connection, and the operations that were sent until they are received. Must never: wait, repeat a write, or send
 * anything once it is broken, because a sync would then commit what was reported as not done.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_channel.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"
#include "store/pg_operations.h"
#include "store/pg_question.h"

/* Reads of a group share the server's clock, that of the first one: see get.sql. A later one gets another group. */
#define GROUP_US 1000

/* More than libpq gives between two results of a pipeline: it has nothing, and will have nothing. */
#define NOTHING_MAX 8

/* pgc_sent.marks */
enum {
  PREPARES = 1,  /* before its answer comes that to its statement's preparation, with a sync */
  SETS = 2,      /* before its answer comes that to local_settings.sql */
  ENDS = 4,      /* after its answer comes a sync */
  KEPT_BACK = 8, /* it was not sent: there is no answer, and its delivery is known */
  JUDGED = 16    /* nothing was changed, whatever becomes of the connection: its delivery is known */
};

/* What comes next. */
typedef enum expected { PREPARED, PREPARED_SYNC, SETTINGS, ANSWER, END, SYNC } expected;

typedef struct list {
  pgc_sent *first, *last;
} list;

typedef struct channel {
  pgc_channel base;
  pgc_session session;
  pgc_channel_place place;
  list under_way, done;
  pgc_sent *reading; /* under way: whose answer comes next, or came last; NULL: none was sent */
  expected next;
  pgc_sent *open;        /* the last read of the group that has no sync yet; NULL: there is no such group */
  int64_t open_since_us; /* on pgc_now_us()'s clock */
  unsigned syncs;        /* on their way */
  bool full;             /* the socket did not take all */
  bool ending;           /* nothing more is sent, no sync either; broken as soon as those on their way are there */
  bool broken;
} channel;

static void append(list *to, pgc_sent *sent) {
  sent->next = NULL;
  if (to->last != NULL)
    to->last->next = sent;
  else
    to->first = sent;
  to->last = sent;
}

static pgc_sent *take_first(list *from) {
  pgc_sent *first = from->first;
  if (first != NULL)
    from->first = first->next;
  if (from->first == NULL)
    from->last = NULL;
  return first;
}

/* The session is about this operation from now on. */
static pgc_session *about(channel *self, pgc_sent *sent) {
  pgc_session *session = &self->session;
  session->deadline = sent->op.deadline;
  session->writes = pgc_op_writes(sent->op.kind);
  session->error = &sent->error;
  session->broken = session->retry = session->looked = session->no_marker = false;
  session->fault = PGC_FAULT_NONE;
  return session;
}

/* ---- The end of operations ---- */

static void settle(pgc_sent *sent, pgcache_status status, pgc_delivery delivery) {
  sent->status = status;
  sent->delivery = delivery;
  if (status < 0 || delivery != PGC_DELIVERED)
    pgc_pg_drop_outputs(&sent->op);
}

static void run_again(pgc_sent *sent) {
  settle(sent, PGCACHE_CONFLICT, PGC_RUN_AGAIN);
  sent->marks |= JUDGED;
}

/* What the server did shows that it is there, or not. */
static void tell_breaker(channel *self, pgc_fault fault, const pgcache_error *failure) {
  if (fault == PGC_FAULT_NONE && pgc_breaker_is_calm(self->place.breaker))
    return;
  if (self->place.source->closed(self->place.source))
    return;
  if (pgc_breaker_leave(self->place.breaker, PGC_BREAKER_PASS, fault, pgc_monotonic_us(), pgc_random_u64(), failure))
    pgc_count(&self->place.counters->breaker_opened);
}

/* What was not sent needs no answer, only its turn. */
static void pass_kept_back(channel *self) {
  while (self->under_way.first != NULL && (self->under_way.first->marks & KEPT_BACK) != 0)
    append(&self->done, take_first(&self->under_way));
}

/* The connection is of no use any more, in the middle of something. Of a write that was sent the sync has been queued, so
   that bytes of it may have left: it is in doubt, unless its answer said that it did nothing. What libpq still holds back is
   not sent any more: the socket is shut down, and nothing here calls libpq again but to free it. */
static void break_off(channel *self, pgc_reply_kind how, const char *sqlstate) {
  if (self->broken)
    return;
  self->broken = true;
  shutdown(PQsocket(self->session.connection->pg), SHUT_RDWR);
  pgc_sent *sent;
  const pgcache_error *failure = NULL;
  while ((sent = take_first(&self->under_way)) != NULL) {
    if ((sent->marks & (KEPT_BACK | JUDGED)) == 0) {
      pgc_session *session = about(self, sent);
      pgc_reply reply = {.kind = how, .sent = true};
      if (sqlstate != NULL)
        memcpy(reply.sqlstate, sqlstate, sizeof reply.sqlstate);
      settle(sent, pgc_session_explain(session, &reply), session->writes ? PGC_DELIVERED : PGC_LOST);
      failure = &sent->error;
    }
    append(&self->done, sent);
  }
  self->reading = self->open = NULL;
  if (failure != NULL && how == PGC_REPLY_LOST && !self->ending)
    tell_breaker(self, PGC_FAULT_UNREACHABLE, failure);
}

/* Reads of a group that got no sync are lost with it. */
static void break_if_ended(channel *self) {
  if (self->ending && self->syncs == 0)
    break_off(self, PGC_REPLY_LOST, NULL);
}

/* ---- Answers ---- */

static bool is_fatal(const PGresult *result) {
  const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  return severity != NULL && strcmp(severity, "ERROR") != 0;
}

/* An error that the session does not survive, or that libpq made itself: whether the statement was executed, nobody knows.
   A pooler reports the end of its own connection like that. False: an error after which all goes on. */
static bool breaks(channel *self, const PGresult *result) {
  const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (code != NULL && strlen(code) == 5 && !is_fatal(result))
    return false;
  bool lost = code != NULL || PQstatus(self->session.connection->pg) == CONNECTION_BAD;
  break_off(self, lost ? PGC_REPLY_LOST : PGC_REPLY_NO_MEMORY, code != NULL && strlen(code) == 5 ? code : NULL);
  return true;
}

/* What the answer says about the connection, beside the operation. */
static void look_at_connection(channel *self, pgcache_status status) {
  pgc_session *session = &self->session;
  if (!session->connection
           ->checked) /* the role may not do what it could; run() looks at that, also for those behind it */
    session->connection->checked = session->broken = true;
  if (session->broken)
    self->ending = true;
  if (session->broken && status == PGCACHE_READ_ONLY)
    self->place.source->distrust(self->place.source, PGC_NO_DEADLINE);
}

/* Takes the answer, a result or an error. */
static void answer(channel *self, pgc_sent *sent, PGresult *result) {
  pgc_session *session = about(self, sent);
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
    status = pgc_question_understand(session, &sent->op, 0, sent->sent_us, &rows, &another);
  PQclear(rows);
  bool again = another || session->no_marker || (status < 0 && session->retry);
  settle(sent, status, again ? PGC_RUN_AGAIN : PGC_DELIVERED);
  if (failed || again)
    sent->marks |= JUDGED;
  look_at_connection(self, status);
}

/* The commit failed. A group is a write alone, or reads, which are asked again. */
static void take_back_group(channel *self, PGresult *result) {
  for (pgc_sent *sent = self->under_way.first; sent != self->reading; sent = sent->next) {
    if ((sent->marks & KEPT_BACK) == 0)
      run_again(sent);
  }
  pgc_sent *last = self->reading;
  if ((last->marks & JUDGED) == 0 && pgc_op_writes(last->op.kind)) {
    answer(self, last, result);
  } else {
    PQclear(result);
    run_again(last);
  }
}

static void begin_reading(channel *self, pgc_sent *sent) {
  while (sent != NULL && (sent->marks & KEPT_BACK) != 0)
    sent = sent->next;
  self->reading = sent;
  if (sent != NULL)
    self->next = (sent->marks & PREPARES) != 0 ? PREPARED : (sent->marks & SETS) != 0 ? SETTINGS : ANSWER;
}

static void take_sync(channel *self) {
  self->syncs--;
  if (self->next == PREPARED_SYNC) {
    self->next = ANSWER;
    return;
  }
  pgc_sent *sent;
  do {
    sent = take_first(&self->under_way);
    append(&self->done, sent);
  } while (sent != self->reading);
  tell_breaker(self, PGC_FAULT_NONE, NULL);
  pass_kept_back(self);
  begin_reading(self, self->under_way.first);
}

/* Takes a result that is no sync. */
static void take_result(channel *self, PGresult *result) {
  ExecStatusType how = PQresultStatus(result);
  bool good = how == PGRES_TUPLES_OK || how == PGRES_COMMAND_OK || how == PGRES_PIPELINE_ABORTED;
  if (!good && breaks(self, result)) {
    PQclear(result);
  } else if (self->next == ANSWER && how != PGRES_PIPELINE_ABORTED) {
    answer(self, self->reading, result);
    self->next = END;
  } else if (self->next == SYNC && !good) {
    take_back_group(self, result);
  } else if (self->next == PREPARED_SYNC || self->next == SYNC) { /* one answer more than there were statements */
    PQclear(result);
    break_off(self, PGC_REPLY_LOST, NULL);
  } else { /* if it failed, the statement itself cannot be executed, and tells */
    PQclear(result);
    if (self->next == ANSWER)
      run_again(self->reading);
    self->next = self->next == PREPARED ? PREPARED_SYNC : self->next == SETTINGS ? ANSWER : END;
  }
}

/* Whether an answer is to come. What comes behind the answer to a read is known when the next one is sent, or the sync. */
static bool is_waiting(channel *self) {
  if (self->reading == NULL)
    return false;
  if (self->next != END)
    return true;
  if ((self->reading->marks & ENDS) != 0)
    self->next = SYNC;
  else if (self->reading != self->open)
    begin_reading(self, self->reading->next);
  return self->next != END;
}

static void take_answers(channel *self) {
  PGconn *pg = self->session.connection->pg;
  int nothing = 0;
  while (!self->broken && is_waiting(self) && !PQisBusy(pg)) {
    PGresult *result = PQgetResult(pg);
    if (result == NULL) {
      if (++nothing > NOTHING_MAX)
        break_off(self, PGC_REPLY_LOST, NULL);
      continue;
    }
    nothing = 0;
    if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
      take_result(self, result);
      continue;
    }
    PQclear(result);
    if (self->next == SYNC || self->next == PREPARED_SYNC)
      take_sync(self);
    else
      break_off(self, PGC_REPLY_LOST, NULL); /* fewer answers than there were statements */
  }
}

/* The connection is gone; what it had brought is still good. */
static void lose(channel *self) {
  take_answers(self);
  break_off(self, PGC_REPLY_LOST, NULL);
}

/* ---- Sending ---- */

static void keep_back(channel *self, pgc_sent *sent, pgc_delivery delivery) {
  settle(sent,
         delivery == PGC_LOST ? pgc_fail(&sent->error, PGCACHE_UNAVAILABLE, "the connection to the server is ending")
                              : PGCACHE_CONFLICT,
         delivery);
  sent->marks = KEPT_BACK;
  append(&self->under_way, sent);
  pass_kept_back(self);
}

static bool sync_group(channel *self) {
  if (!PQpipelineSync(self->session.connection->pg)) {
    lose(self); /* it may have left all the same */
    return false;
  }
  self->syncs++;
  return true;
}

static bool end_reads(channel *self) {
  if (self->open == NULL)
    return true;
  self->open->marks |= ENDS;
  self->open = NULL;
  return sync_group(self);
}

/* libpq did not take a statement. Without a sync behind it what it has taken of it has no effect. */
static bool refused(channel *self) {
  if (PQstatus(self->session.connection->pg) == CONNECTION_BAD)
    lose(self);
  self->ending = true;
  break_if_ended(self);
  return false;
}

/* Prepares the statement if need be: in a group of its own, which no other statement's error can spoil. */
static bool queue_preparation(channel *self, pgc_sent *sent, pgc_statement_id id, const char *text) {
  pgc_connection *connection = self->session.connection;
  if (!end_reads(self))
    return false;
  if (!PQsendPrepare(connection->pg, pgc_statement_get(id)->name, text, 0, NULL))
    return refused(self);
  connection->prepared |= UINT32_C(1) << id;
  sent->marks |= PREPARES;
  return sync_group(self);
}

static bool queue_statement(channel *self, pgc_sent *sent, const pgc_question *question, const char *text) {
  pgc_connection *connection = self->session.connection;
  const pgc_parameters *parameters = &question->parameters;
  if (connection->mode == PGC_MODE_PREPARED)
    return PQsendQueryPrepared(connection->pg, pgc_statement_get(question->id)->name, parameters->count,
                               parameters->values, parameters->lengths, parameters->formats, 1) == 1 ||
           refused(self);
  sent->marks |= SETS;
  return (pgc_connection_queue_settings(connection, sent->op.deadline) &&
          PQsendQueryParams(connection->pg, text, parameters->count, NULL, parameters->values, parameters->lengths,
                            parameters->formats, 1) == 1) ||
         refused(self);
}

/* text: of the statement, if it is needed. */
static bool queue(channel *self, pgc_sent *sent, const pgc_question *question, const char *text) {
  int64_t now_us = pgc_now_us();
  bool in_group = !question->writes && self->open != NULL && now_us - self->open_since_us < GROUP_US;
  if (!in_group && !end_reads(self))
    return false;
  if (text != NULL && self->session.connection->mode == PGC_MODE_PREPARED &&
      !queue_preparation(self, sent, question->id, text))
    return false;
  if (self->open == NULL)
    self->open_since_us = now_us;
  if (!queue_statement(self, sent, question, text))
    return false;
  sent->sent_us = self->open_since_us;
  sent->statement = (uint8_t)question->id;
  append(&self->under_way, sent);
  if (self->reading == NULL)
    begin_reading(self, sent);
  self->open = sent;
  if (question->writes)
    (void)end_reads(self); /* if not, it is broken, and the write's answer is PGCACHE_UNKNOWN */
  return true;
}

static bool channel_send(pgc_channel *base, pgc_sent *sent) {
  channel *self = (channel *)base;
  pgc_connection *connection = self->session.connection;
  if (self->broken)
    return false;
  sent->marks = 0;
  sent->error.struct_size = sizeof sent->error;
  if (self->ending || !pgc_pg_can_send(about(self, sent), &sent->op)) {
    keep_back(self, sent, self->ending ? PGC_LOST : PGC_RUN_AGAIN);
    return true;
  }
  pgc_question question;
  pgc_buffer text = PGC_BUFFER_INIT;
  bool taken = pgc_question_ask(&question, &sent->op, 0, &sent->error) == PGCACHE_OK;
  if (taken && (connection->mode != PGC_MODE_PREPARED || (connection->prepared & UINT32_C(1) << question.id) == 0))
    taken = pgc_connection_text(connection, &text, question.id, self->session.schema, self->session.logged);
  taken = taken && queue(self, sent, &question, (const char *)text.data);
  pgc_buffer_clear(&text);
  pgc_question_clear(&question);
  return taken;
}

static void flush(channel *self) {
  int left = self->broken ? 0 : PQflush(self->session.connection->pg);
  self->full = left > 0;
  if (left < 0)
    lose(self);
}

static bool channel_push(pgc_channel *base) {
  channel *self = (channel *)base;
  if (!self->broken && (self->ending || end_reads(self)))
    flush(self);
  return !self->broken;
}

static bool channel_is_full(const pgc_channel *base) {
  const channel *self = (const channel *)base;
  return self->full && !self->broken;
}

/* ---- Receiving ---- */

static bool is_readable(PGconn *pg) {
  struct pollfd socket = {.fd = PQsocket(pg), .events = POLLIN};
  return poll(&socket, 1, 0) > 0;
}

/* A record of TLS may hold more than libpq had room for, of which poll() knows nothing: at the end it is read once more. */
static bool consume(PGconn *pg) {
  if (!PQconsumeInput(pg))
    return false;
  if (!PQsslInUse(pg))
    return true;
  while (is_readable(pg)) {
    if (!PQconsumeInput(pg))
      return false;
  }
  return PQconsumeInput(pg);
}

static void channel_read(pgc_channel *base) {
  channel *self = (channel *)base;
  if (self->broken)
    return;
  if (!consume(self->session.connection->pg)) {
    lose(self);
    return;
  }
  if (self->reading == NULL && !PQisBusy(self->session.connection->pg)) {
    PQclear(PQgetResult(self->session.connection->pg)); /* nothing: now libpq looks at what was said unasked */
    PQisBusy(self->session.connection->pg);
  }
  take_answers(self);
  if (self->full)
    flush(self);
  if (self->session.connection->doomed)
    self->ending = true;
  break_if_ended(self);
}

static pgc_sent *channel_receive(pgc_channel *base) {
  return take_first(&((channel *)base)->done);
}

static bool channel_is_broken(const pgc_channel *base) {
  return ((const channel *)base)->broken;
}

static int channel_descriptor(const pgc_channel *base) {
  return PQsocket(((const channel *)base)->session.connection->pg);
}

static bool channel_is_wanted(const pgc_channel *base) {
  pgc_source *source = ((const channel *)base)->place.source;
  return source->is_wanted(source);
}

/* ---- The life of a channel ---- */

static void channel_close(pgc_channel *base) {
  channel *self = (channel *)base;
  pgc_connection *connection = self->session.connection;
  bool sound = !self->broken && !self->ending && self->reading == NULL && PQexitPipelineMode(connection->pg) == 1;
  self->place.source->release(self->place.source, connection, sound);
  pgc_free(self);
}

pgc_channel *pgc_pg_channel_new(const pgc_session *session, const pgc_channel_place *place) {
  channel *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL || PQenterPipelineMode(session->connection->pg) != 1) {
    pgc_free(self);
    return NULL;
  }
  self->base = (pgc_channel){.send = channel_send,
                             .push = channel_push,
                             .is_full = channel_is_full,
                             .read = channel_read,
                             .receive = channel_receive,
                             .is_broken = channel_is_broken,
                             .descriptor = channel_descriptor,
                             .is_wanted = channel_is_wanted,
                             .close = channel_close};
  self->session = *session;
  self->place = *place;
  return &self->base;
}
