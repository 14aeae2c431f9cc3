/*
 * life.cpp - the end of a handle with requests under way, and a process that forks among them.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/fork.hpp"
#include "support/requests.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <pthread.h>
#include <fstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

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

int count_threads() {
  std::ifstream file("/proc/self/status");
  for (string word; file >> word;) {
    if (word == "Threads:") {
      int count = 0;
      file >> count;
      return count;
    }
  }
  return 0;
}

/* A thread that has made a connection ends by and by. */
int settled_threads() {
  int count = count_threads(), same = 0;
  eventually([&] {
    const int now = count_threads();
    same = now == count ? same + 1 : 0;
    count = now;
    return same == 40;
  });
  return count;
}

int count_descriptors() {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++)
    count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

#define NEEDS_FORK_AMONG_THREADS()                                                                                     \
  if (!can_fork_among_threads) {                                                                                       \
    WARN("skipped: the sanitizer's own locks are not free in a child forked beside the engine's thread");              \
    return;                                                                                                            \
  }

} // namespace

TEST_CASE("shutdown completes all that is under way, at once; completions can be taken until they are",
          "[rule:shutdown][rule:once]") {
  Store store;
  for (int number = 0; number < 30; number++)
    REQUIRE(store.cache.put("k" + std::to_string(number), "old") == PGCACHE_OK);
  Cache cache = store.open({{"timeout_ms", "120000"}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.get("k1").id) == PGCACHE_OK);
  Locked locked(store);
  int called = 0;
  const Callback callback([&](const pgcache_completion *completion) {
    called++;
    CHECK(pgcache_completion_status(completion) == PGCACHE_CLOSED);
  });
  std::map<uint64_t, bool> writes;
  for (int i = 0; i < 300; i++) {
    const string key = "k" + std::to_string(i % 30);
    const bool writes_it = i % 2 == 0;
    const Submitted submitted = writes_it ? requests.put(key, "new") : requests.get(key);
    REQUIRE(submitted == PGCACHE_OK);
    writes.emplace(submitted.id, writes_it);
  }
  REQUIRE(requests.get("k0", callback.options()) == PGCACHE_OK);
  const Submitted stats = requests.whole(pgcache_submit_stats);
  sleep_ms(50);
  const int64_t start = now_ms();
  cache.shutdown();
  CHECK(requests.get("k") == PGCACHE_CLOSED);
  const auto all = requests.collect(301);
  CHECK(now_ms() - start < 15000);
  REQUIRE(all.size() == 301);
  for (const auto &[id, completion] : all) {
    const bool in_doubt = id != stats.id && writes.at(id) && completion == PGCACHE_UNKNOWN;
    INFO(completion);
    CHECK((completion == PGCACHE_CLOSED || in_doubt));
    CHECK(completion.message().size() > 10);
  }
  CHECK(requests.dispatch(1000) == 1);
  CHECK(called == 1);
  CHECK_FALSE(requests.take());
  CHECK(requests.cancel(stats.id) == PGCACHE_MISS);
  cache.shutdown();
  locked.end();
}

TEST_CASE("shutdown wakes who waits for a completion, and who waits in dispatch", "[rule:shutdown][threads]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  Cache cache = store.open({{"timeout_ms", "120000"}});
  const Requests requests(cache);
  Locked locked(store);
  const Submitted get = requests.get("k");
  Completion got;
  std::atomic<int> returned{0}, called{0}; /* the main thread checks */
  std::thread waiter([&] {
    got = requests.wait(get.id, PGCACHE_DEADLINE_DEFAULT);
    returned++;
  });
  std::thread dispatcher([&] {
    called += static_cast<int>(requests.dispatch(120000));
    returned++;
  });
  Cache idle = store.open();
  std::thread early([&] { /* on a handle without an engine */
                          CHECK(Requests(idle).dispatch(120000) == 0);
                          returned++;
  });
  sleep_ms(100);
  const int64_t start = now_ms();
  cache.shutdown();
  idle.shutdown();
  CHECK(eventually([&] { return returned == 3; }));
  waiter.join();
  dispatcher.join();
  early.join();
  CHECK(now_ms() - start < 30000);
  CHECK(called == 0);
  CHECK(got == PGCACHE_CLOSED);
  const int64_t again = now_ms();
  CHECK(requests.dispatch(30000) == 0);                                            /* nothing can come any more */
  CHECK(pgcache_dispatch(cache.raw(), nullptr, 30000, nullptr) == PGCACHE_CLOSED); /* so that a loop can end */
  CHECK(now_ms() - again < 10000);
}

TEST_CASE("A handle that was shut down before its first request", "[rule:shutdown]") {
  Store store;
  Cache cache = store.open();
  const Requests requests(cache);
  cache.shutdown();
  CHECK(requests.get("k") == PGCACHE_CLOSED);
  CHECK_FALSE(requests.take());
  CHECK(requests.dispatch(0) == 0);
  CHECK(requests.cancel(1) == PGCACHE_MISS);
}

