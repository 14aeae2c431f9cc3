/*
 * deadlines.cpp - a request whose deadline passes is completed then, whatever it was doing; and nothing is left behind that
 * hurts the next one.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/requests.hpp"

#include <algorithm>
#include <atomic>
#include <ctime>

using namespace test;
using std::string;

namespace {

/* Later than its deadline by so much a completion may be on a busy machine: far less than it would be without one. By how much
   it usually is, is a case of its own. */
const int64_t LATE_MS = 4000;

class Locked {
public:
  explicit Locked(const Store &store, const string &what = "LOCK TABLE {s}.entries IN ACCESS EXCLUSIVE MODE")
      : pg_(url()) {
    pg_.exec(store.sql("BEGIN; " + what));
  }
  void end() {
    pg_.exec("COMMIT");
  }

private:
  Pg pg_;
};

} // namespace

TEST_CASE("A write that waits for a lock ends at its deadline, as what is known then; the handle works on",
          "[rule:late][deadline]") {
  Store store;
  const Requests requests(store.cache);
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  for (const int64_t milliseconds : {200, 700}) {
    INFO(milliseconds << " ms");
    Locked locked(store, "UPDATE {s}.entries SET expires_at = expires_at WHERE key = 'k'");
    const int64_t start = now_ms();
    const Submitted put = requests.put("k", "new", deadline(milliseconds));
    const Submitted behind = requests.get("k", deadline(milliseconds - 50));
    const Completion unsent = requests.wait(behind.id, PGCACHE_DEADLINE_DEFAULT);
    const Completion written = requests.wait(put.id, PGCACHE_DEADLINE_DEFAULT);
    const int64_t took = now_ms() - start;
    CHECK(took >= milliseconds);
    CHECK(took <= milliseconds + LATE_MS);
    INFO(written);
    /* TIMEOUT: the server had given up its wait for the lock, and the write was not sent again. */
    CHECK((written == PGCACHE_UNKNOWN || written == PGCACHE_TIMEOUT));
    const bool surely_not = written == PGCACHE_TIMEOUT;
    CHECK(written.message().size() > 20);
    CHECK(unsent == PGCACHE_TIMEOUT);
    CHECK(unsent.message().size() > 20);
    locked.end();
    sleep_ms(surely_not ? 50 : 0);
    const Completion found = requests.wait(requests.get("k").id);
    CHECK(found == PGCACHE_OK);
    if (surely_not)
      CHECK(found.bytes() == (milliseconds == 200 ? "old" : "after"));
    CHECK(requests.wait(requests.put("k", "after").id) == PGCACHE_OK);
    CHECK(requests.wait(requests.get("k").id).bytes() == "after");
    CHECK_FALSE(requests.take());
  }
}

TEST_CASE("Everything behind a locked table ends at its deadline: what was not done is TIMEOUT",
          "[rule:late][deadline]") {
  Store store;
  const Requests requests(store.cache);
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  for (const int64_t milliseconds : {1, 20, 300, 800}) {
    INFO(milliseconds << " ms");
    Locked locked(store);
    const int64_t start = now_ms();
    const Submitted put = requests.put("k", "new", deadline(milliseconds));
    const Submitted get = requests.get("other", deadline(milliseconds));
    const Submitted behind = requests.get("k", deadline(milliseconds));
    const Completion written = requests.wait(put.id, PGCACHE_DEADLINE_DEFAULT);
    const Completion read = requests.wait(get.id, PGCACHE_DEADLINE_DEFAULT);
    const Completion unsent = requests.wait(behind.id, PGCACHE_DEADLINE_DEFAULT);
    const int64_t took = now_ms() - start;
    CHECK(took >= milliseconds);
    CHECK(took <= milliseconds + LATE_MS);
    CHECK((written == PGCACHE_UNKNOWN || written == PGCACHE_TIMEOUT)); /* whether it was sent by then */
    CHECK(written.message().size() > 20);
    CHECK(read == PGCACHE_TIMEOUT);
    CHECK(read.message().size() > 20);
    CHECK(unsent == PGCACHE_TIMEOUT);
    locked.end();
    const bool surely_not = written == PGCACHE_TIMEOUT;
    sleep_ms(surely_not ? 50 : 0);
    const Completion found = requests.wait(requests.get("k").id);
    CHECK(found == PGCACHE_OK);
    if (surely_not)
      CHECK(found.bytes() != "new");
    CHECK(requests.wait(requests.put("k", "after").id) == PGCACHE_OK);
    CHECK(requests.wait(requests.get("k").id).bytes() == "after");
    CHECK_FALSE(requests.take());
  }
}

