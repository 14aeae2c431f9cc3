/*
 * same.cpp - each operation as a request gives what it gives as a call, also for what is refused; and nothing of the
 * caller's memory is read after the submission.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/keys.hpp"
#include "support/requests.hpp"

#include <cstring>
#include <functional>

using namespace test;
using std::string;

namespace {

/* What one operation gave, whichever way it was asked for. */
struct Outcome {
  pgcache_status status = PGCACHE_INVALID;
  string bytes, message, sqlstate;
  int32_t format = -1;
  bool has_version = false;
  int64_t number = 0;
};

Outcome outcome(const Answer &answer) {
  Outcome o;
  o.status = answer.status;
  o.bytes = answer.bytes();
  o.message = answer.error.message;
  o.sqlstate = answer.error.sqlstate;
  o.format = answer.value ? answer.value.format() : -1;
  o.has_version = answer.version > 0;
  o.number = answer.number > 0 ? answer.number : 0;
  return o;
}

/* Waits for it. What was refused has no completion, and the message of the refusal. */
Outcome outcome(const Requests &requests, const Submitted &submitted) {
  Outcome o;
  o.status = submitted.status;
  o.message = submitted.error.message;
  if (submitted != PGCACHE_OK) {
    CHECK(submitted.id == 0);
    return o;
  }
  CHECK(submitted.id > 0);
  const Completion completion = requests.wait(submitted.id);
  if (!completion)
    throw std::runtime_error("no completion");
  CHECK(completion.id() == submitted.id);
  o.status = completion.status();
  o.bytes = completion.bytes();
  o.message = completion.message();
  o.sqlstate = completion.sqlstate();
  o.format = completion.value() ? completion.value().format() : -1;
  o.has_version = completion.version() > 0 || completion.value().version() > 0;
  o.number = completion.number() > 0 ? completion.number() : 0;
  return o;
}

struct Operation {
  const char *name;
  std::function<Answer(Cache &, const Options &)> call;
  std::function<Submitted(const Requests &, const Options &)> submit;
};

int64_t version_of_k = 0;

string long_key() {
  return string(PGCACHE_KEY_MAX + 1, 'k');
}

