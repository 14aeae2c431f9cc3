/*
 * limits.cpp - limits of size: that they hold after a walk, that the coldest entries go and no others, that what is held is
 * counted exactly, and who may set limits and see what is held. Stamps of use are in stamps.cpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/keys.hpp"
#include "support/private_server.hpp"
#include "support/server.hpp"

using namespace test;
using std::string;

namespace {

/* Entry i of n was last used i seconds ago, and holds 104 bytes: a key of 4 and a value of 100. The order in the table is
   another one. */
void fill(Store &store, const string &name, int n) {
  store.pg.exec(store.sql("SELECT count({s}.put(lpad((i * 7919 % " + std::to_string(n) + ")::text, 4, '0'), " +
                          "decode(repeat('ab', 100), 'hex'), '1 hour', '" + name + "')) FROM generate_series(1, " +
                          std::to_string(n) + ") i"));
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = clock_timestamp() - convert_from(key, 'UTF8')::int * " +
                          string("interval '1 second' WHERE namespace = '") + name + "'"));
}

/* A whole walk. */
pgcache_cleanup_progress walk(Cache &cache) {
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  progress.restart = 1;
  const Answer answer = cache.cleanup_some(progress, 60000);
  INFO(answer);
  REQUIRE(answer == PGCACHE_OK);
  REQUIRE(progress.finished);
  return progress;
}

int64_t number(Store &store, const string &sql) {
  return std::stoll(store.pg.one(store.sql(sql)));
}

int64_t held(Store &store, const string &name) {
  return number(store, "SELECT count(*) FROM {s}.entries WHERE namespace = '" + name + "'");
}

pgcache_usage usage_of(Cache &cache, const string &name) {
  for (const pgcache_usage &usage : cache.usage()) {
    if (usage.namespace_name == name)
      return usage;
  }
  return PGCACHE_USAGE_INIT;
}

/* Of n entries filled in, about the `kept` hottest are there: ages are told apart by 19%. */
void check_hottest_stayed(Store &store, const string &name, int kept) {
  const string there = " FROM {s}.entries WHERE namespace = '" + name + "'";
  CHECK(number(store, "SELECT max(convert_from(key, 'UTF8')::int)" + there) < 1.2 * kept);
  CHECK(number(store, "SELECT count(*)" + there + " AND convert_from(key, 'UTF8')::int < " +
                          std::to_string(static_cast<int>(kept / 1.2))) == static_cast<int>(kept / 1.2));
}

/* Of a schema that roles share. */
Config config_of(const PrivateServer &server, const string &user, const Settings &more) {
  Config out;
  out.set("url", server.conninfo(user)).set("schema", "c");
  for (const auto &[name, value] : more)
    out.set(name, value);
  return out;
}

} // namespace

TEST_CASE("After a walk with nobody writing a limit holds, no more is gone than needed, and the hot stay", "[limits]") {
  const int n = 2000, bytes_each = 104;
  struct Case {
    int64_t entries, bytes, left;
  };
  for (const Case &limit : {Case{500, 0, 500}, Case{0, 500 * bytes_each, 500}, Case{0, 500 * bytes_each + 103, 500},
                            Case{700, 500 * bytes_each, 500}, Case{500, 700 * bytes_each, 500}, Case{2000, 0, 2000},
                            Case{1, 0, 1}, Case{0, 1, 0}, Case{INT64_MAX, INT64_MAX, 2000}}) {
    for (const bool all : {false, true}) {
      INFO((all ? "all: " : "namespace: ") << limit.entries << " entries, " << limit.bytes << " bytes");
      Store store;
      fill(store, "a", n);
      if (!all)
        fill(store, "b", 300);
      REQUIRE(store.cache.set_limits(all ? PGCACHE_LIMIT_ALL : PGCACHE_LIMIT_NAMESPACE, limit.entries, limit.bytes,
                                     in_namespace("a")) == PGCACHE_OK);
      CHECK(held(store, "a") == n); /* not before the walk */
      const pgcache_cleanup_progress progress = walk(store.cache);
      CHECK(progress.evicted == n - limit.left);
      CHECK(progress.removed == 0);
      CHECK(held(store, "a") == limit.left);
      if (limit.left > 1)
        check_hottest_stayed(store, "a", static_cast<int>(limit.left));
      CHECK(held(store, "b") == (all ? 0 : 300));
      /* The next walk finds nothing to do, and both count the same. */
      CHECK(walk(store.cache).evicted == 0);
      CHECK(number(store, "SELECT entries FROM {s}.janitor") == store.cache.usage().at(0).entries);
      CHECK(number(store, "SELECT bytes FROM {s}.janitor") == store.cache.usage().at(0).bytes);
    }
  }
}

