/*
 * arguments.cpp - what is submitted and how it is read: arguments that are refused, structs of other sizes, what is
 * copied, bounds, handles that have no requests.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/alloc_fail.hpp"
#include "support/catch.hpp"
#include "support/fork.hpp"
#include "support/requests.hpp"

#include <atomic>
#include <cstddef>
#include <cstring>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

const int64_t usual_ttl = PGCACHE_TTL_DEFAULT;

/* A call and the request of the same name, with the same arguments. */
struct Pair {
  const char *what;
  std::function<pgcache_status(pgcache *, const pgcache_options *, pgcache_error *)> call;
  std::function<pgcache_status(pgcache *, uint64_t *, const pgcache_options *, pgcache_error *)> submit;
};

pgcache_value *room[PGCACHE_BATCH_MAX + 1];
size_t room_count;

Pair with_key(const void *key, size_t key_len) {
  return {"a key",
          [=](pgcache *self, const pgcache_options *o, pgcache_error *e) {
            return pgcache_remove(self, key, key_len, o, e);
          },
          [=](pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
            return pgcache_submit_remove(self, id, key, key_len, o, e);
          }};
}

Pair with_value(const void *value, size_t value_len, int32_t format, int64_t ttl) {
  return {"a value",
          [=](pgcache *self, const pgcache_options *o, pgcache_error *e) {
            return pgcache_add(self, nullptr, "k", 1, value, value_len, format, ttl, o, e);
          },
          [=](pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
            return pgcache_submit_add(self, id, "k", 1, value, value_len, format, ttl, o, e);
          }};
}

Pair increment(int64_t delta, int64_t initial) {
  return {"increment",
          [=](pgcache *self, const pgcache_options *o, pgcache_error *e) {
            return pgcache_increment(self, nullptr, nullptr, "n", 1, delta, initial, usual_ttl, o, e);
          },
          [=](pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
            return pgcache_submit_increment(self, id, "n", 1, delta, initial, usual_ttl, o, e);
          }};
}

Pair put_many(pgcache_item *items, size_t count) {
  return {"put_many",
          [=](pgcache *self, const pgcache_options *o, pgcache_error *e) {
            return pgcache_put_many(self, items, count, o, e);
          },
          [=](pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
            return pgcache_submit_put_many(self, id, items, count, o, e);
          }};
}

Pair cleanup_some(const pgcache_cleanup_progress *progress, int64_t budget_ms) {
  return {"cleanup_some",
          [=](pgcache *self, const pgcache_options *o, pgcache_error *e) {
            return pgcache_cleanup_some(self, const_cast<pgcache_cleanup_progress *>(progress), budget_ms, o, e);
          },
          [=](pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
            return pgcache_submit_cleanup_some(self, id, progress, budget_ms, o, e);
          }};
}

Pair set_limits(int scope, int64_t max_entries, int64_t max_bytes) {
  return {"set_limits",
          [=](pgcache *self, const pgcache_options *o, pgcache_error *e) {
            return pgcache_set_limits(self, static_cast<pgcache_limit_scope>(scope), max_entries, max_bytes, o, e);
          },
          [=](pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
            return pgcache_submit_set_limits(self, id, static_cast<pgcache_limit_scope>(scope), max_entries, max_bytes,
                                             o, e);
          }};
}

Pair flush(int scope) {
  return {"flush",
          [=](pgcache *self, const pgcache_options *o, pgcache_error *e) {
            return pgcache_flush(self, nullptr, static_cast<pgcache_flush_scope>(scope), o, e);
          },
          [=](pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
            return pgcache_submit_flush(self, id, static_cast<pgcache_flush_scope>(scope), o, e);
          }};
}

Pair keys(const void *prefix, size_t prefix_len, const void *after, size_t after_len) {
  return {"keys",
          [=](pgcache *self, const pgcache_options *o, pgcache_error *e) {
            return pgcache_keys(self, room, 1, &room_count, prefix, prefix_len, after, after_len, o, e);
          },
          [=](pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
            return pgcache_submit_keys(self, id, 1, prefix, prefix_len, after, after_len, o, e);
          }};
}

Pair swap(int64_t expected) {
  return {"compare_and_swap",
          [=](pgcache *self, const pgcache_options *o, pgcache_error *e) {
            return pgcache_compare_and_swap(self, nullptr, "k", 1, "v", 1, 0, usual_ttl, expected, o, e);
          },
          [=](pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
            return pgcache_submit_compare_and_swap(self, id, "k", 1, "v", 1, 0, usual_ttl, expected, o, e);
          }};
}

/* Both refuse, with the same status and words, and there is no request. */
void check_same(pgcache *self, const Pair &pair, pgcache_status expected, const pgcache_options *options = nullptr) {
  INFO(pair.what);
  Error called, submitted;
  uint64_t id = 77;
  CHECK(pair.call(self, options, &called) == expected);
  CHECK(pair.submit(self, &id, options, &submitted) == expected);
  CHECK(id == 0);
  CHECK(submitted.status == expected);
  CHECK(submitted.text() == called.text());
  CHECK(submitted.text().size() > 10);
}