TEST_CASE("free with requests under way and completions that nobody took: soon, and nothing is left", "[rule:free]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  const int threads = settled_threads(), descriptors = count_descriptors();
  for (int round = 0; round < 10; round++) {
    Cache cache = store.open({{"async_connections", "3"}, {"timeout_ms", "120000"}});
    const Requests requests(cache);
    requests.fd();
    const Callback never([](const pgcache_completion *) { FAIL("called by free"); });
    for (int i = 0; i < 20; i++) {
      REQUIRE(requests.get("k") == PGCACHE_OK);
      REQUIRE(requests.get("k", never.options()) == PGCACHE_OK);
    }
    REQUIRE(requests.readable(30000));
    Locked locked(store);
    for (int i = 0; i < 200; i++) {
      const string key = "k" + std::to_string(i);
      REQUIRE((i % 2 == 0 ? requests.put(key, string(1000, 'v')) : requests.get("k")) == PGCACHE_OK);
    }
    REQUIRE(requests.flush(PGCACHE_FLUSH_NAMESPACE) == PGCACHE_OK);
    Items items;
    items.add("k", "v");
    items.add("l", "v");
    REQUIRE(requests.many(pgcache_submit_put_many, items) == PGCACHE_OK);
    if (round % 2 == 0)
      sleep_ms(20);
    const int64_t start = now_ms();
    cache.free();
    CHECK(now_ms() - start < 15000);
    locked.end();
  }
  CHECK(eventually([&] { return count_threads() == threads; }));
  CHECK(count_descriptors() == descriptors);
}

TEST_CASE("A handle without requests has no engine: no thread, no descriptor", "[rule:submit]") {
  const int threads = settled_threads(), descriptors = count_descriptors();
  Config config;
  Cache cache(config.set("url", "null:"));
  CHECK(cache.get("k") == PGCACHE_MISS);
  const Requests requests(cache);
  CHECK_FALSE(requests.take());
  CHECK(requests.dispatch(0) == 0);
  CHECK(count_threads() == threads);
  CHECK(count_descriptors() == descriptors);
  CHECK(requests.wait(requests.get("k").id) == PGCACHE_MISS);
  CHECK(count_threads() == threads + 1);
}

TEST_CASE("The engine's threads block all signals", "[rule:signals]") {
  Store store;
  const Requests requests(store.cache);
  REQUIRE(requests.wait(requests.get("k").id));
  REQUIRE(requests.wait(requests.whole(pgcache_submit_stats).id) == PGCACHE_OK);
  static std::atomic<int> caught{0};
  static std::atomic<pthread_t> catcher;
  struct sigaction action = {}, before = {};
  action.sa_handler = [](int) {
    caught++;
    catcher = pthread_self();
  };
  REQUIRE(sigaction(SIGUSR2, &action, &before) == 0);
  for (int i = 0; i < 200; i++) {
    REQUIRE(requests.get("k") == PGCACHE_OK);
    kill(getpid(), SIGUSR2);
    REQUIRE(requests.next());
    CHECK(pthread_equal(catcher, pthread_self()));
  }
  CHECK(eventually([] { return caught >= 1; }));
  sigaction(SIGUSR2, &before, nullptr);
}

TEST_CASE("No function of requests is a cancellation point", "[rule:signals][threads]") {
  Store store;
  const Requests requests(store.cache);
  const auto survives = [](const std::function<void()> &call) {
    struct State {
      const std::function<void()> &call;
      std::atomic<bool> returned{false};
    } state{call};
    pthread_t thread;
    const auto body = [](void *argument) -> void * {
      auto *self = static_cast<State *>(argument);
      pthread_cancel(pthread_self()); /* pending: the next cancellation point ends the thread */
      self->call();
      self->returned = true;
      return nullptr;
    };
    REQUIRE(pthread_create(&thread, nullptr, body, &state) == 0);
    pthread_join(thread, nullptr);
    return state.returned.load();
  };
  CHECK(survives([&] { requests.fd(); }));
  std::vector<uint64_t> ids(4);
  for (uint64_t &id : ids) {
    sleep_ms(30); /* the engine's thread sleeps, and has to be woken */
    CHECK(survives([&] { pgcache_submit_get(store.cache.raw(), &id, "k", 1, nullptr, nullptr); }));
  }
  CHECK(survives([&] { requests.cancel(ids[0]); }));
  CHECK(survives([&] { requests.take(); }));
  pgcache_completion *out = nullptr;
  CHECK(survives([&] { requests.wait_for(ids[1], 1000, &out); }));
  pgcache_completion_free(out);
  CHECK(survives([&] { requests.dispatch(10); }));
  Items items;
  items.add("k", "v");
  sleep_ms(30);
  CHECK(survives([&] { requests.many(pgcache_submit_put_many, items); }));
  sleep_ms(30);
  CHECK(survives([&] { requests.whole(pgcache_submit_stats); }));
}

