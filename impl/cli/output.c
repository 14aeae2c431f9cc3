/*
 * output.c - everything that the command prints.
 *
 * Owns standard output and standard error: lines for line tools, colours for people on a terminal, JSON for machines,
 * errors in one line, the progress line. It must never let a failed write pass for success, nor send an escape
 * sequence of its own to what is not a terminal.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "screen.h"
#include "text.h"
#include "watch.h"

static struct {
  bool json;
  bool people;
  bool colours;
  bool screen;
  bool errors_on_terminal;
  bool terminal; /* standard output is one, whatever is printed to it */
  bool progress_shown;
  bool member_before;  /* JSON: a comma is due before the next member */
  bool object_open;    /* JSON: json_open() came and json_close() did not */
  const char *command; /* NULL until it is known */
  int write_errno;     /* of the first write that failed, 0 if none did */
} out;

void out_start(bool json) {
  const char *no_color = getenv("NO_COLOR");
  const char *terminal = getenv("TERM");
  bool dumb = terminal == NULL || strcmp(terminal, "dumb") == 0;
  out.json = json;
  out.terminal = isatty(STDOUT_FILENO) == 1;
  out.people = !json && out.terminal;
  out.colours = out.people && (no_color == NULL || no_color[0] == '\0') && !dumb;
  out.screen = out.people && !dumb;
  out.errors_on_terminal = isatty(STDERR_FILENO) == 1 && !dumb;
}

bool out_for_people(void) {
  return out.people;
}

bool out_screen_possible(void) {
  return out.screen;
}

bool out_is_json(void) {
  return out.json;
}

/* ---- Standard output ------------------------------------------------------------------------------------------- */

/* Keeps the reason of the first write that failed: errno, which is EIO before, should the call not say. */
static void keep_failure(bool failed) {
  if (failed && out.write_errno == 0)
    out.write_errno = errno;
}

void out_write(const void *data, size_t size) {
  if (out.terminal)
    out_progress_clear(); /* or the two would stand on one line */
  errno = EIO;
  keep_failure(fwrite(data, 1, size, stdout) < size);
}

void out_text(const char *text) {
  out_write(text, strlen(text));
}

void out_format(const char *format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  out_text(line);
}

void out_style(const char *style) {
  if (out.colours)
    out_format("\033[%sm", style);
}

bool out_flush(void) {
  errno = EIO;
  keep_failure(fflush(stdout) != 0);
  return out.write_errno == 0;
}

int out_finish(int code) {
  screen_close();
  out_progress_clear();
  out_flush();
  /* Some file systems report a full disk only at the close. */
  errno = EIO;
  keep_failure(fclose(stdout) != 0);
  if (out.write_errno == 0)
    return code;
  out_note("cannot write to standard output: %s", strerror(out.write_errno));
  return CLI_ERROR;
}

static bool is_control(uint32_t point) {
  return point < 0x20 || (point >= 0x7f && point <= 0x9f);
}

void out_escaped(const void *data, size_t size) {
  const unsigned char *bytes = data;
  while (size > 0) {
    uint32_t point = 0;
    size_t length = text_utf8_sequence(bytes, size, &point);
    if (length > 0 && point == '\n')
      out_text("\\n");
    else if (length > 0 && point == '\t')
      out_text("\\t");
    else if (length > 0 && point == '\r')
      out_text("\\r");
    else if (length > 0 && point == '\\')
      out_text("\\\\");
    else if (length > 0 && !is_control(point))
      out_write(bytes, length);
    else
      for (size_t index = 0; index < (length > 0 ? length : 1); index++)
        out_format("\\x%02x", bytes[index]);
    bytes += length > 0 ? length : 1;
    size -= length > 0 ? length : 1;
  }
}

