/*
 * import.c - `pgcache import`: entries of another cache's table, with the time that they have left.
 *
 * Goes through the table in the order of its keys, a page at a time, and says behind which key it can go on. What the cache
 * has already stays as it is, unless it is told otherwise, so that an import may be repeated. It must never store what it
 * cannot read as plain data, nor leave out a row without counting why.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "import_source.h"
#include "local_process.h"
#include "options.h"
#include "output.h"
#include "pickle.h"
#include "platform/memory.h"
#include "pure/error.h"
#include "text.h"
#include "watch.h"

/* How long the same number of rows is shown. */
#define SHOWN_MS 1000

/* What became of a row. */
typedef enum import_fate {
  FATE_STORED,
  FATE_EXISTING,
  FATE_EXPIRED,
  FATE_BAD_KEY,
  FATE_TOO_LARGE,
  FATE_NOT_JSON,
  FATE_OBJECTS,
  FATE_DAMAGED,
  FATE_COUNT
} import_fate;

static const struct {
  const char *name; /* for machines */
  const char *text; /* for people */
} fates[FATE_COUNT] = {
    [FATE_STORED] = {"stored", "stored"},
    [FATE_EXISTING] = {"existing", "left out: the cache has them already (--overwrite)"},
    [FATE_EXPIRED] = {"expired", "left out: their time is over"},
    [FATE_BAD_KEY] = {"bad_key", "left out: the key is empty or longer than 4096 bytes"},
    [FATE_TOO_LARGE] = {"too_large", "left out: longer than --max-value-bytes, or too deep"},
    [FATE_NOT_JSON] = {"not_json", "left out: not JSON, or JSON cannot say it"},
    [FATE_OBJECTS] = {"objects", "left out: pickled objects, which are never made"},
    [FATE_DAMAGED] = {"damaged", "left out: not a pickle"},
};

typedef struct importing {
  cli_session *session;
  const source_kind *kind;
  import_source *source;
  bool overwrite;
  size_t page_size;
  size_t most; /* bytes of a value */
  pgcache_options options;
  int64_t read;
  int64_t counts[FATE_COUNT];
  cli_bytes last;                  /* the key of the row that was read last */
  size_t prefix_size;              /* what the cache's key of it does not have */
  uint64_t ids[PGCACHE_BATCH_MAX]; /* the requests of this page */
  size_t submitted, taken;
  char progress[64];
  int64_t shown_ms;
} importing;

/* ---- One row --------------------------------------------------------------------------------------------------- */

/* Waits for the oldest request of the page, and counts what became of its row. */
static pgcache_status take_oldest(importing *self, pgcache_error *error) {
  pgcache_completion *done = NULL;
  pgcache_status status =
      pgcache_wait(self->session->cache, &done, self->ids[self->taken++], PGCACHE_DEADLINE_DEFAULT, error);
  if (status != PGCACHE_OK)
    return status;
  status = pgcache_completion_status(done);
  if (status == PGCACHE_OK || status == PGCACHE_EXISTS)
    self->counts[status == PGCACHE_OK ? FATE_STORED : FATE_EXISTING]++;
  else
    pgc_fail_sql(error, status, pgcache_completion_sqlstate(done), "%s", pgcache_completion_message(done));
  pgcache_completion_free(done);
  return status < 0 ? status : PGCACHE_OK;
}

/* Sends an entry to the cache, many at a time. */
static pgcache_status submit(importing *self, const source_row *row, const pickle_value *value, pgcache_error *error) {
  pgcache_status (*store)(pgcache *, uint64_t *, const void *, size_t, const void *, size_t, int32_t, int64_t,
                          const pgcache_options *, pgcache_error *) =
      self->overwrite ? pgcache_submit_put : pgcache_submit_add;
  pgcache_status status;
  do {
    status = store(self->session->cache, &self->ids[self->submitted], row->name, row->name_size, value->data,
                   value->size, value->format, row->ttl_ms, &self->options, error);
    if (status == PGCACHE_OK)
      self->submitted++;
    else if (status == PGCACHE_QUEUE_FULL && take_oldest(self, error) != PGCACHE_OK)
      return error->status;
  } while (status == PGCACHE_QUEUE_FULL);
  return status;
}

static const import_fate fates_of_pickles[] = {
    [PICKLE_OK] = FATE_STORED,         [PICKLE_DAMAGED] = FATE_DAMAGED,     [PICKLE_OBJECT] = FATE_OBJECTS,
    [PICKLE_NOT_JSON] = FATE_NOT_JSON, [PICKLE_TOO_LARGE] = FATE_TOO_LARGE, [PICKLE_NO_MEMORY] = FATE_COUNT,
};

