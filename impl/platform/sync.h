/*
 * sync.h - the few things that the library needs beyond plain pthread mutexes: condition variables on the monotonic
 * clock, detached threads that never receive a signal, and noticing a fork.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_PLATFORM_SYNC_H
#define PGC_PLATFORM_SYNC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/clock.h"

/* Initialises a condition variable whose timed waits use pgc_monotonic_us()'s clock. */
void pgc_cond_init(pthread_cond_t *cond);

/* Waits until signalled (or spuriously woken) or until the deadline; false when the deadline has passed. */
bool pgc_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, pgc_deadline deadline);

/* Runs body(argument) on a new thread with all signals blocked, to be joined. False when there is no thread to be had. */
bool pgc_thread_start(pthread_t *thread, void *(*body)(void *), void *argument);

/* Runs body(argument) on a new detached thread with all signals blocked. False when there is no thread to be had. */
bool pgc_thread_start_detached(void *(*body)(void *), void *argument);

/* A number that differs between a process and its forked child. Cheap enough for every call: one load. The first call in
   a process installs the fork handler. */
uint64_t pgc_fork_generation(void);

/* A random number that no other process shares, for jitter. */
uint64_t pgc_random_u64(void);

#endif
