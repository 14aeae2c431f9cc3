/*
 * doctor.c - the command doctor: prints the library's report for people, for line tools, or as JSON.
 *
 * It must never judge by itself: severities and texts are the library's, and the exit code is the worst of them.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "output.h"
#include "platform/memory.h"
#include "report.h"
#include "watch.h"

/* One finding of the report, or what stands in its place when there is none. */
typedef struct finding {
  const char *severity, *check, *text, *evidence, *remedy;
} finding;

/* ---- Reading the report ------------------------------------------------------------------------------------------- */

/* Reads the next finding: its five members, in the order of the report. False at the end of their array. */
static bool take_finding(char **rest, finding *out) {
  const char **const members[] = {&out->severity, &out->check, &out->text, &out->evidence, &out->remedy};
  *rest += strcspn(*rest, "{]");
  if (**rest == ']')
    return false;
  for (size_t index = 0; index < sizeof members / sizeof members[0]; index++) {
    report_string(rest); /* its name */
    *members[index] = report_string(rest);
  }
  return true;
}

/* ---- Printing ----------------------------------------------------------------------------------------------------- */

static const char *style_of(const char *severity) {
  if (strcmp(severity, "ok") == 0)
    return STYLE_GOOD;
  if (strcmp(severity, "info") == 0)
    return STYLE_DIM;
  return strcmp(severity, "warning") == 0 ? STYLE_BAD : STYLE_ERROR;
}

static int code_of(const char *severity) {
  if (strcmp(severity, "ok") == 0 || strcmp(severity, "info") == 0)
    return CLI_OK;
  return strcmp(severity, "warning") == 0 ? CLI_WARNING : CLI_AILING;
}

static void print_field(const char *text, const char *end) {
  out_escaped(text, strlen(text));
  out_text(end);
}

/* What is well takes one line; the rest also shows its evidence and its remedy. */
static void print_for_people(const finding *found) {
  out_style(style_of(found->severity));
  out_format("%-8s", found->severity);
  out_style(STYLE_OFF);
  out_format(" %-14s ", found->check);
  print_field(found->text, "\n");
  if (strcmp(found->severity, "ok") == 0)
    return;
  out_style(STYLE_DIM);
  out_format("%24s", "");
  print_field(found->evidence, "\n");
  out_style(STYLE_OFF);
  if (found->remedy[0] == '\0')
    return;
  out_format("%24s", "-> ");
  print_field(found->remedy, "\n");
}

static void print(const finding *found) {
  if (out_is_json()) {
    json_item_open();
    json_string("severity", found->severity);
    json_string("check", found->check);
    json_string("finding", found->text);
    json_string("evidence", found->evidence);
    json_string("remedy", found->remedy);
    json_item_close();
  } else if (out_for_people()) {
    print_for_people(found);
  } else {
    print_field(found->severity, "\t");
    print_field(found->check, "\t");
    print_field(found->text, "\t");
    print_field(found->evidence, "\t");
    print_field(found->remedy, "\n");
  }
}

static void print_begin(pgcache_status status) {
  if (out_is_json()) {
    json_open("doctor");
    json_string("status", pgcache_status_name(status));
    json_array_open("findings");
  } else if (out_for_people()) {
    out_style(STYLE_BOLD);
    out_format("%-8s %-14s %s\n", "SEVERITY", "CHECK", "FINDING");
    out_style(STYLE_OFF);
  }
}

static void print_end(const char *worst) {
  if (!out_is_json())
    return;
  json_array_close();
  json_string("worst", worst);
  json_close();
}

/* ---- The command -------------------------------------------------------------------------------------------------- */

static int print_report(const pgcache_value *report) {
  char *text = cli_memory(NULL, pgcache_value_size(report) + 1);
  memcpy(text, pgcache_value_data(report), pgcache_value_size(report) + 1);
  char *rest = strchr(text, '['); /* the member `findings` comes first, */
  finding found;
  print_begin(PGCACHE_OK);
  while (take_finding(&rest, &found))
    print(&found);
  report_string(&rest); /* then the name of `worst` */
  const char *worst = report_string(&rest);
  int code = code_of(worst);
  print_end(worst);
  pgc_free(text);
  return code;
}

static const char *remedy_for(pgcache_status status) {
  switch (status) {
  case PGCACHE_DENIED:
    return "check the user, the password and the database of the url, and pg_hba.conf";
  case PGCACHE_SERVER_TOO_OLD:
    return "upgrade the server";
  case PGCACHE_TOO_MANY_CONNECTIONS:
    return "close connections, raise max_connections, or put a connection pooler in between";
  case PGCACHE_BAD_SETTING: /* such as a pooler and prepared=on, which shows when it is connected to */
    return "correct the setting that the evidence names";
  case PGCACHE_TIMEOUT:
    return "check the network, or give it more time with --maintenance-timeout-ms";
  default:
    return "check the url, and that the server runs; try the same url in psql";
  }
}

int command_doctor(cli_session *session) {
  int code = session_open(session);
  if (code != CLI_OK)
    return code;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *report = NULL;
  watch_begin(session->cache, "examining");
  pgcache_status status = pgcache_doctor(session->cache, &report, NULL, &error);
  watch_end();
  if (watch_signal() != 0)
    return out_failure(status, &error);
  if (status != PGCACHE_OK) {
    const finding nothing = {"error", "connection", "nothing could be examined", error.message, remedy_for(status)};
    print_begin(status);
    print(&nothing);
    print_end("error");
    return CLI_AILING;
  }
  code = print_report(report);
  pgcache_value_free(report);
  return code;
}
