/*
 * top_figures.c - see top_figures.h.
 *
 * Owns the last two snapshots of each process. What lies between them is the difference of their counters and histograms; the
 * moments are the server's, at which they were published, so that nobody's clock matters. It must never take what a process
 * counted since its start for what happens now.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "top_figures.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "platform/memory.h"
#include "published.h"

#define DURATION "pgcache_operation_duration_seconds"
#define HITS "pgcache_hits_total"
/* More of them are not looked at. */
#define PROCESSES_MAX 1000

#define MISSES "pgcache_misses_total"

struct top_process {
  pgcache_snapshot *now, *before; /* before: NULL until it has published twice */
};

static const struct {
  const char *name, *label, *value; /* label NULL: it has none */
} gauge_samples[TOP_GAUGES] = {
    [TOP_POOL_IDLE] = {"pgcache_pool_connections", "state", "idle"},
    [TOP_POOL_LENT] = {"pgcache_pool_connections", "state", "lent"},
    [TOP_POOL_WAITING] = {"pgcache_pool_waiting", NULL, NULL},
    [TOP_REQUESTS] = {"pgcache_requests_under_way", NULL, NULL},
    [TOP_NEAR_ENTRIES] = {"pgcache_near_entries", NULL, NULL},
    [TOP_NEAR_BYTES] = {"pgcache_near_bytes", NULL, NULL},
    [TOP_NEAR_LAG] = {"pgcache_near_proof_timestamp_seconds", NULL, NULL},
    [TOP_BREAKER_OPEN] = {"pgcache_breaker_open", NULL, NULL},
};

/* ---- Reading ------------------------------------------------------------------------------------------------------ */

static void forget(top_process *process) {
  pgcache_snapshot_free(process->now);
  pgcache_snapshot_free(process->before);
}

/* Takes a snapshot over as the last one of its process, of which `known` are the snapshots until now. */
static top_process advance(top_process *known, pgcache_snapshot *fresh) {
  if (known == NULL)
    return (top_process){fresh, NULL};
  top_process process = *known;
  *known = (top_process){NULL, NULL};
  if (pgcache_snapshot_taken_at(fresh) <= pgcache_snapshot_taken_at(process.now)) {
    pgcache_snapshot_free(fresh); /* it has not published again */
    return process;
  }
  pgcache_snapshot_free(process.before);
  return (top_process){fresh, process.now};
}

static top_process *find_process(top_figures *self, const char *origin) {
  for (size_t i = 0; i < self->process_count; i++)
    if (self->processes[i].now != NULL && strcmp(pgcache_snapshot_origin(self->processes[i].now), origin) == 0)
      return &self->processes[i];
  return NULL;
}

/* Puts the snapshots in the place of those until now. */
static void replace_processes(top_figures *self, pgcache_snapshot **fresh, size_t count) {
  top_process *processes = cli_memory(NULL, (count + 1) * sizeof *processes);
  for (size_t i = 0; i < count; i++)
    processes[i] = advance(find_process(self, pgcache_snapshot_origin(fresh[i])), fresh[i]);
  for (size_t i = 0; i < self->process_count; i++)
    forget(&self->processes[i]); /* it is silent */
  pgc_free(self->processes);
  self->processes = processes;
  self->process_count = count;
}

/* ---- Samples ------------------------------------------------------------------------------------------------------ */

static const char *label(const pgcache_snapshot *snapshot, size_t index, const char *name) {
  for (size_t i = 0; i < pgcache_snapshot_labels(snapshot, index); i++)
    if (strcmp(pgcache_snapshot_label_name(snapshot, index, i), name) == 0)
      return pgcache_snapshot_label_value(snapshot, index, i);
  return "";
}

static bool same_sample(const pgcache_snapshot *a, size_t i, const pgcache_snapshot *b, size_t k) {
  size_t labels = pgcache_snapshot_labels(a, i);
  if (strcmp(pgcache_snapshot_name(a, i), pgcache_snapshot_name(b, k)) != 0 || labels != pgcache_snapshot_labels(b, k))
    return false;
  for (size_t n = 0; n < labels; n++)
    if (strcmp(pgcache_snapshot_label_value(a, i, n), pgcache_snapshot_label_value(b, k, n)) != 0)
      return false;
  return true;
}

#define NONE SIZE_MAX

/* Where a sample of `now` stood in the snapshot before; NONE: it was not there. Mostly they stand in the same order: *place is
   where the last one was. */
static size_t find_before(const top_process *process, size_t index, size_t *place) {
  size_t size = pgcache_snapshot_size(process->before);
  for (size_t i = 0; i < size; i++) {
    size_t at = (*place + i) % size;
    if (same_sample(process->now, index, process->before, at)) {
      *place = at + 1;
      return at;
    }
  }
  return NONE;
}

