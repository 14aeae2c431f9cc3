/*
 * pg_cleanup.c - see pg_cleanup.h. What a slice does is written in impl/sql/migrations/0001_janitor.sql.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_cleanup.h"

#include <string.h>

#include "pure/codec.h"
#include "pure/error.h"
#include "pure/sizes.h"

/* How many blocks a part of a walk of one's own looks at: it takes about a millisecond, so that nobody waits. */
#define CLEANUP_BLOCKS 128

pgcache_status pgc_pg_cleanup(pgc_session *session, pgc_op *op) {
  int64_t first = op->u.part.next_block, blocks = 0, began_us = pgc_monotonic_us();
  bool more = false;
  pgc_parameters parameters = {0};
  PGresult *result;
  pgc_parameters_add_tid(&parameters, (uint32_t)first, 0);
  pgc_parameters_add_tid(&parameters, (uint32_t)(first + CLEANUP_BLOCKS), 0);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_CLEANUP, &parameters, &result);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 0, &op->u.part.removed);
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 1, &blocks);
  if (status == PGCACHE_OK)
    status = pgc_session_bool(session, result, 0, 2, &more);
  PQclear(result);
  if (status != PGCACHE_OK)
    return status;
  if (!more)
    op->u.part.next_block += CLEANUP_BLOCKS;
  op->u.part.finished = op->u.part.next_block >= blocks;
  op->u.part.bounded = pgc_stamps_are_wanted(session->stamps);
  op->u.part.spent_us = pgc_monotonic_us() - began_us;
  return PGCACHE_OK;
}

/* Reads one row of numbers, whose columns stand in order. */
static pgcache_status read_int8s(pgc_session *session, const PGresult *result, int row, int column, int64_t **numbers,
                                 int count) {
  pgcache_status status = PGCACHE_OK;
  for (int i = 0; status == PGCACHE_OK && i < count; i++)
    status = pgc_session_int8(session, result, row, column + i, numbers[i]);
  return status;
}

pgcache_status pgc_pg_clean_slice(pgc_session *session, pgc_op *op) {
  enum { BUSY, FINISHED, REMOVED, EVICTED, STAGE, DONE, BLOCKS, SPENT, BOUNDED };
  if (session->connection->access == PGC_ACCESS_RESTRICTED) { /* as the server would refuse it, see explain_error() */
    session->retry = !session->looked;
    session->connection->checked = session->looked;
    return pgc_fail(session->error, PGCACHE_DENIED,
                    "a role that is kept to some namespaces may not walk for all of them");
  }
  pgc_parameters parameters = {0};
  PGresult *result;
  pgc_parameters_add_bytes(&parameters, session->walker, PGC_DIGEST_SIZE);
  pgc_parameters_add_int4(&parameters, op->u.slice.budget_us);
  pgc_parameters_add_int4(&parameters, op->u.slice.lease_ms);
  pgc_parameters_add_int8(&parameters, op->u.slice.due_ms);
  pgc_parameters_add_bool(&parameters, op->u.slice.anew);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_CLEAN_SLICE, &parameters, &result);
  if (status != PGCACHE_OK)
    return status;
  int64_t *counts[] = {&op->u.slice.removed, &op->u.slice.evicted};
  int64_t *blocks[] = {&op->u.slice.blocks_done, &op->u.slice.blocks, &op->u.slice.spent_us};
  status = pgc_session_bool(session, result, 0, BUSY, &op->u.slice.busy);
  if (status == PGCACHE_OK)
    status = pgc_session_bool(session, result, 0, FINISHED, &op->u.slice.finished);
  if (status == PGCACHE_OK)
    status = read_int8s(session, result, 0, REMOVED, counts, 2);
  if (status == PGCACHE_OK)
    status = pgc_session_int4(session, result, 0, STAGE, &op->u.slice.stage);
  if (status == PGCACHE_OK)
    status = read_int8s(session, result, 0, DONE, blocks, 3);
  if (status == PGCACHE_OK)
    status = pgc_session_bool(session, result, 0, BOUNDED, &op->u.slice.bounded);
  if (status == PGCACHE_OK)
    pgc_stamps_want(session->stamps, op->u.slice.bounded);
  PQclear(result);
  return status;
}

