/*
 * import_source.h - the table of another cache, which `pgcache import` reads.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_IMPORT_SOURCE_H
#define PGC_CLI_IMPORT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "pgcache.h"

/* What the values of such a table are. */
typedef enum source_values {
  SOURCE_JSON, /* which is looked at even if the column has that type: it may be too deep, and any view may be named */
  SOURCE_PICKLE
} source_values;

/* One kind of table. */
typedef struct source_kind {
  const char *name;  /* of --from */
  const char *table; /* what it is called unless it was told otherwise */
  source_values values;
  const char *columns; /* the statement of a page: what stands before the table */
  const char *rows;    /* and behind it */
} source_kind;

/* The kind of that name, or NULL. */
const source_kind *source_find(const char *name);

/* One row; what it points to is there until the next call. */
typedef struct source_row {
  const char *key; /* as the table has it: --after begins behind it */
  size_t key_size;
  const char *name; /* the key that the cache shall have */
  size_t name_size;
  const char *value; /* NULL: longer than it was to be, or its time is over */
  size_t value_size;
  int64_t ttl_ms; /* what is left of its time, 0 or less: nothing; or PGCACHE_TTL_NEVER */
} source_row;

typedef struct import_source import_source;

/* Connects, and looks for the table; table may be NULL. No wait for the server is longer than timeout_ms. Free it with
   source_close(), whatever was returned. */
pgcache_status source_open(import_source **out, const source_kind *kind, const char *url, const char *table,
                           int64_t timeout_ms, pgcache_error *error);

/* Asks for the next rows behind that key, or for the first ones if it is NULL. Values longer than most are left out. */
pgcache_status source_ask(import_source *self, const void *after, size_t after_size, size_t rows, size_t most,
                          pgcache_error *error);

/* Gives the next of these rows. PGCACHE_MISS: that were all. */
pgcache_status source_next(import_source *self, source_row *row, pgcache_error *error);

void source_close(import_source *self);

#endif /* PGC_CLI_IMPORT_SOURCE_H */
