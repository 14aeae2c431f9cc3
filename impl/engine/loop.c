/*
 * loop.c - the engine's thread. It waits in poll() alone.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>
#include <unistd.h>

#include "engine/inside.h"
#include "platform/memory.h"
#include "pure/error.h"

static void run_request(pgc_job *job) {
  pgc_request *request = (pgc_request *)((char *)job - offsetof(pgc_request, job));
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status = request->run(request, &error);
  pgc_request_settle(request, status, &error);
}

static void run_ended(pgc_job *job) {
  pgc_request *request = (pgc_request *)((char *)job - offsetof(pgc_request, job));
  pgc_request_over(request->engine, request);
}

static void watch(pgc_engine *self, pgc_request *request) {
  request->timed = request->deadline != PGC_NO_DEADLINE;
  if (request->timed)
    pgc_timers_add(&self->timers, request);
}

/* Takes in a request without parts. */
static void take_in_job(pgc_engine *self, pgc_request *request) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (request->run == NULL) {
    pgc_request_end(self, request, PGCACHE_OK, NULL);
    return;
  }
  request->job = (pgc_job){.work = run_request, .done = run_ended};
  watch(self, request); /* before: the request is the keeper's then */
  if (pgc_crew_hand(&self->keepers, &request->job)) {
    self->away++;
  } else {
    pgc_request_end(self, request, pgc_fail(&error, PGCACHE_NO_MEMORY, "no thread is left for the request"), &error);
  }
}

static void take_in_parts(pgc_engine *self, pgc_request *request, int64_t now_us) {
  size_t count = request->part_count;
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (request->deadline <= now_us)
    pgc_fail(&error, PGCACHE_TIMEOUT, "the deadline passed before anything was sent");
  else if (self->closing)
    pgc_fail(&error, PGCACHE_CLOSED, "the handle was shut down");
  if (error.status == PGCACHE_OK) {
    watch(self, request);
  }
  for (size_t i = 0; i < count; i++) { /* with the last one the request may have ended */
    pgc_part *part = &request->parts[i];
    if (part->place == PGC_PART_DONE)
      continue;
    if (error.status == PGCACHE_OK) {
      pgc_part_admit(self, part);
    } else {
      part->place = PGC_PART_BLOCKED; /* it was not let in */
      pgc_part_end(self, part, error.status, &error);
    }
  }
}

static void wake_up(pgc_engine *self, int64_t now_us, pgc_roused *roused) {
  pgc_parts awake = pgc_sleepers_pop(&self->sleepers, now_us, roused);
  while (awake.first != NULL) {
    pgc_part *first = awake.first;
    pgc_parts_remove(&awake, first);
    pgc_part_admit(self, first);
  }
}

/* Takes in what was submitted, gives up what was cancelled: which is not handed over before, and so is still there; and
   wakes who slept. */
static void take_in(pgc_engine *self, int64_t now_us) {
  pthread_mutex_lock(&self->lock);
  pgc_request *submitted = self->submitted.first;
  pgc_request *cancelled = self->cancelled;
  bool closed = self->closed;
  pgc_roused roused = self->roused;
  self->roused.count = 0;
  self->submitted = (pgc_requests){NULL, NULL};
  self->asleep = false;
  self->cancelled = NULL;
  pthread_mutex_unlock(&self->lock);

  if (closed && !self->closing) {
    self->closing = true;
    pgc_engine_end_unsent(self);
  }
  while (submitted != NULL) {
    pgc_request *next = submitted->next;
    submitted->next = submitted->previous = NULL;
    self->under_way++;
    if (submitted->part_count == 0)
      take_in_job(self, submitted);
    else
      take_in_parts(self, submitted, now_us);
    submitted = next;
  }
  while (cancelled != NULL) {
    pgc_request *next = cancelled->next_cancelled;
    if (!cancelled->over)
      pgc_request_give_up(self, cancelled, PGCACHE_CANCELLED);
    cancelled = next;
  }
  wake_up(self, now_us, &roused);
}

static void take_back_jobs(pgc_engine *self, pgc_crew *crew) {
  pgc_job *job = pgc_crew_done(crew);
  while (job != NULL) {
    pgc_job *next = job->next;
    self->away--;
    job->done(job);
    job = next;
  }
}