TEST_CASE("A write that was given up does not come behind a later one of its key",
          "[rule:key_order][rule:late][deadline]") {
  Store store;
  const Requests requests(store.cache);
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  for (const bool cancel : {false, true}) {
    INFO((cancel ? "cancelled" : "too late"));
    Locked locked(store, "UPDATE {s}.entries SET expires_at = expires_at WHERE key = 'k'");
    const Submitted first = requests.put("k", "first", deadline(cancel ? 30000 : 1500));
    const Submitted second = requests.put("k", "second", deadline(30000));
    const Submitted get = requests.get("k", deadline(30000));
    REQUIRE(somebody_waits(store.pg));
    if (cancel)
      CHECK(requests.cancel(first.id) == PGCACHE_OK);
    const Completion given_up = requests.wait(first.id);
    INFO(given_up);
    /* Or, as above, surely not done. */
    CHECK((given_up == PGCACHE_UNKNOWN || given_up == (cancel ? PGCACHE_CANCELLED : PGCACHE_TIMEOUT)));
    sleep_ms(500);
    locked.end();
    const Completion written = requests.wait(second.id);
    CHECK(written == PGCACHE_OK);
    CHECK(requests.wait(get.id).bytes() == "second");
    sleep_ms(300);
    const Answer last = store.cache.get("k");
    CHECK(last.bytes() == "second");
    CHECK(last.version == written.version());
  }
}

TEST_CASE("Deadlines are kept to by tens of milliseconds, many at once", "[rule:late][deadline]") {
  Store store;
  const Requests requests(store.cache);
  Locked locked(store);
  int64_t middle = 0;
  /* Of most of them, unless the machine does something else just then: the promise is about time, and so is this. */
  CHECK(in_one_of(5, [&] {
    std::map<uint64_t, int64_t> due;
    for (int i = 0; i < 1000; i++) {
      const int64_t milliseconds = 1 + i;
      const string key = "k" + std::to_string(i);
      const int64_t before = now_ms();
      const Submitted submitted =
          i % 2 == 0 ? requests.put(key, "v", deadline(milliseconds)) : requests.get(key, deadline(milliseconds));
      REQUIRE(submitted == PGCACHE_OK);
      due.emplace(submitted.id, before + milliseconds);
    }
    std::vector<int64_t> late;
    for (size_t i = 0; i < 1000; i++) {
      const Completion completion = requests.next();
      REQUIRE(completion);
      late.push_back(now_ms() - due.at(completion.id()));
      if (completion != PGCACHE_TIMEOUT && completion != PGCACHE_UNKNOWN)
        FAIL_CHECK(completion);
    }
    std::sort(late.begin(), late.end());
    CHECK(late.front() >= -1);
    CHECK(late.back() < LATE_MS);
    middle = late[late.size() / 2];
    return middle < 50;
  }));
  INFO("the middle one of them was late by " << middle << " ms");
  locked.end();
  CHECK(requests.wait(requests.put("k", "v").id) == PGCACHE_OK);
}

