/*
 * import_source.c - the table of another cache, which `pgcache import` reads.
 *
 * Owns the connection to it and the statements. It must never write there, hold more than a row in memory, or show a
 * part of the address in a message. A signal ends every wait.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "import_source.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "local_process.h"
#include "platform/memory.h"
#include "pure/address.h"
#include "pure/error.h"
#include "watch.h"

#define TICK_MS 100

struct import_source {
  PGconn *connection;
  char *sql;
  int64_t timeout_ms;
  PGresult *row; /* the one that was given last */
};

/* The columns are the key in the table, the key for the cache, the value, and the milliseconds that it has left: NULL if
   it does not expire. The server counts them, as its clock is the one that such caches go by. Pages follow the order of
   the primary key's index. $1: behind which key; $2: the longest value; $3: how many rows.
   The search path is what the source's owner likes, so nothing here may be found outside of pg_catalog: what does not
   take exactly these types is named with its schema. */
#define COLUMNS(key, name)                                                                                             \
  "SELECT " key ", " name ", CASE WHEN coalesce(entry.time_left, 1) > 0 AND octet_length(entry.value) <= $2 "          \
  "THEN entry.value END, entry.time_left::text FROM"
#define ROWS(key, value, expires)                                                                                      \
  "AS source, LATERAL (SELECT " value " AS value, CASE WHEN isfinite(" expires ") "                                    \
  "THEN ceil(extract(epoch FROM " expires " - clock_timestamp()) OPERATOR(pg_catalog.*) 1000)::bigint "                \
  "WHEN " expires " = '-infinity' THEN 0 END AS time_left) AS entry "                                                  \
  "WHERE $1 IS NULL OR " key " > $1 ORDER BY " key " LIMIT $3"

static const source_kind kinds[] = {
    {"psycache", "psycache", SOURCE_JSON, COLUMNS("source.key", "source.key"),
     ROWS("source.key", "source.value::text", "source.expires_at")},
    {"postgres-cache", "cache_entries", SOURCE_JSON, COLUMNS("source.cache_key", "source.cache_key"),
     ROWS("source.cache_key", "source.value", "source.expires_at")},
    /* The name of the backend's namespace stands before each key, and has no colon in it. */
    {"fastapi-cachekit", "fastapi_cache_store", SOURCE_PICKLE,
     COLUMNS("source.key", "substr(source.key, strpos(source.key, ':') + 1)"),
     ROWS("source.key", "source.value", "source.expire_at")},
};

const source_kind *source_find(const char *name) {
  for (size_t index = 0; index < sizeof kinds / sizeof kinds[0]; index++)
    if (strcmp(kinds[index].name, name) == 0)
      return &kinds[index];
  return NULL;
}

/* ---- Waiting --------------------------------------------------------------------------------------------------- */

static pgcache_status wait_for(const import_source *self, short events, pgcache_error *error) {
  int64_t until = process_now_ms() + self->timeout_ms;
  do {
    struct pollfd wanted = {.fd = PQsocket(self->connection), .events = events};
    int ready = poll(&wanted, 1, TICK_MS);
    if (watch_signal() != 0)
      return pgc_fail(error, PGCACHE_CLOSED, "interrupted");
    if (ready > 0)
      return PGCACHE_OK;
  } while (process_now_ms() < until);
  return pgc_fail(error, PGCACHE_TIMEOUT, "the source did not answer within %lld ms; see --maintenance-timeout-ms",
                  (long long)self->timeout_ms);
}

/* What libpq says of a failed connection may quote parts of the address, passwords among them. */
static pgcache_status fail_to_connect(pgcache_error *error) {
  return pgc_fail(error, PGCACHE_UNAVAILABLE, "cannot connect to the source; try its address in psql");
}

static pgcache_status connect_to(import_source *self, const char *conninfo, pgcache_error *error) {
  const char *const names[] = {"dbname", "client_encoding", "fallback_application_name", NULL};
  const char *const values[] = {conninfo, "UTF8", "pgcache", NULL};
  self->connection = PQconnectStartParams(names, values, 1);
  if (self->connection == NULL)
    return pgc_fail_memory(error);
  PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;
  pgcache_status status = PQstatus(self->connection) == CONNECTION_BAD ? fail_to_connect(error) : PGCACHE_OK;
  while (status == PGCACHE_OK && wanted != PGRES_POLLING_OK) {
    status = wait_for(self, wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT, error);
    wanted = status == PGCACHE_OK ? PQconnectPoll(self->connection) : PGRES_POLLING_FAILED;
    if (status == PGCACHE_OK && wanted == PGRES_POLLING_FAILED)
      status = fail_to_connect(error);
  }
  return status;
}

/* The next result of the statement under way, NULL if there is none any more. */
static pgcache_status next_result(import_source *self, PGresult **out, pgcache_error *error) {
  while (PQisBusy(self->connection)) {
    pgcache_status status = wait_for(self, POLLIN, error);
    if (status != PGCACHE_OK)
      return status;
    if (!PQconsumeInput(self->connection))
      break; /* the result says so, too */
  }
  *out = PQgetResult(self->connection);
  return PGCACHE_OK;
}

