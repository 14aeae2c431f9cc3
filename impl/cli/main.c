/*
 * main.c - the command `pgcache`: its table of commands, and how one of them is run.
 *
 * Owns the table, the standard descriptors, the configuration and the handle of a run. It must never know what a
 * command does.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "output.h"
#include "platform/memory.h"
#include "watch.h"

#define KEY OPTION_BIT(OPTION_KEY_BASE64)
#define TTL OPTION_BIT(OPTION_TTL)
#define TAG OPTION_BIT(OPTION_TAG)
#define DIRECTORY OPTION_BIT(OPTION_DIR)
#define CONDITIONS (OPTION_BIT(OPTION_IF_ABSENT) | OPTION_BIT(OPTION_IF_PRESENT) | OPTION_BIT(OPTION_IF_VERSION))
#define PAGING (OPTION_BIT(OPTION_LIMIT) | OPTION_BIT(OPTION_AFTER) | OPTION_BIT(OPTION_PAGE_SIZE))

/* clang-format off */
const cli_command cli_commands[] = {
    {"get", "KEY", "print the value of a key",
     "Writes the bytes as they are; a newline is added only on a terminal. Exit 3: there is no such entry.",
     KEY, 1, 1, true, command_get},
    {"put", "KEY [VALUE]", "store a value",
     "The value is the argument, what --file names, or else standard input. Exit 3: a condition did not hold.",
     KEY | TTL | TAG | CONDITIONS | OPTION_BIT(OPTION_FILE) | OPTION_BIT(OPTION_FORMAT), 1, 2, true, command_put},
    {"remove", "KEY", "remove an entry",
     "Exit 3: there was no such entry.",
     KEY, 1, 1, true, command_remove},
    {"exists", "KEY", "ask whether there is an entry",
     "Exit 3: there is no such entry.",
     KEY, 1, 1, true, command_exists},
    {"touch", "KEY", "give an entry a new time to live",
     "Exit 3: there is no such entry.",
     KEY | TTL, 1, 1, true, command_touch},
    {"incr", "KEY [DELTA]", "add to a counter and print it",
     "DELTA is 1 if not given and may be negative. --ttl counts only if the counter is made by this call.",
     KEY | TTL | OPTION_BIT(OPTION_INITIAL), 1, 2, true, command_incr},
    {"load", "KEY -- PROGRAM [ARGUMENT...]", "print the value of a key, and run a program for it if there is none",
     "What the program prints becomes the value. Of all who ask at a time one runs it; the others wait. If it fails\n"
     "nothing is stored, and its exit code is that of pgcache. Exit 3: --wait is over, or it is known that there is none.",
     KEY | TTL | TAG | OPTION_BIT(OPTION_FORMAT) | OPTION_BIT(OPTION_STALE) | OPTION_BIT(OPTION_FAIL_SAFE) |
     OPTION_BIT(OPTION_WAIT), 1, SIZE_MAX, true, command_load},
    {"invalidate", "[KEY...]", "end all entries that depend on the tags of --tag, or on these keys",
     "An entry depends on its own key, too. Loads that are under way are not stored.",
     KEY | TAG, 0, SIZE_MAX, true, command_invalidate},
    {"tags", "[TAG...]", "show how many entries depend on tags, and which tables are watched",
     "One line for each tag given: entries and tag, with a tab in between. Without one, for each tag of each watched\n"
     "table: the table, the namespace and the tag. Reads the whole table.",
     KEY, 0, PGCACHE_BATCH_MAX, true, command_tags},
    {"keys", "[PREFIX]", "list the keys of the namespace",
     "One key a line, in the order of their bytes, with control characters, invalid UTF-8 and the backslash written\n"
     "as \\n, \\t, \\r, \\\\ and \\xNN. Lists what is stored and has not expired, also what get misses because it is stale\n"
     "or was invalidated. Reads the whole table.",
     KEY | PAGING, 0, 1, true, command_keys},
    {"flush", "", "remove every entry of the namespace, or of all",
     "Asks first if a person can answer. Exit 3: the answer was no.",
     OPTION_BIT(OPTION_ALL) | OPTION_BIT(OPTION_YES), 0, 0, true, command_flush},
    {"cleanup", "", "delete the rows that have expired, and evict what is above the limits",
     "Works on all namespaces, in short statements.",
     0, 0, 0, true, command_cleanup},
    {"limit", "", "limit how much the namespace, or all of the cache, may hold",
     "Cleanup and janitors keep the limit; what was not used for the longest time goes first.",
     OPTION_BIT(OPTION_ALL) | OPTION_BIT(OPTION_MAX_ENTRIES) | OPTION_BIT(OPTION_MAX_BYTES), 0, 0, true, command_limit},
    {"usage", "", "show what each namespace holds, and its limits",
     "One line each: namespace, entries, bytes, expired rows, and the limits (0: none), with tabs between them; the first\n"
     "line, without a name, is for all together. Entries are rows that have not expired, also stale and invalidated ones\n"
     "and the knowledge that there is no value. Reads the whole table.",
     0, 0, 0, true, command_usage},
    {"stats", "", "show figures of the store",
     "Entries are counted as usage counts them. Reads the whole table. With --prometheus for a scraper, and with what\n"
     "processes publish, see the setting publish_ms.",
     OPTION_BIT(OPTION_PROMETHEUS), 0, 0, true, command_stats},
    {"top", "", "watch what all processes do with the cache",
     "On a terminal a screen, until q is pressed; else lines: a word, and what it stands for, with tabs in between, and an\n"
     "empty line behind each reading. It shows the processes that publish, see the setting publish_ms.",
     OPTION_BIT(OPTION_INTERVAL) | OPTION_BIT(OPTION_TIMES), 0, 0, true, command_top},
    {"import", "", "take over the entries of another cache's table",
     "Entries keep the time that they have left, and what the cache has already stays. A line `after KEY` tells how far it\n"
     "is: with --after KEY another import goes on from there. The last lines count what became of the rows.",
     KEY | TAG | OPTION_BIT(OPTION_FROM) | OPTION_BIT(OPTION_SOURCE) | OPTION_BIT(OPTION_SOURCE_TABLE) |
     OPTION_BIT(OPTION_AFTER) | OPTION_BIT(OPTION_PAGE_SIZE) | OPTION_BIT(OPTION_OVERWRITE), 0, 0, true, command_import},
    {"doctor", "", "examine the cache and the server, and say what is wrong",
     "A line for each thing it looked at: severity, check, finding, evidence and remedy, with tabs in between.\n"
     "Exit 4: the worst is a warning. Exit 5: it is an error, or nothing could be examined.",
     0, 0, 0, true, command_doctor},
    {"init", "", "make the cache's schema in the database",
     "May be run again and by many at once. Without an address, or with --dry-run, prints the SQL and runs nothing.",
     OPTION_BIT(OPTION_DRY_RUN), 0, 0, true, command_init},
    {"upgrade", "", "bring an existing schema up to date", "Never makes a schema.",
     0, 0, 0, true, command_upgrade},
    {"local start", "", "start a private PostgreSQL for development, and init it",
     "Makes the server on the first start. It listens on a Unix socket in its own folder only.",
     DIRECTORY, 0, 0, true, command_local_start},
    {"local stop", "", "stop it", "Waits until it has stopped. Nothing to stop is no error.",
     DIRECTORY, 0, 0, true, command_local_stop},
    {"local status", "", "say whether it runs", "Exit 3: it does not run.",
     DIRECTORY, 0, 0, true, command_local_status},
    {"local url", "", "print its address",
     "A libpq connection string, for pgcache and for any other program: DATABASE_URL=$(pgcache local url).",
     DIRECTORY, 0, 0, true, command_local_url},
    {"local psql", "[-- ARGUMENT...]", "open psql on it", "What follows -- is given to psql.",
     DIRECTORY, 0, SIZE_MAX, true, command_local_psql},
    {"keygen", "[ID]", "print a new secret key as a line for a key file",
     "ID names the key, 1 to 16 of a-z, 0-9, _ and -; it is made up if not given. With the ID digest: the key for keyed\n"
     "digests. Keep the file to yourself: umask 077; pgcache keygen >>keys.",
     0, 0, 1, false, command_keygen},
    {"version", "", "print the version", "",
     0, 0, 0, false, command_version},
    {"help", "[COMMAND]", "explain pgcache or one of its commands", "",
     0, 0, 2, false, command_help},
    {NULL, NULL, NULL, NULL, 0, 0, 0, false, NULL}};
