/*
 * batches.c - what is sent together, and how the answers find their way back. Waiting gets become one statement, and so do
 * waiting puts and removals; what has no such statement is sent by itself in the same pipeline. A statement of many keys
 * that fails because of one of them has changed nothing: then each key is done by itself.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "engine/inside.h"
#include "platform/memory.h"
#include "pure/error.h"

/* Most of one statement: larger ones cost the callers time and save the server hardly anything. */
#define KEYS_MAX 500
/* Puts of one statement, so that gets behind them wait for milliseconds at most. */
#define PUT_BYTES_MAX ((size_t)256 * 1024)
/* How far a queue is looked through for parts of one namespace. */
#define LOOK_MAX (4 * KEYS_MAX)
/* How many single operations one round carries. */
#define SINGLES_MAX 128
/* How many statements of each other kind, when there are many namespaces. */
#define STATEMENTS_MAX 16

typedef struct batch {
  pgc_sent sent; /* the first: what a channel gives back is a batch */
  pgc_job job;
  pgc_engine *engine;
  bool ends_round;
  size_t count;     /* distinct keys */
  size_t bytes;     /* of their values */
  pgc_part **parts; /* the first part of each, in the order of sent.op.keys */
} batch;

typedef struct sortable {
  uint64_t head; /* the digest's first bytes, as a number */
  pgc_part *part;
} sortable;

static int compare(const void *left, const void *right) {
  const sortable *a = left, *b = right;
  if (a->head != b->head)
    return a->head < b->head ? -1 : 1;
  return pgc_digest_compare(&a->part->key.digest, &b->part->key.digest);
}

/* Memory for a statement of up to so many keys. */
static batch *batch_new(pgc_engine *engine, size_t keys) {
  batch *self = pgc_alloc(sizeof *self + keys * (sizeof(pgc_op_key) + sizeof(pgc_part *)));
  if (self == NULL)
    return NULL;
  memset(self, 0, sizeof *self);
  self->engine = engine;
  self->sent.op.keys = (pgc_op_key *)(void *)(self + 1);
  self->parts = (pgc_part **)(void *)(self->sent.op.keys + keys);
  self->sent.error.struct_size = sizeof self->sent.error;
  return self;
}

static pgc_op_kind kind_for_many(pgc_op_kind kind) {
  return kind == PGC_OP_GET ? PGC_OP_GET_MANY : kind == PGC_OP_PUT ? PGC_OP_PUT_MANY : PGC_OP_REMOVE_MANY;
}

/* Whether two requests can be one statement: it has one namespace, and one set of tags. */
static bool go_together(const pgc_request *left, const pgc_request *right) {
  return left->tag_count == right->tag_count && strcmp(left->namespace_name, right->namespace_name) == 0 &&
         (left->tag_count == 0 || memcmp(left->tags, right->tags, left->tag_count * sizeof *left->tags) == 0);
}

/* Takes parts that go together out of a queue, from its front. */
static size_t pick(pgc_parts *queue, sortable *picked, size_t limit) {
  size_t count = 0, bytes = 0, looked = 0;
  const pgc_request *first = NULL;
  for (pgc_part *each = queue->first, *next; each != NULL && count < limit && looked < LOOK_MAX;
       each = next, looked++) {
    next = each->next;
    if (first == NULL)
      first = each->request;
    else if (!go_together(first, each->request))
      continue;
    bytes += each->key.value_len;
    if (count > 0 && bytes > PUT_BYTES_MAX)
      break;
    pgc_parts_remove(queue, each);
    each->place = PGC_PART_AWAY;
    each->twin = NULL;
    picked[count].part = each;
    uint64_t head = 0;
    for (int i = 0; i < 8; i++)
      head = head << 8 | each->key.digest.bytes[i];
    picked[count++].head = head;
  }
  return count;
}

/* Waiting for memory would be waiting for nobody knows what. */
static void end_for_memory(pgc_engine *self, const sortable *picked, size_t count) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgc_fail_memory(&error);
  for (size_t i = 0; i < count; i++)
    pgc_part_end(self, picked[i].part, PGCACHE_NO_MEMORY, &error);
}

