/*
 * pg_channel.c - see pg_channel.h. Operations go out in groups that end with a sync, each a transaction of its own: a write
 * alone, or reads that follow each other. A statement that the connection does not know yet is prepared before them.
 *
 * Owns: the connection, and the operations that were sent until they are received. Must never: wait, repeat a write, or send
 * anything once it is broken or ending, because a sync would then commit what was reported as not done.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>

#include "platform/memory.h"
#include "store/pg_channel_inside.h"
#include "store/pg_operations.h"
#include "store/pg_question.h"

/* Reads of a group share the server's clock, that of the first one: see get.sql. A later one gets another group. */
#define GROUP_US 1000

/* ---- Sending ---- */

static void keep_back(pgc_pg_channel *self, pgc_sent *sent, pgc_delivery delivery) {
  pgc_channel_settle(sent, PGCACHE_CONFLICT, delivery);
  sent->marks = PGC_SENT_KEPT_BACK;
  pgc_sent_append(&self->under_way, sent);
  pgc_channel_pass_kept_back(self);
}

static bool sync(pgc_pg_channel *self) {
  if (PQpipelineSync(self->session.connection->pg))
    return true;
  pgc_channel_lose(self); /* it may have left all the same */
  return false;
}

static bool end_group(pgc_pg_channel *self) {
  if (self->open == NULL)
    return true;
  self->open->marks |= PGC_SENT_ENDS;
  self->open = NULL;
  self->groups++;
  return sync(self);
}

/* libpq did not take a statement. Without a sync behind it what it has taken of it has no effect. */
static bool refused(pgc_pg_channel *self) {
  if (PQstatus(self->session.connection->pg) == CONNECTION_BAD)
    pgc_channel_lose(self);
  self->ending = true;
  pgc_channel_break_if_ended(self);
  return false;
}

/* Prepares the statement if need be: in a group of its own, which no other statement's error can spoil. */
static bool queue_preparation(pgc_pg_channel *self, pgc_sent *sent, pgc_statement_id id, const char *text) {
  pgc_connection *connection = self->session.connection;
  if (!end_group(self))
    return false;
  if (!PQsendPrepare(connection->pg, pgc_statement_get(id)->name, text, 0, NULL))
    return refused(self);
  connection->prepared |= UINT64_C(1) << id;
  sent->marks |= PGC_SENT_PREPARES;
  return sync(self);
}

static bool queue_statement(pgc_pg_channel *self, pgc_sent *sent, const pgc_question *question, const char *text) {
  pgc_connection *connection = self->session.connection;
  const pgc_parameters *parameters = &question->parameters;
  if (connection->mode == PGC_MODE_PREPARED)
    return PQsendQueryPrepared(connection->pg, pgc_statement_get(question->id)->name, parameters->count,
                               parameters->values, parameters->lengths, parameters->formats, 1) == 1 ||
           refused(self);
  sent->marks |= PGC_SENT_SETS;
  return (pgc_connection_queue_settings(connection, true, sent->op.deadline) &&
          PQsendQueryParams(connection->pg, text, parameters->count, NULL, parameters->values, parameters->lengths,
                            parameters->formats, 1) == 1) ||
         refused(self);
}

/* text: of the statement, if it is needed. */
static bool queue(pgc_pg_channel *self, pgc_sent *sent, const pgc_question *question, const char *text) {
  int64_t now_us = pgc_now_us();
  bool in_group = !question->writes && self->open != NULL && now_us - self->open_since_us < GROUP_US;
  if (!in_group && !end_group(self))
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
  pgc_sent_append(&self->under_way, sent);
  if (self->reading == NULL)
    pgc_channel_begin_reading(self, sent);
  self->open = sent;
  if (question->writes)
    (void)end_group(self); /* if not, it is broken, and the write's answer is PGCACHE_UNKNOWN */
  return true;
}

