/*
 * published.h - reads all that processes have published.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_PUBLISHED_H
#define PGC_CLI_PUBLISHED_H

#include "cli.h"

/* Page after page, at most so many. *out and what it holds are to be given to published_free(). */
pgcache_status published_read(pgcache *cache, pgcache_snapshot ***out, size_t *count, size_t most,
                              pgcache_error *error);
void published_free(pgcache_snapshot **snapshots, size_t count);

#endif /* PGC_CLI_PUBLISHED_H */