TEST_CASE("Limits for one namespace, another, and for all hold together", "[limits]") {
  Store store;
  for (const char *name : {"a", "b", "c"})
    fill(store, name, 1000);
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 400, 0, in_namespace("a")) == PGCACHE_OK);
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 0, 50 * 104, in_namespace("b")) == PGCACHE_OK);
  CHECK(walk(store.cache).evicted == 600 + 950);
  CHECK(held(store, "a") == 400);
  CHECK(held(store, "b") == 50);
  CHECK(held(store, "c") == 1000); /* the other one has no limit */
  check_hottest_stayed(store, "a", 400);
  check_hottest_stayed(store, "b", 50);
  /* Now all together: the coldest are c's. */
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_ALL, 950, 0) == PGCACHE_OK);
  CHECK(walk(store.cache).evicted == 500);
  CHECK(held(store, "a") + held(store, "b") + held(store, "c") == 950);
  CHECK(held(store, "b") == 50);
  CHECK(held(store, "a") > 380);
  check_hottest_stayed(store, "c", 500);
}

TEST_CASE("Entries of different sizes: the bytes hold, and at most one entry's too much is gone", "[limits]") {
  Store store;
  fill(store, "a", 1000);
  store.pg.exec(
      store.sql("UPDATE {s}.entries SET value = decode(repeat('ab', 1 + convert_from(key, 'UTF8')::int * 37 % "
                "2000), 'hex')"));
  const int64_t bytes = store.cache.usage().at(0).bytes, limit = bytes / 3;
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_ALL, 0, limit) == PGCACHE_OK);
  walk(store.cache);
  CHECK(store.cache.usage().at(0).bytes <= limit);
  CHECK(store.cache.usage().at(0).bytes > limit - 2005);
}

TEST_CASE("What has expired goes first, and saves what has not", "[limits]") {
  Store store;
  fill(store, "a", 1000);
  fill(store, "b", 500);
  store.pg.exec(store.sql("UPDATE {s}.entries SET expires_at = clock_timestamp(), accessed_at = clock_timestamp() "
                          "WHERE namespace = 'b'")); /* warm as they are */
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_ALL, 1000, 0) == PGCACHE_OK);
  CHECK(usage_of(store.cache, "b").expired == 500);
  CHECK(usage_of(store.cache, "").entries == 1000);
  const pgcache_cleanup_progress progress = walk(store.cache);
  CHECK(progress.removed == 500);
  CHECK(progress.evicted == 0);
  CHECK(held(store, "a") == 1000);
}

