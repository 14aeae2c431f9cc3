/*
 * sql_roles.cpp - who may read the change stream, relay and trim it: every role that may use the cache, in each of the ways
 * that there are, and nobody else; and what one that means harm can do by that: nothing that makes a hit stale.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near/stream.hpp"
#include "support/catch.hpp"
#include "support/private_server.hpp"

#include <algorithm>
#include <atomic>
#include <climits>
#include <regex>
#include <set>

extern "C" {
#include "pure/sql_text.h"
#include "store/statements.h"
}

using namespace test;
using std::string;
using stream::Poller;

namespace {

struct Scene {
  PrivateServer server;
  Pg admin{server.conninfo()};

  Config config(const Settings &settings = {}) const {
    Config config;
    config.set("url", server.conninfo()).set("schema", "c").set("near_max_bytes", "0");
    for (const auto &[name, value] : settings)
      config.set(name, value);
    return config;
  }
  void init(const Settings &settings = {}) {
    const Answer answer = Cache(config(settings)).init();
    INFO(answer);
    REQUIRE(answer.status >= 0);
  }
  void let_in(const string &role, const string &namespaces, const string &grants) {
    admin.exec("CREATE ROLE " + role + " LOGIN");
    init({{"app_role", role}, {"app_namespaces", namespaces}, {"grants", grants}});
  }
  Pg as(const string &role) const {
    return Pg(server.conninfo(role));
  }
};

/* The library's own statement, as this role executes it, with parameters in text. */
std::vector<Row> run(Pg &pg, pgc_statement_id id, pgc_access access, const std::vector<string> &parameters) {
  pgc_buffer text = PGC_BUFFER_INIT;
  pgc_sql_resolve(&text, pgc_statement_get(id)->sql[access], "c", {false, true});
  const string sql(reinterpret_cast<const char *>(text.data), text.size);
  pgc_buffer_clear(&text);
  return pg.query(sql, parameters);
}

const char HOLDER[] = "11111111-1111-1111-1111-111111111111", OTHER[] = "22222222-2222-2222-2222-222222222222";

} // namespace

TEST_CASE("Every role that may use the cache reads, relays and trims the change stream", "[roles]") {
  Scene scene;
  scene.init();
  scene.let_in("with_functions", "", "functions");
  scene.let_in("with_tables", "", "tables");
  scene.let_in("kept", "default", "functions");
  scene.let_in("kept_with_tables", "default", "tables");
  for (const auto &[role, access] :
       std::vector<std::pair<string, pgc_access>>{{"postgres", PGC_ACCESS_TABLES},
                                                  {"with_functions", PGC_ACCESS_LIBRARY},
                                                  {"with_tables", PGC_ACCESS_TABLES},
                                                  {"kept", PGC_ACCESS_RESTRICTED},
                                                  {"kept_with_tables", PGC_ACCESS_TABLES}}) {
    INFO(role);
    Pg pg = scene.as(role);
    const auto ask = [&, a = access](pgc_statement_id id, const std::vector<string> &parameters) {
      return run(pg, id, a, parameters);
    };
    const Row before = ask(PGC_STATEMENT_POLL_CHANGES, {""}).at(0);
    CHECK(before[5] == scene.admin.one("SELECT notify_channel FROM c.cache"));
    CHECK(before[6] == "\\x");
    const string version = pg.one("SELECT c.put('k'::text, 'v')");
    const Row after = ask(PGC_STATEMENT_POLL_CHANGES, {before[0]}).at(0);
    CHECK(after[1] == before[1]);
    const auto events = stream::decode(after[6].substr(2));
    REQUIRE(events.size() == 1);
    CHECK(std::to_string(events[0].version) == version);
    const auto there = ask(PGC_STATEMENT_VERSIONS, {"{" + events[0].digest + "," + HOLDER + "}"});
    REQUIRE(there.size() == 1);
    CHECK(there[0][1] == version);
    CHECK(ask(PGC_STATEMENT_LEAD_RELAY, {HOLDER, "60000"}).at(0).at(0) == "t");
    CHECK(ask(PGC_STATEMENT_LEAD_RELAY, {HOLDER, "0"}).at(0).at(0) == "f");
    pg.exec("LISTEN \"" + before[5] + "\"");
    CHECK(ask(PGC_STATEMENT_PUBLISH, {before[5], "{a,b}"}).at(0).at(0) == "2");
    PQconsumeInput(pg.raw());
    int heard = 0;
    for (PGnotify *note; (note = PQnotifies(pg.raw())) != nullptr; PQfreemem(note))
      heard += note->relname == before[5];
    CHECK(heard == 2);
    CHECK(pg.one("SELECT c.trim_changes()") == "f"); /* nothing is due */
    /* By the library, too. */
    Cache cache(scene.config({{"url", scene.server.conninfo(role)}}));
    CHECK(cache.put("l", "v") == PGCACHE_OK);
    CHECK(cache.remove("l") == PGCACHE_OK);
    CHECK(cache.increment("n", 1) == PGCACHE_OK);
    CHECK(stream::decode(ask(PGC_STATEMENT_POLL_CHANGES, {after[0]}).at(0).at(6).substr(2)).size() == 3);
  }
}

