/*
 * cases_hooks.c - what it costs that calls are measured and told of: a near hit and a get from the store, of handles of which nobody is
 * told, with a span name, with a provider that does nothing, and with one that writes each operation as a line of JSON.
 *
 * Owns a handle for each, because a provider stays as long as its handle. That a call is counted cannot be turned off: the floor is
 * a handle of which nobody is told.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "pgcache_hooks.h"
#include "spans.h"

enum { KEYS = 1000, VALUE_BYTES = 100, WAYS = 4, WARM_ROUNDS = 100 };

static const char *const ways[WAYS] = {"counted", "span_name", "no_op_provider", "json_spans"};

static void *begin_nothing(void *context, const pgcache_event *event) {
  (void)event;
  return context;
}

static void end_nothing(void *context, void *begun, const pgcache_event *event) {
  (void)context;
  (void)begun;
  (void)event;
}

/* Makes the handle what its way is. */
static void set_up(pgcache *cache, int way, int fd) {
  pgcache_provider nothing = PGCACHE_PROVIDER_INIT;
  nothing.begin = begin_nothing;
  nothing.end = end_nothing;
  if ((way == 2 && pgcache_add_provider(cache, &nothing, NULL) < 0) ||
      (way == 3 && spans_write_to(cache, fd, 0, NULL) < 0)) {
    die("hooks: no provider");
  }
}

/* Nanoseconds for each get: of the processor for near hits, which ask nobody, and by the clock for the others. */
static double ns_of(const bench *of, pgcache *cache, int way, bool near) {
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  options.span_name = way == 1 ? "bench" : NULL;
  uint64_t random = (uint64_t)now_ns() * 2 + 1;
  const clockid_t clock = near ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  struct timespec began, ended;
  int64_t end = now_ns() + (int64_t)(of->seconds * 1e9), gets = 0;
  clock_gettime(clock, &began);
  do {
    for (int i = 0; i < (near ? 1000 : 10); i++, gets++) {
      char key[KEY_LEN + 2];
      pgcache_value *value = NULL;
      key_of(key, (int64_t)(random_next(&random) % KEYS));
      if (pgcache_get(cache, &value, key, KEY_LEN, way == 1 ? &options : NULL, NULL) != PGCACHE_OK) {
        die("hooks: a key is gone");
      }
      pgcache_value_free(value);
    }
  } while (now_ns() < end);
  clock_gettime(clock, &ended);
  return ((double)(ended.tv_sec - began.tv_sec) * 1e9 + (double)(ended.tv_nsec - began.tv_nsec)) / (double)gets;
}

/* Reads until all are hits. */
static void warm(pgcache *cache) {
  for (int round = 0; round < WARM_ROUNDS; round++) {
    pgcache_counters counters = PGCACHE_COUNTERS_INIT;
    pgcache_read_counters(cache, &counters, NULL);
    int64_t before = counters.near_hits;
    for (int64_t i = 0; i < KEYS; i++) {
      char key[KEY_LEN + 2];
      pgcache_value *value = NULL;
      key_of(key, i);
      if (pgcache_get(cache, &value, key, KEY_LEN, NULL, NULL) == PGCACHE_OK) {
        pgcache_value_free(value);
      }
    }
    pgcache_read_counters(cache, &counters, NULL);
    if (counters.near_hits - before == KEYS) {
      return;
    }
  }
  die("hooks: not all keys can be held");
}

static void measure(bench *self, const dataset *of, bool near, int fd) {
  static const setting near_on[MOST_SETTINGS] = {{"near_max_bytes", "67108864"}};
  static const setting near_off[MOST_SETTINGS] = {{"near_max_bytes", "0"}};
  dataset handles[WAYS];
  double ns[WAYS][MOST_ROUNDS], ratios[WAYS][MOST_ROUNDS], counted[WAYS][MOST_ROUNDS];
  for (int way = 0; way < WAYS; way++) {
    dataset_share(&handles[way], of, near ? near_on : near_off);
    set_up(handles[way].cache, way, fd);
    if (near) {
      warm(handles[way].cache);
    }
  }
  for (int i = 0; i < self->rounds; i++) {
    report_progress("hooks, %s, slice %d of %d", near ? "near" : "store", i + 1, self->rounds);
    for (int way = 0; way < WAYS; way++) {
      ns[way][i] = ns_of(self, handles[way].cache, way, near);
      counted[way][i] = ns[0][i];
      ratios[way][i] = ns[way][i] / ns[0][i];
    }
  }
  for (int way = 0; way < WAYS; way++) {
    char name[64];
    snprintf(name, sizeof name, "%s_%s", near ? "near_hit" : "store_get", ways[way]);
    measurement result = {
        .name = name, .threads = 1, .value_bytes = VALUE_BYTES, .keys = KEYS, .unit = "ns", .pinned = true};
    result.value = median(ns[way], self->rounds);
    result.floor = median(counted[way], self->rounds);
    result.ratio = median(ratios[way], self->rounds);
    report(self, &result);
    dataset_unshare(&handles[way]);
  }
}

void case_hooks(bench *self) {
  dataset data;
  int fd = open("/dev/null", O_WRONLY);
  if (fd < 0) {
    die("hooks: /dev/null cannot be opened");
  }
  dataset_open(&data, self, "hooks");
  dataset_fill(&data, KEYS, VALUE_BYTES);
  measure(self, &data, true, fd);
  measure(self, &data, false, fd);
  dataset_close(&data);
  close(fd);
}
