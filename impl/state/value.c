/*
 * value.c - a value as readers hold it. Must never change one after its maker gave it away.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/value.h"

#include <string.h>

#include "platform/memory.h"

_Static_assert(sizeof(pgcache_value) == 32, "the near cache counts on small ones");

pgcache_value *pgc_value_new(size_t size) {
  if (size > PGC_VALUE_MAX)
    return NULL;
  pgcache_value *value = pgc_alloc(sizeof(pgcache_value) + size + 1);
  if (value == NULL)
    return NULL;
  memset(value, 0, sizeof *value);
  value->refs = 1;
  value->size = (uint32_t)size & PGC_VALUE_MAX;
  value->expires_at_us = INT64_MAX;
  value->own[size] = '\0';
  return value;
}

pgcache_value *pgc_value_adopt(const void *data, size_t size, void *owner, void (*free_owner)(void *owner)) {
  const pgc_value_outside outside = {data, owner, free_owner};
  pgcache_value *value = size > PGC_VALUE_MAX ? NULL : pgc_value_new(sizeof outside);
  if (value == NULL)
    return NULL;
  memcpy(value->own, &outside, sizeof outside);
  value->size = (uint32_t)size & PGC_VALUE_MAX;
  value->adopted = true;
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
  if (value->adopted) {
    const pgc_value_outside *outside = (const void *)value->own;
    outside->free_owner(outside->owner);
  }
  pgc_free(value);
}
