/*
 * sleepers.cpp - requests that wait for somebody else than the server: the engine with a store that answers from a script.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "engine.hpp"

#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

using std::string;
using test::digest_of;
using test::Engine;

namespace {

constexpr int64_t FAR_US = 3600 * INT64_C(1000000);

/* What the guide of a request does. */
struct Script {
  std::function<int64_t(pgc_part &)> when = [](pgc_part &) { return int64_t{0}; };
  std::function<bool(pgcache_status &)> ask_again = [](pgcache_status &status) { return status == PGCACHE_BUSY; };
  std::atomic<int> gone{0}, asked{0};
};

const pgc_guide guide = {
    [](pgc_request *self, pgc_part *part) { return static_cast<Script *>(self->load_context)->when(*part); },
    [](pgc_request *self, pgc_part *) { static_cast<Script *>(self->load_context)->gone++; },
    [](pgc_request *self, pgc_part *, pgcache_status *status) {
      Script &script = *static_cast<Script *>(self->load_context);
      script.asked++;
      return script.ask_again(*status);
    },
    nullptr,
    nullptr,
    nullptr};

uint64_t submit(const Engine &engine, Script &script, unsigned number, int64_t deadline_ms = 60000) {
  pgc_request *request = test::request_for(PGC_OP_BEGIN_LOAD, number, "n", deadline_ms);
  request->u.load->token[0] = 42;
  request->guide = &guide;
  request->load_context = &script;
  return engine.submit(request);
}

/* What it ended with. */
string wait(const Engine &engine, uint64_t id, int64_t timeout_ms = 30000) {
  pgc_request *out = engine.await(id, timeout_ms);
  const string text =
      out == nullptr ? "nothing" : string(pgcache_status_name(out->status)) + "|" + pgcache_completion_message(out);
  pgc_request_free(out);
  return text;
}

/* Sleeps until it was asked before, and then is sent. */
std::function<int64_t(pgc_part &)> sleeps_once(std::atomic<int> &asleep, int64_t for_us) {
  return [&asleep, for_us](pgc_part &part) {
    if (part.wake_us != 0)
      return int64_t{0};
    asleep++;
    return pgc_monotonic_us() + for_us;
  };
}

void await(const std::atomic<int> &number, int at_least) {
  for (int i = 0; i < 3000 && number < at_least; i++)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  REQUIRE(number >= at_least);
}

} // namespace

TEST_CASE("An answer that is not the last word is asked for again after a sleep, with the same token", "[sleepers]") {
  std::atomic<int> runs{0}, other_tokens{0};
  Engine engine([&](pgc_op &op) {
    other_tokens += op.u.load.token[0] != 42;
    op.u.load.others_ms = 5 + runs;
    return ++runs < 3 ? PGCACHE_BUSY : PGCACHE_LEASE;
  });
  Script script;
  int64_t not_before_us = 0;
  std::atomic<int> early{0};
  script.when = [&](pgc_part &) {
    if (runs == 0)
      return int64_t{0};
    const int64_t now_us = pgc_monotonic_us();
    if (not_before_us == 0) {
      not_before_us = now_us + 20000;
      return not_before_us;
    }
    early += now_us < not_before_us;
    not_before_us = 0;
    return int64_t{0};
  };
  const uint64_t id = submit(engine, script, 1);
  pgc_request *out = engine.await(id);
  REQUIRE(out != nullptr);
  CHECK(out->status == PGCACHE_LEASE);
  CHECK(out->u.load->others_ms == 7);
  CHECK(runs == 3);
  CHECK(script.gone == 3);
  CHECK(script.asked == 3);
  CHECK(early == 0);
  CHECK(other_tokens == 0);
  pgc_request_free(out);
}

