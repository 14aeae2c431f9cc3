/*
 * engine.c - see engine.h. The callers' side: nothing here waits but for completions.
 *
 * SPDX-License-Identifier: MIT
 */
#include "engine/engine.h"

#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/inside.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"

#define BY_ID_FIRST 64
#define DISPATCH_MAX 1000

/* Threads that may wait. Lanes are opened one at a time; what waits for another reason must not keep them from it. */
#define OPENERS_MAX 1
#define CREW_MAX 2
#define KEEPERS_MAX 2

/* The descriptors never block, so that no signal breaks these off: a write fails when it is raised as far as can be anyway,
   a read when it was not raised. write() is a cancellation point, and the caller's thread may hold the lock. */
static void raise_event(int fd) {
  int cancellable;
  uint64_t one = 1;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
  ssize_t ignored = write(fd, &one, sizeof one);
  (void)ignored;
  pthread_setcancelstate(cancellable, NULL);
}

static void lower_event(int fd) {
  uint64_t count;
  ssize_t ignored = read(fd, &count, sizeof count);
  (void)ignored;
}

void pgc_engine_wake(void *engine) {
  raise_event(((pgc_engine *)engine)->wake_fd);
}

/* ---- Requests by their ids. With the lock held. ---- */

static pgc_request **place_of(const pgc_engine *self, uint64_t id) {
  return &self->by_id[id & (self->by_id_size - 1)];
}

static pgc_request *find(const pgc_engine *self, uint64_t id) {
  pgc_request *found = *place_of(self, id);
  return found != NULL && found->id == id ? found : NULL;
}

/* Places that differ modulo the old size differ modulo the new one, too. */
static bool grow_by_id(pgc_engine *self) {
  size_t size = self->by_id_size * 2;
  pgc_request **by_id = pgc_alloc_zero(size * sizeof(pgc_request *));
  if (by_id == NULL)
    return false;
  for (size_t i = 0; i < self->by_id_size; i++) {
    if (self->by_id[i] != NULL)
      by_id[self->by_id[i]->id & (size - 1)] = self->by_id[i];
  }
  pgc_free(self->by_id);
  self->by_id = by_id;
  self->by_id_size = size;
  return true;
}

/* So that no two handles of a process give the same. */
static _Atomic uint64_t last_id;

/* At least half of the places are free, so that the next free one is near. */
static bool give_id(pgc_engine *self, pgc_request *request) {
  if (self->in_table >= self->by_id_size / 2 && !grow_by_id(self))
    return false;
  do {
    request->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
  } while (*place_of(self, request->id) != NULL);
  *place_of(self, request->id) = request;
  self->in_table++;
  self->incomplete++;
  return true;
}

/* The descriptor is readable exactly while a completion waits. */
static void show_event(pgc_engine *self) {
  bool waiting = self->complete.first != NULL || self->with_callback.first != NULL;
  if (!self->fd_used || waiting == self->fd_set)
    return;
  (waiting ? raise_event : lower_event)(self->event_fd);
  self->fd_set = waiting;
}

/* One of many keys counts as so many. */
static size_t weight_of(const pgc_request *request) {
  return request->part_count > 0 ? request->part_count : 1;
}

static void discount(pgc_engine *self, const pgc_request *request) {
  self->requests -= weight_of(request);
  self->bytes -= request->bytes;
}

/* It leaves the engine; with the lock held. */
static void let_go(pgc_engine *self, pgc_request *request) {
  *place_of(self, request->id) = NULL;
  self->in_table--;
  discount(self, request);
}

/* What is under way, and what comes to it: one is always let in. */
static bool is_too_much(size_t there, size_t more, size_t most) {
  return there > 0 && (there >= most || more > most - there);
}

/* ---- Submitting ---- */

