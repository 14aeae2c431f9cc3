/*
 * batch.c - see batch.h. Rows are always locked in the order of their digests: callers with overlapping keys wait for
 * each other and cannot deadlock.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/batch.h"

#include <stdlib.h>
#include <string.h>

#include "operations/copies.h"
#include "operations/dependencies.h"
#include "operations/measure.h"
#include "platform/memory.h"
#include "pure/error.h"
#include "pure/sizes.h"

/* A statement of puts carries no more than this, so that neither side needs much memory at once. */
#define PART_BYTES_MAX ((size_t)64 * 1024 * 1024)

/* Where outputs go. */
static pgcache_item *item_at(pgcache_item *items, size_t index) {
  return pgc_element(items, items->struct_size, index);
}

static int compare_sorted(const void *left, const void *right) {
  const pgc_sorted_item *a = left, *b = right;
  int order = pgc_digest_compare(&a->digest, &b->digest);
  if (order != 0)
    return order;
  return (a->index > b->index) - (a->index < b->index);
}

/* Checks one item with the rules of a single-key call, in call->key. */
static pgcache_status check_item(pgc_call *call, const pgcache_item *item) {
  pgcache_status status = pgc_call_set_key(call, item->key, item->key_len);
  if (status == PGCACHE_OK && call->op.kind == PGC_OP_PUT_MANY)
    status = pgc_call_set_value(call, item->value, item->value_len, item->format);
  if (status == PGCACHE_OK && call->op.kind == PGC_OP_PUT_MANY)
    status = pgc_call_set_ttl(call, item->ttl_ms);
  return status;
}

pgcache_status pgc_batch_check(pgc_call *call, const pgcache_item *items, size_t count) {
  pgcache_error *error = call->error;
  pgcache_error reason = PGCACHE_ERROR_INIT;
  for (size_t i = 0; i < count; i++) {
    const pgcache_item *item = pgc_item_at(items, i);
    if (item->struct_size != items->struct_size)
      return pgc_fail(error, PGCACHE_INVALID, "item %zu: struct_size differs from the first item's", i);
    call->error = &reason;
    pgcache_status status = check_item(call, item);
    call->error = error;
    if (status != PGCACHE_OK)
      return pgc_fail(error, status, "item %zu: %s", i, reason.message);
  }
  return PGCACHE_OK;
}

void pgc_batch_sort(const pgc_call *call, const pgcache_item *items, pgc_sorted_item *sorted, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const pgcache_item *item = pgc_item_at(items, sorted[i].index);
    pgc_encoding_digest(&call->cache->encoding, &sorted[i].digest, call->op.namespace_name, item->key, item->key_len);
  }
  qsort(sorted, count, sizeof *sorted, compare_sorted);
}

size_t pgc_batch_end_of_run(const pgc_sorted_item *sorted, size_t count, size_t from) {
  size_t end = from + 1;
  while (end < count && pgc_digest_compare(&sorted[end].digest, &sorted[from].digest) == 0)
    end++;
  return end;
}

void pgc_batch_set_key(pgc_call *call, pgc_op_key *key, const pgcache_item *item, const pgc_digest *digest) {
  *key = (pgc_op_key){.digest = *digest,
                      .key = item->key,
                      .key_len = item->key_len,
                      .flags = pgc_encoding_flags(&call->cache->encoding)};
  if (call->op.kind == PGC_OP_PUT_MANY) {
    pgc_call_set_ttl(call, item->ttl_ms); /* checked before: this resolves the defaults */
    key->ttl_ms = call->key.ttl_ms;
    key->value = item->value;
    key->value_len = item->value_len;
    key->format = item->format;
  }
}

/* Fills keys with the next distinct ones, from position `from` of sorted on; gives the position behind them. */
static size_t fill_part(pgc_call *call, pgcache_item *items, const pgc_sorted_item *sorted, size_t count, size_t from,
                        pgc_op_key *keys) {
  size_t bytes = 0;
  call->op.keys = keys;
  call->op.count = 0;
  while (from < count && call->op.count < PGCACHE_BATCH_MAX) {
    size_t end = pgc_batch_end_of_run(sorted, count, from);
    const pgcache_item *item = pgc_item_at(items, sorted[end - 1].index);
    if (call->op.kind == PGC_OP_PUT_MANY) {
      bytes += item->key_len + item->value_len;
      if (bytes > PART_BYTES_MAX && call->op.count > 0)
        break;
    }
    pgc_batch_set_key(call, &keys[call->op.count], item, &sorted[from].digest);
    call->op.count++;
    from = end;
  }
  return from;
}

