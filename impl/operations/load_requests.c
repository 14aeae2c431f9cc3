/*
 * load_requests.c - see load_requests.h: how a load ends by a request. How one begins is in load_quest.c.
 *
 * A load ends with the submission: its flight goes with the request, and lands when that has its answer.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/load_requests.h"

#include <string.h>

#include "operations/encoding.h"
#include "operations/lobby.h"
#include "operations/measure.h"
#include "operations/room.h"
#include "platform/memory.h"
#include "pure/error.h"

/* What a request that ends a load has beside its part. */
typedef struct ending {
  pgcache *cache;
  pgc_flight *flight;
  pgcache_value *value; /* for those who wait in this process, or NULL */
} ending;

static void ended(pgc_request *request, pgc_part *part, pgcache_status status) {
  const ending *self = request->load_context;
  if (self->value != NULL)
    self->value->version = part->key.version;
  pgc_load_land(self->cache, &part->key.digest, self->flight, request->kind, status, self->value);
  if (self->value != NULL)
    pgc_value_release(self->value);
}

static const pgc_guide end_guide = {.ended = ended};

pgcache_status pgc_load_begin_submitted_end(pgc_call *call, uint64_t *id, pgcache_load *load, pgc_op_kind kind,
                                            pgc_operation operation, const pgcache_options *options,
                                            pgcache_error *error) {
  if (id != NULL)
    *id = 0;
  pgcache_status status = pgc_load_begin_end(call, load, kind, options, error);
  call->measure.operation = operation;
  return status == PGCACHE_OK ? pgc_request_check(call) : status;
}

/* A request with the call's part, that lands the load's flight. NULL when out of memory. */
static pgc_request *make_end(pgc_call *call, const pgcache_load *load) {
  void *room;
  pgc_request *request = pgc_request_make_key(call, sizeof(ending), &room);
  if (request == NULL)
    return NULL;
  ending *self = room;
  self->cache = load->cache;
  self->flight = load->flight;
  request->load_context = self;
  request->guide = &end_guide;
  request->parts[0].answered = request->answered = load->hollow;
  return request;
}

/* Submits what changes no entry, and so concerns no copies; it is gone afterwards. NULL: out of memory. */
static pgcache_status submit_plainly(pgc_call *call, uint64_t *id, pgc_request *request) {
  return request != NULL ? pgc_request_hand(call, id, request) : pgc_fail_memory(call->error);
}

/* For those who wait; before it is encoded. */
static void share_value(const pgc_call *call, const pgcache_load *load, pgcache_value **shared) {
  bool absent = (call->key.flags & PGC_STORED_ABSENT) != 0;
  if (load->flight != NULL && pgc_flight_sending(load->flight) && !absent)
    *shared = pgc_load_value(call);
}

pgcache_status pgc_load_submit_end(pgc_call *call, uint64_t *id, pgcache_load *load) {
  pgcache_value *shared = NULL;
  bool fills = call->op.kind == PGC_OP_FILL_LOAD;
  bool encodes = fills && (call->key.flags & PGC_STORED_ABSENT) == 0 && !load->hollow;
  pgcache_status status = PGCACHE_OK;
  if (fills)
    share_value(call, load, &shared);
  if (encodes)
    status = pgc_encode(&call->cache->encoding, call->op.namespace_name, &call->key, call->error);
  pgc_request *request = status == PGCACHE_OK ? make_end(call, load) : NULL;
  if (request != NULL)
    ((ending *)request->load_context)->value = shared;
  if (status == PGCACHE_OK)
    status = fills ? pgc_request_submit_parts(call, id, request) : submit_plainly(call, id, request);
  if (status == PGCACHE_OK)
    (void)pgc_load_end(load); /* its flight is the request's */
  else if (shared != NULL)
    pgc_value_release(shared);
  return status;
}

/* Nobody knows whether the load is still there when the answer comes. So its flight is led for longer from now on, which holds up
   nobody beyond the time that was asked for; that the lease was over the fill is told. */
pgcache_status pgc_load_submit_extend(pgc_call *call, uint64_t *id, pgcache_load *load) {
  void *room;
  pgc_deadline until = pgc_monotonic_us() + call->op.u.load.lease_ms * 1000;
  pgc_request *request = pgc_request_make_key(call, 0, &room);
  if (request != NULL)
    request->parts[0].answered = request->answered = load->hollow;
  pgcache_status status = submit_plainly(call, id, request);
  if (status == PGCACHE_OK && load->flight != NULL)
    pgc_flight_lead_until(load->flight, until);
  return status;
}

bool pgc_load_submit_give_back(pgcache_load *load) {
  pgc_call call;
  if (load->hollow)
    return true;
  pgcache_status status = pgc_load_begin_end(&call, load, PGC_OP_END_LOAD, NULL, NULL);
  pgc_request *request = status == PGCACHE_OK ? make_end(&call, load) : NULL;
  if (request == NULL)
    return false;
  request->discarded = request->owed = true;
  if (submit_plainly(&call, NULL, request) != PGCACHE_OK)
    return false;
  (void)pgc_load_end(load);
  return true;
}

/* ---- A load that failed: several statements, one after the other, on a thread where that may wait ---- */

static pgcache_status run_fail(pgc_request *request, pgcache_error *error) {
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  options.deadline_ms = pgc_deadline_left_ms(request->deadline);
  pgcache_status status = pgc_load_give_up(request->load, &request->values[0], &options, error);
  request->count = request->values[0] != NULL;
  return status;
}

/* The same load, whose flight is the original's still. NULL when out of memory. */
static pgcache_load *copy_of(const pgcache_load *load) {
  pgcache_load *copy = pgc_alloc(sizeof *copy + load->key_len);
  if (copy == NULL)
    return NULL;
  memcpy(copy, load, sizeof *copy + load->key_len);
  if (copy->stale != NULL)
    pgc_value_retain(copy->stale);
  copy->keeps = false;
  copy->kept = NULL;
  return copy;
}

/* The load goes with the request; if that never runs the load is abandoned with its completion. */
pgcache_status pgc_load_submit_fail(pgc_call *call, uint64_t *id, pgcache_load *load) {
  void *room;
  pgc_lobby *lobby = pgc_room_lobby(call->cache);
  pgc_request *request = lobby != NULL ? pgc_request_make(call, sizeof(pgcache_value *), &room) : NULL;
  pgcache_load *copy = request != NULL ? copy_of(load) : NULL;
  if (copy == NULL) {
    pgc_request_free(request);
    return pgc_fail_memory(call->error);
  }
  request->values = room;
  request->run = run_fail;
  request->load = copy;
  request->drop_load = pgc_lobby_drop;
  pgc_lobby_enter(lobby, copy);
  pgc_engine *engine;
  pgc_measure_submit(call, request);
  pgcache_status status = pgc_room_engine(call->cache, &engine, call->error);
  if (status == PGCACHE_OK)
    status = pgc_engine_submit(engine, request, id, call->error);
  (void)pgc_load_end(status == PGCACHE_OK ? load : copy); /* the other one goes on, with the flight */
  if (status != PGCACHE_OK) {
    pgc_measure_refused(call->cache, request, status, call->error);
    pgc_request_free(request);
  }
  return status;
}
