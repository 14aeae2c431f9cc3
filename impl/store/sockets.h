/*
 * sockets.h - the sockets of a pool's connections as the rest of the process needs them: to wake whoever waits on one, and
 * to close a forked child's copies. Must never say a word on any of them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_SOCKETS_H
#define PGC_STORE_SOCKETS_H

#include <stdbool.h>

#include "store/connection.h"

typedef struct pgc_sockets pgc_sockets;

/* For so many connections. NULL when out of memory. */
pgc_sockets *pgc_sockets_new(int max);
void pgc_sockets_free(pgc_sockets *self); /* of which all were removed */

/* add, remove and wake_all are called under the pool's mutex. add: false when there is no descriptor left for the second
   one, without which shutdown could not wake this connection's user. */
bool pgc_sockets_add(pgc_sockets *self, pgc_connection *connection);
void pgc_sockets_remove(pgc_sockets *self, pgc_connection *connection);

/* Whoever waits on one of them sees the end of the stream. */
void pgc_sockets_wake_all(pgc_sockets *self);

/* In a forked child: closes this process's copies of the parent's sockets. Takes no lock. */
void pgc_sockets_close_after_fork(pgc_sockets *parents);

#endif