/* Gives the items of a part their answers. */
static void spread_answers(const pgc_call *call, pgcache_item *items, const pgc_sorted_item *sorted, size_t from,
                           size_t end) {
  const pgc_op_key *key = call->op.keys;
  for (size_t i = from; i < end; i++) {
    if (i > from && pgc_digest_compare(&sorted[i].digest, &sorted[i - 1].digest) != 0)
      key++;
    pgcache_item *item = item_at(items, sorted[i].index);
    item->status = key->status;
    item->version = key->status == PGCACHE_OK ? key->version : 0;
    item->result = key->found;
    if (key->found != NULL)
      pgc_value_retain(key->found);
  }
  for (size_t i = 0; i < call->op.count; i++) {
    if (call->op.keys[i].found != NULL)
      pgc_value_release(call->op.keys[i].found);
  }
}

static void spread_failure(pgcache_item *items, const pgc_sorted_item *sorted, size_t from, size_t end,
                           pgcache_status status) {
  for (size_t i = from; i < end; i++)
    item_at(items, sorted[i].index)->status = status;
}

static void reset_output(pgcache_item *item, pgcache_status status) {
  item->status = status;
  item->version = 0;
  item->result = NULL;
}

/* Gives every item the same outputs: before anything was done, and when nothing was. */
static void reset_outputs(pgcache_item *items, size_t count, pgcache_status status) {
  for (size_t i = 0; i < count; i++)
    reset_output(item_at(items, i), status);
}

pgcache_status pgc_batch_check_array(pgc_call *call, const pgcache_item *items, size_t count) {
  if (items == NULL || !PGC_MAKES_ARRAY(pgcache_item, items->struct_size, result, count))
    return pgc_fail(call->error, PGCACHE_INVALID,
                    "items is NULL, or its struct_size or count is out of range; use PGCACHE_ITEM_INIT");
  return PGCACHE_OK;
}

/* ---- What the near cache has answered ---- */

/* By their outputs, which were reset before. */
static bool is_answered(const pgcache_item *item) {
  return item->result != NULL || item->status == PGCACHE_MISS;
}

