/*
 * arguments.h - checks what one kind of operation alone takes, and puts it into the call: the same for the call that waits
 * and for the one that is submitted. Each gives PGCACHE_OK, PGCACHE_INVALID or what is named at it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_OPERATIONS_ARGUMENTS_H
#define PGC_OPERATIONS_ARGUMENTS_H

#include "operations/call.h"

/* compare_and_swap. */
pgcache_status pgc_call_set_expected(pgc_call *call, int64_t expected);

/* increment. Also PGCACHE_UNSUPPORTED, PGCACHE_OVERFLOW. */
pgcache_status pgc_call_set_increment(pgc_call *call, int64_t delta, int64_t initial);

/* flush; sets the kind of the operation, too. */
pgcache_status pgc_call_set_flush(pgc_call *call, pgcache_flush_scope scope);

/* cleanup_some: *now becomes the caller's progress as today's struct, of which *size bytes are the caller's. */
pgcache_status pgc_call_check_progress(pgc_call *call, pgcache_cleanup_progress *now, size_t *size,
                                       const pgcache_cleanup_progress *progress, int64_t budget_ms);

/* set_limits. */
pgcache_status pgc_call_set_limits(pgc_call *call, pgcache_limit_scope scope, int64_t max_entries, int64_t max_bytes);

/* read_usage and keys; limit_name: what the caller calls the limit. */
pgcache_status pgc_call_set_usage(pgc_call *call, const char *limit_name, size_t limit, const char *after);

/* read_published. */
pgcache_status pgc_call_set_summaries(pgc_call *call, pgcache_snapshot **out, size_t room, const char *after);

/* Also PGCACHE_TOO_LARGE, PGCACHE_UNSUPPORTED. end: PGCACHE_KEY_MAX bytes that live as long as the call. */
pgcache_status pgc_call_set_list(pgc_call *call, const char *limit_name, size_t limit, const void *prefix,
                                 size_t prefix_len, const void *after, size_t after_len, unsigned char *end);

#endif
