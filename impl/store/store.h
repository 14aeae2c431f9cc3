/*
 * store.h - what stands between the cache and the place where entries are kept. An operation is one struct that holds
 * all of its inputs and outputs, so that a store can run it here and now, and later also hand it to another thread.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_STORE_H
#define PGC_STORE_STORE_H

#include "pgcache.h"
#include "pgcache_hooks.h"
#include "platform/clock.h"
#include "pure/config.h"
#include "pure/digest.h"
#include "state/audience.h"
#include "state/counters.h"
#include "state/flights.h"
#include "state/near.h"
#include "state/value.h"

typedef enum pgc_op_kind {
  PGC_OP_GET,
  PGC_OP_GET_MANY,
  PGC_OP_EXISTS,
  PGC_OP_KEYS,
  PGC_OP_STATS,
  PGC_OP_USAGE,
  PGC_OP_DEPENDENTS,
  PGC_OP_DOCTOR,
  PGC_OP_READ_SUMMARIES,
  PGC_OP_WRITE_SUMMARY, /* of this process, see publisher.h; can be repeated, and so can the next */
  PGC_OP_BEGIN_LOAD,    /* takes a lease perhaps, but can be repeated with the same token; the kinds behind it write */
  PGC_OP_PUT,
  PGC_OP_ADD,
  PGC_OP_REPLACE,
  PGC_OP_COMPARE_AND_SWAP,
  PGC_OP_PUT_MANY,
  PGC_OP_REMOVE,
  PGC_OP_REMOVE_MANY,
  PGC_OP_TOUCH,
  PGC_OP_INCREMENT,
  PGC_OP_FILL_LOAD,   /* PGCACHE_OK, PGCACHE_REFUSED */
  PGC_OP_END_LOAD,    /* gives a lease back: PGCACHE_OK, also when it was over */
  PGC_OP_EXTEND_LOAD, /* PGCACHE_OK, PGCACHE_REFUSED */
  PGC_OP_INVALIDATE,
  PGC_OP_FLUSH_NAMESPACE,
  PGC_OP_FLUSH_ALL,
  PGC_OP_CLEANUP,     /* part of a walk of its own, which deletes what has expired and nothing else */
  PGC_OP_CLEAN_SLICE, /* the next slice of the walk that all janitors share */
  PGC_OP_STAMP,       /* notes in the store which entries were read; its digests are the store's own */
  PGC_OP_SET_LIMITS,
  PGC_OP_INIT,
  PGC_OP_UPGRADE
} pgc_op_kind;

/* Bits of entries.flags: how the value is stored. 0: as it is. */
enum {
  PGC_STORED_CODEC = 0x0f, /* a mask: how it is compressed; see pure/compression.h */
  PGC_STORED_ENCRYPTED = 0x10,
  PGC_STORED_KEYED = 0x20, /* the digest is a keyed one, and the key is not stored */
  PGC_STORED_ABSENT = 0x40 /* it is known that there is no value: an entry for loads alone */
};

#define PGC_TOKEN_SIZE 16

/* What the server takes of a summary, see 0001_summaries.sql. */
#define PGC_ORIGIN_MAX 255
#define PGC_SUMMARY_MAX 1048576

/* Most digests that an entry depends on beside its own: with that of the tag * . */
#define PGC_TAGS_MAX (PGCACHE_DEPENDENCIES_MAX + 1)

/* Of an operation on a load. */
typedef struct pgc_op_load {
  unsigned char token[PGC_TOKEN_SIZE]; /* random; names the lease */
  int64_t lease_ms;                    /* begin, extend */
  int64_t keep_ms;                     /* fill: how long the entry lives beyond its ttl_ms */
  int64_t load_ms;                     /* fill: how long it took */
  int64_t
      throttle_ms; /* end: > 0: it failed; while something stale is there the lease stays for so long, as nobody's */
  bool early;      /* begin: take the lease even if the entry is fresh */

  /* Out of begin, whose status is PGCACHE_OK, PGCACHE_MISS (an entry that says so) or PGCACHE_STALE with key->found, or
     PGCACHE_BUSY: there is none, or it is not fresh, and the lease is another's; PGCACHE_LEASE: there is none, and it is ours. */
  bool leased;
  bool failed;       /* the lease stands for a load that failed */
  int64_t others_ms; /* how long another's lease still lasts */
  int64_t stale_ms;  /* for how long the entry has been stale */
  int64_t fresh_ms;  /* for how long it will be fresh; the value's own expiry is the end of its freshness */
  int64_t took_ms;   /* how long its value took to load, 0: not known */
} pgc_op_load;

