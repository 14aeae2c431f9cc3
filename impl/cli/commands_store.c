/*
 * commands_store.c - the commands on the cache as a whole: init, upgrade, keys, flush, stats.
 *
 * It must never flush without being told to: a person at a terminal is asked first.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "exposition.h"
#include "options.h"
#include "output.h"
#include "platform/memory.h"
#include "watch.h"

/* ---- init, upgrade --------------------------------------------------------------------------------------------- */

static int print_sql(const cli_session *session) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *sql = NULL;
  pgcache_status status = pgcache_init_sql(&sql, session->config, &error);
  if (status != PGCACHE_OK)
    return out_failure(status, &error);
  if (out_is_json()) {
    json_open("init");
    json_string("status", pgcache_status_name(status));
    json_string("outcome", "printed");
    json_string("sql", pgcache_value_data(sql));
    json_close();
  } else {
    out_write(pgcache_value_data(sql), pgcache_value_size(sql));
  }
  pgcache_value_free(sql);
  return CLI_OK;
}

typedef pgcache_status schema_call(pgcache *self, const pgcache_options *options, pgcache_error *error);

/* PGCACHE_EXISTS is what was wanted here, and no failure. */
static int run_schema_call(cli_session *session, schema_call *call, const char *what, const char *done) {
  int code = session_open(session);
  if (code != CLI_OK)
    return code;
  pgcache_error error = PGCACHE_ERROR_INIT;
  watch_begin(session->cache, what);
  pgcache_status status = call(session->cache, NULL, &error);
  watch_end();
  if (status < 0)
    return out_failure(status, &error);
  out_outcome(session->command->name, status, status == PGCACHE_OK ? done : "current", STYLE_GOOD);
  return CLI_OK;
}

int command_init(cli_session *session) {
  bool no_address = pgcache_config_get(session->config, "url")[0] == '\0';
  bool dry_run = cli_given(session, OPTION_DRY_RUN);
  if (no_address && !dry_run)
    out_note("no address was given, so nothing was made; this is the SQL for an administrator to run");
  if (no_address || dry_run)
    return print_sql(session);
  return run_schema_call(session, pgcache_init, "making the schema", "made");
}

int command_upgrade(cli_session *session) {
  return run_schema_call(session, pgcache_upgrade, "upgrading the schema", "upgraded");
}

/* ---- keys ------------------------------------------------------------------------------------------------------ */

static void print_key(const pgcache_value *key) {
  char text[32];
  int64_t ttl = pgcache_value_ttl_ms(key);
  if (out_is_json()) {
    json_item_open();
    json_bytes("key", pgcache_value_data(key), pgcache_value_size(key));
    json_integer_text("version", pgcache_value_version(key));
    json_integer("format", pgcache_value_format(key));
    json_ttl("ttl_ms", ttl);
    json_item_close();
    return;
  }
  if (out_for_people()) {
    out_style(STYLE_DIM);
    out_format("%10s  %6" PRId32 "  %20" PRId64 "  ", out_duration(text, ttl), pgcache_value_format(key),
               pgcache_value_version(key));
    out_style(STYLE_OFF);
  }
  out_escaped(pgcache_value_data(key), pgcache_value_size(key));
  out_text("\n");
}

/* Asks for page after page and prints each at once; *listed is how many keys that were. */
static pgcache_status list_keys(int64_t *listed, cli_session *session, const cli_bytes *prefix, cli_bytes after,
                                int64_t limit, int64_t page_size, pgcache_error *error) {
  pgcache_value *page[PGCACHE_BATCH_MAX];
  pgcache_value *last = NULL; /* keeps what `after` points to */
  pgcache_status status = PGCACHE_OK;
  size_t count = 0;
  size_t asked = 0;
  do {
    asked = (size_t)(limit - *listed < page_size ? limit - *listed : page_size);
    watch_begin(session->cache, "listing keys");
    status = pgcache_keys(session->cache, page, asked, &count, prefix->data, prefix->size, after.data, after.size, NULL,
                          error);
    watch_end();
    if (status < 0)
      break;
    for (size_t index = 0; index < count; index++)
      print_key(page[index]);
    *listed += (int64_t)count;
    if (count > 0) {
      pgcache_value_free(last);
      last = pgcache_value_retain(page[count - 1]);
      after.data = (unsigned char *)(uintptr_t)pgcache_value_data(last);
      after.size = pgcache_value_size(last);
    }
    for (size_t index = 0; index < count; index++)
      pgcache_value_free(page[index]);
  } while (count == asked && *listed < limit && out_flush());
  pgcache_value_free(last);
  return status;
}

