/*
 * api_value.c - the exported functions on values: validate, delegate.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache.h"
#include "platform/clock.h"
#include "state/value.h"

const void *pgcache_value_data(const pgcache_value *value) {
  return value != NULL ? pgc_value_data(value) : NULL;
}

size_t pgcache_value_size(const pgcache_value *value) {
  return value != NULL ? value->size : 0;
}

int64_t pgcache_value_version(const pgcache_value *value) {
  return value != NULL ? value->version : 0;
}

int32_t pgcache_value_format(const pgcache_value *value) {
  return value != NULL ? value->format : 0;
}

int64_t pgcache_value_ttl_ms(const pgcache_value *value) {
  return value != NULL ? pgc_value_ttl_ms(value, pgc_now_us()) : 0;
}

int pgcache_value_is_stale(const pgcache_value *value) {
  return value != NULL && value->stale ? 1 : 0;
}

pgcache_value *pgcache_value_retain(pgcache_value *value) {
  if (value != NULL)
    pgc_value_retain(value);
  return value;
}

void pgcache_value_free(pgcache_value *value) {
  if (value != NULL)
    pgc_value_release(value);
}
