/*
 * pgcache_hooks.h - what only C and C++ can use: handles on the application's own PostgreSQL connections instead of a pool
 * (they refuse requests, PGCACHE_UNSUPPORTED), callbacks for the completions of requests, loaders, and providers of
 * instrumentation.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 *
 * For C and C++; language bindings have no use for it. `struct pg_conn` is libpq's PGconn; <libpq-fe.h> is not needed here.
 *
 *   [rule:found]    A connection is given back as it was found, also after an error: session settings, prepared
 *                   statements, transaction status, blocking mode, pipeline mode, notice receiver, client_encoding.
 *                   What does change: PQerrorMessage(), the unnamed prepared statement and portal (as with PQexec()), and
 *                   inside of a transaction, until it ends, pg_settings.source of search_path, statement_timeout and
 *                   synchronous_commit.
 *                   Event procedures and notice receivers see what the library does.
 *   [rule:outside]  Outside of a transaction each statement is a transaction of its own.
 *   [rule:inside]   Inside of a transaction of the application an operation runs inside of a savepoint named pgcache,
 *                   which takes one more round trip to end. An operation that fails leaves the transaction in use. Writes
 *                   become visible to others when the transaction commits, and never if it does not; until then their
 *                   entries are locked against other writers, so keep such transactions short, and write keys in one
 *                   order or be ready for PGCACHE_CONFLICT (a deadlock). Nothing is repeated in there: a serialization
 *                   failure is PGCACHE_CONFLICT, and repeating the transaction is the application's business.
 *                   A lease that was got in there is such a write: until the transaction ends others who ask for it wait at
 *                   the server, up to their deadlines (PGCACHE_TIMEOUT).
 *                   A lost answer is not PGCACHE_UNKNOWN there: the transaction is lost with all of its writes.
 *                   Not possible inside: pgcache_init() and pgcache_upgrade() (PGCACHE_INVALID), and the first write after
 *                   a crash of the server emptied the unlogged tables (PGCACHE_CONFLICT until one is made outside).
 *   [rule:limit]    The server ends a statement shortly before the call's deadline, or at the session's statement_timeout
 *                   if that is shorter (PGCACHE_TIMEOUT; the connection and the transaction live on). If no answer
 *                   comes by the deadline all the same, the exchange cannot be ended in an orderly way, and the connection
 *                   is broken off: PQstatus() is CONNECTION_BAD, the server rolls the transaction back, nothing more is
 *                   sent; PQreset() or PQfinish() it. It may take 100 ms beyond the deadline to leave a session as found.
 *   [rule:refused]  Refused untouched: a connection that is NULL, busy (a statement, COPY, results not yet read), in
 *                   pipeline mode or in a failed transaction (PGCACHE_INVALID), broken (PGCACHE_UNAVAILABLE), of a server
 *                   before PostgreSQL 15 (PGCACHE_SERVER_TOO_OLD).
 *   [rule:unused]   The settings prepared, url, publish_ms and those of pool and breaker have no effect, but for the url `null:`,
 *                   which makes a handle that stores nothing and never asks for a connection. pool_open and pool_idle of
 *                   pgcache_stats() and the counters of connections are 0.
 *   pgcache_janitor_start() refuses a handle of pgcache_new_on_connection() (PGCACHE_INVALID): its thread would use the
 *   connection at any time.
 *   pgcache_shutdown() wakes calls that wait for a connection; one that has it ends with its answer or its deadline.
 */
#ifndef PGCACHE_HOOKS_H
#define PGCACHE_HOOKS_H

#include "pgcache.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pg_conn;

/* Makes a handle that works on one connection of the application, also inside of its transactions.
   The connection stays the application's: it must outlive the handle or the last call on it, is never closed here, and may
   be used for other things between two calls, not during one. One call has it at a time; another one, from another
   thread, waits for it up to its own deadline. After fork() the child's calls give PGCACHE_CLOSED: the connection is the
   parent's.
   In: config, copied; connection. Out: out, owned by the caller, to be given to pgcache_free(). Does no input or output.
   Returns PGCACHE_OK, PGCACHE_INVALID, PGCACHE_BAD_SETTING (settings contradict each other), PGCACHE_NO_MEMORY.
   Since 1.0. */
