/*
 * pgcache.h - PostgreSQL as a cache: the public interface of libpgcache.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 *
 * This header is the specification. Each rule has a short name in brackets; the tests cite it as [rule:NAME].
 *
 * TERMS
 *   handle      a `pgcache *`: one cache as one process sees it, with its settings and its connections.
 *   entry       a key with its value, format, version and expiry, stored in PostgreSQL.
 *   namespace   the part of the cache that a key lives in; the same key in two namespaces is two entries.
 *   digest      the 16 bytes under which an entry is stored: the first half of sha256 over namespace and key.
 *   version     a positive number that every write gives the entry anew. It never repeats: not after a removal, not
 *               after a crash of the server. Of two writes of one key the later has the higher version, unless the
 *               entry was removed in between.
 *   epoch       the upper bits of a version; raised when PostgreSQL lost the unlogged tables.
 *   request     an operation that was submitted, to be done without the caller waiting for it; it has an id.
 *   completion  what became of a request.
 *   near cache  the part of a handle that keeps values in the memory of its process.
 *   copy        a value, or the knowledge that there is none, in the near cache.
 *   tag         a name that entries may depend on, for example that of a table; invalidating it ends them all.
 *   dependency  a key or tag whose invalidation ends an entry; every entry depends on its own key.
 *   load        computing the value of an entry that is missing or stale, mostly from the application's tables.
 *   lease       the right to load an entry, for a limited time; one caller in all processes has it.
 *   fresh       an entry whose time to live is not over. Beyond it a load may keep it as a stale one, for loads alone.
 *   outcome     a status >= 0: what the call found. A negative status is an error.
 *   span name   what the application is doing, in its own words: measurements and events carry it.
 *   snapshot    what was measured of a handle, at one moment.
 *   event       something that happened to a handle: an operation that ended, a change of its state, words for a log.
 *   provider    the application's own instrumentation: functions that are told of events.
 *   observer    a queue of events, for whoever takes them instead of being called.
 *
 * ARGUMENTS
 *   [rule:order]    handle, outputs, inputs (each length right after its buffer), options, error.
 *   [rule:outputs]  An output pointer may be NULL where its comment says "optional". Outputs are set to zero or NULL
 *                   first, and hold results only for the outcomes named at each function.
 *   [rule:inputs]   Inputs are read during the call only; the library keeps no pointer into them.
 *   [rule:options]  NULL options mean the defaults. NULL error means that the caller does not want the message.
 *   [rule:sizes]    A transparent struct starts with `struct_size`, set by its INIT macro or init function. A smaller,
 *                   older size keeps working: what it lacks has its default. A struct_size that no version ever had
 *                   (smaller than the first version's required part) gives PGCACHE_INVALID.
 *   [rule:refuse]   Bad input is refused before anything is sent to the server; nothing is stored.
 *
 * KEYS AND VALUES
 *   [rule:key]      1 to PGCACHE_KEY_MAX arbitrary bytes (NUL and invalid UTF-8 included). Empty or NULL:
 *                   PGCACHE_INVALID. Longer: PGCACHE_TOO_LARGE.
 *   [rule:value]    0 to `max_value_bytes` arbitrary bytes; NULL is allowed when the length is 0. An empty value is a
 *                   hit. Longer: PGCACHE_TOO_LARGE.
 *   [rule:format]   Tells readers what the bytes are: PGCACHE_FORMAT_BYTES, PGCACHE_FORMAT_JSON (UTF-8 text, readable
 *                   as jsonb in SQL; a cached null is the JSON text `null`), others are the caller's. Negative:
 *                   PGCACHE_INVALID. The library neither checks nor converts the bytes.
 *   [rule:namespace] 1 to PGCACHE_NAMESPACE_MAX visible ASCII characters (0x21 to 0x7e).
 *
 * TIME
 *   [rule:ttl]      Milliseconds from the moment the server begins the write; the server's clock alone decides.
 *                   PGCACHE_TTL_DEFAULT: the setting `default_ttl_ms`. PGCACHE_TTL_NEVER: the entry does not expire.
 *                   0 or any other negative number: PGCACHE_INVALID. More than PGCACHE_TTL_MAX (3,650 days) is
 *                   shortened to it.
 *   [rule:deadline] `deadline_ms` of the options bounds the whole call: waiting for a connection, connecting (name
 *                   look-up included), sending, and the answer. PGCACHE_DEADLINE_DEFAULT: the setting `timeout_ms`, for
 *                   flush, cleanup, stats, read_usage, dependents, keys, read_published, doctor, init and upgrade
 *                   `maintenance_timeout_ms`. 0: do not wait at all; whatever would ask the server gives PGCACHE_TIMEOUT;
 *                   what the near cache answers does not.
 *
 * RESULTS
 *   [rule:linear]   Operations on one key are linearizable: each takes effect at one moment between call and return; but
 *                   for reads that the near cache answers, which are as [rule:near] says. No call is atomic across keys.
 *   [rule:timeout]  PGCACHE_TIMEOUT means that the deadline passed and that the call changed nothing; of a call that works
 *                   in parts (batches of more than PGCACHE_BATCH_MAX keys, flush, cleanup): its last part.
 *   [rule:unknown]  PGCACHE_UNKNOWN means that a write was sent and its answer never came (lost connection, deadline,
 *                   shutdown): it may or may not have happened, or may still happen within the next seconds.
 *                   The library does not repeat such a write.
 *   [rule:breaker]  After `breaker_failures` failures of the server in a row (PGCACHE_UNAVAILABLE,
 *                   PGCACHE_TOO_MANY_CONNECTIONS, PGCACHE_TIMEOUT, PGCACHE_UNKNOWN) calls give PGCACHE_UNAVAILABLE at
 *                   once, until one that is let through succeeds: as soon as a connection can be had again, or, where
 *                   the server accepts connections and does not answer, after a pause of up to `breaker_pause_ms`. A
 *                   deadline below a second and `timeout_ms` is the caller's, and waiting for another thread's connection
 *                   is not the server's failure; they do not count. flush, cleanup, stats, read_usage, dependents, keys,
 *                   read_published, doctor, init and upgrade always go through.
 *   [rule:on_error] With the setting `on_error` at `miss`, a get, get_into, get_many or exists that the store fails
 *                   gives PGCACHE_MISS (an item of get_many: this item) and leaves the error alone; the counter
 *                   `reads_failed` (of get_many: one for each round trip) tells. Wrong arguments, PGCACHE_TOO_LARGE,
 *                   PGCACHE_CLOSED and PGCACHE_NO_MEMORY stay errors, and writes always tell.
 *   [rule:error]    `pgcache_error` is filled on an error and left alone otherwise. A message says what happened, to what,
 *                   and what to do. It never contains a password, a key or a value.
 *
 * THREADS, FORK, LIFETIME
 *   [rule:threads]  All functions on a handle may be called from any number of threads at once. A `pgcache_value` is
 *                   immutable and may be shared. A `pgcache_config` belongs to one thread at a time.
 *   [rule:shutdown] pgcache_shutdown() may be called at any time, from any thread, repeatedly. It wakes every waiting
 *                   call; these and all later calls give PGCACHE_CLOSED (a write already sent: PGCACHE_UNKNOWN).
 *   [rule:free]     pgcache_free() needs that no other call on the handle is under way (shutdown first, then join your
 *                   threads). Free functions take NULL. Values and configurations outlive handles, in any order.
 *   [rule:fork]     After fork() the child may go on using the handle: it opens connections of its own and never
 *                   touches the parent's. Between fork() and the first call nothing needs to be done.
 *   [rule:signals]  No function is async-signal-safe, and none is a cancellation point. The library's threads block all
 *                   signals.
 *
 * THE NEAR CACHE
 *   [rule:near]     A handle keeps copies of what it read and wrote in up to `near_max_bytes` bytes of its process's memory,
 *                   all overhead included: 64 MiB unless set, and with 0 none. get, get_into, exists, get_many and their
 *                   requests are answered from there where they can be, without asking the server. A connection of its own,
 *                   opened by the first read, hears of every change: by any process, by the functions of the SQL interface
 *                   in any transaction, by eviction, and by TRUNCATE; not of rows of the cache's tables that somebody updates
 *                   or deletes by hand. A forked child begins without copies. There are none with `null:`, on the
 *                   application's connections, in a process that only writes, with a schema that was made with
 *                   `coherence=off`, and where a connection pooler stands between: see the setting `listen_url`.
 *   [rule:stale]    A copy answers only if everything that was acknowledged more than `near_staleness_ms` ago, by anybody, was
 *                   heard of; usually that takes milliseconds. While that is not proven, because the server, the connection or
 *                   the process stood still, reads ask the server as if there were no copies. Time is counted on a clock
 *                   that goes on while the machine sleeps and that nobody sets. What is read from the server does not become
 *                   a copy if a change of it was heard of meanwhile. Two reads of one key may see a newer value first and
 *                   then, within the bound, an older one; after pgcache_fence(), and of one's own writes, they do not.
 *   [rule:own]      What a call on this handle has written or removed is seen by every read on it that begins after the call
 *                   returned, or after the request's completion was taken; from all threads. After an error the copy is
 *                   gone, and reads ask the server. The older copy also never answers again after a read that found no entry.
 *                   Writes by another handle, or by SQL, of the same process are like those of another process.
 *   [rule:read_mode] PGCACHE_READ_STORE asks the server, and what it finds replaces the copy. A copy lives no longer than its
 *                   entry. An answer from a copy counts as use of the entry, see pgcache_set_limits(). With
 *                   `near_absent_ms` above 0 misses are kept as copies, too, for so long.
 *   [rule:fence]    After pgcache_fence() returned PGCACHE_OK, reads on this handle see everything that was acknowledged to
 *                   anybody before it was called.
 *
 * LOADS, DEPENDENCIES, INVALIDATION
 *   [rule:load]     pgcache_load_begin() gives the value, or the lease to load it: then the caller computes it, begun after
 *                   that call returned, and ends the load with fill, fill_absent, fail or abandon. Nothing is held at the
 *                   server meanwhile: no connection, transaction or lock. One caller in all processes has the lease of a key;
 *                   the others wait up to `wait_ms`, and are told when it ends. When it is over (`lease_ms`, a dead process)
 *                   somebody else gets one, and a late fill is refused.
 *   [rule:guard]    What pgcache_load_fill() stores is never served, by anybody, from the store, if a transaction whose
 *                   commit the lease did not see has invalidated its key or one of its other dependencies: whether it
 *                   committed before, during or after the fill. From near caches it may be served within [rule:stale] after
 *                   that commit. So no reader brings back what a writer has made false. What the lease saw is the state of
 *                   the database when pgcache_load_begin() returned: load with statements, or in a transaction, begun
 *                   after that; one that began before reads older rows. A put without a lease is ended by invalidations
 *                   whose transactions commit after it, and promises nothing of those before. A put, remove or flush during
 *                   a load wins: the fill is refused. The setting `guard` at `off` makes this handle's reads skip the check.
 *   [rule:dependencies] Up to PGCACHE_DEPENDENCIES_MAX keys and tags beside its own key, given where it is stored; a tag has
 *                   1 to PGCACHE_TAG_MAX arbitrary bytes and belongs to a namespace, as keys do. A put or fill replaces an
 *                   entry's dependencies, compare_and_swap adds to them, touch and increment keep them. Near caches may keep
 *                   no copies of entries with PGCACHE_DEPENDENCIES_MAX of them or more.
 *   [rule:invalidate] Invalidating a key or tag ends every entry that depends on it, at one moment, however many there are,
 *                   and refuses fills of loads that began before. Inside of a transaction, by the SQL function invalidate(),
 *                   watch() or pgcache_invalidate_on(), that moment is the commit; after a rollback nothing has happened.
 *                   Writers who invalidate the same tag do not wait for each other.
 *   [rule:freshness] An entry that was filled by a load may live beyond its `ttl_ms`: stale, for `stale_ms` or
 *                   `fail_safe_ms`, whichever is longer. Only pgcache_load_begin() gives stale values; for all other calls
 *                   the entry has expired. An invalidated entry is not stale, it is gone.
 *
 *       begin of fill      ttl_ms over           stale_ms over                 fail_safe_ms over
 *            |---- fresh ------|-- stale, and one refreshes --|-- stale if the load fails or is late --| gone
 *       load_begin: OK          STALE at once; to one caller   LEASE to one caller, who may give it     LEASE
 *                               with a lease                   to load_fail(); others wait, then STALE
 *
 * REQUESTS
 *   [rule:submit]   pgcache_submit_X() takes the inputs of pgcache_X(), copies them, and returns at once with an id, which
 *                   is positive and does not come again in this process. What pgcache_X() refuses without asking the server it
 *                   refuses, too, with the same status and message; then there is no id and no completion. It never waits:
 *                   with `async_requests_max` requests (one of many keys counts as so many) or `async_bytes_max` bytes of
 *                   keys and values submitted under way or waiting to be taken it gives PGCACHE_QUEUE_FULL; a request that is
 *                   larger is taken when there is no other. An engine of one thread does all requests on keys over at most
 *                   `async_connections` connections of the handle's; what waits is sent together. Up to five more are
 *                   borrowed for requests on the cache as a whole, for keys that others have locked, and for what has to be
 *                   repeated.
 *   [rule:once]     Each id has exactly one completion, whatever happens to it: it is cancelled, its deadline passes, the
 *                   connection is lost, the handle is shut down. A completion goes to one taker: pgcache_take(), the
 *                   callback of its options through pgcache_dispatch(), or pgcache_wait() for its id. Its status is what
 *                   pgcache_X() would have returned, or PGCACHE_CANCELLED.
 *   [rule:key_order] Requests that write the same key of the same namespace on the same handle take effect in the order of
 *                   submission, and a read finds what was submitted before it, or something newer, of a request submitted
 *                   later, too. After a write whose connection was lost that is not sure for some seconds, [rule:unknown].
 *                   Nothing is promised of different keys, nor between requests and other calls; wait for a completion
 *                   first. flush, cleanup and the like have no keys. The near cache keeps to this: a read is not answered
 *                   from a copy while a write of its key that was submitted before it is under way.
 *   [rule:parts]    The keys of a multi-key request are requests of their own: they are sent together with others and over
 *                   several connections, each fails or succeeds by itself, and the completion comes when all are done.
 *                   Its status is PGCACHE_OK, or the first item's error.
 *   [rule:late]     When a deadline passes, or a request is cancelled, it is completed at once: one that was not sent, and
 *                   every read, as PGCACHE_TIMEOUT or PGCACHE_CANCELLED; a write that was sent as PGCACHE_UNKNOWN.
 *                   Requests for the same key wait until the server has answered. While there is no connection requests
 *                   wait for their deadline; after a second each attempt to connect that fails counts for [rule:breaker],
 *                   which then refuses them all.
 *                   If the server has also been silent for a second, its connection is closed: other requests on it
 *                   end as after any lost connection, reads are sent again.
 *   [rule:fd]       pgcache_event_fd() is readable exactly while a completion waits to be taken or dispatched. Wait for it with
 *                   poll, epoll or any event loop; never read, write or close it. After fork() the child asks for one of its own;
 *                   the parent's requests are not the child's.
 *
 * MEASUREMENTS AND EVENTS
 *   [rule:measured] Every call and request on entries or on the cache as a whole whose arguments were accepted is measured when it
 *                   ends, by operation, outcome, source and span name: how often, how long it took (a request from its
 *                   submission to its completion), how many bytes values had as stored. It costs no round trip and
 *                   cannot be turned off. What the near cache answers to calls on one key is all counted; the duration is taken
 *                   of one of 64, chosen at random, which stands for all 64. Names of operations are those of the functions without
 *                   pgcache_ and submit_; get_into is a get, and a hit also where the buffer is too small; a peek that finds nothing
 *                   is not counted (providers and observers are told), for whoever peeks asks on. What a call does by other
 *                   functions (get_or_load begins a load) is part of it; what a loader calls is measured by itself.
 *   [rule:outcomes] `hit` where what was looked for was there, and else the status in small letters without PGCACHE_: `ok`, `miss`,
 *                   `stale`, `timeout` and so on; of get_or_load `ok` is what was loaded. The source is `near` where the near
 *                   cache answered, else `store`. Operations on many keys are one operation each, `ok` or the first error; hits
 *                   and misses count keys that were looked for, a stale value as a hit.
 *   [rule:spans]    The first PGCACHE_SPANS_MAX span names of a handle are told apart, all others, and one of that name, count as
 *                   "other"; without a span name it is "".
 *   [rule:histogram] Log-linear: a value is known to within 1/32 of itself, from the smallest to the largest, in fixed memory.
 *                   Histograms and counters add up: of handles, and of processes.
 *   [rule:secret]   Measurements and events never hold values, passwords or connection strings; keys are only in events, and
 *                   only for those who ask for them.
 *   [rule:observer] Events wait in the observer until they are taken, up to its room; what does not fit is counted as dropped, and
 *                   nobody waits for an observer. After fork() those of the child begin empty.
 *
 * COMMON STATUSES: every function that takes a handle can return, besides what is named at it:
 *   PGCACHE_INVALID, PGCACHE_NO_MEMORY, PGCACHE_CLOSED, PGCACHE_TIMEOUT, PGCACHE_UNAVAILABLE,
 *   PGCACHE_TOO_MANY_CONNECTIONS, PGCACHE_DENIED, PGCACHE_SERVER_TOO_OLD, PGCACHE_SCHEMA_MISSING, PGCACHE_SCHEMA_OLDER,
 *   PGCACHE_SCHEMA_NEWER, PGCACHE_SCHEMA_CHANGED, PGCACHE_SCHEMA_DIFFERS, PGCACHE_CONFLICT, PGCACHE_SERVER_ERROR,
 *   PGCACHE_BAD_SETTING (the server stands behind a connection pooler, and `prepared` is on);
 *   and every function that writes: PGCACHE_UNKNOWN, PGCACHE_READ_ONLY, PGCACHE_FULL.
 * The comments below call these "the common statuses".
 *
 * "Since" gives the version of the library that added a declaration.
 */