/* What the cache shall have for the row; *made is the memory for it, if it needs any. */
static import_fate read_value(const importing *self, const source_row *row, pickle_value *value, void **made) {
  *value = (pickle_value){(unsigned char *)(uintptr_t)row->value, row->value_size, PGCACHE_FORMAT_JSON};
  if (self->kind->values == SOURCE_JSON)
    return text_is_json(row->value, row->value_size) ? FATE_STORED : FATE_NOT_JSON;
  pickle_status status = pickle_read(value, row->value, row->value_size, self->most);
  *made = value->data;
  return fates_of_pickles[status];
}

static pgcache_status take_row(importing *self, const source_row *row, pgcache_error *error) {
  pickle_value value;
  void *made = NULL;
  import_fate fate = FATE_STORED;
  size_t prefix_size = row->key_size > row->name_size ? row->key_size - row->name_size : 0;
  if (self->read > 0 && (prefix_size != self->prefix_size || memcmp(row->key, self->last.data, prefix_size) != 0))
    return pgc_fail(
        error, PGCACHE_SERVER_ERROR,
        "the source has keys of several namespaces, which would be mixed up; --source-table may name a view of one");
  self->prefix_size = prefix_size;
  self->read++;
  self->last.data = cli_memory(self->last.data, row->key_size + 1);
  memcpy(self->last.data, row->key, row->key_size);
  self->last.size = row->key_size;
  if (row->ttl_ms <= 0)
    fate = FATE_EXPIRED;
  else if (row->name_size == 0 || row->name_size > PGCACHE_KEY_MAX)
    fate = FATE_BAD_KEY;
  else if (row->value == NULL)
    fate = FATE_TOO_LARGE;
  else
    fate = read_value(self, row, &value, &made);
  pgcache_status status = PGCACHE_OK;
  if (fate == FATE_STORED)
    status = submit(self, row, &value, error);
  else if (fate == FATE_COUNT)
    status = pgc_fail_memory(error);
  else
    self->counts[fate]++;
  pgc_free(made);
  return status;
}

/* ---- Pages ----------------------------------------------------------------------------------------------------- */

/* Reads a page and waits until it is stored; also after an error, so that what was stored is counted. */
static pgcache_status take_page(importing *self, const cli_bytes *after, size_t *rows, pgcache_error *error) {
  source_row row;
  self->submitted = 0;
  self->taken = 0;
  *rows = 0;
  pgcache_status status = source_ask(self->source, after->data, after->size, self->page_size, self->most, error);
  while (status == PGCACHE_OK && (status = source_next(self->source, &row, error)) == PGCACHE_OK) {
    ++*rows;
    status = take_row(self, &row, error);
  }
  if (status > 0) /* that were all */
    status = PGCACHE_OK;
  while (self->taken < self->submitted) {
    pgcache_error other = PGCACHE_ERROR_INIT;
    pgcache_status of_row = take_oldest(self, status == PGCACHE_OK ? error : &other);
    status = status == PGCACHE_OK ? of_row : status;
  }
  return status;
}

/* As --after takes it: with an escape in it the key would be another, and rows between the two would be left out. */
static void print_after(const cli_bytes *after) {
  bool plain = out_is_plain(after->data, after->size);
  out_text(plain ? "after\t" : "after_base64\t");
  (plain ? out_write : out_base64)(after->data, after->size);
  out_text("\n");
}

/* People are shown how many rows there were, which is written anew now and then. */
static void show(importing *self) {
  snprintf(self->progress, sizeof self->progress, "importing, %" PRId64 " rows", self->read);
  self->shown_ms = process_now_ms();
  watch_begin(self->session->cache, self->progress);
}

/* Page after page; *after is then where another import may go on. */
static pgcache_status take_pages(importing *self, cli_bytes *after, pgcache_error *error) {
  pgcache_status status;
  size_t rows = 0;
  bool going_on = true;
  show(self);
  do {
    status = take_page(self, after, &rows, error);
    if (status != PGCACHE_OK || rows == 0)
      break;
    after->data = cli_memory(after->data, self->last.size + 1);
    memcpy(after->data, self->last.data, self->last.size);
    after->size = self->last.size;
    if (!out_is_json() && !out_for_people()) {
      print_after(after);
      going_on = out_flush();
    }
    if (process_now_ms() - self->shown_ms >= SHOWN_MS) {
      watch_end();
      show(self);
    }
  } while (rows == self->page_size && going_on && watch_signal() == 0);
  watch_end();
  if (status == PGCACHE_OK && watch_signal() != 0)
    status = pgc_fail(error, PGCACHE_CLOSED, "interrupted");
  return status;
}

