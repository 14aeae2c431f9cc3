/*
 * words.h - the words of an exposition: numbers, escaped texts, and the fixed bounds of buckets. Knows no snapshot.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_PROMETHEUS_WORDS_H
#define PGCACHE_PROMETHEUS_WORDS_H

#include "pgcache_prometheus.h"

#include <stdbool.h>

/* A bucket holds what is at most its value; its text is the same in both formats. */
typedef struct pgc_bound {
  double value;
  const char *text;
} pgc_bound;

/* The bounds for a unit, in rising order, without +Inf. */
const pgc_bound *pgc_words_bounds(const char *unit, size_t *count);

/* Writes a number as both formats want it. The thread's locale is that of C. */
void pgc_words_number(FILE *out, double value);

/* Writes the value of a label, or a help, between quotes that the caller writes. Quotes are escaped in labels, and in helps
   of OpenMetrics. */
void pgc_words_escaped(FILE *out, const char *text, bool quotes);

/* Whether it may be the name of a label that the caller chose. */
bool pgc_words_is_label(const char *name);

/* Fills the error, if there is one, and returns the status. */
pgcache_status pgc_words_fail(pgcache_error *error, pgcache_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
