/*
 * listener_faults.cpp - what the near cache must survive: each hit is compared with what was acknowledged before the bound,
 * while listeners are cut off, stopped and fooled; and afterwards everything goes on.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "watch.hpp"

#include "support/interpose.hpp"
#include "support/pooler.hpp"
#include "support/proxy.hpp"

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

const char *const bound = "400";
const int64_t bound_ms = 400;

/* A reader whose listener has a name of its own among the sessions. */
Settings named(const Store &store, const string &suffix = "") {
  return {{"near_staleness_ms", bound}, {"listen_url", url_with({{"application_name", store.schema() + suffix}})}};
}

std::vector<pid_t> listeners(Store &store, const string &suffix = "") {
  std::vector<pid_t> out;
  for (const Row &row :
       store.pg.query("SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND backend_type = "
                      "'client backend'",
                      {store.schema() + suffix}))
    out.push_back(static_cast<pid_t>(std::stol(row[0])));
  return out;
}

/* The private server's processes are on this machine; one given from outside need not be. */
bool can_signal(pid_t pid) {
  return kill(pid, 0) == 0;
}

} // namespace

TEST_CASE(
    "[A35] A listener that is killed again and again: no hit is older than the bound, and what was missed is made up",
    "[A35][threads]") {
  Store store;
  Reader reader(store, named(store));
  Watch watch(reader, store.open(), bound_ms);
  REQUIRE(watch.goes_on());
  const int64_t opened = pgc_counted(&reader.counters().connections_opened);
  int killed = 0;
  for (int i = 0; i < longer(15, 200); i++) {
    for (pid_t pid : listeners(store)) {
      store.pg.query("SELECT pg_terminate_backend($1)", {std::to_string(pid)});
      killed++;
    }
    sleep_ms(40 * (i % 4));
    if (i % 2 == 1)
      CHECK(eventually([&] { return !listeners(store).empty(); }));
  }
  CHECK(watch.goes_on());
  watch.end();
  CHECK(killed > 5);
  CHECK(pgc_counted(&reader.counters().connections_opened) > opened);
  CHECK(pgc_counted(&reader.counters().connections_lost) > 0);
  CHECK(watch.stale == 0);
  CHECK(reader.flushes(PGC_NEAR_FLUSH_EPOCH) == 0);
}

TEST_CASE("[A35] After a short break the stream is read on from where it was; nothing else is forgotten", "[A35]") {
  Store store;
  Settings settings = named(store);
  settings.emplace_back("near_staleness_ms", "60000");
  Reader reader(store, settings);
  REQUIRE(store.cache.put("stays", "v") == PGCACHE_OK);
  REQUIRE(store.cache.put("goes", "v") == PGCACHE_OK);
  REQUIRE((reader.keep("stays") && reader.keep("goes")));
  const int64_t starts = reader.flushes(PGC_NEAR_FLUSH_START);
  for (pid_t pid : listeners(store))
    store.pg.query("SELECT pg_terminate_backend($1)", {std::to_string(pid)});
  REQUIRE(store.cache.put("goes", "w") == PGCACHE_OK);
  CHECK(eventually([&] { return reader.fence() == PGCACHE_OK && reader.held("goes") == "-"; }));
  CHECK(reader.held("stays") == "v");
  CHECK(reader.flushes(PGC_NEAR_FLUSH_START) == starts);
  CHECK(reader.flushes(PGC_NEAR_FLUSH_GAP) == 0);
}

