/*
 * listener_servers.cpp - servers that crash, that give way to another one, and databases that are not the same any more: what
 * was held before is never given again.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"
#include "watch.hpp"

#include "support/private_server.hpp"
#include "support/report.hpp"

#include <ctime>
#include <fstream>
#include <tuple>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

const char *const bound = "500";
const int64_t bound_ms = 500;

/* Both kinds of tables: what a crash leaves of the entries must make no difference to what is held. */
Settings some_table() {
  return {{"table", GENERATE("unlogged", "logged")}};
}

string both(const PrivateServer &one, const PrivateServer &other) {
  return "host=" + one.socket_folder() + "," + other.socket_folder() +
         " port=5432 user=postgres dbname=postgres connect_timeout=2 target_session_attrs=primary";
}

/* libfaketime, if it is installed: its clock is what a file says. */
string faketime() {
  for (const char *path :
       {"/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/faketime/libfaketime.so.1"}) {
    if (access(path, R_OK) == 0)
      return path;
  }
  return {};
}

} // namespace

TEST_CASE(
    "[A36] A server that crashes forgets its transactions' numbers; everything is forgotten here, too, and goes on",
    "[A36][crash][threads]") {
  const Settings table = some_table();
  CAPTURE(table[0].second);
  PrivateServer server;
  Store store(table, server.conninfo());
  Reader reader(store, {{"near_staleness_ms", bound}}, server.conninfo());
  Watch watch(reader, store.open(), bound_ms);
  REQUIRE(watch.goes_on());
  for (int i = 1; i <= longer(2, 10); i++) {
    server.crash();
    CHECK(eventually([&] { return !reader.is_valid(); }));
    CHECK(reader.held("watched") == "-");
    server.start();
    CHECK(watch.goes_on());
    CHECK(reader.flushes(PGC_NEAR_FLUSH_EPOCH) + reader.flushes(PGC_NEAR_FLUSH_START) > i);
    server.stop(); /* nothing is lost */
    server.start();
    CHECK(watch.goes_on());
  }
  watch.end();
  CHECK(watch.stale == 0);
}

