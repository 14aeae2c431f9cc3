/*
 * commands_load.c - the command load: the value of a key, or else what a program prints, which then becomes the value.
 *
 * The lease is made longer while the program runs, so nobody has to know beforehand how long it takes, and is given back when
 * the program is killed or the command is. What is printed is always a whole value, never a part of one.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "load_program.h"
#include "local_process.h"
#include "options.h"
#include "output.h"
#include "platform/memory.h"
#include "watch.h"

/* How long the lease outlives a command that was killed, and how often it is renewed until then. */
#define LEASE_MS 10000
#define RENEW_MS (LEASE_MS / 4)
/* How long one call waits for somebody else's load: so that a deadline tells of a server that does not answer. */
#define WAIT_MS 1000

typedef struct loading {
  cli_session *session;
  cli_bytes key;
  cli_dependencies tags;
  pgcache_load_options how;
  int32_t format;
  int64_t wait_ms; /* 0: as long as it takes */
  pgcache_load *load;
  pgcache_value *found; /* what was there */
  pgcache_error error;
} loading;

/* ---- Output ---------------------------------------------------------------------------------------------------- */

static void print_bytes(const void *data, size_t size) {
  const char *bytes = data;
  out_write(bytes, size);
  if (out_for_people() && (size == 0 || bytes[size - 1] != '\n'))
    out_text("\n");
}

static void print_found(const pgcache_value *value, pgcache_status status) {
  if (!out_is_json()) {
    print_bytes(pgcache_value_data(value), pgcache_value_size(value));
    return;
  }
  json_open("load");
  json_string("status", pgcache_status_name(status));
  json_string("outcome", status == PGCACHE_STALE ? "stale" : "hit");
  json_bytes("value", pgcache_value_data(value), pgcache_value_size(value));
  json_integer("size", (int64_t)pgcache_value_size(value));
  json_integer("format", pgcache_value_format(value));
  json_integer_text("version", pgcache_value_version(value));
  json_boolean("stale", status == PGCACHE_STALE);
  json_close();
}

static void print_loaded(const loading *self, const cli_bytes *value, pgcache_status status, int64_t version) {
  if (!out_is_json()) {
    print_bytes(value->data, value->size);
    return;
  }
  json_open("load");
  json_string("status", pgcache_status_name(status));
  json_string("outcome", "loaded");
  json_boolean("stored", status == PGCACHE_OK);
  json_bytes("value", value->data, value->size);
  json_integer("size", (int64_t)value->size);
  json_integer("format", self->format);
  json_integer_text("version", version);
  json_boolean("stale", false);
  json_close();
}

/* ---- The program ----------------------------------------------------------------------------------------------- */

/* Whatever becomes of the store, the value is good: it is printed. */
static int fill(loading *self, const cli_bytes *value) {
  int64_t version = 0;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  options.dependencies = self->tags.items;
  options.dependency_count = self->tags.count;
  pgcache_status status =
      pgcache_load_fill(self->load, &version, value->data, value->size, self->format, &options, &self->error);
  if (status == PGCACHE_REFUSED)
    out_note("not stored: it was written or invalidated while the program ran");
  else if (status < 0)
    out_note("not stored: %s", self->error.message);
  print_loaded(self, value, status, version);
  return CLI_OK;
}

/* The program failed: something stale may stand in for what it did not give. */
static int fail(loading *self, int program_code) {
  pgcache_value *stale = NULL;
  pgcache_status status = pgcache_load_fail(self->load, &stale, NULL, &self->error);
  if (stale != NULL) {
    out_note("the program failed with exit code %d; this is what was stored before", program_code);
    print_found(stale, PGCACHE_STALE);
    pgcache_value_free(stale);
    return CLI_OK;
  }
  if (status < 0)
    out_note("the load could not be ended, and others may wait for it: %s", self->error.message);
  if (program_code == CLI_NO_PROGRAM || program_code == CLI_NOT_RUN)
    out_error("the program cannot be run, or says so: exit code %d", program_code);
  else
    out_error("the program failed with exit code %d; nothing was stored", program_code);
  return program_code;
}

/* False: the load is over, and what the program gives will not be stored. */
static bool renew(void *context) {
  loading *self = context;
  return pgcache_load_extend(self->load, LEASE_MS, NULL, &self->error) != PGCACHE_REFUSED;
}

