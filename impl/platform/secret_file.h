/*
 * secret_file.h - reads a file that nobody else may read or change into memory of the caller's choice. Must never: copy
 * what it read anywhere else.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PLATFORM_SECRET_FILE_H
#define PGC_PLATFORM_SECRET_FILE_H

#include <stddef.h>

/* Reads the file of that path, which has at most `room` bytes: *size. NULL, or what is wrong, in words that follow "the
   key file"; static storage. */
const char *pgc_read_secret_file(const char *path, unsigned char *out, size_t room, size_t *size);

#endif
