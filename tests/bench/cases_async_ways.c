/*
 * cases_async_ways.c - requests beside the synchronous calls: one get at a time, 10,000 keys in one request; and gets beside
 * a flood of large puts, to the same gets alone.
 *
 * Owns these cases. Both sides of a comparison take turns on one handle.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MANY = 10000, LARGE = 256 << 10, FLOOD = 1000 };

int async_rounds(const bench *self) {
  return self->rounds < ASYNC_ROUNDS ? self->rounds : ASYNC_ROUNDS;
}

void async_handle(dataset *self, const dataset *of, int connections) {
  char number[8];
  snprintf(number, sizeof number, "%d", connections);
  dataset_share(self, of,
                (const setting[MOST_SETTINGS]){{"async_connections", number}, {"async_bytes_max", "1073741824"}});
}

/* ---- What the engine's thread costs a get that comes alone -------------------------------------------------------------- */

static void get_alone(const dataset *data, bool async, int64_t number) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  char key[KEY_LEN + 2];
  key_of(key, number);
  pgcache_status status = PGCACHE_OK;
  size_t size = 0;
  if (async) {
    uint64_t id;
    pgcache_completion *completion = NULL;
    status = pgcache_submit_get(data->cache, &id, key, KEY_LEN, NULL, &error);
    if (status == PGCACHE_OK) {
      status = pgcache_wait(data->cache, &completion, id, PGCACHE_DEADLINE_DEFAULT, &error);
    }
    if (status == PGCACHE_OK) {
      status = pgcache_completion_status(completion);
      size = pgcache_value_size(pgcache_completion_value(completion, 0));
    }
    pgcache_completion_free(completion);
  } else {
    pgcache_value *value = NULL;
    status = pgcache_get(data->cache, &value, key, KEY_LEN, NULL, &error);
    size = pgcache_value_size(value);
    pgcache_value_free(value);
  }
  if (status != PGCACHE_OK || size != data->value_bytes) {
    die("a get: %s: %s", pgcache_status_name(status), error.message);
  }
}

static latency alone(const dataset *data, bool async, double seconds) {
  static uint64_t random = 88172645463325252u;
  enum { SAMPLES = 1 << 18 };
  int64_t *samples = malloc(SAMPLES * sizeof *samples), before, end;
  size_t count = 0;
  usleep(50000); /* until the engine has given its connection back: both sides use the same one, which is pinned */
  before = now_ns();
  end = before + (int64_t)(seconds * 1e9);
  if (samples == NULL) {
    die("out of memory");
  }
  while (before < end && count < SAMPLES) {
    get_alone(data, async, (int64_t)((random_next(&random) >> 20) % (uint64_t)data->keys));
    int64_t now = now_ns();
    samples[count++] = now - before;
    before = now;
  }
  latency result = latency_of(samples, count);
  free(samples);
  return result;
}

static void measure_alone(bench *self, const dataset *data, bool pin) {
  latency times[2][ASYNC_ROUNDS];
  dataset handle;
  /* The engine's thread stays on the CPU of the one that starts it. */
  bool pinned = pin && pin_to_one_cpu(self, true);
  async_handle(&handle, data, 1);
  alone(&handle, false, self->seconds / 4);
  alone(&handle, true, self->seconds / 4);
  pinned = pinned && pin_to_one_cpu(self, true); /* the backends, too */
  int rounds = async_rounds(self);
  for (int round = 0; round < rounds; round++) {
    report_progress("one get at a time: round %d of %d", round + 1, rounds);
    for (int i = 0; i < 2; i++) {
      bool async = i == round % 2;
      times[async][round] = alone(&handle, async, self->seconds);
    }
  }
  if (pin) {
    pin_to_one_cpu(self, false);
  }
  for (int i = 0; i < 2; i++) {
    double values[ASYNC_ROUNDS], floors[ASYNC_ROUNDS], ratios[ASYNC_ROUNDS];
    for (int round = 0; round < rounds; round++) {
      values[round] = i == 0 ? times[true][round].p50_us : times[true][round].p99_us;
      floors[round] = i == 0 ? times[false][round].p50_us : times[false][round].p99_us;
      ratios[round] = values[round] / floors[round];
    }
    report(self, &(measurement){.name = i == 0 ? "async_lone_p50" : "async_lone_p99",
                                .threads = 1,
                                .value_bytes = data->value_bytes,
                                .keys = data->keys,
                                .value = median(values, rounds),
                                .floor = median(floors, rounds),
                                .ratio = median(ratios, rounds),
                                .unit = "us",
                                .in_flight = 1,
                                .connections = 1,
                                .pinned = pinned});
  }
  dataset_unshare(&handle);
}

