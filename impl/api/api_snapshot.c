/*
 * api_snapshot.c - exported: snapshots of what is measured, and what is in one.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <math.h>

#include "operations/samples.h"
#include "pure/error.h"
#include "state/snapshot_inside.h"

pgcache_status pgcache_stats_snapshot(pgcache *self, pgcache_snapshot **out, pgcache_error *error) {
  if (out != NULL)
    *out = NULL;
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (self == NULL || out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "the handle or out is NULL");
  *out = pgc_samples_take(self);
  return *out != NULL ? PGCACHE_OK : pgc_fail_memory(error);
}

void pgcache_snapshot_free(pgcache_snapshot *self) {
  pgc_snapshot_free(self);
}

pgcache_status pgcache_snapshot_add(pgcache_snapshot *self, const pgcache_snapshot *other, pgcache_error *error) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (self == NULL || other == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "a snapshot is NULL");
  return pgc_snapshot_merge(self, other) ? PGCACHE_OK : pgc_fail_memory(error);
}

int64_t pgcache_snapshot_taken_at(const pgcache_snapshot *self) {
  return self != NULL ? self->taken_at_ms : 0;
}

const char *pgcache_snapshot_origin(const pgcache_snapshot *self) {
  return self != NULL ? self->origin : "";
}

size_t pgcache_snapshot_size(const pgcache_snapshot *self) {
  return self != NULL ? self->size : 0;
}

/* ---- One sample ---- */

static const pgc_sample *sample_at(const pgcache_snapshot *self, size_t index) {
  return self != NULL && index < self->size ? &self->samples[index] : NULL;
}

static const pgc_metric *metric_at(const pgcache_snapshot *self, size_t index) {
  static const pgc_metric none = {"", "", "", (pgcache_metric_kind)0, false, 1};
  const pgc_sample *sample = sample_at(self, index);
  return sample != NULL ? &self->families[sample->family].metric : &none;
}

static const pgc_label *label_at(const pgcache_snapshot *self, size_t index, size_t label) {
  static const pgc_label none = {"", ""};
  const pgc_sample *sample = sample_at(self, index);
  return sample != NULL && label < sample->label_count ? &sample->labels[label] : &none;
}

/* NULL of a sample that is no histogram. */
static const pgc_tally *tally_at(const pgcache_snapshot *self, size_t index) {
  const pgc_sample *sample = sample_at(self, index);
  return metric_at(self, index)->kind == PGCACHE_HISTOGRAM ? &sample->tally : NULL;
}

const char *pgcache_snapshot_name(const pgcache_snapshot *self, size_t index) {
  return metric_at(self, index)->name;
}

const char *pgcache_snapshot_help(const pgcache_snapshot *self, size_t index) {
  return metric_at(self, index)->help;
}

const char *pgcache_snapshot_unit(const pgcache_snapshot *self, size_t index) {
  return metric_at(self, index)->unit;
}

pgcache_metric_kind pgcache_snapshot_kind(const pgcache_snapshot *self, size_t index) {
  return metric_at(self, index)->kind;
}

size_t pgcache_snapshot_labels(const pgcache_snapshot *self, size_t index) {
  const pgc_sample *sample = sample_at(self, index);
  return sample != NULL ? sample->label_count : 0;
}

const char *pgcache_snapshot_label_name(const pgcache_snapshot *self, size_t index, size_t label) {
  return label_at(self, index, label)->name;
}

const char *pgcache_snapshot_label_value(const pgcache_snapshot *self, size_t index, size_t label) {
  return label_at(self, index, label)->value;
}

double pgcache_snapshot_value(const pgcache_snapshot *self, size_t index) {
  const pgc_sample *sample = sample_at(self, index);
  const pgc_tally *tally = tally_at(self, index);
  if (tally != NULL)
    return (double)tally->sum / metric_at(self, index)->per_unit;
  return sample != NULL ? sample->value : NAN;
}

int64_t pgcache_snapshot_count(const pgcache_snapshot *self, size_t index) {
  const pgc_tally *tally = tally_at(self, index);
  return tally != NULL ? tally->count : 0;
}

int64_t pgcache_snapshot_count_to(const pgcache_snapshot *self, size_t index, double bound) {
  const double rounding = 1e-12; /* 0.001 s are to be 1,000,000 ns */
  const pgc_tally *tally = tally_at(self, index);
  return tally != NULL ? pgc_tally_count_to(tally, bound * metric_at(self, index)->per_unit * (1 + rounding)) : 0;
}

double pgcache_snapshot_percentile(const pgcache_snapshot *self, size_t index, double percent) {
  const pgc_tally *tally = tally_at(self, index);
  return tally != NULL ? pgc_tally_percentile(tally, percent) / metric_at(self, index)->per_unit : NAN;
}
