/*
 * error.c - fills the caller's pgcache_error, as far as its size allows. Must never allocate.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pure/sizes.h"

/* Larger than any message, so that the byte behind the cut is known and no character is cut in two. */
#define TEXT_MAX (2 * sizeof(((pgcache_error *)0)->message))

bool pgc_error_ok(const pgcache_error *error) {
  return error == NULL || error->struct_size >= PGC_ERROR_SIZE_MIN;
}

void pgc_error_init(pgcache_error *error, size_t struct_size) {
  if (error == NULL || struct_size < PGC_ERROR_SIZE_MIN)
    return;
  memset(error, 0, struct_size); /* a newer, larger struct too: what we do not know is zero */
  error->struct_size = struct_size;
}

/* How many bytes the message has in an error of this size, its NUL included. */
static size_t message_room(size_t struct_size) {
  size_t start = offsetof(pgcache_error, message);
  if (struct_size <= start)
    return 0;
  size_t room = struct_size - start;
  return room < sizeof(((pgcache_error *)0)->message) ? room : sizeof(((pgcache_error *)0)->message);
}

/* Copies text, which is shorter than TEXT_MAX, into a message of `room` bytes. */
static void put_message(char *message, size_t room, const char *text) {
  size_t length = strlen(text);
  if (length > room - 1) {
    length = room - 1;
    while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
      length--; /* the cut would go through a character of UTF-8: leave all of it out */
  }
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    message[i] = c < 0x20 || c == 0x7F ? ' ' : text[i]; /* one line, and nothing that a terminal obeys */
  }
  message[length] = '\0';
}

__attribute__((format(printf, 4, 0))) static pgcache_status
fail(pgcache_error *error, pgcache_status status, const char *sqlstate, const char *format, va_list arguments) {
  if (error == NULL || error->struct_size < PGC_ERROR_SIZE_MIN)
    return status;
  error->status = status;
  if (PGC_HOLDS(pgcache_error, error->struct_size, sqlstate)) {
    memset(error->sqlstate, 0, sizeof error->sqlstate);
    memcpy(error->sqlstate, sqlstate, strnlen(sqlstate, sizeof error->sqlstate - 1));
  }
  size_t room = message_room(error->struct_size);
  if (room > 0) {
    char text[TEXT_MAX] = "";
    (void)vsnprintf(text, sizeof text, format, arguments);
    put_message(error->message, room, text);
  }
  return status;
}

pgcache_status pgc_fail(pgcache_error *error, pgcache_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fail(error, status, "", format, arguments);
  va_end(arguments);
  return status;
}

pgcache_status pgc_fail_sql(pgcache_error *error, pgcache_status status, const char *sqlstate, const char *format,
                            ...) {
  va_list arguments;
  va_start(arguments, format);
  fail(error, status, sqlstate == NULL ? "" : sqlstate, format, arguments);
  va_end(arguments);
  return status;
}

pgcache_status pgc_fail_memory(pgcache_error *error) {
  return pgc_fail(error, PGCACHE_NO_MEMORY, "out of memory");
}
