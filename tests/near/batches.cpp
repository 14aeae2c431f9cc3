/*
 * batches.cpp - calls on many keys with a near cache: only what it does not answer is asked for.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"

using namespace test;
using std::string;

namespace {

pgcache_status get_many(Cache &cache, Items &items, const Options &options = {}) {
  items.clear_results();
  return pgcache_get_many(cache.raw(), items.data(), items.size(), &options, nullptr);
}

} // namespace

TEST_CASE("get_many asks the server for what there is no copy of, and for nothing else", "[rule:batch][batches]") {
  Deaf deaf(Settings{{"near_absent_ms", "60000"}});
  const std::vector<string> keys = {"c", "a", "b", "none", "a", "large"};
  Items all;
  for (const auto &key : keys)
    all.add(key);
  for (const char *key : {"a", "b", "c"})
    REQUIRE(deaf.other.put(key, string("value of ") + key) == PGCACHE_OK);
  REQUIRE(deaf.other.put("large", string(3000000, 'x')) == PGCACHE_OK); /* more than a copy may take */
  const auto right = [&](pgcache_status status) {
    CHECK(status == PGCACHE_OK);
    for (const size_t i : {0u, 1u, 2u, 4u}) {
      CHECK(all[i].status == PGCACHE_OK);
      CHECK(all.bytes(i) == "value of " + keys[i]);
      CHECK(all[i].version == pgcache_value_version(all[i].result));
    }
    CHECK(all[1].result == all[4].result);
    CHECK(all[3].status == PGCACHE_MISS);
    CHECK(all[3].result == nullptr);
    CHECK(all[3].version == 0);
    CHECK(all.bytes(5).size() == 3000000);
  };
  right(get_many(deaf.cache, all));
  REQUIRE(eventually(
      [&] {
        bool near = copy_of(deaf.cache, "none") == "absent";
        for (const char *key : {"a", "b", "c"})
          near = near && copy_of(deaf.cache, key) == string("value of ") + key;
        right(get_many(deaf.cache, all));
        return near;
      },
      20000));
  deaf.deafen();
  const int64_t hits = deaf.cache.counters().near_hits;
  right(get_many(deaf.cache, all));
  CHECK(deaf.cache.counters().near_hits == hits + 4);

  /* Without the one that is not there the server is not needed. */
  Items near;
  for (const char *key : {"a", "none", "c"})
    near.add(key);
  CHECK(get_many(deaf.cache, near, deadline(0)) == PGCACHE_OK);
  CHECK(near.bytes(0) == "value of a");
  CHECK(near[1].status == PGCACHE_MISS);
  CHECK(get_many(deaf.cache, all, deadline(0)) == PGCACHE_TIMEOUT);
  CHECK(all[0].status == PGCACHE_OK);
  CHECK(all.bytes(0) == "value of c");
  CHECK(all[3].status == PGCACHE_MISS);
  CHECK(all[5].status == PGCACHE_TIMEOUT);

  Options options = from_store();
  options.deadline_ms = 0;
  CHECK(get_many(deaf.cache, near, options) == PGCACHE_TIMEOUT);
  CHECK(near[0].status == PGCACHE_TIMEOUT);
  CHECK(near[0].result == nullptr);
  REQUIRE(deaf.other.put("a", "new") == PGCACHE_OK);
  CHECK(get_many(deaf.cache, near) == PGCACHE_OK);
  CHECK(near.bytes(0) == "value of a"); /* nobody has told */
  CHECK(get_many(deaf.cache, near, from_store()) == PGCACHE_OK);
  CHECK(near.bytes(0) == "new");
  CHECK(get_many(deaf.cache, near, deadline(0)) == PGCACHE_OK);
  CHECK(near.bytes(0) == "new");

  /* One bad item refuses the call, and nothing of it is answered. */
  near.clear_results();
  near.add("");
  CHECK(get_many(deaf.cache, near) == PGCACHE_INVALID);
  CHECK(near[0].status == PGCACHE_INVALID);
  CHECK(near[0].result == nullptr);
  deaf.hear();
}

TEST_CASE("Thousands of keys, some near, in one call", "[rule:batch][batches]") {
  Deaf deaf;
  Items put, all;
  std::vector<string> keys;
  for (int i = 0; i < 3000; i++)
    keys.push_back("k" + std::to_string(i));
  for (const auto &key : keys) {
    put.add(key, key);
    all.add(key);
  }
  REQUIRE(pgcache_put_many(deaf.other.raw(), put.data(), put.size(), nullptr, nullptr) == PGCACHE_OK);
  listens(deaf.cache);
  deaf.deafen();
  Items some;
  for (size_t i = 0; i < keys.size(); i += 3)
    some.add(keys[i]);
  REQUIRE(get_many(deaf.cache, some) == PGCACHE_OK);
  const int64_t hits = deaf.cache.counters().near_hits;
  for (int round = 0; round < 2; round++) {
    REQUIRE(get_many(deaf.cache, all) == PGCACHE_OK);
    size_t right = 0;
    for (size_t i = 0; i < keys.size(); i++)
      right += all[i].status == PGCACHE_OK && all.bytes(i) == keys[i];
    CHECK(right == keys.size());
  }
  CHECK(deaf.cache.counters().near_hits >= hits + 3000);
  deaf.hear();
}

TEST_CASE("Writes of many keys are seen at once, and copies of all of them are right", "[rule:own][batches]") {
  Deaf deaf;
  deaf.deafen();
  Items put;
  put.add("a", "1");
  put.add("b", "2");
  put.add("a", "3"); /* the last one counts */
  REQUIRE(pgcache_put_many(deaf.cache.raw(), put.data(), put.size(), nullptr, nullptr) == PGCACHE_OK);
  CHECK(copy_of(deaf.cache, "a") == "3");
  CHECK(copy_of(deaf.cache, "b") == "2");
  CHECK(deaf.cache.get("a").version == put[0].version);
  Items gone;
  gone.add("b");
  gone.add("none");
  REQUIRE(pgcache_remove_many(deaf.cache.raw(), gone.data(), gone.size(), nullptr, nullptr) == PGCACHE_OK);
  CHECK(deaf.cache.get("b") == PGCACHE_MISS);
  CHECK(copy_of(deaf.cache, "a") == "3");
  deaf.hear();
}