#ifndef PGCACHE_H
#define PGCACHE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what the shared library exports; empty for SWIG, which cannot read attributes. */
#if defined(SWIG)
#define PGCACHE_API
#elif defined(__GNUC__)
#define PGCACHE_API __attribute__((visibility("default")))
#else
#define PGCACHE_API
#endif

/* ---- Version ------------------------------------------------------------------------------------------------- */

/* The version of this header. Since 1.0. */
#define PGCACHE_VERSION_MAJOR 1
#define PGCACHE_VERSION_MINOR 0
#define PGCACHE_VERSION_PATCH 0
#define PGCACHE_VERSION_STRING "1.0.0"

/* The version of the library that runs, as text ("1.0.0"). Static storage. Any thread. Since 1.0. */
PGCACHE_API const char *pgcache_version(void);

/* The same as one number: major * 10000 + minor * 100 + patch. Any thread. Since 1.0. */
PGCACHE_API int pgcache_version_number(void);

/* ---- Limits and constants ------------------------------------------------------------------------------------- */

/* Longest key in bytes. Since 1.0. */
#define PGCACHE_KEY_MAX 4096
/* Longest namespace in bytes. Since 1.0. */
#define PGCACHE_NAMESPACE_MAX 63
/* Longest span name in bytes. Since 1.0. */
#define PGCACHE_SPAN_NAME_MAX 64
/* Longest tag in bytes. Since 1.0. */
#define PGCACHE_TAG_MAX 255
/* Most keys and tags that an entry depends on beside its own key. Since 1.0. */
#define PGCACHE_DEPENDENCIES_MAX 16
/* Longest lease of a load, in milliseconds. Since 1.0. */
#define PGCACHE_LEASE_MAX 3600000
/* Most keys that one round trip carries; calls with more are split. Since 1.0. */
#define PGCACHE_BATCH_MAX 1000

/* Most span names that a handle tells apart, [rule:spans]. Since 1.0. */
#define PGCACHE_SPANS_MAX 64
/* Most events that an observer can have room for. Since 1.0. */
#define PGCACHE_OBSERVER_ROOM_MAX 1000000

/* Values for `ttl_ms`, see [rule:ttl]. Each has its suffix, because SWIG takes a bare number for an int. Since 1.0. */
#define PGCACHE_TTL_NEVER 9223372036854775807LL
#define PGCACHE_TTL_DEFAULT (-9223372036854775807LL)
#define PGCACHE_TTL_MAX 315360000000LL

/* Value for `deadline_ms`, see [rule:deadline]. Since 1.0. */
#define PGCACHE_DEADLINE_DEFAULT (-1)

/* Values for `format`, see [rule:format]. Since 1.0. */
#define PGCACHE_FORMAT_BYTES 0
#define PGCACHE_FORMAT_JSON 1

/* ---- Status ---------------------------------------------------------------------------------------------------- */

/* What a call found (>= 0) or why it failed (< 0). New values may be added: treat an unknown negative one as
   PGCACHE_SERVER_ERROR and an unknown positive one as PGCACHE_MISS. Since 1.0. */
