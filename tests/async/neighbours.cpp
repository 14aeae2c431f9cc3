/*
 * neighbours.cpp - what is sent together fails one by one: an entry that the server refuses, or that somebody else has locked,
 * costs its neighbours nothing but a moment.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/requests.hpp"

#include <thread>

using namespace test;
using std::string;

namespace {

/* Writes of these keys raise an error, as a damaged page or an administrator's trigger would. */
void refuse_keys(Store &store, const string &condition, const string &sqlstate = "XX001") {
  store.pg.exec(store.sql("CREATE OR REPLACE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                          " IF " +
                          condition + " THEN RAISE EXCEPTION 'refused' USING ERRCODE = '" + sqlstate +
                          "'; END IF;"
                          " IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$;"
                          "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {s}.entries FOR EACH ROW"
                          " EXECUTE FUNCTION {s}.refuse()"));
}

string key_of(int number) {
  return "k" + std::to_string(number);
}

/* Somebody else's transaction that has written these keys. */
class Locked {
public:
  Locked(const Store &store, const string &condition) : pg_(url()) {
    pg_.exec(store.sql("BEGIN; UPDATE {s}.entries SET expires_at = expires_at WHERE " + condition));
  }
  void end() {
    pg_.exec("COMMIT");
  }

private:
  Pg pg_;
};

