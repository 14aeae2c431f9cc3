/*
 * events.cpp - what providers and observers are told of operations: each once, with what became of it, of calls and of requests,
 * whatever their end is.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/events.hpp"
#include "support/fork.hpp"
#include "support/proxy.hpp"
#include "support/requests.hpp"

#include <atomic>
#include <cstring>

using namespace test;
using std::string;

namespace {

/* What the provider was told of the one operation since the last time; and that begin and end came once. */
string only_one(Provider &provider) {
  const auto spans = provider.spans();
  provider.forget();
  if (spans.size() != 1 || spans[0].ends.size() != 1)
    return std::to_string(spans.size()) + " operations";
  const Event &begin = spans[0].begin, &end = spans[0].ends[0];
  CHECK(begin.operation == end.operation);
  CHECK(begin.duration_ns == 0);
  CHECK(begin.outcome.empty());
  CHECK(end.began_us == begin.began_us);
  CHECK(end.duration_ns > 0);
  CHECK(end.level == (end.status < 0 ? PGCACHE_LEVEL_ERROR : PGCACHE_LEVEL_DEBUG));
  return end.operation + " " + end.outcome + " " + end.source;
}

} // namespace

TEST_CASE("Every operation on a key is told of once, with its outcome", "[events][rule:measured][rule:outcomes]") {
  Store store;
  Provider provider;
  Cache cache = store.open();
  provider.add_to(cache, EVERY_EVENT | PGCACHE_OBSERVE_KEYS);
  const auto did = [&] { return only_one(provider); };

  const Answer put = cache.put("k", "value");
  CHECK(did() == "put ok store");
  cache.get("k");
  CHECK(did() == "get hit store");
  cache.get("none");
  CHECK(did() == "get miss store");
  char buffer[2];
  size_t size;
  pgcache_get_into(cache.raw(), buffer, sizeof buffer, &size, "k", 1, nullptr, nullptr);
  CHECK(did() == "get hit store"); /* it was there, and the buffer was too small for it */
  cache.exists("k");
  CHECK(did() == "exists hit store");
  cache.exists("none");
  CHECK(did() == "exists miss store");
  cache.add("k", "other");
  CHECK(did() == "add exists store");
  cache.replace("none", "v");
  CHECK(did() == "replace miss store");
  cache.compare_and_swap("k", "v", put.version);
  CHECK(did() == "compare_and_swap ok store");
  cache.touch("k", 1000);
  CHECK(did() == "touch ok store");
  cache.increment("n");
  CHECK(did() == "increment ok store");
  cache.increment("k");
  CHECK(did() == "increment not_a_counter store");
  cache.remove("k");
  CHECK(did() == "remove ok store");
  cache.get("k", deadline(0));
  CHECK(did() == "get timeout store");
  cache.put("k", "v", PGCACHE_TTL_DEFAULT, -1);
  CHECK(did() == "0 operations"); /* its arguments were not accepted */
}

TEST_CASE("Every operation on many keys or on the cache as a whole is told of once", "[events][rule:measured]") {
  Store store;
  Provider provider;
  Cache cache = store.open();
  REQUIRE(cache.put("a", "1") == PGCACHE_OK);
  provider.add_to(cache);
  const auto did = [&] { return only_one(provider); };
  pgcache *self = cache.raw();
  Error error;

  Items items, read;
  std::vector<string> keys{"a"};
  while (keys.size() < 2500) /* more than one round trip carries */
    keys.push_back("k" + std::to_string(keys.size()));
  for (const string &key : keys) {
    items.add(key, "v");
    read.add(key);
  }
  pgcache_get_many(self, read.data(), read.size(), nullptr, &error);
  const auto spans = provider.spans();
  CHECK(did() == "get_many ok store");
  REQUIRE(spans.size() == 1);
  CHECK(spans[0].begin.key_count == 2500);
  CHECK(spans[0].ends[0].key_count == 2500);
  CHECK(spans[0].ends[0].number == 1);
  pgcache_put_many(self, items.data(), items.size(), nullptr, &error);
  CHECK(did() == "put_many ok store");
  pgcache_remove_many(self, items.data(), items.size(), nullptr, &error);
  CHECK(did() == "remove_many ok store");

  cache.flush(PGCACHE_FLUSH_NAMESPACE);
  CHECK(did() == "flush ok store");
  cache.cleanup();
  CHECK(did() == "cleanup ok store");
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  cache.cleanup_some(progress, 10);
  CHECK(did() == "cleanup_some ok store");
  cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 100, -1);
  CHECK(did() == "set_limits ok store");
  cache.usage();
  CHECK(did() == "read_usage ok store");
  cache.stats();
  CHECK(did() == "stats ok store");
  pgcache_value *value = nullptr;
  size_t count = 0;
  pgcache_keys(self, &value, 1, &count, nullptr, 0, nullptr, 0, nullptr, &error);
  pgcache_value_free(value);
  CHECK(did() == "keys ok store");
  pgcache_doctor(self, &value, nullptr, &error);
  pgcache_value_free(value);
  CHECK(did() == "doctor ok store");
  cache.fence();
  CHECK(did() == "fence ok store");
  cache.init();
  CHECK(did() == "init exists store");
  cache.upgrade();
  CHECK(did() == "upgrade exists store");
  pgcache_dependency tag = PGCACHE_DEPENDENCY_INIT;
  tag.name = "t";
  tag.name_len = 1;
  pgcache_invalidate(self, &tag, 1, nullptr, &error);
  CHECK(did() == "invalidate ok store");
}

