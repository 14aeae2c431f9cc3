/*
 * pg_question.c - see pg_question.h. What operations on one key and on many have in common.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_question.h"

#include <string.h>

#include "pure/codec.h"
#include "pure/error.h"

static bool has_many_keys(const pgc_op *op) {
  return op->kind == PGC_OP_GET_MANY || op->kind == PGC_OP_PUT_MANY || op->kind == PGC_OP_REMOVE_MANY;
}

static bool is_of_load(const pgc_op *op) {
  return pgc_op_has_load(op->kind) || op->kind == PGC_OP_INVALIDATE;
}

pgcache_status pgc_question_ask(pgc_question *self, const pgc_op *op, unsigned step, pgcache_error *error) {
  /* Not all of it is zeroed: that would be a good part of what a get costs here. */
  self->parameters.count = 0;
  self->array_count = 0;
  self->writes = step == 0 && pgc_op_writes(op->kind);
  if (has_many_keys(op))
    return pgc_batch_ask(self, op, error);
  return is_of_load(op) ? pgc_load_ask(self, op, step, error) : pgc_entry_ask(self, op, step, error);
}

pgcache_status pgc_question_add_digests(pgc_question *self, const pgc_digest *digests, size_t count,
                                        pgcache_error *error) {
  pgc_buffer *array = &self->arrays[self->array_count++];
  *array = (pgc_buffer)PGC_BUFFER_INIT;
  pgc_buffer_reserve(array, 20 + count * PGC_UUID_STRIDE);
  pgc_encode_array_header(array, PGC_OID_UUID, count);
  for (size_t i = 0; i < count; i++) {
    pgc_buffer_append_u32(array, PGC_DIGEST_SIZE);
    pgc_buffer_append(array, digests[i].bytes, PGC_DIGEST_SIZE);
  }
  if (array->failed)
    return pgc_fail_memory(error);
  pgc_parameters_add_bytes(&self->parameters, array->data, array->size);
  return PGCACHE_OK;
}

pgcache_status pgc_question_add_tags(pgc_question *self, const pgc_op *op, pgcache_error *error) {
  if (op->tag_count > 0)
    return pgc_question_add_digests(self, op->tags, op->tag_count, error);
  pgc_parameters_add_null(&self->parameters);
  return PGCACHE_OK;
}

void pgc_question_clear(pgc_question *self) {
  while (self->array_count > 0)
    pgc_buffer_clear(&self->arrays[--self->array_count]);
}

pgcache_status pgc_question_understand(pgc_session *session, pgc_op *op, unsigned step, int64_t sent_us,
                                       PGresult **result, bool *another) {
  *another = false;
  if (is_of_load(op))
    return pgc_load_understand(session, op, step, sent_us, result, another);
  return has_many_keys(op) ? pgc_batch_understand(session, op, sent_us, *result)
                           : pgc_entry_understand(session, op, step, sent_us, result, another);
}

pgcache_status pgc_question_refused(pgc_session *session, const pgc_op *op, pgcache_status status) {
  if (op->kind == PGC_OP_INCREMENT && status == PGCACHE_SERVER_ERROR && strcmp(session->error->sqlstate, "22003") == 0)
    return pgc_fail_sql(session->error, PGCACHE_OVERFLOW, "22003",
                        "the counter would leave the range of 64-bit integers; it is unchanged");
  return status;
}

pgcache_status pgc_question_no_marker(pgc_session *session) {
  session->no_marker = true;
  return pgc_fail(session->error, PGCACHE_CONFLICT,
                  "schema %s has lost its marker again and again; is the server crashing, or somebody emptying it?",
                  session->schema);
}

pgcache_status pgc_question_note_use(pgc_session *session, const PGresult *result, const pgc_row *row, int column,
                                     const pgc_digest *digest) {
  enum { NOW = 5 };
  int64_t accessed_at, now;
  pgcache_status status = pgc_session_int8(session, result, row->row, column, &accessed_at);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, row->row, row->first + NOW, &now);
  if (status == PGCACHE_OK &&
      accessed_at < now) /* 'infinity' is not; '-infinity', which only hands can write, is old */
    pgc_stamps_note(session->stamps, digest,
                    accessed_at < 0 && now > INT64_MAX + accessed_at ? INT64_MAX - 1 : now - accessed_at);
  return status;
}
