/*
 * pg_operations.c - see pg_operations.h. Each function is one operation: parameters, statement, answer.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_operations.h"

#include <stdlib.h>
#include <string.h>

#include "pure/codec.h"
#include "pure/error.h"
#include "store/pg_cleanup.h"
#include "store/pg_doctor.h"
#include "store/pg_maintenance.h"
#include "store/pg_schema.h"

static void add_digest(pgc_parameters *parameters, const pgc_digest *digest) {
  pgc_parameters_add_bytes(parameters, digest->bytes, PGC_DIGEST_SIZE);
}

/* A write found the table `marker` empty. Nothing was written; the store makes a new epoch and comes again. */
static pgcache_status no_marker(pgc_session *session) {
  session->no_marker = true;
  return pgc_fail(session->error, PGCACHE_CONFLICT,
                  "schema %s has lost its marker again and again; is the server crashing, or somebody emptying it?",
                  session->schema);
}

/* ---- One key ---- */

/* An entry was found: notes how long ago it was used, for the size bounds. */
static pgcache_status note_use(pgc_session *session, const PGresult *result, int row, int column,
                               const pgc_digest *digest) {
  enum { NOW = 5 };
  int64_t accessed_at, now;
  pgcache_status status = pgc_session_int8(session, result, row, column, &accessed_at);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, row, NOW, &now);
  if (status == PGCACHE_OK &&
      accessed_at < now) /* 'infinity' is not; '-infinity', which only hands can write, is old */
    pgc_stamps_note(session->stamps, digest,
                    accessed_at < 0 && now > INT64_MAX + accessed_at ? INT64_MAX - 1 : now - accessed_at);
  return status;
}

static pgcache_status get(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  PGresult *result;
  add_digest(&parameters, &op->keys[0].digest);
  int64_t sent_us = pgc_now_us();
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_GET, &parameters, &result);
  if (status != PGCACHE_OK)
    return status;
  status = PQntuples(result) == 0 ? PGCACHE_MISS : note_use(session, result, 0, 7, &op->keys[0].digest);
  if (status == PGCACHE_OK)
    status = pgc_session_entry(session, &result, 0, true, sent_us, op, &op->keys[0]);
  PQclear(result);
  return status;
}

static pgcache_status exists(pgc_session *session, const pgc_op *op) {
  pgc_parameters parameters = {0};
  PGresult *result;
  add_digest(&parameters, &op->keys[0].digest);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_EXISTS, &parameters, &result);
  if (status == PGCACHE_OK && PQntuples(result) == 0)
    status = PGCACHE_MISS;
  PQclear(result);
  return status;
}

/* Executes a statement that gives the entry's new version, or NULL when it did not apply: then the status is refused
   (PGCACHE_OK: it always applies). No row at all: no marker. */
static pgcache_status write_version(pgc_session *session, pgc_statement_id id, const pgc_parameters *parameters,
                                    pgcache_status refused, int64_t *version) {
  PGresult *result;
  pgcache_status status = pgc_session_execute(session, id, parameters, &result);
  if (status != PGCACHE_OK)
    return status;
  if (PQntuples(result) == 0)
    status = no_marker(session);
  else if (PQgetisnull(result, 0, 0) && refused != PGCACHE_OK)
    status = refused;
  else
    status = pgc_session_int8(session, result, 0, 0, version);
  PQclear(result);
  return status;
}

/* An update found no entry. Its snapshot may be older than a put that refreshed an entry which has expired since: then it
   was never gone, and the update is tried again. */
static pgcache_status confirm_miss(pgc_session *session, const pgc_op *op) {
  session->writes = false;
  pgcache_status status = exists(session, op);
  if (status != PGCACHE_OK)
    return status;
  session->retry = true;
  return pgc_fail(session->error, PGCACHE_CONFLICT, "the entry was rewritten again and again; try later");
}

/* Behind a keyed digest the key itself stays hidden. */
static void add_key(pgc_parameters *parameters, const pgc_op_key *entry) {
  if (entry->flags & PGC_STORED_KEYED)
    pgc_parameters_add_null(parameters);
  else
    pgc_parameters_add_bytes(parameters, entry->key, entry->key_len);
}