bool out_is_plain(const void *data, size_t size) {
  const unsigned char *bytes = data;
  while (size > 0) {
    uint32_t point = 0;
    size_t length = text_utf8_sequence(bytes, size, &point);
    if (length == 0 || is_control(point) || point == '\\')
      return false;
    bytes += length;
    size -= length;
  }
  return true;
}

void out_base64(const void *bytes, size_t size) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *data = bytes;
  for (size_t index = 0; index < size; index += 3) {
    size_t left = size - index;
    uint32_t bits = (uint32_t)data[index] << 16;
    bits |= left > 1 ? (uint32_t)data[index + 1] << 8 : 0;
    bits |= left > 2 ? (uint32_t)data[index + 2] : 0;
    char four[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63], left > 1 ? alphabet[bits >> 6 & 63] : '=',
                    left > 2 ? alphabet[bits & 63] : '='};
    out_write(four, sizeof four);
  }
}

const char *out_duration(char *buffer, int64_t milliseconds) {
  int64_t seconds = milliseconds / 1000;
  if (milliseconds == PGCACHE_TTL_NEVER)
    snprintf(buffer, 32, "never");
  else if (milliseconds < 1000)
    snprintf(buffer, 32, "%" PRId64 "ms", milliseconds);
  else if (seconds < 60)
    snprintf(buffer, 32, "%" PRId64 "s", seconds);
  else if (seconds < 3600)
    snprintf(buffer, 32, "%" PRId64 "m %" PRId64 "s", seconds / 60, seconds % 60);
  else if (seconds < 86400)
    snprintf(buffer, 32, "%" PRId64 "h %" PRId64 "m", seconds / 3600, seconds % 3600 / 60);
  else
    snprintf(buffer, 32, "%" PRId64 "d %" PRId64 "h", seconds / 86400, seconds % 86400 / 3600);
  return buffer;
}

const char *out_size(char *buffer, int64_t bytes) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double amount = (double)bytes;
  size_t unit = 0;
  for (; amount >= 1024; unit++) /* 64 bits are less than 16 EiB */
    amount /= 1024;
  snprintf(buffer, 32, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
  return buffer;
}

/* ---- Standard error -------------------------------------------------------------------------------------------- */

void out_command(const char *name) {
  out.command = name;
}

void out_note(const char *format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  /* One line, whatever stood in a path or a server's message. */
  for (char *character = line; *character != '\0'; character++)
    if ((unsigned char)*character < 0x20 || *character == 0x7f)
      *character = ' ';
  out_progress_clear();
  fprintf(stderr, "pgcache: %s\n", line);
}

bool out_progress_possible(void) {
  return out.errors_on_terminal;
}

void out_progress(const char *what, int64_t seconds) {
  if (!out.errors_on_terminal)
    return;
  fprintf(stderr, "\r%s... %" PRId64 " s\033[K", what, seconds);
  fflush(stderr);
  out.progress_shown = true;
}

