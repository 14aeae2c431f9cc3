/*
 * config.c - the settings: one table that drives setting, reading, describing, the environment and the documentation.
 *
 * Owns: the table, and the text of each setting that was set. Must never: print a value in a message.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/memory.h"
#include "pure/address.h"
#include "pure/error.h"
#include "pure/keyring.h"
#include "pure/sizes.h"
#include "pure/suggest.h"

/* ---- Checks ------------------------------------------------------------------------------------------------------- */

typedef struct setting_row setting_row;

struct setting_row {
  pgcache_setting public; /* its struct_size is not used */
  bool (*check)(const setting_row *row, const char *value);
  int64_t min; /* of the settings that are numbers */
  int64_t max;
  bool or_zero; /* 0 is allowed, too */
};

/* Reads a whole number: digits only, no sign, no spaces. *out is set only if the number lies within the row's limits. */
static bool parse_integer(int64_t *out, const setting_row *row, const char *text) {
  int64_t number = 0;
  size_t i = 0;
  for (; text[i] >= '0' && text[i] <= '9'; i++) {
    number = number * 10 + (text[i] - '0');
    if (number > row->max) /* keeps the next round from overflowing: no max is near a tenth of INT64_MAX */
      return false;
  }
  if (i == 0 || text[i] != '\0' || (number < row->min && (number != 0 || !row->or_zero)))
    return false;
  *out = number;
  return true;
}

static bool parse_ttl(int64_t *out, const setting_row *row, const char *text) {
  if (strcmp(text, "never") != 0)
    return parse_integer(out, row, text);
  *out = PGCACHE_TTL_NEVER;
  return true;
}

static bool check_integer(const setting_row *row, const char *value) {
  int64_t number;
  return parse_integer(&number, row, value);
}

static bool check_ttl(const setting_row *row, const char *value) {
  int64_t number;
  return parse_ttl(&number, row, value);
}

static bool check_url(const setting_row *row, const char *value) {
  (void)row;
  return pgc_address_problem(value) == NULL;
}

static bool check_listen_url(const setting_row *row, const char *value) {
  return value[0] == '\0' || check_url(row, value);
}

/* A schema's name goes into SQL text: of these letters none needs quotes and none can end them. */
static bool check_schema(const setting_row *row, const char *value) {
  (void)row;
  size_t length = strnlen(value, PGC_SCHEMA_MAX + 1);
  if (length == 0 || length > PGC_SCHEMA_MAX || (value[0] >= '0' && value[0] <= '9'))
    return false;
  if (strncmp(value, "pg_", 3) == 0) /* PostgreSQL keeps these for itself */
    return false;
  return strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

bool pgc_namespace_ok(const char *name) {
  size_t length = strnlen(name, PGCACHE_NAMESPACE_MAX + 1);
  if (length == 0 || length > PGCACHE_NAMESPACE_MAX)
    return false;
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)name[i] < 0x21 || (unsigned char)name[i] > 0x7E)
      return false;
  }
  return true;
}

static bool check_namespace(const setting_row *row, const char *value) {
  (void)row;
  return pgc_namespace_ok(value);
}

static bool check_table(const setting_row *row, const char *value) {
  (void)row;
  return strcmp(value, "unlogged") == 0 || strcmp(value, "logged") == 0;
}

static bool check_values(const setting_row *row, const char *value) {
  (void)row;
  return strcmp(value, "mixed") == 0 || strcmp(value, "inline") == 0;
}

static bool check_on_error(const setting_row *row, const char *value) {
  (void)row;
  return strcmp(value, "error") == 0 || strcmp(value, "miss") == 0;
}

static bool check_switch(const setting_row *row, const char *value) {
  (void)row;
  return strcmp(value, "on") == 0 || strcmp(value, "off") == 0;
}

static bool check_compression(const setting_row *row, const char *value) {
  (void)row;
  return strcmp(value, "off") == 0 || strcmp(value, "lz4") == 0 || strcmp(value, "zstd") == 0;
}