/* ---- The command ----------------------------------------------------------------------------------------------- */

static void print_json(const importing *self, const cli_bytes *after) {
  json_open("import");
  json_string("from", self->kind->name);
  json_integer("read", self->read);
  for (size_t fate = 0; fate < FATE_COUNT; fate++)
    json_integer(fates[fate].name, self->counts[fate]);
  if (after->data != NULL)
    json_bytes("after", after->data, after->size);
}

static void print_lines(const importing *self) {
  out_format("read\t%" PRId64 "\n", self->read);
  for (size_t fate = 0; fate < FATE_COUNT; fate++)
    out_format("%s\t%" PRId64 "\n", fates[fate].name, self->counts[fate]);
}

static void print_for_people(const importing *self, pgcache_status status, const cli_bytes *after) {
  out_format("%12" PRId64 "  rows read\n", self->read);
  for (size_t fate = 0; fate < FATE_COUNT; fate++)
    if (self->counts[fate] > 0)
      out_format("%12" PRId64 "  %s\n", self->counts[fate], fates[fate].text);
  if (status != PGCACHE_OK && after->data != NULL)
    print_after(after);
}

static int import(importing *self, cli_bytes *after) {
  const pgcache_config *config = self->session->config;
  const char *url = self->session->values[OPTION_SOURCE];
  pgcache_error error = PGCACHE_ERROR_INIT;
  /* The library checked the settings when they were set. */
  self->most = (size_t)strtoull(pgcache_config_get(config, "max_value_bytes"), NULL, 10);
  self->options.deadline_ms = strtoll(pgcache_config_get(config, "maintenance_timeout_ms"), NULL, 10);
  watch_catch_signals(); /* what was done is told, whatever ends it */
  watch_begin(self->session->cache, "connecting");
  pgcache_status status = source_open(&self->source, self->kind, url != NULL ? url : pgcache_config_get(config, "url"),
                                      self->session->values[OPTION_SOURCE_TABLE], self->options.deadline_ms, &error);
  watch_end();
  if (status == PGCACHE_OK)
    status = take_pages(self, after, &error);
  if (out_is_json())
    print_json(self, after);
  else if (out_for_people())
    print_for_people(self, status, after);
  else
    print_lines(self);
  if (status != PGCACHE_OK)
    return out_failure(status, &error);
  if (out_is_json()) {
    json_string("status", pgcache_status_name(status));
    json_string("outcome", "imported");
    json_close();
  }
  return CLI_OK;
}

int command_import(cli_session *session) {
  importing self = {.session = session, .overwrite = cli_given(session, OPTION_OVERWRITE)};
  cli_bytes after = {NULL, 0};
  int64_t page_size = PGCACHE_BATCH_MAX;
  const char *from = session->values[OPTION_FROM];
  self.kind = from != NULL ? source_find(from) : NULL;
  if (self.kind == NULL) {
    out_error("--from needs psycache, postgres-cache or fastapi-cachekit");
    return CLI_USAGE;
  }
  cli_dependencies tags;
  int code = options_dependencies(&tags, session, NULL, 0, PGCACHE_DEPENDS_ON_TAG);
  if (code == CLI_OK)
    code = options_check_tags(&tags);
  if (code == CLI_OK)
    code = options_number(&page_size, session, OPTION_PAGE_SIZE, 1, PGCACHE_BATCH_MAX, PGCACHE_BATCH_MAX);
  if (code == CLI_OK && cli_given(session, OPTION_AFTER))
    code = options_key(&after, session, session->values[OPTION_AFTER], "key of --after");
  if (code == CLI_OK)
    code = session_open(session);
  if (code == CLI_OK) {
    self.page_size = (size_t)page_size;
    self.options = (pgcache_options)PGCACHE_OPTIONS_INIT;
    self.options.dependencies = tags.items;
    self.options.dependency_count = tags.count;
    code = import(&self, &after);
  }
  source_close(self.source);
  options_free_dependencies(&tags);
  pgc_free(self.last.data);
  pgc_free(after.data);
  return code;
}