/* Gives a request its id if there is room for it; with the lock held. */
static pgcache_status admit(pgc_engine *self, pgc_request *request, uint64_t *id, pgcache_error *error) {
  pgcache_status status = PGCACHE_OK;
  if (self->closed)
    status = pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
  else if (!request->owed && is_too_much(self->requests, weight_of(request), self->limits.requests_max))
    status = pgc_fail(error, PGCACHE_QUEUE_FULL,
                      "%zu requests are under way or wait to be taken; take completions first, or raise "
                      "async_requests_max",
                      self->requests);
  else if (!request->owed && request->bytes > 0 && is_too_much(self->bytes, request->bytes, self->limits.bytes_max))
    status = pgc_fail(error, PGCACHE_QUEUE_FULL,
                      "requests of %zu bytes are under way or wait to be taken; take completions first, or raise "
                      "async_bytes_max",
                      self->bytes);
  else if (!give_id(self, request))
    status = pgc_fail_memory(error);
  if (status != PGCACHE_OK)
    return status;
  self->requests += weight_of(request);
  self->bytes += request->bytes;
  if (id != NULL)
    *id = request->id;
  return PGCACHE_OK;
}

static void begin(pgc_engine *self, pgc_request *request) {
  request->engine = self;
  request->state = PGC_REQUEST_UNDER_WAY;
  request->parts_left = request->part_count;
  for (size_t i = 0; i < request->part_count; i++) {
    request->parts[i].request = request;
    if (request->parts[i].answered) {
      request->parts[i].place = PGC_PART_DONE;
      request->parts_left--;
    }
  }
}

pgcache_status pgc_engine_submit(pgc_engine *self, pgc_request *request, uint64_t *id, pgcache_error *error) {
  begin(self, request);
  pthread_mutex_lock(&self->lock);
  pgcache_status status = admit(self, request, id, error);
  bool wake = false;
  if (status == PGCACHE_OK) {
    pgc_requests_append(&self->submitted, request);
    wake = self->asleep;
    self->asleep = false;
  }
  pthread_mutex_unlock(&self->lock);
  if (wake)
    pgc_engine_wake(self);
  return status;
}

pgcache_status pgc_engine_cancel(pgc_engine *self, uint64_t id) {
  pthread_mutex_lock(&self->lock);
  pgc_request *found = find(self, id);
  bool there = found != NULL && found->state == PGC_REQUEST_UNDER_WAY;
  bool wake = false;
  if (there && !found->cancelled) {
    found->cancelled = true;
    found->next_cancelled = self->cancelled;
    self->cancelled = found;
    wake = self->asleep;
    self->asleep = false;
  }
  pthread_mutex_unlock(&self->lock);
  if (wake)
    pgc_engine_wake(self);
  return there ? PGCACHE_OK : PGCACHE_MISS;
}

void pgc_engine_rouse(pgc_engine *self, const pgc_digest *digest) {
  pthread_mutex_lock(&self->lock);
  pgc_roused_add(&self->roused, digest);
  bool wake = self->asleep;
  self->asleep = false;
  pthread_mutex_unlock(&self->lock);
  if (wake)
    pgc_engine_wake(self);
}

/* ---- Completions ---- */

/* Those that were cancelled and ended otherwise meanwhile are no longer to be given up. */
static void forget_cancelled(pgc_engine *self) {
  for (pgc_request **link = &self->cancelled; *link != NULL;) {
    if ((*link)->state == PGC_REQUEST_UNDER_WAY)
      link = &(*link)->next_cancelled;
    else
      *link = (*link)->next_cancelled;
  }
}

/* Gives one that has ended to whoever waits for it; with the lock held. True: it is nobody's, and to be freed. */
static bool hand_over_one(pgc_engine *self, pgc_request *request) {
  if (request->state == PGC_REQUEST_ABANDONED) { /* its place is that of the completion that went ahead, or of nobody */
    discount(self, request);
    return true;
  }
  request->state = PGC_REQUEST_COMPLETE;
  self->incomplete--;
  if (request->discarded) {
    let_go(self, request);
    return true;
  }
  if (request->waiter != NULL) {
    let_go(self, request);
    request->waiter->given = request;
    pthread_cond_signal(&request->waiter->woken);
  } else {
    pgc_requests_append(request->callback.call != NULL ? &self->with_callback : &self->complete, request);
  }
  return false;
}

