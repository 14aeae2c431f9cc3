/*
 * pool_inside.h - what pool.c (lending) and pool_threads.c (opening and ending) share. Nobody else includes it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_POOL_INSIDE_H
#define PGC_STORE_POOL_INSIDE_H

#include <stdatomic.h>

#include "platform/sync.h"
#include "store/pool.h"
#include "store/sockets.h"

/* One who waits; lives on his stack. */
typedef struct pgc_waiter {
  pthread_cond_t woken;
  pgc_connection *given;
  pgcache_status failure; /* PGCACHE_OK: not failed */
  pgcache_error error;
  struct pgc_waiter *next;
} pgc_waiter;

/* One mutex guards everything but `closed`, which opening threads also read while they poll, and the list of sockets,
   which a forked child reads. No input or output happens under the mutex. */
typedef struct pgc_pool {
  pgc_source base;
  pthread_mutex_t mutex;
  atomic_bool closed;
  int references; /* the handle's and one for each thread of the pool */
  pgc_connect_plan plan;
  pgc_pool_limits limits;
  pgc_counters *counters; /* the store's, until shutdown */
  pgc_sockets *sockets;

  int open;    /* connections there are, lent or idle */
  int opening; /* threads that try to open one */
  int idle_count;
  pgc_connection *idle;     /* the last one given back comes first: it is warm */
  pgc_waiter *first_waiter; /* in the order of asking */
  int waiting;

  int64_t broke_at_us; /* when a connection was last found broken: what was idle then is looked at, too */
  int failures;        /* attempts failed in a row */
  int64_t retry_at_us;
  pgcache_error last_failure;

  bool keeping; /* there is a keeper: see pool_threads.c */
  pthread_cond_t keeper_wakes;
  int64_t keeper_until_us; /* when it wakes by itself */
} pgc_pool;

/* All these are called with the mutex held. */

/* Starts to open as many connections as are wanted, at least so many in all, and allowed; after a failure one at a time,
   after the pause. */
void pgc_pool_open_more(pgc_pool *self, int least);

/* Hands a sound connection to whoever waits longest, or keeps it. */
void pgc_pool_offer(pgc_pool *self, pgc_connection *connection);

/* When an idle connection has to be closed, if it stays idle; PGC_NO_DEADLINE: never. */
int64_t pgc_pool_idle_end(const pgc_pool *self, const pgc_connection *connection);

/* Strikes a connection, which is not in the list of idle ones, off the books. */
void pgc_pool_strike(pgc_pool *self, pgc_connection *connection);

void pgc_pool_fail_waiters(pgc_pool *self, pgcache_status status, const char *sqlstate, const char *message);

/* Lets one reference go; unlocks. */
void pgc_pool_release_reference(pgc_pool *self);

#endif
