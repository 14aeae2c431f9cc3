/*
 * hit_ratio.cpp - what a bounded cache keeps: a fixed trace of requests against the database, and against FIFO, random
 * replacement and LRU of the same size, which are simulated here.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <deque>
#include <iterator>
#include <list>
#include <random>
#include <unordered_map>
#include <unordered_set>

using namespace test;
using std::string;

namespace {

/* Which key each request asks for: the n-th most popular of `keys` in proportion to 1 / n^skew. Halfway another half of the
   keys becomes the popular one. */
std::vector<int> trace(int requests, int keys, double skew) {
  std::vector<double> until;
  double sum = 0;
  for (int n = 1; n <= keys; n++)
    until.push_back(sum += std::pow(n, -skew));
  std::mt19937_64 random(20260101);
  std::vector<int> out;
  for (int i = 0; i < requests; i++) {
    const double at = static_cast<double>(random() >> 11) * 0x1p-53 * sum;
    const auto rank = std::upper_bound(until.begin(), until.end() - 1, at) - until.begin();
    out.push_back((static_cast<int>(rank) + (i < requests / 2 ? 0 : keys / 2)) % keys);
  }
  return out;
}

double fifo(const std::vector<int> &requests, size_t size) {
  std::deque<int> order;
  std::unordered_set<int> held;
  int hits = 0;
  for (const int key : requests) {
    if (!held.insert(key).second) {
      hits++;
      continue;
    }
    order.push_back(key);
    if (order.size() > size) {
      held.erase(order.front());
      order.pop_front();
    }
  }
  return static_cast<double>(hits) / static_cast<double>(requests.size());
}

double at_random(const std::vector<int> &requests, size_t size) {
  std::mt19937_64 random(1);
  std::vector<int> places;
  std::unordered_set<int> held;
  int hits = 0;
  for (const int key : requests) {
    if (!held.insert(key).second) {
      hits++;
    } else if (places.size() < size) {
      places.push_back(key);
    } else {
      int &place = places[random() % size];
      held.erase(place);
      place = key;
    }
  }
  return static_cast<double>(hits) / static_cast<double>(requests.size());
}

double lru(const std::vector<int> &requests, size_t size) {
  std::list<int> order;
  std::unordered_map<int, std::list<int>::iterator> held;
  int hits = 0;
  for (const int key : requests) {
    const auto found = held.find(key);
    if (found != held.end()) {
      hits++;
      order.splice(order.begin(), order, found->second);
      continue;
    }
    order.push_front(key);
    held[key] = order.begin();
    if (order.size() > size) {
      held.erase(order.back());
      order.pop_back();
    }
  }
  return static_cast<double>(hits) / static_cast<double>(requests.size());
}

struct Ours {
  double hits;     /* a share of the requests */
  double held;     /* entries, on the average: it grows beyond the limit between two walks */
  int64_t touched; /* stamps of use that reads made new */
  int64_t evicted;
  int64_t most; /* entries right after a walk */
};

/* The same through the library: get, and put after a miss; a walk after every `pace` requests. A stamp of use is as coarse,
   beside the time that an entry stays, as a minute is for a cache whose entries stay for hours. */
Ours ours(const std::vector<int> &requests, int limit, int pace) {
  Store store;
  Cache cache = store.open({{"access_stamp_ms", "1"}});
  REQUIRE(cache.set_limits(PGCACHE_LIMIT_ALL, limit, PGCACHE_LIMIT_NONE) == PGCACHE_OK);
  Ours out{};
  int hits = 0;
  double held = 0, sum = 0;
  for (size_t i = 0; i < requests.size(); i++) {
    const string key = std::to_string(requests[i]);
    const Answer found = cache.get(key);
    if (found == PGCACHE_OK) {
      hits++;
    } else {
      REQUIRE(found == PGCACHE_MISS);
      REQUIRE(cache.put(key, "twenty bytes of value") == PGCACHE_OK);
      held++;
    }
    sum += held;
    if (i % static_cast<size_t>(pace) == static_cast<size_t>(pace) - 1) {
      pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
      progress.restart = 1;
      while (!progress.finished) {
        REQUIRE(cache.cleanup_some(progress, 1000) == PGCACHE_OK);
        REQUIRE_FALSE(progress.busy);
      }
      held -= static_cast<double>(progress.evicted);
      out.most = std::max(out.most, static_cast<int64_t>(held));
      out.evicted += progress.evicted;
    }
  }
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == std::to_string(static_cast<int64_t>(held)));
  out.hits = static_cast<double>(hits) / static_cast<double>(requests.size());
  out.held = sum / static_cast<double>(requests.size());
  out.touched = cache.counters().entries_touched;
  return out;
}

} // namespace

TEST_CASE("A bounded cache keeps what is used: more hits than FIFO and random replacement, nearly those of LRU",
          "[limits][trace]") {
  const int limit = 300, keys = 10 * limit, pace = 40;
  for (const double skew : {0.8, 1.0}) {
    if (!is_long() && skew < 1)
      continue; /* the other one shows it; the long run prints both */
    const std::vector<int> requests = trace(longer(10000, 60000), keys, skew);
    const Ours found = ours(requests, limit, pace);
    /* The others have the room that ours took on the average. */
    const auto size = static_cast<size_t>(std::ceil(found.held));
    const double first = fifo(requests, size), any = at_random(requests, size), least = lru(requests, size);
    char line[200];
    snprintf(line, sizeof line,
             "skew %.1f: hits %.1f%%; FIFO %.1f%%, random %.1f%%, LRU %.1f%% (%.0f entries of %d on the average, "
             "%lld touched)",
             skew, 100 * found.hits, 100 * first, 100 * any, 100 * least, found.held, limit,
             static_cast<long long>(found.touched));
    INFO(line);
    if (is_long())
      puts(line);
    CHECK(found.most <= limit);
    CHECK(found.evicted > limit);
    CHECK(found.touched > 0);
    CHECK(found.held < 1.1 * limit);
    CHECK(found.hits > first);
    CHECK(found.hits > any);
    CHECK(found.hits > least - 0.03);
  }
}
