/*
 * local_place.h - the folder of a local server: where it is, whose it is, and who works on it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_LOCAL_PLACE_H
#define PGC_CLI_LOCAL_PLACE_H

#include "cli.h"
#include "pure/address.h"

/* A path in the folder: that of an address is at most PGC_LOCAL_DIR_MAX long. */
#define PLACE_PATH_SIZE (PGC_LOCAL_DIR_MAX + 32)

typedef struct local_place {
  pgc_address address;
  char url[PLACE_PATH_SIZE];      /* local:/path */
  char data[PLACE_PATH_SIZE];     /* the cluster */
  char data_new[PLACE_PATH_SIZE]; /* where it is made, before it gets its name */
  char socket[PLACE_PATH_SIZE];   /* the folder of the socket */
  char log[PLACE_PATH_SIZE];
  char log_old[PLACE_PATH_SIZE]; /* of the start before */
  char lock[PLACE_PATH_SIZE];    /* also the mark that tells our folders from others */
  int lock_descriptor;           /* -1: not locked */
} local_place;

/* Where the folder is: --dir, a `local:` address of the settings, or the default. Gives CLI_OK, or prints a line and
   gives the exit code. */
int place_find(local_place *out, const cli_session *session);
void place_clear(local_place *place);

/* Makes the folder if need be, and becomes the account whose it is: PostgreSQL refuses to run as root, and what it can
   reach should be its own. For root, a folder that this makes belongs to the account postgres; one of root's that is
   there already is refused, and for everybody a symbolic link. Gives CLI_OK or prints a line. */
int place_make(const local_place *place);

/* The same for a folder that should be there. *there says whether it is one of ours. */
int place_enter(const local_place *place, bool *there);

/* Locks the folder against other starts and stops, waiting for them. Gives CLI_OK or prints a line. */
int place_lock(local_place *place);

#endif /* PGC_CLI_LOCAL_PLACE_H */
