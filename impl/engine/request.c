/*
 * request.c - see request.h. Owns how a request is made and freed, and how its parts become its completion.
 *
 * SPDX-License-Identifier: MIT
 */
#include "engine/request.h"

#include <stddef.h>
#include <string.h>

#include "engine/inside.h"
#include "platform/memory.h"
#include "pure/status.h"

/* What follows the request in its memory may be of any type. */
#define HEAD_SIZE ((sizeof(pgc_request) + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t))

pgc_request *pgc_request_new(size_t extra, void **room) {
  if (extra > SIZE_MAX - HEAD_SIZE)
    return NULL;
  pgc_request *self = pgc_alloc_zero(HEAD_SIZE + extra);
  if (self != NULL)
    *room = (char *)self + HEAD_SIZE;
  return self;
}

/* Gives an item the outcome of its part; the part keeps its reference to what was found. */
static void set_outcome(pgcache_item *item, const pgc_op_key *key) {
  item->status = key->status;
  item->version = key->status == PGCACHE_OK ? key->version : 0;
  item->result = key->found;
  if (key->found != NULL)
    pgc_value_retain(key->found);
}

/* The status of a multi-key request. */
static pgcache_status first_failure(const pgc_request *self) {
  for (size_t i = 0; i < self->count; i++) {
    if (self->items[i].status < 0)
      return self->items[i].status;
  }
  return PGCACHE_OK;
}

pgcache_status pgc_request_gather(pgc_request *self) {
  for (size_t i = 0; i < self->count; i++)
    set_outcome(&self->items[i], &self->parts[self->item_part[i]].key);
  return first_failure(self);
}

void pgc_request_settle(pgc_request *self, pgcache_status status, const pgcache_error *error) {
  self->status = status;
  pgc_free(self->own_message);
  self->own_message = NULL;
  self->message = NULL;
  memset(self->sqlstate, 0, sizeof self->sqlstate);
  if (status >= 0)
    return;
  self->message = pgc_status_text(status);
  if (error == NULL || error->status != status)
    return;
  memcpy(self->sqlstate, error->sqlstate, sizeof self->sqlstate);
  self->own_message = pgc_strdup(error->message);
  if (self->own_message != NULL)
    self->message = self->own_message;
}

static void release(pgcache_value *value) {
  if (value != NULL)
    pgc_value_release(value);
}

/* Of a part that is away nothing is read but its key: all else may be written to meanwhile. */
static void copy_items(pgc_request *self, const pgc_request *from, pgcache_status status, char *keys) {
  for (size_t i = 0; i < from->count; i++) {
    const pgc_part *part = &from->parts[from->item_part[i]];
    pgcache_item *item = &self->items[i];
    *item = from->items[i];
    item->key = memcpy(keys, item->key, item->key_len);
    keys += item->key_len;
    if (part->place == PGC_PART_DONE)
      set_outcome(item, &part->key);
    else
      item->status = status;
  }
}

pgc_request *pgc_request_new_ahead(const pgc_request *request, pgcache_status status, const pgcache_error *error) {
  size_t count = request->items != NULL ? request->count : 0;
  /* Only what its maker gives instead of an answer, on the engine's thread; a keeper sets those of requests without parts. */
  size_t values = request->values != NULL && request->part_count > 0 ? request->count : 0;
  size_t extra = count * sizeof(pgcache_item) + values * sizeof(pgcache_value *);
  for (size_t i = 0; i < count; i++)
    extra += request->items[i].key_len;
  void *room;
  pgc_request *self = pgc_request_new(extra, &room);
  if (self == NULL)
    return NULL;
  self->token = request->token;
  self->callback = request->callback;
  self->kind = request->kind;
  self->discarded = request->discarded;
  if (values > 0) {
    self->values = room;
    self->count = values;
    for (size_t i = 0; i < values; i++)
      self->values[i] = pgcache_value_retain(request->values[i]);
  }
  if (count > 0) {
    self->items = room;
    self->count = count;
    copy_items(self, request, status, (char *)room + count * sizeof(pgcache_item));
    status = first_failure(self);
  }
  pgc_request_settle(self, status, error);
  return self;
}

void pgc_request_free(pgc_request *self) {
  if (self == NULL)
    return;
  for (size_t i = 0; i < self->part_count; i++)
    release(self->parts[i].key.found);
  for (size_t i = 0; self->items != NULL && i < self->count; i++)
    release(self->items[i].result);
  for (size_t i = 0; self->values != NULL && i < self->count; i++)
    release(self->values[i]);
  if (self->load != NULL)
    self->drop_load(self->load);
  if (self->guide != NULL && self->guide->let_go != NULL)
    self->guide->let_go(self);
  pgc_free(self->own_message);
  pgc_free(self);
}
