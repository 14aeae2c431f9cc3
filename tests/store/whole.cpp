/*
 * whole.cpp - the cache as a whole: flush, keys, stats.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <thread>

using namespace test;
using std::string;

namespace {

struct Page {
  pgcache_status status = PGCACHE_OK;
  std::vector<string> keys;
  std::vector<Value> values;
};

Page page(Cache &cache, size_t room, const string &prefix = "", const string &after = "", const Options &options = {}) {
  Page out;
  std::vector<pgcache_value *> values(room, reinterpret_cast<pgcache_value *>(1));
  size_t count = 99999;
  out.status = pgcache_keys(cache.raw(), values.data(), room, &count, prefix.data(), prefix.size(), after.data(),
                            after.size(), &options, nullptr);
  for (size_t i = 0; i < room; i++) {
    if (i < count) {
      out.values.emplace_back(values[i]);
      out.keys.push_back(out.values.back().bytes());
    } else if (values[i] != nullptr) {
      throw std::runtime_error("an unused element is not NULL");
    }
  }
  return out;
}

std::vector<string> all_keys(Cache &cache, size_t room, const string &prefix = "", const Options &options = {}) {
  std::vector<string> out;
  for (;;) {
    const Page p = page(cache, room, prefix, out.empty() ? "" : out.back(), options);
    if (p.status != PGCACHE_OK)
      throw std::runtime_error(pgcache_status_name(p.status));
    out.insert(out.end(), p.keys.begin(), p.keys.end());
    if (p.keys.size() < room)
      return out;
  }
}

} // namespace

TEST_CASE("[A06] flush empties the cache, or one namespace of it, and says how many rows that was", "[A06][flush]") {
  Store store;
  Cache &cache = store.cache;
  for (const char *key : {"a", "b", "c", "d"})
    REQUIRE(cache.put(key, "v") == PGCACHE_OK);
  Answer flushed = cache.flush(PGCACHE_FLUSH_ALL);
  REQUIRE(flushed == PGCACHE_OK);
  CHECK(flushed.number == 4);
  for (const char *key : {"a", "b", "c", "d"})
    CHECK(cache.get(key) == PGCACHE_MISS);
  CHECK(cache.flush(PGCACHE_FLUSH_ALL).number == 0);

  REQUIRE(cache.put("a", "v") == PGCACHE_OK);
  REQUIRE(cache.put("expired", "v", 1) == PGCACHE_OK);
  REQUIRE(cache.put("a", "v", in_namespace("other")) == PGCACHE_OK);
  REQUIRE(cache.put("b", "v", in_namespace("other")) == PGCACHE_OK);
  REQUIRE(cache.put("a", "v", in_namespace("third")) == PGCACHE_OK);
  sleep_ms(10);
  flushed = cache.flush(PGCACHE_FLUSH_NAMESPACE, in_namespace("other"));
  REQUIRE(flushed == PGCACHE_OK);
  CHECK(flushed.number == 2);
  CHECK(cache.get("a") == PGCACHE_OK);
  CHECK(cache.get("a", in_namespace("other")) == PGCACHE_MISS);
  CHECK(cache.get("a", in_namespace("third")) == PGCACHE_OK);
  CHECK(cache.flush(PGCACHE_FLUSH_NAMESPACE).number == 2); /* the handle's namespace, an expired row included */
  CHECK(cache.flush(PGCACHE_FLUSH_ALL).number == 1);
  CHECK(pgcache_flush(cache.raw(), nullptr, PGCACHE_FLUSH_ALL, nullptr, nullptr) == PGCACHE_OK);
  CHECK(cache.flush(static_cast<pgcache_flush_scope>(7)) == PGCACHE_INVALID);
}

