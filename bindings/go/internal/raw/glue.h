/*
 * glue.h - what stands between Go and the header where Go's rules for pointers, or the price of a call to C (40 to 60 ns), ask for
 * more than a function of the header for each call: structs that hold pointers are put together here, and what belongs together
 * is read by one call. Knows nothing of what the face does with it. Must never keep a pointer to Go's memory.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_GO_GLUE_H
#define PGCACHE_GO_GLUE_H

#include <pgcache.h>
#include <stdlib.h>
#include <string.h>

/* Marks what Go calls; SWIG leaves out what is static. */
#ifdef SWIG
#define PGCACHE_GO
#else
#define PGCACHE_GO static
#endif

/* ---- Dependencies and items: one piece of memory each, with copies of all they point to ------------------------------------------ */

typedef struct pgcache_go_dependencies {
  size_t count;
  pgcache_dependency *array; /* right behind, and behind it the names */
} pgcache_go_dependencies;

typedef struct pgcache_go_items {
  size_t count;
  pgcache_item *items; /* right behind, and behind them keys and values */
} pgcache_go_items;

/* What stands before each element's bytes in what Go packed: of a dependency ttl_ms is its kind. */
typedef struct pgcache_go_head {
  uint64_t key_len;
  uint64_t value_len;
  int64_t ttl_ms;
  int64_t format;
} pgcache_go_head;

/* packed: count heads, each followed by its bytes. NULL: out of memory. */
PGCACHE_GO pgcache_go_dependencies *pgcache_go_dependencies_new(size_t count, const void *packed, size_t packed_len) {
  pgcache_go_dependencies *self = malloc(sizeof *self + count * sizeof *self->array + packed_len);
  if (self == NULL)
    return NULL;
  self->count = count;
  self->array = (pgcache_dependency *)(self + 1);
  char *at = (char *)(self->array + count);
  if (packed_len > 0)
    memcpy(at, packed, packed_len);
  for (size_t i = 0; i < count; i++) {
    pgcache_go_head head;
    memcpy(&head, at, sizeof head);
    at += sizeof head;
    pgcache_dependency one = PGCACHE_DEPENDENCY_INIT;
    one.kind = (pgcache_dependency_kind)head.ttl_ms;
    one.name = at;
    one.name_len = head.key_len;
    self->array[i] = one;
    at += head.key_len;
  }
  return self;
}

PGCACHE_GO void pgcache_go_dependencies_free(pgcache_go_dependencies *self) {
  free(self);
}

PGCACHE_GO pgcache_go_items *pgcache_go_items_new(size_t count, const void *packed, size_t packed_len) {
  pgcache_go_items *self = malloc(sizeof *self + count * sizeof *self->items + packed_len);
  if (self == NULL)
    return NULL;
  self->count = count;
  self->items = (pgcache_item *)(self + 1);
  char *at = (char *)(self->items + count);
  if (packed_len > 0)
    memcpy(at, packed, packed_len);
  for (size_t i = 0; i < count; i++) {
    pgcache_go_head head;
    memcpy(&head, at, sizeof head);
    at += sizeof head;
    pgcache_item one = PGCACHE_ITEM_INIT;
    one.key = at;
    one.key_len = head.key_len;
    at += head.key_len;
    one.value = at;
    one.value_len = head.value_len;
    at += head.value_len;
    one.ttl_ms = head.ttl_ms;
    one.format = (int32_t)head.format;
    self->items[i] = one;
  }
  return self;
}

PGCACHE_GO void pgcache_go_items_free(pgcache_go_items *self) {
  for (size_t i = 0; self != NULL && i < self->count; i++)
    pgcache_value_free(self->items[i].result); /* of a direct call */
  free(self);
}

/* What a call on them, not a request, has written to one of them. */
PGCACHE_GO const pgcache_item *pgcache_go_items_at(const pgcache_go_items *self, size_t index) {
  return &self->items[index];
}

/* ---- Options --------------------------------------------------------------------------------------------------------------------- */

/* Options without pointers to Go's memory: the texts are inside, and end with NUL; "" is none. They have a little more room than
   the library allows, so that what is too long is refused by it, in its own words. */
