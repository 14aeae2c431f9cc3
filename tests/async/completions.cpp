/*
 * completions.cpp - how a completion finds its taker: take, wait, dispatch, the descriptor, tokens, and what stands in it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/requests.hpp"

#include <atomic>
#include <set>
#include <sys/epoll.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

/* A transaction of somebody else's that keeps an entry locked until it is told to end. */
class Locked {
public:
  Locked(Store &store, const string &key) : pg_(url()) {
    pg_.exec(store.sql("BEGIN; UPDATE {s}.entries SET expires_at = expires_at WHERE key = '" + key + "'"));
  }
  void end() {
    pg_.exec("COMMIT");
  }

private:
  Pg pg_;
};

void put_old(Store &store, const string &key) {
  REQUIRE(store.cache.put(key, "old") == PGCACHE_OK);
}

} // namespace

TEST_CASE("A completion goes to one taker, with its id and its token", "[rule:once][token]") {
  Store store;
  const Requests requests(store.cache);
  const Submitted first = requests.put("k", "v", with_token(UINT64_MAX));
  const Submitted second = requests.get("k", with_token(7));
  const Submitted third = requests.get("k");
  REQUIRE(third == PGCACHE_OK);
  CHECK(std::set<uint64_t>{first.id, second.id, third.id, 0}.size() == 4);
  const auto all = requests.collect(3);
  REQUIRE(all.size() == 3);
  CHECK(all.at(first.id).token() == UINT64_MAX);
  CHECK(all.at(second.id).token() == 7);
  CHECK(all.at(third.id).token() == 0);
  CHECK(all.at(second.id).bytes() == "v");
  CHECK(all.at(third.id).value().version() == all.at(first.id).version());
  CHECK_FALSE(requests.take());
  pgcache_completion *out = reinterpret_cast<pgcache_completion *>(1);
  CHECK(requests.wait_for(first.id, 1000, &out) == PGCACHE_MISS);
  CHECK(out == nullptr);
  CHECK(requests.cancel(first.id) == PGCACHE_MISS);
}

TEST_CASE("An id does not come again in a process, whichever handle it is of", "[rule:submit]") {
  Store store;
  const Cache another = store.open();
  std::set<uint64_t> ids;
  for (int i = 0; i < 100; i++) {
    for (const Requests &requests : {Requests(store.cache), Requests(another)}) {
      const Submitted submitted = requests.get("k");
      REQUIRE(submitted == PGCACHE_OK);
      CHECK(submitted.id > 0);
      ids.insert(submitted.id);
      CHECK(requests.wait(submitted.id) == PGCACHE_MISS);
    }
  }
  CHECK(ids.size() == 200);
}

TEST_CASE("A completion says no more than it knows, and nothing is what NULL gives", "[rule:once]") {
  Store store;
  const Requests requests(store.cache);
  const Completion completion = requests.wait(requests.get("none").id);
  CHECK(completion == PGCACHE_MISS);
  CHECK(completion.message().empty());
  CHECK(completion.sqlstate().empty());
  CHECK(completion.version() == 0);
  CHECK(completion.number() == 0);
  CHECK_FALSE(completion.value());
  CHECK_FALSE(completion.value(1));
  CHECK(completion.item(0) == nullptr);
  CHECK(pgcache_completion_stats(completion.get()) == nullptr);
  CHECK(pgcache_completion_usage(completion.get(), 0) == nullptr);
  CHECK(pgcache_completion_progress(completion.get()) == nullptr);

  CHECK(pgcache_completion_id(nullptr) == 0);
  CHECK(pgcache_completion_token(nullptr) == 0);
  CHECK(pgcache_completion_status(nullptr) == PGCACHE_INVALID);
  CHECK(string(pgcache_completion_message(nullptr)).empty());
  CHECK(string(pgcache_completion_sqlstate(nullptr)).empty());
  CHECK(pgcache_completion_version(nullptr) == 0);
  CHECK(pgcache_completion_number(nullptr) == 0);
  CHECK(pgcache_completion_count(nullptr) == 0);
  CHECK(pgcache_completion_value(nullptr, 0) == nullptr);
  CHECK(pgcache_completion_item(nullptr, 0) == nullptr);
  CHECK(pgcache_completion_stats(nullptr) == nullptr);
  CHECK(pgcache_completion_usage(nullptr, 0) == nullptr);
  CHECK(pgcache_completion_progress(nullptr) == nullptr);
  pgcache_completion_free(nullptr);
}

