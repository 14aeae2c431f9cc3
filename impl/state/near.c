/*
 * near.c - see near.h: what is let in, what goes, and what a hit is.
 *
 * Why nothing stale stays. Whoever hears of a digest raises its generation first and looks for its entry under the shard's
 * lock then; a fill compares the generation with its ticket and puts the entry in under one hold of the same lock. Either
 * the fill's hold comes first, and the entry is found and taken away; or it comes later, and sees the raised generation. A
 * flush raises its own number first and then goes through all shards, likewise. Tags have no entries of their own to be
 * found: an entry remembers the sum of its tags' generations, and each hit compares. A read learns of the tags from its answer
 * alone, so what was heard of them since it was sent is looked up among the last invalidations.
 *
 * A proof is worth something only if it is of the server that the store is on. Each server that takes over begins a new epoch, of which
 * each new connection of the store's tells: a later one than that of the last proof ends all, until there is a proof of that one.
 *
 * Generations are shared by the digests that fall on one place: a fill may be refused, or an entry with tags given up, for
 * nothing. Without tags exactly the entry that was named goes.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "platform/memory.h"
#include "state/near_inside.h"

/* ---- Hits ---------------------------------------------------------------------------------------------------------------- */

static pgc_siphash_state begin_hash(const pgc_near *self, const char *namespace_name) {
  /* The name with one to eight zeros behind it, so that no other name and key make the same bytes. */
  unsigned char head[(PGCACHE_NAMESPACE_MAX + 8) / 8 * 8] = {0};
  size_t name_len = strlen(namespace_name);
  memcpy(head, namespace_name, name_len);
  return pgc_siphash_begin(self->secret, head, (name_len + 8) / 8 * 8);
}

void pgc_near_set_home(pgc_near *self, const char *namespace_name) {
  self->home = namespace_name;
  self->home_hash = begin_hash(self, namespace_name);
}

pgc_near_key pgc_near_key_of(const pgc_near *self, const char *namespace_name, const void *key, size_t key_len) {
  pgc_near_key made;
  if (namespace_name == self->home) {
    pgc_siphash_end(made.hash, &self->home_hash, key, key_len);
  } else {
    pgc_siphash_state begun = begin_hash(self, namespace_name);
    pgc_siphash_end(made.hash, &begun, key, key_len);
  }
  return made;
}

/* Each thread counts in the next stripe; with more threads than stripes some share one. */
static pgc_near_stripe *stripe_of(pgc_near *self) {
  static uint32_t threads;
  static _Thread_local uint32_t number;
  if (number == 0)
    number = __atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED) % PGC_NEAR_STRIPES + 1;
  return &self->stripes[number - 1];
}

