/*
 * sql_text.h - puts the names of one cache into the SQL files. Substitutes, and never assembles.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_SQL_TEXT_H
#define PGC_PURE_SQL_TEXT_H

#include <stdbool.h>

#include "platform/buffer.h"

/* Appends the text with psql's notation for variables resolved:
     :"schema"       the schema, quoted
     :'schema'       the schema, as a literal; in the same way :'cache', :'entries' and :'version_seq', with the schema
     :persistence    UNLOGGED, or nothing for a logged table
     :logged         true or false
   The schema has been checked to be a plain lower-case identifier. */
void pgc_sql_resolve(pgc_buffer *out, const char *text, const char *schema, bool logged);

#endif
