/*
 * cases_coherence.c - what it costs that near caches learn of writes, and how soon they do.
 *
 * Owns the processes that listen: forked children, each with a near cache that holds one key. The floor is the put without
 * its row in the change stream, as it was before there were near caches. Never measures them while they start.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  FEW_LISTENERS = 8,
  MANY_LISTENERS = 32,
  MOST_LISTENERS = 200,
  COMMITTERS = 4,
  MOST_AGES = 20000,
  REMEMBERED = 1024, /* a key's last acknowledgements: more than a minute of them */
  KEYS = 100000,
  VALUE_BYTES = 100
};

typedef enum order { ORDER_START, ORDER_REST, ORDER_WATCH, ORDER_END } order;

/* What this process and the listeners share. */
typedef struct board {
  long watch_us; /* how often a listener reads while it watches */
  atomic_int order, ready;
  struct {
    int64_t written;                                 /* the number that was put under its key last */
    atomic_int_fast64_t acknowledged_ns[REMEMBERED]; /* when each number was; 0: it is being put */
    atomic_int_fast64_t seen;
    atomic_int count;
    int64_t ages_ns[MOST_AGES];
  } listeners[MOST_LISTENERS];
} board;

static void sleep_us(long microseconds) {
  const struct timespec pause = {microseconds / 1000000, microseconds % 1000000 * 1000};
  nanosleep(&pause, NULL);
}

/* ---- A listening process -------------------------------------------------------------------------------------------- */

static void own_key(char key[32], int number) {
  snprintf(key, 32, "listener:%d", number);
}

static int64_t read_number(pgcache *cache, const char *key) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *value = NULL;
  pgcache_status status = pgcache_get(cache, &value, key, strlen(key), NULL, &error);
  if (status < 0) {
    die("a listener: %s", error.message);
  }
  int64_t number = status == PGCACHE_OK ? strtoll(pgcache_value_data(value), NULL, 10) : 0;
  pgcache_value_free(value);
  return number;
}

/* At rest it reads now and then, as a process that serves requests does. */
static _Noreturn void listen_in_child(const dataset *data, board *shared, int number) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  pgcache *cache = NULL;
  char key[32];
  own_key(key, number);
  if (pgcache_config_new(&config, &error) < 0 || pgcache_config_set(config, "url", data->of->url, &error) < 0 ||
      pgcache_config_set(config, "schema", data->schema, &error) < 0 ||
      pgcache_config_set(config, "pool_max", "1", &error) < 0 ||
      pgcache_config_set(config, "timeout_ms", "60000", &error) < 0 ||
      pgcache_config_set(config, "near_max_bytes", "67108864", &error) < 0 || pgcache_new(&cache, config, &error) < 0) {
    die("a listener: %s", error.message);
  }
  pgcache_config_free(config);
  int64_t seen = 0;
  bool counted = false;
  for (int now; (now = atomic_load(&shared->order)) != ORDER_END;) {
    int64_t is = read_number(cache, key);
    pgcache_counters counters = PGCACHE_COUNTERS_INIT;
    pgcache_read_counters(cache, &counters, NULL);
    if (!counted && counters.near_hits > 0) {
      atomic_fetch_add(&shared->ready, 1);
      counted = true;
    }
    if (now == ORDER_WATCH && is > seen) { /* until now it showed what is older than the first that it had not seen */
      int64_t acknowledged = atomic_load(&shared->listeners[number].acknowledged_ns[(seen + 1) % REMEMBERED]);
      int at = atomic_load(&shared->listeners[number].count);
      if (at < MOST_AGES) { /* it may be seen before the writer has its answer */
        shared->listeners[number].ages_ns[at] = acknowledged != 0 ? now_ns() - acknowledged : 0;
        atomic_store(&shared->listeners[number].count, at + 1);
      }
    }
    seen = is;
    atomic_store(&shared->listeners[number].seen, seen);
    sleep_us(now == ORDER_WATCH ? shared->watch_us : 50000);
  }
  pgcache_free(cache);
  _exit(0);
}

typedef struct crowd {
  dataset *data;
  board *shared;
  int count;
  pid_t pids[MOST_LISTENERS];
} crowd;

static void put_number(crowd *self, int number, int64_t value) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  char key[32], text[32];
  own_key(key, number);
  int length = snprintf(text, sizeof text, "%lld", (long long)value);
  if (pgcache_put(self->data->cache, NULL, key, strlen(key), text, (size_t)length, PGCACHE_FORMAT_BYTES, TTL_MS, NULL,
                  &error) < 0) {
    die("%s", error.message);
  }
}