TEST_CASE("Loads: begin and what ends them; a loader's own calls are told of beside it", "[events][loads]") {
  Store store;
  Provider provider;
  Cache cache = store.open();
  provider.add_to(cache);
  const auto did = [&] { return only_one(provider); };
  pgcache_load *load = nullptr;
  pgcache_value *value = nullptr;
  const auto begin = [&](const char *key) {
    value = nullptr;
    return pgcache_load_begin(cache.raw(), &value, &load, key, strlen(key), nullptr, nullptr, nullptr);
  };
  REQUIRE(begin("a") == PGCACHE_LEASE);
  CHECK(did() == "load_begin lease store");
  CHECK(pgcache_load_extend(load, 1000, nullptr, nullptr) == PGCACHE_OK);
  CHECK(did() == "load_extend ok store");
  CHECK(pgcache_load_fill(load, nullptr, "v", 1, 0, nullptr, nullptr) == PGCACHE_OK);
  CHECK(did() == "load_fill ok store");
  pgcache_load_free(load);
  CHECK(did() == "0 operations");
  REQUIRE(begin("a") == PGCACHE_OK);
  pgcache_value_free(value);
  CHECK(did() == "load_begin hit store");
  REQUIRE(begin("b") == PGCACHE_LEASE);
  CHECK(pgcache_load_fail(load, &value, nullptr, nullptr) == PGCACHE_MISS);
  pgcache_load_free(load);
  const auto spans = provider.spans();
  REQUIRE(spans.size() == 2);
  CHECK(spans[1].begin.operation == "load_fail");
  provider.forget();

  pgcache_loader loader = PGCACHE_LOADER_INIT;
  loader.context = &cache;
  loader.load = [](void *context, pgcache_load *loading, pgcache_error *error) {
    static_cast<Cache *>(context)->get("a");
    return pgcache_load_fill(loading, nullptr, "v", 1, 0, nullptr, error);
  };
  REQUIRE(pgcache_get_or_load(cache.raw(), &value, "c", 1, nullptr, &loader, nullptr, nullptr) == PGCACHE_OK);
  pgcache_value_free(value);
  std::map<string, int> told;
  for (const auto &span : provider.spans()) {
    CHECK(span.ends.size() == 1);
    told[span.begin.operation]++;
  }
  CHECK(told["get_or_load"] == 1);
  CHECK(told["get"] == 1);
  CHECK(told["load_begin"] == 0); /* a part of get_or_load */
}

TEST_CASE("An event says what the call was about: namespace, span name, key, bytes as stored, error",
          "[events][A62][rule:secret]") {
  Store store;
  Cache cache = store.open({{"compression", "lz4"}});
  Observer plain(cache, PGCACHE_OBSERVE_OPERATIONS);
  Observer keyed(cache, PGCACHE_OBSERVE_OPERATIONS | PGCACHE_OBSERVE_KEYS);
  Options options = in_namespace("space");
  options.span_name = "the page";
  const string key("a\0key", 5);
  REQUIRE(cache.put(key, string(100000, 'x'), options) == PGCACHE_OK);
  options.deadline_ms = 0;
  const Answer late = cache.get(key, options);
  CHECK(late == PGCACHE_TIMEOUT);
  for (Observer *observer : {&plain, &keyed}) {
    const auto events = observer->take();
    REQUIRE(events.size() == 2);
    CHECK(events[0].kind == PGCACHE_EVENT_OPERATION);
    CHECK(events[0].space == "space");
    CHECK(events[0].span == "the page");
    CHECK(events[0].key == (observer == &keyed ? key : ""));
    CHECK(events[0].key_count == 1);
    CHECK(events[0].bytes > 0);
    CHECK(events[0].bytes < 10000); /* compressed */
    CHECK(events[0].message.empty());
    CHECK(events[1].status == PGCACHE_TIMEOUT);
    CHECK(events[1].message == late.error.text());
    CHECK(events[1].level == PGCACHE_LEVEL_ERROR);
    CHECK(events[1].began_us >= events[0].began_us);
  }
}