/* The statement failed. The server's words name tables and columns, no keys or values. */
static pgcache_status fail_to_read(const PGresult *result, pgcache_error *error) {
  const char *words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  return pgc_fail_sql(error, words == NULL ? PGCACHE_UNAVAILABLE : PGCACHE_SERVER_ERROR,
                      PQresultErrorField(result, PG_DIAG_SQLSTATE), "cannot read the source: %s",
                      words == NULL ? "the connection was lost" : words);
}

/* ---- The table ------------------------------------------------------------------------------------------------- */

/* A server that does not know how its texts are encoded may have some that are no UTF-8: they come as they are. */
#define FIND                                                                                                           \
  "SELECT to_regclass($1)::text, CASE WHEN current_setting('server_encoding') = 'SQL_ASCII' "                          \
  "THEN set_config('client_encoding', 'SQL_ASCII', false) END"

/* Writes the table into the statement, as the server spells and quotes it. */
static pgcache_status find_table(import_source *self, const source_kind *kind, const char *table,
                                 pgcache_error *error) {
  const char *const values[] = {table != NULL ? table : kind->table};
  if (!PQsendQueryParams(self->connection, FIND, 1, NULL, values, NULL, NULL, 0))
    return fail_to_connect(error);
  PGresult *result = NULL, *rest = NULL;
  pgcache_status status = next_result(self, &result, error);
  if (status == PGCACHE_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
    status = fail_to_read(result, error);
  } else if (status == PGCACHE_OK && PQgetisnull(result, 0, 0)) {
    status = pgc_fail(error, PGCACHE_SERVER_ERROR, "the source has no table %s; --source-table names another",
                      table != NULL ? "of that name" : kind->table);
  } else if (status == PGCACHE_OK) {
    const char *name = PQgetvalue(result, 0, 0);
    size_t size = strlen(kind->columns) + strlen(name) + strlen(kind->rows) + 3;
    self->sql = cli_memory(NULL, size);
    snprintf(self->sql, size, "%s %s %s", kind->columns, name, kind->rows);
    status = next_result(self, &rest, error);
  }
  PQclear(result);
  PQclear(rest);
  return status;
}

pgcache_status source_open(import_source **out, const source_kind *kind, const char *url, const char *table,
                           int64_t timeout_ms, pgcache_error *error) {
  import_source *self = cli_memory(NULL, sizeof *self);
  *self = (import_source){.timeout_ms = timeout_ms};
  *out = self;
  pgc_address address;
  pgcache_status status = pgc_address_parse(&address, url, error);
  if (status == PGCACHE_OK && address.conninfo == NULL)
    status = pgc_fail(error, PGCACHE_BAD_SETTING, "there is nothing to import from null:; --source names another");
  if (status == PGCACHE_OK)
    status = connect_to(self, address.conninfo, error);
  pgc_address_clear(&address);
  return status == PGCACHE_OK ? find_table(self, kind, table, error) : status;
}

pgcache_status source_ask(import_source *self, const void *after, size_t after_size, size_t rows, size_t most,
                          pgcache_error *error) {
  enum { TEXT = 25, INT8 = 20 };
  const Oid types[] = {TEXT, INT8, INT8};
  char most_text[24], rows_text[24];
  snprintf(most_text, sizeof most_text, "%zu", most);
  snprintf(rows_text, sizeof rows_text, "%zu", rows);
  const char *const values[] = {after, most_text, rows_text};
  const int lengths[] = {(int)after_size, 0, 0};
  const int formats[] = {1, 0, 0}; /* a key may end anywhere */
  if (PQsendQueryParams(self->connection, self->sql, 3, types, values, lengths, formats, 1) &&
      PQsetSingleRowMode(self->connection))
    return PGCACHE_OK;
  return pgc_fail(error, PGCACHE_UNAVAILABLE, "the connection to the source was lost");
}

pgcache_status source_next(import_source *self, source_row *row, pgcache_error *error) {
  PQclear(self->row);
  self->row = NULL;
  pgcache_status status = next_result(self, &self->row, error);
  if (status != PGCACHE_OK)
    return status;
  if (PQresultStatus(self->row) == PGRES_SINGLE_TUPLE) {
    const PGresult *from = self->row;
    *row =
        (source_row){.key = PQgetvalue(from, 0, 0),
                     .key_size = (size_t)PQgetlength(from, 0, 0),
                     .name = PQgetvalue(from, 0, 1),
                     .name_size = (size_t)PQgetlength(from, 0, 1),
                     .value = PQgetisnull(from, 0, 2) ? NULL : PQgetvalue(from, 0, 2),
                     .value_size = (size_t)PQgetlength(from, 0, 2),
                     .ttl_ms = PQgetisnull(from, 0, 3) ? PGCACHE_TTL_NEVER : strtoll(PQgetvalue(from, 0, 3), NULL, 10)};
    return PGCACHE_OK;
  }
  if (PQresultStatus(self->row) != PGRES_TUPLES_OK)
    return fail_to_read(self->row, error);
  PQclear(self->row);
  self->row = NULL;
  status = next_result(self, &self->row, error); /* the end of the statement: none */
  return status == PGCACHE_OK ? PGCACHE_MISS : status;
}

void source_close(import_source *self) {
  if (self == NULL)
    return;
  PQclear(self->row);
  PQfinish(self->connection);
  pgc_free(self->sql);
  pgc_free(self);
}