TEST_CASE("Who is named wakes, and nobody else; everybody if nobody is named", "[sleepers]") {
  Engine engine([](pgc_op &) { return PGCACHE_OK; });
  std::atomic<int> asleep{0};
  Script script;
  script.when = sleeps_once(asleep, FAR_US);
  const uint64_t one = submit(engine, script, 1), other = submit(engine, script, 2), third = submit(engine, script, 3);
  await(asleep, 3);
  engine.rouse(2);
  CHECK(wait(engine, other) == "PGCACHE_OK|");
  engine.rouse(77);
  CHECK(wait(engine, one, 50) == "nothing");
  pgc_engine_rouse(engine.self, nullptr);
  CHECK(wait(engine, one) == "PGCACHE_OK|");
  CHECK(wait(engine, third) == "PGCACHE_OK|");
}

TEST_CASE("More names at once than the engine keeps wake all of theirs", "[sleepers]") {
  std::mutex busy; /* while it is held the engine's thread does not look at names */
  Engine engine([&](pgc_op &) {
    const std::lock_guard<std::mutex> guard(busy);
    return PGCACHE_OK;
  });
  std::atomic<int> asleep{0};
  Script script, awake;
  script.when = sleeps_once(asleep, FAR_US);
  std::vector<uint64_t> ids;
  constexpr unsigned COUNT = 3 * PGC_ROUSED_MAX;
  for (unsigned i = 0; i < COUNT; i++)
    ids.push_back(submit(engine, script, i));
  await(asleep, COUNT);
  {
    const std::lock_guard<std::mutex> guard(busy);
    submit(engine, awake, 12345);
    await(awake.gone, 1);
    for (unsigned i = 0; i < COUNT; i++)
      engine.rouse(i);
  }
  for (const uint64_t id : ids)
    REQUIRE(wait(engine, id) == "PGCACHE_OK|");
}

TEST_CASE("A sleeper is given up once: by its deadline, a cancellation, the end of the handle",
          "[sleepers][rule:once]") {
  Engine engine([](pgc_op &) { return PGCACHE_OK; });
  std::atomic<int> asleep{0};
  Script script;
  script.when = sleeps_once(asleep, FAR_US);
  const uint64_t late = submit(engine, script, 1, 30);
  CHECK(wait(engine, late) == "PGCACHE_TIMEOUT|somebody else's load of the key did not end before the deadline");
  const uint64_t cancelled = submit(engine, script, 1);
  await(asleep, 2);
  CHECK(pgc_engine_cancel(engine.self, cancelled) == PGCACHE_OK);
  CHECK(wait(engine, cancelled).rfind("PGCACHE_CANCELLED|", 0) == 0);
  CHECK(pgc_engine_cancel(engine.self, cancelled) == PGCACHE_MISS);
  const uint64_t closed = submit(engine, script, 1);
  await(asleep, 3);
  engine.shutdown();
  CHECK(wait(engine, closed) == "PGCACHE_CLOSED|the handle was shut down");
  engine.rouse(1);
  CHECK(script.gone == 0);
}

TEST_CASE("The maker may answer a part that sleeps", "[sleepers]") {
  Engine engine([](pgc_op &) { return PGCACHE_OK; });
  Script script;
  std::atomic<int> asleep{0};
  script.when = [&](pgc_part &part) {
    if (part.wake_us == 0) {
      asleep++;
      return pgc_monotonic_us() + FAR_US;
    }
    part.answered = true;
    part.key.status = PGCACHE_STALE;
    part.key.found = pgc_value_new(0);
    return int64_t{0};
  };
  const uint64_t id = submit(engine, script, 1);
  await(asleep, 1);
  engine.rouse(1);
  pgc_request *out = engine.await(id);
  REQUIRE(out != nullptr);
  CHECK(out->status == PGCACHE_STALE);
  CHECK(pgcache_completion_value(out, 0) != nullptr);
  CHECK(script.gone == 0);
  pgc_request_free(out);
}

