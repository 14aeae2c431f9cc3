/*
 * near_inside.h - what the files of the near cache share.
 *
 * A slot is one entry. Slots are never given back before the near cache is freed, so a reader without a lock may look at
 * any slot at any moment; whether what it saw belonged together it learns from the slot's state, which changes with every
 * use of the slot. Every slot belongs to the shard of its digest, whose lock guards all writing; the index by digest, the
 * queues and the bytes are the shard's. The indexes by key are apart, in maps of their own, because a reader knows no
 * digest. Order of locks: shard, then map. Events know the digest alone and so need one shard.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_NEAR_INSIDE_H
#define PGC_STATE_NEAR_INSIDE_H

#include <pthread.h>
#include <stdalign.h>

#include "pure/siphash.h"
#include "state/near.h"

#define PGC_CACHE_LINE 64

/* ---- Slots: near_slots.c --------------------------------------------------------------------------------------------- */

/* The state, from the lowest bit: how many of the prepaid references were taken; how often it was hit, up to 3; the kind;
   which queue; whether it was hit since pgc_near_used() asked last; the number of the slot's use. A hit changes what is a hit's in one
   step, and only if it is the same use. */
#define PGC_NEAR_TAKEN ((UINT64_C(1) << 22) - 1)
#define PGC_NEAR_HITS_ONE (UINT64_C(1) << 22)
#define PGC_NEAR_HITS (UINT64_C(3) << 22)
#define PGC_NEAR_KIND (UINT64_C(3) << 24)
#define PGC_NEAR_IN_MAIN (UINT64_C(1) << 26)
#define PGC_NEAR_WAS_HIT (UINT64_C(1) << 27)
#define PGC_NEAR_USE_ONE (UINT64_C(1) << 28)
#define PGC_NEAR_USE (~(PGC_NEAR_USE_ONE - 1))

#define PGC_NEAR_FREE UINT64_C(0)
#define PGC_NEAR_VALUE (UINT64_C(1) << 24)  /* word: pgcache_value * */
#define PGC_NEAR_TAGGED (UINT64_C(2) << 24) /* word: the slot with the value and the tags */
#define PGC_NEAR_GONE (UINT64_C(3) << 24)   /* known to be absent; word: until when */

/* One cache line. What readers look at is written and read through __atomic functions alone, with release and acquire: who
   sees a part of the slot's next use then sees the changed state, too. */
typedef struct pgc_near_slot {
  uint64_t state;
  uint64_t word;
  uint32_t key_next; /* valid in every use */
  union {
    uint32_t digest_next;
    uint32_t tag_count;
  } u;
  union {
    struct {
      uint64_t hash[2];
      pgc_digest digest;     /* the rest: under the lock only */
      uint32_t newer, older; /* in its queue; older also links free slots */
    } entry;
    struct { /* the second slot of an entry with tags; its state is FREE */
      uint64_t generation;
      uint16_t tags[PGC_NEAR_TAGS_MAX]; /* places in the table of generations */
    } tags;
  } is;
} pgc_near_slot;

/* References to a value that an entry pays in advance, so that a hit takes one by counting in the slot alone; and how many
   are paid anew when as many were taken. A value may be in some thousand near caches at once before its count ends. */
#define PGC_NEAR_PREPAID (UINT32_C(1) << 20)
#define PGC_NEAR_REPAY (UINT32_C(1) << 19)

#define PGC_NEAR_CHUNK 64 /* slots that are allocated together */

/* ---- Indexes: near_index.c --------------------------------------------------------------------------------------------- */

#define PGC_NEAR_FIRST_HEADS 64
#define PGC_NEAR_SEGMENTS 26

/* Chains of slots. The heads are in segments, each as long as all before it, so that the index grows without copying and
   readers never lose their footing. Writers hold a lock. */
typedef struct pgc_near_index {
  uint32_t *segments[PGC_NEAR_SEGMENTS];
  uint32_t mask; /* number of heads - 1 */
  uint32_t count;
  bool by_key; /* else by digest */
} pgc_near_index;

