/*
 * top.c - the command top: what all processes do with the cache, as a screen that is drawn anew, as lines, or as JSON.
 *
 * Owns how the figures look. It must never count for itself what top_figures.c does not know, nor ask the server for more than
 * it should bear: what the namespaces hold is found out by reading the whole table, so that is done rarely.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "options.h"
#include "output.h"
#include "platform/memory.h"
#include "screen.h"
#include "top_figures.h"
#include "watch.h"

#define INTERVAL_MS 2000
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 86400000

/* The table is read for the namespaces at most so often, and for at most this share of the time. */
#define USAGE_PAUSE_MS 10000
#define USAGE_SHARE 20

/* What one page of namespaces holds; the largest of them are shown. */
#define NAMESPACES_MAX 100

typedef struct top_state {
  pgcache *cache;
  const char *schema;
  int64_t interval_ms;
  top_figures figures;
  pgcache_usage usage[NAMESPACES_MAX];
  size_t usage_count;
  int64_t usage_again_ms;
  pgcache_error error; /* of what was read last */
} top_state;

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------ */

/* The largest first; the row for all of them is the first of all. */
static int largest_first(const void *left, const void *right) {
  const pgcache_usage *a = left, *b = right;
  if (a->namespace_name[0] == '\0' || b->namespace_name[0] == '\0')
    return a->namespace_name[0] == '\0' ? -1 : 1;
  if (a->bytes != b->bytes)
    return a->bytes < b->bytes ? 1 : -1;
  return strcmp(a->namespace_name, b->namespace_name);
}

static pgcache_status read_usage(top_state *self) {
  int64_t began = now_ms();
  if (began < self->usage_again_ms)
    return PGCACHE_OK;
  for (size_t i = 0; i < NAMESPACES_MAX; i++)
    self->usage[i] = (pgcache_usage)PGCACHE_USAGE_INIT;
  pgcache_status status =
      pgcache_read_usage(self->cache, self->usage, NAMESPACES_MAX, &self->usage_count, NULL, NULL, &self->error);
  int64_t ended = now_ms(), pause = (ended - began) * USAGE_SHARE;
  self->usage_again_ms = ended + (pause > USAGE_PAUSE_MS ? pause : USAGE_PAUSE_MS);
  if (status == PGCACHE_OK && self->usage_count > 0)
    qsort(self->usage, self->usage_count, sizeof self->usage[0], largest_first);
  return status;
}

static pgcache_status read_figures(top_state *self) {
  self->error = (pgcache_error)PGCACHE_ERROR_INIT;
  watch_begin(self->cache, NULL);
  pgcache_status status = top_read(&self->figures, self->cache, &self->error);
  if (status == PGCACHE_OK)
    status = read_usage(self);
  watch_end();
  return status;
}

/* ---- Figures as text ---------------------------------------------------------------------------------------------- */

typedef enum figure_kind { FIGURE_COUNT, FIGURE_RATE, FIGURE_SHARE, FIGURE_SECONDS, FIGURE_BYTES } figure_kind;

/* For people; buffer is at least 32 bytes. */
static const char *figure(char *buffer, figure_kind kind, double value) {
  if (isnan(value))
    return "-";
  switch (kind) {
  case FIGURE_COUNT:
    snprintf(buffer, 32, "%.0f", value);
    break;
  case FIGURE_RATE:
    snprintf(buffer, 32, "%.*f", value < 100 ? 1 : 0, value);
    break;
  case FIGURE_SHARE:
    snprintf(buffer, 32, "%.1f%%", 100 * value);
    break;
  case FIGURE_SECONDS:
    if (value < 1e-3)
      snprintf(buffer, 32, "%.*f us", value < 1e-5 ? 1 : 0, value * 1e6);
    else if (value < 1)
      snprintf(buffer, 32, "%.*f ms", value < 1e-2 ? 2 : 1, value * 1e3);
    else
      snprintf(buffer, 32, "%.2f s", value);
    break;
  case FIGURE_BYTES:
    return out_size(buffer, (int64_t)value);
  }
  return buffer;
}

static double share(double part, double whole) {
  return whole > 0 ? part / whole : NAN;
}

static double hit_ratio(const top_row *row) {
  return share(row->hits, row->hits + row->misses);
}

/* ---- For machines ------------------------------------------------------------------------------------------------- */

/* The figures that are one number each, under names that scripts know. */
typedef struct headline {
  const char *name;
  double value;
} headline;

