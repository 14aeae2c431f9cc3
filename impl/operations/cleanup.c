/*
 * cleanup.c - see cleanup.h. Whether a slice is done at all, the server decides: see clean_slice() in
 * impl/sql/migrations/0001_janitor.sql. No lock and no connection is held between slices.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/cleanup.h"

#include <pthread.h>
#include <time.h>

#include "platform/sync.h"
#include "pure/error.h"

/* How long a slice takes on the server, and how long after one its janitor is taken for dead. */
#define SLICE_US 2000
#define LEASE_MS 5000

/* The share of a core, in percent, that cleanup takes on demand, unless the setting cleanup_share is higher: without pauses the
   p99 of who reads meanwhile doubled, with this it grew by at most half (`ci/bench --only latency`). */
#define DEMAND_SHARE 15
#define PAUSE_MAX_US 100000 /* nobody wakes who pauses */

/* The same for a slice on a writer's way. Nobody is kept from going on with the walk. What it may cost the writer at the
   worst, when the server is slow, is its deadline; and a walk begins this way at most so often. */
#define CHANCE_SLICE_US 1000
#define CHANCE_LEASE_MS 0
#define CHANCE_DEADLINE_MS 200 /* the first one on a connection plans: 30 to 100 ms */
#define CHANCE_INTERVAL_MS 60000

static pgcache_status run_slice(pgc_call *call) {
  pgcache_status status = pgc_call_run(call);
  if (status == PGCACHE_OK)
    pgc_count_more(&call->cache->store->counters.entries_evicted, call->op.u.slice.evicted);
  return status;
}

pgcache_status pgc_clean_slice(pgc_call *call, bool anew, int64_t due_ms) {
  call->op.kind = PGC_OP_CLEAN_SLICE;
  call->op.u.slice.anew = anew;
  call->op.u.slice.due_ms = due_ms;
  call->op.u.slice.budget_us = SLICE_US;
  call->op.u.slice.lease_ms = LEASE_MS;
  return run_slice(call);
}

/* A pause after a slice that left something to do, if it is not too late for one. */
static void make_way(const pgc_call *call, pgc_deadline latest) {
  int64_t setting = call->cache->settings.cleanup_share, share = setting > DEMAND_SHARE ? setting : DEMAND_SHARE;
  int64_t spent_us = call->op.u.slice.spent_us, left_us = latest - pgc_monotonic_us();
  if (call->op.u.slice.finished || call->cache->borrows || spent_us <= 0 || left_us <= 0)
    return; /* in the application's transaction rows are locked until its end */
  int64_t pause_us = (spent_us < PAUSE_MAX_US ? spent_us : PAUSE_MAX_US) * (100 - share) / share;
  if (pause_us > PAUSE_MAX_US)
    pause_us = PAUSE_MAX_US;
  if (pause_us > left_us)
    pause_us = left_us;
  const struct timespec pause = {0, pause_us * 1000};
  int cancellable; /* it would be a cancellation point */
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
  nanosleep(&pause, NULL);
  pthread_setcancelstate(cancellable, NULL);
}

pgcache_status pgc_clean_part(pgc_call *call, int64_t next_block) {
  call->op.kind = PGC_OP_CLEANUP;
  call->op.u.part.next_block = next_block;
  call->op.u.part.removed = 0;
  return pgc_call_run(call);
}

/* Another janitor is at work, and may have passed what has expired since. A second walk beside it is safe, because both
   pass locked rows by; counting and evicting is left to the other one. */
static pgcache_status walk_alone(pgc_call *call, int64_t *removed) {
  int64_t next = 0;
  for (;;) {
    pgcache_status status = pgc_clean_part(call, next);
    if (status != PGCACHE_OK)
      return status;
    *removed += call->op.u.part.removed;
    next = call->op.u.part.next_block;
    if (call->op.u.part.finished)
      return PGCACHE_OK;
    if (pgc_deadline_poll_ms(call->op.deadline) == 0)
      return pgc_fail(call->error, PGCACHE_TIMEOUT, "the deadline passed before the whole table was looked at");
  }
}

