/*
 * prometheus.c - a program whose figures Prometheus can scrape: it counts seconds in the cache until its input ends.
 *
 * Owns nothing beyond its own entries; never creates anything but the cache's schema, and that only on a real server.
 *
 *   cc prometheus.c $(pkg-config --cflags --libs pgcache-prometheus) -o prometheus
 *   ./prometheus postgresql:///app 9464     prints the address to scrape; 0 takes any free port; Ctrl-D ends it
 *
 * SPDX-License-Identifier: MIT
 */
#include <pgcache_prometheus.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, const pgcache_error *error) {
  fprintf(stderr, "prometheus: %s: %s: %s\n", what, pgcache_status_name(error->status), error->message);
  return 1;
}

/* What your application does. Each call is measured by itself; the span name tells which part of the program made it. */
static pgcache_status work(pgcache *cache, pgcache_error *error) {
  static const char key[] = "seconds";
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  pgcache_value *value = NULL;
  int64_t seconds = 0;

  options.span_name = "clock";
  pgcache_status status = pgcache_increment(cache, &seconds, NULL, key, strlen(key), 1, 1, 60000, &options, error);
  if (status >= 0)
    status = pgcache_get(cache, &value, key, strlen(key), &options, error);
  pgcache_value_free(value);
  return status;
}

static int run(pgcache *cache, pgcache_prometheus_server *server, pgcache_error *error) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  char line[64];

  if (pgcache_init(cache, NULL, error) < 0)
    return fail("init", error);
  if (pgcache_prometheus_serve(server, cache, NULL, error) < 0)
    return fail("serve", error);
  printf("http://127.0.0.1:%u/metrics\n", (unsigned)pgcache_prometheus_port(server));
  fflush(stdout);
  while (poll(&input, 1, 1000) == 0 || fgets(line, sizeof line, stdin) != NULL) {
    if (work(cache, error) < 0)
      fail("work", error); /* and go on: the figures show it, too */
  }
  return 0;
}

int main(int argc, char **argv) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  pgcache *cache = NULL;
  pgcache_prometheus_server *server = NULL;
  unsigned long port = argc > 2 ? strtoul(argv[2], NULL, 10) : 9464;
  int code = 1;

  if (pgcache_config_new(&config, &error) < 0 || pgcache_config_load_environment(config, &error) < 0 ||
      pgcache_config_set(config, "url", argc > 1 ? argv[1] : "null:", &error) < 0 ||
      pgcache_new(&cache, config, &error) < 0 || pgcache_prometheus_start(&server, NULL, (uint16_t)port, &error) < 0)
    fail("setting up", &error);
  else
    code = run(cache, server, &error);
  pgcache_prometheus_stop(server); /* before the handle that it serves is freed */
  pgcache_free(cache);
  pgcache_config_free(config);
  return code;
}