typedef enum pgcache_status {
  PGCACHE_OK = 0,        /* done; a get: a hit */
  PGCACHE_MISS = 1,      /* no such entry, or it has expired */
  PGCACHE_EXISTS = 2,    /* not done: an entry is there (add), or it has another version (compare_and_swap) */
  PGCACHE_TOO_SMALL = 3, /* the caller's buffer is too small; the size needed was given */
  PGCACHE_STALE = 4,     /* a load: a value that is not fresh any more */
  PGCACHE_LEASE = 5,     /* a load: there is no value, and the caller is the one to load it */
  PGCACHE_BUSY = 6,      /* a load: there is no value, and somebody else is loading it */
  PGCACHE_REFUSED = 7,   /* a load: nothing was stored: the lease was over, or the entry was written or invalidated meanwhile */

  PGCACHE_INVALID = -1,               /* an argument is wrong: NULL, empty, out of range, unknown */
  PGCACHE_TOO_LARGE = -2,             /* a key or value is longer than allowed */
  PGCACHE_BAD_SETTING = -3,           /* a setting's name or value is wrong */
  PGCACHE_NO_MEMORY = -4,             /* this process is out of memory */
  PGCACHE_CLOSED = -5,                /* the handle was shut down */
  PGCACHE_TIMEOUT = -6,               /* the deadline passed, or the server gave up waiting; nothing was changed */
  PGCACHE_UNKNOWN = -7,               /* a write was sent and its answer never came: it may or may not have happened */
  PGCACHE_UNAVAILABLE = -8,           /* the server cannot be reached, is starting up or is shutting down */
  PGCACHE_TOO_MANY_CONNECTIONS = -9,  /* the server has no connection left for us */
  PGCACHE_DENIED = -10,               /* log-in refused, no such role or database, or a missing privilege */
  PGCACHE_READ_ONLY = -11,            /* the server is a standby or read-only: writes are refused */
  PGCACHE_FULL = -12,                 /* the server's disk or memory is full */
  PGCACHE_SERVER_TOO_OLD = -13,       /* the server is older than PostgreSQL 15 */
  PGCACHE_SCHEMA_MISSING = -14,       /* the cache's schema is not there: call pgcache_init() */
  PGCACHE_SCHEMA_OLDER = -15,         /* the schema is older than the library: call pgcache_upgrade() */
  PGCACHE_SCHEMA_NEWER = -16,         /* the schema is newer than the library: upgrade the library */
  PGCACHE_SCHEMA_CHANGED = -17,       /* something in the schema was changed or dropped by hand */
  PGCACHE_SCHEMA_DIFFERS = -18,       /* the setting `table`, `coherence` or `digests` disagrees with the schema */
  PGCACHE_NOT_A_COUNTER = -19,        /* increment: the entry does not hold a decimal 64-bit integer */
  PGCACHE_OVERFLOW = -20,             /* increment: the result does not fit 64 bits; the entry is unchanged */
  PGCACHE_CONFLICT = -21,             /* the server gave up a conflict (deadlock, lock) repeatedly; nothing was changed */
  PGCACHE_SERVER_ERROR = -22,         /* any other error of the server; see sqlstate */
  PGCACHE_UNSUPPORTED = -23,          /* not possible with the handle's settings, or on the application's connections */
  PGCACHE_QUEUE_FULL = -24,           /* too many requests are under way or wait to be taken; nothing was submitted */
  PGCACHE_CANCELLED = -25             /* the request was cancelled; nothing was changed */
} pgcache_status;

/* The name of a status, such as "PGCACHE_MISS"; "PGCACHE_?" for an unknown one. Static storage. Any thread. Since 1.0. */
PGCACHE_API const char *pgcache_status_name(pgcache_status status);

/* One sentence on what a status means. Static storage. Any thread. Since 1.0. */
PGCACHE_API const char *pgcache_status_text(pgcache_status status);

/* ---- Error ----------------------------------------------------------------------------------------------------- */

/* The last argument of every call that can fail; owned by the caller, may live on the stack, see [rule:error].
   Since 1.0. */
typedef struct pgcache_error {
  size_t struct_size;    /* sizeof(pgcache_error) */
  pgcache_status status; /* as returned by the call */
  char sqlstate[6];      /* the server's five-character code, or "" */
  char message[506];     /* one line, NUL-terminated, without a newline; cut at the end if too long */
} pgcache_error;

#define PGCACHE_ERROR_INIT { sizeof(pgcache_error), PGCACHE_OK, { 0 }, { 0 } }

/* Does the same as PGCACHE_ERROR_INIT, for callers without macros. Out: error, whose size is struct_size bytes (at
   least 16, else nothing is done). Any thread. Since 1.0. */
PGCACHE_API void pgcache_error_init(pgcache_error *error, size_t struct_size);

/* ---- Per-call options ------------------------------------------------------------------------------------------- */

/* Where a read may be answered from. Since 1.0. */
typedef enum pgcache_read_mode {
  PGCACHE_READ_NEAR = 0, /* the process's own copy if it has a valid one, else PostgreSQL; [rule:near] */
  PGCACHE_READ_STORE = 1 /* always ask PostgreSQL */
} pgcache_read_mode;

/* What an entry depends on, or what is to be invalidated. Since 1.0. */
typedef enum pgcache_dependency_kind {
  PGCACHE_DEPENDS_ON_TAG = 0,
  PGCACHE_DEPENDS_ON_KEY = 1
} pgcache_dependency_kind;

/* One dependency, in the namespace of the call. An array's elements all have the same struct_size. Since 1.0. */
typedef struct pgcache_dependency {
  size_t struct_size; /* sizeof(pgcache_dependency) */
  pgcache_dependency_kind kind;
  const void *name; /* a tag: 1 to PGCACHE_TAG_MAX bytes; a key: [rule:key] */
  size_t name_len;  /* bytes */
} pgcache_dependency;

#define PGCACHE_DEPENDENCY_INIT { sizeof(pgcache_dependency), PGCACHE_DEPENDS_ON_TAG, NULL, 0 }

struct pgcache_callback; /* for C and C++ alone: in pgcache_hooks.h */

/* Options of one call. Since 1.0. */
typedef struct pgcache_options {
  size_t struct_size;        /* sizeof(pgcache_options) */
  int64_t deadline_ms;       /* milliseconds from the call's start, >= 0, or PGCACHE_DEADLINE_DEFAULT; [rule:deadline] */
  const char *namespace_name; /* NULL: the setting `namespace`; [rule:namespace] */
  const char *span_name;     /* what the caller is doing, for metrics and traces: up to PGCACHE_SPAN_NAME_MAX bytes, or NULL */
  pgcache_read_mode read_mode;
  uint32_t flags;            /* 0; no flag is defined yet, any other value gives PGCACHE_INVALID */
  uint64_t token;            /* of a request: the caller's own, given back by pgcache_completion_token(); otherwise ignored */
  const struct pgcache_callback *callback; /* of a request: NULL, or see pgcache_hooks.h; otherwise ignored */
  const pgcache_dependency *dependencies; /* of put, add, replace, compare_and_swap, put_many and load_fill: an array of */
  size_t dependency_count;                /* so many, [rule:dependencies]; otherwise ignored */
} pgcache_options;

#define PGCACHE_OPTIONS_INIT \
  { sizeof(pgcache_options), PGCACHE_DEADLINE_DEFAULT, NULL, NULL, PGCACHE_READ_NEAR, 0, 0, NULL, NULL, 0 }

/* Does the same as PGCACHE_OPTIONS_INIT, for callers without macros. Out: options, whose size is struct_size bytes (at
   least 16, else nothing is done). Any thread. Since 1.0. */
PGCACHE_API void pgcache_options_init(pgcache_options *options, size_t struct_size);

/* ---- Configuration ---------------------------------------------------------------------------------------------- */

/* A set of named settings; all values are text. Since 1.0. */
typedef struct pgcache_config pgcache_config;

/* What there is to know about one setting; all strings have static storage. Since 1.0. */
typedef struct pgcache_setting {
  size_t struct_size;        /* sizeof(pgcache_setting) */
  const char *name;          /* "pool_max" */
  const char *default_value; /* "10"; "" when there is none */
  const char *allowed;       /* "0 to 1000" */
  const char *environment;   /* "PGCACHE_POOL_MAX" */
  const char *description;   /* one sentence, with the unit */
} pgcache_setting;

#define PGCACHE_SETTING_INIT { sizeof(pgcache_setting), NULL, NULL, NULL, NULL, NULL }

/* Makes a configuration in which each setting has its default.
   Out: out, owned by the caller, to be given to pgcache_config_free().
   Returns PGCACHE_OK, PGCACHE_INVALID (out is NULL), PGCACHE_NO_MEMORY. Since 1.0. */
PGCACHE_API pgcache_status pgcache_config_new(pgcache_config **out, pgcache_error *error);

/* Sets one setting. In: name; value, checked at once, NULL puts the default back.
   Returns PGCACHE_OK, PGCACHE_INVALID (config or name is NULL), PGCACHE_BAD_SETTING (the message names the nearest
   setting or the values allowed; the setting keeps its old value), PGCACHE_NO_MEMORY. Since 1.0. */
PGCACHE_API pgcache_status pgcache_config_set(pgcache_config *config, const char *name, const char *value,
                                              pgcache_error *error);

/* The value of a setting; NULL if config is NULL or there is no such setting. Owned by the configuration, valid until
   the setting is set again or the configuration freed. The url is given as it was set, its password included.
   Since 1.0. */
PGCACHE_API const char *pgcache_config_get(const pgcache_config *config, const char *name);

/* Sets each setting whose environment variable (PGCACHE_URL, PGCACHE_POOL_MAX, ...) is there and not empty; if
   PGCACHE_URL is not, DATABASE_URL gives the url. Not to be called while another thread changes the environment.
   Returns as pgcache_config_set(); the settings before the one refused stay set. Since 1.0. */
PGCACHE_API pgcache_status pgcache_config_load_environment(pgcache_config *config, pgcache_error *error);

/* Describes the setting number index, from 0. Out: out.
   Returns PGCACHE_OK, PGCACHE_MISS (index is past the last one), PGCACHE_INVALID. Any thread. Since 1.0. */
PGCACHE_API pgcache_status pgcache_config_describe(pgcache_setting *out, size_t index, pgcache_error *error);

/* Frees a configuration; handles made from it are not concerned. NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_config_free(pgcache_config *config);

/* ---- Life cycle --------------------------------------------------------------------------------------------------- */

/* A handle. Since 1.0. */
typedef struct pgcache pgcache;

/* Makes a handle. Asks no server: the first call that needs a connection opens it. The setting `url` is needed (any
   libpq connection string or URI, `null:`, `local:` or `local:/path`). Reads the secret keys, if the setting `keys` names
   any, and opens the library of the setting `compression`.
   In: config, copied; not NULL. Out: out, owned by the caller, to be given to pgcache_free().
   Returns PGCACHE_OK, PGCACHE_INVALID, PGCACHE_BAD_SETTING (the url is missing or cannot be understood; settings
   contradict each other; the keys cannot be read; the compression's library is not there), PGCACHE_NO_MEMORY. Since 1.0. */
PGCACHE_API pgcache_status pgcache_new(pgcache **out, const pgcache_config *config, pgcache_error *error);

/* Closes the handle's connections and wakes every waiting call, see [rule:shutdown]. Waits for nothing. NULL is a no-op.
   Since 1.0. */
PGCACHE_API void pgcache_shutdown(pgcache *self);

/* Shuts down if that was not done, and frees the handle, see [rule:free]. NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_free(pgcache *self);

/* Makes the cache's schema in the database, or brings an older one up to date. Safe to call from many processes at
   once, and again. Needs the privilege to create a schema.
   Returns PGCACHE_OK (made or upgraded), PGCACHE_EXISTS (it was there and current) or a common status; notably
   PGCACHE_SCHEMA_NEWER, PGCACHE_SCHEMA_DIFFERS. Since 1.0. */
PGCACHE_API pgcache_status pgcache_init(pgcache *self, const pgcache_options *options, pgcache_error *error);

/* Brings an existing schema up to date, and never makes one.
   Returns PGCACHE_OK (upgraded), PGCACHE_EXISTS (it was current) or a common status; notably PGCACHE_SCHEMA_MISSING.
   Since 1.0. */
PGCACHE_API pgcache_status pgcache_upgrade(pgcache *self, const pgcache_options *options, pgcache_error *error);

/* ---- Values -------------------------------------------------------------------------------------------------------- */

/* What a read found: immutable, reference-counted; all functions on it may be called from any thread. Since 1.0. */
typedef struct pgcache_value pgcache_value;

/* The SQL that pgcache_init() would run for the settings `schema`, `table`, `coherence`, `values`, `app_role`,
   `app_namespaces`, `grants` and `owner_role`, to be run by an administrator in one go on a database that has no such schema.
   Asks no server; the url need not be set.
   In: config. Out: out, the SQL as a value in UTF-8, owned by the caller, to be given to pgcache_value_free().
   Returns PGCACHE_OK, PGCACHE_INVALID, PGCACHE_BAD_SETTING (settings contradict each other), PGCACHE_NO_MEMORY.
   Since 1.0. */
