/*
 * order_count.c - the order-count application: how many orders are there, and how many has one customer? Many readers ask,
 * some writers add orders, and every answer is checked. Five ways to have the counts, one after the other:
 *
 *   no cache         each is counted in the database
 *   TTL only         from the cache, where each lives for a second
 *   remove, commit   the writer removes the counts that it is about to change, and commits: the usual mistake
 *   watch + loads    the application tells the database once what its counts depend on, and reads through guarded loads; there
 *                    is no code to invalidate anything, and no answer is ever older than the last commit
 *   the same, near   with copies in the process's own memory, which may be behind for as long as near_staleness_ms says
 *
 * The last two are count_guarded(), and nothing else but start_watching(). Owns nothing: the database is in
 * order_count_setup.h, the load and the check of the answers in order_count_load.h, the figures in order_count_report.h.
 * Never leaves its schema behind, also after Ctrl-C.
 *
 * SPDX-License-Identifier: MIT
 */
#include <getopt.h>

#include "order_count_setup.h"

static volatile sig_atomic_t interrupted;

/* ---- The application ---------------------------------------------------------------------------------------------- */

/* The cache failing is no reason for the application to fail: it is counted, and the first message is shown at the end. */
static void note_cache_error(worker *self, const pgcache_error *error) {
  self->found.cache_errors++;
  pthread_mutex_lock(&app.lock);
  if (app.cache_error[0] == '\0') {
    snprintf(app.cache_error, sizeof app.cache_error, "%s: %.400s", pgcache_status_name(error->status), error->message);
  }
  pthread_mutex_unlock(&app.lock);
}

static bool count_in_database(worker *self, int customer, int64_t *count) {
  char id[16];
  const char *parameters[1] = {id};
  snprintf(id, sizeof id, "%d", customer);
  PGresult *answer = customer == 0 ? PQexecPrepared(self->connection, "count_all", 0, NULL, NULL, NULL, 0)
                                   : PQexecPrepared(self->connection, "count_customer", 1, parameters, NULL, NULL, 0);
  bool done = PQresultStatus(answer) == PGRES_TUPLES_OK;
  if (done) {
    *count = strtoll(PQgetvalue(answer, 0, 0), NULL, 10);
    self->found.counted++;
  } else {
    fail("counting orders", PQerrorMessage(self->connection));
  }
  PQclear(answer);
  return done;
}

/* Once, by whoever makes the table: every statement that changes orders ends, at its commit, what depends on these tags. */
static bool start_watching(PGconn *database) {
  return run_only(database, "SELECT %c.watch('%s.orders', ARRAY['orders', 'customer:<customerid>'])");
}

/* From the cache; what is not there is loaded, by one of those who ask for it, and the others wait for that one. */
static bool count_guarded(worker *self, int customer, int64_t *count) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  pgcache_load_options how = PGCACHE_LOAD_OPTIONS_INIT;
  pgcache_dependency dependency = PGCACHE_DEPENDENCY_INIT;
  pgcache_value *value = NULL;
  pgcache_load *lease = NULL;
  char key[32], tag[32] = "orders", text[24];
  size_t key_len = key_of(key, customer);

  how.ttl_ms = PGCACHE_TTL_NEVER; /* it lives until somebody changes the orders */
  if (pgcache_load_begin(app.cache, &value, &lease, key, key_len, &how, NULL, &error) < 0) {
    note_cache_error(self, &error);
  }
  if (value != NULL) {
    *count = strtoll(pgcache_value_data(value), NULL, 10); /* a NUL byte follows the value's bytes */
    pgcache_value_free(value);
    self->found.hits++;
    return true;
  }
  bool done = count_in_database(self, customer, count);
  if (done && lease != NULL) {
    int length = snprintf(text, sizeof text, "%" PRId64, *count);
    if (customer != 0) {
      snprintf(tag, sizeof tag, "customer:%d", customer);
    }
    dependency.name = tag;
    dependency.name_len = strlen(tag);
    options.dependencies = &dependency;
    options.dependency_count = 1;
    /* Refused if an order was added meanwhile; the count is good enough for this answer all the same. */
    if (pgcache_load_fill(lease, NULL, text, (size_t)length, PGCACHE_FORMAT_JSON, &options, &error) < 0) {
      note_cache_error(self, &error);
    }
  }
  pgcache_load_free(lease);
  return done;
}

/* From the cache, else counted and put there: what every program with a cache does. */
static bool count_plainly(worker *self, int customer, int64_t ttl_ms, int64_t *count) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *value = NULL;
  char key[32], text[24];
  size_t key_len = key_of(key, customer);

  pgcache_status status = pgcache_get(app.cache, &value, key, key_len, NULL, &error);
  if (status == PGCACHE_OK) {
    *count = strtoll(pgcache_value_data(value), NULL, 10);
    pgcache_value_free(value);
    self->found.hits++;
    return true;
  }
  if (status < 0) {
    note_cache_error(self, &error);
  }
  if (!count_in_database(self, customer, count)) {
    return false;
  }
  int length = snprintf(text, sizeof text, "%" PRId64, *count);
  if (pgcache_put(app.cache, NULL, key, key_len, text, (size_t)length, PGCACHE_FORMAT_JSON, ttl_ms, NULL, &error) < 0) {
    note_cache_error(self, &error);
  }
  return true;
}