void pgc_engine_hand_over(pgc_engine *self) {
  if (self->ended.first == NULL)
    return;
  pgc_requests nobodys = {NULL, NULL};
  pthread_mutex_lock(&self->lock);
  while (self->ended.first != NULL) {
    pgc_request *first = self->ended.first;
    pgc_requests_remove(&self->ended, first);
    self->under_way--;
    if (hand_over_one(self, first))
      pgc_requests_append(&nobodys, first);
  }
  forget_cancelled(self);
  show_event(self);
  if (self->dispatchers > 0 && (self->with_callback.first != NULL || self->closed))
    pthread_cond_broadcast(&self->dispatchable);
  pthread_mutex_unlock(&self->lock);
  while (nobodys.first != NULL) {
    pgc_request *first = nobodys.first;
    pgc_requests_remove(&nobodys, first);
    pgc_request_free(first);
  }
}

void pgc_engine_look(pgc_engine *self, pgc_engine_load *out) {
  pthread_mutex_lock(&self->lock);
  *out = (pgc_engine_load){self->incomplete, self->in_table - self->incomplete, self->bytes};
  pthread_mutex_unlock(&self->lock);
}

int pgc_engine_event_fd(pgc_engine *self) {
  pthread_mutex_lock(&self->lock);
  self->fd_used = true;
  show_event(self);
  pthread_mutex_unlock(&self->lock);
  return self->event_fd;
}

/* With the lock held; NULL: there is none. */
static pgc_request *take_first(pgc_engine *self, pgc_requests *from) {
  pgc_request *first = from->first;
  if (first == NULL)
    return NULL;
  pgc_requests_remove(from, first);
  let_go(self, first);
  show_event(self);
  return first;
}

static void tell_taken(const pgc_engine *self, pgc_request *request) {
  if (request != NULL && self->limits.watch.taken != NULL)
    self->limits.watch.taken(self->limits.watch.context, request);
}

pgcache_status pgc_engine_take(pgc_engine *self, pgc_request **out) {
  pthread_mutex_lock(&self->lock);
  *out = take_first(self, &self->complete);
  pthread_mutex_unlock(&self->lock);
  tell_taken(self, *out);
  return *out != NULL ? PGCACHE_OK : PGCACHE_MISS;
}

pgcache_status pgc_engine_submit_answered(pgc_engine *self, pgc_request *request, uint64_t *id, pgcache_error *error) {
  begin(self, request);
  pgc_request_settle(request, request->items != NULL ? pgc_request_gather(request) : request->parts[0].key.status,
                     NULL);
  pthread_mutex_lock(&self->lock);
  pgcache_status status = admit(self, request, id, error);
  if (status == PGCACHE_OK) {
    pgc_engine_tell_completed(self, request); /* before anybody can take it */
    (void)hand_over_one(self, request);       /* somebody's: nobody else has its id yet */
    show_event(self);
    if (self->dispatchers > 0 && self->with_callback.first != NULL)
      pthread_cond_broadcast(&self->dispatchable);
  }
  pthread_mutex_unlock(&self->lock);
  return status;
}

pgcache_status pgc_engine_wait(pgc_engine *self, pgc_request **out, uint64_t id, pgc_deadline until) {
  pgc_wait me = {.given = NULL};
  pgcache_status status = PGCACHE_OK;
  *out = NULL;
  pthread_mutex_lock(&self->lock);
  pgc_request *found = find(self, id);
  if (found == NULL || found->waiter != NULL || found->callback.call != NULL || found->discarded) {
    status = PGCACHE_MISS;
  } else if (found->state == PGC_REQUEST_COMPLETE) {
    pgc_requests_remove(&self->complete, found);
    let_go(self, found);
    show_event(self);
    *out = found;
  } else {
    pgc_cond_init(&me.woken);
    found->waiter = &me;
    bool in_time = true;
    while (me.given == NULL && in_time)
      in_time = pgc_cond_wait_until(&me.woken, &self->lock, until);
    *out = me.given;
    if (me.given == NULL) {
      find(self, id)->waiter = NULL; /* not always `found`: a completion may have gone ahead of it */
      status = PGCACHE_TIMEOUT;
    }
    pthread_cond_destroy(&me.woken);
  }
  pthread_mutex_unlock(&self->lock);
  tell_taken(self, *out);
  return status;
}