TEST_CASE("What is used or stored while the walk is under way stays", "[limits]") {
  Store store;
  store.pg.exec(store.sql("ALTER TABLE {s}.entries SET (toast_tuple_target = 8160)")); /* a block each: many slices */
  fill(store, "a", 1000);
  store.pg.exec(
      store.sql("UPDATE {s}.entries SET value = decode(repeat('ab', 5000), 'hex'), accessed_at = accessed_at - "
                "interval '1 hour'"));
  const Options a = in_namespace("a");
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 100, 0, a) == PGCACHE_OK);
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  progress.restart = 1;
  REQUIRE(store.cache.cleanup_some(progress, 0) == PGCACHE_OK);
  REQUIRE_FALSE(progress.finished);
  REQUIRE(progress.evicted == 0);
  for (int i = 990; i < 1000; i++) /* the coldest of all */
    REQUIRE(store.cache.put("0" + std::to_string(i), "v", a) == PGCACHE_OK);
  for (int i = 0; i < 10; i++)
    REQUIRE(store.cache.put("new" + std::to_string(i), "v", a) == PGCACHE_OK);
  while (!progress.finished)
    REQUIRE(store.cache.cleanup_some(progress, 0) == PGCACHE_OK);
  for (int i = 990; i < 1000; i++)
    CHECK(store.cache.exists("0" + std::to_string(i), a) == PGCACHE_OK);
  for (int i = 0; i < 10; i++)
    CHECK(store.cache.exists("new" + std::to_string(i), a) == PGCACHE_OK);
  CHECK(held(store, "a") <= 120); /* those came on top */
  walk(store.cache);
  CHECK(held(store, "a") == 100);
}

TEST_CASE("100,000 writes of two keys are two entries, and none is evicted under a limit of two", "[limits]") {
  Store store;
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 2, 2 + 2 + 7 + 11) == PGCACHE_OK);
  store.pg.exec(store.sql("DO $$ BEGIN FOR i IN 1 .. 50000 LOOP "
                          "PERFORM {s}.put('k1', decode(repeat('ab', 1 + (i + 6) % 50), 'hex')); "
                          "PERFORM {s}.put('k2', decode(repeat('ab', 1 + (i + 10) % 50), 'hex')); "
                          "IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$"));
  CHECK(number(store, "SELECT min(version & 140737488355327) FROM {s}.entries") > 99990);
  for (int i = 0; i < 2; i++) {
    const pgcache_usage usage = usage_of(store.cache, "default");
    CHECK(usage.entries == 2);
    CHECK(usage.bytes == 2 + 2 + 7 + 11);
    CHECK(usage.expired == 0);
    CHECK(usage.max_entries == 2);
    CHECK(usage.max_bytes == 22);
    CHECK(walk(store.cache).evicted == 0);
    CHECK(number(store, "SELECT entries FROM {s}.janitor") == 2);
    CHECK(number(store, "SELECT bytes FROM {s}.janitor") == 22);
  }
}

TEST_CASE("A limit can be kept, changed and lifted", "[limits]") {
  Store store;
  const Options a = in_namespace("a");
  const auto limits = [&] {
    const pgcache_usage usage = usage_of(store.cache, "a");
    return std::make_pair(usage.max_entries, usage.max_bytes);
  };
  const auto set = [&](int64_t entries, int64_t bytes) {
    REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, entries, bytes, a) == PGCACHE_OK);
  };
  set(10, 2000);
  CHECK(limits() == std::make_pair<int64_t, int64_t>(10, 2000)); /* also of a namespace without entries */
  set(PGCACHE_LIMIT_KEEP, 3000);
  CHECK(limits() == std::make_pair<int64_t, int64_t>(10, 3000));
  set(PGCACHE_LIMIT_KEEP, PGCACHE_LIMIT_NONE);
  CHECK(limits() == std::make_pair<int64_t, int64_t>(10, 0));
  fill(store, "a", 100);
  CHECK(walk(store.cache).evicted == 90);
  set(PGCACHE_LIMIT_NONE, PGCACHE_LIMIT_KEEP);
  CHECK(limits() == std::make_pair<int64_t, int64_t>(0, 0));
  CHECK(store.pg.one(store.sql("SELECT {s}.is_bounded()")) == "f");
  fill(store, "a", 100);
  CHECK(walk(store.cache).evicted == 0);
  CHECK(held(store, "a") == 100);
}

