/*
 * failing.cpp - see failing.hpp. The linker sends the calls here (--wrap, see the Makefile).
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "failing.hpp"

#include <atomic>
#include <cstddef>

extern "C" {
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
}

namespace {

std::atomic<int> left{-1};
std::atomic<bool> one_failed{false};

bool fails() {
  if (left < 0 || left-- != 0)
    return false;
  one_failed = true;
  return true;
}

} // namespace

void test::fail_after(int count) {
  one_failed = false;
  left = count;
}

bool test::has_failed() {
  return one_failed;
}

void *__wrap_calloc(size_t count, size_t size) {
  return fails() ? nullptr : __real_calloc(count, size);
}
void *__wrap_realloc(void *memory, size_t size) {
  return fails() ? nullptr : __real_realloc(memory, size);
}
char *__wrap_strdup(const char *text) {
  return fails() ? nullptr : __real_strdup(text);
}