#define HEADLINES 17

static void make_headlines(headline *out, const top_figures *figures) {
  const top_row *all = &figures->all;
  const top_gauge *gauges = figures->gauges;
  const headline made[HEADLINES] = {
      {"processes", (double)figures->process_count},
      {"since_start", figures->between ? 0 : 1},
      {"calls", all->calls},
      {"calls_per_second", all->per_second},
      {"errors_per_second", all->errors_per_second},
      {"hit_ratio", hit_ratio(all)},
      {"near_hit_ratio", share(figures->near_hits, all->hits + all->misses)},
      {"p50_seconds", all->p50},
      {"p99_seconds", all->p99},
      {"connections_idle", gauges[TOP_POOL_IDLE].sum},
      {"connections_lent", gauges[TOP_POOL_LENT].sum},
      {"connections_waited_for", gauges[TOP_POOL_WAITING].sum},
      {"requests", gauges[TOP_REQUESTS].sum},
      {"near_entries", gauges[TOP_NEAR_ENTRIES].sum},
      {"near_bytes", gauges[TOP_NEAR_BYTES].sum},
      {"stream_lag_seconds", gauges[TOP_NEAR_LAG].most},
      {"breakers_open", gauges[TOP_BREAKER_OPEN].sum},
  };
  memcpy(out, made, sizeof made);
}

static void print_number(double value) {
  if (isnan(value))
    out_text("-");
  else
    out_format("%.*g", value == floor(value) && fabs(value) < 1e15 ? 15 : 6, value);
}

/* spans: which keys were found is known by span name, not by operation. */
static void print_row_line(const char *kind, const top_row *row, bool spans) {
  const double values[] = {row->per_second, row->errors_per_second, row->p50, row->p99, hit_ratio(row)};
  out_format("%s\t", kind);
  out_escaped(row->name, strlen(row->name));
  for (size_t i = 0; i < (spans ? 5 : 4); i++) {
    out_text("\t");
    print_number(values[i]);
  }
  out_text("\n");
}

/* Each line begins with what it is about; an empty one ends what was read together. */
static void print_lines(const top_state *self) {
  headline headlines[HEADLINES];
  make_headlines(headlines, &self->figures);
  for (size_t i = 0; i < HEADLINES; i++) {
    out_format("%s\t", headlines[i].name);
    print_number(headlines[i].value);
    out_text("\n");
  }
  for (size_t i = 0; i < self->figures.operations.count; i++)
    print_row_line("operation", &self->figures.operations.rows[i], false);
  for (size_t i = 0; i < self->figures.spans.count; i++)
    print_row_line("span", &self->figures.spans.rows[i], true);
  for (size_t i = 0; i < self->usage_count; i++) {
    const pgcache_usage *usage = &self->usage[i];
    out_format("namespace\t%s\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\n",
               usage->namespace_name, usage->entries, usage->bytes, usage->expired, usage->max_entries,
               usage->max_bytes);
  }
  out_text("\n");
}

static void json_rows(const char *name, const top_table *table, bool spans) {
  json_array_open(name);
  for (size_t i = 0; i < table->count; i++) {
    const top_row *row = &table->rows[i];
    json_item_open();
    json_bytes("name", row->name, strlen(row->name));
    json_number("calls", row->calls);
    json_number("calls_per_second", row->per_second);
    json_number("errors_per_second", row->errors_per_second);
    json_number("p50_seconds", row->p50);
    json_number("p99_seconds", row->p99);
    if (spans)
      json_number("hit_ratio", hit_ratio(row));
    json_item_close();
  }
  json_array_close();
}

static void print_json(const top_state *self) {
  headline headlines[HEADLINES];
  make_headlines(headlines, &self->figures);
  json_open("top");
  json_string("status", pgcache_status_name(PGCACHE_OK));
  for (size_t i = 0; i < HEADLINES; i++)
    json_number(headlines[i].name, headlines[i].value);
  json_rows("operations", &self->figures.operations, false);
  json_rows("spans", &self->figures.spans, true);
  json_array_open("namespaces");
  for (size_t i = 0; i < self->usage_count; i++)
    cli_json_usage(&self->usage[i]);
  json_array_close();
  json_close();
}

/* ---- For people --------------------------------------------------------------------------------------------------- */

/* How many lines are left of the screen. */
typedef struct top_page {
  int left;
} top_page;

