/*
 * migrations.h - the steps that lead from no schema to the one this library works with. Only ever forward.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PURE_MIGRATIONS_H
#define PGC_PURE_MIGRATIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/buffer.h"
#include "pure/sql_text.h"

typedef struct pgc_migration {
  int version;     /* the schema version that it leads to; several steps may share one */
  const char *sql; /* see sql_text.h */
} pgc_migration;

typedef struct pgc_migrations {
  const pgc_migration *steps; /* in order */
  size_t count;
} pgc_migrations;

/* This library's steps; the version of the last one is the version that it works with. */
pgc_migrations pgc_migrations_list(void);
int pgc_migrations_version(pgc_migrations migrations);

/* Appends one script that makes the whole schema, in one transaction. inline_values: see inline_values.sql. roles: what
   else the settings say; NULL: nothing. */
void pgc_migrations_script(pgc_buffer *out, const char *schema, pgc_schema_kind kind, bool inline_values,
                           const pgc_sql_roles *roles);

#endif