static void add_entry(pgc_parameters *parameters, const pgc_op *op) {
  const pgc_op_key *entry = &op->keys[0];
  add_digest(parameters, &entry->digest);
  pgc_parameters_add_text(parameters, op->namespace_name);
  add_key(parameters, entry);
  pgc_parameters_add_bytes(parameters, entry->value, entry->value_len);
  pgc_parameters_add_int4(parameters, entry->format);
  pgc_parameters_add_ttl(parameters, entry->ttl_ms);
  pgc_parameters_add_int4(parameters, entry->flags);
}

static pgcache_status store_entry(pgc_session *session, pgc_op *op, pgc_statement_id id, pgcache_status refused) {
  pgc_parameters parameters = {0};
  add_entry(&parameters, op);
  pgcache_status status = write_version(session, id, &parameters, refused, &op->keys[0].version);
  return status == PGCACHE_MISS ? confirm_miss(session, op) : status;
}

static pgcache_status compare_and_swap(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  add_entry(&parameters, op);
  pgc_parameters_add_int8(&parameters, op->u.expected_version);
  pgcache_status status =
      write_version(session, PGC_STATEMENT_COMPARE_AND_SWAP, &parameters, PGCACHE_MISS, &op->keys[0].version);
  if (status != PGCACHE_MISS)
    return status;
  /* Not swapped. Whether there is no entry or one of another version is asked in a second statement, whose snapshot is
     newer than whatever made the first one fail; a version that was overtaken never comes back. */
  session->writes = false;
  status = exists(session, op);
  return status == PGCACHE_OK ? PGCACHE_EXISTS : status;
}

static pgcache_status touch(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  add_digest(&parameters, &op->keys[0].digest);
  pgc_parameters_add_ttl(&parameters, op->keys[0].ttl_ms);
  pgcache_status status = write_version(session, PGC_STATEMENT_TOUCH, &parameters, PGCACHE_MISS, &op->keys[0].version);
  return status == PGCACHE_MISS ? confirm_miss(session, op) : status;
}

static pgcache_status remove_entry(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  PGresult *result;
  add_digest(&parameters, &op->keys[0].digest);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_REMOVE, &parameters, &result);
  if (status != PGCACHE_OK)
    return status;
  bool alive = false;
  if (PQntuples(result) > 0)
    status = pgc_session_bool(session, result, 0, 0, &alive);
  PQclear(result);
  return status == PGCACHE_OK && !alive ? PGCACHE_MISS : status;
}

static pgcache_status increment(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  PGresult *result;
  const pgc_op_key *entry = &op->keys[0];
  add_digest(&parameters, &entry->digest);
  pgc_parameters_add_text(&parameters, op->namespace_name);
  add_key(&parameters, entry);
  pgc_parameters_add_int8(&parameters, op->u.increment.initial + op->u.increment.delta); /* checked not to overflow */
  pgc_parameters_add_int8(&parameters, op->u.increment.delta);
  pgc_parameters_add_ttl(&parameters, entry->ttl_ms);
  pgc_parameters_add_int4(&parameters, entry->flags);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_INCREMENT, &parameters, &result);
  if (status == PGCACHE_SERVER_ERROR && strcmp(session->error->sqlstate, "22003") == 0)
    return pgc_fail_sql(session->error, PGCACHE_OVERFLOW, "22003",
                        "the counter would leave the range of 64-bit integers; it is unchanged");
  if (status != PGCACHE_OK)
    return status;
  if (PQntuples(result) == 0)
    status = no_marker(session);
  else if (PQgetisnull(result, 0, 0))
    status = pgc_fail(session->error, PGCACHE_NOT_A_COUNTER,
                      "the entry is no counter: it needs format 1 and a decimal 64-bit integer");
  else
    status = pgc_session_int8(session, result, 0, 0, &op->u.increment.number);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 1, &op->keys[0].version);
  PQclear(result);
  return status;
}

/* ---- Many keys ---- */

static void encode_digests(pgc_buffer *out, const pgc_op *op) {
  pgc_buffer_reserve(out, 20 + op->count * (4 + PGC_DIGEST_SIZE));
  pgc_encode_array_header(out, PGC_OID_UUID, op->count);
  for (size_t i = 0; i < op->count; i++) {
    pgc_buffer_append_u32(out, PGC_DIGEST_SIZE);
    pgc_buffer_append(out, op->keys[i].digest.bytes, PGC_DIGEST_SIZE);
  }
}

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

