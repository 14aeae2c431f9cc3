/*
 * lobby.c - see lobby.h. Owns: the list of such loads, under one lock; it lives as long as the handle or any of them. Must
 * never: touch a handle that is gone, or, in a forked child, a lock of the parent's.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/lobby.h"

#include <pthread.h>

#include "operations/load_requests.h"
#include "platform/memory.h"
#include "platform/sync.h"

struct pgc_lobby {
  pthread_mutex_t lock;
  size_t refs; /* the handle and the loads */
  bool closed; /* the handle is gone */
  pgcache_load *first;
};

pgc_lobby *pgc_lobby_new(void) {
  pgc_lobby *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL)
    return NULL;
  self->refs = 1;
  pthread_mutex_init(&self->lock, NULL);
  return self;
}

/* Gives a reference back; the lock is held, and released. */
static void leave(pgc_lobby *self) {
  bool last = --self->refs == 0;
  pthread_mutex_unlock(&self->lock);
  if (!last)
    return;
  pthread_mutex_destroy(&self->lock);
  pgc_free(self);
}

/* Without the lease, which lasts until its time is over: nobody here waits for the load any longer. */
static void end_here(pgcache_load *load) {
  pgcache *cache = load->cache;
  pgc_load_land(cache, &load->digest, pgc_load_end(load), PGC_OP_END_LOAD, PGCACHE_CLOSED, NULL);
}

void pgc_lobby_enter(pgc_lobby *self, pgcache_load *load) {
  pthread_mutex_lock(&self->lock);
  self->refs++;
  load->lobby = self;
  if (self->closed) {
    end_here(load);
  } else {
    load->next = self->first;
    if (self->first != NULL)
      self->first->previous = load;
    self->first = load;
  }
  pthread_mutex_unlock(&self->lock);
}

static void unlink_load(pgc_lobby *self, pgcache_load *load) {
  if (load->previous != NULL)
    load->previous->next = load->next;
  else
    self->first = load->next;
  if (load->next != NULL)
    load->next->previous = load->previous;
  load->next = load->previous = NULL;
}

static bool is_parents(const pgcache_load *load) {
  return load->fork_generation != pgc_fork_generation();
}

pgcache_load *pgc_lobby_take(pgcache_load *load) {
  pgc_lobby *self = load->lobby;
  if (self == NULL || is_parents(load))
    return load;
  pthread_mutex_lock(&self->lock);
  bool gone = self->closed;
  if (!gone)
    unlink_load(self, load);
  load->lobby = NULL;
  leave(self);
  if (!gone)
    return load;
  pgc_load_drop(load);
  return NULL;
}

void pgc_lobby_drop(pgcache_load *load) {
  pgc_lobby *self = load->lobby;
  if (self != NULL && !is_parents(load)) {
    pthread_mutex_lock(&self->lock);
    if (!self->closed) { /* and the handle stays as long as the lock is held */
      unlink_load(self, load);
      if (!load->ended && !pgc_load_submit_give_back(load))
        end_here(load);
    }
    leave(self);
  }
  pgc_load_drop(load);
}

void pgc_lobby_close(pgc_lobby *self) {
  pthread_mutex_lock(&self->lock);
  self->closed = true;
  while (self->first != NULL) {
    pgcache_load *first = self->first;
    unlink_load(self, first);
    end_here(first);
  }
  leave(self);
}