static bool next_line(top_page *page) {
  if (page->left <= 1)
    return false;
  page->left--;
  screen_line();
  return true;
}

static void draw_label(const char *text) {
  out_style(STYLE_DIM);
  out_format("%-13s", text);
  out_style(STYLE_OFF);
}

static void draw_heading(top_page *page, const char *text) {
  if (!next_line(page))
    return;
  out_style(STYLE_BOLD);
  out_text(text);
  out_style(STYLE_OFF);
  next_line(page);
}

/* The figures of everything. */
static void draw_head(top_page *page, const top_state *self) {
  const top_figures *figures = &self->figures;
  const top_gauge *gauges = figures->gauges;
  char a[32], b[32], c[32], d[32];
  draw_label("calls");
  out_format("%s/s, %s errors/s, half within %s, 99%% within %s", figure(a, FIGURE_RATE, figures->all.per_second),
             figure(b, FIGURE_RATE, figures->all.errors_per_second), figure(c, FIGURE_SECONDS, figures->all.p50),
             figure(d, FIGURE_SECONDS, figures->all.p99));
  next_line(page);
  double keys = figures->all.hits + figures->all.misses;
  draw_label("hits");
  out_format("%s: near %s, store %s", figure(a, FIGURE_SHARE, hit_ratio(&figures->all)),
             figure(b, FIGURE_SHARE, share(figures->near_hits, keys)),
             figure(c, FIGURE_SHARE, share(figures->all.hits - figures->near_hits, keys)));
  next_line(page);
  draw_label("connections");
  out_format("%s in use, %s idle, %s calls wait; %s requests", figure(a, FIGURE_COUNT, gauges[TOP_POOL_LENT].sum),
             figure(b, FIGURE_COUNT, gauges[TOP_POOL_IDLE].sum), figure(c, FIGURE_COUNT, gauges[TOP_POOL_WAITING].sum),
             figure(d, FIGURE_COUNT, gauges[TOP_REQUESTS].sum));
  if (gauges[TOP_BREAKER_OPEN].sum > 0) {
    out_style(STYLE_ERROR);
    out_format("; breaker open in %s", figure(a, FIGURE_COUNT, gauges[TOP_BREAKER_OPEN].sum));
    out_style(STYLE_OFF);
  }
  next_line(page);
  draw_label("near caches");
  out_format("%s entries, %s; stream lag at most %s", figure(a, FIGURE_COUNT, gauges[TOP_NEAR_ENTRIES].sum),
             figure(b, FIGURE_BYTES, gauges[TOP_NEAR_BYTES].sum), figure(c, FIGURE_SECONDS, gauges[TOP_NEAR_LAG].most));
  next_line(page);
}

/* Names come last: they are as long as they like, and end with the screen. */
static void draw_rows(top_page *page, const char *what, const top_table *table, bool spans, int most) {
  char a[32], b[32], c[32], d[32], e[32];
  char heading[96];
  if (table->count == 0)
    return;
  snprintf(heading, sizeof heading, "%10s %9s %9s %9s %7s  %s", "CALLS/S", "ERRORS/S", "HALF", "99%",
           spans ? "HITS" : "", what);
  draw_heading(page, heading);
  for (size_t i = 0; i < table->count && most-- > 0; i++) {
    const top_row *row = &table->rows[i];
    out_format("%10s %9s %9s %9s %7s  ", figure(a, FIGURE_RATE, row->per_second),
               figure(b, FIGURE_RATE, row->errors_per_second), figure(c, FIGURE_SECONDS, row->p50),
               figure(d, FIGURE_SECONDS, row->p99), spans ? figure(e, FIGURE_SHARE, hit_ratio(row)) : "");
    out_escaped(row->name, strlen(row->name));
    if (!next_line(page))
      return;
  }
}

static void draw_usage(top_page *page, const top_state *self, int most) {
  char a[32], b[32];
  char heading[96];
  snprintf(heading, sizeof heading, "%10s %9s %9s %17s  %s", "ENTRIES", "BYTES", "EXPIRED", "LIMIT", "NAMESPACE");
  draw_heading(page, heading);
  for (size_t i = 0; i < self->usage_count && most-- > 0; i++) {
    const pgcache_usage *usage = &self->usage[i];
    const char *limit = usage->max_bytes > 0     ? out_size(b, usage->max_bytes)
                        : usage->max_entries > 0 ? (snprintf(b, sizeof b, "%" PRId64 " entries", usage->max_entries), b)
                                                 : "-";
    out_format("%10" PRId64 " %9s %9" PRId64 " %17s  %s", usage->entries, out_size(a, usage->bytes), usage->expired,
               limit, usage->namespace_name[0] != '\0' ? usage->namespace_name : "(all)");
    if (!next_line(page))
      return;
  }
}

