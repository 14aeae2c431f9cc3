/*
 * near.h - the near cache: values in this process's memory, so that a hit asks nobody.
 *
 * Owns: the entries, which of them stay when the memory is full (S3-FIFO, see near.c), and the three rules that keep a hit
 * from being older than the bound:
 *   1. A value is let in only if nothing was heard of its digests since before the read was sent: tickets.
 *   2. What the change stream says only ever takes entries away.
 *   3. A hit counts only before valid_until, which a proven round trip alone moves: prove().
 * Knows nothing of connections: the listener (store/listener.h) calls rules 2 and 3, the operations rule 1.
 * Must never: change a value, wait for anybody but a shard's lock in a write, or take a lock in a hit.
 *
 * All functions: any thread. now_us is pgc_now_us() throughout.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_NEAR_H
#define PGC_STATE_NEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pure/digest.h"
#include "state/value.h"

typedef struct pgc_near pgc_near;

/* Tags that an entry may depend on beside its own digest. */
#define PGC_NEAR_TAGS_MAX 16

/* A key as the near cache knows it: 128 bits of a keyed hash instead of the digest, which would take longer than the whole
   hit. Two keys with one hash are as unlikely as two with one digest, so the key itself is not kept. */
typedef struct pgc_near_key {
  uint64_t hash[2];
} pgc_near_key;

/* What was known of an entry's digests before a read or write was sent. */
typedef struct pgc_near_ticket {
  uint64_t flushes;
  uint64_t generation; /* of its own digest */
  uint64_t
      invalidated; /* how many invalidations there had been of any digest: a read learns of tags only from its answer */
} pgc_near_ticket;

typedef enum pgc_near_answer {
  PGC_NEAR_NOTHING, /* ask the store */
  PGC_NEAR_HIT,
  PGC_NEAR_ABSENT /* the store is known to have no such entry */
} pgc_near_answer;

typedef enum pgc_near_flush_reason {
  PGC_NEAR_FLUSH_STREAM, /* the stream said that everything was removed */
  PGC_NEAR_FLUSH_START, /* a first connection, or none for longer than the bound: what happened meanwhile is not known */
  PGC_NEAR_FLUSH_EPOCH, /* the server lost its unlogged tables, or is another one */
  PGC_NEAR_FLUSH_GAP,   /* the stream does not reach back to where we were */
  PGC_NEAR_FLUSH_REASONS
} pgc_near_flush_reason;

/* What it has counted; each exact, together of slightly different moments. */
typedef struct pgc_near_counts {
  int64_t hits, absent_hits, misses, fills, fills_refused, invalidations, evictions, lapses;
  int64_t plain_hits, plain_absent_hits; /* of these, those of pgc_near_find_plain() */
  int64_t flushes[PGC_NEAR_FLUSH_REASONS];
  int64_t entries, bytes; /* that it holds now; bytes with all overhead */
} pgc_near_counts;

/* max_bytes: of everything, its own overhead and the values included; max_entries: 0 is no limit; staleness_us: the bound;
   absent_us: how long an entry is known to be absent, 0: that is not remembered. NULL when out of memory. */
pgc_near *pgc_near_new(int64_t max_bytes, int64_t max_entries, int64_t staleness_us, int64_t absent_us);

/* No other call may be under way. Values that callers hold live on. NULL is a no-op. */
void pgc_near_free(pgc_near *self);

/* The namespace of most keys: pgc_near_key_of() knows it by this very pointer, which must stay good, and hashes it no more.
   Before any other thread has the near cache. */
void pgc_near_set_home(pgc_near *self, const char *namespace_name);

/* Hashes a key with the random key of this near cache. */
pgc_near_key pgc_near_key_of(const pgc_near *self, const char *namespace_name, const void *key, size_t key_len);

/* Begins to fetch the memory that find() will look at, for who has something else to do in between. */
void pgc_near_prefetch(const pgc_near *near, const pgc_near_key *key);

/* Looks a key up. HIT: *out holds a reference, for the caller to give back. Expired entries, entries one of whose digests
   has been invalidated, and everything past valid_until are NOTHING. Counts; a lapse when only valid_until was past. */
pgc_near_answer pgc_near_find(pgc_near *self, const pgc_near_key *key, int64_t now_us, pgcache_value **out);

