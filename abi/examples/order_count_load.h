/*
 * order_count_load.h - the load on the order-count application, and the check of its answers.
 *
 * Owns the threads, the choice of customers, and the tallies and the log of what the writers did. Never touches the database
 * or the cache: it calls the application's two functions.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef ORDER_COUNT_LOAD_H
#define ORDER_COUNT_LOAD_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "order_count_report.h"

enum { CUSTOMERS = 20000, MOST_THREADS = 256, LOGGED = 1 << 16 };

/* What the writers did to one customer's orders; number 0 stands for all orders. An answer is right if it lies between
   what was committed when the request began and what was begun when it ended; less is stale. */
typedef struct tally {
  int64_t at_start;
  _Atomic int64_t begun;     /* INSERT is about to be sent */
  _Atomic int64_t committed; /* the database has confirmed its commit */
} tally;

/* When the database confirmed a commit, and whose order that was: to tell how old an answer is. */
typedef struct commit {
  int64_t at_ns;
  int customer;
} commit;

typedef struct worker worker;

typedef struct load {
  int readers, writers, adds_per_second;
  double seconds;
  bool (*read)(worker *self, int customer, int64_t *count); /* false ends the worker */
  bool (*add)(worker *self, int customer);                  /* calls load_begun() and load_committed() */
  int64_t bound_ns;                                         /* how far behind an answer may be */
  pthread_mutex_t log_lock;
  commit *log; /* the last LOGGED ones, in the order in which they were confirmed */
  int64_t logged;
  _Atomic bool stop;
  double popularity[CUSTOMERS]; /* the share of requests that goes to customers 1 to i + 1: Zipf's law */
  tally tallies[CUSTOMERS + 1];
} load;

struct worker {
  load *of;
  void *connection; /* the application's */
  uint64_t random;
  _Atomic int64_t requests; /* for the progress line */
  result found;
};

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t next_random(worker *self) { /* xorshift64*: the same requests in every run */
  self->random ^= self->random >> 12;
  self->random ^= self->random << 25;
  self->random ^= self->random >> 27;
  return self->random * UINT64_C(0x2545F4914F6CDD1D);
}

static void load_init(load *self) {
  static commit log[LOGGED];
  self->log = log;
  pthread_mutex_init(&self->log_lock, NULL);
  double sum = 0, total = 0;
  for (int i = 1; i <= CUSTOMERS; i++) {
    total += 1.0 / i;
  }
  for (int i = 1; i <= CUSTOMERS; i++) {
    sum += 1.0 / i / total;
    self->popularity[i - 1] = sum;
  }
}

static int pick_customer(worker *self) {
  double point = (double)(next_random(self) >> 11) * 0x1p-53;
  int low = 0, high = CUSTOMERS - 1;
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (self->of->popularity[middle] <= point) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low + 1;
}

/* An add of a customer's order concerns two counts: that customer's and that of all orders. */
static void load_begun(worker *self, int customer) {
  atomic_fetch_add(&self->of->tallies[0].begun, 1);
  atomic_fetch_add(&self->of->tallies[customer].begun, 1);
}

/* The tallies come last: whoever sees a commit there finds it in the log. */
static void load_committed(worker *self, int customer) {
  load *of = self->of;
  pthread_mutex_lock(&of->log_lock);
  of->log[of->logged++ % LOGGED] = (commit){now_ns(), customer};
  atomic_fetch_add(&of->tallies[0].committed, 1);
  atomic_fetch_add(&of->tallies[customer].committed, 1);
  pthread_mutex_unlock(&of->log_lock);
}

/* Of an answer that lacks commits: how long before the request began the first of them had been confirmed. */
static int64_t age_of(load *self, int customer, int64_t count, int64_t began_ns) {
  const tally *tally_of = &self->tallies[customer];
  int64_t age = 0;
  pthread_mutex_lock(&self->log_lock);
  int64_t missing = tally_of->at_start + atomic_load(&tally_of->committed) - count;
  int64_t oldest = self->logged > LOGGED ? self->logged - LOGGED : 0;
  for (int64_t i = self->logged; i > oldest && missing > 0; i--) {
    const commit *each = &self->log[(i - 1) % LOGGED];
    if (customer == 0 || each->customer == customer) {
      missing--;
      age = began_ns - each->at_ns;
    }
  }
  pthread_mutex_unlock(&self->log_lock);
  return age;
}