static double grown(const top_process *process, size_t index, size_t before) {
  double value = pgcache_snapshot_value(process->now, index);
  return before == NONE ? value : value - pgcache_snapshot_value(process->before, before);
}

static double seconds_between(const top_process *process) {
  return (double)(pgcache_snapshot_taken_at(process->now) - pgcache_snapshot_taken_at(process->before)) / 1000;
}

/* ---- Tables ------------------------------------------------------------------------------------------------------- */

/* A histogram of durations, and the rows that it belongs to. */
typedef struct pair {
  const top_process *process;
  size_t now, before;
  size_t operation, span; /* span NONE: it has no name */
} pair;

typedef struct pairs {
  pair *items;
  size_t count;
} pairs;

static size_t row_of(top_table *table, const char *name) {
  for (size_t i = 0; i < table->count; i++)
    if (strcmp(table->rows[i].name, name) == 0)
      return i;
  table->rows = cli_memory(table->rows, (table->count + 1) * sizeof *table->rows);
  table->rows[table->count] = (top_row){.name = name, .p50 = NAN, .p99 = NAN};
  return table->count++;
}

/* Whether an outcome is that of a call that failed: the names of outcomes are those of statuses. */
static bool is_error(const char *outcome) {
  char name[64];
  snprintf(name, sizeof name, "PGCACHE_%s", outcome);
  for (char *letter = name; *letter != '\0'; letter++) {
    if (*letter >= 'a') /* the last one of ASCII is z; the rest is '_' */
      *letter = (char)(*letter - 'a' + 'A');
  }
  for (int status = -1; strcmp(pgcache_status_name((pgcache_status)status), "PGCACHE_?") != 0; status--)
    if (strcmp(pgcache_status_name((pgcache_status)status), name) == 0)
      return true;
  return false;
}

static void add_calls(top_row *row, double calls, double seconds, bool failed) {
  row->calls += calls;
  row->per_second += calls / seconds;
  row->errors_per_second += (failed ? calls : 0) / seconds; /* NaN while the time is not known */
}

static void add_durations(top_figures *self, pairs *all, const top_process *process, size_t index, size_t before) {
  int64_t calls = pgcache_snapshot_count(process->now, index);
  if (before != NONE)
    calls -= pgcache_snapshot_count(process->before, before);
  if (calls <= 0)
    return;
  const char *span = label(process->now, index, "span_name");
  bool failed = is_error(label(process->now, index, "outcome"));
  double seconds = self->between ? seconds_between(process) : NAN;
  pair added = {process, index, before, row_of(&self->operations, label(process->now, index, "operation")),
                span[0] != '\0' ? row_of(&self->spans, span) : NONE};
  add_calls(&self->all, (double)calls, seconds, failed);
  add_calls(&self->operations.rows[added.operation], (double)calls, seconds, failed);
  if (added.span != NONE)
    add_calls(&self->spans.rows[added.span], (double)calls, seconds, failed);
  all->items = cli_memory(all->items, (all->count + 1) * sizeof *all->items);
  all->items[all->count++] = added;
}

static void add_keys(top_figures *self, const top_process *process, size_t index, size_t before, bool hits) {
  double keys = grown(process, index, before);
  const char *span = label(process->now, index, "span_name");
  top_row *rows[] = {&self->all, span[0] != '\0' ? &self->spans.rows[row_of(&self->spans, span)] : NULL};
  for (size_t i = 0; i < 2 && rows[i] != NULL; i++)
    *(hits ? &rows[i]->hits : &rows[i]->misses) += keys;
  if (hits && strcmp(label(process->now, index, "source"), "near") == 0)
    self->near_hits += keys;
}

/* How long ago something was, as far as the clocks of the process and of the server agree. */
static double age_at(const top_process *process, double at_seconds) {
  double age = (double)pgcache_snapshot_taken_at(process->now) / 1000 - at_seconds;
  return at_seconds <= 0 ? NAN : age > 0 ? age : 0;
}

static void add_gauge(top_figures *self, const top_process *process, size_t index, const char *name) {
  for (size_t i = 0; i < TOP_GAUGES; i++) {
    top_gauge *gauge = &self->gauges[i];
    if (strcmp(name, gauge_samples[i].name) != 0 ||
        (gauge_samples[i].label != NULL &&
         strcmp(label(process->now, index, gauge_samples[i].label), gauge_samples[i].value) != 0))
      continue;
    double value = pgcache_snapshot_value(process->now, index);
    if (i == TOP_NEAR_LAG)
      value = age_at(process, value);
    if (isnan(value))
      continue;
    gauge->sum = isnan(gauge->sum) ? value : gauge->sum + value;
    gauge->most = isnan(gauge->most) || value > gauge->most ? value : gauge->most;
  }
}

/* ---- Percentiles -------------------------------------------------------------------------------------------------- */

/* Durations are looked for from 10 ns to 10,000 s, to within a fiftieth: about what a histogram knows. */
#define SEARCH_LOWEST (-8.0)
#define SEARCH_STEP (1.0 / 128)
#define SEARCH_STEPS (12 * 128)