static int run_keys(cli_session *session, const cli_bytes *prefix, cli_bytes after, int64_t limit, int64_t page_size) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  int64_t listed = 0;
  if (out_is_json()) {
    json_open("keys");
    json_array_open("keys");
  } else if (out_for_people()) {
    out_style(STYLE_BOLD);
    out_format("%10s  %6s  %20s  %s\n", "TTL", "FORMAT", "VERSION", "KEY");
    out_style(STYLE_OFF);
  }
  pgcache_status status = list_keys(&listed, session, prefix, after, limit, page_size, &error);
  if (out_is_json()) {
    json_array_close();
    json_integer("count", listed);
  }
  if (status < 0)
    return out_failure(status, &error);
  if (out_is_json()) {
    json_string("status", pgcache_status_name(status));
    json_close();
  }
  return CLI_OK;
}

int command_keys(cli_session *session) {
  int64_t limit = INT64_MAX;
  int64_t page_size = PGCACHE_BATCH_MAX;
  cli_bytes prefix = {NULL, 0};
  cli_bytes after = {NULL, 0};
  int code = options_number(&limit, session, OPTION_LIMIT, 1, INT64_MAX, INT64_MAX);
  if (code == CLI_OK)
    code = options_number(&page_size, session, OPTION_PAGE_SIZE, 1, PGCACHE_BATCH_MAX, PGCACHE_BATCH_MAX);
  if (code == CLI_OK && session->operand_count == 1)
    code = options_key(&prefix, session, session->operands[0], "prefix");
  if (code == CLI_OK && cli_given(session, OPTION_AFTER))
    code = options_key(&after, session, session->values[OPTION_AFTER], "key of --after");
  if (code == CLI_OK)
    code = session_open(session);
  if (code == CLI_OK)
    code = run_keys(session, &prefix, after, limit, page_size);
  pgc_free(prefix.data);
  pgc_free(after.data);
  return code;
}

/* ---- flush --------------------------------------------------------------------------------------------------- */

/* True unless a person was asked and did not say yes. */
static bool confirmed(const cli_session *session, bool all) {
  if (cli_given(session, OPTION_YES) || isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)
    return true;
  if (all)
    fprintf(stderr, "Remove every entry of all namespaces of the schema %s? [y/N] ",
            pgcache_config_get(session->config, "schema"));
  else
    fprintf(stderr, "Remove every entry of the namespace %s? [y/N] ", pgcache_config_get(session->config, "namespace"));
  fflush(stderr);
  char answer[16];
  if (fgets(answer, sizeof answer, stdin) == NULL) {
    fputc('\n', stderr);
    return false;
  }
  answer[strcspn(answer, "\r\n")] = '\0';
  return strcmp(answer, "y") == 0 || strcmp(answer, "Y") == 0 || strcmp(answer, "yes") == 0;
}

/* Prints how many rows were removed; with --json after an error too. */
static int print_removed(const char *command, pgcache_status status, int64_t removed, const pgcache_error *error) {
  if (out_is_json()) {
    json_open(command);
    json_integer("removed", removed);
    if (status < 0)
      return out_failure(status, error);
    json_string("status", pgcache_status_name(status));
    json_string("outcome", "removed");
    json_close();
    return CLI_OK;
  }
  if (status < 0)
    return out_failure(status, error);
  out_format(out_for_people() ? "%" PRId64 " removed\n" : "%" PRId64 "\n", removed);
  return CLI_OK;
}

