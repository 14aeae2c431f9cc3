/*
 * copies.c - see copies.h. The rule for writes is one: what the store acknowledged with a version takes the place of older
 * copies; whatever else became of a write, every copy of its key goes. That is never wrong, and what was gone without need
 * is one read of the store.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/copies.h"

#include <string.h>

#include "operations/measure.h"
#include "pure/error.h"
#include "pure/sizes.h"

/* None on the application's connections: what is read in a transaction of its own may be old, or never be committed. */
pgc_near *pgc_copies_of(pgcache *cache, bool reads) {
  pgc_store *store = cache->store;
  return store->near != NULL && !cache->borrows ? store->near(store, reads) : NULL;
}

static bool is_read(pgc_op_kind kind) {
  return kind == PGC_OP_GET || kind == PGC_OP_GET_MANY || kind == PGC_OP_EXISTS || kind == PGC_OP_BEGIN_LOAD;
}

static bool is_flush(pgc_op_kind kind) {
  return kind == PGC_OP_FLUSH_ALL || kind == PGC_OP_FLUSH_NAMESPACE;
}

static uint32_t *place_of(pgc_copies_writes *writes, const pgc_near_key *name) {
  return &writes->under_way[name->hash[0] % PGC_COPIES_PLACES];
}

/* Reads and writes of entries by their keys. */
static bool concerns_keys(pgc_op_kind kind) {
  return is_read(kind) || (kind >= PGC_OP_PUT && kind <= PGC_OP_FILL_LOAD);
}

/* ---- Asking ---- */

/* Looks one key up, at the moment now_us. writes: see copies.h; NULL for a call that waits. */
static bool find(pgc_near *near, const pgc_op *op, pgc_op_key *key, pgc_copies_writes *writes, int64_t now_us) {
  pgc_near_key name = pgc_near_key_of(near, op->namespace_name, key->key, key->key_len);
  if (writes != NULL && __atomic_load_n(place_of(writes, &name), __ATOMIC_ACQUIRE) != 0)
    return false;
  pgcache_value *found = NULL;
  pgc_near_answer answer = pgc_near_find(near, &name, now_us, &found);
  if (answer == PGC_NEAR_NOTHING)
    return false;
  key->status = answer == PGC_NEAR_HIT ? PGCACHE_OK : PGCACHE_MISS;
  key->version = found != NULL ? found->version : 0;
  if (op->kind != PGC_OP_EXISTS)
    key->found = found;
  else if (found != NULL)
    pgc_value_release(found);
  return true;
}

/* The near cache that a call may be answered from; NULL: it has to ask the store. */
static pgc_near *readable(const pgc_call *call) {
  bool may = call->read_mode == PGCACHE_READ_NEAR && !__atomic_load_n(&call->cache->closed, __ATOMIC_RELAXED);
  return may ? pgc_copies_of(call->cache, true) : NULL;
}

/* Options that change nothing for a read, of today's size. Whatever is wrong with others is the call's to say. */
static inline bool are_plain(const pgcache_options *options) {
  return options == NULL || (options->struct_size == sizeof *options && options->read_mode == PGCACHE_READ_NEAR &&
                             options->flags == 0 && options->namespace_name == NULL && options->span_name == NULL &&
                             (options->deadline_ms >= 0 || options->deadline_ms == PGCACHE_DEADLINE_DEFAULT));
}

/* The near cache for a read that needs no call; NULL: it needs one. */
static inline pgc_near *plainly_readable(pgcache *cache, const void *key, size_t key_len,
                                         const pgcache_options *options, const pgcache_error *error, bool starts) {
  if (cache == NULL || key == NULL || key_len - 1 >= PGCACHE_KEY_MAX || !are_plain(options) || !pgc_error_ok(error) ||
      __atomic_load_n(&cache->closed, __ATOMIC_RELAXED))
    return NULL;
  return (pgc_audience_attends(&cache->audience) & PGC_ATTENDS_ALL) == 0 ? pgc_copies_of(cache, starts) : NULL;
}

