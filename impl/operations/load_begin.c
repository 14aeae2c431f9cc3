/*
 * load_begin.c - see load.h. The call that asks for a lease, and waits for somebody else's load.
 *
 * One caller of a process leads the flight of a key: it asks the store, and if the lease is another process's, it asks
 * again when it is told that something became of it, or from time to time. The others wait for what the leader gets. A
 * caller whose time to wait is over asks the store itself, once: it gets what there is by then.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <pthread.h>

#include "operations/copies.h"
#include "operations/load.h"
#include "platform/sync.h"
#include "pure/error.h"

/* A call on its way. */
typedef struct quest {
  pgc_call *call;
  const pgc_load_plan *plan;
  pgcache_load *load;   /* made beforehand, so that a lease that was got cannot be lost for want of memory */
  pgc_flights *flights; /* NULL: there are none, and nobody waits */
  pgc_deadline wait_until;
  bool waited;
  int64_t asked_us; /* the store, on pgc_monotonic_us()'s clock */
} quest;

static pgcache_status failed(const quest *self, pgcache_status status, const pgcache_error *failure) {
  return pgc_fail_sql(self->call->error, status, failure->sqlstate, "%s", failure->message);
}

/* ---- Asking the store ---- */

static pgcache_status ask(quest *self, bool early, pgcache_error *failure) {
  pgc_call *call = self->call;
  pgcache_error *callers = call->error;
  pgc_load_set_question(self->load, &call->op.u.load, early);
  self->asked_us = pgc_monotonic_us();
  call->error = failure;
  pgcache_status status = pgc_call_run(call);
  call->error = callers;
  if (status < 0 && call->op.u.load.leased) { /* what came with the lease could not be taken in */
    pgc_load_begins(self->load, self->asked_us, NULL, NULL);
    (void)pgc_load_give_back(self->load);
  }
  return status;
}

/* Takes what was found from the call. */
static pgcache_value *take_found(quest *self) {
  pgcache_value *found = self->call->key.found;
  self->call->key.found = NULL;
  return found;
}

static void drop_found(quest *self) {
  pgcache_value *found = take_found(self);
  if (found != NULL)
    pgc_value_release(found);
}

/* The lease is ours, and with it, if it is not the whole answer, a value that the caller gets, too. */
static void take_lease(quest *self, pgcache_status status, pgc_flight *flight) {
  pgcache_value *found = self->call->key.found;
  if (status == PGCACHE_LEASE)
    self->call->key.found = NULL; /* it is for the load alone */
  else if (found != NULL)
    pgc_value_retain(found);
  if (found != NULL && !pgc_load_may_stand_in(self->plan, &self->call->op.u.load)) {
    pgc_value_release(found);
    found = NULL;
  }
  pgc_load_begins(self->load, self->asked_us, found, flight);
}

/* A fresh value was found that is to be refreshed early: asks for the lease. Whatever becomes of that, the value is
   what is given. */
static void refresh_early(quest *self) {
  pgcache_error ignored = PGCACHE_ERROR_INIT;
  pgcache_value *found = take_found(self);
  pgcache_status status = ask(self, true, &ignored);
  if (status >= 0 && self->call->op.u.load.leased)
    take_lease(self, PGCACHE_LEASE, NULL);
  drop_found(self);
  self->call->key.found = found;
}

/* The last word of the store. flight: that we lead, or NULL; it is over, or the load's. */
static pgcache_status conclude(quest *self, pgcache_status status, pgc_flight *flight) {
  pgc_call *call = self->call;
  const pgc_op_load answer = call->op.u.load;
  if (answer.leased)
    take_lease(self, status, status == PGCACHE_LEASE ? flight : NULL);
  else if (status == PGCACHE_OK && pgc_load_is_early(self->plan, answer.fresh_ms * 1000, answer.took_ms))
    refresh_early(self);
  if (status == PGCACHE_STALE)
    pgc_count(&call->cache->store->counters.load_stale);
  if (flight != NULL && self->load->flight != flight) {
    const pgc_landing landed = pgc_load_share(call->cache, status, &answer, call->key.found);
    pgc_flight_land(flight, &landed);
    pgc_flight_leave(self->flights, flight);
  }
  return status;
}

/* ---- Waiting ---- */

static bool is_closed(const quest *self) {
  return __atomic_load_n(&self->call->cache->closed, __ATOMIC_SEQ_CST);
}

static void note_wait(quest *self) {
  if (!self->waited)
    pgc_count(&self->call->cache->store->counters.load_waits);
  self->waited = true;
}

static bool is_over(const quest *self) {
  return pgc_monotonic_us() >= self->wait_until;
}

/* Asks the store until there is a last word, as the one of this process who does; flight NULL: as one whose time to
   wait is over. */
