/*
 * published.cpp - what processes publish of their measurements: how often, for whom, what becomes of it when they end, and that
 * nobody's calls are worse for it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache_hooks.h"
#include "support/alloc_fail.hpp"
#include "support/catch.hpp"
#include "support/fork.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/secrets.hpp"
#include "support/server.hpp"

#include <atomic>
#include <csignal>
#include <cstring>
#include <set>
#include <thread>

using namespace test;
using std::string;

namespace {

/* On a machine with many other things to do a summary comes late. */
const int PATIENCE_MS = 30000;

class Snapshot {
public:
  explicit Snapshot(pgcache_snapshot *self) : self_(self, pgcache_snapshot_free) {}
  string origin() const {
    return pgcache_snapshot_origin(self_.get());
  }
  int64_t taken_at() const {
    return pgcache_snapshot_taken_at(self_.get());
  }
  /* How many calls of this operation it counts. */
  int64_t calls(const string &operation) const {
    int64_t calls = 0;
    for (size_t i = 0; i < pgcache_snapshot_size(self_.get()); i++)
      if (pgcache_snapshot_name(self_.get(), i) == string("pgcache_operation_duration_seconds") &&
          pgcache_snapshot_label_value(self_.get(), i, 0) == operation)
        calls += pgcache_snapshot_count(self_.get(), i);
    return calls;
  }

private:
  std::shared_ptr<pgcache_snapshot> self_;
};

struct Published {
  Answer answer;
  std::vector<Snapshot> snapshots;
  std::set<string> origins() const {
    std::set<string> out;
    for (const Snapshot &snapshot : snapshots)
      out.insert(snapshot.origin());
    return out;
  }
};

Published read(const Cache &cache, size_t room = 100, const char *after = nullptr) {
  Published out;
  std::vector<pgcache_snapshot *> found(room);
  size_t count = 77;
  out.answer.status =
      pgcache_read_published(cache.raw(), found.data(), room, &count, after, nullptr, &out.answer.error);
  for (size_t i = 0; i < count; i++)
    out.snapshots.emplace_back(found[i]);
  return out;
}

string own_origin(const Cache &cache) {
  pgcache_snapshot *snapshot = nullptr;
  if (pgcache_stats_snapshot(cache.raw(), &snapshot, nullptr) != PGCACHE_OK)
    return "no snapshot";
  return Snapshot(snapshot).origin();
}

Cache publisher(const Store &store, const Settings &more = {}) {
  Settings settings = {{"publish_ms", "1000"}};
  settings.insert(settings.end(), more.begin(), more.end());
  return store.open(settings);
}

bool comes(const Cache &reader, const string &origin) {
  return eventually([&] { return read(reader).origins().count(origin) == 1; }, PATIENCE_MS);
}

/* The one that is published; a process that gets no processor for three seconds is silent for a moment. */
Snapshot now(const Cache &reader) {
  Published found;
  if (!eventually([&] { return (found = read(reader)).snapshots.size() == 1; }, PATIENCE_MS))
    throw std::runtime_error("there is not one summary");
  return found.snapshots[0];
}

string rows(Store &store) {
  return store.pg.one(store.sql("SELECT count(*) FROM {s}.summaries"));
}

} // namespace

TEST_CASE("A process publishes what it measured, again and again, and any other reads it", "[published]") {
  Store store;
  CHECK(read(store.cache).snapshots.empty());
  Cache cache = publisher(store);
  const string origin = own_origin(cache);
  CHECK(rows(store) == "0"); /* it begins with the first call that asks the store */
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(comes(store.cache, origin));
  const int64_t first = now(store.cache).taken_at();
  CHECK(std::abs(first - std::stoll(store.pg.one("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)"))) <
        PATIENCE_MS);
  for (int i = 0; i < 9; i++)
    CHECK(cache.put("k", "v") == PGCACHE_OK);
  Snapshot last = now(store.cache);
  CHECK(eventually([&] { return (last = now(store.cache)).calls("put") == 10; }, PATIENCE_MS));
  CHECK(last.taken_at() > first);
  CHECK(rows(store) == "1");
  CHECK(store.pg.one(store.sql("SELECT interval_ms FROM {s}.summaries")) == "1000");
  CHECK(eventually(
      [&] { return cache.counters().summaries_published >= 2; })); /* it is counted after others can read it */
  CHECK(cache.counters().publish_failures == 0);
  CHECK(store.cache.counters().summaries_published == 0); /* it was not told to */
}

