/*
 * api_version.c - the exported functions on the version, statuses and the structs' initial contents: validate, delegate.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "pgcache.h"
#include "pure/error.h"
#include "pure/sizes.h"
#include "pure/status.h"

const char *pgcache_version(void) {
  return PGCACHE_VERSION_STRING;
}

int pgcache_version_number(void) {
  return PGCACHE_VERSION_MAJOR * 10000 + PGCACHE_VERSION_MINOR * 100 + PGCACHE_VERSION_PATCH;
}

const char *pgcache_status_name(pgcache_status status) {
  return pgc_status_name(status);
}

const char *pgcache_status_text(pgcache_status status) {
  return pgc_status_text(status);
}

void pgcache_error_init(pgcache_error *error, size_t struct_size) {
  pgc_error_init(error, struct_size);
}

/* The defaults of all fields but two are zero, of this version and of any newer one that calls us with a larger size. */
void pgcache_options_init(pgcache_options *options, size_t struct_size) {
  if (options == NULL || !PGC_HOLDS(pgcache_options, struct_size, deadline_ms))
    return;
  memset(options, 0, struct_size);
  options->struct_size = struct_size;
  options->deadline_ms = PGCACHE_DEADLINE_DEFAULT;
}
