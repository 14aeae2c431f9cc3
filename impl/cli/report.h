/*
 * report.h - reading the reports that the library gives as JSON.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_REPORT_H
#define PGC_CLI_REPORT_H

/* Reads the JSON string that begins next behind *rest, in place, and moves *rest behind it. A report is the library's own: it
   is whole, and escapes nothing but quotes, backslashes and control characters, which become spaces here. */
char *report_string(char **rest);

#endif /* PGC_CLI_REPORT_H */
