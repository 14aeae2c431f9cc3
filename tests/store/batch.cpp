/*
 * batch.cpp - the multi-key calls and [rule:batch].
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>

using namespace test;
using std::string;

namespace {

std::vector<string> names(const string &prefix, int n) {
  std::vector<string> out;
  for (int i = 0; i < n; i++)
    out.push_back(prefix + std::to_string(i));
  return out;
}

/* Sent to the server between two points in time, by the messages that end a request: Sync is 'S', length 4. */
int round_trips(const string &sent) {
  int n = 0;
  for (size_t at = 0; at + 5 <= sent.size();) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(sent[at + i]); };
    n += sent[at] == 'S' || sent[at] == 'Q';
    at += 1 + (size_t{byte(1)} << 24 | size_t{byte(2)} << 16 | size_t{byte(3)} << 8 | byte(4));
  }
  return n;
}

} // namespace

TEST_CASE("[A15] put_many, get_many and remove_many do what the single calls do", "[A15][rule:batch]") {
  Store store;
  Cache &cache = store.cache;
  Items puts;
  const auto keys = names("k", 5);
  puts.add(keys[0], "zero", 60000).format = 4;
  puts.add(keys[1], "");
  puts.add(keys[2], "two", PGCACHE_TTL_NEVER);
  REQUIRE(pgcache_put_many(cache.raw(), puts.data(), puts.size(), nullptr, nullptr) == PGCACHE_OK);
  std::set<int64_t> versions;
  for (size_t i = 0; i < 3; i++) {
    CHECK(puts[i].status == PGCACHE_OK);
    CHECK(puts[i].version > 0);
    CHECK(puts[i].result == nullptr);
    versions.insert(puts[i].version);
  }
  CHECK(versions.size() == 3);
  CHECK(cache.get(keys[0]).bytes() == "zero");
  CHECK(cache.get(keys[0]).value.format() == 4);
  CHECK(cache.get(keys[2]).value.ttl_ms() == PGCACHE_TTL_NEVER);

  Items gets;
  for (const auto &key : keys) {
    pgcache_item &item = gets.add(key);
    item.version = 99; /* outputs are set whatever was in them */
  }
  REQUIRE(pgcache_get_many(cache.raw(), gets.data(), gets.size(), nullptr, nullptr) == PGCACHE_OK);
  CHECK(gets[0].status == PGCACHE_OK);
  CHECK(gets.bytes(0) == "zero");
  CHECK(gets[0].version == puts[0].version);
  CHECK(pgcache_value_format(gets[0].result) == 4);
  CHECK(pgcache_value_ttl_ms(gets[0].result) <= 60000);
  CHECK(gets[1].status == PGCACHE_OK);
  REQUIRE(gets[1].result != nullptr);
  CHECK(pgcache_value_size(gets[1].result) == 0);
  CHECK(gets[3].status == PGCACHE_MISS);
  CHECK(gets[3].version == 0);
  CHECK(gets[3].result == nullptr);

  Items removes;
  removes.add(keys[4]);
  removes.add(keys[0]);
  REQUIRE(pgcache_remove_many(cache.raw(), removes.data(), removes.size(), nullptr, nullptr) == PGCACHE_OK);
  CHECK(removes[0].status == PGCACHE_MISS);
  CHECK(removes[1].status == PGCACHE_OK);
  CHECK(removes[1].version == 0);
  CHECK(cache.get(keys[0]) == PGCACHE_MISS);
  CHECK(cache.get(keys[1]) == PGCACHE_OK);

  CHECK(pgcache_get_many(cache.raw(), nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
  CHECK(pgcache_put_many(cache.raw(), nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
  CHECK(pgcache_remove_many(cache.raw(), nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
  CHECK(pgcache_get_many(cache.raw(), nullptr, 1, nullptr, nullptr) == PGCACHE_INVALID);
}

TEST_CASE("[A15] An expired entry is a miss for the multi-key calls, too", "[A15]") {
  Store store;
  REQUIRE(store.cache.put("k", "v", 1) == PGCACHE_OK);
  sleep_ms(10);
  Items items;
  items.add("k");
  REQUIRE(pgcache_get_many(store.cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(items[0].status == PGCACHE_MISS);
  REQUIRE(pgcache_remove_many(store.cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(items[0].status == PGCACHE_MISS);
}

TEST_CASE("[A15] Duplicates get one answer, and of duplicate puts the last is stored", "[A15][rule:batch]") {
  Store store;
  Cache &cache = store.cache;
  Items puts;
  puts.add("a", "first", 1000);
  puts.add("b", "b");
  puts.add("a", "second", 2000);
  puts.add("a", "last", 500000).format = 6;
  REQUIRE(pgcache_put_many(cache.raw(), puts.data(), puts.size(), nullptr, nullptr) == PGCACHE_OK);
  const Answer got = cache.get("a");
  CHECK(got.bytes() == "last");
  CHECK(got.value.format() == 6);
  CHECK(got.value.ttl_ms() > 400000);
  for (const size_t i : {0, 2, 3}) {
    CHECK(puts[i].status == PGCACHE_OK);
    CHECK(puts[i].version == got.version);
  }
  Items gets;
  for (const char *key : {"a", "none", "a", "b", "none", "a"})
    gets.add(key);
  REQUIRE(pgcache_get_many(cache.raw(), gets.data(), gets.size(), nullptr, nullptr) == PGCACHE_OK);
  for (const size_t i : {0, 2, 5}) {
    CHECK(gets[i].status == PGCACHE_OK);
    CHECK(gets.bytes(i) == "last");
  }
  CHECK(gets[1].status == PGCACHE_MISS);
  CHECK(gets[4].status == PGCACHE_MISS);
  Items removes;
  for (const char *key : {"a", "none", "a"})
    removes.add(key);
  REQUIRE(pgcache_remove_many(cache.raw(), removes.data(), removes.size(), nullptr, nullptr) == PGCACHE_OK);
  CHECK(removes[0].status == PGCACHE_OK);
  CHECK(removes[1].status == PGCACHE_MISS);
  CHECK(removes[2].status == PGCACHE_OK);
  CHECK(cache.get("a") == PGCACHE_MISS);
}

TEST_CASE("[A15] 1,000 keys are one round trip; 2,500 are three", "[A15][rule:batch]") {
  Store store;
  string sent;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
  Items once; /* connected, and each statement prepared */
  once.add("x", "v");
  REQUIRE(pgcache_put_many(cache.raw(), once.data(), 1, nullptr, nullptr) == PGCACHE_OK);
  REQUIRE(pgcache_get_many(cache.raw(), once.data(), 1, nullptr, nullptr) == PGCACHE_OK);
  once.clear_results();
  REQUIRE(pgcache_remove_many(cache.raw(), once.data(), 1, nullptr, nullptr) == PGCACHE_OK);
  std::mutex mutex;
  proxy.rewrite([&](Proxy::Direction direction, string &data) {
    std::lock_guard<std::mutex> lock(mutex);
    if (direction == Proxy::TO_SERVER)
      sent += data;
  });
  const auto trips = [&](auto &&call) {
    sent.clear();
    REQUIRE(call() == PGCACHE_OK);
    std::lock_guard<std::mutex> lock(mutex);
    return round_trips(sent);
  };
  for (const int n : {1000, 2500}) {
    const auto keys = names("key", n);
    Items items;
    for (const auto &key : keys)
      items.add(key, key);
    const int expected = n == 1000 ? 1 : 3;
    CHECK(trips([&] { return pgcache_put_many(cache.raw(), items.data(), items.size(), nullptr, nullptr); }) ==
          expected);
    CHECK(trips([&] { return pgcache_get_many(cache.raw(), items.data(), items.size(), nullptr, nullptr); }) ==
          expected);
    size_t right = 0;
    for (size_t i = 0; i < items.size(); i++)
      right += items[i].status == PGCACHE_OK && items.bytes(i) == keys[i];
    CHECK(right == items.size());
    items.clear_results();
    CHECK(trips([&] { return pgcache_remove_many(cache.raw(), items.data(), items.size(), nullptr, nullptr); }) ==
          expected);
    CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
  }
}

TEST_CASE("[A15] Duplicates across the parts of a split call keep their rules", "[A15][rule:batch]") {
  Store store;
  const auto keys = names("k", 1500);
  Items puts;
  for (const auto &key : keys)
    puts.add(key, "early");
  for (const auto &key : keys)
    puts.add(key, "late");
  REQUIRE(pgcache_put_many(store.cache.raw(), puts.data(), puts.size(), nullptr, nullptr) == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries WHERE value = 'late'")) == "1500");
  Items gets;
  for (const auto &key : keys)
    gets.add(key);
  for (const auto &key : keys)
    gets.add(key);
  REQUIRE(pgcache_get_many(store.cache.raw(), gets.data(), gets.size(), nullptr, nullptr) == PGCACHE_OK);
  size_t wrong = 0;
  for (size_t i = 0; i < gets.size(); i++) {
    wrong +=
        gets[i].status != PGCACHE_OK || gets[i].version != gets[i % 1500].version || puts[i].version != gets[i].version;
  }
  CHECK(wrong == 0);
  Items removes;
  for (int copy = 0; copy < 2; copy++) {
    for (const auto &key : keys)
      removes.add(key);
  }
  REQUIRE(pgcache_remove_many(store.cache.raw(), removes.data(), removes.size(), nullptr, nullptr) == PGCACHE_OK);
  wrong = 0;
  for (size_t i = 0; i < removes.size(); i++)
    wrong += removes[i].status != PGCACHE_OK;
  CHECK(wrong == 0);
}

TEST_CASE("[A15] More than 64 MiB in one put_many are split", "[A15][rule:batch][large]") {
  Store store(Settings{{"timeout_ms", "300000"}});
  const string value(15 << 20, 'v');
  const auto keys = names("k", 5);
  Items items;
  for (const auto &key : keys)
    items.add(key, value);
  REQUIRE(pgcache_put_many(store.cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT sum(octet_length(value)) FROM {s}.entries")) ==
        std::to_string(5 * value.size()));
}

TEST_CASE("[A15] One bad item refuses the call, says which, and nothing is stored", "[A15][A13][rule:batch]") {
  Store store(Settings{{"max_value_bytes", "100"}});
  const string big_key(PGCACHE_KEY_MAX + 1, 'k'), big_value(101, 'v');
  struct Case {
    const char *what;
    pgcache_status expected;
    std::function<void(pgcache_item &)> spoil;
  };
  const std::vector<Case> cases = {
      {"empty key", PGCACHE_INVALID, [](pgcache_item &i) { i.key_len = 0; }},
      {"NULL key", PGCACHE_INVALID, [](pgcache_item &i) { i.key = nullptr; }},
      {"long key", PGCACHE_TOO_LARGE,
       [&](pgcache_item &i) {
         i.key = big_key.data();
         i.key_len = big_key.size();
       }},
      {"NULL value", PGCACHE_INVALID,
       [](pgcache_item &i) {
         i.value = nullptr;
         i.value_len = 3;
       }},
      {"long value", PGCACHE_TOO_LARGE,
       [&](pgcache_item &i) {
         i.value = big_value.data();
         i.value_len = big_value.size();
       }},
      {"zero ttl", PGCACHE_INVALID, [](pgcache_item &i) { i.ttl_ms = 0; }},
      {"negative format", PGCACHE_INVALID, [](pgcache_item &i) { i.format = -1; }},
      {"wrong size", PGCACHE_INVALID, [](pgcache_item &i) { i.struct_size = 3; }},
  };
  for (const Case &c : cases) {
    INFO(c.what);
    const auto keys = names("k", 1234);
    Items items;
    for (const auto &key : keys)
      items.add(key, "v");
    c.spoil(items[1233]); /* in what would be the second part */
    Error error;
    CHECK(pgcache_put_many(store.cache.raw(), items.data(), items.size(), nullptr, &error) == c.expected);
    CHECK(error.status == c.expected);
    CHECK(error.text().find("1233") != string::npos);
    if (c.what[0] != 'w')
      CHECK(items[0].version == 0);
    if (string(c.what).find("key") != string::npos) {
      CHECK(pgcache_get_many(store.cache.raw(), items.data(), items.size(), nullptr, &error) == c.expected);
      CHECK(pgcache_remove_many(store.cache.raw(), items.data(), items.size(), nullptr, &error) == c.expected);
    }
  }
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
  /* Reads and removals do not look at what only puts use. */
  Items items;
  items.add("k");
  items[0].ttl_ms = 0;
  items[0].format = -1;
  CHECK(pgcache_get_many(store.cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_OK);
}

TEST_CASE("[A15] A refused call leaves its status in every item, and no result", "[A15][rule:batch]") {
  Store store;
  REQUIRE(store.cache.put("a", "v") == PGCACHE_OK);
  const auto refused = [&](decltype(pgcache_get_many) *call, const Options &options, size_t bad_length) {
    Items items;
    for (const char *key : {"a", "b", "c"})
      items.add(key, "v");
    for (size_t i = 0; i < 3; i++) {
      items[i].status = PGCACHE_EXISTS;
      items[i].version = 77;
    }
    if (bad_length == 0)
      items[1].key_len = 0;
    const pgcache_status status = call(store.cache.raw(), items.data(), items.size(), &options, nullptr);
    CHECK(status == PGCACHE_INVALID);
    for (size_t i = 0; i < 3; i++) {
      CHECK(items[i].status == status);
      CHECK(items[i].version == 0);
      CHECK(items[i].result == nullptr);
    }
  };
  Options wrong;
  wrong.flags = 1;
  for (const auto call : {pgcache_get_many, pgcache_put_many, pgcache_remove_many}) {
    refused(call, Options(), 0);
    refused(call, wrong, 1);
    refused(call, in_namespace("a b"), 1);
  }
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "1");
}

TEST_CASE("[A15] A stored value that is longer than this handle lets in spoils only its own key", "[A15][A13]") {
  Store store;
  REQUIRE(store.cache.put("long", string(1000, 'v')) == PGCACHE_OK);
  REQUIRE(store.cache.put("short", "v") == PGCACHE_OK);
  Cache narrow = store.open({{"max_value_bytes", "100"}});
  const Answer got = narrow.get("long");
  CHECK(got == PGCACHE_TOO_LARGE);
  CHECK_FALSE(got.value);
  Items items;
  for (const char *key : {"short", "long", "none", "long"})
    items.add(key);
  const pgcache_status status = pgcache_get_many(narrow.raw(), items.data(), items.size(), nullptr, nullptr);
  CHECK(status == PGCACHE_OK); /* every key was answered */
  CHECK(items[0].status == PGCACHE_OK);
  CHECK(items.bytes(0) == "v");
  CHECK(items[1].status == PGCACHE_TOO_LARGE);
  CHECK(items[1].result == nullptr);
  CHECK(items[1].version == 0);
  CHECK(items[2].status == PGCACHE_MISS);
  CHECK(items[3].status == PGCACHE_TOO_LARGE);
  CHECK(narrow.exists("long") == PGCACHE_OK);
  CHECK(narrow.touch("long", 1000000) == PGCACHE_OK);
}

TEST_CASE("[A15] 16 writers of overlapping sets never deadlock", "[A15][threads]") {
  Store store;
  const int rounds = longer(12, 400);
  const auto deadlocks = [&] {
    return std::stoi(store.pg.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"));
  };
  const int before = deadlocks();
  std::atomic<int> failed{0};
  in_threads(16, [&](int thread) {
    Cache cache = store.open({{"pool_max", "1"}});
    std::mt19937_64 random(seed() + static_cast<uint64_t>(thread));
    for (int round = 0; round < rounds; round++) {
      std::vector<string> keys;
      for (int i = 0; i < 60; i++)
        keys.push_back("k" + std::to_string(random() % 80));
      Items items;
      for (const auto &key : keys)
        items.add(key, "value");
      failed += pgcache_put_many(cache.raw(), items.data(), items.size(), nullptr, nullptr) != PGCACHE_OK;
      if (round % 3 == thread % 3) {
        failed += pgcache_remove_many(cache.raw(), items.data(), items.size() / 2, nullptr, nullptr) != PGCACHE_OK;
      }
    }
  });
  CHECK(failed == 0);
  /* The server's figures come with a delay of up to a second; the sessions that could have some have just ended. */
  sleep_ms(200);
  CHECK(deadlocks() == before);
}

TEST_CASE("[A15] A part that fails: the parts before are done, those behind are not, and the items say so",
          "[A15][rule:batch]") {
  Store store;
  /* The real server's own error, raised for one key of the second part. */
  store.pg.exec(store.sql("CREATE FUNCTION {s}.boom() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                          "IF NEW.key = 'k1500' THEN RAISE 'boom' USING ERRCODE = 'XX123'; END IF; RETURN NEW; END $$;"
                          "CREATE TRIGGER boom BEFORE INSERT ON {s}.entries FOR EACH ROW EXECUTE FUNCTION {s}.boom()"));
  const auto keys = names("k", 2500);
  Items items;
  for (const auto &key : keys)
    items.add(key, "v");
  Error error;
  CHECK(pgcache_put_many(store.cache.raw(), items.data(), items.size(), nullptr, &error) == PGCACHE_SERVER_ERROR);
  CHECK(string(error.sqlstate) == "XX123");
  /* Which keys share a part is not promised; that each item tells the truth is. */
  std::map<string, string> stored;
  for (const Row &row : store.pg.query(store.sql("SELECT convert_from(key, 'UTF8'), version FROM {s}.entries"))) {
    stored[row[0]] = row[1];
  }
  int wrong = 0;
  size_t done = 0;
  for (size_t i = 0; i < items.size(); i++) {
    if (items[i].status == PGCACHE_OK) {
      done++;
      wrong += stored[keys[i]] != std::to_string(items[i].version);
    } else {
      wrong += items[i].status != PGCACHE_SERVER_ERROR || items[i].version != 0 || stored.count(keys[i]) != 0;
    }
  }
  CHECK(wrong == 0);
  CHECK(items[1500].status == PGCACHE_SERVER_ERROR);
  CHECK(done % 1000 == 0);
  CHECK(done < 2500);
}
