/*
 * cases_async.c - requests in flight over few connections, beside 8 threads of bare libpq with one connection each, and
 * beside Redis.
 *
 * Owns the list of contests and their rounds. All contestants of a contest take turns in each round, and a ratio is one of
 * the same round.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

typedef enum contestant_kind { RAW, REDIS, FLIGHT } contestant_kind;

typedef struct contestant {
  contestant_kind kind;
  int callers, in_flight; /* in_flight of a FLIGHT */
  double target;          /* to bare libpq */
  double rates[MOST_ROUNDS], p50[MOST_ROUNDS], p99[MOST_ROUNDS];
} contestant;

typedef struct contest {
  bench *of;
  operation what;
  const dataset *data; /* through the handle that is measured */
  int connections;
  side *raw;
  redis *redis;
  contestant each[10];
  int count;
} contest;

static void add(contest *self, contestant_kind kind, int callers, int in_flight, double target) {
  self->each[self->count++] = (contestant){.kind = kind, .callers = callers, .in_flight = in_flight, .target = target};
}

static double run(const contest *self, contestant *by, double seconds, latency *times) {
  switch (by->kind) {
  case RAW:
    return side_run(self->raw, by->callers, seconds, NULL);
  case REDIS:
    return redis_run(self->redis, self->what, by->callers, seconds);
  default:
    return fly(&(flight_plan){.data = self->data,
                              .what = self->what,
                              .callers = by->callers,
                              .in_flight = by->in_flight,
                              .seconds = seconds},
               times);
  }
}

static void run_rounds(contest *self) {
  int rounds = async_rounds(self->of);
  for (int i = 0; i < self->count; i++) { /* opens the connections, and lets the server settle on its plans */
    run(self, &self->each[i], self->of->seconds / 4, NULL);
  }
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < self->count; i++) { /* in turns, there and back */
      contestant *by = &self->each[round % 2 == 0 ? i : self->count - 1 - i];
      latency times = {0, 0};
      report_progress("%s over %d connections: round %d of %d", self->what == GET ? "gets" : "puts", self->connections,
                      round + 1, rounds);
      by->rates[round] = run(self, by, self->of->seconds, &times);
      by->p50[round] = times.p50_us;
      by->p99[round] = times.p99_us;
    }
  }
}

static double median_of(const double *numbers, int count) {
  double sorted[MOST_ROUNDS];
  memcpy(sorted, numbers, (size_t)count * sizeof *sorted);
  return median(sorted, count);
}

static void report_ratio(const contest *self, const contestant *by, const contestant *floor, const char *name,
                         double target) {
  int rounds = async_rounds(self->of);
  double ratios[MOST_ROUNDS];
  for (int round = 0; round < rounds; round++) {
    ratios[round] = by->rates[round] / floor->rates[round];
  }
  report(self->of, &(measurement){.name = name,
                                  .threads = by->callers,
                                  .value_bytes = self->data->value_bytes,
                                  .keys = self->data->keys,
                                  .value = median_of(by->rates, rounds),
                                  .floor = median_of(floor->rates, rounds),
                                  .ratio = median(ratios, rounds),
                                  .unit = "ops/s",
                                  .target = target,
                                  .in_flight = by->in_flight,
                                  .connections = self->connections,
                                  .p50_us = median_of(by->p50, rounds),
                                  .p99_us = median_of(by->p99, rounds)});
}

/* Each flight to bare libpq; where Redis takes part, 1,000 in flight to it with as many callers. */
static void report_all(const contest *self) {
  const contestant *raw = &self->each[0];
  for (const contestant *by = self->each; by < self->each + self->count; by++) {
    if (by->kind == FLIGHT) {
      report_ratio(self, by, raw, self->what == GET ? "async_get" : "async_put", by->target);
    }
  }
  for (const contestant *peer = self->each; peer < self->each + self->count; peer++) {
    for (const contestant *by = self->each; peer->kind == REDIS && by < self->each + self->count; by++) {
      if (by->kind == FLIGHT && by->in_flight == 1000 && by->callers == peer->callers) {
        report_ratio(self, by, peer, self->what == GET ? "async_get_redis" : "async_put_redis", 0.7);
      }
    }
  }
}

static void measure_contests(bench *self, operation what, size_t value_bytes) {
  static const int connections[] = {1, 2, 4}, in_flight[] = {1, 10, 100, 1000, 10000};
  bool small = value_bytes < 1024; /* one contest of those with 1 KiB */
  const char *missing = NULL;
  dataset data, handle;
  dataset_open(&data, self, "async");
  dataset_fill(&data, ASYNC_KEYS, value_bytes);
  side *raw = side_new(&data, what, true);
  redis *peer = small ? NULL : redis_open(&data, &missing);
  for (size_t i = 0; i < sizeof connections / sizeof *connections; i++) {
    contest all = {.of = self, .what = what, .data = &handle, .connections = connections[i], .raw = raw, .redis = peer};
    bool two = connections[i] == 2;
    if (small && !two) {
      continue;
    }
    async_handle(&handle, &data, connections[i]);
    add(&all, RAW, MOST_THREADS, 0, 0);
    for (size_t j = 0; j < sizeof in_flight / sizeof *in_flight; j++) {
      bool thousand = in_flight[j] == 1000;
      if (!small || thousand) {
        add(&all, FLIGHT, 1, in_flight[j], two && thousand && !small ? 3.0 : 0);
      }
    }
    if (two && peer != NULL) {
      add(&all, REDIS, 1, 0, 0);
      add(&all, FLIGHT, MOST_THREADS, 1000, 0);
      add(&all, REDIS, MOST_THREADS, 0, 0);
    }
    run_rounds(&all);
    report_all(&all);
    dataset_unshare(&handle);
  }
  if (missing != NULL) {
    char text[200], object[300];
    const char *name = what == GET ? "async_get_redis" : "async_put_redis";
    snprintf(text, sizeof text, "%s: not measured, %s", name, missing);
    snprintf(object, sizeof object, "{\"case\":\"%s\"," NO_FIGURE ",\"not_measured\":\"%s\"}", name, missing);
    report_line(text, object);
  }
  redis_close(peer);
  side_free(raw);
  dataset_close(&data);
}

void case_async_get(bench *self) {
  measure_contests(self, GET, 1024);
  measure_contests(self, GET, 100);
}

void case_async_put(bench *self) {
  measure_contests(self, PUT, 1024);
  measure_contests(self, PUT, 100);
}