PGCACHE_API pgcache_status pgcache_init_sql(pgcache_value **out, const pgcache_config *config, pgcache_error *error);

/* The bytes; never NULL for a value that is not NULL; aligned to 8 bytes, and followed by a NUL byte that does not
   count, so that text can be used as a C string. Valid as long as the value. NULL gives NULL. Since 1.0. */
PGCACHE_API const void *pgcache_value_data(const pgcache_value *value);

/* The number of bytes. NULL gives 0. Since 1.0. */
PGCACHE_API size_t pgcache_value_size(const pgcache_value *value);

/* The entry's version. NULL gives 0. Since 1.0. */
PGCACHE_API int64_t pgcache_value_version(const pgcache_value *value);

/* The entry's format. NULL gives 0. Since 1.0. */
PGCACHE_API int32_t pgcache_value_format(const pgcache_value *value);

/* How long the entry still lives, in milliseconds, counted down on this machine's clock since the read was sent:
   0 when its time is up, PGCACHE_TTL_NEVER when it does not expire. NULL gives 0. Since 1.0. */
PGCACHE_API int64_t pgcache_value_ttl_ms(const pgcache_value *value);

/* 1 if the value was past the end of its freshness, though not of its life, when it was read; else 0. NULL gives 0. Since 1.0. */
PGCACHE_API int pgcache_value_is_stale(const pgcache_value *value);

/* Takes another reference, to be given to pgcache_value_free(). Returns its argument. Since 1.0. */
PGCACHE_API pgcache_value *pgcache_value_retain(pgcache_value *value);

/* Gives one reference back; the last one frees the value. NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_value_free(pgcache_value *value);

/* ---- One key -------------------------------------------------------------------------------------------------------- */

/* Reads an entry.
   Out: out, owned by the caller, to be given to pgcache_value_free(); NULL unless PGCACHE_OK.
   In: key, key_len as [rule:key].
   Returns PGCACHE_OK, PGCACHE_MISS, PGCACHE_TOO_LARGE (the key, or what is stored is longer than `max_value_bytes`) or a
   common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_get(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                                       const pgcache_options *options, pgcache_error *error);

/* Reads an entry into the caller's buffer.
   Out: buffer, buffer_len bytes long (NULL is allowed when buffer_len is 0); value_size, the value's size in bytes; both
   are set by PGCACHE_OK, value_size alone by PGCACHE_TOO_SMALL (the buffer is then unchanged).
   Returns PGCACHE_OK, PGCACHE_MISS, PGCACHE_TOO_SMALL, PGCACHE_TOO_LARGE (as pgcache_get()) or a common status.
   Since 1.0. */
PGCACHE_API pgcache_status pgcache_get_into(pgcache *self, void *buffer, size_t buffer_len, size_t *value_size,
                                            const void *key, size_t key_len, const pgcache_options *options,
                                            pgcache_error *error);

/* Stores an entry, whether there was one or not.
   Out: version (optional), the entry's new version. With `null:` nothing is stored and the version is 0.
   In: key, value, format, ttl_ms as the rules of these names.
   Returns PGCACHE_OK, PGCACHE_TOO_LARGE or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_put(pgcache *self, int64_t *version, const void *key, size_t key_len,
                                       const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                                       const pgcache_options *options, pgcache_error *error);

/* Stores an entry only if there is none; an expired one counts as none. Arguments as pgcache_put().
   Returns PGCACHE_OK, PGCACHE_EXISTS (nothing was changed), PGCACHE_TOO_LARGE or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_add(pgcache *self, int64_t *version, const void *key, size_t key_len,
                                       const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                                       const pgcache_options *options, pgcache_error *error);

/* Stores an entry only if there is one that has not expired. Arguments as pgcache_put().
   Returns PGCACHE_OK, PGCACHE_MISS (nothing was stored), PGCACHE_TOO_LARGE or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_replace(pgcache *self, int64_t *version, const void *key, size_t key_len,
                                           const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                                           const pgcache_options *options, pgcache_error *error);

/* Stores an entry only if it still has the version that the caller read. Arguments as pgcache_put(), and
   In: expected, a version > 0.
   Returns PGCACHE_OK, PGCACHE_MISS (there is none), PGCACHE_EXISTS (it has another version), PGCACHE_TOO_LARGE or a
   common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_compare_and_swap(pgcache *self, int64_t *version, const void *key, size_t key_len,
                                                    const void *value, size_t value_len, int32_t format,
                                                    int64_t ttl_ms, int64_t expected, const pgcache_options *options,
                                                    pgcache_error *error);

/* Removes an entry.
   Returns PGCACHE_OK, PGCACHE_MISS (nothing was removed), PGCACHE_TOO_LARGE (the key) or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_remove(pgcache *self, const void *key, size_t key_len,
                                          const pgcache_options *options, pgcache_error *error);

/* Gives an entry a new TTL without sending its value.
   Out: version (optional): a touch is a write and gives a new version. In: key; ttl_ms.
   Returns PGCACHE_OK, PGCACHE_MISS, PGCACHE_TOO_LARGE (the key) or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_touch(pgcache *self, int64_t *version, const void *key, size_t key_len,
                                         int64_t ttl_ms, const pgcache_options *options, pgcache_error *error);

/* Asks whether an entry is there, without reading its value.
   Returns PGCACHE_OK, PGCACHE_MISS, PGCACHE_TOO_LARGE (the key) or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_exists(pgcache *self, const void *key, size_t key_len,
                                          const pgcache_options *options, pgcache_error *error);

/* Looks into the near cache alone: never asks the server, never waits, and starts nothing.
   Out: out, owned by the caller, to be given to pgcache_value_free(); NULL unless PGCACHE_OK.
   In: key, key_len as [rule:key]; of the options namespace_name; a deadline does not matter.
   Returns PGCACHE_OK, PGCACHE_MISS (there is no copy, or it may not be used, [rule:stale]; the entry may well exist),
   PGCACHE_INVALID (also: read_mode is PGCACHE_READ_STORE), PGCACHE_TOO_LARGE (the key), PGCACHE_CLOSED. Since 1.0. */
PGCACHE_API pgcache_status pgcache_peek(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                                        const pgcache_options *options, pgcache_error *error);

/* Waits until the near cache has heard of everything that was acknowledged before the call, [rule:fence]: one round trip on
   the connection that it listens on. For whoever was told by other means that something was written.
   Returns PGCACHE_OK (at once, where there is no near cache), PGCACHE_BAD_SETTING (a pooler stands between this process and
   the server, or listen_url leads to another database than url) or a common status; reads may then be older, within
   [rule:stale]. Since 1.0. */
PGCACHE_API pgcache_status pgcache_fence(pgcache *self, const pgcache_options *options, pgcache_error *error);

/* Adds delta to a counter: an entry of format PGCACHE_FORMAT_JSON that holds a decimal 64-bit integer.
   Out: counter (optional), the new number; version (optional). In: key; delta, may be negative; initial and ttl_ms, used
   only if there is no entry: it is then stored as initial + delta (which must fit 64 bits) with that TTL. An existing
   entry keeps its expiry.
   Returns PGCACHE_OK, PGCACHE_NOT_A_COUNTER, PGCACHE_OVERFLOW, PGCACHE_TOO_LARGE (the key), PGCACHE_UNSUPPORTED (the
   setting `encryption` is not off: the server, which adds, could not read the counter) or a common status.
   Since 1.0. */
PGCACHE_API pgcache_status pgcache_increment(pgcache *self, int64_t *counter, int64_t *version, const void *key,
                                             size_t key_len, int64_t delta, int64_t initial, int64_t ttl_ms,
                                             const pgcache_options *options, pgcache_error *error);

/* ---- Many keys -------------------------------------------------------------------------------------------------------- */

/* One element of a multi-key call. An array's elements all have the same struct_size. Since 1.0. */
typedef struct pgcache_item {
  size_t struct_size;    /* in: sizeof(pgcache_item) */
  const void *key;       /* in */
  size_t key_len;        /* in: bytes */
  const void *value;     /* in: put_many only */
  size_t value_len;      /* in: put_many only, bytes */
  int64_t ttl_ms;        /* in: put_many only, [rule:ttl] */
  int32_t format;        /* in: put_many only, [rule:format] */
  pgcache_status status; /* out: what became of this key */
  int64_t version;       /* out: the entry's version; 0 unless PGCACHE_OK; 0 for remove_many */
  pgcache_value *result; /* out: get_many only: owned by the caller, to be given to pgcache_value_free(); else NULL */
} pgcache_item;

#define PGCACHE_ITEM_INIT { sizeof(pgcache_item), NULL, 0, NULL, 0, PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_BYTES, \
                            PGCACHE_OK, 0, NULL }

/* Rules of the multi-key calls: [rule:batch]
   In and out: items, an array of count elements (0 is allowed and does nothing). Up to PGCACHE_BATCH_MAX keys go in one
   round trip and one statement; longer arrays (and puts of more than 64 MiB) are split, and their parts done one after the
   other; pgcache_submit_get_many() and its like do them side by side. Duplicate keys are allowed: all
   of them get the same answer, and of duplicate puts the last one is stored. Every item is checked before anything is
   sent: one bad item refuses the call, all items get its status, and the message gives its index.
   The call's status is PGCACHE_OK when every key was answered, else the first error; each item has its own status then:
   the parts before the failed one are done, the part that failed has its error, and the parts behind it, which were not
   sent, have the same error, or PGCACHE_UNAVAILABLE where that is PGCACHE_UNKNOWN: nothing was changed there. */

/* Reads many entries. Per item PGCACHE_OK with result and version, PGCACHE_MISS, or PGCACHE_TOO_LARGE (what is
   stored is longer than `max_value_bytes`).
   Returns PGCACHE_OK, PGCACHE_TOO_LARGE or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_get_many(pgcache *self, pgcache_item *items, size_t count,
                                            const pgcache_options *options, pgcache_error *error);

/* Stores many entries. Per item PGCACHE_OK with version.
   Returns PGCACHE_OK, PGCACHE_TOO_LARGE or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_put_many(pgcache *self, pgcache_item *items, size_t count,
                                            const pgcache_options *options, pgcache_error *error);

/* Removes many entries. Per item PGCACHE_OK, or PGCACHE_MISS if there was none.
   Returns PGCACHE_OK, PGCACHE_TOO_LARGE or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_remove_many(pgcache *self, pgcache_item *items, size_t count,
                                               const pgcache_options *options, pgcache_error *error);

/* ---- Loads ----------------------------------------------------------------------------------------------------------------
   See LOADS above. */

