/*
 * unknown.cpp - the answer of a write that never came: PGCACHE_UNKNOWN, whether it happened or not, and never a
 * success or a failure that would be a guess.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <set>
#include <thread>

using namespace test;
using std::string;

namespace {

struct Write {
  const char *name;
  std::function<Answer(Cache &, int64_t expected)> run;
  const char *done; /* SQL that says whether it happened */
};

Answer put_many(Cache &cache, bool remove) {
  Answer answer;
  Items items;
  items.add("k", "new");
  items.add("also", "new");
  answer.status = remove ? pgcache_remove_many(cache.raw(), items.data(), 2, nullptr, &answer.error)
                         : pgcache_put_many(cache.raw(), items.data(), 2, nullptr, &answer.error);
  if (answer.status != PGCACHE_OK && (items[0].status != answer.status || items[1].version != 0)) {
    throw std::runtime_error("the items do not agree with the call");
  }
  return answer;
}

const char STORED[] = "SELECT {s}.get('k'::text) IS NOT DISTINCT FROM 'new'";
const char GONE[] = "SELECT NOT {s}.exists('k'::text)";

const std::vector<Write> &writes() {
  static const std::vector<Write> all = {
      {"put", [](Cache &c, int64_t) { return c.put("k", "new"); }, STORED},
      {"replace", [](Cache &c, int64_t) { return c.replace("k", "new"); }, STORED},
      {"add", [](Cache &c, int64_t) { return c.add("fresh", "new"); }, "SELECT {s}.exists('fresh'::text)"},
      {"compare_and_swap", [](Cache &c, int64_t expected) { return c.compare_and_swap("k", "new", expected); }, STORED},
      {"remove", [](Cache &c, int64_t) { return c.remove("k"); }, GONE},
      {"touch", [](Cache &c, int64_t) { return c.touch("k", PGCACHE_TTL_NEVER); },
       "SELECT expires_at = 'infinity' FROM {s}.entries WHERE key = 'k'"},
      {"increment", [](Cache &c, int64_t) { return c.increment("n", 5); }, "SELECT {s}.exists('n'::text)"},
      {"put_many", [](Cache &c, int64_t) { return put_many(c, false); }, STORED},
      {"remove_many", [](Cache &c, int64_t) { return put_many(c, true); }, GONE},
      {"flush", [](Cache &c, int64_t) { return c.flush(PGCACHE_FLUSH_NAMESPACE); }, GONE},
      {"flush all", [](Cache &c, int64_t) { return c.flush(PGCACHE_FLUSH_ALL); }, GONE},
  };
  return all;
}

/* Connects, has the server prepare the statement, and puts the entries as they shall be before the write. */
void prepare(Store &store, Cache &cache, const Write &write) {
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  REQUIRE(write.run(cache, store.cache.get("k").version).status >= 0);
  store.pg.exec(store.sql("DELETE FROM {s}.entries"));
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
}

} // namespace

TEST_CASE("A write whose answer was lost is UNKNOWN, and it happened", "[rule:unknown]") {
  Store store;
  Proxy proxy;
  for (const Write &write : writes()) {
    if (string(write.name) == "flush") /* its first statement only ends loads: it would not have happened yet */
      continue;
    INFO(write.name);
    Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
    prepare(store, cache, write);
    const int64_t expected = store.cache.get("k").version;
    Answer answer;
    std::atomic<bool> done{false};
    proxy.hold_answers(true);
    std::thread thread([&] {
      answer = write.run(cache, expected);
      done = true;
    });
    CHECK(eventually([&] { return store.pg.one(store.sql(write.done)) == "t"; }));
    CHECK_FALSE(done);
    proxy.cut();
    thread.join();
    proxy.hold_answers(false);
    INFO(answer);
    CHECK(answer == PGCACHE_UNKNOWN);
    CHECK(answer.error.status == PGCACHE_UNKNOWN);
    CHECK(answer.error.text().size() > 20);
    CHECK((answer.version <= 0 && answer.number <= 0));
    CHECK(store.pg.one(store.sql(write.done)) == "t");
    const int64_t version = store.cache.get("k").version;
    sleep_ms(20);
    CHECK(store.cache.get("k").version == version); /* it is not repeated behind our back */
  }
}

TEST_CASE("A write that was cut on its way to the server did not happen, or happened once on a new connection",
          "[rule:unknown]") {
  Store store;
  Proxy proxy;
  for (const Write &write : writes()) {
    INFO(write.name);
    Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
    prepare(store, cache, write);
    const int64_t expected = store.cache.get("k").version;
    proxy.cut_after(Proxy::TO_SERVER, 3);
    const Answer answer = write.run(cache, expected);
    INFO(answer);
    CHECK(proxy.was_cut());
    CHECK((answer == PGCACHE_UNKNOWN || answer == PGCACHE_UNAVAILABLE || answer == PGCACHE_OK));
    CHECK(store.pg.one(store.sql(write.done)) == (answer == PGCACHE_OK ? "t" : "f"));
    CHECK(eventually([&] { return cache.get("k").status >= 0; }));
  }
}

