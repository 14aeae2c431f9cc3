/*
 * outcome.c - the end of a part and of a request. Each request gets here once, whichever way it ends; the engine's thread
 * alone decides.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "engine/inside.h"
#include "platform/clock.h"
#include "pure/error.h"

void pgc_part_make_ready(pgc_engine *self, pgc_part *part, bool first) {
  pgc_parts *queue = &self->ready[pgc_queue_of(part)];
  part->place = PGC_PART_READY;
  if (first)
    pgc_parts_prepend(queue, part);
  else
    pgc_parts_append(queue, part);
}

void pgc_part_admit(pgc_engine *self, pgc_part *part) {
  pgc_request *request = part->request;
  if (request->guide != NULL && request->guide->when != NULL) {
    part->wake_us = request->guide->when(request, part);
    if (part->answered) {
      pgc_part_end(self, part, part->key.status, NULL);
      return;
    }
    if (part->wake_us > 0) {
      pgc_sleepers_add(&self->sleepers, part);
      return;
    }
  }
  pgcache_status entered = pgc_order_enter(&self->order, part);
  if (entered == PGCACHE_OK) {
    pgc_part_make_ready(self, part, false);
  } else if (entered < 0) {
    part->place = PGC_PART_BLOCKED; /* it was not let in */
    pgc_part_end(self, part, entered, NULL);
  }
}

void pgc_engine_tell_completed(const pgc_engine *self, pgc_request *request) {
  if (self->limits.watch.completed != NULL)
    self->limits.watch.completed(self->limits.watch.context, request);
}

void pgc_request_over(pgc_engine *self, pgc_request *request) {
  pgc_engine_tell_completed(self, request);
  if (request->timed)
    pgc_timers_remove(&self->timers, request);
  request->timed = false;
  request->over = true;
  pgc_requests_append(&self->ended, request);
}

/* A read under on_error=miss; or what its maker says. */
static pgcache_status soften(pgc_engine *self, pgc_request *request, pgcache_status status) {
  bool read = request->kind == PGC_OP_GET || request->kind == PGC_OP_EXISTS;
  if (status < 0 && request->guide != NULL && request->guide->soften != NULL)
    return request->guide->soften(request, status);
  if (!read || !self->limits.failed_reads_miss || !pgc_failure_is_miss(status))
    return status;
  pgc_count(&self->store->counters.reads_failed);
  return PGCACHE_MISS;
}

void pgc_part_end(pgc_engine *self, pgc_part *part, pgcache_status status, const pgcache_error *error) {
  pgc_request *request = part->request;
  bool was_blocked = part->place == PGC_PART_BLOCKED;
  part->place = PGC_PART_DONE;
  if (request->part_ended != NULL && !part->answered)
    request->part_ended(request, part, status);
  if (request->guide != NULL && request->guide->ended != NULL)
    request->guide->ended(request, part, status);
  if (!was_blocked && pgc_op_writes(request->kind)) {
    pgc_parts released = pgc_order_leave(&self->order, part);
    while (released.first != NULL) {
      pgc_part *first = released.first;
      pgc_parts_remove(&released, first);
      pgc_part_make_ready(self, first, false);
    }
  }
  part->key.tags = NULL; /* whoever has them frees them */
  part->key.tag_count = 0;
  if (!part->waited && !request->over)
    status = soften(self, request, status);
  part->key.status = status;
  if (status < 0 && request->status >= 0) /* the first failure's message stands for all */
    pgc_request_settle(request, status, error);
  if (--request->parts_left > 0)
    return;
  if (request->items != NULL || request->part_count != 1) {
    pgcache_status whole = pgc_request_gather(request);
    if (whole != request->status)
      pgc_request_settle(request, whole, NULL);
  } else if (status >= 0) {
    request->version = status == PGCACHE_OK && pgc_op_writes(request->kind) ? part->key.version : 0;
    pgc_request_settle(request, status, NULL);
  }
  pgc_request_over(self, request);
}

void pgc_part_answered(pgc_engine *self, pgc_part *part, pgcache_status status, const pgcache_error *error) {
  pgc_request *request = part->request;
  pgcache_error closed = PGCACHE_ERROR_INIT;
  if (request->guide != NULL && request->guide->ask_again != NULL && !request->over &&
      request->guide->ask_again(request, part, &status)) {
    if (part->key.found != NULL)
      pgc_value_release(part->key.found);
    part->key.found = NULL;
    part->key.version = 0;
    if (!self->closing) {
      pgc_part_admit(self, part);
      return;
    }
    status = pgc_fail(&closed, PGCACHE_CLOSED, "the handle was shut down");
    error = &closed;
  }
  pgc_part_end(self, part, status, error);
}

void pgc_request_end(pgc_engine *self, pgc_request *request, pgcache_status status, const pgcache_error *error) {
  pgc_request_settle(request, status, error);
  pgc_request_over(self, request);
}

/* ---- Giving up ---- */

#define AHEAD_AGAIN_US 50000