pgcache_status pgc_pg_stamp(pgc_session *session, pgc_op *op) {
  pgc_buffer digests = PGC_BUFFER_INIT;
  pgc_parameters parameters = {0};
  PGresult *result = NULL;
  pgc_buffer_reserve(&digests, 20 + op->u.stamp.count * (4 + PGC_DIGEST_SIZE));
  pgc_encode_array_header(&digests, PGC_OID_UUID, op->u.stamp.count);
  for (size_t i = 0; i < op->u.stamp.count; i++) {
    pgc_buffer_append_u32(&digests, PGC_DIGEST_SIZE);
    pgc_buffer_append(&digests, op->u.stamp.digests[i].bytes, PGC_DIGEST_SIZE);
  }
  pgcache_status status = digests.failed ? pgc_fail_memory(session->error) : PGCACHE_OK;
  if (status == PGCACHE_OK) {
    pgc_parameters_add_bytes(&parameters, digests.data, digests.size);
    pgc_parameters_add_int8(&parameters, session->stamps->stamp_us / 1000);
    status = pgc_session_execute(session, PGC_STATEMENT_STAMP, &parameters, &result);
  }
  if (status == PGCACHE_OK)
    status = pgc_session_int8(session, result, 0, 0, &op->u.stamp.noted);
  PQclear(result);
  pgc_buffer_clear(&digests);
  return status;
}

pgcache_status pgc_pg_set_limits(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  PGresult *result;
  bool bounded;
  if (op->u.limits.all)
    pgc_parameters_add_null(&parameters);
  else
    pgc_parameters_add_text(&parameters, op->namespace_name);
  pgc_parameters_add_int8(&parameters, op->u.limits.max_entries);
  pgc_parameters_add_int8(&parameters, op->u.limits.max_bytes);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_SET_LIMIT, &parameters, &result);
  if (status == PGCACHE_OK)
    status = pgc_session_bool(session, result, 0, 0, &bounded);
  if (status == PGCACHE_OK)
    pgc_stamps_want(session->stamps, bounded);
  PQclear(result);
  return status;
}

/* A bound, which is NULL when there is none. */
static pgcache_status read_bound(pgc_session *session, const PGresult *result, int row, int column, int64_t *bound) {
  *bound = 0;
  return PQgetisnull(result, row, column) ? PGCACHE_OK : pgc_session_int8(session, result, row, column, bound);
}

static pgcache_status read_usage(pgc_session *session, const PGresult *result, int row, pgcache_usage *out) {
  enum { NAME, ENTRIES, BYTES, EXPIRED, MAX_ENTRIES, MAX_BYTES };
  int64_t *numbers[] = {&out->entries, &out->bytes, &out->expired};
  size_t length = (size_t)PQgetlength(result, row, NAME);
  if (length > PGCACHE_NAMESPACE_MAX || PQgetisnull(result, row, NAME)) {
    session->broken = true;
    return pgc_fail(session->error, PGCACHE_SCHEMA_CHANGED,
                    "a namespace's name is longer than it can be; schema %s was changed by hand", session->schema);
  }
  memset(out->namespace_name, 0, sizeof out->namespace_name);
  memcpy(out->namespace_name, PQgetvalue(result, row, NAME), length);
  pgcache_status status = read_int8s(session, result, row, ENTRIES, numbers, 3);
  if (status == PGCACHE_OK)
    status = read_bound(session, result, row, MAX_ENTRIES, &out->max_entries);
  if (status == PGCACHE_OK)
    status = read_bound(session, result, row, MAX_BYTES, &out->max_bytes);
  return status;
}

pgcache_status pgc_pg_usage(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  PGresult *result;
  op->u.usage.count = 0;
  if (op->u.usage.after != NULL)
    pgc_parameters_add_text(&parameters, op->u.usage.after);
  else
    pgc_parameters_add_null(&parameters);
  pgc_parameters_add_int4(&parameters, (int32_t)op->u.usage.limit);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_USAGE, &parameters, &result);
  if (status == PGCACHE_OK)
    status = pgc_session_rows(session, result, op->u.usage.limit);
  for (int row = 0; status == PGCACHE_OK && row < PQntuples(result); row++) {
    status = read_usage(session, result, row, pgc_element(op->u.usage.found, op->u.usage.found_size, (size_t)row));
    if (status == PGCACHE_OK)
      op->u.usage.count++;
  }
  PQclear(result);
  return status;
}