TEST_CASE("A backend that is terminated in the middle of a write", "[rule:unknown]") {
  Store store;
  const string name = store.schema();
  Cache cache = store.open({{"url", url_with({{"application_name", name}})}});
  REQUIRE(cache.put("k", "old") == PGCACHE_OK);
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at"));
  Answer answer;
  std::thread writer([&] { answer = cache.put("k", "new"); });
  CHECK(eventually([&] {
    return store.pg.one(
               "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'",
               {name}) == "1";
  }));
  store.pg.one("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = $1",
               {name});
  store.pg.exec("COMMIT");
  writer.join();
  INFO(answer);
  /* The server said that it gave up (57P01), but not what became of the statement; or the library tried again. */
  CHECK((answer == PGCACHE_UNKNOWN || answer == PGCACHE_UNAVAILABLE || answer == PGCACHE_OK));
  const string value = store.cache.get("k").bytes();
  if (answer == PGCACHE_OK)
    CHECK(value == "new");
  if (answer == PGCACHE_UNAVAILABLE)
    CHECK(value == "old");
}

TEST_CASE("Of a put_many whose second part was lost the first is done and the third was not sent",
          "[rule:unknown][rule:batch]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
  std::vector<string> keys;
  for (int i = 0; i < 2500; i++)
    keys.push_back("key" + std::to_string(i));
  Items items;
  for (const auto &key : keys)
    items.add(key, "v");
  REQUIRE(pgcache_put_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_OK);
  /* Find out how many bytes the first part's answer has, then cut within the second's. */
  const int64_t before = proxy.bytes(Proxy::TO_CLIENT);
  REQUIRE(pgcache_put_many(cache.raw(), items.data(), 1000, nullptr, nullptr) == PGCACHE_OK);
  const int64_t answer = proxy.bytes(Proxy::TO_CLIENT) - before;
  store.pg.exec(store.sql("DELETE FROM {s}.entries"));
  proxy.cut_after(Proxy::TO_CLIENT, answer + answer / 2);
  Error error;
  CHECK(pgcache_put_many(cache.raw(), items.data(), items.size(), nullptr, &error) == PGCACHE_UNKNOWN);
  std::set<string> stored;
  for (const Row &row : store.pg.query(store.sql("SELECT convert_from(key, 'UTF8') FROM {s}.entries"))) {
    stored.insert(row[0]);
  }
  std::map<pgcache_status, int> statuses;
  int wrong = 0;
  for (size_t i = 0; i < items.size(); i++) {
    const pgcache_status status = items[i].status;
    statuses[status]++;
    wrong += (items[i].version > 0) != (status == PGCACHE_OK);
    wrong += status == PGCACHE_OK && stored.count(keys[i]) == 0;
    wrong += status == PGCACHE_UNAVAILABLE && stored.count(keys[i]) != 0;
  }
  CHECK(wrong == 0);
  CHECK(statuses ==
        std::map<pgcache_status, int>{{PGCACHE_OK, 1000}, {PGCACHE_UNKNOWN, 1000}, {PGCACHE_UNAVAILABLE, 500}});
  CHECK((stored.size() == 1000 || stored.size() == 2000)); /* the lost part as a whole, or not at all */
}

TEST_CASE("A large write to a peer that seems to have gone is UNKNOWN where it may have arrived, and never done twice",
          "[rule:unknown][direct]") {
  Store store;
  store.pg.exec(store.sql(
      "CREATE SEQUENCE {s}.writes; CREATE FUNCTION {s}.count() RETURNS trigger LANGUAGE plpgsql AS "
      "$$ BEGIN PERFORM nextval('{s}.writes'); RETURN NULL; END $$;"
      "CREATE TRIGGER count AFTER INSERT OR UPDATE ON {s}.entries FOR EACH ROW EXECUTE FUNCTION {s}.count()"));
  int64_t before = 0; /* writes so far */
  const auto written = [&] {
    return std::stoll(store.pg.one(store.sql("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {s}.writes")));
  };
  Proxy proxy;
  std::map<pgcache_status, int> outcomes;
  for (const size_t size : {1000, 150000, 230000, 300000, 400000, 2000000}) {
    for (const bool opens_first : {false, true}) {
      Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
      REQUIRE(cache.put("k", "old") == PGCACHE_OK);
      before = written();
      proxy.black_hole(true);
      Answer answer;
      std::thread writer([&] { answer = cache.put("k", string(size, 'n'), deadline(3000)); });
      sleep_ms(60); /* as much as fits into the sockets is on its way */
      if (opens_first) {
        proxy.black_hole(false);
        proxy.half_close();
      } else {
        proxy.half_close();
        sleep_ms(60);
        proxy.black_hole(false);
      }
      writer.join();
      sleep_ms(150);
      const int64_t times = written() - before;
      INFO(answer << ", size " << size << ", written " << times << " times");
      outcomes[answer.status]++;
      CHECK((answer == PGCACHE_UNKNOWN || answer == PGCACHE_OK || answer == PGCACHE_UNAVAILABLE ||
             answer == PGCACHE_TIMEOUT));
      CHECK(times <= 1);
      if (answer == PGCACHE_OK)
        CHECK(times == 1);
      if (answer == PGCACHE_UNAVAILABLE || answer == PGCACHE_TIMEOUT)
        CHECK(times == 0);
      proxy.cut();
    }
  }
  CHECK(outcomes[PGCACHE_UNKNOWN] > 0);
}

TEST_CASE("A write that was given up while it waited for a row is not carried out much later", "[rule:unknown]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at"));
  const Answer answer = store.cache.put("k", "late", deadline(1000));
  INFO(answer);
  CHECK(answer == PGCACHE_UNKNOWN);
  sleep_ms(3000); /* the server looks every second whether its client is still there */
  store.pg.exec("COMMIT");
  sleep_ms(200);
  CHECK(store.cache.get("k").bytes() == "old");
}