static pgcache_status get_many(pgc_session *session, pgc_op *op) {
  pgc_buffer digests = PGC_BUFFER_INIT;
  pgc_parameters parameters = {0};
  PGresult *result = NULL;
  encode_digests(&digests, op);
  pgcache_status status = digests.failed ? pgc_fail_memory(session->error) : PGCACHE_OK;
  int64_t sent_us = pgc_now_us();
  if (status == PGCACHE_OK) {
    pgc_parameters_add_bytes(&parameters, digests.data, digests.size);
    status = pgc_session_execute(session, PGC_STATEMENT_GET_MANY, &parameters, &result);
  }
  for (size_t i = 0; i < op->count; i++)
    op->keys[i].status = PGCACHE_MISS;
  size_t next = 0;
  for (int row = 0; status == PGCACHE_OK && row < PQntuples(result); row++) {
    pgc_op_key *key = find_key(op, result, row, 7, &next);
    if (key == NULL || key->found != NULL) {
      status = stray_row(session);
      break;
    }
    status = note_use(session, result, row, 8, &key->digest);
    if (status == PGCACHE_OK)
      status = pgc_session_entry(session, &result, row, false, sent_us, op, key);
    key->status = status;
    if (status == PGCACHE_OK)
      key->version = key->found->version;
    else if (status == PGCACHE_TOO_LARGE || status == PGCACHE_MISS)
      status = PGCACHE_OK; /* the others have their answers */
  }
  PQclear(result);
  pgc_buffer_clear(&digests);
  return status;
}

/* The columns of put_many.sql as arrays. */
typedef struct put_arrays {
  pgc_buffer digests, keys, values, formats, ttls, flags;
} put_arrays;

static void encode_bytes(pgc_buffer *out, const void *bytes, size_t size) {
  pgc_buffer_append_u32(out, (uint32_t)size);
  pgc_buffer_append(out, bytes, size);
}

static void encode_puts(put_arrays *arrays, const pgc_op *op) {
  size_t key_bytes = 0, value_bytes = 0;
  for (size_t i = 0; i < op->count; i++) {
    key_bytes += 4 + op->keys[i].key_len;
    value_bytes += 4 + op->keys[i].value_len;
  }
  encode_digests(&arrays->digests, op);
  pgc_buffer_reserve(&arrays->keys, 20 + key_bytes);
  pgc_buffer_reserve(&arrays->values, 20 + value_bytes);
  pgc_buffer_reserve(&arrays->formats, 20 + 8 * op->count);
  pgc_buffer_reserve(&arrays->ttls, 20 + 12 * op->count);
  pgc_buffer_reserve(&arrays->flags, 20 + 8 * op->count);
  pgc_encode_array_header(&arrays->keys, PGC_OID_BYTEA, op->count);
  pgc_encode_array_header(&arrays->values, PGC_OID_BYTEA, op->count);
  pgc_encode_array_header(&arrays->formats, PGC_OID_INT4, op->count);
  pgc_encode_array_header(&arrays->ttls, PGC_OID_INT8, op->count);
  pgc_encode_array_header(&arrays->flags, PGC_OID_INT4, op->count);
  for (size_t i = 0; i < op->count; i++) {
    const pgc_op_key *entry = &op->keys[i];
    if (entry->flags & PGC_STORED_KEYED)
      pgc_buffer_append_u32(&arrays->keys, UINT32_MAX); /* a length of -1: NULL */
    else
      encode_bytes(&arrays->keys, entry->key, entry->key_len);
    encode_bytes(&arrays->values, entry->value, entry->value_len);
    pgc_buffer_append_u32(&arrays->formats, 4);
    pgc_buffer_append_u32(&arrays->formats, (uint32_t)entry->format);
    if (entry->ttl_ms == PGCACHE_TTL_NEVER) {
      pgc_buffer_append_u32(&arrays->ttls, UINT32_MAX);
    } else {
      pgc_buffer_append_u32(&arrays->ttls, 8);
      pgc_buffer_append_u64(&arrays->ttls, (uint64_t)entry->ttl_ms);
    }
    pgc_buffer_append_u32(&arrays->flags, 4);
    pgc_buffer_append_u32(&arrays->flags, (uint32_t)entry->flags);
  }
}

