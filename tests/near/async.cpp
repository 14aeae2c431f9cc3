/*
 * async.cpp - requests with a near cache: answered at once where there is a copy, completed once as all others, and never
 * before a write of the same key that was submitted earlier.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"
#include "support/requests.hpp"

#include <map>
#include <random>

using namespace test;
using std::string;

TEST_CASE("A request that a copy answers is complete at once, and is completed as all others", "[rule:once][async]") {
  Deaf deaf(Settings{{"near_absent_ms", "60000"}, {"async_requests_max", "3"}});
  Requests requests(deaf.cache);
  REQUIRE(deaf.other.put("k", "value") == PGCACHE_OK);
  REQUIRE(comes_near(deaf.cache, "k", "value"));
  REQUIRE(comes_near(deaf.cache, "none", "absent"));
  CHECK(!requests.readable());

  SECTION("taken") {
    Options options = deadline(0);
    options.token = 7;
    const Submitted get = requests.get("k", options), exists = requests.exists("k", deadline(0)),
                    none = requests.get("none", deadline(0));
    REQUIRE(get == PGCACHE_OK);
    REQUIRE(exists == PGCACHE_OK);
    REQUIRE(none == PGCACHE_OK);
    CHECK(requests.readable());
    CHECK(requests.cancel(get.id) == PGCACHE_MISS); /* too late */
    CHECK(requests.get("k") == PGCACHE_QUEUE_FULL);
    const auto all = requests.collect(3, 0);
    REQUIRE(all.size() == 3);
    CHECK(all.at(get.id) == PGCACHE_OK);
    CHECK(all.at(get.id).bytes() == "value");
    CHECK(all.at(get.id).token() == 7);
    CHECK(all.at(get.id).version() == 0);
    CHECK(all.at(exists.id) == PGCACHE_OK);
    CHECK(all.at(exists.id).count() == 0);
    CHECK(all.at(none.id) == PGCACHE_MISS);
    CHECK(all.at(none.id).count() == 0);
    CHECK(!requests.readable());
    CHECK(!requests.take());
  }
  SECTION("waited for") {
    const Submitted get = requests.get("k", deadline(0));
    const Completion completion = requests.wait(get.id, 0);
    CHECK(completion.bytes() == "value");
    CHECK(completion.value().get() == deaf.cache.get("k").value.get());
    CHECK(!requests.take());
    CHECK(!requests.wait(get.id, 0));
  }
  SECTION("called back, also by a thread that waits in dispatch already") {
    int called = 0, wrong = 0;
    Callback callback([&](const pgcache_completion *completion) {
      called++;
      wrong += pgcache_completion_status(completion) != PGCACHE_OK;
    });
    CHECK(requests.get("k", callback.options()) == PGCACHE_OK);
    CHECK(called == 0);
    CHECK(requests.dispatch(0) == 1);
    CHECK(called == 1);
    size_t dispatched = 0;
    std::thread dispatcher([&] { dispatched = requests.dispatch(30000); });
    sleep_ms(50);
    CHECK(requests.get("k", callback.options()) == PGCACHE_OK);
    dispatcher.join();
    CHECK(dispatched == 1);
    CHECK(called == 2);
    CHECK(wrong == 0);
  }
  SECTION("after a shutdown there are no requests, and what was complete can be taken") {
    const Submitted get = requests.get("k");
    deaf.cache.shutdown();
    CHECK(requests.get("k") == PGCACHE_CLOSED);
    CHECK(requests.take().bytes() == "value");
    CHECK(get == PGCACHE_OK);
  }
  SECTION("PGCACHE_READ_STORE asks") {
    REQUIRE(deaf.other.put("more", "value") == PGCACHE_OK);
    CHECK(requests.wait(requests.get("k", from_store()).id).bytes() == "value");
    Options options = from_store();
    options.deadline_ms = 0;
    CHECK(requests.wait(requests.get("k", options).id) == PGCACHE_TIMEOUT);
  }
}

