/*
 * output.h - everything that the command prints: lines, JSON, colours, errors, progress.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_OUTPUT_H
#define PGC_CLI_OUTPUT_H

#include "cli.h"

/* Styles for out_style(); they do nothing unless a person reads standard output on a terminal. */
#define STYLE_BOLD "1"
#define STYLE_DIM "2"
#define STYLE_GOOD "32"
#define STYLE_BAD "33"
#define STYLE_ERROR "31"
#define STYLE_OFF "0"

/* Looks at the streams and the environment; to be called first. json: the command was asked for JSON. */
void out_start(bool json);

/* True when a person reads standard output on a terminal and JSON was not asked for. */
bool out_for_people(void);

/* True when that terminal can be drawn on anew, see screen.h. */
bool out_screen_possible(void);

/* True when JSON was asked for. */
bool out_is_json(void);

/* Standard output. A failure is kept and reported by out_finish(). */
void out_write(const void *data, size_t size);
void out_text(const char *text);
__attribute__((format(printf, 1, 2))) void out_format(const char *format, ...);
void out_style(const char *style);

/* A key for people and line tools: UTF-8 as it is, control characters, invalid bytes and the backslash as \n, \t, \r,
   \\ or \xNN, so that each line is one key and nothing can play with the terminal. */
void out_escaped(const void *data, size_t size);

/* Says whether out_escaped() writes the key as it is. */
bool out_is_plain(const void *data, size_t size);

void out_base64(const void *bytes, size_t size);

/* Milliseconds as "4m 12s", PGCACHE_TTL_NEVER as "never"; bytes as "1.5 MiB". buffer is at least 32 bytes. */
const char *out_duration(char *buffer, int64_t milliseconds);
const char *out_size(char *buffer, int64_t bytes);

/* Sends what is buffered. False if writing has failed: there is no use in going on. */
bool out_flush(void);

/* Flushes; a failure of standard output gives one line and CLI_ERROR, else the code is handed back. */
int out_finish(int code);

/* Names the command that runs, for the object of an error. */
void out_command(const char *name);

/* One line "pgcache: ..." on standard error, and nothing else. */
__attribute__((format(printf, 1, 2))) void out_note(const char *format, ...);

/* Reports an error of the command's own: the line, and with --json the object. A command reports one error. */
__attribute__((format(printf, 1, 2))) void out_error(const char *format, ...);

/* The progress line on standard error, only if that is a terminal. */
bool out_progress_possible(void);
void out_progress(const char *what, int64_t seconds);
void out_progress_clear(void);

/* One JSON object on standard output: json_open(), members, json_close(). A member called `name` in json_bytes()
   becomes name_base64 and, if the bytes are UTF-8, name. */
void json_open(const char *command);
void json_string(const char *name, const char *text);
void json_bytes(const char *name, const void *data, size_t size);
void json_integer(const char *name, int64_t number);
void json_integer_text(const char *name, int64_t number);
void json_number(const char *name, double number); /* NaN: null */
void json_boolean(const char *name, bool value);
void json_null(const char *name);
void json_ttl(const char *name, int64_t milliseconds);
void json_array_open(const char *name);
void json_array_close(void);
void json_item_open(void);
void json_item_close(void);
void json_close(void);

/* Reports an error of the library: the line, and with --json the object, or what is left of it if it is already open.
   Gives CLI_ERROR. */
int out_failure(pgcache_status status, const pgcache_error *error);

/* The same, with words of the command's own in front of the message. */
int out_failure_after(const char *words, pgcache_status status, const pgcache_error *error);

/* Reports an outcome without more facts: the word (with a style), or the object. */
void out_outcome(const char *command, pgcache_status status, const char *word, const char *style);

/* The code for an outcome of the library: CLI_OK or CLI_NEGATIVE. */
int out_code(pgcache_status status);

#endif /* PGC_CLI_OUTPUT_H */
