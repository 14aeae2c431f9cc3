/*
 * sqlstate.h - what the server's error codes (PostgreSQL documentation, appendix A) mean to a cache.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_SQLSTATE_H
#define PGC_PURE_SQLSTATE_H

#include <stdbool.h>

#include "pgcache.h"

/* What the library should do about it, besides telling the caller. */
typedef enum pgc_remedy {
  PGC_REMEDY_NONE,
  PGC_REMEDY_RETRY,    /* the server gave up a conflict: the same statement may succeed now */
  PGC_REMEDY_RECONNECT /* this connection is of no further use */
} pgc_remedy;

typedef struct pgc_sqlstate_meaning {
  pgcache_status status;
  pgc_remedy remedy;
  const char *text;         /* what happened and what to do: the message for the caller */
  bool server_text_is_safe; /* the server's own message cannot quote a value, and may be added */
} pgc_sqlstate_meaning;

/* Never fails: an unknown code is PGCACHE_SERVER_ERROR. */
pgc_sqlstate_meaning pgc_sqlstate_look_up(const char *sqlstate);

#endif
