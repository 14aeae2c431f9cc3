/*
 * cases_load.c - what guarded reads, dependencies, loads and invalidations cost, each beside the same without, in the same run.
 *
 * Owns the ways that are compared. cases_herd.c has many who wait for one load.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 20000, VALUE_BYTES = 1024, TAGS = PGCACHE_DEPENDENCIES_MAX };

/* ---- Two ways of doing something, by so many threads -------------------------------------------------------------------- */

typedef struct way {
  void (*once)(const struct way *self, int thread, uint64_t random);
  dataset *data;
  size_t tags;       /* dependencies beside the entry's own */
  bool of_its_own;   /* each thread invalidates a tag of its own */
  const char *table; /* of the application's rows */
  PGconn *connections[MOST_THREADS];
  atomic_int_fast64_t *next; /* the number of the row that is inserted next */
} way;

typedef struct walker {
  pthread_t thread;
  const way *by;
  int number;
  double seconds;
  double rate;
} walker;

static void *walk(void *argument) {
  walker *self = argument;
  static atomic_uint_fast64_t seed = 1;
  uint64_t random = UINT64_C(0x9E3779B97F4A7C15) * ++seed;
  int64_t done = 0, began = now_ns(), end = began + (int64_t)(self->seconds * 1e9), now;
  do {
    self->by->once(self->by, self->number, random_next(&random) >> 20);
    done++;
  } while ((now = now_ns()) < end);
  self->rate = (double)done * 1e9 / (double)(now - began);
  return NULL;
}

static double go(const way *by, int threads, double seconds) {
  walker walkers[MOST_THREADS];
  double rate = 0;
  for (int i = 0; i < threads; i++) {
    walkers[i] = (walker){.by = by, .number = i, .seconds = seconds};
    if (threads == 1) {
      walk(&walkers[i]);
    } else if (pthread_create(&walkers[i].thread, NULL, walk, &walkers[i]) != 0) {
      die("cannot start a thread");
    }
  }
  for (int i = 0; i < threads; i++) {
    if (threads > 1) {
      pthread_join(walkers[i].thread, NULL);
    }
    rate += walkers[i].rate;
  }
  return rate;
}

/* at_most: the ratio is of the times that one takes, else of the rates. */
static void versus(bench *of, const way *a, const way *b, int threads, measurement *result) {
  double as[MOST_ROUNDS], bs[MOST_ROUNDS], ratios[MOST_ROUNDS];
  report_progress("%s, %d threads", result->name, threads);
  go(a, threads, of->seconds / 4);
  go(b, threads, of->seconds / 4);
  result->threads = threads;
  result->keys = KEYS;
  result->unit = "ops/s";
  result->pinned = threads == 1 && pin_to_one_cpu(of, true);
  for (int round = 0; round < of->rounds; round++) {
    for (int turn = 0; turn < 2; turn++) { /* in turns, so that a drift of the machine hits both */
      bool first = turn == round % 2;
      *(first ? &as[round] : &bs[round]) = go(first ? a : b, threads, of->seconds);
    }
    ratios[round] = result->at_most ? bs[round] / as[round] : as[round] / bs[round];
  }
  if (threads == 1) {
    pin_to_one_cpu(of, false);
  }
  result->value = median(as, of->rounds);
  result->floor = median(bs, of->rounds);
  result->ratio = median(ratios, of->rounds);
  report(of, result);
}

static void check(pgcache_status status, const pgcache_error *error, pgcache_status expected) {
  if (status != expected) {
    die("%s: %s", pgcache_status_name(status), status < 0 ? error->message : "not what was expected");
  }
}

static void tag_of(pgcache_dependency *out, char name[24], uint64_t number) {
  *out = (pgcache_dependency)PGCACHE_DEPENDENCY_INIT;
  out->name = name;
  out->name_len = (size_t)snprintf(name, 24, "tag:%llu", (unsigned long long)number);
}

/* Of one entry: different ones, that other entries have, too. */
static void tags_of(pgcache_options *options, pgcache_dependency tags[TAGS], char names[TAGS][24], size_t count,
                    uint64_t entry) {
  for (size_t i = 0; i < count; i++) {
    tag_of(&tags[i], names[i], (entry + i * 131) % 1000);
  }
  options->dependencies = tags;
  options->dependency_count = count;
}

/* ---- Reads and writes ----------------------------------------------------------------------------------------------- */

