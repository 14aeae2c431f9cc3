/*
 * fuzz_config.c - settings of any name and any value. Input: lines "name=value"; a name of one byte is a setting's
 * number, modulo how many there are. Each setting keeps its last good value, and all good values together load.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "fuzz.h"

#include "pure/config.h"

static void set(pgcache_config *config, const char *name, const char *value) {
  pgcache_setting setting = PGCACHE_SETTING_INIT;
  if (name[0] != '\0' && name[1] == '\0') {
    REQUIRE(pgcache_config_describe(&setting, (unsigned char)name[0] % PGC_SETTING_COUNT, NULL) == PGCACHE_OK);
    name = setting.name;
  }
  const char *before = pgcache_config_get(config, name);
  char *kept = before != NULL ? strdup(before) : NULL;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status = pgcache_config_set(config, name, value, &error);
  check_error(status, &error);
  REQUIRE(status == PGCACHE_OK || status == PGCACHE_BAD_SETTING);
  const char *after = pgcache_config_get(config, name);
  if (before == NULL)
    REQUIRE(status == PGCACHE_BAD_SETTING && after == NULL);
  else
    REQUIRE(strcmp(after, status == PGCACHE_OK ? value : kept) == 0);
  free(kept);
}

static void load(const pgcache_config *config) {
  pgc_settings settings;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status = pgc_settings_load(&settings, config, &error);
  check_error(status, &error);
  if (status == PGCACHE_OK) {
    REQUIRE(strcmp(settings.url, pgcache_config_get(config, "url")) == 0);
    REQUIRE(strcmp(settings.schema, pgcache_config_get(config, "schema")) == 0);
    REQUIRE(strcmp(settings.namespace_name, pgcache_config_get(config, "namespace")) == 0);
    REQUIRE(settings.pool_min >= 0 && settings.pool_min <= settings.pool_max && settings.pool_max <= 1000);
    REQUIRE(settings.timeout_ms >= 1 && settings.timeout_ms <= 86400000);
    REQUIRE(settings.default_ttl_ms >= 1);
    REQUIRE(settings.max_value_bytes >= 1 && settings.max_value_bytes <= 268435456);
  } else {
    REQUIRE(status == PGCACHE_BAD_SETTING && settings.url == NULL);
  }
  pgc_settings_clear(&settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = text_with_canary(data, size);
  pgcache_config *config = NULL;
  REQUIRE(pgcache_config_new(&config, NULL) == PGCACHE_OK);
  char *state = NULL;
  for (char *line = strtok_r(text, "\n", &state); line != NULL; line = strtok_r(NULL, "\n", &state)) {
    char *value = strchr(line, '=');
    if (value != NULL)
      *value++ = '\0';
    set(config, line, value != NULL ? value : "");
  }
  load(config);
  pgcache_config_free(config);
  free(text);
  return 0;
}
