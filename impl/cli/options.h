/*
 * options.h - the command line: its options, and the numbers, times, keys and values that they carry.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_OPTIONS_H
#define PGC_CLI_OPTIONS_H

#include "cli.h"

/* One option of the command. */
typedef struct cli_option {
  const char *name;        /* without the dashes */
  const char *argument;    /* what its value is called, NULL for a switch */
  const char *description; /* one line */
} cli_option;

extern const cli_option cli_options[OPTION_COUNT];

/* Bytes made from an argument; data is to be given to pgc_free(). */
typedef struct cli_bytes {
  unsigned char *data;
  size_t size;
} cli_bytes;

/* Parses argv into session, finds the command and checks that the options and operands fit it. Returns CLI_OK, or
   CLI_USAGE or CLI_ERROR with the line printed. session->command may be NULL after CLI_OK only with --help or
   --version. */
int options_parse(cli_session *session, int argc, char **argv);

/* The flag of a setting: "pool_max" gives "pool-max". size is that of the buffer. */
void options_flag_name(char *buffer, size_t size, const char *setting);

/* The options' values as typed values. Each gives CLI_OK, or prints a line and gives the exit code; an option that was
   not given gives `otherwise`. */
int options_number(int64_t *out, const cli_session *session, option_id id, int64_t least, int64_t most,
                   int64_t otherwise);
int options_ttl(int64_t *out, const cli_session *session, int64_t otherwise);
int options_time(int64_t *out, const cli_session *session, option_id id, int64_t otherwise);
int options_format(int32_t *out, const cli_session *session);

/* The text as bytes. */
void options_text(cli_bytes *out, const char *text);

/* A key as bytes: the text itself, or what it says in base64 under --key-base64. `what` names it in messages. */
int options_key(cli_bytes *out, const cli_session *session, const char *text, const char *what);

/* Tags and keys, with the memory that they point to. */
typedef struct cli_dependencies {
  pgcache_dependency *items;
  cli_bytes *names;
  size_t count;
} cli_dependencies;

/* What --tag names, and the operands as tags or keys. To be given to options_free_dependencies(), whatever the code. */
int options_dependencies(cli_dependencies *out, const cli_session *session, char *const *operands, size_t operand_count,
                         pgcache_dependency_kind kind);
/* Says whether an entry can depend on these tags; if not, prints the line. */
int options_check_tags(const cli_dependencies *tags);
void options_free_dependencies(cli_dependencies *dependencies);

/* The decimal 64-bit integer in text. */
bool options_parse_integer(int64_t *out, const char *text);

/* The milliseconds in "500ms", "30s", "5m", "2h", "1d" or "never". */
bool options_parse_ttl(int64_t *out, const char *text);

/* Decodes base64 (RFC 4648, padding optional). False if text is not base64. */
bool options_parse_base64(cli_bytes *out, const char *text);

#endif /* PGC_CLI_OPTIONS_H */
