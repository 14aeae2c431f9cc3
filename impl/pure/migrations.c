/*
 * migrations.c - see migrations.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/migrations.h"

#include "pgc_sql.h"
#include "pure/sql_text.h"

static const pgc_migration steps[] = {
    {1, pgc_sql_migrations_0001_tables},        {1, pgc_sql_migrations_0001_functions},
    {1, pgc_sql_migrations_0001_statements},    {1, pgc_sql_migrations_0001_api},
    {1, pgc_sql_migrations_0001_invalidations}, {1, pgc_sql_migrations_0001_watch},
    {1, pgc_sql_migrations_0001_janitor},       {1, pgc_sql_migrations_0001_summaries},
    {1, pgc_sql_migrations_0001_roles},
};

pgc_migrations pgc_migrations_list(void) {
  return (pgc_migrations){steps, sizeof steps / sizeof steps[0]};
}

int pgc_migrations_version(pgc_migrations migrations) {
  return migrations.steps[migrations.count - 1].version;
}

void pgc_migrations_script(pgc_buffer *out, const char *schema, pgc_schema_kind kind, bool inline_values,
                           const pgc_sql_roles *roles) {
  pgc_buffer_append_text(out, "BEGIN;\nSET LOCAL search_path = pg_catalog, pg_temp;\n"
                              "SET LOCAL client_min_messages = warning;\n"
                              "SET LOCAL standard_conforming_strings = on;\n");
  if (roles != NULL && roles->app_role[0] != '\0') {
    pgc_sql_resolve_roles(out, pgc_sql_statements_make_roles, schema, kind, roles);
    pgc_buffer_append_text(out, ";\n");
  }
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
    pgc_sql_resolve(out, steps[i].sql, schema, kind);
  if (inline_values) {
    pgc_sql_resolve(out, pgc_sql_statements_inline_values, schema, kind);
    pgc_buffer_append_text(out, ";\n");
  }
  if (roles != NULL && roles->notify_channel[0] != '\0') {
    pgc_sql_resolve_roles(out, pgc_sql_statements_set_channel, schema, kind, roles);
    pgc_buffer_append_text(out, ";\n");
  }
  if (roles != NULL && roles->app_role[0] != '\0') {
    pgc_sql_resolve_roles(out, pgc_sql_statements_grant_access, schema, kind, roles);
    pgc_buffer_append_text(out, ";\n");
  }
  pgc_buffer_append_text(out, "COMMIT;\n");
}
