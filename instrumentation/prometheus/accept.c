/*
 * accept.c - which format a scraper wants; see accept.h. Reads the header, which libmicrohttpd has taken out of the request;
 * never beyond its NUL, whatever it says.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "accept.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* A part of the header, without blanks around it. */
typedef struct piece {
  const char *start;
  size_t length;
} piece;

/* Cuts the piece up to `end` off the front of the rest. False: there was nothing more. */
static bool next_piece(piece *rest, char end, piece *out) {
  if (rest->length == 0)
    return false;
  const char *stop = memchr(rest->start, end, rest->length);
  size_t length = stop != NULL ? (size_t)(stop - rest->start) : rest->length;
  *out = (piece){rest->start, length};
  size_t cut = stop != NULL ? length + 1 : length;
  *rest = (piece){rest->start + cut, rest->length - cut};
  while (out->length > 0 && (*out->start == ' ' || *out->start == '\t'))
    out->start++, out->length--;
  while (out->length > 0 && (out->start[out->length - 1] == ' ' || out->start[out->length - 1] == '\t'))
    out->length--;
  return true;
}

static bool is(piece it, const char *text) {
  return it.length == strlen(text) && strncasecmp(it.start, text, it.length) == 0;
}

static bool begins(piece it, const char *text) {
  return it.length >= strlen(text) && strncasecmp(it.start, text, strlen(text)) == 0;
}

static piece behind(piece it, const char *text) {
  return (piece){it.start + strlen(text), it.length - strlen(text)};
}

/* A weight of 0 to 1 in thousandths; what is none is 0. */
static int weight(piece it) {
  if (it.length == 0 || (it.start[0] != '0' && it.start[0] != '1') || (it.length > 1 && it.start[1] != '.'))
    return 0;
  int thousandths = (it.start[0] - '0') * 1000, unit = 100;
  for (size_t i = 2; i < it.length; i++, unit /= 10) {
    if (it.start[i] < '0' || it.start[i] > '9')
      return 0;
    thousandths += (it.start[i] - '0') * unit;
  }
  return thousandths < 1000 ? thousandths : 1000;
}

/* How much one element of the list wants a format of this version. */
static int wanted(piece parameters, const char *version) {
  int thousandths = 1000;
  for (piece parameter; next_piece(&parameters, ';', &parameter);) {
    if (begins(parameter, "q="))
      thousandths = weight(behind(parameter, "q="));
    else if (begins(parameter, "version=") && !is(behind(parameter, "version="), version))
      return 0;
  }
  return thousandths;
}

pgcache_prometheus_format pgc_accept_format(const char *header) {
  int open_metrics = 0, text = 0, any = 0;
  piece rest = {header, header != NULL ? strlen(header) : 0};
  for (piece element; next_piece(&rest, ',', &element);) {
    piece type;
    if (!next_piece(&element, ';', &type))
      continue;
    int *best = is(type, "application/openmetrics-text") ? &open_metrics
                : is(type, "text/plain")                 ? &text
                : is(type, "text/*") || is(type, "*/*")  ? &any
                                                         : NULL;
    int found = best != NULL ? wanted(element, best == &open_metrics ? "1.0.0" : "0.0.4") : 0;
    if (found > 0 && found > *best)
      *best = found;
  }
  /* What names text says more of it than what takes anything. */
  return open_metrics > 0 && open_metrics >= (text > 0 ? text : any) ? PGCACHE_PROMETHEUS_OPENMETRICS
                                                                     : PGCACHE_PROMETHEUS_TEXT;
}
