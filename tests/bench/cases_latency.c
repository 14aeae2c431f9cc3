/*
 * cases_latency.c - what readers notice of maintenance: the p99 of gets while expired rows are deleted, or cold ones
 * evicted, beside the p99 of the same readers on the same handle when nothing else goes on.
 *
 * Owns the readers and the rounds. The maintenance runs on a handle of its own, as it does in a cron job.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READERS = 4, ROUNDS = 5, PAGE = 500, VALUE_BYTES = 100, SAMPLES = 1 << 20 };

typedef struct reader {
  pthread_t thread;
  const dataset *data;
  uint64_t random;
  atomic_bool *stop;
  int64_t operations;
  uint32_t *latencies; /* ns */
  size_t count;
} reader;

typedef struct readers {
  reader each[READERS];
  atomic_bool stop;
  int64_t began;
} readers;

static void *read_values(void *argument) {
  reader *self = argument;
  pgcache_error error = PGCACHE_ERROR_INIT;
  int64_t before = now_ns();
  while (!*self->stop) {
    char key[KEY_LEN + 2];
    pgcache_value *value = NULL;
    key_of(key, (int64_t)((random_next(&self->random) >> 20) % (uint64_t)self->data->keys));
    /* A miss is a read, too: eviction makes some. */
    pgcache_status status = pgcache_get(self->data->cache, &value, key, KEY_LEN, NULL, &error);
    if (status < 0) {
      die("%s: %s", pgcache_status_name(status), error.message);
    }
    pgcache_value_free(value);
    int64_t now = now_ns();
    if (self->count < SAMPLES) {
      self->latencies[self->count++] = (uint32_t)(now - before);
    }
    self->operations++;
    before = now;
  }
  return NULL;
}

static void readers_start(readers *self, const dataset *data) {
  static uint64_t seed = 1;
  atomic_init(&self->stop, false);
  self->began = now_ns();
  for (int i = 0; i < READERS; i++) {
    self->each[i] = (reader){.data = data,
                             .random = UINT64_C(0x9E3779B97F4A7C15) * ++seed,
                             .stop = &self->stop,
                             .latencies = malloc(SAMPLES * sizeof(uint32_t))};
    if (self->each[i].latencies == NULL ||
        pthread_create(&self->each[i].thread, NULL, read_values, &self->each[i]) != 0) {
      die("cannot start a reader");
    }
  }
}

static int by_size(const void *a, const void *b) {
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return (left > right) - (left < right);
}

/* Stops them. Gives the p99 of all gets in us, and how many gets a second there were. */
static double readers_stop(readers *self, double *rate) {
  size_t total = 0;
  atomic_store(&self->stop, true);
  *rate = 0;
  for (int i = 0; i < READERS; i++) {
    pthread_join(self->each[i].thread, NULL);
    total += self->each[i].count;
    *rate += (double)self->each[i].operations;
  }
  *rate /= (double)(now_ns() - self->began) / 1e9;
  uint32_t *all = malloc((total + 1) * sizeof *all);
  if (all == NULL || total == 0) {
    die("the readers read nothing");
  }
  size_t at = 0;
  for (int i = 0; i < READERS; i++) {
    memcpy(all + at, self->each[i].latencies, self->each[i].count * sizeof *all);
    at += self->each[i].count;
    free(self->each[i].latencies);
  }
  qsort(all, total, sizeof *all, by_size);
  double p99 = (double)all[total - 1 - total / 100] / 1000;
  free(all);
  return p99;
}

/* Stores the keys from first on; the readers' keys are others. */
static void store(const dataset *data, int64_t first, int64_t count, int64_t ttl_ms) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  static pgcache_item items[PAGE];
  static char keys[PAGE][KEY_LEN + 2];
  for (int64_t done = 0; done < count;) {
    size_t page = 0;
    for (; page < PAGE && done < count; page++, done++) {
      key_of(keys[page], first + done);
      items[page] = (pgcache_item)PGCACHE_ITEM_INIT;
      items[page].key = keys[page];
      items[page].key_len = KEY_LEN;
      items[page].value = data->value;
      items[page].value_len = data->value_bytes;
      items[page].ttl_ms = ttl_ms;
    }
    if (pgcache_put_many(data->cache, items, page, NULL, &error) < 0) {
      die("%s: %s", pgcache_status_name(error.status), error.message);
    }
  }
}

/* ---- The kinds of maintenance ---------------------------------------------------------------------------------------- */

typedef struct load load;
struct load {
  const char *name;
  void (*prepare)(const load *self, dataset *data); /* what the maintenance will remove */
  void (*maintain)(const load *self, dataset *data);
  int64_t rows; /* to be removed in a round */
  int64_t next; /* the first key of the next round's */
};

static void add_expired(const load *self, dataset *data) {
  store(data, self->next, self->rows, 1);
}

static void clean_up(const load *self, dataset *data) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  int64_t removed = 0;
  if (pgcache_cleanup(data->cache, &removed, NULL, &error) < 0) {
    die("%s: %s", pgcache_status_name(error.status), error.message);
  }
  if (removed < self->rows) {
    die("cleanup removed %lld rows instead of %lld", (long long)removed, (long long)self->rows);
  }
}