TEST_CASE("[A36] More changes than a poll gives, changes that are none, and a trimmed stream make it forget", "[A36]") {
  Store store;
  Settings settings = named(store);
  settings.emplace_back("near_staleness_ms", "10000");
  Reader reader(store, settings);
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  const auto gaps = [&] { return reader.flushes(PGC_NEAR_FLUSH_GAP); };
  for (const char *break_it :
       {"INSERT INTO {s}.changes (slot, kind, event) SELECT m.slot, 1, decode(repeat('00', 2400), 'hex') FROM "
        "{s}.marker m, "
        "generate_series(1, 28500)",
        "INSERT INTO {s}.changes (slot, kind, event) SELECT m.slot, 1, 'no digest' FROM {s}.marker m",
        "UPDATE {s}.marker SET floor = 9000000000000000000"}) {
    INFO(break_it);
    REQUIRE(reader.keep("k"));
    const int64_t before = gaps();
    store.pg.exec(store.sql(break_it));
    CHECK(reader.fence() == PGCACHE_OK);
    CHECK(reader.held("k") == "-");
    CHECK(gaps() > before);
    store.pg.exec(store.sql("UPDATE {s}.marker SET floor = 0"));
  }
  REQUIRE(reader.keep("k"));
}

TEST_CASE("[A36] TRUNCATE by hand: of the entries, the changes, the marker", "[A36]") {
  Store store;
  Settings settings = named(store);
  settings.emplace_back("near_staleness_ms", "5000");
  Reader reader(store, settings);
  for (const char *table : {"entries", "changes", "marker", "relay"}) {
    INFO(table);
    REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
    REQUIRE(reader.keep("k"));
    store.pg.exec(store.sql("TRUNCATE {s}." + string(table)));
    CHECK(eventually([&] { return reader.fence() == PGCACHE_OK; }));
    if (string(table) != "relay")
      CHECK(reader.held("k") == "-");
    REQUIRE(store.cache.put("k", "w") == PGCACHE_OK);
    REQUIRE(reader.fence() == PGCACHE_OK);
    CHECK(reader.held("k") == "-");
    CHECK(reader.kept("k") == "w");
  }
  CHECK(reader.flushes(PGC_NEAR_FLUSH_EPOCH) >=
        1); /* without the marker; nobody wrote before the fence that came back */
}

TEST_CASE("[A36] Where no epoch can be made it is tried a few times within the bound, and then made", "[A36]") {
  Store store;
  Reader reader(store, named(store));
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  const string own = store.pg.one(store.sql("SELECT pg_get_functiondef('{s}.new_epoch'::regproc)"));
  store.pg.exec(
      store.sql("CREATE SEQUENCE {s}.tries; CREATE OR REPLACE FUNCTION {s}.new_epoch() RETURNS integer "
                "LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN PERFORM nextval('{s}.tries'); RAISE 'no'; END $$;"
                "TRUNCATE {s}.marker"));
  CHECK(eventually([&] { return !reader.is_valid(); }));
  CHECK(reader.held("k") == "-");
  const auto tries = [&] { return std::stoll(store.pg.one(store.sql("SELECT last_value FROM {s}.tries"))); };
  const int64_t begun = now_ms(), before = tries();
  sleep_ms(static_cast<int>(2 * bound_ms));
  const int64_t made = tries() - before, most = (now_ms() - begun) / (bound_ms / 4) + 2;
  INFO(made << " attempts");
  CHECK(made <= most);
  store.pg.exec(own);
  CHECK(eventually([&] { return reader.fence() == PGCACHE_OK; }));
}

TEST_CASE("[A36] Behind a pooler the near cache stays off and says so; with listen_url it works", "[A36][pooler]") {
  Store store;
  Pooler pooler;
  const Settings through = {{"url", pooler.conninfo()}, {"prepared", "off"}, {"near_staleness_ms", bound}};
  Reader off(store, through);
  const Answer answer = off.fence();
  CHECK(answer == PGCACHE_BAD_SETTING);
  CHECK(answer.error.text().find("listen_url") != string::npos);
  CHECK_FALSE(off.is_valid());
  REQUIRE(off.cache.put("k", "v") == PGCACHE_OK);
  off.fill("k");
  CHECK(off.held("k") == "-");
  const int64_t begun = now_ms();
  CHECK(off.fence() == PGCACHE_BAD_SETTING);
  CHECK(now_ms() - begun < 10000); /* it is known */

  Settings with = through;
  with.emplace_back("listen_url", url());
  Reader on(store, with);
  REQUIRE(on.keep("k"));
  REQUIRE(store.cache.put("k", "w") == PGCACHE_OK);
  REQUIRE(eventually([&] { return on.fence() == PGCACHE_OK; }));
  CHECK(on.held("k") == "-");
}