static bool channel_send(pgc_channel *base, pgc_sent *sent) {
  pgc_pg_channel *self = (pgc_pg_channel *)base;
  pgc_connection *connection = self->session.connection;
  if (self->broken)
    return false;
  sent->marks = 0;
  sent->error.struct_size = sizeof sent->error;
  if (self->ending || !pgc_pg_can_send(pgc_channel_about(self, sent), &sent->op)) {
    keep_back(self, sent, self->ending ? PGC_SEND_AGAIN : PGC_RUN_AGAIN);
    return true;
  }
  pgc_question question;
  pgc_buffer text = PGC_BUFFER_INIT;
  bool taken = pgc_question_ask(&question, &sent->op, sent->step, &sent->error) == PGCACHE_OK;
  if (taken && (connection->mode != PGC_MODE_PREPARED || (connection->prepared & UINT64_C(1) << question.id) == 0))
    taken = pgc_connection_text(connection, &text, question.id, self->session.schema, self->session.kind);
  taken = taken && queue(self, sent, &question, (const char *)text.data);
  pgc_buffer_clear(&text);
  pgc_question_clear(&question);
  return taken;
}

static void flush(pgc_pg_channel *self) {
  int left = self->broken ? 0 : PQflush(self->session.connection->pg);
  self->full = left > 0;
  if (left < 0)
    pgc_channel_lose(self);
}

static bool channel_push(pgc_channel *base) {
  pgc_pg_channel *self = (pgc_pg_channel *)base;
  if (!self->broken && (self->ending || end_group(self)))
    flush(self);
  return !self->broken;
}

static bool channel_is_full(const pgc_channel *base) {
  const pgc_pg_channel *self = (const pgc_pg_channel *)base;
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
  pgc_pg_channel *self = (pgc_pg_channel *)base;
  if (self->broken)
    return;
  if (!consume(self->session.connection->pg)) {
    pgc_channel_lose(self);
    return;
  }
  if (self->reading == NULL && !PQisBusy(self->session.connection->pg)) {
    PQclear(PQgetResult(self->session.connection->pg)); /* nothing: now libpq looks at what was said unasked */
    PQisBusy(self->session.connection->pg);
  }
  pgc_channel_take_answers(self);
  if (self->full)
    flush(self);
  if (self->session.connection->doomed)
    self->ending = true;
  pgc_channel_break_if_ended(self);
}

static pgc_sent *channel_receive(pgc_channel *base) {
  return pgc_sent_take_first(&((pgc_pg_channel *)base)->done);
}

static bool channel_is_broken(const pgc_channel *base) {
  return ((const pgc_pg_channel *)base)->broken;
}

static void channel_sever(pgc_channel *base) {
  pgc_channel_break_off((pgc_pg_channel *)base, PGC_REPLY_TIMEOUT, NULL);
}

static int channel_descriptor(const pgc_channel *base) {
  return PQsocket(((const pgc_pg_channel *)base)->session.connection->pg);
}

static bool channel_is_wanted(const pgc_channel *base) {
  pgc_source *source = ((const pgc_pg_channel *)base)->place.source;
  return source->is_wanted(source);
}

/* ---- The life of a channel ---- */

static void channel_close(pgc_channel *base) {
  pgc_pg_channel *self = (pgc_pg_channel *)base;
  pgc_connection *connection = self->session.connection;
  bool sound = !self->broken && !self->ending && self->reading == NULL && PQexitPipelineMode(connection->pg) == 1;
  self->place.source->release(self->place.source, connection, sound);
  pgc_free(self);
}

pgc_channel *pgc_pg_channel_new(const pgc_session *session, const pgc_channel_place *place) {
  pgc_pg_channel *self = pgc_alloc_zero(sizeof *self);
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
                             .sever = channel_sever,
                             .descriptor = channel_descriptor,
                             .is_wanted = channel_is_wanted,
                             .close = channel_close,
                             .one_by_one = session->connection->mode != PGC_MODE_PREPARED};
  self->session = *session;
  self->place = *place;
  return &self->base;
}