TEST_CASE("Deadline 0 asks nobody", "[rule:deadline][deadline]") {
  Store store;
  const Requests requests(store.cache);
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  const int64_t start = now_ms();
  for (const Submitted &submitted :
       {requests.get("k", deadline(0)), requests.put("k", "new", deadline(0)),
        requests.flush(PGCACHE_FLUSH_NAMESPACE, deadline(0)), requests.whole(pgcache_submit_stats, deadline(0)),
        requests.whole(pgcache_submit_doctor, deadline(0))}) {
    REQUIRE(submitted == PGCACHE_OK);
    const Completion completion = requests.wait(submitted.id);
    CHECK(completion == PGCACHE_TIMEOUT);
    CHECK(completion.message().size() > 20);
  }
  Items items;
  items.add("k", "new");
  items.add("l", "new");
  const Completion many = requests.wait(requests.many(pgcache_submit_put_many, items, deadline(0)).id);
  CHECK(many == PGCACHE_TIMEOUT);
  REQUIRE(many.count() == 2);
  CHECK(many.item(1)->status == PGCACHE_TIMEOUT);
  CHECK(now_ms() - start < LATE_MS);
  CHECK(store.cache.get("k").bytes() == "old");
  CHECK(store.cache.get("l") == PGCACHE_MISS);
}

TEST_CASE("Maintenance whose deadline has passed before it is begun", "[rule:late][deadline][threads]") {
  Store store;
  const Requests requests(store.cache);
  const int count = 1000;
  for (int i = 0; i < count; i++)
    REQUIRE(requests.whole(pgcache_submit_stats, deadline(i % 3)) == PGCACHE_OK);
  const auto all = requests.collect(static_cast<size_t>(count));
  REQUIRE(all.size() == static_cast<size_t>(count));
  size_t late = 0;
  for (const auto &[id, completion] : all) {
    late += completion == PGCACHE_TIMEOUT;
    if (completion != PGCACHE_TIMEOUT && completion != PGCACHE_OK)
      FAIL_CHECK(completion);
  }
  CHECK(late > 0);
}

TEST_CASE("While there is no server requests wait for their deadline, or for the server", "[rule:late][unavailable]") {
  Store store;
  Proxy proxy;
  const Cache cache = store.open({{"url", proxy.conninfo()}, {"breaker_failures", "0"}});
  const Requests requests(cache);
  proxy.refuse(true);
  const int64_t start = now_ms();
  const Submitted put = requests.put("k", "v", deadline(400)), get = requests.get("k", deadline(400));
  const Submitted patient = requests.put("k", "patient", deadline(30000));
  const Submitted reader = requests.get("k", deadline(30000));
  const Completion written = requests.wait(put.id), read = requests.wait(get.id);
  const int64_t took = now_ms() - start;
  CHECK(written == PGCACHE_TIMEOUT); /* it was not sent */
  CHECK(read == PGCACHE_TIMEOUT);
  CHECK(written.message().find("connection") != string::npos);
  CHECK(took >= 400);
  CHECK(took < 400 + LATE_MS);
  sleep_ms(300);
  CHECK_FALSE(requests.take());
  proxy.refuse(false);
  const int64_t up = now_ms();
  CHECK(requests.wait(patient.id) == PGCACHE_OK);
  CHECK(requests.wait(reader.id).bytes() == "patient");
  CHECK(now_ms() - up < 10000);
}

TEST_CASE("When the server stays away the breaker refuses what waits, long before its deadline",
          "[rule:late][rule:breaker][unavailable]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}});
  const Requests requests(cache);
  proxy.refuse(true);
  const int64_t start = now_ms();
  const Submitted put = requests.put("k", "v", deadline(120000)), get = requests.get("l", deadline(120000));
  const Completion written = requests.wait(put.id), read = requests.wait(get.id);
  CHECK(written == PGCACHE_UNAVAILABLE); /* it was not sent */
  CHECK(read == PGCACHE_UNAVAILABLE);
  CHECK(written.message().find("circuit breaker") != string::npos);
  CHECK(now_ms() - start >= 1000);
  CHECK(now_ms() - start < 30000);
  CHECK(cache.counters().breaker_opened == 1);
  proxy.refuse(false);
  CHECK(eventually([&] { return requests.wait(requests.put("k", "new", deadline(30000)).id) == PGCACHE_OK; }));
  CHECK(requests.wait(requests.get("k", deadline(30000)).id).bytes() == "new");
}