/* clang-format on */

void *cli_memory(void *old, size_t size) {
  void *memory = pgc_realloc(old, size);
  if (memory != NULL)
    return memory;
  out_error("out of memory");
  exit(out_finish(CLI_ERROR));
}

int session_configure(cli_session *session) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status = pgcache_config_new(&session->config, &error);
  if (status == PGCACHE_OK)
    status = pgcache_config_load_environment(session->config, &error);
  /* A command asks once: to listen would cost it a connection. The doctor says what it would be like for an application. */
  if (status == PGCACHE_OK && session->command->run != command_doctor)
    status = pgcache_config_set(session->config, "near_max_bytes", "0", &error);
  if (status == PGCACHE_OK)
    status = pgcache_config_set(session->config, "publish_ms", "0", &error); /* nor is it what people want to see */
  if (status != PGCACHE_OK)
    return out_failure(status, &error);
  for (size_t index = 0; index < session->setting_count; index += 2) {
    status = pgcache_config_set(session->config, session->settings[index], session->settings[index + 1], &error);
    if (status != PGCACHE_OK) {
      int code = out_failure(status, &error);
      /* A wrong address is an error like a server that cannot be reached; a wrong number is a slip of the hand. */
      return strcmp(session->settings[index], "url") == 0 ? code : CLI_USAGE;
    }
  }
  return CLI_OK;
}

