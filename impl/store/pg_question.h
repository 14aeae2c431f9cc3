/*
 * pg_question.h - an operation on keys as statements and what their answers mean, without sending anything: whoever has a
 * connection asks, sends, and gives the answer to be understood. A call does that one after the other
 * (pg_operations.c), a channel with many operations at once (pg_channel.c).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_QUESTION_H
#define PGC_STORE_PG_QUESTION_H

#include "platform/buffer.h"
#include "store/pg_session.h"

#define PGC_QUESTION_ARRAYS_MAX 7

/* A statement to be sent. It points into the operation and into itself, so that it stays where it is until it was sent. */
typedef struct pgc_question {
  pgc_statement_id id;
  bool writes; /* a lost answer is PGCACHE_UNKNOWN */
  pgc_parameters parameters;
  int array_count;
  pgc_buffer
      arrays[PGC_QUESTION_ARRAYS_MAX]; /* what the parameters point to that is neither the operation's nor theirs */
} pgc_question;

/* Makes the statement of a step: the first one is 0. op: of a kind that pgc_op_can_be_sent(). Whatever comes of it, the
   question is to be cleared. PGCACHE_OK, PGCACHE_NO_MEMORY. */
pgcache_status pgc_question_ask(pgc_question *self, const pgc_op *op, unsigned step, pgcache_error *error);
void pgc_question_clear(pgc_question *self);

/* Takes an answer, whose columns were counted, into the outputs of op; those that were set before are overwritten. Gives the
   operation's status; or, with *another true, any: then the next step is to be asked and its answer counts. sent_us: see
   pgc_session_entry(). *result: the answer, which the caller clears; NULL when an output has taken it. */
pgcache_status pgc_question_understand(pgc_session *session, pgc_op *op, unsigned step, int64_t sent_us,
                                       PGresult **result, bool *another);

/* What an operation gives when the server has refused its statement with this status; session->error has its words. */
pgcache_status pgc_question_refused(pgc_session *session, const pgc_op *op, pgcache_status status);

/* Adds digests as a parameter, kept in the question; or op's tags, which are NULL where there are none. PGCACHE_OK,
   PGCACHE_NO_MEMORY. */
pgcache_status pgc_question_add_digests(pgc_question *self, const pgc_digest *digests, size_t count,
                                        pgcache_error *error);
pgcache_status pgc_question_add_tags(pgc_question *self, const pgc_op *op, pgcache_error *error);

/* Adds the key itself, which stays hidden behind a keyed digest: NULL. */
void pgc_question_add_key(pgc_parameters *parameters, const pgc_op_key *entry);

/* For pg_question.c: the parts of it that know one key (pg_entries.c), many (pg_batches.c), and loads (pg_loads.c). */
pgcache_status pgc_entry_ask(pgc_question *question, const pgc_op *op, unsigned step, pgcache_error *error);
pgcache_status pgc_load_ask(pgc_question *question, const pgc_op *op, unsigned step, pgcache_error *error);
pgcache_status pgc_load_understand(pgc_session *session, pgc_op *op, unsigned step, int64_t sent_us, PGresult **result,
                                   bool *another);
pgcache_status pgc_entry_understand(pgc_session *session, pgc_op *op, unsigned step, int64_t sent_us, PGresult **result,
                                    bool *another);
pgcache_status pgc_batch_ask(pgc_question *question, const pgc_op *op, pgcache_error *error);
pgcache_status pgc_batch_understand(pgc_session *session, pgc_op *op, int64_t sent_us, PGresult *result);

/* A write found the table `marker` empty. Nothing was written; the store makes a new epoch and comes again. */
pgcache_status pgc_question_no_marker(pgc_session *session);

/* An entry was found: notes how long ago it was used, for the size bounds. column: of accessed_at. */
pgcache_status pgc_question_note_use(pgc_session *session, const PGresult *result, const pgc_row *row, int column,
                                     const pgc_digest *digest);

#endif
