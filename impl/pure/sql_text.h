/*
 * sql_text.h - puts the names of one cache into the SQL files. Substitutes, and never assembles.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_SQL_TEXT_H
#define PGC_PURE_SQL_TEXT_H

#include <stdbool.h>

#include "platform/buffer.h"

/* How a schema was made, which handles must agree with. */
typedef struct pgc_schema_kind {
  bool logged;   /* setting `table`: the entries are in a logged table */
  bool coherent; /* setting `coherence`: writes leave events in the change stream, so that there may be near caches */
} pgc_schema_kind;

/* Appends the text with psql's notation for variables resolved:
     :"schema"       the schema, quoted
     :'schema'       the schema, as a literal; in the same way :'cache', :'entries', :'invalidations' and :'version_seq', with the schema,
                     and :'library_get', :'restricted_get', also with the parameters' types
     :persistence    UNLOGGED, or nothing for a logged table
     :logged, :coherent  true or false
     :now            the beginning of the statement, statement_timestamp()
   A part between the lines "-- @told" and "-- @end" is left out where the schema is not coherent, one between "-- @untold" and
   "-- @end" where it is.
   The schema has been checked to be a plain lower-case identifier. */
void pgc_sql_resolve(pgc_buffer *out, const char *text, const char *schema, pgc_schema_kind kind);

/* The same for a statement that is a transaction of its own: :now is the beginning of that, now(). It is before the
   statement's snapshot, which the server takes at the message Bind, while statement_timestamp() is set again at the message
   Execute (PostgreSQL's source, src/backend/tcop/postgres.c). */
void pgc_sql_resolve_alone(pgc_buffer *out, const char *text, const char *schema, pgc_schema_kind kind);

/* The same with :"channel", the name of a channel for notifications, and nothing else. It is of lower-case letters, digits and _. */
void pgc_sql_resolve_channel(pgc_buffer *out, const char *text, const char *channel);

/* What init is told by the settings of these names. None of them has quotes or backslashes. */
typedef struct pgc_sql_roles {
  const char *app_role; /* "": nobody */
  const char *app_namespaces;
  const char *grants;
  const char *owner_role;
  const char *notify_channel; /* "": a random one */
} pgc_sql_roles;

/* The same with :'app_role', :'app_namespaces', :'grants', :'owner_role' and :'notify_channel' resolved, too. */
void pgc_sql_resolve_roles(pgc_buffer *out, const char *text, const char *schema, pgc_schema_kind kind,
                           const pgc_sql_roles *roles);

#endif