TEST_CASE("[A06] flush works beside a transaction that reads, and beside one that writes", "[A06][flush]") {
  Store store;
  for (int i = 0; i < 10; i++)
    REQUIRE(store.cache.put("k" + std::to_string(i), "v") == PGCACHE_OK);
  store.pg.exec("BEGIN ISOLATION LEVEL REPEATABLE READ");
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "10");
  const Answer flushed = store.cache.flush(PGCACHE_FLUSH_ALL, deadline(10000));
  CHECK(flushed == PGCACHE_OK);
  CHECK(flushed.number == 10);
  CHECK(store.cache.get("k1") == PGCACHE_MISS);
  CHECK(store.cache.put("k1", "v") == PGCACHE_OK);
  store.pg.exec("COMMIT");

  /* A row that an open transaction has written makes flush wait for its end, not longer. */
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("SELECT {s}.put('k1'::text, 'w'::bytea)"));
  const Answer late = store.cache.flush(PGCACHE_FLUSH_ALL, deadline(500));
  CHECK((late == PGCACHE_TIMEOUT || late == PGCACHE_UNKNOWN));
  std::thread ends([&] {
    sleep_ms(300);
    store.pg.exec("COMMIT");
  });
  const Answer after = store.cache.flush(PGCACHE_FLUSH_ALL, deadline(10000));
  ends.join();
  CHECK(after == PGCACHE_OK);
  CHECK(after.number <= 1);
  if (late == PGCACHE_TIMEOUT)
    CHECK(after.number == 1);
  CHECK(store.cache.get("k1") == PGCACHE_MISS);
}