/* The same key twice: only gets, because of one key no two writes are ready. */
static bool is_twin(const sortable *left, const sortable *right) {
  return left->head == right->head && pgc_digest_compare(&left->part->key.digest, &right->part->key.digest) == 0;
}

static void fill(batch *made, const sortable *picked, size_t count) {
  pgc_op *op = &made->sent.op;
  const pgc_request *first = picked[0].part->request;
  const pgc_engine_limits *limits = &made->engine->limits;
  op->namespace_name = first->namespace_name;
  op->decode = limits->decode;
  op->decoder = limits->decoder;
  op->deadline = first->deadline;
  op->tags = first->tags;
  op->tag_count = first->tag_count;
  op->unguarded = limits->unguarded;
  op->impatient = true;
  for (size_t i = 0; i < count; i++) {
    pgc_part *part = picked[i].part;
    if (part->request->guide != NULL && part->request->guide->goes != NULL)
      part->request->guide->goes(part->request, part);
    made->bytes += part->key.value_len;
    if (part->request->deadline > op->deadline)
      op->deadline = part->request->deadline;
    if (i > 0 && is_twin(&picked[i], &picked[i - 1])) {
      part->twin = made->parts[made->count - 1];
      made->parts[made->count - 1] = part;
      continue;
    }
    op->keys[made->count] = part->key;
    made->parts[made->count++] = part;
  }
  op->count = made->count;
  op->kind = made->count > 1 ? kind_for_many(first->kind) : first->kind;
  if (op->kind == PGC_OP_COMPARE_AND_SWAP) {
    op->u.expected_version = first->u.expected_version;
  } else if (op->kind == PGC_OP_INCREMENT) {
    op->u.increment.delta = first->u.increment.delta;
    op->u.increment.initial = first->u.increment.initial;
  } else if (pgc_op_has_load(op->kind)) {
    op->u.load = *first->u.load;
  }
}

/* The next statement from a queue; NULL when there is none. */
static batch *next_batch(pgc_engine *self, int queue, size_t limit) {
  sortable picked[KEYS_MAX];
  if (queue == PGC_QUEUE_SINGLE || queue == PGC_QUEUE_LOCKED)
    limit = 1;
  batch *made = NULL;
  size_t count = 0;
  while (made == NULL) {
    count = pick(&self->ready[queue], picked, limit < KEYS_MAX ? limit : KEYS_MAX);
    if (count == 0)
      return NULL;
    made = batch_new(self, count);
    if (made == NULL)
      end_for_memory(self, picked, count);
  }
  if (count > 1)
    qsort(picked, count, sizeof *picked, compare);
  fill(made, picked, count);
  return made;
}

/* ---- The way back ---- */

/* Gives the parts of one key its outcome. */
static void end_key(pgc_engine *self, batch *back, size_t index, pgcache_status status, const pgcache_error *error) {
  const pgc_op *op = &back->sent.op;
  pgc_op_key *key = &op->keys[index];
  for (pgc_part *part = back->parts[index], *twin; part != NULL; part = twin) {
    twin = part->twin;
    part->key.version = key->found != NULL ? key->found->version : key->version;
    part->key.found = key->found;
    part->key.stored_size = key->stored_size;
    part->key.tags = key->tags;
    part->key.tag_count = key->tag_count;
    if (twin != NULL && key->found != NULL)
      pgc_value_retain(key->found);
    if (op->kind == PGC_OP_INCREMENT)
      part->request->number = op->u.increment.number;
    else if (pgc_op_has_load(op->kind))
      *part->request->u.load = op->u.load;
    pgc_part_answered(self, part, status, error);
  }
  pgc_free(key->tags);
}

static void end_all(pgc_engine *self, batch *back) {
  pgcache_status whole = back->sent.status;
  bool many = back->count > 1;
  for (size_t i = 0; i < back->count; i++) {
    pgcache_status status = many && whole == PGCACHE_OK ? back->sent.op.keys[i].status : whole;
    end_key(self, back, i, status, status < 0 && status == whole ? &back->sent.error : NULL);
  }
  pgc_free(back);
}