static bool check_encryption(const setting_row *row, const char *value) {
  (void)row;
  return strcmp(value, "off") == 0 || strcmp(value, "on") == 0 || strcmp(value, "required") == 0;
}

static bool check_digests(const setting_row *row, const char *value) {
  (void)row;
  return strcmp(value, "plain") == 0 || strcmp(value, "keyed") == 0;
}

static bool check_keys(const setting_row *row, const char *value) {
  (void)row;
  return value[0] == '\0' || pgc_keyring_source_ok(value);
}

/* A role's name goes into SQL text as a literal. */
static bool check_role(const setting_row *row, const char *value) {
  (void)row;
  return strnlen(value, PGC_ROLE_MAX + 1) <= PGC_ROLE_MAX && strncmp(value, "pg_", 3) != 0 &&
         strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.@") == strlen(value);
}

/* So does the list, inside of dollar quotes, and namespaces themselves may have almost any character. */
static bool check_namespaces(const setting_row *row, const char *value) {
  (void)row;
  if (value[0] == '\0')
    return true;
  for (const char *rest = value;; rest++) {
    size_t length = strcspn(rest, ",");
    if (length == 0 || length > PGCACHE_NAMESPACE_MAX)
      return false;
    for (size_t i = 0; i < length; i++) {
      if ((unsigned char)rest[i] < 0x21 || (unsigned char)rest[i] > 0x7E || strchr("'\"\\$", rest[i]) != NULL)
        return false;
    }
    rest += length;
    if (*rest == '\0')
      return true;
  }
}

/* A channel's name is quoted by LISTEN and not by pg_notify(): of these letters both make the same name. */
static bool check_channel(const setting_row *row, const char *value) {
  (void)row;
  return strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(value) && strlen(value) <= PGC_CHANNEL_MAX;
}

static bool check_grants(const setting_row *row, const char *value) {
  (void)row;
  return strcmp(value, "functions") == 0 || strcmp(value, "tables") == 0;
}

/* ---- The table ---------------------------------------------------------------------------------------------------- */

#define TEXT(name, environment, default_value, check, allowed, description)                                            \
  { {0, name, default_value, allowed, environment, description}, check, 0, 0, false }
