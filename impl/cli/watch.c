/*
 * watch.c - what goes on while a call of the library is under way: the progress line, and signals.
 *
 * Outside such calls a signal has its usual effect, because the command then holds nothing that needs care. During one,
 * a thread takes SIGINT, SIGTERM and SIGHUP and shuts the handle down: the call returns, and a write that was already
 * sent is reported as one whose outcome is not known. It must never run while no call is under way, and never touch
 * standard output.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "output.h"
#include "screen.h"

/* How long people wait before they are told that something is going on, and how often they are told again. */
#define QUIET_MS 1000
#define TICK_MS 500

static struct {
  pthread_t thread;
  bool running;
  atomic_bool over; /* the call has returned */
  atomic_int signal_number;
  pgcache *cache;
  const char *what;
  int64_t first_ms; /* when the command's first call began */
  int64_t drawn_ms;
  sigset_t taken;
  sigset_t before;
} watch;

/* The signals that ask a command to end. */
static const int asked[] = {SIGINT, SIGTERM, SIGHUP};

/* What the caller ignores (nohup) stays ignored. */
static bool is_ignored(int number) {
  struct sigaction action;
  sigaction(number, NULL, &action);
  return action.sa_handler == SIG_IGN;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void draw(void) {
  int64_t now = now_ms();
  if (watch.what == NULL || now - watch.first_ms < QUIET_MS || now - watch.drawn_ms < TICK_MS)
    return;
  watch.drawn_ms = now;
  out_progress(watch.what, (now - watch.first_ms) / 1000);
}

static void *attend(void *unused) {
  (void)unused;
  const struct timespec tick = {.tv_sec = 0, .tv_nsec = TICK_MS * 1000000L};
  while (!atomic_load(&watch.over)) {
    int number = sigtimedwait(&watch.taken, NULL, &tick);
    if (number < 0) {
      draw();
    } else if (number != SIGUSR1) {
      /* Who asks twice does not want to wait for the call to return. */
      if (atomic_exchange(&watch.signal_number, number) != 0) {
        out_progress_clear();
        watch_die(number);
      }
      pgcache_shutdown(watch.cache);
    }
  }
  return NULL;
}

void watch_begin(pgcache *cache, const char *what) {
  watch.cache = cache;
  watch.what = what;
  if (watch.first_ms == 0)
    watch.first_ms = now_ms();
  else if (!out_for_people())
    draw(); /* one of many calls, each too short for the thread to draw */
  atomic_store(&watch.over, false);

  sigemptyset(&watch.taken);
  sigaddset(&watch.taken, SIGUSR1);
  for (size_t index = 0; index < sizeof asked / sizeof asked[0]; index++)
    if (!is_ignored(asked[index]))
      sigaddset(&watch.taken, asked[index]);
  pthread_sigmask(SIG_BLOCK, &watch.taken, &watch.before);
  watch.running = pthread_create(&watch.thread, NULL, attend, NULL) == 0;
  if (!watch.running) /* no thread to be had: signals keep their usual effect, and there is no progress line */
    pthread_sigmask(SIG_SETMASK, &watch.before, NULL);
}

void watch_end(void) {
  if (!watch.running)
    return;
  atomic_store(&watch.over, true);
  pthread_kill(watch.thread, SIGUSR1);
  pthread_join(watch.thread, NULL);
  watch.running = false;
  /* If the thread had left by itself, its SIGUSR1 went with it. */
  pthread_sigmask(SIG_SETMASK, &watch.before, NULL);
}

static void note(int number) {
  atomic_store(&watch.signal_number, number);
}

void watch_catch_signals(void) {
  struct sigaction action = {.sa_handler = note};
  sigemptyset(&action.sa_mask);
  for (size_t index = 0; index < sizeof asked / sizeof asked[0]; index++)
    if (!is_ignored(asked[index]))
      sigaction(asked[index], &action, NULL);
}

int watch_signal(void) {
  return atomic_load(&watch.signal_number);
}

void watch_die(int signal_number) {
  screen_close();
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal_number);
  signal(signal_number, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &only, NULL);
  raise(signal_number);
  _exit(CLI_ERROR);
}
