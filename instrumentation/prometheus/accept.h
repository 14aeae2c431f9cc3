/*
 * accept.h - which format a scraper wants, by its header Accept.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_PROMETHEUS_ACCEPT_H
#define PGCACHE_PROMETHEUS_ACCEPT_H

#include "pgcache_prometheus.h"

/* OpenMetrics 1.0 where it is named and wanted no less than text; else text, also for who wants neither. NULL: no header. */
pgcache_prometheus_format pgc_accept_format(const char *header);

#endif
