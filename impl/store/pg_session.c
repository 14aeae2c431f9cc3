/*
 * pg_session.c - see pg_session.h. The only place that decides what a failed exchange means.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_session.h"

#include <inttypes.h>
#include <string.h>

#include "platform/memory.h"
#include "pure/codec.h"
#include "pure/error.h"
#include "pure/sqlstate.h"

static pgcache_status explain_error(pgc_session *self, const pgc_reply *reply) {
  pgc_sqlstate_meaning meaning = pgc_sqlstate_look_up(reply->sqlstate);
  if (meaning.remedy == PGC_REMEDY_RETRY)
    self->retry = true;
  if (meaning.remedy == PGC_REMEDY_RECONNECT)
    self->broken = true;
  const char *standby = PQparameterStatus(self->connection->pg, "in_hot_standby");
  if (strcmp(reply->sqlstate, "0A000") == 0 && standby != NULL && strcmp(standby, "on") == 0)
    return pgc_fail_sql(
        self->error, PGCACHE_READ_ONLY, reply->sqlstate,
        "the server is a standby, which has no unlogged tables and takes no writes; point the url at the "
        "primary (target_session_attrs=primary)");
  /* A plan or a prepared statement that is not valid any more: a new connection makes new ones. */
  if (strcmp(reply->sqlstate, "0A000") == 0 || strcmp(reply->sqlstate, "26000") == 0)
    self->retry = true;
  if (self->connection->mode == PGC_MODE_NESTED)
    self->retry = false; /* what the transaction has read and locked stays the same */
  /* The role may do something else than when it was looked at: by another grant, or it is another one by SET ROLE. Nothing
     was done, inside of a transaction neither: the savepoint takes it back. */
  if (strcmp(reply->sqlstate, "42501") == 0 && self->connection->checked && !self->looked) {
    self->connection->checked = false;
    self->retry = true;
  }
  if (strcmp(reply->sqlstate, "57014") == 0 && self->connection->mode != PGC_MODE_PREPARED)
    return pgc_fail_sql(self->error, PGCACHE_TIMEOUT, reply->sqlstate,
                        "the server ended the statement before the deadline, at a shorter statement_timeout, or on an "
                        "operator's command; nothing was changed");
  const char *servers = meaning.server_text_is_safe ? PQresultErrorField(reply->result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
  if (servers != NULL)
    return pgc_fail_sql(self->error, meaning.status, reply->sqlstate, "%s (schema %s): %s", meaning.text, self->schema,
                        servers);
  return pgc_fail_sql(self->error, meaning.status, reply->sqlstate, "%s (schema %s)", meaning.text, self->schema);
}

/* Inside the application's transaction a lost answer leaves no doubt: nothing of it is ever committed. */
static pgcache_status explain_nested(pgc_session *self, const pgc_reply *reply) {
  self->broken = true;
  if (reply->kind == PGC_REPLY_TIMEOUT)
    return pgc_fail(self->error, PGCACHE_TIMEOUT,
                    "the server did not answer before the deadline; the connection was broken off, and the "
                    "application's transaction on it is rolled back");
  if (reply->kind == PGC_REPLY_LOST)
    return pgc_fail_sql(self->error, PGCACHE_UNAVAILABLE, reply->sqlstate,
                        "the connection to the server broke; the application's transaction on it is rolled back");
  return pgc_fail(
      self->error, PGCACHE_NO_MEMORY,
      "out of memory; the connection was broken off, and the application's transaction on it is rolled back");
}