TEST_CASE("Completions and their values outlive the handle", "[rule:once]") {
  Completion completion;
  Value value;
  {
    Store store;
    put_old(store, "k");
    const Requests requests(store.cache);
    completion = requests.wait(requests.get("k").id);
    value = completion.value();
  }
  CHECK(completion == PGCACHE_OK);
  CHECK(completion.bytes() == "old");
  completion = Completion();
  CHECK(value.bytes() == "old");
}

TEST_CASE("pgcache_wait: its timeout, a second waiter, what has a callback, what is complete", "[rule:once][threads]") {
  Store store;
  put_old(store, "k");
  Locked locked(store, "k");
  const Requests requests(store.cache);
  const Submitted put = requests.put("k", "new", deadline(60000));
  pgcache_completion *out = nullptr;
  const int64_t start = now_ms();
  CHECK(requests.wait_for(put.id, 0, &out) == PGCACHE_TIMEOUT);
  CHECK(requests.wait_for(put.id, 100, &out) == PGCACHE_TIMEOUT);
  CHECK(now_ms() - start >= 100);
  CHECK(now_ms() - start < 10000);
  CHECK(requests.wait_for(put.id, -5, &out) == PGCACHE_INVALID);
  CHECK(requests.wait_for(put.id + 1000, 1000, &out) == PGCACHE_MISS);
  CHECK(requests.wait_for(0, 1000, &out) == PGCACHE_MISS);
  CHECK(pgcache_wait(store.cache.raw(), nullptr, put.id, 0, nullptr) == PGCACHE_INVALID);

  std::atomic<int> called{0};
  const Callback callback([&](const pgcache_completion *) { called++; });
  const Submitted with_callback = requests.get("other", callback.options());
  CHECK(requests.wait_for(with_callback.id, 1000, &out) == PGCACHE_MISS);

  Completion first;
  std::thread waiter([&] {
    while (!first) /* unless the other thread is just asking */
      first = requests.wait(put.id, PGCACHE_DEADLINE_DEFAULT);
  });
  CHECK(eventually([&] { return requests.wait_for(put.id, 1, &out) == PGCACHE_MISS; })); /* the other one waits */
  CHECK_FALSE(requests.take());
  locked.end();
  waiter.join();
  CHECK(first == PGCACHE_OK);
  CHECK(first.id() == put.id);
  CHECK_FALSE(requests.take());
  CHECK(requests.dispatch(30000) == 1);
  CHECK(called == 1);

  const Submitted complete = requests.get("k");
  REQUIRE(requests.readable(30000));
  CHECK(requests.wait(complete.id, 0).bytes() == "new");
  CHECK_FALSE(requests.readable());
}

TEST_CASE("The descriptor is readable exactly while a completion waits", "[rule:fd]") {
  Store store;
  const Requests requests(store.cache);
  const int fd = requests.fd();
  CHECK_FALSE(requests.readable());
  CHECK(requests.get("k") == PGCACHE_OK);
  CHECK(requests.get("k") == PGCACHE_OK);
  CHECK(requests.readable(30000));
  CHECK(requests.fd() == fd);
  CHECK(eventually([&] { return static_cast<bool>(requests.take()); }));
  CHECK(requests.readable(30000)); /* the second one */
  CHECK(requests.take());
  CHECK_FALSE(requests.readable());

  const Callback callback([&](const pgcache_completion *) {});
  CHECK(requests.get("k", callback.options()) == PGCACHE_OK);
  CHECK(requests.readable(30000)); /* for dispatch */
  CHECK_FALSE(requests.take());
  CHECK(requests.readable());
  CHECK(requests.dispatch(0) == 1);
  CHECK_FALSE(requests.readable());

  const Submitted waited = requests.get("k"); /* what a waiter takes */
  CHECK(requests.wait(waited.id) == PGCACHE_MISS);
  CHECK_FALSE(requests.readable());

  const Submitted late = requests.get("k");
  REQUIRE(requests.readable(30000));
  CHECK(requests.cancel(late.id) == PGCACHE_MISS);
  CHECK(requests.readable());
  CHECK(requests.take() == PGCACHE_MISS);
}

TEST_CASE("The descriptor that is asked for late shows what waits already", "[rule:fd]") {
  Store store;
  const Requests requests(store.cache);
  pgcache_completion *out = nullptr;
  REQUIRE(requests.get("k") == PGCACHE_OK);
  REQUIRE(requests.wait(requests.get("k").id) == PGCACHE_MISS); /* the one before it is probably complete, too */
  CHECK(requests.readable(30000));
  REQUIRE(pgcache_take(store.cache.raw(), &out, nullptr) == PGCACHE_OK);
  pgcache_completion_free(out);
  CHECK_FALSE(requests.readable());
}

