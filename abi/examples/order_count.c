/*
 * order_count.c - the order-count application: how many orders are there, and how many has one customer? Many readers ask,
 * some writers add orders; first without the cache, then with it, and every answer is checked.
 *
 * Owns a schema that it makes, with the table `orders` and the cache in it, and drops it at the end, also after Ctrl-C.
 * Never touches anything else in the database: a schema that is already there is refused.
 *
 * The cache is used in count_orders() and add_order(). The load and its check are in order_count_load.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pgcache.h>

#include <libpq-fe.h>

#include <getopt.h>
#include <inttypes.h>

#include "order_count_load.h"

enum { ORDERS = 12000 };

typedef struct application {
  const char *url, *schema;
  pgcache *cache;
  bool use_cache;
  load load;
  _Atomic bool failed;
  pthread_mutex_t lock; /* of the two messages */
  char first_error[512], cache_error[512];
} application;

static application app = {.schema = "order_count", .lock = PTHREAD_MUTEX_INITIALIZER};
static volatile sig_atomic_t interrupted;

/* ---- The application ---------------------------------------------------------------------------------------------- */

static void fail(const char *what, const char *message) {
  pthread_mutex_lock(&app.lock);
  if (!atomic_exchange(&app.failed, true)) {
    snprintf(app.first_error, sizeof app.first_error, "%s: %.*s", what, (int)strcspn(message, "\n"), message);
  }
  pthread_mutex_unlock(&app.lock);
  atomic_store(&app.load.stop, true);
}

/* The cache failing is no reason for the application to fail: it is counted, and the first message is shown at the end. */
static void note_cache_error(worker *self, const pgcache_error *error) {
  self->found.cache_errors++;
  pthread_mutex_lock(&app.lock);
  if (app.cache_error[0] == '\0') {
    snprintf(app.cache_error, sizeof app.cache_error, "%s: %.400s", pgcache_status_name(error->status), error->message);
  }
  pthread_mutex_unlock(&app.lock);
}

static size_t key_of(char key[32], int customer) {
  int length = customer == 0 ? snprintf(key, 32, "orders") : snprintf(key, 32, "orders:customer:%d", customer);
  return (size_t)length;
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

/* The number of a customer's orders, or of all orders for customer 0: from the cache, else counted and put there. */
static bool count_orders(worker *self, int customer, int64_t *count) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *value = NULL;
  char key[32], text[24];
  size_t key_len = key_of(key, customer);

  if (!app.use_cache) {
    return count_in_database(self, customer, count);
  }
  pgcache_status status = pgcache_get(app.cache, &value, key, key_len, NULL, &error);
  if (status == PGCACHE_OK) {
    *count = strtoll(pgcache_value_data(value), NULL, 10); /* a NUL byte follows the value's bytes */
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
  if (pgcache_put(app.cache, NULL, key, key_len, text, (size_t)length, PGCACHE_FORMAT_JSON, PGCACHE_TTL_DEFAULT, NULL,
                  &error) < 0) {
    note_cache_error(self, &error);
  }
  return true;
}

/* Adds an order of a customer, then removes the two counts that it changes from the cache. */
static bool add_order(worker *self, int customer) {
  char id[16], keys[2][32];
  const char *parameters[1] = {id};
  snprintf(id, sizeof id, "%d", customer);

  load_step(self, customer, begun);
  PGresult *answer = PQexecPrepared(self->connection, "add", 1, parameters, NULL, NULL, 0);
  bool done = PQresultStatus(answer) == PGRES_COMMAND_OK;
  PQclear(answer);
  if (!done) {
    fail("adding an order", PQerrorMessage(self->connection));
    return false;
  }
  load_step(self, customer, committed);
  self->found.added++;

  if (app.use_cache) {
    pgcache_error error = PGCACHE_ERROR_INIT;
    pgcache_item items[2] = {PGCACHE_ITEM_INIT, PGCACHE_ITEM_INIT};
    for (int i = 0; i < 2; i++) {
      items[i].key = keys[i];
      items[i].key_len = key_of(keys[i], i == 0 ? 0 : customer);
    }
    if (pgcache_remove_many(app.cache, items, 2, NULL, &error) < 0) {
      note_cache_error(self, &error);
    }
  }
  load_step(self, customer, finished);
  return true;
}

/* ---- The database ------------------------------------------------------------------------------------------------- */

/* Runs a statement in which each `%s` stands for the schema's name; the setting `schema` takes only names that need no
   quotes. */
static PGresult *run(PGconn *database, const char *statement) {
  char text[1024], *out = text;
  for (const char *in = statement; *in != '\0' && out < text + sizeof text - strlen(app.schema) - 1;) {
    if (in[0] == '%' && in[1] == 's') {
      out = stpcpy(out, app.schema);
      in += 2;
    } else {
      *out++ = *in++;
    }
  }
  *out = '\0';
  PGresult *answer = PQexec(database, text);
  ExecStatusType status = PQresultStatus(answer);
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    fail("setting up the orders", PQerrorMessage(database));
    PQclear(answer);
    return NULL;
  }
  return answer;
}

