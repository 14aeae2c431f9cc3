/*
 * stamps.c - see stamps.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/stamps.h"

#include <string.h>

#include "platform/clock.h"

#define SLOTS (2 * PGC_STAMPS_MAX)

/* A janitor that has not come for so long is taken for gone. */
#define ATTENDED_US 3000000

static const pgc_digest free_slot = {{0}};

void pgc_stamps_init(pgc_stamps *self, int64_t stamp_us) {
  memset(self, 0, sizeof *self);
  self->stamp_us = stamp_us;
  pthread_mutex_init(&self->lock, NULL);
}

void pgc_stamps_destroy(pgc_stamps *self) {
  pthread_mutex_destroy(&self->lock);
}

void pgc_stamps_want(pgc_stamps *self, bool wanted) {
  __atomic_store_n(&self->wanted, wanted, __ATOMIC_RELAXED);
}

/* Where a digest is, or could be put. At least half of the slots are free. */
static pgc_digest *find(pgc_stamps *self, const pgc_digest *digest) {
  size_t i = (size_t)(pgc_load_u64(digest->bytes) % SLOTS);
  while (pgc_digest_compare(&self->slots[i], &free_slot) != 0 && pgc_digest_compare(&self->slots[i], digest) != 0)
    i = (i + 1) % SLOTS;
  return &self->slots[i];
}

void pgc_stamps_note(pgc_stamps *self, const pgc_digest *digest, int64_t age_us) {
  if (!pgc_stamps_are_wanted(self) || age_us < self->stamp_us)
    return;
  if (pthread_mutex_trylock(&self->lock) != 0)
    return;
  int64_t now = pgc_monotonic_us();
  if (self->count < PGC_STAMPS_MAX) {
    pgc_digest *slot = find(self, digest);
    if (pgc_digest_compare(slot, &free_slot) == 0) {
      *slot = *digest;
      if (self->count++ == 0)
        self->first_us = now;
    }
  }
  /* A few hot entries never fill the set: they are noted before their stamps are much too old. */
  bool due = self->count == PGC_STAMPS_MAX || now - self->first_us >= self->stamp_us / 4;
  __atomic_store_n(&self->due, due && now >= self->not_before_us && now >= self->attended_until_us, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&self->lock);
}

bool pgc_stamps_take(pgc_stamps *self, pgc_digest *digests, size_t *count, bool attending) {
  *count = 0;
  pthread_mutex_lock(&self->lock);
  int64_t now = pgc_monotonic_us();
  if (attending)
    self->attended_until_us = now + ATTENDED_US;
  bool now_is_good = pgc_stamps_are_wanted(self) && now >= self->not_before_us;
  if (now_is_good && self->count > 0) {
    for (size_t i = 0; i < SLOTS; i++) {
      if (pgc_digest_compare(&self->slots[i], &free_slot) != 0)
        digests[(*count)++] = self->slots[i];
    }
    memset(self->slots, 0, sizeof self->slots);
    self->count = 0;
  }
  __atomic_store_n(&self->due, false, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&self->lock);
  return now_is_good;
}

void pgc_stamps_spent(pgc_stamps *self, int64_t spent_us, int share) {
  pthread_mutex_lock(&self->lock);
  self->not_before_us = pgc_monotonic_us() + spent_us * (100 - share) / share;
  pthread_mutex_unlock(&self->lock);
}
