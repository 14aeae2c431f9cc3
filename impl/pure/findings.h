/*
 * findings.h - the report of `doctor`: findings are added one by one and come out as one JSON text.
 *
 * Owns: the form of the report. Must never: be handed a key, a value, a password or another session's statement.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_FINDINGS_H
#define PGC_PURE_FINDINGS_H

#include "platform/buffer.h"

/* In the order of their weight. */
typedef enum pgc_severity { PGC_SEVERITY_OK, PGC_SEVERITY_INFO, PGC_SEVERITY_WARNING, PGC_SEVERITY_ERROR } pgc_severity;

typedef struct pgc_findings {
  pgc_buffer json; /* its `failed` says that memory ran out */
  pgc_severity worst;
} pgc_findings;

#define PGC_FINDINGS_INIT                                                                                              \
  { PGC_BUFFER_INIT, PGC_SEVERITY_OK }

/* One thing that was looked at: the short name of the check, what was found, the figures that show it, and what to do
   about it ("" when there is nothing to do). Bytes that are not UTF-8 come out as '?'. */
typedef struct pgc_finding {
  pgc_severity severity;
  const char *check, *finding, *evidence, *remedy;
} pgc_finding;

void pgc_findings_add(pgc_findings *self, pgc_finding finding);

/* The same with the evidence as printf() would write it, up to 1,000 bytes of it; finding.evidence is not looked at. */
__attribute__((format(printf, 3, 4))) void pgc_findings_add_format(pgc_findings *self, pgc_finding finding,
                                                                   const char *format, ...);

/* Completes the JSON text, with a NUL behind it that `size` counts. Nothing may be added after that. */
void pgc_findings_finish(pgc_findings *self);

void pgc_findings_clear(pgc_findings *self);

/* "ok", "info", "warning" or "error", and the other way round; what is none of these is an error. */
const char *pgc_severity_name(pgc_severity severity);
pgc_severity pgc_severity_from_name(const char *name);

#endif