/* Every submit function with arguments that are all right. */
std::vector<pgcache_status> submit_each(pgcache *self, uint64_t *id, const pgcache_options *o, pgcache_error *e) {
  pgcache_item item = PGCACHE_ITEM_INIT;
  item.key = "k";
  item.key_len = 1;
  const pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  return {pgcache_submit_get(self, id, "k", 1, o, e),
          pgcache_submit_exists(self, id, "k", 1, o, e),
          pgcache_submit_put(self, id, "k", 1, "v", 1, 0, usual_ttl, o, e),
          pgcache_submit_add(self, id, "k", 1, "v", 1, 0, usual_ttl, o, e),
          pgcache_submit_replace(self, id, "k", 1, "v", 1, 0, usual_ttl, o, e),
          pgcache_submit_compare_and_swap(self, id, "k", 1, "v", 1, 0, usual_ttl, 1, o, e),
          pgcache_submit_remove(self, id, "k", 1, o, e),
          pgcache_submit_touch(self, id, "k", 1, 1000, o, e),
          pgcache_submit_increment(self, id, "n", 1, 1, 0, usual_ttl, o, e),
          pgcache_submit_get_many(self, id, &item, 1, o, e),
          pgcache_submit_put_many(self, id, &item, 1, o, e),
          pgcache_submit_remove_many(self, id, &item, 1, o, e),
          pgcache_submit_init(self, id, o, e),
          pgcache_submit_upgrade(self, id, o, e),
          pgcache_submit_flush(self, id, PGCACHE_FLUSH_NAMESPACE, o, e),
          pgcache_submit_cleanup(self, id, o, e),
          pgcache_submit_cleanup_some(self, id, &progress, 10, o, e),
          pgcache_submit_set_limits(self, id, PGCACHE_LIMIT_NAMESPACE, 5, PGCACHE_LIMIT_KEEP, o, e),
          pgcache_submit_read_usage(self, id, 10, nullptr, o, e),
          pgcache_submit_stats(self, id, o, e),
          pgcache_submit_doctor(self, id, o, e),
          pgcache_submit_keys(self, id, 10, nullptr, 0, nullptr, 0, o, e)};
}

const size_t submit_functions = 22;

/* All of them give this status. */
void check_each(pgcache *self, pgcache_status expected, const pgcache_options *options = nullptr) {
  Error error;
  uint64_t id = 77;
  const auto statuses = submit_each(self, &id, options, &error);
  CHECK(statuses == std::vector<pgcache_status>(submit_functions, expected));
  if (expected < 0) {
    CHECK(id == 0);
    CHECK(error.status == expected);
    CHECK(error.text().size() > 10);
  }
}

/* The next completion; an empty one when there is none. */
Completion take(const Cache &cache) {
  return Requests(cache).take();
}

/* The completion of one request; an empty one when it does not come in time. */
Completion await(const Cache &cache, uint64_t id) {
  return Requests(cache).wait(id, 20000);
}

Cache null_cache(const Settings &settings = {}) {
  Config config;
  config.set("url", "null:");
  for (const auto &setting : settings)
    config.set(setting.first, setting.second);
  return Cache(config);
}

bool is_readable(int fd, int timeout_ms) {
  pollfd polled = {fd, POLLIN, 0};
  return poll(&polled, 1, timeout_ms) == 1;
}

void count_call(void *userdata, const pgcache_completion *) {
  ++*static_cast<int *>(userdata);
}

} // namespace

