/*
 * api_config.c - the exported functions on configurations: validate, delegate.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache.h"
#include "pure/config.h"
#include "pure/error.h"
#include "pure/sizes.h"

pgcache_status pgcache_config_new(pgcache_config **out, pgcache_error *error) {
  if (out != NULL)
    *out = NULL;
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  *out = pgc_config_new();
  return *out != NULL ? PGCACHE_OK : pgc_fail_memory(error);
}

pgcache_status pgcache_config_set(pgcache_config *config, const char *name, const char *value, pgcache_error *error) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (config == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "config is NULL");
  if (name == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "name is NULL");
  return pgc_config_set(config, name, value, error);
}

const char *pgcache_config_get(const pgcache_config *config, const char *name) {
  if (config == NULL || name == NULL)
    return NULL;
  return pgc_config_get(config, name);
}

pgcache_status pgcache_config_load_environment(pgcache_config *config, pgcache_error *error) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (config == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "config is NULL");
  return pgc_config_load_environment(config, error);
}

pgcache_status pgcache_config_describe(pgcache_setting *out, size_t index, pgcache_error *error) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  if (!PGC_HOLDS(pgcache_setting, out->struct_size, name))
    return pgc_fail(error, PGCACHE_INVALID,
                    "out->struct_size is %zu, which no version had; set it with "
                    "PGCACHE_SETTING_INIT",
                    out->struct_size);
  return pgc_config_describe(out, index) ? PGCACHE_OK : PGCACHE_MISS;
}

void pgcache_config_free(pgcache_config *config) {
  pgc_config_free(config);
}