TEST_CASE("A listener's session that is stopped by the system: the bound holds, and another connection takes its place",
          "[A36][stop][threads]") {
  Store store;
  Reader reader(store, named(store));
  Watch watch(reader, store.open(), bound_ms);
  REQUIRE(watch.goes_on());
  for (int i = 0; i < longer(2, 20); i++) {
    std::vector<pid_t> stopped;
    REQUIRE(eventually([&] { return !(stopped = listeners(store)).empty(); }));
    if (!can_signal(stopped[0])) {
      WARN("skipped: the server is on another machine");
      return;
    }
    for (pid_t pid : stopped)
      kill(pid, SIGSTOP);
    CHECK(watch.goes_on());
    for (pid_t pid : stopped)
      kill(pid, SIGCONT);
    CHECK(watch.goes_on());
  }
  watch.end();
  CHECK(watch.stale == 0);
}

TEST_CASE("[A36] A network that cuts, delays, keeps back and swallows: the bound holds, and it goes on afterwards",
          "[A36][proxy][threads]") {
  Store store;
  Proxy proxy;
  Reader reader(store, {{"near_staleness_ms", bound}, {"listen_url", proxy.conninfo({{"connect_timeout", "1"}})}});
  Watch watch(reader, store.open(), bound_ms);
  REQUIRE(watch.goes_on());
  for (int i = 0; i < longer(1, 10); i++) {
    for (int piece = 0; piece < 5; piece++) {
      proxy.cut_after(piece % 2 == 0 ? Proxy::TO_CLIENT : Proxy::TO_SERVER, 1 + 37 * piece);
      sleep_ms(60);
    }
    CHECK(watch.goes_on());
    proxy.delay(30);
    CHECK(watch.goes_on(5));
    proxy.delay(0);
    proxy.hold_answers(true);
    CHECK(eventually([&] { return !reader.is_valid(); }));
    sleep_ms(50);
    proxy.hold_answers(false);
    CHECK(watch.goes_on());
    proxy.black_hole(true);
    CHECK(eventually([&] { return !reader.is_valid(); }));
    CHECK(reader.held("watched") == "-");
    sleep_ms(300);
    proxy.black_hole(false);
    proxy.cut();
    CHECK(watch.goes_on());
    proxy.strand();
    CHECK(watch.goes_on());
    proxy.half_close();
    CHECK(watch.goes_on());
    proxy.refuse(true);
    proxy.cut();
    CHECK(eventually([&] { return !reader.is_valid(); }));
    proxy.refuse(false);
    CHECK(watch.goes_on());
  }
  watch.end();
  CHECK(watch.stale == 0);
}

TEST_CASE("Messages that arrive damaged are polls: a listener that hears nothing right is as true as the others",
          "[relay][proxy][threads]") {
  Store store;
  Proxy proxy;
  std::atomic<int> damaged{0};
  proxy.rewrite([&](Proxy::Direction direction, string &bytes) {
    for (size_t at = 0; direction == Proxy::TO_CLIENT && (at = bytes.find(" 1 1 ", at)) != string::npos; at++) {
      bytes[at + 1] = 'x';
      damaged++;
    }
  });
  Reader other(store, {{"near_staleness_ms", bound}}), reader(store, {{"near_staleness_ms", bound}});
  REQUIRE(other.fence() == PGCACHE_OK);
  REQUIRE(eventually([&] {
    return store.pg.one(store.sql("SELECT count(*) FROM {s}.relay WHERE until > clock_timestamp()")) == "1";
  }));
  Reader fooled(store, {{"near_staleness_ms", bound}, {"listen_url", proxy.conninfo()}});
  Watch watch(fooled, store.open(), bound_ms);
  CHECK(watch.goes_on(50));
  CHECK(eventually([&] { return damaged > 10; }));
  CHECK(eventually([&] { return pgc_counted(&fooled.counters().near_messages_refused) > 0; }));
  watch.end();
  CHECK(watch.stale == 0);
}

