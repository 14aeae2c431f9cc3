/*
 * call.h - one call of the public interface on its way to the store: checks every argument, resolves every default.
 * Nothing reaches the store before all of it has been checked.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_OPERATIONS_CALL_H
#define PGC_OPERATIONS_CALL_H

#include "pgcache.h"
#include "operations/encoding.h"
#include "state/audience.h"
#include "state/meters.h"
#include "store/store.h"

typedef struct pgc_office pgc_office;       /* where the handle's janitors meet, see janitor.c */
typedef struct pgc_room pgc_room;           /* where its engine is, see room.c */
typedef struct pgc_loaders pgc_loaders;     /* the threads that call loaders, see loaders.c */
typedef struct pgc_measuring pgc_measuring; /* what is measured, see measuring.h */
typedef struct pgc_publisher pgc_publisher; /* see publisher.c */

struct pgcache {
  pgc_store *store;
  pgc_store *lent;                         /* see lent.h; NULL until it was needed */
  bool borrows;                            /* the application's connections */
  bool closed;                             /* was shut down; this and the next two through __atomic functions */
  bool single;                             /* works on the one connection that the application gave it */
  pgc_office *office;                      /* NULL until there was a janitor */
  pgc_room *room;                          /* NULL until there was a request */
  pgc_loaders *loaders;                    /* NULL until one was needed */
  pgc_measuring *measuring;                /* NULL until something was */
  pgc_publisher *publisher;                /* NULL until there was a call, and without publish_ms */
  int64_t own_walk_block, own_walk_due_us; /* see pgc_clean_short_slice(); through __atomic functions */
  pgc_settings settings;
  pgc_encoding encoding;
  pgc_audience audience; /* who is told of events */
};

/* What is measured of a call; see measure.h. */
typedef struct pgc_measure {
  bool begun; /* it is measured */
  pgc_operation operation;
  pgc_answerer source;
  bool sampled;     /* its time was taken by chance, see pgc_measure_is_timed() */
  bool loaded;      /* what get_or_load gives was not there */
  int64_t began_ns; /* on pgc_monotonic_ns()'s clock; 0: not taken */
  size_t key_count;
  int64_t hits[PGC_ANSWERERS], misses[PGC_ANSWERERS]; /* of an operation on many keys */
  int64_t bytes;                                      /* of values, as stored; -1: there was none */
  int64_t number;                                     /* see pgcache_event */
  pgc_attendance attended;
} pgc_measure;

typedef struct pgc_call {
  pgcache *cache;
  pgcache_error *error;
  pgc_op op;
  pgc_op_key key; /* of a single-key operation: op.keys points here */
  pgcache_read_mode read_mode;
  int64_t deadline_ms;
  const char *span_name; /* "": none */
  pgc_measure measure;
  uint64_t token; /* of the options, for requests alone */
  const pgcache_callback *callback;
  const pgcache_dependency *dependencies; /* of the options, not checked: see dependencies.h */
  size_t dependency_count;
} pgc_call;

/* Checks handle, error and options. PGCACHE_OK or PGCACHE_INVALID. */
pgcache_status pgc_call_prepare(pgc_call *call, pgcache *cache, pgc_op_kind kind, const pgcache_options *options,
                                pgcache_error *error);

/* Starts the deadline of a call that was prepared: reads that the near cache answers need none, nor the clock. */
void pgc_call_start(pgc_call *call);

/* Both. */
pgcache_status pgc_call_begin(pgc_call *call, pgcache *cache, pgc_op_kind kind, const pgcache_options *options,
                              pgcache_error *error);

/* Checks a key. PGCACHE_OK, PGCACHE_INVALID, PGCACHE_TOO_LARGE. */
pgcache_status pgc_call_set_key(pgc_call *call, const void *key, size_t key_len);

/* Takes the digest of the key, for whoever submits the call; pgc_call_run() does it by itself. */
void pgc_call_take_digest(pgc_call *call);

/* Checks what is to be stored. PGCACHE_OK, PGCACHE_INVALID, PGCACHE_TOO_LARGE. */
pgcache_status pgc_call_set_value(pgc_call *call, const void *value, size_t value_len, int32_t format);
pgcache_status pgc_call_set_ttl(pgc_call *call, int64_t ttl_ms);

/* Hands the operation to the store, and what came of it to the near cache. */
pgcache_status pgc_call_run(pgc_call *call);

/* A get or exists with its key set and not started: from the near cache, or else as pgc_call_run(). */
pgcache_status pgc_call_read(pgc_call *call);

#endif
