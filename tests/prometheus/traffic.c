/*
 * traffic.c - a program that does something of everything that is measured, and serves its figures: what tests/prometheus/run
 * has a real Prometheus scrape. Stands on the public interface alone. Prints the address to scrape; ends with its input.
 *
 *   build/tests/prometheus-traffic URL
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache.h"
#include "pgcache_prometheus.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 50

/* Nothing that a program may call its parts breaks a scrape: quotes, backslashes, new lines, bytes that are no text. */
static const char *const spans[] = {NULL, "list", "a \"quoted\" \\ name\nof two lines \xff"};

static int failures;

/* Notes a call that should not have failed. */
static void expect(const char *what, pgcache_status status, const pgcache_error *error) {
  if (status >= 0)
    return;
  failures++;
  fprintf(stderr, "traffic: %s: %s: %s\n", what, pgcache_status_name(status), error->message);
}

static size_t name_key(char *key, size_t size, int number) {
  return (size_t)snprintf(key, size, "key:%d", number % KEYS);
}

/* ---- Parts of a round ------------------------------------------------------------------------------------------------ */

static void use_keys(pgcache *cache, int round, pgcache_options *options, pgcache_error *error) {
  static char bytes[70000];
  char key[32];
  for (int i = 0; i < 10; i++) {
    pgcache_value *value = NULL;
    int64_t number = 0;
    size_t length = name_key(key, sizeof key, round + i * 7);
    options->read_mode = i % 3 == 0 ? PGCACHE_READ_STORE : PGCACHE_READ_NEAR;
    expect("get", pgcache_get(cache, &value, key, length, options, error), error);
    pgcache_value_free(value);
    if (i % 4 == 0)
      expect("put",
             pgcache_put(cache, NULL, key, length, bytes, (size_t)(round * 977 % (int)sizeof bytes),
                         PGCACHE_FORMAT_BYTES, 60000, options, error),
             error);
    if (i == 5)
      expect("remove", pgcache_remove(cache, key, length, options, error), error);
    if (i == 6)
      expect("increment", pgcache_increment(cache, &number, NULL, "counter", 7, 1, 0, 60000, options, error), error);
  }
  options->read_mode = PGCACHE_READ_NEAR;
}

static void use_many(pgcache *cache, int round, const pgcache_options *options, pgcache_error *error) {
  char keys[20][32];
  pgcache_item items[20] = {{0}};
  for (int i = 0; i < 20; i++) {
    items[i].struct_size = sizeof *items;
    items[i].key = keys[i];
    items[i].key_len = name_key(keys[i], sizeof keys[i], round * 3 + i);
  }
  expect("get_many", pgcache_get_many(cache, items, 20, options, error), error);
  for (int i = 0; i < 20; i++)
    pgcache_value_free(items[i].result);
}

static void load(pgcache *cache, const pgcache_options *options, pgcache_error *error) {
  pgcache_value *value = NULL;
  pgcache_load *lease = NULL;
  expect("load_begin", pgcache_load_begin(cache, &value, &lease, "loaded", 6, NULL, options, error), error);
  if (lease != NULL)
    expect("load_fill", pgcache_load_fill(lease, NULL, "now", 3, PGCACHE_FORMAT_BYTES, options, error), error);
  pgcache_load_free(lease);
  pgcache_value_free(value);
  pgcache_dependency key = {sizeof key, PGCACHE_DEPENDS_ON_KEY, "loaded", 6};
  expect("invalidate", pgcache_invalidate(cache, &key, 1, options, error), error);
}

static void submit(pgcache *cache, int round, const pgcache_options *options, pgcache_error *error) {
  char key[32];
  uint64_t id = 0;
  pgcache_completion *completion = NULL;
  size_t length = name_key(key, sizeof key, round);
  expect("submit_get", pgcache_submit_get(cache, &id, key, length, options, error), error);
  expect("wait_for", pgcache_wait(cache, &completion, id, 5000, error), error);
  pgcache_completion_free(completion);
}

