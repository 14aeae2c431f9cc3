/*
 * audience.cpp - tests of who is told of what: providers, observers, keys, levels, slow operations, requests, what is done inside of
 * a provider's function, and threads.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"
#include "support/fork.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* C's flexible array members */
extern "C" {
#include "state/audience.h"
#include "state/event.h"
#include "state/observer.h"
}
#pragma GCC diagnostic pop

namespace {

using std::string;

const uint32_t EVERYTHING =
    PGCACHE_OBSERVE_OPERATIONS | PGCACHE_OBSERVE_SLOW | PGCACHE_OBSERVE_STATES | PGCACHE_OBSERVE_LOG;

struct Audience {
  pgc_audience self = {};
  explicit Audience(int64_t slow_ms = 0, bool log_keys = false) {
    pgc_audience_open(&self, slow_ms, log_keys);
  }
  Audience(const Audience &) = delete;
  Audience &operator=(const Audience &) = delete;
  ~Audience() {
    pgc_audience_free(&self);
  }
};

/* An event in one line. */
string line(const pgcache_event *event) {
  const char *kinds[] = {"?", "operation", "slow", "state", "log"};
  string out = string(kinds[event->kind]) + " " + event->operation + " " + event->outcome;
  if (event->key != nullptr)
    out += " key " + string(static_cast<const char *>(event->key), event->key_len);
  if (event->message[0] != '\0')
    out += string(" \"") + event->message + "\"";
  return out;
}

/* A provider that notes what it is told. */
struct Notes {
  std::vector<string> lines;
  int begun = 0, ended = 0, released = 0;
  std::function<void()> inside; /* called in each of its functions */
  pgcache_provider provider = PGCACHE_PROVIDER_INIT;

  explicit Notes(uint32_t what = EVERYTHING, bool spans = true) {
    provider.what = what;
    provider.level = PGCACHE_LEVEL_DEBUG;
    provider.context = this;
    if (spans) {
      provider.begin = begin;
      provider.end = end;
    }
    provider.told = told;
    provider.release = [](void *context) { static_cast<Notes *>(context)->released++; };
  }
  void call() {
    if (inside)
      inside();
  }
  static void *begin(void *context, const pgcache_event *event) {
    auto self = static_cast<Notes *>(context);
    self->lines.push_back("begin " + line(event));
    CHECK(event->duration_ns == 0);
    self->call();
    self->begun++;
    return reinterpret_cast<void *>(static_cast<intptr_t>(self->begun));
  }
  static void end(void *context, void *begun, const pgcache_event *event) {
    auto self = static_cast<Notes *>(context);
    self->ended++;
    self->lines.push_back("end of " + std::to_string(reinterpret_cast<intptr_t>(begun)) + " " + line(event));
    self->call();
  }
  static void told(void *context, const pgcache_event *event) {
    auto self = static_cast<Notes *>(context);
    self->lines.push_back(line(event));
    self->call();
  }
};

pgcache_event a_get() {
  pgcache_event event = {};
  event.operation = "get";
  event.namespace_name = "default";
  event.span_name = "page";
  event.key = "the key";
  event.key_len = 7;
  event.key_count = 1;
  return event;
}

/* One operation as those who measure tell of it. */
void operate(Audience &audience, pgcache_event event, int64_t took_ns = 1000, pgcache_status status = PGCACHE_MISS) {
  pgc_attendance attendance = {};
  if (pgc_audience_attends(&audience.self) != 0)
    pgc_audience_begin(&audience.self, &attendance, &event);
  if (!attendance.noticed)
    return;
  event.outcome = "miss";
  event.source = "store";
  event.status = status;
  event.duration_ns = took_ns;
  pgc_audience_end(&audience.self, &attendance, &event);
}

pgcache_observer *observe(Audience &audience, uint32_t what, pgcache_level level = PGCACHE_LEVEL_DEBUG,
                          size_t room = 100) {
  pgcache_observer *observer = nullptr;
  REQUIRE(pgc_observe(&audience.self, &observer, what, level, room, nullptr) == PGCACHE_OK);
  return observer;
}

/* What waits, taken. */
std::vector<string> take_all(pgcache_observer *observer) {
  std::vector<string> out;
  pgcache_event *event;
  while (pgc_observer_next(observer, &event, 0, nullptr) == PGCACHE_OK) {
    CHECK(event->struct_size == sizeof *event);
    out.push_back(line(event));
    pgcache_event_free(event);
  }
  return out;
}

} // namespace

