/*
 * measured.c - what a program sees of its own calls: by span name how many there were and how long they took; and what it
 * publishes for `pgcache top`.
 *
 * Owns nothing beyond its own entries, of 10 seconds; never creates anything but the cache's schema.
 *
 *   cc measured.c $(pkg-config --cflags --libs pgcache) -o measured
 *   ./measured postgresql:///app        a hundred calls
 *   ./measured postgresql:///app 60     goes on for 60 seconds and publishes every second; watch it with `pgcache top`
 *
 * SPDX-License-Identifier: MIT
 */
#include <pgcache.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int fail(const char *what, const pgcache_error *error) {
  fprintf(stderr, "measured: %s: %s: %s\n", what, pgcache_status_name(error->status), error->message);
  return 1;
}

static pgcache_status look_for(pgcache *cache, const char *key, const char *span_name, pgcache_error *error) {
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  pgcache_value *value = NULL;
  options.span_name = span_name;
  pgcache_status status = pgcache_get(cache, &value, key, strlen(key), &options, error);
  pgcache_value_free(value);
  return status;
}

static int work(pgcache *cache, int seconds, pgcache_error *error) {
  const struct timespec pause = {0, 10000000};
  for (int round = 0; round < 25 || round < seconds * 100; round++) {
    if (pgcache_put(cache, NULL, "basket", 6, "3 apples", 8, PGCACHE_FORMAT_BYTES, 10000, NULL, error) < 0)
      return fail("put", error);
    for (int customer = 0; customer < 3; customer++) { /* two have something in their basket */
      bool buys = customer < 2;
      if (look_for(cache, buys ? "basket" : "no basket", buys ? "checkout" : "welcome", error) < 0)
        return fail("get", error);
    }
    nanosleep(&pause, NULL);
  }
  return 0;
}

/* The text of a sample's label, "" if it has none of that name. */
static const char *label(const pgcache_snapshot *snapshot, size_t sample, const char *name) {
  for (size_t i = 0; i < pgcache_snapshot_labels(snapshot, sample); i++) {
    if (strcmp(pgcache_snapshot_label_name(snapshot, sample, i), name) == 0)
      return pgcache_snapshot_label_value(snapshot, sample, i);
  }
  return "";
}

static int show(pgcache *cache, pgcache_error *error) {
  pgcache_snapshot *snapshot = NULL;
  if (pgcache_stats_snapshot(cache, &snapshot, error) < 0)
    return fail("snapshot", error);
  for (size_t i = 0; i < pgcache_snapshot_size(snapshot); i++) {
    if (strcmp(pgcache_snapshot_name(snapshot, i), "pgcache_operation_duration_seconds") != 0)
      continue;
    printf("%s %s from the %s, span '%s': %lld calls, half of them within %.6f s, 99%% within %.6f s\n",
           label(snapshot, i, "operation"), label(snapshot, i, "outcome"), label(snapshot, i, "source"),
           label(snapshot, i, "span_name"), (long long)pgcache_snapshot_count(snapshot, i),
           pgcache_snapshot_percentile(snapshot, i, 50), pgcache_snapshot_percentile(snapshot, i, 99));
  }
  pgcache_snapshot_free(snapshot);
  return 0;
}

int main(int argc, char **argv) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  pgcache *cache = NULL;
  int code = 1;

  if (argc < 2) {
    fputs("usage: measured ADDRESS [SECONDS]\n", stderr);
    return 2;
  }
  if (pgcache_config_new(&config, &error) < 0 || pgcache_config_load_environment(config, &error) < 0 ||
      pgcache_config_set(config, "url", argv[1], &error) < 0 ||
      pgcache_config_set(config, "near_max_bytes", "0", &error) <
          0 || /* each get asks the server, so that all are timed */
      pgcache_config_set(config, "publish_ms", argc > 2 ? "1000" : "0", &error) < 0 ||
      pgcache_new(&cache, config, &error) < 0 || pgcache_init(cache, NULL, &error) < 0) {
    fail("setting up", &error);
  } else {
    code = work(cache, argc > 2 ? atoi(argv[2]) : 0, &error);
    if (code == 0)
      code = show(cache, &error);
  }
  pgcache_free(cache);
  pgcache_config_free(config);
  return code;
}
