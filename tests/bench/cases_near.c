/*
 * cases_near.c - what a hit in the near cache costs, to a hit in a bare hash table: of one thread, of two, and in memory.
 *
 * Owns the table that it compares with: chains, FNV-1a, keys and values in blocks of their own, no eviction, no expiry, no
 * lock, and nobody may write. Never measures a miss: all keys are there before it begins.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VALUE_BYTES = 100, WARM_ROUNDS = 100, HITS_AT_ONCE = 1000, BOTH = 2 };

typedef struct node {
  struct node *next;
  unsigned char *value;
  char key[KEY_LEN];
} node;

typedef struct table {
  node **heads;
  size_t mask;
} table;

/* ---- The bare table --------------------------------------------------------------------------------------------------- */

static size_t hash_of(const char *key) {
  uint64_t hash = 0xcbf29ce484222325;
  for (int i = 0; i < KEY_LEN; i++) {
    hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3;
  }
  return (size_t)(hash ^ hash >> 32);
}

static void table_fill(table *self, int64_t keys) {
  self->mask = 1;
  while (self->mask < (size_t)keys) {
    self->mask *= 2;
  }
  self->mask--;
  self->heads = calloc(self->mask + 1, sizeof *self->heads);
  for (int64_t i = 0; self->heads != NULL && i < keys; i++) {
    char key[KEY_LEN + 2];
    node *made = malloc(sizeof *made);
    unsigned char *value = calloc(1, VALUE_BYTES);
    if (made == NULL || value == NULL) {
      die("out of memory");
    }
    key_of(key, i);
    memcpy(made->key, key, KEY_LEN);
    made->value = value;
    node **head = &self->heads[hash_of(key) & self->mask];
    made->next = *head;
    *head = made;
  }
  if (self->heads == NULL) {
    die("out of memory");
  }
}

static const unsigned char *table_find(const table *self, const char *key) {
  const node *at = self->heads[hash_of(key) & self->mask];
  while (at != NULL && memcmp(at->key, key, KEY_LEN) != 0) {
    at = at->next;
  }
  return at != NULL ? at->value : NULL;
}

static void table_free(table *self) {
  for (size_t i = 0; i <= self->mask; i++) {
    for (node *at = self->heads[i], *next; at != NULL; at = next) {
      next = at->next;
      free(at->value);
      free(at);
    }
  }
  free(self->heads);
}

/* ---- Readers ------------------------------------------------------------------------------------------------------------- */

typedef struct reader {
  pthread_t thread;
  pgcache *cache;     /* NULL: the bare table */
  const table *table; /* of the same keys */
  int64_t keys;
  double seconds, worked; /* for how long; and how long it took, by the clock or of it on a processor */
  bool by_clock;
  uint64_t random;
  int64_t hits, bytes; /* bytes: of each value the first, so that it is read */
} reader;