TEST_CASE("Requests are told of once, by who submits and by who takes; also cancelled, late, closed and never taken",
          "[events][async][rule:measured]") {
  Store store;
  Provider provider;
  Cache cache = store.open();
  provider.add_to(cache, EVERY_EVENT | PGCACHE_OBSERVE_KEYS);
  const Requests requests(cache);
  const auto did = [&] { return only_one(provider); };
  Options span;
  span.span_name = "span";

  Submitted submitted = requests.put("k", "value", span);
  std::thread taker([&] { CHECK(requests.wait(submitted.id) == PGCACHE_OK); });
  taker.join();
  auto spans = provider.spans();
  CHECK(did() == "put ok store");
  REQUIRE(spans.size() == 1);
  CHECK(spans[0].begun_by == std::this_thread::get_id());
  CHECK(spans[0].ended_by != std::this_thread::get_id());
  CHECK(spans[0].ends[0].key == "k");
  CHECK(spans[0].ends[0].span == "span");
  CHECK(spans[0].ends[0].space == "default");

  submitted = requests.get("k");
  CHECK(requests.next().id() == submitted.id);
  CHECK(did() == "get hit store");
  Callback callback([](const pgcache_completion *) {});
  REQUIRE(requests.get("none", callback.options()) == PGCACHE_OK);
  CHECK(eventually([&] { return requests.dispatch(100) == 1; }));
  CHECK(did() == "get miss store");
  Items items;
  items.add("k");
  items.add("none");
  CHECK(requests.wait(requests.many(pgcache_submit_get_many, items).id) == PGCACHE_OK);
  spans = provider.spans();
  CHECK(did() == "get_many ok store");
  CHECK(spans[0].ends[0].number == 1);
  CHECK(requests.wait(requests.whole(pgcache_submit_stats).id) == PGCACHE_OK);
  CHECK(did() == "stats ok store");
  CHECK(requests.wait(requests.get("k", deadline(0)).id) == PGCACHE_TIMEOUT);
  spans = provider.spans();
  CHECK(did() == "get timeout store");
  CHECK(spans[0].ends[0].message.size() > 10);

  /* One that is under way behind a lock, and cancelled. */
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("SELECT * FROM {s}.entries FOR UPDATE"));
  submitted = requests.put("k", "later");
  sleep_ms(50);
  CHECK(requests.cancel(submitted.id) == PGCACHE_OK);
  CHECK(requests.wait(submitted.id).status() < 0);
  store.pg.exec("ROLLBACK");
  spans = provider.spans();
  REQUIRE(spans.size() == 1);
  CHECK(spans[0].ends.size() == 1);
  provider.forget();

  for (int i = 0; i < 50; i++)
    REQUIRE(requests.put("k" + std::to_string(i), "v") == PGCACHE_OK);
  cache.shutdown();
  CHECK(requests.get("k") == PGCACHE_CLOSED);
  CHECK(requests.next(1000)); /* one is taken, the others nobody takes */
  cache.free();
  spans = provider.spans();
  CHECK(spans.size() >= 50);
  for (const auto &one : spans)
    CHECK(one.ends.size() == 1);
  CHECK(provider.released() == 1);
}

TEST_CASE("What a provider's function does is done, and nobody is told of it", "[events]") {
  Store store;
  Cache cache = store.open();
  Provider provider;
  std::atomic<int> calls{0}, failures{0};
  const Requests requests(cache);
  provider.inside = [&] {
    calls++;
    failures += !(cache.put("inside", "v") == PGCACHE_OK && cache.get("inside") == PGCACHE_OK);
    const Submitted submitted = requests.get("inside");
    failures += !(requests.wait(submitted.id) == PGCACHE_OK);
  };
  provider.add_to(cache);
  Observer observer(cache);
  CHECK(cache.get("outside") == PGCACHE_MISS);
  CHECK(failures == 0);
  CHECK(calls == 3);
  CHECK(provider.spans().size() == 1);
  CHECK(provider.told().size() == 1);
  CHECK(observer.take().size() == 1);
  /* A request from outside, taken in an ordinary way, whose end calls the handle in its turn. */
  CHECK(requests.wait(requests.get("outside").id) == PGCACHE_MISS);
  CHECK(provider.spans().size() == 2);
  CHECK(failures == 0);
}

