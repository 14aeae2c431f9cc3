/*
 * probes.c - see probes.h: the places where the tracepoints are.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/probes.h"

#ifdef PGC_USDT

#include <string.h>

#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>
#ifdef __clang__ /* what the header's macros expand to */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif

volatile unsigned short pgcache_operation_begin_semaphore;
volatile unsigned short pgcache_operation_end_semaphore;
volatile unsigned short pgcache_near_hit_semaphore;
volatile unsigned short pgcache_breaker_semaphore;
volatile unsigned short pgcache_listener_semaphore;

/* Tracers read texts where they are, but only if the page is in memory; that of a literal may never have been touched. */
static const char *present(const char *text) {
  (void)*(const volatile char *)text;
  return text;
}

void pgc_probe_near_hit(const char *namespace_name) {
  STAP_PROBE1(pgcache, near_hit, present(namespace_name));
}

void pgc_probe_operation_begin(const pgcache_event *event) {
  if (pgcache_operation_begin_semaphore == 0)
    return;
  STAP_PROBE3(pgcache, operation_begin, present(event->operation), present(event->span_name),
              present(event->namespace_name));
}

void pgc_probe_operation_end(const pgcache_event *event) {
  if (pgcache_operation_end_semaphore == 0)
    return;
  STAP_PROBE6(pgcache, operation_end, present(event->operation), present(event->outcome), present(event->source),
              event->duration_ns, present(event->span_name), present(event->namespace_name));
}

void pgc_probe_state(const char *what, const char *state) {
  if (pgcache_breaker_semaphore != 0 && strcmp(what, "breaker") == 0)
    STAP_PROBE1(pgcache, breaker, present(state));
  if (pgcache_listener_semaphore != 0 && strcmp(what, "listener") == 0)
    STAP_PROBE1(pgcache, listener, present(state));
}

#else

typedef int pgc_probes_are_not_built; /* C wants something in a file */

#endif
