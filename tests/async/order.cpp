/*
 * order.cpp - requests for one key take effect in the order of submission, however they are batched, and whatever becomes of
 * the connections meanwhile.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/requests.hpp"

#include <algorithm>
#include <random>

using namespace test;
using std::string;

namespace {

enum class Kind { Put, Get, Remove, Exists };

struct Asked {
  Kind kind;
  size_t key;
  uint64_t number; /* of the request, among all */
};

/* The writes of one key in the order of submission, and which of them certainly happened. The value that a write leaves is its
   own number; a removal leaves none. */
struct Write {
  uint64_t number;
  bool removes;
  enum { Pending, Done, Perhaps, Not } fate = Pending;
};

struct Model {
  std::vector<std::vector<Write>> writes;
  explicit Model(size_t keys) : writes(keys) {}

  void ended(const Asked &asked, pgcache_status status) {
    auto &all = writes[asked.key];
    const auto write = std::lower_bound(all.begin(), all.end(), asked.number,
                                        [](const Write &left, uint64_t number) { return left.number < number; });
    write->fate = status >= 0 ? Write::Done : status == PGCACHE_UNKNOWN ? Write::Perhaps : Write::Not;
  }

  /* A read that was submitted as number `at` found the value of write `found`, or nothing (found 0): may it have? Its
     floor is the last write before it that certainly happened. */
  bool may_find(const Asked &read, uint64_t found) const {
    const auto &all = writes[read.key];
    size_t floor = all.size(); /* all.size(): none */
    for (size_t i = 0; i < all.size() && all[i].number < read.number; i++) {
      if (all[i].fate == Write::Done)
        floor = i;
    }
    if (floor == all.size() && found == 0)
      return true; /* nothing certain before it */
    for (size_t i = floor == all.size() ? 0 : floor; i < all.size(); i++) {
      const bool happened = all[i].fate == Write::Done || all[i].fate == Write::Perhaps;
      if (happened && (found == 0 ? all[i].removes : !all[i].removes && all[i].number == found))
        return true;
    }
    return false;
  }
};

struct Found {
  Asked asked;
  pgcache_status status;
  uint64_t value;
  int64_t version;
};

string key_name(size_t key) {
  return "key" + std::to_string(key);
}

/* Those for one key are done one after the other: the last of them may have to wait for long on a busy machine. */
const Settings patient = {{"timeout_ms", "120000"}};