static void crowd_start(crowd *self, dataset *data, int count) {
  memset(self, 0, sizeof *self);
  self->data = data;
  self->count = count;
  self->shared = mmap(NULL, sizeof *self->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (self->shared == MAP_FAILED) {
    die("out of memory");
  }
  /* Hundreds that read each millisecond would do nothing but wake up. */
  self->shared->watch_us = count > MANY_LISTENERS ? 10000 : 1000;
  fflush(NULL);
  pid_t parent = getpid();
  for (int i = 0; i < count; i++) {
    put_number(self, i, 0);
    self->pids[i] = fork();
    if (self->pids[i] < 0) {
      die("cannot start a process");
    }
    if (self->pids[i] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) {
        _exit(1);
      }
      listen_in_child(data, self->shared, i);
    }
  }
  for (int64_t end = now_ns() + INT64_C(30000000000); atomic_load(&self->shared->ready) < count;) {
    if (now_ns() > end) {
      die("%d of %d listeners have no hits in their near caches", count - atomic_load(&self->shared->ready), count);
    }
    sleep_us(10000);
  }
  atomic_store(&self->shared->order, ORDER_REST);
}

static void crowd_end(crowd *self) {
  atomic_store(&self->shared->order, ORDER_END);
  for (int i = 0; i < self->count; i++) {
    int status = 0;
    if (waitpid(self->pids[i], &status, 0) != self->pids[i] || status != 0) {
      die("a listener ended with the wait status %d", status);
    }
  }
  munmap(self->shared, sizeof *self->shared);
}

/* ---- Others, who commit logged rows --------------------------------------------------------------------------------- */

typedef struct committers {
  const dataset *data;
  pthread_t threads[COMMITTERS];
  atomic_bool stop;
  atomic_int_fast64_t commits;
} committers;

static void *commit_rows(void *argument) {
  committers *self = argument;
  PGconn *connection = connect_or_die(self->data->of);
  while (!atomic_load(&self->stop)) {
    PQclear(query_or_die(connection, PGRES_COMMAND_OK, "INSERT INTO %s.others VALUES (1)", self->data->schema));
    atomic_fetch_add(&self->commits, 1);
  }
  PQfinish(connection);
  return NULL;
}

static void committers_start(committers *self, const dataset *data) {
  memset(self, 0, sizeof *self);
  self->data = data;
  for (int i = 0; i < COMMITTERS; i++) {
    if (pthread_create(&self->threads[i], NULL, commit_rows, self) != 0) {
      die("cannot start a thread");
    }
  }
}

static void committers_end(committers *self) {
  atomic_store(&self->stop, true);
  for (int i = 0; i < COMMITTERS; i++) {
    pthread_join(self->threads[i], NULL);
  }
}

/* ---- Writes a second ------------------------------------------------------------------------------------------------ */

typedef struct rates {
  double told[MOST_ROUNDS], plain[MOST_ROUNDS], told_commits[MOST_ROUNDS], plain_commits[MOST_ROUNDS];
} rates;

static double slice(const bench *self, side *puts, int writers, committers *others, double *commits) {
  int64_t before = others != NULL ? atomic_load(&others->commits) : 0, began = now_ns();
  double rate = side_run(puts, writers, self->seconds, NULL);
  if (others != NULL) {
    *commits = (double)(atomic_load(&others->commits) - before) * 1e9 / (double)(now_ns() - began);
  }
  return rate;
}

static double median_ratio(const double *a, const double *b, int count) {
  double ratios[MOST_ROUNDS];
  for (int i = 0; i < count; i++) {
    ratios[i] = a[i] / b[i];
  }
  return median(ratios, count);
}

