/*
 * measure.c - see measure.h. Calls. A clock is read only where a call costs many times as much.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/measure.h"

#include <string.h>

#include "operations/measuring.h"
#include "platform/sync.h"
#include "pure/status.h"

static _Thread_local int muted;

void pgc_measure_mute(void) {
  muted++;
}

void pgc_measure_unmute(void) {
  muted--;
}

/* A generator of its own for each thread: a random number for less than a nanosecond. */
bool pgc_measure_is_timed(void) {
  static _Thread_local uint64_t state;
  if (state == 0)
    state = pgc_random_u64() | 1;
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return state >> 58 == 0;
}

pgcache_event pgc_measuring_event(const pgc_call *call) {
  bool single = call->op.keys == &call->key && call->measure.key_count == 1;
  return (pgcache_event){.operation = pgc_operation_name(call->measure.operation),
                         .namespace_name = call->op.namespace_name,
                         .span_name = call->span_name,
                         .key = single ? call->key.key : NULL,
                         .key_len = single ? call->key.key_len : 0,
                         .key_count = call->measure.key_count,
                         .bytes = -1};
}

static void begin_told(pgc_call *call) {
  const pgcache_event event = pgc_measuring_event(call);
  if (call->measure.began_ns == 0)
    call->measure.began_ns = pgc_monotonic_ns();
  pgc_audience_begin(&call->cache->audience, &call->measure.attended, &event);
}

void pgc_measure_begin_many(pgc_call *call, pgc_operation operation, size_t key_count) {
  pgc_measure *self = &call->measure;
  self->operation = operation;
  self->key_count = key_count;
  self->bytes = -1;
  self->begun = muted == 0;
  if (!self->begun)
    return;
  (void)pgc_measuring_of(call->cache); /* a forked child's begins with what the counters are before its first call */
  if (pgc_audience_attends(&call->cache->audience) != 0) {
    begin_told(call);
  } else if (self->began_ns == 0 && pgc_measure_is_timed()) {
    self->sampled = true;
    self->began_ns = pgc_monotonic_ns();
  }
}

void pgc_measure_begin(pgc_call *call, pgc_operation operation) {
  pgc_measure_begin_many(call, operation, call->op.count);
}

void pgc_measuring_set_message(pgcache_event *event, pgcache_status status, const pgcache_error *error) {
  bool told = error != NULL && error->status == status;
  event->status = status;
  if (status < 0) {
    event->message = told ? error->message : pgc_status_text(status);
    event->sqlstate = told ? error->sqlstate : "";
  }
}

static void end_told(const pgc_call *call, pgcache_status status, const pgc_ending *what) {
  const pgc_measure *self = &call->measure;
  pgcache_event event = pgc_measuring_event(call);
  event.outcome = pgc_outcome_name(what->outcome);
  event.source = pgc_answerer_name(self->source);
  event.bytes = self->bytes;
  event.number = self->number;
  event.duration_ns = what->duration_ns;
  pgc_measuring_set_message(&event, status, call->error);
  pgc_audience_end(&call->cache->audience, &self->attended, &event);
}

pgcache_status pgc_measure_end(pgc_call *call, pgcache_status status) {
  pgc_measure *self = &call->measure;
  if (!self->begun)
    return status;
  self->begun = false;
  pgc_ending what = {.operation = self->operation,
                     .outcome = pgc_measuring_outcome(self->operation, status, self->loaded),
                     .source = self->source,
                     .span = pgc_measuring_span(call->cache, call->span_name)};
  if (self->began_ns != 0) {
    what.duration_ns = pgc_monotonic_ns() - self->began_ns;
    what.times = self->sampled && self->source == PGC_FROM_NEAR ? PGC_MEASURE_ONE_OF : 1;
  }
  if (self->operation == PGC_OPERATION_GET_MANY) {
    memcpy(what.hits, self->hits, sizeof what.hits);
    memcpy(what.misses, self->misses, sizeof what.misses);
  } else {
    pgc_measuring_note_key(&what);
  }
  if (self->source == PGC_FROM_NEAR && call->key.found != NULL) {
    self->bytes = call->key.found->size;
    if (self->operation == PGC_OPERATION_GET)
      PGC_PROBE_NEAR_HIT(call->op.namespace_name);
  }
  if (self->operation != PGC_OPERATION_PEEK || status == PGCACHE_OK)
    pgc_measuring_count(call->cache, &what);
  if (self->attended.noticed)
    end_told(call, status, &what);
  return status;
}

pgcache_status pgc_measure_run(pgc_call *call, pgc_operation operation) {
  pgc_measure_begin(call, operation);
  return pgc_measure_end(call, pgc_call_run(call));
}

void pgc_measure_values(pgc_call *call, pgcache_status status) {
  const pgc_op *op = &call->op;
  bool many = op->keys != &call->key;
  pgc_cell_name of = {.measured = PGC_SIZES, .operation = call->measure.operation};
  if (op->count > 0)
    of.span = pgc_measuring_span(call->cache, call->span_name);
  for (size_t i = 0; i < op->count; i++)
    call->measure.bytes = pgc_measuring_add_value(call->cache, &of, &op->keys[i], op->kind,
                                                  many ? op->keys[i].status : status, call->measure.bytes);
}

void pgc_measure_near(pgcache *cache, pgc_operation operation, pgcache_status status, int64_t began_ns) {
  const pgc_cell_name of = {.measured = PGC_DURATIONS,
                            .operation = operation,
                            .outcome = pgc_measuring_outcome(operation, status, false),
                            .source = PGC_FROM_NEAR};
  pgc_measuring_add(cache, &of, pgc_monotonic_ns() - began_ns, PGC_MEASURE_ONE_OF);
}

/* ---- Beside operations ---- */

void pgc_measure_flushed(pgcache *cache, int64_t removed) {
  pgc_measuring_add(cache, &(pgc_cell_name){.measured = PGC_ENTRIES, .operation = PGC_OPERATION_FLUSH}, removed, 1);
}

void pgc_measure_cleaned(pgcache *cache, int64_t removed, bool whole) {
  pgc_measuring *here = pgc_measuring_of(cache);
  pgc_measuring_add(cache, &(pgc_cell_name){.measured = PGC_ENTRIES, .operation = PGC_OPERATION_CLEANUP}, removed, 1);
  if (here != NULL && whole)
    __atomic_store_n(&here->cleaned_at_us, pgc_wall_us(), __ATOMIC_RELAXED);
}
