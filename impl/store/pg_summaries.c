/*
 * pg_summaries.c - see pg_summaries.h. Rows are hostile: a summary that is damaged, or of a version that this library does not
 * know, is passed over, and the others are read.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "store/pg_summaries.h"

#include <stdio.h>
#include <string.h>

#include "pure/error.h"
#include "state/snapshot.h"

pgcache_status pgc_pg_write_summary(pgc_session *session, pgc_op *op) {
  pgc_parameters parameters = {0};
  PGresult *result;
  pgc_parameters_add_text(&parameters, op->u.summary.origin);
  pgc_parameters_add_int4(&parameters, op->u.summary.interval_ms);
  pgc_parameters_add_bytes(&parameters, op->u.summary.bytes, op->u.summary.size);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_WRITE_SUMMARY, &parameters, &result);
  PQclear(result);
  return status;
}

/* How many one statement reads: they are of some kilobytes, but may be of a megabyte. */
#define PAGE_ROWS 16

/* A row. *out stays NULL if it is passed over. */
static pgcache_status read_row(pgc_session *session, const PGresult *result, int row, pgcache_snapshot **out) {
  enum { ORIGIN, AT, BYTES };
  int64_t at_ms;
  bool damaged = false;
  pgcache_status status = pgc_session_int8(session, result, row, AT, &at_ms);
  if (status != PGCACHE_OK)
    return status;
  *out = pgc_snapshot_unpack(PQgetvalue(result, row, BYTES), (size_t)PQgetlength(result, row, BYTES), &damaged);
  if (*out == NULL)
    return damaged ? PGCACHE_OK : pgc_fail_memory(session->error);
  if (strcmp(pgc_snapshot_origin(*out), PQgetvalue(result, row, ORIGIN)) != 0) {
    pgc_snapshot_free(*out);
    *out = NULL;
    return PGCACHE_OK;
  }
  pgc_snapshot_set_taken_at(*out, at_ms);
  return PGCACHE_OK;
}

/* The next page. *after: NULL from the beginning; it becomes the last origin of the page, in `place`. *more: there may be others. */
static pgcache_status read_page(pgc_session *session, pgc_op *op, const char **after, char *place, bool *more) {
  pgc_parameters parameters = {0};
  PGresult *result;
  size_t wanted = op->u.summaries.limit - op->u.summaries.count;
  if (wanted > PAGE_ROWS)
    wanted = PAGE_ROWS;
  if (*after != NULL)
    pgc_parameters_add_text(&parameters, *after);
  else
    pgc_parameters_add_null(&parameters);
  pgc_parameters_add_int4(&parameters, (int32_t)wanted);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_READ_SUMMARIES, &parameters, &result);
  if (status == PGCACHE_OK)
    status = pgc_session_rows(session, result, wanted);
  int rows = status == PGCACHE_OK ? PQntuples(result) : 0;
  for (int row = 0; status == PGCACHE_OK && row < rows; row++) {
    pgcache_snapshot **found = &op->u.summaries.found[op->u.summaries.count];
    *found = NULL;
    status = read_row(session, result, row, found);
    op->u.summaries.count += *found != NULL;
  }
  *more = status == PGCACHE_OK && (size_t)rows == wanted;
  if (*more) {
    snprintf(place, PGC_ORIGIN_MAX + 1, "%s", PQgetvalue(result, rows - 1, 0));
    *after = place;
  }
  PQclear(result);
  return status;
}

/* Page after page, because what is passed over leaves room for others. */
pgcache_status pgc_pg_read_summaries(pgc_session *session, pgc_op *op) {
  char place[PGC_ORIGIN_MAX + 1];
  const char *after = op->u.summaries.after;
  bool more = true;
  pgcache_status status = PGCACHE_OK;
  op->u.summaries.count = 0;
  while (status == PGCACHE_OK && more && op->u.summaries.count < op->u.summaries.limit)
    status = read_page(session, op, &after, place, &more);
  return status;
}
