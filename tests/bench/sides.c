/*
 * sides.c - the same work twice: through pgcache, and in a bare libpq loop with the library's own statement texts.
 *
 * Owns the threads and the requests. The bare loop is the floor: its digests are known and its arrays are encoded before the
 * clock starts, and of an answer it looks at nothing but the number of rows. Never measures while it prepares.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgc_sql.h"
#include "wire.h"

/* 100 different keys, in the order of their digests for the bare loop, in no order for the library. */
typedef struct batch {
  char keys[BATCH][KEY_LEN + 2];
  pgcache_item items[MOST_THREADS][BATCH];
  wire digests, key_array, values, formats, ttls;
} batch;

struct side {
  dataset *data;
  operation what;
  bool raw;
  unsigned char (*digests)[16]; /* by key's number; raw only */
  PGconn *connections[MOST_THREADS];
  int batch_count;
  batch *batches;
};

typedef struct runner {
  pthread_t thread;
  side *of;
  int number;
  uint64_t random;
  double seconds;
  int64_t limit; /* operations, 0: none */
  int64_t operations, elapsed_ns;
  uint32_t *latencies; /* ns; NULL: not wanted */
  size_t latency_count, latency_room;
} runner;

/* put.sql as it was before writes left a row in the change stream. */
static const char put_untold[] =
    "INSERT INTO :\"schema\".entries AS e (digest, version, expires_at, fresh_until, accessed_at, asof, format, flags, "
    "load_ms,\n"
    "                               namespace, key, snapshot, dependencies, value)\n"
    "SELECT $1::uuid, m.epoch::bigint << 47 | nextval(:'version_seq'), t.expires, t.expires, t.now, "
    "pg_snapshot_xmin(t.snap),\n"
    "       $5::int, $7::int, 0, $2::text, $3::bytea,\n"
    "       CASE WHEN pg_current_xact_id_if_assigned() IS NULL AND pg_snapshot_xmin(t.snap) <> "
    "pg_snapshot_xmax(t.snap)\n"
    "            AND pg_column_size(t.snap) <= 24 + 8 * 64 THEN t.snap END,\n"
    "       ARRAY[$1::uuid], $4::bytea\n"
    "  FROM :\"schema\".marker m,\n"
    "       (SELECT clock_timestamp() AS now, pg_current_snapshot() AS snap,\n"
    "               coalesce(clock_timestamp() + $6::bigint * interval '1 millisecond', 'infinity') AS expires) t\n"
    "ON CONFLICT (digest) DO UPDATE\n"
    "   SET version = EXCLUDED.version >> 47 << 47 | nextval(:'version_seq'),\n"
    "       expires_at = EXCLUDED.expires_at, fresh_until = EXCLUDED.fresh_until, accessed_at = EXCLUDED.accessed_at,\n"
    "       asof = EXCLUDED.asof, format = EXCLUDED.format, flags = EXCLUDED.flags, load_ms = EXCLUDED.load_ms,\n"
    "       namespace = EXCLUDED.namespace, key = EXCLUDED.key, snapshot = EXCLUDED.snapshot,\n"
    "       dependencies = EXCLUDED.dependencies, value = EXCLUDED.value\n"
    "RETURNING e.version\n";

uint64_t random_next(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(0x2545F4914F6CDD1D);
}

/* ---- One request ---------------------------------------------------------------------------------------------------- */

static void check(pgcache_status status, const pgcache_error *error) {
  if (status != PGCACHE_OK) {
    die("%s: %s", pgcache_status_name(status), status < 0 ? error->message : "an entry is missing");
  }
}

static void library_one(side *self, int64_t number) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  char key[KEY_LEN + 2];
  key_of(key, number);
  if (self->what == GET) {
    pgcache_value *value = NULL;
    check(pgcache_get(self->data->cache, &value, key, KEY_LEN, NULL, &error), &error);
    pgcache_value_free(value);
  } else {
    check(pgcache_put(self->data->cache, NULL, key, KEY_LEN, self->data->value, self->data->value_bytes,
                      PGCACHE_FORMAT_BYTES, TTL_MS, NULL, &error),
          &error);
  }
}

