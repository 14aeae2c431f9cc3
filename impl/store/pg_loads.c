/*
 * pg_loads.c - see pg_question.h. Operations on loads, and invalidations: parameters, statement, answer.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/codec.h"
#include "pure/error.h"
#include "store/pg_question.h"

/* ---- Asking ---- */

static void add_lease(pgc_parameters *parameters, const pgc_op *op) {
  pgc_parameters_add_bytes(parameters, op->keys[0].digest.bytes, PGC_DIGEST_SIZE);
  pgc_parameters_add_bytes(parameters, op->u.load.token, PGC_TOKEN_SIZE);
}

static pgcache_status ask_fill(pgc_question *question, const pgc_op *op, pgcache_error *error) {
  pgc_parameters *parameters = &question->parameters;
  const pgc_op_key *entry = &op->keys[0];
  question->id = PGC_STATEMENT_FILL_LOAD;
  add_lease(parameters, op);
  pgc_parameters_add_text(parameters, op->namespace_name);
  pgc_question_add_key(parameters, entry);
  pgc_parameters_add_bytes(parameters, entry->value, entry->value_len);
  pgc_parameters_add_int4(parameters, entry->format);
  pgc_parameters_add_ttl(parameters, entry->ttl_ms);
  pgc_parameters_add_int8(parameters, op->u.load.keep_ms);
  pgc_parameters_add_int4(parameters, entry->flags);
  pgc_parameters_add_int4(parameters, (int32_t)op->u.load.load_ms);
  return pgc_question_add_tags(question, op, error);
}

/* Each behind a byte that says what it is, see invalidate.sql. */
static pgcache_status add_names(pgc_question *question, const pgc_op *op, pgcache_error *error) {
  const pgcache_dependency *names = op->u.invalidate.names;
  pgc_buffer *array = &question->arrays[question->array_count++];
  *array = (pgc_buffer)PGC_BUFFER_INIT;
  pgc_encode_array_header(array, PGC_OID_BYTEA, op->u.invalidate.name_count);
  for (size_t i = 0; i < op->u.invalidate.name_count; i++) {
    const pgcache_dependency *each = pgc_dependency_at(names, i);
    pgc_buffer_append_u32(array, (uint32_t)each->name_len + 1);
    pgc_buffer_append(array, each->kind == PGCACHE_DEPENDS_ON_KEY ? "k" : "t", 1);
    pgc_buffer_append(array, each->name, each->name_len);
  }
  if (array->failed)
    return pgc_fail_memory(error);
  pgc_parameters_add_bytes(&question->parameters, array->data, array->size);
  return PGCACHE_OK;
}

static pgcache_status ask_invalidate(pgc_question *question, const pgc_op *op, pgcache_error *error) {
  question->id = PGC_STATEMENT_INVALIDATE;
  pgcache_status status = pgc_question_add_digests(question, op->u.invalidate.digests, op->u.invalidate.count, error);
  if (status != PGCACHE_OK)
    return status;
  pgc_parameters_add_text(&question->parameters, op->namespace_name);
  return add_names(question, op, error);
}

pgcache_status pgc_load_ask(pgc_question *question, const pgc_op *op, unsigned step, pgcache_error *error) {
  pgc_parameters *parameters = &question->parameters;
  switch (op->kind) {
  case PGC_OP_BEGIN_LOAD:
    question->id = PGC_STATEMENT_BEGIN_LOAD;
    add_lease(parameters, op);
    pgc_parameters_add_int8(parameters, op->u.load.lease_ms);
    pgc_parameters_add_bool(parameters, op->u.load.early || step > 0);
    return PGCACHE_OK;
  case PGC_OP_FILL_LOAD:
    return ask_fill(question, op, error);
  case PGC_OP_END_LOAD:
    question->id = PGC_STATEMENT_END_LOAD;
    add_lease(parameters, op);
    pgc_parameters_add_int8(parameters, op->u.load.throttle_ms);
    return PGCACHE_OK;
  case PGC_OP_EXTEND_LOAD:
    question->id = PGC_STATEMENT_EXTEND_LOAD;
    add_lease(parameters, op);
    pgc_parameters_add_int8(parameters, op->u.load.lease_ms);
    return PGCACHE_OK;
  default: /* PGC_OP_INVALIDATE */
    return ask_invalidate(question, op, error);
  }
}

/* ---- Understanding ---- */

/* The columns of begin_load.sql. */
enum { LEASED, FAILED, OTHERS_MS, ENTRY, VERSION, FORMAT, FRESH_UNTIL, EXPIRES_AT, NOW, FLAGS, ACCESSED_AT, TAGS };

