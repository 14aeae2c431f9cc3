/*
 * pg_maintenance.h - the operations on the cache as a whole: listing, counting, emptying.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_MAINTENANCE_H
#define PGC_STORE_PG_MAINTENANCE_H

#include "store/pg_session.h"

/* Each runs one operation of its kind; see store.h for inputs and outputs. */
pgcache_status pgc_pg_keys(pgc_session *session, pgc_op *op);
pgcache_status pgc_pg_stats(pgc_session *session, pgc_op *op);
pgcache_status pgc_pg_dependents(pgc_session *session, pgc_op *op);
pgcache_status pgc_pg_flush(pgc_session *session, pgc_op *op);

#endif
