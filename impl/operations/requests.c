/*
 * requests.c - see requests.h. A request is one piece of memory: the request itself, its parts, items, and copies of the
 * namespace, the keys and the values as they will be stored. Compressing and encrypting is the submitter's work, so that
 * the engine's thread only sends.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/requests.h"

#include <stddef.h>
#include <string.h>

#include "operations/batch.h"
#include "operations/cleanup.h"
#include "operations/copies.h"
#include "operations/dependencies.h"
#include "operations/measure.h"
#include "operations/room.h"
#include "platform/memory.h"
#include "pure/error.h"

pgcache_status pgc_request_check(const pgc_call *call) {
  if (call->callback == NULL)
    return PGCACHE_OK;
  if (call->callback->struct_size < sizeof *call->callback)
    return pgc_fail(call->error, PGCACHE_INVALID,
                    "options: the callback's struct_size is not set; use PGCACHE_CALLBACK_INIT");
  if (call->callback->call == NULL)
    return pgc_fail(call->error, PGCACHE_INVALID, "options: the callback's function is NULL");
  return PGCACHE_OK;
}

pgcache_status pgc_request_begin(pgc_call *call, pgcache *cache, uint64_t *id, pgc_op_kind kind,
                                 const pgcache_options *options, pgcache_error *error) {
  if (id != NULL)
    *id = 0;
  pgcache_status status = pgc_call_begin(call, cache, kind, options, error);
  call->measure.operation = pgc_measure_operation_of(kind);
  return status == PGCACHE_OK ? pgc_request_check(call) : status;
}

/* ---- Memory ---- */

/* Copies bytes to *room and moves it on. */
static void *put_bytes(char **room, const void *bytes, size_t size) {
  void *copy = *room;
  if (size > 0)
    memcpy(copy, bytes, size);
  *room += size;
  return copy;
}

static size_t namespace_size(const pgc_call *call) {
  return strlen(call->op.namespace_name) + 1;
}

/* What every request has; `extra` bytes, without its tags and its namespace. */
static pgc_request *make(const pgc_call *call, pgc_op_kind kind, size_t extra, void **room) {
  size_t name_size = namespace_size(call), tags_size = call->op.tag_count * sizeof(pgc_digest);
  if (extra > SIZE_MAX - tags_size - name_size)
    return NULL;
  pgc_request *self = pgc_request_new(extra + tags_size + name_size, room);
  if (self == NULL)
    return NULL;
  self->token = call->token;
  if (call->callback != NULL)
    self->callback = (pgcache_callback){sizeof self->callback, call->callback->call, call->callback->userdata};
  self->kind = kind;
  self->deadline = call->op.deadline;
  char *end = (char *)*room + extra;
  self->tag_count = call->op.tag_count;
  self->tags = put_bytes(&end, call->op.tags, tags_size); /* of bytes: they may stand anywhere */
  self->namespace_name = put_bytes(&end, call->op.namespace_name, name_size);
  return self;
}

pgc_request *pgc_request_make(const pgc_call *call, size_t extra, void **room) {
  return make(call, call->op.kind, extra, room);
}

static size_t bytes_of(const pgc_op_key *key) {
  return key->key_len + key->value_len;
}

/* Makes a part of a key, with copies behind *room. */
static void set_part(pgc_request *self, size_t index, const pgc_op_key *key, char **room) {
  pgc_part *part = &self->parts[index];
  part->request = self;
  part->key = *key;
  part->key.key = put_bytes(room, key->key, key->key_len);
  part->key.value = put_bytes(room, key->value, key->value_len);
  part->key.encoded = NULL;
}

/* ---- Submitting ---- */

pgcache_status pgc_request_hand(pgc_call *call, uint64_t *id, pgc_request *request) {
  pgc_engine *engine;
  pgc_measure_submit(call, request);
  pgcache_status status = pgc_room_engine(call->cache, &engine, call->error);
  if (status == PGCACHE_OK)
    status = (request->answered ? pgc_engine_submit_answered : pgc_engine_submit)(engine, request, id, call->error);
  if (status != PGCACHE_OK) {
    pgc_measure_refused(call->cache, request, status, call->error);
    pgc_copies_refused(request);
    pgc_request_free(request);
  }
  return status;
}

static pgcache_status run_short_slice(pgc_request *self, pgcache_error *error) {
  (void)error;
  pgc_clean_short_slice(self->context, self->namespace_name, self->deadline);
  return PGCACHE_OK;
}

