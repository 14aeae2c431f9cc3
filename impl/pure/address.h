/*
 * address.h - what the setting `url` points at.
 *
 * Owns: telling `null:`, `local:` and PostgreSQL's connection strings apart, and where a local server lives. Must never:
 * print any part of an address in a message (it may hold a password), touch the file system, or know libpq: whether a
 * connection string makes sense is found out in the store.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_ADDRESS_H
#define PGC_PURE_ADDRESS_H

#include "pgcache.h"

/* The longest folder of a local server in bytes: with "/socket/.s.PGSQL.5432" behind it, it must fit a socket's
   address (108 bytes on Linux, 104 elsewhere). */
#define PGC_LOCAL_DIR_MAX 80

typedef enum pgc_address_kind {
  PGC_ADDRESS_POSTGRES, /* conninfo is the url as it was given */
  PGC_ADDRESS_NULL,     /* `null:`; conninfo is NULL */
  PGC_ADDRESS_LOCAL     /* `local:` or `local:/path`; conninfo leads to its socket */
} pgc_address_kind;

typedef struct pgc_address {
  pgc_address_kind kind;
  char *conninfo;  /* for PQconnectStart(); NULL for `null:` */
  char *local_dir; /* the local server's folder, holding data, socket and log; else NULL */
} pgc_address;

/* Parses url. PGCACHE_OK, PGCACHE_BAD_SETTING or PGCACHE_NO_MEMORY; out is zeroed on an error. `local:` without a path
   asks the environment (XDG_DATA_HOME, HOME) and who the user is. */
pgcache_status pgc_address_parse(pgc_address *out, const char *url, pgcache_error *error);

/* Why the setting `url` cannot have this value, in words that show nothing of it; NULL if it can. "" can: not set.
   Looks at the text alone, so that a configuration may be written on another machine than it is used on. */
const char *pgc_address_problem(const char *url);

/* Frees what pgc_address_parse() allocated, and zeroes it. NULL and a zeroed address are no-ops. */
void pgc_address_clear(pgc_address *address);

#endif
