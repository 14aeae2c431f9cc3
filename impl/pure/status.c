/*
 * status.c - names and texts of the statuses. Owns the only list of them in words; must never allocate.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/status.h"

#include <stddef.h>

typedef struct status_words {
  pgcache_status status;
  const char *name;
  const char *text;
} status_words;

/* The name is the enumerator as it stands in the header, so the two cannot differ. */
#define WORDS(status, text)                                                                                            \
  { status, #status, text }

static const status_words words[] = {
    WORDS(PGCACHE_OK, "Done; for a read: the entry was found."),
    WORDS(PGCACHE_MISS, "There is no such entry, or it has expired."),
    WORDS(PGCACHE_EXISTS, "Not done: there is an entry already, or it has another version than expected."),
    WORDS(PGCACHE_TOO_SMALL, "The buffer is too small for the value; the size needed was given."),
    WORDS(PGCACHE_STALE, "A value that is not fresh any more, which may stand in."),
    WORDS(PGCACHE_LEASE, "There is no value, and the caller is the one to load it."),
    WORDS(PGCACHE_BUSY, "There is no value yet: somebody else is loading it."),
    WORDS(PGCACHE_REFUSED,
          "Nothing was stored: the lease was over, or the entry was written or invalidated meanwhile."),
    WORDS(PGCACHE_INVALID, "An argument is wrong: NULL, empty, out of range or unknown."),
    WORDS(PGCACHE_TOO_LARGE, "A key or a value is longer than allowed."),
    WORDS(PGCACHE_BAD_SETTING, "The name or the value of a setting is wrong."),
    WORDS(PGCACHE_NO_MEMORY, "This process is out of memory."),
    WORDS(PGCACHE_CLOSED, "The handle was shut down."),
    WORDS(PGCACHE_TIMEOUT, "The deadline passed; nothing was changed."),
    WORDS(PGCACHE_UNKNOWN, "A write was sent and its answer never came: it may or may not have happened."),
    WORDS(PGCACHE_UNAVAILABLE, "The server cannot be reached, is starting up or is shutting down."),
    WORDS(PGCACHE_TOO_MANY_CONNECTIONS, "The server has no connection left for this client."),
    WORDS(PGCACHE_DENIED, "The server refused the log-in, or a role, a database or a privilege is missing."),
    WORDS(PGCACHE_READ_ONLY, "The server is a standby or read-only, so writes are refused."),
    WORDS(PGCACHE_FULL, "The server's disk or memory is full."),
    WORDS(PGCACHE_SERVER_TOO_OLD, "The server is older than PostgreSQL 15."),
    WORDS(PGCACHE_SCHEMA_MISSING, "The cache's schema is not there; pgcache_init() makes it."),
    WORDS(PGCACHE_SCHEMA_OLDER,
          "The cache's schema is older than the library; pgcache_upgrade() brings it up to date."),
    WORDS(PGCACHE_SCHEMA_NEWER, "The cache's schema is newer than the library; upgrade the library."),
    WORDS(PGCACHE_SCHEMA_CHANGED, "Something in the cache's schema was changed or dropped by hand."),
    WORDS(PGCACHE_SCHEMA_DIFFERS,
          "The setting `table` or `digests` disagrees with how the cache's schema was made or is used."),
    WORDS(PGCACHE_NOT_A_COUNTER, "The entry does not hold a decimal 64-bit integer."),
    WORDS(PGCACHE_OVERFLOW, "The counter would not fit 64 bits; it is unchanged."),
    WORDS(PGCACHE_CONFLICT, "The server gave up a conflict (a deadlock or a lock) repeatedly; nothing was changed."),
    WORDS(PGCACHE_SERVER_ERROR, "The server reported another error; see its SQLSTATE."),
    WORDS(PGCACHE_UNSUPPORTED,
          "The call cannot be done with the way in which the handle stores keys or values, or on its connections."),
    WORDS(PGCACHE_QUEUE_FULL, "Too many requests are under way or wait to be taken; nothing was submitted."),
    WORDS(PGCACHE_CANCELLED, "The request was cancelled; nothing was changed."),
};

static const status_words unknown = {PGCACHE_OK, "PGCACHE_?",
                                     "A status that this version of the library does not know."};

static const status_words *find(pgcache_status status) {
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (words[i].status == status)
      return &words[i];
  }
  return &unknown;
}

const char *pgc_status_name(pgcache_status status) {
  return find(status)->name;
}

const char *pgc_status_text(pgcache_status status) {
  return find(status)->text;
}
