/*
 * breaker.h - the circuit breaker of one handle in one process: after some failures of the server in a row it refuses calls
 * at once, until one that it lets through succeeds. A state machine: it reads no clock, asks no server and draws no random
 * number; the caller brings all three.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_BREAKER_H
#define PGC_STORE_BREAKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pgcache.h"
#include "state/audience.h"
#include "state/counters.h"

/* What a call's end says about the server. */
typedef enum pgc_fault {
  PGC_FAULT_NONE,        /* it answered, be it with an error */
  PGC_FAULT_NOBODYS,     /* nothing: the call never asked it, or gave it too little time */
  PGC_FAULT_UNREACHABLE, /* no connection could be had, or it broke */
  PGC_FAULT_SILENT       /* it did not answer on a connection that was open */
} pgc_fault;

typedef enum pgc_breaker_verdict {
  PGC_BREAKER_PASS,
  PGC_BREAKER_PROBE, /* this call alone goes through; its end decides */
  PGC_BREAKER_REFUSE /* error is filled */
} pgc_breaker_verdict;

/* What became of the breaker by the end of a call. */
typedef enum pgc_breaker_turn {
  PGC_BREAKER_STAYS,
  PGC_BREAKER_OPENED,
  PGC_BREAKER_OPEN_AGAIN, /* the probe has shown nothing good */
  PGC_BREAKER_CLOSED
} pgc_breaker_turn;

typedef struct pgc_breaker {
  int threshold;    /* failures in a row that open it; 0: it never opens */
  int64_t pause_us; /* the longest first pause */
  bool troubled;    /* by atomic operations: something below is not as in the beginning, so that the mutex is needed */
  pthread_mutex_t mutex;
  int failures; /* in a row */
  bool open;
  int rounds;       /* openings and failed probes since the last success */
  int64_t until_us; /* no probe before this time */
  pgcache_error last;
} pgc_breaker;

void pgc_breaker_init(pgc_breaker *self, int threshold, int64_t pause_us);
void pgc_breaker_destroy(pgc_breaker *self);

/* No failure since the last success: the usual case, for one load. */
bool pgc_breaker_is_calm(pgc_breaker *self);

/* Whether it is open: then pgc_breaker_enter() decides, else the call passes. */
bool pgc_breaker_is_open(pgc_breaker *self);

/* connected: there is a connection that a probe could use; while there is none, opening one is the probe, and no call has to
   wait for it. lease_us: a probe that has not come back by then is given up for lost. */
pgc_breaker_verdict pgc_breaker_enter(pgc_breaker *self, int64_t now_us, int64_t lease_us, bool connected,
                                      pgcache_error *error);

/* What became of a call that passed, or of the probe. error: the failure, for the message; random: any number. */
pgc_breaker_turn pgc_breaker_leave(pgc_breaker *self, pgc_breaker_verdict verdict, pgc_fault fault, int64_t now_us,
                                   uint64_t random, const pgcache_error *error);

/* Counts a turn and tells of it, with the failure that it came of; no lock may be held. audience: NULL: nobody. */
void pgc_breaker_tell(pgc_breaker_turn turn, pgc_counters *counters, pgc_audience *audience,
                      const pgcache_error *failure);

#endif
