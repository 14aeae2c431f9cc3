/*
 * connect.c - see connect.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/connect.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgc_sql.h"
#include "platform/memory.h"
#include "pure/error.h"
#include "pure/sqlstate.h"

#define OLDEST_SERVER 150000
#define DEFAULT_CONNECT_TIMEOUT_S 10

/* connect_timeout of the string; libpq waits for ever when it is zero, negative or missing, which we never do. */
static int read_host_limit(const PQconninfoOption *options) {
  for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
    if (strcmp(option->keyword, "connect_timeout") == 0 && option->val != NULL && atoi(option->val) > 0)
      return atoi(option->val);
  }
  return DEFAULT_CONNECT_TIMEOUT_S;
}

pgcache_status pgc_connect_plan_make(pgc_connect_plan *plan, const char *conninfo, const char *local_dir, bool prepared,
                                     pgcache_error *error) {
  *plan = (pgc_connect_plan){0};
  char *problem = NULL;
  PQconninfoOption *options = PQconninfoParse(conninfo, &problem);
  if (options == NULL) {
    bool understood = problem == NULL; /* then it was memory */
    PQfreemem(problem);
    if (understood)
      return pgc_fail_memory(error);
    /* libpq's own words quote parts of the string, passwords among them. */
    return pgc_fail(error, PGCACHE_BAD_SETTING,
                    "url: not a connection string or URI that libpq understands; percent-encode special "
                    "characters in a URI (@ is %%40, / is %%2F), quote values with spaces in a connection string");
  }
  const pgc_connect_plan given = {(char *)conninfo, (char *)local_dir, prepared, read_host_limit(options)};
  PQconninfoFree(options);
  return pgc_connect_plan_copy(plan, &given) ? PGCACHE_OK : pgc_fail_memory(error);
}

bool pgc_connect_plan_copy(pgc_connect_plan *copy, const pgc_connect_plan *plan) {
  *copy = (pgc_connect_plan){.prepared = plan->prepared, .host_limit_s = plan->host_limit_s};
  copy->conninfo = pgc_strdup(plan->conninfo);
  copy->local_dir = plan->local_dir != NULL ? pgc_strdup(plan->local_dir) : NULL;
  if (copy->conninfo != NULL && (plan->local_dir == NULL || copy->local_dir != NULL))
    return true;
  pgc_connect_plan_clear(copy);
  return false;
}

void pgc_connect_plan_clear(pgc_connect_plan *plan) {
  pgc_free(plan->conninfo);
  pgc_free(plan->local_dir);
  *plan = (pgc_connect_plan){0};
}

pgcache_status pgc_connect_check_version(int version, pgcache_error *error) {
  if (version >= OLDEST_SERVER)
    return PGCACHE_OK;
  return pgc_fail(error, PGCACHE_SERVER_TOO_OLD, "the server is PostgreSQL %d; pgcache needs 15 or newer",
                  version / 10000);
}

/* The last SQLSTATE in libpq's words, which end a line as "FATAL:  28P01". */
static bool find_sqlstate(char sqlstate[6], const char *text) {
  bool found = false;
  for (const char *line = text; *line != '\0';) {
    size_t length = strcspn(line, "\n");
    if (length > 8) {
      const char *code = line + length - 5;
      if (strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") >= 5 && memcmp(code - 3, ":  ", 3) == 0) {
        memcpy(sqlstate, code, 5);
        sqlstate[5] = '\0';
        found = true;
      }
    }
    line += length;
    line += *line == '\n';
  }
  return found;
}

pgcache_status pgc_connect_explain(const char *text, const char *local_dir, pgcache_error *error) {
  char sqlstate[6] = "";
  if (find_sqlstate(sqlstate, text)) {
    pgc_sqlstate_meaning meaning = pgc_sqlstate_look_up(sqlstate);
    return pgc_fail_sql(error, meaning.status, sqlstate, "cannot connect: %s", meaning.text);
  }
  if (local_dir != NULL)
    return pgc_fail(error, PGCACHE_UNAVAILABLE, "no local server runs in %s; start it with `pgcache local start`",
                    local_dir);

  static const struct {
    const char *words; /* of libpq and the C library, in English; other languages get the last line */
    pgcache_status status;
    const char *text;
  } causes[] = {
      {"out of memory", PGCACHE_NO_MEMORY, "out of memory"},
      {"Connection refused", PGCACHE_UNAVAILABLE, "nothing listens there; is the server running, and the port right?"},
      {"No such file or directory", PGCACHE_UNAVAILABLE, "the Unix socket or a file that the url names is not there"},
      {"translate host name", PGCACHE_UNAVAILABLE, "the host name of the url cannot be resolved"},
      {"timeout expired", PGCACHE_UNAVAILABLE, "the server did not answer in time"},
      {"timed out", PGCACHE_UNAVAILABLE, "the server did not answer in time"},
      {"no password supplied", PGCACHE_DENIED, "the server wants a password and the url has none"},
      {"read-only", PGCACHE_READ_ONLY, "target_session_attrs is not met: the server is read-only"},
      {"session is not", PGCACHE_UNAVAILABLE, "target_session_attrs is not met by any server of the url"},
      {"SSL", PGCACHE_UNAVAILABLE, "TLS failed; check sslmode and the certificates"},
      {"certificate", PGCACHE_UNAVAILABLE, "TLS failed; check sslmode and the certificates"},
  };
  for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
    if (strstr(text, causes[i].words) != NULL)
      return pgc_fail(error, causes[i].status, "cannot connect: %s", causes[i].text);
  }
  return pgc_fail(error, PGCACHE_UNAVAILABLE,
                  "cannot connect to the server that the setting url names; try it in psql");
}

