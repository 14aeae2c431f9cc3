/*
 * flight.c - keeps requests in flight: callers that submit, wait for the descriptor, take, and submit again.
 *
 * Owns the callers and their clocks. Each completion is looked at: a get's by the size of its value, a put's by its
 * version. Nothing is counted before the requests in flight have all come back once; the rate ends where submitting does.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pgcache_hooks.h"

enum { SAMPLES = 1 << 20 }; /* latencies that a caller keeps of a slice */

typedef struct flight {
  const flight_plan *plan;
  int64_t *sent_ns;           /* by slot: a request in flight has one, its token */
  atomic_int outstanding;     /* slots in use */
  _Atomic int64_t counted_ns; /* when counting began; 0: not yet */
  int64_t length_ns;
} flight;

typedef struct caller {
  pthread_t thread;
  flight *of;
  int first_slot, end_slot;
  uint64_t random;
  pgcache_options options;
  pgcache_callback callback;
  int64_t warmed_up, counted, last_ns;
  int64_t *latencies;
  size_t latency_count;
} caller;

static void failed(const char *what, pgcache_status status, const char *message) {
  die("%s: %s: %s", what, pgcache_status_name(status), message);
}

static void submit(caller *self, uint64_t slot, int64_t now) {
  const flight_plan *plan = self->of->plan;
  const dataset *data = plan->data;
  pgcache_error error = PGCACHE_ERROR_INIT;
  char key[KEY_LEN + 2];
  key_of(key, (int64_t)((random_next(&self->random) >> 20) % (uint64_t)data->keys));
  self->options.token = slot;
  self->of->sent_ns[slot] = now;
  pgcache_status status = plan->what == GET
                              ? pgcache_submit_get(data->cache, NULL, key, KEY_LEN, &self->options, &error)
                              : pgcache_submit_put(data->cache, NULL, key, KEY_LEN, data->value, data->value_bytes,
                                                   PGCACHE_FORMAT_BYTES, TTL_MS, &self->options, &error);
  if (status != PGCACHE_OK) {
    failed("submitting", status, error.message);
  }
}

static void check(const flight_plan *plan, const pgcache_completion *completion) {
  pgcache_status status = pgcache_completion_status(completion);
  if (status != PGCACHE_OK) {
    failed("a completion", status, status < 0 ? pgcache_completion_message(completion) : "an entry is missing");
  }
  if (plan->what == GET ? pgcache_value_size(pgcache_completion_value(completion, 0)) != plan->data->value_bytes
                        : pgcache_completion_version(completion) <= 0) {
    die("a %s has no %s", plan->what == GET ? "get" : "put", plan->what == GET ? "value of the right size" : "version");
  }
}

/* A request has come back: the next one takes its slot, unless the time is over. */
static void land(caller *self, const pgcache_completion *completion) {
  flight *all = self->of;
  int64_t now = now_ns(), began = all->counted_ns;
  uint64_t slot = pgcache_completion_token(completion);
  check(all->plan, completion);
  bool over = all->plan->stop != NULL ? *all->plan->stop : began > 0 && now >= began + all->length_ns;
  if (began > 0) {
    if (self->latency_count < SAMPLES) { /* also of those that come in late: they are the slow ones */
      self->latencies[self->latency_count++] = now - all->sent_ns[slot];
    }
    self->counted += !over;
  } else if (++self->warmed_up == self->end_slot - self->first_slot) {
    int64_t none = 0;
    atomic_compare_exchange_strong(&all->counted_ns, &none, now);
  }
  if (over) {
    atomic_fetch_sub(&all->outstanding, 1);
  } else {
    self->last_ns = now;
    submit(self, slot, now);
  }
}

static void land_callback(void *userdata, const pgcache_completion *completion) {
  land(userdata, completion);
}

static void take_all(caller *self, pgcache *cache) {
  for (pgcache_completion *completion; pgcache_take(cache, &completion, NULL) == PGCACHE_OK;) {
    land(self, completion);
    pgcache_completion_free(completion);
  }
}

static void *fly_slots(void *argument) {
  caller *self = argument;
  flight *all = self->of;
  pgcache *cache = all->plan->data->cache;
  pgcache_error error = PGCACHE_ERROR_INIT;
  struct pollfd readable = {.events = POLLIN};
  if (pgcache_event_fd(cache, &readable.fd, &error) != PGCACHE_OK) {
    failed("the descriptor", error.status, error.message);
  }
  for (int slot = self->first_slot; slot < self->end_slot; slot++) {
    submit(self, (uint64_t)slot, now_ns());
  }
  while (all->outstanding > 0) {
    if (all->plan->dispatch) {
      pgcache_dispatch(cache, NULL, 1000, NULL);
      continue;
    }
    take_all(self, cache);
    if (all->outstanding > 0) {
      poll(&readable, 1, 10); /* another caller may take the last one */
    }
  }
  return NULL;
}

/* ---- A slice -------------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
  int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
  return (left > right) - (left < right);
}

latency latency_of(int64_t *samples, size_t count) {
  latency result = {0, 0};
  if (count > 0) {
    qsort(samples, count, sizeof *samples, by_size);
    result.p50_us = (double)samples[count / 2] / 1000;
    result.p99_us = (double)samples[count * 99 / 100] / 1000;
  }
  return result;
}

double fly(const flight_plan *plan, latency *times) {
  static uint64_t seed = 1;
  flight all = {.plan = plan, .length_ns = (int64_t)(plan->seconds * 1e9)};
  caller *callers = calloc((size_t)plan->callers, sizeof *callers);
  int64_t *samples = malloc((size_t)plan->callers * SAMPLES * sizeof *samples);
  all.sent_ns = calloc((size_t)plan->in_flight, sizeof *all.sent_ns);
  atomic_init(&all.outstanding, plan->in_flight);
  atomic_init(&all.counted_ns, plan->stop != NULL ? now_ns() : 0); /* a background is counted as a whole */
  if (callers == NULL || samples == NULL || all.sent_ns == NULL) {
    die("out of memory");
  }
  for (int i = 0; i < plan->callers; i++) {
    caller *by = &callers[i];
    by->of = &all;
    by->first_slot = plan->in_flight * i / plan->callers;
    by->end_slot = plan->in_flight * (i + 1) / plan->callers;
    by->random = UINT64_C(0x9E3779B97F4A7C15) * ++seed;
    by->latencies = samples + (size_t)i * SAMPLES;
    by->options = (pgcache_options)PGCACHE_OPTIONS_INIT;
    by->options.namespace_name = plan->namespace_name;
    by->callback = (pgcache_callback){sizeof by->callback, land_callback, by};
    by->options.callback = plan->dispatch ? &by->callback : NULL;
    if (i > 0 && pthread_create(&by->thread, NULL, fly_slots, by) != 0) {
      die("cannot start a caller");
    }
  }
  fly_slots(&callers[0]);
  int64_t counted = 0, last_ns = 0;
  size_t kept = 0;
  for (int i = 0; i < plan->callers; i++) {
    if (i > 0) {
      pthread_join(callers[i].thread, NULL);
    }
    memmove(samples + kept, callers[i].latencies, callers[i].latency_count * sizeof *samples);
    kept += callers[i].latency_count;
    counted += callers[i].counted;
    last_ns = callers[i].last_ns > last_ns ? callers[i].last_ns : last_ns;
  }
  if (times != NULL) {
    *times = latency_of(samples, kept);
  }
  double rate = counted > 0 ? (double)counted * 1e9 / (double)(last_ns - all.counted_ns) : 0;
  free(all.sent_ns);
  free(samples);
  free(callers);
  return rate;
}
