/*
 * listener.c - see listener.h. The interface, for any thread; what the listener's own thread does is in listener_thread.c.
 *
 * Must never: wait for the server, or touch what is the thread's own once it was started.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "store/listener.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "platform/memory.h"
#include "pure/error.h"
#include "store/listener_inside.h"

/* What free() waits for: first that the thread ends by itself, then for an attempt to connect, which looks up ten times a
   second, but may also hang in a name look-up. */
#define END_US 100000
#define END_CONNECTING_US 250000

/* A fence begins another attempt to connect when the last one has failed so long ago. */
#define HURRY_US 50000

/* A thread that could not be started is tried again so much later. */
#define START_AGAIN_US 250000

/* ---- Waking and telling. All called with the mutex held. ---- */

static void wake(pgc_listener *self) {
  uint64_t one = 1;
  int fd = atomic_load(&self->wake_fd);
  if (fd == -1)
    return;
  ssize_t ignored = write(fd, &one, sizeof one); /* it fails only when it is so full that the thread is awake anyway */
  (void)ignored;
}

void pgc_listener_tell_failure(pgc_listener *self, const pgcache_error *error) {
  if (!atomic_load(&self->closed))
    self->state = *error;
  self->failed++;
  self->failed_at_us = pgc_monotonic_us();
  pthread_cond_broadcast(&self->told);
}

void pgc_listener_release_reference(pgc_listener *self) {
  bool last = --self->references == 0;
  pthread_mutex_unlock(&self->mutex);
  if (!last)
    return;
  int fd = atomic_load(&self->wake_fd);
  if (fd != -1)
    close(fd);
  pthread_cond_destroy(&self->told);
  pthread_mutex_destroy(&self->mutex);
  pgc_stamps_destroy(&self->stamps);
  pgc_connect_plan_clear(&self->plan);
  pgc_connect_plan_clear(&self->store_plan);
  pgc_buffer_clear(&self->chain.frames);
  pgc_sockets_free(self->sockets);
  pgc_free(self);
}

/* ---- The interface ---- */

