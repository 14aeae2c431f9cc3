/*
 * pg_entries.c - see pg_question.h. Operations on one key: parameters, statement, answer.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_question.h"

#include "pure/error.h"

/* ---- Asking ---- */

static void add_digest(pgc_parameters *parameters, const pgc_op_key *entry) {
  pgc_parameters_add_bytes(parameters, entry->digest.bytes, PGC_DIGEST_SIZE);
}

void pgc_question_add_key(pgc_parameters *parameters, const pgc_op_key *entry) {
  if (entry->flags & PGC_STORED_KEYED)
    pgc_parameters_add_null(parameters);
  else
    pgc_parameters_add_bytes(parameters, entry->key, entry->key_len);
}

static void add_entry(pgc_parameters *parameters, const pgc_op *op) {
  const pgc_op_key *entry = &op->keys[0];
  add_digest(parameters, entry);
  pgc_parameters_add_text(parameters, op->namespace_name);
  pgc_question_add_key(parameters, entry);
  pgc_parameters_add_bytes(parameters, entry->value, entry->value_len);
  pgc_parameters_add_int4(parameters, entry->format);
  pgc_parameters_add_ttl(parameters, entry->ttl_ms);
  pgc_parameters_add_int4(parameters, entry->flags);
}

static void add_counter(pgc_parameters *parameters, const pgc_op *op) {
  const pgc_op_key *entry = &op->keys[0];
  add_digest(parameters, entry);
  pgc_parameters_add_text(parameters, op->namespace_name);
  pgc_question_add_key(parameters, entry);
  pgc_parameters_add_int8(parameters, op->u.increment.initial + op->u.increment.delta); /* checked not to overflow */
  pgc_parameters_add_int8(parameters, op->u.increment.delta);
  pgc_parameters_add_ttl(parameters, entry->ttl_ms);
  pgc_parameters_add_int4(parameters, entry->flags);
}

pgcache_status pgc_entry_ask(pgc_question *question, const pgc_op *op, unsigned step, pgcache_error *error) {
  pgc_parameters *parameters = &question->parameters;
  switch (step == 0 ? op->kind : PGC_OP_EXISTS) {
  case PGC_OP_GET:
    question->id = op->unguarded ? PGC_STATEMENT_GET_UNGUARDED : PGC_STATEMENT_GET;
    add_digest(parameters, &op->keys[0]);
    break;
  case PGC_OP_PUT:
    question->id = PGC_STATEMENT_PUT;
    add_entry(parameters, op);
    return pgc_question_add_tags(question, op, error);
  case PGC_OP_ADD:
    question->id = PGC_STATEMENT_ADD;
    add_entry(parameters, op);
    return pgc_question_add_tags(question, op, error);
  case PGC_OP_REPLACE:
    question->id = PGC_STATEMENT_REPLACE;
    add_entry(parameters, op);
    return pgc_question_add_tags(question, op, error);
  case PGC_OP_COMPARE_AND_SWAP:
    question->id = PGC_STATEMENT_COMPARE_AND_SWAP;
    add_entry(parameters, op);
    pgc_parameters_add_int8(parameters, op->u.expected_version);
    return pgc_question_add_tags(question, op, error);
  case PGC_OP_TOUCH:
    question->id = PGC_STATEMENT_TOUCH;
    add_digest(parameters, &op->keys[0]);
    pgc_parameters_add_ttl(parameters, op->keys[0].ttl_ms);
    break;
  case PGC_OP_REMOVE:
    question->id = PGC_STATEMENT_REMOVE;
    add_digest(parameters, &op->keys[0]);
    break;
  case PGC_OP_INCREMENT:
    question->id = PGC_STATEMENT_INCREMENT;
    add_counter(parameters, op);
    break;
  default: /* PGC_OP_EXISTS, and what is asked after a miss */
    question->id = PGC_STATEMENT_EXISTS;
    add_digest(parameters, &op->keys[0]);
    break;
  }
  return PGCACHE_OK;
}

/* ---- Understanding ---- */