TEST_CASE("What a call refuses its request refuses, too, with the same words", "[requests][arguments]") {
  Cache cache = null_cache({{"max_value_bytes", "10"}});
  pgcache *self = cache.raw();
  check_same(self, with_key(nullptr, 1), PGCACHE_INVALID);
  check_same(self, with_key("k", 0), PGCACHE_INVALID);
  check_same(self, with_key("k", PGCACHE_KEY_MAX + 1), PGCACHE_TOO_LARGE);
  check_same(self, with_value(nullptr, 1, 0, usual_ttl), PGCACHE_INVALID);
  check_same(self, with_value("12345678901", 11, 0, usual_ttl), PGCACHE_TOO_LARGE);
  check_same(self, with_value("v", 1, -1, usual_ttl), PGCACHE_INVALID);
  check_same(self, with_value("v", 1, 0, 0), PGCACHE_INVALID);
  check_same(self, increment(INT64_MAX, 1), PGCACHE_OVERFLOW);
  check_same(self, increment(INT64_MIN, -1), PGCACHE_OVERFLOW);
  check_same(self, swap(0), PGCACHE_INVALID);
  check_same(self, swap(-1), PGCACHE_INVALID);
  check_same(self, flush(2), PGCACHE_INVALID);
  check_same(self, set_limits(2, 1, 1), PGCACHE_INVALID);
  check_same(self, set_limits(0, -2, 1), PGCACHE_INVALID);
  check_same(self, set_limits(0, 1, -2), PGCACHE_INVALID);
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  check_same(self, cleanup_some(nullptr, 1), PGCACHE_INVALID);
  check_same(self, cleanup_some(&progress, -1), PGCACHE_INVALID);
  check_same(self, cleanup_some(&progress, PGCACHE_JANITOR_INTERVAL_MAX + 1), PGCACHE_INVALID);
  progress.struct_size = 8;
  check_same(self, cleanup_some(&progress, 1), PGCACHE_INVALID);
  check_same(self, keys(nullptr, 1, nullptr, 0), PGCACHE_INVALID);
  check_same(self, keys(nullptr, 0, nullptr, 1), PGCACHE_INVALID);
  check_same(self, keys("p", PGCACHE_KEY_MAX + 1, nullptr, 0), PGCACHE_TOO_LARGE);
  check_same(self, keys(nullptr, 0, "a", PGCACHE_KEY_MAX + 1), PGCACHE_TOO_LARGE);

  Items items;
  items.add("a", "1");
  items.add("b", "2");
  check_same(self, put_many(nullptr, 2), PGCACHE_INVALID);
  items[1].key_len = 0;
  check_same(self, put_many(items.data(), 2), PGCACHE_INVALID);
  items[1].key_len = 1;
  items[1].value_len = 11;
  check_same(self, put_many(items.data(), 2), PGCACHE_TOO_LARGE);
  items[1].value_len = 1;
  items[1].ttl_ms = 0;
  check_same(self, put_many(items.data(), 2), PGCACHE_INVALID);
  items[1].ttl_ms = usual_ttl;
  items[1].struct_size += 8;
  check_same(self, put_many(items.data(), 2), PGCACHE_INVALID);
  items[0].struct_size = 8;
  check_same(self, put_many(items.data(), 2), PGCACHE_INVALID);
  items[0].struct_size = sizeof(pgcache_item);
  check_same(self, put_many(items.data(), SIZE_MAX / 4), PGCACHE_INVALID);

  for (const size_t limit : {size_t{0}, size_t{PGCACHE_BATCH_MAX + 1}}) { /* where the call has an array's length */
    Error error;
    uint64_t id = 77;
    CHECK(pgcache_submit_keys(self, &id, limit, nullptr, 0, nullptr, 0, nullptr, &error) == PGCACHE_INVALID);
    CHECK(error.text().find("limit must be 1 to 1000") != string::npos);
    CHECK(pgcache_submit_read_usage(self, &id, limit, nullptr, nullptr, &error) == PGCACHE_INVALID);
    CHECK(pgcache_submit_read_usage(self, &id, 1, "not a name", nullptr, &error) == PGCACHE_INVALID);
    CHECK(id == 0);
  }
  CHECK_FALSE(take(cache));
}

TEST_CASE("What the settings rule out is refused at the submission", "[requests][arguments]") {
  setenv("PGCACHE_TEST_REQUESTS_KEYS",
         "key1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\ndigest AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n", 1);
  Cache secret = null_cache({{"encryption", "on"}, {"digests", "keyed"}, {"keys", "env:PGCACHE_TEST_REQUESTS_KEYS"}});
  check_same(secret.raw(), increment(1, 1), PGCACHE_UNSUPPORTED);
  check_same(secret.raw(), keys(nullptr, 0, nullptr, 0), PGCACHE_UNSUPPORTED);
  unsetenv("PGCACHE_TEST_REQUESTS_KEYS");
}

TEST_CASE("Every submit function checks the handle, the options and the error", "[requests][arguments]") {
  Cache cache = null_cache();
  check_each(nullptr, PGCACHE_INVALID);
  const auto refused = [&](const std::function<void(Options &)> &spoil) {
    Options options;
    spoil(options);
    check_each(cache.raw(), PGCACHE_INVALID, &options);
  };
  refused([](Options &o) { o.flags = 1; });
  refused([](Options &o) { o.struct_size = 8; });
  refused([](Options &o) { o.deadline_ms = -2; });
  refused([](Options &o) { o.namespace_name = "a b"; });
  pgcache_callback callback = PGCACHE_CALLBACK_INIT;
  refused([&](Options &o) { o.callback = &callback; });
  callback.call = count_call;
  callback.struct_size = sizeof callback - 1;
  refused([&](Options &o) { o.callback = &callback; });

  pgcache_error tiny = PGCACHE_ERROR_INIT;
  tiny.struct_size = 3;
  uint64_t id = 77;
  CHECK(submit_each(cache.raw(), &id, nullptr, &tiny) ==
        std::vector<pgcache_status>(submit_functions, PGCACHE_INVALID));
  CHECK(id == 0);
  CHECK_FALSE(take(cache));

  /* To a call that waits token and callback are nothing. */
  Options options;
  callback.struct_size = 0;
  options.callback = &callback;
  options.token = 5;
  CHECK(cache.put("k", "v", options) == PGCACHE_OK);
}

