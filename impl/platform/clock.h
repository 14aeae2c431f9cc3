/*
 * clock.h - the clocks of the library. Nothing that it decides comes from the wall clock: whether an entry has expired is
 * the server's to say.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PLATFORM_CLOCK_H
#define PGC_PLATFORM_CLOCK_H

#include <stdint.h>

/* Microseconds on CLOCK_BOOTTIME, which also counts while the machine is suspended: for what is left of a TTL. */
int64_t pgc_now_us(void);

/* Microseconds on CLOCK_MONOTONIC, which pgc_cond_wait_until() and poll() wait on, too: for deadlines and pauses. The cheaper
   CLOCK_MONOTONIC_COARSE would not do: on a virtual machine that gets no CPU it lags by tens of milliseconds. */
int64_t pgc_monotonic_us(void);

/* The same clock in nanoseconds: for how long something took. */
int64_t pgc_monotonic_ns(void);

/* Microseconds since 1970 on the wall clock, which may be wrong and may jump: for the doctor, who tells people. */
int64_t pgc_wall_us(void);

/* A point on pgc_monotonic_us()'s clock; PGC_NO_DEADLINE never comes. */
typedef int64_t pgc_deadline;
#define PGC_NO_DEADLINE INT64_MAX

/* The deadline that lies timeout_ms (>= 0) from now; saturates. */
pgc_deadline pgc_deadline_in(int64_t timeout_ms);

/* The same from another moment of that clock than now. */
pgc_deadline pgc_deadline_from(int64_t now_us, int64_t timeout_ms);

/* Milliseconds to the deadline as poll() takes them: rounded up, 0 when it has passed, -1 for none. */
int pgc_deadline_poll_ms(pgc_deadline deadline);

/* Milliseconds to the deadline, rounded up: 0 when it has passed, INT64_MAX for none. */
int64_t pgc_deadline_left_ms(pgc_deadline deadline);

#endif
