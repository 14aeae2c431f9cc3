/*
 * load.c - see load.h. What a load is, and what the store's answers mean; without waiting for anything.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/load.h"

#include <string.h>

#include "operations/copies.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/backoff.h"
#include "pure/early.h"
#include "pure/error.h"
#include "pure/sizes.h"

/* Where the change stream tells of a load's end, asking is for the case that it does not; elsewhere asking is all there is. */
#define PAUSE_FIRST_US 5000
#define PAUSE_MAX_US 100000
#define PAUSE_HEARING_FIRST_US 100000
#define PAUSE_HEARING_MAX_US 1000000
/* However little another's lease still lasts. */
#define PAUSE_MIN_US 1000

/* So much of a call's time, but a tenth at most, is left to ask the store once more when somebody else's load did not end. */
#define LAST_WORD_US 100000

/* The last field of the first version's required part. */
#define FIRST_FIELD ttl_ms

/* ---- Options ---- */

static pgcache_status read_options(pgc_call *call, pgcache_load_options *out, const pgcache_load_options *how) {
  *out = (pgcache_load_options)PGCACHE_LOAD_OPTIONS_INIT;
  if (how == NULL)
    return PGCACHE_OK;
  size_t size = how->struct_size;
  if (!PGC_HOLDS(pgcache_load_options, size, FIRST_FIELD))
    return pgc_fail(call->error, PGCACHE_INVALID,
                    "load options: struct_size is not set; use PGCACHE_LOAD_OPTIONS_INIT");
  /* Whole fields alone: each is as long as the first, but for the last two, which are half as long. */
  const size_t halves = offsetof(pgcache_load_options, jitter_percent);
  size_t whole = size > halves ? size / sizeof(int32_t) * sizeof(int32_t) : size / sizeof(int64_t) * sizeof(int64_t);
  memcpy(out, how, whole < sizeof *out ? whole : sizeof *out);
  return PGCACHE_OK;
}

static pgcache_status check(pgc_call *call, const pgcache_load_options *how) {
  pgcache_error *error = call->error;
  if (how->stale_ms < 0 || how->fail_safe_ms < 0 || how->throttle_ms < 0)
    return pgc_fail(error, PGCACHE_INVALID, "load options: stale_ms, fail_safe_ms or throttle_ms is negative");
  if (how->absent_ttl_ms < 0)
    return pgc_fail(error, PGCACHE_INVALID,
                    "load options: absent_ttl_ms is negative; use 0 for not at all, or PGCACHE_TTL_NEVER");
  if (how->lease_ms < 1 || how->lease_ms > PGCACHE_LEASE_MAX)
    return pgc_fail(error, PGCACHE_INVALID, "load options: lease_ms must be 1 to %d", PGCACHE_LEASE_MAX);
  if (how->wait_ms < 0 && how->wait_ms != PGCACHE_DEADLINE_DEFAULT)
    return pgc_fail(error, PGCACHE_INVALID,
                    "load options: wait_ms is negative; use PGCACHE_DEADLINE_DEFAULT for until the deadline");
  if (how->jitter_percent < 0 || how->jitter_percent > 50)
    return pgc_fail(error, PGCACHE_INVALID, "load options: jitter_percent must be 0 to 50");
  if (how->early_percent < 0 || how->early_percent > 1000)
    return pgc_fail(error, PGCACHE_INVALID, "load options: early_percent must be 0 to 1000");
  return PGCACHE_OK;
}

static int64_t at_most(int64_t ms) {
  return ms < PGCACHE_TTL_MAX ? ms : PGCACHE_TTL_MAX;
}

pgcache_status pgc_load_set_plan(pgc_call *call, pgc_load_plan *plan, const pgcache_load_options *how) {
  pgcache_load_options read;
  pgcache_status status = read_options(call, &read, how);
  if (status == PGCACHE_OK)
    status = check(call, &read);
  if (status == PGCACHE_OK)
    status = pgc_call_set_ttl(call, read.ttl_ms);
  if (status != PGCACHE_OK)
    return status;
  *plan = (pgc_load_plan){.ttl_ms = call->key.ttl_ms,
                          .stale_ms = at_most(read.stale_ms),
                          .fail_safe_ms = at_most(read.fail_safe_ms),
                          .throttle_ms = at_most(read.throttle_ms),
                          .absent_ttl_ms =
                              read.absent_ttl_ms == PGCACHE_TTL_NEVER ? PGCACHE_TTL_NEVER : at_most(read.absent_ttl_ms),
                          .lease_ms = read.lease_ms,
                          .wait_ms = read.wait_ms == PGCACHE_DEADLINE_DEFAULT ? INT64_MAX : read.wait_ms,
                          .jitter_percent = read.jitter_percent,
                          .early_percent = read.early_percent};
  return PGCACHE_OK;
}

/* ---- A load ---- */