/* Notes in the store which entries were read, when there is a limit to be kept. What fails is not tried again. */
#define STAMP_MS 1000

static void stamp(pgc_job *job) {
  pgc_engine *self = (pgc_engine *)((char *)job - offsetof(pgc_engine, stamp_job));
  pgc_op op = {.kind = PGC_OP_STAMP, .deadline = pgc_deadline_in(STAMP_MS)};
  (void)self->store->run(self->store, &op, NULL);
}

static void stamped(pgc_job *job) {
  ((pgc_engine *)((char *)job - offsetof(pgc_engine, stamp_job)))->stamping = false;
}

static void stamp_if_due(pgc_engine *self) {
  if (self->store->is_stamp_due == NULL || self->stamping || self->closing || !self->store->is_stamp_due(self->store))
    return;
  self->stamp_job = (pgc_job){.work = stamp, .done = stamped};
  self->stamping = pgc_crew_hand(&self->crew, &self->stamp_job);
  self->away += self->stamping;
}

static void look_at_clock(pgc_engine *self, int64_t now_us) {
  bool late = false;
  for (pgc_request *due; (due = pgc_timers_pop(&self->timers, now_us)) != NULL;) {
    due->timed = false;
    pgc_request_give_up(self, due, PGCACHE_TIMEOUT);
    late = true;
  }
  if (late)
    pgc_lanes_suspect(self, now_us);
}

/* Sleeps until something happens, unless it has. */
static void wait_for_events(pgc_engine *self, struct pollfd *polled, pgc_lane **of, pgc_deadline until) {
  nfds_t count = 1;
  polled[0] = (struct pollfd){.fd = self->wake_fd, .events = POLLIN};
  for (int i = 0; i < self->lane_count; i++) {
    pgc_lane *lane = &self->lanes[i];
    if (lane->channel == NULL)
      continue;
    bool full = lane->channel->is_full(lane->channel);
    polled[count] = (struct pollfd){.fd = lane->channel->descriptor(lane->channel),
                                    .events = (short)(POLLIN | (full ? POLLOUT : 0))};
    of[count++] = lane;
  }
  pthread_mutex_lock(&self->lock);
  bool sleep = self->submitted.first == NULL && self->cancelled == NULL && self->roused.count == 0 &&
               (self->closing || !self->closed);
  self->asleep = sleep;
  pthread_mutex_unlock(&self->lock);

  int ready = poll(polled, count, sleep ? pgc_deadline_poll_ms(until) : 0);
  if (ready > 0 && polled[0].revents != 0) {
    uint64_t times;
    (void)!read(self->wake_fd, &times, sizeof times);
  }
  int64_t now_us = pgc_monotonic_us();
  for (nfds_t i = 1; ready > 0 && i < count; i++) {
    if (polled[i].revents != 0)
      pgc_lane_serve(self, of[i], now_us);
  }
}

static pgc_deadline sooner(pgc_deadline left, pgc_deadline right) {
  return left < right ? left : right;
}

void *pgc_engine_loop(void *engine) {
  enum { POLLED_MAX = 1 + 64 + 1 };
  pgc_engine *self = engine;
  struct pollfd polled[POLLED_MAX];
  pgc_lane *of[POLLED_MAX];
  for (;;) {
    int64_t now_us = pgc_monotonic_us();
    take_in(self, now_us);
    take_back_jobs(self, &self->openers);
    take_back_jobs(self, &self->crew);
    take_back_jobs(self, &self->keepers);
    look_at_clock(self, now_us);
    if (self->closing)
      pgc_engine_end_unsent(self);
    else
      pgc_lanes_feed(self, now_us);
    pgc_engine_hand_over(self);
    stamp_if_due(self);
    pgc_deadline tidy = pgc_lanes_tidy(self, now_us);
    if (self->closing && self->under_way == 0 && self->away == 0 && pgc_lanes_shut(self))
      break;
    pgc_deadline until = sooner(pgc_timers_next(&self->timers), tidy);
    if (self->sleepers.first != NULL)
      until = sooner(until, self->sleepers.first->wake_us);
    if (pgc_engine_ready(self) > 0)
      until = sooner(until, self->retry_at_us > now_us ? self->retry_at_us : until);
    wait_for_events(self, polled, of, until);
    pgc_engine_hand_over(self);
  }
  return NULL;
}
