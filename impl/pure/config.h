/*
 * config.h - the settings: one table that drives setting, reading, describing, the environment and the documentation.
 *
 * Owns: the names, defaults and limits of all settings, and their typed form. Must never: print a value in a message
 * (a value may hold a password, and may have been given under the wrong name), do input or output, or know libpq.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_CONFIG_H
#define PGC_PURE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgcache.h"
#include "pure/compression.h"
#include "pure/sql_text.h"

#define PGC_SCHEMA_MAX 31
#define PGC_ROLE_MAX 63
#define PGC_CHANNEL_MAX 63

/* The number of each setting: its place in the table and in a configuration. */
typedef enum pgc_setting_id {
  PGC_SETTING_URL,
  PGC_SETTING_SCHEMA,
  PGC_SETTING_NAMESPACE,
  PGC_SETTING_TABLE,
  PGC_SETTING_COHERENCE,
  PGC_SETTING_VALUES,
  PGC_SETTING_PREPARED,
  PGC_SETTING_APP_ROLE,
  PGC_SETTING_APP_NAMESPACES,
  PGC_SETTING_GRANTS,
  PGC_SETTING_OWNER_ROLE,
  PGC_SETTING_POOL_MIN,
  PGC_SETTING_POOL_MAX,
  PGC_SETTING_POOL_MAX_LIFETIME_MS,
  PGC_SETTING_POOL_IDLE_MS,
  PGC_SETTING_ASYNC_CONNECTIONS,
  PGC_SETTING_ASYNC_REQUESTS_MAX,
  PGC_SETTING_ASYNC_BYTES_MAX,
  PGC_SETTING_BREAKER_FAILURES,
  PGC_SETTING_BREAKER_PAUSE_MS,
  PGC_SETTING_ON_ERROR,
  PGC_SETTING_TIMEOUT_MS,
  PGC_SETTING_MAINTENANCE_TIMEOUT_MS,
  PGC_SETTING_DEFAULT_TTL_MS,
  PGC_SETTING_MAX_VALUE_BYTES,
  PGC_SETTING_COMPRESSION,
  PGC_SETTING_COMPRESSION_MIN_BYTES,
  PGC_SETTING_ENCRYPTION,
  PGC_SETTING_DIGESTS,
  PGC_SETTING_KEYS,
  PGC_SETTING_CLEANUP_SHARE,
  PGC_SETTING_CLEANUP_CHANCE,
  PGC_SETTING_ACCESS_STAMP_MS,
  PGC_SETTING_GUARD,
  PGC_SETTING_LOAD_THREADS,
  PGC_SETTING_NEAR_MAX_BYTES,
  PGC_SETTING_NEAR_MAX_ENTRIES,
  PGC_SETTING_NEAR_STALENESS_MS,
  PGC_SETTING_NEAR_ABSENT_MS,
  PGC_SETTING_NEAR_AUDIT_MS,
  PGC_SETTING_LISTEN_URL,
  PGC_SETTING_NOTIFY_CHANNEL,
  PGC_SETTING_SLOW_MS,
  PGC_SETTING_LOG_KEYS,
  PGC_SETTING_PUBLISH_MS,
  PGC_SETTING_COUNT
} pgc_setting_id;

struct pgcache_config {
  char *values[PGC_SETTING_COUNT]; /* as they were set; NULL: the default */
};

typedef enum pgc_encryption {
  PGC_ENCRYPTION_OFF,
  PGC_ENCRYPTION_ON,      /* values are written encrypted, and read as they are */
  PGC_ENCRYPTION_REQUIRED /* values that are not encrypted are not read, either */
} pgc_encryption;

/* The settings in the types that the store and the operations use. */
typedef struct pgc_settings {
  char *url; /* never NULL; "" when it was not set */
  char schema[PGC_SCHEMA_MAX + 1];
  char namespace_name[PGCACHE_NAMESPACE_MAX + 1];
  pgc_schema_kind kind; /* settings `table` and `coherence` */
  bool inline_values;   /* setting `values` */
  bool prepared;
  char app_role[PGC_ROLE_MAX + 1]; /* "": none */
  char *app_namespaces;            /* never NULL; "": all */
  bool grant_tables;               /* setting `grants` */
  char owner_role[PGC_ROLE_MAX + 1];
  int pool_min;
  int pool_max;
  int64_t pool_max_lifetime_ms; /* 0: for ever */
  int64_t pool_idle_ms;         /* 0: for ever */
  int async_connections;
  int64_t async_requests_max;
  int64_t async_bytes_max;
  int breaker_failures; /* 0: no breaker */
  int64_t breaker_pause_ms;
  bool failed_reads_miss; /* setting `on_error` */
  int64_t timeout_ms;
  int64_t maintenance_timeout_ms;
  int64_t default_ttl_ms; /* > 0; PGCACHE_TTL_NEVER for "never" */
  int64_t max_value_bytes;
  pgc_codec compression;
  int64_t compression_min_bytes;
  pgc_encryption encryption;
  bool keyed_digests;     /* setting `digests` */
  char *keys;             /* where the secret keys come from; NULL: there are none */
  int cleanup_share;      /* percent */
  int64_t cleanup_chance; /* 0: never */
  int64_t access_stamp_ms;
  bool guarded; /* setting `guard` */
  int load_threads;
  int64_t near_max_bytes;   /* 0: no near cache, as without coherence */
  int64_t near_max_entries; /* 0: as many as fit */
  int64_t near_staleness_ms;
  int64_t near_absent_ms; /* 0: never */
  int64_t near_audit_ms;  /* 0: never */
  char *listen_url;       /* never NULL; "": the url */
  int64_t slow_ms;        /* 0: never */
  bool log_keys;
  char notify_channel[PGC_CHANNEL_MAX + 1];
  int64_t publish_ms; /* 0: never */
} pgc_settings;

/* Copies config into out. PGCACHE_OK, PGCACHE_BAD_SETTING (settings contradict each other) or PGCACHE_NO_MEMORY; out is
   zeroed on an error. Whether the url can be understood is the business of pgc_address_parse(). */
pgcache_status pgc_settings_load(pgc_settings *out, const pgcache_config *config, pgcache_error *error);

/* What init is told, pointing into the settings. */
void pgc_settings_roles(const pgc_settings *settings, pgc_sql_roles *out);

/* Frees what pgc_settings_load() allocated, and zeroes it. NULL and zeroed settings are no-ops. */
void pgc_settings_clear(pgc_settings *settings);

/* [rule:namespace] */
bool pgc_namespace_ok(const char *name);

/* What the exported functions of the same names do; these here trust their pointers. */
pgcache_config *pgc_config_new(void);
pgcache_status pgc_config_set(pgcache_config *config, const char *name, const char *value, pgcache_error *error);
const char *pgc_config_get(const pgcache_config *config, const char *name);
pgcache_status pgc_config_load_environment(pgcache_config *config, pgcache_error *error);
bool pgc_config_describe(pgcache_setting *out, size_t index);
void pgc_config_free(pgcache_config *config);

#endif
