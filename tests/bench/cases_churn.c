/*
 * cases_churn.c - what the table grows to when values of very different sizes are rewritten for a long time.
 *
 * Owns the mix of sizes and the measuring on the way. The library's settings of the table and the server's autovacuum are
 * what they are; nothing is vacuumed by hand.
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

enum { LARGEST = 20 * 1024, PAGE = 100, STEP = 250000 };

/* The mix: half up to 1,000 bytes, 30 % up to 2 KiB (both stay in the row), 12 % up to 6 KiB and 8 % up to 20 KiB (both go
   to TOAST); 2.3 KiB on average, two thirds of all bytes in TOAST. */
static size_t random_size(uint64_t *state) {
  static const struct {
    unsigned percent;
    size_t least, most;
  } mix[] = {{50, 100, 1000}, {30, 1001, 1800}, {12, 2048, 6144}, {8, 6145, LARGEST}};
  uint64_t random = random_next(state) >> 16;
  unsigned percent = (unsigned)(random % 100);
  size_t i = 0;
  while (percent >= mix[i].percent) {
    percent -= mix[i++].percent;
  }
  return mix[i].least + (size_t)(random / 128 % (mix[i].most - mix[i].least + 1));
}

typedef struct writer {
  pthread_t thread;
  const dataset *data;
  uint64_t random;
  int64_t first, end;          /* of the keys to load */
  atomic_int_fast64_t *budget; /* of updates to make; NULL: load */
} writer;

static void load(writer *self) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_item items[PAGE];
  char keys[PAGE][KEY_LEN + 2];
  for (int64_t next = self->first; next < self->end;) {
    size_t count = 0;
    for (; count < PAGE && next < self->end; count++, next++) {
      key_of(keys[count], next);
      items[count] = (pgcache_item)PGCACHE_ITEM_INIT;
      items[count].key = keys[count];
      items[count].key_len = KEY_LEN;
      items[count].value_len = random_size(&self->random);
      items[count].value = self->data->value;
      items[count].ttl_ms = TTL_MS;
    }
    if (pgcache_put_many(self->data->cache, items, count, NULL, &error) < 0) {
      die("%s: %s", pgcache_status_name(error.status), error.message);
    }
  }
}

static void *write_values(void *argument) {
  writer *self = argument;
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (self->budget == NULL) {
    load(self);
    return NULL;
  }
  while (atomic_fetch_sub(self->budget, 1) > 0) {
    char key[KEY_LEN + 2];
    key_of(key, (int64_t)((random_next(&self->random) >> 20) % (uint64_t)self->data->keys));
    size_t size = random_size(&self->random);
    if (pgcache_put(self->data->cache, NULL, key, KEY_LEN, self->data->value, size, PGCACHE_FORMAT_BYTES, TTL_MS, NULL,
                    &error) < 0) {
      die("%s: %s", pgcache_status_name(error.status), error.message);
    }
  }
  return NULL;
}

/* By all threads. updates 0: stores every key once. Gives the seconds it took. */
static double write_all(dataset *data, int64_t updates) {
  static uint64_t seed = 1;
  writer writers[MOST_THREADS];
  atomic_int_fast64_t budget = updates;
  int64_t began = now_ns();
  for (int i = 0; i < MOST_THREADS; i++) {
    writers[i] = (writer){.data = data,
                          .random = UINT64_C(0x9E3779B97F4A7C15) * ++seed,
                          .first = data->keys * i / MOST_THREADS,
                          .end = data->keys * (i + 1) / MOST_THREADS,
                          .budget = updates > 0 ? &budget : NULL};
    if (pthread_create(&writers[i].thread, NULL, write_values, &writers[i]) != 0) {
      die("cannot start a thread");
    }
  }
  for (int i = 0; i < MOST_THREADS; i++) {
    pthread_join(writers[i].thread, NULL);
  }
  return (double)(now_ns() - began) / 1e9;
}

typedef struct sizes {
  double total, heap, toast; /* MiB */
  double live, dead, toast_dead, hot_share, vacuums, toast_vacuums;
} sizes;

static void look(const dataset *data, sizes *out) {
  PGresult *answer = query_or_die(
      data->of->admin, PGRES_TUPLES_OK,
      "SELECT pg_total_relation_size(c.oid), pg_relation_size(c.oid), pg_total_relation_size(c.reltoastrelid),"
      " s.n_live_tup, s.n_dead_tup, t.n_dead_tup, coalesce(100.0 * s.n_tup_hot_upd / nullif(s.n_tup_upd, 0), 0),"
      " s.autovacuum_count, t.autovacuum_count"
      " FROM pg_class c JOIN pg_stat_all_tables s ON s.relid = c.oid JOIN pg_stat_all_tables t ON t.relid = "
      "c.reltoastrelid"
      " WHERE c.oid = '%s.entries'::regclass",
      data->schema);
  double *figures[] = {&out->total,      &out->heap,      &out->toast,   &out->live,         &out->dead,
                       &out->toast_dead, &out->hot_share, &out->vacuums, &out->toast_vacuums};
  for (int i = 0; i < (int)(sizeof figures / sizeof *figures); i++) {
    *figures[i] = strtod(PQgetvalue(answer, 0, i), NULL) / (i < 3 ? 1048576 : 1);
  }
  PQclear(answer);
}

