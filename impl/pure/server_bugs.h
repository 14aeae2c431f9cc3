/*
 * server_bugs.h - minor releases of PostgreSQL with bugs that concern a cache, as PostgreSQL's release notes tell them.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_SERVER_BUGS_H
#define PGC_PURE_SERVER_BUGS_H

#include <stddef.h>

typedef struct pgc_server_bug {
  int major;
  int first_minor; /* the first that has the bug, */
  int fixed_minor; /* and the first that has it no more */
  const char *what;
} pgc_server_bug;

/* The bugs of that version (a server_version_num such as 150008), one after the other: *index starts at 0. NULL at the
   end. */
const pgc_server_bug *pgc_server_bug_next(int version, size_t *index);

#endif
