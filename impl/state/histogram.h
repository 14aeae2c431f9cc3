/*
 * histogram.h - how values are distributed [rule:histogram]: 16 buckets for each power of two, so that a value is known to within
 * 1/32 of itself, and values below 32 exactly.
 *
 * Owns: what bucket a value belongs to. Must never: wait, allocate while it counts, or forget a value that was counted.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_HISTOGRAM_H
#define PGC_STATE_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PGC_HISTOGRAM_STEPS 16                                                 /* buckets of a power of two */
#define PGC_HISTOGRAM_MAX ((INT64_C(1) << 44) - 1)                             /* larger values count as this one */
#define PGC_HISTOGRAM_BUCKETS (PGC_HISTOGRAM_STEPS + 40 * PGC_HISTOGRAM_STEPS) /* 5 KiB */

/* Counts of whole numbers: nanoseconds, bytes, entries. All zero: empty. Through the functions below only; any thread. */
typedef struct pgc_histogram {
  int64_t sum;
  int64_t buckets[PGC_HISTOGRAM_BUCKETS];
} pgc_histogram;

/* Counts a value so many times; a negative one as 0. */
void pgc_histogram_add(pgc_histogram *self, int64_t value, int64_t times);

/* The bucket of a value, 0 to PGC_HISTOGRAM_BUCKETS - 1, and the smallest and the largest value of a bucket. */
uint16_t pgc_histogram_bucket(int64_t value);
int64_t pgc_histogram_least(uint16_t bucket);
int64_t pgc_histogram_most(uint16_t bucket);

/* ---- A histogram as it was at one moment: the buckets that hold something, by their numbers. ---- */

typedef struct pgc_tally_bucket {
  uint16_t bucket;
  int64_t count;
} pgc_tally_bucket;

/* All zero: empty. Nobody changes it while others read it. */
typedef struct pgc_tally {
  int64_t count, sum;
  size_t size;
  pgc_tally_bucket *buckets; /* one block of memory, the owner's */
} pgc_tally;

/* Takes a histogram, whose count is then that of the buckets taken. False when out of memory. */
bool pgc_tally_take(pgc_tally *out, const pgc_histogram *histogram);

/* out becomes the sum of both. False when out of memory. */
bool pgc_tally_merge(pgc_tally *out, const pgc_tally *left, const pgc_tally *right);

void pgc_tally_clear(pgc_tally *self);

/* How many values are at most the bound: all of these, and perhaps some of up to 1/16 more, which share a bucket with it. Never
   more for a smaller bound; 0 for NaN. */
int64_t pgc_tally_count_to(const pgc_tally *self, double bound);

/* The value that so many percent of the values do not exceed, to within 1/32; NaN of an empty one, and for a percentage that is none. */
double pgc_tally_percentile(const pgc_tally *self, double percent);

#endif
