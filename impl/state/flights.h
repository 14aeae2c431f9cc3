/*
 * flights.h - loads under way in this process, by digest: who leads one, and who waits for its end.
 *
 * One caller of a process asks the store for the lease of a key; the others wait for what becomes of that. A flight
 * ends when its leader says so, when its time is over, or it is roused by the change stream, which says that somebody
 * else's load has ended.
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

/* What a leader lands with, for those who share it: a value, that there is none, or nothing. */
typedef struct pgc_landing {
  pgcache_value *value;
  bool absent;      /* there is no value, and that is known */
  bool failed;      /* of a stale value: nobody loads it, because a load has failed */
  int64_t stale_ms; /* for how long the value has been stale; 0: it is fresh */
} pgc_landing;

pgc_flights *pgc_flights_new(void);       /* NULL when out of memory */
void pgc_flights_free(pgc_flights *self); /* all flights were left; NULL is a no-op */

/* Whoever is told that a flight was roused or has landed, beside those who wait in here: the engine, whose parts take
   part without waiting in here. digest NULL: all were. Called without a lock, by any thread, after the turn has
   changed; it must be quick. NULL: nobody, and when this returns nobody is being told any more. */
void pgc_flights_on_rouse(pgc_flights *self, void (*roused)(void *context, const pgc_digest *digest), void *context);

/* Takes part in the flight of a digest. *leads: nobody led it, and now the caller does, until pgc_flight_land(). NULL
   when out of memory. Any thread, like all that follow. */
pgc_flight *pgc_flights_join(pgc_flights *self, const pgc_digest *digest, bool *leads);

/* A number that changes when the flight lands or is roused: to be taken before asking, and waited upon then. */
uint64_t pgc_flight_turn(pgc_flight *self);

/* Waits until the flight has landed or was roused since the turn was taken, or its leader's time is over, or until the
   deadline. True: something happened, or nobody leads any more: the leader may have landed before the turn was taken.
   *landed: what the leader landed with, its value with a reference, if the turn was taken before the leader sent what
   it landed with (pgc_flight_sending()); else nothing. */
bool pgc_flight_wait(pgc_flight *self, uint64_t turn, pgc_deadline until, pgc_landing *landed);

/* The leader's: from now on who joins does not share what it will land with, unless the leader calls this once more.
   Whether there is anybody who could share it. */
bool pgc_flight_sending(pgc_flight *self);

/* The leader's: it leads until then at most, because its lease ends then. Afterwards the flight counts as landed with
   nothing, and who joins gets another one. */
void pgc_flight_lead_until(pgc_flight *self, pgc_deadline until);

/* When its leader's time is over; PGC_NO_DEADLINE: that is not known. */
pgc_deadline pgc_flight_led_until(pgc_flight *self);

/* The leader's: it leads no more; the next who joins may. landed: what was stored or found; NULL: nothing. */
void pgc_flight_land(pgc_flight *self, const pgc_landing *landed);

/* Gives one's part back. NULL is a no-op. */
void pgc_flight_leave(pgc_flights *self, pgc_flight *flight);

/* The change stream, or somebody here, says that something became of this digest. Costs next to nothing where there is
   no flight at all. */
void pgc_flights_rouse(pgc_flights *self, const pgc_digest *digest);

/* The handle is shut down, or everything has to be asked anew: wakes all. */
void pgc_flights_rouse_all(pgc_flights *self);

#endif