TEST_CASE("The functions on completions check their arguments", "[requests][arguments]") {
  Cache cache = null_cache();
  pgcache *self = cache.raw();
  Error error;
  pgcache_error tiny = PGCACHE_ERROR_INIT;
  tiny.struct_size = 3;
  auto *completion = reinterpret_cast<pgcache_completion *>(1);
  int fd = 77;
  size_t count = 77;

  CHECK(pgcache_event_fd(nullptr, &fd, &error) == PGCACHE_INVALID);
  CHECK(fd == -1);
  CHECK(pgcache_event_fd(self, nullptr, &error) == PGCACHE_INVALID);
  CHECK(pgcache_event_fd(self, &fd, &tiny) == PGCACHE_INVALID);
  CHECK(pgcache_take(nullptr, &completion, &error) == PGCACHE_INVALID);
  CHECK(completion == nullptr);
  CHECK(pgcache_take(self, nullptr, &error) == PGCACHE_INVALID);
  CHECK(pgcache_take(self, &completion, &tiny) == PGCACHE_INVALID);
  completion = reinterpret_cast<pgcache_completion *>(1);
  CHECK(pgcache_wait(nullptr, &completion, 1, 0, &error) == PGCACHE_INVALID);
  CHECK(completion == nullptr);
  CHECK(pgcache_wait(self, nullptr, 1, 0, &error) == PGCACHE_INVALID);
  CHECK(pgcache_wait(self, &completion, 1, -2, &error) == PGCACHE_INVALID);
  CHECK(error.text().find("timeout_ms") != string::npos);
  CHECK(pgcache_wait(self, &completion, 1, 0, &tiny) == PGCACHE_INVALID);
  CHECK(pgcache_dispatch(nullptr, &count, 0, &error) == PGCACHE_INVALID);
  CHECK(count == 0);
  CHECK(pgcache_dispatch(self, &count, -1, &error) == PGCACHE_INVALID);
  CHECK(pgcache_dispatch(self, &count, 0, &tiny) == PGCACHE_INVALID);
  CHECK(pgcache_cancel(nullptr, 1, &error) == PGCACHE_INVALID);
  CHECK(pgcache_cancel(self, 1, &tiny) == PGCACHE_INVALID);

  CHECK(pgcache_completion_id(nullptr) == 0);
  CHECK(pgcache_completion_token(nullptr) == 0);
  CHECK(pgcache_completion_status(nullptr) == PGCACHE_INVALID);
  CHECK(string(pgcache_completion_sqlstate(nullptr)).empty());
  CHECK(string(pgcache_completion_message(nullptr)).empty());
  CHECK(pgcache_completion_version(nullptr) == 0);
  CHECK(pgcache_completion_number(nullptr) == 0);
  CHECK(pgcache_completion_count(nullptr) == 0);
  CHECK(pgcache_completion_value(nullptr, 0) == nullptr);
  CHECK(pgcache_completion_item(nullptr, 0) == nullptr);
  CHECK(pgcache_completion_stats(nullptr) == nullptr);
  CHECK(pgcache_completion_usage(nullptr, 0) == nullptr);
  CHECK(pgcache_completion_progress(nullptr) == nullptr);
  pgcache_completion_free(nullptr);

  /* A handle that never had a request has nothing to give, and says so at once. */
  CHECK(pgcache_take(self, &completion, &error) == PGCACHE_MISS);
  CHECK(pgcache_wait(self, &completion, 1, 10000, &error) == PGCACHE_MISS);
  CHECK(pgcache_cancel(self, 1, &error) == PGCACHE_MISS);
  CHECK(pgcache_dispatch(self, nullptr, 0, &error) == PGCACHE_OK);
  const int64_t began = now_ms();
  CHECK(pgcache_dispatch(self, &count, 50, &error) == PGCACHE_OK); /* another thread might submit one */
  CHECK(now_ms() - began >= 50);
  CHECK(count == 0);
}

