/*
 * settings-doc.c - prints abi/SETTINGS.md: what the library itself says about its settings, through the public interface
 * alone. ci/check-settings-doc builds and runs it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <stdio.h>

#include "pgcache.h"

/* A cell of a table, in which a bar would end it. */
static void print_cell(const char *before, const char *text, const char *after) {
  fputs(before, stdout);
  for (const char *c = text; *c != '\0'; c++)
    printf(*c == '|' ? "\\|" : "%c", *c);
  fputs(after, stdout);
}

int main(void) {
  puts("# Settings\n"
       "\n"
       "Generated from the library by `ci/check-settings-doc --fix`; edit the table in impl/pure/config.c.\n"
       "\n"
       "A setting is text. It is set with `pgcache_config_set()`, with the environment variable (read by\n"
       "`pgcache_config_load_environment()`, and by the command `pgcache` on its own), or left at its default.\n"
       "\n"
       "| setting | environment | default | allowed | |\n"
       "| --- | --- | --- | --- | --- |");
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_setting setting = PGCACHE_SETTING_INIT;
  pgcache_status status = PGCACHE_OK;
  for (size_t i = 0; (status = pgcache_config_describe(&setting, i, &error)) == PGCACHE_OK; i++) {
    print_cell("| `", setting.name, "` ");
    print_cell("| `", setting.environment, "` ");
    if (setting.default_value[0] != '\0')
      print_cell("| `", setting.default_value, "` ");
    else
      fputs("| none ", stdout);
    print_cell("| ", setting.allowed, " ");
    print_cell("| ", setting.description, " |\n");
  }
  if (status != PGCACHE_MISS) {
    fprintf(stderr, "settings-doc: %s\n", error.message);
    return 1;
  }
  return ferror(stdout) || fflush(stdout) != 0;
}
