/*
 * own_transaction.c - the cache inside of the application's own transaction, on its own libpq connection: an order is
 * changed and its cached copy removed, and both happen or neither does.
 *
 * Owns a table of its own in the session (temporary) and one cache entry; never changes a setting of the connection.
 *
 *   cc own_transaction.c $(pkg-config --cflags --libs pgcache libpq) -o own_transaction
 *   ./own_transaction postgresql:///app
 *
 * SPDX-License-Identifier: MIT
 */
#include <pgcache.h>
#include <pgcache_hooks.h>

#include <libpq-fe.h>

#include <stdio.h>
#include <string.h>

static const char key[] = "order:42";

static int fail(const char *what, const char *why) {
  fprintf(stderr, "own_transaction: %s: %s\n", what, why);
  return 1;
}

static int run_sql(PGconn *connection, const char *sql) {
  PGresult *result = PQexec(connection, sql);
  ExecStatusType status = PQresultStatus(result);
  PQclear(result);
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : fail(sql, PQerrorMessage(connection));
}

/* What the cache has, as any other reader sees it who asks the server: copies in memory hear of a commit a moment later. */
static const char *look(pgcache *cache) {
  static char found[64];
  size_t size = 0;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  options.read_mode = PGCACHE_READ_STORE;
  pgcache_status status = pgcache_get_into(cache, found, sizeof found - 1, &size, key, strlen(key), &options, &error);
  if (status < 0)
    return pgcache_status_name(status);
  if (status != PGCACHE_OK)
    return "nothing";
  found[size] = '\0';
  return found;
}

/* Changes the order and removes its cached copy, in one transaction that ends as `ending` says. */
static int change_order(PGconn *connection, pgcache *mine, const char *ending) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (run_sql(connection, "BEGIN") != 0 ||
      run_sql(connection, "UPDATE orders SET state = 'shipped' WHERE id = 42") != 0)
    return 1;
  /* An error here would not spoil the transaction: it could still be committed. */
  if (pgcache_remove(mine, key, strlen(key), NULL, &error) < 0)
    fprintf(stderr, "own_transaction: %s\n", error.message);
  return run_sql(connection, ending);
}

static int run(PGconn *connection, pgcache *mine, pgcache *others) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (pgcache_init(mine, NULL, &error) < 0 ||
      pgcache_put(mine, NULL, key, strlen(key), "packed", 6, PGCACHE_FORMAT_BYTES, 60000, NULL, &error) < 0)
    return fail("cache", error.message);
  if (run_sql(connection, "CREATE TEMP TABLE orders AS SELECT 42 AS id, 'packed' AS state") != 0)
    return 1;
  printf("cached: %s\n", look(others));
  if (change_order(connection, mine, "ROLLBACK") != 0)
    return 1;
  printf("after a rollback: %s\n", look(others));
  if (change_order(connection, mine, "COMMIT") != 0)
    return 1;
  printf("after a commit: %s\n", look(others));
  return 0;
}

int main(int argc, char **argv) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_config *config = NULL;
  pgcache *mine = NULL, *others = NULL;
  const char *url = argc > 1 ? argv[1] : "";
  int code = 1;

  PGconn *connection = PQconnectdb(url);
  if (PQstatus(connection) != CONNECTION_OK) {
    fail("connecting", PQerrorMessage(connection));
  } else if (pgcache_config_new(&config, &error) < 0 || pgcache_config_load_environment(config, &error) < 0 ||
             pgcache_config_set(config, "url", url, &error) < 0 ||
             pgcache_new_on_connection(&mine, config, connection, &error) < 0 ||
             pgcache_new(&others, config, &error) < 0) {
    fail("setting up", error.message);
  } else {
    code = run(connection, mine, others);
  }
  pgcache_free(mine); /* the connection is ours, and stays open */
  pgcache_free(others);
  pgcache_config_free(config);
  PQfinish(connection);
  return code;
}