/* The number of a customer's orders, or of all orders for customer 0. */
static bool count_orders(worker *self, int customer, int64_t *count) {
  switch (app.way) {
  case TTL_ONLY:
    return count_plainly(self, customer, 1000, count);
  case REMOVE_FIRST:
    return count_plainly(self, customer, PGCACHE_TTL_DEFAULT, count);
  case WATCHED:
  case WATCHED_NEAR:
    return count_guarded(self, customer, count);
  default:
    return count_in_database(self, customer, count);
  }
}

/* Removes the two counts that an order of the customer changes. */
static void remove_counts(worker *self, int customer) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_item items[2] = {PGCACHE_ITEM_INIT, PGCACHE_ITEM_INIT};
  char keys[2][32];
  for (int i = 0; i < 2; i++) {
    items[i].key = keys[i];
    items[i].key_len = key_of(keys[i], i == 0 ? 0 : customer);
  }
  if (pgcache_remove_many(app.cache, items, 2, NULL, &error) < 0) {
    note_cache_error(self, &error);
  }
}

static bool execute(worker *self, const char *statement, int count, const char *const *parameters) {
  PGresult *answer = count == 0 ? PQexec(self->connection, statement)
                                : PQexecPrepared(self->connection, statement, count, parameters, NULL, NULL, 0);
  bool done = PQresultStatus(answer) == PGRES_COMMAND_OK;
  PQclear(answer);
  if (!done) {
    fail("adding an order", PQerrorMessage(self->connection));
  }
  return done;
}

/* Adds an order of a customer. */
static bool add_order(worker *self, int customer) {
  char id[16];
  const char *parameters[1] = {id};
  snprintf(id, sizeof id, "%d", customer);

  load_begun(self, customer);
  if (app.way != REMOVE_FIRST) {
    if (!execute(self, "add", 1, parameters)) {
      return false;
    }
  } else {
    if (!execute(self, "BEGIN", 0, NULL) || !execute(self, "add", 1, parameters)) {
      return false;
    }
    remove_counts(
        self, customer); /* from here to the commit a reader finds nothing, counts without the order, and puts that */
    if (!execute(self, "COMMIT", 0, NULL)) {
      return false;
    }
  }
  load_committed(self, customer);
  return true;
}

/* ---- The run ------------------------------------------------------------------------------------------------------ */

/* Begins with an empty cache. */
static bool run_part(PGconn *database, worker *workers, const paint *colours, result *found, int64_t *truth) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  app.cache = app.way == WATCHED_NEAR ? app.near : app.store;
  app.load.bound_ns = app.way == WATCHED_NEAR ? app.bound_ns : 0;
  if (pgcache_flush(app.store, NULL, PGCACHE_FLUSH_ALL, NULL, &error) < 0) {
    fail("emptying the cache", error.message);
    return false;
  }
  if (app.way == WATCHED && !start_watching(database)) {
    return false;
  }
  if (!run_load(&app.load, workers, &interrupted, colours, way_names[app.way], found)) {
    fail(way_names[app.way], "a thread could not be started");
  }
  return check_quiet(database, found, truth);
}

static void judge(const result *results) {
  const result *watched = &results[WATCHED], *near = &results[WATCHED_NEAR];
  int64_t impossible = results[NO_CACHE].stale;
  for (int way = 0; way < WAYS; way++) {
    impossible += results[way].impossible;
  }
  if (impossible > 0) {
    fail("checking", "an answer was impossible, see above");
  }
  if (watched->stale + watched->left_wrong + near->stale + near->left_wrong > 0) {
    fail("checking", "a guarded answer was stale, see above: this must not happen");
  }
}

static void run_all(PGconn *database, const paint *colours) {
  static worker workers[MOST_THREADS];
  static result results[WAYS];
  static int64_t truth[CUSTOMERS + 1];
  int count = app.load.readers + app.load.writers;
  bool made = false, ready = set_up(database, &made, truth);

  for (int i = 0; i < count && ready; i++) {
    workers[i].connection = connect_database();
    ready = workers[i].connection != NULL && prepare(workers[i].connection);
  }
  if (ready) {
    printf("%d readers and %d writers (%d orders a second) on a table of %s orders.\n", app.load.readers,
           app.load.writers, app.load.adds_per_second, grouped(ORDERS));
  }
  for (int way = 0; way < WAYS && ready && !interrupted; way++) {
    app.way = way;
    ready = run_part(database, workers, colours, &results[way], truth);
  }
  if (interrupted) {
    printf("Stopped by a signal; this is what there is.\n");
  }
  if (result_requests(&results[NO_CACHE]) > 0) {
    show_table(colours, results);
    show_histogram(colours, results);
    show_correctness(colours, results);
  }
  judge(results);
  for (int i = 0; i < count; i++) {
    PQfinish(workers[i].connection);
  }
  if (made) {
    drop_all(database);
  }
}