static void put_number(const way *self, uint64_t number) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  pgcache_dependency tags[TAGS];
  char names[TAGS][24], key[KEY_LEN + 2];
  key_of(key, (int64_t)number);
  tags_of(&options, tags, names, self->tags, number);
  check(pgcache_put(self->data->cache, NULL, key, KEY_LEN, self->data->value, VALUE_BYTES, PGCACHE_FORMAT_BYTES, TTL_MS,
                    &options, &error),
        &error, PGCACHE_OK);
}

static void put_once(const way *self, int thread, uint64_t random) {
  (void)thread;
  put_number(self, random % KEYS);
}

static void get_once(const way *self, int thread, uint64_t random) {
  (void)thread;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *value = NULL;
  char key[KEY_LEN + 2];
  key_of(key, (int64_t)(random % KEYS));
  check(pgcache_get(self->data->cache, &value, key, KEY_LEN, NULL, &error), &error, PGCACHE_OK);
  pgcache_value_free(value);
}

static void measure_guard(bench *self, dataset *data, dataset *unguarded) {
  static const struct {
    const char *name;
    size_t tags;
    double target;
  } cases[] = {{"guarded_get_1", 0, 1.20}, {"guarded_get_4", 3, 1.30}, {"guarded_get_16", 15, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    way guarded = {.once = get_once, .data = data, .tags = cases[i].tags};
    way plain = {.once = get_once, .data = unguarded};
    report_progress("%s: storing", cases[i].name);
    for (uint64_t number = 0; number < KEYS; number++) {
      put_number(&guarded, number);
    }
    for (int threads = 1; threads <= MOST_THREADS; threads += MOST_THREADS - 1) {
      versus(self, &guarded, &plain, threads,
             &(measurement){
                 .name = cases[i].name, .value_bytes = VALUE_BYTES, .target = cases[i].target, .at_most = true});
    }
  }
}

static void measure_tags(bench *self, dataset *data) {
  static const struct {
    const char *name;
    size_t tags;
  } cases[] = {{"put_1_tag", 1}, {"put_4_tags", 4}, {"put_16_tags", 16}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    way with = {.once = put_once, .data = data, .tags = cases[i].tags}, without = {.once = put_once, .data = data};
    for (int threads = 1; threads <= MOST_THREADS; threads += MOST_THREADS - 1) {
      versus(self, &with, &without, threads,
             &(measurement){.name = cases[i].name, .value_bytes = VALUE_BYTES, .at_most = true});
    }
  }
}

/* ---- Loads ---------------------------------------------------------------------------------------------------------- */

/* Of a key that is not there: each thread removes its own again, which is not to be measured, by a life of a millisecond
   that is over when its turn comes again. */
static void load_once(const way *self, int thread, uint64_t random) {
  static atomic_uint_fast64_t turn;
  (void)thread;
  (void)random;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_load_options how = PGCACHE_LOAD_OPTIONS_INIT;
  pgcache_value *value = NULL;
  pgcache_load *load = NULL;
  char key[KEY_LEN + 2];
  how.ttl_ms = 1;
  key_of(key, (int64_t)(KEYS + turn++ % KEYS));
  check(pgcache_load_begin(self->data->cache, &value, &load, key, KEY_LEN, &how, NULL, &error), &error, PGCACHE_LEASE);
  check(pgcache_load_fill(load, NULL, self->data->value, VALUE_BYTES, PGCACHE_FORMAT_BYTES, NULL, &error), &error,
        PGCACHE_OK);
  pgcache_load_free(load);
}

/* What a reader does who has no leases: a get that misses, and a put. */
static void miss_and_put_once(const way *self, int thread, uint64_t random) {
  static atomic_uint_fast64_t turn;
  (void)thread;
  (void)random;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *value = NULL;
  char key[KEY_LEN + 2];
  key_of(key, (int64_t)(2 * KEYS + turn++ % KEYS));
  check(pgcache_get(self->data->cache, &value, key, KEY_LEN, NULL, &error), &error, PGCACHE_MISS);
  check(pgcache_put(self->data->cache, NULL, key, KEY_LEN, self->data->value, VALUE_BYTES, PGCACHE_FORMAT_BYTES, 1,
                    NULL, &error),
        &error, PGCACHE_OK);
}

static void measure_loads(bench *self, dataset *data) {
  way loads = {.once = load_once, .data = data}, puts = {.once = miss_and_put_once, .data = data};
  for (int threads = 1; threads <= MOST_THREADS; threads += MOST_THREADS - 1) {
    versus(self, &loads, &puts, threads,
           &(measurement){.name = "begin_and_fill", .value_bytes = VALUE_BYTES, .at_most = true});
  }
}

/* ---- Invalidations -------------------------------------------------------------------------------------------------- */

static void invalidate_once(const way *self, int thread, uint64_t random) {
  (void)random;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_dependency tag;
  char name[24];
  tag_of(&tag, name, self->of_its_own ? (uint64_t)thread : 0);
  check(pgcache_invalidate(self->data->cache, &tag, 1, NULL, &error), &error, PGCACHE_OK);
}

static void measure_invalidations(bench *self, dataset *data) {
  way same = {.once = invalidate_once, .data = data}, own = {.once = invalidate_once, .data = data, .of_its_own = true};
  versus(self, &same, &own, MOST_THREADS, &(measurement){.name = "invalidate_same", .target = 0.95});
}

/* ---- An application's own rows -------------------------------------------------------------------------------------- */

static void insert_once(const way *self, int thread, uint64_t random) {
  PQclear(query_or_die(self->connections[thread], PGRES_COMMAND_OK,
                       "INSERT INTO %s VALUES (%lld, %llu, 'text of an order')", self->table,
                       (long long)atomic_fetch_add(self->next, 1), (unsigned long long)(random % 1000)));
}

static void update_once(const way *self, int thread, uint64_t random) {
  PQclear(query_or_die(self->connections[thread], PGRES_COMMAND_OK, "UPDATE %s SET note = 'x%llu' WHERE id = %llu",
                       self->table, (unsigned long long)random, (unsigned long long)(random % KEYS)));
}

static void open_rows(way *self, bench *of, dataset *data, const char *table, bool watched) {
  PQclear(query_or_die(of->admin, PGRES_COMMAND_OK,
                       "CREATE TABLE %s (id bigint PRIMARY KEY, customerid bigint, note text) WITH (fillfactor = 70)",
                       table));
  PQclear(query_or_die(of->admin, PGRES_COMMAND_OK,
                       "INSERT INTO %s SELECT i, i %% 1000, 'x' FROM generate_series(0, %d) i", table, KEYS - 1));
  if (watched) {
    PQclear(query_or_die(of->admin, PGRES_TUPLES_OK, "SELECT %s.watch('%s', ARRAY['orders', 'customer:<customerid>'])",
                         data->schema, table));
  }
  self->table = table;
  for (int i = 0; i < MOST_THREADS; i++) {
    self->connections[i] = connect_or_die(of);
    PQclear(query_or_die(self->connections[i], PGRES_COMMAND_OK, "SET synchronous_commit = on"));
  }
}

static void measure_watch(bench *self, dataset *data) {
  atomic_int_fast64_t next = KEYS;
  PQclear(query_or_die(self->admin, PGRES_COMMAND_OK, "DROP SCHEMA IF EXISTS pgcache_bench_rows CASCADE"));
  PQclear(query_or_die(self->admin, PGRES_COMMAND_OK, "CREATE SCHEMA pgcache_bench_rows"));
  way watched = {.data = data, .next = &next}, plain = {.data = data, .next = &next};
  open_rows(&watched, self, data, "pgcache_bench_rows.watched_orders", true);
  open_rows(&plain, self, data, "pgcache_bench_rows.orders", false);
  for (int i = 0; i < 2; i++) {
    watched.once = plain.once = i == 0 ? insert_once : update_once;
    for (int threads = 1; threads <= MOST_THREADS; threads += MOST_THREADS - 1) {
      versus(self, &watched, &plain, threads,
             &(measurement){.name = i == 0 ? "watched_insert" : "watched_update",
                            .target = threads == 1 ? 1.15 : 0,
                            .at_most = true});
    }
  }
  for (int i = 0; i < MOST_THREADS; i++) {
    PQfinish(watched.connections[i]);
    PQfinish(plain.connections[i]);
  }
  PQclear(query_or_die(self->admin, PGRES_COMMAND_OK, "DROP SCHEMA pgcache_bench_rows CASCADE"));
}

void case_load(bench *self) {
  dataset data, unguarded;
  dataset_open(&data, self, "load");
  dataset_fill(&data, KEYS, VALUE_BYTES);
  dataset_share(&unguarded, &data, (const setting[MOST_SETTINGS]){{"guard", "off"}});
  measure_guard(self, &data, &unguarded);
  measure_tags(self, &data);
  measure_loads(self, &data);
  measure_invalidations(self, &data);
  measure_watch(self, &data);
  dataset_unshare(&unguarded);
  dataset_close(&data);
}