/* What operations note of a key for the near cache before it is sent: the operations' own. */
typedef struct pgc_op_copy {
  pgc_near_key name;
  pgc_near_ticket ticket;
  int64_t asked_us;
  const void *plain; /* what is written, before it was encoded */
  size_t plain_size;
  bool is_plain; /* those two are known */
} pgc_op_copy;

/* A key with what is to be stored under it, and what was found or done. */
typedef struct pgc_op_key {
  pgc_digest digest;
  const void *key;
  size_t key_len;
  const void *value;
  size_t value_len;
  int64_t ttl_ms; /* > 0, or PGCACHE_TTL_NEVER */
  int32_t format;
  int32_t flags; /* PGC_STORED_... of what is stored */
  void *encoded; /* the operations' own, like the next */
  pgc_op_copy copy;

  pgcache_status status; /* out: PGCACHE_OK, PGCACHE_MISS */
  int64_t version;       /* out */
  pgcache_value *found;  /* out: one reference, for the op's maker */
  size_t stored_size;    /* out: of what was found, in its row */
  pgc_digest *tags;      /* out of reads: what it depends on beside its own digest; pgc_alloc'd, for the op's maker */
  size_t tag_count;      /* more than PGC_NEAR_TAGS_MAX: so many that `tags` is NULL, and no copy may be kept */
} pgc_op_key;

/* A value as it stands in a row. */
typedef struct pgc_stored {
  const void *bytes; /* with the alignment of malloc() or less */
  size_t size;
  int32_t format;
  int32_t flags;
} pgc_stored;

/* An array's elements lie as far apart as the caller's struct is long. */
static inline const pgcache_dependency *pgc_dependency_at(const pgcache_dependency *first, size_t index) {
  return (const pgcache_dependency *)(const void *)((const char *)first + index * first->struct_size);
}

typedef struct pgc_op pgc_op;

struct pgc_op {
  pgc_op_kind kind;
  pgc_deadline deadline;
  const char *namespace_name;

  /* The key of a single-key operation, or the keys of a multi-key one: sorted by digest, without duplicates, at most
     PGCACHE_BATCH_MAX. */
  pgc_op_key *keys;
  size_t count;

  /* Makes a value of what a row holds, for reads. PGCACHE_OK and a value; PGCACHE_OK and NULL: the bytes are the value as
     they are; PGCACHE_MISS (refused), PGCACHE_TOO_LARGE, PGCACHE_NO_MEMORY. NULL: all are as they are. */
  pgcache_status (*decode)(const pgc_op *op, const pgc_op_key *key, const pgc_stored *stored, pgcache_value **value,
                           pgcache_error *error);
  const void *decoder; /* for decode */

  /* What the entries that are written depend on beside their own digests: sorted, without duplicates; may be none. */
  const pgc_digest *tags;
  size_t tag_count;

  bool unguarded; /* of reads: entries that were invalidated are given, too */

  bool
      impatient; /* do not wait for a lock longer than a moment: PGCACHE_TIMEOUT with SQLSTATE 55P03, nothing was changed */