TEST_CASE("[A06] flushes of a namespace beside put_many and remove_many: no deadlock", "[A06][A15][flush][threads]") {
  Store store;
  const auto deadlocks = [&] {
    return std::stoi(store.pg.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"));
  };
  const int before = deadlocks();
  std::atomic<int> failed{0};
  in_threads(8, [&](int thread) {
    Cache cache = store.open({{"pool_max", "1"}});
    std::vector<string> keys;
    for (int i = 0; i < 200; i++)
      keys.push_back("k" + std::to_string((i * 7 + thread * 13) % 300));
    for (int round = 0; round < longer(15, 500); round++) {
      Items items;
      for (const auto &key : keys)
        items.add(key, "v");
      if (thread < 3)
        failed += cache.flush(PGCACHE_FLUSH_NAMESPACE) != PGCACHE_OK;
      else if (thread == 3)
        failed += pgcache_remove_many(cache.raw(), items.data(), items.size(), nullptr, nullptr) != 0;
      else
        failed += pgcache_put_many(cache.raw(), items.data(), items.size(), nullptr, nullptr) != PGCACHE_OK;
    }
  });
  CHECK(failed == 0);
  sleep_ms(200);
  CHECK(deadlocks() == before);
}

TEST_CASE("keys leaves nothing behind after an error, and lists keys longer than a value may be",
          "[keys][rule:outputs]") {
  Store store(Settings{{"max_value_bytes", "10"}});
  const string long_key(PGCACHE_KEY_MAX, 'k');
  REQUIRE(store.cache.put(long_key, "v") == PGCACHE_OK);
  REQUIRE(store.cache.put("short", "v") == PGCACHE_OK);
  CHECK(page(store.cache, 5).keys == std::vector<string>{long_key, "short"});
  const auto after_error = [&](Cache &cache, const Options &options) {
    pgcache_value *keys[3];
    for (auto &key : keys)
      key = reinterpret_cast<pgcache_value *>(8);
    size_t count = 3;
    CHECK(pgcache_keys(cache.raw(), keys, 3, &count, nullptr, 0, nullptr, 0, &options, nullptr) < 0);
    CHECK(count == 0);
    for (const auto *key : keys)
      CHECK(key == nullptr);
  };
  after_error(store.cache, deadline(0));
  after_error(store.cache, in_namespace("a b"));
  Cache away = store.open({{"url", "host=/nonexistent"}});
  after_error(away, Options());
  store.pg.exec(store.sql("ALTER TABLE {s}.entries RENAME COLUMN format TO form"));
  after_error(store.cache, Options());
  store.cache.shutdown();
  after_error(store.cache, Options());
}

TEST_CASE("keys lists a namespace in the order of its bytes, a page at a time", "[keys]") {
  Store store;
  Cache &cache = store.cache;
  CHECK(page(cache, 10).status == PGCACHE_OK);
  CHECK(page(cache, 10).keys.empty());
  std::vector<string> keys = {
      "a",        "aa",       "ab", "abc", "b",    string("\0", 1), string("a\0b", 3), "\xff",
      "\xff\xff", "\xff\x01", "A",  "z",   "\x7f", "\x80",          "a\xff",           string(PGCACHE_KEY_MAX, 'q')};
  for (const auto &key : keys)
    REQUIRE(cache.put(key, "value", 60000, 3) == PGCACHE_OK);
  REQUIRE(cache.put("gone", "v", 1) == PGCACHE_OK);
  REQUIRE(cache.put("elsewhere", "v", in_namespace("other")) == PGCACHE_OK);
  sleep_ms(10);
  std::sort(keys.begin(), keys.end(), [](const string &x, const string &y) { return x.compare(y) < 0; });
  const auto with_prefix = [&](const string &prefix) {
    std::vector<string> out;
    for (const auto &key : keys) {
      if (key.compare(0, prefix.size(), prefix) == 0)
        out.push_back(key);
    }
    return out;
  };
  for (const size_t room : {size_t{1}, size_t{3}, size_t{7}, keys.size(), size_t{1000}}) {
    INFO("pages of " << room);
    CHECK(all_keys(cache, room) == keys);
    for (const string &prefix : {string("a"), string("ab"), string("\xff"), string("\xff\xff"), string("\0", 1),
                                 string("zz"), string("a\xff"), string(PGCACHE_KEY_MAX, '\xff')}) {
      CHECK(all_keys(cache, room, prefix) == with_prefix(prefix));
    }
  }
  CHECK(all_keys(cache, 5, "", in_namespace("other")) == std::vector<string>{"elsewhere"});
  const Page first = page(cache, 1, "ab");
  REQUIRE(first.values.size() == 1);
  CHECK(first.values[0].version() == cache.get("ab").version);
  CHECK(first.values[0].format() == 3);
  CHECK(first.values[0].ttl_ms() > 30000);
  CHECK(first.values[0].ttl_ms() <= 60000);
  CHECK(page(cache, 10, "", "nonexistent").keys.front() == string(PGCACHE_KEY_MAX, 'q'));
}

TEST_CASE("keys, stats and usage tell of what is stored, also of stale and invalidated entries, which no read gives",
          "[keys][stats][rule:freshness][rule:invalidate]") {
  Store store;
  Cache &cache = store.cache;
  pgcache_load_options how = PGCACHE_LOAD_OPTIONS_INIT;
  how.ttl_ms = 1;
  how.stale_ms = how.absent_ttl_ms = 3600000;
  const auto lease = [&](const string &key) {
    pgcache_value *value = nullptr;
    pgcache_load *load = nullptr;
    REQUIRE(pgcache_load_begin(cache.raw(), &value, &load, key.data(), key.size(), &how, nullptr, nullptr) ==
            PGCACHE_LEASE);
    return std::unique_ptr<pgcache_load, void (*)(pgcache_load *)>(load, pgcache_load_free);
  };
  REQUIRE(cache.put("fresh", "v") == PGCACHE_OK);
  REQUIRE(pgcache_load_fill(lease("stale").get(), nullptr, "v", 1, 0, nullptr, nullptr) == PGCACHE_OK);
  REQUIRE(pgcache_load_fill_absent(lease("absent").get(), nullptr, nullptr, nullptr) == PGCACHE_OK);
  pgcache_dependency tag = PGCACHE_DEPENDENCY_INIT;
  tag.name = "tag";
  tag.name_len = 3;
  Options tagged;
  tagged.dependencies = &tag;
  tagged.dependency_count = 1;
  REQUIRE(cache.put("invalidated", "v", PGCACHE_TTL_NEVER, 0, tagged) == PGCACHE_OK);
  REQUIRE(pgcache_invalidate(cache.raw(), &tag, 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(eventually([&] { return cache.exists("stale") == PGCACHE_MISS; }));
  for (const char *key : {"stale", "absent", "invalidated"}) {
    INFO(key);
    CHECK(cache.get(key) == PGCACHE_MISS);
    CHECK(cache.exists(key) == PGCACHE_MISS);
  }

  const Page listed = page(cache, 10);
  CHECK(listed.keys == std::vector<string>{"fresh", "invalidated", "stale"}); /* that there is no value is no entry */
  REQUIRE(listed.values.size() == 3);
  CHECK(listed.values[1].ttl_ms() == PGCACHE_TTL_NEVER);
  CHECK(pgcache_value_is_stale(listed.values[0].get()) == 0);
  CHECK(pgcache_value_is_stale(listed.values[1].get()) == 0);
  CHECK(pgcache_value_is_stale(listed.values[2].get()) == 1);
  CHECK(listed.values[2].ttl_ms() > 0); /* until the end of its life */
  /* These count rows: the absence is one, too. */
  CHECK(cache.stats().entries == 4);
  CHECK(cache.stats().expired == 0);
  pgcache_usage usage = PGCACHE_USAGE_INIT;
  size_t count = 0;
  const pgcache_status read = pgcache_read_usage(cache.raw(), &usage, 1, &count, nullptr, nullptr, nullptr);
  if (read != PGCACHE_DENIED) { /* a role that is kept to some namespaces has none */
    REQUIRE(read == PGCACHE_OK);
    CHECK(usage.entries == 4);
    CHECK(usage.expired == 0);
  } else {
    CHECK_FALSE(access_role().empty());
  }
}

TEST_CASE("keys refuses what cannot be", "[keys][rule:refuse]") {
  Store store;
  pgcache_value *out[2];
  size_t count = 9;
  pgcache *self = store.cache.raw();
  const string long_key(PGCACHE_KEY_MAX + 1, 'k');
  CHECK(pgcache_keys(self, out, 0, &count, nullptr, 0, nullptr, 0, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_keys(self, out, 1001, &count, nullptr, 0, nullptr, 0, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_keys(self, nullptr, 2, &count, nullptr, 0, nullptr, 0, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_keys(self, out, 2, nullptr, nullptr, 0, nullptr, 0, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_keys(self, out, 2, &count, nullptr, 1, nullptr, 0, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_keys(self, out, 2, &count, nullptr, 0, nullptr, 1, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_keys(self, out, 2, &count, long_key.data(), long_key.size(), nullptr, 0, nullptr, nullptr) ==
        PGCACHE_TOO_LARGE);
  CHECK(pgcache_keys(self, out, 2, &count, nullptr, 0, long_key.data(), long_key.size(), nullptr, nullptr) ==
        PGCACHE_TOO_LARGE);
  CHECK(count == 0);
}

TEST_CASE("stats counts what is there", "[stats]") {
  Store store;
  Cache &cache = store.cache;
  pgcache_store_stats s = cache.stats();
  CHECK(s.entries == 0);
  CHECK(s.expired == 0);
  CHECK(s.value_bytes == 0);
  CHECK(s.schema_version >= 1);
  CHECK(s.epoch >= 1);
  CHECK(s.logged == 0);
  CHECK(s.pool_open == 1);
  CHECK(s.pool_idle >= 0);
  CHECK(s.pool_idle <= 1);
  CHECK(std::to_string(s.server_version) == store.pg.one("SHOW server_version_num"));
  REQUIRE(cache.put("a", string(1000, 'a')) == PGCACHE_OK);
  REQUIRE(cache.put("b", string(50, 'b'), in_namespace("other")) == PGCACHE_OK);
  REQUIRE(cache.put("c", string(7, 'c'), 1) == PGCACHE_OK);
  sleep_ms(10);
  s = cache.stats();
  CHECK(s.entries == 2);
  CHECK(s.expired == 1);
  CHECK(s.value_bytes == 1057);
  CHECK(s.relation_bytes >= 8192);
  in_threads(6, [&](int) { cache.get("a"); });
  s = cache.stats();
  CHECK(s.pool_open >= 1);
  CHECK(s.pool_open <= 10);
  CHECK(s.pool_idle <= s.pool_open);
  CHECK(pgcache_stats(cache.raw(), nullptr, nullptr, nullptr) == PGCACHE_INVALID);

  Store logged(Settings{{"table", "logged"}});
  CHECK(logged.cache.stats().logged == 1);
}