TEST_CASE("Bad limits are refused and change nothing, in C and in SQL", "[limits][rule:refuse]") {
  Store store;
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 7, 8) == PGCACHE_OK);
  const string too_long(64, 'x');
  for (const int64_t bad : {int64_t{-2}, INT64_MIN}) {
    CHECK(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, bad, 5) == PGCACHE_INVALID);
    CHECK(store.cache.set_limits(PGCACHE_LIMIT_ALL, 5, bad) == PGCACHE_INVALID);
  }
  for (const int scope : {-1, 2, 99})
    CHECK(store.cache.set_limits(static_cast<pgcache_limit_scope>(scope), 5, 5) == PGCACHE_INVALID);
  for (const char *name : {"", "a b", "\xc3\xa4", too_long.c_str()})
    CHECK(store.cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 5, 5, in_namespace(name)) == PGCACHE_INVALID);
  for (const string &arguments :
       {string("'default', 0"), string("'default', -1"), string("'default', 5, 0"), string("'default', NULL, -5"),
        string("NULL, 0"), string("'', 5"), string("'a b', 5"), string("'ä', 5"), "'" + too_long + "', 5"}) {
    INFO(arguments);
    CHECK(store.pg.sqlstate(store.sql("SELECT {s}.set_limit(" + arguments + ")")) == "22023");
  }
  CHECK(usage_of(store.cache, "default").max_entries == 7);
  CHECK(usage_of(store.cache, "default").max_bytes == 8);
  CHECK(number(store, "SELECT count(*) FROM {s}.namespaces") == 1);
}

TEST_CASE("In SQL: set_limit() and usage() say and do what the library does", "[limits][sql]") {
  Store store;
  fill(store, "a", 20);
  fill(store, "b", 10);
  store.pg.exec(store.sql("UPDATE {s}.entries SET expires_at = clock_timestamp() WHERE namespace = 'b' AND "
                          "convert_from(key, 'UTF8')::int < 3"));
  store.pg.exec(store.sql("SELECT {s}.set_limit('a', 5)"));
  store.pg.exec(store.sql("SELECT {s}.set_limit('none', max_bytes => 900)"));
  store.pg.exec(store.sql("SELECT {s}.set_limit(NULL, 100, 1000000)"));
  const std::vector<Row> expected = {{"", "27", "2808", "3", "100", "1000000"},
                                     {"a", "20", "2080", "0", "5", "NULL"},
                                     {"b", "7", "728", "3", "NULL", "NULL"},
                                     {"none", "0", "0", "0", "NULL", "900"}};
  CHECK(store.pg.query(store.sql(
            "SELECT namespace, entries, bytes, expired, max_entries, max_bytes FROM {s}.usage()")) == expected);
  const std::vector<pgcache_usage> found = store.cache.usage();
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); i++) {
    const auto text = [](int64_t limit) {
      return limit == PGCACHE_LIMIT_NONE ? string("NULL") : std::to_string(limit);
    };
    CHECK(Row{found[i].namespace_name, std::to_string(found[i].entries), std::to_string(found[i].bytes),
              std::to_string(found[i].expired), text(found[i].max_entries), text(found[i].max_bytes)} == expected[i]);
  }
  CHECK(walk(store.cache).evicted == 15);
  store.pg.exec(store.sql("SELECT {s}.set_limit('a')"));
  CHECK(usage_of(store.cache, "a").max_entries == PGCACHE_LIMIT_NONE);
}

TEST_CASE("Entries whose keys are hidden count with their values, and are evicted like others", "[limits][digests]") {
  const KeyFile keys(key_line("digest", 'B'));
  Store store;
  Cache cache = store.open({{"digests", "keyed"}, {"keys", keys.source()}});
  for (int i = 0; i < 100; i++)
    REQUIRE(cache.put("key" + std::to_string(i), "ten bytes.") == PGCACHE_OK);
  CHECK(number(store, "SELECT count(*) FROM {s}.entries WHERE key IS NULL") == 100);
  CHECK(usage_of(cache, "default").entries == 100);
  CHECK(usage_of(cache, "default").bytes == 1000);
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at - interval '1 hour'"));
  for (int i = 0; i < 10; i++)
    REQUIRE(cache.put("key" + std::to_string(i), "ten bytes.") == PGCACHE_OK);
  REQUIRE(cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 0, 109) == PGCACHE_OK);
  CHECK(walk(cache).evicted == 90);
  for (int i = 0; i < 10; i++)
    CHECK(cache.get("key" + std::to_string(i)) == PGCACHE_OK);
}

