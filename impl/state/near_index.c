/*
 * near_index.c - the indexes of the near cache: chains of slots, by key and by digest.
 *
 * Owns: the heads. Must never: move or free what a reader may be looking at.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "platform/memory.h"
#include "state/near_inside.h"

bool pgc_near_index_init(pgc_near_index *self, bool by_key) {
  self->by_key = by_key;
  self->mask = PGC_NEAR_FIRST_HEADS - 1;
  self->segments[0] = pgc_alloc_zero(PGC_NEAR_FIRST_HEADS * sizeof *self->segments[0]);
  return self->segments[0] != NULL;
}

void pgc_near_index_free(pgc_near_index *self) {
  for (int i = 0; i < PGC_NEAR_SEGMENTS; i++)
    pgc_free(self->segments[i]);
}

static inline uint32_t *head_at(const pgc_near_index *self, uint32_t place) {
  uint32_t above = place / PGC_NEAR_FIRST_HEADS;
  if (above == 0)
    return &self->segments[0][place];
  int segment = 32 - __builtin_clz(above);
  return &self->segments[segment][place - ((uint32_t)PGC_NEAR_FIRST_HEADS << (segment - 1))];
}

uint32_t *pgc_near_index_head(const pgc_near_index *self, uint64_t hash) {
  return head_at(self, (uint32_t)hash & __atomic_load_n(&self->mask, __ATOMIC_ACQUIRE));
}

static uint64_t hash_of(const pgc_near *near, const pgc_near_index *self, const pgc_near_slot *slot) {
  return self->by_key ? slot->is.entry.hash[0] : pgc_near_place(near, &slot->is.entry.digest);
}

static uint32_t *next_of(const pgc_near_index *self, pgc_near_slot *slot) {
  return self->by_key ? &slot->key_next : &slot->u.digest_next;
}

static void push(uint32_t *head, uint32_t *next, uint32_t handle) {
  __atomic_store_n(next, *head, __ATOMIC_RELEASE);
  __atomic_store_n(head, handle, __ATOMIC_RELEASE);
}

void pgc_near_index_link(pgc_near *near, pgc_near_index *self, uint32_t handle) {
  pgc_near_slot *slot = pgc_near_slot_at(near, handle);
  push(pgc_near_index_head(self, hash_of(near, self, slot)), next_of(self, slot), handle);
  self->count++;
}

void pgc_near_index_unlink(pgc_near *near, pgc_near_index *self, uint32_t handle) {
  pgc_near_slot *slot = pgc_near_slot_at(near, handle);
  uint32_t *link = pgc_near_index_head(self, hash_of(near, self, slot));
  while (*link != handle)
    link = next_of(self, pgc_near_slot_at(near, *link));
  __atomic_store_n(link, *next_of(self, slot), __ATOMIC_RELEASE);
  self->count--;
}

int64_t pgc_near_index_growth(const pgc_near_index *self) {
  uint32_t heads = self->mask + 1;
  if (self->count < heads || heads >= (uint32_t)PGC_NEAR_FIRST_HEADS << (PGC_NEAR_SEGMENTS - 1))
    return 0;
  return pgc_near_block(heads * sizeof(uint32_t));
}

bool pgc_near_index_grow(pgc_near *near, pgc_near_index *self) {
  uint32_t heads = self->mask + 1;
  int segment = 32 - __builtin_clz(heads / PGC_NEAR_FIRST_HEADS);
  self->segments[segment] = pgc_alloc_zero(heads * sizeof *self->segments[segment]);
  if (self->segments[segment] == NULL)
    return false;
  __atomic_store_n(&self->mask, heads * 2 - 1, __ATOMIC_RELEASE);
  for (uint32_t i = 0; i < heads; i++) {
    uint32_t *stay = head_at(self, i), *go = head_at(self, i + heads);
    uint32_t handle = *stay;
    __atomic_store_n(stay, 0, __ATOMIC_RELEASE);
    while (handle != 0) {
      pgc_near_slot *slot = pgc_near_slot_at(near, handle);
      uint32_t *next = next_of(self, slot);
      uint32_t rest = *next;
      push((uint32_t)hash_of(near, self, slot) & heads ? go : stay, next, handle);
      handle = rest;
    }
  }
  return true;
}