const std::vector<Operation> &operations() {
  const int64_t ttl = PGCACHE_TTL_DEFAULT;
  const int32_t json = PGCACHE_FORMAT_JSON;
  static const std::vector<Operation> all = {
      {"get, a hit", [](Cache &c, const Options &o) { return c.get("k", o); },
       [](const Requests &r, const Options &o) { return r.get("k", o); }},
      {"get, a miss", [](Cache &c, const Options &o) { return c.get("none", o); },
       [](const Requests &r, const Options &o) { return r.get("none", o); }},
      {"get, an empty value", [](Cache &c, const Options &o) { return c.get("empty", o); },
       [](const Requests &r, const Options &o) { return r.get("empty", o); }},
      {"get, no key", [](Cache &c, const Options &o) { return c.get("", o); },
       [](const Requests &r, const Options &o) { return r.get("", o); }},
      {"get, a long key", [](Cache &c, const Options &o) { return c.get(long_key(), o); },
       [](const Requests &r, const Options &o) { return r.get(long_key(), o); }},
      {"exists", [](Cache &c, const Options &o) { return c.exists("k", o); },
       [](const Requests &r, const Options &o) { return r.exists("k", o); }},
      {"exists not", [](Cache &c, const Options &o) { return c.exists("none", o); },
       [](const Requests &r, const Options &o) { return r.exists("none", o); }},
      {"put", [=](Cache &c, const Options &o) { return c.put("k", "new", ttl, json, o); },
       [=](const Requests &r, const Options &o) { return r.put("k", "new", o, ttl, json); }},
      {"put, another", [=](Cache &c, const Options &o) { return c.put("fresh", string(5000, 'x'), 60000, 7, o); },
       [=](const Requests &r, const Options &o) { return r.put("fresh", string(5000, 'x'), o, 60000, 7); }},
      {"put, no value", [=](Cache &c, const Options &o) { return c.put("k", "", ttl, 0, o); },
       [=](const Requests &r, const Options &o) { return r.put("k", "", o, ttl, 0); }},
      {"put, for ever", [=](Cache &c, const Options &o) { return c.put("k", "v", PGCACHE_TTL_NEVER, 0, o); },
       [=](const Requests &r, const Options &o) { return r.put("k", "v", o, PGCACHE_TTL_NEVER, 0); }},
      {"put, bad TTL", [=](Cache &c, const Options &o) { return c.put("k", "v", 0, 0, o); },
       [=](const Requests &r, const Options &o) { return r.put("k", "v", o, 0, 0); }},
      {"put, bad format", [=](Cache &c, const Options &o) { return c.put("k", "v", ttl, -1, o); },
       [=](const Requests &r, const Options &o) { return r.put("k", "v", o, ttl, -1); }},
      {"put, too large", [=](Cache &c, const Options &o) { return c.put("k", string(20001, 'x'), ttl, 0, o); },
       [=](const Requests &r, const Options &o) { return r.put("k", string(20001, 'x'), o, ttl, 0); }},
      {"add", [=](Cache &c, const Options &o) { return c.add("fresh", "new", ttl, 0, o); },
       [=](const Requests &r, const Options &o) { return r.add("fresh", "new", o); }},
      {"add, there", [=](Cache &c, const Options &o) { return c.add("k", "new", ttl, 0, o); },
       [=](const Requests &r, const Options &o) { return r.add("k", "new", o); }},
      {"replace", [=](Cache &c, const Options &o) { return c.replace("k", "new", ttl, 0, o); },
       [=](const Requests &r, const Options &o) { return r.replace("k", "new", o); }},
      {"replace, not there", [=](Cache &c, const Options &o) { return c.replace("none", "new", ttl, 0, o); },
       [=](const Requests &r, const Options &o) { return r.replace("none", "new", o); }},
      {"compare_and_swap",
       [=](Cache &c, const Options &o) { return c.compare_and_swap("k", "new", version_of_k, ttl, o); },
       [=](const Requests &r, const Options &o) { return r.compare_and_swap("k", "new", version_of_k, o); }},
      {"compare_and_swap, another version",
       [=](Cache &c, const Options &o) { return c.compare_and_swap("k", "new", 1, ttl, o); },
       [=](const Requests &r, const Options &o) { return r.compare_and_swap("k", "new", 1, o); }},
      {"compare_and_swap, not there",
       [=](Cache &c, const Options &o) { return c.compare_and_swap("none", "new", 1, ttl, o); },
       [=](const Requests &r, const Options &o) { return r.compare_and_swap("none", "new", 1, o); }},
      {"compare_and_swap, no version",
       [=](Cache &c, const Options &o) { return c.compare_and_swap("k", "new", 0, ttl, o); },
       [=](const Requests &r, const Options &o) { return r.compare_and_swap("k", "new", 0, o); }},
      {"remove", [](Cache &c, const Options &o) { return c.remove("k", o); },
       [](const Requests &r, const Options &o) { return r.remove("k", o); }},
      {"remove, not there", [](Cache &c, const Options &o) { return c.remove("none", o); },
       [](const Requests &r, const Options &o) { return r.remove("none", o); }},
      {"touch", [](Cache &c, const Options &o) { return c.touch("k", 900000, o); },
       [](const Requests &r, const Options &o) { return r.touch("k", 900000, o); }},
      {"touch, not there", [](Cache &c, const Options &o) { return c.touch("none", 900000, o); },
       [](const Requests &r, const Options &o) { return r.touch("none", 900000, o); }},
      {"touch, bad TTL", [](Cache &c, const Options &o) { return c.touch("k", -5, o); },
       [](const Requests &r, const Options &o) { return r.touch("k", -5, o); }},
      {"increment", [=](Cache &c, const Options &o) { return c.increment("n", 5, 0, ttl, o); },
       [=](const Requests &r, const Options &o) { return r.increment("n", 5, 0, o); }},
      {"increment, new", [=](Cache &c, const Options &o) { return c.increment("fresh", 5, 100, ttl, o); },
       [=](const Requests &r, const Options &o) { return r.increment("fresh", 5, 100, o); }},
      {"increment, no counter", [=](Cache &c, const Options &o) { return c.increment("k", 5, 0, ttl, o); },
       [=](const Requests &r, const Options &o) { return r.increment("k", 5, 0, o); }},
      {"increment, overflow", [=](Cache &c, const Options &o) { return c.increment("n", INT64_MAX, 0, ttl, o); },
       [=](const Requests &r, const Options &o) { return r.increment("n", INT64_MAX, 0, o); }},
      {"increment, initial overflow",
       [=](Cache &c, const Options &o) { return c.increment("n", 1, INT64_MAX, ttl, o); },
       [=](const Requests &r, const Options &o) { return r.increment("n", 1, INT64_MAX, o); }},
      {"flush", [](Cache &c, const Options &o) { return c.flush(PGCACHE_FLUSH_NAMESPACE, o); },
       [](const Requests &r, const Options &o) { return r.flush(PGCACHE_FLUSH_NAMESPACE, o); }},
      {"flush, bad scope", [](Cache &c, const Options &o) { return c.flush(static_cast<pgcache_flush_scope>(7), o); },
       [](const Requests &r, const Options &o) { return r.flush(static_cast<pgcache_flush_scope>(7), o); }},
      {"init", [](Cache &c, const Options &o) { return c.init(o); },
       [](const Requests &r, const Options &o) { return r.whole(pgcache_submit_init, o); }},
      {"upgrade", [](Cache &c, const Options &o) { return c.upgrade(o); },
       [](const Requests &r, const Options &o) { return r.whole(pgcache_submit_upgrade, o); }},
  };
  return all;
}