pgc_copies_got pgc_copies_get(pgcache *cache, pgcache_value **out, const void *key, size_t key_len,
                              const pgcache_options *options, const pgcache_error *error) {
  pgc_near *near = plainly_readable(cache, key, key_len, options, error, true);
  if (near == NULL)
    return PGC_COPIES_NOT_ASKED;
  int64_t began_ns = pgc_measure_is_timed() ? pgc_monotonic_ns() : 0;
  pgc_near_key name = pgc_near_key_of(near, cache->settings.namespace_name, key, key_len);
  pgc_near_prefetch(near, &name);
  pgc_near_answer answer = pgc_near_find_plain(near, &name, pgc_now_us(), out);
  if (answer == PGC_NEAR_HIT)
    PGC_PROBE_NEAR_HIT(cache->settings.namespace_name);
  if (began_ns != 0 && answer != PGC_NEAR_NOTHING)
    pgc_measure_near(cache, PGC_OPERATION_GET, answer == PGC_NEAR_HIT ? PGCACHE_OK : PGCACHE_MISS, began_ns);
  return answer == PGC_NEAR_HIT ? PGC_COPIES_HIT : answer == PGC_NEAR_ABSENT ? PGC_COPIES_ABSENT : PGC_COPIES_NOTHING;
}

pgc_copies_got pgc_copies_glance(pgcache *cache, pgcache_value **out, const void *key, size_t key_len,
                                 const pgcache_options *options, const pgcache_error *error) {
  pgc_near *near = plainly_readable(cache, key, key_len, options, error, false);
  if (near == NULL)
    return PGC_COPIES_NOT_ASKED;
  int64_t began_ns = pgc_measure_is_timed() ? pgc_monotonic_ns() : 0;
  pgc_near_key name = pgc_near_key_of(near, cache->settings.namespace_name, key, key_len);
  pgc_near_prefetch(near, &name);
  if (pgc_near_peek_plain(near, &name, pgc_now_us(), out) != PGC_NEAR_HIT)
    return PGC_COPIES_NOTHING;
  if (began_ns != 0)
    pgc_measure_near(cache, PGC_OPERATION_PEEK, PGCACHE_OK, began_ns);
  return PGC_COPIES_HIT;
}

bool pgc_copies_answer(pgc_call *call) {
  pgc_near *near = readable(call);
  return near != NULL && find(near, &call->op, &call->key, NULL, pgc_now_us());
}

bool pgc_copies_peek(pgc_call *call) {
  pgc_near *near = pgc_copies_of(call->cache, false);
  if (near == NULL)
    return false;
  pgc_near_key name = pgc_near_key_of(near, call->op.namespace_name, call->key.key, call->key.key_len);
  return pgc_near_peek(near, &name, pgc_now_us(), &call->key.found) == PGC_NEAR_HIT;
}

size_t pgc_copies_answer_items(const pgc_call *call, pgcache_item *items, size_t count) {
  pgc_near *near = readable(call);
  int64_t now_us = near != NULL ? pgc_now_us() : 0;
  size_t answered = 0;
  for (size_t i = 0; near != NULL && i < count; i++) {
    pgcache_item *item = pgc_element(items, items->struct_size, i);
    pgc_op_key key = {.key = item->key, .key_len = item->key_len};
    if (!find(near, &call->op, &key, NULL, now_us))
      continue;
    item->status = key.status;
    item->version = key.version;
    item->result = key.found;
    answered++;
  }
  return answered;
}

uint64_t pgc_copies_hash(const pgc_call *call, const pgcache_item *item) {
  pgc_near *near = pgc_copies_of(call->cache, true);
  return near != NULL ? pgc_near_key_of(near, call->op.namespace_name, item->key, item->key_len).hash[0] : 0;
}

bool pgc_copies_answer_submitted(pgc_call *call, pgc_copies_writes *writes) {
  pgc_near *near = readable(call);
  return near != NULL && find(near, &call->op, &call->key, writes, pgc_now_us());
}