TEST_CASE("get_many as a request asks for what there is no copy of", "[rule:parts][async]") {
  Deaf deaf;
  Requests requests(deaf.cache);
  for (const char *key : {"a", "b", "c"})
    REQUIRE(deaf.other.put(key, key) == PGCACHE_OK);
  for (const char *key : {"a", "c"})
    REQUIRE(comes_near(deaf.cache, key, key));
  listens(deaf.cache);
  deaf.deafen();
  const auto right = [&](const Completion &completion) {
    CHECK(completion == PGCACHE_OK);
    REQUIRE(completion.count() == 5);
    const char *expected[] = {"c", "b", "a", "", "a"};
    for (size_t i = 0; i < 5; i++) {
      CHECK(completion.item(i)->status == (i == 3 ? PGCACHE_MISS : PGCACHE_OK));
      CHECK(completion.bytes(i) == expected[i]);
    }
  };
  Items items;
  for (const char *key : {"c", "b", "a", "none", "a"})
    items.add(key);
  right(requests.wait(requests.many(pgcache_submit_get_many, items).id));
  CHECK(copy_of(deaf.cache, "b") == "b"); /* what was read is a copy now */
  right(requests.wait(requests.many(pgcache_submit_get_many, items).id));

  Items near;
  for (const char *key : {"c", "b", "a"})
    near.add(key);
  const Completion at_once = requests.wait(requests.many(pgcache_submit_get_many, near, deadline(0)).id, 0);
  REQUIRE(at_once.count() == 3);
  CHECK(at_once == PGCACHE_OK);
  CHECK(at_once.bytes(1) == "b");

  /* What a deadline cuts off keeps what was answered. */
  const Completion late = requests.wait(requests.many(pgcache_submit_get_many, items, deadline(0)).id);
  CHECK(late == PGCACHE_TIMEOUT);
  REQUIRE(late.count() == 5);
  CHECK(late.bytes(0) == "c");
  CHECK(late.item(3)->status == PGCACHE_TIMEOUT);
  deaf.hear();
}

TEST_CASE("A read submitted behind a write waits for it, whatever copies there are or come",
          "[rule:key_order][async]") {
  Deaf deaf;
  Requests requests(deaf.cache);
  REQUIRE(deaf.other.put("k", "old") == PGCACHE_OK);
  REQUIRE(comes_near(deaf.cache, "k", "old"));
  deaf.deafen();
  deaf.store.pg.exec(deaf.store.sql("BEGIN; SELECT 1 FROM {s}.entries FOR UPDATE"));
  const Submitted put = requests.put("k", "new");
  REQUIRE(put == PGCACHE_OK);
  /* A read of another call still finds the old value, and makes a copy of it, before the write is done. */
  CHECK(deaf.cache.get("k", from_store()).bytes() == "old");
  CHECK(deaf.cache.get("k").bytes() == "old");
  Items many;
  many.add("k");
  const Submitted get = requests.get("k"), exists = requests.exists("k"),
                  items = requests.many(pgcache_submit_get_many, many), cut = requests.get("k", deadline(100));
  CHECK(requests.wait(cut.id) == PGCACHE_TIMEOUT); /* and not the old value */
  CHECK(!requests.wait(get.id, 0));
  CHECK(!requests.wait(exists.id, 0));
  CHECK(!requests.wait(items.id, 0));
  deaf.store.pg.exec("COMMIT");
  CHECK(requests.wait(put.id) == PGCACHE_OK);
  CHECK(requests.wait(get.id).bytes() == "new");
  CHECK(requests.wait(exists.id) == PGCACHE_OK);
  CHECK(requests.wait(items.id).bytes() == "new");
  CHECK(deaf.cache.get("k").bytes() == "new");
  const Submitted again = requests.get("k", deadline(0)); /* the line is free: the copy answers */
  CHECK(requests.wait(again.id).bytes() == "new");
  deaf.hear();
}

