/*
 * loaders.h - threads of the library that call the application's loaders, for calls of pgcache_get_or_load() that
 * return earlier than their load ends.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_LOADERS_H
#define PGC_OPERATIONS_LOADERS_H

#include "operations/load.h"
#include "pgcache_hooks.h"

/* What a loader is called for. It is freed when its thread and its caller have both let it go. */
typedef struct pgc_loader_job {
  pgcache_load *load; /* the job's own */
  pgcache_loader loader;

  pgcache_status status; /* out: of the call, with what was loaded and why not */
  pgcache_value *value;  /* one reference, or NULL */
  pgcache_error error;

  int refs; /* these and what follows under the lock of the threads */
  bool done;
  struct pgc_loader_job *next;
} pgc_loader_job;

/* Has a thread of the handle's run the loader; false: it is the caller's to do: every thread is busy and enough waits,
   the caller is such a thread itself, or memory or threads are out; then the job is as it was. If it is true the job
   stays valid until pgc_loaders_await(). */
bool pgc_loaders_hand(pgcache *cache, pgc_loader_job *job);

/* Waits until then for the end of a job, and lets it go. True: it has ended, with this status, value and error; false:
   it goes on. */
bool pgc_loaders_await(pgcache *cache, pgc_loader_job *job, pgc_deadline until, pgcache_status *status,
                       pgcache_value **value, pgcache_error *error);

/* The handle was shut down: what was not begun is not begun any more. */
void pgc_loaders_close(pgcache *cache);

/* The handle goes, and was shut down: waits until the loaders have returned. */
void pgc_loaders_leave(pgcache *cache);

/* The handle goes, and nobody calls it any more. */
void pgc_loaders_free(pgcache *cache);

/* Calls a loader for a load, and ends that if the loader has not. *value: what was loaded, or may stand in, with a
   reference, or NULL. What pgcache_get_or_load() returns for it; error is filled. */
pgcache_status pgc_loader_run(pgcache_load *load, const pgcache_loader *loader, pgcache_value **value,
                              pgcache_error *error);

#endif