TEST_CASE("nobody attends, and nothing is wanted", "[events]") {
  Audience audience(10);
  CHECK(pgc_audience_attends(&audience.self) == 0);
  pgcache_observer *observer = observe(audience, PGCACHE_OBSERVE_STATES);
  CHECK(pgc_audience_attends(&audience.self) == 0); /* nor of operations */
  pgc_observer_free(observer);
  observer = observe(audience, PGCACHE_OBSERVE_SLOW);
  CHECK(pgc_audience_attends(&audience.self) == PGC_ATTENDS_SLOW);
  pgc_observer_free(observer);
  observer = observe(audience, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_ERROR);
  CHECK(pgc_audience_attends(&audience.self) == 0); /* that an operation is slow is a warning */
  pgc_observer_free(observer);
  observer = observe(audience, PGCACHE_OBSERVE_OPERATIONS);
  CHECK((pgc_audience_attends(&audience.self) & PGC_ATTENDS_ALL) != 0);
  pgc_observer_free(observer);
  CHECK(pgc_audience_attends(&audience.self) == 0);
}

TEST_CASE("a provider is told of begin and end once, with what begin returned, and released once", "[events]") {
  Notes first, second(0);
  {
    Audience audience;
    REQUIRE(pgc_audience_add_provider(&audience.self, &first.provider, nullptr) == PGCACHE_OK);
    REQUIRE(pgc_audience_add_provider(&audience.self, &second.provider, nullptr) == PGCACHE_OK);
    operate(audience, a_get());
    operate(audience, a_get());
    CHECK(first.released == 0);
  }
  CHECK(first.lines == std::vector<string>{"begin operation get ", "end of 1 operation get miss", "operation get miss",
                                           "begin operation get ", "end of 2 operation get miss",
                                           "operation get miss"});
  CHECK(second.lines == std::vector<string>{"begin operation get ", "end of 1 operation get miss",
                                            "begin operation get ", "end of 2 operation get miss"});
  CHECK(first.released == 1);
  CHECK(second.released == 1);
}

TEST_CASE("who comes while an operation is under way is not told of its end", "[events]") {
  Audience audience;
  Notes first, late;
  REQUIRE(pgc_audience_add_provider(&audience.self, &first.provider, nullptr) == PGCACHE_OK);
  pgcache_event event = a_get();
  pgc_attendance attendance;
  pgc_audience_begin(&audience.self, &attendance, &event);
  REQUIRE(pgc_audience_add_provider(&audience.self, &late.provider, nullptr) == PGCACHE_OK);
  pgc_audience_end(&audience.self, &attendance, &event);
  CHECK(first.ended == 1);
  CHECK(late.begun == 0);
  CHECK(late.ended == 0);
}

TEST_CASE("[A62] keys are for those who ask for keys", "[events][A62]") {
  Audience audience;
  Notes plain, keyed(EVERYTHING | PGCACHE_OBSERVE_KEYS);
  REQUIRE(pgc_audience_add_provider(&audience.self, &plain.provider, nullptr) == PGCACHE_OK);
  REQUIRE(pgc_audience_add_provider(&audience.self, &keyed.provider, nullptr) == PGCACHE_OK);
  pgcache_observer *without = observe(audience, EVERYTHING);
  pgcache_observer *with = observe(audience, EVERYTHING | PGCACHE_OBSERVE_KEYS);
  operate(audience, a_get());
  for (const string &said : plain.lines)
    CHECK_FALSE(test::contains(said, "key"));
  for (const string &said : keyed.lines)
    CHECK(test::contains(said, "key the key"));
  CHECK(take_all(without) == std::vector<string>{"operation get miss"});
  CHECK(take_all(with) == std::vector<string>{"operation get miss key the key"});
  pgc_observer_free(without);
  pgc_observer_free(with);
}

