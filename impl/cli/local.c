/*
 * local.c - the commands of `pgcache local`: a private PostgreSQL for development.
 *
 * Each finds the folder, becomes the account that the server belongs to, and asks local_server for the rest. Start and
 * stop may be run again and by many at once. It must never touch a server that it did not make.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "local_place.h"
#include "local_process.h"
#include "local_programs.h"
#include "local_server.h"
#include "output.h"
#include "platform/memory.h"
#include "watch.h"

/* Says how the server is: a line for all, a table for people, an object for machines. */
static void print_state(const char *command, pgcache_status status, const char *word, pid_t process,
                        const local_place *place) {
  if (out_is_json()) {
    json_open(command);
    json_string("status", pgcache_status_name(status));
    json_string("outcome", word);
    if (process != 0)
      json_integer("pid", process);
    else
      json_null("pid");
    json_string("directory", place->address.local_dir);
    json_string("log", place->log);
    json_string("url", place->url);
    json_string("conninfo", place->address.conninfo);
    json_close();
    return;
  }
  out_style(status == PGCACHE_OK ? STYLE_GOOD : STYLE_BAD);
  out_text(word);
  out_style(STYLE_OFF);
  if (process != 0)
    out_format(", process %ld", (long)process);
  out_text("\n");
  if (!out_for_people() || process == 0)
    return;
  const char *const rows[][2] = {{"folder", place->address.local_dir}, {"log", place->log}, {"url", place->url}};
  for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
    out_style(STYLE_DIM);
    out_format("  %-8s", rows[index][0]);
    out_style(STYLE_OFF);
    out_format("%s\n", rows[index][1]);
  }
}

/* ---- start ----------------------------------------------------------------------------------------------------- */

/* Makes the cache's schema through the library, as `pgcache --url local:... init` would. If that fails the server goes
   on running, because it takes a server to mend a schema; only who interrupts the start that began it gets none.
   started: by this start. */
static int init_schema(cli_session *session, const local_place *place, pid_t process, bool started) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status = pgcache_config_set(session->config, "url", place->url, &error);
  if (status == PGCACHE_OK)
    status = pgcache_new(&session->cache, session->config, &error);
  if (status == PGCACHE_OK) {
    watch_begin(session->cache, "making the schema");
    status = pgcache_init(session->cache, NULL, &error);
    watch_end();
  }
  if (status >= 0)
    return CLI_OK;
  if (started && watch_signal() != 0) {
    process_end(process, SIGINT);
    return out_failure(status, &error);
  }
  char words[96];
  snprintf(words, sizeof words, "the server runs, process %ld, but making the schema failed: ", (long)process);
  return out_failure_after(words, status, &error);
}

static int start_locked(cli_session *session, local_place *place) {
  server_programs programs;
  pid_t process = server_pid(place);
  bool started = process == 0;
  int code = CLI_OK;
  if (!started) {
    code = server_await(process, place);
  } else {
    code = programs_find(&programs, place, true) ? server_make(place, &programs) : CLI_ERROR;
    if (code == CLI_OK)
      code = server_start(&process, place, &programs);
  }
  if (code == CLI_OK)
    code = init_schema(session, place, process, started);
  if (code == CLI_OK)
    print_state("local start", PGCACHE_OK, started ? "started" : "already running", process, place);
  return code;
}

int command_local_start(cli_session *session) {
  local_place place;
  int code = place_find(&place, session);
  if (code == CLI_OK) {
    watch_catch_signals();
    process_clean_environment();
    code = place_make(&place);
  }
  if (code == CLI_OK)
    code = place_lock(&place);
  if (code == CLI_OK)
    code = start_locked(session, &place);
  place_clear(&place);
  return code;
}

/* ---- stop, status ---------------------------------------------------------------------------------------------- */

int command_local_stop(cli_session *session) {
  local_place place;
  bool there = false;
  pid_t process = 0;
  int code = place_find(&place, session);
  if (code == CLI_OK) {
    watch_catch_signals();
    code = place_enter(&place, &there);
  }
  if (code == CLI_OK && there)
    code = place_lock(&place);
  if (code == CLI_OK && there) {
    process = server_pid(&place);
    code = process != 0 ? server_stop(process, &place) : CLI_OK;
  }
  if (code == CLI_OK)
    print_state("local stop", PGCACHE_OK, process != 0 ? "stopped" : "not running", 0, &place);
  place_clear(&place);
  return code;
}

int command_local_status(cli_session *session) {
  local_place place;
  bool there = false;
  int code = place_find(&place, session);
  if (code == CLI_OK)
    code = place_enter(&place, &there);
  if (code == CLI_OK) {
    pid_t process = there ? server_pid(&place) : 0;
    pgcache_status status = process != 0 ? PGCACHE_OK : PGCACHE_MISS;
    print_state("local status", status, process != 0 ? "running" : "not running", process, &place);
    code = out_code(status);
  }
  place_clear(&place);
  return code;
}

/* ---- url, psql ------------------------------------------------------------------------------------------------- */

int command_local_url(cli_session *session) {
  local_place place;
  int code = place_find(&place, session);
  if (code == CLI_OK && out_is_json()) {
    json_open("local url");
    json_string("status", pgcache_status_name(PGCACHE_OK));
    json_string("url", place.url);
    json_string("conninfo", place.address.conninfo);
    json_close();
  } else if (code == CLI_OK) {
    out_format("%s\n", place.address.conninfo);
  }
  place_clear(&place);
  return code;
}

/* Becomes psql, as whoever runs pgcache: root may enter the socket's folder, and psql's files are the caller's. */
int command_local_psql(cli_session *session) {
  local_place place;
  if (session->operands_before_dashes > 0) {
    out_error("local psql takes psql's arguments behind --");
    return CLI_USAGE;
  }
  int code = place_find(&place, session);
  size_t count = session->operand_count;
  const char **arguments = cli_memory(NULL, (count + 4) * sizeof *arguments);
  if (code == CLI_OK && server_pid(&place) == 0) {
    out_error("the server of %s does not run; `pgcache local start` starts it", place.address.local_dir);
    code = CLI_ERROR;
  }
  if (code == CLI_OK) {
    char psql[4200] = "psql";
    server_programs programs;
    if (programs_find(&programs, &place, false))
      snprintf(psql, sizeof psql, "%s/psql", programs.folder);
    arguments[0] = "psql";
    arguments[1] = "-d";
    arguments[2] = place.address.conninfo;
    memcpy(arguments + 3, session->operands, count * sizeof *arguments);
    arguments[count + 3] = NULL;
    char *const *words = (char *const *)(uintptr_t)arguments; /* exec promises not to change them */
    process_become(psql, words);
    out_error("cannot run psql: %s", strerror(errno));
    code = CLI_ERROR;
  }
  pgc_free(arguments);
  place_clear(&place);
  return code;
}
