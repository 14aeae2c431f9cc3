/*
 * load_quest.c - see load_requests.h: how a load begins by a request. The same as load_begin.c, on the engine's thread,
 * where nobody waits: the part sleeps instead.
 *
 * One caller or request of a process leads the flight of a key and asks the store; the others sleep until the flight
 * lands, and share what it landed with, or begin anew. Whose time to wait is over asks once, by itself. A request that
 * is given up while its question is on its way gives the lease back that it may have got.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "operations/copies.h"
#include "operations/load_requests.h"
#include "operations/lobby.h"
#include "operations/room.h"
#include "pure/error.h"

/* What a request that asks for a lease has beside its part. All is made beforehand, so that what was got cannot be lost
   for want of memory. */
typedef struct quest {
  pgcache *cache;
  pgc_flights *flights; /* NULL: there are none, and nobody waits */
  pgc_lobby *lobby;
  pgc_load_plan plan;
  pgcache_load *load;     /* until it is the completion's */
  pgc_request *give_back; /* of the lease */
  pgc_flight *flight;     /* that it leads or follows, or NULL */
  bool leads;
  uint64_t turn;
  pgc_deadline wait_until;
  bool waited;
  bool last;            /* what it is told now is the last word */
  bool unsure;          /* the server may have given the lease */
  pgcache_value *fresh; /* what is given whatever becomes of the question, which is for an early refresh */
  int times;            /* the store was asked */
  int64_t asked_us, next_us;
} quest;

static void note_wait(quest *self) {
  if (!self->waited)
    pgc_count(&self->cache->store->counters.load_waits);
  self->waited = true;
}

static void leave_flight(quest *self, const pgc_landing *landed) {
  if (self->flight == NULL)
    return;
  if (self->leads)
    pgc_flight_land(self->flight, landed);
  pgc_flight_leave(self->flights, self->flight);
  self->flight = NULL;
  self->leads = false;
}

/* ---- Before it is sent ---- */

static int64_t give(pgc_part *part, pgcache_status status, pgcache_value *value) {
  part->answered = true;
  part->key.status = status;
  part->key.found = value;
  part->key.version = value != NULL ? value->version : 0;
  return 0;
}

/* Whether something became of the flight. What it landed with, if that was sent after this one came: *landed. */
static bool has_happened(const quest *self, pgc_landing *landed) {
  return pgc_flight_wait(self->flight, self->turn, 0, landed);
}

static int64_t lead(const quest *self, int64_t now_us) {
  pgc_landing nobodys = {0};
  bool goes = now_us >= self->next_us || has_happened(self, &nobodys);
  if (nobodys.value != NULL)
    pgc_value_release(nobodys.value);
  return goes ? 0 : self->next_us < self->wait_until ? self->next_us : self->wait_until;
}

/* Until when a follower sleeps at most: it is not told when the leader's time is over. */
static int64_t sleep_until(const quest *self) {
  pgc_deadline led = pgc_flight_led_until(self->flight);
  return led < self->wait_until ? led : self->wait_until;
}

static int64_t follow(quest *self, pgc_part *part) {
  for (;;) {
    pgcache_status status;
    pgc_landing landed = {0};
    if (self->flight != NULL && !has_happened(self, &landed))
      return sleep_until(self);
    leave_flight(self, NULL);
    if (pgc_load_takes(&self->plan, &landed, &status)) {
      if (status == PGCACHE_STALE)
        pgc_count(&self->cache->store->counters.load_stale);
      return give(part, status, landed.value);
    }
    if (landed.value != NULL)
      pgc_value_release(landed.value);
    self->flight = pgc_flights_join(self->flights, &part->key.digest, &self->leads);
    if (self->flight == NULL)
      return give(part, PGCACHE_NO_MEMORY, NULL);
    self->turn = pgc_flight_turn(self->flight);
    if (self->leads)
      return 0;
    note_wait(self);
  }
}

static int64_t when(pgc_request *request, pgc_part *part) {
  quest *self = request->load_context;
  int64_t now_us = pgc_monotonic_us();
  if (self->fresh != NULL)
    return 0;
  self->last = now_us >= self->wait_until;
  int64_t until;
  if (self->flights == NULL)
    until = now_us < self->next_us ? self->next_us : 0;
  else
    until = self->leads ? lead(self, now_us) : follow(self, part);
  if (self->last && !self->leads)
    leave_flight(self, NULL);
  return self->last ? 0 : until;
}