TEST_CASE("what is slow is told of as an event and as a warning; the key is named only with log_keys",
          "[events][A62]") {
  const bool log_keys = GENERATE(false, true);
  Audience audience(5, log_keys);
  pgcache_observer *observer = observe(audience, PGCACHE_OBSERVE_SLOW | PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_WARNING);
  operate(audience, a_get(), 4999999);
  CHECK(take_all(observer).empty());
  operate(audience, a_get(), 5000000);
  const string words = "get took 5 ms: miss, from the store; namespace default, span name \"page\"";
  CHECK(take_all(observer) ==
        std::vector<string>{"slow get miss", "log get miss \"" + words + (log_keys ? ", key \"the key\"" : "") + "\""});
  pgc_observer_free(observer);
}

TEST_CASE("words about a slow operation are one line of ASCII, whatever the key and the span name are", "[events]") {
  char words[PGC_SLOW_WORDS_MAX];
  pgcache_event event = a_get(), whole;
  const string key = string("a\n\0\"\\\x7f", 6) + string(4000, 'x');
  event.span_name = "two\nlines\xff";
  event.key = key.data();
  event.key_len = key.size();
  event.key_count = 3;
  whole = pgc_event_complete(&event, PGCACHE_EVENT_OPERATION, PGCACHE_LEVEL_DEBUG, 0);
  pgc_event_slow_words(words, &whole, true);
  for (const char *c = words; *c != '\0'; c++)
    CHECK((*c >= 0x20 && *c < 0x7f));
  CHECK(test::contains(words, "\"two\\x0alines\\xff\", 3 keys, key \"a\\x0a\\x00\\x22\\x5c\\x7fxxx"));
  CHECK(test::contains(words, "x...\""));
  const string longest(PGCACHE_SPAN_NAME_MAX, '\x01'), worst(PGCACHE_KEY_MAX, '\x02'), space(63, 'n');
  whole.span_name = longest.c_str();
  whole.namespace_name = space.c_str();
  whole.key = worst.data();
  whole.key_len = worst.size();
  whole.operation = "compare_and_swap";
  whole.duration_ns = INT64_MAX;
  pgc_event_slow_words(words, &whole, true);
  CHECK(words[strlen(words) - 1] == '"'); /* nothing was cut */
}

TEST_CASE("states and logs: levels, and words that are a log, too", "[events]") {
  Audience audience;
  Notes quiet(PGCACHE_OBSERVE_LOG, false), states(PGCACHE_OBSERVE_STATES, false);
  quiet.provider.level = PGCACHE_LEVEL_WARNING;
  REQUIRE(pgc_audience_add_provider(&audience.self, &quiet.provider, nullptr) == PGCACHE_OK);
  REQUIRE(pgc_audience_add_provider(&audience.self, &states.provider, nullptr) == PGCACHE_OK);
  pgc_audience_log(&audience.self, PGCACHE_LEVEL_INFO, "get", "not for all %d", 1);
  pgc_audience_log(&audience.self, PGCACHE_LEVEL_ERROR, "get", "for all %d", 2);
  pgcache_error error = PGCACHE_ERROR_INIT;
  error.status = PGCACHE_UNAVAILABLE;
  pgc_audience_state(&audience.self, "breaker", "open", PGCACHE_LEVEL_WARNING, 0, &error, "it is open");
  pgc_audience_state(&audience.self, "breaker", "half-open", PGCACHE_LEVEL_WARNING, 0, nullptr, nullptr);
  CHECK(quiet.lines == std::vector<string>{"log get  \"for all 2\"", "log breaker open \"it is open\""});
  CHECK(states.lines == std::vector<string>{"state breaker open \"it is open\"", "state breaker half-open"});
  pgc_audience_state(nullptr, "breaker", "open", PGCACHE_LEVEL_WARNING, 0, nullptr,
                     nullptr); /* a store without a handle */
}