PGCACHE_API pgcache_status pgcache_new_on_connection(pgcache **out, const pgcache_config *config,
                                                     struct pg_conn *connection, pgcache_error *error);

/* How a handle gets connections from the application and gives them back. Both may be called by any thread that calls the
   handle and by threads of the library (a janitor's, the loaders of pgcache_get_or_load()), several at once, and in a forked
   child: so they must not depend on what belongs to one thread. Neither may call the handle. Since 1.0. */
typedef struct pgcache_connection_hooks {
  size_t struct_size; /* sizeof(pgcache_connection_hooks) */
  /* Lends a connection that nobody else uses until it is released. deadline_ms: what is left of the call's time; the hook
     itself must keep to it. Returns PGCACHE_OK and sets *connection, or an error, which the call then returns, with its
     message in error. Needed. */
  pgcache_status (*acquire)(void *context, int64_t deadline_ms, struct pg_conn **connection, pgcache_error *error);
  /* Takes a connection back: once for each that acquire() gave. sound is 1 if it is as it was lent, refused or not; 0 if
     it is broken (PQstatus() is CONNECTION_BAD), to be closed or reset. Needed. */
  void (*release)(void *context, struct pg_conn *connection, int sound);
  void *context; /* the hooks' first argument */
} pgcache_connection_hooks;

#define PGCACHE_CONNECTION_HOOKS_INIT { sizeof(pgcache_connection_hooks), NULL, NULL, NULL }

/* Makes a handle that works on the connections that the hooks lend, one for each attempt of each operation.
   In: config, copied; hooks, copied; their context must outlive the handle. Out: out, owned by the caller, to be given to
   pgcache_free(). Does no input or output, and calls no hook.
   Returns PGCACHE_OK, PGCACHE_INVALID (also: a hook is NULL), PGCACHE_BAD_SETTING (settings contradict each other),
   PGCACHE_NO_MEMORY. Since 1.0. */
PGCACHE_API pgcache_status pgcache_new_with_hooks(pgcache **out, const pgcache_config *config,
                                                  const pgcache_connection_hooks *hooks, pgcache_error *error);

/* What is to be called with a request's completion: options.callback points to one. pgcache_dispatch() calls it, on the
   thread that called that, exactly once; the engine's thread calls nothing of the caller's. Since 1.0. */
typedef struct pgcache_callback {
  size_t struct_size; /* sizeof(pgcache_callback) */
  /* completion: valid until the function returns, which must not free it; pgcache_value_retain() makes values last. It may
     call any function of the handle but pgcache_free(). Needed. */
  void (*call)(void *userdata, const pgcache_completion *completion);
  void *userdata; /* the first argument; must live until the call, or until pgcache_free() */
} pgcache_callback;

#define PGCACHE_CALLBACK_INIT { sizeof(pgcache_callback), NULL, NULL }

/* How a value is computed. Since 1.0. */
typedef struct pgcache_loader {
  size_t struct_size; /* sizeof(pgcache_loader) */
  /* Ends the load, mostly with pgcache_load_fill(), and returns what that returned; or returns an error, with a message if there
     is one, and the load counts as failed. It may use the handle, but not free load. Called by the thread that called
     pgcache_get_or_load(), or, where that may return earlier, by a thread of the library, one of `load_threads`. Needed. */
  pgcache_status (*load)(void *context, pgcache_load *load, pgcache_error *error);
  /* Called once for each pgcache_get_or_load(), when load() will not be called for it any more; may be NULL. */
  void (*release)(void *context);
  void *context; /* the first argument of both; must live until release() is called */
} pgcache_loader;

#define PGCACHE_LOADER_INIT { sizeof(pgcache_loader), NULL, NULL, NULL }