  union {
    struct {
      int64_t delta, initial;
      int64_t number; /* out */
    } increment;
    int64_t expected_version; /* compare_and_swap */
    struct {
      const void *prefix, *prefix_end, *after; /* prefix_end NULL: the range has no end */
      size_t prefix_len, prefix_end_len, after_len;
      pgcache_value **found; /* out */
      size_t limit, count;   /* count: out */
    } list;
    pgcache_store_stats *stats;  /* out; struct_size is left alone */
    int64_t removed;             /* out: flush */
    struct {                     /* CLEANUP: one part of the table */
      int64_t next_block;        /* where it begins; out: and the next one */
      bool finished;             /* out: there is no next one */
      bool bounded;              /* out: there are bounds, so that the use of entries is noted */
      int64_t removed, spent_us; /* out */
    } part;
    pgc_op_load load;
    struct {
      const pgc_digest *digests; /* of keys and tags, sorted, without duplicates */
      size_t count;
      const pgcache_dependency *names; /* of these, for a role that is kept to namespaces; as the caller gave them */
      size_t name_count;
    } invalidate;
    struct {
      const pgc_digest *digests; /* of keys and tags, in the order of the answer */
      size_t count;
      pgcache_value *report; /* out: one reference, for the op's maker */
    } dependents;
    struct {
      int pool_max, pool_open; /* connections that the handle may have and has */
      int64_t near_max_bytes;
      bool listens_elsewhere;        /* listen_url is set */
      struct pgc_listener *listener; /* NULL: none is at work */
      pgcache_value *report;         /* out: one reference, for the op's maker */
    } doctor;
    struct {
      bool anew;      /* begin a walk, even if one is under way */
      int64_t due_ms; /* begin one if the last one ended so long ago */
      int32_t budget_us, lease_ms;
      bool busy;                                               /* out: another janitor is at work; nothing was done */
      bool finished;                                           /* out: there is no walk any more */
      bool bounded;                                            /* out: there is a bound for the janitor to keep */
      int32_t stage;                                           /* out: see janitor in 0001_janitor.sql */
      int64_t removed, evicted, blocks_done, blocks, spent_us; /* out */
    } slice;
    struct {
      const pgc_digest *digests; /* sorted */
      size_t count;
      int64_t noted; /* out */
      bool more;     /* out: there may be more to tell of */
    } stamp;
    struct {
      bool all;
      int64_t max_entries, max_bytes; /* 0: none, -1: as it is */
    } limits;
    struct {
      const char *after;    /* NULL: from the beginning */
      pgcache_usage *found; /* out; struct_size is left alone */
      size_t found_size;    /* how far apart the elements lie */
      size_t limit, count;  /* count: out */
    } usage;
    struct {
      const char *origin;
      int32_t interval_ms;
      const void *bytes; /* see pgc_snapshot_pack() */
      size_t size;
    } summary;
    struct {
      const char *after;        /* NULL: from the beginning */
      pgcache_snapshot **found; /* out: each for the op's maker */
      size_t limit, count;      /* count: out */
    } summaries;
  } u;
};

/* Do the keys carry values to be stored? */
static inline bool pgc_op_stores(pgc_op_kind kind) {
  return kind == PGC_OP_PUT || kind == PGC_OP_ADD || kind == PGC_OP_REPLACE || kind == PGC_OP_COMPARE_AND_SWAP ||
         kind == PGC_OP_PUT_MANY || kind == PGC_OP_FILL_LOAD;
}

/* Is u.load its own? */
static inline bool pgc_op_has_load(pgc_op_kind kind) {
  return kind == PGC_OP_BEGIN_LOAD || (kind >= PGC_OP_FILL_LOAD && kind <= PGC_OP_EXTEND_LOAD);
}

static inline bool pgc_op_writes(pgc_op_kind kind) {
  return kind > PGC_OP_BEGIN_LOAD;
}

/* Work on the cache as a whole, for which somebody waits who wants to know how the server is. */
static inline bool pgc_op_is_maintenance(pgc_op_kind kind) {
  switch (kind) {
  case PGC_OP_KEYS:
  case PGC_OP_STATS:
  case PGC_OP_DOCTOR:
  case PGC_OP_FLUSH_NAMESPACE:
  case PGC_OP_FLUSH_ALL:
  case PGC_OP_CLEANUP:
  case PGC_OP_CLEAN_SLICE:
  case PGC_OP_USAGE:
  case PGC_OP_READ_SUMMARIES:
  case PGC_OP_DEPENDENTS:
  case PGC_OP_INIT:
  case PGC_OP_UPGRADE:
    return true;
  default:
    return false;
  }
}

