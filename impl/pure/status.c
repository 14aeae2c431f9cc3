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
  const char *outcome;
  const char *text;
} status_words;

/* The name is the enumerator as it stands in the header, so the two cannot differ. */
#define WORDS(status, outcome, text)                                                                                   \
  { status, #status, outcome, text }

static const status_words words[] = {
    WORDS(PGCACHE_OK, "ok", "Done; for a read: the entry was found."),
    WORDS(PGCACHE_MISS, "miss", "There is no such entry, or it has expired."),
    WORDS(PGCACHE_EXISTS, "exists", "Not done: there is an entry already, or it has another version than expected."),
    WORDS(PGCACHE_TOO_SMALL, "too_small", "The buffer is too small for the value; the size needed was given."),
    WORDS(PGCACHE_STALE, "stale", "A value that is not fresh any more, which may stand in."),
    WORDS(PGCACHE_LEASE, "lease", "There is no value, and the caller is the one to load it."),
    WORDS(PGCACHE_BUSY, "busy", "There is no value yet: somebody else is loading it."),
    WORDS(PGCACHE_REFUSED, "refused",
          "Nothing was stored: the lease was over, or the entry was written or invalidated meanwhile."),
    WORDS(PGCACHE_INVALID, "invalid", "An argument is wrong: NULL, empty, out of range or unknown."),
    WORDS(PGCACHE_TOO_LARGE, "too_large", "A key or a value is longer than allowed."),
    WORDS(PGCACHE_BAD_SETTING, "bad_setting", "The name or the value of a setting is wrong."),
    WORDS(PGCACHE_NO_MEMORY, "no_memory", "This process is out of memory."),
    WORDS(PGCACHE_CLOSED, "closed", "The handle was shut down."),
    WORDS(PGCACHE_TIMEOUT, "timeout", "The deadline passed; nothing was changed."),
    WORDS(PGCACHE_UNKNOWN, "unknown", "A write was sent and its answer never came: it may or may not have happened."),
    WORDS(PGCACHE_UNAVAILABLE, "unavailable", "The server cannot be reached, is starting up or is shutting down."),
    WORDS(PGCACHE_TOO_MANY_CONNECTIONS, "too_many_connections", "The server has no connection left for this client."),
    WORDS(PGCACHE_DENIED, "denied", "The server refused the log-in, or a role, a database or a privilege is missing."),
    WORDS(PGCACHE_READ_ONLY, "read_only", "The server is a standby or read-only, so writes are refused."),
    WORDS(PGCACHE_FULL, "full", "The server's disk or memory is full."),
    WORDS(PGCACHE_SERVER_TOO_OLD, "server_too_old", "The server is older than PostgreSQL 15."),
    WORDS(PGCACHE_SCHEMA_MISSING, "schema_missing", "The cache's schema is not there; pgcache_init() makes it."),
    WORDS(PGCACHE_SCHEMA_OLDER, "schema_older",
          "The cache's schema is older than the library; pgcache_upgrade() brings it up to date."),
    WORDS(PGCACHE_SCHEMA_NEWER, "schema_newer", "The cache's schema is newer than the library; upgrade the library."),
    WORDS(PGCACHE_SCHEMA_CHANGED, "schema_changed", "Something in the cache's schema was changed or dropped by hand."),
    WORDS(PGCACHE_SCHEMA_DIFFERS, "schema_differs",
          "The setting `table` or `digests` disagrees with how the cache's schema was made or is used."),
    WORDS(PGCACHE_NOT_A_COUNTER, "not_a_counter", "The entry does not hold a decimal 64-bit integer."),
    WORDS(PGCACHE_OVERFLOW, "overflow", "The counter would not fit 64 bits; it is unchanged."),
    WORDS(PGCACHE_CONFLICT, "conflict",
          "The server gave up a conflict (a deadlock or a lock) repeatedly; nothing was changed."),
    WORDS(PGCACHE_SERVER_ERROR, "server_error", "The server reported another error; see its SQLSTATE."),
    WORDS(PGCACHE_UNSUPPORTED, "unsupported",
          "The call cannot be done with the way in which the handle stores keys or values, or on its connections."),
    WORDS(PGCACHE_QUEUE_FULL, "queue_full",
          "Too many requests are under way or wait to be taken; nothing was submitted."),
    WORDS(PGCACHE_CANCELLED, "cancelled", "The request was cancelled; nothing was changed."),
};

static const status_words unknown = {PGCACHE_OK, "PGCACHE_?", "other",
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

const char *pgc_status_outcome(pgcache_status status) {
  return find(status)->outcome;
}

const char *pgc_status_text(pgcache_status status) {
  return find(status)->text;
}
