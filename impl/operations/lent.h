/*
 * lent.h - an operation on a connection of the application's that it lends for this one, while the handle works on
 * others.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_LENT_H
#define PGC_OPERATIONS_LENT_H

#include "operations/call.h"

/* Runs the operation of a call on the connection, inside of the transaction that is under way there, if there is one;
   see the rules of pgcache_hooks.h. As the store's run(); also PGCACHE_CLOSED. Any thread. */
pgcache_status pgc_lent_run(pgc_call *call, struct pg_conn *connection);

/* The handle goes. */
void pgc_lent_free(pgcache *cache);

#endif