typedef struct pgcache_go_options {
  int64_t deadline_ms;
  uint64_t token;
  const pgcache_go_dependencies *dependencies; /* or NULL */
  int32_t read_mode;
  char namespace_name[PGCACHE_NAMESPACE_MAX + 5];
  char span_name[PGCACHE_SPAN_NAME_MAX + 4];
} pgcache_go_options;

#ifndef SWIG
static const pgcache_options *pgcache_go_options_of(pgcache_options *self, const pgcache_go_options *given) {
  if (given == NULL)
    return NULL;
  pgcache_options all = PGCACHE_OPTIONS_INIT;
  all.deadline_ms = given->deadline_ms;
  all.token = given->token;
  all.read_mode = (pgcache_read_mode)given->read_mode;
  if (given->namespace_name[0] != '\0')
    all.namespace_name = given->namespace_name;
  if (given->span_name[0] != '\0')
    all.span_name = given->span_name;
  if (given->dependencies != NULL) {
    all.dependencies = given->dependencies->array;
    all.dependency_count = given->dependencies->count;
  }
  *self = all;
  return self;
}
#endif

/* ---- What was found ---------------------------------------------------------------------------------------------------------------- */

/* All that is known of a value. data: the value's, valid as long as it. */
typedef struct pgcache_go_found {
  const void *data; /* NULL: there is none */
  uint64_t size;
  int64_t version;
  int64_t ttl_ms;
  int32_t format;
  int32_t stale;
} pgcache_go_found;

PGCACHE_GO void pgcache_go_look(const pgcache_value *value, pgcache_go_found *found) {
  found->data = pgcache_value_data(value);
  found->size = pgcache_value_size(value);
  found->version = pgcache_value_version(value);
  found->ttl_ms = pgcache_value_ttl_ms(value);
  found->format = pgcache_value_format(value);
  found->stale = pgcache_value_is_stale(value);
}

/* Copies what the near cache holds into the buffer, if there is room. Returns the value's size, or -1: there is nothing, or the
   arguments are wrong, which the call that asks the server tells; or less: there is no room, and the value is pgcache_go_peeked() of
   that number, owned by the caller. (One number tells all of this, because memory for more would be allocated at each call.) found
   (optional): all but data. */
PGCACHE_GO int64_t pgcache_go_peek(pgcache *cache, void *buffer, size_t buffer_len, pgcache_go_found *found,
                                   const void *key, size_t key_len, const pgcache_options *options) {
  pgcache_value *value;
  if (pgcache_peek(cache, &value, key, key_len, options, NULL) != PGCACHE_OK)
    return -1;
  size_t size = pgcache_value_size(value);
  if (found != NULL)
    pgcache_go_look(value, found);
  if (size > buffer_len)
    return -1 - (int64_t)(intptr_t)value;
  if (size > 0)
    memcpy(buffer, pgcache_value_data(value), size);
  pgcache_value_free(value);
  return (int64_t)size;
}

PGCACHE_GO pgcache_value *pgcache_go_peeked(int64_t returned) {
  return (pgcache_value *)(intptr_t)(-1 - returned); /* NOLINT(performance-no-int-to-ptr): it was one */
}

/* A completion, with what all kinds of requests may have. */
typedef struct pgcache_go_done {
  pgcache_completion *completion; /* the caller's */
  pgcache_load *load;             /* the caller's, or NULL */
  pgcache_go_found found;         /* value 0; its data lives as long as the completion */
  uint64_t token;
  int64_t version;
  int64_t number;
  uint64_t count;
  int32_t status;
} pgcache_go_done;

/* Takes the completions that wait, up to room of them. Returns how many. */
PGCACHE_GO size_t pgcache_go_take(pgcache *cache, pgcache_go_done *done, size_t room) {
  size_t taken = 0;
  pgcache_completion *completion;
  while (taken < room && pgcache_take(cache, &completion, NULL) == PGCACHE_OK) {
    pgcache_go_done *one = &done[taken++];
    one->completion = completion;
    one->load = pgcache_completion_load(completion);
    pgcache_go_look(pgcache_completion_value(completion, 0), &one->found);
    one->token = pgcache_completion_token(completion);
    one->version = pgcache_completion_version(completion);
    one->number = pgcache_completion_number(completion);
    one->count = pgcache_completion_count(completion);
    one->status = pgcache_completion_status(completion);
  }
  return taken;
}

#endif /* PGCACHE_GO_GLUE_H */