TEST_CASE("A janitor walks early when much was written and there is a limit, and else waits for its interval",
          "[limits][janitor]") {
  Store store;
  Cache bounded = store.open({{"access_stamp_ms", "100"}, {"cleanup_share", "100"}});
  const auto walks = [&] {
    return store.pg.one(store.sql("SELECT coalesce(max(ended_at)::text, '') FROM {s}.janitor"));
  };
  {
    Janitor janitor(bounded, 3600000);
    CHECK(eventually([&] { return !walks().empty(); }));
    const string first = walks();
    fill(store, "default", 500);
    sleep_ms(300);
    CHECK(walks() == first);
  }
  REQUIRE(bounded.set_limits(PGCACHE_LIMIT_NAMESPACE, 300, 0) == PGCACHE_OK);
  Janitor janitor(bounded, 3600000);
  CHECK(eventually([&] { return held(store, "default") == 300; }));
  sleep_ms(100);
  const string second = walks();
  for (int i = 0; i < 20; i++)
    REQUIRE(store.cache.put("few" + std::to_string(i), "v") == PGCACHE_OK);
  sleep_ms(300);
  CHECK(walks() == second);
  CHECK(held(store, "default") == 320);
  for (int i = 0; i < 100; i++)
    REQUIRE(store.cache.put("many" + std::to_string(i), "v") == PGCACHE_OK);
  CHECK(eventually([&] { return walks() != second && held(store, "default") <= 364; }));
  CHECK(janitor.stop(5000) == PGCACHE_OK);
  CHECK(bounded.counters().entries_evicted >= 200 + 56);
}

TEST_CASE("[A81] An application role sets no limits; one that is kept to namespaces sees no others' usage",
          "[A81][limits][roles]") {
  PrivateServer server;
  Pg admin(server.conninfo());
  const auto config = [&](const string &user, const Settings &more = {}) { return config_of(server, user, more); };
  Cache owner(config("postgres"));
  REQUIRE(owner.init() == PGCACHE_OK);
  for (const char *grants : {"functions", "tables"}) {
    for (const char *namespaces : {"", "mine"}) {
      const string role = string(grants) + (*namespaces != '\0' ? "_mine" : "_all");
      INFO(role);
      admin.exec("CREATE ROLE " + role + " LOGIN");
      REQUIRE(Cache(config("postgres", {{"app_role", role}, {"grants", grants}, {"app_namespaces", namespaces}}))
                  .init()
                  .status >= 0);
    }
  }
  REQUIRE(owner.put("k", "v", in_namespace("secret")) == PGCACHE_OK);
  REQUIRE(owner.put("mine", "v", in_namespace("mine")) == PGCACHE_OK);
  REQUIRE(owner.set_limits(PGCACHE_LIMIT_NAMESPACE, 1, 0, in_namespace("secret")) == PGCACHE_OK);
  for (const string role : {"functions_all", "functions_mine", "tables_all", "tables_mine"}) {
    INFO(role);
    Cache cache(config(role, {{"access_stamp_ms", "1"}, {"cleanup_share", "100"}}));
    Pg pg(server.conninfo(role));
    CHECK(cache.set_limits(PGCACHE_LIMIT_ALL, 1, 1) == PGCACHE_DENIED);
    CHECK(cache.set_limits(PGCACHE_LIMIT_NAMESPACE, 1, 1, in_namespace("mine")) == PGCACHE_DENIED);
    CHECK(pg.sqlstate("SELECT c.set_limit('mine', 1)") == "42501");
    CHECK(pg.sqlstate("UPDATE c.namespaces SET settings = '{}'") == "42501");
    CHECK(pg.sqlstate("UPDATE c.janitor SET until = 'infinity'") == "42501");
    CHECK(pg.sqlstate("SELECT * FROM c.tally") == "42501");
    CHECK(pg.sqlstate("SELECT c.evict_part(0, 100, now(), true)") == "42501");
    pgcache_usage usage[4] = {PGCACHE_USAGE_INIT, PGCACHE_USAGE_INIT, PGCACHE_USAGE_INIT, PGCACHE_USAGE_INIT};
    size_t count = 9;
    const pgcache_status status = pgcache_read_usage(cache.raw(), usage, 4, &count, nullptr, nullptr, nullptr);
    if (role.find("_all") != string::npos) {
      CHECK(status == PGCACHE_OK);
      CHECK(count == 3);
    } else {
      CHECK(status == PGCACHE_DENIED);
      CHECK(count == 0);
      CHECK(pg.sqlstate("SELECT * FROM c.usage()") == "42501");
      CHECK(pg.sqlstate("SELECT * FROM c.clean_slice(gen_random_uuid(), 1, 1, 0, true)") == "42501");
    }
    /* Its reads count as use all the same, each in its own namespaces. */
    CHECK(eventually([&] {
      REQUIRE(cache.get("mine", in_namespace("mine")) == PGCACHE_OK);
      return cache.counters().entries_touched > 0;
    }));
  }
  CHECK(owner.usage().at(2).max_entries == 1);
}