static pgcache_status send_puts(pgc_session *session, const pgc_op *op, const put_arrays *arrays, PGresult **result) {
  pgc_parameters parameters = {0};
  *result = NULL;
  if (arrays->digests.failed || arrays->keys.failed || arrays->values.failed || arrays->formats.failed ||
      arrays->ttls.failed || arrays->flags.failed)
    return pgc_fail_memory(session->error);
  pgc_parameters_add_bytes(&parameters, arrays->digests.data, arrays->digests.size);
  pgc_parameters_add_text(&parameters, op->namespace_name);
  pgc_parameters_add_bytes(&parameters, arrays->keys.data, arrays->keys.size);
  pgc_parameters_add_bytes(&parameters, arrays->values.data, arrays->values.size);
  pgc_parameters_add_bytes(&parameters, arrays->formats.data, arrays->formats.size);
  pgc_parameters_add_bytes(&parameters, arrays->ttls.data, arrays->ttls.size);
  pgc_parameters_add_bytes(&parameters, arrays->flags.data, arrays->flags.size);
  return pgc_session_execute(session, PGC_STATEMENT_PUT_MANY, &parameters, result);
}

static pgcache_status put_many(pgc_session *session, pgc_op *op) {
  put_arrays arrays = {PGC_BUFFER_INIT, PGC_BUFFER_INIT, PGC_BUFFER_INIT,
                       PGC_BUFFER_INIT, PGC_BUFFER_INIT, PGC_BUFFER_INIT};
  PGresult *result;
  encode_puts(&arrays, op);
  pgcache_status status = send_puts(session, op, &arrays, &result);
  if (status == PGCACHE_OK && PQntuples(result) == 0)
    status = no_marker(session);
  else if (status == PGCACHE_OK && (size_t)PQntuples(result) != op->count)
    status = stray_row(session);
  size_t next = 0;
  for (int row = 0; status == PGCACHE_OK && row < PQntuples(result); row++) {
    pgc_op_key *key = find_key(op, result, row, 0, &next);
    if (key == NULL) {
      status = stray_row(session);
      break;
    }
    key->status = PGCACHE_OK;
    status = pgc_session_int8(session, result, row, 1, &key->version);
  }
  PQclear(result);
  pgc_buffer_clear(&arrays.digests);
  pgc_buffer_clear(&arrays.keys);
  pgc_buffer_clear(&arrays.values);
  pgc_buffer_clear(&arrays.formats);
  pgc_buffer_clear(&arrays.ttls);
  pgc_buffer_clear(&arrays.flags);
  return status;
}

static pgcache_status remove_many(pgc_session *session, pgc_op *op) {
  pgc_buffer digests = PGC_BUFFER_INIT;
  pgc_parameters parameters = {0};
  PGresult *result = NULL;
  encode_digests(&digests, op);
  pgcache_status status = digests.failed ? pgc_fail_memory(session->error) : PGCACHE_OK;
  if (status == PGCACHE_OK) {
    pgc_parameters_add_bytes(&parameters, digests.data, digests.size);
    status = pgc_session_execute(session, PGC_STATEMENT_REMOVE_MANY, &parameters, &result);
  }
  for (size_t i = 0; i < op->count; i++)
    op->keys[i].status = PGCACHE_MISS;
  size_t next = 0;
  for (int row = 0; status == PGCACHE_OK && row < PQntuples(result); row++) {
    bool alive = false;
    pgc_op_key *key = find_key(op, result, row, 0, &next);
    status = key == NULL ? stray_row(session) : pgc_session_bool(session, result, row, 1, &alive);
    if (alive)
      key->status = PGCACHE_OK;
  }
  PQclear(result);
  pgc_buffer_clear(&digests);
  return status;
}

/* ---- Dispatch ---- */

