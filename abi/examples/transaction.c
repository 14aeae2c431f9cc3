/*
 * transaction.c - an order is changed in the application's own transaction, on its own libpq connection, and what the cache holds
 * of it is invalidated in there, too: with the commit every entry that depends on it ends, and after a rollback nothing has
 * happened. A load that is under way meanwhile cannot bring the old state back.
 *
 * Owns a table of its own in the session (temporary) and one cache entry; never changes a setting of the connection.
 *
 *   cc transaction.c $(pkg-config --cflags --libs pgcache libpq) -o transaction
 *   ./transaction postgresql:///app
 *
 * SPDX-License-Identifier: MIT
 */
#include <pgcache.h>
#include <pgcache_hooks.h>

#include <libpq-fe.h>

#include <stdio.h>
#include <string.h>

static const char key[] = "order:42:summary";
static const pgcache_dependency order = {sizeof order, PGCACHE_DEPENDS_ON_TAG, "order:42", 8};

static int fail(const char *what, const char *why) {
  fprintf(stderr, "transaction: %s: %s\n", what, why);
  return 1;
}

static int run_sql(PGconn *connection, const char *sql) {
  PGresult *result = PQexec(connection, sql);
  ExecStatusType status = PQresultStatus(result);
  PQclear(result);
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : fail(sql, PQerrorMessage(connection));
}

/* Reads the order's state, which is what a load does that has the lease. */
static int read_state(PGconn *connection, char *state, size_t size) {
  PGresult *result = PQexec(connection, "SELECT state FROM orders WHERE id = 42");
  int found = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
  snprintf(state, size, "%s", found ? PQgetvalue(result, 0, 0) : "");
  PQclear(result);
  return found ? 0 : fail("reading the order", PQerrorMessage(connection));
}

/* Prints the summary: from the cache, else loaded. */
static int show(PGconn *connection, pgcache *cache, const char *when) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  pgcache_value *value = NULL;
  pgcache_load *load = NULL;
  char state[32];
  int code = 0;

  if (pgcache_load_begin(cache, &value, &load, key, strlen(key), NULL, NULL, &error) < 0) {
    return fail("load_begin", error.message);
  }
  if (value != NULL) {
    printf("%s: %s, from the cache\n", when, (const char *)pgcache_value_data(value));
  } else {
    code = read_state(connection, state, sizeof state);
    options.dependencies = &order;
    options.dependency_count = 1;
    if (code == 0 && load != NULL &&
        pgcache_load_fill(load, NULL, state, strlen(state), PGCACHE_FORMAT_BYTES, &options, &error) < 0) {
      code = fail("fill", error.message);
    } else if (code == 0) {
      printf("%s: %s, loaded\n", when, state);
    }
  }
  pgcache_value_free(value);
  pgcache_load_free(load);
  return code;
}

/* Changes the order, and says so to the cache, in one transaction that ends as `ending` says. */
static int change_order(PGconn *connection, pgcache *cache, const char *ending) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (run_sql(connection, "BEGIN") != 0 ||
      run_sql(connection, "UPDATE orders SET state = 'shipped' WHERE id = 42") != 0) {
    return 1;
  }
  if (pgcache_invalidate_on(cache, connection, &order, 1, NULL, &error) < 0) {
    fail("invalidate_on", error.message); /* then the change must not be committed */
    ending = "ROLLBACK";
  }
  if (run_sql(connection, ending) != 0) {
    return 1;
  }
  /* Copies in memory hear of the commit a moment later; who wants to see it at once waits for that. */
  return pgcache_fence(cache, NULL, &error) < 0 ? fail("fence", error.message) : 0;
}

static int run(PGconn *connection, pgcache *cache) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (pgcache_init(cache, NULL, &error) < 0 || pgcache_invalidate(cache, &order, 1, NULL, &error) < 0) {
    return fail("cache", error.message);
  }
  if (run_sql(connection, "CREATE TEMP TABLE orders AS SELECT 42 AS id, 'packed' AS state") != 0 ||
      show(connection, cache, "at first") != 0 || change_order(connection, cache, "ROLLBACK") != 0 ||
      show(connection, cache, "after a rollback") != 0 || change_order(connection, cache, "COMMIT") != 0) {
    return 1;
  }
  return show(connection, cache, "after a commit");
}

int main(int argc, char **argv) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  pgcache *cache = NULL;
  const char *url = argc > 1 ? argv[1] : "";
  int code = 1;

  PGconn *connection = PQconnectdb(url);
  if (PQstatus(connection) != CONNECTION_OK) {
    fail("connecting", PQerrorMessage(connection));
  } else if (pgcache_config_new(&config, &error) < 0 || pgcache_config_load_environment(config, &error) < 0 ||
             pgcache_config_set(config, "url", url, &error) < 0 || pgcache_new(&cache, config, &error) < 0) {
    fail("setting up", error.message);
  } else {
    code = run(connection, cache);
  }
  pgcache_free(cache);
  pgcache_config_free(config);
  PQfinish(connection);
  return code;
}
