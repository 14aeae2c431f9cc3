/*
 * platform.cpp - tests of memory, clocks, threads and noticing a fork.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <set>

TEST_CASE("memory of no size is memory", "[memory]") {
  void *block = pgc_alloc(0);
  CHECK(block != nullptr);
  block = pgc_realloc(block, 0);
  CHECK(block != nullptr);
  pgc_free(block);
  pgc_free(nullptr);
  auto *zero = static_cast<unsigned char *>(pgc_alloc_zero(100));
  REQUIRE(zero != nullptr);
  CHECK(std::string(reinterpret_cast<char *>(zero), 100) == std::string(100, '\0'));
  pgc_free(zero);
  char *copy = pgc_strdup("");
  REQUIRE(copy != nullptr);
  CHECK(std::string(copy).empty());
  pgc_free(copy);
}

TEST_CASE("clocks move forward", "[clock]") {
  int64_t now = pgc_now_us();
  int64_t monotonic = pgc_monotonic_us();
  usleep(22000);
  CHECK(pgc_now_us() >= now + 22000);
  CHECK(pgc_monotonic_us() >= monotonic + 22000);
  CHECK(pgc_now_us() < now + 60 * 1000000);
}

TEST_CASE("deadlines saturate, and poll() waits for them rounded up", "[clock][rule:deadline]") {
  CHECK(pgc_deadline_in(INT64_MAX) == PGC_NO_DEADLINE);
  CHECK(pgc_deadline_in(INT64_MAX / 1000) == PGC_NO_DEADLINE);
  pgc_deadline now = pgc_deadline_in(0);
  CHECK(now <= pgc_monotonic_us());
  CHECK(pgc_deadline_poll_ms(now) == 0);
  CHECK(pgc_deadline_poll_ms(0) == 0);
  CHECK(pgc_deadline_poll_ms(PGC_NO_DEADLINE) == -1);
  CHECK(pgc_deadline_poll_ms(PGC_NO_DEADLINE - 1) == INT_MAX);
  pgc_deadline later = pgc_deadline_in(60000);
  CHECK(pgc_deadline_poll_ms(later) <= 60000);
  CHECK(pgc_deadline_poll_ms(later) > 30000);
  for (const int64_t left :
       {500, 1001, 60000500}) { /* rounded down, the caller would spin through the last millisecond */
    const int64_t before = pgc_monotonic_us();
    const int polled = pgc_deadline_poll_ms(before + left);
    const int64_t after = pgc_monotonic_us();
    CHECK(polled <= (left + 999) / 1000);
    CHECK(polled >= (left - (after - before) + 999) / 1000);
  }
}

TEST_CASE("a timed wait ends at its deadline", "[sync][rule:deadline]") {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond;
  pgc_cond_init(&cond);
  pthread_mutex_lock(&mutex);
  pgc_deadline deadline = pgc_deadline_in(30);
  while (pgc_cond_wait_until(&cond, &mutex, deadline)) {
  }
  CHECK(pgc_monotonic_us() >= deadline - 10000); /* it may lag by a tick */
  CHECK_FALSE(pgc_cond_wait_until(&cond, &mutex, deadline));
  pthread_mutex_unlock(&mutex);
  pthread_cond_destroy(&cond);
}

namespace {

struct Meeting {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond;
  bool done = false;
  sigset_t mask;
};

void *meet(void *argument) {
  auto *meeting = static_cast<Meeting *>(argument);
  pthread_mutex_lock(&meeting->mutex);
  pthread_sigmask(SIG_SETMASK, nullptr, &meeting->mask);
  meeting->done = true;
  pthread_cond_signal(&meeting->cond);
  pthread_mutex_unlock(&meeting->mutex);
  return nullptr;
}

} // namespace

TEST_CASE("the library's threads block all signals, and the caller's mask is kept", "[sync][rule:signals]") {
  static Meeting meeting; /* the thread may be about to leave it when the test is over */
  pgc_cond_init(&meeting.cond);
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  pthread_mutex_lock(&meeting.mutex);
  REQUIRE(pgc_thread_start_detached(meet, &meeting));
  while (!meeting.done)
    REQUIRE(pgc_cond_wait_until(&meeting.cond, &meeting.mutex, PGC_NO_DEADLINE));
  pthread_mutex_unlock(&meeting.mutex);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGCHLD, SIGALRM, SIGPROF})
    CHECK(sigismember(&meeting.mask, number) == 1);
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int number = 1; number < 32; number++)
    CHECK(sigismember(&after, number) == sigismember(&before, number));
}

TEST_CASE("[A53] a forked child knows that it is one", "[A53][fork][rule:fork]") {
  const uint64_t here = pgc_fork_generation();
  CHECK(pgc_fork_generation() == here);
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    bool differs = pgc_fork_generation() != here;
    pid_t grandchild = fork();
    if (grandchild == 0)
      _exit(pgc_fork_generation() != here && pgc_fork_generation() != here + 1 ? 0 : 1);
    int status = 1;
    waitpid(grandchild, &status, 0);
    _exit(differs && status == 0 ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  CHECK(pgc_fork_generation() == here);
}

TEST_CASE("random numbers differ", "[sync]") {
  std::set<uint64_t> numbers;
  for (int i = 0; i < 100; i++)
    numbers.insert(pgc_random_u64());
  CHECK(numbers.size() == 100);
}

/* This program's getrandom(), which stands before libc's; it can be told that there is no randomness yet. */
static bool no_randomness = false;
extern "C" ssize_t getrandom(void *buffer, size_t size, unsigned int flags) {
  return no_randomness ? -1 : syscall(SYS_getrandom, buffer, size, flags);
}

TEST_CASE("random numbers differ even before the machine has gathered randomness", "[sync]") {
  no_randomness = true;
  uint64_t first = pgc_random_u64();
  usleep(10);
  uint64_t second = pgc_random_u64();
  no_randomness = false;
  CHECK(first != 0);
  CHECK(first != second);
}