/* How fresh the entry is, or how stale. */
static pgcache_status read_age(pgc_session *session, const PGresult *result, pgc_op_load *load, bool *fresh,
                               bool *absent) {
  int64_t fresh_until, now;
  int32_t flags;
  pgcache_status status = pgc_session_int8(session, result, 0, FRESH_UNTIL, &fresh_until);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, NOW, &now);
  if (status == PGCACHE_OK)
    status = pgc_session_int4(session, result, 0, FLAGS, &flags);
  if (status != PGCACHE_OK)
    return status;
  *fresh = fresh_until > now;
  *absent = (flags & PGC_STORED_ABSENT) != 0;
  if (!*fresh)
    load->stale_ms = (now - fresh_until) / 1000 + 1; /* begun ones count: with stale_ms 0 nothing stale is given */
  else
    load->fresh_ms = fresh_until == INT64_MAX ? INT64_MAX / 1000 : (fresh_until - now) / 1000;
  return PGCACHE_OK;
}

/* There is an entry. One that we cannot read, or may not give, is as none; but while it is fresh the lease has to be asked
   for in so many words. */
static pgcache_status begun_with_entry(pgc_session *session, pgc_op *op, unsigned step, int64_t sent_us,
                                       PGresult **result, bool *another) {
  pgc_op_load *load = &op->u.load;
  pgc_op_key *key = &op->keys[0];
  bool fresh, absent;
  const pgc_row row = {.row = 0, .first = ENTRY, .tags = TAGS};
  const pgcache_status without = load->leased ? PGCACHE_LEASE : PGCACHE_BUSY;
  pgcache_status status = read_age(session, *result, load, &fresh, &absent);
  if (status != PGCACHE_OK)
    return status;
  if (absent)
    return fresh && !load->leased ? PGCACHE_MISS : without;
  if (fresh)
    status = pgc_question_note_use(session, *result, &row, ACCESSED_AT, &key->digest);
  if (status == PGCACHE_OK)
    status = pgc_session_entry(session, result, &row, true, sent_us, op, key);
  if (status == PGCACHE_MISS || (status == PGCACHE_TOO_LARGE && (load->leased || !fresh))) {
    *another = fresh && !load->leased && step == 0;
    return without;
  }
  if (status != PGCACHE_OK)
    return status;
  load->took_ms = key->found->load_ms;
  return fresh ? PGCACHE_OK : PGCACHE_STALE;
}

static pgcache_status begun(pgc_session *session, pgc_op *op, unsigned step, int64_t sent_us, PGresult **result,
                            bool *another) {
  pgc_op_load *load = &op->u.load;
  if (pgc_connection_has_old_snapshot(session->connection)) /* the savepoint takes a lease back */
    return pgc_fail(
        session->error, PGCACHE_INVALID,
        "the application's transaction is at REPEATABLE READ or SERIALIZABLE: what is loaded in there may be "
        "older than the lease; begin loads before it, or at READ COMMITTED");
  load->fresh_ms = load->stale_ms = load->took_ms = 0;
  if (PQntuples(*result) == 0)
    return pgc_question_no_marker(session);
  pgcache_status status = pgc_session_bool(session, *result, 0, LEASED, &load->leased);
  if (status == PGCACHE_OK)
    status = pgc_session_bool(session, *result, 0, FAILED, &load->failed);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, *result, 0, OTHERS_MS, &load->others_ms);
  if (status != PGCACHE_OK)
    return status;
  if (!PQgetisnull(*result, 0, VERSION))
    return begun_with_entry(session, op, step, sent_us, result, another);
  return load->leased ? PGCACHE_LEASE : PGCACHE_BUSY;
}

static pgcache_status filled(pgc_session *session, pgc_op *op, const PGresult *result) {
  if (PQntuples(result) == 0)
    return pgc_question_no_marker(session);
  if (PQgetisnull(result, 0, 0))
    return PGCACHE_REFUSED;
  return pgc_session_int8(session, result, 0, 0, &op->keys[0].version);
}

static pgcache_status extended(pgc_session *session, const PGresult *result) {
  bool is = false;
  pgcache_status status = PQntuples(result) > 0 ? pgc_session_bool(session, result, 0, 0, &is) : PGCACHE_OK;
  return status == PGCACHE_OK && !is ? PGCACHE_REFUSED : status;
}

pgcache_status pgc_load_understand(pgc_session *session, pgc_op *op, unsigned step, int64_t sent_us, PGresult **result,
                                   bool *another) {
  switch (op->kind) {
  case PGC_OP_BEGIN_LOAD:
    return begun(session, op, step, sent_us, result, another);
  case PGC_OP_FILL_LOAD:
    return filled(session, op, *result);
  case PGC_OP_EXTEND_LOAD:
    return extended(session, *result);
  default: /* PGC_OP_END_LOAD: it was ours, or it was over; PGC_OP_INVALIDATE */
    return PGCACHE_OK;
  }
}
