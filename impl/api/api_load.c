/*
 * api_load.c - exported: loads, [rule:load].
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "pgcache.h"
#include "pure/sizes.h"

/* What a newer, larger struct has behind ours is zero. */
void pgcache_load_options_init(pgcache_load_options *options, size_t struct_size) {
  const pgcache_load_options defaults = PGCACHE_LOAD_OPTIONS_INIT;
  if (options == NULL || !PGC_HOLDS(pgcache_load_options, struct_size, ttl_ms))
    return;
  memset(options, 0, struct_size);
  memcpy(options, &defaults, struct_size < sizeof defaults ? struct_size : sizeof defaults);
  options->struct_size = struct_size;
}
