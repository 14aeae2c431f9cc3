/*
 * publisher.c - see publisher.h. A process that only reads from its near cache has asked the store before.
 *
 * Owns: one thread for each handle and process, which sleeps but for one round trip in each interval. After a fork nothing of
 * the parent's is touched in the child, which begins a publisher of its own with its first call. Must never: hold the lock during
 * a call, let anybody wait for it but who frees the handle, or fail anything but itself: what goes wrong is counted.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/publisher.h"

#include "operations/samples.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "state/snapshot.h"

struct pgc_publisher {
  uint64_t fork_generation;
  pgcache *cache;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  pthread_t thread;
  bool started; /* these two under the lock */
  bool closing;
};

/* ---- The thread ---- */

static bool sleep_until(pgc_publisher *self, pgc_deadline deadline) {
  pthread_mutex_lock(&self->lock);
  bool awake = true;
  while (awake && !self->closing)
    awake = pgc_cond_wait_until(&self->changed, &self->lock, deadline);
  bool goes_on = !self->closing;
  pthread_mutex_unlock(&self->lock);
  return goes_on;
}

static pgcache_status publish(pgcache *cache) {
  const pgc_settings *settings = &cache->settings;
  pgcache_snapshot *snapshot = pgc_samples_take(cache);
  pgc_buffer bytes = PGC_BUFFER_INIT;
  pgcache_status status = PGCACHE_NO_MEMORY;
  if (snapshot != NULL && pgc_snapshot_pack(snapshot, &bytes) && bytes.size <= PGC_SUMMARY_MAX) {
    pgc_op op = {.kind = PGC_OP_WRITE_SUMMARY,
                 .deadline = pgc_deadline_in(settings->timeout_ms < settings->publish_ms ? settings->timeout_ms
                                                                                         : settings->publish_ms),
                 .namespace_name = settings->namespace_name,
                 .u.summary = {.origin = pgc_snapshot_origin(snapshot),
                               .interval_ms = (int32_t)settings->publish_ms,
                               .bytes = bytes.data,
                               .size = bytes.size}};
    status = cache->store->run(cache->store, &op, NULL);
  }
  pgc_buffer_clear(&bytes);
  pgc_snapshot_free(snapshot);
  return status;
}

static void *work(void *argument) {
  pgc_publisher *self = argument;
  const int64_t interval_us = self->cache->settings.publish_ms * 1000;
  /* Processes that were started together do not publish together. */
  pgc_deadline next = pgc_monotonic_us() + (int64_t)(pgc_random_u64() % (uint64_t)interval_us);
  while (sleep_until(self, next)) {
    pgc_counters *counters = &self->cache->store->counters;
    pgcache_status status = publish(self->cache);
    if (status == PGCACHE_CLOSED)
      break;
    pgc_count(status >= 0 ? &counters->summaries_published : &counters->publish_failures);
    next += interval_us;
    int64_t now = pgc_monotonic_us();
    if (next < now) /* the machine slept, or the server did not answer: what was missed is not made up for */
      next = now + interval_us;
  }
  return NULL;
}

/* ---- Its life ---- */

static void destroy(pgc_publisher *self) {
  pthread_cond_destroy(&self->changed);
  pthread_mutex_destroy(&self->lock);
  pgc_free(self);
}

/* Of this process; NULL: it has none. */
static pgc_publisher *publisher_here(pgcache *cache) {
  pgc_publisher *known = __atomic_load_n(&cache->publisher, __ATOMIC_SEQ_CST);
  return known != NULL && known->fork_generation == pgc_fork_generation() ? known : NULL;
}

void pgc_publisher_start(pgcache *cache) {
  pgc_publisher *known = __atomic_load_n(&cache->publisher, __ATOMIC_ACQUIRE);
  if (known != NULL && known->fork_generation == pgc_fork_generation())
    return;
  pgc_publisher *fresh = pgc_alloc_zero(sizeof *fresh);
  if (fresh == NULL)
    return; /* the next call tries again */
  fresh->fork_generation = pgc_fork_generation();
  fresh->cache = cache;
  pthread_mutex_init(&fresh->lock, NULL);
  pgc_cond_init(&fresh->changed);
  if (!__atomic_compare_exchange_n(&cache->publisher, &known, fresh, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
    destroy(fresh); /* another thread was first */
    return;
  }
  /* Whoever shuts the handle down either sees the publisher, or was seen here. */
  pthread_mutex_lock(&fresh->lock);
  if (!fresh->closing && !__atomic_load_n(&cache->closed, __ATOMIC_SEQ_CST)) {
    fresh->started = pgc_thread_start(&fresh->thread, work, fresh);
    if (!fresh->started) /* once: threads that are not to be had are not asked for by every call */
      pgc_count(&cache->store->counters.publish_failures);
  }
  pthread_mutex_unlock(&fresh->lock);
}

void pgc_publisher_end(pgcache *cache) {
  pgc_publisher *self = publisher_here(cache);
  if (self == NULL)
    return;
  pthread_mutex_lock(&self->lock);
  self->closing = true;
  pthread_cond_broadcast(&self->changed);
  pthread_mutex_unlock(&self->lock);
}

void pgc_publisher_leave(pgcache *cache) {
  pgc_publisher *self = publisher_here(cache);
  if (self == NULL || !self->started)
    return;
  pthread_join(self->thread, NULL);
  self->started = false;
}

void pgc_publisher_free(pgcache *cache) {
  pgc_publisher *self = publisher_here(cache);
  if (self != NULL)
    destroy(self);
  else
    pgc_free(cache->publisher); /* none, or the parent's: its lock is left alone */
}
