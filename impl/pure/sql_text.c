/*
 * sql_text.c - see sql_text.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/sql_text.h"

#include <stddef.h>
#include <string.h>

static void resolve(pgc_buffer *out, const char *text, const char *schema, pgc_schema_kind kind,
                    const pgc_sql_roles *roles, const char *now) {
  const struct {
    const char *name;
    const char *before, *middle, *after;
  } variables[] = {
      {":\"schema\"", "\"", schema, "\""},
      {":'schema'", "'", schema, "'"},
      {":'cache'", "'", schema, ".cache'"},
      {":'version_seq'", "'", schema, ".version_seq'"},
      {":'entries'", "'", schema, ".entries'"},
      {":'invalidations'", "'", schema, ".invalidations'"},
      {":'library_get'", "'", schema, ".library_get(uuid)'"},
      {":'restricted_get'", "'", schema, ".restricted_get(uuid)'"},
      {":'app_role'", "'", roles->app_role, "'"},
      {":'app_namespaces'", "'", roles->app_namespaces, "'"},
      {":'grants'", "'", roles->grants, "'"},
      {":'owner_role'", "'", roles->owner_role, "'"},
      {":'notify_channel'", "'", roles->notify_channel, "'"},
      {":persistence", "", kind.logged ? "" : "UNLOGGED", ""},
      {":logged", "", kind.logged ? "true" : "false", ""},
      {":coherent", "", kind.coherent ? "true" : "false", ""},
      {":now", "", now, ""},
  };

  const char *other = kind.coherent ? "-- @untold" : "-- @told";
  for (const char *rest = text; *rest != '\0';) {
    size_t plain = strcspn(rest, ":-");
    pgc_buffer_append(out, rest, plain);
    rest += plain;
    if (strncmp(rest, other, strlen(other)) == 0) {
      const char *end = strstr(rest, "-- @end");
      rest = end != NULL ? end : rest + strlen(rest);
      continue;
    }
    size_t found = 0;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0] && found == 0; i++) {
      size_t length = strlen(variables[i].name);
      if (strncmp(rest, variables[i].name, length) != 0)
        continue;
      pgc_buffer_append_text(out, variables[i].before);
      pgc_buffer_append_text(out, variables[i].middle);
      pgc_buffer_append_text(out, variables[i].after);
      found = length;
    }
    if (found == 0 && *rest != '\0') { /* a cast, a comment, a minus */
      found = strspn(rest, *rest == ':' ? ":" : "-");
      pgc_buffer_append(out, rest, found);
    }
    rest += found;
  }
}

static const pgc_sql_roles nobody = {"", "", "", "", ""};

void pgc_sql_resolve(pgc_buffer *out, const char *text, const char *schema, pgc_schema_kind kind) {
  resolve(out, text, schema, kind, &nobody, "statement_timestamp()");
}

void pgc_sql_resolve_alone(pgc_buffer *out, const char *text, const char *schema, pgc_schema_kind kind) {
  resolve(out, text, schema, kind, &nobody, "now()");
}

void pgc_sql_resolve_roles(pgc_buffer *out, const char *text, const char *schema, pgc_schema_kind kind,
                           const pgc_sql_roles *roles) {
  resolve(out, text, schema, kind, roles, "statement_timestamp()");
}

void pgc_sql_resolve_channel(pgc_buffer *out, const char *text, const char *channel) {
  static const char variable[] = ":\"channel\"";
  const char *found;
  while ((found = strstr(text, variable)) != NULL) {
    pgc_buffer_append(out, text, (size_t)(found - text));
    pgc_buffer_append_text(out, "\"");
    pgc_buffer_append_text(out, channel);
    pgc_buffer_append_text(out, "\"");
    text = found + sizeof variable - 1;
  }
  pgc_buffer_append_text(out, text);
}
