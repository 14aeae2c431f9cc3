/*
 * value.c - a value as readers hold it. Must never change one after its maker gave it away.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/value.h"

#include <string.h>

#include "platform/memory.h"

pgcache_value *pgc_value_new(size_t size) {
  if (size > SIZE_MAX - sizeof(pgcache_value) - 1)
    return NULL;
  pgcache_value *value = pgc_alloc(sizeof(pgcache_value) + size + 1);
  if (value == NULL)
    return NULL;
  memset(value, 0, sizeof *value);
  value->refs = 1;
  value->size = size;
  value->expires_at_us = INT64_MAX;
  value->data = value->own;
  value->own[size] = '\0';
  return value;
}

pgcache_value *pgc_value_adopt(const void *data, size_t size, void *owner, void (*free_owner)(void *owner)) {
  pgcache_value *value = pgc_value_new(0);
  if (value == NULL)
    return NULL;
  value->size = size;
  value->data = data;
  value->owner = owner;
  value->free_owner = free_owner;
  return value;
}

int64_t pgc_value_ttl_ms(const pgcache_value *value, int64_t now_us) {
  if (value->expires_at_us == INT64_MAX)
    return PGCACHE_TTL_NEVER;
  if (value->expires_at_us <= now_us)
    return 0;
  int64_t left_us = value->expires_at_us - now_us;
  return left_us / 1000 + (left_us % 1000 != 0); /* up: 0 means that the time is over */
}

void pgc_value_retain(pgcache_value *value) {
  pgc_value_retain_many(value, 1);
}

void pgc_value_release(pgcache_value *value) {
  pgc_value_release_many(value, 1);
}

void pgc_value_retain_many(pgcache_value *value, uint32_t count) {
  __atomic_add_fetch(&value->refs, count, __ATOMIC_RELAXED);
}

/* What this thread did with the value comes before the count, and freeing comes after it: release and acquire. */
void pgc_value_release_many(pgcache_value *value, uint32_t count) {
  if (__atomic_sub_fetch(&value->refs, count, __ATOMIC_ACQ_REL) != 0)
    return;
  if (value->owner != NULL)
    value->free_owner(value->owner);
  pgc_free(value);
}
