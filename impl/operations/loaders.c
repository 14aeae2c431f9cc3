/*
 * loaders.c - see loaders.h.
 *
 * Owns: the threads of one handle in one process, and the jobs that wait for them. They are started when they are
 * needed, and stay. In a forked child the parent's are left as they are. Must never: run a loader with the lock held,
 * keep more jobs waiting than the threads can be expected to do soon, because leases do not wait, or let a thread of
 * its own wait for another one.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/loaders.h"

#include <pthread.h>

#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"

/* How many jobs wait for each thread. */
#define WAITING_MAX 16

struct pgc_loaders {
  uint64_t fork_generation;
  pthread_mutex_t lock;
  pthread_cond_t wanted; /* a job has come, or the end */
  pthread_cond_t done;   /* a job has ended */
  pgc_loader_job *first, *last;
  int waiting, idle, most, thread_count;
  bool closing;
  pthread_t threads[];
};

/* A loader that calls the handle again must not wait for the thread that it runs on. */
static _Thread_local bool is_loader;

static pgc_loaders *loaders_here(pgcache *cache) {
  pgc_loaders *known = __atomic_load_n(&cache->loaders, __ATOMIC_ACQUIRE);
  return known != NULL && known->fork_generation == pgc_fork_generation() ? known : NULL;
}

static void loaders_free(pgc_loaders *self) {
  pthread_cond_destroy(&self->done);
  pthread_cond_destroy(&self->wanted);
  pthread_mutex_destroy(&self->lock);
  pgc_free(self);
}