static void *read_on(void *argument) {
  reader *self = argument;
  int64_t end = now_ns() + (int64_t)(self->seconds * 1e9);
  char key[KEY_LEN + 2];
  clockid_t clock = self->by_clock ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
  struct timespec began, ended;
  clock_gettime(clock, &began);
  do {
    for (int i = 0; i < HITS_AT_ONCE; i++) {
      key_of(key, (int64_t)(random_next(&self->random) % (uint64_t)self->keys));
      if (self->cache == NULL) {
        self->bytes += *table_find(self->table, key);
        continue;
      }
      pgcache_value *value = NULL;
      if (pgcache_get(self->cache, &value, key, KEY_LEN, NULL, NULL) != PGCACHE_OK) {
        die("near: a key is gone");
      }
      self->bytes += *(const unsigned char *)pgcache_value_data(value);
      pgcache_value_free(value);
    }
    self->hits += HITS_AT_ONCE;
  } while (now_ns() < end);
  clock_gettime(clock, &ended);
  self->worked = (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
  return NULL;
}

/* Hits a second, of all threads. Of processor time: who else runs on the machine does not count. by_clock: what a thread
   waits for, asleep, does; so it is how two threads are compared with one, beside the bare table in the same run. */
static double rate(const bench *of, pgcache *cache, const table *bare, int64_t keys, int threads, bool by_clock) {
  reader readers[BOTH] = {0};
  double hits = 0;
  for (int i = 0; i < threads; i++) {
    readers[i] = (reader){.cache = cache,
                          .table = bare,
                          .keys = keys,
                          .seconds = of->seconds,
                          .by_clock = by_clock,
                          .random = (uint64_t)now_ns() * 2 + 1 + (uint64_t)i};
    if (pthread_create(&readers[i].thread, NULL, read_on, &readers[i]) != 0) {
      die("no thread");
    }
  }
  for (int i = 0; i < threads; i++) {
    pthread_join(readers[i].thread, NULL);
    hits += (double)readers[i].hits / readers[i].worked;
  }
  return hits;
}

/* ---- The case ---------------------------------------------------------------------------------------------------------------- */

static int64_t near_count(pgcache *cache, bool bytes) {
  pgcache_counters counters = PGCACHE_COUNTERS_INIT;
  pgcache_read_counters(cache, &counters, NULL);
  return bytes ? counters.near_bytes : counters.near_hits;
}

/* Reads all keys until all of them are hits. */
static void warm(pgcache *cache, int64_t keys) {
  for (int round = 0; round < WARM_ROUNDS; round++) {
    int64_t before = near_count(cache, false);
    for (int64_t i = 0; i < keys; i++) {
      char key[KEY_LEN + 2];
      pgcache_value *value = NULL;
      key_of(key, i);
      if (pgcache_get(cache, &value, key, KEY_LEN, NULL, NULL) == PGCACHE_OK) {
        pgcache_value_free(value);
      }
    }
    if (near_count(cache, false) - before == keys) {
      return;
    }
  }
  die("near: not all keys can be held");
}

static void measure(bench *self, pgcache *cache, int64_t keys, double target) {
  table bare;
  table_fill(&bare, keys);
  double near_ns[MOST_ROUNDS], bare_ns[MOST_ROUNDS], near_two[MOST_ROUNDS], ratios[MOST_ROUNDS], scaling[MOST_ROUNDS],
      bare_scaling[MOST_ROUNDS], bare_two[MOST_ROUNDS], near_one[MOST_ROUNDS], bare_one[MOST_ROUNDS];
  for (int i = 0; i < self->rounds; i++) {
    report_progress("near, %lld keys, slice %d of %d", (long long)keys, i + 1, self->rounds);
    near_ns[i] = 1e9 / rate(self, cache, &bare, keys, 1, false);
    bare_ns[i] = 1e9 / rate(self, NULL, &bare, keys, 1, false);
    near_one[i] = rate(self, cache, &bare, keys, 1, true);
    bare_one[i] = rate(self, NULL, &bare, keys, 1, true);
    near_two[i] = rate(self, cache, &bare, keys, BOTH, true);
    bare_two[i] = rate(self, NULL, &bare, keys, BOTH, true);
    ratios[i] = near_ns[i] / bare_ns[i];
    scaling[i] = near_two[i] / near_one[i];
    bare_scaling[i] = bare_two[i] / bare_one[i];
  }
  measurement hit = {.name = "near_hit",
                     .threads = 1,
                     .value_bytes = VALUE_BYTES,
                     .keys = keys,
                     .unit = "ns",
                     .target = target,
                     .at_most = true,
                     .pinned = true};
  hit.value = median(near_ns, self->rounds);
  hit.floor = median(bare_ns, self->rounds);
  hit.ratio = median(ratios, self->rounds);
  report(self, &hit);
  measurement two = {.name = "near_scaling",
                     .threads = BOTH,
                     .value_bytes = VALUE_BYTES,
                     .keys = keys,
                     .unit = "hits/s",
                     .target = 1.8};
  two.value = median(near_two, self->rounds);
  two.floor = median(near_one, self->rounds);
  two.ratio = median(scaling, self->rounds);
  report(self, &two);
  measurement machine = {.name = "bare_scaling",
                         .threads = BOTH,
                         .value_bytes = VALUE_BYTES,
                         .keys = keys,
                         .unit = "hits/s"}; /* what the machine gives to whoever writes nothing */
  machine.value = median(bare_two, self->rounds);
  machine.floor = median(bare_one, self->rounds);
  machine.ratio = median(bare_scaling, self->rounds);
  report(self, &machine);
  table_free(&bare);
}

void case_near(bench *self) {
  static const setting settings[MOST_SETTINGS] = {{"near_max_bytes", "268435456"}};
  static const struct {
    int64_t keys;
    double target;
  } sizes[] = {{1000, 1.5}, {100000, 1.2}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    dataset data;
    dataset_open_as(&data, self, "near", settings, NULL);
    dataset_fill(&data, sizes[i].keys, VALUE_BYTES);
    dataset_disconnect(&data);
    int64_t empty = near_count(data.cache, true);
    warm(data.cache, sizes[i].keys);
    double bytes = (double)(near_count(data.cache, true) - empty) / (double)sizes[i].keys - KEY_LEN - VALUE_BYTES;
    measure(self, data.cache, sizes[i].keys, sizes[i].target);
    if (i == 0) { /* with few entries most is what was allocated for more */
      dataset_close(&data);
      continue;
    }
    measurement memory = {.name = "near_memory",
                          .value_bytes = VALUE_BYTES,
                          .keys = sizes[i].keys,
                          .unit = "bytes",
                          .value = bytes,
                          .floor = 64,
                          .ratio = bytes / 64,
                          .target = 1,
                          .at_most = true};
    report(self, &memory); /* of an entry, beyond its key and value */
    dataset_close(&data);
  }
}