TEST_CASE("A server that is silent: each request ends at its deadline, and the connection is given up",
          "[rule:late][deadline]") {
  Store store;
  Proxy proxy;
  const Cache cache = store.open({{"url", proxy.conninfo()}, {"breaker_failures", "0"}});
  const Requests requests(cache);
  REQUIRE(requests.wait(requests.put("k", "old").id) == PGCACHE_OK);
  proxy.black_hole(true);
  const int64_t start = now_ms();
  const Submitted put = requests.put("k", "new", deadline(700)); /* time enough to be sent */
  sleep_ms(20);
  const Submitted get = requests.get("l", deadline(1700)), blocked = requests.get("k", deadline(1700));
  CHECK(requests.wait(put.id) == PGCACHE_UNKNOWN);
  CHECK(now_ms() - start < 700 + LATE_MS);
  CHECK(requests.wait(get.id) == PGCACHE_TIMEOUT);
  CHECK(requests.wait(blocked.id) == PGCACHE_TIMEOUT);
  CHECK(now_ms() - start < 1720 + LATE_MS);
  proxy.cut();
  proxy.black_hole(false);
  CHECK(requests.wait(requests.put("k", "after").id) == PGCACHE_OK);
  CHECK(requests.wait(requests.get("k").id).bytes() == "after");
}

TEST_CASE("A large value that comes slowly is not silence", "[rule:late][deadline]") {
  Store store;
  Proxy proxy;
  const Cache cache = store.open({{"url", proxy.conninfo()}, {"async_connections", "1"}});
  const Requests requests(cache);
  const string large(8 * 1000 * 1000, 'x');
  REQUIRE(store.cache.put("large", large) == PGCACHE_OK);
  REQUIRE(requests.wait(requests.get("none").id) == PGCACHE_MISS);
  std::atomic<bool> slow{true};
  proxy.rewrite([&](Proxy::Direction direction, string &data) {
    if (slow && direction == Proxy::TO_CLIENT && data.size() > 1000)
      sleep_ms(static_cast<int>(data.size() / 1000)); /* 1 MB a second */
  });
  const Submitted get = requests.get("large", deadline(30000));
  sleep_ms(1300);
  const Submitted impatient = requests.get("none", deadline(200)); /* its end is a reason to look at the connection */
  CHECK(requests.wait(impatient.id).status() != PGCACHE_OK);
  sleep_ms(500);
  slow = false;
  const Completion completion = requests.wait(get.id);
  CHECK(completion == PGCACHE_OK);
  CHECK(completion.bytes() == large);
  proxy.rewrite(nullptr);
  CHECK(cache.raw() != nullptr);
  pgcache_counters counters = PGCACHE_COUNTERS_INIT;
  REQUIRE(pgcache_read_counters(cache.raw(), &counters, nullptr) == PGCACHE_OK);
  CHECK(counters.connections_lost == 0);
}

TEST_CASE("Deadlines and timeouts of any length are understood", "[rule:deadline][deadline]") {
  Store store;
  const Requests requests(store.cache);
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  for (const int64_t milliseconds : {int64_t{86400000}, int64_t{1} << 40, INT64_MAX}) {
    INFO(milliseconds);
    const Submitted get = requests.get("k", deadline(milliseconds));
    REQUIRE(get == PGCACHE_OK);
    CHECK(requests.wait(get.id, milliseconds).bytes() == "v");
    const Submitted stats = requests.whole(pgcache_submit_stats, deadline(milliseconds));
    CHECK(requests.wait(stats.id, milliseconds) == PGCACHE_OK);
    int called = 0;
    const Callback callback([&](const pgcache_completion *) { called++; });
    REQUIRE(requests.get("k", callback.options()) == PGCACHE_OK);
    CHECK(requests.dispatch(milliseconds) == 1);
  }
}

