/*
 * request.c - see request.h. Owns how a request is made and freed, and how its parts become its completion.
 *
 * SPDX-License-Identifier: MIT
 */
#include "engine/request.h"

#include <stddef.h>
#include <string.h>

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

pgcache_status pgc_request_gather(pgc_request *self) {
  pgcache_status status = PGCACHE_OK;
  for (size_t i = 0; i < self->count; i++) {
    const pgc_op_key *key = &self->parts[self->item_part[i]].key;
    pgcache_item *item = &self->items[i];
    item->status = key->status;
    item->version = key->status == PGCACHE_OK ? key->version : 0;
    item->result = key->found;
    if (key->found != NULL)
      pgc_value_retain(key->found);
    if (key->status < 0 && status == PGCACHE_OK)
      status = key->status;
  }
  return status;
}

void pgc_request_settle(pgc_request *self, pgcache_status status, const pgcache_error *error) {
  self->status = status;
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

void pgc_request_free(pgc_request *self) {
  if (self == NULL)
    return;
  for (size_t i = 0; i < self->part_count; i++)
    release(self->parts[i].key.found);
  for (size_t i = 0; self->items != NULL && i < self->count; i++)
    release(self->items[i].result);
  for (size_t i = 0; self->values != NULL && i < self->count; i++)
    release(self->values[i]);
  pgc_free(self->own_message);
  pgc_free(self);
}
