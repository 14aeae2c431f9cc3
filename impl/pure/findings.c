/*
 * findings.c - see findings.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {"ok", "info", "warning", "error"};

const char *pgc_severity_name(pgc_severity severity) {
  return names[severity];
}

pgc_severity pgc_severity_from_name(const char *name) {
  for (int i = 0; i < PGC_SEVERITY_ERROR; i++) {
    if (strcmp(name, names[i]) == 0)
      return (pgc_severity)i;
  }
  return PGC_SEVERITY_ERROR;
}

/* The length of the UTF-8 character that text begins with: no surrogates, nothing longer than needed, nothing beyond
   U+10FFFF. 0 when there is none. */
static size_t utf8_length(const unsigned char *text) {
  size_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
  if (text[0] > 0xf4)
    return 0;
  for (size_t i = 1; i < length; i++) {
    if ((text[i] & 0xc0) != 0x80) /* the NUL at the end, too */
      return 0;
  }
  if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
      (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
    return 0;
  return length;
}

static void append_string(pgc_buffer *json, const char *text) {
  pgc_buffer_append_text(json, "\"");
  for (const unsigned char *rest = (const unsigned char *)text; *rest != '\0';) {
    size_t length = utf8_length(rest);
    if (length == 0) {
      pgc_buffer_append_text(json, "?");
      length = 1;
    } else if (*rest < 0x20 || *rest == 0x7f) {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", *rest);
      pgc_buffer_append_text(json, escaped);
    } else {
      if (*rest == '"' || *rest == '\\')
        pgc_buffer_append_text(json, "\\");
      pgc_buffer_append(json, rest, length);
    }
    rest += length;
  }
  pgc_buffer_append_text(json, "\"");
}

static void append_member(pgc_buffer *json, const char *separator, const char *name, const char *text) {
  pgc_buffer_append_text(json, separator);
  append_string(json, name);
  pgc_buffer_append_text(json, ":");
  append_string(json, text);
}

void pgc_findings_add(pgc_findings *self, pgc_finding finding) {
  const char *before = self->json.size == 0 ? "{\"findings\":[\n{" : ",\n{";
  append_member(&self->json, before, "severity", pgc_severity_name(finding.severity));
  append_member(&self->json, ",", "check", finding.check);
  append_member(&self->json, ",", "finding", finding.finding);
  append_member(&self->json, ",", "evidence", finding.evidence);
  append_member(&self->json, ",", "remedy", finding.remedy);
  pgc_buffer_append_text(&self->json, "}");
  if (finding.severity > self->worst)
    self->worst = finding.severity;
}

void pgc_findings_add_format(pgc_findings *self, pgc_finding finding, const char *format, ...) {
  char evidence[1000];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(evidence, sizeof evidence, format, arguments);
  va_end(arguments);
  finding.evidence = evidence;
  pgc_findings_add(self, finding);
}

void pgc_findings_finish(pgc_findings *self) {
  if (self->json.size == 0)
    pgc_buffer_append_text(&self->json, "{\"findings\":[");
  append_member(&self->json, "],", "worst", pgc_severity_name(self->worst));
  pgc_buffer_append(&self->json, "}", 2);
}

void pgc_findings_clear(pgc_findings *self) {
  pgc_buffer_clear(&self->json);
}
