/*
 * pg_channel_inside.h - what pg_channel.c (sending) and pg_channel_answers.c share. Nobody else includes it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_CHANNEL_INSIDE_H
#define PGC_STORE_PG_CHANNEL_INSIDE_H

#include "store/pg_channel.h"

/* pgc_sent.marks */
enum {
  PGC_SENT_PREPARES = 1,   /* before its answer comes that to its statement's preparation, with a sync */
  PGC_SENT_SETS = 2,       /* before its answer comes that to local_settings.sql */
  PGC_SENT_ENDS = 4,       /* after its answer comes a sync */
  PGC_SENT_KEPT_BACK = 8,  /* it was not sent: there is no answer, and its delivery is known */
  PGC_SENT_JUDGED = 16,    /* nothing was changed, whatever becomes of the connection: its delivery is known */
  PGC_SENT_UNPREPARED = 32 /* its statement's preparation met a lock: an error is all that can come */
};

/* What comes next. */
typedef enum pgc_next {
  PGC_NEXT_PREPARED,
  PGC_NEXT_PREPARED_SYNC,
  PGC_NEXT_SETTINGS,
  PGC_NEXT_ANSWER,
  PGC_NEXT_END,
  PGC_NEXT_SYNC
} pgc_next;

typedef struct pgc_sent_list {
  pgc_sent *first, *last;
} pgc_sent_list;

static inline void pgc_sent_append(pgc_sent_list *to, pgc_sent *sent) {
  sent->next = NULL;
  if (to->last != NULL)
    to->last->next = sent;
  else
    to->first = sent;
  to->last = sent;
}

static inline pgc_sent *pgc_sent_take_first(pgc_sent_list *from) {
  pgc_sent *first = from->first;
  if (first != NULL)
    from->first = first->next;
  if (from->first == NULL)
    from->last = NULL;
  return first;
}

typedef struct pgc_pg_channel {
  pgc_channel base;
  pgc_session session;
  pgc_channel_place place;
  pgc_sent_list under_way, done;
  pgc_sent *reading; /* under way: whose answer comes next, or came last; NULL: none was sent */
  pgc_next next;
  pgc_sent *open;        /* the last read of the group that has no sync yet; NULL: there is no such group */
  int64_t open_since_us; /* on pgc_now_us()'s clock */
  size_t groups;         /* that have their sync and are not answered */
  bool full;             /* the socket did not take all */
  bool ending;           /* nothing more is sent, no sync either; broken as soon as those on their way are there */
  bool broken;
} pgc_pg_channel;

/* The session is about this operation from now on. */
pgc_session *pgc_channel_about(pgc_pg_channel *self, pgc_sent *sent);

/* Its status and delivery; outputs of a failure are dropped. */
void pgc_channel_settle(pgc_sent *sent, pgcache_status status, pgc_delivery delivery);

/* What was not sent needs no answer, only its turn: it is done if nothing is under way before it. */
void pgc_channel_pass_kept_back(pgc_pg_channel *self);

/* The next answer is that of the first operation from here on that was sent; NULL: of none. */
void pgc_channel_begin_reading(pgc_pg_channel *self, pgc_sent *sent);

/* Takes what libpq has, without waiting. */
void pgc_channel_take_answers(pgc_pg_channel *self);

/* The connection is of no use any more, in the middle of something. sqlstate: NULL, or what the server said. */
void pgc_channel_break_off(pgc_pg_channel *self, pgc_reply_kind how, const char *sqlstate);

/* The connection is gone; what it had brought is still good. */
void pgc_channel_lose(pgc_pg_channel *self);

/* Breaks it off if it is ending and no answer counts any more. */
void pgc_channel_break_if_ended(pgc_pg_channel *self);

#endif
