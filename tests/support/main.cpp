/*
 * main.cpp - the main function of every Catch2 suite that has none of its own. Never holds a test.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_session.hpp>
int main(int argc, char **argv) {
  return Catch::Session().run(argc, argv);
}
#else
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif

/* A test forks while other threads run, on purpose; the child must be able to start threads of its own. */
extern "C" const char *__tsan_default_options();
extern "C" const char *__tsan_default_options() {
  return "die_after_fork=0";
}
