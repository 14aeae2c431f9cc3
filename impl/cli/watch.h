/*
 * watch.h - what goes on while a call of the library is under way: the progress line, and signals.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_WATCH_H
#define PGC_CLI_WATCH_H

#include "pgcache.h"

/* To be called around each call of the library that may wait. `what` is for people: "reading"; NULL: nobody is told. */
void watch_begin(pgcache *cache, const char *what);
void watch_end(void);

/* Makes SIGINT, SIGTERM and SIGHUP be noted for watch_signal() outside calls too, for commands that have something to
   put in order before they end; those that are ignored stay so. */
void watch_catch_signals(void);

/* The signal that asked the command to end, 0 if none did. */
int watch_signal(void);

/* Ends the process as the signal does, so that a shell sees it. */
void watch_die(int signal_number);

#endif /* PGC_CLI_WATCH_H */
