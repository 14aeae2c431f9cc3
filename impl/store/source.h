/*
 * source.h - where the store gets its connections from: the pool of its own, or the application. A connection is lent to
 * one thread at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_SOURCE_H
#define PGC_STORE_SOURCE_H

#include "pgcache.h"
#include "platform/clock.h"
#include "store/connection.h"

typedef struct pgc_source pgc_source;

struct pgc_source {
  /* Lends a connection. PGCACHE_OK, PGCACHE_TIMEOUT, PGCACHE_CLOSED, or why there is none. busy: out, there is none
     because others have them all, which is not the server's fault. Any thread. */
  pgcache_status (*acquire)(pgc_source *self, pgc_connection **out, pgc_deadline deadline, bool *busy,
                            pgcache_error *error);
  /* Takes a connection back. sound: it is idle, and of further use. */
  void (*release)(pgc_source *self, pgc_connection *connection, bool sound);
  /* What was not used since then, on pgc_monotonic_us()'s clock, is not to be lent any more: another connection to the same
     server was silent, or leads to a server that is the wrong one by now. */
  void (*distrust)(pgc_source *self, int64_t since_us);
  /* Whether there is a connection, lent or idle; if not, begins to open one unless it is too early after a failure. Waits
     for nothing. */
  bool (*look)(pgc_source *self);
  /* Whether somebody waits for a connection and none is being opened for him. */
  bool (*is_wanted)(pgc_source *self);
  /* Wakes all who wait in acquire(), and refuses all later ones. Any thread, repeatedly. */
  void (*shutdown)(pgc_source *self);
  bool (*closed)(const pgc_source *self);
  /* Shuts down and lets go. All connections have been given back. */
  void (*free)(pgc_source *self);
  /* The connections that are the handle's own, and how many wait for one. */
  void (*count)(pgc_source *self, int *open, int *idle, int *waiting);
  /* In a forked child: what takes this one's place, without taking any lock, because at the fork any of them may have been
     held. The parent's stays allocated. NULL when out of memory. */
  pgc_source *(*new_after_fork)(pgc_source *parents);
  /* In a forked child: closes its copies of the sockets that the parent opened, and says nothing on them. */
  void (*close_sockets_after_fork)(pgc_source *parents);
};

#endif
