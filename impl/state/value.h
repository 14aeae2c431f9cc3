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

/* The alignment of the bytes: enough for integers, doubles and pointers, and what libpq gives. */
#define PGC_VALUE_ALIGN 8

/* 32 bytes, because the near cache holds many. */
struct pgcache_value {
  uint32_t refs;      /* through __atomic functions only */
  uint32_t size : 30; /* PGC_VALUE_MAX at most */
  bool stale : 1;
  bool adopted : 1; /* `own` has a pgc_value_outside instead of the bytes */
  int32_t format;
  int32_t load_ms; /* how long it took to compute, 0: not known */
  int64_t version;
  int64_t expires_at_us;                        /* on the clock of pgc_now_us(); INT64_MAX: never */
  alignas(PGC_VALUE_ALIGN) unsigned char own[]; /* size bytes and a NUL */
};

#define PGC_VALUE_MAX ((UINT32_C(1) << 30) - 1)

/* Where the bytes of an adopted value are, and whose. */
typedef struct pgc_value_outside {
  const unsigned char *data;
  void *owner;
  void (*free_owner)(void *owner);
} pgc_value_outside;

/* The bytes, with a NUL behind them. */
static inline const unsigned char *pgc_value_data(const pgcache_value *self) {
  return self->adopted ? ((const pgc_value_outside *)(const void *)self->own)->data : self->own;
}

/* A value with room for size bytes, with one reference; NULL when memory ran out or size is above PGC_VALUE_MAX. The NUL behind the
   bytes is set, expires_at_us is INT64_MAX, the other fields are 0. The maker writes bytes (to `own`) and fields before it
   gives the value to anybody else, and gives its reference back with pgc_value_release(). */
pgcache_value *pgc_value_new(size_t size);

/* The same over bytes that are already in memory: aligned as PGC_VALUE_ALIGN, with a NUL behind the last, part of
   owner, which the last reference gives to free_owner. NULL when memory ran out; the owner is then still the caller's. */
pgcache_value *pgc_value_adopt(const void *data, size_t size, void *owner, void (*free_owner)(void *owner));

/* What pgcache_value_ttl_ms() gives at the moment now_us. */
int64_t pgc_value_ttl_ms(const pgcache_value *value, int64_t now_us);

/* Takes and gives back references; value is not NULL. */
void pgc_value_retain(pgcache_value *value);
void pgc_value_release(pgcache_value *value);
void pgc_value_retain_many(pgcache_value *value, uint32_t count);
void pgc_value_release_many(pgcache_value *value, uint32_t count);

#endif