/* How often a request is sent whose connection is lost each time: it may be what ends the server's process. */
#define LOSSES_MAX 5

/* Back into the queues, in front; alone: each into that of single operations. Those whose completion has gone ahead are
   over, and those that were lost too often. */
static void requeue(pgc_engine *self, batch *back, bool alone) {
  bool lost = back->sent.delivery == PGC_LOST;
  const pgcache_error *error = back->sent.status < 0 ? &back->sent.error : NULL;
  for (size_t i = back->count; i > 0; i--) {
    for (pgc_part *part = back->parts[i - 1], *twin; part != NULL; part = twin) {
      twin = part->twin;
      part->losses += lost;
      if (self->closing) {
        pgc_part_end(self, part, PGCACHE_CLOSED, NULL);
      } else if (part->request->over || part->losses >= LOSSES_MAX) {
        pgc_part_answered(self, part, back->sent.status, error);
      } else {
        part->alone = part->alone || alone || part->losses > 1;
        pgc_part_make_ready(self, part, true);
      }
    }
  }
  pgc_free(back);
}

/* Whether one key may be the reason why a statement of many failed, which changed nothing. */
static bool may_be_one_keys(pgcache_status status) {
  switch (status) {
  case PGCACHE_SERVER_ERROR:
  case PGCACHE_CONFLICT:
  case PGCACHE_FULL:
  case PGCACHE_NO_MEMORY:
  case PGCACHE_DENIED:
  case PGCACHE_TIMEOUT:
    return true;
  default:
    return false;
  }
}

/* ---- With the crew ---- */

static void run_batch(pgc_job *job) {
  batch *self = (batch *)(void *)((char *)job - offsetof(batch, job));
  pgc_store *store = self->engine->store;
  self->sent.error = (pgcache_error)PGCACHE_ERROR_INIT;
  self->sent.status = store->run(store, &self->sent.op, &self->sent.error);
}

/* Another transaction has locked a row, or the table, for longer than a moment (lock_not_available: PostgreSQL
   documentation, appendix A). */
static bool met_a_lock(const batch *back) {
  return back->sent.status == PGCACHE_TIMEOUT && strcmp(back->sent.error.sqlstate, "55P03") == 0;
}

/* To the end of the queue of those that found a lock, or were sent together with one that did. They are tried one by one until their deadlines, on a lane of their
   own; each try ends on the server, so that none can still happen when a later write of the key has been done. */
static void requeue_locked(pgc_engine *self, batch *back) {
  for (size_t i = 0; i < back->count; i++) {
    for (pgc_part *part = back->parts[i], *twin; part != NULL; part = twin) {
      twin = part->twin;
      if (part->request->over || self->closing) {
        pgc_part_end(self, part, self->closing ? PGCACHE_CLOSED : PGCACHE_TIMEOUT, NULL);
        continue;
      }
      part->locked = true;
      pgc_part_make_ready(self, part, false);
    }
  }
  pgc_free(back);
}

static void settle(pgc_engine *self, batch *back) {
  if (met_a_lock(back))
    requeue_locked(self, back);
  else if (back->count > 1 && may_be_one_keys(back->sent.status))
    requeue(self, back, true);
  else
    end_all(self, back);
}

static void batch_ran(pgc_job *job) {
  batch *back = (batch *)(void *)((char *)job - offsetof(batch, job));
  settle(back->engine, back);
}

static void hand_to_crew(pgc_engine *self, batch *back) {
  back->job = (pgc_job){.work = run_batch, .done = batch_ran};
  if (self->store->open_channel == NULL) { /* it never waits */
    run_batch(&back->job);
    settle(self, back);
  } else if (pgc_crew_hand(&self->crew, &back->job)) {
    self->away++;
  } else {
    back->sent.status = pgc_fail(&back->sent.error, PGCACHE_NO_MEMORY, "no thread is left for the request");
    end_all(self, back);
  }
}

