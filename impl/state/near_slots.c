/*
 * near_slots.c - slots of the near cache: their memory, and how readers take a value out of one without a lock.
 *
 * Owns: the rules of a slot's state. Must never: give the memory of slots back while the near cache lives, or let a reader
 * follow a pointer before the state has told that it belonged to the entry.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "platform/memory.h"
#include "state/near_inside.h"

/* Slots, room to align them, and before them the block's own address. */
#define CHUNK_SIZE ((PGC_NEAR_CHUNK + 1) * sizeof(pgc_near_slot))

_Static_assert(sizeof(pgc_near_slot) == PGC_CACHE_LINE, "a hit reads one line of it");

uint64_t pgc_near_place(const pgc_near *near, const pgc_digest *digest) {
  uint64_t hash[2];
  pgc_siphash(hash, near->secret, NULL, 0, digest->bytes, sizeof digest->bytes);
  return hash[0];
}

int64_t pgc_near_value_bytes(const pgcache_value *value) {
  return value == NULL ? 0 : pgc_near_block(sizeof(pgcache_value) + value->size + 1);
}

pgcache_value *pgc_near_value(const pgc_near *near, const pgc_near_slot *slot) {
  uint64_t kind = pgc_near_state(slot) & PGC_NEAR_KIND;
  uint64_t word = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);
  if (kind == PGC_NEAR_GONE)
    return NULL;
  if (kind == PGC_NEAR_TAGGED)
    word = __atomic_load_n(&pgc_near_slot_at(near, (uint32_t)word)->word, __ATOMIC_ACQUIRE);
  return (pgcache_value *)(uintptr_t)word;
}

int64_t pgc_near_weight(const pgc_near *near, const pgc_near_slot *slot) {
  bool tagged = (pgc_near_state(slot) & PGC_NEAR_KIND) == PGC_NEAR_TAGGED;
  return pgc_near_value_bytes(pgc_near_value(near, slot)) + (int64_t)sizeof *slot * (tagged ? 2 : 1);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------------ */

bool pgc_near_slots_more(pgc_near *near, pgc_near_shard *shard) {
  int64_t bytes = pgc_near_block(CHUNK_SIZE);
  if (shard->bytes + bytes > shard->max_bytes)
    return false;
  void *block = pgc_alloc_zero(CHUNK_SIZE);
  if (block == NULL)
    return false;
  uint32_t number = __atomic_add_fetch(&near->chunk_count, 1, __ATOMIC_RELAXED);
  if (number >= near->chunks_max) {
    __atomic_sub_fetch(&near->chunk_count, 1, __ATOMIC_RELAXED);
    pgc_free(block);
    return false;
  }
  shard->bytes += bytes;
  /* malloc aligns to 16, so there is room for a pointer before the next line. */
  uintptr_t start = ((uintptr_t)block + sizeof(void *) + PGC_CACHE_LINE - 1) / PGC_CACHE_LINE * PGC_CACHE_LINE;
  ((void **)start)[-1] = block;
  __atomic_store_n(&near->chunks[number], (pgc_near_slot *)start, __ATOMIC_RELEASE);
  for (uint32_t i = PGC_NEAR_CHUNK; i > 0; i--)
    pgc_near_slot_give(near, shard, number * PGC_NEAR_CHUNK + i - 1);
  return true;
}

uint32_t pgc_near_slot_take(pgc_near *near, pgc_near_shard *shard) {
  uint32_t handle = shard->free_slots;
  shard->free_slots = pgc_near_slot_at(near, handle)->is.entry.older;
  shard->free_count--;
  return handle;
}

void pgc_near_slot_give(pgc_near *near, pgc_near_shard *shard, uint32_t handle) {
  pgc_near_slot_at(near, handle)->is.entry.older = shard->free_slots;
  shard->free_slots = handle;
  shard->free_count++;
}

uint32_t pgc_near_tags_take(pgc_near *near, pgc_near_shard *shard) {
  uint32_t handle = shard->free_tags;
  if (handle == 0)
    return pgc_near_slot_take(near, shard);
  shard->free_tags = pgc_near_slot_at(near, handle)->key_next;
  return handle;
}

uint64_t pgc_near_slot_end(pgc_near *near, pgc_near_shard *shard, pgc_near_slot *slot) {
  pgcache_value *value = pgc_near_value(near, slot);
  uint64_t use = (pgc_near_state(slot) & PGC_NEAR_USE) + PGC_NEAR_USE_ONE;
  uint64_t last = __atomic_exchange_n(&slot->state, use | PGC_NEAR_FREE, __ATOMIC_ACQ_REL);
  if ((last & PGC_NEAR_KIND) == PGC_NEAR_TAGGED) {
    uint32_t tags = (uint32_t)__atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);
    __atomic_store_n(&pgc_near_slot_at(near, tags)->key_next, shard->free_tags, __ATOMIC_RELEASE);
    shard->free_tags = tags;
  }
  if (value != NULL)
    pgc_value_release_many(value, PGC_NEAR_PREPAID - (uint32_t)(last & PGC_NEAR_TAKEN));
  return last;
}

/* ---- Readers ------------------------------------------------------------------------------------------------------------ */

/* Whether the slot is in the same use. */
static inline bool is_same(uint64_t state, uint64_t other) {
  return ((state ^ other) & (PGC_NEAR_USE | PGC_NEAR_KIND)) == 0;
}

