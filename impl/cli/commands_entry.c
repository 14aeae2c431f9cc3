/*
 * commands_entry.c - the commands on one entry: get, put, remove, exists, touch, incr.
 *
 * Each turns the command line into one call of the library and its outcome into output. It must never change a byte of
 * a value.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "options.h"
#include "output.h"
#include "platform/memory.h"
#include "watch.h"

/* Opens the handle and reads the key, which is the first operand of all these commands. */
static int begin(cli_bytes *key, cli_session *session) {
  int code = options_key(key, session, session->operands[0], "key");
  return code == CLI_OK ? session_open(session) : code;
}

/* What the outcomes are called. */
static const char *outcome_word(pgcache_status status, const char *done) {
  if (status == PGCACHE_OK)
    return done;
  return status == PGCACHE_EXISTS ? "exists" : "missing";
}

static const char *outcome_style(pgcache_status status) {
  return status == PGCACHE_OK ? STYLE_GOOD : STYLE_BAD;
}

/* ---- get ------------------------------------------------------------------------------------------------------- */

static void print_value(const pgcache_value *value) {
  const char *data = pgcache_value_data(value);
  size_t size = pgcache_value_size(value);
  if (!out_is_json()) {
    out_write(data, size);
    if (out_for_people() && (size == 0 || data[size - 1] != '\n'))
      out_text("\n");
    return;
  }
  json_open("get");
  json_string("status", pgcache_status_name(PGCACHE_OK));
  json_string("outcome", "hit");
  json_bytes("value", data, size);
  json_integer("size", (int64_t)size);
  json_integer("format", pgcache_value_format(value));
  json_integer_text("version", pgcache_value_version(value));
  json_ttl("ttl_ms", pgcache_value_ttl_ms(value));
  json_boolean("stale", pgcache_value_is_stale(value) != 0);
  json_close();
}

int command_get(cli_session *session) {
  cli_bytes key;
  int code = begin(&key, session);
  if (code == CLI_OK) {
    pgcache_error error = PGCACHE_ERROR_INIT;
    pgcache_value *value = NULL;
    watch_begin(session->cache, "reading");
    pgcache_status status = pgcache_get(session->cache, &value, key.data, key.size, NULL, &error);
    watch_end();
    code = out_code(status);
    if (status < 0)
      code = out_failure(status, &error);
    else if (status == PGCACHE_OK)
      print_value(value);
    else if (out_is_json()) /* else nothing: what is not there has no bytes */
      out_outcome("get", status, "missing", STYLE_BAD);
    pgcache_value_free(value);
  }
  pgc_free(key.data);
  return code;
}

/* ---- put ------------------------------------------------------------------------------------------------------- */

/* Reads everything from a descriptor, but not more than the library would store and one byte, which it then refuses. */
static int read_all(cli_bytes *out, int descriptor, size_t most) {
  size_t room = 0;
  for (;;) {
    if (out->size == room) {
      if (room > most)
        return CLI_OK;
      room = room == 0 ? 65536 : room * 2;
      room = room > most ? most + 1 : room;
      out->data = cli_memory(out->data, room);
    }
    ssize_t got = read(descriptor, out->data + out->size, room - out->size);
    if (got == 0)
      return CLI_OK;
    if (got < 0) { /* not by a signal: outside calls of the library they have their usual effect */
      out_error("cannot read the value: %s", strerror(errno));
      return CLI_ERROR;
    }
    out->size += (size_t)got;
  }
}

/* Reads the value from where the command line says it is. */
static int read_value(cli_bytes *out, const cli_session *session) {
  const char *file = session->values[OPTION_FILE];
  if (file != NULL && session->operand_count == 2) {
    out_error("put takes the value as an argument or from --file, not both");
    return CLI_USAGE;
  }
  if (session->operand_count == 2) {
    options_text(out, session->operands[1]);
    return CLI_OK;
  }
  int descriptor = STDIN_FILENO;
  if (file != NULL && strcmp(file, "-") != 0) {
    descriptor = open(file, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
      out_error("cannot open the file of --file: %s", strerror(errno));
      return CLI_ERROR;
    }
  }
  /* The library checked the setting when it was set. */
  size_t most = (size_t)strtoull(pgcache_config_get(session->config, "max_value_bytes"), NULL, 10);
  int code = read_all(out, descriptor, most);
  if (descriptor != STDIN_FILENO)
    close(descriptor);
  return code;
}

/* Which of the four ways to store the options ask for: at most one condition. */
static int check_conditions(const cli_session *session) {
  int conditions = cli_given(session, OPTION_IF_ABSENT) + cli_given(session, OPTION_IF_PRESENT) +
                   cli_given(session, OPTION_IF_VERSION);
  if (conditions <= 1)
    return CLI_OK;
  out_error("put takes one of --if-absent, --if-present and --if-version");
  return CLI_USAGE;
}

static void print_written(const char *command, pgcache_status status, const char *done, int64_t version) {
  const char *word = outcome_word(status, done);
  if (status != PGCACHE_OK) {
    out_outcome(command, status, word, outcome_style(status));
  } else if (out_is_json()) {
    json_open(command);
    json_string("status", pgcache_status_name(status));
    json_string("outcome", word);
    json_integer_text("version", version);
    json_close();
  } else {
    out_style(STYLE_GOOD);
    out_text(word);
    out_style(STYLE_OFF);
    out_format(", version %" PRId64 "\n", version);
  }
}

