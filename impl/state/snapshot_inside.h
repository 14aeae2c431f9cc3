/*
 * snapshot_inside.h - what snapshot.c (making, adding up), snapshot_bytes.c (packing) and api/api_snapshot.c (looking) share. Nobody
 * else includes it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_SNAPSHOT_INSIDE_H
#define PGC_STATE_SNAPSHOT_INSIDE_H

#include "state/snapshot.h"

typedef struct pgc_sample {
  size_t family;
  pgc_label *labels;
  size_t label_count;
  double value;
  pgc_tally tally; /* of a histogram */
} pgc_sample;

/* The samples of one metric: `count` of them, from number `first` on. */
typedef struct pgc_family {
  pgc_metric metric;
  size_t first, count;
} pgc_family;

typedef struct pgc_text_block pgc_text_block;

struct pgcache_snapshot {
  int64_t taken_at_ms;
  const char *origin;
  pgc_family *families;
  size_t family_count, family_room;
  pgc_sample *samples;
  size_t size, room;
  pgc_text_block *texts;
  bool failed;
};

/* A copy that lives as long as the snapshot. NULL when out of memory. */
const char *pgc_snapshot_keep(pgcache_snapshot *self, const char *text, size_t size);

/* A family behind the others, with copies of its texts. False when out of memory. */
bool pgc_snapshot_add_family(pgcache_snapshot *self, const pgc_metric *metric);

/* The family of this name; NULL: there is none. */
const pgc_family *pgc_snapshot_find_family(const pgcache_snapshot *self, const char *name);

/* The sample of a family with the same labels; NULL: there is none. hint: where it stands if both were made in the same order, and
   then where the next one does. */
const pgc_sample *pgc_snapshot_find_sample(const pgcache_snapshot *self, const pgc_family *family,
                                           const pgc_sample *like, size_t *hint);

/* A sample of the last family, with no value yet, and with copies of the labels. NULL when out of memory. */
pgc_sample *pgc_snapshot_add_sample(pgcache_snapshot *self, const pgc_label *labels, size_t count);

#endif