void prepare(Cache &cache, const Options &space) {
  REQUIRE(cache.flush(PGCACHE_FLUSH_NAMESPACE, space).status >= 0);
  REQUIRE(cache.put("k", "old", PGCACHE_TTL_DEFAULT, 3, space) == PGCACHE_OK);
  REQUIRE(cache.put("empty", "", PGCACHE_TTL_DEFAULT, 0, space) == PGCACHE_OK);
  REQUIRE(cache.put("n", "37", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON, space) == PGCACHE_OK);
  version_of_k = cache.get("k", space).version;
}

/* What a namespace holds now: as stored, but for what differs by its nature. */
std::vector<Row> contents(Cache &cache, const Options &space) {
  std::vector<Row> rows;
  for (const char *key : {"k", "empty", "n", "fresh", "none"}) {
    const Answer found = cache.get(key, space);
    const int64_t ttl = found.value ? found.value.ttl_ms() : 0;
    rows.push_back({key, pgcache_status_name(found.status), found.bytes(),
                    std::to_string(found.value ? found.value.format() : -1),
                    std::to_string(ttl == PGCACHE_TTL_NEVER ? -1 : (ttl + 30000) / 60000)});
  }
  return rows;
}

void check_same(Cache &cache, bool stores) {
  const Requests requests(cache);
  const Options by_call = in_namespace("one"), by_request = in_namespace("two");
  for (const Operation &operation : operations()) {
    INFO(operation.name);
    if (stores)
      prepare(cache, by_call);
    const Outcome called = outcome(operation.call(cache, by_call));
    const auto left = contents(cache, by_call);
    if (stores)
      prepare(cache, by_request);
    const Outcome submitted = outcome(requests, operation.submit(requests, by_request));
    CHECK(submitted.status == called.status);
    CHECK(submitted.bytes == called.bytes);
    CHECK(submitted.message == called.message);
    CHECK(submitted.sqlstate == called.sqlstate);
    CHECK(submitted.format == called.format);
    CHECK(submitted.has_version == called.has_version);
    CHECK(submitted.number == called.number);
    CHECK(contents(cache, by_request) == left);
  }
}

} // namespace

TEST_CASE("Each operation as a request gives what the call gives", "[rule:submit][same]") {
  Store store(Settings{{"max_value_bytes", "20000"}});
  check_same(store.cache, true);
}

