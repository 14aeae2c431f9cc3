/*
 * data.c - the schemas with their entries, filled and emptied through the library.
 *
 * Owns the schemas that it makes. Never touches others.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void key_of(char key[KEY_LEN + 2], int64_t number) {
  memcpy(key, "bench:00000000", KEY_LEN + 1);
  for (int digit = KEY_LEN - 1; number > 0; digit--, number /= 10) {
    key[digit] = (char)('0' + number % 10);
  }
}

/* The address, with that user if one is given. */
static void url_of(char url[1024], const dataset *self, const char *user) {
  PQconninfoOption *parts = PQconninfoParse(self->of->url, NULL);
  size_t length = 0;
  url[0] = '\0';
  for (const PQconninfoOption *part = parts; part != NULL && part->keyword != NULL; part++) {
    const char *value = user != NULL && strcmp(part->keyword, "user") == 0 ? user : part->val;
    if (value != NULL && length < 1024) {
      length += (size_t)snprintf(url + length, 1024 - length, "%s='%s' ", part->keyword, value);
    }
  }
  PQconninfoFree(parts);
}

static void connect_cache(dataset *self, const char *user) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  char url[1024];
  url_of(url, self, user);
  if (pgcache_config_new(&config, &error) < 0 || pgcache_config_set(config, "url", url, &error) < 0 ||
      pgcache_config_set(config, "schema", self->schema, &error) < 0 ||
      pgcache_config_set(config, "timeout_ms", "60000", &error) < 0 ||
      pgcache_config_set(config, "near_max_bytes", "0", &error) <
          0) { /* the store is measured, where settings ask for no other */
    die("%s: %s", pgcache_status_name(error.status), error.message);
  }
  for (int i = 0; i < MOST_SETTINGS && self->settings[i].name != NULL; i++) {
    if (pgcache_config_set(config, self->settings[i].name, self->settings[i].value, &error) < 0) {
      die("%s: %s", self->settings[i].name, error.message);
    }
  }
  /* Only who may make the schema does so. */
  if (pgcache_new(&self->cache, config, &error) < 0 || (user == NULL && pgcache_init(self->cache, NULL, &error) < 0)) {
    die("%s: %s", pgcache_status_name(error.status), error.message);
  }
  pgcache_config_free(config);
}

void dataset_open(dataset *self, const bench *of, const char *schema) {
  dataset_open_as(self, of, schema, NULL, NULL);
}

void dataset_open_as(dataset *self, const bench *of, const char *schema, const setting *settings, const char *user) {
  memset(self, 0, sizeof *self);
  self->of = of;
  snprintf(self->schema, sizeof self->schema, "pgcache_bench_%s", schema);
  PQclear(query_or_die(of->admin, PGRES_COMMAND_OK, "DROP SCHEMA IF EXISTS %s CASCADE", self->schema));
  if (settings != NULL) {
    memcpy(self->settings, settings, sizeof self->settings);
  }
  connect_cache(self, NULL);
  if (user != NULL) {
    self->user = user;
    dataset_disconnect(self);
  }
}

void dataset_disconnect(dataset *self) {
  pgcache_free(self->cache);
  self->cache = NULL;
  connect_cache(self, self->user);
}

void dataset_share(dataset *self, const dataset *other, const setting *settings) {
  *self = *other;
  if (settings != NULL) {
    memcpy(self->settings, settings, sizeof self->settings);
  }
  connect_cache(self, self->user);
}

void dataset_unshare(dataset *self) {
  pgcache_free(self->cache);
  memset(self, 0, sizeof *self);
}

typedef struct filler {
  pthread_t thread;
  const dataset *data;
  int64_t first, end;
} filler;

static void *fill(void *argument) {
  filler *self = argument;
  pgcache_error error = PGCACHE_ERROR_INIT;
  enum { PAGE = 500 };
  pgcache_item *items = calloc(PAGE, sizeof *items);
  char(*keys)[KEY_LEN + 2] = calloc(PAGE, sizeof *keys);
  if (items == NULL || keys == NULL) {
    die("out of memory");
  }
  for (int64_t next = self->first; next < self->end;) {
    size_t count = 0;
    for (; count < PAGE && next < self->end; count++, next++) {
      key_of(keys[count], next);
      items[count] = (pgcache_item)PGCACHE_ITEM_INIT;
      items[count].key = keys[count];
      items[count].key_len = KEY_LEN;
      items[count].value = self->data->value;
      items[count].value_len = self->data->value_bytes;
      items[count].ttl_ms = TTL_MS;
    }
    if (pgcache_put_many(self->data->cache, items, count, NULL, &error) < 0) {
      die("%s: %s", pgcache_status_name(error.status), error.message);
    }
  }
  free(keys);
  free(items);
  return NULL;
}

/* The same bytes in every run. */
static void make_value(dataset *self) {
  uint64_t random = 88172645463325252u;
  for (size_t i = 0; i < self->value_bytes;) {
    char row[160];
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    if (!self->text) { /* bytes that do not compress */
      self->value[i++] = (unsigned char)(random >> 24);
      continue;
    }
    snprintf(row, sizeof row,
             "{\"id\":%llu,\"name\":\"customer %llu\",\"open\":true,\"total\":%llu.50,\"currency\":\"EUR\"},",
             (unsigned long long)(random % 1000000), (unsigned long long)(random >> 44),
             (unsigned long long)(random >> 52));
    size_t length = strlen(row) < self->value_bytes - i ? strlen(row) : self->value_bytes - i;
    memcpy(self->value + i, row, length);
    i += length;
  }
}

void dataset_fill(dataset *self, int64_t keys, size_t value_bytes) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  filler fillers[4];
  enum { FILLERS = sizeof fillers / sizeof *fillers };
  report_progress("storing %lld entries of %zu bytes", (long long)keys, value_bytes);
  free(self->value);
  self->keys = keys;
  self->value_bytes = value_bytes;
  self->value = malloc(value_bytes);
  if (self->value == NULL) {
    die("out of memory");
  }
  make_value(self);
  if (pgcache_flush(self->cache, NULL, PGCACHE_FLUSH_ALL, NULL, &error) < 0) {
    die("%s: %s", pgcache_status_name(error.status), error.message);
  }
  for (int i = 0; i < FILLERS; i++) {
    fillers[i].data = self;
    fillers[i].first = keys * i / FILLERS;
    fillers[i].end = keys * (i + 1) / FILLERS;
    if (pthread_create(&fillers[i].thread, NULL, fill, &fillers[i]) != 0) {
      die("cannot start a thread");
    }
  }
  for (int i = 0; i < FILLERS; i++) {
    pthread_join(fillers[i].thread, NULL);
  }
  PQclear(query_or_die(self->of->admin, PGRES_COMMAND_OK, "VACUUM (ANALYZE) %s.entries", self->schema));
}

double dataset_bytes(const dataset *self) {
  char statement[128];
  snprintf(statement, sizeof statement, "SELECT pg_total_relation_size('%s.entries')", self->schema);
  return query_number(self->of->admin, statement);
}

double dataset_hot_share(const dataset *self) {
  char statement[256];
  snprintf(statement, sizeof statement,
           "SELECT 100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0) FROM pg_stat_user_tables WHERE relid = "
           "'%s.entries'::regclass",
           self->schema);
  return query_number(self->of->admin, statement);
}

void dataset_close(dataset *self) {
  pgcache_free(self->cache);
  free(self->value);
  PQclear(query_or_die(self->of->admin, PGRES_COMMAND_OK, "DROP SCHEMA %s CASCADE", self->schema));
  memset(self, 0, sizeof *self);
}
