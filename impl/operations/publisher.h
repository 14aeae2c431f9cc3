/*
 * publisher.h - the thread that publishes, every `publish_ms`, what was measured of a handle.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_PUBLISHER_H
#define PGC_OPERATIONS_PUBLISHER_H

#include "operations/call.h"

/* Starts it, if this process has none yet. */
void pgc_publisher_start(pgcache *cache);

/* For all that asks the store: a process publishes from its first call on. */
static inline void pgc_publisher_wanted(pgcache *cache) {
  if (cache->settings.publish_ms > 0)
    pgc_publisher_start(cache);
}

/* The handle was shut down: its publisher ends soon. */
void pgc_publisher_end(pgcache *cache);

/* The handle goes, and was shut down: waits until its publisher does not use it any more. */
void pgc_publisher_leave(pgcache *cache);

/* The handle goes, and nobody calls it any more: until then calls ask for the publisher. */
void pgc_publisher_free(pgcache *cache);

#endif