TEST_CASE("The descriptor of a handle without requests, and level-triggered epoll", "[rule:fd]") {
  Store store;
  const Requests requests(store.cache);
  const int fd = requests.fd();
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  REQUIRE(poller >= 0);
  struct epoll_event event = {};
  event.events = EPOLLIN;
  REQUIRE(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0);
  CHECK(epoll_wait(poller, &event, 1, 20) == 0);
  for (int round = 0; round < 50; round++) {
    REQUIRE(requests.get("k") == PGCACHE_OK);
    REQUIRE(epoll_wait(poller, &event, 1, 30000) == 1);
    REQUIRE(epoll_wait(poller, &event, 1, 0) == 1);
    REQUIRE(requests.take());
    REQUIRE(epoll_wait(poller, &event, 1, 0) == 0);
  }
  close(poller);
}

TEST_CASE("Many threads take at once: each completion goes to one of them, and the descriptor agrees in the end",
          "[rule:once][rule:fd][threads]") {
  Store store;
  const Requests requests(store.cache);
  requests.fd();
  const int takers = 4, submitters = 2, each = longer(1500, 20000);
  const size_t expected = static_cast<size_t>(submitters * each);
  std::atomic<size_t> taken{0};
  std::vector<std::set<uint64_t>> got(takers);
  std::vector<std::vector<uint64_t>> ids(submitters);
  in_threads(takers + submitters, [&](int number) {
    if (number < submitters) {
      for (int i = 0; i < each; i++) {
        const Submitted submitted = requests.get("k" + std::to_string(i % 50));
        if (submitted != PGCACHE_OK)
          throw std::runtime_error("a submission was refused");
        ids[static_cast<size_t>(number)].push_back(submitted.id);
      }
      return;
    }
    auto &mine = got[static_cast<size_t>(number - submitters)];
    const int64_t end = now_ms() + 60000;
    while (taken < expected && now_ms() < end) {
      if (!requests.readable(20))
        continue;
      if (const Completion completion = requests.take()) {
        if (!mine.insert(completion.id()).second)
          throw std::runtime_error("an id was taken twice");
        taken++;
      }
    }
  });
  std::set<uint64_t> submitted, all;
  for (const auto &some : ids)
    submitted.insert(some.begin(), some.end());
  size_t sum = 0;
  for (const auto &some : got) {
    all.insert(some.begin(), some.end());
    sum += some.size();
  }
  CHECK(submitted.size() == expected);
  CHECK(sum == expected);
  CHECK(all == submitted);
  CHECK_FALSE(requests.readable());
  CHECK_FALSE(requests.take());
}

TEST_CASE("Callbacks run inside of dispatch alone, on its thread, each once", "[rule:once][callback][threads]") {
  Store store;
  const Requests requests(store.cache);
  std::atomic<bool> dispatching{false};
  std::atomic<int> called{0}, wrong{0};
  std::thread::id dispatcher;
  const Callback callback([&](const pgcache_completion *completion) {
    if (!dispatching || std::this_thread::get_id() != dispatcher || pgcache_completion_token(completion) != 42 ||
        pgcache_completion_status(completion) != PGCACHE_MISS)
      wrong++;
    called++;
  });
  for (int i = 0; i < 500; i++)
    REQUIRE(requests.get("k", callback.options(42)) == PGCACHE_OK);
  REQUIRE(requests.readable(30000));
  sleep_ms(50);
  CHECK(called == 0); /* they are complete, and wait */
  CHECK_FALSE(requests.take());
  size_t count = 0;
  std::thread thread([&] {
    dispatcher = std::this_thread::get_id();
    dispatching = true;
    for (const int64_t end = now_ms() + 30000; count < 500 && now_ms() < end;) {
      requests.dispatch(0);
      requests.dispatch(100);
      count = static_cast<size_t>(called.load());
    }
    dispatching = false;
  });
  thread.join();
  CHECK(called == 500);
  CHECK(wrong == 0);
  CHECK_FALSE(requests.readable());
  const int64_t start = now_ms();
  CHECK(requests.dispatch(0) == 0);
  CHECK(requests.dispatch(100) == 0);
  CHECK(now_ms() - start >= 100);
  CHECK(now_ms() - start < 10000);
  CHECK(pgcache_dispatch(store.cache.raw(), nullptr, -1, nullptr) == PGCACHE_INVALID);
}

