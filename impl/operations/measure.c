/*
 * measure.c - see measure.h. All counting is by atomic operations on cells that are looked up without a lock; a clock is read only
 * where a call costs many times as much.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "operations/measuring.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"
#include "pure/status.h"

/* ---- What a process has ---- */

static void measuring_free(pgc_measuring *self) {
  while (self != NULL) {
    pgc_measuring *parents = self->parents;
    pgc_meters_free(self->meters);
    pgc_free(self);
    self = parents;
  }
}

static void set_origin(pgc_measuring *self) {
  char host[100];
  if (gethostname(host, sizeof host) != 0)
    host[0] = '\0';
  host[sizeof host - 1] = '\0';
  (void)snprintf(self->origin, sizeof self->origin, "%s/%ld/%08" PRIx32, host, (long)getpid(),
                 (uint32_t)pgc_random_u64());
}

/* parents: whose counters go on in this process, or NULL. */
static pgc_measuring *measuring_new(const pgcache *cache, pgc_measuring *parents) {
  pgc_measuring *self = pgc_alloc_spare(sizeof *self);
  if (self == NULL)
    return NULL;
  self->meters = pgc_meters_new();
  if (self->meters == NULL) {
    pgc_free(self);
    return NULL;
  }
  self->fork_generation = pgc_fork_generation();
  set_origin(self);
  if (parents != NULL)
    pgc_counters_read(&self->before, &cache->store->counters);
  return self;
}

pgc_measuring *pgc_measuring_of(pgcache *cache) {
  pgc_measuring *known = __atomic_load_n(&cache->measuring, __ATOMIC_ACQUIRE);
  if (known != NULL && known->fork_generation == pgc_fork_generation())
    return known;
  pgc_measuring *fresh = measuring_new(cache, known);
  if (fresh == NULL)
    return NULL;
  fresh->parents = known; /* somebody may be looking at it; it goes with the handle */
  if (__atomic_compare_exchange_n(&cache->measuring, &known, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return fresh;
  fresh->parents = NULL; /* another thread was first */
  measuring_free(fresh);
  return known;
}

void pgc_measure_free(pgcache *cache) {
  measuring_free(cache->measuring);
}

/* ---- Counting ---- */

static void add(pgcache *cache, const pgc_cell_name *of, int64_t value, int64_t times) {
  pgc_measuring *here = pgc_measuring_of(cache);
  pgc_cell *cell = here != NULL ? pgc_meters_cell(here->meters, of) : NULL;
  if (cell != NULL)
    pgc_histogram_add(&cell->histogram, value, times);
}

/* What is known of an operation at its end. */
typedef struct ending {
  pgc_operation operation;
  pgc_outcome outcome;
  pgc_answerer source;
  int span;
  int64_t duration_ns, times; /* it stands for so many; 0: it was not taken */
  int64_t hits[PGC_ANSWERERS], misses[PGC_ANSWERERS];
} ending;

static void count_keys(pgc_cell *cell, const ending *what) {
  for (int i = 0; i < PGC_ANSWERERS; i++) {
    if (what->hits[i] != 0)
      pgc_count_more(&cell->hits[i], what->hits[i]);
    if (what->misses[i] != 0)
      pgc_count_more(&cell->misses[i], what->misses[i]);
  }
}

static void count(pgcache *cache, const ending *what) {
  pgc_measuring *here = pgc_measuring_of(cache);
  if (here == NULL)
    return;
  const pgc_cell_name of = {.measured = PGC_DURATIONS,
                            .operation = what->operation,
                            .outcome = what->outcome,
                            .source = what->source,
                            .span = what->span};
  pgc_cell *cell = pgc_meters_cell(here->meters, &of);
  if (cell == NULL)
    return;
  count_keys(cell, what);
  if (what->times != 0)
    pgc_histogram_add(&cell->histogram, what->duration_ns, what->times);
}

/* loaded: see pgc_measure. */
static pgc_outcome outcome_of(pgc_operation operation, pgcache_status status, bool loaded) {
  bool looks = pgc_operation_looks(operation) && operation != PGC_OPERATION_GET_MANY;
  return status == PGCACHE_OK && looks && !loaded ? PGC_OUTCOME_HIT : (pgc_outcome)status;
}

/* Of an operation on one key: a value that is given without having been loaded is a hit. */
static void note_key(ending *what) {
  if (!pgc_operation_looks(what->operation) || what->outcome < 0)
    return;
  bool hit = what->outcome == PGC_OUTCOME_HIT || what->outcome == PGCACHE_STALE;
  (hit ? what->hits : what->misses)[what->source]++;
}

static int span_of(pgcache *cache, const char *span_name) {
  if (span_name[0] == '\0')
    return PGC_SPAN_NONE;
  pgc_measuring *here = pgc_measuring_of(cache);
  return here != NULL ? pgc_meters_span(here->meters, span_name) : PGC_SPAN_OTHER;
}

/* Counts the value of a key that was written or read with this status, in its size as stored. Gives the sum with those before; -1:
   there was none yet. */
static int64_t add_value(pgcache *cache, const pgc_cell_name *of, const pgc_op_key *key, pgc_op_kind kind,
                         pgcache_status status, int64_t sum) {
  bool stores = pgc_op_stores(kind);
  bool there = stores ? status == PGCACHE_OK && (key->flags & PGC_STORED_ABSENT) == 0 : key->found != NULL;
  if (!there)
    return sum;
  int64_t size = (int64_t)(stores ? key->value_len : key->stored_size);
  add(cache, of, size, 1);
  return (sum < 0 ? 0 : sum) + size;
}

/* ---- Calls ---- */

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

static pgcache_event event_of(const pgc_call *call) {
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
  const pgcache_event event = event_of(call);
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

static void set_message(pgcache_event *event, pgcache_status status, const pgcache_error *error) {
  bool told = error != NULL && error->status == status;
  event->status = status;
  if (status < 0) {
    event->message = told ? error->message : pgc_status_text(status);
    event->sqlstate = told ? error->sqlstate : "";
  }
}

static void end_told(const pgc_call *call, pgcache_status status, const ending *what) {
  const pgc_measure *self = &call->measure;
  pgcache_event event = event_of(call);
  event.outcome = pgc_outcome_name(what->outcome);
  event.source = pgc_answerer_name(self->source);
  event.bytes = self->bytes;
  event.number = self->number;
  event.duration_ns = what->duration_ns;
  set_message(&event, status, call->error);
  pgc_audience_end(&call->cache->audience, &self->attended, &event);
}

pgcache_status pgc_measure_end(pgc_call *call, pgcache_status status) {
  pgc_measure *self = &call->measure;
  if (!self->begun)
    return status;
  self->begun = false;
  ending what = {.operation = self->operation,
                 .outcome = outcome_of(self->operation, status, self->loaded),
                 .source = self->source,
                 .span = span_of(call->cache, call->span_name)};
  if (self->began_ns != 0) {
    what.duration_ns = pgc_monotonic_ns() - self->began_ns;
    what.times = self->sampled && self->source == PGC_FROM_NEAR ? PGC_MEASURE_ONE_OF : 1;
  }
  if (self->operation == PGC_OPERATION_GET_MANY) {
    memcpy(what.hits, self->hits, sizeof what.hits);
    memcpy(what.misses, self->misses, sizeof what.misses);
  } else {
    note_key(&what);
  }
  if (self->source == PGC_FROM_NEAR && call->key.found != NULL) {
    self->bytes = call->key.found->size;
    if (self->operation == PGC_OPERATION_GET)
      PGC_PROBE_NEAR_HIT(call->op.namespace_name);
  }
  count(call->cache, &what);
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
    of.span = span_of(call->cache, call->span_name);
  for (size_t i = 0; i < op->count; i++)
    call->measure.bytes =
        add_value(call->cache, &of, &op->keys[i], op->kind, many ? op->keys[i].status : status, call->measure.bytes);
}

void pgc_measure_near(pgcache *cache, pgcache_status status, int64_t began_ns) {
  const pgc_cell_name of = {.measured = PGC_DURATIONS,
                            .operation = PGC_OPERATION_GET,
                            .outcome = outcome_of(PGC_OPERATION_GET, status, false),
                            .source = PGC_FROM_NEAR};
  add(cache, &of, pgc_monotonic_ns() - began_ns, PGC_MEASURE_ONE_OF);
}

/* ---- Requests ---- */

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
                                            .span = span_of(call->cache, call->span_name),
                                            .began_ns = self->began_ns};
  if (pgc_audience_attends(&call->cache->audience) == 0)
    return;
  self->key_count = key_count_of(request);
  const pgcache_event event = event_of(call);
  request->measured.attended = pgc_audience_begin_request(&call->cache->audience, &event);
}

static bool is_near(const pgc_request *request) {
  return request->answered && pgc_operation_looks(request->measured.operation);
}

/* Of a completion that went ahead of its request nothing is known of the parts. */
static void note_items(ending *what, const pgc_request *request) {
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
      sum = add_value(cache, &of, &part->key, request->kind, part->key.status, sum);
  }
  return sum;
}

