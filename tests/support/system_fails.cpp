/*
 * system_fails.cpp - see system_fails.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/system_fails.hpp"

#include <atomic>
#include <cerrno>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/eventfd.h>

namespace {

std::atomic<bool> no_threads{false}, no_descriptors{false};
std::atomic<int> refusals{0};

} // namespace

extern "C" {

__attribute__((visibility("default"))) int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                                          void *(*body)(void *), void *argument) noexcept {
  using Function = int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  static const Function real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "pthread_create"));
  if (!no_threads)
    return real(thread, attributes, body, argument);
  refusals++;
  return EAGAIN;
}

__attribute__((visibility("default"))) int eventfd(unsigned int count, int flags) noexcept {
  using Function = int (*)(unsigned int, int);
  static const Function real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "eventfd"));
  if (!no_descriptors)
    return real(count, flags);
  refusals++;
  errno = EMFILE;
  return -1;
}
}

namespace test {

SystemFails::SystemFails(Lacking what) {
  refusals = 0;
  (what == Lacking::Threads ? no_threads : no_descriptors) = true;
}

SystemFails::~SystemFails() {
  no_threads = no_descriptors = false;
}

int SystemFails::refused() {
  return refusals;
}

} // namespace test