pgcache_status pgc_clean_whole(pgc_call *call, int64_t *removed) {
  pgcache_error *error = call->error;
  pgcache_error failure = PGCACHE_ERROR_INIT; /* of slices that a walk alone makes good */
  bool anew = true;
  /* In the second half of its time it hurries. */
  int64_t now_us = pgc_monotonic_us();
  pgc_deadline half = now_us + (call->op.deadline - now_us) / 2;
  pgcache_status status;
  do {
    call->error = &failure;
    status = pgc_clean_slice(call, anew, 0);
    call->error = error;
    /* A role that is kept to some namespaces may not walk for all. */
    if (status == PGCACHE_DENIED || (status == PGCACHE_OK && call->op.u.slice.busy))
      return walk_alone(call, removed);
    if (status == PGCACHE_OK) {
      *removed += call->op.u.slice.removed;
      make_way(call, half);
    }
    anew = false;
  } while (status == PGCACHE_OK && !call->op.u.slice.finished);
  return status < 0 ? pgc_fail_sql(error, status, failure.sqlstate, "%s", failure.message) : status;
}

pgcache_status pgc_clean_some(pgc_call *call, pgcache_cleanup_progress *progress, int64_t budget_ms) {
  enum { STAGE_EVICTING = 2 };
  pgc_deadline end = pgc_deadline_in(budget_ms);
  bool anew = progress->restart != 0;
  pgcache_status status;
  do {
    status = pgc_clean_slice(call, anew, 0);
    if (status != PGCACHE_OK)
      return status;
    progress->busy = call->op.u.slice.busy;
    if (!progress->busy)
      progress->restart = 0;
    progress->finished = call->op.u.slice.finished;
    progress->evicting = call->op.u.slice.stage >= STAGE_EVICTING;
    progress->removed += call->op.u.slice.removed;
    progress->evicted += call->op.u.slice.evicted;
    progress->blocks_done = call->op.u.slice.blocks_done;
    progress->blocks = call->op.u.slice.blocks;
    anew = false;
    if (!progress->busy)
      make_way(call, end < call->op.deadline ? end : call->op.deadline);
  } while (!progress->busy && !progress->finished && pgc_deadline_poll_ms(end) != 0);
  return PGCACHE_OK;
}

bool pgc_clean_is_drawn(const pgcache *cache, pgc_op_kind written) {
  int64_t chance = cache->settings.cleanup_chance;
  return chance != 0 && written >= PGC_OP_PUT && written <= PGC_OP_FILL_LOAD &&
         pgc_random_u64() % (uint64_t)chance == 0;
}

/* For a role that may not walk for all: the next part of a walk of the handle's own. Two threads may do the same one. */
static pgcache_status short_part(pgc_call *call) {
  pgcache *cache = call->cache;
  pgcache_status status = pgc_clean_part(call, __atomic_load_n(&cache->own_walk_block, __ATOMIC_RELAXED));
  if (status != PGCACHE_OK)
    return status;
  bool finished = call->op.u.part.finished;
  __atomic_store_n(&cache->own_walk_block, finished ? 0 : call->op.u.part.next_block, __ATOMIC_RELAXED);
  if (finished)
    __atomic_store_n(&cache->own_walk_due_us, pgc_deadline_in(CHANCE_INTERVAL_MS), __ATOMIC_RELAXED);
  return PGCACHE_OK;
}

void pgc_clean_short_slice(pgcache *cache, const char *namespace_name, pgc_deadline latest) {
  pgc_deadline deadline = pgc_deadline_in(CHANCE_DEADLINE_MS);
  pgc_call call = {
      .cache = cache,
      .op = {.kind = PGC_OP_CLEAN_SLICE,
             .deadline = deadline < latest ? deadline : latest,
             .namespace_name = namespace_name,
             .u.slice = {.due_ms = CHANCE_INTERVAL_MS, .budget_us = CHANCE_SLICE_US, .lease_ms = CHANCE_LEASE_MS}}};
  if (pgc_deadline_poll_ms(__atomic_load_n(&cache->own_walk_due_us, __ATOMIC_RELAXED)) != 0)
    return;
  pgcache_status status = run_slice(&call);
  if (status == PGCACHE_DENIED)
    status = short_part(&call);
  if (status < 0)
    pgc_count(&cache->store->counters.cleanup_failures);
}