static void draw(const top_state *self, pgcache_status status) {
  int lines, columns;
  char clock[16] = "";
  time_t now = time(NULL);
  struct tm local;
  if (localtime_r(&now, &local) != NULL)
    strftime(clock, sizeof clock, "%H:%M:%S", &local);
  screen_size(&lines, &columns);
  (void)columns; /* what is longer than a line ends with it */
  top_page page = {lines};
  screen_home();
  out_style(STYLE_BOLD);
  out_format("pgcache top  %s  schema %s, processes that publish: %zu", clock, self->schema,
             self->figures.process_count);
  out_style(STYLE_OFF);
  out_text("  (q quits)");
  next_line(&page);
  if (status < 0) {
    out_style(STYLE_ERROR);
    out_escaped(self->error.message, strlen(self->error.message));
    out_style(STYLE_OFF);
  } else if (self->figures.process_count == 0) {
    out_style(STYLE_BAD);
    out_text("No process publishes what it measures: set publish_ms there, PGCACHE_PUBLISH_MS=10000");
    out_style(STYLE_OFF);
  } else if (!self->figures.between) {
    out_style(STYLE_DIM);
    out_text("since the start of each process; rates come when they have published twice");
    out_style(STYLE_OFF);
  }
  next_line(&page);
  draw_head(&page, self);
  int third = (lines - 6) / 3 - 2; /* of what is left, but for the headings and what stands before them */
  draw_rows(&page, "OPERATION", &self->figures.operations, false, third);
  draw_rows(&page, "SPAN NAME", &self->figures.spans, true, third);
  draw_usage(&page, self, page.left);
  screen_rest();
  out_flush();
}

/* ---- The command -------------------------------------------------------------------------------------------------- */

/* Waits for the next reading. False when it is time to end; what only changes how it looks is drawn at once. */
static bool wait_and_draw(const top_state *self, bool on_screen, pgcache_status status) {
  int64_t until = now_ms() + self->interval_ms;
  for (int64_t left = self->interval_ms; left > 0 && watch_signal() == 0; left = until - now_ms()) {
    int key = screen_wait(left);
    if (key == 'q' || key == 'Q')
      return false;
    if (on_screen && watch_signal() == 0)
      draw(self, status);
  }
  return watch_signal() == 0;
}

static int run(top_state *self, int64_t times) {
  bool on_screen = out_screen_possible();
  pgcache_status status = PGCACHE_OK;
  for (int64_t time = 0; time < times; time++) {
    if (time > 0 && !wait_and_draw(self, on_screen, status))
      break;
    status = read_figures(self);
    if (watch_signal() != 0)
      break;
    if (status < 0 && (time == 0 || !on_screen))
      return out_failure(status, &self->error);
    if (!out_is_json() && !on_screen)
      print_lines(self);
    else if (out_is_json() && time == times - 1) /* one object: of the last reading, which knows rates */
      print_json(self);
    if (on_screen && time == 0)
      screen_open();
    if (on_screen)
      draw(self, status);
    if (!out_flush())
      break;
  }
  return CLI_OK;
}

int command_top(cli_session *session) {
  int64_t times, interval_ms;
  int code = options_number(&times, session, OPTION_TIMES, 1, INT64_MAX, out_is_json() ? 2 : INT64_MAX);
  if (code == CLI_OK)
    code = options_time(&interval_ms, session, OPTION_INTERVAL, INTERVAL_MS);
  if (code != CLI_OK)
    return code;
  if (interval_ms < INTERVAL_MIN_MS || interval_ms > INTERVAL_MAX_MS) {
    out_error("--interval needs a time from 100ms to 1d");
    return CLI_USAGE;
  }
  code = session_open(session);
  if (code != CLI_OK)
    return code;
  top_state *self = cli_memory(NULL, sizeof *self);
  *self = (top_state){
      .cache = session->cache, .schema = pgcache_config_get(session->config, "schema"), .interval_ms = interval_ms};
  watch_catch_signals();
  code = run(self, times);
  screen_close();
  top_clear(&self->figures);
  pgc_free(self);
  return code;
}
