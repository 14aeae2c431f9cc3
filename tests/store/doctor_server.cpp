/*
 * doctor_server.cpp - the doctor on servers in every condition: settings, load, standbys, and what holds back cleanup.
 * Each test has a server of its own, brought into that condition.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/report.hpp"
#include "support/secrets.hpp"
#include "support/server.hpp"

#include <fstream>

using namespace test;
using std::string;

namespace {

bool has(const string &text, const string &part) {
  return text.find(part) != string::npos;
}

/* A schema `pgcache` on that server, and a handle. */
Cache cache_on(const PrivateServer &server, const Settings &settings = {}) {
  Config config;
  config.set("url", server.conninfo());
  for (const auto &[name, value] : settings)
    config.set(name, value);
  Cache cache(config);
  if (cache.init().status < 0)
    throw std::runtime_error("init failed");
  return cache;
}

/* What a session did shows in the statistics as soon as it says so. */
void tell_statistics(Pg &pg) {
  pg.query("SELECT pg_stat_force_next_flush()");
  pg.query("SELECT 1");
}

/* What hot_standby_feedback of a standby says to a slot: its oldest snapshot. The slot keeps it when the standby goes. */
void feed_back(const PrivateServer &server, const string &slot, const string &xmin) {
  Pg pg(server.conninfo() + " replication=true");
  const string at = pg.query("IDENTIFY_SYSTEM")[0][2];
  PGresult *started = PQexec(pg.raw(), ("START_REPLICATION SLOT " + slot + " PHYSICAL " + at).c_str());
  const bool copying = PQresultStatus(started) == PGRES_COPY_BOTH;
  PQclear(started);
  REQUIRE(copying);
  string message = "h" + string(8, '\0'); /* the time is not looked at */
  const auto number = [&](uint32_t n) {
    for (int shift = 24; shift >= 0; shift -= 8)
      message += static_cast<char>(n >> shift);
  };
  number(static_cast<uint32_t>(std::stoul(xmin)));
  number(0); /* its epoch, */
  number(0); /* and no catalog_xmin */
  number(0);
  REQUIRE(PQputCopyData(pg.raw(), message.data(), static_cast<int>(message.size())) == 1);
  REQUIRE(PQflush(pg.raw()) == 0);
  Pg looking(server.conninfo());
  REQUIRE(eventually(
      [&] { return looking.one("SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL") == "1"; }));
}

} // namespace

TEST_CASE("Doctor: a fresh server with settings as PostgreSQL ships them gives nothing but ok", "[doctor]") {
  PrivateServer server({"fsync = on"});
  Cache cache = cache_on(server);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  const Report report = examine(cache);
  INFO(report.json());
  CHECK(report.above("ok").empty());
  CHECK(report.the("durability").severity == "ok");
}

TEST_CASE("Doctor: autovacuum off, dead rows, updates that are not HOT", "[doctor]") {
  PrivateServer server({"autovacuum = off"});
  Cache cache = cache_on(server);
  Finding finding = examine(cache).the("autovacuum");
  CHECK(finding.severity == "warning");
  CHECK(finding.evidence == "autovacuum = off");
  CHECK(has(finding.remedy, "switch it on"));

  Pg pg(server.conninfo());
  pg.exec("SELECT pgcache.put('k' || i, '\\x00'::bytea, NULL) FROM generate_series(1, 9000) i");
  pg.exec("UPDATE pgcache.entries SET load_ms = 1");
  tell_statistics(pg);
  CHECK(examine(cache).the("dead-rows").severity == "ok"); /* 9,000 are not many */
  CHECK(examine(cache).the("hot-updates").severity == "ok");
  /* An index on the expiry ends HOT updates: the doctor names the indexes as the cause. */
  pg.exec("CREATE INDEX mine ON pgcache.entries (expires_at); CREATE INDEX mine_too ON pgcache.entries (load_ms)");
  pg.exec("UPDATE pgcache.entries SET load_ms = 2");
  pg.exec("UPDATE pgcache.entries SET load_ms = 3");
  tell_statistics(pg);
  const Report report = examine(cache);
  INFO(report.json());
  finding = report.the("dead-rows");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, " dead and 9000 live rows"));
  CHECK(has(finding.evidence, "last autovacuum never"));
  CHECK(has(finding.remedy, "autovacuum_naptime than 1min; then VACUUM pgcache.entries"));
  finding = report.the("hot-updates");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "of 27000 updates were HOT; the table has 3 indexes"));
  CHECK(has(finding.remedy, "drop the indexes"));
  pg.exec(report.the("dead-rows").remedy.substr(report.the("dead-rows").remedy.find("VACUUM ")));
  tell_statistics(pg);
  CHECK(examine(cache).the("dead-rows").severity == "ok");
}