TEST_CASE("A child has an engine of its own, and the parent's requests complete undisturbed",
          "[A53][rule:fork][rule:fd]") {
  NEEDS_FORK_AMONG_THREADS();
  Store store(Settings{{"timeout_ms", "60000"}});
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  const Requests requests(store.cache);
  const int fd = requests.fd();
  for (int round = 0; round < 5; round++) {
    std::map<uint64_t, int> ids;
    for (int i = 0; i < 500; i++) {
      const string key = "k" + std::to_string(i % 50);
      const Submitted submitted = i % 3 == 0 ? requests.put(key, "v") : requests.get(key);
      REQUIRE(submitted == PGCACHE_OK);
      ids.emplace(submitted.id, i);
    }
    const int result = in_child([&] {
      if (requests.take()) /* the parent's completions are the parent's */
        return 1;
      for (const auto &[id, number] : ids) {
        if (requests.cancel(id) != PGCACHE_MISS)
          return 2;
        if (requests.wait(id, 0))
          return 3;
      }
      int mine = -1;
      if (pgcache_event_fd(store.cache.raw(), &mine, nullptr) != PGCACHE_OK || mine < 0)
        return 4;
      if (requests.readable())
        return 5;
      const Submitted put = requests.put("child", "of round " + std::to_string(round));
      if (put != PGCACHE_OK || requests.wait(put.id) != PGCACHE_OK)
        return 6;
      if (requests.get("child") != PGCACHE_OK || !requests.readable(30000))
        return 7;
      const Completion found = requests.next();
      if (found.bytes() != "of round " + std::to_string(round) || requests.readable())
        return 8;
      if (round == 1)
        store.cache.shutdown();
      if (round == 2)
        store.cache.free();
      return 0;
    });
    CHECK(result == 0);
    CHECK(requests.fd() == fd);
    const auto all = requests.collect(ids.size());
    REQUIRE(all.size() == ids.size());
    for (const auto &[id, completion] : all) {
      CHECK(ids.count(id) == 1);
      if (completion.status() < 0)
        FAIL_CHECK(completion);
    }
    CHECK_FALSE(requests.readable());
    CHECK(store.cache.get("child").bytes() == "of round " + std::to_string(round));
  }
}

TEST_CASE("A child that does nothing, exits, or frees the handle at once harms nobody", "[A53][rule:fork]") {
  NEEDS_FORK_AMONG_THREADS();
  Store store(Settings{{"timeout_ms", "60000"}});
  const Requests requests(store.cache);
  requests.fd();
  for (int round = 0; round < 6; round++) {
    std::vector<uint64_t> ids;
    for (int i = 0; i < 300; i++)
      ids.push_back(requests.put("k" + std::to_string(i), "v").id);
    CHECK(in_child([&] {
            if (round % 3 == 1)
              store.cache.free();
            if (round % 3 == 2) {
              store.cache.shutdown();
              if (requests.get("k") != PGCACHE_CLOSED)
                return 1;
              store.cache.free();
            }
            return 0;
          }) == 0);
    for (const uint64_t id : ids)
      CHECK(requests.wait(id) == PGCACHE_OK);
  }
}

TEST_CASE("Forks beside threads that submit and take: every child works, every parent's request completes",
          "[A53][rule:fork][rule:once]") {
  NEEDS_FORK_AMONG_THREADS();
  Store store(Settings{{"timeout_ms", "60000"}});
  const Requests requests(store.cache);
  requests.fd();
  std::atomic<bool> ended{false};
  std::atomic<int> submitted{0}, completed{0}, failed{0};
  std::thread submitter([&] {
    while (!ended) {
      if (submitted - completed > 500)
        std::this_thread::yield();
      else if (const int number = submitted++; requests.get("k" + std::to_string(number % 20)) != PGCACHE_OK)
        failed++;
    }
  });
  std::thread taker([&] {
    while (!ended || completed < submitted) {
      if (!requests.readable(20))
        continue;
      if (const Completion completion = requests.take()) {
        failed += completion.status() < 0;
        completed++;
      }
    }
  });
  for (int round = 0; round < longer(15, 300); round++) {
    CHECK(in_child([&] {
            const Submitted put = requests.put("child", "v");
            if (put != PGCACHE_OK)
              return 1;
            return requests.wait(put.id) == PGCACHE_OK ? 0 : 2;
          }) == 0);
  }
  ended = true;
  submitter.join();
  taker.join();
  CHECK(failed == 0);
  CHECK(completed == submitted);
  CHECK(completed > 100);
}