static void count(int64_t *counter) {
  __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* plain: nobody else counts what is answered. peeks: what is not found is no miss. */
static inline pgc_near_answer find(pgc_near *self, const pgc_near_key *key, int64_t now_us, pgcache_value **out,
                                   bool plain, bool peeks) {
  pgc_near_stripe *stripe = stripe_of(self);
  /* First: what was applied before this proof is then seen below. Later, an old entry could pass on a new proof. */
  int64_t valid_until_us = pgc_near_valid_until(self);
  pgcache_value *value;
  if (!pgc_near_slot_find(self, key, now_us, &value)) {
    if (!peeks)
      count(&stripe->misses);
    return PGC_NEAR_NOTHING;
  }
  if (now_us >= valid_until_us) {
    if (value != NULL)
      pgc_value_release(value);
    if (!peeks) {
      count(&stripe->lapses);
      count(&stripe->misses);
    }
    return PGC_NEAR_NOTHING;
  }
  if (peeks && value == NULL)
    return PGC_NEAR_NOTHING;
  if (plain)
    count(value != NULL ? &stripe->plain_hits : &stripe->plain_absent_hits);
  else
    count(value != NULL ? &stripe->hits : &stripe->absent_hits);
  *out = value;
  return value != NULL ? PGC_NEAR_HIT : PGC_NEAR_ABSENT;
}

pgc_near_answer pgc_near_find(pgc_near *self, const pgc_near_key *key, int64_t now_us, pgcache_value **out) {
  return find(self, key, now_us, out, false, false);
}

pgc_near_answer pgc_near_find_plain(pgc_near *self, const pgc_near_key *key, int64_t now_us, pgcache_value **out) {
  return find(self, key, now_us, out, true, false);
}

pgc_near_answer pgc_near_peek(pgc_near *self, const pgc_near_key *key, int64_t now_us, pgcache_value **out) {
  return find(self, key, now_us, out, false, true);
}

pgc_near_answer pgc_near_peek_plain(pgc_near *self, const pgc_near_key *key, int64_t now_us, pgcache_value **out) {
  return find(self, key, now_us, out, true, true);
}

static void disprove(pgc_near *self) {
  __atomic_store_n(&self->valid_until_us, INT64_MIN, __ATOMIC_SEQ_CST);
}

/* Whether the server of this epoch is the store's, as far as is known. */
static bool is_of_the_store(const pgc_near *self, int32_t epoch) {
  return epoch >= __atomic_load_n(&self->epoch_seen, __ATOMIC_SEQ_CST);
}

bool pgc_near_prove(pgc_near *self, int64_t sent_us, int32_t epoch) {
  __atomic_store_n(&self->epoch_proven, epoch, __ATOMIC_SEQ_CST);
  if (!is_of_the_store(self, epoch))
    return false;
  int64_t until = sent_us > INT64_MAX - self->staleness_us ? INT64_MAX : sent_us + self->staleness_us;
  int64_t before = pgc_near_valid_until(self);
  while (before < until &&
         !__atomic_compare_exchange_n(&self->valid_until_us, &before, until, true, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
    ;
  if (is_of_the_store(self, epoch))
    return true;
  disprove(self); /* who has seen the later one meanwhile may have done so before our proof stood there */
  return false;
}

void pgc_near_heed_epoch(pgc_near *self, int32_t epoch) {
  int32_t seen = __atomic_load_n(&self->epoch_seen, __ATOMIC_RELAXED);
  do {
    if (epoch <= seen)
      return;
  } while (!__atomic_compare_exchange_n(&self->epoch_seen, &seen, epoch, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
  int32_t proven = __atomic_load_n(&self->epoch_proven, __ATOMIC_SEQ_CST);
  if (proven != 0 && proven < epoch) {
    disprove(self);
    pgc_near_flush(self, PGC_NEAR_FLUSH_EPOCH);
  }
}

void pgc_near_adopt_epoch(pgc_near *self, int32_t epoch) {
  if (is_of_the_store(self, epoch))
    return;
  __atomic_store_n(&self->epoch_seen, epoch, __ATOMIC_SEQ_CST);
  pgc_near_flush(self, PGC_NEAR_FLUSH_EPOCH);
}

int64_t pgc_near_valid_until(const pgc_near *self) {
  return __atomic_load_n(&self->valid_until_us, __ATOMIC_ACQUIRE);
}

/* ---- Tickets --------------------------------------------------------------------------------------------------------------- */

static uint64_t *generation_at(const pgc_near *self, uint64_t place) {
  return &self->generations[place % PGC_NEAR_GENERATIONS];
}

static void raise(pgc_near *self, uint64_t place) {
#ifdef PGC_PLANT_PLACEHOLDER_FILL
  __atomic_store_n(generation_at(self, place), 0, __ATOMIC_RELEASE);
#else
  __atomic_add_fetch(generation_at(self, place), 1, __ATOMIC_ACQ_REL);
#endif
}

static bool holds(const pgc_near *self, pgc_near_ticket ticket, uint64_t place) {
#ifdef PGC_PLANT_NAIVE_FILL
  return true;
#endif
  return __atomic_load_n(&self->flushes, __ATOMIC_ACQUIRE) == ticket.flushes &&
         __atomic_load_n(generation_at(self, place), __ATOMIC_ACQUIRE) == ticket.generation;
}

/* Whether none of these tags was invalidated since the ticket, as far as that is remembered. */
static bool tags_are_as_before(const pgc_near *self, pgc_near_ticket ticket, const uint16_t *tags, size_t tag_count) {
#ifdef PGC_PLANT_NAIVE_FILL
  return true;
#endif
  if (tag_count == 0)
    return true;
  uint64_t now = __atomic_load_n(&self->invalidated, __ATOMIC_ACQUIRE);
  for (uint64_t i = ticket.invalidated; i != now && now - ticket.invalidated <= PGC_NEAR_RECENT; i++) {
    uint16_t recent = __atomic_load_n(&self->recent[i % PGC_NEAR_RECENT], __ATOMIC_ACQUIRE);
    for (size_t t = 0; t < tag_count; t++) {
      if (tags[t] == recent)
        return false;
    }
  }
  /* Meanwhile more may have come, over those that were just read. The one that is being noted is not counted yet. */
  return __atomic_load_n(&self->invalidated, __ATOMIC_ACQUIRE) - ticket.invalidated < PGC_NEAR_RECENT;
}

static void places_of(const pgc_near *self, uint16_t *places, const pgc_digest *tags, size_t tag_count) {
  for (size_t i = 0; i < tag_count; i++)
    places[i] = (uint16_t)(pgc_near_place(self, &tags[i]) % PGC_NEAR_GENERATIONS);
}

pgc_near_ticket pgc_near_begin(pgc_near *self, const pgc_digest *digest) {
  uint64_t *generation = generation_at(self, pgc_near_place(self, digest));
#ifdef PGC_PLANT_PLACEHOLDER_FILL
  __atomic_store_n(generation, 1, __ATOMIC_RELEASE);
#endif
  return (pgc_near_ticket){__atomic_load_n(&self->flushes, __ATOMIC_ACQUIRE),
                           __atomic_load_n(generation, __ATOMIC_ACQUIRE),
                           __atomic_load_n(&self->invalidated, __ATOMIC_ACQUIRE)};
}

/* ---- Entries, with the shard's lock held --------------------------------------------------------------------------------- */

static uint32_t entry_of(const pgc_near *self, const pgc_near_shard *shard, uint64_t place, const pgc_digest *digest) {
  uint32_t handle = *pgc_near_index_head(&shard->by_digest, place);
  while (handle != 0 && pgc_digest_compare(&pgc_near_slot_at(self, handle)->is.entry.digest, digest) != 0)
    handle = pgc_near_slot_at(self, handle)->u.digest_next;
  return handle;
}

static void lock_map(pgc_near_map *map) {
  pthread_mutex_lock(&map->lock);
  __atomic_add_fetch(&map->changes, 1, __ATOMIC_ACQ_REL);
}

static void unlock_map(pgc_near_map *map) {
  __atomic_add_fetch(&map->changes, 1, __ATOMIC_ACQ_REL);
  pthread_mutex_unlock(&map->lock);
}

/* Removes an entry. Returns its last state. */
static uint64_t drop(pgc_near *self, pgc_near_shard *shard, uint32_t handle) {
  pgc_near_slot *slot = pgc_near_slot_at(self, handle);
  pgc_near_policy_remove(self, &shard->policy, handle);
  shard->bytes -= pgc_near_value_bytes(pgc_near_value(self, slot));
  shard->entries--;
  uint64_t last = pgc_near_slot_end(self, shard, slot);
  pgc_near_map *map = pgc_near_map_of(self, slot->is.entry.hash);
  lock_map(map);
  pgc_near_index_unlink(self, &map->index, handle);
  unlock_map(map);
  pgc_near_index_unlink(self, &shard->by_digest, handle);
  pgc_near_slot_give(self, shard, handle);
  return last;
}

static bool drop_victim(pgc_near *self, pgc_near_shard *shard) {
  uint32_t handle = pgc_near_policy_victim(self, &shard->policy);
  if (handle == 0)
    return false;
  pgc_near_policy_note(self, &shard->policy, handle);
  drop(self, shard, handle);
  shard->evictions++;
  return true;
}

/* Removes one entry, or more when the notes of what went have to grow, within the same bound. False: there is none. */
static bool evict(pgc_near *self, pgc_near_shard *shard) {
  int64_t entries = shard->entries, notes = pgc_near_policy_growth(&shard->policy, entries);
  while (notes != 0 && shard->bytes + notes > shard->max_bytes) {
    if (!drop_victim(self, shard))
      return entries != 0;
  }
  if (notes != 0)
    shard->bytes += pgc_near_policy_grow(&shard->policy, entries);
  return drop_victim(self, shard) || entries != 0;
}

static bool make_room(pgc_near *self, pgc_near_shard *shard, int64_t bytes, int64_t entries) {
  while (shard->bytes + bytes > shard->max_bytes || shard->entries + entries > shard->max_entries) {
    if (!evict(self, shard))
      return false;
  }
  return true;
}

/* An index that is full grows on this shard's account; if it cannot, its chains get longer. */
static void grow_index(pgc_near *self, pgc_near_shard *shard, pgc_near_index *index) {
  int64_t bytes = pgc_near_index_growth(index);
  if (bytes != 0 && shard->bytes + bytes <= shard->max_bytes && pgc_near_index_grow(self, index))
    shard->bytes += bytes;
}

/* What comes in. */
typedef struct newcomer {
  const pgc_near_key *key;
  const pgc_digest *digest;
  uint64_t place;
  pgcache_value *value; /* NULL: known to be absent */
  int64_t gone_until_us;
  const uint16_t *tags;
  uint32_t tag_count;
  uint64_t tags_generation;
} newcomer;

/* The word of an entry with tags: a slot with both. */
static uint64_t tags_slot(pgc_near *self, pgc_near_shard *shard, const newcomer *what) {
  uint32_t handle = pgc_near_tags_take(self, shard);
  pgc_near_slot *slot = pgc_near_slot_at(self, handle);
  __atomic_store_n(&slot->word, (uint64_t)(uintptr_t)what->value, __ATOMIC_RELEASE);
  __atomic_store_n(&slot->is.tags.generation, what->tags_generation, __ATOMIC_RELEASE);
  for (uint32_t i = 0; i < what->tag_count; i++)
    __atomic_store_n(&slot->is.tags.tags[i], what->tags[i], __ATOMIC_RELEASE);
  __atomic_store_n(&slot->u.tag_count, what->tag_count, __ATOMIC_RELEASE);
  return handle;
}

/* Puts an entry in; `as`, the last state of the copy that it replaces, gives it that one's place. False: no room. */
static bool put_in(pgc_near *self, pgc_near_shard *shard, const newcomer *what, uint64_t as) {
  int64_t bytes = pgc_near_value_bytes(what->value);
  bool tagged = what->value != NULL && what->tag_count != 0;
  if (!make_room(self, shard, bytes, 1))
    return false;
  while (shard->free_count < (tagged && shard->free_tags == 0 ? 2 : 1)) {
    if (!pgc_near_slots_more(self, shard) && !evict(self, shard))
      return false;
  }
  if (!make_room(self, shard, bytes, 1)) /* the slots have taken of it */
    return false;

  bool remembered = pgc_near_policy_remembers(&shard->policy, what->key->hash, shard->entries);
  uint32_t handle = pgc_near_slot_take(self, shard);
  pgc_near_slot *slot = pgc_near_slot_at(self, handle);
  uint64_t state = (pgc_near_state(slot) & PGC_NEAR_USE) | (as & (PGC_NEAR_IN_MAIN | PGC_NEAR_HITS));
  if (remembered)
    state |= PGC_NEAR_IN_MAIN;
  uint64_t word = (uint64_t)(uintptr_t)what->value;
  if (what->value == NULL)
    word = (uint64_t)what->gone_until_us;
  else
    pgc_value_retain_many(what->value, PGC_NEAR_PREPAID);
  if (tagged)
    word = tags_slot(self, shard, what);
  __atomic_store_n(&slot->word, word, __ATOMIC_RELEASE);
  __atomic_store_n(&slot->is.entry.hash[0], what->key->hash[0], __ATOMIC_RELEASE);
  __atomic_store_n(&slot->is.entry.hash[1], what->key->hash[1], __ATOMIC_RELEASE);
  slot->is.entry.digest = *what->digest;
  state |= what->value == NULL ? PGC_NEAR_GONE : tagged ? PGC_NEAR_TAGGED : PGC_NEAR_VALUE;
  __atomic_store_n(&slot->state, state, __ATOMIC_RELEASE);

  shard->bytes += bytes;
  shard->entries++;
  pgc_near_policy_add(self, &shard->policy, handle);
  grow_index(self, shard, &shard->by_digest);
  pgc_near_index_link(self, &shard->by_digest, handle);
  pgc_near_map *map = pgc_near_map_of(self, what->key->hash);
  lock_map(map);
  grow_index(self, shard, &map->index);
  pgc_near_index_link(self, &map->index, handle);
  unlock_map(map);
  return true;
}

/* ---- What reads and writes bring ------------------------------------------------------------------------------------------ */

/* Whether a copy that is there is to be preferred to what a read has found. */
static bool is_better(const pgc_near *self, const pgc_near_slot *slot, const pgcache_value *found, int64_t now_us) {
  uint64_t state = pgc_near_state(slot), word = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);
  const pgcache_value *value = pgc_near_value(self, slot);
  if (value == NULL) /* of two reads that were under way together nobody knows which saw the later state */
    return found != NULL && now_us < (int64_t)word;
  if (value->expires_at_us <= now_us || !pgc_near_tags_hold(self, slot, state, word))
    return false;
  return found == NULL || value->version > found->version;
}

/* An adopted value is part of something larger, whose memory nobody counts: then it is copied. */
static pgcache_value *own_copy(pgcache_value *value) {
  if (!value->adopted) {
    pgc_value_retain(value);
    return value;
  }
  pgcache_value *copy = pgc_value_new(value->size);
  if (copy == NULL)
    return NULL;
  memcpy(copy->own, pgc_value_data(value), value->size);
  copy->format = value->format;
  copy->stale = value->stale;
  copy->load_ms = value->load_ms;
  copy->version = value->version;
  copy->expires_at_us = value->expires_at_us;
  return copy;
}

/* Of an entry that comes in; to be taken before the ticket is looked at: should a tag be raised in between, the entry comes
   in as one that holds no more. */
static uint64_t tags_generation(const pgc_near *self, const uint16_t *tags, size_t tag_count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < tag_count; i++)
    sum += __atomic_load_n(generation_at(self, tags[i]), __ATOMIC_ACQUIRE);
  return sum;
}

static bool is_too_large(const pgc_near_shard *shard, const pgcache_value *value) {
  return pgc_near_value_bytes(value) > shard->max_bytes / 8;
}

size_t pgc_near_largest(const pgc_near *self) {
  return (size_t)(self->shards[0].max_bytes > 0 ? self->shards[0].max_bytes / 8 : 0);
}

bool pgc_near_fill(pgc_near *self, const pgc_near_key *key, const pgc_digest *digest, const pgc_digest *tags,
                   size_t tag_count, pgc_near_ticket ticket, pgcache_value *value, int64_t now_us) {
  uint16_t places[PGC_NEAR_TAGS_MAX];
  newcomer what = {.key = key, .digest = digest, .place = pgc_near_place(self, digest), .tags = places};
  pgc_near_shard *shard = pgc_near_shard_of(self, what.place);
  if (is_too_large(shard, value) || tag_count > PGC_NEAR_TAGS_MAX || (value == NULL && self->absent_us == 0))
    return false;
  if (value != NULL && (what.value = own_copy(value)) == NULL)
    return false;
  what.tag_count = (uint32_t)tag_count;
  what.gone_until_us = now_us > INT64_MAX - self->absent_us ? INT64_MAX : now_us + self->absent_us;
  places_of(self, places, tags, tag_count);

  pthread_mutex_lock(&shard->lock);
  what.tags_generation = tags_generation(self, places, tag_count);
  uint32_t there = entry_of(self, shard, what.place, digest);
  bool held = holds(self, ticket, what.place) && tags_are_as_before(self, ticket, places, tag_count);
  bool refused = !held || (there != 0 && is_better(self, pgc_near_slot_at(self, there), value, now_us));
  /* A read has found the entry that another one says is not there: then nobody knows, and the store is asked again. */
  bool unsure = there != 0 && held && value != NULL && pgc_near_value(self, pgc_near_slot_at(self, there)) == NULL;
  uint64_t as = there != 0 && (!refused || unsure) ? drop(self, shard, there) : 0;
  bool done = !refused && put_in(self, shard, &what, as);
  shard->fills += done;
  shard->fills_refused += refused;
  pthread_mutex_unlock(&shard->lock);
  if (what.value != NULL)
    pgc_value_release(what.value);
  return done;
}

/* Takes the copy away if there is one, and it is not of this or a higher version. Returns the state that it had, or 0. */
static uint64_t drop_older(pgc_near *self, pgc_near_shard *shard, uint32_t there, int64_t version) {
  if (there == 0)
    return 0;
  const pgcache_value *value = pgc_near_value(self, pgc_near_slot_at(self, there));
  if (value != NULL && value->version >= version)
    return 0;
  shard->invalidations++;
  return drop(self, shard, there);
}

void pgc_near_written(pgc_near *self, const pgc_near_key *key, const pgc_digest *digest, const pgc_digest *tags,
                      size_t tag_count, pgc_near_ticket ticket, pgcache_value *value, int64_t version) {
  uint16_t places[PGC_NEAR_TAGS_MAX];
  newcomer what = {.key = key, .digest = digest, .place = pgc_near_place(self, digest), .tags = places};
  pgc_near_shard *shard = pgc_near_shard_of(self, what.place);
  if (value != NULL && !is_too_large(shard, value) && tag_count <= PGC_NEAR_TAGS_MAX) {
    what.value = own_copy(value);
    what.tag_count = (uint32_t)tag_count;
    places_of(self, places, tags, tag_count);
  }

  pthread_mutex_lock(&shard->lock);
  what.tags_generation = tags_generation(self, places, what.tag_count);
  bool held = holds(self, ticket, what.place) && tags_are_as_before(self, ticket, places, what.tag_count);
  raise(self, what.place); /* for reads that are on their way */
  uint64_t as = drop_older(self, shard, entry_of(self, shard, what.place, digest), version == 0 ? INT64_MAX : version);
  if (what.value != NULL) {
    bool wanted = held && entry_of(self, shard, what.place, digest) == 0;
    shard->fills += wanted && put_in(self, shard, &what, as);
    shard->fills_refused += !wanted;
  }
  pthread_mutex_unlock(&shard->lock);
  if (what.value != NULL)
    pgc_value_release(what.value);
}

/* ---- What the stream says --------------------------------------------------------------------------------------------------- */

void pgc_near_changed(pgc_near *self, const pgc_digest *digest, int64_t version) {
  uint64_t place = pgc_near_place(self, digest);
  pgc_near_shard *shard = pgc_near_shard_of(self, place);
  raise(self, place); /* first; see above */
  pthread_mutex_lock(&shard->lock);
  drop_older(self, shard, entry_of(self, shard, place, digest), version);
  pthread_mutex_unlock(&shard->lock);
}

void pgc_near_invalidated(pgc_near *self, const pgc_digest *digest) {
  uint16_t place = (uint16_t)(pgc_near_place(self, digest) % PGC_NEAR_GENERATIONS);
  /* Before the generation is raised: an entry that comes in between sees the one or the other. */
  pthread_mutex_lock(&self->recent_lock);
  __atomic_store_n(&self->recent[self->invalidated % PGC_NEAR_RECENT], place, __ATOMIC_RELEASE);
  __atomic_add_fetch(&self->invalidated, 1, __ATOMIC_ACQ_REL);
  pthread_mutex_unlock(&self->recent_lock);
  pgc_near_changed(self, digest, INT64_MAX);
}

void pgc_near_flush(pgc_near *self, pgc_near_flush_reason reason) {
  __atomic_add_fetch(&self->flushes, 1, __ATOMIC_ACQ_REL);
  count(&self->flushed[reason]);
  for (uint32_t i = 0; i < self->shard_count; i++) {
    pgc_near_shard *shard = &self->shards[i];
    pthread_mutex_lock(&shard->lock);
    while (shard->policy.small.oldest != 0)
      drop(self, shard, shard->policy.small.oldest);
    while (shard->policy.main.oldest != 0)
      drop(self, shard, shard->policy.main.oldest);
    pthread_mutex_unlock(&shard->lock);
  }
}