TEST_CASE("A handle on the application's connections has no requests, and says what to do", "[requests][borrowed]") {
  Store store;
  Pg pg(url());
  pgcache *made = nullptr;
  REQUIRE(pgcache_new_on_connection(&made, store.config().get(), pg.raw(), nullptr) == PGCACHE_OK);
  Cache cache(made);
  check_each(cache.raw(), PGCACHE_UNSUPPORTED);
  Error error;
  int fd = 77;
  CHECK(pgcache_event_fd(cache.raw(), &fd, &error) == PGCACHE_UNSUPPORTED);
  CHECK(error.text().find("pgcache_new()") != string::npos);
  CHECK(fd == -1);
  CHECK_FALSE(take(cache));
  size_t count = 77;
  CHECK(pgcache_dispatch(cache.raw(), &count, 10000, &error) == PGCACHE_OK);
  CHECK(count == 0);
  CHECK(pgcache_wait(cache.raw(), reinterpret_cast<pgcache_completion **>(&made), 1, 10000, &error) == PGCACHE_MISS);

  /* Switched off it asks for no connection. */
  REQUIRE(pgcache_new_on_connection(&made, store.config({{"url", "null:"}}).get(), pg.raw(), nullptr) == PGCACHE_OK);
  Cache off(made);
  uint64_t id = 0;
  CHECK(pgcache_submit_get(off.raw(), &id, "k", 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(await(off, id) == PGCACHE_MISS);
}

TEST_CASE("Requests give what the calls give", "[requests]") {
  Store store;
  Cache &cache = store.cache;
  pgcache *self = cache.raw();
  uint64_t id = 0;
  Error error;
  const auto done = [&](pgcache_status submitted) {
    INFO(error.text());
    REQUIRE(submitted == PGCACHE_OK);
    REQUIRE(id > 0);
    Completion completion = await(cache, id);
    REQUIRE(completion);
    CHECK(completion.id() == id);
    INFO(completion.message());
    return completion;
  };
  Options options;
  options.token = UINT64_MAX;

  const Completion put = done(pgcache_submit_put(self, &id, "k", 1, "v", 1, 7, 60000, &options, &error));
  CHECK(put.status() == PGCACHE_OK);
  CHECK(pgcache_completion_token(put.get()) == UINT64_MAX);
  CHECK(put.version() == cache.get("k").version);
  CHECK(put.count() == 0);
  CHECK(put.bytes().empty());

  const Completion got = done(pgcache_submit_get(self, &id, "k", 1, nullptr, &error));
  CHECK(got.status() == PGCACHE_OK);
  CHECK(got.bytes() == "v");
  CHECK(got.count() == 1);
  CHECK(pgcache_value_format(pgcache_completion_value(got.get(), 0)) == 7);
  CHECK(pgcache_value_version(pgcache_completion_value(got.get(), 0)) == put.version());
  CHECK(pgcache_completion_value(got.get(), 1) == nullptr);
  CHECK(pgcache_completion_item(got.get(), 0) == nullptr);
  CHECK(pgcache_completion_stats(got.get()) == nullptr);
  CHECK(pgcache_completion_usage(got.get(), 0) == nullptr);
  CHECK(pgcache_completion_progress(got.get()) == nullptr);

  const Completion missed = done(pgcache_submit_get(self, &id, "none", 4, nullptr, &error));
  CHECK(missed.status() == PGCACHE_MISS);
  CHECK(missed.count() == 0);
  CHECK(pgcache_completion_value(missed.get(), 0) == nullptr);
  CHECK(missed.message().empty());
  CHECK(done(pgcache_submit_exists(self, &id, "k", 1, nullptr, &error)).status() == PGCACHE_OK);
  CHECK(done(pgcache_submit_add(self, &id, "k", 1, "w", 1, 0, usual_ttl, nullptr, &error)).status() == PGCACHE_EXISTS);
  const Completion replaced = done(pgcache_submit_replace(self, &id, "k", 1, "r", 1, 0, usual_ttl, nullptr, &error));
  CHECK(replaced.version() > put.version());
  CHECK(done(pgcache_submit_compare_and_swap(self, &id, "k", 1, "s", 1, 0, usual_ttl, put.version(), nullptr, &error))
            .status() == PGCACHE_EXISTS);
  CHECK(done(pgcache_submit_compare_and_swap(self, &id, "k", 1, "s", 1, 0, usual_ttl, replaced.version(), nullptr,
                                             &error))
            .status() == PGCACHE_OK);
  CHECK(cache.get("k").bytes() == "s");
  const Completion touched = done(pgcache_submit_touch(self, &id, "k", 1, PGCACHE_TTL_NEVER, nullptr, &error));
  CHECK(touched.version() == cache.get("k").version);
  CHECK(cache.get("k").value.ttl_ms() == PGCACHE_TTL_NEVER);
  const Completion counted = done(pgcache_submit_increment(self, &id, "n", 1, 2, 40, usual_ttl, nullptr, &error));
  CHECK(counted.number() == 42);
  CHECK(counted.version() == cache.get("n").version);
  const Completion wrong = done(pgcache_submit_increment(self, &id, "k", 1, 2, 40, usual_ttl, nullptr, &error));
  CHECK(wrong.status() == PGCACHE_NOT_A_COUNTER);
  CHECK(wrong.message() == cache.increment("k", 2, 40).error.text());
  CHECK(wrong.number() == 0);
  CHECK(done(pgcache_submit_remove(self, &id, "k", 1, nullptr, &error)).status() == PGCACHE_OK);
  CHECK(cache.get("k") == PGCACHE_MISS);

  /* On the cache as a whole. */
  CHECK(done(pgcache_submit_init(self, &id, nullptr, &error)).status() == PGCACHE_EXISTS);
  CHECK(done(pgcache_submit_upgrade(self, &id, nullptr, &error)).status() == PGCACHE_EXISTS);
  REQUIRE(cache.put("a1", "v") == PGCACHE_OK);
  REQUIRE(cache.put("a2", "v") == PGCACHE_OK);
  REQUIRE(cache.put("b", "v", in_namespace("other")) == PGCACHE_OK);
  const Completion listed = done(pgcache_submit_keys(self, &id, 10, "a", 1, "a1", 2, nullptr, &error));
  CHECK(listed.status() == PGCACHE_OK);
  REQUIRE(listed.count() == 1);
  CHECK(listed.bytes() == "a2");
  const Completion usage = done(pgcache_submit_read_usage(self, &id, 10, nullptr, nullptr, &error));
  REQUIRE(usage.count() == 3); /* all, default, other */
  CHECK(string(pgcache_completion_usage(usage.get(), 2)->namespace_name) == "other");
  CHECK(pgcache_completion_usage(usage.get(), 0)->entries == 4);
  CHECK(pgcache_completion_usage(usage.get(), 3) == nullptr);
  const Completion rest = done(pgcache_submit_read_usage(self, &id, 10, "default", nullptr, &error));
  REQUIRE(rest.count() == 1);
  CHECK(string(pgcache_completion_usage(rest.get(), 0)->namespace_name) == "other");
  const Completion stats = done(pgcache_submit_stats(self, &id, nullptr, &error));
  REQUIRE(pgcache_completion_stats(stats.get()) != nullptr);
  CHECK(pgcache_completion_stats(stats.get())->entries == 4);
  CHECK(pgcache_completion_stats(stats.get())->struct_size == sizeof(pgcache_store_stats));
  const Completion report = done(pgcache_submit_doctor(self, &id, nullptr, &error));
  CHECK(report.bytes().find("\"findings\"") != string::npos);
  CHECK(done(pgcache_submit_set_limits(self, &id, PGCACHE_LIMIT_NAMESPACE, 100, PGCACHE_LIMIT_KEEP, nullptr, &error))
            .status() == PGCACHE_OK);
  CHECK(cache.usage()[1].max_entries == 100);
  REQUIRE(cache.put("brief", "v", 1) == PGCACHE_OK);
  sleep_ms(5);
  CHECK(done(pgcache_submit_cleanup(self, &id, nullptr, &error)).number() == 1);
  REQUIRE(cache.put("brief", "v", 1) == PGCACHE_OK);
  sleep_ms(5);
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  progress.restart = 1;
  progress.removed = 10;
  const Completion some = done(pgcache_submit_cleanup_some(self, &id, &progress, 10000, nullptr, &error));
  REQUIRE(pgcache_completion_progress(some.get()) != nullptr);
  CHECK(pgcache_completion_progress(some.get())->removed == 11);
  CHECK(pgcache_completion_progress(some.get())->finished == 1);
  CHECK(progress.restart == 1); /* the caller's own is left alone */
  Options other = in_namespace("other");
  CHECK(done(pgcache_submit_flush(self, &id, PGCACHE_FLUSH_NAMESPACE, &other, &error)).number() == 1);
  CHECK(done(pgcache_submit_flush(self, &id, PGCACHE_FLUSH_ALL, nullptr, &error)).number() == 3);
  CHECK(cache.stats().entries == 0);
}

TEST_CASE("Items are answered in their order, duplicates alike, and each is copied", "[requests][rule:batch]") {
  Store store;
  pgcache *self = store.cache.raw();
  struct Larger {
    pgcache_item item = PGCACHE_ITEM_INIT;
    uint64_t new_field = 0x2323232323232323;
  };
  std::vector<Larger> items(5);
  std::vector<string> keys = {"b", "a", "b", "c", "a"}, values = {"b1", "a1", "b2", "c1", "a2"};
  for (size_t i = 0; i < items.size(); i++) {
    items[i].item.struct_size = sizeof(Larger);
    items[i].item.key = keys[i].data();
    items[i].item.key_len = 1;
    items[i].item.value = values[i].data();
    items[i].item.value_len = 2;
    items[i].item.status = PGCACHE_FULL;
  }
  uint64_t id = 0;
  Options options = in_namespace("elsewhere");
  REQUIRE(pgcache_submit_put_many(self, &id, &items[0].item, items.size(), &options, nullptr) == PGCACHE_OK);
  for (size_t i = 0; i < items.size(); i++) {
    CHECK(items[i].item.status == PGCACHE_FULL);
    keys[i] = values[i] = "##"; /* gone */
  }
  const Completion put = await(store.cache, id);
  REQUIRE(put);
  CHECK(put.status() == PGCACHE_OK);
  REQUIRE(put.count() == 5);
  const char *expected_keys[] = {"b", "a", "b", "c", "a"}, *expected[] = {"b2", "a2", "b2", "c1", "a2"};
  for (size_t i = 0; i < 5; i++) {
    const pgcache_item *item = pgcache_completion_item(put.get(), i);
    CHECK(item->struct_size == sizeof(pgcache_item));
    CHECK(string(static_cast<const char *>(item->key), item->key_len) == expected_keys[i]);
    CHECK(item->value == nullptr);
    CHECK(item->status == PGCACHE_OK);
    CHECK(item->version == store.cache.get(expected_keys[i], options).version);
    CHECK(store.cache.get(expected_keys[i], options).bytes() == expected[i]);
  }
  CHECK(pgcache_completion_item(put.get(), 5) == nullptr);

  Items read;
  for (const char *key : {"a", "none", "c", "a"})
    read.add(key);
  REQUIRE(pgcache_submit_get_many(self, &id, read.data(), read.size(), &options, nullptr) == PGCACHE_OK);
  const Completion got = await(store.cache, id);
  REQUIRE(got.count() == 4);
  CHECK(got.bytes(0) == "a2");
  CHECK(pgcache_completion_value(got.get(), 1) == nullptr);
  CHECK(pgcache_completion_item(got.get(), 1)->status == PGCACHE_MISS);
  CHECK(got.bytes(2) == "c1");
  CHECK(got.bytes(3) == "a2");
  CHECK(read[0].result == nullptr);

  REQUIRE(pgcache_submit_remove_many(self, &id, read.data(), read.size(), &options, nullptr) == PGCACHE_OK);
  const Completion removed = await(store.cache, id);
  CHECK(pgcache_completion_item(removed.get(), 0)->status == PGCACHE_OK);
  CHECK(pgcache_completion_item(removed.get(), 1)->status == PGCACHE_MISS);
  CHECK(pgcache_completion_item(removed.get(), 0)->version == 0);

  REQUIRE(pgcache_submit_get_many(self, &id, nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
  const Completion nothing = await(store.cache, id);
  REQUIRE(nothing);
  CHECK(nothing.status() == PGCACHE_OK);
  CHECK(nothing.count() == 0);
}

TEST_CASE("A full queue refuses requests until completions are taken", "[requests][bounds]") {
  Cache few = null_cache({{"async_requests_max", "3"}});
  Error error;
  uint64_t id = 0, last = 0;
  for (int i = 0; i < 3; i++)
    REQUIRE(pgcache_submit_get(few.raw(), &last, "k", 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(pgcache_submit_get(few.raw(), &id, "k", 1, nullptr, &error) == PGCACHE_QUEUE_FULL);
  CHECK(id == 0);
  CHECK(error.text().find("async_requests_max") != string::npos);
  CHECK(pgcache_submit_stats(few.raw(), &id, nullptr, &error) == PGCACHE_QUEUE_FULL);
  CHECK(await(few, last));
  CHECK(pgcache_submit_get(few.raw(), &last, "k", 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(pgcache_submit_get(few.raw(), &id, "k", 1, nullptr, nullptr) == PGCACHE_QUEUE_FULL);

  Cache small = null_cache({{"async_bytes_max", "100"}});
  const string large(200, 'v');
  const auto put = [&](size_t size) {
    return pgcache_submit_put(small.raw(), &id, "key", 3, large.data(), size, 0, usual_ttl, nullptr, &error);
  };
  CHECK(put(47) == PGCACHE_OK);
  const uint64_t first = id;
  CHECK(put(48) == PGCACHE_QUEUE_FULL);
  CHECK(error.text().find("async_bytes_max") != string::npos);
  CHECK(put(47) == PGCACHE_OK);
  const uint64_t second = id;
  CHECK(put(0) == PGCACHE_QUEUE_FULL);
  CHECK(await(small, first));
  CHECK(await(small, second));
  CHECK(put(200) == PGCACHE_OK); /* larger than the bound, but alone */
  const uint64_t alone = id;
  CHECK(put(1) == PGCACHE_QUEUE_FULL);
  CHECK(put(200) == PGCACHE_QUEUE_FULL);
  CHECK(await(small, alone));
  CHECK(put(1) == PGCACHE_OK);
}

TEST_CASE("After a shutdown nothing can be submitted, and what is complete can be taken", "[requests][rule:shutdown]") {
  Store store;
  uint64_t id = 0;
  int fd = -1;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(pgcache_event_fd(store.cache.raw(), &fd, nullptr) == PGCACHE_OK);
  CHECK_FALSE(is_readable(fd, 0));
  REQUIRE(pgcache_submit_get(store.cache.raw(), &id, "k", 1, nullptr, nullptr) == PGCACHE_OK);
  REQUIRE(is_readable(fd, 20000));
  store.cache.shutdown();
  store.cache.shutdown();
  check_each(store.cache.raw(), PGCACHE_CLOSED);
  const Completion got = take(store.cache);
  CHECK(got.id() == id);
  CHECK(got.bytes() == "v");
  CHECK_FALSE(is_readable(fd, 0));

  Cache never = store.open(); /* had no requests before */
  never.shutdown();
  Error error;
  CHECK(pgcache_event_fd(never.raw(), &fd, &error) == PGCACHE_CLOSED);
  check_each(never.raw(), PGCACHE_CLOSED);
  const int64_t began = now_ms();
  CHECK(pgcache_dispatch(never.raw(), nullptr, 20000, &error) == PGCACHE_CLOSED);
  CHECK(now_ms() - began < 10000);
}

TEST_CASE("Many threads make the first request at once, and there is one engine", "[requests][threads]") {
  for (int round = 0; round < 20; round++) {
    Cache cache = null_cache();
    uint64_t ids[4] = {};
    int fds[4] = {};
    std::atomic<int> refused{0};
    in_threads(4, [&](int thread) {
      refused += pgcache_submit_get(cache.raw(), &ids[thread], "k", 1, nullptr, nullptr) != PGCACHE_OK;
      refused += pgcache_event_fd(cache.raw(), &fds[thread], nullptr) != PGCACHE_OK;
    });
    CHECK(refused == 0);
    for (int thread = 0; thread < 4; thread++) {
      CHECK(fds[thread] == fds[0]);
      CHECK(await(cache, ids[thread]).status() == PGCACHE_MISS);
    }
  }
}

TEST_CASE("One of so many written requests has a slice of cleanup done", "[requests][chance]") {
  Store store;
  Cache always = store.open({{"cleanup_chance", "1"}});
  REQUIRE(store.cache.put("expired", "v", 1) == PGCACHE_OK);
  sleep_ms(5);
  uint64_t id = 0;
  REQUIRE(pgcache_submit_get(always.raw(), &id, "k", 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(await(always, id).status() == PGCACHE_MISS);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "1"); /* reads do not */
  CHECK(eventually([&] {                                                     /* a slice that is late is given up */
                         REQUIRE(pgcache_submit_remove(always.raw(), &id, "k", 1, nullptr, nullptr) == PGCACHE_OK);
                         CHECK(await(always, id).status() == PGCACHE_MISS);
                         return store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0";
  }));
  CHECK_FALSE(take(always)); /* nobody is told of the slice */
}

TEST_CASE("A child has requests of its own, and none of its parent's", "[requests][rule:fork]") {
  if (!can_fork_among_threads) {
    WARN("skipped: the sanitizer's own locks are not free in a child forked beside the engine's thread");
    return;
  }
  Store store;
  int fd = -1;
  uint64_t id = 0;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(pgcache_event_fd(store.cache.raw(), &fd, nullptr) == PGCACHE_OK);
  REQUIRE(pgcache_submit_get(store.cache.raw(), &id, "k", 1, nullptr, nullptr) == PGCACHE_OK);
  REQUIRE(is_readable(fd, 20000));
  const pid_t child = fork();
  if (child == 0) { /* which cannot use the test framework */
    alarm(30);
    uint64_t own = 0;
    int own_fd = -1;
    if (take(store.cache) || await(store.cache, id))
      _exit(1);
    if (pgcache_submit_put(store.cache.raw(), &own, "k", 1, "child", 5, 0, usual_ttl, nullptr, nullptr) != PGCACHE_OK)
      _exit(2);
    if (await(store.cache, own).status() != PGCACHE_OK)
      _exit(3);
    if (pgcache_event_fd(store.cache.raw(), &own_fd, nullptr) != PGCACHE_OK || is_readable(own_fd, 0))
      _exit(4);
    if (pgcache_submit_get(store.cache.raw(), &own, "k", 1, nullptr, nullptr) != PGCACHE_OK ||
        !is_readable(own_fd, 20000) || take(store.cache).bytes() != "child")
      _exit(5);
    store.cache.free();
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(is_readable(fd, 0));
  CHECK(take(store.cache).bytes() == "v");
  CHECK_FALSE(is_readable(fd, 0));
}

/* Settles a handle's life with requests of every shape; NO_MEMORY, or what became of the last one. */
static pgcache_status live(int kind) {
  Error error;
  pgcache_config *config = nullptr;
  pgcache *self = nullptr;
  pgcache_status status = pgcache_config_new(&config, &error);
  if (status == PGCACHE_OK)
    status = pgcache_config_set(config, "url", "null:", &error);
  if (status == PGCACHE_OK)
    status = pgcache_new(&self, config, &error);
  pgcache_config_free(config);
  if (status != PGCACHE_OK)
    return status;
  const Cache cache(self);
  Items items;
  items.add("a", "1");
  items.add("a", "2");
  const pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  uint64_t id = 0;
  if (kind == 0)
    status = pgcache_submit_put(self, &id, "k", 1, "v", 1, 0, usual_ttl, nullptr, &error);
  else if (kind == 1)
    status = pgcache_submit_put_many(self, &id, items.data(), items.size(), nullptr, &error);
  else if (kind == 2)
    status = pgcache_submit_keys(self, &id, 5, "p", 1, "q", 1, nullptr, &error);
  else if (kind == 3)
    status = pgcache_submit_doctor(self, &id, nullptr, &error);
  else if (kind == 4)
    status = pgcache_submit_cleanup_some(self, &id, &progress, 10, nullptr, &error);
  else if (kind == 5)
    status = pgcache_submit_set_limits(self, &id, PGCACHE_LIMIT_ALL, 10, 10, nullptr, &error);
  else if (kind == 6)
    status = pgcache_submit_read_usage(self, &id, 3, "after", nullptr, &error);
  else if (kind == 7)
    status = pgcache_submit_stats(self, &id, nullptr, &error);
  else
    status = pgcache_submit_flush(self, &id, PGCACHE_FLUSH_NAMESPACE, nullptr, &error);
  return status == PGCACHE_OK ? await(cache, id).status() : status;
}

TEST_CASE("Each allocation of a request may fail: it is refused or fails, and nothing leaks", "[requests][memory]") {
  for (int kind = 0; kind < 9; kind++) {
    INFO("kind " << kind);
    CHECK(fail_each_allocation([&] { return live(kind); }) > 5);
  }
}
