/*
 * lanes.c - the engine's connections. One is opened when something is ready and no open one takes it; given back when there
 * was nothing to send for a moment, or when others wait for one.
 *
 * SPDX-License-Identifier: MIT
 */
#include "engine/inside.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/backoff.h"
#include "pure/error.h"

/* How many rounds are under way on a lane: while the server works on the one, the answers of the other are read. */
#define ROUNDS_MAX 2
/* A second round is sent when it carries at least so much: what waits for the first one grows into a larger batch. */
#define SECOND_ROUND_MIN 64
/* Less is not worth being divided among lanes. */
#define SHARE_MIN 32

#define LINGER_US 10000   /* an idle lane is kept so long */
#define LENT_US 100000    /* a busy one, when others wait for a connection */
#define SILENT_US 1000000 /* so long without a byte is too long, when somebody's deadline has passed */
#define AWAY_US 1000000   /* so long without a connection, and each attempt that fails is a failure of the server */
#define RETRY_US 10000    /* the pause when nothing could be sent */
#define OPEN_MS 5000      /* how long the crew waits for a connection before it tries anew */
#define BACKOFF_FIRST_US 20000
#define BACKOFF_MAX_US 250000 /* the pool's own pauses are longer where it helps; asking it is cheap */

bool pgc_lanes_init(pgc_engine *self) {
  self->lane_count = self->limits.connections + 1;
  self->lanes = pgc_alloc_zero((size_t)self->lane_count * sizeof *self->lanes);
  for (int i = 0; self->lanes != NULL && i < self->lane_count; i++)
    self->lanes[i].engine = self;
  if (self->lanes != NULL)
    self->lanes[self->lane_count - 1].patient = true;
  return self->lanes != NULL;
}

/* What a lane could carry. */
static size_t ready_for(const pgc_engine *self, const pgc_lane *lane) {
  size_t locked = self->ready[PGC_QUEUE_LOCKED].count;
  return lane->patient ? locked : pgc_engine_ready(self) - locked;
}

static bool takes_more(const pgc_engine *self, const pgc_lane *lane) {
  size_t ready = ready_for(self, lane);
  if (ready == 0 || lane->channel == NULL || lane->draining || lane->channel->is_full(lane->channel))
    return false;
  return lane->rounds == 0 ||
         (!lane->patient && !lane->channel->one_by_one && lane->rounds < ROUNDS_MAX && ready >= SECOND_ROUND_MIN);
}

/* ---- Opening ---- */

static void open_lane(pgc_job *job) {
  pgc_lane *lane = (pgc_lane *)((char *)job - offsetof(pgc_lane, job));
  pgc_store *store = lane->engine->store;
  lane->error = (pgcache_error)PGCACHE_ERROR_INIT;
  lane->status = store->open_channel(store, &lane->opened, pgc_deadline_in(OPEN_MS), &lane->busy, &lane->error);
}

static void begin(pgc_lane *lane, pgc_channel *channel) {
  lane->channel = channel;
  lane->sent = lane->rounds = 0;
  lane->draining = false;
  lane->opened_us = lane->heard_us = pgc_monotonic_us();
}

/* Waiting may help: what is queued waits for its deadline. */
static bool may_pass(pgcache_status status) {
  return status == PGCACHE_UNAVAILABLE || status == PGCACHE_TOO_MANY_CONNECTIONS || status == PGCACHE_TIMEOUT ||
         status == PGCACHE_CLOSED || status == PGCACHE_NO_MEMORY;
}

/* The next attempt may be made at once. */
static void note_failure(pgc_engine *self, const pgcache_error *error) {
  self->last_failure = *error;
  self->retry_at_us = pgc_monotonic_us();
  if (self->failures++ == 0)
    self->failing_since_us = self->retry_at_us;
}

static void lane_opened(pgc_job *job) {
  pgc_lane *lane = (pgc_lane *)((char *)job - offsetof(pgc_lane, job));
  pgc_engine *self = lane->engine;
  lane->opening = false;
  if (lane->status == PGCACHE_OK) {
    self->failures = 0;
    begin(lane, lane->opened);
    return;
  }
  if (!may_pass(lane->status)) { /* whoever comes next is to be told, too, and by a new attempt */
    pgc_engine_fail_ready(self, lane->status, &lane->error);
    return;
  }
  if (lane->busy)
    return; /* calls have them all: no failure, and somebody waits in line again */
  note_failure(self, &lane->error);
  /* After a server that only restarts the breaker need not look: what is queued waits for it. */
  if (self->retry_at_us - self->failing_since_us > AWAY_US)
    self->store->waited_in_vain(self->store, &self->last_failure);
  self->retry_at_us += pgc_backoff_us(self->failures - 1, BACKOFF_FIRST_US, BACKOFF_MAX_US, pgc_random_u64());
}

/* Takes a connection that lies ready: true; or has one opened. */
static bool open_one(pgc_engine *self, int64_t now_us) {
  pgc_lane *closed = NULL;
  for (int i = 0; i < self->lane_count; i++) {
    pgc_lane *lane = &self->lanes[i];
    if (lane->opening)
      return false; /* one at a time: the first may carry all */
    if (lane->channel == NULL && closed == NULL && ready_for(self, lane) > 0)
      closed = lane;
  }
  if (closed == NULL || now_us < self->retry_at_us)
    return false;
  pgc_channel *channel;
  pgc_store *store = self->store;
  bool busy;
  if (store->open_channel(store, &channel, 0, &busy, NULL) == PGCACHE_OK) {
    self->failures = 0;
    begin(closed, channel);
    return true;
  }
  closed->job = (pgc_job){.work = open_lane, .done = lane_opened};
  if (pgc_crew_hand(&self->openers, &closed->job)) {
    closed->opening = true;
    self->away++;
  } else {
    pgcache_error error = PGCACHE_ERROR_INIT;
    pgc_fail(&error, PGCACHE_NO_MEMORY, "no thread is left to open a connection");
    note_failure(self, &error);
    self->retry_at_us += BACKOFF_MAX_US;
  }
  return false;
}

