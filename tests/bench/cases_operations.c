/*
 * cases_operations.c - what the settings cost: puts and gets with each, beside the same handle without it, in the same run.
 *
 * Owns the list of variants. A variant whose setting this library does not have is named in the output, never left out.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS "env:PGCACHE_BENCH_KEYS"
static const char app_role[] = "pgcache_bench_app", user[] = "pgcache_bench_user";

typedef struct variant {
  const char *name;
  setting settings[MOST_SETTINGS];
  setting plain; /* of the other side, where the default is not without it */
  size_t value_bytes;
  bool text; /* values that compress */
  bool as_user;
  bool bound; /* a janitor keeps the cache below the number of entries that the puts make */
} variant;

static const variant variants[] = {
    {.name = "lz4", .settings = {{"compression", "lz4"}}, .value_bytes = 1024, .text = true},
    {.name = "lz4", .settings = {{"compression", "lz4"}}, .value_bytes = 10240, .text = true},
    {.name = "lz4_random", .settings = {{"compression", "lz4"}}, .value_bytes = 10240}, /* tried in vain */
    {.name = "zstd", .settings = {{"compression", "zstd"}}, .value_bytes = 1024, .text = true},
    {.name = "zstd", .settings = {{"compression", "zstd"}}, .value_bytes = 10240, .text = true},
    {.name = "zstd_random", .settings = {{"compression", "zstd"}}, .value_bytes = 10240},
    {.name = "encryption", .settings = {{"encryption", "required"}, {"keys", KEYS}}, .value_bytes = 1024},
    {.name = "encryption", .settings = {{"encryption", "required"}, {"keys", KEYS}}, .value_bytes = 10240},
    {.name = "keyed_digests", .settings = {{"digests", "keyed"}, {"keys", KEYS}}, .value_bytes = 1024},
    {.name = "app_role", .settings = {{"app_role", app_role}}, .value_bytes = 1024, .as_user = true},
    {.name = "app_role_tables",
     .settings = {{"app_role", app_role}, {"grants", "tables"}},
     .value_bytes = 1024,
     .as_user = true},
    {.name = "not_prepared", .settings = {{"prepared", "off"}}, .value_bytes = 1024},
    {.name = "breaker",
     .settings = {{"breaker_failures", "5"}},
     .plain = {"breaker_failures", "0"},
     .value_bytes = 1024},
    {.name = "bound", .value_bytes = 1024, .bound = true},
};

/* The first setting of the variant that the library does not have; NULL: it has all. */
static const char *missing(const variant *of) {
  for (int i = 0; i < MOST_SETTINGS && of->settings[i].name != NULL; i++) {
    bool found = false;
    pgcache_setting about = {.struct_size = sizeof about};
    for (size_t j = 0; !found && pgcache_config_describe(&about, j, NULL) == PGCACHE_OK; j++) {
      found = strcmp(about.name, of->settings[i].name) == 0;
    }
    if (!found) {
      return of->settings[i].name;
    }
  }
  return NULL;
}

static void skip(const variant *of, const char *what) {
  char text[200], object[300];
  snprintf(text, sizeof text, "put_%s, get_%s: not measured, this library has no setting %s", of->name, of->name, what);
  snprintf(object, sizeof object, "{\"case\":\"put_%s\"," NO_FIGURE ",\"not_measured\":\"no setting %s\"}", of->name,
           what);
  report_line(text, object);
}

/* Those that init makes for this schema, and the one below. They own and may nothing any more. */
static void drop_roles(const bench *self) {
  PQclear(query_or_die(self->admin, PGRES_COMMAND_OK, "DROP ROLE IF EXISTS %s, %s, pgcache_bench_with_owner", user,
                       app_role));
}

/* A role that logs in and may do what the application's role may. */
static void make_user(const bench *self) {
  PQclear(query_or_die(self->admin, PGRES_COMMAND_OK, "CREATE ROLE %s LOGIN", user));
  PQclear(query_or_die(self->admin, PGRES_COMMAND_OK, "GRANT %s TO %s", app_role, user));
}

static pgcache_janitor *start_janitor(const dataset *data) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_janitor *janitor = NULL;
  if (pgcache_set_limits(data->cache, PGCACHE_LIMIT_ALL, data->keys / 2, PGCACHE_LIMIT_NONE, NULL, &error) < 0 ||
      pgcache_janitor_start(&janitor, data->cache, 100, &error) < 0) {
    die("%s: %s", pgcache_status_name(error.status), error.message);
  }
  return janitor;
}

static void measure(bench *self, const variant *of) {
  static const operation operations[] = {PUT, GET};
  static const int threads[] = {1, MOST_THREADS};
  dataset plain, with;
  int64_t keys = 20000;
  char name[40];
  dataset_open_as(&plain, self, "plain", (const setting[MOST_SETTINGS]){of->plain}, NULL);
  dataset_open_as(&with, self, "with", of->settings, NULL);
  plain.text = with.text = of->text;
  dataset_fill(&plain, keys, of->value_bytes);
  dataset_fill(&with, keys, of->value_bytes);
  if (of->as_user) {
    make_user(self);
    with.user = user;
    dataset_disconnect(&with);
  }
  pgcache_janitor *janitor = of->bound ? start_janitor(&with) : NULL;
  for (size_t i = 0; i < (of->bound ? 1 : sizeof operations / sizeof *operations);
       i++) { /* no gets of what is evicted */
    side *a = side_new(&with, operations[i], false), *b = side_new(&plain, operations[i], false);
    snprintf(name, sizeof name, "%s_%s", operations[i] == PUT ? "put" : "get", of->name);
    for (size_t j = 0; j < sizeof threads / sizeof *threads; j++) {
      measurement result = {.name = name, .value_bytes = of->value_bytes, .keys = keys, .unit = "ops/s"};
      report_progress("%s, values of %zu bytes, %d threads", name, of->value_bytes, threads[j]);
      compare(self, a, b, threads[j], &result);
      report(self, &result);
    }
    side_free(a);
    side_free(b);
  }
  pgcache_janitor_free(janitor);
  dataset_close(&with);
  dataset_close(&plain);
  if (of->as_user) {
    drop_roles(self);
  }
}

void case_settings(bench *self) {
  /* Keys for measuring, no secrets. */
  setenv("PGCACHE_BENCH_KEYS",
         "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=;digest ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=", 1);
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
    const char *absent = missing(&variants[i]);
    if (absent != NULL) {
      skip(&variants[i], absent);
    } else {
      measure(self, &variants[i]);
    }
  }
}