static void library_many(side *self, int thread, batch *keys) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_item *items = keys->items[thread];
  if (self->what == PUT_MANY) {
    check(pgcache_put_many(self->data->cache, items, BATCH, NULL, &error), &error);
    return;
  }
  check(pgcache_get_many(self->data->cache, items, BATCH, NULL, &error), &error);
  for (int i = 0; i < BATCH; i++) {
    check(items[i].status, &error);
    pgcache_value_free(items[i].result);
    items[i].result = NULL;
  }
}

static void raw_execute(PGconn *connection, const char *name, int count, const char *const *values, const int *lengths,
                        int rows) {
  static const int formats[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  PGresult *answer = PQexecPrepared(connection, name, count, values, lengths, formats, 1);
  if (PQresultStatus(answer) != PGRES_TUPLES_OK || PQntuples(answer) != rows) {
    die("%s: %s", name, PQresultStatus(answer) == PGRES_TUPLES_OK ? "an entry is missing" : PQerrorMessage(connection));
  }
  PQclear(answer);
}

static void raw_one(side *self, PGconn *connection, int64_t number) {
  const char *digest = (const char *)self->digests[number];
  if (self->what == GET) {
    raw_execute(connection, "get", 1, &digest, (const int[]){16}, 1);
    return;
  }
  char key[KEY_LEN + 2], format[4] = {0}, flags[4] = {0}, ttl[8];
  key_of(key, number);
  wire_int8(ttl, TTL_MS);
  const char *values[8] = {digest, "default", key, (const char *)self->data->value, format, ttl, flags, NULL};
  raw_execute(connection, self->what == PUT ? "put" : "put_untold", self->what == PUT ? 8 : 7, values,
              (const int[]){16, 7, KEY_LEN, (int)self->data->value_bytes, 4, 8, 4, 0}, 1);
}

static void raw_many(side *self, PGconn *connection, const batch *keys) {
  if (self->what == GET_MANY) {
    raw_execute(connection, "get_many", 1, (const char *const[]){keys->digests.bytes},
                (const int[]){(int)keys->digests.length}, BATCH);
    return;
  }
  const wire *flags = &keys->formats; /* as many zeros */
  const char *values[8] = {keys->digests.bytes, "default",        keys->key_array.bytes, keys->values.bytes,
                           keys->formats.bytes, keys->ttls.bytes, flags->bytes,          NULL};
  const int lengths[8] = {(int)keys->digests.length,   7,
                          (int)keys->key_array.length, (int)keys->values.length,
                          (int)keys->formats.length,   (int)keys->ttls.length,
                          (int)flags->length};
  raw_execute(connection, "put_many", 8, values, lengths, BATCH);
}

static void work_once(side *self, runner *by) {
  uint64_t random = random_next(&by->random) >> 20;
  if (self->what != GET_MANY && self->what != PUT_MANY) {
    int64_t number = (int64_t)(random % (uint64_t)self->data->keys);
    if (self->raw) {
      raw_one(self, self->connections[by->number], number);
    } else {
      library_one(self, number);
    }
  } else {
    batch *keys = &self->batches[random % (uint64_t)self->batch_count];
    if (self->raw) {
      raw_many(self, self->connections[by->number], keys);
    } else {
      library_many(self, by->number, keys);
    }
  }
}

/* ---- A slice -------------------------------------------------------------------------------------------------------- */

static void *work(void *argument) {
  runner *self = argument;
  int64_t began = now_ns(), end = began + (int64_t)(self->seconds * 1e9), before = began, now = began;
  while (self->limit > 0 ? self->operations < self->limit : now < end) {
    work_once(self->of, self);
    self->operations++;
    now = now_ns();
    if (self->latency_count < self->latency_room) {
      self->latencies[self->latency_count++] = (uint32_t)(now - before);
    }
    before = now;
  }
  self->elapsed_ns = now - began;
  return NULL;
}

static int by_size(const void *a, const void *b) {
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return (left > right) - (left < right);
}

static double run(side *self, int threads, double seconds, int64_t limit, double *p50_us) {
  static uint64_t seed = 1;
  runner runners[MOST_THREADS];
  double rate = 0;
  for (int i = 0; i < threads; i++) {
    runner *by = &runners[i];
    memset(by, 0, sizeof *by);
    by->of = self;
    by->number = i;
    by->random = UINT64_C(0x9E3779B97F4A7C15) * ++seed;
    by->seconds = seconds;
    by->limit = limit;
    if (p50_us != NULL) {
      by->latency_room = 1 << 20;
      by->latencies = malloc(by->latency_room * sizeof *by->latencies);
    }
  }
  if (threads == 1) {
    work(&runners[0]);
  }
  for (int i = 0; i < threads && threads > 1; i++) {
    if (pthread_create(&runners[i].thread, NULL, work, &runners[i]) != 0) {
      die("cannot start a thread");
    }
  }
  for (int i = 0; i < threads; i++) {
    runner *by = &runners[i];
    if (threads > 1) {
      pthread_join(by->thread, NULL);
    }
    rate += (double)by->operations * 1e9 / (double)by->elapsed_ns;
    if (p50_us != NULL && by->latency_count > 0) {
      qsort(by->latencies, by->latency_count, sizeof *by->latencies, by_size);
      *p50_us = (double)by->latencies[by->latency_count / 2] / 1000;
    }
    free(by->latencies);
  }
  return self->what == GET_MANY || self->what == PUT_MANY ? rate * BATCH : rate;
}

double side_run(side *self, int threads, double seconds, double *p50_us) {
  return run(self, threads, seconds, 0, p50_us);
}

void side_updates(dataset *data, int64_t updates) {
  side *self = side_new(data, PUT, false);
  enum { STEPS = 20 };
  for (int step = 0; step < STEPS; step++) {
    report_progress("%lld updates of values of %zu bytes: %d %%", (long long)updates, data->value_bytes,
                    100 * step / STEPS);
    run(self, MOST_THREADS, 0, updates / STEPS / MOST_THREADS, NULL);
  }
  side_free(self);
}

/* ---- Preparing ------------------------------------------------------------------------------------------------------ */

static PGconn *raw_connect(const dataset *data) {
  static const struct {
    const char *name, *text;
  } statements[] = {{"get", pgc_sql_statements_get},
                    {"put", pgc_sql_statements_put},
                    {"put_untold", put_untold},
                    {"get_many", pgc_sql_statements_get_many},
                    {"put_many", pgc_sql_statements_put_many}};
  PGconn *connection = connect_or_die(data->of);
  /* The planner's settings of the library's connections, so that both sides run the same plans. */
  PQclear(query_or_die(connection, PGRES_COMMAND_OK,
                       "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off"));
  for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
    char *text = wire_statement(statements[i].text, data->schema);
    PGresult *answer = PQprepare(connection, statements[i].name, text, 0, NULL);
    if (PQresultStatus(answer) != PGRES_COMMAND_OK) {
      die("%s: %s", statements[i].name, PQerrorMessage(connection));
    }
    PQclear(answer);
    free(text);
  }
  return connection;
}

