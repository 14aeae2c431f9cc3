/*
 * audience.h - those who are told of what happens to a handle: providers, whose functions are called here and now, and observers,
 * who have a queue each (observer.h).
 *
 * Owns: the seats, what whoever has one wants, and the words about slow operations. Must never: call anybody with a lock
 * held, tell anybody of what was done inside of a provider's function, give a key to who did not ask for keys, or keep anybody
 * waiting for an observer.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_AUDIENCE_H
#define PGC_STATE_AUDIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "pgcache.h"
#include "pgcache_hooks.h"
#include "state/probes.h"

#define PGC_SEATS 8

typedef struct pgc_hall pgc_hall; /* the lock of one process */

/* All zero: nobody is there. */
typedef struct pgc_audience {
  uint32_t wants; /* what anybody wants, see pgc_audience_attends(); this and the next two through __atomic functions */
  uint32_t observers_want;
  pgcache_provider *providers[PGC_SEATS]; /* whoever has come stays; NULL behind the last */
  pgcache_observer *observers[PGC_SEATS]; /* under the hall's lock; NULL: free. At most so many of both */
  pgc_hall *hall;                         /* NULL until somebody came */
  bool closed;
  int64_t dropped; /* events that did not fit, of all observers that ever were: a pgc_counter */
  int64_t slow_ms; /* the settings slow_ms and log_keys */
  bool log_keys;
} pgc_audience;

/* What is wanted of operations, for pgc_audience_attends(). */
enum {
  PGC_ATTENDS_ALL = 1u << 16, /* each one, also one that the near cache answers */
  PGC_ATTENDS_SLOW = 1u << 17 /* those that take `slow_ms`: near hits need not be told of */
};

/* What becomes of the begin of an operation until its end. All zero: nobody attends. */
typedef struct pgc_attendance {
  bool noticed;  /* the end is to be told */
  uint8_t seats; /* those whose begin() was called */
  int64_t began_us;
  void *begun[PGC_SEATS]; /* what it returned */
} pgc_attendance;

/* Sets the settings of an audience that is all zero. */
void pgc_audience_open(pgc_audience *self, int64_t slow_ms, bool log_keys);

/* The handle was shut down: nobody comes any more, and whoever waits for events is woken. */
void pgc_audience_close(pgc_audience *self);

/* The handle goes, and was shut down: waits until nobody is being told of a state or a log; nobody will be. */
void pgc_audience_leave(pgc_audience *self);

/* The handle goes: nobody is told of anything any more. */
void pgc_audience_free(pgc_audience *self);

/* Whether flags and level are such as there are. PGCACHE_OK, PGCACHE_INVALID. */
pgcache_status pgc_audience_check(uint32_t what, pgcache_level level, pgcache_error *error);

/* See pgcache_add_provider(); the provider was checked. */
pgcache_status pgc_audience_add_provider(pgc_audience *self, const pgcache_provider *provider, pgcache_error *error);

/* ---- Operations -------------------------------------------------------------------------------------------------------------
   The one who measures a call asks pgc_audience_attends() first. Not 0: he makes an event of what is known of the call (operation,
   namespace_name, span_name, key, key_len, key_count; texts may be NULL), calls begin(), and if that has `noticed` the call,
   end() with the same event, to which he added outcome, source, status, message, sqlstate, bytes, number, duration_ns.
   struct_size, kind, level and began_us are filled in here. */

/* Nobody is there: 0, for two loads. Else PGC_ATTENDS_ flags. */
static inline uint32_t pgc_audience_attends(const pgc_audience *self) {
  return (__atomic_load_n(&self->wants, __ATOMIC_RELAXED) & (PGC_ATTENDS_ALL | PGC_ATTENDS_SLOW)) |
         (PGC_PROBES_OPERATIONS() ? PGC_ATTENDS_ALL : 0);
}

void pgc_audience_begin(pgc_audience *self, pgc_attendance *out, const pgcache_event *event);
void pgc_audience_end(pgc_audience *self, const pgc_attendance *begun, const pgcache_event *event);

/* The same for a request: what its event points to is copied, for it is over when the completion is taken. NULL: nobody attends, or
   memory is out, and then nobody is told of it. */
typedef struct pgc_attended pgc_attended;
pgc_attended *pgc_audience_begin_request(pgc_audience *self, const pgcache_event *event);

/* Called once for each that is not NULL, which it frees. event: what became of it; operation, namespace_name, span_name and keys are
   those of the begin. */
void pgc_audience_end_request(pgc_audience *self, pgc_attended *begun, const pgcache_event *event);

/* ---- States and logs: by any thread that holds no lock ------------------------------------------------------------------------- */

/* `what` is in another state now. words: one line, also told as a log; NULL: none. error: why, or NULL. number: see pgcache_event. */
void pgc_audience_state(pgc_audience *self, const char *what, const char *state, pgcache_level level, int64_t number,
                        const pgcache_error *error, const char *words);

/* Words for a log: one line, without a key, value or password. operation: what it is about. */
void pgc_audience_log(pgc_audience *self, pgcache_level level, const char *operation, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