TEST_CASE("Writes by requests are seen by all reads that begin after their completion", "[rule:own][async]") {
  Deaf deaf(Settings{{"near_absent_ms", "60000"}});
  Requests requests(deaf.cache);
  deaf.deafen();
  const auto done = [&](const Submitted &submitted) { return requests.wait(submitted.id).status(); };
  CHECK(deaf.cache.get("k") == PGCACHE_MISS);
  CHECK(done(requests.add("k", "1")) == PGCACHE_OK);
  CHECK(deaf.cache.get("k").bytes() == "1");
  CHECK(done(requests.put("k", "2")) == PGCACHE_OK);
  CHECK(deaf.cache.get("k").bytes() == "2");
  CHECK(copy_of(deaf.cache, "k") == "2");
  CHECK(done(requests.replace("k", "3")) == PGCACHE_OK);
  CHECK(deaf.cache.get("k").bytes() == "3");
  CHECK(done(requests.compare_and_swap("k", "4", deaf.cache.get("k").version)) == PGCACHE_OK);
  CHECK(deaf.cache.get("k").bytes() == "4");
  CHECK(done(requests.increment("k", 3)) == PGCACHE_NOT_A_COUNTER);
  CHECK(done(requests.touch("k", 5000000)) == PGCACHE_OK);
  CHECK(deaf.cache.get("k").value.ttl_ms() > 3600000);
  CHECK(done(requests.remove("k")) == PGCACHE_OK);
  CHECK(deaf.cache.get("k") == PGCACHE_MISS);
  Items items;
  items.add("k", "5");
  items.add("l", "6");
  CHECK(done(requests.many(pgcache_submit_put_many, items)) == PGCACHE_OK);
  CHECK(deaf.cache.get("k").bytes() == "5");
  CHECK(deaf.cache.get("l").bytes() == "6");
  CHECK(done(requests.many(pgcache_submit_remove_many, items)) == PGCACHE_OK);
  CHECK(deaf.cache.get("l") == PGCACHE_MISS);
  CHECK(done(requests.put("k", "7")) == PGCACHE_OK);
  CHECK(deaf.cache.get("k").bytes() == "7");
  CHECK(done(requests.flush(PGCACHE_FLUSH_NAMESPACE)) == PGCACHE_OK);
  CHECK(deaf.cache.get("k") == PGCACHE_MISS);
  deaf.hear();
}

TEST_CASE("Conditional writes by requests: what was stored is the copy, and where nothing was, there is none",
          "[rule:own][conditional][async]") {
  Deaf deaf;
  Requests requests(deaf.cache);
  deaf.deafen();
  const auto done = [&](const Submitted &submitted) { return requests.wait(submitted.id).status(); };
  /* Copies of this process hear nothing; the other one's writes are what the conditions meet. */
  const auto held = [&](const char *value) {
    REQUIRE(deaf.cache.put("k", value) == PGCACHE_OK);
    REQUIRE(copy_of(deaf.cache, "k") == value);
  };
  SECTION("that hold") {
    REQUIRE(deaf.other.remove("k").status >= 0);
    CHECK(done(requests.add("k", "added")) == PGCACHE_OK);
    CHECK(copy_of(deaf.cache, "k") == "added");
    CHECK(done(requests.replace("k", "replaced")) == PGCACHE_OK);
    CHECK(copy_of(deaf.cache, "k") == "replaced");
    const Completion swapped = requests.wait(requests.compare_and_swap("k", "swapped", deaf.cache.get("k").version).id);
    CHECK(swapped == PGCACHE_OK);
    /* What the entry depends on is not all known here, so its value is read. */
    CHECK(copy_of(deaf.cache, "k") == "nothing");
    const Answer read = deaf.cache.get("k");
    CHECK(read.bytes() == "swapped");
    CHECK(read.value.version() == swapped.version());
  }
  SECTION("that do not: the copy, which may be what misled the caller, is gone") {
    held("mine");
    const int64_t old = deaf.cache.get("k").version;
    REQUIRE(deaf.other.put("k", "theirs") == PGCACHE_OK);
    CHECK(done(requests.compare_and_swap("k", "swapped", old)) == PGCACHE_EXISTS);
    CHECK(copy_of(deaf.cache, "k") == "nothing");
    CHECK(deaf.cache.get("k").bytes() == "theirs");

    held("mine");
    CHECK(done(requests.add("k", "added")) == PGCACHE_EXISTS);
    CHECK(copy_of(deaf.cache, "k") == "nothing");

    held("mine");
    REQUIRE(deaf.other.remove("k") == PGCACHE_OK);
    CHECK(done(requests.replace("k", "replaced")) == PGCACHE_MISS);
    CHECK(copy_of(deaf.cache, "k") == "nothing");
    CHECK(deaf.cache.get("k") == PGCACHE_MISS);
  }
  SECTION("whose new value is not known here: touch, increment") {
    held("5");
    REQUIRE(deaf.cache.remove("k") == PGCACHE_OK);
    REQUIRE(deaf.cache.increment("k", 5) == PGCACHE_OK);
    REQUIRE(comes_near(deaf.cache, "k", deaf.other.get("k").bytes()));
    CHECK(done(requests.increment("k", 2)) == PGCACHE_OK);
    CHECK(copy_of(deaf.cache, "k") == "nothing");
    held("v");
    CHECK(done(requests.touch("k", 600000)) == PGCACHE_OK);
    CHECK(copy_of(deaf.cache, "k") == "nothing");
    CHECK(deaf.cache.get("k").bytes() == "v");
  }
  SECTION("a read behind one finds what it made, not the copy") {
    held("mine");
    const int64_t version = deaf.cache.get("k").version;
    deaf.store.pg.exec(deaf.store.sql("BEGIN; SELECT 1 FROM {s}.entries FOR UPDATE"));
    const Submitted swap = requests.compare_and_swap("k", "swapped", version), get = requests.get("k");
    CHECK(!requests.wait(get.id, 50));
    deaf.store.pg.exec("COMMIT");
    CHECK(requests.wait(swap.id) == PGCACHE_OK);
    CHECK(requests.wait(get.id).bytes() == "swapped");
  }
  deaf.hear();
}

