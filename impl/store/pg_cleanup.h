/*
 * pg_cleanup.h - the janitor's operations: slices of the shared walk, a walk of one's own, bounds, usage, stamps of use.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_CLEANUP_H
#define PGC_STORE_PG_CLEANUP_H

#include "store/pg_session.h"

/* Each runs one operation of its kind; see store.h for inputs and outputs. */
pgcache_status pgc_pg_cleanup(pgc_session *session, pgc_op *op);
pgcache_status pgc_pg_clean_slice(pgc_session *session, pgc_op *op);
pgcache_status pgc_pg_stamp(pgc_session *session, pgc_op *op);
pgcache_status pgc_pg_set_limits(pgc_session *session, pgc_op *op);
pgcache_status pgc_pg_usage(pgc_session *session, pgc_op *op);

#endif