bool pgc_copies_answer_parts(const pgc_call *call, pgc_request *request, pgc_copies_writes *writes) {
  pgc_near *near = readable(call);
  int64_t now_us = near != NULL ? pgc_now_us() : 0;
  size_t answered = 0;
  for (size_t i = 0; near != NULL && i < request->part_count; i++) {
    pgc_part *part = &request->parts[i];
    part->answered = find(near, &call->op, &part->key, writes, now_us);
    answered += part->answered;
  }
  return answered == request->part_count;
}

/* ---- Telling ---- */

static void note(pgc_near *near, const char *namespace_name, pgc_op_key *key, bool is_plain, int64_t now_us) {
  key->copy = (pgc_op_copy){.name = pgc_near_key_of(near, namespace_name, key->key, key->key_len),
                            .ticket = pgc_near_begin(near, &key->digest),
                            .asked_us = now_us,
                            .plain = key->value,
                            .plain_size = key->value_len,
                            .is_plain = is_plain};
}

/* What the keys of an operation have in common. */
typedef struct manner {
  pgc_op_kind kind;
  const pgc_digest *tags; /* of what is written */
  size_t tag_count;
  int64_t load_ms; /* how long that took to load */
  bool absences;   /* the setting near_absent_ms is not 0 */
} manner;

static manner manner_of(pgc_op_kind kind, const pgc_digest *tags, size_t tag_count, const pgc_op_load *load,
                        bool absences) {
  return (manner){.kind = kind,
                  .tags = tags,
                  .tag_count = tag_count,
                  .load_ms = kind == PGC_OP_FILL_LOAD ? load->load_ms : 0,
                  .absences = absences && kind != PGC_OP_BEGIN_LOAD}; /* whoever loads asks the store */
}

/* The value that was written, as a read would give it. NULL when it is not at hand, when nobody reads in this process, or when
   memory is out; of compare_and_swap, because what the entry depends on is not all known here. Counted from before the write was sent it expires no later than the entry. */
static pgcache_value *value_written(pgc_near *near, const manner *how, const pgc_op_key *key) {
  if (!pgc_op_stores(how->kind) || how->kind == PGC_OP_COMPARE_AND_SWAP || !key->copy.is_plain ||
      (key->flags & PGC_STORED_ABSENT) != 0 || pgc_near_valid_until(near) == INT64_MIN ||
      key->copy.plain_size > pgc_near_largest(near))
    return NULL;
  pgcache_value *made = pgc_value_new(key->copy.plain_size);
  if (made == NULL)
    return NULL;
  if (key->copy.plain_size > 0)
    memcpy(made->own, key->copy.plain, key->copy.plain_size);
  made->format = key->format;
  made->version = key->version;
  made->load_ms = (int32_t)how->load_ms;
  if (key->ttl_ms != PGCACHE_TTL_NEVER)
    made->expires_at_us = key->copy.asked_us + key->ttl_ms * 1000;
  return made;
}

static void tell_written(pgc_near *near, const manner *how, const pgc_op_key *key, pgcache_status status) {
  pgc_op_kind kind = how->kind;
  bool gone = status != PGCACHE_OK || kind == PGC_OP_REMOVE || kind == PGC_OP_REMOVE_MANY;
  pgcache_value *value = gone ? NULL : value_written(near, how, key);
  pgc_near_written(near, &key->copy.name, &key->digest, how->tags, how->tag_count, key->copy.ticket, value,
                   gone ? 0 : key->version);
  if (value != NULL)
    pgc_value_release(value);
}

/* A read that failed says nothing. What the store said otherwise takes the place of what is held; where that cannot be, an
   older copy goes all the same: who was told of a miss is not to see the value again. */
