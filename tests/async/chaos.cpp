/*
 * chaos.cpp - each request has exactly one completion, while everything happens at once: requests of all kinds, short and long
 * deadlines, cancels, backends that are killed, a server that restarts, a shutdown; and takers of all kinds.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/requests.hpp"

#include <atomic>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <unordered_map>

using namespace test;
using std::string;

namespace {

/* Counts completions by id; whoever gets one says so here. */
class Ledger {
public:
  void submitted(uint64_t id) {
    std::lock_guard<std::mutex> guard(mutex_);
    known_.insert(id);
  }
  void completed(const pgcache_completion *completion) {
    const pgcache_status status = pgcache_completion_status(completion);
    const char *message = pgcache_completion_message(completion);
    std::lock_guard<std::mutex> guard(mutex_);
    times_[pgcache_completion_id(completion)]++;
    by_status_[status]++;
    if ((status < 0) != (*message != '\0'))
      speechless_++;
    for (size_t i = 0; i < pgcache_completion_count(completion); i++) {
      const pgcache_item *item = pgcache_completion_item(completion, i);
      if (item != nullptr &&
          (item->result != nullptr) != (item->status == PGCACHE_OK && pgcache_completion_token(completion) == 1))
        odd_items_++;
    }
  }
  size_t completions() {
    std::lock_guard<std::mutex> guard(mutex_);
    return times_.size();
  }
  /* Each id that was submitted once, and no other. */
  void check() {
    std::lock_guard<std::mutex> guard(mutex_);
    size_t twice = 0, unknown = 0, missing = 0;
    for (const auto &[id, count] : times_) {
      twice += count != 1;
      unknown += known_.count(id) == 0;
    }
    for (const uint64_t id : known_)
      missing += times_.count(id) == 0;
    CHECK(twice == 0);
    CHECK(unknown == 0);
    CHECK(missing == 0);
    CHECK(speechless_ == 0);
    CHECK(odd_items_ == 0);
    string line = std::to_string(known_.size()) + " requests:";
    for (const auto &[status, count] : by_status_)
      line += " " + string(pgcache_status_name(status)).substr(8) + " " + std::to_string(count);
    WARN(line);
  }
  size_t of(pgcache_status status) {
    std::lock_guard<std::mutex> guard(mutex_);
    return by_status_[status];
  }
  /* No status that nothing here explains. */
  void check_statuses(const std::set<pgcache_status> &allowed) {
    for (const auto &[status, count] : by_status_) {
      INFO(pgcache_status_name(status));
      CHECK(allowed.count(status) == 1);
    }
  }

private:
  std::mutex mutex_;
  std::set<uint64_t> known_;
  std::unordered_map<uint64_t, int> times_;
  std::map<pgcache_status, size_t> by_status_;
  size_t speechless_ = 0, odd_items_ = 0;
};

/* Several threads that submit, cancel, take, wait and dispatch until `ended`, then until all is complete. */
class Crowd {
public:
  Crowd(Cache &cache, Ledger &ledger) : requests_(cache), ledger_(ledger) {
    callback_.call = [](void *self, const pgcache_completion *completion) {
      static_cast<Crowd *>(self)->ledger_.completed(completion);
    };
    callback_.userdata = this;
    for (int i = 0; i < 2; i++)
      threads_.emplace_back([this, i] { submit(i); });
    threads_.emplace_back([this] { take(); });
    threads_.emplace_back([this] { dispatch(); });
  }
  /* True when all has come. */
  bool end(int milliseconds) {
    ended_ = true;
    const bool all = eventually([&] { return submitters_ == 0 && under_way_ == 0; }, milliseconds);
    stopped_ = true;
    for (auto &thread : threads_)
      thread.join();
    threads_.clear();
    return all;
  }
  ~Crowd() {
    if (!threads_.empty())
      end(0);
  }

private:
  void submit(int number) {
    std::mt19937_64 random(seed() + static_cast<uint64_t>(number));
    submitters_++;
    std::vector<uint64_t> recent, mine;
    while (!ended_) {
      if (under_way_ > 2000) {
        sleep_ms(1);
        continue;
      }
      Options options = deadline(static_cast<int64_t>(1 + random() % 1000));
      const bool waits = random() % 10 == 0;
      if (!waits && random() % 3 == 0)
        options.callback = &callback_;
      /* Whoever completes it may be sooner than who submits it: the ledger compares at the end. */
      under_way_++;
      const Submitted submitted = any(random, options);
      if (submitted != PGCACHE_OK) {
        under_way_--;
        if (submitted == PGCACHE_CLOSED)
          break;
        if (submitted != PGCACHE_QUEUE_FULL)
          refused_++;
        continue;
      }
      ledger_.submitted(submitted.id);
      recent.push_back(submitted.id);
      if (random() % 10 == 0)
        requests_.cancel(recent[random() % recent.size()]);
      if (recent.size() > 300)
        recent.erase(recent.begin(), recent.begin() + 100);
      if (waits) { /* perhaps the taker was faster */
        if (const Completion completion = requests_.wait(submitted.id, static_cast<int64_t>(random() % 50))) {
          ledger_.completed(completion.get());
          under_way_--;
        }
      }
    }
    submitters_--;
  }
  Submitted any(std::mt19937_64 &random, const Options &given) {
    Options options = given;
    const string key = "k" + std::to_string(random() % 200);
    switch (random() % 16) {
    case 0:
    case 1:
    case 2:
      return requests_.put(key, string(random() % 3000, 'v'), options);
    case 3:
      return requests_.remove(key, options);
    case 4:
      return requests_.increment("n" + key, 1, 0, options);
    case 5:
      return requests_.touch(key, 60000, options);
    case 6:
      return requests_.exists(key, options);
    case 7:
      return requests_.add(key, "added", options);
    case 8:
      return requests_.compare_and_swap(key, "swapped", 1 + static_cast<int64_t>(random() % 1000), options);
    case 9: {
      const uint64_t kind = random() % 3;
      std::vector<string> keys(random() % 50);
      for (auto &each : keys)
        each = "k" + std::to_string(random() % 200);
      Items items;
      for (const auto &each : keys)
        items.add(each, "many");
      options.token = kind == 0 ? 1 : 0;
      return requests_.many(kind == 0   ? pgcache_submit_get_many
                            : kind == 1 ? pgcache_submit_put_many
                                        : pgcache_submit_remove_many,
                            items, options);
    }
    case 10:
      return random() % 50 == 0 ? requests_.whole(pgcache_submit_stats, options) : requests_.get(key, options);
    case 11:
      return random() % 100 == 0 ? requests_.flush(PGCACHE_FLUSH_NAMESPACE, options) : requests_.get(key, options);
    default:
      return requests_.get(key, options);
    }
  }
  void take() {
    while (!stopped_) {
      if (!requests_.readable(20))
        continue;
      while (const Completion completion = requests_.take()) {
        ledger_.completed(completion.get());
        under_way_--;
      }
      std::this_thread::yield(); /* what has a callback keeps the descriptor readable */
    }
  }
  void dispatch() {
    while (!stopped_)
      under_way_ -= static_cast<int>(requests_.dispatch(20));
  }

