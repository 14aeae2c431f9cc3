/*
 * status.h - names and texts of the statuses. Owns the only list of them in words.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_STATUS_H
#define PGC_PURE_STATUS_H

#include "pgcache.h"

/* What the exported functions of the same names do. */
const char *pgc_status_name(pgcache_status status);
const char *pgc_status_text(pgcache_status status);

/* The name in small letters without PGCACHE_: as an outcome, [rule:outcomes]. */
const char *pgc_status_outcome(pgcache_status status);

#endif