bool pgc_near_index_init(pgc_near_index *self, bool by_key);
void pgc_near_index_free(pgc_near_index *self);
uint32_t *pgc_near_index_head(const pgc_near_index *self, uint64_t hash);
void pgc_near_index_link(pgc_near *near, pgc_near_index *self, uint32_t handle);
void pgc_near_index_unlink(pgc_near *near, pgc_near_index *self, uint32_t handle);

/* What it would take to grow, if that is due; else 0. */
int64_t pgc_near_index_growth(const pgc_near_index *self);
/* False: there was no memory, and the chains get longer. */
bool pgc_near_index_grow(pgc_near *near, pgc_near_index *self);

/* ---- What stays: near_policy.c ------------------------------------------------------------------------------------------ */

typedef struct pgc_near_queue {
  uint32_t newest, oldest;
  int64_t weight;
} pgc_near_queue;

typedef struct pgc_near_policy {
  pgc_near_queue small, main;
  uint32_t *ghosts; /* fingerprint and time of what went without having been read again */
  uint32_t ghost_mask;
  uint32_t ghost_room; /* for so many entries it was made */
  uint64_t ghost_time; /* how many were put in */
} pgc_near_policy;

/* Whether an entry that comes should go to the main queue. */
bool pgc_near_policy_remembers(const pgc_near_policy *self, const uint64_t hash[2], int64_t entries);
/* Puts an entry, whose state says which queue, in front. */
void pgc_near_policy_add(pgc_near *near, pgc_near_policy *self, uint32_t handle);
void pgc_near_policy_remove(pgc_near *near, pgc_near_policy *self, uint32_t handle);
/* Which entry should go; 0: there is none. It is still in its queue. */
uint32_t pgc_near_policy_victim(pgc_near *near, pgc_near_policy *self);
/* Notes a victim, before it is removed. */
void pgc_near_policy_note(pgc_near *near, pgc_near_policy *self, uint32_t handle);
/* The bytes that it would take to have notes enough for so many entries; 0: there are. */
int64_t pgc_near_policy_growth(const pgc_near_policy *self, int64_t entries);
/* Makes them, forgetting the old ones; without memory there are none for now. Returns by how many bytes it grew. */
int64_t pgc_near_policy_grow(pgc_near_policy *self, int64_t entries);

/* ---- The whole ------------------------------------------------------------------------------------------------------------ */

typedef struct pgc_near_map {
  alignas(PGC_CACHE_LINE) pgc_near_index index;
  alignas(PGC_CACHE_LINE) pthread_mutex_t lock;
  uint64_t changes; /* odd while somebody is at it; who found nothing and sees it changed looks again */
} pgc_near_map;

typedef struct pgc_near_shard {
  alignas(PGC_CACHE_LINE) pthread_mutex_t lock;
  pgc_near_index by_digest;
  pgc_near_policy policy;
  uint32_t free_slots, free_count;
  uint32_t free_tags;       /* slots that were used for tags: they stay so, because readers may still look at them */
  int64_t bytes, max_bytes; /* its part of everything; slots count from when they are allocated */
  int64_t entries, max_entries;
  int64_t fills, fills_refused, invalidations, evictions;
} pgc_near_shard;

/* What hits count, apart for threads, so that they share no line. */
typedef struct pgc_near_stripe {
  alignas(PGC_CACHE_LINE) int64_t hits;
  int64_t absent_hits, misses, lapses;
  int64_t plain_hits, plain_absent_hits; /* beside the others */
} pgc_near_stripe;

#define PGC_NEAR_STRIPES 32
#define PGC_NEAR_GENERATIONS 16384
#define PGC_NEAR_RECENT 4096 /* invalidations that are remembered */

