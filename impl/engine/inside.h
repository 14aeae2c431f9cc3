/*
 * inside.h - what the files of the engine share. Nobody else includes it.
 *
 *   engine.c     the callers' side: submit, take, wait, dispatch, cancel
 *   loop.c       the engine's thread: takes in what was submitted, watches the lanes and the clock
 *   order.c      keys that are being written: who has to wait for whom
 *   timers.c     requests by deadline
 *   sleepers.c   parts that wait for somebody else than the server
 *   batches.c    what is sent together, and the answers on their way back
 *   lanes.c      the connections
 *   crew.c       threads for what may wait
 *   outcome.c    the end of a part and of a request
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_ENGINE_INSIDE_H
#define PGC_ENGINE_INSIDE_H

#include <pthread.h>
#include <stdbool.h>

#include "engine/engine.h"
#include "store/channel.h"

/* Where a part is. Only the engine's thread asks. */
enum {
  PGC_PART_READY,   /* in the queue of its kind */
  PGC_PART_BLOCKED, /* waits for a write of the same key */
  PGC_PART_AWAY,    /* sent, or with the crew: its memory is in use */
  PGC_PART_ASLEEP,  /* see pgc_guide */
  PGC_PART_DONE
};

/* What a request is; guarded by the engine's lock. */
enum {
  PGC_REQUEST_UNDER_WAY,
  PGC_REQUEST_COMPLETE,  /* waits to be taken */
  PGC_REQUEST_ABANDONED, /* its completion went out ahead of it; it is freed when its last part is back */
};

/* ---- Lists ---- */

typedef struct pgc_parts {
  pgc_part *first, *last;
  size_t count;
} pgc_parts;

static inline void pgc_parts_append(pgc_parts *self, pgc_part *part) {
  part->next = NULL;
  part->previous = self->last;
  if (self->last != NULL)
    self->last->next = part;
  else
    self->first = part;
  self->last = part;
  self->count++;
}

static inline void pgc_parts_prepend(pgc_parts *self, pgc_part *part) {
  part->previous = NULL;
  part->next = self->first;
  if (self->first != NULL)
    self->first->previous = part;
  else
    self->last = part;
  self->first = part;
  self->count++;
}

static inline void pgc_parts_remove(pgc_parts *self, pgc_part *part) {
  if (part->previous != NULL)
    part->previous->next = part->next;
  else
    self->first = part->next;
  if (part->next != NULL)
    part->next->previous = part->previous;
  else
    self->last = part->previous;
  part->next = part->previous = NULL;
  self->count--;
}

typedef struct pgc_requests {
  pgc_request *first, *last;
} pgc_requests;

static inline void pgc_requests_append(pgc_requests *self, pgc_request *request) {
  request->next = NULL;
  request->previous = self->last;
  if (self->last != NULL)
    self->last->next = request;
  else
    self->first = request;
  self->last = request;
}

static inline void pgc_requests_remove(pgc_requests *self, pgc_request *request) {
  if (request->previous != NULL)
    request->previous->next = request->next;
  else
    self->first = request->next;
  if (request->next != NULL)
    request->next->previous = request->previous;
  else
    self->last = request->previous;
  request->next = request->previous = NULL;
}

/* ---- order.c: at most one write of a key is under way, and what was submitted after it waits for its end. So whatever
   becomes of it, nothing that was submitted later can overtake it: not on another connection, not by a retry. ---- */

/* Who waits for the writes of a key. */
typedef struct pgc_line {
  pgc_parts waiting;
} pgc_line;

typedef struct pgc_order {
  pgc_part **buckets; /* writes that are under way or may be sent, by digest */
  size_t bucket_count, count;
} pgc_order;

/* False when out of memory. */
bool pgc_order_init(pgc_order *self);
void pgc_order_destroy(pgc_order *self);

/* A part comes in. PGCACHE_OK: it may be sent; PGCACHE_EXISTS: it is blocked; PGCACHE_NO_MEMORY. */
pgcache_status pgc_order_enter(pgc_order *self, pgc_part *part);

/* A write that was let in is over: gives those that may be sent now. */
pgc_parts pgc_order_leave(pgc_order *self, pgc_part *part);

/* A blocked part waits no longer. */
void pgc_order_unblock(pgc_part *part);

/* ---- timers.c ---- */

#define PGC_TIMER_SLOTS 1024

typedef struct pgc_timers {
  pgc_requests slots[PGC_TIMER_SLOTS];
  uint64_t used[PGC_TIMER_SLOTS / 64]; /* a bit for each slot that is not empty */
  int64_t next_tick;                   /* all before it were looked at */
} pgc_timers;