/* The same, of which is counted how much it answered, too: for who counts nothing else. */
pgc_near_answer pgc_near_find_plain(pgc_near *self, const pgc_near_key *key, int64_t now_us, pgcache_value **out);

/* Both for who only looks whether there is a value, and asks on if not: HIT or NOTHING, and HIT alone is counted. */
pgc_near_answer pgc_near_peek(pgc_near *self, const pgc_near_key *key, int64_t now_us, pgcache_value **out);
pgc_near_answer pgc_near_peek_plain(pgc_near *self, const pgc_near_key *key, int64_t now_us, pgcache_value **out);

/* To be called before a read or write of this key is sent. */
pgc_near_ticket pgc_near_begin(pgc_near *self, const pgc_digest *digest);

/* What a read found, with a reference of its own if it is let in. value NULL: there is no such entry, as of now_us, which
   was taken before the read was sent. Refused (and counted) if one of the digests was heard of since the ticket, if a
   newer version is there, or if an absence is, which then goes. Never let in if too large: an eighth of a shard. tags: what it
   depends on beside its own digest, at most PGC_NEAR_TAGS_MAX; the last invalidations are remembered, so that one of them is told from one
   of another tag. True: it was let in. */
bool pgc_near_fill(pgc_near *self, const pgc_near_key *key, const pgc_digest *digest, const pgc_digest *tags,
                   size_t tag_count, pgc_near_ticket ticket, pgcache_value *value, int64_t now_us);

/* A value of more bytes is never let in; one of somewhat less may not be, either. */
size_t pgc_near_largest(const pgc_near *self);

/* This process has written the entry, and the store has acknowledged it: older copies go, and reads on their way are
   refused. value: what to hold instead (if the ticket, taken before the write was sent, still holds), or NULL. version: the
   entry's new one; 0: it was removed, or whether it was written is not known; then every copy goes. */
void pgc_near_written(pgc_near *self, const pgc_near_key *key, const pgc_digest *digest, const pgc_digest *tags,
                      size_t tag_count, pgc_near_ticket ticket, pgcache_value *value, int64_t version);

/* The stream says: the entry of this digest has changed to this version, or was removed by an event of this version. A copy
   of this or a higher version stays: so one's own write survives its echo. */
void pgc_near_changed(pgc_near *self, const pgc_digest *digest, int64_t version);

/* The stream says: what depends on this digest, of a key or a tag, is not valid any more, whatever its version. */
void pgc_near_invalidated(pgc_near *self, const pgc_digest *digest);

/* Forgets everything, and refuses what is on its way. */
void pgc_near_flush(pgc_near *self, pgc_near_flush_reason reason);

/* All that was acknowledged before sent_us has been applied: hits are good until sent_us + the bound. epoch: of the server that said so.
   False, and nothing is proven: the store is of a later epoch, on another server by now. */
bool pgc_near_prove(pgc_near *self, int64_t sent_us, int32_t epoch);

/* A connection of the store's leads to a server of this epoch: proofs of an earlier one end at once, and nothing is held any more. */
void pgc_near_heed_epoch(pgc_near *self, int32_t epoch);

/* Where the store's address leads there is this epoch. If later ones were seen, the schema was made anew, and everything is forgotten. */
void pgc_near_adopt_epoch(pgc_near *self, int32_t epoch);

/* Until when hits are good; INT64_MIN before the first proof. */
int64_t pgc_near_valid_until(const pgc_near *self);

/* A few entries that could be hits, chosen at random, for the auditor: their digests and versions, into arrays of `most`. How many. */
size_t pgc_near_sample(pgc_near *self, pgc_digest *digests, int64_t *versions, size_t most);

/* Entries that were hit since they were given here last, into an array of `most`; how many. It goes through all of them part by part, from
   call to call, and begins anew no sooner than round_us after it did. For who keeps account of the store's use. */
size_t pgc_near_used(pgc_near *self, pgc_digest *digests, size_t most, int64_t now_us, int64_t round_us);

/* Whether the entry is held in just this version, and could be a hit; counts nothing. */
bool pgc_near_holds(pgc_near *self, const pgc_digest *digest, int64_t version);

void pgc_near_count(pgc_near *self, pgc_near_counts *out);

#endif
