/*
 * probes.h - static tracepoints (USDT) of the provider `pgcache`, for perf, bpftrace and SystemTap: a nop in the code, and a note in
 * the library where it is. Without <sys/sdt.h>, or with USDT=0, there are none. instrumentation/bpftrace/README.md lists them.
 *
 * Each has a semaphore, which the tracer raises: its arguments are not even made while nobody traces it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_PROBES_H
#define PGC_STATE_PROBES_H

#include "pgcache.h"

#ifdef PGC_USDT

/* Raised by tracers; in a section of their own, where these look for them. The names are theirs, too. */
#define PGC_PROBE_SEMAPHORE(probe)                                                                                     \
  extern volatile unsigned short pgcache_##probe##_semaphore __attribute__((section(".probes"), visibility("hidden")))
PGC_PROBE_SEMAPHORE(operation_begin);
PGC_PROBE_SEMAPHORE(operation_end);
PGC_PROBE_SEMAPHORE(near_hit);
PGC_PROBE_SEMAPHORE(breaker);
PGC_PROBE_SEMAPHORE(listener);

/* Somebody traces operations. */
#define PGC_PROBES_OPERATIONS() (pgcache_operation_begin_semaphore != 0 || pgcache_operation_end_semaphore != 0)

/* A get that the near cache answered; in whose path nothing else of this file may be. namespace_name: never NULL. */
#define PGC_PROBE_NEAR_HIT(namespace_name)                                                                             \
  do {                                                                                                                 \
    if (__builtin_expect(pgcache_near_hit_semaphore != 0, 0))                                                          \
      pgc_probe_near_hit(namespace_name);                                                                              \
  } while (0)
void pgc_probe_near_hit(const char *namespace_name);

/* event: complete. */
void pgc_probe_operation_begin(const pgcache_event *event);
void pgc_probe_operation_end(const pgcache_event *event);

/* what: "breaker", "listener", or something without a probe. */
void pgc_probe_state(const char *what, const char *state);

#else

#define PGC_PROBES_OPERATIONS() 0
#define PGC_PROBE_NEAR_HIT(namespace_name) ((void)(namespace_name))
static inline void pgc_probe_operation_begin(const pgcache_event *event) {
  (void)event;
}
static inline void pgc_probe_operation_end(const pgcache_event *event) {
  (void)event;
}
static inline void pgc_probe_state(const char *what, const char *state) {
  (void)what;
  (void)state;
}

#endif

#endif
