/*
 * meters.c - see meters.h. The cells and the span names stand in open hash tables of pointers, which are set once and never
 * taken out: so nobody waits for anybody.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/meters.h"

#include <stdlib.h>
#include <string.h>

#include "platform/memory.h"
#include "pure/status.h"

#define CELL_PLACES (2 * PGC_CELLS_MAX) /* a power of two */

struct pgc_meters {
  pgc_cell *cells[CELL_PLACES];
  char *spans[PGCACHE_SPANS_MAX]; /* number PGC_SPAN_FIRST and so on */
  pgc_counter cell_count, cells_of_spans, lost;
};

/* ---- Names ---- */

static const char *const names[PGC_OPERATIONS] = {
    "get",
    "get_many",
    "exists",
    "peek",
    "get_or_load",
    "load_begin",
    "load_fill",
    "load_fill_absent",
    "load_fail",
    "load_abandon",
    "load_extend",
    "put",
    "add",
    "replace",
    "compare_and_swap",
    "put_many",
    "remove",
    "remove_many",
    "touch",
    "increment",
    "invalidate",
    "invalidate_on",
    "fence",
    "flush",
    "cleanup",
    "cleanup_some",
    "set_limits",
    "read_usage",
    "stats",
    "keys",
    "dependents",
    "doctor",
    "init",
    "upgrade",
    "read_published",
};

const char *pgc_operation_name(pgc_operation operation) {
  return names[operation];
}

const char *pgc_outcome_name(pgc_outcome outcome) {
  return outcome == PGC_OUTCOME_HIT ? "hit" : pgc_status_outcome((pgcache_status)outcome);
}

const char *pgc_answerer_name(pgc_answerer source) {
  return source == PGC_FROM_NEAR ? "near" : "store";
}

/* ---- Beginning and end ---- */

pgc_meters *pgc_meters_new(void) {
  return pgc_alloc_spare(sizeof(pgc_meters));
}

void pgc_meters_free(pgc_meters *self) {
  if (self == NULL)
    return;
  for (size_t i = 0; i < CELL_PLACES; i++)
    pgc_free(self->cells[i]);
  for (size_t i = 0; i < PGCACHE_SPANS_MAX; i++)
    pgc_free(self->spans[i]);
  pgc_free(self);
}

/* ---- Span names ---- */

static uint32_t hash_text(const char *text) {
  uint32_t hash = 2166136261u;
  for (; *text != '\0'; text++)
    hash = (hash ^ (unsigned char)*text) * 16777619u;
  return hash;
}

