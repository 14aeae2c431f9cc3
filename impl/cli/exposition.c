/*
 * exposition.c - see exposition.h. What processes have published is written by the code of libpgcache-prometheus, each process
 * with the label `origin`: added up, their counters would fall when one of them ends.
 *
 * It must never print half of an exposition: a scraper would take the series that are missing for ended.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "exposition.h"

#include <inttypes.h>

#include "output.h"
#include "pgcache_prometheus.h"
#include "platform/memory.h"
#include "published.h"
#include "watch.h"

/* Gauges of the store, under names beside those of the snapshots. */
static void print_store(const pgcache_store_stats *stats) {
  const struct {
    const char *name, *help;
    int64_t value;
  } rows[] = {{"entries", "Entries of all namespaces that have not expired.", stats->entries},
              {"expired_entries", "Rows that have expired and wait for cleanup.", stats->expired},
              {"value_bytes", "What the values of both take, as stored.", stats->value_bytes},
              {"relation_bytes", "The table on disk, with its index and out-of-line values.", stats->relation_bytes},
              {"schema_version", "The version of the schema.", stats->schema_version},
              {"epoch", "How often the server lost the unlogged tables, from 1 on.", stats->epoch}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    out_format("# HELP pgcache_store_%s %s\n# TYPE pgcache_store_%s gauge\npgcache_store_%s %" PRId64 "\n",
               rows[i].name, rows[i].help, rows[i].name, rows[i].name, rows[i].value);
}

static pgcache_status make_text(char **text, size_t *size, pgcache_snapshot *const *snapshots, size_t count,
                                pgcache_error *error) {
  pgcache_prometheus_source *sources = cli_memory(NULL, (count + 1) * sizeof *sources);
  for (size_t i = 0; i < count; i++)
    sources[i] =
        (pgcache_prometheus_source){sizeof *sources, snapshots[i], "origin", pgcache_snapshot_origin(snapshots[i])};
  pgcache_status status = pgcache_prometheus_text(text, size, sources, count, PGCACHE_PROMETHEUS_TEXT, error);
  pgc_free(sources);
  return status;
}

int exposition_print(cli_session *session, const pgcache_store_stats *stats) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_snapshot **snapshots;
  size_t count, size;
  char *text = NULL;
  watch_begin(session->cache, "reading what is published");
  pgcache_status status =
      published_read(session->cache, &snapshots, &count, PGCACHE_PROMETHEUS_SOURCES_MAX + 1, &error);
  watch_end();
  if (status == PGCACHE_OK && count > PGCACHE_PROMETHEUS_SOURCES_MAX) {
    published_free(snapshots, count);
    out_error(
        "more than %d processes publish: an exposition has no room for all of them; have them scraped by themselves, "
        "with libpgcache-prometheus",
        PGCACHE_PROMETHEUS_SOURCES_MAX);
    return CLI_ERROR;
  }
  if (status == PGCACHE_OK) {
    status = make_text(&text, &size, snapshots, count, &error);
    published_free(snapshots, count);
  }
  if (status < 0)
    return out_failure(status, &error);
  print_store(stats);
  out_write(text, size);
  pgcache_prometheus_text_free(text);
  return CLI_OK;
}