TEST_CASE("Nobody else learns the channel, or anything of the stream", "[roles]") {
  Scene scene;
  scene.init();
  scene.let_in("app", "", "functions");
  scene.admin.exec("CREATE ROLE stranger LOGIN; GRANT USAGE ON SCHEMA c TO stranger");
  Pg pg = scene.as("stranger");
  for (const char *sql :
       {"SELECT notify_channel FROM c.cache", "TABLE c.changes", "TABLE c.changes_0", "TABLE c.relay",
        "TABLE c.trimming", "SELECT c.library_poll_changes('')", "SELECT c.library_lead_relay(gen_random_uuid(), 100)",
        "SELECT c.trim_changes()", "SELECT c.trim_changes_older(1, 1)", "SELECT c.library_versions('{}')"}) {
    INFO(sql);
    CHECK(pg.sqlstate(sql) == "42501");
  }
  /* A listening session does not show it, nor does a role with functions get more than them. */
  Pg listener = scene.as("app");
  listener.exec("LISTEN \"" + scene.admin.one("SELECT notify_channel FROM c.cache") + "\"");
  CHECK(pg.one("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN%' AND pid <> pg_backend_pid()") == "0");
  for (const char *sql :
       {"TABLE c.changes", "INSERT INTO c.changes (slot, kind, event) VALUES (0, 2, '')", "TABLE c.relay",
        "UPDATE c.relay SET until = 'infinity'", "TABLE c.trimming", "SELECT c.trim_changes_older(1, 1)",
        "SELECT c.truncate_changes(0, pg_current_snapshot())", "TRUNCATE c.changes_0", "UPDATE c.marker SET floor = 0",
        "DO 'BEGIN LOCK TABLE c.changes IN ACCESS EXCLUSIVE MODE; END'"}) {
    INFO(sql);
    CHECK(listener.sqlstate(sql) == "42501");
  }
}

TEST_CASE("What a role gives to the functions harms nobody but itself", "[roles][hostile]") {
  Scene scene;
  scene.init();
  scene.let_in("app", "", "functions");
  scene.let_in("with_tables", "", "tables");
  Pg pg = scene.as("app");
  for (const char *cursor : {"x", "1:2", "2:1:", "-1:5:", "1:5:7", "18446744073709551616:1:", ":::"}) {
    INFO(cursor);
    CHECK(pg.sqlstate(string("SELECT c.library_poll_changes('") + cursor + "')") != "00000");
  }
  CHECK(pg.query("SELECT frames FROM c.library_poll_changes(NULL)") == std::vector<Row>{{"\\x"}});
  /* A cursor of the future sees nothing. */
  CHECK(pg.query("SELECT frames FROM c.library_poll_changes('9999999999:9999999999:')") == std::vector<Row>{{"\\x"}});
  CHECK(pg.sqlstate("SELECT c.library_lead_relay(NULL, 100)") == "23502");
  pg.exec(string("SELECT c.library_lead_relay('") + HOLDER + "', 2147483647)");
  CHECK(scene.admin.one("SELECT until <= clock_timestamp() + '1 min' FROM c.relay") == "t");
  CHECK(pg.query(string("SELECT leads FROM c.library_lead_relay('") + OTHER + "', -5)") == std::vector<Row>{{"f"}});
  scene.admin.exec("DELETE FROM c.relay");
  CHECK(pg.query(string("SELECT leads FROM c.library_lead_relay('") + OTHER + "', NULL)").size() == 1);

  Pg tables = scene.as("with_tables");
  /* A row of the future would be read by every poll and never be trimmed. */
  CHECK(tables.sqlstate("INSERT INTO c.changes (slot, xid, kind, event) VALUES (0, '99999999999', 0, '')") == "42501");
  CHECK(tables.sqlstate("INSERT INTO c.changes_0 (slot, kind, event) VALUES (0, 0, '')") == "42501");
  CHECK(tables.sqlstate("INSERT INTO c.changes (slot, kind, event) VALUES (3, 0, '')") == "23514");
  CHECK(tables.sqlstate("UPDATE c.changes SET event = ''") == "42501");
  CHECK(tables.sqlstate("DELETE FROM c.changes") == "42501");
  CHECK(tables.sqlstate("TRUNCATE c.changes") == "42501");
  CHECK(tables.sqlstate("DO 'BEGIN LOCK TABLE c.changes IN ACCESS EXCLUSIVE MODE; END'") == "42501");
  CHECK(tables.sqlstate("UPDATE c.marker SET floor = 0") == "42501");
  /* A lease that never ends is none. */
  tables.exec("INSERT INTO c.relay (holder, until) VALUES ('22222222-2222-2222-2222-222222222222', 'infinity') "
              "ON CONFLICT (only_row) DO UPDATE SET holder = EXCLUDED.holder, until = 'infinity'");
  CHECK(Poller("c", scene.server.conninfo()).last[3] == "t");
  CHECK(pg.query(string("SELECT leads FROM c.library_lead_relay('") + HOLDER + "', 1000)") == std::vector<Row>{{"t"}});
}

