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

static void connect_cache(dataset *self) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  if (pgcache_config_new(&config, &error) < 0 || pgcache_config_set(config, "url", self->of->url, &error) < 0 ||
      pgcache_config_set(config, "schema", self->schema, &error) < 0 ||
      pgcache_config_set(config, "timeout_ms", "60000", &error) < 0 || pgcache_new(&self->cache, config, &error) < 0 ||
      pgcache_init(self->cache, NULL, &error) < 0) {
    die("%s: %s", pgcache_status_name(error.status), error.message);
  }
  pgcache_config_free(config);
}

void dataset_open(dataset *self, const bench *of, const char *schema) {
  memset(self, 0, sizeof *self);
  self->of = of;
  snprintf(self->schema, sizeof self->schema, "pgcache_bench_%s", schema);
  PQclear(query_or_die(of->admin, PGRES_COMMAND_OK, "DROP SCHEMA IF EXISTS %s CASCADE", self->schema));
  connect_cache(self);
}

void dataset_disconnect(dataset *self) {
  pgcache_free(self->cache);
  self->cache = NULL;
  connect_cache(self);
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
  uint64_t random = 88172645463325252u;
  for (size_t i = 0; i < value_bytes; i++) { /* bytes that do not compress */
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    self->value[i] = (unsigned char)(random >> 24);
  }
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
