/*
 * crew.c - a few threads for what may wait: opening connections, and operations that take more than a statement. They are
 * started when they are needed, and stay.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stddef.h>

#include "engine/inside.h"
#include "platform/sync.h"

void pgc_crew_init(pgc_crew *self, int most, void (*notify)(void *), void *context) {
  *self = (pgc_crew){.most = most < PGC_CREW_MAX ? most : PGC_CREW_MAX, .notify = notify, .context = context};
  pthread_mutex_init(&self->lock, NULL);
  pgc_cond_init(&self->wanted);
}

static pgc_job *take_first(pgc_crew *self) {
  pgc_job *first = self->first;
  self->waiting--;
  self->first = first->next;
  if (self->first == NULL)
    self->last = NULL;
  return first;
}

static void *serve(void *argument) {
  pgc_crew *self = argument;
  pthread_mutex_lock(&self->lock);
  for (;;) {
    while (self->first == NULL && !self->ending) {
      self->idle++;
      pthread_cond_wait(&self->wanted, &self->lock);
      self->idle--;
    }
    if (self->first == NULL)
      break;
    pgc_job *job = take_first(self);
    pthread_mutex_unlock(&self->lock);
    job->work(job);
    pthread_mutex_lock(&self->lock);
    job->next = self->done;
    self->done = job;
    self->notify(self->context);
  }
  pthread_mutex_unlock(&self->lock);
  return NULL;
}

bool pgc_crew_hand(pgc_crew *self, pgc_job *job) {
  pthread_mutex_lock(&self->lock);
  if (self->idle <= self->waiting && self->thread_count < self->most &&
      pgc_thread_start(&self->threads[self->thread_count], serve, self))
    self->thread_count++;
  bool there = self->thread_count > 0;
  if (there) {
    self->waiting++;
    job->next = NULL;
    if (self->last != NULL)
      self->last->next = job;
    else
      self->first = job;
    self->last = job;
    pthread_cond_signal(&self->wanted);
  }
  pthread_mutex_unlock(&self->lock);
  return there;
}

bool pgc_crew_take_back(pgc_crew *self, pgc_job *job) {
  bool found = false;
  pthread_mutex_lock(&self->lock);
  pgc_job *before = NULL;
  for (pgc_job *each = self->first; each != NULL && !found; each = each->next) {
    found = each == job;
    if (!found)
      before = each;
  }
  if (found) {
    self->waiting--;
    if (before != NULL)
      before->next = job->next;
    else
      self->first = job->next;
    if (self->last == job)
      self->last = before;
  }
  pthread_mutex_unlock(&self->lock);
  return found;
}

pgc_job *pgc_crew_done(pgc_crew *self) {
  pthread_mutex_lock(&self->lock);
  pgc_job *done = self->done;
  self->done = NULL;
  pthread_mutex_unlock(&self->lock);
  return done;
}

void pgc_crew_end(pgc_crew *self) {
  pthread_mutex_lock(&self->lock);
  self->ending = true;
  pthread_cond_broadcast(&self->wanted);
  pthread_mutex_unlock(&self->lock);
  for (int i = 0; i < self->thread_count; i++)
    pthread_join(self->threads[i], NULL);
  pthread_cond_destroy(&self->wanted);
  pthread_mutex_destroy(&self->lock);
}
