/*
 * pg_schema.h - is the cache's schema there, and is it ours; makes it, and brings it up to date.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_SCHEMA_H
#define PGC_STORE_PG_SCHEMA_H

#include "pure/migrations.h"
#include "store/pg_session.h"

/* What every connection must know before its first operation. PGCACHE_OK, PGCACHE_SCHEMA_MISSING, _OLDER, _NEWER,
   _DIFFERS, or how the question failed. */
pgcache_status pgc_schema_check(pgc_session *session);

/* Notes in the database that a namespace's entries have keyed digests, so that SQL functions and
   handles without the secret can say so. PGCACHE_OK, or how that failed: nothing was changed. */
pgcache_status pgc_schema_note_keyed(pgc_session *session, const char *namespace_name);

/* Whether the handle has done so: once is enough. */
bool pgc_schema_is_noted(const pgc_session *session, const char *namespace_name);

/* Runs the migrations that are missing, in one transaction, under a lock. create: also the first one.
   PGCACHE_OK (something was done), PGCACHE_EXISTS (nothing to do), or an error: nothing was changed. */
pgcache_status pgc_schema_migrate(pgc_session *session, pgc_migrations migrations, bool create);

#endif
