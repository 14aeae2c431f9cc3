/*
 * cases_publish.c - what it costs that a process publishes what it measured: the server, for each summary, beside a SELECT 1 on the
 * same connection; and the process, for its snapshot.
 *
 * Owns two handles that publish: one that does a few kinds of calls, and one with as many span names as are told apart. The processor
 * time is that of the backend, which the kernel counts, so that what else is going on does not matter.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WARM_UP = 200 };

/* How long a backend was on a processor, in nanoseconds; 0: the kernel does not tell. */
static double backend_ns(const PGconn *connection) {
  char path[64];
  double ran = 0;
  snprintf(path, sizeof path, "/proc/%d/schedstat", PQbackendPID(connection));
  FILE *file = fopen(path, "r");
  if (file != NULL) {
    if (fscanf(file, "%lf", &ran) != 1) {
      ran = 0;
    }
    fclose(file);
  }
  return ran;
}

/* One of each kind of call for each span name. */
static void use(pgcache *cache, int spans) {
  for (int i = 0; i < 20 * spans; i++) {
    char span[16], key[16];
    size_t key_len = (size_t)snprintf(key, sizeof key, "k%d", i % 50);
    pgcache_options options = PGCACHE_OPTIONS_INIT;
    pgcache_value *value = NULL;
    snprintf(span, sizeof span, "span_%d", i % spans);
    options.span_name = spans > 1 ? span : NULL;
    if (pgcache_put(cache, NULL, key, key_len, key, key_len, PGCACHE_FORMAT_BYTES, PGCACHE_TTL_NEVER, &options, NULL) <
            0 ||
        pgcache_get(cache, &value, key, key_len, &options, NULL) < 0 ||
        pgcache_exists(cache, key, key_len, &options, NULL) < 0 ||
        pgcache_touch(cache, NULL, key, key_len, 60000, &options, NULL) < 0 ||
        pgcache_remove(cache, key, key_len, &options, NULL) < 0) {
      die("publish: a call failed");
    }
    pgcache_value_free(value);
  }
}

/* Nanoseconds on the server for one execution. */
static double cost(PGconn *connection, const char *statement, double seconds, int64_t *count) {
  double before = 0;
  int64_t end = 0;
  *count = -WARM_UP;
  for (; *count < 1 || now_ns() < end; ++*count) {
    if (*count == 0) {
      before = backend_ns(connection);
      end = now_ns() + (int64_t)(seconds * 1e9);
    }
    PQclear(query_or_die(connection, PGRES_TUPLES_OK, "%s", statement));
  }
  return (backend_ns(connection) - before) / (double)*count;
}

static void measure(bench *self, const char *name, int spans) {
  dataset data;
  char statement[1024], line[256], json[256];
  const setting settings[MOST_SETTINGS] = {{"publish_ms", "1000"}};
  dataset_open_as(&data, self, "publish", settings, NULL);
  use(data.cache, spans);
  double bytes = 0;
  for (int i = 0; i < 100 && bytes == 0; i++) { /* of a summary behind the calls */
    usleep(i == 0 ? 2100000 : 100000);
    snprintf(statement, sizeof statement, "SELECT octet_length(bytes) FROM %s.summaries", data.schema);
    bytes = query_number(self->admin, statement);
  }
  pgcache_snapshot *snapshot = NULL;
  int64_t began = now_ns(), count = 0;
  for (; count < 1000; count++) {
    if (pgcache_stats_snapshot(data.cache, &snapshot, NULL) < 0) {
      die("publish: no snapshot");
    }
    pgcache_snapshot_free(snapshot);
  }
  double snapshot_us = (double)(now_ns() - began) / 1e3 / (double)count;
  dataset_disconnect(&data);

  PGconn *connection = connect_or_die(self);
  PQclear(query_or_die(connection, PGRES_TUPLES_OK,
                       "SELECT set_config('test.bytes', encode(bytes, 'hex'), false) FROM %s.summaries", data.schema));
  snprintf(statement, sizeof statement, "PREPARE publish AS SELECT %s.write_summary('of/the/bench', 1000, $1)",
           data.schema);
  PQclear(query_or_die(connection, PGRES_COMMAND_OK, "%s", statement));
  double seconds = self->seconds * self->rounds;
  double floor_ns = cost(connection, "SELECT 1", seconds / 4, &count);
  double ns = cost(connection, "EXECUTE publish(decode(current_setting('test.bytes'), 'hex'))", seconds, &count);
  PQfinish(connection);
  report(self, &(measurement){.name = name,
                              .threads = 0,
                              .value_bytes = (size_t)bytes,
                              .keys = count,
                              .value = ns / 1e3,
                              .floor = floor_ns / 1e3,
                              .ratio = floor_ns > 0 ? ns / floor_ns : 0,
                              .unit = "us"});
  snprintf(
      line, sizeof line,
      "%s: a summary of %d span names has %.0f bytes and takes %.0f us of the server's processor, the snapshot %.0f us",
      name, spans, bytes, ns / 1e3, snapshot_us);
  snprintf(json, sizeof json,
           "{\"case\":\"%s_bytes\",\"value\":%.0f,\"unit\":\"bytes\",\"floor\":null,\"ratio\":null,\"span_names\":%d,"
           "\"server_us\":%.1f,\"snapshot_us\":%.1f}",
           name, bytes, spans, ns / 1e3, snapshot_us);
  report_line(line, json);
  dataset_close(&data);
}

void case_publish(bench *self) {
  measure(self, "publish", 1);
  measure(self, "publish_spans", PGCACHE_SPANS_MAX);
}