/* Takes a place that is free for a name; false when it was not free any more, or memory is out: then `*known` is NULL. */
static bool take_span(char **place, const char *name, char **known) {
  size_t size = strlen(name) + 1;
  char *copy = pgc_alloc_spare(size);
  *known = NULL;
  if (copy == NULL)
    return false;
  memcpy(copy, name, size);
  if (__atomic_compare_exchange_n(place, known, copy, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return true;
  pgc_free(copy); /* another thread was first, perhaps with this name */
  return false;
}

int pgc_meters_span(pgc_meters *self, const char *name) {
  if (name == NULL || name[0] == '\0')
    return PGC_SPAN_NONE;
  if (strcmp(name, pgc_meters_span_name(self, PGC_SPAN_OTHER)) == 0)
    return PGC_SPAN_OTHER; /* or two would have one name */
  uint32_t hash = hash_text(name);
  for (uint32_t i = 0; i < PGCACHE_SPANS_MAX; i++) {
    uint32_t number = (hash + i) % PGCACHE_SPANS_MAX;
    char *known = __atomic_load_n(&self->spans[number], __ATOMIC_ACQUIRE);
    if (known == NULL && take_span(&self->spans[number], name, &known))
      return PGC_SPAN_FIRST + (int)number;
    if (known == NULL)
      break;
    if (strcmp(known, name) == 0)
      return PGC_SPAN_FIRST + (int)number;
  }
  return PGC_SPAN_OTHER;
}

const char *pgc_meters_span_name(const pgc_meters *self, int span) {
  if (span == PGC_SPAN_NONE)
    return "";
  return span == PGC_SPAN_OTHER ? "other" : __atomic_load_n(&self->spans[span - PGC_SPAN_FIRST], __ATOMIC_ACQUIRE);
}

/* ---- Cells ---- */

static bool is_of(const pgc_cell_name *cell, const pgc_cell_name *what) {
  return cell->operation == what->operation && cell->span == what->span && cell->outcome == what->outcome &&
         cell->source == what->source && cell->measured == what->measured;
}

static size_t place_of(const pgc_cell_name *what) {
  uint32_t hash = 0;
  const uint32_t parts[] = {(uint32_t)what->operation, (uint32_t)what->span, (uint32_t)what->outcome,
                            (uint32_t)what->source, (uint32_t)what->measured};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    hash = (hash ^ parts[i]) * 2654435761u;
  return (hash >> 16) % CELL_PLACES;
}

/* Counts one more, unless there are as many as may be. */
static bool reserve(pgc_counter *count, int64_t most) {
  if (__atomic_fetch_add(count, 1, __ATOMIC_RELAXED) < most)
    return true;
  pgc_count_more(count, -1);
  return false;
}

/* A cell of this, which may be made; NULL: it may not, or memory is out. */
static pgc_cell *make_cell(pgc_meters *self, const pgc_cell_name *what) {
  bool of_span = what->span >= PGC_SPAN_FIRST;
  if (of_span && !reserve(&self->cells_of_spans, PGC_CELLS_OF_SPANS_MAX))
    return NULL;
  bool may = reserve(&self->cell_count, PGC_CELLS_MAX);
  pgc_cell *made = may ? pgc_alloc_spare(sizeof *made) : NULL;
  if (made != NULL) {
    made->of = *what;
    return made;
  }
  if (may)
    pgc_count_more(&self->cell_count, -1);
  if (of_span)
    pgc_count_more(&self->cells_of_spans, -1);
  return NULL;
}

static void unmake_cell(pgc_meters *self, pgc_cell *made) {
  if (made->of.span >= PGC_SPAN_FIRST)
    pgc_count_more(&self->cells_of_spans, -1);
  pgc_count_more(&self->cell_count, -1);
  pgc_free(made);
}

/* NULL: there is none, and none is to be had. There is always a free place, so that each search has an end. */
static pgc_cell *find_or_make(pgc_meters *self, const pgc_cell_name *what) {
  pgc_cell *made = NULL;
  for (size_t place = place_of(what);; place = (place + 1) % CELL_PLACES) {
    pgc_cell *known = __atomic_load_n(&self->cells[place], __ATOMIC_ACQUIRE);
    if (known == NULL) {
      if (made == NULL)
        made = make_cell(self, what);
      if (made == NULL ||
          __atomic_compare_exchange_n(&self->cells[place], &known, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    }
    if (is_of(&known->of, what)) {
      if (made != NULL) /* another thread was first */
        unmake_cell(self, made);
      return known;
    }
  }
}

pgc_cell *pgc_meters_cell(pgc_meters *self, const pgc_cell_name *of) {
  pgc_cell *cell = find_or_make(self, of);
  if (cell == NULL && of->span >= PGC_SPAN_FIRST) {
    pgc_cell_name others = *of;
    others.span = PGC_SPAN_OTHER;
    cell = find_or_make(self, &others);
  }
  if (cell == NULL)
    pgc_count(&self->lost);
  return cell;
}

static int compare_cells(const void *left, const void *right) {
  const pgc_cell_name *a = &(*(const pgc_cell *const *)left)->of, *b = &(*(const pgc_cell *const *)right)->of;
  int order = (a->measured > b->measured) - (a->measured < b->measured);
  if (order == 0)
    order = (a->operation > b->operation) - (a->operation < b->operation);
  if (order == 0)
    order = a->span - b->span;
  if (order == 0)
    order = (a->source > b->source) - (a->source < b->source);
  return order != 0 ? order : b->outcome - a->outcome;
}

size_t pgc_meters_list(const pgc_meters *self, const pgc_cell *cells[PGC_CELLS_MAX]) {
  size_t count = 0;
  for (size_t i = 0; i < CELL_PLACES && count < PGC_CELLS_MAX; i++) {
    const pgc_cell *cell = __atomic_load_n(&self->cells[i], __ATOMIC_ACQUIRE);
    if (cell != NULL)
      cells[count++] = cell;
  }
  qsort(cells, count, sizeof *cells, compare_cells);
  return count;
}

int64_t pgc_meters_lost(const pgc_meters *self) {
  return pgc_counted(&self->lost);
}
