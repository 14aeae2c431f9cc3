/*
 * fuzz_pickle.c - what stands in a table of pickles that others write: what is read is JSON, no longer than it may be.
 * Input: the pickle; the same bytes may be JSON by themselves.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "fuzz.h"

#include "cli/pickle.h"
#include "cli/text.h"

#define MOST 4096

/* The input stands at the very end of its memory, so that the sanitizer sees a read beyond it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *exact = malloc(size > 0 ? size : 1);
  REQUIRE(exact != NULL);
  if (size > 0)
    memcpy(exact, data, size);
  text_is_json(exact, size);
  pickle_value value;
  pickle_status status = pickle_read(&value, exact, size, MOST);
  REQUIRE(status != PICKLE_NO_MEMORY);
  REQUIRE(status == PICKLE_OK || (value.data == NULL && value.size == 0));
  if (status == PICKLE_OK) {
    REQUIRE(value.size <= MOST);
    REQUIRE(value.format == PGCACHE_FORMAT_BYTES || text_is_json(value.data, value.size));
  }
  free(value.data);
  free(exact);
  return 0;
}
