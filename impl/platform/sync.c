/*
 * sync.c - see sync.h. Owns the process's fork counter; holds no lock and starts no thread on its own.
 *
 * SPDX-License-Identifier: MIT
 */
#include "platform/sync.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <time.h>

static pthread_once_t fork_handler_once = PTHREAD_ONCE_INIT;
static atomic_uint_fast64_t fork_generation; /* 0: the handler is not installed */

void pgc_cond_init(pthread_cond_t *cond) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(cond, &attributes);
  pthread_condattr_destroy(&attributes);
}

bool pgc_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, pgc_deadline deadline) {
  if (deadline == PGC_NO_DEADLINE) {
    pthread_cond_wait(cond, mutex);
    return true;
  }
  struct timespec until = {.tv_sec = deadline / 1000000, .tv_nsec = (deadline % 1000000) * 1000};
  return pthread_cond_timedwait(cond, mutex, &until) != ETIMEDOUT;
}

static bool start(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  /* A new thread inherits the mask, so that a signal never finds the library's thread, not even for an instant. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failure = pthread_create(thread, attributes, body, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failure == 0;
}

bool pgc_thread_start(pthread_t *thread, void *(*body)(void *), void *argument) {
  return start(thread, NULL, body, argument);
}

bool pgc_thread_start_detached(void *(*body)(void *), void *argument) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0)
    return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  bool started = start(&thread, &attributes, body, argument);
  pthread_attr_destroy(&attributes);
  return started;
}

static void in_forked_child(void) {
  atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

static void install_fork_handler(void) {
  pthread_atfork(NULL, NULL, in_forked_child);
  atomic_store_explicit(&fork_generation, 1, memory_order_relaxed);
}

uint64_t pgc_fork_generation(void) {
  uint64_t generation = atomic_load_explicit(&fork_generation, memory_order_relaxed);
  if (generation != 0)
    return generation;
  pthread_once(&fork_handler_once, install_fork_handler);
  return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

uint64_t pgc_random_u64(void) {
  uint64_t number = 0;
  if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number)
    number = (uint64_t)pgc_now_us() * 0x9E3779B97F4A7C15u; /* early boot: good enough for jitter */
  return number;
}
