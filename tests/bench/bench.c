/*
 * bench.c - measures the library against bare libpq on the same server in the same run.
 *
 * Owns the options, the choice of cases, and the CPUs. Never touches a schema whose name does not begin with pgcache_bench_.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Noreturn void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("\nbench: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

PGconn *connect_or_die(const bench *self) {
  PGconn *connection = PQconnectdb(self->url);
  if (PQstatus(connection) != CONNECTION_OK) {
    die("cannot connect: %s", PQerrorMessage(connection));
  }
  PQclear(query_or_die(connection, PGRES_COMMAND_OK, "SET client_min_messages = warning"));
  return connection;
}

PGresult *query_or_die(PGconn *connection, ExecStatusType expected, const char *format, ...) {
  char statement[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(statement, sizeof statement, format, arguments);
  va_end(arguments);
  PGresult *answer = PQexec(connection, statement);
  if (PQresultStatus(answer) != expected) {
    die("%s: %s", statement, PQerrorMessage(connection));
  }
  return answer;
}

double query_number(PGconn *connection, const char *statement) {
  PGresult *answer = query_or_die(connection, PGRES_TUPLES_OK, "%s", statement);
  double number = PQntuples(answer) > 0 ? strtod(PQgetvalue(answer, 0, 0), NULL) : 0;
  PQclear(answer);
  return number;
}

/* ---- CPUs ----------------------------------------------------------------------------------------------------------- */

static bool is_postgres(long pid) {
  char path[64], name[16] = "";
  snprintf(path, sizeof path, "/proc/%ld/comm", pid);
  FILE *file = fopen(path, "r");
  bool is = file != NULL && fgets(name, sizeof name, file) != NULL && strcmp(name, "postgres\n") == 0;
  if (file != NULL) {
    fclose(file);
  }
  return is;
}

bool pin_to_one_cpu(bench *self, bool on) {
  static cpu_set_t all;
  static bool known;
  cpu_set_t one;
  if (!known && sched_getaffinity(0, sizeof all, &all) != 0) {
    return false;
  }
  known = true;
  size_t first = 0;
  while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &all)) {
    first++;
  }
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  const cpu_set_t *wanted = on ? &one : &all;
  const char *host = PQhost(self->admin);
  bool done = host != NULL && host[0] == '/' && sched_setaffinity(0, sizeof *wanted, wanted) == 0;
  PGresult *answer = query_or_die(self->admin, PGRES_TUPLES_OK,
                                  "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'");
  for (int i = 0; i < PQntuples(answer); i++) {
    long pid = strtol(PQgetvalue(answer, i, 0), NULL, 10);
    done = done && is_postgres(pid) && sched_setaffinity((pid_t)pid, sizeof *wanted, wanted) == 0;
  }
  PQclear(answer);
  return done;
}

/* ---- The command ---------------------------------------------------------------------------------------------------- */

static void measure_get(bench *self) {
  case_speed(self, GET);
}

static void measure_put(bench *self) {
  case_speed(self, PUT);
}

static void measure_get_many(bench *self) {
  case_speed(self, GET_MANY);
}

static void measure_put_many(bench *self) {
  case_speed(self, PUT_MANY);
}

