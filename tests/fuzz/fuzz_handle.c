/*
 * fuzz_handle.c - handles of any address, with a secret in it: libpq reads the address, nothing is opened, and no message
 * shows the secret, although libpq's own often do.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *url = text_with_canary(data, size);
  pgcache_config *config = NULL;
  REQUIRE(pgcache_config_new(&config, NULL) == PGCACHE_OK);
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache *cache = NULL;
  REQUIRE(pgcache_config_set(config, "near_max_bytes", "0", NULL) ==
          PGCACHE_OK); /* made anew for each address it is slow */
  pgcache_status status = pgcache_config_set(config, "url", url, &error);
  if (status == PGCACHE_OK)
    status = pgcache_new(&cache, config, &error);
  check_error(status, &error);
  REQUIRE(status == PGCACHE_OK || status == PGCACHE_BAD_SETTING);
  REQUIRE((cache != NULL) == (status == PGCACHE_OK));
  pgcache_free(cache);
  pgcache_config_free(config);
  free(url);
  return 0;
}
