/*
 * stress.cpp - many threads on one handle, suited to a thread sanitizer: shared values, a pool smaller than the demand,
 * shutdown in the middle of everything.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <thread>

using namespace test;
using std::string;

namespace {

/* A value tells its key and has a sum: a torn or mixed-up one is noticed. */
string make_value(const string &key, uint64_t number) {
  string value = key + "=" + std::to_string(number) + ";";
  value.resize(value.size() + number % 3000, static_cast<char>('a' + number % 26));
  return value;
}

bool is_whole(const string &key, const string &value) {
  const size_t equals = value.find('='), semicolon = value.find(';');
  if (equals == string::npos || semicolon == string::npos || value.substr(0, equals) != key)
    return false;
  return value == make_value(key, std::stoull(value.substr(equals + 1, semicolon - equals - 1)));
}

} // namespace

TEST_CASE("16 threads on one handle with a pool of 4: every call has its outcome, every value is whole",
          "[threads][rule:threads]") {
  Store store;
  Cache cache = store.open({{"pool_max", "4"}, {"timeout_ms", "60000"}});
  std::atomic<int> failed{0}, torn{0}, backwards{0};
  std::mutex mutex;
  std::vector<Value> shared(8); /* values that wander between threads */
  std::map<pgcache_status, int> odd;
  in_threads(16, [&](int thread) {
    std::mt19937_64 random(seed() * 31 + static_cast<uint64_t>(thread));
    std::map<string, int64_t> seen;
    for (int i = 0; i < longer(60, 3000); i++) {
      const string key = "k" + std::to_string(random() % 10);
      Answer answer;
      switch (random() % 8) {
      case 0:
      case 1:
      case 2: {
        answer = cache.get(key);
        if (answer == PGCACHE_OK) {
          torn += !is_whole(key, answer.bytes());
          backwards += answer.version < seen[key]; /* removals aside, versions only grow, and so do ours */
          seen[key] = std::max(seen[key], answer.version);
          std::lock_guard<std::mutex> lock(mutex);
          std::swap(shared[random() % shared.size()], answer.value);
        }
        break;
      }
      case 3:
        answer = cache.put(key, make_value(key, random() % 5000));
        if (answer == PGCACHE_OK) {
          backwards += answer.version <= seen[key];
          seen[key] = answer.version;
        }
        break;
      case 4:
        answer = cache.add(key, make_value(key, random() % 5000));
        break;
      case 5:
        answer = cache.remove(key);
        break;
      case 6: {
        std::vector<string> keys, values;
        for (int j = 0; j < 6; j++) {
          keys.push_back("k" + std::to_string(random() % 10));
          values.push_back(make_value(keys.back(), random() % 5000));
        }
        Items items;
        for (size_t j = 0; j < keys.size(); j++)
          items.add(keys[j], values[j]);
        if (random() % 2 == 0) {
          answer.status = pgcache_put_many(cache.raw(), items.data(), items.size(), nullptr, nullptr);
        } else {
          answer.status = pgcache_get_many(cache.raw(), items.data(), items.size(), nullptr, nullptr);
          for (size_t j = 0; j < items.size(); j++) {
            if (items[j].status == PGCACHE_OK)
              torn += !is_whole(keys[j], items.bytes(j));
          }
        }
        break;
      }
      default:
        answer = random() % 4 == 0 ? cache.cleanup() : cache.touch(key, 50000);
        break;
      }
      if (answer.status < 0) {
        failed++;
        std::lock_guard<std::mutex> lock(mutex);
        odd[answer.status]++;
      }
    }
  });
  for (const auto &[status, count] : odd)
    UNSCOPED_INFO(pgcache_status_name(status) << " " << count << " times");
  CHECK(failed == 0);
  CHECK(torn == 0);
  CHECK(backwards == 0);
}

TEST_CASE("One value retained and released by 16 threads", "[threads][value]") {
  Store store;
  REQUIRE(store.cache.put("k", "shared") == PGCACHE_OK);
  pgcache_value *value = nullptr;
  REQUIRE(pgcache_get(store.cache.raw(), &value, "k", 1, nullptr, nullptr) == PGCACHE_OK);
  std::atomic<int> wrong{0};
  in_threads(16, [&](int) {
    for (int i = 0; i < 2000; i++) {
      pgcache_value *mine = pgcache_value_retain(value);
      wrong += pgcache_value_size(mine) != 6 || memcmp(pgcache_value_data(mine), "shared", 7) != 0;
      wrong += pgcache_value_ttl_ms(mine) <= 0;
      pgcache_value_free(mine);
    }
  });
  CHECK(wrong == 0);
  pgcache_value_free(value);
}

TEST_CASE("shutdown in the middle of 16 busy threads, then free", "[threads][rule:shutdown]") {
  Store store;
  for (int round = 0; round < longer(6, 100); round++) {
    Cache cache = store.open({{"pool_max", "3"}});
    std::atomic<int> odd{0}, closed{0};
    std::thread closer([&] {
      sleep_ms(1 + round * 7 % 40);
      cache.shutdown();
    });
    std::thread second([&] {
      sleep_ms(1 + round * 5 % 40);
      cache.shutdown();
    });
    const int64_t start = now_ms();
    in_threads(16, [&](int thread) {
      for (;;) {
        const Answer answer = thread % 2 == 0 ? cache.get("k") : cache.put("k" + std::to_string(thread), "v");
        if (answer == PGCACHE_CLOSED) {
          closed++;
          return;
        }
        odd += answer.status < 0 && answer != PGCACHE_UNKNOWN;
      }
    });
    closer.join();
    second.join();
    CHECK(now_ms() - start < 20000);
    CHECK(odd == 0);
    CHECK(closed == 16);
    cache.free();
  }
}

TEST_CASE("Handles made, used and freed by many threads at once", "[threads]") {
  Store store;
  std::atomic<int> failed{0};
  in_threads(12, [&](int thread) {
    for (int i = 0; i < longer(4, 100); i++) {
      Cache cache = store.open();
      const string key = std::to_string(thread);
      failed += cache.put(key, key) != PGCACHE_OK;
      failed += cache.get(key).bytes() != key;
    }
  });
  CHECK(failed == 0);
}
