/*
 * report.h - reports as the value that the caller gets.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_REPORT_H
#define PGC_STORE_REPORT_H

#include "pure/findings.h"
#include "state/value.h"

/* A report that is text already, in JSON. Out: report, one reference. PGCACHE_OK or PGCACHE_NO_MEMORY. */
pgcache_status pgc_report_text(const char *text, size_t size, pgcache_value **report, pgcache_error *error);

/* Completes and clears the findings. Out: report, one reference. PGCACHE_OK or PGCACHE_NO_MEMORY. */
pgcache_status pgc_report_make(pgc_findings *findings, pgcache_value **report, pgcache_error *error);

#endif
