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

/* Takes the plan over (also when it fails, with NULL, out of memory). counters: in use until the pool is freed.
   acquire(): while the server cannot be reached that is known at once, and asked again only after a pause.
   release(): closes the connection unless it is sound. shutdown(): also breaks off what is under way.
   free(): memory lasts until the last opening thread ends. */
pgc_source *pgc_pool_new(pgc_connect_plan *plan, int min, int max, pgc_counters *counters);

#endif
