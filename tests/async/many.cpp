/*
 * many.cpp - multi-key requests: thousands of keys, duplicates, refusals of all for one, cancels in the middle.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/requests.hpp"

using namespace test;
using std::string;

namespace {

const int KEYS = 10000;

std::vector<string> names(const string &prefix, int count) {
  std::vector<string> all;
  for (int i = 0; i < count; i++)
    all.push_back(prefix + std::to_string(i));
  return all;
}

} // namespace

TEST_CASE("10,000 keys with duplicates: put, get, remove", "[rule:parts][rule:batch][many]") {
  Store store;
  const Requests requests(store.cache);
  const auto keys = names("k", KEYS), values = names("value ", KEYS);
  Items puts, gets, removes;
  for (int i = 0; i < 500; i++)
    puts.add(keys[static_cast<size_t>(i * 20)], "an earlier duplicate");
  for (size_t i = 0; i < keys.size(); i++)
    puts.add(keys[i], values[i], i % 2 == 0 ? PGCACHE_TTL_NEVER : 60000).format = static_cast<int32_t>(i % 5);
  const Completion put = requests.wait(requests.many(pgcache_submit_put_many, puts).id);
  INFO(put);
  REQUIRE(put == PGCACHE_OK);
  REQUIRE(put.count() == keys.size() + 500);
  size_t wrong = 0;
  for (size_t i = 0; i < put.count(); i++)
    wrong += put.item(i)->status != PGCACHE_OK || put.item(i)->version <= 0;
  for (size_t i = 0; i < 500; i++)
    wrong += put.item(i)->version != put.item(500 + i * 20)->version;
  CHECK(wrong == 0);
  CHECK(put.item(put.count()) == nullptr);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == std::to_string(KEYS));

  for (const string &key : keys)
    gets.add(key);
  gets.add("none");
  gets.add(keys[0]);
  const Completion get = requests.wait(requests.many(pgcache_submit_get_many, gets).id);
  INFO(get);
  REQUIRE(get == PGCACHE_OK);
  REQUIRE(get.count() == keys.size() + 2);
  for (size_t i = 0; i < keys.size(); i++) {
    const pgcache_item *item = get.item(i);
    wrong += item->status != PGCACHE_OK || get.bytes(i) != values[i] || item->version != put.item(500 + i)->version ||
             get.value(i).format() != static_cast<int32_t>(i % 5) ||
             (get.value(i).ttl_ms() == PGCACHE_TTL_NEVER) != (i % 2 == 0) ||
             string(static_cast<const char *>(item->key), item->key_len) != keys[i];
  }
  CHECK(wrong == 0);
  CHECK(get.item(keys.size())->status == PGCACHE_MISS);
  CHECK_FALSE(get.value(keys.size()));
  CHECK(get.bytes(keys.size() + 1) == values[0]);
  CHECK_FALSE(get.value(keys.size() + 2));

  for (const string &key : keys)
    removes.add(key);
  removes.add("none");
  removes.add(keys[0]);
  const Completion removed = requests.wait(requests.many(pgcache_submit_remove_many, removes).id);
  REQUIRE(removed == PGCACHE_OK);
  for (size_t i = 0; i < keys.size(); i++)
    wrong += removed.item(i)->status != PGCACHE_OK || removed.item(i)->version != 0;
  CHECK(wrong == 0);
  CHECK(removed.item(keys.size())->status == PGCACHE_MISS);
  CHECK(removed.item(keys.size() + 1)->status == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
}

TEST_CASE("Multi-key requests give what the calls give, per item", "[rule:submit][rule:batch][many]") {
  Store store(Settings{{"max_value_bytes", "1000"}});
  const Cache large = store.open({{"max_value_bytes", "100000"}});
  const Requests requests(store.cache);
  Items preset;
  preset.add("a", "1");
  preset.add("b", "");
  const string big(5000, 'x');
  preset.add("big", big);
  REQUIRE(pgcache_put_many(large.raw(), preset.data(), preset.size(), nullptr, nullptr) == PGCACHE_OK);
  Items call, request;
  for (Items *items : {&call, &request}) {
    for (const char *key : {"a", "none", "b", "big", "a"})
      items->add(key);
  }
  Error error;
  const pgcache_status called = pgcache_get_many(store.cache.raw(), call.data(), call.size(), nullptr, &error);
  const Completion completion = requests.wait(requests.many(pgcache_submit_get_many, request).id);
  REQUIRE(completion.count() == 5);
  for (size_t i = 0; i < 5; i++) {
    INFO(i);
    CHECK(completion.item(i)->status == call[i].status);
    CHECK(completion.item(i)->version == call[i].version);
    CHECK(completion.bytes(i) == call.bytes(i));
    CHECK(static_cast<bool>(completion.value(i)) == (call[i].result != nullptr));
    CHECK(request[i].result == nullptr); /* nothing is written to the submitter's array */
    CHECK(request[i].version == 0);
  }
  /* The one difference: as a request the item's error is the request's, [rule:parts]. */
  CHECK(called == PGCACHE_OK);
  CHECK(completion == PGCACHE_TOO_LARGE);
}