TEST_CASE("Who is silent for three intervals is not read, and who comes anew takes those away that are long silent",
          "[published]") {
  Store store;
  const auto write = [&](const string &origin) {
    return store.pg.one(store.sql("SELECT {s}.write_summary('" + origin + "', 2000, 'x')"));
  };
  const auto read_by_sql = [&] {
    return store.pg.one(store.sql("SELECT coalesce(string_agg(origin, ' '), '') FROM {s}.read_summaries(NULL, 9)"));
  };
  const auto age = [&](const string &origin, const string &by) {
    store.pg.exec(
        store.sql("UPDATE {s}.summaries SET at = at - interval '" + by + "' WHERE origin = '" + origin + "'"));
  };
  CHECK(write("a") == "t");
  CHECK(write("b") == "t");
  CHECK(write("c") == "t");
  CHECK(write("c") == "f");
  age("a", "6.1 s");
  age("b", "20.1 s");
  CHECK(read_by_sql() == "c");
  CHECK(write("c") == "f");
  CHECK(rows(store) == "3"); /* it is not anew */
  store.pg.exec("BEGIN");    /* somebody else is at the row: nobody waits for that */
  store.pg.exec(store.sql("SELECT FROM {s}.summaries WHERE origin = 'b' FOR UPDATE"));
  Pg other(url());
  CHECK(other.one(store.sql("SELECT {s}.write_summary('d', 2000, 'x')")) == "t");
  store.pg.exec("COMMIT");
  CHECK(rows(store) == "4");
  CHECK(write("e") == "t");
  CHECK(store.pg.one(store.sql("SELECT string_agg(origin, ' ' ORDER BY origin) FROM {s}.summaries")) == "a c d e");
  CHECK(write("a") == "f");
  CHECK(read_by_sql() == "a c d e");
}

TEST_CASE("Summaries come in pages, in the order of their origins; what cannot be read is left out of them",
          "[published][hostile]") {
  Store store;
  std::vector<Cache> caches;
  std::set<string> origins;
  for (int i = 0; i < 5; i++) {
    caches.push_back(publisher(store));
    origins.insert(own_origin(caches.back()));
    REQUIRE(caches.back().put("k", "v") == PGCACHE_OK);
  }
  REQUIRE(origins.size() == 5);
  REQUIRE(eventually([&] { return read(store.cache).origins() == origins; }, PATIENCE_MS));
  for (Cache &cache : caches)
    cache.free();
  store.pg.exec(store.sql("UPDATE {s}.summaries SET interval_ms = 3600000"));

  const auto pages = [&](size_t room) {
    std::vector<string> found;
    Published page;
    do {
      const string after = found.empty() ? "" : found.back();
      page = read(store.cache, room, found.empty() ? nullptr : after.c_str());
      REQUIRE(page.answer == PGCACHE_OK);
      for (const Snapshot &snapshot : page.snapshots)
        found.push_back(snapshot.origin());
    } while (page.snapshots.size() == room);
    return found;
  };
  const std::vector<string> all(origins.begin(), origins.end());
  for (size_t room : {1, 2, 5, 6, 1000})
    CHECK(pages(room) == all);

  /* Bytes that are none, that are cut, that are another's, and an origin that does not end in what it says. */
  store.pg.exec(store.sql("UPDATE {s}.summaries SET bytes = 'nonsense' WHERE origin = '" + all[0] + "'"));
  store.pg.exec(store.sql(
      "UPDATE {s}.summaries SET bytes = substr(bytes, 1, octet_length(bytes) / 2) WHERE origin = '" + all[2] + "'"));
  store.pg.exec(store.sql("UPDATE {s}.summaries SET origin = origin || '0' WHERE origin = '" + all[3] + "'"));
  for (int i = 0; i < 40; i++) /* more than one statement reads */
    store.pg.exec(store.sql("INSERT INTO {s}.summaries VALUES ('" + all[1] + "/" + std::to_string(100 + i) +
                            "', clock_timestamp(), 1000000, '')"));
  for (size_t room : {1, 2, 3, 1000})
    CHECK(pages(room) == std::vector<string>{all[1], all[4]});

  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.write_summary('', 1000, '')")) == "23514");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.write_summary(repeat('o', 256), 1000, '')")) == "23514");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.write_summary('o', 999, '')")) == "23514");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.write_summary('o', 3600001, '')")) == "23514");
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.write_summary('o', 1000, decode(repeat('00', 1048577), 'hex'))")) ==
        "23514");
}

