/*
 * pg_doctor.c - see pg_doctor.h. The order of the checks, and what becomes of one that fails; most of them are SQL that
 * judges for itself. Must never: end the examination because one check failed, or show what another session runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_doctor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pgc_sql.h"
#include "pure/error.h"
#include "pure/migrations.h"
#include "pure/sql_text.h"
#include "store/doctor.h"
#include "store/report.h"

/* Checks whose rows are findings: check, severity, finding, evidence, remedy. */
static const struct {
  const char *check; /* what a failure is reported under */
  const char *sql;
  bool tables;   /* reads the tables, not the catalog alone: not where they are missing or denied */
  bool unlogged; /* and some of them are unlogged: not on a standby */
} checks[] = {
    {"grants", pgc_sql_statements_doctor_grants, false, false},
    {"owner", pgc_sql_statements_doctor_owner, false, false},
    {"marker", pgc_sql_statements_doctor_marker, true, true},
    {"autovacuum", pgc_sql_statements_doctor_autovacuum, false, false},
    {"dead-rows", pgc_sql_statements_doctor_dead_rows, false, false},
    {"hot-updates", pgc_sql_statements_doctor_hot, false, false},
    {"bloat", pgc_sql_statements_doctor_contents, true, true},
    {"transactions", pgc_sql_statements_doctor_transactions, false, false},
    {"prepared", pgc_sql_statements_doctor_prepared, false, false},
    {"slots", pgc_sql_statements_doctor_slots, false, false},
    {"notifications", pgc_sql_statements_doctor_notify, false, false},
    {"changes", pgc_sql_statements_doctor_changes, false, false},
    {"invalidations", pgc_sql_statements_doctor_invalidations, false, false},
    {"durability", pgc_sql_statements_doctor_durability, false, false},
};

/* Inside of the application's transaction nothing of a check may stay: no setting, and no failure. */
static pgcache_status run_nested(pgc_session *session, const char *sql, PGresult **result) {
  pgcache_error undoing = PGCACHE_ERROR_INIT, *told = session->error;
  pgcache_status status = pgc_session_run(session, "SAVEPOINT pgcache_doctor", NULL);
  if (status != PGCACHE_OK)
    return status;
  status = pgc_session_run(session, sql, result);
  if (status != PGCACHE_OK)
    session->error = &undoing; /* what failed first is what counts */
  pgcache_status undone =
      pgc_session_run(session, "ROLLBACK TO SAVEPOINT pgcache_doctor; RELEASE SAVEPOINT pgcache_doctor", NULL);
  session->error = told;
  if (status == PGCACHE_OK && undone != PGCACHE_OK) {
    PQclear(*result);
    *result = NULL;
    status = undone;
  }
  return status;
}

/* Runs a check's SQL. After an error of the server the connection is as good as before, and the next check may use it. */
pgcache_status pgc_doctor_ask(pgc_doctor *self, const char *sql, PGresult **result) {
  pgc_session *session = self->session;
  PGconn *pg = session->connection->pg;
  PGTransactionStatusType found = PQtransactionStatus(pg);
  pgc_buffer text = PGC_BUFFER_INIT;
  *result = NULL;
  pgc_buffer_append_text(&text, pgc_sql_statements_doctor_begin);
  pgc_sql_resolve(&text, sql, session->schema, session->kind);
  pgc_buffer_append(&text, "", 1);
  pgcache_status status = text.failed                ? pgc_fail_memory(session->error)
                          : found == PQTRANS_INTRANS ? run_nested(session, (const char *)text.data, result)
                                                     : pgc_session_run(session, (const char *)text.data, result);
  pgc_buffer_clear(&text);
  if (status != PGCACHE_OK) {
    self->over = status == PGCACHE_NO_MEMORY || PQstatus(pg) != CONNECTION_OK || PQtransactionStatus(pg) != found ||
                 pgc_deadline_poll_ms(session->deadline) == 0;
    if (!self->over)
      session->broken = session->retry = false;
  }
  return status;
}

/* A check that could not be made is a finding like others. */
void pgc_doctor_add_failure(pgc_doctor *self, const char *check, pgcache_status status) {
  pgc_finding finding = {PGC_SEVERITY_WARNING, check, "could not be examined", self->session->error->message,
                         "see the server's log"};
  const char *sqlstate = self->session->error->sqlstate;
  if (status == PGCACHE_NO_MEMORY) {
    self->findings.json.failed = true; /* there will be no report */
    return;
  }
  if (self->over) {
    finding = (pgc_finding){PGC_SEVERITY_ERROR, "examination", "ended before everything was examined",
                            self->session->error->message, "give it more time (maintenance_timeout_ms), and try again"};
  } else if (status == PGCACHE_DENIED) {
    finding.severity = PGC_SEVERITY_INFO;
    finding.finding = "could not be examined: the role lacks a privilege";
    finding.remedy = "run the doctor as the owner of the schema, or grant the role what the evidence names";
  } else if (strcmp(sqlstate, "55P03") == 0) {
    finding.finding = "could not be examined: somebody holds a lock on a table of the cache";
    finding.remedy = "look in pg_locks for who it is; ALTER TABLE, VACUUM FULL and LOCK keep everybody out";
  } else if (strcmp(sqlstate, "57014") == 0) {
    finding.severity = PGC_SEVERITY_INFO;
    finding.finding = "could not be examined within 10 seconds";
    finding.remedy = "";
  } else if (strncmp(sqlstate, "42", 2) == 0 || strcmp(sqlstate, "3F000") == 0) {
    finding.severity = PGC_SEVERITY_INFO;
    finding.finding = "could not be examined: the schema is not complete";
    finding.remedy = "see the findings schema and pieces";
  }
  pgc_findings_add(&self->findings, finding);
}

static void add_rows(pgc_doctor *self, const PGresult *result) {
  for (int row = 0; row < PQntuples(result); row++)
    pgc_findings_add(&self->findings,
                     (pgc_finding){pgc_severity_from_name(PQgetvalue(result, row, 1)), PQgetvalue(result, row, 0),
                                   PQgetvalue(result, row, 2), PQgetvalue(result, row, 3), PQgetvalue(result, row, 4)});
}

static void run_checks(pgc_doctor *self) {
  for (size_t i = 0; i < sizeof checks / sizeof checks[0] && !self->over; i++) {
    if ((checks[i].tables && !self->readable) || (checks[i].unlogged && self->standby))
      continue;
    PGresult *result;
    pgcache_status status = pgc_doctor_ask(self, checks[i].sql, &result);
    if (status != PGCACHE_OK)
      pgc_doctor_add_failure(self, checks[i].check, status);
    else if (PQnfields(result) == 5)
      add_rows(self, result);
    PQclear(result);
  }
}

pgcache_status pgc_pg_doctor(pgc_session *session, pgc_op *op) {
  pgc_doctor self = {.session = session, .op = op, .findings = PGC_FINDINGS_INIT};
  pgcache_status status = pgc_doctor_session(&self);
  if (status != PGCACHE_OK && self.findings.json.size == 0) {
    pgc_findings_clear(&self.findings);
    return status; /* nobody answered: perhaps on another connection */
  }
  if (!self.over)
    pgc_doctor_schema(&self);
  if (!self.over && !session->connection->borrowed) /* the pool has no part in the application's connections */
    pgc_doctor_connections(&self);
  if (!self.over && !session->connection->borrowed) /* nor has a near cache */
    pgc_doctor_near(&self);
  run_checks(&self);
  if (self.close)
    session->broken = true;
  return pgc_report_make(&self.findings, &op->u.doctor.report, session->error);
}