/* Made by the first who needs them. NULL when out of memory. */
static pgc_loaders *loaders_of(pgcache *cache) {
  pgc_loaders *known = __atomic_load_n(&cache->loaders, __ATOMIC_ACQUIRE);
  if (known != NULL && known->fork_generation == pgc_fork_generation())
    return known;
  int most = cache->settings.load_threads;
  pgc_loaders *fresh = pgc_alloc_zero(sizeof *fresh + (size_t)most * sizeof fresh->threads[0]);
  if (fresh == NULL)
    return NULL;
  fresh->fork_generation = pgc_fork_generation();
  fresh->most = most;
  pthread_mutex_init(&fresh->lock, NULL);
  pgc_cond_init(&fresh->wanted);
  pgc_cond_init(&fresh->done);
  if (__atomic_compare_exchange_n(&cache->loaders, &known, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return fresh;      /* the parent's are left as they are */
  loaders_free(fresh); /* another thread was first */
  return known;
}

/* ---- One load ---- */

pgcache_status pgc_loader_run(pgcache_load *load, const pgcache_loader *loader, pgcache_value **value,
                              pgcache_error *error) {
  pgcache_error theirs = PGCACHE_ERROR_INIT;
  *value = NULL;
  load->keeps = true;
  pgcache_status status = loader->load(loader->context, load, &theirs);
  bool failed = !load->ended && load->kept == NULL && !load->lost;
  if (failed && status >= 0)
    status = pgc_fail(&theirs, PGCACHE_INVALID, "the loader returned without having ended the load");
  if (failed)
    (void)pgc_load_give_up(load, value, NULL, NULL);
  if (*value != NULL)
    return PGCACHE_STALE;
  if (!load->ended) /* what it loaded is not what can be stored */
    (void)pgc_load_give_back(load);
  if (load->kept != NULL) {
    *value = load->kept;
    load->kept = NULL;
    return PGCACHE_OK;
  }
  if (load->lost)
    return pgc_fail_memory(error);
  if (status >= 0 || load->absent)
    return PGCACHE_MISS;
  theirs.sqlstate[sizeof theirs.sqlstate - 1] = '\0';
  theirs.message[sizeof theirs.message - 1] = '\0';
  return pgc_fail_sql(error, status, theirs.sqlstate, "%s",
                      theirs.message[0] != '\0' ? theirs.message : "the loader failed");
}

static void let_go(pgc_loader_job *job) {
  if (job->value != NULL)
    pgc_value_release(job->value);
  pgc_free(job);
}

/* ---- The threads ---- */

static pgc_loader_job *take_first(pgc_loaders *self) {
  pgc_loader_job *first = self->first;
  self->first = first->next;
  if (self->first == NULL)
    self->last = NULL;
  self->waiting--;
  return first;
}

static void do_job(pgc_loader_job *job, bool closing) {
  job->error = (pgcache_error)PGCACHE_ERROR_INIT;
  if (closing)
    job->status = pgc_fail(&job->error, PGCACHE_CLOSED, "the handle was shut down");
  else
    job->status = pgc_loader_run(job->load, &job->loader, &job->value, &job->error);
  pgcache_load_free(job->load);
  job->load = NULL;
  if (job->loader.release != NULL)
    job->loader.release(job->loader.context);
}

static void *serve(void *argument) {
  pgc_loaders *self = argument;
  is_loader = true;
  pthread_mutex_lock(&self->lock);
  for (;;) {
    while (self->first == NULL && !self->closing) {
      self->idle++;
      pthread_cond_wait(&self->wanted, &self->lock);
      self->idle--;
    }
    if (self->first == NULL)
      break;
    pgc_loader_job *job = take_first(self);
    bool closing = self->closing;
    pthread_mutex_unlock(&self->lock);
    do_job(job, closing);
    pthread_mutex_lock(&self->lock);
    job->done = true;
    bool last = --job->refs == 0;
    if (last)
      let_go(job);
    else
      pthread_cond_broadcast(&self->done);
  }
  pthread_mutex_unlock(&self->lock);
  return NULL;
}

bool pgc_loaders_hand(pgcache *cache, pgc_loader_job *job) {
  pgc_loaders *self = is_loader ? NULL : loaders_of(cache);
  if (self == NULL)
    return false;
  pthread_mutex_lock(&self->lock);
  if (!self->closing && self->idle <= self->waiting && self->thread_count < self->most &&
      pgc_thread_start(&self->threads[self->thread_count], serve, self))
    self->thread_count++;
  bool taken = !self->closing && self->thread_count > 0 && self->waiting < WAITING_MAX * self->thread_count;
  if (taken) {
    job->refs = 2;
    job->next = NULL;
    if (self->last != NULL)
      self->last->next = job;
    else
      self->first = job;
    self->last = job;
    self->waiting++;
    pthread_cond_signal(&self->wanted);
  }
  pthread_mutex_unlock(&self->lock);
  return taken;
}

bool pgc_loaders_await(pgcache *cache, pgc_loader_job *job, pgc_deadline until, pgcache_status *status,
                       pgcache_value **value, pgcache_error *error) {
  pgc_loaders *self = loaders_here(cache);
  *value = NULL;
  pthread_mutex_lock(&self->lock);
  bool in_time = true;
  while (!job->done && in_time)
    in_time = pgc_cond_wait_until(&self->done, &self->lock, until);
  bool ended = job->done;
  if (ended) {
    *status = job->status;
    *value = job->value;
    job->value = NULL;
    if (job->status < 0)
      pgc_fail_sql(error, job->status, job->error.sqlstate, "%s", job->error.message);
  }
  bool last = --job->refs == 0;
  pthread_mutex_unlock(&self->lock);
  if (last)
    let_go(job);
  return ended;
}

/* ---- The end ---- */

void pgc_loaders_close(pgcache *cache) {
  pgc_loaders *self = loaders_here(cache);
  if (self == NULL)
    return;
  pthread_mutex_lock(&self->lock);
  self->closing = true;
  pthread_cond_broadcast(&self->wanted);
  pthread_mutex_unlock(&self->lock);
}

void pgc_loaders_leave(pgcache *cache) {
  pgc_loaders *self = loaders_here(cache);
  for (int i = 0; self != NULL && i < self->thread_count; i++)
    pthread_join(self->threads[i], NULL);
}

void pgc_loaders_free(pgcache *cache) {
  pgc_loaders *self = loaders_here(cache);
  if (self != NULL)
    loaders_free(self);
  else
    pgc_free(cache->loaders); /* none, or the parent's: its lock is left alone */
}
