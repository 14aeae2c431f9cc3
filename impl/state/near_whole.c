/*
 * near_whole.c - making and freeing a near cache, and looking at it from outside.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "platform/clock.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "state/near_inside.h"

/* A shard for each 4 MiB, as long as each may hold 256 entries: with fewer the policy has too little to choose from, and
   with less memory larger values would not be let in. */
#define SHARDS_MAX 64
#define SHARD_BYTES (INT64_C(4) << 20)
#define SHARD_ENTRIES 256

static uint32_t shards_for(int64_t max_bytes, int64_t max_entries) {
  uint32_t shards = 1;
  while (shards < SHARDS_MAX && max_bytes / (2 * shards) >= SHARD_BYTES &&
         (max_entries == 0 || max_entries / (2 * shards) >= SHARD_ENTRIES))
    shards *= 2;
  return shards;
}

/* An array on lines of its own: the block's address stands before it. */
static void *lines_new(pgc_near *self, size_t size) {
  size_t all = size + PGC_CACHE_LINE + sizeof(void *);
  void *block = pgc_alloc_zero(all);
  if (block == NULL)
    return NULL;
  self->fixed_bytes += pgc_near_block(all);
  uintptr_t start = ((uintptr_t)block + sizeof(void *) + PGC_CACHE_LINE - 1) / PGC_CACHE_LINE * PGC_CACHE_LINE;
  ((void **)start)[-1] = block;
  return (void *)start;
}

static void lines_free(void *lines) {
  if (lines != NULL)
    pgc_free(((void **)lines)[-1]);
}

/* How many chunks of slots there can be: entries with tags have two slots, and each shard may have one chunk half empty. */
static uint32_t chunks_for(int64_t max_bytes, int64_t max_entries, uint32_t shards) {
  int64_t most = max_bytes / (PGC_NEAR_CHUNK * (int64_t)sizeof(pgc_near_slot));
  if (max_entries != 0 && most > max_entries * 2 / PGC_NEAR_CHUNK + shards)
    most = max_entries * 2 / PGC_NEAR_CHUNK + shards;
  if (most > (int64_t)(UINT32_MAX / PGC_NEAR_CHUNK) - 2)
    most = (int64_t)(UINT32_MAX / PGC_NEAR_CHUNK) - 2;
  return (uint32_t)most + 2;
}

pgc_near *pgc_near_new(int64_t max_bytes, int64_t max_entries, int64_t staleness_us, int64_t absent_us) {
  pgc_near *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL)
    return NULL;
  uint32_t shards = shards_for(max_bytes, max_entries);
  pthread_mutex_init(&self->recent_lock, NULL);
  pthread_mutex_init(&self->used_lock, NULL);
  self->valid_until_us = INT64_MIN;
  self->staleness_us = staleness_us;
  self->absent_us = absent_us;
  self->secret[0] = pgc_random_u64();
  self->secret[1] = pgc_random_u64();
  self->chunks_max = chunks_for(max_bytes, max_entries, shards);
  self->fixed_bytes = pgc_near_block(sizeof *self);
  self->chunks = lines_new(self, self->chunks_max * sizeof *self->chunks);
  self->stripes = lines_new(self, PGC_NEAR_STRIPES * sizeof *self->stripes);
  self->generations = lines_new(self, PGC_NEAR_GENERATIONS * sizeof *self->generations);
  self->maps = lines_new(self, shards * sizeof *self->maps);
  self->shards = lines_new(self, shards * sizeof *self->shards);
  if (self->chunks == NULL || self->stripes == NULL || self->generations == NULL || self->maps == NULL ||
      self->shards == NULL) {
    pgc_near_free(self);
    return NULL;
  }
  bool complete = true;
  for (uint32_t i = 0; i < shards; i++) {
    pthread_mutex_init(&self->maps[i].lock, NULL);
    pthread_mutex_init(&self->shards[i].lock, NULL);
    complete &= pgc_near_index_init(&self->maps[i].index, true);
    complete &= pgc_near_index_init(&self->shards[i].by_digest, false);
    self->fixed_bytes += 2 * pgc_near_block(PGC_NEAR_FIRST_HEADS * sizeof(uint32_t));
  }
  self->shard_count = shards;
  if (!complete) {
    pgc_near_free(self);
    return NULL;
  }
  for (uint32_t i = 0; i < shards; i++) {
    self->shards[i].max_bytes = (max_bytes - self->fixed_bytes) / shards;
    self->shards[i].max_entries =
        max_entries == 0 ? INT64_MAX - 1 : max_entries / shards + (i < max_entries % shards ? 1 : 0);
  }
  return self;
}