int session_open(cli_session *session) {
  if (pgcache_config_get(session->config, "url")[0] == '\0') {
    out_error("no address: give --url, or set PGCACHE_URL or DATABASE_URL; `pgcache local start` starts a server");
    return CLI_USAGE;
  }
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status = pgcache_new(&session->cache, session->config, &error);
  return status == PGCACHE_OK ? CLI_OK : out_failure(status, &error);
}

void session_close(cli_session *session) {
  pgcache_free(session->cache);
  pgcache_config_free(session->config);
  session->cache = NULL;
  session->config = NULL;
}

/* A descriptor from 0 to 2 that the caller closed would go to the next file or socket that is opened, and what is
   meant for standard output into it. It is taken by /dev/null instead, the wrong way round: using it is an error. */
static void keep_standard_descriptors(void) {
  for (int descriptor = 0; descriptor <= 2; descriptor++)
    if (fcntl(descriptor, F_GETFD) < 0 && open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY) != descriptor)
      _exit(CLI_ERROR);
}

/* Says whether --json stands anywhere on the command line. */
static bool asks_for_json(int argc, char **argv) {
  for (int index = 1; index < argc && strcmp(argv[index], "--") != 0; index++)
    if (strcmp(argv[index], "--json") == 0)
      return true;
  return false;
}

/* Runs what the parsed command line asks for. */
static int run(cli_session *session) {
  if (cli_given(session, OPTION_VERSION))
    return command_version(session);
  if (cli_given(session, OPTION_HELP))
    return command_help(session);
  if (session->command->settings) {
    int code = session_configure(session);
    if (code != CLI_OK)
      return code;
  }
  return session->command->run(session);
}

int main(int argc, char **argv) {
  keep_standard_descriptors();
  signal(SIGPIPE, SIG_IGN);             /* a closed pipe is a failed write, and that an exit code */
  out_start(asks_for_json(argc, argv)); /* for what goes wrong before the command line is understood */

  cli_session session = {0};
  int code = options_parse(&session, argc, argv);
  if (code == CLI_OK) {
    out_start(cli_given(&session, OPTION_JSON));
    code = run(&session);
  }
  session_close(&session);
  pgc_free(session.operand_block);
  pgc_free(session.settings);
  pgc_free(session.tags);
  code = out_finish(code);
  if (watch_signal() != 0)
    watch_die(watch_signal());
  return code;
}
