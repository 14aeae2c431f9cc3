/*
 * listener_inside.h - what the files listener*.c share. Nobody else includes it.
 *   listener.c         the interface, for any thread
 *   listener_thread.c  the thread, and the connection that it opens again and again
 *   listener_stream.c  what polls and notifications say, and what follows for the near cache
 *   listener_place.c   whether it listens where the store is
 *   listener_relay.c   being the one that notifies the others
 *   listener_audit.c   comparing entries with the store
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_STORE_LISTENER_INSIDE_H
#define PGC_STORE_LISTENER_INSIDE_H

#include <stdatomic.h>

#include "platform/sync.h"
#include "pure/changes.h"
#include "store/listener.h"
#include "store/pg_session.h"
#include "store/sockets.h"

/* PostgreSQL's longest name of a channel. */
#define PGC_LISTENER_CHANNEL_MAX 63

/* Where this process stands in the change stream; kept from one connection to the next. */
typedef struct pgc_stream {
  pgc_snapshot cursor; /* all that it sees is applied; text "": no such place is known */
  int64_t heard;       /* the position up to which messages say that it is, too */
  bool restricted;     /* such a message may be from somebody who must not hide others' changes: the cursor stays */
  bool has_nonce;
  bool was_left; /* the last connection was given up for its epoch; what the next one finds is right */
  unsigned char nonce[PGC_NONCE_SIZE];
  int64_t proven_us; /* when the last poll that went well was sent; on pgc_now_us()'s clock */
} pgc_stream;

/* The parts of a message that have arrived; `next` 0: none are waited for. */
typedef struct pgc_chain {
  int64_t from;
  uint32_t next, parts;
  pgc_buffer frames;
} pgc_chain;

typedef struct pgc_relay {
  bool leads;
  bool free;          /* the last poll said that nobody leads */
  bool busy;          /* and this: that the queue of notifications fills */
  int64_t published;  /* the position up to which all was sent, or skipped */
  int64_t ask_at_us;  /* when to take or renew the lease; this and the next on pgc_monotonic_us()'s clock */
  int64_t trim_at_us; /* when to trim the stream */
  int64_t active_us;  /* when there were changes last */
  int64_t round_us;   /* how long the last round took */
  unsigned char holder[PGC_DIGEST_SIZE];
  uint32_t dropped; /* for a planted bug */
} pgc_relay;

struct pgc_listener {
  pthread_mutex_t
      mutex; /* guards what stands up to the next comment but the atomics; none is held during input or output */
  pthread_cond_t told; /* something happened that fence() or free() waits for */
  int references;      /* the handle's and the thread's */
  atomic_bool started, closed, leads;
  atomic_int wake_fd;   /* an eventfd that ends the thread's wait; -1: not started */
  bool running;         /* the thread may use near and counters */
  bool connecting;      /* but not now, nor before it has looked at `closed` */
  bool pausing, hurry;  /* there is no connection, and a pause until the next attempt; it is to be ended */
  uint64_t sent, done;  /* the number of the last poll that was sent, and of the last one that went well */
  uint64_t wanted;      /* the number of the poll that somebody waits for */
  uint64_t failed;      /* how often it has come to nothing */
  int64_t failed_at_us; /* when it did last, or when the thread could not be started */
  pgcache_error state;  /* why there are no hits */
  pgc_sockets *sockets; /* this and all behind it: set once, or the thread's own */

  pgc_connect_plan plan;
  pgc_connect_plan store_plan; /* how the store connects; conninfo NULL: by the same plan */
  pgc_listener_settings settings;
  pgc_near *near;
  pgc_counters *counters;

