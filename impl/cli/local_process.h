/*
 * local_process.h - running PostgreSQL's programs: starting, waiting, reading what they print.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_LOCAL_PROCESS_H
#define PGC_CLI_LOCAL_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Milliseconds on a clock that only goes forward. */
int64_t process_now_ms(void);

/* Sleeps a moment between two looks at something, and shows progress to people after a second since `since`. */
void process_pause(int64_t since, const char *what);

/* Takes libpq's and the server's variables out of the environment, so that nothing of them reaches the programs, and
   sets the locale of their messages; and sees to it that they can be waited for. */
void process_clean_environment(void);

/* Starts argv[0], a path, in a session of its own, so that the terminal's signals reach pgcache alone. output,
   for standard error too, and input are descriptors, input may be -1 for /dev/null; inherited is one more that the program keeps open,
   or -1. Gives its process id, or -1. */
pid_t process_start(const char *const argv[], int input, int output, int inherited);

/* Waits for it, and shows progress; a signal to pgcache ends it and its children. True if it ended well. */
bool process_wait(pid_t process, const char *what);

/* Ends a process that process_start() started, first gently with the signal, after ten seconds with SIGKILL. */
void process_end(pid_t process, int signal_number);

/* Becomes the program, with the signals as they were given to pgcache; tries the PATH if there is none at that path.
   Comes back only if that failed, with errno. */
void process_become(const char *path, char *const argv[]);

/* Runs argv[0], found in the PATH, and gives the first line that it prints. */
bool process_first_line(char *line, size_t size, const char *const argv[]);

#endif /* PGC_CLI_LOCAL_PROCESS_H */