/* Reads an entry, and has it loaded if it is missing or stale: pgcache_load_begin(), the loader, and pgcache_load_fail() if that
   fails. What is to be refreshed in the background (STALE, or early_percent) is loaded by a thread of the library, also when the
   caller is gone; so is what may take longer than wait_ms while something stale could stand in.
   (On connections that hooks lend that is another connection, where nothing is seen of a transaction that is under way on the
   caller's: inside of one the load is for nothing.)
   Out: out, owned by the caller, to be given to pgcache_value_free(); set by PGCACHE_OK and PGCACHE_STALE.
   In: key; how; loader, copied.
   Returns PGCACHE_OK (fresh, or just loaded), PGCACHE_STALE, PGCACHE_MISS (there is no value), PGCACHE_BUSY, what the loader
   failed with if nothing stale may stand in, or as pgcache_load_begin(). A value that was loaded but could not be stored,
   whatever the reason, is given all the same. Since 1.0. */
PGCACHE_API pgcache_status pgcache_get_or_load(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                                               const pgcache_load_options *how, const pgcache_loader *loader,
                                               const pgcache_options *options, pgcache_error *error);

/* Invalidates on a connection of the application, inside of the transaction that is under way there, if there is one: with its
   commit all entries that depend on these keys and tags end, and after a rollback (also to a savepoint before the call) nothing
   has happened. [rule:found], [rule:refused] and [rule:limit] hold; nothing is sent that would end the transaction. The near cache of this handle
   hears of it with the commit, as all others do.
   In: connection, not in use by anybody else; what, count as pgcache_invalidate(); schema, namespace and digests are the handle's, whose own
   connections are not used.
   Returns as pgcache_invalidate(); after an error inside of a transaction that goes on as before. Since 1.0. */
PGCACHE_API pgcache_status pgcache_invalidate_on(pgcache *self, struct pg_conn *connection, const pgcache_dependency *what,
                                                 size_t count, const pgcache_options *options, pgcache_error *error);

/* Instrumentation of the application's own: a span for each operation, words for its log, whatever it likes. Functions that are NULL
   cost nothing.
   begin() and end() are called by the thread that makes the call; for a request begin() by the thread that submits it, end() by the
   thread that takes or dispatches its completion or, if nobody does, that frees the handle. told() may also be called by threads
   of the library, several at once, and by forked children. No function may wait long: it is the caller's time, or that of all requests;
   where told() is called by a thread of the library it must not wait for a request, a fence or the end of a janitor. All may call
   the handle, but not free it; what they call, on whatever handle, is measured, and no provider or observer is told of it, but for
   states and logs that observers are told of. The events, and what they point to, are valid until the function returns.
   instrumentation/spans is an example. Since 1.0. */
typedef struct pgcache_provider {
  size_t struct_size; /* sizeof(pgcache_provider) */
  uint32_t what;      /* PGCACHE_OBSERVE_ flags: what told() is called for, and _KEYS: all events hold keys */
  pgcache_level level; /* the least that told() is told of a log */
  /* An operation begins, [rule:measured]; of the event the operation, namespace, span name, keys and began_us are known. What it
     returns end() is given. */
  void *(*begin)(void *context, const pgcache_event *event);
  /* The operation ended. Once for each begin(), but in a forked child, where requests of the parent do not end. */
  void (*end)(void *context, void *begun, const pgcache_event *event);
  /* An event, see `what`. An operation that only the near cache was asked for is told of like any other. */
  void (*told)(void *context, const pgcache_event *event);
  /* The handle was freed: nothing of the provider is called any more. */
  void (*release)(void *context);
  void *context; /* the first argument of all */
} pgcache_provider;

#define PGCACHE_PROVIDER_INIT { sizeof(pgcache_provider), 0, PGCACHE_LEVEL_WARNING, NULL, NULL, NULL, NULL, NULL }

/* Adds a provider, until the handle is freed. begin() and end() are called for operations that begin from now on; told() may or
   may not be for those that are under way. Up to 8 providers and observers at once.
   In: provider, copied; its functions and context must live until release() was called.
   Returns PGCACHE_OK, PGCACHE_INVALID (also: none of its functions would ever be called), PGCACHE_QUEUE_FULL (there are 8),
   PGCACHE_NO_MEMORY, PGCACHE_CLOSED. Since 1.0. */
PGCACHE_API pgcache_status pgcache_add_provider(pgcache *self, const pgcache_provider *provider, pgcache_error *error);

#ifdef __cplusplus
}
#endif

#endif /* PGCACHE_HOOKS_H */
