/*
 * listener.h - keeps the near cache of one process true: one thread with one connection, which listens for the relay's
 * notifications, polls the change stream itself several times within the bound, and proves with each poll how fresh the
 * near cache is. One listener of all processes is the relay: it reads the stream every few milliseconds and notifies.
 *
 * Owns: its thread, its connection, the cursor (a whole snapshot). Must never: keep a caller waiting, except in fence().
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_LISTENER_H
#define PGC_STORE_LISTENER_H

#include "state/audience.h"
#include "state/counters.h"
#include "state/flights.h"
#include "state/near.h"
#include "store/connect.h"

typedef struct pgc_listener pgc_listener;

typedef struct pgc_listener_settings {
  const char *schema; /* these two must outlive the listener */
  const char *namespace_name;
  pgc_schema_kind kind;
  int64_t staleness_us;   /* the bound */
  int64_t audit_us;       /* how often a few entries are compared with the store, 0: never */
  int64_t lifetime_us;    /* of a connection, 0: for ever; its address may come to lead elsewhere */
  pgc_flights *flights;   /* told of what may end a load; in use until the listener is freed */
  pgc_audience *audience; /* told of connections that come and go; NULL: nobody; in use as long */
} pgc_listener_settings;

/* Takes the plans over (also when it fails, with NULL, out of memory). Starts nothing. store_plan: how the store connects, if by
   another plan; else its conninfo is NULL. near, counters: in use until freed. */
pgc_listener *pgc_listener_new(pgc_connect_plan *plan, pgc_connect_plan *store_plan,
                               const pgc_listener_settings *settings, pgc_near *near, pgc_counters *counters);

/* Somebody wants to read: starts the thread, the first time. Costs a load after that. Any thread. */
void pgc_listener_want(pgc_listener *self);

/* Whether it was; NULL: no. Any thread. */
bool pgc_listener_is_started(const pgc_listener *self);

/* Returns once everything that was acknowledged before the call is applied to the near cache. PGCACHE_OK, PGCACHE_TIMEOUT,
   PGCACHE_CLOSED, PGCACHE_NO_MEMORY, or why there is no connection to listen on: PGCACHE_UNAVAILABLE, PGCACHE_BAD_SETTING (a
   pooler stands in between, or listen_url leads elsewhere), PGCACHE_DENIED ... The near cache gives no hits then, or only until the bound has passed. Any thread. */
pgcache_status pgc_listener_fence(pgc_listener *self, pgc_deadline deadline, pgcache_error *error);

/* Whether it is the relay at the moment. */
bool pgc_listener_is_relay(pgc_listener *self);

/* Ends the thread and wakes everybody in fence(): PGCACHE_CLOSED from then on. Does not wait. Any thread, repeatedly. */
void pgc_listener_shutdown(pgc_listener *self);

/* Shuts down, waits for the thread, and frees. NULL is a no-op. */
void pgc_listener_free(pgc_listener *self);

/* In a forked child: what takes the parent's place, with the child's own near cache and flights; takes no lock. Starts nothing. NULL when
   out of memory. */
pgc_listener *pgc_listener_new_after_fork(const pgc_listener *parents, pgc_near *near, pgc_flights *flights);

/* In a forked child: closes the copies of the parent's descriptors. The parent's memory is left as it is. */
void pgc_listener_close_sockets_after_fork(pgc_listener *self);

#endif
