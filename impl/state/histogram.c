/*
 * histogram.c - see histogram.h. A bucket is the power of two and the four bits behind the highest one.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/histogram.h"

#include <math.h>
#include <string.h>

#include "platform/memory.h"

#define STEP_BITS 4

static int highest_bit(uint64_t value) {
  return 63 - __builtin_clzll(value);
}

uint16_t pgc_histogram_bucket(int64_t value) {
  if (value < PGC_HISTOGRAM_STEPS)
    return value > 0 ? (uint16_t)value : 0;
  if (value > PGC_HISTOGRAM_MAX)
    value = PGC_HISTOGRAM_MAX;
  int shift = highest_bit((uint64_t)value) - STEP_BITS;
  return (uint16_t)(((uint64_t)shift << STEP_BITS) + ((uint64_t)value >> shift));
}

int64_t pgc_histogram_least(uint16_t bucket) {
  if (bucket < 2 * PGC_HISTOGRAM_STEPS)
    return bucket;
  int shift = (bucket >> STEP_BITS) - 1;
  return (int64_t)(PGC_HISTOGRAM_STEPS + bucket % PGC_HISTOGRAM_STEPS) << shift;
}

int64_t pgc_histogram_most(uint16_t bucket) {
  return pgc_histogram_least((uint16_t)(bucket + 1)) - 1;
}

void pgc_histogram_add(pgc_histogram *self, int64_t value, int64_t times) {
  if (value < 0)
    value = 0;
  else if (value > PGC_HISTOGRAM_MAX)
    value = PGC_HISTOGRAM_MAX;
  __atomic_fetch_add(&self->buckets[pgc_histogram_bucket(value)], times, __ATOMIC_RELAXED);
  __atomic_fetch_add(&self->sum, value * times, __ATOMIC_RELAXED);
}

/* ---- Tallies ---- */

/* Each bucket is read once: what is seen in one must not push another out. */
bool pgc_tally_take(pgc_tally *out, const pgc_histogram *histogram) {
  int64_t counts[PGC_HISTOGRAM_BUCKETS];
  size_t used = 0;
  *out = (pgc_tally){.sum = __atomic_load_n(&histogram->sum, __ATOMIC_RELAXED)};
  for (int i = 0; i < PGC_HISTOGRAM_BUCKETS; i++) {
    counts[i] = __atomic_load_n(&histogram->buckets[i], __ATOMIC_RELAXED);
    used += counts[i] != 0;
  }
  if (used == 0)
    return true;
  out->buckets = pgc_alloc(used * sizeof *out->buckets);
  if (out->buckets == NULL)
    return false;
  for (int i = 0; i < PGC_HISTOGRAM_BUCKETS; i++) {
    if (counts[i] == 0)
      continue;
    out->buckets[out->size++] = (pgc_tally_bucket){(uint16_t)i, counts[i]};
    out->count += counts[i];
  }
  return true;
}

/* What others have counted may be anything. */
static int64_t sum_of(int64_t left, int64_t right) {
  int64_t sum;
  return __builtin_add_overflow(left, right, &sum) ? INT64_MAX : sum;
}

/* Puts the buckets of both in order, without memory of their own if `into` is NULL. How many there are. */
static size_t zip(pgc_tally_bucket *into, const pgc_tally *left, const pgc_tally *right) {
  size_t size = 0;
  for (size_t l = 0, r = 0; l < left->size || r < right->size; size++) {
    const pgc_tally_bucket *a = l < left->size ? &left->buckets[l] : NULL;
    const pgc_tally_bucket *b = r < right->size ? &right->buckets[r] : NULL;
    bool takes_a = a != NULL && (b == NULL || a->bucket <= b->bucket);
    bool takes_b = b != NULL && (a == NULL || b->bucket <= a->bucket);
    if (into != NULL)
      into[size] =
          (pgc_tally_bucket){takes_a ? a->bucket : b->bucket, sum_of(takes_a ? a->count : 0, takes_b ? b->count : 0)};
    l += takes_a;
    r += takes_b;
  }
  return size;
}

bool pgc_tally_merge(pgc_tally *out, const pgc_tally *left, const pgc_tally *right) {
  *out = (pgc_tally){.count = sum_of(left->count, right->count), .sum = sum_of(left->sum, right->sum)};
  out->size = zip(NULL, left, right);
  if (out->size == 0)
    return true;
  out->buckets = pgc_alloc(out->size * sizeof *out->buckets);
  if (out->buckets == NULL)
    return false;
  (void)zip(out->buckets, left, right);
  return true;
}

void pgc_tally_clear(pgc_tally *self) {
  pgc_free(self->buckets);
  *self = (pgc_tally){0};
}

int64_t pgc_tally_count_to(const pgc_tally *self, double bound) {
  int64_t count = 0;
  for (size_t i = 0; i < self->size && (double)pgc_histogram_least(self->buckets[i].bucket) <= bound; i++)
    count += self->buckets[i].count;
  return count;
}

double pgc_tally_percentile(const pgc_tally *self, double percent) {
  if (self->count == 0 || !(percent >= 0 && percent <= 100))
    return NAN;
  double wanted = ceil(percent / 100 * (double)self->count);
  int64_t rank = wanted < 1 ? 1 : (int64_t)wanted;
  size_t i = 0;
  for (int64_t count = self->buckets[0].count; count < rank && i + 1 < self->size; count += self->buckets[i].count)
    i++;
  uint16_t bucket = self->buckets[i].bucket;
  return ((double)pgc_histogram_least(bucket) + (double)pgc_histogram_most(bucket)) / 2;
}
