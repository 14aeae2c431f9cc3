/*
 * pg_maintenance.c - see pg_maintenance.h. Each statement of a flush is short, so that nobody waits for it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_maintenance.h"

#include <string.h>

#include "pure/codec.h"
#include "pure/error.h"
#include "store/report.h"

pgcache_status pgc_pg_keys(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  PGresult *result;
  pgc_parameters_add_text(&parameters, op->namespace_name);
  pgc_parameters_add_bytes(&parameters, op->u.list.prefix, op->u.list.prefix_len);
  if (op->u.list.prefix_end != NULL)
    pgc_parameters_add_bytes(&parameters, op->u.list.prefix_end, op->u.list.prefix_end_len);
  else
    pgc_parameters_add_null(&parameters);
  pgc_parameters_add_bytes(&parameters, op->u.list.after, op->u.list.after_len);
  pgc_parameters_add_int4(&parameters, (int32_t)op->u.list.limit);
  int64_t sent_us = pgc_now_us();
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_KEYS, &parameters, &result);
  if (status == PGCACHE_OK)
    status = pgc_session_rows(session, result, op->u.list.limit);
  for (int row = 0; status == PGCACHE_OK && row < PQntuples(result); row++) {
    status = pgc_session_key(session, result, row, sent_us, &op->u.list.found[row]);
    if (status == PGCACHE_OK)
      op->u.list.count++;
  }
  PQclear(result);
  return status;
}

pgcache_status pgc_pg_stats(pgc_session *session, pgc_op *op) {
  pgc_parameters none = {0};
  PGresult *result;
  pgcache_store_stats *out = op->u.stats;
  bool logged = false;
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_STATS, &none, &result);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 0, &out->entries);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 1, &out->expired);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 2, &out->value_bytes);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 3, &out->relation_bytes);
  if (status == PGCACHE_OK)
    status = pgc_session_int4(session, result, 0, 4, &out->schema_version);
  if (status == PGCACHE_OK)
    status = pgc_session_int4(session, result, 0, 5, &out->epoch);
  if (status == PGCACHE_OK)
    status = pgc_session_bool(session, result, 0, 6, &logged);
  out->logged = logged;
  out->server_version = PQserverVersion(session->connection->pg);
  PQclear(result);
  return status;
}

/* The report is made by the statement, and is the caller's value as it is. */
pgcache_status pgc_pg_dependents(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  PGresult *result = NULL;
  pgc_buffer digests = PGC_BUFFER_INIT;
  pgc_encode_array_header(&digests, PGC_OID_UUID, op->u.dependents.count);
  for (size_t i = 0; i < op->u.dependents.count; i++) {
    pgc_buffer_append_u32(&digests, PGC_DIGEST_SIZE);
    pgc_buffer_append(&digests, op->u.dependents.digests[i].bytes, PGC_DIGEST_SIZE);
  }
  pgc_parameters_add_bytes(&parameters, digests.data, digests.size);
  pgcache_status status = digests.failed ? pgc_fail_memory(session->error) : PGCACHE_OK;
  if (status == PGCACHE_OK)
    status = pgc_session_execute(session, PGC_STATEMENT_DEPENDENTS, &parameters, &result);
  if (status == PGCACHE_OK && (PQntuples(result) != 1 || PQgetisnull(result, 0, 0)))
    status = pgc_fail(session->error, PGCACHE_SCHEMA_CHANGED, "the report on dependents is not one row");
  if (status == PGCACHE_OK)
    status = pgc_report_text(PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0), &op->u.dependents.report,
                             session->error);
  pgc_buffer_clear(&digests);
  PQclear(result);
  return status;
}

/* How many entries one statement of a flush removes: it takes some milliseconds, so that nobody waits for it. */
#define FLUSH_ROWS 1000

/* The digest behind this one. False when there is none. */
static bool next_digest(pgc_digest *digest) {
  for (int i = PGC_DIGEST_SIZE - 1; i >= 0; i--) {
    if (++digest->bytes[i] != 0)
      return true;
  }
  return false;
}

/* Removes the next entries from the digest `from` on, and moves it behind them; *more: there may be others. The first
   statement ends loads and removes nothing: what it names comes next. */
static pgcache_status flush_some(pgc_session *session, pgc_op *op, pgc_digest *from, bool *more) {
  pgc_parameters parameters = {0};
  PGresult *result;
  int64_t found = 0, removed = 0;
  const bool first = pgc_digest_compare(from, &(pgc_digest){{0}}) == 0;
  pgc_parameters_add_bytes(&parameters, from->bytes, PGC_DIGEST_SIZE);
  if (op->kind == PGC_OP_FLUSH_ALL)
    pgc_parameters_add_null(&parameters);
  else
    pgc_parameters_add_text(&parameters, op->namespace_name);
  pgc_parameters_add_int4(&parameters, FLUSH_ROWS);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_FLUSH, &parameters, &result);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 0, &found);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 1, &removed);
  op->u.removed += removed;
  *more = false;
  if (status == PGCACHE_OK && found == FLUSH_ROWS && PQgetlength(result, 0, 2) == PGC_DIGEST_SIZE) {
    memcpy(from->bytes, PQgetvalue(result, 0, 2), PGC_DIGEST_SIZE);
    *more = first || next_digest(from);
  }
  PQclear(result);
  return status;
}

/* Empties the table at once. *done is false when that was not possible; then nothing was changed. */
static pgcache_status truncate_entries(pgc_session *session, pgc_op *op, bool *done) {
  pgc_parameters none = {0};
  PGresult *result;
  *done = false;
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_TRUNCATE, &none, &result);
  if (status == PGCACHE_OK && !PQgetisnull(result, 0, 0)) {
    *done = true;
    int64_t removed = 0;
    status = pgc_session_int8(session, result, 0, 0, &removed);
    op->u.removed += removed;
  }
  PQclear(result);
  return status;
}

/* Entries are walked in the order of their digests: one that was stored before is found, however often it is rewritten
   meanwhile. */
pgcache_status pgc_pg_flush(pgc_session *session, pgc_op *op) {
  /* Truncated inside the application's transaction, the table would be locked until the end of it. */
  if (op->kind == PGC_OP_FLUSH_ALL && session->connection->mode != PGC_MODE_NESTED) {
    bool done;
    pgcache_status status = truncate_entries(session, op, &done);
    if (status != PGCACHE_OK || done)
      return status;
  }
  pgc_digest from = {{0}};
  bool more = true;
  while (more) {
    pgcache_status status = flush_some(session, op, &from, &more);
    if (status != PGCACHE_OK)
      return status;
  }
  return PGCACHE_OK;
}
