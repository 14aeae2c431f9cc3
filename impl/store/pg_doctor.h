/*
 * pg_doctor.h - examines a server, a schema and the way to them, whatever state they are in. Changes nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_DOCTOR_H
#define PGC_STORE_PG_DOCTOR_H

#include "store/pg_session.h"

/* Out: op->u.doctor.report. PGCACHE_OK, or why nothing at all could be examined. */
pgcache_status pgc_pg_doctor(pgc_session *session, pgc_op *op);

#endif