TEST_CASE("Doctor: large values that are rewritten while autovacuum comes by once a minute", "[doctor]") {
  /* Not even once a minute, so that it does not come while this is made. */
  PrivateServer server({"autovacuum_naptime = 1h"});
  Cache cache = cache_on(server);
  Pg pg(server.conninfo());
  const auto visits = [&](const string &every, const string &shown) {
    pg.exec("ALTER SYSTEM SET autovacuum_naptime = '" + every + "'");
    pg.exec("SELECT pg_reload_conf()");
    REQUIRE(eventually([&] { return Pg(server.conninfo()).one("SHOW autovacuum_naptime") == shown; }));
    cache = Cache(std::move(Config().set("url", server.conninfo()))); /* its sessions have read it */
    return examine(cache).the("autovacuum");
  };
  pg.exec("SELECT pgcache.put('k' || i, decode(repeat('ab', 700000), 'hex'), NULL) FROM generate_series(1, 100) i");
  tell_statistics(pg);
  Finding finding = examine(cache).the("autovacuum");
  CHECK(finding.severity == "ok"); /* large, and all of it lives */
  CHECK(has(finding.evidence, "autovacuum_naptime = 1h"));
  for (int round = 0; round < 2; round++)
    pg.exec("UPDATE pgcache.entries SET value = decode(repeat('cd', 700000), 'hex')");
  tell_statistics(pg);
  finding = visits("60s", "1min");
  CHECK(finding.severity == "warning");
  INFO(finding.evidence);
  CHECK(has(finding.evidence, "autovacuum_naptime = 1min; "));
  CHECK(has(finding.evidence, " on disk for values out of line, of which about 6"));
  CHECK(has(finding.remedy, "autovacuum_naptime = '5s'"));
  CHECK(visits("6s", "6s").severity == "warning");
  pg.exec(finding.remedy.substr(0, finding.remedy.find(',')));
  finding = visits("5s", "5s");
  CHECK(finding.severity == "ok");
  CHECK(finding.remedy.empty());
}

TEST_CASE("Doctor: without track_counts autovacuum is blind", "[doctor]") {
  PrivateServer server({"track_counts = off"});
  Cache cache = cache_on(server);
  const Finding finding = examine(cache).the("autovacuum");
  CHECK(finding.severity == "warning");
  CHECK(finding.evidence == "track_counts = off");
}

TEST_CASE("[A62] Doctor: a transaction, a prepared one and a slot that hold back cleanup, by number and name only",
          "[A62][doctor][secrets]") {
  PrivateServer server({"max_prepared_transactions = 5", "synchronous_commit = off"}, {"local replication all trust"});
  Cache cache = cache_on(server);
  Pg pg(server.conninfo()), holder(server.conninfo() + " application_name=" + canary);
  pg.exec("SELECT pg_create_physical_replication_slot('left_behind', true)");
  feed_back(server, "left_behind", pg.one("SELECT pg_snapshot_xmin(pg_current_snapshot())"));
  holder.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT '" + canary + "'");
  pg.exec("CREATE TABLE t (x text); BEGIN; INSERT INTO t VALUES ('" + canary + "'); PREPARE TRANSACTION '" + canary +
          "'");

  /* A moment old they are nobody's trouble; a slot that nobody uses always is. */
  Report report = examine(cache);
  INFO(report.json());
  CHECK(report.above("info") == std::set<string>{"slots"});
  Finding finding = report.the("slots");
  CHECK(has(finding.evidence, "slot left_behind, not in use"));
  CHECK(has(finding.remedy, "pg_drop_replication_slot('left_behind')"));

  pg.exec("DO $$ BEGIN FOR i IN 1..250100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
  report = examine(cache);
  INFO(report.json());
  CHECK(report.above("info") == std::set<string>{"slots", "transactions", "prepared"});
  REQUIRE(report.of("transactions").size() == 1);
  finding = report.the("transactions");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "process " + std::to_string(holder.pid()) + ", idle in transaction, open for 00:0"));
  CHECK(has(finding.evidence, "2501"));
  CHECK(has(finding.remedy, "pg_terminate_backend(" + std::to_string(holder.pid()) + ")"));
  REQUIRE(report.of("prepared").size() == 1);
  finding = report.the("prepared");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "2501"));
  CHECK(has(finding.remedy, "ROLLBACK PREPARED"));
  CHECK_FALSE(shows_canary(report.json()));

  /* A role that may not look at sessions still sees that one holds back cleanup. */
  pg.exec("CREATE ROLE poor LOGIN; GRANT USAGE ON SCHEMA pgcache TO poor; GRANT ALL ON ALL TABLES IN SCHEMA pgcache TO "
          "poor;"
          "GRANT ALL ON SEQUENCE pgcache.version_seq TO poor; GRANT ALL ON ALL FUNCTIONS IN SCHEMA pgcache TO poor");
  Config config;
  Cache poor(config.set("url", server.conninfo("poor")));
  report = examine(poor);
  INFO(report.json());
  CHECK(report.above("info") == std::set<string>{"owner", "slots", "transactions", "prepared"});
  CHECK(has(report.the("transactions").evidence, "process " + std::to_string(holder.pid()) + ", not to be seen"));
  CHECK(has(report.of("info").front().evidence, "pg_read_all_stats"));

  holder.exec("COMMIT");
  pg.exec("ROLLBACK PREPARED '" + canary + "'");
  pg.exec("SELECT pg_drop_replication_slot('left_behind')");
  CHECK(examine(cache).above("info") == std::set<string>{"owner"}); /* the one who was let in */
}