static void *read_all_the_time(void *argument) {
  worker *self = argument;
  while (!atomic_load(&self->of->stop)) {
    bool all = next_random(self) % 4 == 0; /* one request of four asks for all orders */
    int customer = all ? 0 : pick_customer(self);
    tally *tally_of = &self->of->tallies[customer];
    int64_t count, committed = tally_of->at_start + atomic_load(&tally_of->committed), began = now_ns();
    if (!self->of->read(self, customer, &count)) {
      break;
    }
    histogram_add(&self->found.latency[all ? ALL_ORDERS : ONE_CUSTOMER], now_ns() - began);
    if (count < committed) {
      int64_t age = age_of(self->of, customer, count, began);
      self->found.older++;
      self->found.stale += age > self->of->bound_ns;
      self->found.oldest_ns = age > self->found.oldest_ns ? age : self->found.oldest_ns;
    } else if (count > tally_of->at_start + atomic_load(&tally_of->begun)) {
      self->found.impossible++;
    }
    atomic_fetch_add_explicit(&self->requests, 1, memory_order_relaxed);
  }
  return NULL;
}

static void *add_now_and_then(void *argument) {
  worker *self = argument;
  int64_t pause = INT64_C(1000000000) * self->of->writers / self->of->adds_per_second, next = now_ns();
  while (!atomic_load(&self->of->stop)) {
    int64_t wait = next - now_ns();
    if (wait > 0) { /* in short naps, to see the end of the load */
      struct timespec nap = {0, wait < 20000000 ? (long)wait : 20000000};
      nanosleep(&nap, NULL);
      continue;
    }
    next += pause;
    int64_t began = now_ns();
    if (!self->of->add(self, pick_customer(self))) {
      break;
    }
    histogram_add(&self->found.adding, now_ns() - began);
  }
  return NULL;
}

/* Starts the readers first, then the writers; gives how many threads were started. */
static int start_workers(load *self, worker *workers, pthread_t *threads) {
  int count = self->readers + self->writers, started = 0;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before); /* the workers inherit it: signals come to the main thread */
  for (; started < count; started++) {
    worker *next = &workers[started];
    next->of = self;
    next->random = UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)(started + 1);
    memset(&next->found, 0, sizeof next->found);
    atomic_store(&next->requests, 0);
    if (pthread_create(&threads[started], NULL, started < self->readers ? read_all_the_time : add_now_and_then, next) !=
        0) {
      break;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

static void add_result(result *sum, const result *part) {
  for (int kind = 0; kind < KINDS; kind++) {
    histogram_merge(&sum->latency[kind], &part->latency[kind]);
  }
  histogram_merge(&sum->adding, &part->adding);
  sum->hits += part->hits;
  sum->counted += part->counted;
  sum->cache_errors += part->cache_errors;
  sum->older += part->older;
  sum->stale += part->stale;
  sum->oldest_ns = part->oldest_ns > sum->oldest_ns ? part->oldest_ns : sum->oldest_ns;
  sum->impossible += part->impossible;
}

/* Lets the workers run for the time given, until a signal, or until an error; sums up what they found. Gives false when a
   thread could not be started. */
static bool run_load(load *self, worker *workers, const volatile sig_atomic_t *interrupted, const paint *colours,
                     const char *title, result *found) {
  pthread_t threads[MOST_THREADS];
  atomic_store(&self->stop, false);
  int64_t began = now_ns();
  int started = start_workers(self, workers, threads);
  bool complete = started == self->readers + self->writers;
  for (double elapsed = 0; complete && !*interrupted && !atomic_load(&self->stop) && elapsed < self->seconds;) {
    double left = self->seconds - elapsed;
    struct timespec nap = {0, left < 0.1 ? (long)(left * 1e9) : 100000000};
    int64_t requests = 0;
    nanosleep(&nap, NULL);
    for (int i = 0; i < self->readers; i++) {
      requests += atomic_load(&workers[i].requests);
    }
    elapsed = (double)(now_ns() - began) / 1e9;
    show_progress(colours, title, elapsed, self->seconds, requests);
  }
  end_progress(colours);
  found->seconds = (double)(now_ns() - began) / 1e9;
  atomic_store(&self->stop, true);
  for (int i = 0; i < started; i++) {
    pthread_join(threads[i], NULL);
    add_result(found, &workers[i].found);
  }
  return complete;
}

#endif /* ORDER_COUNT_LOAD_H */
