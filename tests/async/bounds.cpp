/*
 * bounds.cpp - what an engine may take: so many requests, so many bytes, so many connections, so much memory.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/requests.hpp"
#include "support/sanitizer.hpp"

#include <atomic>
#include <fstream>
#include <malloc.h>
#include <thread>

using namespace test;
using std::string;

namespace {

/* Resident memory of this process in bytes, and the most that there has been. */
int64_t resident(const string &line = "VmRSS:") {
  std::ifstream file("/proc/self/status");
  for (string word; file >> word;) {
    if (word == line) {
      int64_t kilobytes = 0;
      file >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

const bool memory_is_our_own = !is_sanitized(); /* the sanitizer's is several times as much */

class Locked {
public:
  explicit Locked(const Store &store) : pg_(url()) {
    pg_.exec(store.sql("BEGIN; LOCK TABLE {s}.entries IN ACCESS EXCLUSIVE MODE"));
  }
  void end() {
    pg_.exec("COMMIT");
  }

private:
  Pg pg_;
};

/* The connections of one application name, looked at every few milliseconds on a thread; the most there were. */
class Watch {
public:
  explicit Watch(const string &name) : name_(name), pg_(url()), thread_([this] { look(); }) {}
  ~Watch() {
    most();
  }
  int most() {
    ended_ = true;
    if (thread_.joinable())
      thread_.join();
    return most_;
  }

private:
  void look() {
    while (!ended_) {
      most_ = std::max(
          most_, std::stoi(pg_.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", {name_})));
      looks_++;
      sleep_ms(3);
    }
  }
  string name_;
  Pg pg_;
  std::atomic<bool> ended_{false};
  int most_ = 0, looks_ = 0;
  std::thread thread_;
};

Options patient() {
  return deadline(120000);
}

} // namespace

TEST_CASE("So many requests, and no more; taking one makes room for one", "[rule:submit][full]") {
  Store store;
  const Cache cache = store.open({{"async_requests_max", "100"}});
  const Requests requests(cache);
  Locked locked(store);
  for (int i = 0; i < 100; i++)
    REQUIRE(requests.get("k" + std::to_string(i)) == PGCACHE_OK);
  const Submitted refused = requests.get("k");
  CHECK(refused == PGCACHE_QUEUE_FULL);
  CHECK(refused.id == 0);
  CHECK(string(refused.error.message).find("async_requests_max") != string::npos);
  CHECK(requests.whole(pgcache_submit_stats) == PGCACHE_QUEUE_FULL);
  CHECK(cache.raw() != nullptr);
  locked.end();
  sleep_ms(100);
  CHECK(requests.get("k") == PGCACHE_QUEUE_FULL); /* what is complete counts until it is taken */
  for (int i = 0; i < 100; i++) {
    REQUIRE(requests.next());
    CHECK(requests.get("k") == PGCACHE_OK);
    CHECK(requests.get("k") == PGCACHE_QUEUE_FULL);
  }
  CHECK(requests.collect(100).size() == 100);
  CHECK_FALSE(requests.take());
}

TEST_CASE("So many bytes, and no more; a single larger request is let in", "[rule:submit][full]") {
  Store store;
  const Cache cache = store.open({{"async_bytes_max", "100000"}});
  const Requests requests(cache);
  const string huge(500000, 'h'), large(30000, 'l');
  const Submitted first = requests.put("huge", huge);
  REQUIRE(first == PGCACHE_OK);
  CHECK(requests.wait(first.id) == PGCACHE_OK);
  CHECK(store.cache.get("huge").bytes() == huge);

  Locked locked(store);
  for (int i = 0; i < 3; i++)
    REQUIRE(requests.put("k" + std::to_string(i), large) == PGCACHE_OK);
  const Submitted refused = requests.put("k3", large);
  CHECK(refused == PGCACHE_QUEUE_FULL);
  CHECK(string(refused.error.message).find("async_bytes_max") != string::npos);
  CHECK(requests.put("huge", huge) == PGCACHE_QUEUE_FULL);
  CHECK(requests.put("small", "v") == PGCACHE_OK); /* there is room for that */
  locked.end();
  CHECK(requests.collect(4).size() == 4);
  CHECK(requests.put("huge", huge) == PGCACHE_OK);
  CHECK(requests.next() == PGCACHE_OK);
}

TEST_CASE("While one that is larger than the bound is under way nothing else comes in, not even what has no bytes to "
          "speak of",
          "[rule:submit][full]") {
  Store store;
  const Cache cache = store.open({{"async_bytes_max", "1000"}});
  const Requests requests(cache);
  Locked locked(store);
  REQUIRE(requests.put("huge", string(5000, 'h')) == PGCACHE_OK);
  CHECK(requests.put("k", string(500, 'v')) == PGCACHE_QUEUE_FULL);
  CHECK(requests.get("k") == PGCACHE_QUEUE_FULL);
  locked.end();
  CHECK(requests.next() == PGCACHE_OK);
  CHECK(requests.get("k") == PGCACHE_OK);
  CHECK(requests.next());
}

TEST_CASE("A write that was given up counts until the server has answered", "[rule:submit][full]") {
  Store store;
  const Cache cache = store.open({{"async_requests_max", "10"}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.get("k").id) == PGCACHE_MISS); /* there is a connection */
  size_t refused = 0;
  /* On a busy machine they may be answered already, or not be sent yet. */
  for (int attempt = 0; refused == 0 && attempt < 20; attempt++) {
    Locked locked(store);
    for (int i = 0; i < 10; i++)
      REQUIRE(eventually([&] { return requests.put("k" + std::to_string(i), "v", deadline(50)) == PGCACHE_OK; }));
    CHECK(requests.collect(10).size() == 10);
    for (int i = 0; i < 10; i++)
      refused += requests.get("k", patient()) == PGCACHE_QUEUE_FULL;
    locked.end();
    CHECK(requests.collect(10 - refused).size() == 10 - refused);
    CHECK(eventually([&] { return requests.get("k") == PGCACHE_OK; }));
    CHECK(requests.next());
  }
  CHECK(refused > 0);
}

TEST_CASE("100,000 requests in flight: memory is bounded, and all complete", "[rule:once][memory]") {
  Store store;
  const Requests requests(store.cache);
  const int count = 100000;
  const string value(100, 'v');
  REQUIRE(requests.wait(requests.get("k").id));
  malloc_trim(0);
  const int64_t before = resident();
  std::vector<uint64_t> ids;
  ids.reserve(static_cast<size_t>(count));
  {
    Locked locked(store);
    for (int i = 0; i < count; i++) {
      const string key = "key " + std::to_string(i % 40000);
      const Submitted submitted =
          i % 3 == 0 ? requests.put(key, value, deadline(600000)) : requests.get(key, deadline(600000));
      if (submitted != PGCACHE_OK)
        FAIL(i << ": " << submitted);
      ids.push_back(submitted.id);
    }
    CHECK(requests.get("k") == PGCACHE_QUEUE_FULL);
  }
  const int64_t in_flight = resident() - before;
  const auto all = requests.collect(static_cast<size_t>(count), 600000);
  const int64_t complete = resident() - before;
  REQUIRE(all.size() == static_cast<size_t>(count));
  std::map<string, int> failures;
  for (const uint64_t id : ids) {
    const auto found = all.find(id);
    REQUIRE(found != all.end());
    if (found->second.status() < 0)
      failures[found->second.message()]++;
  }
  for (const auto &failure : failures)
    FAIL_CHECK(failure.second << " failed: " << failure.first);
  WARN("100,000 in flight took " << in_flight / 1000000 << " MB, their completions " << complete / 1000000 << " MB");
  if (memory_is_our_own) {
    CHECK(in_flight < 100 * 1000 * 1000); /* 1 kB each */
    CHECK(complete < 200 * 1000 * 1000);
  }
  CHECK_FALSE(requests.take());
}

TEST_CASE("A million requests through a full queue leave nothing behind", "[rule:once][memory]") {
  Store store;
  const Cache cache = store.open({{"async_requests_max", "5000"}});
  const Requests requests(cache);
  const int count = longer(100000, 1000000);
  int done = 0, refused = 0, submitted = 0;
  int64_t settled = 0;
  while (done < count) {
    while (submitted < count) {
      const Submitted s = requests.get("k" + std::to_string(submitted % 1000), patient());
      if (s == PGCACHE_QUEUE_FULL) {
        refused++;
        break;
      }
      REQUIRE(s == PGCACHE_OK);
      submitted++;
    }
    REQUIRE(requests.readable(30000));
    while (const Completion completion = requests.take())
      done += completion == PGCACHE_MISS;
    if (settled == 0 && done > count / 4)
      settled = resident();
  }
  CHECK(done == count);
  CHECK(refused > 0);
  if (memory_is_our_own)
    CHECK(resident() - settled < 20 * 1000 * 1000);
}

TEST_CASE("With async_connections=2 no more than two connections do 10,000 requests",
          "[rule:submit][connections][direct]") {
  Store store;
  const Cache cache =
      store.open({{"async_connections", "2"}, {"url", url_with({{"application_name", store.schema()}})}});
  const Requests requests(cache);
  Watch watch(store.schema());
  std::vector<uint64_t> ids;
  for (int round = 0; round < 5; round++) {
    for (int i = 0; i < 10000; i++) {
      const string key = "k" + std::to_string(i % 3000);
      const Submitted submitted = i % 4 == 0   ? requests.put(key, "v", patient())
                                  : i % 4 == 1 ? requests.increment("n" + key, 1, 0, patient())
                                               : requests.get(key, patient());
      REQUIRE(submitted == PGCACHE_OK);
    }
    const auto all = requests.collect(10000, 120000);
    REQUIRE(all.size() == 10000);
    for (const auto &[id, completion] : all)
      if (completion.status() < 0)
        FAIL(completion);
  }
  const int most = watch.most();
  CHECK(most >= 1);
  CHECK(most <= 2);
}

TEST_CASE("Maintenance borrows a few connections more", "[rule:submit][connections][direct]") {
  Store store;
  const Cache cache =
      store.open({{"async_connections", "2"}, {"url", url_with({{"application_name", store.schema()}})}});
  const Requests requests(cache);
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Watch watch(store.schema());
  Locked locked(store);
  std::vector<uint64_t> ids;
  for (int i = 0; i < 6; i++)
    ids.push_back(requests.flush(PGCACHE_FLUSH_NAMESPACE, patient()).id);
  for (int i = 0; i < 100; i++)
    ids.push_back(requests.get("k" + std::to_string(i), patient()).id);
  sleep_ms(500);
  locked.end();
  for (const uint64_t id : ids)
    CHECK(requests.wait(id).status() >= 0);
  CHECK(watch.most() <= 2 + 5);
}

TEST_CASE("Thousands submitted at once share one connection with calls, and nobody has to submit more to get them done",
          "[rule:submit][connections][threads]") {
  Store store;
  Cache cache = store.open({{"pool_max", "1"}});
  const Requests requests(cache);
  std::atomic<bool> ended{false};
  int failed = 0;
  in_threads(2, [&](int number) {
    if (number > 0) {
      while (!ended)
        cache.put("call", "v");
      return;
    }
    for (int i = 0; i < 20000; i++) {
      if (requests.put("k" + std::to_string(i), string(200, 'v'), patient()) != PGCACHE_OK)
        throw std::runtime_error("a submission was refused");
    }
    for (int i = 0; i < 20000; i++) {
      const Completion completion = requests.next(60000);
      if (!completion)
        throw std::runtime_error("nothing comes");
      failed += completion.status() < 0;
    }
    ended = true;
  });
  CHECK(failed == 0);
}

TEST_CASE("Calls that hold all connections for long do not open the breaker", "[rule:breaker][connections]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Cache cache = store.open({{"pool_max", "1"}, {"breaker_failures", "2"}});
  const Requests requests(cache);
  Locked locked(store);
  std::thread holder([&] { cache.flush(PGCACHE_FLUSH_NAMESPACE, patient()); });
  REQUIRE(somebody_waits(store.pg));
  for (int i = 0; i < 16; i++) { /* longer than the engine waits in line at a time */
    CHECK(requests.wait(requests.get("k", deadline(500)).id) == PGCACHE_TIMEOUT);
  }
  locked.end();
  holder.join();
  pgcache_counters counters = PGCACHE_COUNTERS_INIT;
  REQUIRE(pgcache_read_counters(cache.raw(), &counters, nullptr) == PGCACHE_OK);
  CHECK(counters.breaker_opened == 0);
  CHECK(requests.wait(requests.get("k").id).status() >= 0);
}

TEST_CASE("Requests of many namespaces are sent together, too", "[rule:namespace][batch]") {
  Store store;
  const Requests requests(store.cache);
  std::vector<uint64_t> ids;
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 3000; i++) {
      const string name = "tenant" + std::to_string(i % 300);
      pgcache_options options = PGCACHE_OPTIONS_INIT;
      options.namespace_name = name.c_str();
      options.deadline_ms = 30000;
      const string key = "k" + std::to_string(i);
      uint64_t id = 0;
      REQUIRE((round == 0 ? pgcache_submit_put(store.cache.raw(), &id, key.data(), key.size(), name.data(), name.size(),
                                               0, 60000, &options, nullptr)
                          : pgcache_submit_get(store.cache.raw(), &id, key.data(), key.size(), &options, nullptr)) ==
              PGCACHE_OK);
      ids.push_back(id);
    }
    for (int i = 0; i < 3000; i++) {
      const Completion done = requests.wait(ids.at(static_cast<size_t>(round * 3000 + i)));
      if (done != PGCACHE_OK || (round == 1 && done.bytes() != "tenant" + std::to_string(i % 300)))
        FAIL(done);
    }
  }
}

TEST_CASE("pool_max=1 shared with calls of threads: neither side starves", "[rule:submit][connections][threads]") {
  Store store;
  Cache cache = store.open({{"pool_max", "1"}});
  const Requests requests(cache);
  std::atomic<bool> ended{false};
  std::atomic<int> calls{0}, failed_calls{0};
  int64_t worst_call = 0, worst_request = 0;
  int completed = 0, failed = 0;
  in_threads(3, [&](int number) {
    if (number > 0) {
      int64_t worst = 0;
      while (!ended) {
        const int64_t start = now_ms();
        failed_calls += cache.put("call" + std::to_string(number), "v").status < 0;
        worst = std::max(worst, now_ms() - start);
        calls++;
      }
      if (number == 1)
        worst_call = worst;
      return;
    }
    std::map<uint64_t, int64_t> began;
    const int64_t end = now_ms() + longer(2000, 30000), latest = end + 30000; /* on a busy machine it takes longer */
    const auto goes_on = [&] { return now_ms() < end || ((calls <= 10 || completed <= 1000) && now_ms() < latest); };
    while (goes_on() || !began.empty()) {
      while (began.size() < 200 && goes_on()) {
        const Submitted submitted = requests.get("k" + std::to_string(completed % 50));
        if (submitted != PGCACHE_OK)
          throw std::runtime_error("a submission was refused");
        began.emplace(submitted.id, now_ms());
      }
      const Completion completion = requests.next(30000);
      if (!completion)
        throw std::runtime_error("nothing comes");
      failed += completion.status() < 0;
      worst_request = std::max(worst_request, now_ms() - began.at(completion.id()));
      began.erase(completion.id());
      completed++;
    }
    ended = true;
  });
  WARN(completed << " requests beside " << calls << " calls on one connection; the longest took " << worst_request
                 << " ms and " << worst_call << " ms");
  CHECK(failed == 0);
  CHECK(failed_calls == 0);
  CHECK(calls > 10);
  CHECK(completed > 1000);
  CHECK(worst_call < 10000);
  CHECK(worst_request < 10000);
}

TEST_CASE("Maintenance that waits for a lock holds up neither other requests nor their deadlines",
          "[rule:late][connections]") {
  Store store;
  const Cache cache = store.open({{"async_connections", "2"}});
  const Requests requests(cache);
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Pg other(url());
  other.exec(store.sql("BEGIN; UPDATE {s}.entries SET expires_at = expires_at WHERE key = 'k'"));
  std::vector<uint64_t> stuck;
  for (int i = 0; i < 8; i++)
    stuck.push_back(requests.flush(PGCACHE_FLUSH_NAMESPACE, patient()).id);
  REQUIRE(somebody_waits(store.pg));
  const int64_t start = now_ms();
  const Submitted stats = requests.whole(pgcache_submit_stats, deadline(300));
  const Submitted get = requests.get("k", patient());
  CHECK(requests.wait(get.id).bytes() == "v");
  const Completion late = requests.wait(stats.id);
  CHECK((late == PGCACHE_TIMEOUT || late == PGCACHE_OK));
  CHECK(now_ms() - start < 10000); /* the others wait for two minutes */
  other.exec("COMMIT");
  for (const uint64_t id : stuck)
    CHECK(requests.wait(id) == PGCACHE_OK);
}
