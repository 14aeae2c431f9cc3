/*
 * cli.h - what the files of the command `pgcache` share: exit codes, the parsed command line, the session.
 *
 * The command is a client of the library like any other: it uses the public header alone, except that `pgcache local`
 * asks impl/pure/address for the folder that a `local:` address means. It must never print a password.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_H
#define PGC_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgcache.h"

/* The exit codes, which the man page promises. A signal ends the command as that signal does (128 + its number in the
   shell). */
enum {
  CLI_OK = 0,          /* done; for get and exists: a hit */
  CLI_ERROR = 1,       /* an error: the server, the address, a file, standard output */
  CLI_USAGE = 2,       /* the command line cannot be understood, or an address is needed and there is none */
  CLI_NEGATIVE = 3,    /* understood and answered, and the answer is no: a miss, the entry exists, not running, busy */
  CLI_WARNING = 4,     /* doctor: the worst finding is a warning */
  CLI_AILING = 5,      /* doctor: the worst finding is an error, or nothing could be examined */
  CLI_NOT_RUN = 126,   /* load: the program cannot be run; other codes than these are the program's own */
  CLI_NO_PROGRAM = 127 /* load: there is no such program */
};

/* The command's own options; the settings' flags are made from the library's table and are not listed here. */
typedef enum option_id {
  OPTION_JSON,
  OPTION_HELP,
  OPTION_VERSION,
  OPTION_KEY_BASE64,
  OPTION_FILE,
  OPTION_TTL,
  OPTION_FORMAT,
  OPTION_IF_ABSENT,
  OPTION_IF_PRESENT,
  OPTION_IF_VERSION,
  OPTION_INITIAL,
  OPTION_LIMIT,
  OPTION_AFTER,
  OPTION_PAGE_SIZE,
  OPTION_ALL,
  OPTION_YES,
  OPTION_DRY_RUN,
  OPTION_DIR,
  OPTION_MAX_ENTRIES,
  OPTION_MAX_BYTES,
  OPTION_TAG,
  OPTION_STALE,
  OPTION_FAIL_SAFE,
  OPTION_WAIT,
  OPTION_INTERVAL,
  OPTION_TIMES,
  OPTION_PROMETHEUS,
  OPTION_FROM,
  OPTION_SOURCE,
  OPTION_SOURCE_TABLE,
  OPTION_OVERWRITE,
  OPTION_COUNT
} option_id;

#define OPTION_BIT(id) (UINT32_C(1) << (id))

/* One command line, parsed. The strings are those of argv. */
typedef struct cli_session {
  const struct cli_command *command;
  const char *values[OPTION_COUNT]; /* NULL: not given; a switch: "" */
  char **operands;                  /* what follows the command's name; points into operand_block */
  char **operand_block;
  size_t operand_count;
  size_t operands_before_dashes; /* how many of them stood before `--` */
  const char **settings;         /* name, value, name, value... of the settings' flags */
  size_t setting_count;
  const char **tags; /* of --tag, which may come several times */
  size_t tag_count;
  pgcache_config *config; /* set by session_configure() */
  pgcache *cache;         /* set by session_open() */
} cli_session;

/* One command: a row of the table in main.c. */
typedef struct cli_command {
  const char *name;      /* "get", "local start" */
  const char *operands;  /* as the usage line shows them */
  const char *summary;   /* one line */
  const char *more;      /* what `pgcache help NAME` adds */
  uint32_t options;      /* the OPTION_BITs that it takes besides --json and --help */
  size_t operands_least; /* how many operands it needs */
  size_t operands_most;
  bool settings; /* takes the settings' flags */
  int (*run)(cli_session *session);
} cli_command;

/* The table of commands, ended by a row without a name. */
extern const cli_command cli_commands[];

static inline bool cli_given(const cli_session *session, option_id id) {
  return session->values[id] != NULL;
}

/* Gives memory of that size, or makes what is there larger; to be given to pgc_free(). Never NULL: without memory the
   command ends with its line. */
void *cli_memory(void *old, size_t size);

/* Reads the environment and the settings' flags into session->config. On failure the line is printed and the exit code
   returned, else CLI_OK. */
int session_configure(cli_session *session);

/* Makes the handle in session->cache; needs an address. Returns as session_configure(). */
int session_open(cli_session *session);

/* Frees what the session holds. */
void session_close(cli_session *session);

/* Prints what a namespace holds, as an item of an array of JSON. */
void cli_json_usage(const pgcache_usage *usage);

/* commands_entry.c: one entry. */
int command_get(cli_session *session);
int command_put(cli_session *session);
int command_remove(cli_session *session);
int command_exists(cli_session *session);
int command_touch(cli_session *session);
int command_incr(cli_session *session);

/* commands_load.c: the value of a key, from a program if need be. */
int command_load(cli_session *session);

/* commands_tags.c: what entries depend on. */
int command_invalidate(cli_session *session);
int command_tags(cli_session *session);

/* commands_store.c: the cache as a whole. */
int command_init(cli_session *session);
int command_upgrade(cli_session *session);
int command_keys(cli_session *session);
int command_flush(cli_session *session);
int command_cleanup(cli_session *session);
int command_limit(cli_session *session);
int command_usage(cli_session *session);
int command_stats(cli_session *session);

/* import.c: another cache's entries. */
int command_import(cli_session *session);

/* top.c */
int command_top(cli_session *session);

/* doctor.c */
int command_doctor(cli_session *session);

/* keygen.c */
int command_keygen(cli_session *session);

/* commands_help.c */
int command_help(cli_session *session);
int command_version(cli_session *session);

/* local.c: the private server for development. */
int command_local_start(cli_session *session);
int command_local_stop(cli_session *session);
int command_local_status(cli_session *session);
int command_local_url(cli_session *session);
int command_local_psql(cli_session *session);

#endif /* PGC_CLI_H */