/* Stores the value, and says what became of it. */
static int store(cli_session *session, const cli_bytes *key, const cli_bytes *value, int32_t format, int64_t ttl,
                 int64_t expected, const cli_dependencies *tags) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  options.dependencies = tags->items;
  options.dependency_count = tags->count;
  pgcache *cache = session->cache;
  int64_t version = 0;
  pgcache_status status;
  watch_begin(cache, "storing");
  if (cli_given(session, OPTION_IF_ABSENT))
    status =
        pgcache_add(cache, &version, key->data, key->size, value->data, value->size, format, ttl, &options, &error);
  else if (cli_given(session, OPTION_IF_PRESENT))
    status =
        pgcache_replace(cache, &version, key->data, key->size, value->data, value->size, format, ttl, &options, &error);
  else if (cli_given(session, OPTION_IF_VERSION))
    status = pgcache_compare_and_swap(cache, &version, key->data, key->size, value->data, value->size, format, ttl,
                                      expected, &options, &error);
  else
    status =
        pgcache_put(cache, &version, key->data, key->size, value->data, value->size, format, ttl, &options, &error);
  watch_end();
  if (status < 0)
    return out_failure(status, &error);
  print_written("put", status, "stored", version);
  return out_code(status);
}

int command_put(cli_session *session) {
  int64_t ttl = PGCACHE_TTL_DEFAULT;
  int64_t expected = 0;
  int32_t format = PGCACHE_FORMAT_BYTES;
  cli_bytes key = {NULL, 0};
  cli_bytes value = {NULL, 0};
  cli_dependencies tags;
  int code = options_dependencies(&tags, session, NULL, 0, PGCACHE_DEPENDS_ON_TAG);
  if (code == CLI_OK)
    code = check_conditions(session);
  if (code == CLI_OK)
    code = options_ttl(&ttl, session, PGCACHE_TTL_DEFAULT);
  if (code == CLI_OK)
    code = options_format(&format, session);
  if (code == CLI_OK)
    code = options_number(&expected, session, OPTION_IF_VERSION, 1, INT64_MAX, 0);
  if (code == CLI_OK)
    code = begin(&key, session);
  if (code == CLI_OK)
    code = read_value(&value, session);
  if (code == CLI_OK)
    code = store(session, &key, &value, format, ttl, expected, &tags);
  options_free_dependencies(&tags);
  pgc_free(key.data);
  pgc_free(value.data);
  return code;
}

/* ---- remove, exists -------------------------------------------------------------------------------------------- */

typedef pgcache_status key_call(pgcache *self, const void *key, size_t key_len, const pgcache_options *options,
                                pgcache_error *error);

/* The commands that need a key alone and give an outcome alone. */
static int run_key_call(cli_session *session, key_call *call, const char *what, const char *done) {
  cli_bytes key;
  int code = begin(&key, session);
  if (code == CLI_OK) {
    pgcache_error error = PGCACHE_ERROR_INIT;
    watch_begin(session->cache, what);
    pgcache_status status = call(session->cache, key.data, key.size, NULL, &error);
    watch_end();
    code = out_code(status);
    if (status < 0)
      code = out_failure(status, &error);
    else
      out_outcome(session->command->name, status, outcome_word(status, done), outcome_style(status));
  }
  pgc_free(key.data);
  return code;
}

int command_remove(cli_session *session) {
  return run_key_call(session, pgcache_remove, "removing", "removed");
}

int command_exists(cli_session *session) {
  return run_key_call(session, pgcache_exists, "asking", "exists");
}

/* ---- touch, incr ----------------------------------------------------------------------------------------------- */

int command_touch(cli_session *session) {
  int64_t ttl = PGCACHE_TTL_DEFAULT;
  cli_bytes key = {NULL, 0};
  int code = options_ttl(&ttl, session, PGCACHE_TTL_DEFAULT);
  if (code == CLI_OK)
    code = begin(&key, session);
  if (code == CLI_OK) {
    pgcache_error error = PGCACHE_ERROR_INIT;
    int64_t version = 0;
    watch_begin(session->cache, "touching");
    pgcache_status status = pgcache_touch(session->cache, &version, key.data, key.size, ttl, NULL, &error);
    watch_end();
    code = out_code(status);
    if (status < 0)
      code = out_failure(status, &error);
    else
      print_written("touch", status, "touched", version);
  }
  pgc_free(key.data);
  return code;
}

static void print_counter(pgcache_status status, int64_t counter, int64_t version) {
  if (!out_is_json()) {
    out_format("%" PRId64 "\n", counter);
    return;
  }
  json_open("incr");
  json_string("status", pgcache_status_name(status));
  json_string("outcome", "incremented");
  json_integer_text("counter", counter);
  json_integer_text("version", version);
  json_close();
}

int command_incr(cli_session *session) {
  int64_t delta = 1;
  int64_t initial = 0;
  int64_t ttl = PGCACHE_TTL_DEFAULT;
  cli_bytes key = {NULL, 0};
  if (session->operand_count == 2 && !options_parse_integer(&delta, session->operands[1])) {
    out_error("DELTA must be a whole number of 64 bits");
    return CLI_USAGE;
  }
  int code = options_number(&initial, session, OPTION_INITIAL, INT64_MIN, INT64_MAX, 0);
  if (code == CLI_OK)
    code = options_ttl(&ttl, session, PGCACHE_TTL_DEFAULT);
  if (code == CLI_OK)
    code = begin(&key, session);
  if (code == CLI_OK) {
    pgcache_error error = PGCACHE_ERROR_INIT;
    int64_t counter = 0;
    int64_t version = 0;
    watch_begin(session->cache, "counting");
    pgcache_status status =
        pgcache_increment(session->cache, &counter, &version, key.data, key.size, delta, initial, ttl, NULL, &error);
    watch_end();
    code = out_code(status);
    if (status < 0)
      code = out_failure(status, &error);
    else
      print_counter(status, counter, version);
  }
  pgc_free(key.data);
  return code;
}