TEST_CASE("Deadlines that lie far apart: each at its time, whatever the order", "[rule:late][deadline]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  const Requests requests(store.cache);
  Locked locked(store, "UPDATE {s}.entries SET expires_at = expires_at WHERE key = 'k'");
  const Submitted first = requests.put("k", "new", deadline(60000)); /* the others stand behind it */
  const int64_t start = now_ms();
  std::map<uint64_t, int64_t> due;
  for (const int64_t milliseconds : {4300, 4200, 100, 4195, 8500, 20000, 4097, 250, 8400, 4400}) {
    const Submitted get = requests.get("k", deadline(milliseconds));
    REQUIRE(get == PGCACHE_OK);
    due.emplace(get.id, milliseconds);
  }
  const size_t expected = is_long() ? 9 : 7; /* up to 4,400 ms, or 8,500 ms */
  for (size_t i = 0; i < expected; i++) {
    const Completion completion = requests.next();
    REQUIRE(completion);
    const int64_t late = now_ms() - start - due.at(completion.id());
    INFO(due.at(completion.id()));
    CHECK(completion == PGCACHE_TIMEOUT);
    CHECK(late >= 0);
    CHECK(late < LATE_MS);
  }
  locked.end();
  CHECK(requests.wait(first.id) == PGCACHE_OK);
  CHECK(requests.collect(due.size() - expected).size() == due.size() - expected);
}

TEST_CASE("An engine that waits does not spin", "[rule:late][idle]") {
  Store store;
  Proxy proxy;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  const Cache cache = store.open({{"url", proxy.conninfo()}, {"breaker_failures", "0"}});
  const Requests requests(cache);
  const auto busy_ms = [] { /* of this process's processor time, in 500 ms */
                            const auto spent = [] {
                              struct timespec now = {};
                              clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
                              return now.tv_sec * 1000 + now.tv_nsec / 1000000;
                            };
                            const int64_t before = spent();
                            sleep_ms(500);
                            return spent() - before;
  };
  REQUIRE(requests.wait(requests.get("k").id) == PGCACHE_OK);
  CHECK(busy_ms() < 60); /* idle, and gives its connection back */
  REQUIRE(requests.get("k") == PGCACHE_OK);
  CHECK(busy_ms() < 60); /* with a completion that nobody takes */
  REQUIRE(requests.next());
  {
    Locked locked(store, "UPDATE {s}.entries SET expires_at = expires_at WHERE key = 'k'");
    REQUIRE(requests.put("k", "new", deadline(30000)) == PGCACHE_OK);
    REQUIRE(requests.get("k", deadline(30000)) == PGCACHE_OK);
    sleep_ms(300);
    CHECK(busy_ms() < 60); /* behind a lock */
    locked.end();
  }
  REQUIRE(requests.collect(2).size() == 2);
  proxy.refuse(true);
  proxy.cut();
  REQUIRE(requests.get("k", deadline(30000)) == PGCACHE_OK);
  sleep_ms(500);
  CHECK(busy_ms() < 100); /* without a server, between attempts */
  proxy.refuse(false);
  CHECK(requests.next().bytes() == "new");
  proxy.black_hole(true);
  REQUIRE(requests.get("k", deadline(1200)) == PGCACHE_OK);
  CHECK(busy_ms() < 60); /* with a server that is silent */
  CHECK(requests.next() == PGCACHE_TIMEOUT);
}

TEST_CASE("While the table is locked, statements that cannot be prepared cost no connections, and nothing fails",
          "[rule:once][rule:late]") {
  Store store;
  const Cache cache = store.open({{"async_connections", "1"}});
  const Requests requests(cache);
  const int count = 600;
  std::vector<uint64_t> ids;
  {
    Locked locked(store);
    for (int i = 0; i < count; i++) {
      ids.push_back(requests.increment("n" + std::to_string(i), 1, 0, deadline(120000)).id);
      ids.push_back(requests.get("k" + std::to_string(i), deadline(120000)).id);
      ids.push_back(requests.put("k" + std::to_string(i), "new", deadline(120000)).id);
    }
    CHECK_FALSE(requests.next(3000));
  }
  std::map<string, int> failures;
  for (const uint64_t id : ids) {
    const Completion completion = requests.wait(id);
    if (completion.status() < 0)
      failures[completion.message()]++;
  }
  for (const auto &[message, times] : failures)
    FAIL_CHECK(times << " failed: " << message);
  const pgcache_counters counters = cache.counters();
  CHECK(counters.connections_lost == 0);
  CHECK(counters.connections_opened <= 4); /* a lane, one for those that met the lock, and the crew's */
}
