/*
 * request.h - an operation that was submitted, and in the end its completion: one piece of memory for both.
 *
 * The maker fills it before it is submitted; then it is the engine's until its completion is taken; then the taker's, who
 * reads it and frees it. What is read after that was set before the completion was handed over, and does not change.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_ENGINE_REQUEST_H
#define PGC_ENGINE_REQUEST_H

#include "pgcache.h"
#include "pgcache_hooks.h"
#include "state/audience.h"
#include "state/meters.h"
#include "store/store.h"

typedef struct pgcache_completion pgc_request;
typedef struct pgc_engine pgc_engine;
typedef struct pgc_part pgc_part;

/* Work that may wait, for a thread of the crew; what comes of it is taken up on the engine's thread. */
typedef struct pgc_job {
  void (*work)(struct pgc_job *self); /* on a thread of the crew */
  void (*done)(struct pgc_job *self); /* then, on the engine's */
  struct pgc_job *next;
} pgc_job;

/* One key of a request: what the engine queues, puts in order and sends together with others. */
struct pgc_part {
  pgc_request *request;
  pgc_op_key key; /* digest, key, value, flags, ttl_ms, format: the maker's; out: status, version, found */
  bool answered;  /* by the maker, who has set the outputs: it is not sent */

  /* The engine's: */
  struct pgc_part *next, *previous; /* in the queue where it waits */
  struct pgc_part *twin;            /* the next one of the same key in the same batch */
  struct pgc_part *chain;           /* in the table of writes */
  struct pgc_line *line;            /* a write: who waits for it; who waits: where */
  uint8_t place;
  uint8_t losses; /* of connections on which it was sent */
  bool alone;     /* a statement of many keys, this one's among them, has failed */
  bool locked;    /* when it was sent another transaction had locked what it needs */
  bool waited;    /* it was given up asleep: for somebody else's sake, not for the server's */
  int64_t wake_us;
};

/* What the maker has to say about parts on their way. All but the last are called on the engine's thread; none may wait; NULL: nothing. */
typedef struct pgc_guide {
  /* Before a part is sent for the first time, and whenever it wakes. 0: it is sent; a time on pgc_monotonic_us()'s clock: it
     sleeps until then, or until pgc_engine_rouse() names its digest, and then this is asked again. The maker may also answer
     the part now, see pgc_part. */
  int64_t (*when)(pgc_request *self, pgc_part *part);
  /* The part goes out now; again, if its connection is lost. */
  void (*goes)(pgc_request *self, pgc_part *part);
  /* Its answer has come, with all outputs. True: that was not the last word, and when() is asked again; what it found and is
     still there is dropped. False: it was; *status may be made another. Not called of a request that is over. */
  bool (*ask_again)(pgc_request *self, pgc_part *part, pgcache_status *status);
  /* The request is about to fail with this status, which is not the maker's: what is given instead, or the same. A value that is
     given then stands in `values`, because the part may be away. */
  pgcache_status (*soften)(pgc_request *self, pgcache_status status);
  /* The end of a part, whoever has answered it; before its completion can be taken. status: before soften(). */
  void (*ended)(pgc_request *self, pgc_part *part, pgcache_status status);
  /* The request is being freed, on any thread. */
  void (*let_go)(pgc_request *self);
} pgc_guide;

/* What is measured of a request, by its maker and by the engine's watch. */
typedef struct pgc_request_measure {
  bool begun; /* it is measured */
  bool near;  /* the near cache answered all of it */
  pgc_operation operation;
  int span; /* its number, see state/meters.h */
  int64_t began_ns;
  int64_t duration_ns, bytes, number; /* known at its end, like the next */
  pgc_outcome outcome;
  pgc_attended *attended; /* NULL: nobody is told */
} pgc_request_measure;

struct pgcache_completion {
  /* ---- Set by the maker. ---- */
  uint64_t token;
  pgcache_callback callback; /* call NULL: none */
  pgc_op_kind kind;          /* of its parts: GET, PUT, REMOVE also for the multi-key ones; without parts: any other */
  bool answered;             /* all of them by the maker: see pgc_engine_submit_answered() */
  bool discarded;            /* nobody wants its completion */
  bool owed;                 /* it is let in beyond the limits: what was let in before makes it necessary */
  pgc_deadline deadline;
  const char *namespace_name; /* in its own memory */
  union {
    struct {
      int64_t delta, initial;
    } increment;
    int64_t expected_version;
    pgc_op_load *load; /* where pgc_op_has_load(), with its outputs; in its own memory */
  } u;
  const pgc_digest *tags; /* as in pgc_op; in its own memory */
  size_t tag_count;
  pgc_part *parts; /* of distinct keys; in its own memory */
  size_t part_count;
  /* Without parts: does the operation on a thread where it may wait, sets the outputs, and gives the status. */
  pgcache_status (*run)(pgc_request *self, pgcache_error *error);
  /* With parts: is told of the end of each that was not answered by the maker, on the engine's thread, before its completion
     can be taken. status: before [rule:on_error]. NULL: nobody is. */
  void (*part_ended)(pgc_request *self, const pgc_part *part, pgcache_status status);
  const pgc_guide *guide; /* of its parts; writes have no when(). NULL: none */
  pgc_near *near;         /* for part_ended */
  void *context;          /* for run and part_ended */
  void *load_context;     /* for what is done about loads */
  size_t bytes;           /* what it counts against async_bytes_max */
  pgc_request_measure measured;

  /* ---- Outputs. ---- */
  uint64_t id;
  pgcache_status status;
  char sqlstate[6];
  const char *message; /* NULL: none */
  char *own_message;   /* what message points to, if that has to be freed */
  int64_t version, number;
  pgcache_item *items; /* of a multi-key request, in the caller's order; in its own memory */
  uint32_t *item_part; /* the part of each */
  pgcache_value **values;
  pgcache_usage *usage;
  pgcache_store_stats *stats;
  pgcache_cleanup_progress *progress;    /* these four in its own memory */
  size_t count;                          /* of items, values or usage */
  pgcache_load *load;                    /* until it is taken */
  void (*drop_load)(pgcache_load *load); /* of one that was not */

  /* ---- The engine's. ---- */
  pgc_request *next, *previous; /* in the list where it is: submitted, by deadline, or complete */
  size_t parts_left;
  uint8_t state;
  bool timed;     /* it stands among the timers */
  bool over;      /* it has an outcome, or its completion went ahead */
  bool cancelled; /* somebody asked for that */
  bool put_off;   /* the engine was about to tell so; when memory is out it comes to that again */
  pgc_request *next_cancelled;
  struct pgc_wait *waiter;
  pgc_engine *engine;
  pgc_job job; /* of a request without parts */
};

/* Makes a request with room for `extra` bytes behind it, zeroed, aligned for any type: *room. NULL when out of memory. */
pgc_request *pgc_request_new(size_t extra, void **room);

/* The final word on it, before its completion is handed over. error: its message, when status is an error. */
void pgc_request_settle(pgc_request *self, pgcache_status status, const pgcache_error *error);

/* The completion of a request that is given up while some of its parts are away: they have this status, the others the one
   they have. It has memory of its own, and the same token, callback, kind and items. NULL when out of memory. */
pgc_request *pgc_request_new_ahead(const pgc_request *request, pgcache_status status, const pgcache_error *error);

/* All its parts are done: gives the items their outcomes, and the status of the whole. */
pgcache_status pgc_request_gather(pgc_request *self);

/* Frees it with all that it holds: values, message. NULL is a no-op. */
void pgc_request_free(pgc_request *self);

#endif