static void read_digests(side *self) {
  PGresult *answer = query_or_die(self->data->of->admin, PGRES_TUPLES_OK,
                                  "SELECT uuid_send(%s.digest('bench:' || lpad(n::text, 8, '0'))) FROM "
                                  "generate_series(0, %lld) AS n ORDER BY n",
                                  self->data->schema, (long long)self->data->keys - 1);
  self->digests = calloc((size_t)self->data->keys, sizeof *self->digests);
  for (int i = 0; i < PQntuples(answer); i++) {
    size_t length;
    unsigned char *bytes = PQunescapeBytea((const unsigned char *)PQgetvalue(answer, i, 0), &length);
    if (bytes == NULL || self->digests == NULL || length != 16) {
      die("cannot read the digests");
    }
    memcpy(self->digests[i], bytes, 16);
    PQfreemem(bytes);
  }
  PQclear(answer);
}

static unsigned char (*sorting)[16]; /* qsort() has no context */

static int by_digest(const void *a, const void *b) {
  return memcmp(sorting[*(const int64_t *)a], sorting[*(const int64_t *)b], 16);
}

static void fill_batch(side *self, batch *out, uint64_t *random) {
  const dataset *data = self->data;
  int64_t numbers[BATCH];
  for (int i = 0; i < BATCH; i++) { /* different keys: a batch of duplicates would be less work for the library */
    bool again;
    do {
      numbers[i] = (int64_t)((random_next(random) >> 20) % (uint64_t)data->keys);
      again = false;
      for (int j = 0; j < i; j++) {
        again = again || numbers[j] == numbers[i];
      }
    } while (again);
  }
  if (self->raw) {
    sorting = self->digests;
    qsort(numbers, BATCH, sizeof *numbers, by_digest);
    wire_begin(&out->digests, 2950, BATCH);
    wire_begin(&out->key_array, 17, BATCH);
    wire_begin(&out->values, 17, BATCH);
    wire_begin(&out->formats, 23, BATCH);
    wire_begin(&out->ttls, 20, BATCH);
  }
  for (int i = 0; i < BATCH; i++) {
    key_of(out->keys[i], numbers[i]);
    if (self->raw) {
      char format[4] = {0}, ttl[8];
      wire_int8(ttl, TTL_MS);
      wire_add(&out->digests, self->digests[numbers[i]], 16);
      wire_add(&out->key_array, out->keys[i], KEY_LEN);
      if (self->what == PUT_MANY) {
        wire_add(&out->values, data->value, data->value_bytes);
      }
      wire_add(&out->formats, format, sizeof format);
      wire_add(&out->ttls, ttl, sizeof ttl);
      continue;
    }
    for (int thread = 0; thread < MOST_THREADS; thread++) {
      pgcache_item *item = &out->items[thread][i];
      *item = (pgcache_item)PGCACHE_ITEM_INIT;
      item->key = out->keys[i];
      item->key_len = KEY_LEN;
      item->value = data->value;
      item->value_len = data->value_bytes;
      item->ttl_ms = TTL_MS;
    }
  }
}

