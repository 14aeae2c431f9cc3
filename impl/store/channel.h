/*
 * channel.h - a connection to the store on which many operations are under way at once: the engine sends them and takes
 * their answers, which come in the order of sending. It never waits; the engine polls its descriptor. One thread at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_CHANNEL_H
#define PGC_STORE_CHANNEL_H

#include "store/store.h"

/* What became of an operation that was sent. */
typedef enum pgc_delivery {
  PGC_DELIVERED, /* it has its answer: status, error, and the outputs of op */
  PGC_ASK_ON,    /* nothing was changed, and another statement tells why: to be sent once more */
  PGC_RUN_AGAIN, /* nothing was changed, and run() knows what to do: the channel is for what goes as usual */
  PGC_LOST, /* the connection was lost, and nothing was changed: to be sent again, or to fail with status and error */
  PGC_SEND_AGAIN /* it was not executed for a reason that is not its own: to be sent again, however often that happens */
} pgc_delivery;

/* An operation on its way; the engine's memory, which the channel holds from send() until receive() gives it back. */
typedef struct pgc_sent {
  pgc_op op;             /* of a kind that pgc_op_can_be_sent() */
  pgcache_status status; /* out */
  pgc_delivery delivery; /* out */
  pgcache_error error;   /* out, when status is an error */
  unsigned step;         /* 0 at first; then the channel's: how many of its statements were answered */
  int64_t sent_us;       /* the channel's, and all below: pgc_now_us() before sending */
  uint8_t statement;
  uint8_t marks;
  struct pgc_sent *next;
} pgc_sent;

/* Operations on keys: a statement or two, known beforehand. All others go through run(). */
static inline bool pgc_op_can_be_sent(pgc_op_kind kind) {
  return kind == PGC_OP_GET || kind == PGC_OP_GET_MANY || kind == PGC_OP_EXISTS || kind == PGC_OP_BEGIN_LOAD ||
         (kind >= PGC_OP_PUT && kind <= PGC_OP_INVALIDATE);
}

typedef struct pgc_channel pgc_channel;

struct pgc_channel {
  /* Nothing may be sent before all that was sent before has been received: behind a pooler, which gives its server to
     somebody else after each sync. */
  bool one_by_one;
  /* Queues an operation. Reads that follow each other share a sync; each write ends with one of its own. It is the caller's
     again at once if this gives false: the channel is broken, or memory ran out; nothing of it was sent. */
  bool (*send)(pgc_channel *self, pgc_sent *sent);
  /* Ends what was queued with a sync and pushes out as much as the socket takes. False: the channel is broken. */
  bool (*push)(pgc_channel *self);
  /* Whether there is more to push out than the socket took: poll for POLLOUT, too. */
  bool (*is_full)(const pgc_channel *self);
  /* Reads what has come, without waiting. */
  void (*read)(pgc_channel *self);
  /* The next operation that is done, in the order of sending; NULL: none for now. Of a broken channel all are done: what
     may have been executed is PGC_DELIVERED with PGCACHE_UNKNOWN, the rest PGC_LOST or PGC_SEND_AGAIN. */
  pgc_sent *(*receive)(pgc_channel *self);
  bool (*is_broken)(const pgc_channel *self);
  /* Breaks it off, because it is silent: receive() then gives what is under way. */
  void (*sever)(pgc_channel *self);
  int (*descriptor)(const pgc_channel *self);
  /* Whether others wait for a connection, so that this one should be drained and closed soon. */
  bool (*is_wanted)(const pgc_channel *self);
  /* Gives the connection back; one that is broken is closed. All that was sent has been received. */
  void (*close)(pgc_channel *self);
};

#endif