static void add_cold(const load *self, dataset *data) {
  store(data, self->next, self->rows, TTL_MS);
}

static void evict(const load *self, dataset *data) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  while (!progress.finished) {
    if (progress.busy) {
      die("somebody else cleans up this schema");
    }
    if (pgcache_cleanup_some(data->cache, &progress, 1000, NULL, &error) < 0) {
      die("%s: %s", pgcache_status_name(error.status), error.message);
    }
  }
  if (progress.evicted < self->rows / 2) {
    die("%lld entries were evicted instead of %lld", (long long)progress.evicted, (long long)self->rows);
  }
}

/* What the janitor has not removed when the slice ends waits for the next round. */
static void let_janitor_work(const load *self, dataset *data) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_janitor *janitor = NULL;
  (void)self;
  if (pgcache_janitor_start(&janitor, data->cache, 1, &error) < 0) {
    die("%s: %s", pgcache_status_name(error.status), error.message);
  }
  usleep((useconds_t)(data->of->seconds * 4e6));
  pgcache_janitor_free(janitor);
}

/* Interleaves idle and busy slices, and reports the medians. */
static void measure(bench *self, dataset *data, dataset *keeper, load *with) {
  double idle[ROUNDS], busy[ROUNDS], ratios[ROUNDS], idle_rates[ROUNDS], busy_rates[ROUNDS], took[ROUNDS];
  int rounds = self->rounds < ROUNDS ? self->rounds : ROUNDS;
  readers all;
  for (int round = 0; round < rounds; round++) {
    report_progress("%s: round %d of %d", with->name, round + 1, rounds);
    with->prepare(with, data);
    with->next += with->rows;
    usleep(100000);
    for (int part = 0; part < 2; part++) {
      bool is_busy = part == round % 2;
      readers_start(&all, data);
      usleep(200000); /* until they are at work */
      int64_t began = now_ns();
      if (is_busy) {
        with->maintain(with, keeper);
        took[round] = (double)(now_ns() - began) / 1e9;
        busy[round] = readers_stop(&all, &busy_rates[round]);
      } else {
        usleep((useconds_t)(self->seconds * 4e6));
        idle[round] = readers_stop(&all, &idle_rates[round]);
      }
    }
    ratios[round] = busy[round] / idle[round];
  }
  char text[200], object[300], name[40];
  double seconds = median(took, rounds), rate = median(busy_rates, rounds), idle_rate = median(idle_rates, rounds);
  report(self, &(measurement){.name = with->name,
                              .threads = READERS,
                              .value_bytes = VALUE_BYTES,
                              .keys = data->keys,
                              .value = median(busy, rounds),
                              .floor = median(idle, rounds),
                              .ratio = median(ratios, rounds),
                              .unit = "us",
                              .target = 1.5,
                              .at_most = true});
  snprintf(name, sizeof name, "%s_took", with->name);
  snprintf(text, sizeof text, "                removing %lld rows took %.2f s; %.0f gets/s meanwhile, %.0f idle",
           (long long)with->rows, seconds, rate, idle_rate);
  snprintf(object, sizeof object,
           "{\"case\":\"%s\",\"value\":%.3f,\"unit\":\"s\",\"floor\":null,\"ratio\":null,\"rows\":%lld,\"gets_per_"
           "second\":%.0f,\"idle_gets_per_second\":%.0f}",
           name, seconds, (long long)with->rows, rate, idle_rate);
  report_line(text, object);
}

void case_latency(bench *self) {
  dataset data, keeper;
  bool full = self->seconds >= 0.5;
  int64_t keys = full ? 1000000 : 100000, rows = keys / 10;
  dataset_open(&data, self, "latency");
  dataset_fill(&data, keys, VALUE_BYTES);
  dataset_share(&keeper, &data, NULL);
  measure(self, &data, &keeper,
          &(load){.name = "p99_cleanup", .prepare = add_expired, .maintain = clean_up, .rows = rows, .next = keys});
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (pgcache_set_limits(keeper.cache, PGCACHE_LIMIT_ALL, keys, PGCACHE_LIMIT_NONE, NULL, &error) < 0) {
    die("%s: %s", pgcache_status_name(error.status), error.message);
  }
  dataset_disconnect(&data); /* it learns of the limit */
  measure(self, &data, &keeper,
          &(load){.name = "p99_eviction", .prepare = add_cold, .maintain = evict, .rows = rows, .next = 2 * keys});
  measure(self, &data, &keeper,
          &(load){.name = "p99_janitor_evicts",
                  .prepare = add_cold,
                  .maintain = let_janitor_work,
                  .rows = rows,
                  .next = 4 * keys});
  if (pgcache_set_limits(keeper.cache, PGCACHE_LIMIT_ALL, PGCACHE_LIMIT_NONE, PGCACHE_LIMIT_NONE, NULL, &error) < 0) {
    die("%s: %s", pgcache_status_name(error.status), error.message);
  }
  measure(
      self, &data, &keeper,
      &(load){
          .name = "p99_janitor", .prepare = add_expired, .maintain = let_janitor_work, .rows = rows, .next = 3 * keys});
  dataset_unshare(&keeper);
  dataset_close(&data);
}