static bool run_only(PGconn *database, const char *statement) {
  PGresult *answer = run(database, statement);
  PQclear(answer);
  return answer != NULL;
}

static bool prepare(PGconn *database) {
  return run_only(database, "PREPARE count_all AS SELECT count(*) FROM %s.orders") &&
         run_only(database,
                  "PREPARE count_customer (integer) AS SELECT count(*) FROM %s.orders WHERE customerid = $1") &&
         run_only(database, "PREPARE add (integer) AS INSERT INTO %s.orders (orderdate, customerid, netamount, tax, "
                            "totalamount) VALUES (current_date, $1, 100.00, 8.25, 108.25)");
}

static PGconn *connect_database(void) {
  PGconn *database = PQconnectdb(app.url); /* pgcache_new() has accepted it, so no parse error can repeat a password */
  if (PQstatus(database) != CONNECTION_OK) {
    fail("connecting", PQerrorMessage(database));
    PQfinish(database);
    return NULL;
  }
  return database;
}

/* The orders are the same in every run: amounts, dates and customers follow from the order's number. */
static const char *const table_statements[] = {
    "CREATE TABLE %s.orders (orderid integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, orderdate date NOT NULL, "
    "customerid integer NOT NULL, netamount numeric(12,2) NOT NULL, tax numeric(12,2) NOT NULL, "
    "totalamount numeric(12,2) NOT NULL)",
    "INSERT INTO %s.orders (orderdate, customerid, netamount, tax, totalamount) "
    "SELECT date '2009-01-01' + n % 365, 1 + (n::bigint * n * 7919 + n * 104729) % 20000, net, round(net * 0.0825, 2), "
    "net + round(net * 0.0825, 2) FROM generate_series(1, 12000) AS n, "
    "LATERAL (SELECT (1 + n::bigint * 7919 % 40000) / 100.0 AS net) AS amount ORDER BY n",
    "CREATE INDEX ix_order_custid ON %s.orders (customerid)",
    "VACUUM (ANALYZE) %s.orders",
};

/* Reads how many orders each customer has: into the tallies' start at first, to be compared with them later. */
static bool read_truth(PGconn *database, int64_t *truth) {
  PGresult *answer = run(database, "SELECT customerid, count(*) FROM %s.orders GROUP BY customerid");
  if (answer == NULL) {
    return false;
  }
  memset(truth, 0, sizeof *truth * (CUSTOMERS + 1));
  for (int i = 0; i < PQntuples(answer); i++) {
    long customer = strtol(PQgetvalue(answer, i, 0), NULL, 10);
    truth[customer] = strtoll(PQgetvalue(answer, i, 1), NULL, 10);
    truth[0] += truth[customer];
  }
  PQclear(answer);
  return true;
}

static bool set_up(PGconn *database, bool *made, int64_t *truth) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  PGresult *answer = run(database, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = '%s'");
  bool there = answer != NULL && PQntuples(answer) > 0;
  PQclear(answer);
  if (answer == NULL || there) {
    fail("setting up", "the schema is already there: choose another one with --schema");
    return false;
  }
  *made = true;
  if (pgcache_init(app.cache, NULL, &error) < 0) {
    fail("pgcache_init", error.message);
    return false;
  }
  for (size_t i = 0; i < sizeof table_statements / sizeof *table_statements; i++) {
    if (!run_only(database, table_statements[i])) {
      return false;
    }
  }
  if (!read_truth(database, truth)) {
    return false;
  }
  for (int i = 0; i <= CUSTOMERS; i++) {
    app.load.tallies[i].at_start = truth[i];
  }
  return true;
}

/* ---- The check when all is quiet ---------------------------------------------------------------------------------- */

