/*
 * doctor_session.c - what stands between us and the server: its version, a pooler, the clocks, the limits on connections.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pgc_sql.h"
#include "pure/server_bugs.h"
#include "store/doctor.h"

/* How often the server is asked who and when it is: a pooler that changes sides shows, and the quickest answer bounds the
   clocks best. */
#define ASKED 3

/* A difference of the clocks that people should know of. */
#define SKEW_US 1000000

/* What the answers to doctor_session.sql say together. */
typedef struct answers {
  int version; /* as server_version_num */
  int64_t pid; /* of the first answer */
  bool changes;
  int64_t ahead_least, ahead_most; /* how far the server's clock is ahead of ours, at least and at most */
} answers;

static pgcache_status ask_session(pgc_doctor *self, answers *out) {
  int64_t quickest = INT64_MAX;
  for (int i = 0; i < ASKED; i++) {
    PGresult *result;
    int64_t sent = pgc_wall_us(), sent_at = pgc_now_us();
    pgcache_status status = pgc_doctor_ask(self, pgc_sql_statements_doctor_session, &result);
    int64_t took = pgc_now_us() - sent_at;
    if (status != PGCACHE_OK)
      return status;
    int64_t pid = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    int64_t server = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
    out->version = atoi(PQgetvalue(result, 0, 1));
    PQclear(result);
    if (i == 0)
      out->pid = pid;
    out->changes = out->changes || pid != out->pid;
    if (took < quickest) {
      quickest = took;
      out->ahead_least = server - sent - took;
      out->ahead_most = server - sent;
    }
  }
  return PGCACHE_OK;
}

static void judge_version(pgc_doctor *self, int version) {
  const pgc_server_bug *bug;
  bool found = false;
  for (size_t index = 0; (bug = pgc_server_bug_next(version, &index)) != NULL; found = true)
    pgc_findings_add_format(&self->findings,
                            (pgc_finding){PGC_SEVERITY_WARNING, "version", bug->what, NULL,
                                          "install the latest minor release of this major version"},
                            "the server is PostgreSQL %d.%d; mended in %d.%d", version / 10000, version % 10000,
                            bug->major, bug->fixed_minor);
  if (!found)
    pgc_findings_add_format(
        &self->findings,
        (pgc_finding){PGC_SEVERITY_OK, "version", "no fault of this server that concerns a cache is known", NULL, ""},
        "PostgreSQL %d.%d", version / 10000, version % 10000);
}

/* Does the server still know what was prepared before? The statement is that of every new connection. */
static bool prepared_survive(pgc_doctor *self) {
  pgc_session *session = self->session;
  bool survive = true;
  for (int i = 0; i < ASKED; i++) {
    pgc_parameters parameters = {0};
    PGresult *result;
    pgc_parameters_add_text(&parameters, session->namespace_name);
    pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_CHECK_SCHEMA, &parameters, &result);
    PQclear(result);
    if (status == PGCACHE_OK)
      continue;
    survive = strcmp(session->error->sqlstate, "26000") != 0 && strcmp(session->error->sqlstate, "42P05") != 0;
    self->over = PQstatus(session->connection->pg) != CONNECTION_OK ||
                 PQtransactionStatus(session->connection->pg) == PQTRANS_ACTIVE;
    session->broken = session->retry = self->over;
    break; /* the schema is not there: that is another finding's matter */
  }
  self->close |= !survive;
  return survive;
}

static void judge_pooler(pgc_doctor *self, const answers *said) {
  int pid = PQbackendPID(self->session->connection->pg);
  if (!said->changes && said->pid == pid) {
    pgc_findings_add_format(&self->findings,
                            (pgc_finding){PGC_SEVERITY_OK, "pooler", "no pooler stands in between", NULL, ""},
                            "process %d at the log-in and in %d answers", pid, ASKED);
    return;
  }
  self->pooler = true;
  pgc_finding finding = {PGC_SEVERITY_INFO, "pooler", "a pooler stands in between, in session mode as it seems", NULL,
                         ""};
  if (said->changes)
    finding.finding = "a pooler stands in between and changes the session between statements";
  if (!prepared_survive(self)) {
    finding.severity = PGC_SEVERITY_ERROR;
    finding.finding = "a pooler stands in between and loses prepared statements";
    finding.remedy = "set prepared=off, or let the url name the server itself";
  }
  pgc_findings_add_format(&self->findings, finding, "process %d at the log-in, %" PRId64 " in the first answer%s", pid,
                          said->pid, said->changes ? ", others in later ones" : " and in later ones");
}

static void judge_clock(pgc_doctor *self, const answers *said) {
  bool wrong = said->ahead_least > SKEW_US || said->ahead_most < -SKEW_US;
  pgc_finding finding = {PGC_SEVERITY_OK, "clock", "the clocks of this machine and of the server agree", NULL, ""};
  if (wrong) {
    finding.severity = PGC_SEVERITY_WARNING;
    finding.finding = "the clocks of this machine and of the server differ; entries expire by the server's alone";
    finding.remedy = "set both by NTP: log files cannot be compared, and what you compute from timestamps is wrong";
  }
  pgc_findings_add_format(&self->findings, finding, "the server is ahead by %.1f to %.1f ms",
                          (double)said->ahead_least / 1e3, (double)said->ahead_most / 1e3);
}

pgcache_status pgc_doctor_session(pgc_doctor *self) {
  answers said = {0};
  pgcache_status status = ask_session(self, &said);
  if (status != PGCACHE_OK)
    return status;
  judge_version(self, said.version);
  judge_pooler(self, &said);
  judge_clock(self, &said);
  return PGCACHE_OK;
}

void pgc_doctor_connections(pgc_doctor *self) {
  static const char *const whose[] = {"server", "role", "database"};
  PGresult *result;
  pgcache_status status = pgc_doctor_ask(self, pgc_sql_statements_doctor_connections, &result);
  if (status != PGCACHE_OK) {
    pgc_doctor_add_failure(self, "connections", status);
    return;
  }
  int wanted = self->op->u.doctor.pool_max - self->op->u.doctor.pool_open;
  bool scarce = false;
  for (int i = 0; i < 3 && PQntuples(result) == 1; i++) {
    const char *left = PQgetvalue(result, 0, 1 + i);
    if (PQgetisnull(result, 0, 1 + i) || atoi(left) >= wanted)
      continue;
    scarce = true;
    pgc_findings_add_format(&self->findings,
                            (pgc_finding){PGC_SEVERITY_WARNING, "connections", "the pool cannot grow to pool_max", NULL,
                                          "lower pool_max, raise the limit, or put a connection pooler in between"},
                            "the %s has %s connections left, pool_max is %d and %d of them are open", whose[i], left,
                            self->op->u.doctor.pool_max, self->op->u.doctor.pool_open);
  }
  if (!scarce)
    pgc_findings_add_format(&self->findings,
                            (pgc_finding){PGC_SEVERITY_OK, "connections", "the pool can grow to pool_max", NULL, ""},
                            "pool_max is %d, %d open, max_connections %s, %s left", self->op->u.doctor.pool_max,
                            self->op->u.doctor.pool_open, PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "?",
                            PQntuples(result) == 1 ? PQgetvalue(result, 0, 1) : "?");
  PQclear(result);
}
