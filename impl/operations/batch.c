/*
 * batch.c - see batch.h. Rows are always locked in the order of their digests: callers with overlapping keys wait for
 * each other and cannot deadlock.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/batch.h"

#include <stdlib.h>
#include <string.h>

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

pgcache_status pgc_batch_sort(pgc_call *call, const pgcache_item *items, size_t count, pgc_sorted_item *sorted) {
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
    sorted[i].digest = call->key.digest;
    sorted[i].index = i;
  }
  qsort(sorted, count, sizeof *sorted, compare_sorted);
  return PGCACHE_OK;
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

/* Gives every item the same outputs: before anything was done, and when nothing was. */
static void reset_outputs(pgcache_item *items, size_t count, pgcache_status status) {
  for (size_t i = 0; i < count; i++) {
    pgcache_item *item = item_at(items, i);
    item->status = status;
    item->version = 0;
    item->result = NULL;
  }
}

pgcache_status pgc_batch_check_array(pgc_call *call, const pgcache_item *items, size_t count) {
  if (items == NULL || !PGC_MAKES_ARRAY(pgcache_item, items->struct_size, result, count))
    return pgc_fail(call->error, PGCACHE_INVALID,
                    "items is NULL, or its struct_size or count is out of range; use PGCACHE_ITEM_INIT");
  return PGCACHE_OK;
}

pgcache_status pgc_batch_run(pgcache *cache, pgc_op_kind kind, pgcache_item *items, size_t count,
                             const pgcache_options *options, pgcache_error *error) {
  pgc_call begun, *call = &begun;
  pgcache_status status = pgc_call_begin(call, cache, kind, options, error);
  if (count == 0)
    return status;
  if (pgc_batch_check_array(call, items, count) != PGCACHE_OK)
    return PGCACHE_INVALID;
  reset_outputs(items, count, status);
  if (status != PGCACHE_OK)
    return status;

  size_t part_max = count < PGCACHE_BATCH_MAX ? count : PGCACHE_BATCH_MAX;
  pgc_sorted_item *sorted = pgc_alloc(count * sizeof *sorted);
  pgc_op_key *keys = pgc_alloc(part_max * sizeof *keys);
  status = sorted != NULL && keys != NULL ? pgc_batch_sort(call, items, count, sorted) : pgc_fail_memory(call->error);
  if (status != PGCACHE_OK)
    reset_outputs(items, count, status);
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
  pgc_free(sorted);
  pgc_free(keys);
  return status;
}