TEST_CASE("One holder at a time has the relay's lease, until it ends or is given up", "[relay]") {
  Store store;
  Poller poller(store.schema());
  const auto lead = [&](const char *who, const char *ms) {
    return store.pg.one(store.sql("SELECT leads FROM {s}.library_lead_relay($1::uuid, $2::int)"), {who, ms}) == "t";
  };
  const auto is_free = [&] {
    poller.poll();
    return poller.last[3] == "t";
  };
  CHECK(is_free());
  CHECK_FALSE(lead(OTHER, "0")); /* gives up what it has not */
  CHECK(is_free());
  CHECK(lead(HOLDER, "60000"));
  CHECK_FALSE(is_free());
  CHECK_FALSE(lead(OTHER, "60000"));
  CHECK_FALSE(lead(OTHER, "0"));
  CHECK_FALSE(is_free());
  const auto row = [&] { return store.pg.one(store.sql("SELECT ctid FROM {s}.relay")); };
  const string before = row();
  CHECK(lead(HOLDER, "60000"));
  CHECK(row() == before);     /* so soon nothing is written */
  CHECK(lead(HOLDER, "200")); /* a shorter one is */
  CHECK(row() != before);
  CHECK(eventually(is_free));
  CHECK(lead(OTHER, "60000"));
  CHECK_FALSE(lead(HOLDER, "60000"));
  CHECK_FALSE(lead(OTHER, "0"));
  CHECK(is_free());
  CHECK(lead(HOLDER, "60000"));
  store.pg.exec(store.sql("UPDATE {s}.relay SET until = clock_timestamp() + '2 min'")); /* a clock that was set back */
  CHECK(is_free());
  CHECK(lead(OTHER, "60000"));
  std::atomic<int> leaders{0};
  store.pg.exec(store.sql("TRUNCATE {s}.relay"));
  in_threads(8, [&](int thread) {
    Pg pg(url());
    leaders += pg.one(store.sql("SELECT leads FROM {s}.library_lead_relay($1::uuid, 60000)"),
                      {string(HOLDER).replace(0, 1, std::to_string(thread))}) == "t";
  });
  CHECK(leaders == 1);
}

TEST_CASE("The channel is a random one for each schema, or that of the setting", "[channel]") {
  Store one, other;
  const auto channel = [](Store &store) { return store.pg.one(store.sql("SELECT notify_channel FROM {s}.cache")); };
  CHECK(std::regex_match(channel(one), std::regex("pgcache_[0-9a-f]{24}")));
  CHECK(std::regex_match(channel(other), std::regex("pgcache_[0-9a-f]{24}")));
  CHECK(channel(one) != channel(other));
  Store named(Settings{{"notify_channel", "quiet"}});
  CHECK(channel(named) == "quiet");
  CHECK(named.open({{"notify_channel", "loud"}}).init() == PGCACHE_EXISTS);
  CHECK(channel(named) == "quiet"); /* others listen on it */
  Scene scene;
  for (const Settings &settings : {Settings{{"notify_channel", "loud"}},
                                   Settings{{"notify_channel", "loud"}, {"app_role", "app"}, {"grants", "tables"}}}) {
    pgcache_value *script = nullptr;
    REQUIRE(pgcache_init_sql(&script, scene.config(settings).get(), nullptr) == PGCACHE_OK);
    scene.admin.exec(Value(script).bytes());
    CHECK(scene.admin.one("SELECT notify_channel FROM c.cache") == "loud");
    scene.admin.exec("DROP SCHEMA c CASCADE");
  }
}

TEST_CASE("Renewals of the lease that a long transaction keeps do not make polls slower", "[relay]") {
  Store store;
  Pg reader(url()), old(url());
  reader.exec("SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan");
  const auto pages =
      [&] { /* the fewest of several: after an autovacuum the catalog is read anew */
            int fewest = INT_MAX;
            for (int i = 0; i < 10; i++) {
              string plan;
              for (const Row &row : reader.query(store.sql(
                       "EXPLAIN (ANALYZE, BUFFERS, TIMING off) SELECT snapshot FROM {s}.library_poll_changes('')")))
                plan += row[0];
              std::smatch hits;
              INFO(plan);
              REQUIRE(std::regex_search(plan, hits, std::regex("Buffers: shared hit=([0-9]+)")));
              fewest = std::min(fewest, std::stoi(hits[1]));
            }
            return fewest;
      };
  store.pg.query(store.sql("SELECT {s}.library_lead_relay($1::uuid, 1)"), {HOLDER});
  const int before = pages();
  old.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
  for (int i = 0; i < 2000; i++)
    store.pg.exec(store.sql("UPDATE {s}.relay SET until = clock_timestamp()"));
  const int after = pages();
  INFO(before << " pages before, " << after << " after");
  INFO(before << " pages before, " << after << " after");
  CHECK(after <= before + 8);
}