void put_all(Store &store, int count) {
  std::vector<string> keys;
  Items items;
  for (int i = 0; i < count; i++)
    keys.push_back(key_of(i));
  for (const string &key : keys)
    items.add(key, "old");
  REQUIRE(pgcache_put_many(store.cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
}

} // namespace

TEST_CASE("One key that the server refuses fails alone among hundreds of puts", "[rule:parts][neighbours]") {
  Store store;
  const Requests requests(store.cache);
  refuse_keys(store, "NEW.key = 'k250'");
  std::vector<uint64_t> ids;
  const int count = 500;
  for (int i = 0; i < count; i++)
    ids.push_back(requests.put(key_of(i), "v").id);
  for (int i = 0; i < count; i++) {
    const Completion completion = requests.wait(ids[static_cast<size_t>(i)]);
    INFO(i << ": " << completion);
    if (i == 250) {
      CHECK(completion == PGCACHE_SERVER_ERROR);
      CHECK(completion.sqlstate() == "XX001");
      CHECK(completion.message().size() > 10);
      CHECK(completion.version() == 0);
    } else {
      CHECK(completion == PGCACHE_OK);
      CHECK(completion.version() > 0);
    }
  }
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries WHERE value = 'v'")) == std::to_string(count - 1));
}

TEST_CASE("The refused keys of put_many and remove_many fail alone; the status is the first item's error",
          "[rule:parts][neighbours]") {
  Store store;
  const Requests requests(store.cache);
  refuse_keys(store, "coalesce(NEW.key, OLD.key) IN ('k7', 'k77')");
  std::vector<string> keys;
  for (int i = 0; i < 100; i++)
    keys.push_back(key_of(i));
  for (auto *call : {pgcache_submit_put_many, pgcache_submit_remove_many}) {
    if (call == pgcache_submit_remove_many) {
      store.pg.exec(store.sql("ALTER TABLE {s}.entries DISABLE TRIGGER refuse"));
      put_all(store, 100);
      store.pg.exec(store.sql("ALTER TABLE {s}.entries ENABLE TRIGGER refuse"));
    }
    Items items;
    for (const string &key : keys)
      items.add(key, "v");
    const Completion completion = requests.wait(requests.many(call, items).id);
    CHECK(completion == PGCACHE_SERVER_ERROR);
    CHECK(completion.sqlstate() == "XX001");
    REQUIRE(completion.count() == 100);
    for (size_t i = 0; i < 100; i++) {
      INFO(i);
      CHECK(completion.item(i)->status == (i == 7 || i == 77 ? PGCACHE_SERVER_ERROR : PGCACHE_OK));
    }
  }
}

TEST_CASE("Refused single operations fail alone in their pipeline", "[rule:parts][neighbours]") {
  Store store;
  const Requests requests(store.cache);
  put_all(store, 100);
  refuse_keys(store, "coalesce(NEW.key, OLD.key) = 'k50'");
  std::vector<uint64_t> ids;
  for (int i = 0; i < 100; i++) {
    ids.push_back(requests.touch(key_of(i), 60000).id);
    ids.push_back(requests.replace(key_of(i), "w").id);
    ids.push_back(requests.get(key_of(i)).id);
    ids.push_back(requests.increment("n" + std::to_string(i)).id);
    ids.push_back(requests.add(key_of(i), "w").id);
  }
  const pgcache_status expected[] = {PGCACHE_OK, PGCACHE_OK, PGCACHE_OK, PGCACHE_OK, PGCACHE_EXISTS};
  for (size_t i = 0; i < ids.size(); i++) {
    const Completion completion = requests.wait(ids[i]);
    INFO(i / 5 << "." << i % 5 << " " << completion);
    const bool refused = i / 5 == 50 && i % 5 != 2 && i % 5 != 3;
    if (!refused)
      CHECK(completion == expected[i % 5]);
    else if (i % 5 != 4)
      CHECK(completion == PGCACHE_SERVER_ERROR);
  }
}

TEST_CASE("A get of a value that is too large fails alone among hundreds", "[rule:parts][neighbours]") {
  Store store;
  const Cache small = store.open({{"max_value_bytes", "1000"}});
  const Requests requests(small);
  put_all(store, 300);
  REQUIRE(store.cache.put("k150", string(5000, 'x')) == PGCACHE_OK);
  std::vector<uint64_t> ids;
  for (int i = 0; i < 300; i++)
    ids.push_back(requests.get(key_of(i)).id);
  for (int i = 0; i < 300; i++) {
    const Completion completion = requests.wait(ids[static_cast<size_t>(i)]);
    INFO(i << ": " << completion);
    CHECK(completion == (i == 150 ? PGCACHE_TOO_LARGE : PGCACHE_OK));
    if (i != 150)
      CHECK(completion.bytes() == "old");
  }
}

TEST_CASE("A row that somebody else has locked holds up nobody but who writes it",
          "[rule:parts][rule:late][neighbours]") {
  Store store;
  const int count = 400, slow = 200;
  put_all(store, count);
  const Requests requests(store.cache);
  int64_t deadline_ms = 3000; /* more and more, of who waits for the row: on a busy machine the others take longer */
  CHECK(in_one_of(4, [&] {
    Locked locked(store, "key = '" + key_of(slow) + "'");
    const int64_t start = now_ms();
    std::vector<uint64_t> puts, gets;
    int64_t put_until = 0;
    for (int i = 0; i < count; i++) {
      if (i == slow)
        put_until = now_ms() + deadline_ms;
      puts.push_back(requests.put(key_of(i), "new", deadline(i == slow ? deadline_ms : 60000)).id);
    }
    for (int i = 0; i < count; i++) { /* the slow one's time is over before the put's, which lets it go */
      const int64_t left_ms = i == slow ? put_until - now_ms() - 100 : 60000;
      gets.push_back(requests.get(key_of(i), deadline(std::max<int64_t>(left_ms, 1))).id);
    }
    int wrong = 0, wrong_gets = 0;
    for (int i = 0; i < count; i++) {
      if (i == slow)
        continue;
      const Completion put = requests.wait(puts[static_cast<size_t>(i)]);
      const Completion get = requests.wait(gets[static_cast<size_t>(i)]);
      wrong += put != PGCACHE_OK;
      wrong_gets += get.bytes() != "new";
    }
    CHECK(wrong == 0);
    CHECK(wrong_gets == 0);
    const bool in_time = now_ms() - start < deadline_ms - 500;
    const Completion put = requests.wait(puts[slow]), get = requests.wait(gets[slow]);
    CHECK((put == PGCACHE_UNKNOWN ||
           put == PGCACHE_TIMEOUT)); /* the latter: the server had given up its wait for the lock */
    CHECK(get == PGCACHE_TIMEOUT);
    const int64_t took = now_ms() - start;
    CHECK(took >= deadline_ms);
    if (in_time)
      CHECK(took < deadline_ms + 4000);
    locked.end();
    CHECK(requests.wait(requests.get(key_of(slow)).id).status() >= 0);
    deadline_ms *= 2;
    return in_time;
  }));
}

TEST_CASE("Writes behind a lock do not hold up what other keys ask meanwhile", "[rule:parts][rule:late][neighbours]") {
  Store store;
  put_all(store, 300);
  Locked locked(store, "key = 'k0'");
  const Requests requests(store.cache);
  const Submitted stuck = requests.put("k0", "new", deadline(120000));
  CHECK(eventually([&] {
    return store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%" +
                        store.schema() + "%'") != "0";
  }));
  /* One after the other, and in bursts that are worth a second round. */
  int64_t worst = 0;
  int wrong = 0;
  for (int round = 0; round < 30; round++) {
    const int64_t start = now_ms();
    std::vector<uint64_t> ids;
    for (int i = 1; i <= (round % 2 == 0 ? 1 : 200); i++) {
      ids.push_back(requests.get(key_of(i), deadline(60000)).id);
      ids.push_back(requests.put(key_of(i), "new", deadline(60000)).id);
    }
    for (const uint64_t id : ids)
      wrong += requests.wait(id) != PGCACHE_OK;
    worst = std::max(worst, now_ms() - start);
  }
  CHECK(wrong == 0);
  CHECK(worst < 20000); /* the lock is held until all are through */
  locked.end();
  CHECK(requests.wait(stuck.id) == PGCACHE_OK);
}

