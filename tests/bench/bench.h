/*
 * bench.h - what the parts of the measuring program share.
 *
 * Owns the types only. The program uses the public interface of pgcache for the one side of a comparison and libpq with the
 * library's own statement texts for the other; never an internal function of the library.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGCACHE_BENCH_H
#define PGCACHE_BENCH_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgcache.h"

enum { MOST_THREADS = 8, BATCH = 100, KEY_LEN = 14, MOST_ROUNDS = 25 };
#define TTL_MS 3600000

/* ---- bench.c: the run as a whole ------------------------------------------------------------------------------------ */

typedef struct bench {
  const char *url;
  double seconds; /* of one slice of a comparison */
  int rounds;     /* slices of each side */
  bool big;
  PGconn *admin;
} bench;

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t now_ns(void);
PGconn *connect_or_die(const bench *self);
PGresult *query_or_die(PGconn *connection, ExecStatusType expected, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
double query_number(PGconn *connection, const char *statement);

/* Puts this thread, the threads that it starts, and all backends of the server on one CPU, or back on all. Waking another
   CPU costs more than a round trip, so one client alone is measured on one CPU. False when that is not permitted or the
   server runs on another machine: then the figure is marked as not pinned. */
bool pin_to_one_cpu(bench *self, bool on);

/* ---- report.c --------------------------------------------------------------------------------------------------------- */

typedef struct measurement {
  const char *name;
  int threads; /* 0 where it means nothing */
  size_t value_bytes;
  int64_t keys;
  double value, floor, ratio;
  const char *unit;
  double target; /* 0: none */
  bool at_most;  /* the target is a most, not a least */
  bool pinned;
  int in_flight, connections; /* 0 where they mean nothing */
  double p50_us, p99_us;      /* of a request in flight */
} measurement;

void report_open(const bench *self, const char *path);
void report(const bench *self, const measurement *what);
void report_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What does not fit the table. The object has case, value, unit, floor and ratio, null where they mean nothing. */
void report_line(const char *text, const char *json_object);
#define NO_FIGURE "\"value\":null,\"unit\":null,\"floor\":null,\"ratio\":null"
void report_close(void);

/* ---- data.c: a schema with its entries ---------------------------------------------------------------------------------- */

typedef struct setting {
  const char *name, *value;
} setting;

enum { MOST_SETTINGS = 4 };

typedef struct dataset {
  const bench *of;
  char schema[32];
  setting settings[MOST_SETTINGS]; /* of the handle beyond url and schema; the first without a name ends them */
  const char *user;                /* who it works as after the schema was made; NULL: whom the url names */
  pgcache *cache;
  int64_t keys;
  size_t value_bytes;
  bool text;            /* set before filling: values that compress as JSON does, instead of random bytes */
  unsigned char *value; /* the bytes of every value */
} dataset;

void dataset_open(dataset *self, const bench *of, const char *schema); /* makes the schema anew */
void dataset_open_as(dataset *self, const bench *of, const char *schema, const setting *settings, const char *user);
void dataset_fill(dataset *self, int64_t keys, size_t value_bytes); /* empties it, then stores keys 0 to keys - 1 */
void dataset_disconnect(dataset *self);                             /* so that its backends publish their figures */
/* The same entries, through a handle of its own; settings NULL: those of the other one. */
void dataset_share(dataset *self, const dataset *other, const setting *settings);
void dataset_unshare(dataset *self);
void dataset_close(dataset *self);             /* drops the schema */
double dataset_bytes(const dataset *self);     /* on disk, index and TOAST included */
double dataset_hot_share(const dataset *self); /* of all updates so far, in percent */
void key_of(char key[KEY_LEN + 2], int64_t number);

/* ---- sides.c: the same work through pgcache and through libpq ------------------------------------------------------------ */

/* PUT_UNTOLD: a put that near caches do not hear of, in a bare loop alone. */
typedef enum operation { GET, PUT, GET_MANY, PUT_MANY, PUT_UNTOLD } operation;

typedef struct side side;
side *side_new(dataset *data, operation what, bool raw); /* both sides of a comparison draw the same keys */
void side_free(side *self);

/* Lets that many threads work for the time given. Returns operations a second, keys a second for GET_MANY and PUT_MANY.
   p50_us (may be NULL): the median latency, for one thread. */
double side_run(side *self, int threads, double seconds, double *p50_us);
uint64_t random_next(uint64_t *state);             /* state: never 0 */
void side_updates(dataset *data, int64_t updates); /* that many puts on random keys, by 8 threads */

/* Interleaves the two sides, A B B A A B..., and reports the medians of both and of the ratios of neighbours. */
double median(double *numbers, int count); /* sorts them */
void compare(bench *of, side *a, side *b, int threads, measurement *result);

/* ---- flight.c: requests in flight ----------------------------------------------------------------------------------------- */

typedef struct latency {
  double p50_us, p99_us;
} latency;

typedef struct flight_plan {
  const dataset *data;
  operation what;             /* GET or PUT */
  int callers, in_flight;     /* threads; requests that all of them keep in flight */
  double seconds;             /* how long to count */
  const atomic_bool *stop;    /* NULL, or: goes on until this is true */
  const char *namespace_name; /* NULL: the default */
  bool dispatch;              /* take completions by callbacks, so that nobody else takes them; one caller */
} flight_plan;

double fly(const flight_plan *plan, latency *times); /* operations a second; times may be NULL */
latency latency_of(int64_t *samples, size_t count);  /* of nanoseconds, which it sorts */

/* ---- redis.c ---------------------------------------------------------------------------------------------------------------- */

typedef struct redis redis;

redis *redis_open(const dataset *data, const char **missing); /* with the same entries; NULL: says what is missing */
double redis_run(redis *self, operation what, int callers,
                 double seconds); /* GETs or SETs a second, 32 in a pipeline */
void redis_close(redis *self);    /* NULL is a no-op */

/* ---- The cases ------------------------------------------------------------------------------------------------------------ */

void case_speed(bench *self, operation what); /* cases_speed.c */
void case_growth(bench *self);                /* cases_table.c */
void case_size(bench *self);
void case_profile(bench *self);
void case_churn(bench *self); /* cases_churn.c */
void case_churn_inline(bench *self);
void case_latency(bench *self);   /* cases_latency.c */
void case_settings(bench *self);  /* cases_operations.c */
void case_near(bench *self);      /* cases_near.c */
void case_async_get(bench *self); /* cases_async.c */
void case_async_put(bench *self);
void case_async_lone(bench *self); /* cases_async_ways.c */
void case_async_fair(bench *self);
void case_async_many(bench *self);
void case_coherence(bench *self); /* cases_coherence.c */
void case_load(bench *self);      /* cases_load.c */
void case_herd(bench *self);      /* cases_herd.c */
void case_hooks(bench *self);     /* cases_hooks.c */
void case_publish(bench *self);   /* cases_publish.c */

/* Theirs: requests take less long to be measured, and there are many cases. A handle for each number of connections. */
enum { ASYNC_ROUNDS = 4, ASYNC_KEYS = 100000 };
int async_rounds(const bench *self);
void async_handle(dataset *self, const dataset *of, int connections);

#endif /* PGCACHE_BENCH_H */
