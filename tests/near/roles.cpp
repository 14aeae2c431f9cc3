/*
 * roles.cpp - near caches of handles that log in as application roles, let in each of the ways that there are: they hear of
 * what others write, others hear of what they write, and a fence proves.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"
#include "support/private_server.hpp"

using namespace test;
using std::string;

namespace {

struct Access {
  const char *name, *grants, *namespaces;
};

std::ostream &operator<<(std::ostream &out, const Access &access) {
  return out << access.name;
}

} // namespace

TEST_CASE(
    "[A30] A near cache under an application role hears of what others write and remove, and others of its writes",
    "[A30][roles]") {
  const Access access = GENERATE(Access{"functions", "functions", ""}, Access{"tables", "tables", ""},
                                 Access{"restricted, functions", "functions", "default"},
                                 Access{"restricted, tables", "tables", "default"});
  CAPTURE(access);
  const PrivateServer server; /* init makes roles beside the one that is let in */
  Store store({}, server.conninfo());
  const string role = "app";
  store.pg.exec("CREATE ROLE " + role + " LOGIN");
  {
    Cache admin = store.open({{"app_role", role}, {"grants", access.grants}, {"app_namespaces", access.namespaces}});
    const Answer let_in = admin.init();
    INFO(let_in);
    REQUIRE(let_in.status >= 0);
  }
  const string as_role = conninfo_with(server.conninfo(), {{"user", role}, {"application_name", store.schema()}});
  Cache cache = store.open(near_on({{"url", as_role}, {"near_staleness_ms", "60000"}, {"near_absent_ms", "60000"}}));
  listens(cache);
  /* Its listener is a session of the role, and leads: it is the only one. */
  CHECK(store.pg.one("SELECT bool_and(usename = $1) FROM pg_stat_activity WHERE application_name = $2",
                     {role, store.schema()}) == "t");
  REQUIRE(eventually([&] {
    return store.pg.one(store.sql("SELECT count(*) FROM {s}.relay WHERE until > clock_timestamp()")) == "1";
  }));

  const std::pair<const char *, std::function<void(const string &)>> writes[] = {
      {"the owner", [&](const string &value) { REQUIRE(store.cache.put("k", value) == PGCACHE_OK); }},
      {"SQL", [&](const string &value) { store.pg.query(store.sql("SELECT {s}.put('k'::text, $1)"), {value}); }},
  };
  const std::pair<const char *, std::function<void()>> removals[] = {
      {"the owner", [&] { REQUIRE(store.cache.remove("k") == PGCACHE_OK); }},
      {"SQL", [&] { store.pg.exec(store.sql("SELECT {s}.remove('k'::text)")); }},
  };
  for (const bool fences : {true, false}) { /* what is not fenced is told, long before the next poll is due */
    const auto is_gone = [&](const string &old) {
      if (!fences)
        return eventually([&] { return copy_of(cache, "k") != old; }, 14000);
      listens(cache);
      return copy_of(cache, "k") != old;
    };
    for (const auto &[who, write] : writes) {
      CAPTURE(fences, who);
      write("old");
      REQUIRE(comes_near(cache, "k", "old"));
      write("new");
      CHECK(is_gone("old"));
      REQUIRE(comes_near(cache, "k", "new"));
    }
    for (const auto &[who, remove] : removals) {
      CAPTURE(fences, who);
      REQUIRE(store.cache.put("k", "there") == PGCACHE_OK);
      REQUIRE(comes_near(cache, "k", "there"));
      remove();
      CHECK(is_gone("there"));
      REQUIRE(comes_near(cache, "k", "absent"));
    }
    REQUIRE(store.cache.put("k", "back") == PGCACHE_OK);
    CHECK(is_gone("absent"));
  }
  const pgcache_counters counted = cache.counters();
  CHECK(counted.near_hits > 0);
  CHECK(counted.near_lapses == 0);
  CHECK(counted.near_flushes == 1);

  /* The other way round: the owner's near cache is told by the role's listener. */
  Cache owner = store.open(near_on({{"near_staleness_ms", "60000"}}));
  listens(owner);
  for (const char *value : {"of the role", "of the role again"}) {
    REQUIRE(cache.put("k", value) == PGCACHE_OK);
    CHECK(cache.get("k").bytes() == value);
    CHECK(eventually([&] { return owner.get("k").bytes() == value; }, 14000));
    REQUIRE(comes_near(owner, "k", value));
  }
  REQUIRE(cache.remove("k") == PGCACHE_OK);
  CHECK(eventually([&] { return owner.get("k") == PGCACHE_MISS; }, 14000));
  CHECK(owner.counters().near_messages > 0);

  /* Hits are use for it, too, which its janitor tells. */
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_ALL, 1000, 0) == PGCACHE_OK);
  REQUIRE(store.cache.put("hot", "v") == PGCACHE_OK);
  Cache hot = store.open(near_on({{"url", as_role}, {"access_stamp_ms", "20"}, {"cleanup_share", "100"}}));
  REQUIRE(comes_near(hot, "hot", "v"));
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = now() - interval '1 hour'"));
  Janitor janitor(hot, 3600000);
  const auto is_noted = [&] {
    REQUIRE(copy_of(hot, "hot") == "v");
    return store.pg.one(store.sql(
               "SELECT accessed_at > now() - interval '30 minutes' FROM {s}.entries WHERE key = 'hot'")) == "t";
  };
  CHECK(eventually(is_noted, 20000));
  CHECK(hot.counters().cleanup_failures == 0);
}
