/*
 * load.h - loads [rule:load]: their options, the lease that a caller has, what an answer of the store means for whoever
 * asks, and how a load ends. load_begin.c waits, for calls; requests do the same with what is in here.
 *
 * Owns: what a lease is to a caller, pgcache_load. Must never: hold anything at the server while the caller loads, or
 * store anything for a load that has ended.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_LOAD_H
#define PGC_OPERATIONS_LOAD_H

#include "operations/call.h"

/* pgcache_load_options of any size, checked, with the defaults resolved. */
typedef struct pgc_load_plan {
  int64_t ttl_ms, stale_ms, fail_safe_ms, throttle_ms, absent_ttl_ms, lease_ms;
  int64_t wait_ms; /* INT64_MAX: until the deadline */
  int jitter_percent, early_percent;
} pgc_load_plan;

typedef struct pgc_lobby pgc_lobby;

struct pgcache_load {
  pgcache *cache;
  uint64_t fork_generation; /* of the process whose load it is */
  pgc_load_plan plan;
  char namespace_name[PGCACHE_NAMESPACE_MAX + 1];
  pgc_digest digest;
  unsigned char token[PGC_TOKEN_SIZE];
  bool hollow;                   /* [rule:on_error]: there is no lease, and nothing is stored */
  bool ended;                    /* at first: it has not begun */
  pgcache_value *stale;          /* what may stand in if it fails; one reference, or NULL */
  pgc_flight *flight;            /* that it leads, or NULL */
  int64_t began_us;              /* on pgc_monotonic_us()'s clock */
  bool keeps;                    /* what it is filled with, in the next ones, for whoever had it loaded */
  bool absent, lost;             /* there is none; memory for it was out */
  pgcache_value *kept;           /* one reference, or NULL */
  pgc_lobby *lobby;              /* where it is while it stands in a completion; NULL: somebody has it */
  pgcache_load *next, *previous; /* in there */
  size_t key_len;
  unsigned char key[];
};

/* ---- Asking. call: prepared with BEGIN_LOAD, its key set. ---- */

/* Checks the options, and keeps them in plan. NULL: the defaults. PGCACHE_OK, PGCACHE_INVALID. */
pgcache_status pgc_load_set_plan(pgc_call *call, pgc_load_plan *plan, const pgcache_load_options *how);

/* Makes a load that has not begun, with a token of its own; the digest of the call's key was taken. NULL when out of
   memory. */
pgcache_load *pgc_load_new(const pgc_call *call, const pgc_load_plan *plan);

/* What the store is asked with. early: for the lease although the entry is fresh. */
void pgc_load_set_question(const pgcache_load *self, pgc_op_load *question, bool early);

/* What an answer of the store (*status >= 0) means. True: it is the last word, and *status the call's: PGCACHE_OK,
   PGCACHE_STALE, PGCACHE_LEASE, PGCACHE_MISS; with PGCACHE_LEASE what was found is for the load alone. False: somebody
   else is loading; *status is what the call gives if it waits no longer: PGCACHE_STALE, PGCACHE_BUSY. */
bool pgc_load_judge(const pgc_load_plan *plan, pgcache_status *status, const pgc_op_load *answer);

/* Whether what was found, which is stale, may stand in for this caller if his load fails: others may have kept it for
   longer. */
bool pgc_load_may_stand_in(const pgc_load_plan *plan, const pgc_op_load *answer);

/* Whether a fresh value is to be refreshed early; draws anew each time. left_us: of its freshness. took_ms 0: not
   known. */
bool pgc_load_is_early(const pgc_load_plan *plan, int64_t left_us, int64_t took_ms);

/* Until when to wait for somebody else's load. It leaves time to ask once more before the deadline. */
pgc_deadline pgc_load_wait_until(const pgc_load_plan *plan, pgc_deadline deadline);

/* What callers in this process share of what one of them found or stored, with this status. On the application's
   connections nothing: it may be part of a transaction that is never committed. answer NULL: it is fresh. */
