/*
 * dependencies.h - keys and tags that entries depend on, and that are invalidated: checks them and takes their digests.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_DEPENDENCIES_H
#define PGC_OPERATIONS_DEPENDENCIES_H

#include "operations/call.h"

/* Takes what the entries of a call that stores depend on from its options. tags: as long as the call is in use; they are
   sorted, without duplicates, and call->op points to them. With a tag there is the tag * among them, see watch() in
   impl/sql/migrations/0001_watch.sql. PGCACHE_OK, PGCACHE_INVALID, PGCACHE_TOO_LARGE (a name). */
pgcache_status pgc_call_set_dependencies(pgc_call *call, pgc_digest tags[PGC_TAGS_MAX]);

/* Takes what an INVALIDATE is about: up to PGCACHE_BATCH_MAX keys and tags. digests: room for count of them, which the call then
   points to. As above. */
pgcache_status pgc_call_set_invalidated(pgc_call *call, const pgcache_dependency *what, size_t count,
                                        pgc_digest *digests);

/* The same for DEPENDENTS, in the order given. */
pgcache_status pgc_call_set_dependents(pgc_call *call, const pgcache_dependency *what, size_t count,
                                       pgc_digest *digests);

/* Runs it, and ends copies and loads in this process, too. */
pgcache_status pgc_call_invalidate(pgc_call *call);

#endif