/* It ended, with this status. */
static void end_request(pgcache *cache, pgc_request *request, pgcache_status status) {
  pgc_request_measure *self = &request->measured;
  ending what = {.operation = self->operation,
                 .outcome = outcome_of(self->operation, status, false),
                 .source = is_near(request) ? PGC_FROM_NEAR : PGC_FROM_STORE,
                 .span = self->span,
                 .duration_ns = pgc_monotonic_ns() - self->began_ns,
                 .times = 1};
  ending items = {0};
  if (request->items != NULL)
    note_items(&items, request);
  self->number = request->items != NULL ? items.hits[PGC_FROM_NEAR] + items.hits[PGC_FROM_STORE] : request->number;
  if (self->operation == PGC_OPERATION_GET_MANY) {
    memcpy(what.hits, items.hits, sizeof what.hits);
    memcpy(what.misses, items.misses, sizeof what.misses);
  } else {
    note_key(&what);
  }
  self->begun = false;
  self->near = what.source == PGC_FROM_NEAR;
  self->outcome = what.outcome;
  self->duration_ns = what.duration_ns;
  count(cache, &what);
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
  set_message(&event, status, error);
  if (error == NULL && status < 0) {
    event.message = request->message;
    event.sqlstate = request->sqlstate;
  }
  pgc_audience_end_request(&cache->audience, self->attended, &event);
  self->attended = NULL;
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

/* ---- Beside operations ---- */

void pgc_measure_flushed(pgcache *cache, int64_t removed) {
  add(cache, &(pgc_cell_name){.measured = PGC_ENTRIES, .operation = PGC_OPERATION_FLUSH}, removed, 1);
}

void pgc_measure_cleaned(pgcache *cache, int64_t removed, bool whole) {
  pgc_measuring *here = pgc_measuring_of(cache);
  add(cache, &(pgc_cell_name){.measured = PGC_ENTRIES, .operation = PGC_OPERATION_CLEANUP}, removed, 1);
  if (here != NULL && whole)
    __atomic_store_n(&here->cleaned_at_us, pgc_wall_us(), __ATOMIC_RELAXED);
}