side *side_new(dataset *data, operation what, bool raw) {
  side *self = calloc(1, sizeof *self);
  if (self == NULL) {
    die("out of memory");
  }
  self->data = data;
  self->what = what;
  self->raw = raw;
  if (raw) {
    read_digests(self);
    for (int i = 0; i < MOST_THREADS; i++) {
      self->connections[i] = raw_connect(data);
    }
  }
  if (what == GET_MANY || what == PUT_MANY) {
    uint64_t random = 4711;
    self->batch_count = data->value_bytes > 20000 ? 8 : 64; /* 100 values of 100 KiB are 10 MB */
    self->batches = calloc((size_t)self->batch_count, sizeof *self->batches);
    for (int i = 0; i < self->batch_count && self->batches != NULL; i++) {
      fill_batch(self, &self->batches[i], &random);
    }
  }
  return self;
}

void side_free(side *self) {
  for (int i = 0; i < MOST_THREADS; i++) {
    PQfinish(self->connections[i]);
  }
  for (int i = 0; i < self->batch_count; i++) {
    batch *one = &self->batches[i];
    wire *all[] = {&one->digests, &one->key_array, &one->values, &one->formats, &one->ttls};
    for (size_t j = 0; j < sizeof all / sizeof *all; j++) {
      free(all[j]->bytes);
    }
  }
  free(self->batches);
  free(self->digests);
  free(self);
}
