/*
 * measure_requests.c - see measure.h. Requests: begun by who submits them, ended by the engine, told by who takes their completions.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "operations/measure.h"
#include "operations/measuring.h"

pgc_operation pgc_measure_operation_of(pgc_op_kind kind) {
  switch (kind) {
  case PGC_OP_GET:
    return PGC_OPERATION_GET;
  case PGC_OP_GET_MANY:
    return PGC_OPERATION_GET_MANY;
  case PGC_OP_EXISTS:
    return PGC_OPERATION_EXISTS;
  case PGC_OP_KEYS:
    return PGC_OPERATION_KEYS;
  case PGC_OP_STATS:
    return PGC_OPERATION_STATS;
  case PGC_OP_USAGE:
    return PGC_OPERATION_READ_USAGE;
  case PGC_OP_DOCTOR:
    return PGC_OPERATION_DOCTOR;
  case PGC_OP_BEGIN_LOAD:
    return PGC_OPERATION_LOAD_BEGIN;
  case PGC_OP_PUT:
    return PGC_OPERATION_PUT;
  case PGC_OP_ADD:
    return PGC_OPERATION_ADD;
  case PGC_OP_REPLACE:
    return PGC_OPERATION_REPLACE;
  case PGC_OP_COMPARE_AND_SWAP:
    return PGC_OPERATION_COMPARE_AND_SWAP;
  case PGC_OP_PUT_MANY:
    return PGC_OPERATION_PUT_MANY;
  case PGC_OP_REMOVE:
    return PGC_OPERATION_REMOVE;
  case PGC_OP_REMOVE_MANY:
    return PGC_OPERATION_REMOVE_MANY;
  case PGC_OP_TOUCH:
    return PGC_OPERATION_TOUCH;
  case PGC_OP_INCREMENT:
    return PGC_OPERATION_INCREMENT;
  case PGC_OP_INVALIDATE:
    return PGC_OPERATION_INVALIDATE;
  case PGC_OP_FLUSH_NAMESPACE:
  case PGC_OP_FLUSH_ALL:
    return PGC_OPERATION_FLUSH;
  case PGC_OP_CLEANUP:
    return PGC_OPERATION_CLEANUP;
  case PGC_OP_SET_LIMITS:
    return PGC_OPERATION_SET_LIMITS;
  case PGC_OP_INIT:
    return PGC_OPERATION_INIT;
  case PGC_OP_UPGRADE:
    return PGC_OPERATION_UPGRADE;
  default:
    return PGC_OPERATION_CLEANUP_SOME; /* of what can be submitted: CLEAN_SLICE */
  }
}

static size_t key_count_of(const pgc_request *request) {
  return request->items != NULL ? request->count : request->part_count;
}

void pgc_measure_submit(pgc_call *call, pgc_request *request) {
  pgc_measure *self = &call->measure;
  if (request->discarded)
    return;
  (void)pgc_measuring_of(call->cache);
  request->measured = (pgc_request_measure){.begun = true,
                                            .operation = self->operation,
                                            .span = pgc_measuring_span(call->cache, call->span_name),
                                            .began_ns = self->began_ns};
  if (pgc_audience_attends(&call->cache->audience) == 0)
    return;
  self->key_count = key_count_of(request);
  const pgcache_event event = pgc_measuring_event(call);
  request->measured.attended = pgc_audience_begin_request(&call->cache->audience, &event);
}

static bool is_near(const pgc_request *request) {
  return request->answered && pgc_operation_looks(request->measured.operation);
}

/* Of a completion that went ahead of its request nothing is known of the parts. */
static void note_items(pgc_ending *what, const pgc_request *request) {
  for (size_t i = 0; i < request->count; i++) {
    bool near = request->parts != NULL && request->parts[request->item_part[i]].answered;
    pgc_answerer source = near ? PGC_FROM_NEAR : PGC_FROM_STORE;
    what->hits[source] += request->items[i].status == PGCACHE_OK;
    what->misses[source] += request->items[i].status == PGCACHE_MISS;
  }
}

static int64_t add_values(pgcache *cache, const pgc_request *request) {
  const pgc_cell_name of = {
      .measured = PGC_SIZES, .operation = request->measured.operation, .span = request->measured.span};
  int64_t sum = -1;
  for (size_t i = 0; i < request->part_count; i++) {
    const pgc_part *part = &request->parts[i];
    if (!part->answered)
      sum = pgc_measuring_add_value(cache, &of, &part->key, request->kind, part->key.status, sum);
  }
  return sum;
}

/* It ended, with this status. */
static void end_request(pgcache *cache, pgc_request *request, pgcache_status status) {
  pgc_request_measure *self = &request->measured;
  pgc_ending what = {.operation = self->operation,
                     .outcome = pgc_measuring_outcome(self->operation, status, false),
                     .source = is_near(request) ? PGC_FROM_NEAR : PGC_FROM_STORE,
                     .span = self->span,
                     .duration_ns = pgc_monotonic_ns() - self->began_ns,
                     .times = 1};
  pgc_ending items = {0};
  if (request->items != NULL)
    note_items(&items, request);
  self->number = request->items != NULL ? items.hits[PGC_FROM_NEAR] + items.hits[PGC_FROM_STORE] : request->number;
  if (self->operation == PGC_OPERATION_GET_MANY) {
    memcpy(what.hits, items.hits, sizeof what.hits);
    memcpy(what.misses, items.misses, sizeof what.misses);
  } else {
    pgc_measuring_note_key(&what);
  }
  self->begun = false;
  self->near = what.source == PGC_FROM_NEAR;
  self->outcome = what.outcome;
  self->duration_ns = what.duration_ns;
  pgc_measuring_count(cache, &what);
}

void pgc_measure_completed(void *cache, pgc_request *request) {
  if (!request->measured.begun)
    return;
  request->measured.bytes = add_values(cache, request);
  end_request(cache, request, request->status);
}

static void tell_request(pgcache *cache, pgc_request *request, pgcache_status status, const pgcache_error *error) {
  pgc_request_measure *self = &request->measured;
  pgcache_event event = {.outcome = pgc_outcome_name(self->outcome),
                         .source = pgc_answerer_name(self->near ? PGC_FROM_NEAR : PGC_FROM_STORE),
                         .key_count = key_count_of(request),
                         .bytes = self->bytes,
                         .number = self->number,
                         .duration_ns = self->duration_ns};
  pgc_measuring_set_message(&event, status, error);
  if (error == NULL && status < 0 && request->message != NULL) {
    event.message = request->message;
    event.sqlstate = request->sqlstate;
  }
  pgc_attended *attended = self->attended;
  self->attended = NULL; /* whoever is told may take completions */
  pgc_audience_end_request(&cache->audience, attended, &event);
}

void pgc_measure_taken(void *cache, pgc_request *request) {
  if (request->measured.attended != NULL)
    tell_request(cache, request, request->status, NULL);
}

void pgc_measure_refused(pgcache *cache, pgc_request *request, pgcache_status status, const pgcache_error *error) {
  if (!request->measured.begun)
    return;
  request->measured.bytes = -1;
  end_request(cache, request, status);
  if (request->measured.attended != NULL)
    tell_request(cache, request, status, error);
}
