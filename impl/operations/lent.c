/*
 * lent.c - see lent.h.
 *
 * Owns: the handle's second store, made when it is needed first, which knows the connections that it was lent before:
 * so their schema is looked at once. It serves any number of threads at once, each with its own connection. Must never:
 * use the handle's own connections.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/lent.h"

#include <pthread.h>

#include "pure/error.h"

/* What the thread's call lends: the store asks for it on the same thread. */
static _Thread_local struct pg_conn *lent;

static pgcache_status lend(void *context, int64_t deadline_ms, struct pg_conn **connection, pgcache_error *error) {
  (void)context;
  (void)deadline_ms;
  (void)error;
  *connection = lent;
  return PGCACHE_OK;
}

static void take_back(void *context, struct pg_conn *connection, int sound) {
  (void)context;
  (void)connection;
  (void)sound;
}

/* NULL when out of memory. */
static pgc_store *store_of(pgcache *cache) {
  const pgcache_connection_hooks hooks = {sizeof hooks, lend, take_back, NULL};
  pgc_store *known = __atomic_load_n(&cache->lent, __ATOMIC_ACQUIRE), *fresh;
  if (known != NULL)
    return known;
  if (pgc_borrowing_store_new(&fresh, NULL, &hooks, &cache->settings, NULL) != PGCACHE_OK)
    return NULL;
  if (__atomic_compare_exchange_n(&cache->lent, &known, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return fresh;
  fresh->free(fresh); /* another thread was first */
  return known;
}

pgcache_status pgc_lent_run(pgc_call *call, struct pg_conn *connection) {
  pgcache *cache = call->cache;
  if (__atomic_load_n(&cache->closed, __ATOMIC_SEQ_CST))
    return pgc_fail(call->error, PGCACHE_CLOSED, "the handle was shut down");
  int cancellable;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
  pgc_store *store = store_of(cache);
  pgcache_status status;
  if (store != NULL) {
    struct pg_conn *outer = lent; /* of a call around this one, on this thread */
    lent = connection;
    status = store->run(store, &call->op, call->error);
    lent = outer;
  } else {
    status = pgc_fail_memory(call->error);
  }
  pthread_setcancelstate(cancellable, NULL);
  return status;
}

void pgc_lent_free(pgcache *cache) {
  if (cache->lent != NULL)
    cache->lent->free(cache->lent);
}