TEST_CASE("A role that is kept to some namespaces has janitors, too: they clean its own", "[janitor][roles][A50]") {
  PrivateServer server;
  Pg admin(server.conninfo());
  const auto config = [&](const string &user, const Settings &more = {}) { return config_of(server, user, more); };
  Cache owner(config("postgres"));
  REQUIRE(owner.init() == PGCACHE_OK);
  for (const string grants : {"functions", "tables"}) {
    INFO(grants);
    const string role = "kept_with_" + grants;
    admin.exec("CREATE ROLE " + role + " LOGIN");
    REQUIRE(
        Cache(config("postgres", {{"app_role", role}, {"grants", grants}, {"app_namespaces", "mine"}})).init().status >=
        0);
    const string count = "SELECT count(*) FROM c.entries WHERE namespace = ";
    const auto put_all = [&] {
      for (int i = 0; i < 50; i++) {
        for (const char *name : {"mine", "other"})
          REQUIRE(owner.put(std::to_string(i), "v", in_namespace(name)) == PGCACHE_OK);
      }
      admin.exec(
          "UPDATE c.entries SET fresh_until = now() - interval '1 minute', expires_at = now() - interval '1 minute'");
    };
    const auto mine_are_gone = [&] { return admin.one(count + "'mine'") == "0"; };
    {
      put_all();
      Cache cache(config(role, {{"cleanup_share", "100"}}));
      Janitor janitor(cache, 10);
      CHECK(eventually(mine_are_gone));
      CHECK(admin.one(count + "'other'") == "50");
      put_all();
      CHECK(eventually(mine_are_gone));
      CHECK(cache.counters().cleanup_failures == 0);
    }
    /* Nor are writes by chance without effect. */
    put_all();
    Cache writer(config(role, {{"cleanup_chance", "1"}}));
    REQUIRE(writer.put("written", "v", in_namespace("mine")) == PGCACHE_OK);
    CHECK(admin.one(count + "'mine'") == "1");
    CHECK(admin.one(count + "'other'") == "50");
    CHECK(writer.counters().cleanup_failures == 0);
    put_all();
    REQUIRE(writer.put("again", "v", in_namespace("mine")) == PGCACHE_OK);
    CHECK(admin.one(count + "'mine' AND expires_at < now()") != "0"); /* a minute must pass before the next walk */
    int64_t removed = 0;
    REQUIRE(pgcache_cleanup(writer.raw(), &removed, nullptr, nullptr) == PGCACHE_OK);
    CHECK(removed >= 50);
    admin.exec("DELETE FROM c.entries");
  }
}
