/*
 * library.h - optional shared libraries, opened when they are first needed. Owns: the call of dlopen(). Must never: close
 * one, or need one in order to start.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PLATFORM_LIBRARY_H
#define PGC_PLATFORM_LIBRARY_H

#include <stdbool.h>

/* A library by its soname; NULL when this machine does not have it. Opening it again costs little. Any thread. */
void *pgc_library_open(const char *soname);

/* Sets *function, a pointer to a function, to the one of that name; false when the library has none. */
bool pgc_library_find(void *library, const char *name, void *function);

/* For tests: replaces dlopen(), to be without a library that is there. NULL puts libc's back. */
void pgc_library_set_hook(void *(*open)(const char *soname));

#endif
