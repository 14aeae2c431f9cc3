/*
 * borrowed.h - the application's own connections as the store's source of connections; see abi/pgcache_hooks.h.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_BORROWED_H
#define PGC_STORE_BORROWED_H

#include "pgcache_hooks.h"
#include "store/source.h"

/* One connection, or hooks that give some; the other one is NULL. NULL when out of memory. */
pgc_source *pgc_borrowed_new(PGconn *connection, const pgcache_connection_hooks *hooks);

#endif