TEST_CASE("A callback may submit, cancel, take, wait and dispatch; its completion goes when it returns",
          "[rule:once][callback]") {
  Store store;
  put_old(store, "k");
  const Requests requests(store.cache);
  std::vector<string> said;
  Value kept;
  const Callback last([&](const pgcache_completion *) { said.push_back("last"); });
  const Callback second([&](const pgcache_completion *completion) {
    said.push_back(pgcache_status_name(pgcache_completion_status(completion)));
  });
  const Callback first([&](const pgcache_completion *completion) {
    said.push_back("first");
    kept = Value(pgcache_value_retain(pgcache_completion_value(completion, 0)));
    const uint64_t own = pgcache_completion_id(completion);
    CHECK(requests.cancel(own) == PGCACHE_MISS);
    CHECK_FALSE(requests.wait(own, 0));
    CHECK(requests.wait(requests.get("k").id).bytes() == "old");
    CHECK(requests.get("none", second.options()) == PGCACHE_OK);
    CHECK(requests.dispatch(30000) == 1); /* that one */
    CHECK(requests.get("none", last.options()) == PGCACHE_OK);
  });
  REQUIRE(requests.get("k", first.options()) == PGCACHE_OK);
  for (const int64_t end = now_ms() + 30000; said.size() < 3 && now_ms() < end;)
    requests.dispatch(100);
  CHECK(said == std::vector<string>{"first", "PGCACHE_MISS", "last"});
  CHECK(kept.bytes() == "old");
}

TEST_CASE("dispatch ends after 1,000, so that a loop gets its turn", "[callback]") {
  Store store;
  const Requests requests(store.cache);
  int called = 0;
  const Callback callback([&](const pgcache_completion *) { called++; });
  /* They are complete when it is called, but for a lost turn of the engine's thread. */
  CHECK(in_one_of(20, [&] {
    called = 0;
    for (int i = 0; i < 2500; i++)
      REQUIRE(requests.get("k", callback.options()) == PGCACHE_OK);
    REQUIRE(requests.wait(requests.get("k").id));
    sleep_ms(200);
    std::vector<size_t> counts;
    for (const int64_t end = now_ms() + 30000; called < 2500 && now_ms() < end;)
      counts.push_back(requests.dispatch(1000));
    CHECK(called == 2500);
    for (const size_t count : counts)
      CHECK(count <= 1000);
    return counts.front() == 1000;
  }));
}

TEST_CASE("dispatch in several threads: each callback once, and one that waits is woken", "[callback][threads]") {
  Store store;
  const Requests requests(store.cache);
  const int total = longer(3000, 50000);
  std::atomic<int> called{0};
  std::vector<std::atomic<int>> times(static_cast<size_t>(total));
  const Callback callback([&](const pgcache_completion *completion) {
    times[pgcache_completion_token(completion)]++;
    called++;
  });
  in_threads(4, [&](int number) {
    if (number == 0) {
      for (int i = 0; i < total; i++) {
        if (requests.get("k", callback.options(static_cast<uint64_t>(i))) != PGCACHE_OK)
          throw std::runtime_error("a submission was refused");
      }
      return;
    }
    for (const int64_t end = now_ms() + 60000; called < total && now_ms() < end;)
      requests.dispatch(200);
  });
  CHECK(called == total);
  for (const auto &count : times)
    REQUIRE(count == 1);
}

TEST_CASE("dispatch on a handle without requests waits for the first of them", "[callback][threads]") {
  Store store;
  const Cache cache = store.open();
  const Requests requests(cache);
  std::atomic<int> called{0};
  const Callback callback([&](const pgcache_completion *) { called++; });
  size_t count = 0;
  std::thread thread([&] { count = requests.dispatch(60000); });
  sleep_ms(100);
  const int64_t start = now_ms();
  CHECK(requests.get("k", callback.options()) == PGCACHE_OK);
  thread.join();
  CHECK(count == 1);
  CHECK(called == 1);
  CHECK(now_ms() - start < 30000);
}

