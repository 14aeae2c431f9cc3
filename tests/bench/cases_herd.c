/*
 * cases_herd.c - many wait for one load: how many loads there are, and how long it takes until all have the value.
 *
 * Owns the processes, with their threads, that ask for the same key at the same moment. The floor is the time that the one
 * load takes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 4, THREADS = 16, WAITERS = PROCESSES * THREADS, LOAD_MS = 50 };

/* What the processes share. */
typedef struct board {
  atomic_int round, ready, served, loads, failed;
  atomic_int_fast64_t last_ns;
} board;

typedef struct waiter {
  const char *name;
  pthread_t thread;
  pgcache *cache;
  board *shared;
  int rounds;
} waiter;

static void pause_us(long microseconds) {
  nanosleep(&(struct timespec){microseconds / 1000000, microseconds % 1000000 * 1000}, NULL);
}

static void ask(const waiter *self, int round) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *value = NULL;
  pgcache_load *load = NULL;
  char key[32];
  size_t length = (size_t)snprintf(key, sizeof key, "%s:%d", self->name, round);
  pgcache_status status = pgcache_load_begin(self->cache, &value, &load, key, length, NULL, NULL, &error);
  if (status == PGCACHE_LEASE) {
    atomic_fetch_add(&self->shared->loads, 1);
    pause_us(LOAD_MS * 1000);
    status = pgcache_load_fill(load, NULL, key, length, PGCACHE_FORMAT_BYTES, NULL, &error);
  }
  if (status != PGCACHE_OK) {
    atomic_fetch_add(&self->shared->failed, 1);
  }
  pgcache_load_free(load);
  pgcache_value_free(value);
}

static void *wait_in_thread(void *argument) {
  const waiter *self = argument;
  for (int round = 1; round <= self->rounds; round++) {
    atomic_fetch_add(&self->shared->ready, 1);
    while (atomic_load(&self->shared->round) < round) {
      pause_us(200);
    }
    ask(self, round);
    int64_t now = now_ns(), last = atomic_load(&self->shared->last_ns);
    while (last < now && !atomic_compare_exchange_weak(&self->shared->last_ns, &last, now)) {
    }
    atomic_fetch_add(&self->shared->served, 1);
  }
  return NULL;
}

static _Noreturn void wait_in_process(const dataset *data, board *shared, int rounds, const char *near,
                                      const char *name) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  pgcache *cache = NULL;
  waiter waiters[THREADS];
  if (pgcache_config_new(&config, &error) < 0 || pgcache_config_set(config, "url", data->of->url, &error) < 0 ||
      pgcache_config_set(config, "schema", data->schema, &error) < 0 ||
      pgcache_config_set(config, "near_max_bytes", near, &error) < 0 || pgcache_new(&cache, config, &error) < 0) {
    die("a waiting process: %s", error.message);
  }
  pgcache_config_free(config);
  for (int i = 0; i < THREADS; i++) {
    waiters[i] = (waiter){.name = name, .cache = cache, .shared = shared, .rounds = rounds};
    if (pthread_create(&waiters[i].thread, NULL, wait_in_thread, &waiters[i]) != 0) {
      die("cannot start a thread");
    }
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(waiters[i].thread, NULL);
  }
  pgcache_free(cache);
  _exit(0);
}

static void wait_for(atomic_int *number, int value) {
  for (int64_t end = now_ns() + INT64_C(30000000000); atomic_load(number) < value;) {
    if (now_ns() > end) {
      die("the herd: %d of %d after 30 s", atomic_load(number), value);
    }
    pause_us(1000);
  }
}

/* near: the setting near_max_bytes. With a near cache a process hears of the end of others' loads, without it asks again. */
static void herd(bench *self, const dataset *data, const char *near, const char *name) {
  pid_t pids[PROCESSES], parent = getpid();
  int rounds = self->rounds + 1;
  double times[MOST_ROUNDS], most = 0;
  board *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) {
    die("out of memory");
  }
  report_progress("%s", name);
  fflush(NULL);
  for (int i = 0; i < PROCESSES; i++) {
    pids[i] = fork();
    if (pids[i] < 0) {
      die("cannot start a process");
    }
    if (pids[i] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) {
        _exit(1);
      }
      wait_in_process(data, shared, rounds, near, name);
    }
  }
  int loads = 0;
  for (int round = 1; round <= rounds; round++) { /* the first one opens the connections */
    wait_for(&shared->ready, round * WAITERS);
    int before = atomic_load(&shared->loads);
    int64_t began = now_ns();
    atomic_store(&shared->round, round);
    wait_for(&shared->served, round * WAITERS);
    if (round > 1) {
      double ms = (double)(atomic_load(&shared->last_ns) - began) / 1e6;
      times[round - 2] = ms;
      most = ms > most ? ms : most;
      loads += atomic_load(&shared->loads) - before;
    }
  }
  for (int i = 0; i < PROCESSES; i++) {
    int status = 0;
    if (waitpid(pids[i], &status, 0) != pids[i] || status != 0) {
      die("a waiting process ended with the wait status %d", status);
    }
  }
  int failed = atomic_load(&shared->failed);
  munmap(shared, sizeof *shared);
  double middle = median(times, self->rounds);
  char text[240], object[400];
  snprintf(text, sizeof text,
           "%-15s %d threads in %d processes, %d rounds: %.2f loads a round, all served after %.1f ms (most %.1f) of a "
           "load of %d ms; %d failed",
           name, WAITERS, PROCESSES, self->rounds, (double)loads / self->rounds, middle, most, LOAD_MS, failed);
  snprintf(
      object, sizeof object,
      "{\"case\":\"%s\",\"value\":%.2f,\"unit\":\"ms\",\"floor\":%d,\"ratio\":%.4f,\"threads\":%d,\"processes\":%d,"
      "\"rounds\":%d,\"loads\":%d,\"most_ms\":%.2f,\"failed\":%d}",
      name, middle, LOAD_MS, middle / LOAD_MS, WAITERS, PROCESSES, self->rounds, loads, most, failed);
  report_line(text, object);
}

void case_herd(bench *self) {
  dataset data;
  dataset_open(&data, self, "herd");
  herd(self, &data, "67108864", "herd");
  herd(self, &data, "0", "herd_deaf");
  dataset_close(&data);
}
