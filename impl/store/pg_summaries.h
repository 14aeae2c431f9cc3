/*
 * pg_summaries.h - what processes publish of what they have measured, see impl/sql/migrations/0001_summaries.sql.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STORE_PG_SUMMARIES_H
#define PGC_STORE_PG_SUMMARIES_H

#include "store/pg_session.h"

/* Each runs one operation of its kind; see store.h for inputs and outputs. */
pgcache_status pgc_pg_write_summary(pgc_session *session, pgc_op *op);
pgcache_status pgc_pg_read_summaries(pgc_session *session, pgc_op *op);

#endif