void case_async_lone(bench *self) {
  dataset data;
  dataset_open(&data, self, "async");
  dataset_fill(&data, ASYNC_KEYS, 1024);
  measure_alone(self, &data, true);
  measure_alone(self, &data, false);
  dataset_close(&data);
}

/* ---- Gets beside a flood of large puts ---------------------------------------------------------------------------------- */

typedef struct flood {
  pthread_t thread;
  dataset data;
  atomic_bool stop;
  double rate;
} flood;

static void *pour(void *argument) {
  flood *self = argument;
  self->rate = fly(&(flight_plan){.data = &self->data,
                                  .what = PUT,
                                  .callers = 1,
                                  .in_flight = FLOOD,
                                  .stop = &self->stop,
                                  .namespace_name = "flood"},
                   NULL);
  return NULL;
}

/* Its entries, keys of another namespace through the same handle, do not get in the way of the gets'. */
static void flood_start(flood *self, const dataset *beside, unsigned char *value) {
  self->data = *beside;
  self->data.keys = FLOOD;
  self->data.value = value;
  self->data.value_bytes = LARGE;
  atomic_init(&self->stop, false);
  if (pthread_create(&self->thread, NULL, pour, self) != 0) {
    die("cannot start a thread");
  }
  usleep(300000); /* until it is in full flow */
}

static void measure_fairness(bench *self, const dataset *data, unsigned char *value) {
  double busy[ASYNC_ROUNDS], idle[ASYNC_ROUNDS], ratios[ASYNC_ROUNDS], busy_p50[ASYNC_ROUNDS], rates[ASYNC_ROUNDS];
  int rounds = async_rounds(self);
  dataset handle;
  async_handle(&handle, data, 2);
  flight_plan gets = {.data = &handle, .callers = 1, .in_flight = 10, .seconds = self->seconds / 4, .dispatch = true};
  fly(&gets, NULL);
  gets.seconds = self->seconds;
  for (int round = 0; round < rounds; round++) {
    latency with, without;
    flood puts;
    report_progress("gets beside a flood of puts: round %d of %d", round + 1, rounds);
    fly(&gets, &without);
    flood_start(&puts, &handle, value);
    fly(&gets, &with);
    atomic_store(&puts.stop, true);
    pthread_join(puts.thread, NULL);
    busy[round] = with.p99_us;
    busy_p50[round] = with.p50_us;
    idle[round] = without.p99_us;
    ratios[round] = with.p99_us / without.p99_us;
    rates[round] = puts.rate;
  }
  report(self, &(measurement){.name = "async_fair_p99",
                              .threads = 1,
                              .value_bytes = data->value_bytes,
                              .keys = data->keys,
                              .value = median(busy, rounds),
                              .floor = median(idle, rounds),
                              .ratio = median(ratios, rounds),
                              .unit = "us",
                              .in_flight = gets.in_flight,
                              .connections = 2,
                              .p50_us = median(busy_p50, rounds),
                              .p99_us = median(busy, rounds)});
  char text[200], object[200];
  snprintf(text, sizeof text, "                beside %d puts of %d KiB in flight, %.0f a second", FLOOD, LARGE >> 10,
           median(rates, rounds));
  snprintf(object, sizeof object,
           "{\"case\":\"async_fair_flood\",\"value\":%.0f,\"unit\":\"puts/s\",\"floor\":null,\"ratio\":null}",
           median(rates, rounds));
  report_line(text, object);
  dataset_unshare(&handle);
}