void out_progress_clear(void) {
  if (!out.progress_shown)
    return;
  fputs("\r\033[K", stderr);
  fflush(stderr);
  out.progress_shown = false;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

/* Writes valid UTF-8 as a JSON string. */
static void json_quote(const unsigned char *data, size_t size) {
  out_text("\"");
  size_t plain = 0;
  for (size_t index = 0; index < size; index++) {
    unsigned char byte = data[index];
    if (byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f)
      continue;
    out_write(data + plain, index - plain);
    plain = index + 1;
    if (byte == '\n')
      out_text("\\n");
    else if (byte == '"' || byte == '\\')
      out_format("\\%c", byte);
    else
      out_format("\\u%04x", byte);
  }
  out_write(data + plain, size - plain);
  out_text("\"");
}

static void json_name(const char *name, const char *suffix) {
  out_format("%s\"%s%s\":", out.member_before ? "," : "", name, suffix);
  out.member_before = true;
}

static void json_text_or_null(const char *name, const char *text) {
  if (text != NULL)
    json_string(name, text);
  else
    json_null(name);
}

void json_open(const char *command) {
  out_text("{");
  out.member_before = false;
  out.object_open = true;
  json_text_or_null("command", command);
}

void json_string(const char *name, const char *text) {
  size_t size = strlen(text);
  /* Paths and messages may hold any byte; what is not UTF-8 is replaced, because JSON must be UTF-8. */
  json_name(name, "");
  if (text_is_utf8(text, size)) {
    json_quote((const unsigned char *)text, size);
    return;
  }
  out_text("\"");
  for (size_t index = 0; index < size; index++) {
    unsigned char byte = (unsigned char)text[index];
    if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\')
      out_write(&byte, 1);
    else
      out_text("?");
  }
  out_text("\"");
}

void json_bytes(const char *name, const void *data, size_t size) {
  json_name(name, "_base64");
  out_text("\"");
  out_base64(data, size);
  out_text("\"");
  if (text_is_utf8(data, size)) {
    json_name(name, "");
    json_quote(data, size);
  }
}

void json_integer(const char *name, int64_t number) {
  json_name(name, "");
  out_format("%" PRId64, number);
}

void json_integer_text(const char *name, int64_t number) {
  json_name(name, "");
  out_format("\"%" PRId64 "\"", number);
}

void json_number(const char *name, double number) {
  if (isnan(number)) {
    json_null(name);
    return;
  }
  json_name(name, "");
  out_format("%.*g", number == floor(number) && fabs(number) < 1e15 ? 15 : 6, number);
}

void json_boolean(const char *name, bool value) {
  json_name(name, "");
  out_text(value ? "true" : "false");
}

void json_null(const char *name) {
  json_name(name, "");
  out_text("null");
}

void json_ttl(const char *name, int64_t milliseconds) {
  if (milliseconds == PGCACHE_TTL_NEVER)
    json_null(name);
  else
    json_integer(name, milliseconds);
}

void json_array_open(const char *name) {
  json_name(name, "");
  out_text("[");
  out.member_before = false;
}

void json_array_close(void) {
  out_text("]");
  out.member_before = true;
}

void json_item_open(void) {
  out_text(out.member_before ? ",\n{" : "\n{");
  out.member_before = false;
}

void json_item_close(void) {
  out_text("}");
  out.member_before = true;
}

void json_close(void) {
  out_text("}\n");
  out.object_open = false;
}

/* ---- Results of the library ------------------------------------------------------------------------------------ */

/* The line and the object of an error; status and sqlstate are NULL if it is the command's own. */
static void report(const char *status, const char *sqlstate, const char *message) {
  out_note("%s", message);
  if (!out.json)
    return;
  if (!out.object_open)
    json_open(out.command);
  json_text_or_null("status", status);
  json_string("error", message);
  json_text_or_null("sqlstate", sqlstate);
  json_close();
}

void out_error(const char *format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  report(NULL, NULL, message);
}

int out_failure_after(const char *words, pgcache_status status, const pgcache_error *error) {
  char line[1024];
  const char *message = error->message;
  if (watch_signal() != 0)
    message = status == PGCACHE_UNKNOWN ? "interrupted; the write may or may not have happened" : "interrupted";
  snprintf(line, sizeof line, "%s%s", words, message);
  report(pgcache_status_name(status), error->sqlstate, line);
  return CLI_ERROR;
}

int out_failure(pgcache_status status, const pgcache_error *error) {
  return out_failure_after("", status, error);
}

void out_outcome(const char *command, pgcache_status status, const char *word, const char *style) {
  if (out.json) {
    json_open(command);
    json_string("status", pgcache_status_name(status));
    json_string("outcome", word);
    json_close();
    return;
  }
  out_style(style);
  out_text(word);
  out_style(STYLE_OFF);
  out_text("\n");
}

int out_code(pgcache_status status) {
  return status == PGCACHE_OK ? CLI_OK : CLI_NEGATIVE;
}
