/*
 * event.h - events as data: filled in, copied, put into words. Keeps nothing.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STATE_EVENT_H
#define PGC_STATE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "pgcache.h"

/* The PGCACHE_OBSERVE_ flag of its kind. */
uint32_t pgc_event_flag(const pgcache_event *event);

/* The event with these, its size, and "" for each text that is NULL. */
pgcache_event pgc_event_complete(const pgcache_event *event, pgcache_event_kind kind, pgcache_level level,
                                 int64_t began_us);

/* A copy with copies of all that it points to, but for the key if with_key is false; one piece of memory, to be given to pgc_free(),
   as is a pointer to the event in it. NULL when out of memory. event: complete. */
typedef struct pgc_event_copy {
  pgcache_event event;
  struct pgc_event_copy *next; /* for whoever has it */
  char bytes[];
} pgc_event_copy;
pgc_event_copy *pgc_event_copy_of(const pgcache_event *event, bool with_key);

/* Says in one line that an operation was slow. with_key: also which key, if it is known. */
#define PGC_SLOW_WORDS_MAX 1024
void pgc_event_slow_words(char out[PGC_SLOW_WORDS_MAX], const pgcache_event *event, bool with_key);

#endif