static void tell(int64_t updates, double per_second, const sizes *now, double fresh) {
  char text[200], object[600];
  snprintf(text, sizeof text, "%15lld %9.0f %8.0f %8.0f %8.0f %7.2f %9.0f %9.0f %8.1f %8.0f %8.0f", (long long)updates,
           per_second, now->total, now->heap, now->toast, now->total / fresh, now->dead, now->toast_dead,
           now->hot_share, now->vacuums, now->toast_vacuums);
  snprintf(object, sizeof object,
           "{\"case\":\"churn_step\",\"value\":%.1f,\"unit\":\"MiB\",\"floor\":%.1f,\"ratio\":%.3f,\"updates\":%lld,"
           "\"updates_per_second\":%.0f,\"heap_mib\":%.1f,\"toast_mib\":%.1f,\"dead_rows\":%.0f,\"toast_dead_rows\":%."
           "0f,\"hot_percent\":%.2f,"
           "\"vacuums\":%.0f,\"toast_vacuums\":%.0f}",
           now->total, fresh, now->total / fresh, (long long)updates, per_second, now->heap, now->toast, now->dead,
           now->toast_dead, now->hot_share, now->vacuums, now->toast_vacuums);
  report_line(text, object);
}

static void churn(bench *self, const char *values) {
  dataset data;
  sizes fresh, now, most = {0};
  int64_t updates = self->big ? 5000000 : 500000, keys = 100000, done = 0;
  int64_t step = STEP;
  double half = 0;                         /* the largest size in the first half */
  if (self->seconds < 0.5 && !self->big) { /* short runs */
    updates = (int64_t)((double)updates * self->seconds);
    step = updates / 2;
  }
  dataset_open_as(&data, self, "churn", (const setting[MOST_SETTINGS]){{"values", values}}, NULL);
  dataset_fill(&data, 1, LARGEST); /* for its bytes; the entry is one of those that are loaded next */
  data.keys = keys;
  report_progress("storing %lld entries of 100 bytes to 20 KiB", (long long)keys);
  write_all(&data, 0);
  usleep(1500000); /* until the backends have published their figures */
  look(&data, &fresh);
  char text[300], object[200];
  /* How long dead rows wait at least: what is written in that time is what the table grows by. */
  double naptime = query_number(self->admin, "SELECT setting FROM pg_settings WHERE name = 'autovacuum_naptime'");
  snprintf(text, sizeof text,
           "growth with autovacuum_naptime = %.0f s, values=%s\n%15s %9s %8s %8s %8s %7s %9s %9s %8s %8s %8s", naptime,
           values, "updates", "per s", "MiB", "heap", "TOAST", "ratio", "dead", "in TOAST", "HOT %", "vacuums",
           "of TOAST");
  snprintf(object, sizeof object,
           "{\"case\":\"churn_begin\",\"value\":%.1f,\"unit\":\"MiB\",\"floor\":null,\"ratio\":null,\"autovacuum_"
           "naptime_s\":%.0f,\"values\":\"%s\"}",
           fresh.total, naptime, values);
  report_line(text, object);
  tell(0, 0, &fresh, fresh.total);
  while (done < updates) {
    int64_t part = updates - done < step ? updates - done : step;
    double seconds = 0;
    for (int i = 1; i <= 10; i++) {
      int64_t some = part * i / 10 - part * (i - 1) / 10;
      report_progress("updates of mixed sizes: %lld of %lld", (long long)done, (long long)updates);
      seconds += write_all(&data, some);
      done += some;
    }
    look(&data, &now);
    most = now.total > most.total ? now : most;
    half = done <= updates / 2 ? most.total : half;
    tell(done, (double)part / seconds, &now, fresh.total);
  }
  report(self, &(measurement){.name = "churn",
                              .threads = MOST_THREADS,
                              .value_bytes = LARGEST,
                              .keys = keys,
                              .value = now.total,
                              .floor = fresh.total,
                              .ratio = now.total / fresh.total,
                              .unit = "MiB"});
  report(self, &(measurement){.name = "churn_most",
                              .threads = MOST_THREADS,
                              .value_bytes = LARGEST,
                              .keys = keys,
                              .value = most.total,
                              .floor = fresh.total,
                              .ratio = most.total / fresh.total,
                              .unit = "MiB"});
  /* A table that has found its size grows no more. Short runs end before the first vacuum. */
  report(self, &(measurement){.name = "churn_late",
                              .threads = MOST_THREADS,
                              .value_bytes = LARGEST,
                              .keys = keys,
                              .value = now.total,
                              .floor = half,
                              .ratio = now.total / half,
                              .unit = "MiB",
                              .target = self->big ? 1.1 : 0,
                              .at_most = true});
  report(self, &(measurement){.name = "churn_hot",
                              .threads = MOST_THREADS,
                              .value_bytes = LARGEST,
                              .keys = keys,
                              .value = now.hot_share,
                              .floor = 100,
                              .ratio = now.hot_share / 100,
                              .unit = "%"});
  dataset_close(&data);
}

void case_churn(bench *self) {
  churn(self, "mixed");
}

void case_churn_inline(bench *self) {
  churn(self, "inline");
}