static bool belongs(const pair *item, const size_t *operation, const size_t *span) {
  return (operation == NULL || item->operation == *operation) && (span == NULL || item->span == *span);
}

/* How many calls of a row took at most so long. */
static double calls_within(const pairs *all, const size_t *operation, const size_t *span, double bound) {
  double calls = 0;
  for (size_t i = 0; i < all->count; i++) {
    const pair *item = &all->items[i];
    if (!belongs(item, operation, span))
      continue;
    calls += (double)pgcache_snapshot_count_to(item->process->now, item->now, bound);
    if (item->before != NONE)
      calls -= (double)pgcache_snapshot_count_to(item->process->before, item->before, bound);
  }
  return calls;
}

/* The duration that this share of a row's calls does not exceed. */
static double percentile(const pairs *all, const size_t *operation, const size_t *span, double share) {
  double wanted = calls_within(all, operation, span, INFINITY) * share;
  if (wanted <= 0)
    return NAN;
  int low = 0, high = SEARCH_STEPS;
  while (low < high) {
    int middle = (low + high) / 2;
    if (calls_within(all, operation, span, pow(10, SEARCH_LOWEST + middle * SEARCH_STEP)) >= wanted)
      high = middle;
    else
      low = middle + 1;
  }
  return pow(10, SEARCH_LOWEST + low * SEARCH_STEP);
}

static void find_percentiles(top_row *row, const pairs *all, const size_t *operation, const size_t *span) {
  row->p50 = percentile(all, operation, span, 0.50);
  row->p99 = percentile(all, operation, span, 0.99);
}

static int most_calls_first(const void *left, const void *right) {
  double a = ((const top_row *)left)->calls, b = ((const top_row *)right)->calls;
  return a < b ? 1 : a > b ? -1 : strcmp(((const top_row *)left)->name, ((const top_row *)right)->name);
}

static void sort(top_table *table) {
  if (table->count > 0)
    qsort(table->rows, table->count, sizeof *table->rows, most_calls_first);
}

/* ---- Reckoning ---------------------------------------------------------------------------------------------------- */

static void add_process(top_figures *self, pairs *all, const top_process *process) {
  size_t place = 0;
  for (size_t i = 0; i < pgcache_snapshot_size(process->now); i++) {
    const char *name = pgcache_snapshot_name(process->now, i);
    bool duration = strcmp(name, DURATION) == 0, hits = strcmp(name, HITS) == 0;
    if (pgcache_snapshot_kind(process->now, i) == PGCACHE_GAUGE) {
      add_gauge(self, process, i, name);
    } else if (!self->between || process->before != NULL) {
      if (!duration && !hits && strcmp(name, MISSES) != 0)
        continue;
      size_t before = self->between ? find_before(process, i, &place) : NONE;
      if (duration)
        add_durations(self, all, process, i, before);
      else
        add_keys(self, process, i, before, hits);
    }
  }
}

static void reckon(top_figures *self) {
  pairs all = {NULL, 0};
  self->between = false;
  for (size_t i = 0; i < self->process_count; i++)
    self->between = self->between || self->processes[i].before != NULL;
  double unknown = self->between ? 0 : NAN; /* without calls nothing else would make it so */
  self->all = (top_row){.name = "", .per_second = unknown, .errors_per_second = unknown, .p50 = NAN, .p99 = NAN};
  self->near_hits = 0;
  self->operations.count = self->spans.count = 0;
  for (size_t i = 0; i < TOP_GAUGES; i++)
    self->gauges[i] = (top_gauge){NAN, NAN};
  for (size_t i = 0; i < self->process_count; i++)
    add_process(self, &all, &self->processes[i]);
  find_percentiles(&self->all, &all, NULL, NULL);
  for (size_t i = 0; i < self->operations.count; i++)
    find_percentiles(&self->operations.rows[i], &all, &i, NULL);
  for (size_t i = 0; i < self->spans.count; i++)
    find_percentiles(&self->spans.rows[i], &all, NULL, &i);
  sort(&self->operations);
  sort(&self->spans);
  pgc_free(all.items);
}

pgcache_status top_read(top_figures *self, pgcache *cache, pgcache_error *error) {
  pgcache_snapshot **fresh;
  size_t count;
  pgcache_status status = published_read(cache, &fresh, &count, PROCESSES_MAX, error);
  if (status != PGCACHE_OK)
    return status;
  replace_processes(self, fresh, count);
  pgc_free(fresh);
  reckon(self);
  return PGCACHE_OK;
}

void top_clear(top_figures *self) {
  for (size_t i = 0; i < self->process_count; i++)
    forget(&self->processes[i]);
  pgc_free(self->processes);
  pgc_free(self->operations.rows);
  pgc_free(self->spans.rows);
  *self = (top_figures){0};
}
