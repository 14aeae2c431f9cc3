/*
 * value.cpp - tests of values: their bytes, their time and their reference count.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <atomic>
#include <thread>
#include <vector>

TEST_CASE("a new value", "[value]") {
  for (size_t size : {0u, 1u, 15u, 16u, 17u, 100000u}) {
    pgcache_value *value = pgc_value_new(size);
    REQUIRE(value != nullptr);
    CHECK(pgcache_value_size(value) == size);
    CHECK(pgcache_value_version(value) == 0);
    CHECK(pgcache_value_format(value) == PGCACHE_FORMAT_BYTES);
    CHECK(pgcache_value_ttl_ms(value) == PGCACHE_TTL_NEVER);
    CHECK(pgcache_value_is_stale(value) == 0);
    const auto *data = static_cast<const char *>(pgcache_value_data(value));
    REQUIRE(data != nullptr);
    CHECK(reinterpret_cast<uintptr_t>(data) % 8 == 0);
    CHECK(data[size] == '\0');
    memset(value->own, 'x', size);
    CHECK(strlen(data) == size);
    pgcache_value_free(value);
  }
}

TEST_CASE("a value over somebody else's bytes gives them back with its last reference", "[value]") {
  static int freed;
  alignas(8) static const char bytes[] = "abc";
  freed = 0;
  pgcache_value *value = pgc_value_adopt(bytes, 3, &freed, [](void *owner) { ++*static_cast<int *>(owner); });
  REQUIRE(value != nullptr);
  CHECK(pgcache_value_data(value) == bytes);
  CHECK(pgcache_value_size(value) == 3);
  CHECK(pgcache_value_ttl_ms(value) == PGCACHE_TTL_NEVER);
  pgcache_value_free(pgcache_value_retain(value));
  CHECK(freed == 0);
  pgcache_value_free(value);
  CHECK(freed == 1);
}

TEST_CASE("a value gives what its maker put in", "[value]") {
  pgcache_value *value = pgc_value_new(3);
  REQUIRE(value != nullptr);
  memcpy(value->own, "a\0b", 3);
  value->format = 7;
  value->version = INT64_MAX;
  value->stale = true;
  value->expires_at_us = pgc_now_us() + 60 * 1000000;
  CHECK(memcmp(pgcache_value_data(value), "a\0b", 4) == 0);
  CHECK(pgcache_value_format(value) == 7);
  CHECK(pgcache_value_version(value) == INT64_MAX);
  CHECK(pgcache_value_is_stale(value) == 1);
  int64_t ttl = pgcache_value_ttl_ms(value);
  CHECK(ttl <= 60000);
  CHECK(ttl > 30000);
  pgcache_value_free(value);
}

TEST_CASE("the time that is left is counted down and rounded up", "[value][rule:ttl]") {
  pgcache_value *value = pgc_value_new(0);
  REQUIRE(value != nullptr);
  value->expires_at_us = 10000000;
  CHECK(pgc_value_ttl_ms(value, 0) == 10000);
  CHECK(pgc_value_ttl_ms(value, 1) == 10000);
  CHECK(pgc_value_ttl_ms(value, 999) == 10000);
  CHECK(pgc_value_ttl_ms(value, 1000) == 9999);
  CHECK(pgc_value_ttl_ms(value, 9999999) == 1);
  CHECK(pgc_value_ttl_ms(value, 10000000) == 0);
  CHECK(pgc_value_ttl_ms(value, INT64_MAX) == 0);
  value->expires_at_us = INT64_MAX - 1;
  CHECK(pgc_value_ttl_ms(value, 0) == INT64_MAX / 1000 + 1);
  value->expires_at_us = INT64_MAX;
  CHECK(pgc_value_ttl_ms(value, INT64_MAX) == PGCACHE_TTL_NEVER);
  value->expires_at_us = pgc_now_us() - 1;
  CHECK(pgcache_value_ttl_ms(value) == 0);
  pgcache_value_free(value);
}

TEST_CASE("no value at all", "[value]") {
  CHECK(pgcache_value_data(nullptr) == nullptr);
  CHECK(pgcache_value_size(nullptr) == 0);
  CHECK(pgcache_value_version(nullptr) == 0);
  CHECK(pgcache_value_format(nullptr) == 0);
  CHECK(pgcache_value_ttl_ms(nullptr) == 0);
  CHECK(pgcache_value_is_stale(nullptr) == 0);
  CHECK(pgcache_value_retain(nullptr) == nullptr);
  pgcache_value_free(nullptr);
}

TEST_CASE("a value whose size cannot be is refused", "[value]") {
  for (size_t size :
       {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - sizeof(pgcache_value), static_cast<size_t>(PGC_VALUE_MAX) + 1}) {
    CHECK(pgc_value_new(size) == nullptr);
    CHECK(pgc_value_adopt("", size, nullptr, free) == nullptr);
  }
}

TEST_CASE("the last reference frees a value", "[value][allocation]") {
  CHECK(test::fail_each_allocation([] {
          pgcache_value *value = pgc_value_new(10);
          if (value == nullptr)
            return PGCACHE_NO_MEMORY;
          CHECK(pgcache_value_retain(value) == value);
          pgcache_value_free(value);
          CHECK(test::Allocations::alive() == 1);
          pgcache_value_free(value);
          return PGCACHE_OK;
        }) == 1);
}

TEST_CASE("without memory for a value its owner is not given over", "[value][allocation]") {
  static int freed;
  freed = 0;
  CHECK(test::fail_each_allocation([] {
          pgcache_value *value = pgc_value_adopt("abc", 3, &freed, [](void *owner) { ++*static_cast<int *>(owner); });
          if (value == nullptr) {
            CHECK(freed == 0);
            return PGCACHE_NO_MEMORY;
          }
          pgcache_value_free(value);
          CHECK(freed == 1);
          freed = 0;
          return PGCACHE_OK;
        }) == 1);
}

TEST_CASE("threads share a value", "[value][threads][rule:threads]") {
  const int threads = 16;
  const int rounds = 2000;
  std::atomic<bool> start{false};
  std::atomic<int> wrong{0};
  test::Allocations allocations(-1, test::Failing::Once);
  for (int round = 0; round < 20; round++) {
    pgcache_value *value = pgc_value_new(64);
    REQUIRE(value != nullptr);
    memset(value->own, round, 64);
    value->version = round;
    std::vector<std::thread> running;
    start = false;
    for (int i = 0; i < threads; i++) {
      pgcache_value_retain(value); /* for the thread, which may be the one to free it */
      running.emplace_back([&wrong, &start, value, round] {
        while (!start)
          std::this_thread::yield();
        for (int n = 0; n < rounds / 20; n++) {
          pgcache_value *mine = pgcache_value_retain(value);
          const auto *data = static_cast<const unsigned char *>(pgcache_value_data(mine));
          if (data[63] != round || pgcache_value_version(mine) != round)
            wrong++;
          pgcache_value_free(mine);
        }
        pgcache_value_free(value);
      });
    }
    pgcache_value_free(value);
    start = true;
    for (std::thread &thread : running)
      thread.join();
    CHECK(test::Allocations::alive() == 0);
  }
  CHECK(wrong == 0);
}
