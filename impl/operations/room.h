/*
 * room.h - the engine that does a handle's requests in this process.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_OPERATIONS_ROOM_H
#define PGC_OPERATIONS_ROOM_H

#include "engine/engine.h"
#include "operations/call.h"
#include "operations/copies.h"
#include "operations/lobby.h"

/* The engine, made by the first who needs it. PGCACHE_OK, PGCACHE_CLOSED, PGCACHE_NO_MEMORY, PGCACHE_UNSUPPORTED (the handle
   works on the application's connections). */
pgcache_status pgc_room_engine(pgcache *cache, pgc_engine **out, pgcache_error *error);

/* The same, if there is one. NULL: there were no requests. */
pgc_engine *pgc_room_engine_here(pgcache *cache);

/* What its requests are writing. NULL when out of memory. */
pgc_copies_writes *pgc_room_writes(pgcache *cache);

/* Where the loads of its completions are. NULL when out of memory. */
pgc_lobby *pgc_room_lobby(pgcache *cache);

/* The engine; waits until then for somebody to make a request. */
pgc_engine *pgc_room_await_engine(pgcache *cache, pgc_deadline until);

/* The handle was shut down, and its store, too. */
void pgc_room_close(pgcache *cache);

/* The handle goes. It was shut down. */
void pgc_room_free(pgcache *cache);

#endif