/* Random requests for few keys, many in flight; gives what was found, to be judged when all fates are known. */
void run_model(Store &store, Cache &cache, size_t keys, uint64_t count, size_t in_flight, bool unknowns_allowed,
               const std::function<void(uint64_t)> &meanwhile) {
  const Requests requests(cache);
  std::mt19937_64 random(seed());
  INFO("seed " << seed());
  Model model(keys);
  std::map<uint64_t, Asked> under_way;
  std::vector<Found> found;
  std::vector<std::vector<std::pair<uint64_t, int64_t>>> versions(keys); /* of puts: number, version */
  size_t failed = 0;
  const auto take_one = [&] {
    const Completion completion = requests.next();
    REQUIRE(completion);
    const auto it = under_way.find(completion.id());
    REQUIRE(it != under_way.end());
    const Asked asked = it->second;
    under_way.erase(it);
    const pgcache_status status = completion.status();
    failed += status < 0;
    if (!unknowns_allowed && status < 0)
      FAIL("a request failed: " << completion);
    switch (asked.kind) {
    case Kind::Put:
      if (status == PGCACHE_OK)
        versions[asked.key].emplace_back(asked.number, completion.version());
      model.ended(asked, status);
      break;
    case Kind::Remove:
      model.ended(asked, status);
      break;
    case Kind::Get:
      if (status >= 0)
        found.push_back(
            {asked, status, status == PGCACHE_OK ? std::stoull(completion.bytes()) : 0, completion.value().version()});
      break;
    case Kind::Exists:
      if (status >= 0)
        found.push_back({asked, status, 0, 0});
      break;
    }
  };
  for (uint64_t number = 1; number <= count; number++) {
    while (under_way.size() >= in_flight)
      take_one();
    const uint64_t draw = random() % 100;
    const Asked asked = {draw < 40   ? Kind::Put
                         : draw < 80 ? Kind::Get
                         : draw < 90 ? Kind::Remove
                                     : Kind::Exists,
                         random() % keys, number};
    const string key = key_name(asked.key);
    Submitted submitted;
    switch (asked.kind) {
    case Kind::Put:
      submitted = requests.put(key, std::to_string(number));
      break;
    case Kind::Remove:
      submitted = requests.remove(key);
      break;
    case Kind::Exists:
      submitted = requests.exists(key);
      break;
    default:
      submitted = requests.get(key);
    }
    REQUIRE(submitted == PGCACHE_OK);
    under_way.emplace(submitted.id, asked);
    if (asked.kind == Kind::Put || asked.kind == Kind::Remove)
      model.writes[asked.key].push_back({number, asked.kind == Kind::Remove});
    meanwhile(number);
  }
  while (!under_way.empty())
    take_one();
  CHECK_FALSE(requests.take());

  size_t wrong = 0, hits = 0;
  for (const Found &each : found) {
    hits += each.status == PGCACHE_OK;
    if (each.asked.kind == Kind::Exists ? each.status == PGCACHE_MISS && !model.may_find(each.asked, 0)
                                        : !model.may_find(each.asked, each.value))
      wrong++;
  }
  CHECK(wrong == 0);
  CHECK(hits > 0);
  for (auto &of_key : versions) { /* in the order of submission they rise */
    std::sort(of_key.begin(), of_key.end());
    for (size_t i = 1; i < of_key.size(); i++)
      REQUIRE(of_key[i].second > of_key[i - 1].second);
  }
  for (size_t key = 0; key < keys;
       key++) { /* what stands there in the end: the last certain write, or something newer */
    const Answer last = store.cache.get(key_name(key));
    REQUIRE(last.status >= 0);
    CHECK(model.may_find({Kind::Get, key, UINT64_MAX}, last == PGCACHE_OK ? std::stoull(last.bytes()) : 0));
  }
  if (unknowns_allowed)
    WARN(failed << " of " << count << " requests failed meanwhile");
}

} // namespace

TEST_CASE("Random requests for few keys against a model: a get sees what was put before it, or something newer",
          "[rule:key_order][model]") {
  Store store;
  for (const char *connections : {"1", "4"}) {
    INFO(connections << " connections");
    Cache cache = store.open({{"async_connections", connections}, {"timeout_ms", "120000"}});
    store.pg.exec(store.sql("DELETE FROM {s}.entries"));
    run_model(store, cache, 20, static_cast<uint64_t>(longer(15000, 300000)), 3000, false, [](uint64_t) {});
    store.pg.exec(store.sql("DELETE FROM {s}.entries"));
    run_model(store, cache, 3, static_cast<uint64_t>(longer(3000, 60000)), 500, false, [](uint64_t) {});
  }
}

TEST_CASE("The order holds while backends are killed", "[rule:key_order][rule:once][model][direct]") {
  Store store;
  Cache cache = store.open({{"async_connections", "3"},
                            {"breaker_failures", "0"},
                            {"url", url_with({{"application_name", store.schema()}})}});
  Pg killer(url());
  int64_t next = now_ms() + 20;
  int killed = 0;
  run_model(store, cache, 20, static_cast<uint64_t>(longer(50000, 500000)), 2000, true, [&](uint64_t) {
    if (now_ms() < next)
      return;
    next = now_ms() + 20;
    killed += std::stoi(killer.one("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                                   " WHERE application_name = '" +
                                   store.schema() + "'"));
  });
  CHECK(killed > 0);
}

TEST_CASE("Two puts of one key each get their own version, which rises", "[rule:key_order]") {
  Store store(patient);
  const Requests requests(store.cache);
  std::vector<uint64_t> ids;
  for (int i = 0; i < 200; i++)
    ids.push_back(requests.put("k", std::to_string(i)).id);
  int64_t last = 0;
  for (const uint64_t id : ids) {
    const Completion completion = requests.wait(id);
    REQUIRE(completion == PGCACHE_OK);
    CHECK(completion.version() > last);
    last = completion.version();
  }
  const Answer found = store.cache.get("k");
  CHECK(found.bytes() == "199");
  CHECK(found.version == last);
}