/* How an entry is to be loaded and kept. Since 1.0. */
typedef struct pgcache_load_options {
  size_t struct_size;     /* sizeof(pgcache_load_options) */
  int64_t ttl_ms;         /* how long it is fresh, [rule:ttl] */
  int64_t stale_ms;       /* for so long after that load_begin gives it at once as STALE, and one caller refreshes it; >= 0 */
  int64_t fail_safe_ms;   /* for so long after that it stands in when a load fails or is late; >= 0 */
  int64_t throttle_ms;    /* after a load that failed: how long something stale stands in before anybody tries again; >= 0 */
  int64_t absent_ttl_ms;  /* how long "there is no value" is remembered, see load_fill_absent; 0: not at all; never:
                             PGCACHE_TTL_NEVER */
  int64_t lease_ms;       /* how long the load may take before somebody else may: 1 to PGCACHE_LEASE_MAX */
  int64_t wait_ms;        /* how long to wait for somebody else's load before STALE or BUSY, >= 0;
                             PGCACHE_DEADLINE_DEFAULT: until the deadline */
  int32_t jitter_percent; /* ttl_ms is shortened by up to so many percent at random, so that not all expire at once: 0 to 50 */
  int32_t early_percent;  /* refresh before the end, the more probably the nearer it is and the longer a load takes: 100 is
                             usual, 0 is off, up to 1000. XFetch with beta = early_percent / 100 (Vattani, Chierichetti,
                             Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015) */
} pgcache_load_options;

#define PGCACHE_LOAD_OPTIONS_INIT \
  { sizeof(pgcache_load_options), PGCACHE_TTL_DEFAULT, 0, 0, 1000, 0, 10000, PGCACHE_DEADLINE_DEFAULT, 0, 0 }

/* Does the same as PGCACHE_LOAD_OPTIONS_INIT, for callers without macros. Out: options, whose size is struct_size bytes (at
   least 16, else nothing is done). Any thread. Since 1.0. */
PGCACHE_API void pgcache_load_options_init(pgcache_load_options *options, size_t struct_size);

/* A load whose lease the caller has. One thread at a time may use it; it must be freed before its handle. Since 1.0. */
typedef struct pgcache_load pgcache_load;

/* Reads an entry, or gets the lease to load it, or waits for somebody else's load of it.
   Out: out, the value, owned by the caller, to be given to pgcache_value_free(): set by PGCACHE_OK and PGCACHE_STALE; load, if
   it is not NULL then the caller has the lease: by PGCACHE_LEASE always, by PGCACHE_STALE and PGCACHE_OK (early_percent) if
   the caller is to refresh the entry; owned by the caller, to be given to pgcache_load_free().
   In: key, key_len as [rule:key]; how, copied, NULL means the defaults.
   Returns PGCACHE_OK (fresh, also when somebody else's load ended meanwhile), PGCACHE_STALE, PGCACHE_LEASE, PGCACHE_MISS (it
   is known that there is no value: load_fill_absent), PGCACHE_BUSY (wait_ms is over, and there is no value),
   PGCACHE_TOO_LARGE (as pgcache_get()) or a common status, and those of writing; PGCACHE_TIMEOUT: the deadline was over
   first; if that was while the server gave the lease, nobody has it until lease_ms is over. With [rule:on_error] at `miss`
   a failure of the server gives PGCACHE_LEASE, with a load whose fill stores nothing, as does `null:`. PGCACHE_INVALID also:
   on the application's connection inside of a transaction at REPEATABLE READ or SERIALIZABLE, which sees rows that are older
   than the lease. Since 1.0. */
PGCACHE_API pgcache_status pgcache_load_begin(pgcache *self, pgcache_value **out, pgcache_load **load, const void *key,
                                              size_t key_len, const pgcache_load_options *how,
                                              const pgcache_options *options, pgcache_error *error);

/* Stores what was loaded, and ends the load, whatever is returned but PGCACHE_INVALID and PGCACHE_TOO_LARGE. Who waits for it
   gets it.
   Out: version (optional). In: value, value_len, format as pgcache_put(); of the options the dependencies, in the namespace of
   the load, and the deadline.
   Returns PGCACHE_OK, PGCACHE_REFUSED ([rule:guard]; the caller may use the value itself once), PGCACHE_INVALID (also: the
   load has ended), PGCACHE_TOO_LARGE or a common status: where the server was not reached the lease lasts until its time is
   over, and nobody loads before. Since 1.0. */
PGCACHE_API pgcache_status pgcache_load_fill(pgcache_load *load, int64_t *version, const void *value, size_t value_len,
                                             int32_t format, const pgcache_options *options, pgcache_error *error);

/* The same when there is no value: until absent_ttl_ms is over, or it is invalidated, pgcache_load_begin() gives
   PGCACHE_MISS; for all other calls there is no entry. With an absent_ttl_ms of 0 nothing is stored. Returns as
   pgcache_load_fill(). Since 1.0. */
PGCACHE_API pgcache_status pgcache_load_fill_absent(pgcache_load *load, int64_t *version, const pgcache_options *options,
                                                    pgcache_error *error);

/* The load failed, and ends. Out: out, a stale value that may stand in, owned by the caller, to be given to
   pgcache_value_free(); NULL if there is none. If there is one, others get it, too, and nobody has a lease until throttle_ms
   is over; else the next who asks gets the lease. The entry lives no longer than before.
   Returns PGCACHE_STALE (with out), PGCACHE_MISS (there is nothing; what the caller's load failed with is for him to tell),
   PGCACHE_INVALID or a common status, also then with out. Since 1.0. */
PGCACHE_API pgcache_status pgcache_load_fail(pgcache_load *load, pgcache_value **out, const pgcache_options *options,
                                             pgcache_error *error);

/* Gives the lease back, and ends the load: the next who asks gets it.
   Returns PGCACHE_OK (also: it was over), PGCACHE_INVALID or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_load_abandon(pgcache_load *load, const pgcache_options *options, pgcache_error *error);

/* Makes the lease last for lease_ms from now. In: lease_ms, 1 to PGCACHE_LEASE_MAX.
   Returns PGCACHE_OK, PGCACHE_REFUSED (it is over, and the load with it), PGCACHE_INVALID or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_load_extend(pgcache_load *load, int64_t lease_ms, const pgcache_options *options,
                                               pgcache_error *error);

/* Frees a load. One that has not ended is abandoned, which asks the server once, for up to `timeout_ms`. NULL is a no-op.
   Since 1.0. */
PGCACHE_API void pgcache_load_free(pgcache_load *load);

/* Ends all entries that depend on these keys and tags, [rule:invalidate], in a transaction of its own; for the application's
   own transaction see pgcache_invalidate_on() and the SQL function invalidate().
   In: what, an array of count elements, up to PGCACHE_BATCH_MAX (0 does nothing).
   Returns PGCACHE_OK, PGCACHE_TOO_LARGE (a name is too long) or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_invalidate(pgcache *self, const pgcache_dependency *what, size_t count,
                                              const pgcache_options *options, pgcache_error *error);

/* Tells how many entries depend on keys and tags, and which tables are watched by the SQL function watch(). Of tags in use only
   digests are stored, so that they cannot be listed. Reads the whole table: it is for people and monitors.
   Out: report, a value of PGCACHE_FORMAT_JSON, owned by the caller, to be given to pgcache_value_free(); NULL unless
   PGCACHE_OK:
     {"entries":[3,0],"tagged":7,"watched":[{"table":"public.orders","namespace":"shop","tag":"customer:<customerid>"},...]}
   `entries`: for each element of what, in its order, how many entries that have not expired depend on it; `tagged`: how many
   depend on anything beside their own key; `watched`: one element for each tag of each watched table.
   In: what, an array of count elements (0 is allowed), up to PGCACHE_BATCH_MAX.
   Returns PGCACHE_OK, PGCACHE_TOO_LARGE (a name is too long) or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_dependents(pgcache *self, pgcache_value **report, const pgcache_dependency *what,
                                              size_t count, const pgcache_options *options, pgcache_error *error);

/* ---- The cache as a whole ------------------------------------------------------------------------------------------------ */

/* What pgcache_flush() empties. Since 1.0. */
typedef enum pgcache_flush_scope {
  PGCACHE_FLUSH_NAMESPACE = 0, /* the namespace of the options, or of the handle */
  PGCACHE_FLUSH_ALL = 1        /* every namespace of the schema */
} pgcache_flush_scope;

/* Removes every entry that was stored before the call began; some that are stored meanwhile, too.
   Out: removed (optional), how many rows that was, expired ones included, also after an error; for PGCACHE_FLUSH_ALL as
   counted a moment before. In: scope.
   Returns PGCACHE_OK or a common status: after an error some are removed. Since 1.0. */
PGCACHE_API pgcache_status pgcache_flush(pgcache *self, int64_t *removed, pgcache_flush_scope scope,
                                         const pgcache_options *options, pgcache_error *error);

/* Walks the whole table now, in many short statements: deletes expired rows of all namespaces (an entry that is refreshed
   meanwhile stays), and evicts what is above the limits, see pgcache_set_limits(). Takes about 15% of one of the server's
   cores, or what the setting `cleanup_share` allows if that is more; in the second half of its deadline, all it can: a walk
   that needs more time ends with PGCACHE_TIMEOUT. On the application's connections, and for a role that is kept to namespaces,
   it makes no pauses. While a janitor is at work, it may only delete expired rows, beside it and without pauses, and leave the
   limits to the janitor.
   Out: removed (optional), how many expired rows, also after an error; with those that were evicted see
   pgcache_cleanup_some().
   Returns PGCACHE_OK or a common status: after an error there may be more to delete. Since 1.0. */
PGCACHE_API pgcache_status pgcache_cleanup(pgcache *self, int64_t *removed, const pgcache_options *options,
                                           pgcache_error *error);

/* How far cleanup has come. The fields before blocks_done are the first version's. Since 1.0. */
typedef struct pgcache_cleanup_progress {
  size_t struct_size;  /* sizeof(pgcache_cleanup_progress) */
  int32_t restart;     /* in: 1 begins a walk over the whole table even if one is under way; 0 once it has begun */
  int32_t busy;        /* out: 1: another janitor is at work, and nothing was done */
  int32_t finished;    /* out: 1: the walk has come to its end */
  int32_t evicting;    /* out: 1: what had expired is gone, and the walk has begun again to evict */
  int64_t removed;     /* in and out: the expired rows that the call deleted are added */
  int64_t evicted;     /* in and out: the entries that it evicted to keep the limits are added */
  int64_t blocks_done; /* out: how much of the table the walk has seen, */
  int64_t blocks;      /* out: and how much there is */
} pgcache_cleanup_progress;

#define PGCACHE_CLEANUP_PROGRESS_INIT { sizeof(pgcache_cleanup_progress), 0, 0, 0, 0, 0, 0, 0, 0 }

/* Does a part of what pgcache_cleanup() does: goes on with the walk that it or anybody else left unfinished, or begins one.
   One janitor of a schema is at work at a time; it has the walk to itself until it has been silent for five seconds.
   Call it with the same progress until finished or busy. progress may be the caller's own, on any thread. Makes the pauses of
   pgcache_cleanup() throughout.
   Out: progress, also after an error. In: budget_ms, 0 to PGCACHE_JANITOR_INTERVAL_MAX: no further statement is begun after
   so many milliseconds; one takes two or three, more only to delete a value of many megabytes.
   Returns PGCACHE_OK or a common status; PGCACHE_DENIED also to a role that is kept to namespaces, which has
   pgcache_cleanup() for what has expired in them. Since 1.0. */
PGCACHE_API pgcache_status pgcache_cleanup_some(pgcache *self, pgcache_cleanup_progress *progress, int64_t budget_ms,
                                                const pgcache_options *options, pgcache_error *error);

/* ---- The janitor ---------------------------------------------------------------------------------------------------------- */

/* A thread that does what pgcache_cleanup() does, again and again. Since 1.0. */
typedef struct pgcache_janitor pgcache_janitor;

/* The longest interval of a janitor: a day, in milliseconds. Since 1.0. */
#define PGCACHE_JANITOR_INTERVAL_MAX 86400000LL