TEST_CASE("As many locked rows as there are connections, and the others' requests are still answered",
          "[rule:parts][rule:late][neighbours]") {
  Store store;
  const Cache cache = store.open({{"async_connections", "2"}});
  put_all(store, 300);
  Locked locked(store, "key IN ('k0', 'k1', 'k2', 'k3')");
  const Requests requests(cache);
  std::vector<uint64_t> stuck;
  for (int i = 0; i < 4; i++) {
    stuck.push_back(requests.put(key_of(i), "new", deadline(1000)).id);
    sleep_ms(20);
  }
  const int64_t start = now_ms();
  const Completion get = requests.wait(requests.get("k100", deadline(60000)).id);
  CHECK(get.bytes() == "old");
  CHECK(now_ms() - start < 20000); /* once their deadlines have passed */
  for (const uint64_t id : stuck) {
    const pgcache_status status = requests.wait(id).status();
    CHECK((status == PGCACHE_UNKNOWN || status == PGCACHE_TIMEOUT));
  }
  locked.end();
}

TEST_CASE("Many rows that others have locked: their neighbours are written in time all the same",
          "[rule:parts][rule:late][neighbours]") {
  Store store;
  const int count = 400;
  put_all(store, count);
  Locked locked(store, "key IN ('k10', 'k50', 'k90', 'k130', 'k170', 'k210', 'k250', 'k290', 'k330', 'k370')");
  const Requests requests(store.cache);
  const int64_t start = now_ms();
  std::vector<uint64_t> puts;
  for (int i = 0; i < count; i++)
    puts.push_back(requests.put(key_of(i), "new", deadline(120000)).id);
  int wrong = 0;
  for (int i = 0; i < count; i++) {
    if (i % 40 != 10)
      wrong += requests.wait(puts[static_cast<size_t>(i)]) != PGCACHE_OK;
  }
  CHECK(wrong == 0);
  CHECK(now_ms() - start < 30000); /* the rows stay locked until all of these are written */
  locked.end();
  for (int i = 10; i < count; i += 40)
    CHECK(requests.wait(puts[static_cast<size_t>(i)]) == PGCACHE_OK);
}

TEST_CASE("While writes wait for locks, new connections can be opened", "[rule:late][neighbours][direct]") {
  Store store;
  put_all(store, 100);
  const Cache cache = store.open({{"url", url_with({{"application_name", store.schema()}})}});
  const Requests requests(cache);
  Locked locked(store, "key IN ('k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7')");
  std::vector<uint64_t> stuck;
  for (int i = 0; i < 8; i++)
    stuck.push_back(requests.put(key_of(i), "new", deadline(120000)).id);
  sleep_ms(1500); /* they are where writes wait */
  store.pg.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle'",
      {store.schema()});
  const int64_t start = now_ms();
  for (int i = 50; i < 60; i++) {
    const Completion completion = requests.wait(requests.get(key_of(i), deadline(20000)).id);
    INFO(completion);
    CHECK(completion.bytes() == "old");
  }
  CHECK(now_ms() - start < 20000); /* the writes wait for longer */
  locked.end();
  for (const uint64_t id : stuck)
    CHECK(requests.wait(id) == PGCACHE_OK);
}

TEST_CASE("Gets make progress while large puts flood the handle", "[rule:parts][fairness]") {
  Store store;
  put_all(store, 100);
  const Requests requests(store.cache);
  const string large(100000, 'x');
  const int puts = longer(400, 5000);
  std::vector<int64_t> took;
  int done = 0;
  std::map<uint64_t, int64_t> gets;
  const auto take = [&] {
    while (const Completion completion = requests.take()) {
      if (completion.token() == 1) {
        took.push_back(now_ms() - gets.at(completion.id()));
        CHECK(completion.bytes() == "old");
      } else {
        CHECK(completion == PGCACHE_OK);
        done++;
      }
    }
  };
  int submitted = 0, number = 0;
  const int64_t begun = now_ms();
  for (const int64_t end = now_ms() + 60000; done < puts && now_ms() < end; take()) {
    for (; submitted < puts && submitted < done + 100; submitted++)
      REQUIRE(requests.put("large" + std::to_string(submitted % 200), large) == PGCACHE_OK);
    if (gets.size() < took.size() + 10)
      gets.emplace(requests.get(key_of(number++ % 100), with_token(1)).id, now_ms());
    requests.readable(1);
  }
  const int64_t all_ms = now_ms() - begun;
  while (took.size() < gets.size() && requests.readable(30000))
    take();
  CHECK(done == puts);
  REQUIRE(took.size() == gets.size());
  std::sort(took.begin(), took.end());
  WARN(took.size() << " gets beside " << puts << " puts of 100 kB: median " << took[took.size() / 2] << " ms, worst "
                   << took.back() << " ms, all in " << all_ms << " ms");
  /* Behind the puts that are under way at a time it would take a quarter of all. */
  CHECK(took[took.size() / 2] < std::max<int64_t>(200, all_ms / 10));
  CHECK(took.back() < std::max<int64_t>(2000, all_ms));
}