TEST_CASE("A get behind a put reads it, in every pair of thousands", "[rule:key_order]") {
  Store store(patient);
  const Requests requests(store.cache);
  std::vector<std::pair<uint64_t, uint64_t>> pairs;
  const int count = longer(3000, 40000);
  for (int i = 0; i < count; i++) {
    const string key = "k" + std::to_string(i), value = "v" + std::to_string(i);
    const uint64_t put = requests.put(key, value).id, get = requests.get(key).id;
    pairs.emplace_back(put, get);
  }
  for (int i = 0; i < count; i++) {
    const Completion get = requests.wait(pairs[static_cast<size_t>(i)].second);
    const Completion put = requests.wait(pairs[static_cast<size_t>(i)].first);
    REQUIRE(put == PGCACHE_OK);
    REQUIRE(get.bytes() == "v" + std::to_string(i));
    REQUIRE(get.value().version() == put.version());
  }
}

TEST_CASE("Writes of all kinds keep their order: counters, conditions, removals", "[rule:key_order]") {
  Store store(patient);
  const Requests requests(store.cache);
  std::vector<uint64_t> increments, conditions;
  for (int i = 0; i < 300; i++) {
    increments.push_back(requests.increment("n").id);
    conditions.push_back(requests.add("a", "v").id);
    conditions.push_back(requests.replace("a", "w").id);
    conditions.push_back(requests.remove("a").id);
    conditions.push_back(requests.replace("a", "x").id);
    conditions.push_back(requests.touch("a", 60000).id);
  }
  for (int i = 0; i < 300; i++) {
    const Completion completion = requests.wait(increments[static_cast<size_t>(i)]);
    REQUIRE(completion == PGCACHE_OK);
    CHECK(completion.number() == i + 1);
  }
  const pgcache_status expected[] = {PGCACHE_OK, PGCACHE_OK, PGCACHE_OK, PGCACHE_MISS, PGCACHE_MISS};
  for (size_t i = 0; i < conditions.size(); i++) {
    INFO(i % 5);
    CHECK(requests.wait(conditions[i]) == expected[i % 5]);
  }
}

TEST_CASE("Multi-key requests stand in the same order as single ones, with duplicates",
          "[rule:key_order][rule:parts]") {
  Store store(patient);
  const Requests requests(store.cache);
  for (int round = 0; round < 30; round++) {
    std::vector<string> keys, values;
    Items puts, gets, removes;
    for (int i = 0; i < 100; i++) {
      keys.push_back("k" + std::to_string(i));
      values.push_back(std::to_string(round) + "/" + std::to_string(i));
    }
    for (size_t i = 0; i < 100; i++) {
      puts.add(keys[i], "not this one");
      gets.add(keys[i]);
      removes.add(keys[i]);
    }
    for (size_t i = 0; i < 100; i++)
      puts.add(keys[i], values[i]);
    const uint64_t put = requests.many(pgcache_submit_put_many, puts).id;
    const uint64_t single = requests.get("k7").id;
    const uint64_t get = requests.many(pgcache_submit_get_many, gets).id;
    const uint64_t remove = requests.many(pgcache_submit_remove_many, removes).id;
    const uint64_t after = requests.exists("k7").id;
    const Completion stored = requests.wait(put), read = requests.wait(get), removed = requests.wait(remove);
    CHECK(stored == PGCACHE_OK);
    CHECK(read == PGCACHE_OK);
    CHECK(removed == PGCACHE_OK);
    REQUIRE(stored.count() == 200);
    REQUIRE(read.count() == 100);
    /* A read that has been let in may find what came behind it, too: here the removal. */
    const Completion seventh = requests.wait(single);
    CHECK((seventh == PGCACHE_MISS || seventh.bytes() == values[7]));
    CHECK(requests.wait(after) == PGCACHE_MISS);
    for (size_t i = 0; i < 100; i++) {
      CHECK(stored.item(i)->version == stored.item(i + 100)->version);
      CHECK((read.item(i)->status == PGCACHE_MISS || read.bytes(i) == values[i]));
      CHECK(removed.item(i)->status == PGCACHE_OK);
    }
  }
}