TEST_CASE("what is done inside of a provider's function nobody is told of, but ends that are due", "[events]") {
  Audience audience;
  Notes notes;
  notes.inside = [&] {
    operate(audience, a_get());
    pgc_audience_log(&audience.self, PGCACHE_LEVEL_ERROR, "get", "inside");
    pgc_audience_state(&audience.self, "breaker", "open", PGCACHE_LEVEL_ERROR, 0, nullptr, "inside");
    const pgcache_event event = a_get();
    CHECK(pgc_audience_begin_request(&audience.self, &event) == nullptr);
  };
  REQUIRE(pgc_audience_add_provider(&audience.self, &notes.provider, nullptr) == PGCACHE_OK);
  pgcache_observer *observer = observe(audience, EVERYTHING);
  operate(audience, a_get());
  CHECK(notes.lines.size() == 3);
  const auto seen = take_all(observer); /* of each function a log, a state and its words; and the operation */
  CHECK(seen.size() == 3 * 3 + 1);
  CHECK(std::count(seen.begin(), seen.end(), "operation get miss") == 1);

  /* A request that began outside, whose completion is taken inside. */
  notes.inside = nullptr;
  const pgcache_event event = a_get();
  pgc_attended *request = pgc_audience_begin_request(&audience.self, &event);
  REQUIRE(request != nullptr);
  notes.inside = [&] {
    if (request != nullptr) {
      pgc_attended *taken = request;
      request = nullptr;
      pgc_audience_end_request(&audience.self, taken, &event);
    }
  };
  operate(audience, a_get());
  CHECK(notes.begun == 3);
  CHECK(notes.ended == 3);
  operate(audience, a_get()); /* and the thread is outside again */
  CHECK(notes.begun == 4);
  pgc_observer_free(observer);
}

TEST_CASE("a request's end is told with the texts and the key of its begin", "[events]") {
  Audience audience;
  Notes notes(EVERYTHING | PGCACHE_OBSERVE_KEYS);
  REQUIRE(pgc_audience_add_provider(&audience.self, &notes.provider, nullptr) == PGCACHE_OK);
  pgc_attended *request;
  {
    string key = "a key", space = "space", span = "span";
    pgcache_event event = a_get();
    event.namespace_name = space.c_str();
    event.span_name = span.c_str();
    event.key = key.data();
    event.key_len = key.size();
    request = pgc_audience_begin_request(&audience.self, &event);
    key = space = span = "overwritten";
  }
  REQUIRE(request != nullptr);
  pgcache_event end = {};
  end.outcome = "hit";
  pgc_audience_end_request(&audience.self, request, &end);
  CHECK(notes.lines == std::vector<string>{"begin operation get  key a key", "end of 1 operation get hit key a key",
                                           "operation get hit key a key"});
}

TEST_CASE("an observer has room for so many, counts what did not fit, and has the oldest first",
          "[events][rule:observer]") {
  Audience audience;
  pgcache_observer *small = observe(audience, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_DEBUG, 3);
  pgcache_observer *large = observe(audience, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_DEBUG, PGCACHE_OBSERVER_ROOM_MAX);
  for (int i = 0; i < 10; i++)
    pgc_audience_log(&audience.self, PGCACHE_LEVEL_INFO, "get", "%d", i);
  CHECK(pgc_observer_dropped(small) == 7);
  CHECK(pgc_observer_dropped(large) == 0);
  CHECK(audience.self.dropped == 7);
  CHECK(take_all(small) == std::vector<string>{"log get  \"0\"", "log get  \"1\"", "log get  \"2\""});
  pgc_audience_log(&audience.self, PGCACHE_LEVEL_INFO, "get", "again");
  CHECK(take_all(small) == std::vector<string>{"log get  \"again\""});
  CHECK(take_all(large).size() == 11);
  pgc_audience_log(&audience.self, PGCACHE_LEVEL_INFO, "get", "that nobody takes");
  pgc_observer_free(small);
  pgc_observer_free(large);
  CHECK(audience.self.dropped == 7);
}

TEST_CASE("eight seats: observers give theirs back, providers do not", "[events]") {
  Audience audience;
  Notes notes;
  pgcache_observer *observers[8] = {};
  test::Error error;
  for (int round = 0; round < 3; round++) {
    for (pgcache_observer *&observer : observers)
      observer = observe(audience, PGCACHE_OBSERVE_LOG);
    pgcache_observer *ninth = nullptr;
    CHECK(pgc_observe(&audience.self, &ninth, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_INFO, 1, &error) ==
          PGCACHE_QUEUE_FULL);
    CHECK(test::contains(error.text(), "8"));
    CHECK(pgc_audience_add_provider(&audience.self, &notes.provider, nullptr) == PGCACHE_QUEUE_FULL);
    for (pgcache_observer *observer : observers)
      pgc_observer_free(observer);
  }
  for (int i = 0; i < 8; i++)
    CHECK(pgc_audience_add_provider(&audience.self, &notes.provider, nullptr) == PGCACHE_OK);
  CHECK(pgc_audience_add_provider(&audience.self, &notes.provider, nullptr) == PGCACHE_QUEUE_FULL);
  operate(audience, a_get());
  CHECK(notes.begun == 8);
  CHECK(notes.ended == 8);
}

