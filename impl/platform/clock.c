/*
 * clock.c - see clock.h. Reads clocks, keeps nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include "platform/clock.h"

#include <limits.h>
#include <time.h>

static int64_t read_clock_us(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t pgc_now_us(void) {
  return read_clock_us(CLOCK_BOOTTIME);
}

int64_t pgc_monotonic_us(void) {
  return read_clock_us(CLOCK_MONOTONIC);
}

int64_t pgc_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t pgc_wall_us(void) {
  return read_clock_us(CLOCK_REALTIME);
}

pgc_deadline pgc_deadline_from(int64_t now_us, int64_t timeout_ms) {
  if (timeout_ms >= (PGC_NO_DEADLINE - now_us) / 1000)
    return PGC_NO_DEADLINE;
  return now_us + timeout_ms * 1000;
}

pgc_deadline pgc_deadline_in(int64_t timeout_ms) {
  return pgc_deadline_from(pgc_monotonic_us(), timeout_ms);
}

int64_t pgc_deadline_left_ms(pgc_deadline deadline) {
  if (deadline == PGC_NO_DEADLINE)
    return INT64_MAX;
  int64_t left_us = deadline - pgc_monotonic_us();
  return left_us > 0 ? (left_us + 999) / 1000 : 0;
}

int pgc_deadline_poll_ms(pgc_deadline deadline) {
  int64_t left_ms = pgc_deadline_left_ms(deadline);
  if (left_ms == INT64_MAX)
    return -1;
  return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}
