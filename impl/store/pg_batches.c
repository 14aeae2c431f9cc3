/*
 * pg_batches.c - see pg_question.h. Operations on many keys: parameters, statement, answer.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_question.h"

#include <stdlib.h>

#include "pure/codec.h"
#include "pure/error.h"

/* ---- Asking ---- */

static void encode_digests(pgc_buffer *out, const pgc_op *op) {
  pgc_buffer_reserve(out, 20 + op->count * (4 + PGC_DIGEST_SIZE));
  pgc_encode_array_header(out, PGC_OID_UUID, op->count);
  for (size_t i = 0; i < op->count; i++) {
    pgc_buffer_append_u32(out, PGC_DIGEST_SIZE);
    pgc_buffer_append(out, op->keys[i].digest.bytes, PGC_DIGEST_SIZE);
  }
}

/* The columns of put_many.sql, but for the namespace, which is one for all. */
enum { DIGESTS, KEYS, VALUES, FORMATS, TTLS, FLAGS, PUT_ARRAYS };

_Static_assert(PUT_ARRAYS + 1 <= PGC_QUESTION_ARRAYS_MAX, "there is room for them");

static void encode_bytes(pgc_buffer *out, const void *bytes, size_t size) {
  pgc_buffer_append_u32(out, (uint32_t)size);
  pgc_buffer_append(out, bytes, size);
}

static void encode_puts(pgc_buffer *arrays, const pgc_op *op) {
  size_t key_bytes = 0, value_bytes = 0;
  for (size_t i = 0; i < op->count; i++) {
    key_bytes += 4 + op->keys[i].key_len;
    value_bytes += 4 + op->keys[i].value_len;
  }
  encode_digests(&arrays[DIGESTS], op);
  pgc_buffer_reserve(&arrays[KEYS], 20 + key_bytes);
  pgc_buffer_reserve(&arrays[VALUES], 20 + value_bytes);
  pgc_buffer_reserve(&arrays[FORMATS], 20 + 8 * op->count);
  pgc_buffer_reserve(&arrays[TTLS], 20 + 12 * op->count);
  pgc_buffer_reserve(&arrays[FLAGS], 20 + 8 * op->count);
  pgc_encode_array_header(&arrays[KEYS], PGC_OID_BYTEA, op->count);
  pgc_encode_array_header(&arrays[VALUES], PGC_OID_BYTEA, op->count);
  pgc_encode_array_header(&arrays[FORMATS], PGC_OID_INT4, op->count);
  pgc_encode_array_header(&arrays[TTLS], PGC_OID_INT8, op->count);
  pgc_encode_array_header(&arrays[FLAGS], PGC_OID_INT4, op->count);
  for (size_t i = 0; i < op->count; i++) {
    const pgc_op_key *entry = &op->keys[i];
    if (entry->flags & PGC_STORED_KEYED)
      pgc_buffer_append_u32(&arrays[KEYS], UINT32_MAX); /* a length of -1: NULL */
    else
      encode_bytes(&arrays[KEYS], entry->key, entry->key_len);
    encode_bytes(&arrays[VALUES], entry->value, entry->value_len);
    pgc_buffer_append_u32(&arrays[FORMATS], 4);
    pgc_buffer_append_u32(&arrays[FORMATS], (uint32_t)entry->format);
    if (entry->ttl_ms == PGCACHE_TTL_NEVER) {
      pgc_buffer_append_u32(&arrays[TTLS], UINT32_MAX);
    } else {
      pgc_buffer_append_u32(&arrays[TTLS], 8);
      pgc_buffer_append_u64(&arrays[TTLS], (uint64_t)entry->ttl_ms);
    }
    pgc_buffer_append_u32(&arrays[FLAGS], 4);
    pgc_buffer_append_u32(&arrays[FLAGS], (uint32_t)entry->flags);
  }
}