static pgcache_status found(pgc_session *session, pgc_op *op, int64_t sent_us, PGresult **result) {
  if (PQntuples(*result) == 0)
    return PGCACHE_MISS;
  const pgc_row row = {.row = 0, .first = 0, .tags = 8};
  pgcache_status status = pgc_question_note_use(session, *result, &row, 7, &op->keys[0].digest);
  return status == PGCACHE_OK ? pgc_session_entry(session, result, &row, true, sent_us, op, &op->keys[0]) : status;
}

/* The entry's new version, or NULL when the statement did not apply: then the status is refused (PGCACHE_OK: it always
   applies). No row at all: no marker. */
static pgcache_status version(pgc_session *session, pgc_op *op, const PGresult *result, pgcache_status refused) {
  if (PQntuples(result) == 0)
    return pgc_question_no_marker(session);
  if (PQgetisnull(result, 0, 0) && refused != PGCACHE_OK)
    return refused;
  return pgc_session_int8(session, result, 0, 0, &op->keys[0].version);
}

/* An update that found no entry asks in a second statement, whose snapshot is newer than whatever made the first one fail:
   of compare_and_swap, whether there is no entry or one of another version, and a version that was overtaken never comes
   back; of replace and touch, whether there is none after all. */
static pgcache_status version_of_update(pgc_session *session, pgc_op *op, const PGresult *result, bool *another) {
  pgcache_status status = version(session, op, result, PGCACHE_MISS);
  *another = status == PGCACHE_MISS;
  return status;
}

/* Of replace and touch the first statement's snapshot may have been older than a put that refreshed an entry which has
   expired since: then it was never gone, and the update is tried again. */
static pgcache_status after_miss(pgc_session *session, const pgc_op *op, const PGresult *result) {
  if (PQntuples(result) == 0)
    return PGCACHE_MISS;
  if (op->kind == PGC_OP_COMPARE_AND_SWAP)
    return PGCACHE_EXISTS;
  session->retry = true;
  return pgc_fail(session->error, PGCACHE_CONFLICT, "the entry was rewritten again and again; try later");
}

static pgcache_status removed(pgc_session *session, const PGresult *result) {
  bool alive = false;
  pgcache_status status = PQntuples(result) > 0 ? pgc_session_bool(session, result, 0, 0, &alive) : PGCACHE_OK;
  return status == PGCACHE_OK && !alive ? PGCACHE_MISS : status;
}

static pgcache_status counted(pgc_session *session, pgc_op *op, const PGresult *result) {
  if (PQntuples(result) == 0)
    return pgc_question_no_marker(session);
  if (PQgetisnull(result, 0, 0))
    return pgc_fail(session->error, PGCACHE_NOT_A_COUNTER,
                    "the entry is no counter: it needs format 1 and a decimal 64-bit integer");
  pgcache_status status = pgc_session_int8(session, result, 0, 0, &op->u.increment.number);
  return status == PGCACHE_OK ? pgc_session_int8(session, result, 0, 1, &op->keys[0].version) : status;
}

pgcache_status pgc_entry_understand(pgc_session *session, pgc_op *op, unsigned step, int64_t sent_us, PGresult **result,
                                    bool *another) {
  if (step > 0)
    return after_miss(session, op, *result);
  switch (op->kind) {
  case PGC_OP_GET:
    return found(session, op, sent_us, result);
  case PGC_OP_PUT:
    return version(session, op, *result, PGCACHE_OK);
  case PGC_OP_ADD:
    return version(session, op, *result, PGCACHE_EXISTS);
  case PGC_OP_REPLACE:
  case PGC_OP_COMPARE_AND_SWAP:
  case PGC_OP_TOUCH:
    return version_of_update(session, op, *result, another);
  case PGC_OP_REMOVE:
    return removed(session, *result);
  case PGC_OP_INCREMENT:
    return counted(session, op, *result);
  default: /* PGC_OP_EXISTS */
    return PQntuples(*result) > 0 ? PGCACHE_OK : PGCACHE_MISS;
  }
}
