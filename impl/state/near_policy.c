/*
 * near_policy.c - which entries stay when a shard is full: S3-FIFO (Yang and others, "FIFO queues are all you need for cache
 * eviction", 2023).
 *
 * What comes goes to the small queue, a tenth of the whole. At its end an entry that was hit more than once goes on to the
 * main queue; the others leave, and their fingerprints stay for a while: who comes again within that time goes to the main
 * queue at once. At the main queue's end an entry goes round again once for each hit, up to three. So one pass over many
 * keys never pushes out what is in use, and a hit moves nothing.
 *
 * Owns: the queues and the fingerprints. All functions: with the shard's lock held. Must never: free an entry.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "platform/memory.h"
#include "state/near_inside.h"

/* ---- Fingerprints -------------------------------------------------------------------------------------------------------- */

/* A note: 20 bits of the hash and 12 of the time, which counts in parts of the time that notes stay, at most PARTS; so it
   comes round four times later, and a note that nothing has replaced by then counts as new once more. Sets of four. */
#define WAYS 4
#define TIME 0xfffu
#define PARTS 1024

/* As long as nine tenths of the entries take to be replaced. */
static uint64_t ghost_life(int64_t entries) {
  return (uint64_t)entries * 9 / 10;
}

static uint32_t *set_of(const pgc_near_policy *self, const uint64_t hash[2]) {
  return &self->ghosts[(uint32_t)(hash[0] >> 16) & self->ghost_mask & ~(uint32_t)(WAYS - 1)];
}

static uint32_t mark_of(const uint64_t hash[2]) {
  uint32_t mark = (uint32_t)(hash[1] >> 44) << 12;
  return mark == 0 ? ~TIME : mark; /* never 0: that is no note */
}

static uint32_t age_of(const pgc_near_policy *self, uint32_t note, uint64_t part) {
  return ((uint32_t)(self->ghost_time / part) - note) & TIME;
}

static uint64_t part_of(const pgc_near_policy *self) {
  return self->ghost_room / PARTS + 1;
}

bool pgc_near_policy_remembers(const pgc_near_policy *self, const uint64_t hash[2], int64_t entries) {
  if (self->ghosts == NULL)
    return false;
  uint64_t part = part_of(self);
  uint32_t *set = set_of(self, hash), mark = mark_of(hash);
  for (int i = 0; i < WAYS; i++) {
    if ((set[i] & ~TIME) == mark && age_of(self, set[i], part) * part <= ghost_life(entries)) {
      set[i] = 0;
      return true;
    }
  }
  return false;
}

static uint32_t notes_for(int64_t entries) {
  uint32_t size = 64;
  while (size < entries * 5 / 4 && size < UINT32_C(1) << 31)
    size *= 2;
  return size;
}

static int64_t notes_bytes(const pgc_near_policy *self) {
  return self->ghosts == NULL ? 0 : pgc_near_block((self->ghost_mask + 1) * sizeof *self->ghosts);
}

int64_t pgc_near_policy_growth(const pgc_near_policy *self, int64_t entries) {
  if (entries <= self->ghost_room)
    return 0;
  return pgc_near_block(notes_for(entries) * sizeof *self->ghosts) - notes_bytes(self);
}

int64_t pgc_near_policy_grow(pgc_near_policy *self, int64_t entries) {
  int64_t before = notes_bytes(self);
  uint32_t size = notes_for(entries);
  pgc_free(self->ghosts);
  self->ghosts = pgc_alloc_zero(size * sizeof *self->ghosts);
  self->ghost_mask = size - 1;
  self->ghost_room = self->ghosts == NULL ? 0 : (uint32_t)(size * 4ULL / 5);
  self->ghost_time = 0;
  return notes_bytes(self) - before;
}

void pgc_near_policy_note(pgc_near *near, pgc_near_policy *self, uint32_t handle) {
  const pgc_near_slot *slot = pgc_near_slot_at(near, handle);
  if (self->ghosts == NULL || pgc_near_state(slot) & PGC_NEAR_IN_MAIN)
    return;
  uint64_t part = part_of(self);
  uint32_t *set = set_of(self, slot->is.entry.hash), *oldest = set;
  self->ghost_time++;
  for (int i = 0; i < WAYS && *oldest != 0; i++) {
    if (set[i] == 0 || age_of(self, set[i], part) > age_of(self, *oldest, part))
      oldest = &set[i];
  }
  *oldest = mark_of(slot->is.entry.hash) | ((uint32_t)(self->ghost_time / part) & TIME);
}

/* ---- Queues ---------------------------------------------------------------------------------------------------------------- */

static pgc_near_queue *queue_of(pgc_near_policy *self, const pgc_near_slot *slot) {
  return pgc_near_state(slot) & PGC_NEAR_IN_MAIN ? &self->main : &self->small;
}

void pgc_near_policy_add(pgc_near *near, pgc_near_policy *self, uint32_t handle) {
  pgc_near_slot *slot = pgc_near_slot_at(near, handle);
  pgc_near_queue *queue = queue_of(self, slot);
  slot->is.entry.newer = 0;
  slot->is.entry.older = queue->newest;
  if (queue->newest != 0)
    pgc_near_slot_at(near, queue->newest)->is.entry.newer = handle;
  else
    queue->oldest = handle;
  queue->newest = handle;
  queue->weight += pgc_near_weight(near, slot);
}

void pgc_near_policy_remove(pgc_near *near, pgc_near_policy *self, uint32_t handle) {
  pgc_near_slot *slot = pgc_near_slot_at(near, handle);
  pgc_near_queue *queue = queue_of(self, slot);
  uint32_t newer = slot->is.entry.newer, older = slot->is.entry.older;
  *(newer != 0 ? &pgc_near_slot_at(near, newer)->is.entry.older : &queue->newest) = older;
  *(older != 0 ? &pgc_near_slot_at(near, older)->is.entry.newer : &queue->oldest) = newer;
  queue->weight -= pgc_near_weight(near, slot);
}

/* Puts the oldest entry of a queue in front of the main queue, with so many hits less. */
static void go_round(pgc_near *near, pgc_near_policy *self, uint32_t handle, uint64_t less) {
  pgc_near_slot *slot = pgc_near_slot_at(near, handle);
  pgc_near_policy_remove(near, self, handle);
  uint64_t state = pgc_near_state(slot), then;
  do { /* readers take and hit meanwhile */
    uint64_t hits = state & PGC_NEAR_HITS;
    then = (state - (hits < less ? hits : less)) | PGC_NEAR_IN_MAIN;
  } while (!__atomic_compare_exchange_n(&slot->state, &state, then, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  pgc_near_policy_add(near, self, handle);
}

/* Entries that go round for one victim: readers may hit faster than a writer with the lock can count down. */
#define MOST_ROUNDS 4096

uint32_t pgc_near_policy_victim(pgc_near *near, pgc_near_policy *self) {
  for (int round = 0;; round++) {
    int64_t all = self->small.weight + self->main.weight;
    bool small = self->small.oldest != 0 && self->main.weight <= all - all / 10;
    uint32_t handle = small ? self->small.oldest : self->main.oldest;
    if (handle == 0)
      return 0;
    uint64_t hits = pgc_near_state(pgc_near_slot_at(near, handle)) & PGC_NEAR_HITS;
    if ((small ? hits <= PGC_NEAR_HITS_ONE : hits == 0) || round == MOST_ROUNDS)
      return handle;
    go_round(near, self, handle, small ? PGC_NEAR_HITS : PGC_NEAR_HITS_ONE);
  }
}