TEST_CASE("However few keys a statement carries, an item has its version, and a get's completion none",
          "[rule:batch][many]") {
  Store store;
  const Requests requests(store.cache);
  const int64_t version = store.cache.put("k", "v").version;
  Items one;
  one.add("k");
  const Completion alone = requests.wait(requests.many(pgcache_submit_get_many, one).id);
  REQUIRE(alone.count() == 1);
  CHECK(alone.item(0)->status == PGCACHE_OK);
  CHECK(alone.item(0)->version == version);
  CHECK(alone.value().version() == version);
  CHECK(requests.wait(requests.get("k").id).version() == 0);
  std::vector<uint64_t> ids;
  for (int i = 0; i < 200; i++)
    ids.push_back(requests.get(i % 2 == 0 ? "k" : "l").id);
  size_t with_version = 0;
  for (const uint64_t id : ids)
    with_version += requests.wait(id).version() != 0;
  CHECK(with_version == 0);
}

TEST_CASE("One bad item refuses all before anything is sent", "[rule:refuse][rule:batch][many]") {
  Store store;
  const Requests requests(store.cache);
  const auto keys = names("k", KEYS);
  for (int bad = 0; bad < 4; bad++) {
    INFO(bad);
    Items request, call;
    for (Items *items : {&request, &call}) {
      for (const string &key : keys)
        items->add(key, "v");
      pgcache_item &item = (*items)[7777];
      if (bad == 0)
        item.key_len = 0;
      else if (bad == 1)
        item.ttl_ms = -5;
      else if (bad == 2)
        item.format = -1;
      else
        item.value_len = size_t{1} << 40; /* never read */
    }
    const Submitted submitted = requests.many(pgcache_submit_put_many, request);
    Error error;
    const pgcache_status called = pgcache_put_many(store.cache.raw(), call.data(), call.size(), nullptr, &error);
    CHECK(submitted == called);
    CHECK(submitted.status < 0);
    CHECK(submitted.error.text() == error.text());
    CHECK(submitted.error.text().find("7777") != string::npos);
    CHECK(submitted.id == 0);
  }
  CHECK_FALSE(requests.take());
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
  CHECK(pgcache_submit_get_many(store.cache.raw(), nullptr, nullptr, 5, nullptr, nullptr) == PGCACHE_INVALID);
}

TEST_CASE("No items at all: a completion of none", "[rule:batch][many]") {
  Store store;
  const Requests requests(store.cache);
  for (auto *call : {pgcache_submit_get_many, pgcache_submit_put_many, pgcache_submit_remove_many}) {
    uint64_t id = 0;
    REQUIRE(call(store.cache.raw(), &id, nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
    const Completion completion = requests.wait(id);
    CHECK(completion == PGCACHE_OK);
    CHECK(completion.count() == 0);
    CHECK(completion.item(0) == nullptr);
  }
}

TEST_CASE("A multi-key request that is given up in the middle: each item says what became of it",
          "[rule:late][rule:parts][many]") {
  Store store;
  const Requests requests(store.cache);
  const auto keys = names("k", 3000);
  for (const bool cancel : {true, false}) {
    INFO((cancel ? "cancelled" : "too late"));
    int given_ms = 1500; /* more and more: a busy machine takes longer for the neighbours of the locked one */
    CHECK(in_one_of(4, [&] {
      store.pg.exec(store.sql("DELETE FROM {s}.entries"));
      REQUIRE(store.cache.put("k500", "old") == PGCACHE_OK);
      Pg other(url());
      other.exec(store.sql("BEGIN; UPDATE {s}.entries SET expires_at = expires_at WHERE key = 'k500'"));
      Items items;
      for (const string &key : keys)
        items.add(key, "new");
      const Submitted submitted = requests.many(pgcache_submit_put_many, items, deadline(cancel ? 60000 : given_ms));
      REQUIRE(submitted == PGCACHE_OK);
      sleep_ms(given_ms / 2);
      const int64_t start = now_ms();
      if (cancel)
        CHECK(requests.cancel(submitted.id) == PGCACHE_OK);
      const Completion completion = requests.wait(submitted.id);
      const int64_t took = now_ms() - start;
      CHECK(took < (cancel ? 0 : given_ms / 2) + 5000);
      INFO(completion);
      CHECK(completion.status() < 0);
      REQUIRE(completion.count() == keys.size());
      size_t done = 0, unknown = 0, not_done = 0;
      other.exec("ROLLBACK");
      sleep_ms(100);
      for (size_t i = 0; i < keys.size(); i++) {
        const pgcache_item *item = completion.item(i);
        const string found = store.cache.get(keys[i]).bytes();
        done += item->status == PGCACHE_OK;
        unknown += item->status == PGCACHE_UNKNOWN;
        not_done += item->status == PGCACHE_CANCELLED || item->status == PGCACHE_TIMEOUT;
        if (item->status == PGCACHE_OK)
          CHECK(found == "new");
        else if (item->status != PGCACHE_UNKNOWN)
          CHECK(found != "new");
      }
      CHECK(done + unknown + not_done == keys.size());
      CHECK_FALSE(requests.take());
      given_ms *= 2;
      /* The neighbours of the one that was under way are done by then. */
      return completion == PGCACHE_UNKNOWN && completion.item(500)->status == PGCACHE_UNKNOWN && unknown < 10;
    }));
  }
}