/* What is asked for: told puts to untold ones, what others commit beside them, and how old a copy may be. */
static void report_targets(const bench *self, int writers, int listeners, const rates *all, bool with_others) {
  char name[40];
  if (listeners != FEW_LISTENERS && listeners != MANY_LISTENERS) {
    return;
  }
  rates copy = *all; /* the medians sort */
  snprintf(name, sizeof name, "told_%d%s", listeners, with_others ? "_others" : "");
  report(self, &(measurement){.name = name,
                              .threads = writers,
                              .value_bytes = VALUE_BYTES,
                              .keys = KEYS,
                              .ratio = median_ratio(all->told, all->plain, self->rounds),
                              .value = median(copy.told, self->rounds),
                              .floor = median(copy.plain, self->rounds),
                              .unit = "puts/s",
                              .target = listeners == FEW_LISTENERS && !with_others ? 0.85 : 0.80});
  if (with_others) {
    snprintf(name, sizeof name, "commits_%d", listeners);
    report(self, &(measurement){.name = name,
                                .threads = writers,
                                .keys = KEYS,
                                .ratio = median_ratio(all->told_commits, all->plain_commits, self->rounds),
                                .value = median(copy.told_commits, self->rounds),
                                .floor = median(copy.plain_commits, self->rounds),
                                .unit = "1/s",
                                .target = 0.95});
  }
}

static void report_age_target(const bench *self, int listeners, double p99_ms) {
  char name[40];
  if (listeners > MANY_LISTENERS) {
    return;
  }
  snprintf(name, sizeof name, "stale_p99_%d", listeners);
  report(self, &(measurement){.name = name,
                              .value_bytes = VALUE_BYTES,
                              .keys = KEYS,
                              .value = p99_ms,
                              .floor = 12,
                              .ratio = p99_ms / 12,
                              .unit = "ms",
                              .target = 1,
                              .at_most = true});
}

static void measure_writes(bench *self, dataset *data, side *told, side *plain, int writers, int listeners,
                           bool with_others) {
  rates all;
  committers others;
  report_progress("%d writers, %d listeners%s", writers, listeners, with_others ? ", others commit" : "");
  if (with_others) {
    committers_start(&others, data);
  }
  side_run(told, writers, self->seconds / 4, NULL);
  side_run(plain, writers, self->seconds / 4, NULL);
  for (int round = 0; round < self->rounds; round++) {
    for (int turn = 0; turn < 2; turn++) { /* in turns, so that a drift of the machine hits both */
      bool tells = turn == round % 2;
      double *rate = tells ? &all.told[round] : &all.plain[round];
      double *commits = tells ? &all.told_commits[round] : &all.plain_commits[round];
      *rate = slice(self, tells ? told : plain, writers, with_others ? &others : NULL, commits);
    }
  }
  if (with_others) {
    committers_end(&others);
  }
  report_targets(self, writers, listeners, &all, with_others);
  char text[200], object[400], commits[40] = "", commits_json[40] = "null";
  double ratio = median_ratio(all.told, all.plain, self->rounds);
  if (with_others) {
    double commit_ratio = median_ratio(all.told_commits, all.plain_commits, self->rounds);
    snprintf(commits, sizeof commits, ", their commits %.3f", commit_ratio);
    snprintf(commits_json, sizeof commits_json, "%.4f", commit_ratio);
  }
  double value = median(all.told, self->rounds), floor = median(all.plain, self->rounds);
  snprintf(text, sizeof text, "coherence       %7d writers %3d listeners %s %9.0f of %9.0f puts/s: %.3f%s", writers,
           listeners, with_others ? "beside others" : "             ", value, floor, ratio, commits);
  snprintf(object, sizeof object,
           "{\"case\":\"coherence\",\"writers\":%d,\"listeners\":%d,\"others\":%s,\"value\":%.1f,\"unit\":\"puts/"
           "s\",\"floor\":%.1f,"
           "\"ratio\":%.4f,\"commit_ratio\":%s,\"rounds\":%d,\"seconds\":%g}",
           writers, listeners, with_others ? "true" : "false", value, floor, ratio, commits_json, self->rounds,
           self->seconds);
  report_line(text, object);
}

/* ---- Stale age ------------------------------------------------------------------------------------------------------ */

typedef struct load {
  side *puts;
  double seconds;
} load;

static void *put_meanwhile(void *argument) {
  const load *self = argument;
  side_run(self->puts, MOST_THREADS, self->seconds, NULL);
  return NULL;
}

static bool all_have_seen(const crowd *listeners) {
  const board *shared = listeners->shared;
  for (int i = 0; i < listeners->count; i++) {
    if (atomic_load(&shared->listeners[i].seen) < shared->listeners[i].written) {
      return false;
    }
  }
  return true;
}

/* Each listener's key is put every 100 ms, that of many once a second. From the acknowledgement of the first put that a
   listener had not seen until its own copy shows that one or a later one: a lag of several puts is as long as it was. */