/* Starts a janitor: it walks at once, and then whenever the last walk of any janitor of the schema ended interval_ms ago;
   with a limit also when much was written since. It takes the share of a core that the setting `cleanup_share` allows,
   survives failures (they are counted as cleanup_failures, and tried again after growing pauses), and ends with
   pgcache_janitor_stop() or when the handle is shut down. That of a role that is kept to namespaces walks by itself, at the same
   pace, deletes what has expired in them, and keeps no limits. A forked child has no janitor, but may start one.
   Out: out, owned by the caller, to be given to pgcache_janitor_free(), before or after the handle is freed.
   In: cache, not one of pgcache_new_on_connection(); interval_ms, 1 to PGCACHE_JANITOR_INTERVAL_MAX. A binding that takes seconds gives 0 for what is no number,
   not finite or out of range.
   Returns PGCACHE_OK, PGCACHE_INVALID, PGCACHE_CLOSED, PGCACHE_NO_MEMORY (memory, or threads). Since 1.0. */
PGCACHE_API pgcache_status pgcache_janitor_start(pgcache_janitor **out, pgcache *cache, int64_t interval_ms,
                                                 pgcache_error *error);

/* Tells a janitor to stop, and waits until it has. May be called again, from any thread; in a forked child there is nothing
   to stop. In: timeout_ms, >= 0: how long to wait; 0 only tells it.
   Returns PGCACHE_OK (it has stopped), PGCACHE_TIMEOUT (not yet: it stops after its statement), PGCACHE_INVALID.
   Since 1.0. */
PGCACHE_API pgcache_status pgcache_janitor_stop(pgcache_janitor *janitor, int64_t timeout_ms, pgcache_error *error);

/* Stops a janitor, waits for the end of its statement (at most the setting `timeout_ms`), and frees it. No other call on it
   may be under way. NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_janitor_free(pgcache_janitor *janitor);

/* ---- Limits ---------------------------------------------------------------------------------------------------------------- */

/* What pgcache_set_limits() limits. Since 1.0. */
typedef enum pgcache_limit_scope {
  PGCACHE_LIMIT_NAMESPACE = 0, /* the namespace of the options, or of the handle */
  PGCACHE_LIMIT_ALL = 1        /* all namespaces of the schema together */
} pgcache_limit_scope;

/* Values for limits: none; and: as it is. Since 1.0. */
#define PGCACHE_LIMIT_NONE 0
#define PGCACHE_LIMIT_KEEP (-1)

/* Limits how much the cache holds. The limits are stored in the database, for all processes. They are kept by janitors
   and by pgcache_cleanup(), not by writes, which cost what they cost without: at the end of a walk what it found holds no
   more than the limit, and until the next walk it may grow beyond. What has expired goes first, then what was not
   used for the longest time. Reads count as use to the accuracy of the setting `access_stamp_ms`; those that the near cache answers
   to twice that, and are told to the server by the handle's janitor or beside a read that asks the server. A handle learns of the
   first limit when it sets it, opens a connection or does a part of a walk: until then its reads are not counted. Walks of a role
   that is kept to some namespaces keep no limits.
   In: scope; max_entries; max_bytes, of keys and values as they are stored: > 0, or PGCACHE_LIMIT_NONE, PGCACHE_LIMIT_KEEP.
   Returns PGCACHE_OK or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_set_limits(pgcache *self, pgcache_limit_scope scope, int64_t max_entries,
                                              int64_t max_bytes, const pgcache_options *options, pgcache_error *error);

/* What a namespace holds. Since 1.0. */
typedef struct pgcache_usage {
  size_t struct_size;      /* in: sizeof(pgcache_usage) */
  char namespace_name[64]; /* "": all namespaces together */
  int64_t entries;         /* entries that have not expired, counted as pgcache_stats() counts them */
  int64_t bytes;           /* their keys and values, as they are stored */
  int64_t expired;         /* rows that have expired and wait for cleanup */
  int64_t max_entries;     /* the limits, or PGCACHE_LIMIT_NONE */
  int64_t max_bytes;
} pgcache_usage;

#define PGCACHE_USAGE_INIT { sizeof(pgcache_usage), { 0 }, 0, 0, 0, 0, 0 }

/* Counts what each namespace holds, a page at a time in the order of their names, first of all "" for all together; reads
   the whole table, so it is for people and monitors. An entry is what pgcache_stats() counts as one. With `null:` there is
   nothing.
   Out: out, an array of out_len elements (1 to PGCACHE_BATCH_MAX), each with the same struct_size set [rule:sizes]; count,
   how many were set, fewer than out_len on the last page. In: after, only namespaces behind this one (NULL: from the beginning).
   Returns PGCACHE_OK or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_read_usage(pgcache *self, pgcache_usage *out, size_t out_len, size_t *count,
                                              const char *after, const pgcache_options *options, pgcache_error *error);

/* ---- Figures --------------------------------------------------------------------------------------------------------------- */

/* Figures of the store. Since 1.0. */
typedef struct pgcache_store_stats {
  size_t struct_size;        /* sizeof(pgcache_store_stats) */
  int64_t entries;           /* entries that have not expired, all namespaces, counted now */
  int64_t expired;           /* rows that have expired and wait for cleanup */
  int64_t value_bytes;       /* the values' bytes of both, as stored */
  int64_t relation_bytes;    /* the table on disk, with its index and out-of-line values */
  int32_t schema_version;
  int32_t epoch;
  int32_t logged;            /* 1 if the table is logged, 0 if unlogged */
  int32_t pool_open;         /* connections this handle has open */
  int32_t pool_idle;         /* of these, not in use */
  int32_t server_version;    /* as PostgreSQL's server_version_num, such as 150018 */
} pgcache_store_stats;

#define PGCACHE_STORE_STATS_INIT { sizeof(pgcache_store_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Counts what the store holds; reads the whole table, so it is for people and monitors, not for the request path. What has
   not expired takes room and is counted as an entry, though all reads but loads miss some of it: what is stale
   ([rule:freshness]), what was invalidated ([rule:invalidate]), and what load_fill_absent() stored.
   Out: out. With `null:` all figures are 0.
   Returns PGCACHE_OK or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_stats(pgcache *self, pgcache_store_stats *out, const pgcache_options *options,
                                         pgcache_error *error);

/* Examines everything that the cache stands on: the server and its version, a pooler and the clocks in between, the schema
   and its pieces, the role's privileges, autovacuum and what holds it back, connections. It changes nothing, needs no
   schema, and reads the whole table, for 10 seconds at most; it is for people and monitors.
   Out: report, a value of PGCACHE_FORMAT_JSON, owned by the caller, to be given to pgcache_value_free(); NULL unless
   PGCACHE_OK:
     {"findings":[{"severity":"ok|info|warning|error","check":"clock","finding":"...","evidence":"...","remedy":"..."},
     ...],"worst":"ok|info|warning|error"}
   `check` is a short name that stays; the texts are for people and may change. `remedy` is empty where there is nothing to
   do. What the role may not see is a finding that names the privilege. There is no key, value, password or statement of
   anybody in it; roles, replication slots and the schema are named.
   Returns PGCACHE_OK, also when something is wrong: the report tells; or a common status when nothing could be examined.
   Since 1.0. */
PGCACHE_API pgcache_status pgcache_doctor(pgcache *self, pgcache_value **report, const pgcache_options *options,
                                          pgcache_error *error);

/* What a handle has counted since it was made: of this process alone, without asking the server. Since 1.0. */
typedef struct pgcache_counters {
  size_t struct_size;         /* sizeof(pgcache_counters) */
  int64_t connections_opened; /* connections made */
  int64_t connections_lost;   /* connections closed because they broke or an answer on them was given up */
  int64_t breaker_opened;     /* how often the circuit breaker opened, [rule:breaker] */
  int64_t breaker_refused;    /* calls that it refused, PGCACHE_UNAVAILABLE */
  int64_t reads_failed;       /* reads that gave a miss instead of their error, [rule:on_error] */
  int64_t values_refused;     /* rows taken for a miss: damaged, moved, of an unknown key, or not encrypted as required */
  int64_t entries_touched;    /* entries noted as used because they were read while there is a limit */
  int64_t entries_evicted;    /* entries that this handle evicted to keep the limits */
  int64_t cleanup_failures;   /* walks of its janitors, and slices after writes, that failed */
  int64_t summaries_published; /* see the setting publish_ms */
  int64_t publish_failures;   /* summaries that could not be published, and were given up */
  /* Of the near cache, [rule:near]: */
  int64_t near_hits;             /* keys answered with a value that it held */
  int64_t near_absent_hits;      /* keys answered with the knowledge that there is no entry */
  int64_t near_misses;           /* keys that it was asked for and did not answer */
  int64_t near_fills;            /* values, and absences, that it took in */
  int64_t near_fills_refused;    /* those that were not taken in because something newer was heard of */
  int64_t near_invalidations;    /* copies that were dropped because the entry changed; own writes count, too */
  int64_t near_evictions;        /* copies that were dropped to keep its limits */
  int64_t near_lapses;           /* keys that it held and did not answer, because how fresh it is was not proven in time */
  int64_t near_flushes;          /* how often it dropped everything; the next four say why: */
  int64_t near_flushes_start;    /* it was new, or without news for longer than near_staleness_ms */
  int64_t near_flushes_epoch;    /* the server lost the unlogged tables, or is another one */
  int64_t near_flushes_gap;      /* the news did not reach back far enough */
  int64_t near_flushes_stream;   /* the cache was flushed */
  int64_t near_entries;          /* copies that it holds now */
  int64_t near_bytes;            /* what they take, with all overhead */
  int64_t near_polls;            /* round trips that proved how fresh it is */
  int64_t near_messages;         /* notifications taken */
  int64_t near_messages_refused; /* notifications that were none of ours, damaged, or of another epoch */
  int64_t near_gaps;             /* notifications that did not follow the one before, so that a poll stood in for them */
  int64_t near_audited;          /* copies compared with the store, see the setting near_audit_ms */
  int64_t near_disagreements;    /* of these, older than the rules allow */
  /* Of loads, [rule:load]: */
  int64_t loads;                 /* leases that this handle got, and so values that it had loaded */
  int64_t load_waits;            /* calls that waited for somebody else's load */
  int64_t load_stale;            /* PGCACHE_STALE given */
  int64_t load_fills;            /* values, and absences, that were stored */
  int64_t load_fills_refused;    /* PGCACHE_REFUSED given */
  int64_t load_failures;         /* pgcache_load_fail() */
  int64_t invalidations;         /* keys and tags invalidated by pgcache_invalidate() */
} pgcache_counters;

#define PGCACHE_COUNTERS_INIT { sizeof(pgcache_counters), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
                                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Reads the counters. Each is exact; together they are of slightly different moments.
   Out: out. Returns PGCACHE_OK or PGCACHE_INVALID (a pointer is NULL, or the struct_size is not set). Since 1.0. */
PGCACHE_API pgcache_status pgcache_read_counters(pgcache *self, pgcache_counters *out, pgcache_error *error);

