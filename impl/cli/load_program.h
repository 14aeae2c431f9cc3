/*
 * load_program.h - running the program of `pgcache load`, and taking what it prints.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_LOAD_PROGRAM_H
#define PGC_CLI_LOAD_PROGRAM_H

#include "options.h"

/* How a program ended. */
typedef struct program_end {
  int code;          /* its exit code, 126 or 127 if it could not be run */
  int signal_number; /* the signal that killed it, 0 if none did */
} program_end;

/* Runs argv[0], looked for in the PATH, with the command's own standard input and standard error, until it has ended, or a
   signal asks the command to end, which is then passed on to it: see watch_catch_signals(). renew is called every renew_ms
   as long as it gives true.
   Out: output, up to `most` bytes of what it printed and one byte; data is to be given to pgc_free(), whatever the code; end.
   CLI_OK, or CLI_ERROR with the line printed. */
int program_run(cli_bytes *output, program_end *end, char *const argv[], size_t most, int64_t renew_ms,
                bool (*renew)(void *context), void *context);

#endif /* PGC_CLI_LOAD_PROGRAM_H */
