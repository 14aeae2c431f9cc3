/*
 * pool.h - the connections of one handle in one process: opened when needed, lent to one thread at a time, in the order
 * of asking. Connections are opened on threads of their own, so that no caller waits past its deadline.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_POOL_H
#define PGC_STORE_POOL_H

#include "pgcache.h"
#include "platform/clock.h"
#include "state/counters.h"
#include "store/connect.h"
#include "store/connection.h"

typedef struct pgc_pool pgc_pool;

/* Takes the plan over (also when it fails, with NULL, out of memory). counters: in use until pgc_pool_free(). */
pgc_pool *pgc_pool_new(pgc_connect_plan *plan, int min, int max, pgc_counters *counters);

/* Lends a connection. PGCACHE_OK, PGCACHE_TIMEOUT, PGCACHE_CLOSED, or why none can be opened: while the server cannot be
   reached that is known at once, and asked again only after a pause. */
pgcache_status pgc_pool_acquire(pgc_pool *self, pgc_connection **out, pgc_deadline deadline, pgcache_error *error);

/* Takes a connection back; closes it unless it is sound, which means idle and outside of a transaction. */
void pgc_pool_release(pgc_pool *self, pgc_connection *connection, bool sound);

/* Wakes all who wait, breaks off what is under way, closes what is idle. Any thread, repeatedly. */
void pgc_pool_shutdown(pgc_pool *self);
bool pgc_pool_closed(const pgc_pool *self);

/* Shuts down and lets go. All connections have been given back. Memory lasts until the last opening thread ends. */
void pgc_pool_free(pgc_pool *self);

void pgc_pool_count(pgc_pool *self, int *open, int *idle);

/* In a forked child: a new pool for the same server in place of the parent's, which is left alone but for the child's
   copies of its sockets, which are closed. Takes no lock: at the fork any of them may have been held. NULL when out of
   memory. The parent's pool stays allocated. */
pgc_pool *pgc_pool_new_after_fork(pgc_pool *parents);
void pgc_pool_close_sockets_after_fork(pgc_pool *parents);

#endif
