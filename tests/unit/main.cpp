/*
 * main.cpp - starts the unit tests: those of the library's inside, without a server.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#define CATCH_CONFIG_RUNNER
#include "support/catch.hpp"

int main(int argc, char **argv) {
  return Catch::Session().run(argc, argv);
}