static void goes(pgc_request *request, pgc_part *part) {
  (void)part;
  quest *self = request->load_context;
  self->asked_us = pgc_monotonic_us();
  self->unsure = true;
  if (self->leads) {
    self->turn = pgc_flight_turn(self->flight);
    (void)pgc_flight_sending(self->flight);
  }
  pgc_load_set_question(self->load, request->u.load, self->fresh != NULL);
}

/* ---- Answers ---- */

/* The lease is ours, and the load goes with the completion. stale: whose reference the load takes over. */
static void take_lease(pgc_request *request, pgcache_value *stale, pgc_flight *flight) {
  quest *self = request->load_context;
  self->unsure = false;
  if (stale != NULL && !pgc_load_may_stand_in(&self->plan, request->u.load)) {
    pgc_value_release(stale);
    stale = NULL;
  }
  pgc_load_begins(self->load, self->asked_us, stale, flight);
  request->load = self->load;
  request->drop_load = pgc_lobby_drop;
  self->load = NULL;
  pgc_lobby_enter(self->lobby, request->load);
}

static pgcache_value *take_found(pgc_part *part) {
  pgcache_value *found = part->key.found;
  part->key.found = NULL;
  return found;
}

/* To the question for an early refresh: what is fresh is given all the same. */
static void end_early(pgc_request *request, pgc_part *part, bool leased) {
  quest *self = request->load_context;
  pgcache_value *found = take_found(part);
  if (leased)
    take_lease(request, found, NULL);
  else if (found != NULL)
    pgc_value_release(found);
  part->key.found = self->fresh;
  part->key.version = self->fresh->version;
  self->fresh = NULL;
}

/* The last word of the store. True: but it is asked for an early refresh. */
static bool conclude(pgc_request *request, pgc_part *part, pgcache_status status) {
  quest *self = request->load_context;
  const pgc_op_load *answer = request->u.load;
  pgcache_value *found = part->key.found;
  if (answer->leased) {
    bool leads = self->leads && status == PGCACHE_LEASE; /* a value that is given is given to others, too */
    pgc_flight *flight = leads ? self->flight : NULL;
    if (leads)
      self->flight = NULL;
    if (status == PGCACHE_LEASE)
      part->key.found = NULL; /* it is for the load alone */
    else if (found != NULL)
      pgc_value_retain(found);
    take_lease(request, found, flight);
  } else if (status == PGCACHE_OK && pgc_load_is_early(&self->plan, answer->fresh_ms * 1000, answer->took_ms)) {
    self->fresh = take_found(part);
  }
  if (status == PGCACHE_STALE)
    pgc_count(&self->cache->store->counters.load_stale);
  const pgc_landing landed = pgc_load_share(self->cache, status, answer, found);
  leave_flight(self, &landed);
  if (status != PGCACHE_OK && status != PGCACHE_STALE && part->key.found != NULL)
    pgc_value_release(take_found(part));
  return self->fresh != NULL;
}

static bool ask_again(pgc_request *request, pgc_part *part, pgcache_status *status) {
  quest *self = request->load_context;
  const pgc_op_load *answer = request->u.load;
  if (*status < 0)
    return false;
  self->unsure = answer->leased;
  if (self->fresh != NULL) {
    end_early(request, part, answer->leased);
    *status = PGCACHE_OK;
    return false;
  }
  if (pgc_load_judge(&self->plan, status, answer) || self->last)
    return conclude(request, part, *status);
  note_wait(self);
  self->next_us = pgc_monotonic_us() + pgc_load_pause_us(self->cache, self->times++, answer->others_ms);
  return true;
}

/* ---- Ends ---- */

static pgcache_status soften(pgc_request *request, pgcache_status status) {
  quest *self = request->load_context;
  if (self->fresh != NULL && pgc_failure_is_miss(status)) {
    request->values[0] = self->fresh;
    request->count = 1;
    self->fresh = NULL;
    return PGCACHE_OK;
  }
  if (self->load == NULL || !self->cache->settings.failed_reads_miss || !pgc_failure_is_miss(status))
    return status;
  pgc_count(&self->cache->store->counters.reads_failed);
  pgc_load_begins_hollow(self->load);
  request->load = self->load;
  request->drop_load = pgc_lobby_drop;
  self->load = NULL;
  return PGCACHE_LEASE;
}

