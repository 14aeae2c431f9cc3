/*
 * commands_tags.c - the commands on what entries depend on: invalidate, tags.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "options.h"
#include "output.h"
#include "platform/memory.h"
#include "report.h"
#include "watch.h"

/* ---- invalidate ------------------------------------------------------------------------------------------------ */

int command_invalidate(cli_session *session) {
  cli_dependencies what;
  int code = options_dependencies(&what, session, session->operands, session->operand_count, PGCACHE_DEPENDS_ON_KEY);
  if (code == CLI_OK && what.count == 0) {
    out_error("nothing to do: give tags with --tag, or keys");
    code = CLI_USAGE;
  }
  if (code == CLI_OK)
    code = session_open(session);
  if (code == CLI_OK) {
    pgcache_error error = PGCACHE_ERROR_INIT;
    watch_begin(session->cache, "invalidating");
    pgcache_status status = pgcache_invalidate(session->cache, what.items, what.count, NULL, &error);
    watch_end();
    if (status < 0)
      code = out_failure(status, &error);
    else
      out_outcome("invalidate", status, "invalidated", STYLE_GOOD);
  }
  options_free_dependencies(&what);
  return code;
}

/* ---- tags ------------------------------------------------------------------------------------------------------ */

/* The number behind the next colon, comma or bracket. */
static int64_t take_number(char **rest) {
  *rest += strcspn(*rest, "0123456789");
  return strtoll(*rest, rest, 10);
}

/* What depends on each tag that was given: the numbers of the report are in the same order. */
static void print_counts(char **rest, const cli_dependencies *tags) {
  if (out_is_json())
    json_array_open("tags");
  for (size_t index = 0; index < tags->count; index++) {
    int64_t entries = take_number(rest);
    if (out_is_json()) {
      json_item_open();
      json_bytes("tag", tags->names[index].data, tags->names[index].size);
      json_integer("entries", entries);
      json_item_close();
    } else {
      out_format(out_for_people() ? "%12" PRId64 "  " : "%" PRId64 "\t", entries);
      out_escaped(tags->names[index].data, tags->names[index].size);
      out_text("\n");
    }
  }
  if (out_is_json())
    json_array_close();
}

static void print_field(const char *text, const char *end) {
  out_escaped(text, strlen(text));
  out_text(end);
}

/* The tags of watched tables, a row for each. */
static void print_watched(char *rest) {
  const char *between = out_for_people() ? "  " : "\t";
  if (out_is_json())
    json_array_open("watched");
  for (rest += strcspn(rest, "{]"); *rest == '{'; rest += strcspn(rest, "{]")) {
    const char *members[3];
    for (size_t index = 0; index < 3; index++) {
      report_string(&rest); /* its name */
      members[index] = report_string(&rest);
    }
    if (out_is_json()) {
      json_item_open();
      json_string("table", members[0]);
      json_string("namespace", members[1]);
      json_string("tag", members[2]);
      json_item_close();
    } else {
      print_field(members[0], between);
      print_field(members[1], between);
      print_field(members[2], "\n");
    }
  }
  if (out_is_json())
    json_array_close();
}

/* The report is {"entries":[...],"tagged":n,"watched":[{"table":"","namespace":"","tag":""},...]}. */
static void print_tags(char *report, const cli_dependencies *tags) {
  char *rest = strstr(report, "\"entries\"");
  bool all = tags->count == 0;
  if (out_is_json()) {
    json_open("tags");
    json_string("status", pgcache_status_name(PGCACHE_OK));
  }
  print_counts(&rest, tags);
  rest = strstr(rest, "\"tagged\"");
  int64_t tagged = take_number(&rest);
  if (out_is_json()) {
    json_integer("tagged", tagged);
    print_watched(rest);
    json_close();
  } else if (all) {
    if (out_for_people())
      out_format("%" PRId64 " entries depend on tags or other keys; watched tables:\n", tagged);
    print_watched(rest);
  }
}

int command_tags(cli_session *session) {
  cli_dependencies tags;
  int code = options_dependencies(&tags, session, session->operands, session->operand_count, PGCACHE_DEPENDS_ON_TAG);
  if (code == CLI_OK)
    code = session_open(session);
  if (code == CLI_OK) {
    pgcache_error error = PGCACHE_ERROR_INIT;
    pgcache_value *report = NULL;
    watch_begin(session->cache, "counting");
    pgcache_status status = pgcache_dependents(session->cache, &report, tags.items, tags.count, NULL, &error);
    watch_end();
    if (status < 0) {
      code = out_failure(status, &error);
    } else {
      cli_bytes text; /* a copy, to be cut into pieces */
      options_text(&text, pgcache_value_data(report));
      print_tags((char *)text.data, &tags);
      pgc_free(text.data);
    }
    pgcache_value_free(report);
  }
  options_free_dependencies(&tags);
  return code;
}
