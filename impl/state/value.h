/*
 * value.h - a value as readers hold it: bytes with version, format and expiry, shared by reference count.
 *
 * Owns: the memory of a value and its count. Must never: change a value after its maker gave it away.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_VALUE_H
#define PGC_STATE_VALUE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgcache.h"

/* The alignment of the bytes: enough for any type of C. */
#define PGC_VALUE_ALIGN 16

struct pgcache_value {
  uint32_t refs; /* through __atomic functions only */
  int32_t format;
  bool stale;
  size_t size;
  int64_t version;
  int64_t expires_at_us;                         /* on the clock of pgc_now_us(); INT64_MAX: never */
  alignas(PGC_VALUE_ALIGN) unsigned char data[]; /* size bytes and a NUL */
};

/* A value with room for size bytes, with one reference; NULL when memory ran out or size is absurd. The NUL behind the
   bytes is set, expires_at_us is INT64_MAX, the other fields are 0. The maker sets bytes and fields before it gives the
   value to anybody else, and gives its reference back with pgc_value_release(). */
pgcache_value *pgc_value_new(size_t size);

/* What pgcache_value_ttl_ms() gives at the moment now_us. */
int64_t pgc_value_ttl_ms(const pgcache_value *value, int64_t now_us);

/* Takes and gives back a reference; value is not NULL. */
void pgc_value_retain(pgcache_value *value);
void pgc_value_release(pgcache_value *value);

#endif