/* Namespaces of its own come and go, what has expired is deleted, and some calls have too little time. */
static void maintain(pgcache *cache, pgcache_error *error) {
  pgcache_options passing = PGCACHE_OPTIONS_INIT, hurried = PGCACHE_OPTIONS_INIT;
  int64_t removed = 0;
  pgcache_value *value = NULL;
  passing.namespace_name = "passing";
  passing.span_name = "list";
  for (int i = 0; i < 6; i++)
    expect("put", pgcache_put(cache, NULL, &"abcdef"[i], 1, "x", 1, PGCACHE_FORMAT_BYTES, 60000, &passing, error),
           error);
  expect("flush", pgcache_flush(cache, &removed, PGCACHE_FLUSH_NAMESPACE, &passing, error), error);
  expect("put", pgcache_put(cache, NULL, "short", 5, "x", 1, PGCACHE_FORMAT_BYTES, 1, &passing, error), error);
  expect("cleanup", pgcache_cleanup(cache, &removed, NULL, error), error);
  hurried.deadline_ms = 0;
  hurried.read_mode = PGCACHE_READ_STORE;
  if (pgcache_get(cache, &value, "k", 1, &hurried, error) >= 0) {
    failures++;
    fprintf(stderr, "traffic: a get without time was answered\n");
  }
  pgcache_value_free(value);
}

/* ---- The program ----------------------------------------------------------------------------------------------------- */

static void run(pgcache *cache, pgcache_error *error) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  for (int round = 0; poll(&input, 1, 20) == 0; round++) {
    pgcache_options options = PGCACHE_OPTIONS_INIT;
    options.span_name = spans[round % 3];
    use_keys(cache, round, &options, error);
    use_many(cache, round, &options, error);
    load(cache, &options, error);
    submit(cache, round, &options, error);
    if (round % 10 == 0)
      maintain(cache, error);
  }
}

static pgcache *open_cache(const char *url, pgcache_error *error) {
  pgcache_config *config = NULL;
  pgcache *cache = NULL;
  if (pgcache_config_new(&config, error) == PGCACHE_OK && pgcache_config_set(config, "url", url, error) == PGCACHE_OK)
    (void)pgcache_new(&cache, config, error);
  pgcache_config_free(config);
  return cache;
}

int main(int argc, char **argv) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_prometheus_server *server = NULL;
  pgcache_janitor *janitor = NULL;
  pgcache_observer *observer = NULL; /* nobody takes its events: they are dropped, and counted */
  pgcache *cache = argc > 1 ? open_cache(argv[1], &error) : NULL;
  pgcache *off = open_cache("null:", &error);

  if (cache == NULL || off == NULL || pgcache_init(cache, NULL, &error) != PGCACHE_OK ||
      pgcache_janitor_start(&janitor, cache, 500, &error) != PGCACHE_OK ||
      pgcache_observe(cache, &observer, PGCACHE_OBSERVE_OPERATIONS, PGCACHE_LEVEL_ERROR, 1, &error) != PGCACHE_OK ||
      pgcache_prometheus_start(&server, NULL, 0, &error) != PGCACHE_OK ||
      pgcache_prometheus_serve(server, cache, "shop", &error) != PGCACHE_OK ||
      pgcache_prometheus_serve(server, off, "off", &error) != PGCACHE_OK) {
    fprintf(stderr, "traffic: %s\n", argc > 1 ? error.message : "which server?");
    return 1;
  }
  printf("127.0.0.1:%u\n", (unsigned)pgcache_prometheus_port(server));
  fflush(stdout);
  run(cache, &error);
  pgcache_prometheus_stop(server);
  pgcache_observer_free(observer);
  pgcache_janitor_free(janitor);
  pgcache_free(off);
  pgcache_free(cache);
  return failures == 0 ? 0 : 1;
}