TEST_CASE("Application roles publish and read; those kept to namespaces do neither, and their calls do not mind",
          "[published][roles]") {
  PrivateServer server;
  Pg admin(server.conninfo());
  const auto config = [&](const string &user, const Settings &settings) {
    Config out;
    out.set("url", server.conninfo(user)).set("schema", "c");
    for (const auto &[name, value] : settings)
      out.set(name, value);
    return out;
  };
  const auto let_in = [&](const string &role, const string &namespaces, const string &grants) {
    admin.exec("CREATE ROLE " + role + " LOGIN");
    const Answer answer =
        Cache(config("postgres", {{"app_role", role}, {"app_namespaces", namespaces}, {"grants", grants}})).init();
    INFO(answer);
    REQUIRE(answer.status >= 0);
  };
  let_in("with_functions", "", "functions");
  let_in("with_tables", "", "tables");
  let_in("kept", "default", "functions");
  let_in("kept_with_tables", "default", "tables");
  Cache owner(config("postgres", {}));
  for (const char *role : {"with_functions", "with_tables"}) {
    INFO(role);
    Cache cache(config(role, {{"publish_ms", "1000"}}));
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
    CHECK(comes(owner, own_origin(cache)));
    CHECK(comes(cache, own_origin(cache)));
    CHECK(Pg(server.conninfo(role)).sqlstate("TABLE c.summaries") == "42501");
  }
  for (const char *role : {"kept", "kept_with_tables"}) {
    INFO(role);
    Cache cache(config(role, {{"publish_ms", "1000"}}));
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
    CHECK(eventually([&] { return cache.counters().publish_failures >= 2; }, PATIENCE_MS));
    CHECK(cache.counters().summaries_published == 0);
    CHECK(read(cache).answer == PGCACHE_DENIED);
    CHECK(cache.get("k").bytes() == "v");
    CHECK(read(owner).origins().count(own_origin(cache)) == 0);
    Pg pg(server.conninfo(role));
    for (const char *sql : {"TABLE c.summaries", "SELECT c.read_summaries(NULL, 9)",
                            "SELECT c.write_summary('o', 1000, '')", "DELETE FROM c.summaries"}) {
      INFO(sql);
      CHECK(pg.sqlstate(sql) == "42501");
    }
  }
}

TEST_CASE("A handle that stores nothing, or that works on the application's connections, publishes nothing",
          "[published]") {
  Store store;
  Cache none(store.config({{"url", "null:"}, {"publish_ms", "1000"}}));
  CHECK(none.get("k") == PGCACHE_MISS);
  const Published nothing = read(none);
  CHECK(nothing.answer == PGCACHE_OK);
  CHECK(nothing.snapshots.empty());
  Pg pg(url());
  pgcache *made = nullptr;
  REQUIRE(pgcache_new_on_connection(&made, store.config({{"publish_ms", "1000"}}).get(), pg.raw(), nullptr) ==
          PGCACHE_OK);
  Cache borrowing(made);
  CHECK(borrowing.put("k", "v") == PGCACHE_OK);
  sleep_ms(2500);
  CHECK(rows(store) == "0");
  CHECK(read(borrowing).answer == PGCACHE_OK);
  for (Cache *cache : {&none, &borrowing}) {
    CHECK(cache->counters().summaries_published == 0);
    CHECK(cache->counters().publish_failures == 0);
  }
}

