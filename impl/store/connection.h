/*
 * connection.h - one connection to PostgreSQL: sends a statement and waits for its answer until a deadline. Knows exactly
 * whether a statement can have been executed when its answer did not come. One thread at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_CONNECTION_H
#define PGC_STORE_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/buffer.h"
#include "platform/clock.h"
#include "pure/sql_text.h"
#include "store/statements.h"

/* What may be left on the session between two statements. */
typedef enum pgc_connection_mode {
  PGC_MODE_PREPARED,   /* ours: prepared statements, and the settings of session.sql */
  PGC_MODE_UNPREPARED, /* a pooler's or the application's: nothing. Each statement is sent whole, with what it needs */
  PGC_MODE_NESTED      /* the application's, in an open transaction: the same inside of a savepoint */
} pgc_connection_mode;

typedef struct pgc_connection {
  PGconn *pg;
  pgc_connection_mode mode;
  bool borrowed;               /* pg is the application's: it is not closed with the connection */
  bool was_blocking;           /* borrowed: it is to be blocking again */
  bool unusable;               /* an exchange did not end: what comes next would be taken for its answer */
  bool entered;                /* NESTED: the savepoint was sent */
  PGresult *before;            /* NESTED: the session's settings as they were found; see local_settings.sql */
  uint64_t prepared;           /* a bit for each pgc_statement_id */
  bool checked;                /* the schema was looked at and is ours, */
  pgc_access access;           /* this is how we may work with it, */
  bool keyed_digests;          /* and this is noted for the handle's namespace */
  bool scans_allowed;          /* see allow_scans.sql */
  bool impatient;              /* its statements wait for locks only for a moment */
  bool doomed;                 /* the server has said that it will close the connection */
  int slot;                    /* the pool's */
  int64_t idle_since_us;       /* the pool's; on pgc_monotonic_us()'s clock */
  int64_t ends_at_us;          /* the pool's: when its lifetime is over */
  struct pgc_connection *next; /* the pool's */
} pgc_connection;

/* How an exchange with the server ended. */
typedef enum pgc_reply_kind {
  PGC_REPLY_RESULT,  /* the server did it, committed, and is ready again */
  PGC_REPLY_ERROR,   /* the server refused it: nothing was changed, and it is ready again */
  PGC_REPLY_LOST,    /* the connection broke */
  PGC_REPLY_TIMEOUT, /* the deadline passed; the connection is in the middle of something */
  PGC_REPLY_NO_MEMORY
} pgc_reply_kind;

typedef struct pgc_reply {
  pgc_reply_kind kind;
  bool sent;        /* LOST, TIMEOUT: the whole statement has left, or may have: the server may have executed it */
  PGresult *result; /* RESULT, ERROR; also LOST when the server said why. To be given to PQclear() */
  char sqlstate[6]; /* ERROR, LOST; "" when not known */
} pgc_reply;

/* Takes an open PGconn, which is closed with the connection. NULL (and pg is closed) when out of memory. */
pgc_connection *pgc_connection_new(PGconn *pg);
void pgc_connection_free(pgc_connection *self);
void pgc_connections_free(pgc_connection *first); /* a list, by `next` */

/* Takes an idle PGconn of the application for one operation. NULL (and pg is as it was) when out of memory. */
pgc_connection *pgc_connection_borrow(PGconn *pg);

/* After an operation on a borrowed connection: ends what it began on the session, keeping what it wrote or not. RESULT,
   or why that was not possible: the connection is then unusable, or what was to be kept is not. */
pgc_reply pgc_connection_leave(pgc_connection *self, bool keep, pgc_deadline deadline);

/* Gives a borrowed connection back. True if it is as it came; else it is broken: libpq knows it as CONNECTION_BAD, nothing
   that was queued will be sent, and the server ends its transaction. */
bool pgc_connection_give_back(pgc_connection *self);

/* Executes a statement; in mode PREPARED as a prepared one, preparing it if this connection has not yet.
   schema, kind: see pure/sql_text.h. */
pgc_reply pgc_connection_execute(pgc_connection *self, pgc_statement_id id, const pgc_parameters *parameters,
                                 const char *schema, pgc_schema_kind kind, pgc_deadline deadline);

/* Lets the planner read whole tables in order, or forbids it again. A RESULT reply is spent. */
pgc_reply pgc_connection_allow_scans(pgc_connection *self, bool allowed, pgc_deadline deadline);

/* On a channel nobody waits for a lock longer than PGC_LOCK_MS (SQLSTATE 55P03), because all that was sent behind would wait,
   too. The next statement that is executed outside of one takes that back. In mode PREPARED. */
#define PGC_LOCK_MS 100
pgc_reply pgc_connection_make_impatient(pgc_connection *self, bool impatient, pgc_deadline deadline);

/* For a pipeline: the text of a statement with its NUL, in an empty buffer; false, and an empty buffer, when out of memory.
   And local_settings.sql, which goes before each unprepared statement, into libpq's queue; false if libpq refused it.
   impatient: see above. */
bool pgc_connection_text(const pgc_connection *self, pgc_buffer *out, pgc_statement_id id, const char *schema,
                         pgc_schema_kind kind);
bool pgc_connection_queue_settings(pgc_connection *self, bool impatient, pgc_deadline deadline);

/* Runs SQL text as it stands; several statements are one transaction. The result is the last one's. */
pgc_reply pgc_connection_run(pgc_connection *self, const char *sql, pgc_deadline deadline);

/* Runs one statement of session settings with one text parameter. */
pgc_reply pgc_connection_run_with(pgc_connection *self, const char *sql, const char *parameter, pgc_deadline deadline);

/* False if the server has closed the connection while nobody used it. Asks the socket only, never the server. */
bool pgc_connection_alive(pgc_connection *self);

/* Behind a statement in the application's transaction: whether that is at REPEATABLE READ or SERIALIZABLE, where each statement
   sees what there was at its beginning. */
bool pgc_connection_has_old_snapshot(const pgc_connection *self);

#endif
