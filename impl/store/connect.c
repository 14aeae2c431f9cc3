/*
 * connect.c - see connect.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/connect.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "pgc_sql.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"
#include "pure/sqlstate.h"

#define OLDEST_SERVER 150000
#define DEFAULT_CONNECT_TIMEOUT_S 10
/* Longest host, address or port that is taken out of a list; a longer one is left to libpq. */
#define ELEMENT_MAX 512

/* The number of elements of a comma-separated list. */
static int count_elements(const char *list) {
  int count = 1;
  for (const char *comma = strchr(list, ','); comma != NULL; comma = strchr(comma + 1, ','))
    count++;
  return count;
}

static const char *option_value(const PQconninfoOption *options, const char *keyword) {
  for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
    if (strcmp(option->keyword, keyword) == 0)
      return option->val;
  }
  return NULL;
}

/* Copies what decides in which order and how long the hosts of the string are tried. */
static bool read_options(pgc_connect_plan *plan, const PQconninfoOption *options) {
  static const char *const lists[PGC_CONNECT_LISTS] = {"host", "hostaddr", "port"};
  const char *timeout = option_value(options, "connect_timeout");
  int seconds = timeout != NULL ? atoi(timeout) : 0; /* libpq: zero, negative or missing means to wait for ever */
  plan->host_limit_ms = (seconds > 0 ? seconds : DEFAULT_CONNECT_TIMEOUT_S) * INT64_C(1000);
  plan->hosts = 1;
  for (int i = 0; i < PGC_CONNECT_LISTS; i++) {
    const char *list = option_value(options, lists[i]);
    if (list == NULL)
      continue;
    plan->lists[i] = pgc_strdup(list);
    if (plan->lists[i] == NULL)
      return false;
    if (i != PGC_CONNECT_PORTS && count_elements(list) > plan->hosts)
      plan->hosts = count_elements(list);
  }
  const char *wanted = option_value(options, "target_session_attrs");
  plan->prefers_standby = wanted != NULL && strcmp(wanted, "prefer-standby") == 0;
  const char *balance = option_value(options, "load_balance_hosts"); /* libpq 16 and newer */
  plan->starts_anywhere = balance != NULL && strcmp(balance, "random") == 0;
  return true;
}

pgcache_status pgc_connect_plan_make(pgc_connect_plan *plan, const char *conninfo, const char *local_dir,
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
  bool copied = read_options(plan, options);
  PQconninfoFree(options);
  plan->conninfo = pgc_strdup(conninfo);
  plan->local_dir = local_dir != NULL ? pgc_strdup(local_dir) : NULL;
  if (!copied || plan->conninfo == NULL || (local_dir != NULL && plan->local_dir == NULL)) {
    pgc_connect_plan_clear(plan);
    return pgc_fail_memory(error);
  }
  return PGCACHE_OK;
}

bool pgc_connect_plan_copy(pgc_connect_plan *copy, const pgc_connect_plan *plan) {
  *copy = *plan;
  copy->conninfo = pgc_strdup(plan->conninfo);
  copy->local_dir = plan->local_dir != NULL ? pgc_strdup(plan->local_dir) : NULL;
  bool complete = copy->conninfo != NULL && (plan->local_dir == NULL || copy->local_dir != NULL);
  for (int i = 0; i < PGC_CONNECT_LISTS; i++) {
    copy->lists[i] = plan->lists[i] != NULL ? pgc_strdup(plan->lists[i]) : NULL;
    complete = complete && (plan->lists[i] == NULL || copy->lists[i] != NULL);
  }
  if (!complete)
    pgc_connect_plan_clear(copy);
  return complete;
}