TEST_CASE("[A36] A crash that is over within the bound is known by the nonce; where nobody writes, the listener makes "
          "the epoch",
          "[A36][crash]") {
  const Settings table = some_table();
  CAPTURE(table[0].second);
  PrivateServer server;
  Store store(table, server.conninfo());
  Reader reader(store, {{"near_staleness_ms", "60000"}}, server.conninfo());
  REQUIRE(store.cache.put("k", "v", PGCACHE_TTL_NEVER) == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  const int64_t starts = reader.flushes(PGC_NEAR_FLUSH_START);
  server.crash();
  server.start();
  REQUIRE(eventually([&] { return reader.fence() == PGCACHE_OK; }, 20000));
  CHECK(reader.held("k") == "-"); /* its table was emptied, or it is logged: what else was lost is not known */
  CHECK(reader.flushes(PGC_NEAR_FLUSH_EPOCH) == 1);
  CHECK(reader.flushes(PGC_NEAR_FLUSH_START) <= starts + 1);
  /* The connection from before may be found broken by this. */
  REQUIRE(eventually([&] { return store.cache.put("k", "w", PGCACHE_TTL_NEVER) == PGCACHE_OK; }));
  REQUIRE(reader.keep("k"));
  CHECK(reader.held("k") == "w");
}

TEST_CASE("[A36] A standby takes over: what was held from the old primary is not given again",
          "[A36][failover][threads]") {
  const Settings table = some_table();
  CAPTURE(table[0].second);
  PrivateServer primary;
  const string own = primary.conninfo();
  {
    Config config;
    Cache cache(config.set("url", own).set("near_max_bytes", "0").set("table", table[0].second));
    REQUIRE(cache.init() == PGCACHE_OK);
  }
  PrivateServer standby(&primary);
  if (table[0].second == "logged") { /* its entries are there, too: what was acknowledged must not be lost */
    Pg pg(own);
    pg.exec("ALTER SYSTEM SET synchronous_standby_names = '*'");
    pg.query("SELECT pg_reload_conf()");
    REQUIRE(eventually(
        [&] { return pg.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").size() == 1; }));
  }
  Config config, writes;
  config.set("url", both(primary, standby)).set("near_max_bytes", "8388608").set("near_staleness_ms", bound);
  writes.set("url", both(primary, standby)).set("near_max_bytes", "0").set("breaker_pause_ms", "200");
  for (Config *one : {&config, &writes})
    one->set("table", table[0].second);
  Reader reader{Cache(config)};
  Watch watch(reader, Cache(writes), bound_ms);
  REQUIRE(watch.goes_on());
  primary.crash();
  standby.promote();
  CHECK(watch.goes_on());
  /* What was read from the new primary may be held before its stream was polled: the old one's proof lasts for the bound. */
  CHECK(eventually([&] { return reader.flushes(PGC_NEAR_FLUSH_EPOCH) + reader.flushes(PGC_NEAR_FLUSH_START) >= 2; },
                   30000));
  CHECK(watch.goes_on());
  watch.end();
  CHECK(watch.stale == 0);
}

TEST_CASE("[A36] The address comes to lead to another server while the old one lives: the pool's first connection "
          "there ends its proofs",
          "[A36][failover]") {
  const bool logged = GENERATE(false, true); /* entries outlive the epoch that they were written in */
  CAPTURE(logged);
  PrivateServer primary;
  const string link = primary.socket_folder() + "/address";
  REQUIRE(symlink(primary.socket_folder().c_str(), link.c_str()) == 0);
  const auto open = [&](const string &near_bytes) {
    Config config;
    config.set("url", "host=" + link + " port=5432 user=postgres dbname=postgres").set("near_max_bytes", near_bytes);
    return Cache(config.set("near_staleness_ms", "2000").set("table", logged ? "logged" : "unlogged"));
  };
  {
    Cache cache = open("0");
    REQUIRE(cache.init() == PGCACHE_OK);
    for (const char *key : {"k", "other"})
      REQUIRE(cache.put(key, "old", PGCACHE_TTL_NEVER) == PGCACHE_OK);
  }
  PrivateServer standby(&primary);
  Reader reader{open("8388608")};
  REQUIRE(reader.keep("k"));
  standby.promote();
  REQUIRE(unlink(link.c_str()) == 0);
  REQUIRE(symlink(standby.socket_folder().c_str(), link.c_str()) == 0);
  Cache writer = open("0");
  REQUIRE(eventually([&] { return writer.put("k", "new", PGCACHE_TTL_NEVER) == PGCACHE_OK; }));
  REQUIRE(reader.fence() == PGCACHE_OK); /* by the old server, which knows of nothing */
  CHECK(reader.held("k") == "old");
  Pg old(primary.conninfo());
  old.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgcache' "
           "AND query !~* 'pg_current_snapshot|relay|listen '");   /* the pool's, of the reader */
  const pgcache_status there = logged ? PGCACHE_OK : PGCACHE_MISS; /* which is as old as can be, or nothing at all */
  CHECK(eventually([&] { return reader.cache.get("other") == there && reader.held("k") == "-"; }));
  CHECK(reader.flushes(PGC_NEAR_FLUSH_EPOCH) >= 1);
  CHECK(reader.keep("k"));
  CHECK(reader.held("k") == "new");
}

TEST_CASE("[A36] A listen_url that leads to another database, a copy even, is refused, and says so",
          "[A36][listen_url]") {
  PrivateServer server;
  Pg pg(server.conninfo());
  const string one = server.conninfo("postgres", "one"), other = server.conninfo("postgres", "other");
  const auto open = [&](const string &near_bytes, const string &listen_url) {
    Config config;
    config.set("url", one).set("near_max_bytes", near_bytes).set("near_staleness_ms", "20000");
    return Cache(config.set("listen_url", listen_url));
  };
  pg.exec("CREATE DATABASE one");
  REQUIRE(open("0", "").init() == PGCACHE_OK);
  pg.exec("CREATE DATABASE other TEMPLATE one");
  Reader wrong{open("8388608", other)};
  const Answer refused = wrong.fence();
  INFO(refused);
  CHECK(refused == PGCACHE_BAD_SETTING);
  CHECK(refused.error.text().find("listen_url") != string::npos);
  REQUIRE(wrong.cache.put("k", "v") == PGCACHE_OK);
  (void)wrong.fill("k");
  CHECK(wrong.held("k") == "-");
  CHECK_FALSE(wrong.is_valid());
  const Report report = examine(wrong.cache);
  INFO(report.json());
  REQUIRE(report.of("near").size() == 1);
  CHECK(report.of("near")[0].severity == "warning");
  CHECK(report.of("near")[0].evidence.find("listen_url") != string::npos);
  wrong.cache.free();

  Reader right{open("8388608", one + " application_name=right")};
  REQUIRE(right.keep("k"));
  CHECK(examine(right.cache).of("near")[0].severity == "ok");
  const auto connections = [&] {
    return pg.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'right'");
  };
  CHECK(connections() == "1");
  const int64_t opened = pgc_counted(&right.counters().connections_opened);
  pg.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'right'");
  CHECK(eventually([&] { return right.fence() == PGCACHE_OK; }));
  CHECK(pgc_counted(&right.counters().connections_opened) == opened + 1); /* it is known where that leads to */
  Pg(one).exec("TRUNCATE pgcache.marker");
  CHECK(eventually([&] { return right.fence() == PGCACHE_OK; }));
  REQUIRE(right.cache.put("k", "w") == PGCACHE_OK);
  CHECK(right.keep("k"));
}

TEST_CASE("[A36] A database that is dropped and made again is another one", "[A36]") {
  PrivateServer server;
  Pg pg(server.conninfo());
  const auto make = [&] {
    pg.exec("CREATE DATABASE other");
    Config config;
    Cache cache(config.set("url", server.conninfo("postgres", "other")).set("near_max_bytes", "0"));
    REQUIRE(cache.init() == PGCACHE_OK);
  };
  make();
  Config config;
  config.set("url", server.conninfo("postgres", "other"));
  config.set("near_max_bytes", "8388608").set("near_staleness_ms", "60000");
  Reader reader{Cache(config)};
  REQUIRE(reader.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  pg.exec("DROP DATABASE other WITH (FORCE)");
  make();
  REQUIRE(eventually([&] { return reader.fence() == PGCACHE_OK; }, 20000));
  CHECK(reader.held("k") == "-");
  CHECK(reader.flushes(PGC_NEAR_FLUSH_EPOCH) == 1);
  REQUIRE(eventually([&] { return reader.cache.put("k", "w") == PGCACHE_OK; })); /* see above */
  CHECK(reader.keep("k"));

  /* And so is a schema of the same name. */
  Pg other(server.conninfo("postgres", "other"));
  other.exec("DROP SCHEMA pgcache CASCADE");
  CHECK(eventually([&] { return reader.fence() == PGCACHE_SCHEMA_MISSING; }));
  REQUIRE(reader.cache.init() == PGCACHE_OK);
  REQUIRE(eventually([&] { return reader.fence() == PGCACHE_OK; }, 20000));
  CHECK(reader.held("k") == "-");
}

TEST_CASE("[A36] The epochs of a schema that is made anew begin at the first again, and copies are held as before",
          "[A36]") {
  Store store;
  Reader reader(store);
  const auto put = [&](const char *value) {
    return eventually([&] { return store.cache.put("k", value) == PGCACHE_OK; });
  };
  for (int i = 0; i < 3; i++) {
    store.pg.exec(store.sql("TRUNCATE {s}.marker"));
    REQUIRE(put("old"));
  }
  REQUIRE(std::stoi(store.pg.one(store.sql("SELECT epoch FROM {s}.cache"))) > 2);
  REQUIRE(reader.keep("k"));
  store.pg.exec(store.sql("DROP SCHEMA {s} CASCADE"));
  REQUIRE(store.cache.init() == PGCACHE_OK);
  REQUIRE(store.pg.one(store.sql("SELECT epoch FROM {s}.cache")) == "1");
  REQUIRE(put("anew"));
  CHECK(reader.keep("k"));
  CHECK(reader.held("k") == "anew");
}

TEST_CASE("[A36] A database that is restored from a dump in its own place is another one", "[A36][dump]") {
  PrivateServer server;
  Pg pg(server.conninfo());
  const string other = server.conninfo("postgres", "other");
  Config config;
  config.set("url", other).set("near_max_bytes", "8388608").set("near_staleness_ms", "60000");
  pg.exec("CREATE DATABASE other");
  Reader reader{Cache(config)};
  REQUIRE(reader.cache.init() == PGCACHE_OK);
  REQUIRE(reader.cache.put("k", "v", PGCACHE_TTL_NEVER) == PGCACHE_OK);
  const string file = scratch_folder() + "/dump", quoted = " '" + other + "' ";
  REQUIRE(system((server_binary("pg_dump") + quoted + "> " + file).c_str()) == 0);
  REQUIRE(reader.cache.put("k", "w", PGCACHE_TTL_NEVER) == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  pg.exec("DROP DATABASE other WITH (FORCE)");
  pg.exec("CREATE DATABASE other");
  REQUIRE(
      system((server_binary("psql") + quoted + "-Xq -v ON_ERROR_STOP=1 -f " + file + " > " + file + ".log").c_str()) ==
      0);
  REQUIRE(eventually([&] { return reader.fence() == PGCACHE_OK; }, 20000));
  CHECK(reader.held("k") == "-");
  CHECK(reader.flushes(PGC_NEAR_FLUSH_EPOCH) == 1);
  REQUIRE(reader.keep("k"));
  CHECK(reader.held("k") == "v");
  REQUIRE(reader.cache.put("k", "x", PGCACHE_TTL_NEVER) == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  CHECK(reader.held("k") == "x");
}

TEST_CASE("[A36] Of a schema that is made anew the old channel is left", "[A36]") {
  Store store;
  Reader reader(store, {{"near_staleness_ms", "60000"}});
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  const auto channel = [&] { return store.pg.one(store.sql("SELECT notify_channel FROM {s}.cache")); };
  const string old = channel();
  store.pg.exec(store.sql("UPDATE {s}.cache SET notify_channel = 'pgcache_another'"));
  for (int i = 0; i < 2; i++)
    REQUIRE(reader.fence() == PGCACHE_OK); /* the second poll comes after it has listened */
  const int64_t refused = pgc_counted(&reader.counters().near_messages_refused);
  for (const string &name : {old, channel()})
    store.pg.query("SELECT pg_notify($1, 'x')", {name});
  CHECK(eventually([&] { return pgc_counted(&reader.counters().near_messages_refused) > refused; }));
  CHECK(reader.fence() == PGCACHE_OK);
  CHECK(pgc_counted(&reader.counters().near_messages_refused) == refused + 1);
}

/* The crash takes what the transaction has told the change stream, because that is not logged, and leaves the transaction. */
TEST_CASE("[A36] What a transaction invalidates that was prepared before a crash is not given after its commit",
          "[A36][crash][rule:stale]") {
  PrivateServer server({"max_prepared_transactions = 5"});
  const bool logged = GENERATE(false, true);
  CAPTURE(logged);
  Store store(Settings{{"table", logged ? "logged" : "unlogged"}}, server.conninfo());
  for (const char *name : {"one", "other"}) {
    Pg writer{server.conninfo()};
    writer.exec("BEGIN");
    writer.exec(store.sql("SELECT {s}.invalidate(keys => '{" + string(name) + "}')"));
    writer.exec("PREPARE TRANSACTION '" + string(name) + "'");
  }
  server.crash();
  server.start();
  Cache cache = store.open(near_on({{"near_staleness_ms", "60000"}}));
  listens(cache);
  Pg pg{server.conninfo()};
  const auto keep = [&](const char *key) {
    const Answer put = cache.put(key, "v");
    INFO(put);
    REQUIRE(put == PGCACHE_OK);
    REQUIRE(comes_near(cache, key, "v"));
  };
  keep("one");
  keep("other");
  pg.exec("COMMIT PREPARED 'one'");
  listens(cache);
  CHECK(copy_of(cache, "one") == "nothing");
  CHECK(cache.get("one") == PGCACHE_MISS);
  keep("one"); /* the other one has still not ended */
  keep("other");
  pg.exec("COMMIT PREPARED 'other'");
  listens(cache);
  CHECK(copy_of(cache, "other") == "nothing");
  CHECK(cache.get("other") == PGCACHE_MISS);
  keep("other");
}

TEST_CASE("The server's wall clock is set back, ahead and right again: nothing stale, and hits go on",
          "[threads][clock]") {
  if (faketime().empty()) {
    WARN("skipped: libfaketime is not installed");
    return;
  }
  const string clock = scratch_folder() + "/clock";
  const auto set = [&](const string &offset) {
    std::ofstream(clock + ".new") << offset << "\n";
    REQUIRE(rename((clock + ".new").c_str(), clock.c_str()) == 0);
  };
  set("+0");
  PrivateServer server({}, {},
                       {"LD_PRELOAD=" + faketime(), "FAKETIME_TIMESTAMP_FILE=" + clock, "FAKETIME_NO_CACHE=1",
                        "FAKETIME_DONT_FAKE_MONOTONIC=1"});
  Store store({}, server.conninfo());
  const int64_t long_bound_ms = 5000; /* which a busy machine keeps */
  Reader reader(store, {{"near_staleness_ms", std::to_string(long_bound_ms)}}, server.conninfo());
  Watch watch(reader, store.open(), long_bound_ms);
  REQUIRE(watch.goes_on());
  for (const auto &[offset, least, most] : {std::tuple<string, int, int>{"-86400", -86500, -86300},
                                            {"+86400", 86300, 86500},
                                            {"-3", -13, 7},
                                            {"+0", -10, 10}}) {
    set(offset);
    INFO(offset);
    const int seconds = std::stoi(store.pg.one("SELECT (extract(epoch FROM clock_timestamp()) - $1::float)::int",
                                               {std::to_string(time(nullptr))}));
    CHECK((seconds >= least && seconds <= most)); /* it does have another clock */
    CHECK(watch.goes_on(50));
    CHECK(eventually([&] { return reader.is_valid(); }));
  }
  watch.end();
  CHECK(watch.stale == 0);
  /* What was put with a life of a minute has that again. */
  REQUIRE(store.cache.put("k", "v", 60000) == PGCACHE_OK);
  set("-86400");
  CHECK(store.cache.get("k").bytes() == "v");
  set("+120");
  CHECK(store.cache.get("k") == PGCACHE_MISS);
}
