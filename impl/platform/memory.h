/*
 * memory.h - every allocation of the library goes through here, so that tests can make each one fail.
 * Never aborts: out of memory is a NULL that the caller turns into PGCACHE_NO_MEMORY.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PLATFORM_MEMORY_H
#define PGC_PLATFORM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* As malloc(), calloc(1, size), realloc(), free() and strdup(). A size of 0 is treated as 1. */
void *pgc_alloc(size_t size);
void *pgc_alloc_zero(size_t size);
void *pgc_realloc(void *block, size_t size);
void pgc_free(void *block);
char *pgc_strdup(const char *text);

/* As pgc_alloc_zero(), of what can be done without, so that no call fails for want of it: has a hook of its own. */
void *pgc_alloc_spare(size_t size);

/* For tests: replaces malloc and realloc (what they return is still given to free). NULL puts libc's back. Not to be
   called while another thread allocates. */
void pgc_memory_set_hooks(void *(*alloc)(size_t), void *(*resize)(void *, size_t));

/* For tests: replaces free, to count what is still there. NULL puts libc's back. */
void pgc_memory_set_free_hook(void (*release)(void *));

/* For tests: true: there is none to spare. */
void pgc_memory_set_spare(bool none);

#endif