void case_async_fair(bench *self) {
  dataset data;
  uint64_t random = 4711;
  unsigned char *value = malloc(LARGE);
  if (value == NULL) {
    die("out of memory");
  }
  for (int i = 0; i < LARGE; i++) {
    value[i] = (unsigned char)(random_next(&random) >> 24);
  }
  dataset_open(&data, self, "async");
  dataset_fill(&data, ASYNC_KEYS, 1024);
  measure_fairness(self, &data, value);
  dataset_close(&data);
  free(value);
}

/* ---- Many keys in one request ------------------------------------------------------------------------------------------- */

static void check_item(const dataset *data, const pgcache_item *item) {
  if (item->status != PGCACHE_OK || pgcache_value_size(item->result) != data->value_bytes) {
    die("get_many: %s", item->status == PGCACHE_OK ? "a value has the wrong size" : pgcache_status_name(item->status));
  }
}

/* Reads MANY keys for the time given. Keys a second. */
static double read_many(const dataset *data, pgcache_item *items, bool async, double seconds) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  int64_t began = now_ns(), now = began, end = began + (int64_t)(seconds * 1e9), done = 0;
  for (; now < end; now = now_ns(), done += MANY) {
    pgcache_completion *completion = NULL;
    uint64_t id;
    pgcache_status status = async ? pgcache_submit_get_many(data->cache, &id, items, MANY, NULL, &error)
                                  : pgcache_get_many(data->cache, items, MANY, NULL, &error);
    if (async && status == PGCACHE_OK) {
      status = pgcache_wait(data->cache, &completion, id, PGCACHE_DEADLINE_DEFAULT, &error);
    }
    if (status != PGCACHE_OK) {
      die("get_many: %s: %s", pgcache_status_name(status), error.message);
    }
    for (size_t i = 0; i < MANY; i++) {
      check_item(data, async ? pgcache_completion_item(completion, i) : &items[i]);
      if (!async) {
        pgcache_value_free(items[i].result);
        items[i].result = NULL;
      }
    }
    pgcache_completion_free(completion);
  }
  return (double)done * 1e9 / (double)(now - began);
}

static void measure_many(bench *self, const dataset *data, pgcache_item *items, int connections) {
  double values[ASYNC_ROUNDS], floors[ASYNC_ROUNDS], ratios[ASYNC_ROUNDS];
  int rounds = async_rounds(self);
  dataset handle;
  async_handle(&handle, data, connections);
  read_many(&handle, items, false, self->seconds / 4);
  read_many(&handle, items, true, self->seconds / 4);
  for (int round = 0; round < rounds; round++) {
    report_progress("%d keys in one request: round %d of %d", MANY, round + 1, rounds);
    for (int i = 0; i < 2; i++) {
      bool async = i == round % 2;
      *(async ? &values[round] : &floors[round]) = read_many(&handle, items, async, self->seconds);
    }
    ratios[round] = values[round] / floors[round];
  }
  double rate = median(values, rounds), floor = median(floors, rounds);
  report(self, &(measurement){.name = "async_get_many",
                              .threads = 1,
                              .value_bytes = data->value_bytes,
                              .keys = data->keys,
                              .value = rate,
                              .floor = floor,
                              .ratio = median(ratios, rounds),
                              .unit = "keys/s",
                              .in_flight = MANY,
                              .connections = connections});
  dataset_unshare(&handle);
}

void case_async_many(bench *self) {
  dataset data;
  uint64_t random = 4711;
  pgcache_item *items = calloc(MANY, sizeof *items);
  char(*keys)[KEY_LEN + 2] = calloc(MANY, sizeof *keys);
  if (items == NULL || keys == NULL) {
    die("out of memory");
  }
  for (int64_t i = 0; i < MANY; i++) { /* different keys, one of each ten */
    key_of(keys[i], i * (ASYNC_KEYS / MANY) + (int64_t)((random_next(&random) >> 20) % (ASYNC_KEYS / MANY)));
    items[i] = (pgcache_item)PGCACHE_ITEM_INIT;
    items[i].key = keys[i];
    items[i].key_len = KEY_LEN;
  }
  dataset_open(&data, self, "async");
  dataset_fill(&data, ASYNC_KEYS, 1024);
  measure_many(self, &data, items, 1);
  measure_many(self, &data, items, 2);
  measure_many(self, &data, items, 4);
  dataset_close(&data);
  free(keys);
  free(items);
}