/* A namespace has digests of one kind: entries of the other would be there and never be found. */
static pgcache_status check_digests(pgc_session *session, const pgc_op *op) {
  bool by_key = op->count > 0 || op->kind == PGC_OP_KEYS;
  if (session->keyed_digests)
    return pgc_op_stores(op->kind) || op->kind == PGC_OP_INCREMENT ? pgc_schema_note_keyed(session, op->namespace_name)
                                                                   : PGCACHE_OK;
  if (by_key && session->connection->keyed_digests && strcmp(op->namespace_name, session->namespace_name) == 0)
    return pgc_fail(session->error, PGCACHE_SCHEMA_DIFFERS,
                    "the handle's namespace has keyed digests and the setting is digests=plain; set digests=keyed and "
                    "keys, or use another namespace");
  return PGCACHE_OK;
}

pgcache_status pgc_pg_operate(pgc_session *session, pgc_op *op) {
  session->writes = pgc_op_writes(op->kind);
  if (!session->connection->checked && op->kind != PGC_OP_INIT && op->kind != PGC_OP_UPGRADE &&
      op->kind != PGC_OP_DOCTOR) {
    pgcache_status status = pgc_schema_check(session);
    if (status != PGCACHE_OK)
      return status;
  }
  pgcache_status status = check_digests(session, op);
  if (status != PGCACHE_OK)
    return status;
  switch (op->kind) {
  case PGC_OP_GET:
    return get(session, op);
  case PGC_OP_GET_MANY:
    return get_many(session, op);
  case PGC_OP_EXISTS:
    return exists(session, op);
  case PGC_OP_KEYS:
    return pgc_pg_keys(session, op);
  case PGC_OP_STATS:
    return pgc_pg_stats(session, op);
  case PGC_OP_DOCTOR:
    return pgc_pg_doctor(session, op);
  case PGC_OP_PUT:
    return store_entry(session, op, PGC_STATEMENT_PUT, PGCACHE_OK);
  case PGC_OP_ADD:
    return store_entry(session, op, PGC_STATEMENT_ADD, PGCACHE_EXISTS);
  case PGC_OP_REPLACE:
    return store_entry(session, op, PGC_STATEMENT_REPLACE, PGCACHE_MISS);
  case PGC_OP_COMPARE_AND_SWAP:
    return compare_and_swap(session, op);
  case PGC_OP_PUT_MANY:
    return put_many(session, op);
  case PGC_OP_REMOVE:
    return remove_entry(session, op);
  case PGC_OP_REMOVE_MANY:
    return remove_many(session, op);
  case PGC_OP_TOUCH:
    return touch(session, op);
  case PGC_OP_INCREMENT:
    return increment(session, op);
  case PGC_OP_FLUSH_NAMESPACE:
  case PGC_OP_FLUSH_ALL:
    return pgc_pg_flush(session, op);
  case PGC_OP_CLEANUP:
    return pgc_pg_cleanup(session, op);
  case PGC_OP_CLEAN_SLICE:
    return pgc_pg_clean_slice(session, op);
  case PGC_OP_STAMP:
    return pgc_pg_stamp(session, op);
  case PGC_OP_SET_LIMITS:
    return pgc_pg_set_limits(session, op);
  case PGC_OP_USAGE:
    return pgc_pg_usage(session, op);
  case PGC_OP_INIT:
  case PGC_OP_UPGRADE:
    break;
  }
  status = pgc_schema_migrate(session, pgc_migrations_list(), op->kind == PGC_OP_INIT);
  if (status >= 0 && session->keyed_digests) {
    pgcache_status noted = pgc_schema_note_keyed(session, session->namespace_name);
    status = noted == PGCACHE_OK ? status : noted;
  }
  return status;
}

void pgc_pg_drop_outputs(pgc_op *op) {
  for (size_t i = 0; i < op->count; i++) {
    if (op->keys[i].found != NULL)
      pgc_value_release(op->keys[i].found);
    op->keys[i].found = NULL;
    op->keys[i].version = 0;
  }
  if (op->kind == PGC_OP_KEYS) {
    while (op->u.list.count > 0) {
      pgcache_value **last = &op->u.list.found[--op->u.list.count];
      pgc_value_release(*last);
      *last = NULL;
    }
  }
  if (op->kind == PGC_OP_DOCTOR && op->u.doctor.report != NULL) {
    pgc_value_release(op->u.doctor.report);
    op->u.doctor.report = NULL;
  }
}