TEST_CASE("What was cancelled, refused or failed leaves no line behind", "[rule:key_order][async]") {
  Deaf deaf(Settings{{"async_requests_max", "1"}});
  Requests requests(deaf.cache);
  deaf.deafen();
  REQUIRE(deaf.cache.put("k", "value") == PGCACHE_OK);
  deaf.store.pg.exec(deaf.store.sql("BEGIN; SELECT 1 FROM {s}.entries FOR UPDATE"));
  const Submitted put = requests.put("k", "new");
  CHECK(requests.put("k", "refused") == PGCACHE_QUEUE_FULL);
  CHECK(requests.put("k", "refused") == PGCACHE_QUEUE_FULL);
  CHECK(requests.cancel(put.id) == PGCACHE_OK);
  const pgcache_status how = requests.wait(put.id).status();
  CHECK((how == PGCACHE_CANCELLED || how == PGCACHE_UNKNOWN));
  deaf.store.pg.exec("ROLLBACK");
  CHECK(eventually(
      [&] {
        (void)deaf.cache.get("k");
        const Submitted get = requests.get("k", deadline(0));
        return get == PGCACHE_OK && requests.wait(get.id) == PGCACHE_OK;
      },
      20000));
  deaf.hear();
}

TEST_CASE("Random requests for few keys: a read finds what was submitted before it, or something newer",
          "[rule:key_order][model][async][threads]") {
  const bool deafened = GENERATE(true, false);
  Deaf deaf(Settings{{"async_connections", "4"}});
  Requests requests(deaf.cache);
  if (deafened)
    deaf.deafen();
  std::mt19937_64 random(seed());
  CAPTURE(deafened, seed());
  std::map<string, int> last;                       /* the number written last, by key */
  std::map<uint64_t, std::pair<string, int>> reads; /* by id: what was written before */
  int number = 0;
  size_t under_way = 0, wrong = 0;
  const auto drain = [&](size_t down_to) {
    while (under_way > down_to) {
      const Completion completion = requests.next();
      REQUIRE(completion);
      under_way--;
      const auto read = reads.find(completion.id());
      if (read == reads.end()) {
        wrong += completion != PGCACHE_OK;
        continue;
      }
      const int found = completion == PGCACHE_OK ? std::stoi(completion.bytes()) : 0;
      wrong += found < read->second.second;
    }
  };
  for (int i = 0; i < longer(6000, 60000); i++) {
    const string key = "k" + std::to_string(random() % 5);
    const uint64_t kind = random() % 10;
    if (kind < 2) {
      last[key] = ++number;
      REQUIRE(requests.put(key, std::to_string(number)) == PGCACHE_OK);
    } else if (kind == 2) {
      (void)deaf.cache.get(key, random() % 2 == 0 ? from_store() : Options()); /* makes copies */
      continue;
    } else {
      const Submitted get = requests.get(key);
      REQUIRE(get == PGCACHE_OK);
      reads[get.id] = {key, last[key]};
    }
    under_way++;
    drain(random() % 64);
  }
  drain(0);
  CHECK(wrong == 0);
  CHECK(deaf.cache.counters().near_hits > 100);
  deaf.hear();
}
