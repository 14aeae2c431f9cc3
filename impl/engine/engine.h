/*
 * engine.h - does what is submitted to a handle, for any number of callers, over few connections.
 *
 * Owns: the engine's thread, the requests under way, the completions that wait. Must never: call anything of the caller's on
 * a thread of its own, wait for the server on the engine's thread, or complete a request twice, or never.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_ENGINE_ENGINE_H
#define PGC_ENGINE_ENGINE_H

#include "engine/request.h"

/* Who is told of requests; functions that are NULL are not called, and none may wait or use the engine. */
typedef struct pgc_engine_watch {
  /* A request has its outcome, and nobody has its completion yet. Once for each that was taken in, but of one that was given up while
     parts of it were away its completion that went ahead is told of instead. */
  void (*completed)(void *context, pgc_request *request);
  /* Its completion was taken, or is freed with the engine: before its callback is called. Once for each that is not discarded. */
  void (*taken)(void *context, pgc_request *request);
  void *context;
} pgc_engine_watch;

/* What is in an engine. */
typedef struct pgc_engine_load {
  size_t under_way; /* requests without an outcome */
  size_t untaken;   /* completions */
  size_t bytes;     /* of all these */
} pgc_engine_load;

typedef struct pgc_engine_limits {
  int connections; /* 1 to 64 */
  size_t requests_max, bytes_max;
  bool failed_reads_miss; /* [rule:on_error] */
  bool unguarded;         /* see pgc_op */
  /* For the operations that it makes of parts, see pgc_op. */
  pgcache_status (*decode)(const pgc_op *op, const pgc_op_key *key, const pgc_stored *stored, pgcache_value **value,
                           pgcache_error *error);
  const void *decoder; /* must outlive the engine */
  pgc_engine_watch watch;
} pgc_engine_limits;

/* Starts an engine with its thread. store: must outlive it. PGCACHE_OK, PGCACHE_NO_MEMORY (memory, threads, descriptors). */
pgcache_status pgc_engine_new(pgc_engine **out, pgc_store *store, const pgc_engine_limits *limits,
                              pgcache_error *error);

/* Submits a request, and sets *id (may be NULL) before anybody can take its completion. From then on it is the engine's; if
   it is refused it stays the caller's. PGCACHE_OK, PGCACHE_QUEUE_FULL, PGCACHE_CLOSED, PGCACHE_NO_MEMORY. Any thread, like
   all that follow. */
pgcache_status pgc_engine_submit(pgc_engine *self, pgc_request *request, uint64_t *id, pgcache_error *error);

/* The same for a request all of whose parts are answered: it is complete at once. */
pgcache_status pgc_engine_submit_answered(pgc_engine *self, pgc_request *request, uint64_t *id, pgcache_error *error);

/* Something became of this digest, NULL: perhaps of all: wakes the parts that sleep on it, see pgc_guide. Never waits, and
   is never lost: what is put to sleep after the call was asked after it, too. */
void pgc_engine_rouse(pgc_engine *self, const pgc_digest *digest);

void pgc_engine_look(pgc_engine *self, pgc_engine_load *out);

/* See pgcache_event_fd(), pgcache_cancel(), pgcache_take(), pgcache_wait(), pgcache_dispatch(). */
int pgc_engine_event_fd(pgc_engine *self);
pgcache_status pgc_engine_cancel(pgc_engine *self, uint64_t id);
pgcache_status pgc_engine_take(pgc_engine *self, pgc_request **out);
pgcache_status pgc_engine_wait(pgc_engine *self, pgc_request **out, uint64_t id, pgc_deadline until);
pgcache_status pgc_engine_dispatch(pgc_engine *self, size_t *count, pgc_deadline until);

/* The handle was shut down: whatever is not complete is completed soon as PGCACHE_CLOSED, or PGCACHE_UNKNOWN; nothing more can
   be submitted. The store is shut down already. */
void pgc_engine_shutdown(pgc_engine *self);

/* In a forked child the parent's engine is left as it is, with its two descriptors: by now their numbers may be
   somebody else's.

   Waits for its threads and frees it with all requests; it was shut down, and nobody else uses it. */
void pgc_engine_free(pgc_engine *self);

#endif
