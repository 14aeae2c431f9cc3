/*
 * pickle.h - reading Python's pickles of plain data, as JSON.
 *
 * Plain data is None, bool, int, float, str, list, tuple and dict with keys of str; and bytes by themselves.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_PICKLE_H
#define PGC_CLI_PICKLE_H

#include <stddef.h>
#include <stdint.h>

typedef enum pickle_status {
  PICKLE_OK,
  PICKLE_DAMAGED,   /* no pickle of the protocols 2 to 5, or one that is cut off or wrong */
  PICKLE_OBJECT,    /* it asks for more than plain data: classes, functions, sets, recursion */
  PICKLE_NOT_JSON,  /* plain data that JSON cannot say: NaN, bytes inside of others, keys that are not str */
  PICKLE_TOO_LARGE, /* the JSON is longer than allowed, or deeper than TEXT_DEPTH_MAX */
  PICKLE_NO_MEMORY
} pickle_status;

/* What a pickle says; data is to be given to pgc_free(). */
typedef struct pickle_value {
  unsigned char *data;
  size_t size;
  int32_t format; /* PGCACHE_FORMAT_JSON, or PGCACHE_FORMAT_BYTES if it is bytes */
} pickle_value;

/* Reads the pickle; most is how many bytes the value may have. out is zeroed unless it gives PICKLE_OK. */
pickle_status pickle_read(pickle_value *out, const void *data, size_t size, size_t most);

#endif /* PGC_CLI_PICKLE_H */
