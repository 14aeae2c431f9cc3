/*
 * doctor.h - what the files of the doctor share: the state of one examination, and how a question is asked.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_DOCTOR_H
#define PGC_STORE_DOCTOR_H

#include "pure/findings.h"
#include "store/pg_session.h"

typedef struct pgc_doctor {
  pgc_session *session;
  pgc_op *op;
  pgc_findings findings;
  bool over;     /* the connection or the time is gone: no further questions */
  bool close;    /* the connection must not be used again */
  bool readable; /* the table `cache` is there and this role may read it */
  bool standby;  /* in recovery */
  bool pooler;   /* something stands between us and the server */
} pgc_doctor;

/* Asks in a transaction of its own that changes nothing. PGCACHE_OK and a result in text, to be given to PQclear(); or an
   error, which may be the end of all questions: see `over`. */
pgcache_status pgc_doctor_ask(pgc_doctor *self, const char *sql, PGresult **result);

/* Adds the finding for a check that could not be made, from the session's error. */
void pgc_doctor_add_failure(pgc_doctor *self, const char *check, pgcache_status status);

/* doctor_session.c: the server's version, a pooler in between, the clocks. PGCACHE_OK, or why there was no answer; then
   findings may have been added nevertheless. */
pgcache_status pgc_doctor_session(pgc_doctor *self);

/* doctor_session.c: the connections that are left for us. */
void pgc_doctor_connections(pgc_doctor *self);

/* doctor_near.c: can the near cache hear of changes. After pgc_doctor_session(). */
void pgc_doctor_near(pgc_doctor *self);

/* doctor_schema.c: is the schema there, ours, and whole. */
void pgc_doctor_schema(pgc_doctor *self);

#endif
