/*
 * async_work.h - what the async examples have in common: they submit 1,000 puts and the gets of the same keys, and check
 * every answer. How they wait for answers is what each of them shows.
 *
 * Owns the handle and the counts. Stores entries under keys of its own, for a minute.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef ASYNC_WORK_H
#define ASYNC_WORK_H

#include <pgcache.h>
#include <pgcache_hooks.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORK_KEYS = 1000, WORK_REQUESTS = 2 * WORK_KEYS };

typedef struct work {
  pgcache *cache;
  int stores_nothing; /* the address is null: */
  int fd;             /* readable while answers wait */
  int answers, hits, wrong;
  struct timespec began;
} work;

static int work_fail(const char *what, const pgcache_error *error) {
  fprintf(stderr, "%s: %s: %s\n", what, pgcache_status_name(error->status), error->message);
  return -1;
}

static int work_open(work *self, const char *url) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  int failed =
      pgcache_config_new(&config, &error) < 0 || pgcache_config_load_environment(config, &error) < 0 ||
      pgcache_config_set(config, "url", url, &error) < 0 ||
      pgcache_config_set(config, "near_max_bytes", "0", &error) < 0 || /* it is to show requests on their way */
      pgcache_new(&self->cache, config, &error) < 0;
  pgcache_config_free(config);
  if (failed || pgcache_init(self->cache, NULL, &error) < 0 || pgcache_event_fd(self->cache, &self->fd, &error) < 0)
    return work_fail("setting up", &error);
  self->stores_nothing = strcmp(url, "null:") == 0;
  return 0;
}

/* Requests are copied and done in the background; submitting never waits. The token says which one an answer is of: here
   the number of the key, of gets behind WORK_KEYS. A get that is submitted after a put of its key finds what that stored. */
static int work_submit(work *self, const pgcache_callback *callback) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  options.callback = callback; /* NULL: answers are taken with pgcache_take() */
  clock_gettime(CLOCK_MONOTONIC, &self->began);
  for (int i = 0; i < WORK_REQUESTS; i++) {
    char key[40], value[16];
    pgcache_status status;
    size_t value_len = (size_t)snprintf(value, sizeof value, "%d", i % WORK_KEYS);
    size_t key_len = (size_t)snprintf(key, sizeof key, "example:async:%d", i % WORK_KEYS);
    options.token = (uint64_t)i;
    if (i < WORK_KEYS)
      status = pgcache_submit_put(self->cache, NULL, key, key_len, value, value_len, PGCACHE_FORMAT_BYTES, 60000,
                                  &options, &error);
    else
      status = pgcache_submit_get(self->cache, NULL, key, key_len, &options, &error);
    if (status != PGCACHE_OK) /* PGCACHE_QUEUE_FULL: take some answers first */
      return work_fail("submitting", &error);
  }
  return 0;
}

/* Looks at one answer. */
static void work_check(work *self, const pgcache_completion *completion) {
  uint64_t token = pgcache_completion_token(completion);
  pgcache_status status = pgcache_completion_status(completion);
  int is_get = token >= WORK_KEYS;
  self->answers++;
  if (status < 0) {
    fprintf(stderr, "%s: %s: %s\n", is_get ? "get" : "put", pgcache_status_name(status),
            pgcache_completion_message(completion));
    self->wrong++;
  } else if (is_get && status == PGCACHE_OK) {
    const char *value = pgcache_value_data(pgcache_completion_value(completion, 0));
    self->hits++;
    self->wrong += value == NULL || strtoull(value, NULL, 10) != token - WORK_KEYS;
  } else if (is_get && !self->stores_nothing) {
    self->wrong++;
  }
}

/* Prints the result; the program's exit code. */
static int work_end(work *self) {
  struct timespec now;
  if (self->began.tv_sec == 0) { /* it said why */
    pgcache_free(self->cache);
    return 1;
  }
  clock_gettime(CLOCK_MONOTONIC, &now);
  double ms = (double)(now.tv_sec - self->began.tv_sec) * 1e3 + (double)(now.tv_nsec - self->began.tv_nsec) / 1e6;
  printf("%d answers, %d hits, %d wrong, %.1f ms\n", self->answers, self->hits, self->wrong, ms);
  pgcache_free(self->cache);
  return self->answers == WORK_REQUESTS && self->wrong == 0 ? 0 : 1;
}

#endif
