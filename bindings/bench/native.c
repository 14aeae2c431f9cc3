/*
 * native.c - the C client of `make bench ONLY=bindings`: what the others are compared with. See bindings/bench/run for the protocol.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pgcache.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 1000, KEY_LEN = 10, NEAR_BYTES = 100, STORE_BYTES = 1024 };

static char keys[KEYS][KEY_LEN + 1];
static pgcache *near_cache, *store_cache;
static char value[STORE_BYTES];

static void check(pgcache_status status, const pgcache_error *error) {
  if (status < 0) {
    fprintf(stderr, "native: %s\n", error->message);
    exit(1);
  }
}

/* Its own namespaces: what another client writes would end our copies. */
static pgcache *open_cache(const char *near_max_bytes, const char *name) {
  char namespace_name[32];
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config;
  pgcache *cache;
  check(pgcache_config_new(&config, &error), &error);
  check(pgcache_config_load_environment(config, &error), &error);
  check(pgcache_config_set(config, "near_max_bytes", near_max_bytes, &error), &error);
  snprintf(namespace_name, sizeof namespace_name, "%s-%d", name, (int)getpid());
  check(pgcache_config_set(config, "namespace", namespace_name, &error), &error);
  check(pgcache_config_set(config, "near_staleness_ms", "60000", &error),
        &error); /* a busy machine measures hits, too */
  check(pgcache_new(&cache, config, &error), &error);
  check(pgcache_init(cache, NULL, &error), &error);
  pgcache_config_free(config);
  return cache;
}

static void put(pgcache *cache, int key, size_t bytes) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  check(
      pgcache_put(cache, NULL, keys[key], KEY_LEN, value, bytes, PGCACHE_FORMAT_BYTES, PGCACHE_TTL_NEVER, NULL, &error),
      &error);
}

static void get(pgcache *cache, int key, size_t bytes) {
  pgcache_value *found;
  if (pgcache_get(cache, &found, keys[key], KEY_LEN, NULL, NULL) != PGCACHE_OK || pgcache_value_size(found) != bytes) {
    fputs("native: a key is gone\n", stderr);
    exit(1);
  }
  pgcache_value_free(found);
}

static int64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Nanoseconds of one operation: of a near hit on a processor, of the others by the clock. */
static double measure(const char *operation, double seconds) {
  const int near_hit = strcmp(operation, "near") == 0;
  const clockid_t clock = near_hit ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  const int64_t began = now_ns(clock), until = now_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
  int64_t count = 0;
  do {
    if (near_hit) {
      for (int i = 0; i < KEYS; i++) {
        get(near_cache, i, NEAR_BYTES);
      }
      count += KEYS;
    } else if (strcmp(operation, "get") == 0) {
      get(store_cache, (int)(count++ % KEYS), STORE_BYTES);
    } else {
      put(store_cache, (int)(count++ % KEYS), STORE_BYTES);
    }
  } while (now_ns(CLOCK_MONOTONIC) < until);
  return (double)(now_ns(clock) - began) / (double)count;
}

int main(void) {
  char operation[16];
  double seconds;
  near_cache = open_cache("67108864", "near");
  store_cache = open_cache("0", "store");
  memset(value, 'x', sizeof value);
  for (int i = 0; i < KEYS; i++) {
    snprintf(keys[i], sizeof keys[i], "key:%06d", i * 7919 % KEYS); /* in another order than they were made */
    put(near_cache, i, NEAR_BYTES);
    put(store_cache, i, STORE_BYTES);
  }
  for (int i = 0; i < KEYS; i++) {
    get(near_cache, i, NEAR_BYTES);
  }
  puts("ready near get put");
  fflush(stdout);
  while (scanf("%15s %lf", operation, &seconds) == 2) {
    printf("%.1f\n", measure(operation, seconds));
    fflush(stdout);
  }
  pgcache_free(near_cache);
  pgcache_free(store_cache);
  return 0;
}