/* A slice of cleanup after a write that was drawn; nobody is told if it cannot be had. */
static void submit_short_slice(pgc_call *call) {
  void *room;
  pgc_request *request = make(call, PGC_OP_CLEAN_SLICE, 0, &room);
  if (request == NULL)
    return;
  request->callback.call = NULL;
  request->run = run_short_slice;
  request->context = call->cache;
  request->discarded = true;
  call->error = NULL;
  (void)pgc_request_hand(call, NULL, request);
}

pgcache_status pgc_request_submit(pgc_call *call, uint64_t *id, pgc_request *request) {
  if (request == NULL)
    return pgc_fail_memory(call->error);
  pgc_op_kind kind = request->kind; /* after submitting it is somebody else's */
  pgcache_status status = pgc_request_hand(call, id, request);
  if (status == PGCACHE_OK && pgc_clean_is_drawn(call->cache, kind))
    submit_short_slice(call);
  return status;
}

pgcache_status pgc_request_submit_parts(pgc_call *call, uint64_t *id, pgc_request *request) {
  pgc_copies_writes *writes = call->cache->borrows ? NULL : pgc_room_writes(call->cache);
  if (request != NULL && writes == NULL && !call->cache->borrows) { /* a write that is not counted would not be seen */
    pgc_request_free(request);
    request = NULL;
  }
  if (request != NULL && writes != NULL) {
    if (request->kind == PGC_OP_GET && request->items != NULL)
      request->answered = pgc_copies_answer_parts(call, request, writes);
    if (!request->answered)
      pgc_copies_submit(call, request, writes);
  }
  return pgc_request_submit(call, id, request);
}

/* ---- One key ---- */

/* A get or exists that the near cache answers. Otherwise the key's digest is taken. */
static bool is_answered(pgc_call *call) {
  bool read = call->op.kind == PGC_OP_GET || call->op.kind == PGC_OP_EXISTS;
  pgc_copies_writes *writes = read && !call->cache->borrows ? pgc_room_writes(call->cache) : NULL;
  if (writes != NULL && pgc_copies_answer_submitted(call, writes))
    return true;
  pgc_call_take_digest(call);
  return false;
}

static size_t aligned(size_t size) {
  const size_t align = _Alignof(max_align_t);
  return (size + align - 1) / align * align;
}

pgc_request *pgc_request_make_key(pgc_call *call, size_t extra, void **room) {
  pgc_op_key *key = &call->key;
  void *own;
  const size_t part_size = aligned(sizeof(pgc_part));
  const size_t load_size = pgc_op_has_load(call->op.kind) ? aligned(sizeof(pgc_op_load)) : 0;
  extra = aligned(extra);
  pgc_request *self = make(call, call->op.kind, part_size + load_size + extra + bytes_of(key), &own);
  if (self != NULL) {
    self->parts = own;
    self->part_count = 1;
    if (load_size > 0) {
      self->u.load = (void *)((char *)own + part_size);
      *self->u.load = call->op.u.load;
    }
    *room = (char *)own + part_size + load_size;
    char *rest = (char *)*room + extra;
    set_part(self, 0, key, &rest);
    self->bytes = bytes_of(key);
  }
  pgc_free(key->encoded);
  key->encoded = NULL;
  return self;
}

pgcache_status pgc_request_submit_key(pgc_call *call, uint64_t *id) {
  pgc_op_key *key = &call->key;
  pgcache_status status = PGCACHE_OK;
  bool answered = is_answered(call);
  if (pgc_op_stores(call->op.kind))
    status = pgc_encode(&call->cache->encoding, call->op.namespace_name, key, call->error);
  if (status != PGCACHE_OK)
    return status;
  void *room;
  pgc_request *request = pgc_request_make_key(call, 0, &room);
  if (request != NULL) {
    request->parts[0].answered = request->answered = answered;
    if (call->op.kind == PGC_OP_INCREMENT) {
      request->u.increment.delta = call->op.u.increment.delta;
      request->u.increment.initial = call->op.u.increment.initial;
    } else if (call->op.kind == PGC_OP_COMPARE_AND_SWAP) {
      request->u.expected_version = call->op.u.expected_version;
    }
  }
  if (request == NULL && key->found != NULL)
    pgc_value_release(key->found);
  return pgc_request_submit_parts(call, id, request);
}

/* ---- Many keys ---- */

/* What is known of the items before there is a request. */
typedef struct plan {
  pgc_sorted_item *sorted;
  pgc_op_key *keys; /* distinct ones, sorted */
  size_t item_count, key_count;
  size_t bytes; /* of keys and values */
} plan;

static pgc_op_kind kind_of_parts(pgc_op_kind kind) {
  return kind == PGC_OP_GET_MANY ? PGC_OP_GET : kind == PGC_OP_PUT_MANY ? PGC_OP_PUT : PGC_OP_REMOVE;
}

