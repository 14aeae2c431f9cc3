/*
 * backoff.h - how long to pause after failures: full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015),
 * so that many processes that failed together do not come back together.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_BACKOFF_H
#define PGC_PURE_BACKOFF_H

#include <stdint.h>

/* A pause between 0 and first * 2^times, or max if that is less; all in microseconds. random: any number. */
static inline int64_t pgc_backoff_us(int times, int64_t first, int64_t max, uint64_t random) {
  int64_t longest = times < 20 ? first << times : max;
  if (longest > max)
    longest = max;
  return longest > 0 ? (int64_t)(random % (uint64_t)longest) : 0;
}

#endif
