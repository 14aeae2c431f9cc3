/*
 * cases_speed.c - how much of a bare libpq loop's speed is left, by operation, value size and threads.
 *
 * Owns the comparison of two sides. Never compares figures of different runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <stdlib.h>

static int by_size(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

double median(double *numbers, int count) {
  qsort(numbers, (size_t)count, sizeof *numbers, by_size);
  return count % 2 == 1 ? numbers[count / 2] : (numbers[count / 2 - 1] + numbers[count / 2]) / 2;
}

void compare(bench *of, side *a, side *b, int threads, measurement *result) {
  double as[MOST_ROUNDS], bs[MOST_ROUNDS], ratios[MOST_ROUNDS];
  /* The first slice opens the connections, warms the server's caches, and lets it settle on its plans. */
  side_run(a, threads, of->seconds / 4, NULL);
  side_run(b, threads, of->seconds / 4, NULL);
  result->threads = threads;
  result->pinned = threads == 1 && pin_to_one_cpu(of, true);
  for (int round = 0; round < of->rounds; round++) {
    if (round % 2 == 0) { /* in turns, so that a drift of the machine hits both */
      as[round] = side_run(a, threads, of->seconds, NULL);
      bs[round] = side_run(b, threads, of->seconds, NULL);
    } else {
      bs[round] = side_run(b, threads, of->seconds, NULL);
      as[round] = side_run(a, threads, of->seconds, NULL);
    }
    ratios[round] = as[round] / bs[round];
  }
  if (threads == 1) {
    pin_to_one_cpu(of, false);
  }
  result->value = median(as, of->rounds);
  result->floor = median(bs, of->rounds);
  result->ratio = median(ratios, of->rounds);
}

void case_speed(bench *self, operation what) {
  static const struct {
    const char *name, *unit;
    double target;
  } about[] = {[GET] = {"get", "ops/s", 0.97},
               [PUT] = {"put", "ops/s", 0.95},
               [GET_MANY] = {"get_many", "keys/s", 0.95},
               [PUT_MANY] = {"put_many", "keys/s", 0.95}};
  static const struct {
    size_t value_bytes;
    int64_t keys;
  } sizes[] = {{100, 100000}, {1024, 100000}, {10240, 10000}, {102400, 1000}};
  static const int threads[] = {1, MOST_THREADS};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    dataset data;
    dataset_open(&data, self, "speed");
    dataset_fill(&data, sizes[i].keys, sizes[i].value_bytes);
    side *library = side_new(&data, what, false), *raw = side_new(&data, what, true);
    for (size_t j = 0; j < sizeof threads / sizeof *threads; j++) {
      measurement result = {.name = about[what].name,
                            .value_bytes = sizes[i].value_bytes,
                            .keys = sizes[i].keys,
                            .unit = about[what].unit,
                            .target = about[what].target};
      report_progress("%s, values of %zu bytes, %d threads", about[what].name, sizes[i].value_bytes, threads[j]);
      compare(self, library, raw, threads[j], &result);
      report(self, &result);
    }
    side_free(library);
    side_free(raw);
    dataset_close(&data);
  }
}