  pgc_session session;  /* its connection NULL: there is none */
  pgc_stamps stamps;    /* none are noted; looking at the schema wants some */
  pgcache_error error;  /* of the session */
  int failures;         /* attempts in a row */
  bool aged;            /* the last connection was given up for its age alone */
  int64_t ages_at_us;   /* when that is due; on pgc_monotonic_us()'s clock */
  const char *told_as;  /* the state that the audience was told of last; NULL: none yet */
  int64_t opened_at_us; /* when its connection was; this and the next on pgc_monotonic_us()'s clock */
  pgc_stream stream;
  bool placed;                                /* the stream with this nonce was found to be the store's */
  unsigned char place[PGC_NONCE_SIZE];        /* only with a store_plan */
  char channel[PGC_LISTENER_CHANNEL_MAX + 1]; /* that this connection listens on; "": none yet */
  int64_t polled_at_us, poll_at_us;
  bool behind; /* something was missed: poll as soon as is allowed */
  int64_t audit_at_us;
  pgc_chain chain;
  pgc_relay relay;
};

/* ---- listener.c; both with the mutex held ---- */

/* Tells whoever waits why there are no hits. */
void pgc_listener_tell_failure(pgc_listener *self, const pgcache_error *error);

/* Lets one reference go; unlocks. */
void pgc_listener_release_reference(pgc_listener *self);

/* ---- listener_thread.c. From here on everything is called by the thread alone. ---- */

void *pgc_listener_run(void *argument);

/* Connects by a plan; the listener may have two connections. NULL: none was to be had, or the handle was shut down meanwhile,
   and its near cache may be gone; the reason is in session.error. */
pgc_connection *pgc_listener_connect(pgc_listener *self, const pgc_connect_plan *plan);
void pgc_listener_disconnect(pgc_listener *self, pgc_connection *connection);

/* One statement, with what is left of the session's deadline. PGCACHE_OK and a result, or an error, after which the
   connection is of no more use if session.broken. */
pgcache_status pgc_listener_ask(pgc_listener *self, pgc_statement_id id, const pgc_parameters *parameters,
                                PGresult **result);

/* From here on statements have half of the bound. */
void pgc_listener_set_deadline(pgc_listener *self);

/* Tells whoever waits what session.error says. */
void pgc_listener_note_failure(pgc_listener *self);

/* ---- listener_place.c ---- */

/* Whether the stream with this nonce and channel is that of the store. False: the connection is to be given up; session.error
   tells why. */
bool pgc_listener_is_in_place(pgc_listener *self, const unsigned char *nonce, const char *channel);

/* ---- listener_stream.c ---- */

/* The columns of poll_changes.sql. */
enum {
  PGC_POLL_SNAPSHOT,
  PGC_POLL_NONCE,
  PGC_POLL_FLOOR,
  PGC_POLL_RELAY_FREE,
  PGC_POLL_BUSY,
  PGC_POLL_CHANNEL,
  PGC_POLL_FRAMES,
  PGC_POLL_RESTRICTED,
  PGC_POLL_EPOCH
};

/* One poll, with all that follows: the near cache is up to date and proven, or it is flushed. False: the connection is to
   be given up; session.error tells why. */
bool pgc_listener_poll(pgc_listener *self);

/* Takes the notifications that have arrived. */
void pgc_listener_hear(pgc_listener *self);

/* A connection is new: it listens to nothing, and no parts are on their way. */
void pgc_listener_forget_parts(pgc_listener *self);

/* ---- listener_relay.c ---- */

/* Takes, renews or gives up the lease, and trims the stream, as it is due. False: as above. */
bool pgc_listener_attend_relay(pgc_listener *self);

/* Sends what the relay's poll has found; to NULL: a snapshot that is too long to be sent. False: as above. */
bool pgc_listener_publish(pgc_listener *self, const pgc_snapshot *to, const unsigned char *frames, size_t size);

/* Lets another one be the relay, at once; the connection is about to be closed. */
void pgc_listener_resign(pgc_listener *self);

/* How long until the next poll, in microseconds. */
int64_t pgc_listener_pace_us(const pgc_listener *self);

/* ---- listener_audit.c ---- */

/* Compares a few entries with the store. False: as above. */
bool pgc_listener_audit(pgc_listener *self);

#endif