TEST_CASE("When the relay ends, dies or is stopped another one takes over", "[relay]") {
  Store store;
  const auto holder = [&] {
    const auto rows = store.pg.query(store.sql("SELECT holder FROM {s}.relay WHERE until > clock_timestamp()"));
    return rows.empty() ? string() : rows[0][0];
  };
  const auto leader = [&] { /* which it is, once there is one */
                            string is;
                            REQUIRE(eventually([&] { return !(is = holder()).empty(); }));
                            return is;
  };
  /* A process that is the relay; it is forked before there are threads. */
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(240);
    const Reader relay(store, named(store, "0"));
    (void)relay.fence();
    for (;;)
      pause();
  }
  string leads = leader();
  auto one = std::make_unique<Reader>(store, named(store, "1"));
  REQUIRE(one->fence() == PGCACHE_OK);
  REQUIRE(store.cache.put("k", "u") == PGCACHE_OK);
  CHECK(leader() == leads);

  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
  CHECK(eventually([&] { return !holder().empty() && holder() != leads; }));
  REQUIRE(one->keep("k"));
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  CHECK(eventually([&] { return one->held("k") == "-"; }));
  leads = leader();

  Reader two(store, named(store, "2"));
  REQUIRE(two.fence() == PGCACHE_OK);
  REQUIRE(leader() == leads);
  one->cache.free();        /* it ends */
  CHECK(holder() != leads); /* it gave the lease up */
  CHECK(eventually([&] { return !holder().empty() && holder() != leads; }));
  one = std::make_unique<Reader>(store, named(store, "1"));
  REQUIRE(one->fence() == PGCACHE_OK);
  REQUIRE(eventually([&] { return !holder().empty(); }));

  /* The one that leads cannot renew: its session is stopped. The other leads then, or it does with another session. */
  std::vector<pid_t> stopped;
  REQUIRE(eventually([&] { return (stopped = listeners(store, "2")).size() == 1; }));
  if (!can_signal(stopped[0])) {
    WARN("skipped: the server is on another machine");
    return;
  }
  kill(stopped[0], SIGSTOP);
  const string at = store.pg.one("SELECT clock_timestamp()");
  CHECK(eventually([&] {
    return store.pg.one(store.sql("SELECT count(*) FROM {s}.relay WHERE until > $1::timestamptz + '1 s'"), {at}) == "1";
  }));
  kill(stopped[0], SIGCONT);
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE((one->keep("k") && two.keep("k")));
  REQUIRE(store.cache.put("k", "w") == PGCACHE_OK);
  CHECK(eventually([&] { return one->held("k") == "-" && two.held("k") == "-"; }));
}

TEST_CASE("A wall clock that is wrong and jumps changes nothing", "[threads]") {
  Store store;
  const int64_t long_bound_ms = 5000; /* which a busy machine keeps */
  Reader reader(store, {{"near_staleness_ms", std::to_string(long_bound_ms)}});
  Watch watch(reader, store.open(), long_bound_ms);
  REQUIRE(watch.goes_on());
  const int64_t flushes = reader.flushes(PGC_NEAR_FLUSH_START);
  for (const int64_t seconds : {-86400, 86400, -3}) {
    WrongClock clock(seconds);
    CHECK(watch.goes_on(50));
    CHECK(eventually([&] { return reader.is_valid(); }));
  }
  watch.end();
  CHECK(watch.stale == 0);
  CHECK(reader.flushes(PGC_NEAR_FLUSH_START) == flushes);
}