/* Runs the program, as the only one who does. */
static int run_program(loading *self) {
  const cli_session *session = self->session;
  cli_bytes value = {NULL, 0};
  program_end end;
  /* The library checked the setting when it was set. */
  size_t most = (size_t)strtoull(pgcache_config_get(session->config, "max_value_bytes"), NULL, 10);
  int code = program_run(&value, &end, session->operands + 1, most, RENEW_MS, renew, self);
  if (code != CLI_OK) {
    /* told already */
  } else if (watch_signal() != 0) {
    out_error("interrupted");
    code = CLI_ERROR;
  } else if (end.signal_number != 0) {
    out_error("the program was killed by signal %d; nothing was stored", end.signal_number);
    code = 128 + end.signal_number;
  } else if (end.code != 0) {
    code = fail(self, end.code);
  } else if (value.size > most) {
    out_error("the program printed more than --max-value-bytes allows; nothing was stored");
    code = CLI_ERROR;
  } else {
    code = fill(self, &value);
  }
  pgcache_load_abandon(self->load, NULL, NULL); /* unless it has ended; if this fails, too, the lease ends by itself */
  pgc_free(value.data);
  return code;
}

/* ---- The command ----------------------------------------------------------------------------------------------- */

/* Asks until there is a value, or the lease, or the time to wait is over. */
static pgcache_status ask(loading *self) {
  int64_t since = process_now_ms(), left = WAIT_MS;
  pgcache_status status;
  do {
    self->how.wait_ms = left < WAIT_MS ? left : WAIT_MS;
    watch_begin(self->session->cache, "waiting for the value");
    status = pgcache_load_begin(self->session->cache, &self->found, &self->load, self->key.data, self->key.size,
                                &self->how, NULL, &self->error);
    watch_end();
    if (self->wait_ms > 0)
      left = self->wait_ms - (process_now_ms() - since);
  } while (status == PGCACHE_BUSY && left > 0 && watch_signal() == 0);
  return status;
}

static int load(loading *self) {
  /* From here on signals are noted: a lease that is ours must be given back. */
  watch_catch_signals();
  pgcache_status status = ask(self);
  if (status < 0)
    return out_failure(status, &self->error);
  if (watch_signal() != 0 && self->load == NULL) {
    out_error("interrupted");
    return CLI_ERROR;
  }
  if (self->load != NULL)
    return run_program(self);
  if (self->found != NULL) {
    print_found(self->found, status);
    return CLI_OK;
  }
  if (status == PGCACHE_BUSY)
    out_note("somebody else is loading it, and the time to wait is over");
  if (out_is_json()) /* else nothing: what is not there has no bytes */
    out_outcome("load", status, status == PGCACHE_BUSY ? "busy" : "missing", STYLE_BAD);
  return CLI_NEGATIVE;
}

int command_load(cli_session *session) {
  loading self = {.session = session, .how = PGCACHE_LOAD_OPTIONS_INIT, .error = PGCACHE_ERROR_INIT};
  if (session->operands_before_dashes != 1 || session->operand_count < 2) {
    out_error("load takes a key, and the program behind --: pgcache load KEY -- PROGRAM ARGUMENT...");
    return CLI_USAGE;
  }
  self.how.lease_ms = LEASE_MS;
  int code = options_dependencies(&self.tags, session, NULL, 0, PGCACHE_DEPENDS_ON_TAG);
  if (code == CLI_OK)
    code = options_check_tags(&self.tags); /* load_fill() would say so too late: the program would have run */
  if (code == CLI_OK)
    code = options_ttl(&self.how.ttl_ms, session, PGCACHE_TTL_DEFAULT);
  if (code == CLI_OK)
    code = options_time(&self.how.stale_ms, session, OPTION_STALE, 0);
  if (code == CLI_OK)
    code = options_time(&self.how.fail_safe_ms, session, OPTION_FAIL_SAFE, 0);
  if (code == CLI_OK)
    code = options_time(&self.wait_ms, session, OPTION_WAIT, 0);
  if (code == CLI_OK)
    code = options_format(&self.format, session);
  if (code == CLI_OK)
    code = options_key(&self.key, session, session->operands[0], "key");
  if (code == CLI_OK)
    code = session_open(session);
  if (code == CLI_OK)
    code = load(&self);
  pgcache_load_free(self.load);
  pgcache_value_free(self.found);
  options_free_dependencies(&self.tags);
  pgc_free(self.key.data);
  return code;
}