  Requests requests_;
  Ledger &ledger_;
  pgcache_callback callback_ = PGCACHE_CALLBACK_INIT;
  std::atomic<bool> ended_{false}, stopped_{false};
  std::atomic<int> under_way_{0}, submitters_{0}, refused_{0};
  std::vector<std::thread> threads_;
};

const std::set<pgcache_status> &expected_statuses() {
  static const std::set<pgcache_status> all = {PGCACHE_OK,        PGCACHE_MISS,    PGCACHE_EXISTS,
                                               PGCACHE_TIMEOUT,   PGCACHE_UNKNOWN, PGCACHE_UNAVAILABLE,
                                               PGCACHE_CANCELLED, PGCACHE_CLOSED,  PGCACHE_CONFLICT};
  return all;
}

} // namespace

TEST_CASE("One completion for each request while backends are killed and all kinds of takers take",
          "[rule:once][rule:late][chaos][threads][direct]") {
  Store store;
  Cache cache = store.open({{"async_connections", "3"},
                            {"url", url_with({{"application_name", store.schema()}})},
                            {"breaker_pause_ms", "50"}});
  Ledger ledger;
  Crowd crowd(cache, ledger);
  Pg killer(url());
  size_t done = 0;
  const int64_t end = now_ms() + longer(2000, 60000);
  for (; now_ms() < end || (done <= 100 && now_ms() < end + 60000); sleep_ms(30)) {
    /* On a busy machine no connection would be there for long enough to do anything. */
    eventually([&] { return ledger.of(PGCACHE_OK) > done; }, 1000);
    done = ledger.of(PGCACHE_OK);
    killer.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 ORDER BY random()"
                 " LIMIT 1",
                 {store.schema()});
  }
  CHECK(crowd.end(60000));
  ledger.check();
  ledger.check_statuses(expected_statuses());
  CHECK(ledger.of(PGCACHE_OK) > 100);
  CHECK(ledger.of(PGCACHE_CANCELLED) > 0);
  CHECK(ledger.of(PGCACHE_TIMEOUT) > 0);
  CHECK_FALSE(Requests(cache).take());
  CHECK_FALSE(Requests(cache).readable());
  CHECK(eventually([&] { return cache.put("k", "v") == PGCACHE_OK; }));
}

TEST_CASE("One completion for each request while the server stops, crashes and starts",
          "[rule:once][rule:late][chaos][threads]") {
  PrivateServer server;
  Store store({}, server.conninfo());
  Cache cache = store.open({{"breaker_pause_ms", "50"}});
  Ledger ledger;
  Crowd crowd(cache, ledger);
  for (int round = 0; round < longer(2, 20); round++) {
    sleep_ms(500);
    if (round % 2 == 0)
      server.stop();
    else
      server.crash();
    sleep_ms(300);
    server.start();
  }
  CHECK(eventually([&] { return ledger.of(PGCACHE_OK) > 500; }));
  CHECK(crowd.end(60000));
  ledger.check();
  auto statuses = expected_statuses();
  ledger.check_statuses(statuses);
  CHECK(eventually([&] { return cache.put("k", "v") == PGCACHE_OK; }));
  CHECK(eventually([&] { return Requests(cache).wait(Requests(cache).get("k").id).bytes() == "v"; }));
}

TEST_CASE("One completion for each request when the handle is shut down in the middle of it all",
          "[rule:once][rule:shutdown][chaos][threads]") {
  Store store;
  for (int round = 0; round < longer(4, 50); round++) {
    Cache cache = store.open({{"async_connections", "3"}});
    Ledger ledger;
    Crowd crowd(cache, ledger);
    sleep_ms(150 + round % 7 * 13);
    CHECK(eventually([&] { return ledger.of(PGCACHE_OK) > 0; }));
    const int64_t start = now_ms();
    std::thread closer([&] { cache.shutdown(); });
    closer.join();
    CHECK(crowd.end(30000));
    CHECK(now_ms() - start < 15000);
    ledger.check();
    ledger.check_statuses(expected_statuses());
    CHECK_FALSE(Requests(cache).take());
  }
}
