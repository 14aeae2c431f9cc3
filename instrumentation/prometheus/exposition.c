/*
 * exposition.c - snapshots as one text: which samples stand together, and the lines around them. Reads snapshots through the
 * public interface, changes nothing of them, and keeps nothing.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache_prometheus.h"

#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

/* Of one source while it is written. */
typedef struct part {
  const pgcache_snapshot *snapshot;
  const char *label_name; /* NULL: none */
  const char *label_value;
  size_t size;
  size_t next; /* where its next name probably begins: snapshots of one version of the library have one order */
} part;

typedef struct exposition {
  FILE *out;
  bool openmetrics;
  part *parts;
  size_t count;
  const char **names; /* those that were written */
  size_t name_count;
  size_t name_room;
} exposition;

static const char *const content_types[] = {
    "text/plain; version=0.0.4; charset=utf-8",
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

const char *pgcache_prometheus_content_type(pgcache_prometheus_format format) {
  return format == PGCACHE_PROMETHEUS_TEXT || format == PGCACHE_PROMETHEUS_OPENMETRICS ? content_types[format] : "";
}

/* ---- Samples --------------------------------------------------------------------------------------------------------- */

/* A name of which _total is no part, as OpenMetrics calls a family of counters. */
static int family_length(const char *name) {
  size_t length = strlen(name);
  static const char total[] = "_total";
  size_t end = sizeof total - 1;
  return (int)(length > end && strcmp(name + length - end, total) == 0 ? length - end : length);
}

static bool ends_with(const char *text, int length, const char *end) {
  size_t end_length = strlen(end);
  return (size_t)length > end_length && strncmp(text + length - end_length, end, end_length) == 0;
}

static void write_label(FILE *out, bool *first, const char *name, const char *value) {
  fprintf(out, "%c%s=\"", *first ? '{' : ',', name);
  pgc_words_escaped(out, value, true);
  fputc('"', out);
  *first = false;
}

/* The labels of a sample, and that of a bucket where `bound` is not NULL. */
static void write_labels(FILE *out, const part *from, size_t index, const char *bound) {
  bool first = true;
  if (from->label_name != NULL)
    write_label(out, &first, from->label_name, from->label_value);
  size_t count = pgcache_snapshot_labels(from->snapshot, index);
  for (size_t i = 0; i < count; i++)
    write_label(out, &first, pgcache_snapshot_label_name(from->snapshot, index, i),
                pgcache_snapshot_label_value(from->snapshot, index, i));
  if (bound != NULL)
    write_label(out, &first, "le", bound);
  if (!first)
    fputc('}', out);
  fputc(' ', out);
}

static void write_count(FILE *out, const part *from, size_t index, const char *name, const char *suffix,
                        const char *bound, int64_t count) {
  fprintf(out, "%s%s", name, suffix);
  write_labels(out, from, index, bound);
  fprintf(out, "%lld\n", (long long)count);
}

static void write_histogram(FILE *out, const part *from, size_t index, const char *name) {
  size_t bound_count;
  const pgc_bound *bounds = pgc_words_bounds(pgcache_snapshot_unit(from->snapshot, index), &bound_count);
  for (size_t i = 0; i < bound_count; i++)
    write_count(out, from, index, name, "_bucket", bounds[i].text,
                pgcache_snapshot_count_to(from->snapshot, index, bounds[i].value));
  int64_t count = pgcache_snapshot_count(from->snapshot, index);
  write_count(out, from, index, name, "_bucket", "+Inf", count);
  fprintf(out, "%s_sum", name);
  write_labels(out, from, index, NULL);
  pgc_words_number(out, pgcache_snapshot_value(from->snapshot, index));
  fputc('\n', out);
  write_count(out, from, index, name, "_count", NULL, count);
}

static void write_sample(const exposition *self, const part *from, size_t index, const char *name) {
  pgcache_metric_kind kind = pgcache_snapshot_kind(from->snapshot, index);
  if (kind == PGCACHE_HISTOGRAM) {
    write_histogram(self->out, from, index, name);
    return;
  }
  /* Counters of OpenMetrics end with _total, whatever their names are. */
  if (kind == PGCACHE_COUNTER && self->openmetrics)
    fprintf(self->out, "%.*s_total", family_length(name), name);
  else
    fputs(name, self->out);
  write_labels(self->out, from, index, NULL);
  pgc_words_number(self->out, pgcache_snapshot_value(from->snapshot, index));
  fputc('\n', self->out);
}

/* ---- Families -------------------------------------------------------------------------------------------------------- */

static void write_head(const exposition *self, const part *from, size_t index, const char *name) {
  static const char *const kinds[] = {"", "counter", "gauge", "histogram"};
  pgcache_metric_kind kind = pgcache_snapshot_kind(from->snapshot, index);
  int length = self->openmetrics && kind == PGCACHE_COUNTER ? family_length(name) : (int)strlen(name);
  const char *unit = pgcache_snapshot_unit(from->snapshot, index);
  fprintf(self->out, "# HELP %.*s ", length, name);
  pgc_words_escaped(self->out, pgcache_snapshot_help(from->snapshot, index), self->openmetrics);
  fprintf(self->out, "\n# TYPE %.*s %s\n", length, name, kinds[kind]);
  /* Only a name that ends with its unit may say so. */
  if (self->openmetrics && *unit != '\0' && ends_with(name, length, unit) &&
      name[(size_t)length - strlen(unit) - 1] == '_')
    fprintf(self->out, "# UNIT %.*s %s\n", length, name, unit);
}

/* Where the samples of a name begin, or the size: it has none. */
static size_t find(const part *in, const char *name) {
  for (size_t i = 0; i < in->size; i++) {
    size_t at = (in->next + i) % in->size;
    if (strcmp(pgcache_snapshot_name(in->snapshot, at), name) == 0) {
      while (at > 0 && strcmp(pgcache_snapshot_name(in->snapshot, at - 1), name) == 0)
        at--;
      return at;
    }
  }
  return in->size;
}

static bool is_written(const exposition *self, const char *name) {
  for (size_t i = self->name_count; i-- > 0;) {
    if (strcmp(self->names[i], name) == 0)
      return true;
  }
  return false;
}

static bool remember(exposition *self, const char *name) {
  if (self->name_count == self->name_room) {
    size_t room = self->name_room == 0 ? 128 : 2 * self->name_room;
    const char **names = realloc(self->names, room * sizeof *names);
    if (names == NULL)
      return false;
    self->names = names;
    self->name_room = room;
  }
  self->names[self->name_count++] = name;
  return true;
}

/* One name, of all parts from the first that has it. What other versions of the library call by the same name and is of
   another kind is left out: it cannot stand in the same family. */
static void write_family(exposition *self, size_t first, size_t index, const char *name) {
  pgcache_metric_kind kind = pgcache_snapshot_kind(self->parts[first].snapshot, index);
  write_head(self, &self->parts[first], index, name);
  for (size_t p = first; p < self->count; p++) {
    part *from = &self->parts[p];
    size_t at = find(from, name);
    for (; at < from->size && strcmp(pgcache_snapshot_name(from->snapshot, at), name) == 0; at++) {
      if (pgcache_snapshot_kind(from->snapshot, at) == kind)
        write_sample(self, from, at, name);
      from->next = at + 1;
    }
  }
}

static bool write_all(exposition *self) {
  for (size_t p = 0; p < self->count; p++) {
    const part *from = &self->parts[p];
    const char *last = "";
    for (size_t i = 0; i < from->size; i++) {
      const char *name = pgcache_snapshot_name(from->snapshot, i);
      if (strcmp(name, last) == 0)
        continue;
      last = name;
      if (is_written(self, name))
        continue;
      if (!remember(self, name))
        return false;
      write_family(self, p, i, name);
    }
  }
  if (self->openmetrics)
    fputs("# EOF\n", self->out);
  return true;
}

/* ---- The calls ------------------------------------------------------------------------------------------------------- */

static bool has_label(const part *in, const char *name) {
  for (size_t i = 0; i < in->size; i++) {
    size_t count = pgcache_snapshot_labels(in->snapshot, i);
    for (size_t label = 0; label < count; label++) {
      if (strcmp(pgcache_snapshot_label_name(in->snapshot, i, label), name) == 0)
        return true;
    }
  }
  return false;
}

static bool same_label(const part *a, const part *b) {
  if (a->label_name == NULL || b->label_name == NULL)
    return a->label_name == b->label_name;
  return strcmp(a->label_name, b->label_name) == 0 && strcmp(a->label_value, b->label_value) == 0;
}

/* Takes the sources over into parts, as far as their size says. */
static pgcache_status take(part *parts, const pgcache_prometheus_source *sources, size_t count, pgcache_error *error) {
  size_t struct_size = count > 0 ? sources->struct_size : 0;
  for (size_t i = 0; i < count; i++) {
    pgcache_prometheus_source source = PGCACHE_PROMETHEUS_SOURCE_INIT;
    const pgcache_prometheus_source *given =
        (const pgcache_prometheus_source *)(const void *)((const char *)sources + i * struct_size);
    if (struct_size < sizeof source || given->struct_size != struct_size)
      return pgc_words_fail(error, PGCACHE_INVALID, "source %zu: struct_size is not set, or not that of the others", i);
    memcpy(&source, given, sizeof source);
    if (source.snapshot == NULL)
      return pgc_words_fail(error, PGCACHE_INVALID, "source %zu: the snapshot is NULL", i);
    parts[i] = (part){.snapshot = source.snapshot,
                      .label_name = source.label_name,
                      .label_value = source.label_value != NULL ? source.label_value : "",
                      .size = pgcache_snapshot_size(source.snapshot)};
    if (source.label_name != NULL &&
        (!pgc_words_is_label(source.label_name) || has_label(&parts[i], source.label_name)))
      return pgc_words_fail(error, PGCACHE_INVALID, "source %zu: the label's name is not allowed, or samples have it",
                            i);
    for (size_t other = 0; other < i; other++) {
      if (same_label(&parts[i], &parts[other]))
        return pgc_words_fail(error, PGCACHE_INVALID,
                              "sources %zu and %zu have the same label: give each another value", other, i);
    }
  }
  return PGCACHE_OK;
}

static pgcache_status write_in_c(exposition *self, pgcache_error *error) {
  /* Numbers have a point, whatever the application's language has. */
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (plain == (locale_t)0)
    return pgc_words_fail(error, PGCACHE_NO_MEMORY, "out of memory for an exposition");
  locale_t own = uselocale(plain);
  bool done = write_all(self);
  uselocale(own);
  freelocale(plain);
  free(self->names);
  return done ? PGCACHE_OK : pgc_words_fail(error, PGCACHE_NO_MEMORY, "out of memory for an exposition");
}

pgcache_status pgcache_prometheus_write(FILE *out, const pgcache_prometheus_source *sources, size_t count,
                                        pgcache_prometheus_format format, pgcache_error *error) {
  if (out == NULL || (sources == NULL && count > 0))
    return pgc_words_fail(error, PGCACHE_INVALID, "the file or the sources are NULL");
  if (count > PGCACHE_PROMETHEUS_SOURCES_MAX)
    return pgc_words_fail(error, PGCACHE_INVALID, "%zu sources are more than %d", count,
                          PGCACHE_PROMETHEUS_SOURCES_MAX);
  if (*pgcache_prometheus_content_type(format) == '\0')
    return pgc_words_fail(error, PGCACHE_INVALID, "%d is no format", (int)format);
  exposition self = {.out = out, .openmetrics = format == PGCACHE_PROMETHEUS_OPENMETRICS, .count = count};
  self.parts = calloc(count + 1, sizeof *self.parts);
  if (self.parts == NULL)
    return pgc_words_fail(error, PGCACHE_NO_MEMORY, "out of memory for %zu sources", count);
  pgcache_status status = take(self.parts, sources, count, error);
  if (status == PGCACHE_OK)
    status = write_in_c(&self, error);
  free(self.parts);
  return status;
}

pgcache_status pgcache_prometheus_text(char **out, size_t *out_len, const pgcache_prometheus_source *sources,
                                       size_t count, pgcache_prometheus_format format, pgcache_error *error) {
  if (out_len != NULL)
    *out_len = 0;
  if (out == NULL)
    return pgc_words_fail(error, PGCACHE_INVALID, "the place for the text is NULL");
  *out = NULL;
  char *text = NULL;
  size_t length = 0;
  FILE *file = open_memstream(&text, &length);
  if (file == NULL)
    return pgc_words_fail(error, PGCACHE_NO_MEMORY, "out of memory for a text");
  pgcache_status status = pgcache_prometheus_write(file, sources, count, format, error);
  bool whole = !ferror(file);
  whole = fclose(file) == 0 && whole;
  if (status == PGCACHE_OK && !whole)
    status = pgc_words_fail(error, PGCACHE_NO_MEMORY, "out of memory for a text");
  if (status != PGCACHE_OK) {
    free(text);
    return status;
  }
  *out = text;
  if (out_len != NULL)
    *out_len = length;
  return PGCACHE_OK;
}

void pgcache_prometheus_text_free(char *text) {
  free(text);
}