static pgcache_status explain_unsent(const pgc_engine *self, const pgc_request *request, pgcache_status status,
                                     pgcache_error *error) {
  if (status == PGCACHE_CANCELLED)
    return pgc_fail(error, status, "the request was cancelled before it was sent");
  if (status == PGCACHE_CLOSED)
    return pgc_fail(error, status, "the handle was shut down");
  if (request != NULL && request->part_count > 0 && request->parts[0].place == PGC_PART_ASLEEP)
    return pgc_fail(error, status, "somebody else's load of the key did not end before the deadline");
  if (request != NULL && request->part_count > 0 && request->parts[0].locked)
    return pgc_fail_sql(error, status, "55P03",
                        "another transaction had it locked until the deadline; nothing was changed");
  if (self->failures > 0 && !pgc_lanes_connected(self))
    return pgc_fail_sql(error, status, self->last_failure.sqlstate,
                        "no connection before the deadline; the last attempt to open one: %s",
                        self->last_failure.message);
  return pgc_fail(error, status, "the deadline passed before the request could be sent");
}

static pgcache_status explain_sent(pgcache_status status, bool writes, pgcache_error *error) {
  const char *what = status == PGCACHE_CANCELLED ? "the request was cancelled" : "the deadline passed";
  if (writes)
    return pgc_fail(error, PGCACHE_UNKNOWN, "%s after a write was sent: it may or may not have happened", what);
  return pgc_fail(error, status, "%s before the server answered", what);
}

/* Lets a completion go ahead of its request, whose memory is still in use. When memory is out it comes later. */
static void complete_ahead(pgc_engine *self, pgc_request *request, pgcache_status status, const pgcache_error *error) {
  pgc_request *ahead = pgc_request_new_ahead(request, soften(self, request, status), error);
  if (ahead == NULL) { /* tried again, and at the latest it is complete when the server has answered */
    if (!request->timed) {
      request->deadline = pgc_monotonic_us() + AHEAD_AGAIN_US;
      pgc_timers_add(&self->timers, request);
      request->timed = true;
    }
    return;
  }
  if (request->timed)
    pgc_timers_remove(&self->timers, request);
  request->timed = false;
  request->over = ahead->over = true;
  if (request->part_count > 0) { /* what soften() gave; of others a keeper may be using it */
    ahead->load = request->load;
    ahead->drop_load = request->drop_load;
    request->load = NULL;
  }
  ahead->measured = request->measured;
  request->measured = (pgc_request_measure){0};
  pgc_engine_tell_completed(self, ahead);
  pthread_mutex_lock(&self->lock);
  ahead->id = request->id;
  ahead->waiter = request->waiter;
  request->waiter = NULL;
  request->state = PGC_REQUEST_ABANDONED;
  self->by_id[request->id & (self->by_id_size - 1)] = ahead;
  self->requests++;
  pthread_mutex_unlock(&self->lock);
  self->under_way++;
  pgc_requests_append(&self->ended, ahead);
}

void pgc_request_give_up(pgc_engine *self, pgc_request *request, pgcache_status status) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  if (request->put_off)
    status = PGCACHE_CANCELLED;
  request->put_off = status == PGCACHE_CANCELLED;
  if (request->parts_left == 0) { /* it has a job */
    if (pgc_crew_take_back(&self->keepers, &request->job)) {
      self->away--;
      status = explain_unsent(self, request, status, &error);
      pgc_request_end(self, request, status, &error);
    } else if (status == PGCACHE_CANCELLED) { /* it keeps to its deadline by itself */
      status = explain_sent(status, pgc_op_writes(request->kind), &error);
      complete_ahead(self, request, status, &error);
    }
    return;
  }
  bool away = false;
  size_t unsent = 0;
  for (size_t i = 0; i < request->part_count; i++) {
    away = away || request->parts[i].place == PGC_PART_AWAY;
    unsent += request->parts[i].place == PGC_PART_READY || request->parts[i].place == PGC_PART_BLOCKED ||
              request->parts[i].place == PGC_PART_ASLEEP;
  }
  pgcache_status why = explain_unsent(self, request, status, &error);
  for (size_t i = 0; unsent > 0; i++) { /* with the last one the request may be gone */
    pgc_part *part = &request->parts[i];
    if (part->place == PGC_PART_BLOCKED)
      pgc_order_unblock(part);
    else if (part->place == PGC_PART_READY)
      pgc_parts_remove(&self->ready[pgc_queue_of(part)], part);
    else if (part->place == PGC_PART_ASLEEP)
      pgc_parts_remove(&self->sleepers, part);
    else
      continue;
    part->waited = part->place == PGC_PART_ASLEEP;
    unsent--;
    pgc_part_end(self, part, why, &error);
  }
  if (away) {
    status = explain_sent(status, pgc_op_writes(request->kind), &error);
    complete_ahead(self, request, status, &error);
  }
}

void pgc_engine_fail_ready(pgc_engine *self, pgcache_status status, const pgcache_error *error) {
  for (int i = 0; i < PGC_QUEUES; i++) {
    while (self->ready[i].first != NULL) {
      pgc_part *first = self->ready[i].first;
      pgc_parts_remove(&self->ready[i], first);
      pgc_part_end(self, first, status, error);
    }
  }
}

/* What is blocked becomes ready when the write before it has ended. */
void pgc_engine_end_unsent(pgc_engine *self) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  explain_unsent(self, NULL, PGCACHE_CLOSED, &error);
  while (self->sleepers.first != NULL) {
    pgc_part *first = self->sleepers.first;
    pgc_parts_remove(&self->sleepers, first);
    pgc_part_end(self, first, PGCACHE_CLOSED, &error);
  }
  while (pgc_engine_ready(self) > 0)
    pgc_engine_fail_ready(self, PGCACHE_CLOSED, &error);
}