static int compare_hashes(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

/* Duplicates get the same answer: what was answered for one of them, and not for another, is asked for, too. Gives how many are
   answered then; SIZE_MAX when out of memory. */
static size_t answer_duplicates_alike(const pgc_call *call, pgcache_item *items, size_t count, size_t answered) {
  if (answered == 0 || answered == count)
    return answered;
  size_t asked = 0;
  uint64_t *hashes = pgc_alloc((count - answered) * sizeof *hashes);
  if (hashes == NULL)
    return SIZE_MAX;
  for (size_t i = 0; i < count; i++) {
    if (!is_answered(item_at(items, i)))
      hashes[asked++] = pgc_copies_hash(call, item_at(items, i));
  }
  qsort(hashes, asked, sizeof *hashes, compare_hashes);
  for (size_t i = 0; i < count; i++) {
    pgcache_item *item = item_at(items, i);
    if (!is_answered(item))
      continue;
    uint64_t hash = pgc_copies_hash(call, item);
    if (bsearch(&hash, hashes, asked, sizeof *hashes, compare_hashes) == NULL)
      continue;
    if (item->result != NULL)
      pgc_value_release(item->result);
    reset_output(item, PGCACHE_OK);
    answered--;
  }
  pgc_free(hashes);
  return answered;
}

/* ---- Running ---- */

/* Asks the store for what is not answered, part by part. */
static pgcache_status run_parts(pgc_call *call, pgcache_item *items, const pgc_sorted_item *sorted, size_t count,
                                pgc_op_key *keys) {
  pgcache_status status = PGCACHE_OK;
  for (size_t from = 0; status == PGCACHE_OK && from < count;) {
    size_t end = fill_part(call, items, sorted, count, from, keys);
    status = pgc_call_run(call);
    if (status == PGCACHE_OK) {
      spread_answers(call, items, sorted, from, end);
    } else {
      spread_failure(items, sorted, from, end, status);
      spread_failure(items, sorted, end, count, status == PGCACHE_UNKNOWN ? PGCACHE_UNAVAILABLE : status);
    }
    from = end;
  }
  return status;
}

/* Whatever is not answered has this status, without anything having been sent. */
static void fail_unanswered(pgcache_item *items, size_t count, pgcache_status status) {
  for (size_t i = 0; i < count; i++) {
    if (!is_answered(item_at(items, i)))
      reset_output(item_at(items, i), status);
  }
}

static pgcache_status ask_store(pgc_call *call, pgcache_item *items, size_t count, size_t answered) {
  size_t asked = count - answered;
  size_t part_max = asked < PGCACHE_BATCH_MAX ? asked : PGCACHE_BATCH_MAX;
  pgc_sorted_item *sorted = pgc_alloc(asked * sizeof *sorted);
  pgc_op_key *keys = pgc_alloc(part_max * sizeof *keys);
  pgcache_status status = PGCACHE_OK;
  if (sorted != NULL && keys != NULL) {
    size_t filled = 0;
    for (size_t i = 0; i < count; i++) {
      if (!is_answered(item_at(items, i)))
        sorted[filled++].index = i;
    }
    pgc_batch_sort(call, items, sorted, asked);
    status = run_parts(call, items, sorted, asked, keys);
  } else {
    status = pgc_fail_memory(call->error);
    fail_unanswered(items, count, status);
  }
  pgc_free(sorted);
  pgc_free(keys);
  return status;
}

/* How many items have each outcome; of reads those that the near cache has answered are counted apart, first. */
static void count_items(pgc_call *call, const pgcache_item *items, size_t count, pgc_answerer source) {
  pgc_measure *measure = &call->measure;
  bool near = source == PGC_FROM_NEAR;
  int64_t hits = 0, misses = 0;
  for (size_t i = 0; i < count; i++) {
    const pgcache_item *item = pgc_item_at(items, i);
    hits += near ? item->result != NULL : item->status == PGCACHE_OK;
    misses += item->status == PGCACHE_MISS;
  }
  measure->number = hits;
  measure->hits[source] = near ? hits : hits - measure->hits[PGC_FROM_NEAR];
  measure->misses[source] = near ? misses : misses - measure->misses[PGC_FROM_NEAR];
}

static pgcache_status run(pgc_call *call, pgcache_item *items, size_t count) {
  size_t answered = call->op.kind == PGC_OP_GET_MANY ? pgc_copies_answer_items(call, items, count) : 0;
  answered = answer_duplicates_alike(call, items, count, answered);
  if (answered == SIZE_MAX) {
    pgcache_status status = pgc_fail_memory(call->error);
    fail_unanswered(items, count, status);
    return status;
  }
  if (answered > 0)
    count_items(call, items, count, PGC_FROM_NEAR);
  if (answered == count) {
    call->measure.source = PGC_FROM_NEAR;
    return PGCACHE_OK;
  }
  pgc_call_start(call);
  pgcache_status status = ask_store(call, items, count, answered);
  count_items(call, items, count, PGC_FROM_STORE);
  return status;
}

static pgc_operation operation_of(pgc_op_kind kind) {
  return kind == PGC_OP_GET_MANY   ? PGC_OPERATION_GET_MANY
         : kind == PGC_OP_PUT_MANY ? PGC_OPERATION_PUT_MANY
                                   : PGC_OPERATION_REMOVE_MANY;
}

pgcache_status pgc_batch_run(pgcache *cache, pgc_op_kind kind, pgcache_item *items, size_t count,
                             const pgcache_options *options, pgcache_error *error) {
  pgc_call begun, *call = &begun;
  pgc_digest tags[PGC_TAGS_MAX];
  pgcache_status status = pgc_call_prepare(call, cache, kind, options, error);
  if (count == 0)
    return status;
  if (pgc_batch_check_array(call, items, count) != PGCACHE_OK)
    return PGCACHE_INVALID;
  reset_outputs(items, count, status);
  if (status != PGCACHE_OK)
    return status;
  status = pgc_batch_check(call, items, count);
  if (status == PGCACHE_OK && kind == PGC_OP_PUT_MANY)
    status = pgc_call_set_dependencies(call, tags);
  if (status != PGCACHE_OK) {
    reset_outputs(items, count, status);
    return status;
  }
  call->measure.began_ns = pgc_monotonic_ns();
  pgc_measure_begin_many(call, operation_of(kind), count);
  return pgc_measure_end(call, run(call, items, count));
}
