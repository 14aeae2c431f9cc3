/*
 * commands_tidy.c - the commands that keep the cache small: cleanup, limit, usage.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "options.h"
#include "output.h"
#include "watch.h"

/* How long one call of cleanup works, so that people see how far it is. */
#define PART_MS 1000

/* ---- cleanup --------------------------------------------------------------------------------------------------- */

/* Walks over the whole table, part by part; beside another janitor, and as a role that may not walk for all, in one go. */
static pgcache_status clean_up(cli_session *session, pgcache_cleanup_progress *progress, pgcache_error *error) {
  pgcache_status status;
  progress->restart = 1;
  do {
    char what[64];
    int64_t percent = progress->blocks > 0 ? progress->blocks_done * 100 / progress->blocks : 0;
    snprintf(what, sizeof what, "%s, %" PRId64 "%%",
             progress->evicting ? "evicting what is cold" : "deleting what has expired", percent);
    watch_begin(session->cache, what);
    status = pgcache_cleanup_some(session->cache, progress, PART_MS, NULL, error);
    watch_end();
  } while (status == PGCACHE_OK && !progress->finished && !progress->busy);
  if (status == PGCACHE_DENIED || (status == PGCACHE_OK && progress->busy)) {
    int64_t removed = 0;
    watch_begin(session->cache, "deleting what has expired");
    status = pgcache_cleanup(session->cache, &removed, NULL, error);
    watch_end();
    progress->removed += removed;
  }
  return status;
}

int command_cleanup(cli_session *session) {
  int code = session_open(session);
  if (code != CLI_OK)
    return code;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  pgcache_status status = clean_up(session, &progress, &error);
  if (out_is_json()) {
    json_open("cleanup");
    json_integer("removed", progress.removed);
    json_integer("evicted", progress.evicted);
  }
  if (status < 0)
    return out_failure(status, &error);
  if (out_is_json()) {
    json_string("status", pgcache_status_name(status));
    json_string("outcome", "removed");
    json_close();
  } else if (out_for_people()) {
    out_format("%" PRId64 " removed\n", progress.removed);
    if (progress.evicted > 0)
      out_format("%" PRId64 " evicted\n", progress.evicted);
  } else {
    out_format("%" PRId64 "\n", progress.removed);
  }
  return CLI_OK;
}

/* ---- limit ----------------------------------------------------------------------------------------------------- */

/* A limit as it was given: a number, or none. */
static int read_limit(int64_t *limit, const cli_session *session, option_id id) {
  if (cli_given(session, id) && strcmp(session->values[id], "none") == 0) {
    *limit = PGCACHE_LIMIT_NONE;
    return CLI_OK;
  }
  return options_number(limit, session, id, 1, INT64_MAX, PGCACHE_LIMIT_KEEP);
}

int command_limit(cli_session *session) {
  int64_t entries, bytes;
  int code = read_limit(&entries, session, OPTION_MAX_ENTRIES);
  if (code == CLI_OK)
    code = read_limit(&bytes, session, OPTION_MAX_BYTES);
  if (code != CLI_OK)
    return code;
  if (entries == PGCACHE_LIMIT_KEEP && bytes == PGCACHE_LIMIT_KEEP) {
    out_error("nothing to do: give --max-entries or --max-bytes; `pgcache usage` shows the limits");
    return CLI_USAGE;
  }
  code = session_open(session);
  if (code != CLI_OK)
    return code;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_limit_scope scope = cli_given(session, OPTION_ALL) ? PGCACHE_LIMIT_ALL : PGCACHE_LIMIT_NAMESPACE;
  watch_begin(session->cache, "setting the limit");
  pgcache_status status = pgcache_set_limits(session->cache, scope, entries, bytes, NULL, &error);
  watch_end();
  if (status < 0)
    return out_failure(status, &error);
  out_outcome("limit", status, "set", STYLE_GOOD);
  return CLI_OK;
}

/* ---- usage ----------------------------------------------------------------------------------------------------- */

static void print_people_usage(const pgcache_usage *usage) {
  char bytes[32], entries[32] = "-", most[32] = "-";
  if (usage->max_entries != PGCACHE_LIMIT_NONE)
    snprintf(entries, sizeof entries, "%" PRId64, usage->max_entries);
  if (usage->max_bytes != PGCACHE_LIMIT_NONE)
    out_size(most, usage->max_bytes);
  out_format("%12" PRId64 "  %12s  %12s  %12s  %10" PRId64 "  ", usage->entries, entries, out_size(bytes, usage->bytes),
             most, usage->expired);
  out_text(usage->namespace_name[0] != '\0' ? usage->namespace_name : "(all)");
  out_text("\n");
}

void cli_json_usage(const pgcache_usage *usage) {
  json_item_open();
  json_string("namespace", usage->namespace_name);
  json_integer("entries", usage->entries);
  json_integer("bytes", usage->bytes);
  json_integer("expired", usage->expired);
  json_integer("max_entries", usage->max_entries);
  json_integer("max_bytes", usage->max_bytes);
  json_item_close();
}

static void print_usage(const pgcache_usage *usage) {
  if (out_is_json()) {
    cli_json_usage(usage);
  } else if (out_for_people()) {
    print_people_usage(usage);
  } else {
    out_format("%s\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\n", usage->namespace_name,
               usage->entries, usage->bytes, usage->expired, usage->max_entries, usage->max_bytes);
  }
}

int command_usage(cli_session *session) {
  enum { PAGE = 100 };
  pgcache_usage page[PAGE];
  char after[sizeof page[0].namespace_name] = "";
  int code = session_open(session);
  if (code != CLI_OK)
    return code;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status;
  size_t count = 0;
  bool first = true;
  do {
    for (size_t index = 0; index < PAGE; index++)
      page[index] = (pgcache_usage)PGCACHE_USAGE_INIT;
    watch_begin(session->cache, "counting");
    status = pgcache_read_usage(session->cache, page, PAGE, &count, first ? NULL : after, NULL, &error);
    watch_end();
    if (status < 0)
      break;
    if (first && out_is_json()) {
      json_open("usage");
      json_array_open("namespaces");
    } else if (first && out_for_people()) {
      out_style(STYLE_BOLD);
      out_format("%12s  %12s  %12s  %12s  %10s  %s\n", "ENTRIES", "LIMIT", "BYTES", "LIMIT", "EXPIRED", "NAMESPACE");
      out_style(STYLE_OFF);
    }
    first = false;
    for (size_t index = 0; index < count; index++)
      print_usage(&page[index]);
    if (count > 0)
      memcpy(after, page[count - 1].namespace_name, sizeof after);
  } while (count == PAGE && out_flush());
  if (!first && out_is_json())
    json_array_close();
  if (status < 0)
    return out_failure(status, &error);
  if (out_is_json()) {
    json_string("status", pgcache_status_name(status));
    json_close();
  }
  return CLI_OK;
}
