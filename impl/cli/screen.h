/*
 * screen.h - the terminal as a screen that is drawn again and again, and one key at a time.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_SCREEN_H
#define PGC_CLI_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* Takes the terminal of standard output and, if that is the same, of standard input. To be given back, by screen_close(). */
void screen_open(void);

/* Leaves the terminal as it was found; nothing if it was not taken. Safe in a signal's way to the end of the process. */
void screen_close(void);

/* How many lines and columns there are now. */
void screen_size(int *lines, int *columns);

/* Begins to draw at the top; each line is to end with screen_line(), and the last one with screen_rest(). */
void screen_home(void);
void screen_line(void);
void screen_rest(void);

/* Waits so long, or until a key is pressed, which it gives, a signal comes or the size changes; else 0. Without a screen it
   only waits. */
int screen_wait(int64_t milliseconds);

#endif /* PGC_CLI_SCREEN_H */