TEST_CASE("Sleepers wake in the order of their times, whatever the order in which they came", "[sleepers]") {
  constexpr int COUNT = 200;
  std::mt19937 random(7);
  std::vector<pgc_part> parts(COUNT);
  pgc_parts list = {nullptr, nullptr, 0};
  for (auto &part : parts) {
    part = pgc_part{};
    part.wake_us = static_cast<int64_t>(random() % 50);
    part.key.digest = digest_of(static_cast<unsigned>(random() % 50));
    pgc_sleepers_add(&list, &part);
  }
  CHECK(list.count == COUNT);
  size_t left = COUNT;
  int64_t last = -1;
  for (int64_t now = 0; now < 50; now++) {
    pgc_roused roused{};
    if (now % 5 == 0)
      for (unsigned name : {3U, static_cast<unsigned>(now), 3U})
        pgc_roused_add(&roused, std::vector<pgc_digest>{digest_of(name)}.data());
    pgc_parts awake = pgc_sleepers_pop(&list, now, &roused);
    for (const pgc_part *each = awake.first; each != nullptr; each = each->next) {
      const bool named = now % 5 == 0 && (each->key.digest.bytes[0] == 3 || each->key.digest.bytes[0] == now);
      CHECK((each->wake_us == now || (each->wake_us > now && named)));
      CHECK(each->wake_us >= last);
    }
    left -= awake.count;
    CHECK(list.count == left);
    for (const pgc_part *each = list.first; each != nullptr; each = each->next) {
      CHECK(each->wake_us > now);
      CHECK((each->next == nullptr || each->next->wake_us >= each->wake_us));
    }
  }
  CHECK(left == 0);
  CHECK(list.first == nullptr);
  CHECK(list.last == nullptr);
}

TEST_CASE("Sleepers that are submitted, named, cancelled and late at once end once each",
          "[sleepers][threads][rule:once]") {
  std::atomic<unsigned> asked{0};
  Engine engine([&](pgc_op &) { return ++asked % 3 == 0 ? PGCACHE_OK : PGCACHE_BUSY; });
  constexpr int THREADS = 4, EACH = 500;
  std::vector<Script> scripts(THREADS);
  std::vector<std::thread> threads;
  std::atomic<bool> over{false};
  for (auto &script : scripts)
    script.when = [](pgc_part &part) { /* as chance has it: sent, or asleep again */
                                       return part.wake_us % 2 == 0 && part.wake_us != 0
                                                  ? 0
                                                  : pgc_monotonic_us() + (part.wake_us == 0 ? 100000 : 3000);
    };
  std::thread rouser([&] {
    for (unsigned i = 0; !over; i++)
      i % 17 == 0 ? pgc_engine_rouse(engine.self, nullptr) : engine.rouse(i % 10);
  });
  std::mutex lock;
  std::multiset<uint64_t> completed, submitted;
  for (int t = 0; t < THREADS; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < EACH; i++) {
        const uint64_t id = submit(engine, scripts[t], static_cast<unsigned>(i % 10), i % 5 == 0 ? 5 : 60000);
        if (i % 7 == 0)
          pgc_engine_cancel(engine.self, id);
        const std::lock_guard<std::mutex> guard(lock);
        submitted.insert(id);
      }
    });
  for (auto &thread : threads)
    thread.join();
  const int64_t end_us = pgc_monotonic_us() + 60 * INT64_C(1000000);
  while (completed.size() < THREADS * EACH && pgc_monotonic_us() < end_us) {
    pgc_request *out = nullptr;
    if (pgc_engine_take(engine.self, &out) != PGCACHE_OK) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    const pgcache_status status = out->status;
    CHECK((status == PGCACHE_OK || status == PGCACHE_TIMEOUT || status == PGCACHE_CANCELLED));
    completed.insert(out->id);
    pgc_request_free(out);
  }
  over = true;
  rouser.join();
  CHECK(completed == submitted);
  pgc_request *none = nullptr;
  CHECK(pgc_engine_take(engine.self, &none) == PGCACHE_MISS);
}
