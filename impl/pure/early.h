/*
 * early.h - whether to refresh a value before its end: XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache
 * Stampede Prevention, VLDB 2015). Of all who read the value about one decides to refresh it in time, the earlier the longer
 * a load takes.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_EARLY_H
#define PGC_PURE_EARLY_H

#include <stdbool.h>
#include <stdint.h>

/* -ln of a number between 0 and 1, made of 64 random bits; good to five digits, without libm. */
static inline double pgc_early_gap(uint64_t random) {
  const double ln2 = 0.69314718055994531;
  int zeros = random != 0 ? __builtin_clzll(random) : 63;
  double m = (double)((random | 1) << zeros) / 18446744073709551616.0; /* 0.5 to 1 */
  double y = (m - 1) / (m + 1), z = y * y;
  return zeros * ln2 - 2 * y * (1 + z * (1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * (1.0 / 9)))));
}

/* left_us: until the value's end; took_ms: how long its load took; percent: beta * 100. */
static inline bool pgc_early_is_drawn(int64_t left_us, int64_t took_ms, int percent, uint64_t random) {
  return (double)took_ms * 1000 * percent / 100 * pgc_early_gap(random) >= (double)left_us;
}

#endif
