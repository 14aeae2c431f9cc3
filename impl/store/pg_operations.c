/*
 * pg_operations.c - see pg_operations.h. Operations on keys are asked and understood by pg_question.h; those on the cache as a
 * whole have functions of their own.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_operations.h"

#include <string.h>

#include "platform/memory.h"
#include "pure/error.h"
#include "state/snapshot.h"
#include "store/channel.h"
#include "store/pg_cleanup.h"
#include "store/pg_doctor.h"
#include "store/pg_maintenance.h"
#include "store/pg_question.h"
#include "store/pg_schema.h"
#include "store/pg_summaries.h"

/* One attempt: asks, sends and understands until there is an answer. */
static pgcache_status operate_on_keys(pgc_session *session, pgc_op *op) {
  pgcache_status status;
  bool another;
  unsigned step = 0;
  do {
    pgc_question question;
    PGresult *result = NULL;
    status = pgc_question_ask(&question, op, step, session->error);
    session->writes = question.writes;
    int64_t sent_us = pgc_now_us();
    if (status == PGCACHE_OK)
      status = pgc_session_execute(session, question.id, &question.parameters, &result);
    pgc_question_clear(&question);
    if (status != PGCACHE_OK)
      return pgc_question_refused(session, op, status);
    status = pgc_question_understand(session, op, step++, sent_us, &result, &another);
    PQclear(result);
  } while (another);
  return status;
}

/* A namespace has digests of one kind: entries of the other would be there and never be found. */
static bool has_other_digests(const pgc_session *session, const pgc_op *op) {
  bool by_key = op->count > 0 || op->kind == PGC_OP_KEYS;
  return by_key && !session->keyed_digests && session->connection->keyed_digests &&
         strcmp(op->namespace_name, session->namespace_name) == 0;
}

static bool needs_note(const pgc_session *session, const pgc_op *op) {
  return session->keyed_digests && (pgc_op_stores(op->kind) || op->kind == PGC_OP_INCREMENT) &&
         !pgc_schema_is_noted(session, op->namespace_name);
}

bool pgc_pg_can_send(const pgc_session *session, const pgc_op *op) {
  return session->connection->checked && !has_other_digests(session, op) && !needs_note(session, op);
}

static pgcache_status check_digests(pgc_session *session, const pgc_op *op) {
  if (needs_note(session, op))
    return pgc_schema_note_keyed(session, op->namespace_name);
  if (has_other_digests(session, op))
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
  if (pgc_op_can_be_sent(op->kind))
    return operate_on_keys(session, op);
  switch (op->kind) {
  case PGC_OP_KEYS:
    return pgc_pg_keys(session, op);
  case PGC_OP_STATS:
    return pgc_pg_stats(session, op);
  case PGC_OP_DOCTOR:
    return pgc_pg_doctor(session, op);
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
  case PGC_OP_DEPENDENTS:
    return pgc_pg_dependents(session, op);
  case PGC_OP_READ_SUMMARIES:
    return pgc_pg_read_summaries(session, op);
  case PGC_OP_WRITE_SUMMARY:
    return pgc_pg_write_summary(session, op);
  default: /* PGC_OP_INIT, PGC_OP_UPGRADE */
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
    pgc_free(op->keys[i].tags);
    op->keys[i].tags = NULL;
    op->keys[i].tag_count = 0;
  }
  if (op->kind == PGC_OP_KEYS) {
    while (op->u.list.count > 0) {
      pgcache_value **last = &op->u.list.found[--op->u.list.count];
      pgc_value_release(*last);
      *last = NULL;
    }
  }
  if (op->kind == PGC_OP_READ_SUMMARIES) {
    while (op->u.summaries.count > 0) {
      pgcache_snapshot **last = &op->u.summaries.found[--op->u.summaries.count];
      pgc_snapshot_free(*last);
      *last = NULL;
    }
  }
  if (op->kind == PGC_OP_DOCTOR && op->u.doctor.report != NULL) {
    pgc_value_release(op->u.doctor.report);
    op->u.doctor.report = NULL;
  }
  if (op->kind == PGC_OP_DEPENDENTS && op->u.dependents.report != NULL) {
    pgc_value_release(op->u.dependents.report);
    op->u.dependents.report = NULL;
  }
}