TEST_CASE("Requests without a store behave as the calls", "[rule:submit][same]") {
  Config config;
  Cache cache(config.set("url", "null:").set("max_value_bytes", "20000"));
  check_same(cache, false);
}

TEST_CASE("Requests on encrypted and compressed values, and keyed digests, give what the calls give",
          "[rule:submit][same]") {
  KeyFile file(key_line("one", 'B') + key_line("digest", 'D'));
  Store encrypted(
      {{"encryption", "required"}, {"keys", file.source()}, {"compression", "lz4"}, {"max_value_bytes", "20000"}});
  check_same(encrypted.cache, true);
  const Requests requests(encrypted.cache);
  REQUIRE(requests.wait(requests.put("secret", string(5000, 'x')).id) == PGCACHE_OK);
  CHECK(requests.wait(requests.get("secret").id).bytes() == string(5000, 'x'));
  const string row = " FROM {s}.entries WHERE key = 'secret'";
  CHECK(encrypted.pg.one(encrypted.sql("SELECT position('xxx'::bytea IN value) > 0 OR length(value) > 4000" + row)) ==
        "f");
  Store keyed({{"digests", "keyed"}, {"keys", file.source()}, {"max_value_bytes", "20000"}});
  check_same(keyed.cache, true);

  /* A namespace that this handle has not noted yet as having keyed digests: the first request of all. */
  const Cache fresh = keyed.open({{"digests", "keyed"}, {"keys", file.source()}, {"namespace", "fresh"}});
  const Requests first(fresh);
  const int64_t began = now_ms();
  CHECK(first.wait(first.put("k", "v").id) == PGCACHE_OK);
  CHECK(first.wait(first.get("k").id).bytes() == "v");
  CHECK(now_ms() - began < 15000);
}

TEST_CASE("Requests behind prepared=off give what the calls give", "[rule:submit][same]") {
  Store store(Settings{{"prepared", "off"}, {"max_value_bytes", "20000"}});
  check_same(store.cache, true);
}

TEST_CASE("Keys, values, namespaces and items are copied at the submission", "[rule:submit]") {
  Store store;
  const Requests requests(store.cache);
  std::vector<uint64_t> ids;
  const int count = 300;
  for (int i = 0; i < count; i++) {
    char key[16], value[16], space[16];
    const int key_len = snprintf(key, sizeof key, "key%d", i);
    const int value_len = snprintf(value, sizeof value, "value%d", i);
    snprintf(space, sizeof space, "ns%d", i % 3);
    Options options = in_namespace(space);
    uint64_t id = 0;
    REQUIRE(pgcache_submit_put(store.cache.raw(), &id, key, static_cast<size_t>(key_len), value,
                               static_cast<size_t>(value_len), 0, PGCACHE_TTL_DEFAULT, &options,
                               nullptr) == PGCACHE_OK);
    ids.push_back(id);
    memset(key, 'X', sizeof key);
    memset(value, 'X', sizeof value);
    memset(space, 'X', sizeof space);
    options = Options();
  }
  for (const uint64_t id : ids)
    CHECK(requests.wait(id) == PGCACHE_OK);
  {
    auto items = std::make_unique<Items>();
    auto keys = std::make_unique<std::vector<string>>();
    for (int i = 0; i < count; i++)
      keys->push_back("many" + std::to_string(i));
    for (auto &key : *keys)
      items->add(key, key);
    const Submitted submitted = requests.many(pgcache_submit_put_many, *items);
    REQUIRE(submitted == PGCACHE_OK);
    for (auto &key : *keys)
      key.assign(key.size(), 'X');
    memset(items->data(), 0, items->size() * sizeof(pgcache_item));
    items.reset();
    keys.reset();
    const Completion completion = requests.wait(submitted.id);
    CHECK(completion == PGCACHE_OK);
    REQUIRE(completion.count() == static_cast<size_t>(count));
    for (int i = 0; i < count; i++) {
      const pgcache_item *item = completion.item(static_cast<size_t>(i));
      CHECK(string(static_cast<const char *>(item->key), item->key_len) == "many" + std::to_string(i));
      CHECK(item->value == nullptr);
    }
  }
  for (int i = 0; i < count; i++) {
    const string space = "ns" + std::to_string(i % 3);
    CHECK(store.cache.get("key" + std::to_string(i), in_namespace(space.c_str())).bytes() ==
          "value" + std::to_string(i));
    CHECK(store.cache.get("many" + std::to_string(i)).bytes() == "many" + std::to_string(i));
  }
}

