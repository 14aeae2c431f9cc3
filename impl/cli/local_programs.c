/*
 * local_programs.c - finding PostgreSQL's server programs on this machine.
 *
 * They are rarely in the PATH, and a cluster can only be used with those of its own version. It must never choose a
 * version that the library does not support.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "local_programs.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "local_process.h"
#include "output.h"
#include "watch.h"

static bool is_program(const char *folder, const char *name) {
  char path[4200];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return access(path, X_OK) == 0;
}

/* The major version of the programs in a folder, 0 if they are not there. */
static int major_in(const char *folder) {
  char path[4200];
  char line[128];
  if (folder[0] != '/' || !is_program(folder, "initdb") || !is_program(folder, "postgres"))
    return 0;
  snprintf(path, sizeof path, "%s/postgres", folder);
  if (!process_first_line(line, sizeof line, (const char *const[]){path, "-V", NULL}))
    return 0;
  const char *number = strstr(line, "(PostgreSQL) "); /* "postgres (PostgreSQL) 15.18 (Debian ...)" */
  return number != NULL ? (int)strtol(number + strlen("(PostgreSQL) "), NULL, 10) : 0;
}

/* The version that the cluster was made by, 0 if there is no cluster. */
static int major_of_cluster(const local_place *place) {
  char path[PLACE_PATH_SIZE + 16];
  char line[32] = "";
  snprintf(path, sizeof path, "%s/PG_VERSION", place->data);
  FILE *file = fopen(path, "re");
  if (file == NULL)
    return 0;
  int major = fgets(line, sizeof line, file) != NULL ? (int)strtol(line, NULL, 10) : 0;
  fclose(file);
  return major;
}

/* Keeps the folder if its programs are better than those found so far: of the wanted version, or newer. */
static void consider(server_programs *best, const char *folder, int wanted) {
  size_t length = strlen(folder);
  if (length == 0 || length >= sizeof best->folder || (wanted != 0 && best->major == wanted))
    return;
  int major = major_in(folder);
  if (wanted != 0 ? major != wanted && best->major >= major : best->major >= major)
    return;
  memcpy(best->folder, folder, length + 1);
  best->major = major;
}

static void consider_pattern(server_programs *best, const char *pattern, int wanted) {
  glob_t found;
  if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
    return;
  for (size_t index = 0; index < found.gl_pathc; index++)
    consider(best, found.gl_pathv[index], wanted);
  globfree(&found);
}

static void consider_search_path(server_programs *best, int wanted) {
  const char *part = getenv("PATH");
  while (part != NULL && *part != '\0') {
    char folder[sizeof best->folder];
    size_t length = strcspn(part, ":");
    if (length < sizeof folder) {
      memcpy(folder, part, length);
      folder[length] = '\0';
      consider(best, folder, wanted);
    }
    part += length;
    part += *part == ':';
  }
}

bool programs_find(server_programs *out, const local_place *place, bool say) {
  char line[4096];
  int wanted = major_of_cluster(place);
  memset(out, 0, sizeof *out);
  if (process_first_line(line, sizeof line, (const char *const[]){"pg_config", "--bindir", NULL}))
    consider(out, line, wanted);
  consider_pattern(out, "/usr/lib/postgresql/*/bin", wanted);
  consider_pattern(out, "/usr/pgsql-*/bin", wanted);
  consider_search_path(out, wanted);
  if (out->major >= 15 && (wanted == 0 || out->major == wanted))
    return true;
  if (!say)
    return false;
  if (watch_signal() != 0)
    out_error("interrupted");
  else if (wanted != 0)
    out_error(
        "%s was made by PostgreSQL %d, whose server programs are not installed here; install them, or remove that "
        "folder to begin anew",
        place->data, wanted);
  else if (out->major != 0)
    out_error("PostgreSQL %d is installed here, and 15 or newer is needed", out->major);
  else
    out_error("no PostgreSQL server is installed here (looked in pg_config --bindir, /usr/lib/postgresql/*/bin and the "
              "PATH); install PostgreSQL 15 or newer, such as Debian's package postgresql");
  return false;
}
