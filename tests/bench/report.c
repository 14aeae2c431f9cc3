/*
 * report.c - how measurements leave the program: a row on the terminal and a line of JSON each.
 *
 * Owns the output. Never measures anything.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static FILE *json;
static const char *json_path;
static int with_target, met, not_pinned;
static bool progress_shown;

static void clear_progress(void) {
  if (progress_shown) {
    fputs("\r\033[K", stderr);
    progress_shown = false;
  }
}

void report_progress(const char *format, ...) {
  va_list arguments;
  if (isatty(STDERR_FILENO)) {
    clear_progress();
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    progress_shown = true;
  }
}

void report_open(const bench *self, const char *path) {
  json = fopen(path, "a");
  json_path = path;
  if (json == NULL) {
    die("%s: %s", path, strerror(errno));
  }
  printf("pgcache %s, PostgreSQL %d, %ld CPUs; %d slices of %g s for each side, medians\n\n", pgcache_version(),
         PQserverVersion(self->admin), sysconf(_SC_NPROCESSORS_ONLN), self->rounds, self->seconds);
  printf("%-15s %8s %8s %9s %13s %13s %-7s %7s %8s\n", "case", "threads", "value", "keys", "measured", "floor", "unit",
         "ratio", "target");
  fflush(stdout);
}

static void print_row(const measurement *what, bool ok) {
  char bytes[24] = "", threads[16] = "", target[24] = "";
  if (what->value_bytes == 0) {
    bytes[0] = '\0';
  } else if (what->value_bytes % 1024 == 0) {
    snprintf(bytes, sizeof bytes, "%zu KiB", what->value_bytes / 1024);
  } else {
    snprintf(bytes, sizeof bytes, "%zu B", what->value_bytes);
  }
  if (what->threads > 0) {
    snprintf(threads, sizeof threads, "%d%s", what->threads, what->threads == 1 && !what->pinned ? "*" : "");
  }
  if (what->target > 0) {
    snprintf(target, sizeof target, "%s %.2f", what->at_most ? "<=" : ">=", what->target);
  }
  int digits = what->value < 1000 ? 2 : 0;
  printf("%-15s %8s %8s %9lld %13.*f %13.*f %-7s %7.3f %8s %-6s", what->name, threads, bytes, (long long)what->keys,
         digits, what->value, digits, what->floor, what->unit, what->ratio, target,
         what->target > 0 ? (ok ? "ok" : "MISSED") : "");
  if (what->in_flight > 0) {
    printf(" %5d in flight over %d", what->in_flight, what->connections);
  }
  if (what->p50_us > 0) {
    printf(", p50 %.0f us, p99 %.0f us", what->p50_us, what->p99_us);
  }
  printf("\n");
  fflush(stdout);
}

void report(const bench *self, const measurement *what) {
  char when[32], target[32] = "null";
  time_t now = time(NULL);
  struct tm utc;
  bool ok = what->at_most ? what->ratio <= what->target : what->ratio >= what->target;
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  if (what->target > 0) {
    snprintf(target, sizeof target, "%.2f", what->target);
    with_target++;
    met += ok;
  }
  not_pinned += what->threads == 1 && !what->pinned;
  clear_progress();
  print_row(what, ok);
  fprintf(
      json,
      "{\"case\":\"%s\",\"threads\":%d,\"value_bytes\":%zu,\"keys\":%lld,\"value\":%.3f,\"unit\":\"%s\",\"floor\":%.3f,"
      "\"ratio\":%.4f,\"target\":%s,\"target_is\":\"%s\",\"ok\":%s,\"pinned\":%s,\"in_flight\":%d,\"connections\":%d,"
      "\"p50_us\":%.1f,\"p99_us\":%.1f,\"rounds\":%d,\"seconds\":%g,"
      "\"library\":\"%s\",\"server\":%d,\"time\":\"%s\"}\n",
      what->name, what->threads, what->value_bytes, (long long)what->keys, what->value, what->unit, what->floor,
      what->ratio, target, what->at_most ? "most" : "least", what->target > 0 ? (ok ? "true" : "false") : "null",
      what->pinned ? "true" : "false", what->in_flight, what->connections, what->p50_us, what->p99_us, self->rounds,
      self->seconds, pgcache_version(), PQserverVersion(self->admin), when);
  if (fflush(json) != 0) {
    die("%s: %s", json_path, strerror(errno));
  }
}

void report_line(const char *text, const char *json_object) {
  clear_progress();
  printf("%s\n", text);
  fflush(stdout);
  fprintf(json, "%s\n", json_object);
  if (fflush(json) != 0) {
    die("%s: %s", json_path, strerror(errno));
  }
}

void report_close(void) {
  clear_progress();
  printf("\n%d of %d targets met", met, with_target);
  if (not_pinned > 0) {
    printf("; * not pinned to one CPU: the kernel's wake-ups are part of the figure");
  }
  printf("; %s\n", json_path);
  fclose(json);
}
