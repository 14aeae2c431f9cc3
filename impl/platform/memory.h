/*
 * memory.h - every allocation of the library goes through here, so that tests can make each one fail.
 * Never aborts: out of memory is a NULL that the caller turns into PGCACHE_NO_MEMORY.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PLATFORM_MEMORY_H
#define PGC_PLATFORM_MEMORY_H

#include <stddef.h>

/* As malloc(), calloc(1, size), realloc(), free() and strdup(). A size of 0 is treated as 1. */
void *pgc_alloc(size_t size);
void *pgc_alloc_zero(size_t size);
void *pgc_realloc(void *block, size_t size);
void pgc_free(void *block);
char *pgc_strdup(const char *text);

/* For tests: replaces malloc and realloc (what they return is still given to free). NULL puts libc's back. Not to be
   called while another thread allocates. */
void pgc_memory_set_hooks(void *(*alloc)(size_t), void *(*resize)(void *, size_t));

/* For tests: replaces free, to count what is still there. NULL puts libc's back. */
void pgc_memory_set_free_hook(void (*release)(void *));

#endif