TEST_CASE("What a call refuses a request refuses, and then there is no completion", "[rule:submit][rule:refuse]") {
  Store store;
  const Requests requests(store.cache);
  Options options;
  const auto refused = [&](pgcache_status expected) {
    const Submitted submitted = requests.get("k", options);
    const Answer called = store.cache.get("k", options);
    CHECK(submitted == expected);
    CHECK(called == expected);
    CHECK(string(submitted.error.message) == called.error.message);
    CHECK(submitted.id == 0);
    options = Options();
  };
  options.flags = 1;
  refused(PGCACHE_INVALID);
  options.deadline_ms = -2;
  refused(PGCACHE_INVALID);
  options.namespace_name = "white space";
  refused(PGCACHE_INVALID);
  options.struct_size = 3;
  refused(PGCACHE_INVALID);
  const string span(PGCACHE_SPAN_NAME_MAX + 1, 's');
  options.span_name = span.c_str();
  refused(PGCACHE_INVALID);

  pgcache_callback callback = PGCACHE_CALLBACK_INIT;
  options.callback = &callback;
  CHECK(requests.get("k", options) == PGCACHE_INVALID); /* nothing to call */
  callback.struct_size = 0;
  callback.call = [](void *, const pgcache_completion *) {};
  CHECK(requests.get("k", options) == PGCACHE_INVALID);
  CHECK(pgcache_submit_get(nullptr, nullptr, "k", 1, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_submit_get(store.cache.raw(), nullptr, nullptr, 1, nullptr, nullptr) == PGCACHE_INVALID);

  CHECK_FALSE(requests.take());
  CHECK_FALSE(requests.readable());
  CHECK(pgcache_submit_get(store.cache.raw(), nullptr, "k", 1, nullptr, nullptr) == PGCACHE_OK); /* no id wanted */
  CHECK(requests.next() == PGCACHE_MISS);
}

TEST_CASE("A submission never waits for the server, and nothing of it is lost meanwhile", "[rule:submit]") {
  Store store;
  Pg other(url());
  other.exec(store.sql("BEGIN; LOCK TABLE {s}.entries IN ACCESS EXCLUSIVE MODE"));
  const Requests requests(store.cache);
  const int64_t start = now_ms();
  for (int i = 0; i < 1000; i++)
    REQUIRE(requests.put("k" + std::to_string(i), "v", deadline(60000)) == PGCACHE_OK);
  CHECK(now_ms() - start < 15000); /* and not for the table, nor for their deadlines */
  CHECK_FALSE(requests.take());
  other.exec("COMMIT");
  for (const auto &[id, completion] : requests.collect(1000))
    CHECK(completion == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "1000");
}

TEST_CASE("A handle on the application's connections takes no requests", "[rule:submit][borrowed]") {
  Store store;
  Pg mine(url());
  pgcache *made = nullptr;
  REQUIRE(pgcache_new_on_connection(&made, store.config().get(), mine.raw(), nullptr) == PGCACHE_OK);
  Cache cache(made);
  const Requests requests(cache);
  const Submitted submitted = requests.get("k");
  CHECK(submitted == PGCACHE_UNSUPPORTED);
  CHECK(string(submitted.error.message).size() > 20);
  int fd = 0;
  CHECK(pgcache_event_fd(made, &fd, nullptr) == PGCACHE_UNSUPPORTED);
  CHECK(fd == -1);
  CHECK_FALSE(requests.take());
  CHECK(requests.dispatch(0) == 0);
  CHECK(requests.cancel(1) == PGCACHE_MISS);
  CHECK(cache.put("k", "v") == PGCACHE_OK);
}
