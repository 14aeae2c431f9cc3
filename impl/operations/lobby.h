/*
 * lobby.h - loads that stand in completions and that nobody has taken. Completions may outlive the handle; the loads in them
 * do not: with the handle they are over.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_LOBBY_H
#define PGC_OPERATIONS_LOBBY_H

#include "operations/load.h"

/* Of a handle in this process. NULL when out of memory. */
pgc_lobby *pgc_lobby_new(void);

/* A load that has begun is put into a completion. Any thread, like all that follow. */
void pgc_lobby_enter(pgc_lobby *self, pgcache_load *load);

/* Somebody takes a load, and has it from then on. NULL: the handle is gone, and the load, too. */
pgcache_load *pgc_lobby_take(pgcache_load *load);

/* Its completion is freed: the load is abandoned, by a request whose completion nobody sees, and freed. Waits for nothing. */
void pgc_lobby_drop(pgcache_load *load);

/* The handle goes: whoever waits for these loads waits no longer. */
void pgc_lobby_close(pgc_lobby *self);

#endif