/* Fills the keys of what was sorted, and encodes their values. */
static pgcache_status set_keys(pgc_call *call, plan *self, const pgcache_item *items) {
  pgcache_status status = PGCACHE_OK;
  for (size_t from = 0; status == PGCACHE_OK && from < self->item_count;) {
    size_t end = pgc_batch_end_of_run(self->sorted, self->item_count, from);
    const pgcache_item *item = pgc_item_at(items, self->sorted[end - 1].index);
    pgc_op_key *key = &self->keys[self->key_count++];
    pgc_batch_set_key(call, key, item, &self->sorted[from].digest);
    if (call->op.kind == PGC_OP_PUT_MANY)
      status = pgc_encode(&call->cache->encoding, call->op.namespace_name, key, call->error);
    self->bytes += bytes_of(key);
    from = end;
  }
  return status;
}

/* Gives each item its part, and its key. */
static void set_items(pgc_request *request, const plan *from) {
  size_t part = 0;
  for (size_t i = 0; i < from->item_count; i++) {
    if (i > 0 && pgc_digest_compare(&from->sorted[i].digest, &from->sorted[i - 1].digest) != 0)
      part++;
    size_t index = from->sorted[i].index;
    request->item_part[index] = (uint32_t)part;
    request->items[index] = (pgcache_item)PGCACHE_ITEM_INIT;
    request->items[index].key = request->parts[part].key.key;
    request->items[index].key_len = request->parts[part].key.key_len;
  }
}

static pgc_request *make_request(pgc_call *call, const plan *from) {
  size_t parts_size = from->key_count * sizeof(pgc_part), items_size = from->item_count * sizeof(pgcache_item);
  size_t index_size = from->item_count * sizeof(uint32_t);
  void *room;
  pgc_request *request =
      make(call, kind_of_parts(call->op.kind), parts_size + items_size + index_size + from->bytes, &room);
  if (request == NULL)
    return NULL;
  char *rest = room;
  request->parts = (pgc_part *)(void *)rest;
  request->part_count = from->key_count;
  rest += parts_size;
  request->items = (pgcache_item *)(void *)rest;
  request->count = from->item_count;
  rest += items_size;
  request->item_part = (uint32_t *)(void *)rest;
  rest += index_size;
  for (size_t i = 0; i < from->key_count; i++)
    set_part(request, i, &from->keys[i], &rest);
  set_items(request, from);
  request->bytes = from->bytes;
  return request;
}

/* Makes the request, with what it needs meanwhile. */
static pgcache_status plan_request(pgc_call *call, plan *self, const pgcache_item *items, pgc_request **request) {
  self->sorted = pgc_alloc(self->item_count * sizeof *self->sorted);
  self->keys = self->sorted != NULL ? pgc_alloc(self->item_count * sizeof *self->keys) : NULL;
  pgcache_status status =
      self->keys != NULL ? pgc_batch_check(call, items, self->item_count) : pgc_fail_memory(call->error);
  if (status == PGCACHE_OK) {
    for (size_t i = 0; i < self->item_count; i++)
      self->sorted[i].index = i;
    pgc_batch_sort(call, items, self->sorted, self->item_count);
    status = set_keys(call, self, items);
  }
  if (status == PGCACHE_OK)
    *request = make_request(call, self);
  for (size_t i = 0; i < self->key_count; i++)
    pgc_free(self->keys[i].encoded);
  pgc_free(self->keys);
  pgc_free(self->sorted);
  return status;
}

/* So many that their sizes cannot be added up, or that they cannot be numbered, are more than memory holds. */
static bool too_many(size_t count) {
  return count > UINT32_MAX || count > SIZE_MAX / 4 / (sizeof(pgc_part) + sizeof(pgcache_item));
}

pgcache_status pgc_request_submit_items(pgc_call *call, uint64_t *id, const pgcache_item *items, size_t count) {
  pgc_request *request = NULL;
  plan from = {.item_count = count};
  pgc_digest tags[PGC_TAGS_MAX];
  if (count == 0)
    return pgc_request_submit(call, id, make(call, kind_of_parts(call->op.kind), 0, &(void *){NULL}));
  pgcache_status status = pgc_batch_check_array(call, items, count);
  if (status == PGCACHE_OK && call->op.kind == PGC_OP_PUT_MANY)
    status = pgc_call_set_dependencies(call, tags);
  if (status == PGCACHE_OK && too_many(count))
    status = pgc_fail_memory(call->error);
  if (status == PGCACHE_OK)
    status = plan_request(call, &from, items, &request);
  return status == PGCACHE_OK ? pgc_request_submit_parts(call, id, request) : status;
}