bool pgc_batches_receive(pgc_engine *self, pgc_lane *lane, pgc_sent *sent) {
  batch *back = (batch *)(void *)sent;
  bool ends_round = back->ends_round;
  if (sent->delivery == PGC_ASK_ON) { /* a round of its own */
    if (!self->closing && lane->channel->send(lane->channel, sent)) {
      back->ends_round = true;
      lane->sent++;
      lane->rounds++;
      lane->asked_on = true;
      return ends_round;
    }
    sent->delivery = PGC_RUN_AGAIN;
  }
  if (sent->delivery == PGC_RUN_AGAIN)
    hand_to_crew(self, back);
  else if (sent->delivery == PGC_LOST || sent->delivery == PGC_SEND_AGAIN)
    requeue(self, back, false);
  else
    settle(self, back);
  return ends_round;
}

void pgc_batches_run(pgc_engine *self) {
  do {
    for (int queue = 0; queue < PGC_QUEUES; queue++) {
      for (batch *made; (made = next_batch(self, queue, KEYS_MAX)) != NULL;) {
        made->sent.delivery = PGC_RUN_AGAIN;
        hand_to_crew(self, made);
      }
    }
  } while (pgc_engine_ready(self) > 0); /* what was done here lets go of what waited for it */
}

/* ---- Sending ---- */

/* Sends the next statement of a queue. How many keys it has; 0: nothing was sent. *last: the last one that was. */
static size_t send_one(pgc_engine *self, pgc_lane *lane, int queue, size_t limit, batch **last) {
  batch *made = next_batch(self, queue, limit);
  if (made == NULL)
    return 0;
  size_t count = made->count;
  made->sent.delivery = PGC_DELIVERED;
  if (!lane->channel->send(lane->channel, &made->sent)) {
    requeue(self, made, false);
    return 0;
  }
  lane->sent++;
  *last = made;
  return count;
}

/* Sends statements of a queue up to so many keys, one for each namespace among them; but not much more than one that is
   full of bytes, for the sake of the gets behind. */
static void send_some(pgc_engine *self, pgc_lane *lane, int queue, size_t share, int statements, batch **last) {
  while (statements-- > 0 && share > 0) {
    size_t sent = send_one(self, lane, queue, share, last);
    if (sent == 0 || (*last)->bytes > PUT_BYTES_MAX / 2)
      return;
    share -= sent < share ? sent : share;
  }
}

/* What is ready, gets first: they do not wait for the writes of their own round. */
static void send_all(pgc_engine *self, pgc_lane *lane, size_t share, batch **last) {
  send_some(self, lane, PGC_QUEUE_GET, share, STATEMENTS_MAX, last);
  send_some(self, lane, PGC_QUEUE_REMOVE, share, STATEMENTS_MAX, last);
  send_some(self, lane, PGC_QUEUE_PUT, share, STATEMENTS_MAX, last);
  send_some(self, lane, PGC_QUEUE_SINGLE, share, SINGLES_MAX, last);
}

/* One statement, of each queue in turn. */
static void send_any(pgc_engine *self, pgc_lane *lane, size_t share, batch **last) {
  for (int tried = 0; tried < PGC_QUEUE_LOCKED; tried++) {
    self->turn = (self->turn + 1) % PGC_QUEUE_LOCKED;
    if (self->ready[self->turn].count > 0) {
      send_one(self, lane, self->turn, share, last);
      return;
    }
  }
}

bool pgc_batches_send(pgc_engine *self, pgc_lane *lane, size_t share) {
  batch *last = NULL;
  if (lane->patient)
    send_one(self, lane, PGC_QUEUE_LOCKED, 1, &last);
  else
    (lane->channel->one_by_one ? send_any : send_all)(self, lane, share, &last);
  if (last != NULL) {
    last->ends_round = true;
    lane->rounds++;
  }
  return lane->channel->push(lane->channel) && !lane->channel->is_broken(lane->channel);
}