/* The limits are checked and described from the same numbers. */
#define INTEGER(name, environment, default_value, min, max, description)                                               \
  { {0, name, default_value, #min " to " #max, environment, description}, check_integer, min, max, false }
#define INTEGER_OR_ZERO(name, environment, default_value, min, max, description)                                       \
  { {0, name, default_value, "0, or " #min " to " #max, environment, description}, check_integer, min, max, true }
#define TTL(name, environment, default_value, min, max, description)                                                   \
  { {0, name, default_value, #min " to " #max ", or never", environment, description}, check_ttl, min, max, false }

/* clang-format off */
static const setting_row table[PGC_SETTING_COUNT] = {
    [PGC_SETTING_URL] = TEXT("url", "PGCACHE_URL", "", check_url,
        "a libpq connection string or URI, null:, local: or local:/path",
        "The server that holds the cache; needed. Without PGCACHE_URL the environment's DATABASE_URL is taken."),
    [PGC_SETTING_SCHEMA] = TEXT("schema", "PGCACHE_SCHEMA", "pgcache", check_schema,
        "1 to 31 of a-z, 0-9 and _, not beginning with a digit or with pg_",
        "The schema of the database that holds the cache's tables and functions."),
    [PGC_SETTING_NAMESPACE] = TEXT("namespace", "PGCACHE_NAMESPACE", "default", check_namespace,
        "1 to 63 visible ASCII characters",
        "The part of the cache that keys live in when a call names no other."),
    [PGC_SETTING_TABLE] = TEXT("table", "PGCACHE_TABLE", "unlogged", check_table,
        "unlogged or logged",
        "How the schema is made: logged entries survive a crash of the server, unlogged ones are written much faster."),
    [PGC_SETTING_COHERENCE] = TEXT("coherence", "PGCACHE_COHERENCE", "on", check_switch,
        "on or off",
        "How the schema is made. off: writes cost less, because they tell nobody of themselves; no process has a near cache then."),
    [PGC_SETTING_VALUES] = TEXT("values", "PGCACHE_VALUES", "mixed", check_values,
        "mixed or inline",
        "How init lays the table out: inline suits values of 1 to 3 KiB that are rewritten often, and takes more space."),
    [PGC_SETTING_PREPARED] = TEXT("prepared", "PGCACHE_PREPARED", "on", check_switch,
        "on or off",
        "off: rely on no session, as connection poolers such as PgBouncer need it; each statement is sent whole."),
    [PGC_SETTING_APP_ROLE] = TEXT("app_role", "PGCACHE_APP_ROLE", "", check_role,
        "up to 63 of letters, digits and _ - . @, not beginning with pg_",
        "The role that init lets use the cache, made as a group role if it is missing; nothing: the schema's owner alone."),
    [PGC_SETTING_APP_NAMESPACES] = TEXT("app_namespaces", "PGCACHE_APP_NAMESPACES", "", check_namespaces,
        "namespaces without quotes and backslashes, separated by commas",
        "The namespaces that init keeps app_role to; nothing: all."),
    [PGC_SETTING_GRANTS] = TEXT("grants", "PGCACHE_GRANTS", "functions", check_grants,
        "functions or tables",
        "What init grants app_role: functions alone, or also the tables, which is a little faster."),
    [PGC_SETTING_OWNER_ROLE] = TEXT("owner_role", "PGCACHE_OWNER_ROLE", "", check_role,
        "up to 63 of letters, digits and _ - . @, not beginning with pg_",
        "With app_role: the role that owns what init makes, made if it is missing; it cannot log in. Nothing: SCHEMA_owner."),
    [PGC_SETTING_POOL_MIN] = INTEGER("pool_min", "PGCACHE_POOL_MIN", "0", 0, 1000,
        "The connections that the first call opens, even if it needs fewer, and that are kept open."),
    [PGC_SETTING_POOL_MAX] = INTEGER("pool_max", "PGCACHE_POOL_MAX", "10", 1, 1000,
        "The most connections that a handle opens; further calls wait for one."),
    [PGC_SETTING_POOL_MAX_LIFETIME_MS] = INTEGER("pool_max_lifetime_ms", "PGCACHE_POOL_MAX_LIFETIME_MS",
        "1800000", 0, 86400000,
        "When a connection is closed for its age, in milliseconds, up to a tenth earlier by chance; 0: never."),
    [PGC_SETTING_POOL_IDLE_MS] = INTEGER("pool_idle_ms", "PGCACHE_POOL_IDLE_MS", "600000", 0, 86400000,
        "How long a connection beyond pool_min may be idle before it is closed, in milliseconds; 0: for ever."),
    [PGC_SETTING_ASYNC_CONNECTIONS] = INTEGER("async_connections", "PGCACHE_ASYNC_CONNECTIONS", "2", 1, 64,
        "The most connections that requests use at once; of pool_max, and never more than these."),
    [PGC_SETTING_ASYNC_REQUESTS_MAX] = INTEGER("async_requests_max", "PGCACHE_ASYNC_REQUESTS_MAX", "100000", 1, 10000000,
        "The most requests that may be under way or wait to be taken; further ones are refused with PGCACHE_QUEUE_FULL."),
    [PGC_SETTING_ASYNC_BYTES_MAX] = INTEGER("async_bytes_max", "PGCACHE_ASYNC_BYTES_MAX", "268435456",
        1, 1099511627776,
        "The same for the bytes of their keys and values; a larger request is taken when there is no other."),
    [PGC_SETTING_BREAKER_FAILURES] = INTEGER("breaker_failures", "PGCACHE_BREAKER_FAILURES", "5", 0, 1000,
        "After so many failures of the server in a row calls are refused at once until it works again; 0: never."),
    [PGC_SETTING_BREAKER_PAUSE_MS] = INTEGER("breaker_pause_ms", "PGCACHE_BREAKER_PAUSE_MS", "1000", 1, 30000,
        "The longest pause before one call is let through again, in milliseconds; doubled by each that fails, to 30 s."),
    [PGC_SETTING_ON_ERROR] = TEXT("on_error", "PGCACHE_ON_ERROR", "error", check_on_error,
        "error or miss",
        "What a read gives when the server fails it: the error, or a miss, which is counted; writes tell always."),
    [PGC_SETTING_TIMEOUT_MS] = INTEGER("timeout_ms", "PGCACHE_TIMEOUT_MS", "5000", 1, 86400000,
        "The deadline of a call that sets none, in milliseconds."),
    [PGC_SETTING_MAINTENANCE_TIMEOUT_MS] = INTEGER("maintenance_timeout_ms", "PGCACHE_MAINTENANCE_TIMEOUT_MS",
        "300000", 1, 86400000,
        "The same for flush, cleanup, stats, read_usage, dependents, keys, read_published, doctor, init and upgrade, in "
        "milliseconds."),
    [PGC_SETTING_DEFAULT_TTL_MS] = TTL("default_ttl_ms", "PGCACHE_DEFAULT_TTL_MS", "300000", 1, 315360000000,
        "How long an entry lives when its write does not say, in milliseconds."),
    [PGC_SETTING_MAX_VALUE_BYTES] = INTEGER("max_value_bytes", "PGCACHE_MAX_VALUE_BYTES", "16777216", 1, 268435456,
        "The longest value that is stored or read, in bytes."),
    [PGC_SETTING_COMPRESSION] = TEXT("compression", "PGCACHE_COMPRESSION", "off", check_compression,
        "off, lz4 or zstd",
        "How values are made smaller before they are sent, where that saves 10%; what is read may be any of them."),
    [PGC_SETTING_COMPRESSION_MIN_BYTES] = INTEGER("compression_min_bytes", "PGCACHE_COMPRESSION_MIN_BYTES", "1024",
        1, 268435456,
        "Shorter values are not compressed, in bytes."),
    [PGC_SETTING_ENCRYPTION] = TEXT("encryption", "PGCACHE_ENCRYPTION", "off", check_encryption,
        "off, on or required",
        "With on, values are stored encrypted; with required, others are a miss, too. It needs the setting keys."),
    [PGC_SETTING_DIGESTS] = TEXT("digests", "PGCACHE_DIGESTS", "plain", check_digests,
        "plain or keyed",
        "With keyed, the database does not see the keys of entries. It needs a digest key in what the setting keys names."),
    [PGC_SETTING_KEYS] = TEXT("keys", "PGCACHE_KEYS", "", check_keys,
        "file:/path, env:NAME, or nothing",
        "Where the secret keys are, never the keys themselves; `pgcache keygen` makes one."),
    [PGC_SETTING_CLEANUP_SHARE] = INTEGER("cleanup_share", "PGCACHE_CLEANUP_SHARE", "10", 1, 100,
        "How much of one of the server's processor cores a janitor takes while it walks the table, in percent; cleanup on demand: 15 at least."),
    [PGC_SETTING_CLEANUP_CHANCE] = INTEGER("cleanup_chance", "PGCACHE_CLEANUP_CHANCE", "0", 0, 1000000,
        "For processes that live too briefly for a janitor: one of so many writes does a slice of cleanup; 0 is never."),
    [PGC_SETTING_ACCESS_STAMP_MS] = INTEGER("access_stamp_ms", "PGCACHE_ACCESS_STAMP_MS", "60000", 1, 86400000,
        "With a size bound: an entry that is read is noted as used when it was not for so long, in milliseconds."),
    [PGC_SETTING_GUARD] = TEXT("guard", "PGCACHE_GUARD", "on", check_switch,
        "on or off",
        "With off, reads of this handle also give entries whose key or tags were invalidated, and cost a little less."),
    [PGC_SETTING_LOAD_THREADS] = INTEGER("load_threads", "PGCACHE_LOAD_THREADS", "4", 1, 64,
        "How many loaders of pgcache_get_or_load() may run at once on the library's threads; there are none until one does."),
    [PGC_SETTING_NEAR_MAX_BYTES] = INTEGER_OR_ZERO("near_max_bytes", "PGCACHE_NEAR_MAX_BYTES", "67108864",
        1048576, 1099511627776, /* a quarter of the least is what it takes without any entry */
        "Memory of the near cache, with all its overhead, in bytes; 0: no near cache, and no connection that listens."),
    [PGC_SETTING_NEAR_MAX_ENTRIES] = INTEGER("near_max_entries", "PGCACHE_NEAR_MAX_ENTRIES", "0", 0, 1000000000,
        "Most entries of the near cache; 0: as many as its bytes allow."),
    [PGC_SETTING_NEAR_STALENESS_MS] = INTEGER("near_staleness_ms", "PGCACHE_NEAR_STALENESS_MS", "2000", 100, 60000,
        "A hit in the near cache is never older than this, whatever breaks, in milliseconds; usually it is a few."),
    [PGC_SETTING_NEAR_ABSENT_MS] = INTEGER("near_absent_ms", "PGCACHE_NEAR_ABSENT_MS", "0", 0, 86400000,
        "How long the near cache remembers that an entry does not exist, in milliseconds; 0: not at all."),
    [PGC_SETTING_NEAR_AUDIT_MS] = INTEGER("near_audit_ms", "PGCACHE_NEAR_AUDIT_MS", "0", 0, 86400000,
        "How often a few entries of the near cache are compared with the server's, in milliseconds; 0: never."),
    [PGC_SETTING_LISTEN_URL] = TEXT("listen_url", "PGCACHE_LISTEN_URL", "", check_listen_url,
        "as url, past any pooler; or nothing: the url",
        "Where the near cache listens for changes: the database of url, past a connection pooler that url leads through."),
    [PGC_SETTING_NOTIFY_CHANNEL] = TEXT("notify_channel", "PGCACHE_NOTIFY_CHANNEL", "", check_channel,
        "up to 63 of a-z, 0-9, _; or nothing: a random one",
        "For init: the name of the channel on which changes are notified."),
    [PGC_SETTING_SLOW_MS] = INTEGER("slow_ms", "PGCACHE_SLOW_MS", "0", 0, 86400000,
        "Providers and observers are told of operations that take so long, in milliseconds; 0: of none."),
    [PGC_SETTING_LOG_KEYS] = TEXT("log_keys", "PGCACHE_LOG_KEYS", "off", check_switch,
        "on or off",
        "With on, the words about slow operations name the key."),
    [PGC_SETTING_PUBLISH_MS] = INTEGER_OR_ZERO("publish_ms", "PGCACHE_PUBLISH_MS", "0", 1000, 3600000,
        "How often the process publishes what it measured, for `pgcache top` and the like, in milliseconds; 0: never."),
};
/* clang-format on */

/* ---- Setting and reading -------------------------------------------------------------------------------------------- */

/* The row's number, or PGC_SETTING_COUNT. */
static size_t find(const char *name) {
  size_t id = 0;
  while (id < PGC_SETTING_COUNT && strcmp(table[id].public.name, name) != 0)
    id++;
  return id;
}

static const char *text_of(const pgcache_config *config, size_t id) {
  return config->values[id] != NULL ? config->values[id] : table[id].public.default_value;
}

/* The name that was given is not printed: somebody may have mixed up name and value. */
static pgcache_status fail_name(const char *name, pgcache_error *error) {
  const char *names[PGC_SETTING_COUNT];
  for (size_t id = 0; id < PGC_SETTING_COUNT; id++)
    names[id] = table[id].public.name;
  const char *nearest = pgc_suggest(name, names, PGC_SETTING_COUNT);
  if (nearest != NULL)
    return pgc_fail(error, PGCACHE_BAD_SETTING, "there is no setting of that name; the nearest is %s", nearest);
  return pgc_fail(error, PGCACHE_BAD_SETTING, "there is no setting of that name; pgcache_config_describe() lists them");
}

/* Checks and copies one value. source is what the message calls the setting: its name, or the environment variable's. */
static pgcache_status set_value(pgcache_config *config, size_t id, const char *source, const char *value,
                                pgcache_error *error) {
  char *copy = NULL;
  if (value != NULL) {
    if (!table[id].check(&table[id], value)) {
      if (id == PGC_SETTING_URL || id == PGC_SETTING_LISTEN_URL)
        return pgc_fail(error, PGCACHE_BAD_SETTING, "%s: %s", source, pgc_address_problem(value));
      return pgc_fail(error, PGCACHE_BAD_SETTING, "%s: the value must be %s", source, table[id].public.allowed);
    }
    copy = pgc_strdup(value);
    if (copy == NULL)
      return pgc_fail_memory(error);
  }
  pgc_free(config->values[id]);
  config->values[id] = copy;
  return PGCACHE_OK;
}

pgcache_config *pgc_config_new(void) {
  return pgc_alloc_zero(sizeof(pgcache_config));
}

pgcache_status pgc_config_set(pgcache_config *config, const char *name, const char *value, pgcache_error *error) {
  size_t id = find(name);
  if (id == PGC_SETTING_COUNT)
    return fail_name(name, error);
  return set_value(config, id, table[id].public.name, value, error);
}

const char *pgc_config_get(const pgcache_config *config, const char *name) {
  size_t id = find(name);
  return id == PGC_SETTING_COUNT ? NULL : text_of(config, id);
}

pgcache_status pgc_config_load_environment(pgcache_config *config, pgcache_error *error) {
  for (size_t id = 0; id < PGC_SETTING_COUNT; id++) {
    const char *variable = table[id].public.environment;
    const char *value = getenv(variable);
    if (id == PGC_SETTING_URL && (value == NULL || value[0] == '\0')) {
      variable = "DATABASE_URL";
      value = getenv(variable);
    }
    if (value == NULL || value[0] == '\0')
      continue;
    pgcache_status status = set_value(config, id, variable, value, error);
    if (status != PGCACHE_OK)
      return status;
  }
  return PGCACHE_OK;
}

bool pgc_config_describe(pgcache_setting *out, size_t index) {
  size_t size = out->struct_size;
  memset(out, 0, size); /* a newer, larger struct too: what we do not know is NULL */
  out->struct_size = size;
  if (index >= PGC_SETTING_COUNT)
    return false;
  /* An older, smaller struct gets the fields that it holds whole; they have one size, so the rest of a division is
     what is left of a field that is not whole. */
  size_t known = size < sizeof *out ? size - size % sizeof(const char *) : sizeof *out;
  size_t start = offsetof(pgcache_setting, name);
  memcpy((char *)out + start, (const char *)&table[index].public + start, known - start);
  return true;
}

void pgc_config_free(pgcache_config *config) {
  if (config == NULL)
    return;
  for (size_t id = 0; id < PGC_SETTING_COUNT; id++)
    pgc_free(config->values[id]);
  pgc_free(config);
}

/* ---- The typed form ------------------------------------------------------------------------------------------------- */

/* Every text here was checked when it was set, and the defaults are right, so these cannot fail. */
static int64_t integer_of(const pgcache_config *config, size_t id) {
  int64_t number = 0;
  (void)parse_ttl(&number, &table[id], text_of(config, id));
  return number;
}

/* The settings that say how values are stored. */
static pgcache_status load_encoding(pgc_settings *out, const pgcache_config *config, pgcache_error *error) {
  const char *compression = text_of(config, PGC_SETTING_COMPRESSION);
  const char *encryption = text_of(config, PGC_SETTING_ENCRYPTION);
  const char *keys = text_of(config, PGC_SETTING_KEYS);
  if (strcmp(compression, "off") != 0)
    out->compression = strcmp(compression, "lz4") == 0 ? PGC_CODEC_LZ4 : PGC_CODEC_ZSTD;
  out->compression_min_bytes = integer_of(config, PGC_SETTING_COMPRESSION_MIN_BYTES);
  if (strcmp(encryption, "off") != 0)
    out->encryption = strcmp(encryption, "on") == 0 ? PGC_ENCRYPTION_ON : PGC_ENCRYPTION_REQUIRED;
  out->keyed_digests = strcmp(text_of(config, PGC_SETTING_DIGESTS), "keyed") == 0;

  pgcache_status status = PGCACHE_OK;
  if (keys[0] != '\0') {
    out->keys = pgc_strdup(keys);
    if (out->keys == NULL)
      status = pgc_fail_memory(error);
  } else if (out->encryption != PGC_ENCRYPTION_OFF) {
    status = pgc_fail(error, PGCACHE_BAD_SETTING, "encryption is %s and needs the setting keys", encryption);
  } else if (out->keyed_digests) {
    status = pgc_fail(error, PGCACHE_BAD_SETTING, "digests is keyed and needs the setting keys");
  }
  if (status != PGCACHE_OK)
    pgc_settings_clear(out);
  return status;
}

pgcache_status pgc_settings_load(pgc_settings *out, const pgcache_config *config, pgcache_error *error) {
  memset(out, 0, sizeof *out);
  int pool_min = (int)integer_of(config, PGC_SETTING_POOL_MIN);
  int pool_max = (int)integer_of(config, PGC_SETTING_POOL_MAX);
  if (pool_min > pool_max)
    return pgc_fail(error, PGCACHE_BAD_SETTING, "pool_min is %d and must not be above pool_max, which is %d", pool_min,
                    pool_max);
  const char *namespaces = text_of(config, PGC_SETTING_APP_NAMESPACES);
  if (namespaces[0] != '\0' && text_of(config, PGC_SETTING_APP_ROLE)[0] == '\0')
    return pgc_fail(error, PGCACHE_BAD_SETTING,
                    "app_namespaces is set and app_role is not; whom should it keep to them?");
  out->url = pgc_strdup(text_of(config, PGC_SETTING_URL));
  out->app_namespaces = pgc_strdup(namespaces);
  out->listen_url = pgc_strdup(text_of(config, PGC_SETTING_LISTEN_URL));
  if (out->url == NULL || out->app_namespaces == NULL || out->listen_url == NULL) {
    pgc_settings_clear(out);
    return pgc_fail_memory(error);
  }
  strcpy(out->schema, text_of(config, PGC_SETTING_SCHEMA)); /* their lengths were checked, too */
  strcpy(out->namespace_name, text_of(config, PGC_SETTING_NAMESPACE));
  out->kind.logged = strcmp(text_of(config, PGC_SETTING_TABLE), "logged") == 0;
  out->kind.coherent = strcmp(text_of(config, PGC_SETTING_COHERENCE), "on") == 0;
  out->inline_values = strcmp(text_of(config, PGC_SETTING_VALUES), "inline") == 0;
  out->prepared = strcmp(text_of(config, PGC_SETTING_PREPARED), "on") == 0;
  strcpy(out->app_role, text_of(config, PGC_SETTING_APP_ROLE));
  out->grant_tables = strcmp(text_of(config, PGC_SETTING_GRANTS), "tables") == 0;
  strcpy(out->owner_role, text_of(config, PGC_SETTING_OWNER_ROLE));
  if (out->owner_role[0] == '\0')
    snprintf(out->owner_role, sizeof out->owner_role, "%s_owner", out->schema);
  out->pool_min = pool_min;
  out->pool_max = pool_max;
  out->pool_max_lifetime_ms = integer_of(config, PGC_SETTING_POOL_MAX_LIFETIME_MS);
  out->pool_idle_ms = integer_of(config, PGC_SETTING_POOL_IDLE_MS);
  out->async_connections = (int)integer_of(config, PGC_SETTING_ASYNC_CONNECTIONS);
  out->async_requests_max = integer_of(config, PGC_SETTING_ASYNC_REQUESTS_MAX);
  out->async_bytes_max = integer_of(config, PGC_SETTING_ASYNC_BYTES_MAX);
  out->breaker_failures = (int)integer_of(config, PGC_SETTING_BREAKER_FAILURES);
  out->breaker_pause_ms = integer_of(config, PGC_SETTING_BREAKER_PAUSE_MS);
  out->failed_reads_miss = strcmp(text_of(config, PGC_SETTING_ON_ERROR), "miss") == 0;
  out->timeout_ms = integer_of(config, PGC_SETTING_TIMEOUT_MS);
  out->maintenance_timeout_ms = integer_of(config, PGC_SETTING_MAINTENANCE_TIMEOUT_MS);
  out->default_ttl_ms = integer_of(config, PGC_SETTING_DEFAULT_TTL_MS);
  out->max_value_bytes = integer_of(config, PGC_SETTING_MAX_VALUE_BYTES);
  out->cleanup_share = (int)integer_of(config, PGC_SETTING_CLEANUP_SHARE);
  out->cleanup_chance = integer_of(config, PGC_SETTING_CLEANUP_CHANCE);
  out->access_stamp_ms = integer_of(config, PGC_SETTING_ACCESS_STAMP_MS);
  out->near_max_bytes = out->kind.coherent ? integer_of(config, PGC_SETTING_NEAR_MAX_BYTES) : 0;
  out->near_max_entries = integer_of(config, PGC_SETTING_NEAR_MAX_ENTRIES);
  out->near_staleness_ms = integer_of(config, PGC_SETTING_NEAR_STALENESS_MS);
  out->near_absent_ms = integer_of(config, PGC_SETTING_NEAR_ABSENT_MS);
  out->guarded = strcmp(text_of(config, PGC_SETTING_GUARD), "on") == 0;
  out->load_threads = (int)integer_of(config, PGC_SETTING_LOAD_THREADS);
  out->near_audit_ms = integer_of(config, PGC_SETTING_NEAR_AUDIT_MS);
  out->publish_ms = integer_of(config, PGC_SETTING_PUBLISH_MS);
  strcpy(out->notify_channel, text_of(config, PGC_SETTING_NOTIFY_CHANNEL));
  out->slow_ms = integer_of(config, PGC_SETTING_SLOW_MS);
  out->log_keys = strcmp(text_of(config, PGC_SETTING_LOG_KEYS), "on") == 0;
  return load_encoding(out, config, error);
}

void pgc_settings_roles(const pgc_settings *settings, pgc_sql_roles *out) {
  *out = (pgc_sql_roles){.app_role = settings->app_role,
                         .app_namespaces = settings->app_namespaces,
                         .grants = settings->grant_tables ? "tables" : "functions",
                         .owner_role = settings->owner_role,
                         .notify_channel = settings->notify_channel};
}

void pgc_settings_clear(pgc_settings *settings) {
  if (settings == NULL)
    return;
  pgc_free(settings->url);
  pgc_free(settings->keys);
  pgc_free(settings->app_namespaces);
  pgc_free(settings->listen_url);
  memset(settings, 0, sizeof *settings);
}
