/*
 * pool.h - the connections of one handle in one process: opened when needed, lent to one thread at a time, in the order
 * of asking. Connections are opened on threads of their own, so that no caller waits past its deadline.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_POOL_H
#define PGC_STORE_POOL_H

#include "state/counters.h"
#include "store/connect.h"
#include "store/source.h"

typedef struct pgc_pool_limits {
  int min, max;
  int64_t lifetime_us; /* of a connection; 0: for ever */
  int64_t idle_us;     /* how long one beyond min may be idle; 0: for ever */
} pgc_pool_limits;

/* Takes the plan over (also when it fails, with NULL, out of memory). counters: in use until the pool is freed.
   acquire(): while the server cannot be reached that is known at once, and asked again only after a pause.
   release(): closes the connection unless it is sound, and when its time is up. shutdown(): also breaks off what is under
   way. free(): memory lasts until the last thread of the pool ends. */
pgc_source *pgc_pool_new(pgc_connect_plan *plan, const pgc_pool_limits *limits, pgc_counters *counters);

#endif