TEST_CASE("[A53] A child publishes for itself, under an origin of its own; its parent goes on",
          "[A53][published][rule:fork]") {
  Store store;
  Cache cache = publisher(store);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  const string origin = own_origin(cache);
  REQUIRE(comes(store.cache, origin));
  CHECK(in_child([&] {
          const string own = own_origin(cache);
          if (own == origin)
            return 1;
          if (cache.put("k", "w") != PGCACHE_OK)
            return 2;
          if (!comes(cache, own))
            return 3;
          if (!comes(cache, origin))
            return 4;
          cache.free(); /* waits for its own publisher alone */
          return 0;
        }) == 0);
  CHECK(in_child([&] {
          cache.free(); /* of which it has none */
          return 0;
        }) == 0);
  const int64_t before = cache.counters().summaries_published;
  CHECK(eventually([&] { return cache.counters().summaries_published > before; }, PATIENCE_MS));
  CHECK(cache.counters().publish_failures == 0);
}

TEST_CASE("A summary that cannot be published is counted, and the next one is tried", "[published]") {
  Store store;
  Proxy proxy;
  Cache cache = publisher(store, {{"url", proxy.conninfo()}, {"breaker_failures", "0"}});
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(comes(store.cache, own_origin(cache)));
  store.pg.exec(store.sql("ALTER TABLE {s}.summaries RENAME TO elsewhere"));
  const int64_t failures = cache.counters().publish_failures;
  CHECK(eventually([&] { return cache.counters().publish_failures > failures; }, PATIENCE_MS));
  CHECK(cache.put("k", "w") == PGCACHE_OK);
  CHECK(read(store.cache).answer == PGCACHE_SCHEMA_CHANGED);
  store.pg.exec(store.sql("ALTER TABLE {s}.elsewhere RENAME TO summaries"));
  int64_t published = cache.counters().summaries_published;
  CHECK(eventually([&] { return cache.counters().summaries_published > published; }, PATIENCE_MS));
  proxy.refuse(true);
  proxy.cut();
  const int64_t lost = cache.counters().publish_failures;
  CHECK(eventually([&] { return cache.counters().publish_failures > lost; }, PATIENCE_MS));
  proxy.refuse(false);
  published = cache.counters().summaries_published;
  CHECK(eventually([&] { return cache.counters().summaries_published > published; }, PATIENCE_MS));
}

TEST_CASE("The publisher ends with its handle at once, also while the server does not answer", "[published]") {
  Store store;
  Proxy proxy;
  {
    Cache cache = publisher(store, {{"publish_ms", "3600000"}});
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
    const int64_t began = now_ms();
    cache.free();
    CHECK(now_ms() - began < 60000); /* it had half an hour to sleep, give or take */
  }
  Cache cache = publisher(store, {{"url", proxy.conninfo()}, {"publish_ms", "10000"}, {"timeout_ms", "60000"}});
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  proxy.hold_answers(true);
  const int64_t before = proxy.bytes(Proxy::TO_SERVER);
  REQUIRE(
      eventually([&] { return proxy.bytes(Proxy::TO_SERVER) > before; }, PATIENCE_MS)); /* it waits for its answer */
  const int64_t began = now_ms();
  cache.free();
  CHECK(now_ms() - began < 8000); /* for which it had 10 seconds */
}

