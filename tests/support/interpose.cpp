/*
 * interpose.cpp - see interpose.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/interpose.hpp"

#include <atomic>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

std::atomic<bool> names_hang{false};
std::atomic<bool> no_names{false};
std::atomic<int> look_ups{0};
std::atomic<int> hanging{0};
std::atomic<int64_t> clock_offset{0};
std::atomic<bool> at_timeout_armed{false};
std::function<void()> at_timeout;

bool ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

} // namespace

extern "C" {

__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service, const addrinfo *hints,
                                                       addrinfo **result) {
  if (node != nullptr && ends_with(node, ".hangs.invalid")) {
    look_ups++;
    hanging++;
    while (names_hang)
      usleep(5000);
    hanging--;
    return EAI_AGAIN;
  }
  if (no_names && node != nullptr && (hints == nullptr || (hints->ai_flags & AI_NUMERICHOST) == 0))
    return EAI_NONAME;
  using Function = int (*)(const char *, const char *, const addrinfo *, addrinfo **);
  static const Function real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(node, service, hints, result);
}

__attribute__((visibility("default"))) int poll(pollfd *fds, nfds_t count, int timeout_ms) {
  const int ready = static_cast<int>(syscall(SYS_poll, fds, count, timeout_ms));
  if (ready == 0 && timeout_ms > 0 && at_timeout_armed.exchange(false))
    at_timeout();
  return ready;
}

/* By system call: it is needed before dlsym() works, and before a sanitizer has started. */
__attribute__((visibility("default"), no_sanitize("thread", "address"))) int clock_gettime(clockid_t clock,
                                                                                           timespec *out) noexcept {
  const long status = syscall(SYS_clock_gettime, clock, out);
  if (status == 0 && clock == CLOCK_REALTIME)
    out->tv_sec += static_cast<time_t>(clock_offset.load());
  return static_cast<int>(status);
}

__attribute__((visibility("default"))) int gettimeofday(timeval *__restrict out, void *__restrict) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

__attribute__((visibility("default"))) time_t time(time_t *out) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr)
    *out = now.tv_sec;
  return now.tv_sec;
}
}

namespace test {

HangingNames::HangingNames() {
  names_hang = true;
}

HangingNames::~HangingNames() {
  names_hang = false;
  while (hanging > 0)
    usleep(1000);
  usleep(20 * 1000);
}

int HangingNames::started() {
  return look_ups;
}

NoNames::NoNames() {
  no_names = true;
}

NoNames::~NoNames() {
  no_names = false;
}

AtPollTimeout::AtPollTimeout(std::function<void()> act) {
  at_timeout = std::move(act);
  at_timeout_armed = true;
}

AtPollTimeout::~AtPollTimeout() {
  at_timeout_armed = false;
}

WrongClock::WrongClock(int64_t seconds) {
  clock_offset = seconds;
}

WrongClock::~WrongClock() {
  clock_offset = 0;
}

} // namespace test