/* Lists the keys of a namespace in the order of their bytes, a page at a time; reads the whole table, so it is for
   people, not for the request path. Listed is what is stored and has not expired, also what get and exists miss because it
   is stale ([rule:freshness]; pgcache_value_is_stale() tells, and the TTL is until its end) or was invalidated
   ([rule:invalidate], which nothing here tells); what load_fill_absent() stored is not.
   Out: keys, an array of keys_len elements (1 to PGCACHE_BATCH_MAX): each a value whose bytes are the key and whose
   version, format and TTL are the entry's, owned by the caller; count, how many were set, fewer than keys_len on the
   last page.
   In: prefix, only keys that begin with it (NULL or length 0: all); after, only keys behind this one: the last key of the
   page before (NULL or length 0: from the beginning).
   Returns PGCACHE_OK, PGCACHE_TOO_LARGE (prefix or after is longer than a key), PGCACHE_UNSUPPORTED (the setting
   `digests` is keyed: the server does not know the keys) or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_keys(pgcache *self, pgcache_value **keys, size_t keys_len, size_t *count,
                                        const void *prefix, size_t prefix_len, const void *after, size_t after_len,
                                        const pgcache_options *options, pgcache_error *error);

/* ---- Measurements ----------------------------------------------------------------------------------------------------------
   See MEASUREMENTS AND EVENTS above. A snapshot is a list of samples; those of one name stand together, and have the same help, unit
   and kind. But for pgcache_snapshot_add() it does not change; several threads may read it, and its texts live as long as it does. */

typedef struct pgcache_snapshot pgcache_snapshot;

/* What a sample is. Since 1.0. */
typedef enum pgcache_metric_kind {
  PGCACHE_COUNTER = 1,  /* grows only, from 0 when the handle was made */
  PGCACHE_GAUGE = 2,    /* as it is now */
  PGCACHE_HISTOGRAM = 3 /* how values are distributed, since the handle was made; [rule:histogram] */
} pgcache_metric_kind;

/* Takes a snapshot of all that is measured of the handle; asks no server, and waits for nobody. instrumentation/METRICS.md lists
   the names. What is in one sample fits together: the count of a histogram is that of its values. Samples are of slightly
   different moments.
   Out: out, owned by the caller, to be given to pgcache_snapshot_free(); it may outlive the handle.
   Returns PGCACHE_OK, PGCACHE_INVALID (a pointer is NULL), PGCACHE_NO_MEMORY. Since 1.0. */
PGCACHE_API pgcache_status pgcache_stats_snapshot(pgcache *self, pgcache_snapshot **out, pgcache_error *error);

/* Frees a snapshot with all that it gave. NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_snapshot_free(pgcache_snapshot *self);

/* Adds what another snapshot has: counters and histograms add up, and so do gauges, but for times, of which the latest stays.
   For several handles of a process, or several processes. Nobody else may use self meanwhile, and texts that it gave are gone, and its
   samples may stand elsewhere. In: other, unchanged.
   Returns PGCACHE_OK, PGCACHE_INVALID (a pointer is NULL), PGCACHE_NO_MEMORY (then nothing was added). Since 1.0. */
PGCACHE_API pgcache_status pgcache_snapshot_add(pgcache_snapshot *self, const pgcache_snapshot *other, pgcache_error *error);

/* When it was taken, in milliseconds since 1970-01-01 UTC, by the process's clock; of one that was published by the server's. NULL: 0.
   Since 1.0. */
PGCACHE_API int64_t pgcache_snapshot_taken_at(const pgcache_snapshot *self);

/* Whose it is: "host/process/handle", the same for all snapshots of a handle and for no other; "" for NULL. Since 1.0. */
PGCACHE_API const char *pgcache_snapshot_origin(const pgcache_snapshot *self);

/* How many samples it has. NULL: 0. Of an index beyond them the functions below give "", 0 or NaN. Since 1.0. */
PGCACHE_API size_t pgcache_snapshot_size(const pgcache_snapshot *self);

/* The sample's name, in the form of Prometheus: pgcache_ first, the unit last, and _total for counters. Since 1.0. */
PGCACHE_API const char *pgcache_snapshot_name(const pgcache_snapshot *self, size_t index);

/* What the name means, in one line. Since 1.0. */
PGCACHE_API const char *pgcache_snapshot_help(const pgcache_snapshot *self, size_t index);

/* "seconds", "bytes", or "". Since 1.0. */
PGCACHE_API const char *pgcache_snapshot_unit(const pgcache_snapshot *self, size_t index);

/* What the sample is; 0 beyond the last. Since 1.0. */
PGCACHE_API pgcache_metric_kind pgcache_snapshot_kind(const pgcache_snapshot *self, size_t index);

/* How many labels the sample has. Since 1.0. */
PGCACHE_API size_t pgcache_snapshot_labels(const pgcache_snapshot *self, size_t index);

/* The name of one of its labels. Since 1.0. */
PGCACHE_API const char *pgcache_snapshot_label_name(const pgcache_snapshot *self, size_t index, size_t label);

/* The value of that label. Of `span_name` it is the application's text: any bytes but NUL. Since 1.0. */
PGCACHE_API const char *pgcache_snapshot_label_value(const pgcache_snapshot *self, size_t index, size_t label);

/* The value of a counter or gauge; the sum of a histogram's values. Since 1.0. */
PGCACHE_API double pgcache_snapshot_value(const pgcache_snapshot *self, size_t index);

/* How many values a histogram has. Since 1.0. */
PGCACHE_API int64_t pgcache_snapshot_count(const pgcache_snapshot *self, size_t index);

/* How many of a histogram's values are at most the bound, in its unit: all of these, and perhaps some of up to a sixteenth more;
   never more for a smaller bound. Since 1.0. */
PGCACHE_API int64_t pgcache_snapshot_count_to(const pgcache_snapshot *self, size_t index, double bound);

/* The value that so many percent (0 to 100) of a histogram's values do not exceed; NaN if it has none. Since 1.0. */
PGCACHE_API double pgcache_snapshot_percentile(const pgcache_snapshot *self, size_t index, double percent);

/* Reads what the processes of this schema have published last, see the setting `publish_ms`: those that did within three times their
   own interval. From the first call of a process on that asks the store, its handle publishes its snapshot so often, by a thread of
   its own and a connection of the pool, for one round trip; not on connections of the application. Roles that are kept to
   namespaces can neither publish nor read (PGCACHE_DENIED): what is measured is of all namespaces. Summaries that are damaged, or
   of another version of the library that this one cannot read, are left out.
   Out: out, an array of room elements (1 to PGCACHE_BATCH_MAX), each owned by the caller, to be given to pgcache_snapshot_free();
   count, how many were set, fewer than room if that was all; by their origins, in the order of their bytes.
   In: after, only origins behind this one (NULL: from the beginning).
   Returns PGCACHE_OK or a common status. Since 1.0. */
PGCACHE_API pgcache_status pgcache_read_published(pgcache *self, pgcache_snapshot **out, size_t room, size_t *count, const char *after,
                                                  const pgcache_options *options, pgcache_error *error);

/* ---- Events ----------------------------------------------------------------------------------------------------------------
   See MEASUREMENTS AND EVENTS above. The functions may be called from any thread. */

/* What happened. New kinds may be added. Since 1.0. */
typedef enum pgcache_event_kind {
  PGCACHE_EVENT_OPERATION = 1, /* an operation ended, [rule:measured] */
  PGCACHE_EVENT_SLOW = 2,      /* it took `slow_ms` or longer: comes beside the one before, with a log of level WARNING */
  PGCACHE_EVENT_STATE = 3,     /* something is in another state now: outcome says in which */
  PGCACHE_EVENT_LOG = 4        /* words for a log */
} pgcache_event_kind;

/* How grave an event is. Since 1.0. */
typedef enum pgcache_level {
  PGCACHE_LEVEL_DEBUG = 1,
  PGCACHE_LEVEL_INFO = 2,
  PGCACHE_LEVEL_WARNING = 3,
  PGCACHE_LEVEL_ERROR = 4
} pgcache_level;

/* An event. Texts are never NULL; what is not known is "", 0 or -1. Since 1.0. */
typedef struct pgcache_event {
  size_t struct_size;         /* sizeof(pgcache_event) of the library */
  pgcache_event_kind kind;
  pgcache_level level;
  const char *operation;      /* "get", "put" and so on; of a state what it is of: "breaker", "listener", "janitor" */
  const char *outcome;        /* [rule:outcomes]; of a state: breaker "closed", "open", "half-open"; listener "connected", "lost", "off"; janitor
                                 "started", "walked", "failed", "stopped" */
  const char *source;         /* "near", "store" */
  const char *namespace_name;
  const char *span_name;      /* of the options */
  const char *message;        /* of an error, or of a log: one line */
  const char *sqlstate;
  pgcache_status status;
  const void *key;            /* of an operation on one key, for those who asked for keys; else NULL */
  size_t key_len;
  size_t key_count;           /* how many keys it was on */
  int64_t bytes;              /* of the values that were read or written, as stored; -1: not known */
  int64_t number;             /* entries: of many keys the hits; flush, cleanup, walked: how many were removed */
  int64_t began_us;           /* when it began, in microseconds since 1970-01-01 UTC, by the process's clock */
  int64_t duration_ns;        /* 0 at the begin */
} pgcache_event;

/* What an observer or a provider is told of: flags. Since 1.0. */
#define PGCACHE_OBSERVE_OPERATIONS 1u
#define PGCACHE_OBSERVE_SLOW 2u
#define PGCACHE_OBSERVE_STATES 4u
#define PGCACHE_OBSERVE_LOG 8u
#define PGCACHE_OBSERVE_KEYS 16u /* and events hold keys */

typedef struct pgcache_observer pgcache_observer;

/* Makes an observer, which from now on gets the handle's events. While there is one for operations, each operation costs a copy of its
   event, and near hits the price of a call. Of operations that are under way now it may be told or not. Up to 8 providers and
   observers at once.
   Out: out, owned by the caller, to be given to pgcache_observer_free() before the handle is freed.
   In: what, PGCACHE_OBSERVE_ flags; level, of a log the least that counts; room, 1 to PGCACHE_OBSERVER_ROOM_MAX events.
   Returns PGCACHE_OK, PGCACHE_INVALID, PGCACHE_QUEUE_FULL (there are 8), PGCACHE_NO_MEMORY, PGCACHE_CLOSED. Since 1.0. */
PGCACHE_API pgcache_status pgcache_observe(pgcache *self, pgcache_observer **out, uint32_t what, pgcache_level level, size_t room,
                                           pgcache_error *error);

/* Takes the oldest event. Any thread.
   Out: out, owned by the caller, to be given to pgcache_event_free(); with copies of all that it points to.
   In: wait_ms, how long to wait for one, 0: not at all.
   Returns PGCACHE_OK, PGCACHE_MISS (there was none in time), PGCACHE_CLOSED (there is none, and the handle was shut down),
   PGCACHE_INVALID. Since 1.0. */
PGCACHE_API pgcache_status pgcache_observer_next(pgcache_observer *self, pgcache_event **out, int64_t wait_ms, pgcache_error *error);

/* How many events did not fit, or found no memory. NULL: 0. Since 1.0. */
PGCACHE_API int64_t pgcache_observer_dropped(const pgcache_observer *self);

/* Frees an observer with all events that nobody took; nobody may wait in pgcache_observer_next(). NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_observer_free(pgcache_observer *self);

/* Frees an event that an observer gave. NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_event_free(pgcache_event *event);

/* ---- Requests ---------------------------------------------------------------------------------------------------------------
   See REQUESTS above. All of these may be called from any thread. */