TEST_CASE("A loader that is still at work when its handle is freed asks for the publisher in vain", "[published]") {
  Store store;
  pgcache_load_options how = PGCACHE_LOAD_OPTIONS_INIT;
  how.ttl_ms = how.stale_ms = 60000;
  pgcache_value *value = nullptr;
  pgcache_load *load = nullptr;
  REQUIRE(pgcache_load_begin(store.cache.raw(), &value, &load, "k", 1, &how, nullptr, nullptr) == PGCACHE_LEASE);
  REQUIRE(pgcache_load_fill(load, nullptr, "old", 3, 0, nullptr, nullptr) == PGCACHE_OK);
  pgcache_load_free(load);
  store.pg.exec(store.sql("UPDATE {s}.entries SET fresh_until = clock_timestamp()"));

  struct Slow {
    std::atomic<bool> begun{false}, ended{false};
  } slow;
  pgcache_loader loader = PGCACHE_LOADER_INIT;
  loader.context = &slow;
  loader.load = [](void *context, pgcache_load *mine, pgcache_error *error) {
    auto self = static_cast<Slow *>(context);
    self->begun = true;
    sleep_ms(300);
    const pgcache_status status = pgcache_load_fill(mine, nullptr, "new", 3, 0, nullptr, error);
    self->ended = true;
    return status;
  };
  Cache cache = publisher(store, {{"publish_ms", "3600000"}});
  REQUIRE(pgcache_get_or_load(cache.raw(), &value, "k", 1, &how, &loader, nullptr, nullptr) == PGCACHE_STALE);
  pgcache_value_free(value);
  REQUIRE(eventually([&] { return slow.begun.load(); }));
  cache.free();
  CHECK(slow.ended);
}

TEST_CASE("Whoever comes first starts the publisher, of which there is one; and it ends whenever",
          "[published][threads]") {
  Store store;
  for (int round = 0; round < 5; round++) {
    Cache cache = publisher(store);
    in_threads(8, [&](int number) {
      const Answer put = cache.put("k", "v");
      if (number == 7 && round > 0)
        cache.shutdown();
      if (put != PGCACHE_OK && put != PGCACHE_CLOSED && put != PGCACHE_UNKNOWN)
        throw std::runtime_error(put.error.message);
    });
    if (round > 0)
      continue;
    CHECK(comes(store.cache, own_origin(cache)));
    const int64_t began = now_ms(), first = cache.counters().summaries_published;
    sleep_ms(3500);
    const int64_t published = cache.counters().summaries_published - first;
    CHECK(published <= (now_ms() - began) / 1000 + 2); /* two of them would publish seven times */
  }
}

TEST_CASE("[A62] What is published holds no key, value, password or address", "[A62][published][rule:secret]") {
  Store store;
  Cache cache =
      publisher(store, {{"url", url_with({{"password", canary}, {"application_name", canary}})}, {"namespace", "n"}});
  REQUIRE(cache.put(canary, canary) == PGCACHE_OK);
  REQUIRE(cache.get(canary) == PGCACHE_OK);
  REQUIRE(comes(store.cache, own_origin(cache)));
  string bytes;
  const auto tells_of_put = [&] { /* the first one may have been before it */
                                  bytes = store.pg.one(store.sql("SELECT encode(bytes, 'escape') FROM {s}.summaries"));
                                  CHECK_FALSE(shows_canary(bytes));
                                  return bytes.find("put") != string::npos;
  };
  CHECK(eventually(tells_of_put));
}

TEST_CASE("Where memory is short what is published is not read, and nothing is left behind", "[published][memory]") {
  Store store;
  Cache cache = publisher(store);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(comes(store.cache, own_origin(cache)));
  cache.free();
  store.pg.exec(store.sql("UPDATE {s}.summaries SET interval_ms = 3600000"));
  REQUIRE(read(store.cache).snapshots.size() == 1);
  const auto read_all = [&] { return read(store.cache).answer.status; };
  {
    const Allocations first(1, Failing::Once); /* that there was an outcome of this kind is remembered */
    CHECK(read_all() == PGCACHE_NO_MEMORY);
  }
  CHECK(fail_each_allocation(read_all) > 5);
}