void pgc_connect_plan_clear(pgc_connect_plan *plan) {
  pgc_free(plan->conninfo);
  pgc_free(plan->local_dir);
  for (int i = 0; i < PGC_CONNECT_LISTS; i++)
    pgc_free(plan->lists[i]);
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

static pgcache_status too_slow(const pgc_connect_plan *plan, pgcache_error *error) {
  return pgc_fail(error, PGCACHE_UNAVAILABLE, "cannot connect: the server did not answer within %" PRId64 " s",
                  plan->host_limit_ms / 1000);
}

static pgcache_status set_up_session(const pgc_connect_plan *plan, pgc_connection *connection, pgc_deadline deadline,
                                     pgcache_error *error) {
  pgc_reply reply = pgc_connection_run(connection, pgc_sql_statements_session, deadline);
  PQclear(reply.result);
  switch (reply.kind) {
  case PGC_REPLY_RESULT:
    return PGCACHE_OK;
  case PGC_REPLY_NO_MEMORY:
    return pgc_fail_memory(error);
  case PGC_REPLY_ERROR:
    return pgc_fail_sql(error, PGCACHE_SERVER_ERROR, reply.sqlstate, "the server refused the session's settings");
  case PGC_REPLY_LOST:
    return pgc_fail_sql(error, PGCACHE_UNAVAILABLE, reply.sqlstate, "cannot connect: the connection broke at once");
  case PGC_REPLY_TIMEOUT:
    break;
  }
  return too_slow(plan, error);
}

/* One element of a list, which stands for all hosts if it is the only one. NULL if it is empty or there is no list. */
static const char *element(char out[ELEMENT_MAX], const char *list, int index) {
  if (list == NULL)
    return NULL;
  if (count_elements(list) == 1)
    index = 0;
  for (; index > 0; index--)
    list = strchr(list, ',') + 1;
  size_t length = strcspn(list, ",");
  if (length == 0 || length >= ELEMENT_MAX)
    return NULL;
  memcpy(out, list, length);
  out[length] = '\0';
  return out;
}

/* Tries one host. PQconnectPoll() does not know connect_timeout: one host that is silent would use up the time of all,
   so that each is tried on its own, with what libpq understands as the last word in the list. */
static pgcache_status connect_to(pgc_connection **out, const pgc_connect_plan *plan, int host, const char *wanted,
                                 const atomic_bool *stop, pgcache_error *error) {
  char host_name[ELEMENT_MAX], address[ELEMENT_MAX], port[ELEMENT_MAX];
  bool alone = plan->hosts == 1;
  /* What stands before dbname yields to the url; a dead server is noticed within half a minute. */
  static const char *const names[] = {"fallback_application_name",
                                      "keepalives_idle",
                                      "keepalives_interval",
                                      "keepalives_count",
                                      "tcp_user_timeout",
                                      "dbname",
                                      "host",
                                      "hostaddr",
                                      "port",
                                      "target_session_attrs",
                                      NULL};
  const char *values[] = {"pgcache",
                          "10",
                          "5",
                          "3",
                          "10000",
                          plan->conninfo,
                          alone ? NULL : element(host_name, plan->lists[PGC_CONNECT_HOSTS], host),
                          alone ? NULL : element(address, plan->lists[PGC_CONNECT_ADDRESSES], host),
                          alone ? NULL : element(port, plan->lists[PGC_CONNECT_PORTS], host),
                          wanted,
                          NULL};

  pgc_deadline deadline = pgc_deadline_in(plan->host_limit_ms);
  PGconn *pg = PQconnectStartParams(names, values, 1);
  if (pg == NULL)
    return pgc_fail_memory(error);
  PQsetErrorVerbosity(pg, PQERRORS_SQLSTATE);

  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(pg) != CONNECTION_BAD && next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
    if (!wait_for_socket(pg, next, deadline, stop)) {
      PQfinish(pg);
      return too_slow(plan, error);
    }
    next = PQconnectPoll(pg);
  }
  pgcache_status status = PQstatus(pg) == CONNECTION_OK
                              ? pgc_connect_check_version(PQserverVersion(pg), error)
                              : pgc_connect_explain(PQerrorMessage(pg), plan->local_dir, error);
  if (status != PGCACHE_OK) {
    PQfinish(pg);
    return status;
  }
  PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
  pgc_connection *connection = pgc_connection_new(pg);
  if (connection == NULL)
    return pgc_fail_memory(error);
  status = set_up_session(plan, connection, deadline, error);
  if (status == PGCACHE_OK)
    *out = connection;
  else
    pgc_connection_free(connection);
  return status;
}

/* Tries each host once. */
static pgcache_status connect_to_any(pgc_connection **out, const pgc_connect_plan *plan, const char *wanted,
                                     const atomic_bool *stop, pgcache_error *error) {
  int first = plan->starts_anywhere ? (int)(pgc_random_u64() % (uint64_t)plan->hosts) : 0;
  pgcache_status status = PGCACHE_UNAVAILABLE;
  for (int i = 0; i < plan->hosts && status != PGCACHE_OK && !atomic_load(stop); i++)
    status = connect_to(out, plan, (first + i) % plan->hosts, wanted, stop, error);
  return status;
}

pgcache_status pgc_connect(pgc_connection **out, const pgc_connect_plan *plan, const atomic_bool *stop,
                           pgcache_error *error) {
  *out = NULL;
  pgc_fail(error, PGCACHE_UNAVAILABLE, "cannot connect"); /* if we are stopped before the first attempt */
  if (plan->hosts > 1 && plan->prefers_standby) {
    pgcache_status status = connect_to_any(out, plan, "standby", stop, error);
    return status == PGCACHE_OK ? status : connect_to_any(out, plan, "any", stop, error);
  }
  return connect_to_any(out, plan, NULL, stop, error);
}
