/*
 * local_server.h - the local PostgreSQL server itself: its cluster, its process.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_LOCAL_SERVER_H
#define PGC_CLI_LOCAL_SERVER_H

#include <sys/types.h>

#include "local_place.h"
#include "local_programs.h"

/* The server's process id, 0 if it does not run. */
pid_t server_pid(const local_place *place);

/* Makes the cluster if there is none. To be called under the lock. Gives CLI_OK or prints a line. */
int server_make(const local_place *place, const server_programs *programs);

/* Starts the server and waits until it takes connections. To be called under the lock, when it does not run. Gives
   CLI_OK or prints a line; after that nothing runs, unless the server is still repairing its cluster. */
int server_start(pid_t *out, const local_place *place, const server_programs *programs);

/* Waits until a server that runs takes connections. Returns as server_start(). */
int server_await(pid_t process, const local_place *place);

/* Stops it and waits for the end. To be called under the lock. Gives CLI_OK or prints a line. */
int server_stop(pid_t process, const local_place *place);

#endif /* PGC_CLI_LOCAL_SERVER_H */