pgcache_load *pgc_load_new(const pgc_call *call, const pgc_load_plan *plan) {
  pgcache_load *self = pgc_alloc_zero(sizeof *self + call->key.key_len);
  if (self == NULL)
    return NULL;
  self->cache = call->cache;
  self->fork_generation = pgc_fork_generation();
  self->plan = *plan;
  memcpy(self->namespace_name, call->op.namespace_name, strlen(call->op.namespace_name));
  self->digest = call->key.digest;
  do { /* the all-zero token is the server's own */
    pgc_store_u64(self->token, pgc_random_u64());
    pgc_store_u64(self->token + 8, pgc_random_u64());
  } while (pgc_load_u64(self->token) == 0);
  self->ended = true;
  self->key_len = call->key.key_len;
  memcpy(self->key, call->key.key, self->key_len);
  return self;
}

void pgc_load_drop(pgcache_load *self) {
  if (self == NULL)
    return;
  if (self->stale != NULL)
    pgc_value_release(self->stale);
  if (self->kept != NULL)
    pgc_value_release(self->kept);
  pgc_free(self);
}

void pgc_load_begins(pgcache_load *self, int64_t asked_us, pgcache_value *stale, pgc_flight *flight) {
  pgc_count(&self->cache->store->counters.loads);
  self->ended = false;
  self->stale = stale;
  self->flight = flight;
  self->began_us = pgc_monotonic_us();
  if (flight != NULL)
    pgc_flight_lead_until(flight, asked_us + self->plan.lease_ms * 1000);
}

void pgc_load_begins_hollow(pgcache_load *self) {
  self->ended = false;
  self->hollow = true;
  self->began_us = pgc_monotonic_us();
}

/* ---- Asking ---- */

void pgc_load_set_question(const pgcache_load *self, pgc_op_load *question, bool early) {
  *question = (pgc_op_load){.lease_ms = self->plan.lease_ms, .early = early};
  memcpy(question->token, self->token, sizeof question->token);
}

bool pgc_load_judge(const pgc_load_plan *plan, pgcache_status *status, const pgc_op_load *answer) {
  if (*status == PGCACHE_STALE && answer->stale_ms > plan->stale_ms) {
    if (answer->leased)
      *status = PGCACHE_LEASE;
    else if (!pgc_load_may_stand_in(plan, answer))
      *status = PGCACHE_BUSY;
    else if (!answer->failed) /* somebody is loading it: that is better, if it does not take too long */
      return false;
  }
  return *status != PGCACHE_BUSY;
}

bool pgc_load_may_stand_in(const pgc_load_plan *plan, const pgc_op_load *answer) {
  return answer->stale_ms <= plan->stale_ms || answer->stale_ms <= plan->fail_safe_ms;
}

bool pgc_load_is_early(const pgc_load_plan *plan, int64_t left_us, int64_t took_ms) {
  return plan->early_percent > 0 && took_ms > 0 &&
         pgc_early_is_drawn(left_us, took_ms, plan->early_percent, pgc_random_u64());
}

pgc_deadline pgc_load_wait_until(const pgc_load_plan *plan, pgc_deadline deadline) {
  int64_t now = pgc_monotonic_us();
  if (deadline != PGC_NO_DEADLINE && deadline > now) {
    int64_t tenth = (deadline - now) / 10;
    deadline -= tenth < LAST_WORD_US ? tenth : LAST_WORD_US;
  }
  pgc_deadline until = plan->wait_ms < INT64_MAX ? pgc_deadline_in(plan->wait_ms) : PGC_NO_DEADLINE;
  return until < deadline ? until : deadline;
}

pgc_landing pgc_load_share(const pgcache *cache, pgcache_status status, const pgc_op_load *answer,
                           pgcache_value *found) {
  if (cache->borrows)
    return (pgc_landing){0};
  if (status == PGCACHE_STALE)
    return (pgc_landing){.value = found, .failed = answer->failed, .stale_ms = answer->stale_ms};
  return (pgc_landing){.value = status == PGCACHE_OK ? found : NULL, .absent = status == PGCACHE_MISS};
}

bool pgc_load_takes(const pgc_load_plan *plan, const pgc_landing *landed, pgcache_status *status) {
  const pgc_op_load answer = {.failed = landed->failed, .stale_ms = landed->stale_ms};
  *status = landed->absent ? PGCACHE_MISS : landed->stale_ms > 0 ? PGCACHE_STALE : PGCACHE_OK;
  return landed->absent || (landed->value != NULL && pgc_load_judge(plan, status, &answer));
}

int64_t pgc_load_pause_us(pgcache *cache, int times, int64_t others_ms) {
  pgc_near *near = pgc_copies_of(cache, true);
  bool hears = near != NULL && pgc_near_valid_until(near) > pgc_now_us();
  int64_t pause = pgc_backoff_us(times, hears ? PAUSE_HEARING_FIRST_US : PAUSE_FIRST_US,
                                 hears ? PAUSE_HEARING_MAX_US : PAUSE_MAX_US, pgc_random_u64());
  if (others_ms < PAUSE_HEARING_MAX_US / 1000 && pause > others_ms * 1000)
    pause = others_ms * 1000;
  return pause > PAUSE_MIN_US ? pause : PAUSE_MIN_US;
}
