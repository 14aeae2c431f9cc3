/*
 * pg_inside.h - what pg_store.c (calls), pg_channels.c (channels) and pg_near.c (the near cache) share. Nobody else includes
 * it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_INSIDE_H
#define PGC_STORE_PG_INSIDE_H

#include <stdatomic.h>

#include "store/breaker.h"
#include "store/listener.h"
#include "store/pg_session.h"
#include "store/source.h"

/* Attempts of one call that the server answered with a conflict, a lost marker or a dead connection. */
#define PGC_ATTEMPTS_MAX 5

/* The near cache of one process and what keeps it true; both NULL: there is none. */
typedef struct pgc_pg_near {
  pgc_near *near;
  pgc_listener *listener;
} pgc_pg_near;

/* What belongs to one process: where it gets its connections, and what it knows about the server. A forked child puts its
   own in its place. */
typedef struct pgc_process {
  pgc_source *source;
  pgc_breaker breaker;
  pgc_stamps stamps;
  pgc_flights *flights;
  pgc_pg_near near;
  unsigned char walker[PGC_DIGEST_SIZE]; /* random: by which the server knows the process among the janitors */
  uint64_t fork_generation;
} pgc_process;

typedef struct pgc_pg_store {
  pgc_store base;
  const pgc_settings *settings; /* of the handle, which outlive its store */
  _Atomic(pgc_process *) process;
  char schema[PGC_SCHEMA_MAX + 1];
  pgc_schema_kind kind;
  int64_t max_value_bytes;
  bool inline_values;
  int64_t patience_us;
  char namespace_name[PGCACHE_NAMESPACE_MAX + 1];
  bool keyed_digests;
  uint64_t noted[PGC_NOTED_MAX]; /* see pgc_schema_note_keyed() */
  pgc_sql_roles roles;           /* points into the settings of the handle, which outlive its store */
  int cleanup_share;
} pgc_pg_store;

/* The process's own, after a fork a new one. NULL when out of memory. */
pgc_process *pgc_pg_process(pgc_pg_store *self);

/* What an attempt begins with; it has no connection yet. */
pgc_session pgc_pg_session(pgc_pg_store *self, pgc_process *here, pgc_deadline deadline, pgcache_error *error);

/* Tells the breaker how a call, or what stands for one, has ended. */
void pgc_pg_leave_breaker(pgc_pg_store *self, pgc_process *here, pgc_breaker_verdict verdict, pgc_fault fault,
                          const pgcache_error *failure);

/* Makes the near cache that the settings ask for, without input or output; its listener tells the flights, which outlive it,
   and counts and tells for the store. flights NULL: out of memory. PGCACHE_OK, also when memory ran
   out and there is none; PGCACHE_BAD_SETTING. */
pgcache_status pgc_pg_near_make(pgc_pg_near *out, const char *conninfo, const char *local_dir,
                                const pgc_settings *settings, pgc_flights *flights, pgc_store *store,
                                pgcache_error *error);

/* A forked child's own, in place of its parent's, whose memory is left as it is. */
pgc_pg_near pgc_pg_near_after_fork(const pgc_pg_near *parents, const pgc_settings *settings, pgc_flights *flights);
void pgc_pg_near_free(pgc_pg_near *self);

/* See store.h. */
struct pgc_near *pgc_pg_near_of(pgc_store *base, bool reads);
pgcache_status pgc_pg_fence(pgc_store *base, pgc_deadline deadline, pgcache_error *error);
pgcache_status pgc_pg_open_channel(pgc_store *base, struct pgc_channel **out, pgc_deadline deadline, bool *busy,
                                   pgcache_error *error);
bool pgc_pg_is_troubled(pgc_store *base);
void pgc_pg_waited_in_vain(pgc_store *base, const pgcache_error *why);
bool pgc_pg_is_stamp_due(pgc_store *base);

#endif
