/*
 * null_store.c - the store behind `null:`: an application runs with its cache switched off, and nothing else changes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdatomic.h>
#include <string.h>

#include "platform/memory.h"
#include "pure/error.h"
#include "store/report.h"
#include "store/store.h"

typedef struct null_store {
  pgc_store base;
  atomic_bool closed;
} null_store;

static pgcache_status switched_off(pgc_op *op, pgcache_error *error) {
  pgc_findings findings = PGC_FINDINGS_INIT;
  pgc_findings_add(&findings, (pgc_finding){PGC_SEVERITY_INFO, "address", "the cache is switched off",
                                            "the url is null:, which stores nothing and asks no server",
                                            "set the url to that of a database when the cache should work"});
  return pgc_report_make(&findings, &op->u.doctor.report, error);
}

static pgcache_status nothing_depends(pgc_op *op, pgcache_error *error) {
  pgc_buffer json = PGC_BUFFER_INIT;
  pgc_buffer_append_text(&json, "{\"entries\":[");
  for (size_t i = 0; i < op->u.dependents.count; i++)
    pgc_buffer_append_text(&json, i == 0 ? "0" : ",0");
  pgc_buffer_append_text(&json, "],\"tagged\":0,\"watched\":[]}");
  pgcache_status status = json.failed
                              ? pgc_fail_memory(error)
                              : pgc_report_text((const char *)json.data, json.size, &op->u.dependents.report, error);
  pgc_buffer_clear(&json);
  return status;
}

static pgcache_status null_run(pgc_store *base, pgc_op *op, pgcache_error *error) {
  null_store *self = (null_store *)base;
  if (atomic_load(&self->closed))
    return pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");

  switch (op->kind) {
  case PGC_OP_GET:
  case PGC_OP_EXISTS:
  case PGC_OP_REPLACE:
  case PGC_OP_COMPARE_AND_SWAP:
  case PGC_OP_REMOVE:
  case PGC_OP_TOUCH:
    return PGCACHE_MISS;
  case PGC_OP_GET_MANY:
  case PGC_OP_REMOVE_MANY:
  case PGC_OP_PUT_MANY:
    for (size_t i = 0; i < op->count; i++)
      op->keys[i].status = op->kind == PGC_OP_PUT_MANY ? PGCACHE_OK : PGCACHE_MISS;
    return PGCACHE_OK;
  case PGC_OP_INCREMENT:
    op->u.increment.number = op->u.increment.initial + op->u.increment.delta; /* checked by the caller */
    return PGCACHE_OK;
  case PGC_OP_INIT:
  case PGC_OP_UPGRADE:
    return PGCACHE_EXISTS;
  case PGC_OP_DOCTOR:
    return switched_off(op, error);
  case PGC_OP_BEGIN_LOAD: /* everybody loads for himself */
    op->u.load.leased = true;
    return PGCACHE_LEASE;
  case PGC_OP_DEPENDENTS:
    return nothing_depends(op, error);
  case PGC_OP_PUT:
  case PGC_OP_ADD:
  case PGC_OP_FILL_LOAD:
  case PGC_OP_END_LOAD:
  case PGC_OP_EXTEND_LOAD:
  case PGC_OP_INVALIDATE:
  case PGC_OP_KEYS:
  case PGC_OP_STATS:
  case PGC_OP_USAGE:
  case PGC_OP_READ_SUMMARIES:
  case PGC_OP_WRITE_SUMMARY:
  case PGC_OP_FLUSH_NAMESPACE:
  case PGC_OP_FLUSH_ALL:
  case PGC_OP_CLEANUP:
  case PGC_OP_STAMP:
  case PGC_OP_SET_LIMITS:
    break;
  case PGC_OP_CLEAN_SLICE:
    op->u.slice.finished = true;
    break;
  }
  return PGCACHE_OK;
}

static void null_shutdown(pgc_store *base) {
  atomic_store(&((null_store *)base)->closed, true);
}

static void null_free(pgc_store *base) {
  pgc_free(base);
}

pgc_store *pgc_null_store_new(void) {
  null_store *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL)
    return NULL;
  self->base = (pgc_store){.run = null_run, .shutdown = null_shutdown, .free = null_free};
  return &self->base;
}
