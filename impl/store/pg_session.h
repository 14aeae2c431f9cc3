/*
 * pg_session.h - one attempt of one operation on one connection: executes statements and turns what comes back into
 * statuses, messages, and what to do next.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_SESSION_H
#define PGC_STORE_PG_SESSION_H

#include "store/breaker.h"
#include "store/connection.h"
#include "state/near.h"
#include "state/stamps.h"
#include "store/store.h"

/* How many namespaces a handle remembers to have noted as having keyed digests. */
#define PGC_NOTED_MAX 64

typedef struct pgc_session {
  pgc_connection *connection;
  const char *schema;
  pgc_schema_kind kind;
  int64_t max_value_bytes;
  bool inline_values;
  const char *namespace_name; /* the handle's */
  bool keyed_digests;
  uint64_t *noted;             /* PGC_NOTED_MAX of them, of the handle */
  const pgc_sql_roles *roles;  /* what init is told; never NULL */
  pgc_stamps *stamps;          /* of this process */
  pgc_near *near;              /* whose proofs must be of the server that this connection leads to, or NULL */
  const unsigned char *walker; /* 16 bytes by which the server knows this process among the janitors */
  pgc_deadline deadline;
  bool writes;          /* the statement at hand changes something: a lost answer is PGCACHE_UNKNOWN */
  bool impatient;       /* see pgc_op */
  pgcache_error *error; /* not NULL; filled at every failure */

  bool broken;     /* out: the connection must be closed */
  pgc_fault fault; /* out, after a failure: what it says about the server */
  bool retry;      /* out, after a failure: nothing was changed, and another attempt may succeed */
  bool looked;     /* out: the schema, and what the role may do, were looked at in this attempt */
  bool no_marker;  /* out, after a failure: a new epoch is needed first */
} pgc_session;

/* Executes a statement. PGCACHE_OK and a result to be given to PQclear(), or an error. */
pgcache_status pgc_session_execute(pgc_session *self, pgc_statement_id id, const pgc_parameters *parameters,
                                   PGresult **result);

/* What the end of an exchange means; takes the reply's result. PGCACHE_OK and a result with the columns that the statement
   has, to be given to PQclear(), or an error. */
pgcache_status pgc_session_judge(pgc_session *self, pgc_statement_id id, pgc_reply *reply, PGresult **result);

/* The same of an exchange that did not end well. */
pgcache_status pgc_session_explain(pgc_session *self, pgc_reply *reply);

/* Runs SQL text without parameters, for migrations. result may be NULL. */
pgcache_status pgc_session_run(pgc_session *self, const char *sql, PGresult **result);

/* After an operation with this outcome on the application's connection: leaves the session as it was found, which is when
   what was written inside of its transaction is kept, or not. The outcome, or why it came to nothing after all. */
pgcache_status pgc_session_leave(pgc_session *self, pgcache_status outcome);

/* Inside the application's transaction no epoch is made: its row would stay locked until the end of it, all writers
   waiting, and a version of it could be given out again after a rollback and a crash. */
pgcache_status pgc_session_refuse_epoch(pgc_session *self);

/* Are there no more rows than asked for? To be called before rows are written to the caller's array, whatever LIMIT the
   statement has: who answers need not be the server. PGCACHE_OK, PGCACHE_SCHEMA_CHANGED. */
pgcache_status pgc_session_rows(pgc_session *self, const PGresult *result, size_t limit);

/* The number in a field. PGCACHE_OK, or PGCACHE_SCHEMA_CHANGED if it is not one. */
pgcache_status pgc_session_int8(pgc_session *self, const PGresult *result, int row, int column, int64_t *number);
pgcache_status pgc_session_int4(pgc_session *self, const PGresult *result, int row, int column, int32_t *number);
pgcache_status pgc_session_bool(pgc_session *self, const PGresult *result, int row, int column, bool *truth);

/* Where an entry stands in a result: its first columns, from the value to the flags, and its last two, tags and load_ms. */
typedef struct pgc_row {
  int row, first, tags;
} pgc_row;

/* An entry that was read as key->found and key->tags, which what was there before gives way to. sent_us: pgc_now_us() before the statement was sent; the TTL is counted
   down from there, so that it never ends later here than on the server.
   take: the value may keep the result instead of a copy of its bytes, and *given is then NULL.
   PGCACHE_OK, PGCACHE_TOO_LARGE (more than max_value_bytes), PGCACHE_MISS (op->decode refused it, or it says that there is no value),
   PGCACHE_SCHEMA_CHANGED, PGCACHE_NO_MEMORY. */
pgcache_status pgc_session_entry(pgc_session *self, PGresult **given, const pgc_row *place, bool take, int64_t sent_us,
                                 const pgc_op *op, pgc_op_key *key);

/* A row of keys.sql as a value whose bytes are the key. PGCACHE_OK, PGCACHE_SCHEMA_CHANGED, PGCACHE_NO_MEMORY. */
pgcache_status pgc_session_key(pgc_session *self, PGresult *result, int row, int64_t sent_us, pgcache_value **value);

#endif