/* Compares the writers' tallies and each cached count with the database. */
static bool check_quiet(PGconn *database, result *found, int64_t *truth) {
  enum { PAGE = PGCACHE_BATCH_MAX };
  static pgcache_item items[PAGE];
  static char keys[PAGE][32];
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (!read_truth(database, truth)) {
    return false;
  }
  for (int i = 0; i <= CUSTOMERS; i++) {
    const tally *tally_of = &app.load.tallies[i];
    if (truth[i] < tally_of->at_start + tally_of->committed || truth[i] > tally_of->at_start + tally_of->begun) {
      fail("checking", "the database's orders are not those that were added: the check itself cannot be trusted");
      return false;
    }
  }
  for (int first = 0; first <= CUSTOMERS && app.use_cache; first += PAGE) {
    int count = CUSTOMERS + 1 - first < PAGE ? CUSTOMERS + 1 - first : PAGE;
    for (int i = 0; i < count; i++) {
      items[i] = (pgcache_item)PGCACHE_ITEM_INIT;
      items[i].key = keys[i];
      items[i].key_len = key_of(keys[i], first + i);
    }
    if (pgcache_get_many(app.cache, items, (size_t)count, NULL, &error) < 0) {
      fail("reading the cached counts", error.message);
    }
    for (int i = 0; i < count; i++) {
      if (items[i].result != NULL) {
        found->left_cached++;
        found->left_wrong += strtoll(pgcache_value_data(items[i].result), NULL, 10) != truth[first + i];
        pgcache_value_free(items[i].result);
      }
    }
  }
  return !atomic_load(&app.failed);
}

/* ---- The run ------------------------------------------------------------------------------------------------------ */

static bool run_part(PGconn *database, worker *workers, const paint *colours, result *found, int64_t *truth) {
  const char *title = app.use_cache ? "with the cache" : "without the cache";
  if (!run_load(&app.load, workers, &interrupted, colours, title, found)) {
    fail(title, "a thread could not be started");
  }
  return check_quiet(database, found, truth);
}

static void run_both(PGconn *database, const paint *colours) {
  static worker workers[MOST_THREADS];
  static result without, with;
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
    ready = run_part(database, workers, colours, &without, truth);
  }
  if (ready && !interrupted) {
    app.use_cache = true;
    run_part(database, workers, colours, &with, truth);
  }
  if (interrupted) {
    printf("Stopped by a signal; this is what there is.\n");
  }
  if (result_requests(&without) > 0) {
    show_table(colours, &without, &with);
    show_histogram(colours, &without, &with);
    show_correctness(colours, &without, &with);
  }
  if (without.stale_during + without.stale_after + without.impossible + with.impossible > 0) {
    fail("checking", "an answer was impossible, see above");
  }
  for (int i = 0; i < count; i++) {
    PQfinish(workers[i].connection);
  }
  if (made) {
    run_only(database, "SET client_min_messages = warning");
    run_only(database, "DROP SCHEMA IF EXISTS %s CASCADE");
  }
}

/* ---- The command -------------------------------------------------------------------------------------------------- */

static void on_signal(int number) {
  interrupted = number;
}

static void usage(FILE *out) {
  fputs("usage: order_count [options]\n"
        "  --url STRING      libpq connection string or URI (default: $PGCACHE_URL, $DATABASE_URL)\n"
        "  --schema NAME     schema to make, use and drop (default: order_count)\n"
        "  --seconds N       length of each of the two parts (default: 10)\n"
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

  app.load.readers = 16, app.load.writers = 2, app.load.adds_per_second = 50, app.load.seconds = 10;
  parse_options(argc, argv);
  load_init(&app.load);
  app.load.read = count_orders;
  app.load.add = add_order;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGHUP, &action, NULL);

  snprintf(pool, sizeof pool, "%d", app.load.readers + app.load.writers);
  if (pgcache_config_new(&config, &error) < 0 || pgcache_config_load_environment(config, &error) < 0 ||
      (app.url != NULL && pgcache_config_set(config, "url", app.url, &error) < 0) ||
      pgcache_config_set(config, "schema", app.schema, &error) < 0 ||
      pgcache_config_set(config, "near_max_bytes", "0", &error) < 0 || /* stale answers here are those of the store */
      pgcache_config_set(config, "pool_max", pool, &error) < 0 || pgcache_new(&app.cache, config, &error) < 0) {
    fail("the cache", error.message);
  } else {
    app.url = pgcache_config_get(config, "url");
    if (strncmp(app.url, "null:", 5) == 0 || strncmp(app.url, "local:", 6) == 0) {
      fail("the address",
           "the orders need a libpq connection string; `pgcache local url` prints that of a local server");
    }
    PGconn *database = app.failed ? NULL : connect_database();
    if (database != NULL) {
      run_both(database, &colours);
      PQfinish(database);
    }
  }
  pgcache_free(app.cache);
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
