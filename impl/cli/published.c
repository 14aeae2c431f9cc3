/*
 * published.c - see published.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "published.h"

#include "platform/memory.h"

#define PAGE 100

pgcache_status published_read(pgcache *cache, pgcache_snapshot ***out, size_t *count, size_t most,
                              pgcache_error *error) {
  pgcache_snapshot **all = NULL;
  size_t asked, got = 0;
  pgcache_status status;
  *count = 0;
  do {
    asked = most - *count < PAGE ? most - *count : PAGE;
    all = cli_memory(all, (*count + asked) * sizeof *all);
    const char *after = *count > 0 ? pgcache_snapshot_origin(all[*count - 1]) : NULL;
    status = pgcache_read_published(cache, all + *count, asked, &got, after, NULL, error);
    *count += got;
  } while (status == PGCACHE_OK && got == asked && *count < most);
  if (status != PGCACHE_OK) {
    published_free(all, *count);
    all = NULL;
    *count = 0;
  }
  *out = all;
  return status;
}

void published_free(pgcache_snapshot **snapshots, size_t count) {
  for (size_t i = 0; i < count; i++)
    pgcache_snapshot_free(snapshots[i]);
  pgc_free(snapshots);
}