/* Of a read under on_error=miss [rule:on_error]: what the server failed becomes a miss; what the caller did wrong or must
   know stays an error. INVALID: a connection of the application's that cannot be used as it is. */
static inline bool pgc_failure_is_miss(pgcache_status status) {
  return status < 0 && status != PGCACHE_INVALID && status != PGCACHE_TOO_LARGE && status != PGCACHE_CLOSED &&
         status != PGCACHE_NO_MEMORY && status != PGCACHE_CANCELLED;
}

typedef struct pgc_store pgc_store;
struct pgc_channel;

/* How a store is now. */
typedef struct pgc_store_look {
  int pool_max, pool_open, pool_idle, pool_waiting; /* connections, and who waits for one */
  bool breaker_open;
} pgc_store_look;

struct pgc_store {
  /* Runs one operation and returns when it is done or its deadline has passed. Any thread. */
  pgcache_status (*run)(pgc_store *self, pgc_op *op, pgcache_error *error);
  /* Opens a channel, see channel.h, on which operations can be sent at once. deadline 0: does not wait, and takes a
     connection that is open, idle and known to be in order, else PGCACHE_TIMEOUT. *busy: there is none because others have
     them all, which is not the server's fault. PGCACHE_OK, PGCACHE_CLOSED, or why there
     is none. NULL, and so the next three: this store has no channels; run() never waits (null:), or its connections are the application's. */
  pgcache_status (*open_channel)(pgc_store *self, struct pgc_channel **out, pgc_deadline deadline, bool *busy,
                                 pgcache_error *error);
  /* Whether the breaker is open, so that operations are to go through run(), which asks it. */
  bool (*is_troubled)(pgc_store *self);
  /* Tells the breaker that operations wait in vain: there is no connection, and why; or, NULL, no answer on it. */
  void (*waited_in_vain)(pgc_store *self, const pgcache_error *why);
  /* Whether a PGC_OP_STAMP should be run, where it may wait: run() does it by itself behind a read, a channel does not. */
  bool (*is_stamp_due)(pgc_store *self);
  /* The near cache of this process; NULL, or the function itself is: there is none. reads: somebody wants to read from it,
     and its listener is told; writes, figures and peek() start nothing. Any thread. */
  pgc_near *(*near)(pgc_store *self, bool reads);
  /* Loads of this process, and who waits for them; the listener tells it what it hears. NULL, or the function itself is: each
     caller loads for himself (null:, or no memory). Any thread. */
  pgc_flights *(*flights)(pgc_store *self);
  /* See pgc_listener_fence(); PGCACHE_OK at once without a near cache. */
  pgcache_status (*fence)(pgc_store *self, pgc_deadline deadline, pgcache_error *error);
  /* How it is now; asks no server. NULL: there is nothing to tell. Any thread. */
  void (*look)(pgc_store *self, pgc_store_look *out);
  /* Wakes every run() and open_channel(), and makes them and all later ones give PGCACHE_CLOSED; channels break. Any
     thread, repeatedly. */
  void (*shutdown)(pgc_store *self);
  /* Shuts down and frees; no run() may be under way. */
  void (*free)(pgc_store *self);
  pgc_counters counters;
  pgc_audience *audience; /* who is told of its states; NULL: nobody */
};

/* Always misses, stores nothing, needs no server. NULL when out of memory. */
pgc_store *pgc_null_store_new(void);

/* PostgreSQL. Does no input or output. PGCACHE_OK, PGCACHE_BAD_SETTING (libpq cannot understand the connection string),
   PGCACHE_NO_MEMORY. local_dir: the folder of a local server, or NULL. settings, audience: must outlive the store. */
pgcache_status pgc_pg_store_new(pgc_store **out, const char *conninfo, const char *local_dir,
                                const pgc_settings *settings, pgc_audience *audience, pgcache_error *error);

/* The same on the application's connections: on one, or on those that the hooks give. One of the two is NULL.
   PGCACHE_OK, PGCACHE_NO_MEMORY. */
pgcache_status pgc_borrowing_store_new(pgc_store **out, struct pg_conn *connection,
                                       const pgcache_connection_hooks *hooks, const pgc_settings *settings,
                                       pgcache_error *error);

#endif