void pgc_timers_init(pgc_timers *self, int64_t now_us);
void pgc_timers_add(pgc_timers *self, pgc_request *request);
void pgc_timers_remove(pgc_timers *self, pgc_request *request);

/* Takes out one request whose deadline has passed; NULL when there is none. */
pgc_request *pgc_timers_pop(pgc_timers *self, int64_t now_us);

/* When to look again; PGC_NO_DEADLINE for an empty wheel. */
pgc_deadline pgc_timers_next(const pgc_timers *self);

/* ---- sleepers.c ---- */

/* Digests named since the last look; with more of them everybody is woken. */
#define PGC_ROUSED_MAX 64

typedef struct pgc_roused {
  size_t count; /* PGC_ROUSED_MAX + 1: all */
  pgc_digest digests[PGC_ROUSED_MAX];
} pgc_roused;

void pgc_roused_add(pgc_roused *self, const pgc_digest *digest);

/* Puts a part to sleep until its wake_us. */
void pgc_sleepers_add(pgc_parts *self, pgc_part *part);

/* Takes out those whose time has come, and those that were named. */
pgc_parts pgc_sleepers_pop(pgc_parts *self, int64_t now_us, pgc_roused *roused);

/* ---- crew.c ---- */

#define PGC_CREW_MAX 4 /* at most, whatever it is made with */

typedef struct pgc_crew {
  pthread_mutex_t lock;
  pthread_cond_t wanted;
  pthread_t threads[PGC_CREW_MAX];
  int most, thread_count, idle;
  bool ending;
  int waiting;
  pgc_job *first, *last;  /* to be done */
  pgc_job *done;          /* in no order */
  void (*notify)(void *); /* after each that was done */
  void *context;
} pgc_crew;

void pgc_crew_init(pgc_crew *self, int most, void (*notify)(void *), void *context);

/* Hands a job over. False: there is no thread to do it. */
bool pgc_crew_hand(pgc_crew *self, pgc_job *job);

/* Takes back a job that nobody has begun; false if somebody has. */
bool pgc_crew_take_back(pgc_crew *self, pgc_job *job);

/* Takes all that are done, in a list by `next`. */
pgc_job *pgc_crew_done(pgc_crew *self);

/* Waits for the threads' ends; no job is left. */
void pgc_crew_end(pgc_crew *self);

/* ---- lanes.c ---- */

/* A connection of the engine's: opened when there is something to send, given back when there is nothing. */
typedef struct pgc_lane {
  pgc_engine *engine;
  pgc_channel *channel; /* NULL: none */
  bool opening;         /* the crew is at it */
  size_t sent;          /* operations on their way */
  size_t rounds;        /* pushes whose answers have not all come */
  int64_t heard_us;     /* when it was last sent something while it was quiet, or something came */
  int64_t opened_us;
  bool patient;  /* it carries what others have locked, one at a time, and nothing else */
  bool asked_on; /* something was sent that has to be pushed out */
  bool draining; /* is to be given back */
  pgc_job job;
  pgc_channel *opened; /* the job's outputs */
  bool busy;
  pgcache_status status;
  pgcache_error error;
} pgc_lane;

/* ---- The engine ---- */

typedef struct pgc_wait {
  pthread_cond_t woken;
  pgc_request *given;
} pgc_wait;

/* Queues of what may be sent, by how it is sent. */
enum {
  PGC_QUEUE_GET,
  PGC_QUEUE_REMOVE,
  PGC_QUEUE_PUT,
  PGC_QUEUE_SINGLE,
  PGC_QUEUE_LOCKED /* the last one */,
  PGC_QUEUES
};

struct pgc_engine {
  pgc_store *store;
  pgc_engine_limits limits;
  pthread_t thread;

  /* Guarded by lock. */
  pthread_mutex_t lock;
  pthread_cond_t dispatchable; /* a completion with a callback has come */
  bool closed, asleep;
  pgc_requests submitted;
  pgc_request *cancelled; /* by next_cancelled */
  pgc_roused roused;
  pgc_request **by_id; /* under way or complete: at index id modulo by_id_size */
  size_t by_id_size;   /* a power of two */
  size_t in_table, incomplete;
  size_t requests, bytes; /* of these, and of abandoned ones; a request of many keys counts as so many */
  pgc_requests complete, with_callback;
  int dispatchers; /* who wait in dispatch() */
  bool fd_used, fd_set;
  int event_fd, wake_fd;

