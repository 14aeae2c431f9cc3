/*
 * report.c - reading the reports that the library gives as JSON.
 *
 * It must never be used for JSON that somebody else made.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "report.h"

#include <string.h>

char *report_string(char **rest) {
  char *text = strchr(*rest, '"') + 1, *from = text, *to = text;
  while (*from != '"') {
    if (strncmp(from, "\\u", 2) == 0) {
      from += strlen("\\u0000");
      *to++ = ' ';
    } else if (*from == '\\' && strchr("bfnrt", from[1]) != NULL) {
      from += 2;
      *to++ = ' ';
    } else {
      from += *from == '\\';
      *to++ = *from++;
    }
  }
  *rest = from + 1;
  *to = '\0';
  return text;
}