/* ---- Sending and receiving ---- */

static void shut(pgc_lane *lane) {
  lane->channel->close(lane->channel);
  lane->channel = NULL;
}

static void receive(pgc_engine *self, pgc_lane *lane) {
  do {
    lane->asked_on = false;
    for (pgc_sent *sent; (sent = lane->channel->receive(lane->channel)) != NULL;) {
      lane->sent--;
      if (pgc_batches_receive(self, lane, sent))
        lane->rounds--;
    }
    if (lane->asked_on)
      lane->channel->push(lane->channel);
  } while (lane->asked_on && lane->channel->is_broken(lane->channel)); /* what was sent comes back */
  if (!lane->channel->is_broken(lane->channel))
    return;
  shut(lane);
  self->retry_at_us = pgc_monotonic_us() + RETRY_US; /* for a server that ends every connection soon */
}

void pgc_lane_serve(pgc_engine *self, pgc_lane *lane, int64_t heard_us) {
  lane->heard_us = heard_us;
  lane->channel->read(lane->channel);
  if (!lane->channel->is_broken(lane->channel) && lane->channel->is_full(lane->channel))
    lane->channel->push(lane->channel);
  receive(self, lane);
}

/* False: nothing was sent, for want of memory or because the lane broke. */
static bool feed(pgc_engine *self, pgc_lane *lane, size_t share, int64_t now_us) {
  size_t sent = lane->sent;
  if (sent == 0)
    lane->heard_us = now_us;
  bool sound = pgc_batches_send(self, lane, share);
  bool some = lane->sent > sent;
  receive(self, lane); /* what a broken lane carried; and what a channel gives back without sending it */
  return sound && some;
}

/* Whether a lane was given something, and there may be more. */
static bool feed_one(pgc_engine *self, int64_t now_us) {
  size_t willing = 0;
  pgc_lane *least = NULL;
  for (int i = 0; i < self->lane_count; i++) {
    pgc_lane *lane = &self->lanes[i];
    if (!takes_more(self, lane))
      continue;
    willing += !lane->patient;
    if (least == NULL || lane->rounds < least->rounds)
      least = lane;
  }
  if (least == NULL)
    return false;
  size_t share = 1;
  if (!least->patient) {
    share = (ready_for(self, least) + willing - 1) / willing;
    if (share < SHARE_MIN)
      share = SHARE_MIN;
  }
  bool fed = feed(self, least, share, now_us);
  if (!fed)
    self->retry_at_us = now_us + RETRY_US;
  return fed;
}

void pgc_lanes_feed(pgc_engine *self, int64_t now_us) {
  pgc_store *store = self->store;
  if (pgc_engine_ready(self) == 0)
    return;
  if (store->open_channel == NULL || store->is_troubled(store)) {
    pgc_batches_run(self);
    return;
  }
  do {
    while (feed_one(self, now_us))
      ;
  } while (pgc_engine_ready(self) > 0 && open_one(self, now_us));
}

/* ---- Closing ---- */

void pgc_lanes_suspect(pgc_engine *self, int64_t now_us) {
  bool connected = false;
  for (int i = 0; i < self->lane_count; i++) {
    pgc_lane *lane = &self->lanes[i];
    if (lane->channel != NULL && lane->sent > 0 && now_us - lane->heard_us > SILENT_US)
      pgc_lane_serve(self, lane, lane->heard_us); /* it may be this thread that did not listen */
    if (lane->channel != NULL && lane->sent > 0 && now_us - lane->heard_us > SILENT_US) {
      self->store->waited_in_vain(self->store, NULL);
      lane->channel->sever(lane->channel);
      receive(self, lane);
    }
    connected = connected || lane->channel != NULL;
  }
  /* A deadline that is shorter than that is the caller's, and says nothing about the server. */
  if (!connected && self->failures > 0 && now_us - self->failing_since_us > AWAY_US)
    self->store->waited_in_vain(self->store, &self->last_failure);
}

pgc_deadline pgc_lanes_tidy(pgc_engine *self, int64_t now_us) {
  pgc_deadline next = PGC_NO_DEADLINE;
  bool some_shut = false;
  for (int i = 0; i < self->lane_count; i++) {
    pgc_lane *lane = &self->lanes[i];
    if (lane->channel == NULL)
      continue;
    bool rests = lane->sent == 0;
    bool wanted = (rests || now_us - lane->opened_us > LENT_US) && lane->channel->is_wanted(lane->channel);
    lane->draining = lane->draining || wanted;
    if (!rests)
      continue;
    int64_t end_us = lane->heard_us + LINGER_US;
    if (self->closing || lane->draining || now_us >= end_us) {
      shut(lane);
      some_shut = true;
    } else if (end_us < next) {
      next = end_us;
    }
  }
  /* What was ready for one that is shut wants another one. */
  return some_shut && pgc_engine_ready(self) > 0 ? now_us : next;
}

bool pgc_lanes_connected(const pgc_engine *self) {
  for (int i = 0; i < self->lane_count; i++) {
    if (self->lanes[i].channel != NULL)
      return true;
  }
  return false;
}

bool pgc_lanes_shut(const pgc_engine *self) {
  for (int i = 0; i < self->lane_count; i++) {
    if (self->lanes[i].channel != NULL || self->lanes[i].opening)
      return false;
  }
  return true;
}
