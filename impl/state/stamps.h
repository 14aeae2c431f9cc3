/*
 * stamps.h - which entries were read lately. With a size bound the coldest entries go first, and reads write nothing; so
 * the handle collects the digests of entries that were read although their stamp of use is old, and hands them over a few
 * hundred at a time to be noted in one statement.
 *
 * Owns: a small set of digests. It is a sample: when it is full, or another thread is at it, a digest is dropped, and comes
 * again with the next read of a hot entry. Must never: make a reader wait.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_STAMPS_H
#define PGC_STATE_STAMPS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pure/digest.h"

/* The most digests that one statement notes: it takes some milliseconds. */
#define PGC_STAMPS_MAX 256

typedef struct pgc_stamps {
  int64_t stamp_us; /* how old a stamp of use must be to be made new */
  bool wanted;      /* there is a bound; this and the next through __atomic functions only */
  bool due;         /* a caller's thread should hand the set over */
  pthread_mutex_t lock;
  size_t count;
  int64_t first_us;                     /* when the oldest of the set came */
  int64_t not_before_us;                /* hand nothing over until then */
  int64_t attended_until_us;            /* a janitor does it */
  pgc_digest slots[2 * PGC_STAMPS_MAX]; /* a hash table; zeros: free */
} pgc_stamps;

/* stamp_us: the setting access_stamp_ms in microseconds; INT64_MAX: nothing is noted. */
void pgc_stamps_init(pgc_stamps *self, int64_t stamp_us);
void pgc_stamps_destroy(pgc_stamps *self);

/* Whether reads are to be noted at all. */
void pgc_stamps_want(pgc_stamps *self, bool wanted);
static inline bool pgc_stamps_are_wanted(const pgc_stamps *self) {
  return __atomic_load_n(&self->wanted, __ATOMIC_RELAXED);
}

/* An entry was read whose stamp is age_us old. Any thread. */
void pgc_stamps_note(pgc_stamps *self, const pgc_digest *digest, int64_t age_us);

/* True if no janitor does it, and the set is full or has waited for long: the caller should take it now. */
static inline bool pgc_stamps_due(const pgc_stamps *self) {
  return __atomic_load_n(&self->due, __ATOMIC_RELAXED);
}

/* Empties the set into digests, an array of PGC_STAMPS_MAX, in no order. attending: a janitor does, and will again. False: nothing
   is wanted, or not yet. */
bool pgc_stamps_take(pgc_stamps *self, pgc_digest *digests, size_t *count, bool attending);

/* Noting took so long: it is not done again before it has taken a share (in percent) of the time that passed. */
void pgc_stamps_spent(pgc_stamps *self, int64_t spent_us, int share);

#endif
