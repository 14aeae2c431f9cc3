/*
 * connect.h - opens connections. May block in a name look-up, so it runs on a thread of its own, never on a caller's.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_CONNECT_H
#define PGC_STORE_CONNECT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "pgcache.h"
#include "store/connection.h"

typedef struct pgc_connect_plan {
  char *conninfo;
  char *local_dir;  /* the folder of a local server, for the message; or NULL */
  bool prepared;    /* the sessions are ours; else a pooler may stand in between */
  int host_limit_s; /* for each address of each host: connect_timeout */
} pgc_connect_plan;

/* Understands the connection string, without input or output. PGCACHE_OK, PGCACHE_BAD_SETTING, PGCACHE_NO_MEMORY. */
pgcache_status pgc_connect_plan_make(pgc_connect_plan *plan, const char *conninfo, const char *local_dir, bool prepared,
                                     pgcache_error *error);
bool pgc_connect_plan_copy(pgc_connect_plan *copy, const pgc_connect_plan *plan); /* false: out of memory */
void pgc_connect_plan_clear(pgc_connect_plan *plan);

/* Opens a connection and sets its session up. Gives up early once *stop is true. Out: out. */
pgcache_status pgc_connect(pgc_connection **out, const pgc_connect_plan *plan, const atomic_bool *stop,
                           pgcache_error *error);

/* PGCACHE_OK, or PGCACHE_SERVER_TOO_OLD. version: as PQserverVersion(). */
pgcache_status pgc_connect_check_version(int version, pgcache_error *error);

/* The status and message for a connection that could not be opened; text: libpq's words, printed with
   PQERRORS_SQLSTATE. No part of them gets into the message: in a mistyped url the password may stand where libpq sees
   a host or a database. */
pgcache_status pgc_connect_explain(const char *text, const char *local_dir, pgcache_error *error);

#endif