/* Called with the mutex held. False: there is no thread to be had. */
static bool start(pgc_listener *self) {
  if (atomic_load(&self->started))
    return true;
  int64_t now = pgc_monotonic_us();
  if (self->state.status == PGCACHE_NO_MEMORY && now < self->failed_at_us + START_AGAIN_US)
    return false;
  if (atomic_load(&self->wake_fd) == -1)
    atomic_store(&self->wake_fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  self->references++;
  self->running = true;
  if (atomic_load(&self->wake_fd) != -1 && pgc_thread_start_detached(pgc_listener_run, self)) {
    atomic_store(&self->started, true);
    return true;
  }
  self->references--;
  self->running = false;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgc_fail(&error, PGCACHE_NO_MEMORY, "no thread or file descriptor was to be had for the near cache's connection");
  pgc_listener_tell_failure(self, &error);
  return false;
}

void pgc_listener_want(pgc_listener *self) {
  if (atomic_load_explicit(&self->started, memory_order_relaxed))
    return;
  pthread_mutex_lock(&self->mutex);
  if (!atomic_load(&self->closed))
    start(self);
  pthread_mutex_unlock(&self->mutex);
}

bool pgc_listener_is_started(const pgc_listener *self) {
  return self != NULL && atomic_load(&self->started);
}

static pgcache_status tell_state(const pgc_listener *self, pgcache_error *error) {
  return pgc_fail_sql(error, self->state.status, self->state.sqlstate, "%s", self->state.message);
}

pgcache_status pgc_listener_fence(pgc_listener *self, pgc_deadline deadline, pgcache_error *error) {
  pthread_mutex_lock(&self->mutex);
  pgcache_status status = PGCACHE_OK;
  bool started = atomic_load(&self->closed) || start(self);
  uint64_t need = self->sent + 1, failed = self->failed;
  if (self->wanted < need)
    self->wanted = need;
  if (self->pausing && self->state.status != PGCACHE_BAD_SETTING && pgc_monotonic_us() >= self->failed_at_us + HURRY_US)
    self->hurry = true;
  wake(self);
  for (bool late = false;;) {
    if (atomic_load(&self->closed))
      status = pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
    else if (self->done >= need)
      break;
    else if (!started || self->failed != failed || (self->pausing && !self->hurry))
      status = tell_state(self, error);
    else if (late)
      status = pgc_fail(error, PGCACHE_TIMEOUT, "the server did not answer the near cache's poll before the deadline");
    if (status != PGCACHE_OK)
      break;
    late = !pgc_cond_wait_until(&self->told, &self->mutex, deadline);
  }
  pthread_mutex_unlock(&self->mutex);
  return status;
}

bool pgc_listener_is_relay(pgc_listener *self) {
  return atomic_load(&self->leads);
}

void pgc_listener_shutdown(pgc_listener *self) {
  pthread_mutex_lock(&self->mutex);
  atomic_store(&self->closed, true);
  pgc_fail(&self->state, PGCACHE_CLOSED, "the handle was shut down");
  wake(self);
  pthread_cond_broadcast(&self->told);
  pthread_mutex_unlock(&self->mutex);
}

/* Waits until the thread is done with the near cache, or until then. */
static void wait_for_end(pgc_listener *self, bool also_connecting, pgc_deadline until) {
  while (self->running && (also_connecting || !self->connecting) &&
         pgc_cond_wait_until(&self->told, &self->mutex, until)) {
  }
}

void pgc_listener_free(pgc_listener *self) {
  if (self == NULL)
    return;
  pgc_listener_shutdown(self);
  int64_t now = pgc_monotonic_us();
  pthread_mutex_lock(&self->mutex);
  wait_for_end(self, true, now + END_US);
  pgc_sockets_wake_all(self->sockets); /* breaks off what it waits for */
  wait_for_end(self, true, now + END_CONNECTING_US);
  wait_for_end(self, false, PGC_NO_DEADLINE);
  pgc_listener_release_reference(self);
}

pgc_listener *pgc_listener_new(pgc_connect_plan *plan, pgc_connect_plan *store_plan,
                               const pgc_listener_settings *settings, pgc_near *near, pgc_counters *counters) {
  pgc_listener *self = pgc_alloc_zero(sizeof *self);
  pgc_sockets *sockets = pgc_sockets_new(2);
  if (self == NULL || sockets == NULL) {
    pgc_connect_plan_clear(plan);
    pgc_connect_plan_clear(store_plan);
    pgc_free(self);
    pgc_sockets_free(sockets);
    return NULL;
  }
  pthread_mutex_init(&self->mutex, NULL);
  pgc_cond_init(&self->told);
  pgc_stamps_init(&self->stamps, INT64_MAX);
  self->references = 1;
  atomic_init(&self->wake_fd, -1);
  self->sockets = sockets;
  self->plan = *plan;
  self->store_plan = *store_plan;
  *plan = *store_plan = (pgc_connect_plan){0};
  self->settings = *settings;
  self->near = near;
  self->counters = counters;
  self->error = self->state = (pgcache_error)PGCACHE_ERROR_INIT;
  pgc_fail(&self->state, PGCACHE_UNAVAILABLE, "the near cache has no connection yet");
  self->session = (pgc_session){.schema = settings->schema,
                                .kind = settings->kind,
                                .namespace_name = settings->namespace_name,
                                .stamps = &self->stamps,
                                .error = &self->error};
  pgc_store_u64(self->relay.holder, pgc_random_u64());
  pgc_store_u64(self->relay.holder + 8, pgc_random_u64());
  return self;
}

/* ---- After a fork ---- */

pgc_listener *pgc_listener_new_after_fork(const pgc_listener *parents, pgc_near *near, pgc_flights *flights) {
  pgc_connect_plan plan, store_plan = {0}; /* which never change, so that they can be read without the lock */
  pgc_listener_settings settings = parents->settings;
  settings.flights = flights;
  if (!pgc_connect_plan_copy(&plan, &parents->plan))
    return NULL;
  if (parents->store_plan.conninfo != NULL && !pgc_connect_plan_copy(&store_plan, &parents->store_plan)) {
    pgc_connect_plan_clear(&plan);
    return NULL;
  }
  pgc_listener *self = pgc_listener_new(&plan, &store_plan, &settings, near, parents->counters);
  if (self != NULL)
    atomic_store(&self->closed, atomic_load(&parents->closed));
  return self;
}

void pgc_listener_close_sockets_after_fork(pgc_listener *self) {
  pgc_sockets_close_after_fork(self->sockets);
  int fd = atomic_exchange(&self->wake_fd, -1);
  if (fd != -1)
    close(fd);
}
