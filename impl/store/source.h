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
  /* Lends a connection. PGCACHE_OK, PGCACHE_TIMEOUT, PGCACHE_CLOSED, or why there is none. Any thread. */
  pgcache_status (*acquire)(pgc_source *self, pgc_connection **out, pgc_deadline deadline, pgcache_error *error);
  /* Takes a connection back. sound: it is idle, and of further use. */
  void (*release)(pgc_source *self, pgc_connection *connection, bool sound);
  /* Wakes all who wait in acquire(), and refuses all later ones. Any thread, repeatedly. */
  void (*shutdown)(pgc_source *self);
  bool (*closed)(const pgc_source *self);
  /* Shuts down and lets go. All connections have been given back. */
  void (*free)(pgc_source *self);
  /* The connections that are the handle's own. */
  void (*count)(pgc_source *self, int *open, int *idle);
  /* In a forked child: what takes this one's place, without taking any lock, because at the fork any of them may have been
     held. The parent's stays allocated. NULL when out of memory. */
  pgc_source *(*new_after_fork)(pgc_source *parents);
  /* In a forked child: closes its copies of the sockets that the parent opened, and says nothing on them. */
  void (*close_sockets_after_fork)(pgc_source *parents);
};

#endif