void pgc_near_free(pgc_near *self) {
  if (self == NULL)
    return;
  if (self->shard_count != 0)
    pgc_near_flush(self, PGC_NEAR_FLUSH_STREAM);
  for (uint32_t i = 0; i < self->shard_count; i++) {
    pthread_mutex_destroy(&self->maps[i].lock);
    pthread_mutex_destroy(&self->shards[i].lock);
    pgc_near_index_free(&self->maps[i].index);
    pgc_near_index_free(&self->shards[i].by_digest);
    pgc_free(self->shards[i].policy.ghosts);
  }
  for (uint32_t i = 1; i <= self->chunk_count; i++)
    lines_free(self->chunks[i]);
  lines_free(self->chunks);
  lines_free(self->stripes);
  lines_free(self->generations);
  lines_free(self->maps);
  lines_free(self->shards);
  pthread_mutex_destroy(&self->recent_lock);
  pthread_mutex_destroy(&self->used_lock);
  pgc_free(self);
}

/* ---- For the auditor, stamps of use and the counters -------------------------------------------------------------------- */

static bool is_among(const pgc_digest *digests, size_t count, const pgc_digest *digest) {
  for (size_t i = 0; i < count; i++) {
    if (pgc_digest_compare(&digests[i], digest) == 0)
      return true;
  }
  return false;
}

/* The value of an entry that a reader could get; NULL: there is none. */
static const pgcache_value *live_value(const pgc_near *self, const pgc_near_slot *slot) {
  uint64_t word = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);
  const pgcache_value *value = pgc_near_value(self, slot);
  bool live = value != NULL && value->expires_at_us > pgc_now_us() &&
              pgc_near_tags_hold(self, slot, pgc_near_state(slot), word);
  return live ? value : NULL;
}

/* Chains that are looked at for one entry, and attempts for each that is wanted: most chains hold one. */
#define CHAINS 16
#define ATTEMPTS 4

size_t pgc_near_sample(pgc_near *self, pgc_digest *digests, int64_t *versions, size_t most) {
  size_t count = 0;
  for (size_t attempt = 0; attempt < most * ATTEMPTS && count < most; attempt++) {
    uint64_t random = pgc_random_u64();
    pgc_near_shard *shard = pgc_near_shard_of(self, random);
    pthread_mutex_lock(&shard->lock);
    uint32_t handle = 0;
    for (uint64_t i = 0; i < CHAINS && handle == 0; i++)
      handle = *pgc_near_index_head(&shard->by_digest, random + i);
    if (handle != 0) {
      const pgc_near_slot *slot = pgc_near_slot_at(self, handle);
      const pgcache_value *value = live_value(self, slot);
      if (value != NULL && !is_among(digests, count, &slot->is.entry.digest)) {
        digests[count] = slot->is.entry.digest;
        versions[count++] = value->version;
      }
    }
    pthread_mutex_unlock(&shard->lock);
  }
  return count;
}

/* Chains that are looked at under one hold of a shard's lock, and in one call: a millisecond of somebody's time. */
#define USED_CHAINS 256
#define USED_CHAINS_MAX 16384

/* Adds what was hit of a chain, while there is room. False: there is none for what may be left. */
static bool add_used(const pgc_near *self, uint32_t handle, pgc_digest *digests, size_t most, size_t *count) {
  for (; handle != 0; handle = pgc_near_slot_at(self, handle)->u.digest_next) {
    pgc_near_slot *slot = pgc_near_slot_at(self, handle);
    uint64_t state = pgc_near_state(slot);
    if ((state & PGC_NEAR_WAS_HIT) == 0 || (state & PGC_NEAR_KIND) == PGC_NEAR_GONE)
      continue;
    if (*count == most)
      return false;
    __atomic_fetch_and(&slot->state, ~PGC_NEAR_WAS_HIT, __ATOMIC_ACQ_REL);
    digests[(*count)++] = slot->is.entry.digest;
  }
  return true;
}