pgcache_status pgc_session_explain(pgc_session *self, pgc_reply *reply) {
  pgcache_status status = PGCACHE_SERVER_ERROR;
  bool unknown = reply->sent && self->writes;
  if (self->connection->mode == PGC_MODE_NESTED && reply->kind != PGC_REPLY_ERROR) {
    status = explain_nested(self, reply);
    PQclear(reply->result);
    reply->result = NULL;
    return status;
  }
  switch (reply->kind) {
  case PGC_REPLY_RESULT:
    break; /* not a failure: not reached */
  case PGC_REPLY_ERROR:
    status = explain_error(self, reply);
    self->fault = status == PGCACHE_UNAVAILABLE || status == PGCACHE_TOO_MANY_CONNECTIONS ? PGC_FAULT_UNREACHABLE
                                                                                          : PGC_FAULT_NONE;
    break;
  case PGC_REPLY_NO_MEMORY:
    self->broken = true;
    self->fault = PGC_FAULT_NOBODYS;
    status = unknown ? pgc_fail(self->error, PGCACHE_UNKNOWN,
                                "out of memory while the answer to a write was read: it may or may not have happened")
                     : pgc_fail_memory(self->error);
    break;
  case PGC_REPLY_LOST:
    self->broken = true;
    self->fault = PGC_FAULT_UNREACHABLE;
    self->retry = !unknown;
    status = unknown ? pgc_fail_sql(self->error, PGCACHE_UNKNOWN, reply->sqlstate,
                                    "the connection broke after a write was sent: it may or may not have happened")
                     : pgc_fail_sql(self->error, PGCACHE_UNAVAILABLE, reply->sqlstate,
                                    "the connection to the server broke; nothing was changed");
    break;
  case PGC_REPLY_TIMEOUT:
    self->broken = true; /* its answer would be taken for the next one's */
    self->fault = PGC_FAULT_SILENT;
    status = unknown ? pgc_fail(self->error, PGCACHE_UNKNOWN,
                                "the deadline passed after a write was sent: it may or may not have happened")
                     : pgc_fail(self->error, PGCACHE_TIMEOUT, "the server did not answer before the deadline");
    break;
  }
  PQclear(reply->result);
  reply->result = NULL;
  return status;
}

static pgcache_status changed(pgc_session *self) {
  self->broken = true;
  return pgc_fail(self->error, PGCACHE_SCHEMA_CHANGED,
                  "the server's answer has another shape than expected; schema %s was changed by hand", self->schema);
}

/* A deadline of 0 sends nothing, even where the server would be quick enough. */
static pgcache_status too_late(pgc_session *self) {
  self->fault = PGC_FAULT_NOBODYS;
  return pgc_fail(self->error, PGCACHE_TIMEOUT, "the deadline passed before anything was sent");
}

pgcache_status pgc_session_judge(pgc_session *self, pgc_statement_id id, pgc_reply *reply, PGresult **result) {
  *result = NULL;
  if (reply->kind != PGC_REPLY_RESULT)
    return pgc_session_explain(self, reply);
  if (PQnfields(reply->result) != pgc_statement_get(id)->columns) {
    PQclear(reply->result);
    return changed(self);
  }
  *result = reply->result;
  return PGCACHE_OK;
}

pgcache_status pgc_session_execute(pgc_session *self, pgc_statement_id id, const pgc_parameters *parameters,
                                   PGresult **result) {
  *result = NULL;
  if (pgc_deadline_poll_ms(self->deadline) == 0)
    return too_late(self);
  if (self->connection->mode != PGC_MODE_PREPARED) {
    self->connection->impatient = self->impatient; /* it is sent with the statement */
  } else if (self->connection->impatient != self->impatient) {
    pgc_reply set = pgc_connection_make_impatient(self->connection, self->impatient, self->deadline);
    if (set.kind != PGC_REPLY_RESULT)
      return pgc_session_explain(self, &set);
  }
  pgc_reply reply = pgc_connection_execute(self->connection, id, parameters, self->schema, self->kind, self->deadline);
  return pgc_session_judge(self, id, &reply, result);
}

pgcache_status pgc_session_run(pgc_session *self, const char *sql, PGresult **result) {
  if (result != NULL)
    *result = NULL;
  if (pgc_deadline_poll_ms(self->deadline) == 0)
    return too_late(self);
  pgc_reply reply = pgc_connection_run(self->connection, sql, self->deadline);
  if (reply.kind != PGC_REPLY_RESULT)
    return pgc_session_explain(self, &reply);
  if (result != NULL)
    *result = reply.result;
  else
    PQclear(reply.result);
  return PGCACHE_OK;
}