pgcache_status pgc_batch_ask(pgc_question *question, const pgc_op *op, pgcache_error *error) {
  bool puts = op->kind == PGC_OP_PUT_MANY;
  question->id = puts                             ? PGC_STATEMENT_PUT_MANY
                 : op->kind == PGC_OP_REMOVE_MANY ? PGC_STATEMENT_REMOVE_MANY
                 : op->unguarded                  ? PGC_STATEMENT_GET_MANY_UNGUARDED
                                                  : PGC_STATEMENT_GET_MANY;
  question->array_count = puts ? PUT_ARRAYS : 1;
  for (int i = 0; i < question->array_count; i++)
    question->arrays[i] = (pgc_buffer)PGC_BUFFER_INIT;
  if (puts)
    encode_puts(question->arrays, op);
  else
    encode_digests(&question->arrays[DIGESTS], op);
  for (int i = 0; i < question->array_count; i++) {
    if (question->arrays[i].failed)
      return pgc_fail_memory(error);
    if (i == KEYS)
      pgc_parameters_add_text(&question->parameters, op->namespace_name);
    pgc_parameters_add_bytes(&question->parameters, question->arrays[i].data, question->arrays[i].size);
  }
  return puts ? pgc_question_add_tags(question, op, error) : PGCACHE_OK;
}

/* ---- Understanding ---- */

static int compare_to_key(const void *digest, const void *key) {
  return pgc_digest_compare(digest, &((const pgc_op_key *)key)->digest);
}

/* The key that a row's digest belongs to. *next: the key to look at first, 0 for the first row; rows mostly come in the
   keys' order, with some missing. */
static pgc_op_key *find_key(const pgc_op *op, const PGresult *result, int row, int column, size_t *next) {
  if (PQgetlength(result, row, column) != PGC_DIGEST_SIZE)
    return NULL;
  const void *digest = PQgetvalue(result, row, column);
  int order = -1;
  while (*next < op->count && (order = compare_to_key(digest, &op->keys[*next])) > 0)
    ++*next;
  if (*next < op->count && order == 0)
    return &op->keys[(*next)++];
  return bsearch(digest, op->keys, op->count, sizeof *op->keys, compare_to_key);
}

static pgcache_status stray_row(pgc_session *session) {
  session->broken = true;
  return pgc_fail(session->error, PGCACHE_SCHEMA_CHANGED,
                  "the server answered for other keys than it was asked for; schema %s was changed by hand",
                  session->schema);
}

static pgcache_status found(pgc_session *session, const pgc_op *op, int64_t sent_us, PGresult *result) {
  pgcache_status status = PGCACHE_OK;
  size_t next = 0;
  for (int row = 0; status == PGCACHE_OK && row < PQntuples(result); row++) {
    pgc_op_key *key = find_key(op, result, row, 7, &next);
    if (key == NULL || key->found != NULL)
      return stray_row(session);
    const pgc_row place = {.row = row, .first = 0, .tags = 9};
    status = pgc_question_note_use(session, result, &place, 8, &key->digest);
    if (status == PGCACHE_OK)
      status = pgc_session_entry(session, &result, &place, false, sent_us, op, key);
    key->status = status;
    if (status == PGCACHE_OK)
      key->version = key->found->version;
    else if (status == PGCACHE_TOO_LARGE || status == PGCACHE_MISS)
      status = PGCACHE_OK; /* the others have their answers */
  }
  return status;
}

static pgcache_status stored(pgc_session *session, const pgc_op *op, const PGresult *result) {
  if (PQntuples(result) == 0)
    return pgc_question_no_marker(session);
  if ((size_t)PQntuples(result) != op->count)
    return stray_row(session);
  pgcache_status status = PGCACHE_OK;
  size_t next = 0;
  for (int row = 0; status == PGCACHE_OK && row < PQntuples(result); row++) {
    pgc_op_key *key = find_key(op, result, row, 0, &next);
    if (key == NULL)
      return stray_row(session);
    key->status = PGCACHE_OK;
    status = pgc_session_int8(session, result, row, 1, &key->version);
  }
  return status;
}

static pgcache_status removed(pgc_session *session, const pgc_op *op, const PGresult *result) {
  pgcache_status status = PGCACHE_OK;
  size_t next = 0;
  for (int row = 0; status == PGCACHE_OK && row < PQntuples(result); row++) {
    bool alive = false;
    pgc_op_key *key = find_key(op, result, row, 0, &next);
    status = key == NULL ? stray_row(session) : pgc_session_bool(session, result, row, 1, &alive);
    if (alive)
      key->status = PGCACHE_OK;
  }
  return status;
}

pgcache_status pgc_batch_understand(pgc_session *session, pgc_op *op, int64_t sent_us, PGresult *result) {
  if (op->kind == PGC_OP_PUT_MANY)
    return stored(session, op, result);
  for (size_t i = 0; i < op->count; i++)
    op->keys[i].status = PGCACHE_MISS;
  return op->kind == PGC_OP_GET_MANY ? found(session, op, sent_us, result) : removed(session, op, result);
}