/* ---- The command -------------------------------------------------------------------------------------------------- */

static void on_signal(int number) {
  interrupted = number;
}

static void usage(FILE *out) {
  fputs("usage: order_count [options]\n"
        "  --url STRING      libpq connection string or URI (default: $PGCACHE_URL, $DATABASE_URL)\n"
        "  --schema NAME     schema to make, use and drop; and NAME_cache (default: order_count)\n"
        "  --seconds N       length of each of the five parts (default: 7)\n"
        "  --short           the same as --seconds 1\n"
        "  --readers N       threads that ask (default: 16)\n"
        "  --writers N       threads that add orders (default: 2)\n"
        "  --adds N          orders a second, all writers together (default: 50)\n",
        out);
}

static int number_option(const char *name, const char *text, int most) {
  char *end;
  long number = strtol(text, &end, 10);
  if (end == text || *end != '\0' || number < 1 || number > most) {
    fprintf(stderr, "order_count: --%s takes a number from 1 to %d\n", name, most);
    exit(2);
  }
  return (int)number;
}

static void parse_options(int argc, char **argv) {
  static const struct option options[] = {
      {"url", required_argument, NULL, 'u'},
      {"schema", required_argument, NULL, 's'},
      {"seconds", required_argument, NULL, 't'},
      {"short", no_argument, NULL, 'S'},
      {"readers", required_argument, NULL, 'r'},
      {"writers", required_argument, NULL, 'w'},
      {"adds", required_argument, NULL, 'a'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0},
  };
  for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
    switch (option) {
    case 'u':
      app.url = optarg;
      break;
    case 's':
      app.schema = optarg;
      break;
    case 't':
      app.load.seconds = number_option("seconds", optarg, 3600);
      break;
    case 'S':
      app.load.seconds = 1;
      break;
    case 'r':
      app.load.readers = number_option("readers", optarg, MOST_THREADS / 2);
      break;
    case 'w':
      app.load.writers = number_option("writers", optarg, MOST_THREADS / 2);
      break;
    case 'a':
      app.load.adds_per_second = number_option("adds", optarg, 1000000);
      break;
    case 'h':
      usage(stdout);
      exit(0);
    default:
      usage(stderr);
      exit(2);
    }
  }
}

int main(int argc, char **argv) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  paint colours = paint_for(STDOUT_FILENO);
  struct sigaction action = {.sa_handler = on_signal};
  char pool[16];

  app.load.readers = 16, app.load.writers = 2, app.load.adds_per_second = 50, app.load.seconds = 7;
  parse_options(argc, argv);
  load_init(&app.load);
  app.load.read = count_orders;
  app.load.add = add_order;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGHUP, &action, NULL);

  snprintf(app.cache_schema, sizeof app.cache_schema, "%.56s_cache", app.schema);
  snprintf(pool, sizeof pool, "%d", app.load.readers + app.load.writers);
  if (pgcache_config_new(&config, &error) < 0 || pgcache_config_load_environment(config, &error) < 0 ||
      (app.url != NULL && pgcache_config_set(config, "url", app.url, &error) < 0) ||
      pgcache_config_set(config, "schema", app.cache_schema, &error) < 0 ||
      pgcache_config_set(config, "pool_max", pool, &error) < 0 || pgcache_new(&app.near, config, &error) < 0 ||
      pgcache_config_set(config, "near_max_bytes", "0", &error) < 0 || pgcache_new(&app.store, config, &error) < 0) {
    fail("the cache", error.message);
  } else {
    app.url = pgcache_config_get(config, "url");
    app.bound_ns = strtoll(pgcache_config_get(config, "near_staleness_ms"), NULL, 10) * 1000000;
    if (strncmp(app.url, "null:", 5) == 0 || strncmp(app.url, "local:", 6) == 0) {
      fail("the address",
           "the orders need a libpq connection string; `pgcache local url` prints that of a local server");
    }
    PGconn *database = app.failed ? NULL : connect_database();
    if (database != NULL) {
      run_all(database, &colours);
      PQfinish(database);
    }
  }
  pgcache_free(app.near);
  pgcache_free(app.store);
  pgcache_config_free(config);
  if (app.cache_error[0] != '\0') {
    fprintf(stderr, "order_count: the cache failed: %s\n", app.cache_error);
  }
  if (app.failed) {
    fprintf(stderr, "order_count: %s\n", app.first_error);
    return 1;
  }
  return interrupted ? 128 + interrupted : 0;
}
