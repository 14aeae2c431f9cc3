/*
 * loads.c - a value that takes long to compute: whoever misses it gets the lease to load it, everybody else waits for that one;
 * and it depends on a tag, so that one call ends it together with everything else that does.
 *
 * Owns nothing beyond its own entry; never creates anything but the cache's schema, and that only on a real server.
 *
 *   cc loads.c $(pkg-config --cflags --libs pgcache) -o loads
 *   ./loads                     asks `null:`, where everybody loads for himself
 *   ./loads postgresql:///app   or any other address
 *
 * SPDX-License-Identifier: MIT
 */
#include <pgcache.h>

#include <stdio.h>
#include <string.h>

static const char key[] = "report";
static const char tag[] = "orders";

static int fail(const char *what, const pgcache_error *error) {
  fprintf(stderr, "loads: %s: %s: %s\n", what, pgcache_status_name(error->status), error->message);
  return 1;
}

/* What takes long. It must begin after pgcache_load_begin() has returned: a statement of its own, or a transaction. */
static size_t compute(char *text, size_t size) {
  static int times;
  return (size_t)snprintf(text, size, "report number %d", ++times);
}

/* Computes the value, for itself and for all who wait, and says what it depends on. */
static int load_report(pgcache_load *load, pgcache_error *error) {
  char text[64];
  size_t size = compute(text, sizeof text);
  pgcache_dependency dependency = PGCACHE_DEPENDENCY_INIT;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  dependency.name = tag;
  dependency.name_len = strlen(tag);
  options.dependencies = &dependency;
  options.dependency_count = 1;

  pgcache_status status = pgcache_load_fill(load, NULL, text, size, PGCACHE_FORMAT_BYTES, &options, error);
  if (status < 0) {
    return fail("fill", error);
  }
  /* Refused: the tag was invalidated meanwhile, and nobody will be served what may be older. For us it is as good as any. */
  printf("%s: %s\n", status == PGCACHE_REFUSED ? "loaded, not stored" : "loaded", text);
  return 0;
}

static int show_report(pgcache *cache, pgcache_error *error) {
  pgcache_value *value = NULL;
  pgcache_load *load = NULL;
  pgcache_load_options how = PGCACHE_LOAD_OPTIONS_INIT;
  int code = 0;
  how.ttl_ms = 600000;
  how.stale_ms = 60000; /* for a minute more others get the old one while somebody refreshes it */

  switch (pgcache_load_begin(cache, &value, &load, key, strlen(key), &how, NULL, error)) {
  case PGCACHE_LEASE: /* there is none, and we are the one to load it */
    code = load_report(load, error);
    break;
  case PGCACHE_STALE: /* with a lease we are to refresh it */
    code = load != NULL ? load_report(load, error) : 0;
    break;
  case PGCACHE_OK:
    printf("hit: %s\n", (const char *)pgcache_value_data(value));
    break;
  case PGCACHE_BUSY: /* with a wait_ms that is over */
    printf("somebody else is loading it\n");
    break;
  default:
    code = fail("load_begin", error);
  }
  pgcache_value_free(value);
  pgcache_load_free(load); /* one that was not filled is given back */
  return code;
}

static int run(pgcache *cache, pgcache_error *error) {
  pgcache_dependency what = PGCACHE_DEPENDENCY_INIT;
  what.name = tag;
  what.name_len = strlen(tag);
  if (pgcache_init(cache, NULL, error) < 0) {
    return fail("init", error);
  }
  if (pgcache_invalidate(cache, &what, 1, NULL, error) < 0) { /* what an earlier run has left */
    return fail("invalidate", error);
  }
  for (int i = 0; i < 2; i++) { /* a load, and then a hit */
    if (show_report(cache, error) != 0) {
      return 1;
    }
  }
  if (pgcache_invalidate(cache, &what, 1, NULL, error) < 0) {
    return fail("invalidate", error);
  }
  return show_report(cache, error);
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