TEST_CASE("Doctor: on a standby the unlogged table is not there, a logged one is", "[doctor][standby]") {
  PrivateServer server;
  Cache unlogged = cache_on(server), logged = cache_on(server, {{"schema", "kept"}, {"table", "logged"}});
  REQUIRE(logged.put("k", "v") == PGCACHE_OK);
  server.stop();
  std::ofstream(server.socket_folder() + "/standby.signal").close();
  server.start();
  Report report = examine(unlogged);
  INFO(report.json());
  CHECK(report.the("standby").severity == "error");
  CHECK(has(report.the("standby").evidence, "in recovery"));
  CHECK(has(report.the("standby").remedy, "target_session_attrs=primary"));
  CHECK(report.above("info") == std::set<string>{"standby"});
  report = examine(logged);
  INFO(report.json());
  CHECK(report.the("standby").severity == "warning");
  CHECK(report.above("info") == std::set<string>{"standby"});
}

TEST_CASE("Doctor: after a crash the marker is missing until the next write", "[doctor]") {
  PrivateServer server;
  Cache cache = cache_on(server);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  server.crash();
  server.start();
  const Report report = examine(cache);
  INFO(report.json());
  CHECK(report.the("marker").severity == "info");
  CHECK(has(report.the("marker").finding, "crash"));
  CHECK(report.above("info").empty());
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  CHECK(examine(cache).the("marker").severity == "ok");
}

TEST_CASE("Doctor: a server with few connections", "[doctor]") {
  PrivateServer server({"max_connections = 10", "superuser_reserved_connections = 3"});
  Cache cache = cache_on(server);
  Pg pg(server.conninfo());
  const Finding finding = examine(cache).the("connections");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "the server has 8 connections left, pool_max is 10 and 1 of them are open"));
  pg.exec("CREATE ROLE poor LOGIN; ALTER DATABASE postgres CONNECTION LIMIT 4");
  Config config;
  Cache poor(config.set("url", server.conninfo("poor")).set("pool_max", "9"));
  const Report report = examine(poor);
  INFO(report.json());
  REQUIRE(report.of("connections").size() == 2);
  CHECK(has(report.of("connections")[0].evidence, "the server has 4 connections left")); /* three are reserved */
  CHECK(has(report.of("connections")[1].evidence, "the database has 1 connections left"));
}

TEST_CASE("Doctor: settings that a logged table feels", "[doctor]") {
  PrivateServer server({"full_page_writes = off"});
  Cache unlogged = cache_on(server), logged = cache_on(server, {{"schema", "kept"}, {"table", "logged"}});
  /* A standby that is not there would make every write wait for ever, so that it is named when all is made. */
  Pg pg(server.conninfo());
  pg.exec("ALTER SYSTEM SET synchronous_standby_names = 'other'");
  pg.exec("SELECT pg_reload_conf()");
  REQUIRE(eventually([&] { return Pg(server.conninfo()).one("SHOW synchronous_standby_names") == "other"; }));
  unlogged = Cache(std::move(Config().set("url", server.conninfo())));
  logged = Cache(std::move(Config().set("url", server.conninfo()).set("schema", "kept").set("table", "logged")));
  Finding finding = examine(unlogged).the("durability");
  CHECK(finding.severity == "info");
  CHECK(has(finding.evidence, "fsync = off"));
  CHECK(has(finding.evidence, "full_page_writes = off"));
  CHECK_FALSE(has(finding.evidence, "synchronous_standby_names"));
  finding = examine(logged).the("durability");
  CHECK(finding.severity == "info");
  CHECK(has(finding.evidence, "synchronous_standby_names"));
}

TEST_CASE("Doctor: a queue of notifications that fills up", "[doctor]") {
  PrivateServer server({"allow_system_table_mods = on"});
  Cache cache = cache_on(server);
  Pg pg(server.conninfo());
  /* The queue holds 8 GB; so the server is told to say what it would say. */
  const auto used = [&](const string &share) {
    pg.exec(
        "CREATE OR REPLACE FUNCTION pg_catalog.pg_notification_queue_usage() RETURNS float8 LANGUAGE sql AS 'SELECT " +
        share + "::float8'");
    return examine(cache).the("notifications");
  };
  CHECK(used("0.2").severity == "ok");
  const Finding warning = used("0.5");
  CHECK(warning.severity == "warning");
  CHECK(warning.evidence == "50.0 % used");
  CHECK(has(warning.remedy, "listens"));
  CHECK(used("0.76").severity == "error");
}
