/*
 * flights.h - loads under way in this process, by digest: who leads one, and who waits for its end.
 *
 * One caller of a process asks the store for the lease of a key; the others wait for what becomes of that. A flight ends when
 * its leader says so, or is roused by the change stream, which says that somebody else's load has ended.
 *
 * Owns: the flights. Must never: keep a leader waiting, or call anything with its lock held.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_FLIGHTS_H
#define PGC_STATE_FLIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/clock.h"
#include "pure/digest.h"
#include "state/value.h"

typedef struct pgc_flights pgc_flights;
typedef struct pgc_flight pgc_flight; /* shared by its leader and those who wait; counted */

pgc_flights *pgc_flights_new(void);       /* NULL when out of memory */
void pgc_flights_free(pgc_flights *self); /* all flights were left; NULL is a no-op */

/* Whoever is told that a digest was roused, beside those who wait in here: the engine. Called without a lock, by any thread. Set once, before there
   is a flight; NULL: nobody. */
void pgc_flights_on_rouse(pgc_flights *self, void (*roused)(void *context, const pgc_digest *digest), void *context);

/* Takes part in the flight of a digest. *leads: nobody led it, and now the caller does, until pgc_flight_land(). NULL when out of
   memory. Any thread, like all that follow. */
pgc_flight *pgc_flights_join(pgc_flights *self, const pgc_digest *digest, bool *leads);

/* A number that changes when the flight lands or is roused: to be taken before asking, and waited upon then. */
uint64_t pgc_flight_turn(pgc_flight *self);

/* Waits until the turn is another one, or until the deadline, or pgc_flights_close(). True: it is another one. *value: what the leader landed with, with
   a reference, if the caller had joined before the leader sent its fill (pgc_flight_sending()) and that was accepted; else NULL. */
bool pgc_flight_wait(pgc_flight *self, uint64_t turn, pgc_deadline until, pgcache_value **value);

/* The leader's: from now on who joins does not share what it will land with. */
void pgc_flight_sending(pgc_flight *self);

/* The leader's: it leads no more; the next who joins may. value: what was stored, for those who wait; NULL: nothing. */
void pgc_flight_land(pgc_flight *self, pgcache_value *value);

/* Gives one's part back. NULL is a no-op. */
void pgc_flight_leave(pgc_flights *self, pgc_flight *flight);

/* The change stream, or somebody here, says that something became of this digest. Costs next to nothing where there is no flight at all. */
void pgc_flights_rouse(pgc_flights *self, const pgc_digest *digest);

/* The handle is shut down, or everything has to be asked anew: wakes all. */
void pgc_flights_rouse_all(pgc_flights *self);

#endif