bool pgc_near_tags_hold(const pgc_near *near, const pgc_near_slot *slot, uint64_t state, uint64_t word) {
  if ((state & PGC_NEAR_KIND) != PGC_NEAR_TAGGED)
    return true;
  if (!is_same(state, pgc_near_state(slot)))
    return false; /* the word may be another use's: no handle */
  const pgc_near_slot *more = pgc_near_slot_at(near, (uint32_t)word);
  uint32_t count = __atomic_load_n(&more->u.tag_count, __ATOMIC_ACQUIRE);
  uint64_t generation = 0;
  for (uint32_t i = 0; i < count && i < PGC_NEAR_TAGS_MAX; i++) {
    uint16_t place = __atomic_load_n(&more->is.tags.tags[i], __ATOMIC_ACQUIRE);
    generation += __atomic_load_n(&near->generations[place % PGC_NEAR_GENERATIONS], __ATOMIC_ACQUIRE);
  }
  return generation == __atomic_load_n(&more->is.tags.generation, __ATOMIC_ACQUIRE);
}

/* Pays for references that were taken. The caller holds one, so the value lives. */
static void repay(pgc_near_slot *slot, uint64_t state, pgcache_value *value) {
  pgc_value_retain_many(value, PGC_NEAR_REPAY);
  uint64_t now = pgc_near_state(slot);
  while (is_same(now, state) && (now & PGC_NEAR_TAKEN) >= PGC_NEAR_REPAY) {
    if (__atomic_compare_exchange_n(&slot->state, &now, now - PGC_NEAR_REPAY, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      return;
  }
  pgc_value_release_many(value, PGC_NEAR_REPAY);
}

/* Counts a hit and takes `references` if the slot is still in the use that *state tells of. */
static inline bool take(pgc_near_slot *slot, uint64_t *state, uint64_t references) {
  uint64_t now = *state, then;
  do {
    if (!is_same(*state, now))
      return false;
    bool counted = (now & PGC_NEAR_HITS) == PGC_NEAR_HITS;
    if (counted && references == 0)
      return is_same(*state, pgc_near_state(slot));
    then = (now + references + (counted ? 0 : PGC_NEAR_HITS_ONE)) | PGC_NEAR_WAS_HIT;
  } while (!__atomic_compare_exchange_n(&slot->state, &now, then, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  *state = then;
  return true;
}

/* What this slot has to say of the key. */
static bool ask(pgc_near *near, pgc_near_slot *slot, const pgc_near_key *key, int64_t now_us, pgcache_value **value) {
  uint64_t state = pgc_near_state(slot);
  if ((state & PGC_NEAR_KIND) == PGC_NEAR_FREE ||
      __atomic_load_n(&slot->is.entry.hash[0], __ATOMIC_ACQUIRE) != key->hash[0] ||
      __atomic_load_n(&slot->is.entry.hash[1], __ATOMIC_ACQUIRE) != key->hash[1])
    return false;
  uint64_t word = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);
  *value = NULL;
  if ((state & PGC_NEAR_KIND) == PGC_NEAR_GONE)
    return now_us < (int64_t)word && take(slot, &state, 0);
  if ((state & PGC_NEAR_KIND) == PGC_NEAR_TAGGED) {
    if (!pgc_near_tags_hold(near, slot, state, word))
      return false;
    word = __atomic_load_n(&pgc_near_slot_at(near, (uint32_t)word)->word, __ATOMIC_ACQUIRE);
  }
  __builtin_prefetch((const void *)(uintptr_t)word,
                     1); /* the value's head and first bytes, while the slot's line is won */
  __builtin_prefetch((const char *)(uintptr_t)word + PGC_CACHE_LINE);
  if (!take(slot, &state, 1))
    return false;
  *value = (pgcache_value *)(uintptr_t)word;
  if ((state & PGC_NEAR_TAKEN) >= PGC_NEAR_REPAY)
    repay(slot, state, *value);
  if ((*value)->expires_at_us > now_us)
    return true;
  pgc_value_release(*value);
  return false;
}

/* Chains are short; only one who was led astray by slots that are used anew comes so far. */
#define MOST_STEPS 1000

static bool walk(pgc_near *near, const pgc_near_map *map, const pgc_near_key *key, int64_t now_us,
                 pgcache_value **value) {
  uint32_t handle = __atomic_load_n(pgc_near_index_head(&map->index, key->hash[0]), __ATOMIC_ACQUIRE);
  for (int steps = 0; handle != 0 && steps < MOST_STEPS; steps++) {
    pgc_near_slot *slot = pgc_near_slot_at(near, handle);
    if (ask(near, slot, key, now_us, value))
      return true;
    handle = __atomic_load_n(&slot->key_next, __ATOMIC_ACQUIRE);
  }
  return false;
}

void pgc_near_prefetch(const pgc_near *near, const pgc_near_key *key) {
  const pgc_near_map *map = pgc_near_map_of(near, key->hash);
  uint32_t handle = __atomic_load_n(pgc_near_index_head(&map->index, key->hash[0]), __ATOMIC_ACQUIRE);
  if (handle != 0)
    __builtin_prefetch(pgc_near_slot_at(near, handle), 1);
}

bool pgc_near_slot_find(pgc_near *near, const pgc_near_key *key, int64_t now_us, pgcache_value **value) {
  const pgc_near_map *map = pgc_near_map_of(near, key->hash);
  if (walk(near, map, key, now_us, value))
    return true;
  /* Nothing: unless somebody was moving the chain meanwhile. To find nothing is always right, so do not wait for them. */
  for (int tries = 0; tries < 3; tries++) {
    uint64_t before = __atomic_load_n(&map->changes, __ATOMIC_ACQUIRE);
    if (walk(near, map, key, now_us, value))
      return true;
    if (before % 2 == 0 && __atomic_load_n(&map->changes, __ATOMIC_ACQUIRE) == before)
      break;
  }
  return false;
}
