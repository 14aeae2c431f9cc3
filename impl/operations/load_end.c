/*
 * load_end.c - see load.h. How a load ends: filled, failed or given back.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "operations/dependencies.h"
#include "operations/load.h"
#include "platform/sync.h"
#include "pure/error.h"

pgcache_status pgc_load_begin_end(pgc_call *call, pgcache_load *self, pgc_op_kind kind, const pgcache_options *options,
                                  pgcache_error *error) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (self == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "the load is NULL");
  if (self->fork_generation != pgc_fork_generation())
    return pgc_fail(error, PGCACHE_INVALID, "the load belongs to the process that forked this one, which ends it");
  if (self->ended)
    return pgc_fail(error, PGCACHE_INVALID, "the load has ended: by a fill, fail or abandon, or its lease was over");
  pgcache_status status = pgc_call_begin(call, self->cache, kind, options, error);
  if (status == PGCACHE_OK) {
    call->op.namespace_name = self->namespace_name;
    status = pgc_call_set_key(call, self->key, self->key_len);
  }
  if (status != PGCACHE_OK)
    return status;
  call->key.digest = self->digest;
  memcpy(call->op.u.load.token, self->token, sizeof call->op.u.load.token);
  return PGCACHE_OK;
}

static int64_t longer(int64_t left, int64_t right) {
  return left > right ? left : right;
}

/* ttl_ms less what the jitter takes. */
static int64_t jittered(const pgc_load_plan *plan) {
  if (plan->ttl_ms == PGCACHE_TTL_NEVER || plan->jitter_percent == 0)
    return plan->ttl_ms;
  int64_t most = plan->ttl_ms * plan->jitter_percent / 100;
  return plan->ttl_ms - (int64_t)(pgc_random_u64() % (uint64_t)(most + 1));
}

static int64_t measure(const pgcache_load *self) {
  int64_t took_ms = (pgc_monotonic_us() - self->began_us + 999) / 1000;
  return took_ms < INT32_MAX ? longer(took_ms, 1) : INT32_MAX;
}

pgcache_value *pgc_load_value(const pgc_call *call) {
  const pgc_op_key *key = &call->key;
  pgcache_value *made = pgc_value_new(key->value_len);
  if (made == NULL)
    return NULL;
  if (key->value_len > 0)
    memcpy(made->own, key->value, key->value_len);
  made->format = key->format;
  made->load_ms = (int32_t)call->op.u.load.load_ms;
  if (key->ttl_ms != PGCACHE_TTL_NEVER)
    made->expires_at_us = pgc_now_us() + key->ttl_ms * 1000; /* before it is sent: not later than the entry */
  return made;
}

/* For whoever had it loaded: also if it is not stored after all. */
static void keep(pgcache_load *self, const pgc_call *call, bool absent) {
  if (!self->keeps)
    return;
  if (self->kept != NULL)
    pgc_value_release(self->kept);
  self->absent = absent;
  self->kept = absent ? NULL : pgc_load_value(call);
  self->lost = !absent && self->kept == NULL;
}

pgcache_status pgc_load_set_value(pgc_call *call, pgcache_load *self, const void *value, size_t value_len,
                                  int32_t format) {
  call->op.u.load.load_ms = measure(self); /* before anything is done with the value */
  pgcache_status status = pgc_call_set_value(call, value, value_len, format);
  call->key.ttl_ms = jittered(&self->plan);
  call->op.u.load.keep_ms = longer(self->plan.stale_ms, self->plan.fail_safe_ms);
  if (status == PGCACHE_TOO_LARGE) {
    call->key.value = value;
    call->key.value_len = value_len;
    call->key.format = format;
  }
  if (status == PGCACHE_OK || status == PGCACHE_TOO_LARGE)
    keep(self, call, false);
  return status;
}

void pgc_load_set_absent(pgc_call *call, pgcache_load *self) {
  call->op.u.load.load_ms = measure(self);
  call->key.ttl_ms = self->plan.absent_ttl_ms;
  call->key.flags |= PGC_STORED_ABSENT;
  keep(self, call, true);
}

pgc_flight *pgc_load_end(pgcache_load *self) {
  pgc_flight *flight = self->flight;
  self->flight = NULL;
  self->ended = true;
  return flight;
}

void pgc_load_land(pgcache *cache, const pgc_digest *digest, pgc_flight *flight, pgc_op_kind kind,
                   pgcache_status status, pgcache_value *value) {
  pgc_store *store = cache->store;
  pgc_counters *counters = &store->counters;
  pgc_flights *flights = store->flights != NULL ? store->flights(store) : NULL;
  if (kind == PGC_OP_FILL_LOAD && status == PGCACHE_OK)
    pgc_count(&counters->load_fills);
  else if (kind == PGC_OP_FILL_LOAD && status == PGCACHE_REFUSED)
    pgc_count(&counters->load_fills_refused);
  if (flight != NULL) {
    const pgc_landing landed = pgc_load_share(cache, PGCACHE_OK, NULL, value);
    pgc_flight_land(flight, status == PGCACHE_OK ? &landed : NULL);
    pgc_flight_leave(flights, flight);
  }
  if (flights != NULL)
    pgc_flights_rouse(flights, digest);
}