  /* The engine's thread alone. */
  size_t under_way; /* requests that have no outcome yet, and abandoned ones */
  pgc_parts ready[PGC_QUEUES];
  pgc_parts sleepers; /* by the times when they wake */
  pgc_order order;
  pgc_timers timers;
  pgc_requests ended; /* complete, to be handed over at once */
  size_t away;        /* jobs with the crew */
  pgc_lane *lanes;    /* the last one is the patient one */
  int lane_count;
  int64_t retry_at_us; /* after a failure to open a connection */
  int failures;
  int64_t failing_since_us; /* when the first of them was */
  pgcache_error last_failure;
  bool closing;
  int turn;      /* the queue that comes first on a channel that takes one statement at a time */
  bool stamping; /* the crew is at it */
  pgc_job stamp_job;
  pgc_crew openers; /* open lanes */
  pgc_crew crew;    /* does again what needs more than a statement, and notes what was read */
  pgc_crew keepers; /* does what concerns the cache as a whole */
};

void *pgc_engine_loop(void *engine);         /* loop.c */
void pgc_engine_wake(void *engine);          /* engine.c; any thread */
void pgc_engine_hand_over(pgc_engine *self); /* engine.c: what has ended */

/* outcome.c */
/* The end of a part that stands in no list any more. error: NULL, or with its message. */
void pgc_part_end(pgc_engine *self, pgc_part *part, pgcache_status status, const pgcache_error *error);
/* Lets a part in that stands in no list: it is queued, waits for a write of its key, sleeps, or has ended. */
void pgc_part_admit(pgc_engine *self, pgc_part *part);
/* An answer to a part that was away: its end, unless its maker asks again. error: NULL, or with its message. */
void pgc_part_answered(pgc_engine *self, pgc_part *part, pgcache_status status, const pgcache_error *error);
/* Queues a part that may be sent; first: it was on its way already. */
void pgc_part_make_ready(pgc_engine *self, pgc_part *part, bool first);
/* A request has its outcome. */
void pgc_request_over(pgc_engine *self, pgc_request *request);
/* Tells the watch of it. */
void pgc_engine_tell_completed(const pgc_engine *self, pgc_request *request);
/* The end of a request without parts. */
void pgc_request_end(pgc_engine *self, pgc_request *request, pgcache_status status, const pgcache_error *error);
/* PGCACHE_TIMEOUT or PGCACHE_CANCELLED, [rule:late]: its completion comes at once, if memory allows. */
void pgc_request_give_up(pgc_engine *self, pgc_request *request, pgcache_status status);
/* PGCACHE_CLOSED for all that was not sent. */
void pgc_engine_end_unsent(pgc_engine *self);
/* Ends all that may be sent with the same error. */
void pgc_engine_fail_ready(pgc_engine *self, pgcache_status status, const pgcache_error *error);

/* batches.c */
/* Sends what is ready on a lane, up to `share` parts of it; false if the lane broke. */
bool pgc_batches_send(pgc_engine *self, pgc_lane *lane, size_t share);
/* Has the crew do what is ready, or does it here, in a store that never waits. */
void pgc_batches_run(pgc_engine *self);
/* Takes up what a channel has given back. True: it was the last one of its round. */
bool pgc_batches_receive(pgc_engine *self, pgc_lane *lane, pgc_sent *sent);

/* lanes.c */
bool pgc_lanes_init(pgc_engine *self);
/* Sends what is ready, as far as the lanes take it, and has more of them opened. */
void pgc_lanes_feed(pgc_engine *self, int64_t now_us);
/* Reads a lane's answers and pushes out what waits. */
void pgc_lane_serve(pgc_engine *self, pgc_lane *lane, int64_t heard_us);
/* A deadline passed with something sent: breaks off the lanes that have been silent. */
void pgc_lanes_suspect(pgc_engine *self, int64_t now_us);
/* Gives back what nobody needs. When to look again. */
pgc_deadline pgc_lanes_tidy(pgc_engine *self, int64_t now_us);
/* Whether a lane is open. */
bool pgc_lanes_connected(const pgc_engine *self);
/* Whether no lane is open or being opened. */
bool pgc_lanes_shut(const pgc_engine *self);

static inline size_t pgc_engine_ready(const pgc_engine *self) {
  size_t count = 0;
  for (int i = 0; i < PGC_QUEUES; i++)
    count += self->ready[i].count;
  return count;
}

static inline int pgc_queue_of(const pgc_part *part) {
  if (part->locked)
    return PGC_QUEUE_LOCKED;
  if (part->alone)
    return PGC_QUEUE_SINGLE;
  switch (part->request->kind) {
  case PGC_OP_GET:
    return PGC_QUEUE_GET;
  case PGC_OP_REMOVE:
    return PGC_QUEUE_REMOVE;
  case PGC_OP_PUT:
    return PGC_QUEUE_PUT;
  default:
    return PGC_QUEUE_SINGLE;
  }
}

#endif