TEST_CASE("slow_ms: what takes longer is an event and a line of a log, without its key unless log_keys is on",
          "[events][A62][rule:secret]") {
  const bool log_keys = GENERATE(false, true);
  Store store;
  REQUIRE(store.cache.put("the key", "v") == PGCACHE_OK);
  Cache cache = store.open({{"slow_ms", "300"}, {"log_keys", log_keys ? "on" : "off"}});
  Observer observer(cache, PGCACHE_OBSERVE_SLOW | PGCACHE_OBSERVE_LOG, PGCACHE_LEVEL_WARNING);
  REQUIRE(cache.get("the key") == PGCACHE_OK);
  (void)observer.take(); /* connecting may be slow on a busy machine */
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("SELECT * FROM {s}.entries FOR UPDATE"));
  std::thread release([&] {
    sleep_ms(500);
    store.pg.exec("COMMIT");
  });
  Options options;
  options.span_name = "save";
  CHECK(cache.put("the key", "w", options) == PGCACHE_OK);
  release.join();
  const auto events = observer.take();
  REQUIRE(events.size() == 2);
  CHECK(events[0].kind == PGCACHE_EVENT_SLOW);
  CHECK(events[0].operation == "put");
  CHECK(events[0].duration_ns >= 300 * 1000000);
  CHECK(events[0].key.empty());
  CHECK(events[1].kind == PGCACHE_EVENT_LOG);
  CHECK(events[1].level == PGCACHE_LEVEL_WARNING);
  INFO(events[1].message);
  CHECK(events[1].message.find("put took ") == 0);
  CHECK(events[1].message.find("span name \"save\"") != string::npos);
  CHECK((events[1].message.find("the key") != string::npos) == log_keys);
}

TEST_CASE("A child of a fork tells its own provider and observers of its own operations", "[events][fork][rule:fork]") {
  Store store;
  Cache cache = store.open();
  Provider provider;
  provider.add_to(cache);
  Observer observer(cache);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  CHECK(in_child([&] {
          std::vector<Event> events;
          if (observer.next(events) != PGCACHE_MISS)
            return 1;
          if (!(cache.get("k") == PGCACHE_OK))
            return 2;
          if (observer.next(events, 1000) != PGCACHE_OK || events[0].operation != "get")
            return 3;
          if (provider.spans().size() != 2)
            return 4;
          observer.free();
          cache.free();
          return provider.released() == 1 ? 0 : 5;
        }) == 0);
  const auto events = observer.take();
  REQUIRE(events.size() == 1);
  CHECK(events[0].operation == "put");
}

TEST_CASE("Threads: every operation of every thread is told of once, while observers come and go",
          "[events][threads]") {
  Store store;
  Cache cache = store.open();
  Provider provider;
  provider.add_to(cache, PGCACHE_OBSERVE_OPERATIONS);
  Observer small(cache, EVERY_EVENT, PGCACHE_LEVEL_DEBUG, 100);
  std::atomic<int> done{0};
  const int THREADS = 4, EACH = longer(200, 5000);
  const Requests requests(cache);
  in_threads(THREADS, [&](int number) {
    for (int i = 0; i < EACH; i++) {
      const string key = "k" + std::to_string(i % 10);
      if (number == 0 && i % 10 == 0)
        Observer coming(cache);
      if (i % 3 == 0)
        (void)cache.put(key, "v");
      else if (i % 3 == 1)
        (void)cache.get(key);
      else
        (void)requests.wait(requests.get(key).id);
      done++;
    }
  });
  CHECK(done == THREADS * EACH);
  const auto spans = provider.spans();
  CHECK(spans.size() == static_cast<size_t>(done));
  for (const auto &span : spans)
    REQUIRE(span.ends.size() == 1);
  CHECK(provider.told().size() == static_cast<size_t>(done));
  CHECK(static_cast<int>(small.take().size()) + small.dropped() == done);
}