/* A readable descriptor, see [rule:fd]. Out: fd, the same one until the handle is freed, which closes it.
   Returns PGCACHE_OK, PGCACHE_INVALID, PGCACHE_NO_MEMORY (memory, threads or descriptors), PGCACHE_UNSUPPORTED (the handle
   works on the application's connections). Since 1.0. */
PGCACHE_API pgcache_status pgcache_event_fd(pgcache *self, int *fd, pgcache_error *error);

/* Each of the following submits the operation of its name, see [rule:submit].
   Out: id (optional). In: as the operation. options: deadline_ms counts from the submission; token; callback.
   Returns PGCACHE_OK (submitted), PGCACHE_QUEUE_FULL, PGCACHE_CLOSED, PGCACHE_NO_MEMORY (memory, threads or descriptors),
   PGCACHE_UNSUPPORTED (also: the handle works on the application's connections), PGCACHE_INVALID, PGCACHE_TOO_LARGE, and
   pgcache_submit_increment() PGCACHE_OVERFLOW. Each says what its completion holds beside the status. */

/* Completion: value 0. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_get(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                              const pgcache_options *options, pgcache_error *error);

/* Completion: the status alone. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_exists(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                                 const pgcache_options *options, pgcache_error *error);

/* Completion: version. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_put(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                              const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                                              const pgcache_options *options, pgcache_error *error);

/* Completion: version. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_add(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                              const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                                              const pgcache_options *options, pgcache_error *error);

/* Completion: version. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_replace(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                                  const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                                                  const pgcache_options *options, pgcache_error *error);

/* Completion: version. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_compare_and_swap(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                                           const void *value, size_t value_len, int32_t format,
                                                           int64_t ttl_ms, int64_t expected,
                                                           const pgcache_options *options, pgcache_error *error);

/* Completion: the status alone. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_remove(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                                 const pgcache_options *options, pgcache_error *error);

/* Completion: version. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_touch(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                                int64_t ttl_ms, const pgcache_options *options,
                                                pgcache_error *error);

/* Completion: number: the counter; version. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_increment(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                                    int64_t delta, int64_t initial, int64_t ttl_ms,
                                                    const pgcache_options *options, pgcache_error *error);

/* The multi-key ones take an array as [rule:batch]; its elements, of which nothing is written, may go after the call. */

/* Completion: items. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_get_many(pgcache *self, uint64_t *id, const pgcache_item *items, size_t count,
                                                   const pgcache_options *options, pgcache_error *error);

/* Completion: items. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_put_many(pgcache *self, uint64_t *id, const pgcache_item *items, size_t count,
                                                   const pgcache_options *options, pgcache_error *error);

/* Completion: items. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_remove_many(pgcache *self, uint64_t *id, const pgcache_item *items,
                                                      size_t count, const pgcache_options *options,
                                                      pgcache_error *error);

/* Loads. */

/* Completion: value 0 and load, as pgcache_load_begin(). Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_load_begin(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                                     const pgcache_load_options *how, const pgcache_options *options,
                                                     pgcache_error *error);

/* The load ends with the submission, unless that is refused. Completion: version. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_load_fill(pgcache_load *load, uint64_t *id, const void *value, size_t value_len,
                                                    int32_t format, const pgcache_options *options, pgcache_error *error);

/* The same for pgcache_load_fill_absent(). Completion: version. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_load_fill_absent(pgcache_load *load, uint64_t *id,
                                                           const pgcache_options *options, pgcache_error *error);

/* The same for pgcache_load_fail(). Completion: value 0, what may stand in. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_load_fail(pgcache_load *load, uint64_t *id, const pgcache_options *options,
                                                    pgcache_error *error);

/* The same for pgcache_load_abandon(). Completion: the status alone. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_load_abandon(pgcache_load *load, uint64_t *id, const pgcache_options *options,
                                                       pgcache_error *error);

/* Makes the lease last for lease_ms from now. The load goes on, and may end before the completion is there; after one that says
   PGCACHE_REFUSED its fill will be refused, too. Completion: the status alone. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_load_extend(pgcache_load *load, uint64_t *id, int64_t lease_ms,
                                                      const pgcache_options *options, pgcache_error *error);

/* Completion: the status alone. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_invalidate(pgcache *self, uint64_t *id, const pgcache_dependency *what,
                                                     size_t count, const pgcache_options *options, pgcache_error *error);

/* Those on the cache as a whole. */

/* Completion: the status alone. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_init(pgcache *self, uint64_t *id, const pgcache_options *options,
                                               pgcache_error *error);

/* Completion: the status alone. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_upgrade(pgcache *self, uint64_t *id, const pgcache_options *options,
                                                  pgcache_error *error);

/* Completion: number: rows removed. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_flush(pgcache *self, uint64_t *id, pgcache_flush_scope scope,
                                                const pgcache_options *options, pgcache_error *error);

/* Completion: number: expired rows removed. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_cleanup(pgcache *self, uint64_t *id, const pgcache_options *options,
                                                  pgcache_error *error);

/* Completion: progress. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_cleanup_some(pgcache *self, uint64_t *id,
                                                       const pgcache_cleanup_progress *progress, int64_t budget_ms,
                                                       const pgcache_options *options, pgcache_error *error);

/* Completion: the status alone. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_set_limits(pgcache *self, uint64_t *id, pgcache_limit_scope scope,
                                                     int64_t max_entries, int64_t max_bytes,
                                                     const pgcache_options *options, pgcache_error *error);

/* Completion: usage, of up to limit namespaces. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_read_usage(pgcache *self, uint64_t *id, size_t limit, const char *after,
                                                     const pgcache_options *options, pgcache_error *error);

/* Completion: stats. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_stats(pgcache *self, uint64_t *id, const pgcache_options *options,
                                                pgcache_error *error);

/* Completion: value 0: the report. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_doctor(pgcache *self, uint64_t *id, const pgcache_options *options,
                                                 pgcache_error *error);

/* Completion: values: up to limit keys. Since 1.0. */
PGCACHE_API pgcache_status pgcache_submit_keys(pgcache *self, uint64_t *id, size_t limit, const void *prefix,
                                               size_t prefix_len, const void *after, size_t after_len,
                                               const pgcache_options *options, pgcache_error *error);

/* Gives up a request, see [rule:late]: its completion comes at once, if it has not come already.
   Returns PGCACHE_OK, PGCACHE_MISS (there is no such request any more, or it is complete), PGCACHE_INVALID. Since 1.0. */
PGCACHE_API pgcache_status pgcache_cancel(pgcache *self, uint64_t id, pgcache_error *error);

/* What became of a request: immutable; one owner at a time. It outlives the handle. Since 1.0. */
typedef struct pgcache_completion pgcache_completion;

/* Takes the completion that came first among those that wait; one with a callback waits for pgcache_dispatch(), and one whose
   id another thread waits for is that thread's. Never waits; also after a shutdown, until all are taken.
   Out: out, owned by the caller, to be given to pgcache_completion_free(); NULL unless PGCACHE_OK.
   Returns PGCACHE_OK, PGCACHE_MISS (none), PGCACHE_INVALID. Since 1.0. */
PGCACHE_API pgcache_status pgcache_take(pgcache *self, pgcache_completion **out, pgcache_error *error);

/* Waits for the completion of one request and takes it; also after a shutdown. One thread at a time may wait for an id.
   Out: out, as pgcache_take(). In: id; timeout_ms, >= 0, or PGCACHE_DEADLINE_DEFAULT: until it comes, which the request's
   own deadline bounds.
   Returns PGCACHE_OK, PGCACHE_TIMEOUT (not yet; the request goes on), PGCACHE_MISS (there is no such request, its completion
   was taken, has a callback, or another thread waits for it), PGCACHE_INVALID. Since 1.0. */
PGCACHE_API pgcache_status pgcache_wait(pgcache *self, pgcache_completion **out, uint64_t id, int64_t timeout_ms,
                                        pgcache_error *error);

/* Calls the callbacks of completions that wait, one after the other on this thread, and waits for the first one if there
   is none. Callbacks run in here alone. It ends when none waits any more, or after 1,000, so that a loop gets its turn.
   Out: count (optional), how many were called. In: timeout_ms, >= 0: how long to wait for the first one.
   Returns PGCACHE_OK (also for none), PGCACHE_CLOSED (the handle was shut down, and none will come), PGCACHE_INVALID.
   Since 1.0. */
PGCACHE_API pgcache_status pgcache_dispatch(pgcache *self, size_t *count, int64_t timeout_ms, pgcache_error *error);

/* The request's id. NULL gives 0. Since 1.0. */
PGCACHE_API uint64_t pgcache_completion_id(const pgcache_completion *completion);

/* The token of its options. NULL gives 0. Since 1.0. */
PGCACHE_API uint64_t pgcache_completion_token(const pgcache_completion *completion);

/* Its status. NULL gives PGCACHE_INVALID. Since 1.0. */
PGCACHE_API pgcache_status pgcache_completion_status(const pgcache_completion *completion);

/* Of a failed one, as in pgcache_error: the server's code. "" where there is none. Valid as long as the completion, like all
   that the following functions give. Since 1.0. */
PGCACHE_API const char *pgcache_completion_sqlstate(const pgcache_completion *completion);

/* Of a failed one: one line of text. Otherwise "". Since 1.0. */
PGCACHE_API const char *pgcache_completion_message(const pgcache_completion *completion);

/* The entry's new version; 0 where there is none. Since 1.0. */
PGCACHE_API int64_t pgcache_completion_version(const pgcache_completion *completion);

/* increment: the counter; flush, cleanup: the rows removed, also after an error; otherwise 0. Since 1.0. */
PGCACHE_API int64_t pgcache_completion_number(const pgcache_completion *completion);

/* How many items, values (keys: the keys) or namespaces (read_usage) it holds. Since 1.0. */
PGCACHE_API size_t pgcache_completion_count(const pgcache_completion *completion);

/* The value number index, from 0; NULL where there is none: of get and doctor 0; of keys and get_many each below the count.
   It is the completion's: pgcache_value_retain() makes it last longer. Since 1.0. */
PGCACHE_API pgcache_value *pgcache_completion_value(const pgcache_completion *completion, size_t index);

/* The load of a load_begin that gives a lease: from the first call on it is the caller's, to be given to
   pgcache_load_free(), and later calls give NULL; one that nobody asked for is abandoned when the completion is freed. NULL where
   there is none. Since 1.0. */
PGCACHE_API pgcache_load *pgcache_completion_load(pgcache_completion *completion);

/* The item number index of a multi-key request, in the order of the submission, with its outputs set; its key and value
   (of put_many NULL) are copies. NULL where there is none. Since 1.0. */
PGCACHE_API const pgcache_item *pgcache_completion_item(const pgcache_completion *completion, size_t index);

/* What stats gives; NULL where there is none. Since 1.0. */
PGCACHE_API const pgcache_store_stats *pgcache_completion_stats(const pgcache_completion *completion);

/* The namespace number index that read_usage gives; NULL where there is none. Since 1.0. */
PGCACHE_API const pgcache_usage *pgcache_completion_usage(const pgcache_completion *completion, size_t index);

/* What cleanup_some gives, also after an error; NULL of any other request, and of one that was cancelled while it ran.
   Since 1.0. */
PGCACHE_API const pgcache_cleanup_progress *pgcache_completion_progress(const pgcache_completion *completion);

/* Frees a completion with all that it holds. NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_completion_free(pgcache_completion *completion);

#ifdef __cplusplus
}
#endif

#endif /* PGCACHE_H */