/* Goes on through some chains of the shard that it is at. False: there is no more room. */
static bool go_through(pgc_near *self, pgc_digest *digests, size_t most, size_t *count) {
  pgc_near_shard *shard = &self->shards[self->used_shard];
  bool room = true;
  pthread_mutex_lock(&shard->lock);
  for (int i = 0; room && i < USED_CHAINS && self->used_chain <= shard->by_digest.mask; i++) {
    room = add_used(self, *pgc_near_index_head(&shard->by_digest, self->used_chain), digests, most, count);
    if (room)
      self->used_chain++;
  }
  if (self->used_chain > shard->by_digest.mask) {
    self->used_shard++;
    self->used_chain = 0;
  }
  pthread_mutex_unlock(&shard->lock);
  return room;
}

size_t pgc_near_used(pgc_near *self, pgc_digest *digests, size_t most, int64_t now_us, int64_t round_us) {
  size_t count = 0;
  pthread_mutex_lock(&self->used_lock);
  if (self->used_shard == self->shard_count && now_us >= self->used_next_us)
    self->used_shard = 0;
  if (self->used_shard == 0 && self->used_chain == 0)
    self->used_next_us = now_us > INT64_MAX - round_us ? INT64_MAX : now_us + round_us;
  for (int i = 0; i < USED_CHAINS_MAX / USED_CHAINS && self->used_shard < self->shard_count; i++) {
    if (!go_through(self, digests, most, &count))
      break;
  }
  pthread_mutex_unlock(&self->used_lock);
  return count;
}

bool pgc_near_holds(pgc_near *self, const pgc_digest *digest, int64_t version) {
  uint64_t place = pgc_near_place(self, digest);
  pgc_near_shard *shard = pgc_near_shard_of(self, place);
  pthread_mutex_lock(&shard->lock);
  uint32_t handle = *pgc_near_index_head(&shard->by_digest, place);
  while (handle != 0 && pgc_digest_compare(&pgc_near_slot_at(self, handle)->is.entry.digest, digest) != 0)
    handle = pgc_near_slot_at(self, handle)->u.digest_next;
  const pgcache_value *value = handle == 0 ? NULL : live_value(self, pgc_near_slot_at(self, handle));
  bool held = value != NULL && value->version == version;
  pthread_mutex_unlock(&shard->lock);
  return held;
}

void pgc_near_count(pgc_near *self, pgc_near_counts *out) {
  *out = (pgc_near_counts){.bytes = self->fixed_bytes};
  for (uint32_t i = 0; i < PGC_NEAR_STRIPES; i++) {
    out->hits += __atomic_load_n(&self->stripes[i].hits, __ATOMIC_RELAXED);
    out->absent_hits += __atomic_load_n(&self->stripes[i].absent_hits, __ATOMIC_RELAXED);
    out->misses += __atomic_load_n(&self->stripes[i].misses, __ATOMIC_RELAXED);
    out->lapses += __atomic_load_n(&self->stripes[i].lapses, __ATOMIC_RELAXED);
    out->plain_hits += __atomic_load_n(&self->stripes[i].plain_hits, __ATOMIC_RELAXED);
    out->plain_absent_hits += __atomic_load_n(&self->stripes[i].plain_absent_hits, __ATOMIC_RELAXED);
  }
  out->hits += out->plain_hits;
  out->absent_hits += out->plain_absent_hits;
  for (int i = 0; i < PGC_NEAR_FLUSH_REASONS; i++)
    out->flushes[i] = __atomic_load_n(&self->flushed[i], __ATOMIC_RELAXED);
  for (uint32_t i = 0; i < self->shard_count; i++) {
    pgc_near_shard *shard = &self->shards[i];
    pthread_mutex_lock(&shard->lock);
    out->fills += shard->fills;
    out->fills_refused += shard->fills_refused;
    out->invalidations += shard->invalidations;
    out->evictions += shard->evictions;
    out->entries += shard->entries;
    out->bytes += shard->bytes;
    pthread_mutex_unlock(&shard->lock);
  }
}
