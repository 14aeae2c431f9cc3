/*
 * words.c - the words of an exposition; see words.h. Never allocates memory.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "words.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* As OpenMetrics wants its "canonical numbers": the shortest form, with an exponent from 1e+06 on and below 1e-04. */
static const pgc_bound seconds[] = {
    {1e-6, "1e-06"},  {2.5e-6, "2.5e-06"}, {5e-6, "5e-06"},  {1e-5, "1e-05"}, {2.5e-5, "2.5e-05"}, {5e-5, "5e-05"},
    {1e-4, "0.0001"}, {2.5e-4, "0.00025"}, {5e-4, "0.0005"}, {1e-3, "0.001"}, {2.5e-3, "0.0025"},  {5e-3, "0.005"},
    {1e-2, "0.01"},   {2.5e-2, "0.025"},   {5e-2, "0.05"},   {0.1, "0.1"},    {0.25, "0.25"},      {0.5, "0.5"},
    {1, "1.0"},       {2.5, "2.5"},        {5, "5.0"},       {10, "10.0"},
};
static const pgc_bound bytes[] = {
    {64, "64.0"},
    {256, "256.0"},
    {1024, "1024.0"},
    {4096, "4096.0"},
    {16384, "16384.0"},
    {65536, "65536.0"},
    {262144, "262144.0"},
    {1048576, "1.048576e+06"},
    {4194304, "4.194304e+06"},
    {16777216, "1.6777216e+07"},
};
static const pgc_bound entries[] = {
    {0, "0.0"},           {1, "1.0"},           {5, "5.0"},           {10, "10.0"},       {25, "25.0"},
    {50, "50.0"},         {100, "100.0"},       {250, "250.0"},       {500, "500.0"},     {1000, "1000.0"},
    {2500, "2500.0"},     {5000, "5000.0"},     {10000, "10000.0"},   {25000, "25000.0"}, {50000, "50000.0"},
    {100000, "100000.0"}, {250000, "250000.0"}, {500000, "500000.0"}, {1000000, "1e+06"},
};

const pgc_bound *pgc_words_bounds(const char *unit, size_t *count) {
  if (strcmp(unit, "seconds") == 0) {
    *count = sizeof seconds / sizeof *seconds;
    return seconds;
  }
  if (strcmp(unit, "bytes") == 0) {
    *count = sizeof bytes / sizeof *bytes;
    return bytes;
  }
  *count = sizeof entries / sizeof *entries;
  return entries;
}

void pgc_words_number(FILE *out, double value) {
  if (isnan(value)) {
    fputs("NaN", out);
  } else if (isinf(value)) {
    fputs(value > 0 ? "+Inf" : "-Inf", out);
  } else if (fabs(value) < 1e15 && value == floor(value)) {
    fprintf(out, "%.0f", value);
  } else {
    /* The shortest form that reads back as the same number; 17 digits always do. */
    char text[32];
    int digits = 15;
    do {
      snprintf(text, sizeof text, "%.*g", digits, value);
    } while (strtod(text, NULL) != value && ++digits <= 17); // NOLINT(clang-analyzer-security.FloatLoopCounter)
    fputs(text, out);
  }
}

/* How many bytes the valid UTF-8 character at the beginning of a text has; 0: it is none, or one that controls a terminal. A NUL
   ends the text, and is no continuation. */
static size_t utf8_length(const unsigned char *text) {
  if (text[0] < 0x80)
    return (text[0] >= 0x20 && text[0] != 0x7f) || text[0] == '\n';
  size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
  if (text[0] < 0xc2 || text[0] > 0xf4)
    return 0;
  for (size_t i = 1; i < length; i++) {
    if ((text[i] & 0xc0) != 0x80)
      return 0;
  }
  /* Controls, longer than needed, halves of UTF-16, and beyond the last character. */
  bool refused = (text[0] == 0xc2 && text[1] < 0xa0) || (text[0] == 0xe0 && text[1] < 0xa0) ||
                 (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf0 && text[1] < 0x90) ||
                 (text[0] == 0xf4 && text[1] > 0x8f);
  return refused ? 0 : length;
}

void pgc_words_escaped(FILE *out, const char *text, bool quotes) {
  const unsigned char *at = (const unsigned char *)text;
  while (*at != 0) {
    size_t length = utf8_length(at);
    if (length == 0) {
      fprintf(out, "\\\\x%02x", *at); /* a scraper would refuse everything for one such byte */
      length = 1;
    } else if (*at == '\\') {
      fputs("\\\\", out);
    } else if (*at == '\n') {
      fputs("\\n", out);
    } else if (*at == '"' && quotes) {
      fputs("\\\"", out);
    } else {
      fwrite(at, 1, length, out);
    }
    at += length;
  }
}

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool pgc_words_is_label(const char *name) {
  if (!is_letter(name[0]) || strncmp(name, "__", 2) == 0 || strcmp(name, "le") == 0)
    return false;
  for (const char *at = name; *at != '\0'; at++) {
    if (!is_letter(*at) && (*at < '0' || *at > '9'))
      return false;
  }
  return true;
}

pgcache_status pgc_words_fail(pgcache_error *error, pgcache_status status, const char *format, ...) {
  if (error == NULL || error->struct_size <= offsetof(pgcache_error, message))
    return status;
  error->status = status;
  memset(error->sqlstate, 0, sizeof error->sqlstate);
  size_t room = error->struct_size < sizeof *error ? error->struct_size : sizeof *error;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->message, room - offsetof(pgcache_error, message), format, arguments);
  va_end(arguments);
  return status;
}
