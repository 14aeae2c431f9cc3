/*
 * measuring.c - see measuring.h. All counting is by atomic operations on cells that are looked up without a lock.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/measuring.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "operations/measure.h"
#include "platform/memory.h"
#include "platform/sync.h"

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
  if (parents != NULL) {
    pgc_counters_read(&self->before, &cache->store->counters);
    self->dropped_before = pgc_counted(&cache->audience.dropped);
  }
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

void pgc_measuring_add(pgcache *cache, const pgc_cell_name *of, int64_t value, int64_t times) {
  pgc_measuring *here = pgc_measuring_of(cache);
  pgc_cell *cell = here != NULL ? pgc_meters_cell(here->meters, of) : NULL;
  if (cell != NULL)
    pgc_histogram_add(&cell->histogram, value, times);
}

static void count_keys(pgc_cell *cell, const pgc_ending *what) {
  for (int i = 0; i < PGC_ANSWERERS; i++) {
    if (what->hits[i] != 0)
      pgc_count_more(&cell->hits[i], what->hits[i]);
    if (what->misses[i] != 0)
      pgc_count_more(&cell->misses[i], what->misses[i]);
  }
}

void pgc_measuring_count(pgcache *cache, const pgc_ending *what) {
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

pgc_outcome pgc_measuring_outcome(pgc_operation operation, pgcache_status status, bool loaded) {
  bool looks = pgc_operation_looks(operation) && operation != PGC_OPERATION_GET_MANY;
  return status == PGCACHE_OK && looks && !loaded ? PGC_OUTCOME_HIT : (pgc_outcome)status;
}

void pgc_measuring_note_key(pgc_ending *what) {
  if (!pgc_operation_looks(what->operation) || what->outcome < 0)
    return;
  bool hit = what->outcome == PGC_OUTCOME_HIT || what->outcome == PGCACHE_STALE;
  (hit ? what->hits : what->misses)[what->source]++;
}

int pgc_measuring_span(pgcache *cache, const char *span_name) {
  if (span_name[0] == '\0')
    return PGC_SPAN_NONE;
  pgc_measuring *here = pgc_measuring_of(cache);
  return here != NULL ? pgc_meters_span(here->meters, span_name) : PGC_SPAN_OTHER;
}

int64_t pgc_measuring_add_value(pgcache *cache, const pgc_cell_name *of, const pgc_op_key *key, pgc_op_kind kind,
                                pgcache_status status, int64_t sum) {
  bool stores = pgc_op_stores(kind);
  bool there = stores ? status == PGCACHE_OK && (key->flags & PGC_STORED_ABSENT) == 0 : key->found != NULL;
  if (!there)
    return sum;
  int64_t size = (int64_t)(stores ? key->value_len : key->stored_size);
  pgc_measuring_add(cache, of, size, 1);
  return (sum < 0 ? 0 : sum) + size;
}