/* ---- Calls ---- */

pgcache_status pgc_load_fill(pgc_call *call, pgcache_load *self) {
  bool absent = (call->key.flags & PGC_STORED_ABSENT) != 0;
  pgc_flight *flight = pgc_load_end(self);
  if (self->hollow)
    return PGCACHE_OK;
  pgcache_value *value = NULL;
  if (flight != NULL && pgc_flight_sending(flight) && !absent)
    value = pgc_load_value(call);
  pgcache_status status = pgc_call_run(call);
  if (value != NULL)
    value->version = call->key.version;
  if (status == PGCACHE_OK && self->kept != NULL)
    self->kept->version = call->key.version;
  pgc_load_land(self->cache, &self->digest, flight, PGC_OP_FILL_LOAD, status, value);
  if (value != NULL)
    pgc_value_release(value);
  return status;
}

/* Ends the load at the store with nothing; the caller has begun the call. */
static pgcache_status end_with_nothing(pgc_call *call, pgcache_load *self, int64_t throttle_ms) {
  pgc_flight *flight = pgc_load_end(self);
  if (self->hollow)
    return PGCACHE_OK;
  call->op.kind = PGC_OP_END_LOAD;
  memcpy(call->op.u.load.token, self->token, sizeof call->op.u.load.token);
  call->op.u.load.throttle_ms = throttle_ms;
  pgcache_status status = pgc_call_run(call);
  pgc_load_land(self->cache, &self->digest, flight, PGC_OP_END_LOAD, status, NULL);
  return status;
}

pgcache_status pgc_load_abandon(pgc_call *call, pgcache_load *self) {
  return end_with_nothing(call, self, 0);
}

pgcache_status pgc_load_give_back(pgcache_load *self) {
  pgc_call call;
  pgcache_status status = pgc_load_begin_end(&call, self, PGC_OP_END_LOAD, NULL, NULL);
  return status == PGCACHE_OK ? pgc_load_abandon(&call, self) : status;
}

/* What may stand in may have been invalidated since the load began, or filled by somebody else: the store is asked with the
   same token, for which the lease stays ours, or is taken again if nobody else has it. If it cannot be asked, what was found
   at the beginning has to do. */
static void look_again(pgc_call *call, pgcache_load *self) {
  pgc_load_set_question(self, &call->op.u.load, false);
  pgcache_error ignored = PGCACHE_ERROR_INIT, *callers = call->error;
  call->op.kind = PGC_OP_BEGIN_LOAD;
  call->error = &ignored;
  pgcache_status status = pgc_call_run(call);
  call->error = callers;
  if (status < 0)
    return;
  pgc_value_release(self->stale);
  self->stale = call->key.found;
  call->key.found = NULL;
}

pgcache_status pgc_load_fail(pgc_call *call, pgcache_load *self, pgcache_value **out) {
  pgc_count(&self->cache->store->counters.load_failures);
  if (self->stale != NULL)
    look_again(call, self);
  pgcache_status status = end_with_nothing(call, self, self->stale != NULL ? self->plan.throttle_ms : 0);
  *out = self->stale;
  self->stale = NULL;
  return status != PGCACHE_OK ? status : *out != NULL ? PGCACHE_STALE : PGCACHE_MISS;
}

pgcache_status pgc_load_give_up(pgcache_load *self, pgcache_value **out, const pgcache_options *options,
                                pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_load_begin_end(&call, self, PGC_OP_END_LOAD, options, error);
  return status == PGCACHE_OK ? pgc_load_fail(&call, self, out) : status;
}

pgcache_status pgc_load_set_lease(pgc_call *call, int64_t lease_ms) {
  if (lease_ms < 1 || lease_ms > PGCACHE_LEASE_MAX)
    return pgc_fail(call->error, PGCACHE_INVALID, "lease_ms must be 1 to %d", PGCACHE_LEASE_MAX);
  call->op.u.load.lease_ms = lease_ms;
  return PGCACHE_OK;
}

pgcache_status pgc_load_extend(pgc_call *call, pgcache_load *self) {
  if (self->hollow)
    return PGCACHE_OK;
  int64_t asked_us = pgc_monotonic_us(), lease_ms = call->op.u.load.lease_ms;
  pgcache_status status = pgc_call_run(call);
  if (status == PGCACHE_OK && self->flight != NULL)
    pgc_flight_lead_until(self->flight, asked_us + lease_ms * 1000);
  if (status == PGCACHE_REFUSED)
    pgc_load_land(self->cache, &self->digest, pgc_load_end(self), PGC_OP_EXTEND_LOAD, status, NULL);
  return status;
}