TEST_CASE("an observer waits for an event, is woken by it, and by the end of the handle", "[events][threads]") {
  Audience audience;
  pgcache_observer *observer = observe(audience, PGCACHE_OBSERVE_LOG);
  pgcache_event *event = nullptr;
  const auto before = std::chrono::steady_clock::now();
  CHECK(pgc_observer_next(observer, &event, 20, nullptr) == PGCACHE_MISS);
  CHECK(std::chrono::steady_clock::now() - before >= std::chrono::milliseconds(20));
  std::thread speaker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pgc_audience_log(&audience.self, PGCACHE_LEVEL_INFO, "get", "here");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pgc_audience_close(&audience.self);
  });
  REQUIRE(pgc_observer_next(observer, &event, INT64_MAX, nullptr) == PGCACHE_OK);
  CHECK(line(event) == "log get  \"here\"");
  pgcache_event_free(event);
  test::Error error;
  CHECK(pgc_observer_next(observer, &event, INT64_MAX, &error) == PGCACHE_CLOSED);
  CHECK(test::contains(error.text(), "shut down"));
  speaker.join();
  pgc_audience_log(&audience.self, PGCACHE_LEVEL_INFO, "get", "a late one");
  CHECK(take_all(observer).empty());
  CHECK(pgc_observer_next(observer, &event, 0, nullptr) == PGCACHE_CLOSED);
  pgc_observer_free(observer);
  Notes notes;
  CHECK(pgc_audience_add_provider(&audience.self, &notes.provider, nullptr) == PGCACHE_CLOSED);
  CHECK(pgc_observe(&audience.self, &observer, PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_INFO, 1, nullptr) == PGCACHE_CLOSED);
}

TEST_CASE("who frees a handle waits for whoever is being told of a state, and nobody is told of one any more",
          "[events][threads]") {
  Audience audience;
  std::atomic<bool> in_there{false}, may_leave{false}, left{false};
  Notes notes(EVERYTHING, false);
  notes.inside = [&] {
    in_there = true;
    while (!may_leave)
      std::this_thread::yield();
    left = true;
  };
  REQUIRE(pgc_audience_add_provider(&audience.self, &notes.provider, nullptr) == PGCACHE_OK);
  std::thread listener(
      [&] { pgc_audience_state(&audience.self, "listener", "lost", PGCACHE_LEVEL_WARNING, 0, nullptr, nullptr); });
  while (!in_there)
    std::this_thread::yield();
  pgc_audience_close(&audience.self);
  bool waited = false;
  std::thread owner([&] {
    pgc_audience_leave(&audience.self);
    waited = left;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  may_leave = true;
  owner.join();
  CHECK(waited);
  listener.join();
  pgc_audience_state(&audience.self, "listener", "connected", PGCACHE_LEVEL_INFO, 0, nullptr, nullptr);
  CHECK(notes.lines.size() == 1);
}

TEST_CASE("threads: what is told is taken or counted as dropped, while observers and providers come and go",
          "[events][threads]") {
  Audience audience(1);
  pgcache_observer *observer = observe(audience, PGCACHE_OBSERVE_OPERATIONS, PGCACHE_LEVEL_DEBUG, 50);
  std::atomic<int> provided{0}, running{0}, refused{0};
  pgcache_provider provider = PGCACHE_PROVIDER_INIT;
  provider.context = &provided;
  provider.begin = [](void *context, const pgcache_event *) -> void * { return context; };
  provider.end = [](void *context, void *begun, const pgcache_event *) {
    if (context == begun)
      ++*static_cast<std::atomic<int> *>(context);
  };
  const int THREADS = 4, EACH = 2000;
  std::vector<std::thread> threads;
  running = THREADS;
  for (int i = 0; i < THREADS; i++) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < EACH; n++) {
        operate(audience, a_get());
        if (i == 0 && n == EACH / 2)
          refused += pgc_audience_add_provider(&audience.self, &provider, nullptr) != PGCACHE_OK;
        if (i == 1 && n % 20 == 0) {
          pgcache_observer *other = nullptr;
          refused += pgc_observe(&audience.self, &other, EVERYTHING, PGCACHE_LEVEL_DEBUG, 5, nullptr) != PGCACHE_OK;
          operate(audience, a_get(), 2000000);
          pgc_observer_free(other);
        }
      }
      --running;
    });
  }
  int64_t taken = 0;
  for (pgcache_event *event; running > 0;) {
    if (pgc_observer_next(observer, &event, 1, nullptr) == PGCACHE_OK) {
      taken++;
      pgcache_event_free(event);
    }
  }
  for (std::thread &thread : threads)
    thread.join();
  taken += static_cast<int64_t>(take_all(observer).size());
  CHECK(taken + pgc_observer_dropped(observer) == THREADS * EACH + EACH / 20);
  CHECK(refused == 0);
  CHECK(provided >= EACH / 2 - 1); /* at least those of the thread that added it */
  pgc_observer_free(observer);
}