static void measure_age(bench *self, crowd *listeners, side *told, bool busy) {
  board *shared = listeners->shared;
  pthread_t thread;
  double seconds = self->seconds * self->rounds;
  load work = {told, seconds};
  report_progress("stale age, %d listeners", listeners->count);
  for (int i = 0; i < listeners->count; i++) {
    atomic_store(&shared->listeners[i].count, 0);
  }
  atomic_store(&shared->order, ORDER_WATCH);
  sleep_us(200000);
  if (busy && pthread_create(&thread, NULL, put_meanwhile, &work) != 0) {
    die("cannot start a thread");
  }
  for (int64_t end = now_ns() + (int64_t)(seconds * 1e9); now_ns() < end;) {
    for (int i = 0; i < listeners->count && now_ns() < end; i++) {
      int64_t number = ++shared->listeners[i].written;
      atomic_store(&shared->listeners[i].acknowledged_ns[number % REMEMBERED], 0);
      put_number(listeners, i, number);
      atomic_store(&shared->listeners[i].acknowledged_ns[number % REMEMBERED], now_ns());
      sleep_us((listeners->count > MANY_LISTENERS ? 1000000 : 100000) / listeners->count);
    }
  }
  if (busy) {
    pthread_join(thread, NULL);
  }
  for (int64_t end = now_ns() + INT64_C(30000000000); !all_have_seen(listeners); sleep_us(10000)) {
    if (now_ns() > end) {
      die("a listener has not seen the last put after 30 s");
    }
  }
  atomic_store(&shared->order, ORDER_REST);
  size_t count = 0;
  int64_t *ages = malloc(sizeof *ages * MOST_AGES * MOST_LISTENERS);
  for (int i = 0; i < listeners->count && ages != NULL; i++) {
    for (int j = 0; j < atomic_load(&shared->listeners[i].count); j++) {
      ages[count++] = shared->listeners[i].ages_ns[j];
    }
  }
  if (count == 0) {
    die("no listener has seen anything");
  }
  int64_t most = 0;
  for (size_t i = 0; i < count; i++) {
    most = ages[i] > most ? ages[i] : most;
  }
  latency times = latency_of(ages, count);
  free(ages);
  if (!busy) {
    report_age_target(self, listeners->count, times.p99_us / 1000);
  }
  char text[200], object[300];
  snprintf(text, sizeof text,
           "stale age       %7d writers %3d listeners               p50 %.1f, p99 %.1f, max %.1f ms of %zu",
           busy ? MOST_THREADS : 0, listeners->count, times.p50_us / 1000, times.p99_us / 1000, (double)most / 1e6,
           count);
  snprintf(object, sizeof object,
           "{\"case\":\"stale_age\",\"value\":%.3f,\"unit\":\"ms\",\"floor\":null,\"ratio\":null,\"writers\":%d,"
           "\"listeners\":%d,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"count\":%zu}",
           times.p99_us / 1000, busy ? MOST_THREADS : 0, listeners->count, times.p50_us / 1000, times.p99_us / 1000,
           (double)most / 1e6, count);
  report_line(text, object);
}

void case_coherence(bench *self) {
  static const int listeners[] = {0, 1, FEW_LISTENERS, MANY_LISTENERS}, writers[] = {1, MOST_THREADS};
  dataset data;
  dataset_open(&data, self, "coherence");
  dataset_fill(&data, KEYS, VALUE_BYTES);
  PQclear(query_or_die(self->admin, PGRES_COMMAND_OK, "CREATE TABLE %s.others (n integer)", data.schema));
  side *told = side_new(&data, PUT, true), *plain = side_new(&data, PUT_UNTOLD, true);
  for (size_t i = 0; i < sizeof listeners / sizeof *listeners; i++) {
    crowd present;
    crowd_start(&present, &data, listeners[i]);
    for (size_t j = 0; j < sizeof writers / sizeof *writers; j++) {
      measure_writes(self, &data, told, plain, writers[j], listeners[i], false);
    }
    measure_writes(self, &data, told, plain, MOST_THREADS, listeners[i], true);
    if (listeners[i] >= FEW_LISTENERS) {
      measure_age(self, &present, told, false);
      measure_age(self, &present, told, true);
    }
    crowd_end(&present);
  }
  crowd all;
  crowd_start(&all, &data, MOST_LISTENERS);
  measure_writes(self, &data, told, plain, MOST_THREADS, MOST_LISTENERS, false);
  measure_age(self, &all, told, false);
  crowd_end(&all);
  side_free(told);
  side_free(plain);
  dataset_close(&data);
}
