/*
 * breaker.c - see breaker.h. One mutex guards the state; while all is well it is not taken.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/breaker.h"

#include <stdio.h>

#include "pure/backoff.h"
#include "pure/error.h"

/* The longest pause of all. */
#define PAUSE_MAX_US 30000000

void pgc_breaker_init(pgc_breaker *self, int threshold, int64_t pause_us) {
  *self = (pgc_breaker){.threshold = threshold, .pause_us = pause_us, .last = PGCACHE_ERROR_INIT};
  pthread_mutex_init(&self->mutex, NULL);
}

void pgc_breaker_destroy(pgc_breaker *self) {
  pthread_mutex_destroy(&self->mutex);
}

bool pgc_breaker_is_calm(pgc_breaker *self) {
  return !__atomic_load_n(&self->troubled, __ATOMIC_RELAXED);
}

bool pgc_breaker_is_open(pgc_breaker *self) {
  if (pgc_breaker_is_calm(self))
    return false;
  pthread_mutex_lock(&self->mutex);
  bool open = self->open;
  pthread_mutex_unlock(&self->mutex);
  return open;
}

static void refuse(pgc_breaker *self, int64_t now_us, bool connected, pgcache_error *error) {
  if (connected)
    pgc_fail_sql(error, PGCACHE_UNAVAILABLE, self->last.sqlstate,
                 "the circuit breaker is open after %d failures in a row; the next call is let through in %lld ms. The "
                 "last failure: %s",
                 self->failures, (long long)(self->until_us > now_us ? (self->until_us - now_us + 999) / 1000 : 0),
                 self->last.message);
  else
    pgc_fail_sql(error, PGCACHE_UNAVAILABLE, self->last.sqlstate,
                 "the circuit breaker is open after %d failures in a row, until a connection can be opened, which is "
                 "being tried. The last failure: %s",
                 self->failures, self->last.message);
}

pgc_breaker_verdict pgc_breaker_enter(pgc_breaker *self, int64_t now_us, int64_t lease_us, bool connected,
                                      pgcache_error *error) {
  pgc_breaker_verdict verdict = PGC_BREAKER_PASS;
  pthread_mutex_lock(&self->mutex);
  if (self->open && (!connected || now_us < self->until_us)) {
    refuse(self, now_us, connected, error);
    verdict = PGC_BREAKER_REFUSE;
  } else if (self->open) {
    self->until_us = lease_us; /* nobody else before this one is back */
    verdict = PGC_BREAKER_PROBE;
  }
  pthread_mutex_unlock(&self->mutex);
  return verdict;
}

/* An unreachable server needs no pause at first: the probe waits for a connection, and those have pauses of their own. So
   a server that was only restarted is back as soon as it accepts connections. */
static void open_for_a_while(pgc_breaker *self, pgc_fault fault, int64_t now_us, uint64_t random) {
  int64_t pause_us = 0;
  int times = self->rounds - (fault == PGC_FAULT_UNREACHABLE);
  if (times >= 0)
    pause_us = pgc_backoff_us(times, self->pause_us, PAUSE_MAX_US, random);
  self->open = true;
  self->rounds++;
  self->until_us = now_us + pause_us;
}

pgc_breaker_turn pgc_breaker_leave(pgc_breaker *self, pgc_breaker_verdict verdict, pgc_fault fault, int64_t now_us,
                                   uint64_t random, const pgcache_error *error) {
  bool failed = fault == PGC_FAULT_UNREACHABLE || fault == PGC_FAULT_SILENT;
  if (self->threshold == 0 || (!failed && pgc_breaker_is_calm(self)))
    return PGC_BREAKER_STAYS;
  pgc_breaker_turn turn = PGC_BREAKER_STAYS;
  pthread_mutex_lock(&self->mutex);
  if (fault == PGC_FAULT_NONE) {
    turn = self->open ? PGC_BREAKER_CLOSED : PGC_BREAKER_STAYS;
    self->failures = self->rounds = 0;
    self->open = false;
  } else if (fault == PGC_FAULT_NOBODYS) {
    if (verdict == PGC_BREAKER_PROBE && self->open) {
      turn = PGC_BREAKER_OPEN_AGAIN;
      self->until_us = now_us; /* it has shown nothing: the next one may */
    }
  } else if (!self->open ||
             verdict == PGC_BREAKER_PROBE) { /* of calls that began earlier the opening knew all it needs */
    self->failures++;
    self->last = *error;
    if (self->open || self->failures >= self->threshold) {
      turn = self->open ? PGC_BREAKER_OPEN_AGAIN : PGC_BREAKER_OPENED;
      open_for_a_while(self, fault, now_us, random);
    }
  }
  __atomic_store_n(&self->troubled, self->failures > 0, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&self->mutex);
  return turn;
}

void pgc_breaker_tell(pgc_breaker_turn turn, pgc_counters *counters, pgc_audience *audience,
                      const pgcache_error *failure) {
  char words[sizeof failure->message + 128];
  switch (turn) {
  case PGC_BREAKER_STAYS:
    break;
  case PGC_BREAKER_OPENED:
    pgc_count(&counters->breaker_opened);
    snprintf(words, sizeof words,
             "the circuit breaker is open: calls are refused until the server works again. The last failure: %s",
             failure->message);
    pgc_audience_state(audience, "breaker", "open", PGCACHE_LEVEL_WARNING, 0, failure, words);
    break;
  case PGC_BREAKER_OPEN_AGAIN:
    pgc_audience_state(audience, "breaker", "open", PGCACHE_LEVEL_INFO, 0, failure, NULL);
    break;
  case PGC_BREAKER_CLOSED:
    pgc_audience_state(audience, "breaker", "closed", PGCACHE_LEVEL_INFO, 0, NULL,
                       "the circuit breaker is closed: the server works again");
    break;
  }
}
