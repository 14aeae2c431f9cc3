/*
 * commands_help.c - the commands that explain: help, version.
 *
 * Everything is printed from the tables of commands, options and settings; nothing is said twice. It must never need a
 * configuration or a server.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "cli.h"
#include "options.h"
#include "output.h"

int command_version(cli_session *session) {
  (void)session;
  if (out_is_json()) {
    json_open("version");
    json_string("status", pgcache_status_name(PGCACHE_OK));
    json_string("version", PGCACHE_VERSION_STRING);
    json_string("library", pgcache_version());
    json_close();
    return CLI_OK;
  }
  out_format("pgcache %s (library %s)\n", PGCACHE_VERSION_STRING, pgcache_version());
  return CLI_OK;
}

static void heading(const char *text) {
  out_style(STYLE_BOLD);
  out_text(text);
  out_style(STYLE_OFF);
  out_text("\n");
}

static void print_options(uint32_t options) {
  for (int id = 0; id < OPTION_COUNT; id++) {
    if (!(options & OPTION_BIT(id)))
      continue;
    const cli_option *option = &cli_options[id];
    char shown[64] = "--";
    strcat(shown, option->name); /* names are short and our own */
    if (option->argument != NULL) {
      strcat(shown, " ");
      strcat(shown, option->argument);
    }
    out_format("  %-22s %s\n", shown, option->description);
  }
}

static void print_settings(void) {
  heading("Settings, also from the environment");
  for (size_t index = 0;; index++) {
    pgcache_setting setting = PGCACHE_SETTING_INIT;
    if (pgcache_config_describe(&setting, index, NULL) != PGCACHE_OK)
      break;
    char flag[64];
    options_flag_name(flag, sizeof flag, setting.name);
    out_format("  --%-24s %s\n", flag, setting.environment);
    out_format("      %s\n", setting.description);
    out_format("      %s", setting.allowed);
    if (setting.default_value[0] != '\0')
      out_format("; default %s", setting.default_value);
    out_text("\n");
  }
}

static void print_commands(const char *prefix) {
  for (const cli_command *command = cli_commands; command->name != NULL; command++)
    if (strncmp(command->name, prefix, strlen(prefix)) == 0)
      out_format("  %-14s %s\n", command->name, command->summary);
}

static void print_overview(void) {
  out_text("pgcache: PostgreSQL as a cache\n\nUsage: pgcache COMMAND [ARGUMENT...] [OPTION...]\n\n");
  heading("Commands");
  print_commands("");
  out_text("\n");
  heading("Options (`pgcache help COMMAND` says which a command takes)");
  print_options(UINT32_MAX);
  out_text("\n");
  print_settings();
  out_text("\n");
  heading("Exit codes");
  out_text("  0  done; get, exists: there is an entry\n"
           "  1  an error, in one line on standard error\n"
           "  2  the command line cannot be understood, or no address was given\n"
           "  3  no: no such entry, a condition that did not hold, a server that does not run\n"
           "  4  doctor: the worst finding is a warning\n"
           "  5  doctor: the worst finding is an error, or nothing could be examined\n");
}

static void print_command(const cli_command *command) {
  out_format("Usage: pgcache %s%s%s [OPTION...]\n\n%c%s.\n", command->name, command->operands[0] != '\0' ? " " : "",
             command->operands, command->summary[0] - 'a' + 'A', command->summary + 1);
  if (command->more[0] != '\0')
    out_format("%s\n", command->more);
  out_text("\n");
  heading("Options");
  print_options(command->options | OPTION_BIT(OPTION_JSON) | OPTION_BIT(OPTION_HELP));
  if (command->settings)
    out_text("  --SETTING VALUE        any setting, such as --url or --namespace; `pgcache help` lists them\n");
}

static void print_json(void) {
  json_open("help");
  json_string("status", pgcache_status_name(PGCACHE_OK));
  json_array_open("commands");
  for (const cli_command *command = cli_commands; command->name != NULL; command++) {
    json_item_open();
    json_string("name", command->name);
    json_string("operands", command->operands);
    json_string("summary", command->summary);
    json_item_close();
  }
  json_array_close();
  json_array_open("options");
  for (int id = 0; id < OPTION_COUNT; id++) {
    json_item_open();
    json_string("name", cli_options[id].name);
    json_string("argument", cli_options[id].argument != NULL ? cli_options[id].argument : "");
    json_string("description", cli_options[id].description);
    json_item_close();
  }
  json_array_close();
  json_array_open("settings");
  for (size_t index = 0;; index++) {
    pgcache_setting setting = PGCACHE_SETTING_INIT;
    if (pgcache_config_describe(&setting, index, NULL) != PGCACHE_OK)
      break;
    char flag[64];
    options_flag_name(flag, sizeof flag, setting.name);
    json_item_open();
    json_string("name", setting.name);
    json_string("option", flag);
    json_string("environment", setting.environment);
    json_string("default", setting.default_value);
    json_string("allowed", setting.allowed);
    json_string("description", setting.description);
    json_item_close();
  }
  json_array_close();
  json_close();
}

int command_help(cli_session *session) {
  /* `pgcache help get` and `pgcache get --help` are the same; so are `help local` and `local --help`. */
  const cli_command *command = session->command;
  const char *first = session->operand_count > 0 ? session->operands[0] : NULL;
  const char *second = session->operand_count > 1 ? session->operands[1] : NULL;
  if (command != NULL && command->run == command_help) {
    command = NULL;
    for (const cli_command *row = cli_commands; row->name != NULL && first != NULL; row++) {
      size_t length = strlen(first);
      bool same = strncmp(row->name, first, length) == 0;
      if (same && second == NULL ? row->name[length] == '\0'
                                 : same && row->name[length] == ' ' && strcmp(row->name + length + 1, second) == 0)
        command = row;
    }
    bool all_of_local = first != NULL && second == NULL && strcmp(first, "local") == 0;
    if (first != NULL && command == NULL && !all_of_local) {
      out_error("there is no such command; `pgcache help` lists the commands");
      return CLI_USAGE;
    }
  }
  if (out_is_json()) {
    print_json();
  } else if (command != NULL) {
    print_command(command);
  } else if (first != NULL) { /* local, without saying which */
    out_text("Usage: pgcache local COMMAND [OPTION...]\n\nA private PostgreSQL for development.\n\n");
    heading("Commands");
    print_commands("local ");
  } else {
    print_overview();
  }
  return CLI_OK;
}