TEST_CASE("a forked child begins with empty queues, and no lock of its parent keeps it", "[events][fork]") {
  Audience audience;
  pgcache_observer *observer = observe(audience, PGCACHE_OBSERVE_LOG);
  std::atomic<bool> over{!test::can_fork_among_threads};
  pgc_audience_log(&audience.self, PGCACHE_LEVEL_INFO, "get", "the parent's");
  std::thread busy([&] { /* so that the lock is mostly held */
                         while (!over) {
                           pgcache_observer *other = observe(audience, PGCACHE_OBSERVE_LOG);
                           for (int i = 0; i < 100; i++)
                             pgc_audience_log(&audience.self, PGCACHE_LEVEL_INFO, "get", "noise");
                           pgc_observer_free(other);
                         }
  });
  for (int i = 0; i < 20; i++) {
    CHECK(test::in_child([&] {
            pgcache_event *event = nullptr;
            if (pgc_observer_next(observer, &event, 0, nullptr) != PGCACHE_MISS)
              return 1;
            pgc_audience_log(&audience.self, PGCACHE_LEVEL_INFO, "get", "the child's");
            if (pgc_observer_next(observer, &event, 0, nullptr) != PGCACHE_OK)
              return 2;
            if (strcmp(event->message, "the child's") != 0)
              return 3;
            pgcache_event_free(event);
            pgc_audience_close(&audience.self);
            pgc_observer_free(observer);
            return 0;
          }) == 0);
  }
  over = true;
  busy.join();
  pgcache_event *event = nullptr;
  REQUIRE(pgc_observer_next(observer, &event, 0, nullptr) == PGCACHE_OK);
  CHECK(string(event->message) == "the parent's");
  pgcache_event_free(event);
  pgc_observer_free(observer);
}

TEST_CASE("a forked child without memory is told of nothing, and takes what is told when there is some",
          "[events][fork][memory]") {
  Audience audience;
  Notes notes;
  pgcache_observer *observer = observe(audience, PGCACHE_OBSERVE_LOG);
  REQUIRE(pgc_audience_add_provider(&audience.self, &notes.provider, nullptr) == PGCACHE_OK);
  CHECK(test::in_child([&] {
          pgcache_event *event = nullptr;
          pgcache_observer *other = nullptr;
          const int64_t dropped = pgc_observer_dropped(observer);
          {
            test::Allocations allocations(1, test::Failing::FromThenOn);
            if (pgc_observer_next(observer, &event, 0, nullptr) != PGCACHE_NO_MEMORY)
              return 1;
            if (pgc_observe(&audience.self, &other, EVERYTHING, PGCACHE_LEVEL_INFO, 1, nullptr) != PGCACHE_NO_MEMORY)
              return 2;
            if (pgc_audience_add_provider(&audience.self, &notes.provider, nullptr) != PGCACHE_NO_MEMORY)
              return 3;
            pgc_audience_log(&audience.self, PGCACHE_LEVEL_ERROR, "get", "nobody hears");
            operate(audience, a_get());
            pgc_audience_leave(&audience.self); /* nobody of this process is being told */
          }
          if (pgc_observer_next(observer, &event, 0, nullptr) != PGCACHE_MISS)
            return 4;
          pgc_audience_log(&audience.self, PGCACHE_LEVEL_ERROR, "get", "heard");
          if (pgc_observer_next(observer, &event, 0, nullptr) != PGCACHE_OK || string(event->message) != "heard")
            return 5;
          pgcache_event_free(event);
          if (pgc_observer_dropped(observer) < dropped)
            return 6;
          return 0;
        }) == 0);
  CHECK(test::in_child([&] {
          test::Allocations allocations(1, test::Failing::FromThenOn);
          pgc_audience_close(&audience.self);
          pgc_observer_free(observer);
          return 0;
        }) == 0);
  pgc_observer_free(observer);
}

