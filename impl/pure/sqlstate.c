/*
 * sqlstate.c - one table from SQLSTATEs to statuses and remedies. More specific lines stand first.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/sqlstate.h"

#include <stddef.h>
#include <string.h>

#define RECONNECT PGC_REMEDY_RECONNECT
#define RETRY PGC_REMEDY_RETRY
#define NONE PGC_REMEDY_NONE

static const struct {
  const char *prefix; /* a whole code, or a class of two characters */
  pgc_sqlstate_meaning meaning;
} meanings[] = {
    {"40001", {PGCACHE_CONFLICT, RETRY, "the server gave up a conflict between transactions; try again", false}},
    {"40P01", {PGCACHE_CONFLICT, RETRY, "the server broke a deadlock; try again", false}},
    {"55P03",
     {PGCACHE_TIMEOUT, NONE, "a lock was not to be had within lock_timeout; look for long transactions", false}},
    {"57014", {PGCACHE_TIMEOUT, NONE, "the server cancelled the statement (statement_timeout or an operator)", false}},
    {"57P01", {PGCACHE_UNAVAILABLE, RECONNECT, "the server closed the connection on an operator's command", false}},
    {"57P02", {PGCACHE_UNAVAILABLE, RECONNECT, "the server closed the connection because it crashed", false}},
    {"57P03", {PGCACHE_UNAVAILABLE, RECONNECT, "the server is starting up, shutting down or recovering", false}},
    {"57P04", {PGCACHE_UNAVAILABLE, RECONNECT, "the database was dropped", false}},
    {"57P05", {PGCACHE_UNAVAILABLE, RECONNECT, "the server closed the idle connection", false}},
    {"25P03", {PGCACHE_UNAVAILABLE, RECONNECT, "the server closed the connection: idle in a transaction", false}},
    {"08P01",
     {PGCACHE_UNAVAILABLE, RECONNECT,
      "the server or a pooler in between refused the connection; see its log (poolers refuse parameters such as "
      "options)",
      false}},
    {"08", {PGCACHE_UNAVAILABLE, RECONNECT, "the connection to the server failed", false}},
    {"25006",
     {PGCACHE_READ_ONLY, RECONNECT, /* of several hosts another one may be the primary by now */
      "the server or the transaction is read-only; point the url at the primary (target_session_attrs=read-write)",
      false}},
    {"53300",
     {PGCACHE_TOO_MANY_CONNECTIONS, RECONNECT,
      "the server has no connection left for us; lower pool_max, raise max_connections or the CONNECTION LIMIT of the "
      "role "
      "or database, or put a connection pooler in between",
      false}},
    {"53100", {PGCACHE_FULL, NONE, "the server's disk is full; free space or run pgcache cleanup", false}},
    {"53200", {PGCACHE_FULL, NONE, "the server is out of memory", false}},
    {"53", {PGCACHE_FULL, NONE, "the server has run out of a resource", false}},
    {"54000", {PGCACHE_TOO_LARGE, NONE, "a limit of the server was passed; the value is too large for it", false}},
    {"28", {PGCACHE_DENIED, RECONNECT, "the server refused the log-in; check user, password and pg_hba.conf", false}},
    {"3D000", {PGCACHE_DENIED, RECONNECT, "there is no such database; create it or correct the url", false}},
    {"42501", {PGCACHE_DENIED, NONE, "the role lacks a privilege on the cache's schema or on the database", true}},
    {"3F000", {PGCACHE_SCHEMA_MISSING, NONE, "the cache's schema is not there; run `pgcache init`", false}},
    {"42P01", {PGCACHE_SCHEMA_CHANGED, RECONNECT, "a table of the cache's schema is not there any more", true}},
    {"42703", {PGCACHE_SCHEMA_CHANGED, RECONNECT, "a column of the cache's schema is not there any more", true}},
    {"42883", {PGCACHE_SCHEMA_CHANGED, RECONNECT, "a function of the cache's schema is not there any more", true}},
    {"42P05",
     {PGCACHE_SERVER_ERROR, RECONNECT,
      "a prepared statement was there already; is a connection pooler in between? Then set prepared=off", false}},
    {"42", {PGCACHE_SCHEMA_CHANGED, RECONNECT, "the cache's schema was changed by hand", true}},
    {"0A000", {PGCACHE_SCHEMA_CHANGED, RECONNECT, "the cache's schema was changed while connections were open", true}},
    {"26000",
     {PGCACHE_SERVER_ERROR, RECONNECT,
      "a prepared statement is gone; is a connection pooler in between? Then set prepared=off", false}},
    {"22", {PGCACHE_SERVER_ERROR, NONE, "the server refused the data", false}},
    {"23", {PGCACHE_SCHEMA_CHANGED, NONE, "a constraint that the cache's schema does not have refused the row", false}},
    {"XX", {PGCACHE_SERVER_ERROR, RECONNECT, "the server reports an internal error; see its log", false}},
};

pgc_sqlstate_meaning pgc_sqlstate_look_up(const char *sqlstate) {
  for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
    if (strncmp(sqlstate, meanings[i].prefix, strlen(meanings[i].prefix)) == 0)
      return meanings[i].meaning;
  }
  return (pgc_sqlstate_meaning){PGCACHE_SERVER_ERROR, NONE, "the server reports an error; see its log", false};
}