pgc_landing pgc_load_share(const pgcache *cache, pgcache_status status, const pgc_op_load *answer,
                           pgcache_value *found);

/* Whether that is an answer for this caller, too; then *status is it. Others may have kept it for longer than he wants.
   */
bool pgc_load_takes(const pgc_load_plan *plan, const pgc_landing *landed, pgcache_status *status);

/* How long to wait before the store is asked again, unless the flight is roused first. times: how often it was asked
   before; others_ms: how long the other's lease still lasts. */
int64_t pgc_load_pause_us(pgcache *cache, int times, int64_t others_ms);

/* The lease is the caller's, and the load begins. asked_us: when it was asked for, on pgc_monotonic_us()'s clock.
   stale: what may stand in, whose reference the load takes over, or NULL. flight: that it leads from now on, or NULL.
   */
void pgc_load_begins(pgcache_load *self, int64_t asked_us, pgcache_value *stale, pgc_flight *flight);

/* The same where the server failed, [rule:on_error]. */
void pgc_load_begins_hollow(pgcache_load *self);

/* pgcache_load_begin(), not measured. *load: NULL, unless the caller has the lease. call->key.found: the value, if there is one. */
pgcache_status pgc_load_run(pgc_call *call, const pgc_load_plan *plan, pgcache_load **load);

/* ---- Ending ---- */

/* Begins a call that ends or extends a load, which goes on if this is refused: PGCACHE_INVALID, or a load that has
   ended. The call's key, namespace, digest and u.load are the load's. */
pgcache_status pgc_load_begin_end(pgc_call *call, pgcache_load *self, pgc_op_kind kind, const pgcache_options *options,
                                  pgcache_error *error);

/* Of a FILL_LOAD: what is to be stored, with its times. PGCACHE_OK, PGCACHE_INVALID, PGCACHE_TOO_LARGE. */
pgcache_status pgc_load_set_value(pgc_call *call, pgcache_load *self, const void *value, size_t value_len,
                                  int32_t format);

/* The same for "there is no value". */
void pgc_load_set_absent(pgc_call *call, pgcache_load *self);

/* What a call stores, as those in this process get it who wait for that. NULL when out of memory: they read it. */
pgcache_value *pgc_load_value(const pgc_call *call);

/* The load has ended, with whatever is sent now: it is of no use any more but for pgc_load_drop(). Gives the flight
   that it led, to be given to pgc_load_land(), or NULL. Counts. */
pgc_flight *pgc_load_end(pgcache_load *self);

/* What was sent has its answer. status: of the FILL_LOAD or END_LOAD. value: what was stored, or NULL. flight may be
   NULL; whoever waits elsewhere is roused, too. */
void pgc_load_land(pgcache *cache, const pgc_digest *digest, pgc_flight *flight, pgc_op_kind kind,
                   pgcache_status status, pgcache_value *value);

/* Each is what its exported function is, but for the measuring. call: begun for it with pgc_load_begin_end(). */
pgcache_status pgc_load_fill(pgc_call *call, pgcache_load *self);
pgcache_status pgc_load_abandon(pgc_call *call, pgcache_load *self);
pgcache_status pgc_load_fail(pgc_call *call, pgcache_load *self, pgcache_value **out);
pgcache_status pgc_load_extend(pgc_call *call, pgcache_load *self);

/* Beside what somebody calls: abandons a load, or fails it, with a call of its own. options: NULL, or the deadline. */
pgcache_status pgc_load_give_back(pgcache_load *self);
pgcache_status pgc_load_give_up(pgcache_load *self, pgcache_value **out, const pgcache_options *options,
                                pgcache_error *error);

/* Sets how long a lease is to last from now. PGCACHE_OK, PGCACHE_INVALID. */
pgcache_status pgc_load_set_lease(pgc_call *call, int64_t lease_ms);

/* Frees a load that has ended, or has not begun. NULL is a no-op. */
void pgc_load_drop(pgcache_load *self);

#endif