static void given_back(pgc_request *request, pgc_part *part, pgcache_status status) {
  (void)status;
  pgc_flights_rouse(request->load_context, &part->key.digest);
}

/* The memory of the request lives on until its completion is freed: here goes all that is needed no longer. */
static void ended(pgc_request *request, pgc_part *part, pgcache_status status) {
  (void)part;
  quest *self = request->load_context;
  leave_flight(self, NULL);
  bool leased = self->unsure && (status < 0 || request->u.load->leased);
  if (!leased || pgc_engine_submit(request->engine, self->give_back, NULL, NULL) != PGCACHE_OK)
    pgc_request_free(self->give_back);
  self->give_back = NULL;
}

/* With soften(), which comes after ended(). */
static void let_go(pgc_request *request) {
  quest *self = request->load_context;
  pgc_request_free(self->give_back);
  pgc_load_drop(self->load);
  if (self->fresh != NULL)
    pgc_value_release(self->fresh);
}

static const pgc_guide guide = {
    .when = when, .goes = goes, .ask_again = ask_again, .soften = soften, .ended = ended, .let_go = let_go};
static const pgc_guide give_back_guide = {.ended = given_back};

/* ---- Submitting ---- */

/* NULL when out of memory. */
static pgc_request *make_give_back(pgc_call *call, const quest *of) {
  void *room;
  call->op.kind = PGC_OP_END_LOAD;
  pgc_request *request = pgc_request_make_key(call, 0, &room);
  call->op.kind = PGC_OP_BEGIN_LOAD;
  if (request == NULL)
    return NULL;
  request->callback.call = NULL;
  request->discarded = request->owed = true;
  request->deadline = pgc_deadline_in(call->cache->settings.timeout_ms);
  memcpy(request->u.load->token, of->load->token, sizeof of->load->token);
  if (of->flights != NULL) {
    request->load_context = of->flights;
    request->guide = &give_back_guide;
  }
  return request;
}

/* NULL when out of memory. fresh: see quest; taken over. */
static pgc_request *make_quest(pgc_call *call, const pgc_load_plan *plan, pgcache_value *fresh) {
  void *room;
  pgc_store *store = call->cache->store;
  pgc_request *request = pgc_request_make_key(call, sizeof(quest) + sizeof(pgcache_value *), &room);
  if (request == NULL) {
    if (fresh != NULL)
      pgc_value_release(fresh);
    return NULL;
  }
  quest *self = room;
  request->load_context = self;
  request->guide = &guide;
  request->values = (pgcache_value **)(void *)(self + 1);
  self->cache = call->cache;
  self->plan = *plan;
  self->fresh = fresh;
  self->flights = store->flights != NULL ? store->flights(store) : NULL;
  self->lobby = pgc_room_lobby(call->cache);
  self->load = pgc_load_new(call, plan);
  self->give_back = self->load != NULL ? make_give_back(call, self) : NULL;
  self->wait_until = pgc_load_wait_until(plan, call->op.deadline);
  if (self->give_back != NULL && self->lobby != NULL)
    return request;
  pgc_request_free(request);
  return NULL;
}

/* What the near cache answers is fresh. That it knows of no entry does not say who loads it. */
static pgcache_value *find_near(pgc_call *call) {
  pgc_copies_writes *writes = call->cache->borrows ? NULL : pgc_room_writes(call->cache);
  return writes != NULL && pgc_copies_answer_submitted(call, writes) ? call->key.found : NULL;
}

pgcache_status pgc_load_submit_begin(pgc_call *call, uint64_t *id, const pgc_load_plan *plan) {
  pgcache_value *near = find_near(call);
  bool early = near != NULL && near->expires_at_us != INT64_MAX &&
               pgc_load_is_early(plan, near->expires_at_us - pgc_now_us(), near->load_ms);
  pgc_call_take_digest(call);
  call->key.found = NULL;
  pgc_request *request;
  if (near != NULL && !early) {
    void *room;
    request = pgc_request_make_key(call, 0, &room);
    if (request != NULL) {
      request->answered = true;
      (void)give(&request->parts[0], PGCACHE_OK, near);
    } else {
      pgc_value_release(near);
    }
  } else {
    request = make_quest(call, plan, near);
  }
  return pgc_request_submit_parts(call, id, request);
}