static pgcache_status lead(quest *self, pgc_flight *flight) {
  pgcache_error failure = PGCACHE_ERROR_INIT;
  pgcache_status status;
  for (int times = 0;; times++) {
    uint64_t turn = flight != NULL ? pgc_flight_turn(flight) : 0;
    bool last = flight == NULL || is_over(self);
    if (flight != NULL)
      (void)pgc_flight_sending(flight);
    status = ask(self, false, &failure);
    if (status < 0 || pgc_load_judge(self->plan, &status, &self->call->op.u.load) || last)
      break;
    drop_found(self);
    note_wait(self);
    pgc_deadline until =
        pgc_monotonic_us() + pgc_load_pause_us(self->call->cache, times, self->call->op.u.load.others_ms);
    pgc_landing none;
    pgc_flight_wait(flight, turn, until < self->wait_until ? until : self->wait_until, &none);
  }
  if (status >= 0)
    return conclude(self, status, flight);
  if (flight != NULL) {
    pgc_flight_land(flight, NULL);
    pgc_flight_leave(self->flights, flight);
  }
  return failed(self, status, &failure);
}

/* Waits for what the leader gets. True: the call has its answer in *status. False: it is to begin anew, or has no more
   time. */
static bool follow(quest *self, pgc_flight *flight, pgcache_status *status) {
  pgc_landing landed = {0};
  uint64_t turn = pgc_flight_turn(flight); /* before the look whether the handle was shut down, which wakes */
  bool closed = is_closed(self);
  if (!closed && !is_over(self)) {
    note_wait(self);
    pgc_flight_wait(flight, turn, self->wait_until, &landed);
  }
  pgc_flight_leave(self->flights, flight);
  if (closed) {
    *status = pgc_fail(self->call->error, PGCACHE_CLOSED, "the handle was shut down");
    return true;
  }
  self->call->key.found = landed.value;
  if (!pgc_load_takes(self->plan, &landed, status)) {
    drop_found(self);
    return false;
  }
  if (*status == PGCACHE_STALE)
    pgc_count(&self->call->cache->store->counters.load_stale);
  return true;
}

static pgcache_status find_out(quest *self) {
  for (;;) {
    bool leads = true;
    pgc_flight *flight = NULL;
    if (self->flights != NULL) {
      flight = pgc_flights_join(self->flights, &self->call->key.digest, &leads);
      if (flight == NULL)
        return pgc_fail_memory(self->call->error);
    }
    pgcache_status status;
    if (leads)
      return lead(self, flight);
    if (follow(self, flight, &status))
      return status;
    if (is_over(self))
      return lead(self, NULL);
  }
}

/* What the near cache answers is fresh. That it knows of no entry does not say who loads it. */
static bool find_near(pgc_call *call, const pgc_load_plan *plan, bool *early) {
  if (!pgc_copies_answer(call) || call->key.found == NULL)
    return false;
  const pgcache_value *found = call->key.found;
  if (plan->early_percent > 0 && found->expires_at_us != INT64_MAX)
    *early = pgc_load_is_early(plan, found->expires_at_us - pgc_now_us(), found->load_ms);
  return true;
}

/* The server failed, and the caller loads for himself alone [rule:on_error]; or is told. */
static pgcache_status soften(quest *self, pgcache_status status, const pgcache_error *failure) {
  pgcache *cache = self->call->cache;
  if (!cache->settings.failed_reads_miss || !pgc_failure_is_miss(status))
    return failed(self, status, failure);
  pgc_count(&cache->store->counters.reads_failed);
  pgc_load_begins_hollow(self->load);
  return PGCACHE_LEASE;
}

static pgcache_status ask_or_wait(quest *self) {
  pgc_store *store = self->call->cache->store;
  pgcache_error *callers = self->call->error, failure = PGCACHE_ERROR_INIT;
  self->wait_until = pgc_load_wait_until(self->plan, self->call->op.deadline);
  self->flights = store->flights != NULL ? store->flights(store) : NULL;
  self->call->error = &failure;
  pgcache_status status = find_out(self);
  self->call->error = callers;
  if (status < 0)
    status = soften(self, status, &failure);
  if (status != PGCACHE_OK && status != PGCACHE_STALE)
    drop_found(self);
  return status;
}

pgcache_status pgc_load_run(pgc_call *call, const pgc_load_plan *plan, pgcache_load **load) {
  bool early = false, near = find_near(call, plan, &early);
  if (near && !early) {
    call->measure.source = PGC_FROM_NEAR;
    return PGCACHE_OK;
  }
  pgc_call_start(call);
  pgc_call_take_digest(call);
  quest self = {.call = call, .plan = plan, .load = pgc_load_new(call, plan)};
  if (self.load == NULL)
    return near ? PGCACHE_OK : pgc_fail_memory(call->error);
  pgcache_status status = PGCACHE_OK;
  int cancellable;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
  if (near)
    refresh_early(&self);
  else
    status = ask_or_wait(&self);
  if (self.load->ended)
    pgc_load_drop(self.load);
  else
    *load = self.load;
  pthread_setcancelstate(cancellable, NULL);
  return status;
}