pgcache_status pgc_session_rows(pgc_session *self, const PGresult *result, size_t limit) {
  return (size_t)PQntuples(result) <= limit ? PGCACHE_OK : changed(self);
}

pgcache_status pgc_session_int8(pgc_session *self, const PGresult *result, int row, int column, int64_t *number) {
  if (pgc_decode_int8(PQgetvalue(result, row, column), PQgetlength(result, row, column), number))
    return PGCACHE_OK;
  return changed(self);
}

pgcache_status pgc_session_int4(pgc_session *self, const PGresult *result, int row, int column, int32_t *number) {
  if (pgc_decode_int4(PQgetvalue(result, row, column), PQgetlength(result, row, column), number))
    return PGCACHE_OK;
  return changed(self);
}

pgcache_status pgc_session_bool(pgc_session *self, const PGresult *result, int row, int column, bool *truth) {
  if (pgc_decode_bool(PQgetvalue(result, row, column), PQgetlength(result, row, column), truth))
    return PGCACHE_OK;
  return changed(self);
}

/* From this size on libpq gives a field memory of its own, and to keep the result costs little more than the value
   (PGRESULT_SEP_ALLOC_THRESHOLD of src/interfaces/libpq/fe-exec.c); below it would waste most of a block of 2 KiB. */
#define TAKE_BYTES_MIN 1024

static void clear_result(void *result) {
  PQclear(result);
}

/* What the statements that read entries begin with, behind the value or the key. */
typedef struct row_head {
  int64_t version, fresh_until, expires_at, now;
  int32_t format;
} row_head;

enum { BYTES, VERSION, FORMAT, FRESH_UNTIL, EXPIRES_AT, NOW, FLAGS };

/* first: the column where these begin. */
static pgcache_status read_head(pgc_session *self, const PGresult *result, int row, int first, row_head *head) {
  if (pgc_session_int8(self, result, row, first + VERSION, &head->version) != PGCACHE_OK ||
      pgc_session_int4(self, result, row, first + FORMAT, &head->format) != PGCACHE_OK ||
      pgc_session_int8(self, result, row, first + FRESH_UNTIL, &head->fresh_until) != PGCACHE_OK ||
      pgc_session_int8(self, result, row, first + EXPIRES_AT, &head->expires_at) != PGCACHE_OK ||
      pgc_session_int8(self, result, row, first + NOW, &head->now) != PGCACHE_OK ||
      PQgetisnull(result, row, first + BYTES))
    return changed(self);
  return PGCACHE_OK;
}

static pgcache_value *with_head(pgcache_value *made, const row_head *head, int64_t sent_us) {
  made->version = head->version;
  made->format = head->format;
  made->stale = head->fresh_until <= head->now;
  /* A load may keep an entry beyond its freshness: that is for loads. timestamptz 'infinity' is the largest number
     (src/include/datatype/timestamp.h). */
  int64_t end = made->stale ? head->expires_at : head->fresh_until;
  if (end != INT64_MAX)
    made->expires_at_us = sent_us + (end - head->now);
  return made;
}

/* What the statements that read entries end with. */
static pgcache_status read_tags(pgc_session *self, const PGresult *result, int row, int column, pgc_op_key *key) {
  const unsigned char *first;
  if (PQgetisnull(result, row, column))
    return PGCACHE_OK;
  size_t count = pgc_decode_uuids(PQgetvalue(result, row, column), PQgetlength(result, row, column), &first);
  if (count == SIZE_MAX)
    return changed(self);
  key->tag_count = count;
  if (count == 0 || count > PGC_NEAR_TAGS_MAX)
    return PGCACHE_OK;
  key->tags = pgc_alloc(count * sizeof *key->tags);
  if (key->tags == NULL)
    return pgc_fail_memory(self->error);
  for (size_t i = 0; i < count; i++)
    memcpy(key->tags[i].bytes, first + i * PGC_UUID_STRIDE, PGC_DIGEST_SIZE);
  return PGCACHE_OK;
}