static void tell_read(pgc_near *near, const manner *how, const pgc_op_key *key, pgcache_status status) {
  const pgc_op_copy *copy = &key->copy;
  pgc_op_kind kind = how->kind;
  bool kept = true, absences = how->absences;
  bool none = status == PGCACHE_MISS || status == PGCACHE_STALE || status == PGCACHE_LEASE || status == PGCACHE_BUSY;
  if (none)
    kept = absences && pgc_near_fill(near, &copy->name, &key->digest, NULL, 0, copy->ticket, NULL, copy->asked_us);
  else if (status == PGCACHE_TOO_LARGE || (status == PGCACHE_OK && kind == PGC_OP_EXISTS && absences) ||
           key->tag_count > PGC_NEAR_TAGS_MAX)
    kept = false;
  else if (status == PGCACHE_OK && kind != PGC_OP_EXISTS)
    (void)pgc_near_fill(near, &copy->name, &key->digest, key->tags, key->tag_count, copy->ticket, key->found,
                        copy->asked_us);
  if (!kept)
    pgc_near_written(near, &copy->name, &key->digest, NULL, 0, copy->ticket, NULL, 0);
}

static void tell(pgc_near *near, const manner *how, const pgc_op_key *key, pgcache_status status) {
  if (is_read(how->kind))
    tell_read(near, how, key, status);
  else
    tell_written(near, how, key, status);
}

pgc_near *pgc_copies_begin(pgc_call *call) {
  pgc_op *op = &call->op;
  if (!concerns_keys(op->kind) && !is_flush(op->kind))
    return NULL;
  pgc_near *near = pgc_copies_of(call->cache, is_read(op->kind));
  if (near == NULL || is_flush(op->kind))
    return near;
  int64_t now_us = pgc_now_us();
  for (size_t i = 0; i < op->count; i++)
    note(near, op->namespace_name, &op->keys[i], true, now_us);
  return near;
}

void pgc_copies_end(pgc_near *near, const pgc_call *call, pgcache_status status) {
  const pgc_op *op = &call->op;
  bool each = op->keys != &call->key && status == PGCACHE_OK;
  if (is_flush(op->kind)) { /* one that failed may have removed some */
    pgc_near_flush(near, PGC_NEAR_FLUSH_STREAM);
    return;
  }
  const manner how =
      manner_of(op->kind, op->tags, op->tag_count, &op->u.load, call->cache->settings.near_absent_ms > 0);
  for (size_t i = 0; i < op->count; i++)
    tell(near, &how, &op->keys[i], each ? op->keys[i].status : status);
}

/* ---- Requests ---- */

/* The end of a part, on the engine's thread. The copy is right before the write counts as over: a read that is submitted
   then finds the copy, one that is submitted before waits for the write in the engine. */
static void part_ended(pgc_request *request, const pgc_part *part, pgcache_status status) {
  pgc_copies_writes *writes = request->context;
  const manner how = manner_of(request->kind, request->tags, request->tag_count, request->u.load, writes->absences);
  tell(request->near, &how, &part->key, status);
  if (pgc_op_writes(request->kind))
    __atomic_sub_fetch(place_of(writes, &part->key.copy.name), 1, __ATOMIC_RELEASE);
}

/* Counts a request's writes, or takes them back. */
static void count_writes(const pgc_request *request, bool back) {
  for (size_t i = 0; pgc_op_writes(request->kind) && i < request->part_count; i++) {
    uint32_t *place = place_of(request->context, &request->parts[i].key.copy.name);
    __atomic_add_fetch(place, back ? UINT32_MAX : 1, __ATOMIC_RELAXED); /* UINT32_MAX: -1 */
  }
}

void pgc_copies_submit(const pgc_call *call, pgc_request *request, pgc_copies_writes *writes) {
  request->near = pgc_copies_of(call->cache, is_read(request->kind));
  if (request->near == NULL)
    return;
  request->context = writes;
  request->part_ended = part_ended;
  int64_t now_us = pgc_now_us();
  for (size_t i = 0; i < request->part_count; i++) {
    pgc_op_key *key = &request->parts[i].key;
    if (!request->parts[i].answered)
      note(request->near, request->namespace_name, key, key->flags == pgc_encoding_flags(&call->cache->encoding),
           now_us);
  }
  count_writes(request, false);
}

void pgc_copies_refused(const pgc_request *request) {
  if (request->near != NULL)
    count_writes(request, true);
}