TEST_CASE("A request is cancelled before it is sent, after it was sent, and when it is complete",
          "[rule:late][cancel]") {
  Store store;
  /* The server waits for a lock for a while only: on a busy machine the first write may not be done any more. */
  CHECK(in_one_of(10, [&] {
    for (const char *key : {"k", "l"})
      put_old(store, key);
    Locked locked(store, "k");
    const Requests requests(store.cache);
    const Submitted sent = requests.put("k", "new", deadline(120000)); /* waits for the lock */
    REQUIRE(somebody_waits(store.pg));
    const Submitted queued = requests.put("k", "newer", deadline(120000)); /* behind the first one */
    const Submitted read = requests.get("k", deadline(120000));
    sleep_ms(50);
    const int64_t start = now_ms();
    CHECK(requests.cancel(queued.id) == PGCACHE_OK);
    CHECK(requests.cancel(read.id) == PGCACHE_OK);
    const Completion cancelled = requests.wait(queued.id);
    CHECK(cancelled == PGCACHE_CANCELLED);
    CHECK(cancelled.message().size() > 20);
    CHECK(requests.wait(read.id) == PGCACHE_CANCELLED);
    CHECK(requests.cancel(sent.id) == PGCACHE_OK);
    const Completion unknown = requests.wait(sent.id);
    CHECK(now_ms() - start < 20000);
    CHECK(requests.cancel(sent.id) == PGCACHE_MISS);
    CHECK(requests.cancel(queued.id) == PGCACHE_MISS);
    CHECK(requests.cancel(0) == PGCACHE_MISS);
    CHECK(requests.cancel(UINT64_MAX) == PGCACHE_MISS);
    const Submitted behind = requests.get("k"); /* sees what the first one does */
    locked.end();
    const string seen = requests.wait(behind.id).bytes();
    CHECK_FALSE(requests.take());
    CHECK(store.cache.get("k").bytes() == seen);
    CHECK((seen == "new" || seen == "old")); /* and never the one that was cancelled */
    CHECK(requests.wait(requests.put("l", "new").id) == PGCACHE_OK);
    CHECK((unknown == PGCACHE_UNKNOWN || (unknown == PGCACHE_CANCELLED && seen == "old")));
    return unknown == PGCACHE_UNKNOWN && unknown.message().find("cancelled") != string::npos && seen == "new";
  }));
}

TEST_CASE("A cancelled request leaves its waiter, its callback and its place", "[rule:late][cancel][threads]") {
  Store store;
  put_old(store, "k");
  Locked locked(store, "k");
  const Requests requests(store.cache);
  const Submitted first = requests.put("k", "new", deadline(60000));
  const Submitted second = requests.put("k", "newer", deadline(60000));
  int called = 0;
  const Callback callback([&](const pgcache_completion *completion) {
    called++;
    CHECK(pgcache_completion_status(completion) == PGCACHE_CANCELLED);
    CHECK(pgcache_completion_token(completion) == 5);
  });
  const Submitted third = requests.get("k", callback.options(5));
  Completion got;
  std::thread waiter([&] {
    while (!got) /* unless the other thread is just asking */
      got = requests.wait(second.id, PGCACHE_DEADLINE_DEFAULT);
  });
  pgcache_completion *out = nullptr;
  CHECK(eventually([&] { return requests.wait_for(second.id, 1, &out) == PGCACHE_MISS; }));
  CHECK(requests.cancel(second.id) == PGCACHE_OK);
  waiter.join();
  CHECK(got == PGCACHE_CANCELLED);
  CHECK(requests.cancel(third.id) == PGCACHE_OK);
  CHECK(requests.dispatch(30000) == 1);
  CHECK(called == 1);
  locked.end();
  CHECK(requests.wait(first.id) == PGCACHE_OK);
  CHECK(store.cache.get("k").bytes() == "new");
}

TEST_CASE("Who cancels in many threads still gets one completion for each", "[rule:once][cancel][threads]") {
  Store store;
  const Requests requests(store.cache);
  const int each = longer(1500, 30000);
  std::atomic<int> cancelled{0}, done{0};
  in_threads(3, [&](int number) {
    std::vector<uint64_t> ids;
    for (int i = 0; i < each; i++) {
      const string key = "k" + std::to_string((i * 7 + number) % 20);
      const Submitted submitted = i % 3 == 0 ? requests.put(key, "v") : requests.get(key);
      if (submitted != PGCACHE_OK)
        throw std::runtime_error("a submission was refused");
      ids.push_back(submitted.id);
      if (i % 2 == 0)
        requests.cancel(ids[ids.size() - 1 - static_cast<size_t>(i % 5) % ids.size()]);
    }
    for (const uint64_t id : ids) {
      const Completion completion = requests.wait(id);
      if (!completion || completion.id() != id)
        throw std::runtime_error("a completion is missing");
      if (completion == PGCACHE_CANCELLED)
        cancelled++;
      else if (completion.status() >= 0 || completion == PGCACHE_UNKNOWN)
        done++;
    }
  });
  CHECK(cancelled + done == 3 * each);
  CHECK(cancelled > 0);
  CHECK_FALSE(requests.take());
}
