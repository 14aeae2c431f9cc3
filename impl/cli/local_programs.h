/*
 * local_programs.h - finding PostgreSQL's server programs on this machine.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_LOCAL_PROGRAMS_H
#define PGC_CLI_LOCAL_PROGRAMS_H

#include "local_place.h"

typedef struct server_programs {
  char folder[4096];
  int major; /* 15 */
} server_programs;

/* Finds the programs that fit the cluster, or the newest for a new one. False when there are none; `say` prints why. */
bool programs_find(server_programs *out, const local_place *place, bool say);

#endif /* PGC_CLI_LOCAL_PROGRAMS_H */
