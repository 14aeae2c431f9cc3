/*
 * copies.h - what an operation asks of the near cache, and what it tells it [rule:near].
 *
 * Owns: which answers of the store become copies, and which make copies go. Must never: answer a submitted read with a copy
 * while a write of its key that was submitted before is under way [rule:key_order].
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_OPERATIONS_COPIES_H
#define PGC_OPERATIONS_COPIES_H

#include "engine/request.h"
#include "operations/call.h"
#include "state/near.h"

/* The near cache of this process; NULL: there is none. reads: see store.h. */
pgc_near *pgc_copies_of(pgcache *cache, bool reads);

/* Answers a call on one key, a get or exists whose key is set and whose digest is not taken yet: true, and call->key has
   status and found. Asks no other clock than one. */
bool pgc_copies_answer(pgc_call *call);

/* A get without any call, for a hit is to cost less than to make one. HIT: *out is a reference. NOTHING: it was looked for, and
   is not there; a call need not look again. NOT_ASKED: the arguments are not those of most calls, a call has to see to them. */
typedef enum pgc_copies_got {
  PGC_COPIES_NOT_ASKED,
  PGC_COPIES_NOTHING,
  PGC_COPIES_HIT,
  PGC_COPIES_ABSENT
} pgc_copies_got;
pgc_copies_got pgc_copies_get(pgcache *cache, pgcache_value **out, const void *key, size_t key_len,
                              const pgcache_options *options, const pgcache_error *error);

/* Both for pgcache_peek(): a value alone is an answer, nothing is started, and what is not found is not counted. */
pgc_copies_got pgc_copies_glance(pgcache *cache, pgcache_value **out, const void *key, size_t key_len,
                                 const pgcache_options *options, const pgcache_error *error);
bool pgc_copies_peek(pgc_call *call);

/* The same for items that were checked, of a get_many: sets the outputs of those that it answers, and gives their number. */
size_t pgc_copies_answer_items(const pgc_call *call, pgcache_item *items, size_t count);

/* The same number for the same key in one namespace, where there is a near cache. */
uint64_t pgc_copies_hash(const pgc_call *call, const pgcache_item *item);

/* Before an operation is sent, whose digests are taken: notes what is known of its keys. NULL: there is nothing to tell
   afterwards. */
pgc_near *pgc_copies_begin(pgc_call *call);

/* When it is done, with the status that the store gave, and the keys as they were sent. */
void pgc_copies_end(pgc_near *near, const pgc_call *call, pgcache_status status);

/* ---- Requests ---- */

/* Writes of requests under way, counted by the hashes of their keys: a few keys share a place, and then are read from the
   store for a moment without need. */
#define PGC_COPIES_PLACES 1024
typedef struct pgc_copies_writes {
  bool absences;                         /* the setting near_absent_ms is not 0 */
  uint32_t under_way[PGC_COPIES_PLACES]; /* through __atomic functions only */
} pgc_copies_writes;

/* pgc_copies_answer() for a call that is going to be submitted. writes: of this process. */
bool pgc_copies_answer_submitted(pgc_call *call, pgc_copies_writes *writes);

/* Answers what can be answered of a request that reads many keys. True: that was all. */
bool pgc_copies_answer_parts(const pgc_call *call, pgc_request *request, pgc_copies_writes *writes);

/* Before a request with parts is submitted, whose digests are taken: notes what is known of those that are not answered. */
void pgc_copies_submit(const pgc_call *call, pgc_request *request, pgc_copies_writes *writes);

/* It was not taken. */
void pgc_copies_refused(const pgc_request *request);

#endif