/* The field as a value: a copy, or the result itself, which is then no longer the caller's. NULL: out of memory. */
static pgcache_value *bytes_as_value(PGresult **given, int row, int column, bool take) {
  size_t size = (size_t)PQgetlength(*given, row, column);
  const char *bytes = PQgetvalue(*given, row, column);
  take = take && size >= TAKE_BYTES_MIN && (uintptr_t)bytes % PGC_VALUE_ALIGN == 0;
  pgcache_value *made = take ? pgc_value_adopt(bytes, size, *given, clear_result) : pgc_value_new(size);
  if (made == NULL)
    return NULL;
  if (take)
    *given = NULL;
  else
    memcpy(made->own, bytes, size);
  return made;
}

pgcache_status pgc_session_entry(pgc_session *self, PGresult **given, const pgc_row *place, bool take, int64_t sent_us,
                                 const pgc_op *op, pgc_op_key *key) {
  row_head head;
  int32_t flags, load_ms;
  int row = place->row, bytes = place->first + BYTES;
  pgc_free(key->tags); /* of an attempt before */
  key->tags = NULL;
  key->tag_count = 0;
  pgcache_status status = read_head(self, *given, row, place->first, &head);
  if (status == PGCACHE_OK)
    status = pgc_session_int4(self, *given, row, place->first + FLAGS, &flags);
  if (status == PGCACHE_OK)
    status = pgc_session_int4(self, *given, row, place->tags + 1, &load_ms);
  if (status == PGCACHE_OK)
    status = read_tags(self, *given, row, place->tags, key);
  if (status != PGCACHE_OK)
    return status;
  if ((flags & PGC_STORED_ABSENT) != 0)
    return PGCACHE_MISS;

  pgcache_value *made = NULL;
  size_t size = (size_t)PQgetlength(*given, row, bytes);
  pgc_stored stored = {.bytes = PQgetvalue(*given, row, bytes), .size = size, .format = head.format, .flags = flags};
  status = op->decode(op, key, &stored, &made, self->error);
  if (status != PGCACHE_OK)
    return status;
  if (made == NULL && (int64_t)size > self->max_value_bytes)
    return pgc_fail(self->error, PGCACHE_TOO_LARGE,
                    "the stored value has %zu bytes, more than the setting max_value_bytes (%" PRId64 ") lets in", size,
                    self->max_value_bytes);
  if (made == NULL)
    made = bytes_as_value(given, row, bytes, take);
  if (made == NULL)
    return pgc_fail_memory(self->error);
  made->load_ms = load_ms > 0 ? load_ms : 0;
  key->found = with_head(made, &head, sent_us);
  key->stored_size = size;
  return PGCACHE_OK;
}

pgcache_status pgc_session_key(pgc_session *self, PGresult *result, int row, int64_t sent_us, pgcache_value **value) {
  row_head head;
  *value = NULL;
  pgcache_status status = read_head(self, result, row, 0, &head);
  if (status != PGCACHE_OK)
    return status;
  pgcache_value *made = bytes_as_value(&result, row, BYTES, false);
  if (made == NULL)
    return pgc_fail_memory(self->error);
  *value = with_head(made, &head, sent_us);
  return PGCACHE_OK;
}

/* How long it may take beyond the deadline to leave a session as it was found: else the connection would be lost. */
#define LEAVE_MS 100

pgcache_status pgc_session_leave(pgc_session *self, pgcache_status outcome) {
  pgc_deadline soon = pgc_deadline_in(LEAVE_MS);
  pgc_reply reply = pgc_connection_leave(self->connection, outcome >= 0, soon > self->deadline ? soon : self->deadline);
  if (reply.kind == PGC_REPLY_RESULT)
    return outcome;
  self->retry = false;
  return pgc_session_explain(self, &reply);
}

pgcache_status pgc_session_refuse_epoch(pgc_session *self) {
  return pgc_fail(
      self->error, PGCACHE_CONFLICT,
      "the server has lost what was in the unlogged tables of schema %s; the first write after that must be "
      "made outside of a transaction",
      self->schema);
}