struct pgc_near {
  int64_t valid_until_us;
  int32_t epoch_seen;   /* the latest that the store's connections told of */
  int32_t epoch_proven; /* that of the last proof; 0: there was none */
  uint64_t flushes;
  uint64_t secret[2];
  const char *home; /* NULL: none was set */
  pgc_siphash_state home_hash;
  pgc_near_slot **chunks; /* by handle / PGC_NEAR_CHUNK; the first is not used */
  pgc_near_map *maps;
  pgc_near_shard *shards;
  pgc_near_stripe *stripes;
  uint64_t *generations;
  pthread_mutex_t used_lock; /* of what pgc_near_used() goes on from: a shard, a chain of it, when to begin anew */
  uint32_t used_shard, used_chain;
  int64_t used_next_us;
  pthread_mutex_t recent_lock;
  uint64_t invalidated;             /* digests, in all; written with that lock held, as is */
  uint16_t recent[PGC_NEAR_RECENT]; /* the places of the last ones */
  uint32_t shard_count, chunk_count, chunks_max;
  int64_t staleness_us, absent_us, fixed_bytes;
  int64_t flushed[PGC_NEAR_FLUSH_REASONS];
};

/* What malloc takes for a block, as glibc does it; other libraries are close. */
static inline int64_t pgc_near_block(size_t size) {
  size_t grain = size < 128 * 1024 ? 16 : 4096; /* large blocks are pages of their own */
  size_t taken = (size + (grain == 16 ? 8 : 16) + grain - 1) / grain * grain;
  return (int64_t)(taken < 32 ? 32 : taken);
}

static inline pgc_near_slot *pgc_near_slot_at(const pgc_near *near, uint32_t handle) {
  return &__atomic_load_n(&near->chunks[handle / PGC_NEAR_CHUNK], __ATOMIC_ACQUIRE)[handle % PGC_NEAR_CHUNK];
}

/* Where a digest belongs: a shard by the highest bits, a generation and a chain by the lowest. */
uint64_t pgc_near_place(const pgc_near *near, const pgc_digest *digest);

static inline pgc_near_shard *pgc_near_shard_of(const pgc_near *near, uint64_t place) {
  return &near->shards[place >> 58 & (near->shard_count - 1)];
}

static inline pgc_near_map *pgc_near_map_of(const pgc_near *near, const uint64_t hash[2]) {
  return &near->maps[hash[1] & (near->shard_count - 1)];
}

/* Of slots, with the shard's lock held: */

static inline uint64_t pgc_near_state(const pgc_near_slot *slot) {
  return __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
}
/* The value of an entry, NULL of one that is known to be absent. */
pgcache_value *pgc_near_value(const pgc_near *near, const pgc_near_slot *slot);
/* What an entry takes beyond slots and indexes. */
int64_t pgc_near_value_bytes(const pgcache_value *value);
/* What it weighs in its queue. */
int64_t pgc_near_weight(const pgc_near *near, const pgc_near_slot *slot);

/* Allocates a chunk of slots, if the shard's bytes allow one more and there is memory. */
bool pgc_near_slots_more(pgc_near *near, pgc_near_shard *shard);
uint32_t pgc_near_slot_take(pgc_near *near, pgc_near_shard *shard);
void pgc_near_slot_give(pgc_near *near, pgc_near_shard *shard, uint32_t handle);
/* One for tags: one that was before, or else a free one. It goes with the entry whose word it becomes. */
uint32_t pgc_near_tags_take(pgc_near *near, pgc_near_shard *shard);

/* Makes the entry invisible, and gives its references back. Returns its last state. */
uint64_t pgc_near_slot_end(pgc_near *near, pgc_near_shard *shard, pgc_near_slot *slot);

/* Whether the tags of the entry are as they were when it came; true of one without. */
bool pgc_near_tags_hold(const pgc_near *near, const pgc_near_slot *slot, uint64_t state, uint64_t word);

/* Without a lock. The entry with this key: its value with a reference, or NULL if it is known to be absent at now_us.
   False: there is none. */
bool pgc_near_slot_find(pgc_near *near, const pgc_near_key *key, int64_t now_us, pgcache_value **value);

#endif
