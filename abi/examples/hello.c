/*
 * hello.c - the smallest complete program: make a cache, put an entry, get it back.
 *
 * Owns nothing beyond its own entry; never creates anything but the cache's schema, and that only on a real server.
 *
 *   cc hello.c $(pkg-config --cflags --libs pgcache) -o hello
 *   ./hello                     asks `null:`, which stores nothing and needs no server
 *   ./hello postgresql:///app   or any other address
 *
 * SPDX-License-Identifier: MIT
 */
#include <pgcache.h>

#include <stdio.h>
#include <string.h>

static int fail(const char *what, const pgcache_error *error) {
  fprintf(stderr, "hello: %s: %s: %s\n", what, pgcache_status_name(error->status), error->message);
  return 1;
}

static int run(pgcache *cache, pgcache_error *error) {
  static const char key[] = "greeting", greeting[] = "Hello from PostgreSQL";
  pgcache_value *value = NULL;

  if (pgcache_init(cache, NULL, error) < 0) {
    return fail("init", error);
  }
  if (pgcache_put(cache, NULL, key, strlen(key), greeting, strlen(greeting), PGCACHE_FORMAT_BYTES, 60000, NULL, error) <
      0) {
    return fail("put", error);
  }
  pgcache_status found = pgcache_get(cache, &value, key, strlen(key), NULL, error);
  if (found < 0) {
    return fail("get", error);
  }
  if (found == PGCACHE_OK) {
    printf("hit: %s (%zu bytes, %lld ms to live)\n", (const char *)pgcache_value_data(value), pgcache_value_size(value),
           (long long)pgcache_value_ttl_ms(value));
  } else {
    printf("miss\n"); /* `null:` always misses */
  }
  pgcache_value_free(value);
  return 0;
}

int main(int argc, char **argv) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  pgcache *cache = NULL;
  int code = 1;

  if (pgcache_config_new(&config, &error) < 0 || pgcache_config_load_environment(config, &error) < 0 ||
      pgcache_config_set(config, "url", argc > 1 ? argv[1] : "null:", &error) < 0 ||
      pgcache_new(&cache, config, &error) < 0) {
    fail("setting up", &error);
  } else {
    code = run(cache, &error);
  }
  pgcache_free(cache);
  pgcache_config_free(config);
  return code;
}