pgcache_status pgc_engine_dispatch(pgc_engine *self, size_t *count, pgc_deadline until) {
  bool in_time = true;
  *count = 0;
  pthread_mutex_lock(&self->lock);
  self->dispatchers++;
  while (self->with_callback.first == NULL && in_time && !(self->closed && self->incomplete == 0))
    in_time = pgc_cond_wait_until(&self->dispatchable, &self->lock, until);
  self->dispatchers--;
  bool over = self->with_callback.first == NULL && self->closed && self->incomplete == 0;
  while (*count < DISPATCH_MAX) {
    pgc_request *first = take_first(self, &self->with_callback);
    if (first == NULL)
      break;
    pthread_mutex_unlock(&self->lock);
    tell_taken(self, first);
    first->callback.call(first->callback.userdata, first);
    pgc_request_free(first);
    ++*count;
    pthread_mutex_lock(&self->lock);
  }
  pthread_mutex_unlock(&self->lock);
  return over ? PGCACHE_CLOSED : PGCACHE_OK;
}

/* ---- Beginning and end ---- */

static void end_crews(pgc_engine *self) {
  pgc_crew_end(&self->openers);
  pgc_crew_end(&self->crew);
  pgc_crew_end(&self->keepers);
}

static void free_all(pgc_engine *self) {
  if (self->event_fd >= 0)
    close(self->event_fd);
  if (self->wake_fd >= 0)
    close(self->wake_fd);
  pgc_order_destroy(&self->order);
  pgc_free(self->by_id);
  pgc_free(self->lanes);
  pgc_free(self);
}

pgcache_status pgc_engine_new(pgc_engine **out, pgc_store *store, const pgc_engine_limits *limits,
                              pgcache_error *error) {
  *out = NULL;
  pgc_engine *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL)
    return pgc_fail_memory(error);
  self->store = store;
  self->limits = *limits;
  self->last_failure = (pgcache_error)PGCACHE_ERROR_INIT;
  self->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->by_id = pgc_alloc_zero(BY_ID_FIRST * sizeof(pgc_request *));
  self->by_id_size = BY_ID_FIRST;
  self->asleep = true;
  pgc_timers_init(&self->timers, pgc_monotonic_us());
  if (!pgc_order_init(&self->order) || !pgc_lanes_init(self) || self->by_id == NULL) {
    free_all(self);
    return pgc_fail_memory(error);
  }
  if (self->event_fd < 0 || self->wake_fd < 0) {
    free_all(self);
    return pgc_fail(error, PGCACHE_NO_MEMORY, "no descriptor is left for the engine of the requests");
  }
  pthread_mutex_init(&self->lock, NULL);
  pgc_cond_init(&self->dispatchable);
  pgc_crew_init(&self->openers, OPENERS_MAX, pgc_engine_wake, self);
  pgc_crew_init(&self->crew, CREW_MAX, pgc_engine_wake, self);
  pgc_crew_init(&self->keepers, KEEPERS_MAX, pgc_engine_wake, self);
  if (!pgc_thread_start(&self->thread, pgc_engine_loop, self)) {
    end_crews(self);
    pthread_cond_destroy(&self->dispatchable);
    pthread_mutex_destroy(&self->lock);
    free_all(self);
    return pgc_fail(error, PGCACHE_NO_MEMORY, "no thread is left for the engine of the requests");
  }
  *out = self;
  return PGCACHE_OK;
}

void pgc_engine_shutdown(pgc_engine *self) {
  pthread_mutex_lock(&self->lock);
  self->closed = true;
  pthread_cond_broadcast(&self->dispatchable);
  pthread_mutex_unlock(&self->lock);
  pgc_engine_wake(self);
}

void pgc_engine_free(pgc_engine *self) {
  pthread_join(self->thread, NULL);
  end_crews(self);
  for (size_t i = 0; i < self->by_id_size; i++) { /* complete, and never taken */
    tell_taken(self, self->by_id[i]);
    pgc_request_free(self->by_id[i]);
  }
  pthread_cond_destroy(&self->dispatchable);
  pthread_mutex_destroy(&self->lock);
  free_all(self);
}