int command_flush(cli_session *session) {
  int code = session_open(session);
  if (code != CLI_OK)
    return code;
  bool all = cli_given(session, OPTION_ALL);
  if (!confirmed(session, all)) {
    out_outcome("flush", PGCACHE_MISS, "not flushed", STYLE_BAD);
    return CLI_NEGATIVE;
  }
  pgcache_error error = PGCACHE_ERROR_INIT;
  int64_t removed = 0;
  watch_begin(session->cache, "flushing");
  pgcache_status status =
      pgcache_flush(session->cache, &removed, all ? PGCACHE_FLUSH_ALL : PGCACHE_FLUSH_NAMESPACE, NULL, &error);
  watch_end();
  return print_removed("flush", status, removed, &error);
}

/* ---- stats ----------------------------------------------------------------------------------------------------- */

static void print_stats_table(const pgcache_store_stats *stats) {
  char text[32];
  const struct {
    const char *label;
    int64_t number;
    bool bytes;
  } rows[] = {{"entries", stats->entries, false},
              {"expired, not yet deleted", stats->expired, false},
              {"values", stats->value_bytes, true},
              {"table on disk", stats->relation_bytes, true},
              {"schema version", stats->schema_version, false},
              {"epoch", stats->epoch, false}};
  for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
    out_style(STYLE_DIM);
    out_format("%-26s", rows[index].label);
    out_style(STYLE_OFF);
    if (rows[index].bytes)
      out_format("%14s\n", out_size(text, rows[index].number));
    else
      out_format("%14" PRId64 "\n", rows[index].number);
  }
  out_style(STYLE_DIM);
  out_format("%-26s", "table");
  out_style(STYLE_OFF);
  out_format("%14s\n", stats->logged != 0 ? "logged" : "unlogged");
  out_style(STYLE_DIM);
  out_format("%-26s", "PostgreSQL");
  out_style(STYLE_OFF);
  char version[32];
  snprintf(version, sizeof version, "%" PRId32 ".%" PRId32, stats->server_version / 10000,
           stats->server_version % 10000);
  out_format("%14s\n", version);
}

/* For line tools: a name, a tab, a number. The names are those of the JSON. */
static void print_stats(const pgcache_store_stats *stats) {
  const struct {
    const char *name;
    int64_t number;
  } rows[] = {{"entries", stats->entries},
              {"expired", stats->expired},
              {"value_bytes", stats->value_bytes},
              {"relation_bytes", stats->relation_bytes},
              {"schema_version", stats->schema_version},
              {"epoch", stats->epoch},
              {"logged", stats->logged},
              {"server_version", stats->server_version}};
  if (out_is_json()) {
    json_open("stats");
    json_string("status", pgcache_status_name(PGCACHE_OK));
  }
  for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
    if (!out_is_json())
      out_format("%s\t%" PRId64 "\n", rows[index].name, rows[index].number);
    else if (strcmp(rows[index].name, "logged") == 0)
      json_boolean(rows[index].name, rows[index].number != 0);
    else
      json_integer(rows[index].name, rows[index].number);
  }
  if (out_is_json())
    json_close();
}

int command_stats(cli_session *session) {
  bool prometheus = cli_given(session, OPTION_PROMETHEUS);
  if (prometheus && out_is_json()) {
    out_error("--prometheus and --json are two forms; give one of them");
    return CLI_USAGE;
  }
  int code = session_open(session);
  if (code != CLI_OK)
    return code;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_store_stats stats = PGCACHE_STORE_STATS_INIT;
  watch_begin(session->cache, "counting");
  pgcache_status status = pgcache_stats(session->cache, &stats, NULL, &error);
  watch_end();
  if (status < 0)
    return out_failure(status, &error);
  if (prometheus)
    return exposition_print(session, &stats);
  if (out_for_people())
    print_stats_table(&stats);
  else
    print_stats(&stats);
  return CLI_OK;
}