/* How long to wait between two looks at *stop. */
#define LOOK_MS 100

/* One step of an attempt: waits until the socket is ready. False when the time is up or the pool was closed. */
static bool wait_for_socket(PGconn *pg, PostgresPollingStatusType wanted, pgc_deadline deadline,
                            const atomic_bool *stop) {
  struct pollfd socket = {.fd = PQsocket(pg), .events = wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT};
  while (!atomic_load(stop)) {
    int left_ms = pgc_deadline_poll_ms(deadline);
    if (left_ms == 0)
      return false;
    int ready = poll(&socket, 1, left_ms > LOOK_MS ? LOOK_MS : left_ms);
    if (ready > 0 || (ready < 0 && errno != EINTR))
      return true;
  }
  return false;
}

/* What a connection is opened with. What stands before dbname yields to the url: over TCP a server that is gone without a
   word is noticed by the kernel after three seconds, in a call and while idle. What stands behind it does not. */
static const char *const parameter_names[] = {
    "fallback_application_name", "keepalives_idle", "keepalives_interval", "keepalives_count",
    "tcp_user_timeout",          "dbname",          "connect_timeout",     NULL};
#define PARAMETER_VALUES(plan, timeout)                                                                                \
  { "pgcache", "1", "1", "2", "3000", (plan)->conninfo, (timeout), NULL }

/* Connects without blocking, which lets libpq give SQLSTATEs instead of words. It knows no connect_timeout: *silent
   tells that the time for one host was up, and that others may not have been asked. NULL when out of memory. */
static PGconn *connect_polling(const pgc_connect_plan *plan, const char *timeout, const atomic_bool *stop,
                               bool *silent) {
  const char *values[] = PARAMETER_VALUES(plan, timeout);
  pgc_deadline deadline = pgc_deadline_in(plan->host_limit_s * INT64_C(1000));
  PGconn *pg = PQconnectStartParams(parameter_names, values, 1);
  *silent = false;
  if (pg == NULL)
    return NULL;
  PQsetErrorVerbosity(pg, PQERRORS_SQLSTATE);
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(pg) != CONNECTION_BAD && next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
    if (!wait_for_socket(pg, next, deadline, stop)) {
      *silent = true;
      break;
    }
    next = PQconnectPoll(pg);
  }
  PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
  return pg;
}

/* As libpq connects on its own: each address of each host has its time. Cannot be broken off. */
static PGconn *connect_blocking(const pgc_connect_plan *plan, const char *timeout) {
  const char *values[] = PARAMETER_VALUES(plan, timeout);
  return PQconnectdbParams(parameter_names, values, 1);
}

static pgcache_status set_up_session(const pgc_connect_plan *plan, pgc_connection *connection, pgcache_error *error) {
  pgc_deadline deadline = pgc_deadline_in(plan->host_limit_s * INT64_C(1000));
  char pid[16];
  snprintf(pid, sizeof pid, "%d", PQbackendPID(connection->pg));
  pgc_reply reply = pgc_connection_run_with(connection, pgc_sql_statements_session, pid, deadline);
  bool ours = PQntuples(reply.result) == 1;
  PQclear(reply.result);
  switch (reply.kind) {
  case PGC_REPLY_RESULT:
    if (ours)
      return PGCACHE_OK;
    return pgc_fail(error, PGCACHE_BAD_SETTING,
                    "a connection pooler stands between this process and the server: set prepared=off, or let the url "
                    "name the server itself");
  case PGC_REPLY_NO_MEMORY:
    return pgc_fail_memory(error);
  case PGC_REPLY_ERROR:
    return pgc_fail_sql(error, PGCACHE_SERVER_ERROR, reply.sqlstate, "the server refused the session's settings");
  case PGC_REPLY_LOST:
    return pgc_fail_sql(error, PGCACHE_UNAVAILABLE, reply.sqlstate, "cannot connect: the connection broke at once");
  case PGC_REPLY_TIMEOUT:
    break;
  }
  return pgc_fail(error, PGCACHE_UNAVAILABLE, "cannot connect: the server did not answer in time");
}

pgcache_status pgc_connect(pgc_connection **out, const pgc_connect_plan *plan, const atomic_bool *stop,
                           pgcache_error *error) {
  char timeout[16];
  bool silent;
  *out = NULL;
  snprintf(timeout, sizeof timeout, "%d", plan->host_limit_s);
  PGconn *pg = connect_polling(plan, timeout, stop, &silent);
  if (silent) {
    PQfinish(pg);
    if (atomic_load(stop))
      return pgc_fail(error, PGCACHE_UNAVAILABLE, "cannot connect: the handle was shut down");
    pg = connect_blocking(plan, timeout);
  }
  if (pg == NULL)
    return pgc_fail_memory(error);

  pgcache_status status = PQstatus(pg) == CONNECTION_OK
                              ? pgc_connect_check_version(PQserverVersion(pg), error)
                              : pgc_connect_explain(PQerrorMessage(pg), plan->local_dir, error);
  if (status != PGCACHE_OK) {
    PQfinish(pg);
    return status;
  }
  pgc_connection *connection = pgc_connection_new(pg);
  if (connection == NULL)
    return pgc_fail_memory(error);
  if (plan->prepared)
    status = set_up_session(plan, connection, error);
  else
    connection->mode = PGC_MODE_UNPREPARED;
  if (status == PGCACHE_OK)
    *out = connection;
  else
    pgc_connection_free(connection);
  return status;
}