TEST_CASE("levels that are none are refused", "[events][arguments]") {
  CHECK(pgc_audience_check(PGCACHE_OBSERVE_LOG, static_cast<pgcache_level>(PGCACHE_LEVEL_DEBUG - 1), nullptr) ==
        PGCACHE_INVALID);
  CHECK(pgc_audience_check(PGCACHE_OBSERVE_LOG, static_cast<pgcache_level>(PGCACHE_LEVEL_ERROR + 1), nullptr) ==
        PGCACHE_INVALID);
  CHECK(pgc_audience_check(PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_ERROR, nullptr) == PGCACHE_OK);
}

TEST_CASE("without memory nobody comes, an event counts as dropped, and a request is told of not at all",
          "[events][memory]") {
  Audience audience;
  Notes notes;
  pgcache_observer *observer = nullptr;
  const auto fails_until_it_works = [](const std::function<pgcache_status()> &attempt) {
    int failures = 0;
    for (long fail_at = 1;; fail_at++) {
      test::Allocations allocations(fail_at, test::Failing::Once);
      const pgcache_status status = attempt();
      if (status == PGCACHE_OK)
        return failures;
      CHECK(status == PGCACHE_NO_MEMORY);
      failures++;
    }
  };
  CHECK(fails_until_it_works([&] {
          return pgc_observe(&audience.self, &observer, EVERYTHING, PGCACHE_LEVEL_INFO, 10, nullptr);
        }) == 2); /* the hall and the observer */
  CHECK(fails_until_it_works([&] { return pgc_audience_add_provider(&audience.self, &notes.provider, nullptr); }) == 1);
  {
    test::Allocations allocations(1, test::Failing::FromThenOn);
    operate(audience, a_get());
    const pgcache_event event = a_get();
    CHECK(pgc_audience_begin_request(&audience.self, &event) == nullptr);
  }
  CHECK(notes.begun == 1);
  CHECK(notes.ended == 1);
  CHECK(pgc_observer_dropped(observer) == 1);
  pgc_observer_free(observer);
}

#ifdef PGC_USDT
TEST_CASE("a tracer attends operations as long as its semaphore is raised", "[events][probes]") {
  Audience audience;
  const pgcache_event event = a_get();
  for (volatile unsigned short *semaphore : {&pgcache_operation_begin_semaphore, &pgcache_operation_end_semaphore}) {
    CHECK(pgc_audience_attends(&audience.self) == 0);
    *semaphore = 1;
    CHECK(pgc_audience_attends(&audience.self) == PGC_ATTENDS_ALL);
    pgc_attendance attendance;
    pgc_audience_begin(&audience.self, &attendance, &event);
    CHECK(attendance.noticed);
    pgc_audience_end(&audience.self, &attendance, &event);
    *semaphore = 0;
  }
  for (volatile unsigned short *semaphore :
       {&pgcache_near_hit_semaphore, &pgcache_breaker_semaphore, &pgcache_listener_semaphore})
    *semaphore = 1;
  CHECK(pgc_audience_attends(&audience.self) == 0); /* these are for other things */
  PGC_PROBE_NEAR_HIT("default");
  for (const char *what : {"breaker", "listener", "janitor"})
    pgc_audience_state(&audience.self, what, "open", PGCACHE_LEVEL_INFO, 0, nullptr, nullptr);
  for (volatile unsigned short *semaphore :
       {&pgcache_near_hit_semaphore, &pgcache_breaker_semaphore, &pgcache_listener_semaphore})
    *semaphore = 0;
}
#endif