static const struct {
  const char *name, *group, *what;
  void (*measure)(bench *self);
} cases[] = {
    {"get", "store", "single reads, to the same statement in a bare loop", measure_get},
    {"put", "store", "single writes, likewise", measure_put},
    {"get_many", "store", "reads of 100 keys, likewise", measure_get_many},
    {"put_many", "store", "writes of 100 keys, likewise", measure_put_many},
    {"async_get", "async", "gets in flight, to 8 threads of bare libpq, and to Redis", case_async_get},
    {"async_put", "async", "puts in flight, likewise", case_async_put},
    {"async_lone", "async", "one get at a time, submitted and waited for, to pgcache_get()", case_async_lone},
    {"async_fair", "async", "p99 of gets during a flood of large puts, to without", case_async_fair},
    {"async_many", "async", "reads of 10,000 keys in one request, to pgcache_get_many()", case_async_many},
    {"near", "near", "hits in the near cache, to hits in a bare hash table; of two threads; memory of an entry",
     case_near},
    {"coherence", "coherence", "puts with listening processes, to puts that tell nobody; stale age", case_coherence},
    {"load", "load", "guarded reads, tags, loads, invalidations and watched rows, each to without", case_load},
    {"herd", "load", "64 threads in 4 processes that wait for one load", case_herd},
    {"hooks", "hooks", "near hits and gets that a provider is told of, to those that are counted alone", case_hooks},
    {"publish", "hooks", "what a summary costs the server, to SELECT 1, and the process", case_publish},
    {"growth", "store", "size on disk after 1M updates", case_growth},
    {"size", "store", "reads among 100k and 1M entries, with --big 10M", case_size},
    {"latency", "operations", "p99 of reads during cleanup, to idle", case_latency},
    {"settings", "operations", "writes and reads with each setting that costs something, to plain", case_settings},
    {"churn", "operations", "size on disk under updates of mixed sizes: 500k, with --big 5M", case_churn},
    {"churn_inline", "tuning", "the same with values=inline", case_churn_inline},
    {"profile", "tuning", "values of 2 to 3 KiB kept in the row, to the default", case_profile},
};
enum { CASES = sizeof cases / sizeof *cases };

static void usage(FILE *out) {
  fputs("usage: bench [--url STRING] [--only NAME] [--seconds N] [--rounds N] [--big] [--json FILE]\n"
        "  --url      libpq connection string (default: $PGCACHE_TEST_URL); the schemas pgcache_bench_* are made and "
        "dropped\n"
        "  --only     one group or case (default: all)\n"
        "  --seconds  of each slice (default: 0.5), --rounds: slices of each side (default: 11)\n"
        "  --big      10M entries, too; 5M updates of mixed sizes\n"
        "  --json     each measurement is appended as a line (default: build/bench.jsonl)\n"
        "cases:\n",
        out);
  for (size_t i = 0; i < CASES; i++) {
    fprintf(out, "  %-12s %-10s %s\n", cases[i].name, cases[i].group, cases[i].what);
  }
}

int main(int argc, char **argv) {
  static const struct option options[] = {
      {"url", required_argument, NULL, 'u'},     {"only", required_argument, NULL, 'o'},
      {"seconds", required_argument, NULL, 's'}, {"rounds", required_argument, NULL, 'r'},
      {"big", no_argument, NULL, 'b'},           {"json", required_argument, NULL, 'j'},
      {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
  };
  bench self = {.url = getenv("PGCACHE_TEST_URL"), .seconds = 0.5, .rounds = 11};
  const char *only = "", *json = "build/bench.jsonl";
  bool any = false;
  for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
    switch (option) {
    case 'u':
      self.url = optarg;
      break;
    case 'o':
      only = optarg;
      break;
    case 's':
      self.seconds = strtod(optarg, NULL);
      break;
    case 'r':
      self.rounds = (int)strtol(optarg, NULL, 10);
      break;
    case 'b':
      self.big = true;
      break;
    case 'j':
      json = optarg;
      break;
    case 'h':
      usage(stdout);
      return 0;
    default:
      usage(stderr);
      return 2;
    }
  }
  if (self.url == NULL || !(self.seconds > 0) || self.rounds < 1 || self.rounds > MOST_ROUNDS || optind != argc) {
    usage(stderr);
    return 2;
  }
  self.admin = connect_or_die(&self);
  report_open(&self, json);
  for (size_t i = 0; i < CASES; i++) {
    if (*only == '\0' || strcmp(only, cases[i].name) == 0 || strcmp(only, cases[i].group) == 0) {
      cases[i].measure(&self);
      any = true;
    }
  }
  if (!any) {
    die("there is no case or group \"%s\"; --help lists them", only);
  }
  report_close();
  PQfinish(self.admin);
  return 0;
}
