/*
 * error.h - fills the caller's pgcache_error.
 *
 * Owns: how a message gets into the struct, whatever the struct's size. Must never: allocate (it reports that memory ran
 * out), write a byte past struct_size, or be handed a password, a key or a value to print [rule:error].
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_ERROR_H
#define PGC_PURE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "pgcache.h"

/* The smallest pgcache_error there ever was: struct_size and status, with the padding up to the next word. */
#define PGC_ERROR_SIZE_MIN 16

/* True if error is NULL or has a struct_size that some version had; each exported function asks this first and gives
   PGCACHE_INVALID (and touches nothing) if it is not so [rule:sizes]. */
bool pgc_error_ok(const pgcache_error *error);

/* What pgcache_error_init() does. */
void pgc_error_init(pgcache_error *error, size_t struct_size);

/* Fills error, which may be NULL or of a bad size (then nothing is written), and returns status, so that one can write
   `return pgc_fail(error, PGCACHE_INVALID, "...");`. Control characters in the message become spaces; what does not
   fit is cut off. */
__attribute__((format(printf, 3, 4))) pgcache_status pgc_fail(pgcache_error *error, pgcache_status status,
                                                              const char *format, ...);

/* The same with the server's SQLSTATE; NULL or "" when there is none. */
__attribute__((format(printf, 4, 5))) pgcache_status pgc_fail_sql(pgcache_error *error, pgcache_status status,
                                                                  const char *sqlstate, const char *format, ...);

/* The message for PGCACHE_NO_MEMORY, which is the same everywhere. */
pgcache_status pgc_fail_memory(pgcache_error *error);

#endif
