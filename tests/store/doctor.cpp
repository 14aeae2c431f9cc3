/*
 * doctor.cpp - the doctor on schemas, roles and connections in every condition; each test makes the condition on a real
 * server and looks for its finding. Those that need a server of their own are in doctor_server.cpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache_hooks.h"
#include "support/answers.hpp"
#include "support/catch.hpp"
#include "support/interpose.hpp"
#include "support/report.hpp"
#include "support/secrets.hpp"
#include "support/server.hpp"

extern "C" {
#include "pgc_sql.h"
#include "pure/migrations.h"
#include "pure/schema_pieces.h"
#include "pure/sql_text.h"
}

#include <algorithm>
#include <sstream>

using namespace test;
using std::string;

namespace {

bool has(const string &text, const string &part) {
  return text.find(part) != string::npos;
}

/* What the migrations make, as "kind name". */
std::vector<string> expected_pieces() {
  std::vector<string> out;
  const pgc_migrations migrations = pgc_migrations_list();
  for (size_t i = 0; i < migrations.count; i++) {
    pgc_schema_scan scan = PGC_SCHEMA_SCAN_INIT(migrations.steps[i].sql);
    pgc_schema_piece piece;
    while (pgc_schema_piece_next(&scan, &piece))
      out.push_back(string(piece.kind) + " " + piece.name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

string resolve(const Store &store, const char *statement) {
  pgc_buffer sql = PGC_BUFFER_INIT;
  pgc_sql_resolve(&sql, statement, store.schema().c_str(), {false, true});
  const string text(reinterpret_cast<const char *>(sql.data), sql.size);
  pgc_buffer_clear(&sql);
  return text;
}

/* What there is, as the doctor asks for it. */
std::vector<string> actual_pieces(Store &store) {
  std::vector<string> out;
  for (const auto &row : store.pg.query(resolve(store, pgc_sql_statements_doctor_pieces)))
    out.push_back(row[0] + " " + row[1]);
  std::sort(out.begin(), out.end());
  return out;
}

/* The SQL of a remedy that is the owner's to run. */
string as_owner(const Finding &finding) {
  const string words = "run as the owner of the schema: ";
  REQUIRE(finding.remedy.rfind(words, 0) == 0);
  return finding.remedy.substr(words.size());
}

void let_in(Store &store, const Role &role) {
  for (const char *what :
       {"SCHEMA {s}", "ALL TABLES IN SCHEMA {s}", "ALL SEQUENCES IN SCHEMA {s}", "ALL FUNCTIONS IN SCHEMA {s}"})
    store.pg.exec(store.sql("GRANT ALL ON " + string(what) + " TO \"" + role.name() + "\""));
}

/* SQL that removes a piece, with what depends on it. {s} is the schema. */
string drop(const string &piece, Pg &pg, const Store &store) {
  std::istringstream words(piece);
  string kind, name;
  words >> kind >> name;
  if (kind == "column") /* some cannot be dropped: that of a partition key */
    return "ALTER TABLE {s}." + name.substr(0, name.find('.')) + " RENAME COLUMN " + name.substr(name.find('.') + 1) +
           " TO gone";
  if (kind == "index" && has(name, "_pkey"))
    return "ALTER TABLE {s}." + name.substr(0, name.find("_pkey")) + " DROP CONSTRAINT " + name;
  if (kind == "function")
    return "DROP FUNCTION " +
           pg.one(store.sql("SELECT min(oid::regprocedure::text) FROM pg_proc WHERE proname = '" + name +
                            "' AND pronamespace = '{s}'::regnamespace")) +
           " CASCADE";
  return "DROP " + kind + " {s}." + name + " CASCADE";
}

/* These tests' schemas belong to a superuser: each role that is let in is a warning. */
const std::set<string> let_in_by_superuser = {"owner"};

} // namespace

TEST_CASE("Doctor: a schema that was just made has nothing above info, for its owner and for a role with grants",
          "[doctor]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  const Report fresh = examine(store.cache);
  INFO(fresh.json());
  CHECK(fresh.above("info").empty());
  for (const char *check :
       {"pooler",  "clock",         "standby",      "schema",   "table",      "pieces",        "connections",
        "grants",  "owner",         "marker",       "versions", "autovacuum", "dead-rows",     "hot-updates",
        "bloat",   "expired",       "transactions", "prepared", "slots",      "notifications", "durability",
        "changes", "invalidations", "near",         "coherence"})
    CHECK(fresh.of(check).size() == 1);
  CHECK_FALSE(fresh.of("version").empty());
  CHECK(fresh.findings.size() == 25 + fresh.of("version").size());
  for (const auto &finding : fresh.findings) {
    CHECK(finding.finding.size() > 10);
    CHECK(finding.evidence.size() > 5);
    CHECK((finding.severity != "ok" || finding.remedy.empty()));
  }

  Store other(Settings{{"table", "logged"}, {"values", "inline"}});
  CHECK(examine(other.cache).above("info").empty());
}

TEST_CASE("Doctor: a change stream that nobody trims, invalidations that nobody purges", "[doctor]") {
  struct Log {
    const char *sql, *limit, *fill, *remedy;
  };
  Store store;
  const auto &log =
      GENERATE(Log{pgc_sql_statements_doctor_changes, "2147483648",
                   "INSERT INTO {s}.changes (slot, kind, event) SELECT i % 3, 0, '' FROM generate_series(1, 20000) i",
                   "SELECT {s}.trim_changes()"},
               Log{pgc_sql_statements_doctor_invalidations, "1073741824",
                   "INSERT INTO {s}.invalidations (digest) SELECT gen_random_uuid() FROM generate_series(1, 20000)",
                   "`pgcache cleanup`"});
  string sql = resolve(store, log.sql);
  CHECK(store.pg.query(sql).at(0).at(1) == "ok");
  const string limit = log.limit; /* as many bytes would take long to write */
  REQUIRE(sql.find(limit) != string::npos);
  sql.replace(sql.find(limit), limit.size(), "1000000");
  CHECK(store.pg.query(sql).at(0).at(1) == "ok");
  store.pg.exec(store.sql(log.fill));
  const Row finding = store.pg.query(sql).at(0);
  CHECK(finding[1] == "warning");
  CHECK(has(finding[4], store.sql(log.remedy)));
}

TEST_CASE("Doctor: what it expects of a schema is what the migrations make", "[doctor]") {
  Store store, logged(Settings{{"table", "logged"}});
  CHECK(actual_pieces(store) == expected_pieces());
  CHECK(actual_pieces(logged) == expected_pieces());
}

TEST_CASE("Doctor: each piece of the schema that is dropped is named", "[doctor]") {
  int dropped = 0;
  auto pieces = expected_pieces();
  pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
  /* A third of them usually, another one with each seed. */
  for (size_t i = seed() % 3; i < pieces.size(); i += is_long() ? 1 : 3) {
    const string &piece = pieces[is_long() ? i - seed() % 3 : i];
    if (piece.rfind("option ", 0) == 0)
      continue;
    INFO(piece);
    Store store;
    store.pg.exec(store.sql(drop(piece, store.pg, store)));
    const Report report = examine(store.cache);
    INFO(report.json());
    const string kind = piece.substr(0, piece.find(' ')), name = piece.substr(kind.size() + 1);
    bool named = false;
    for (const auto &finding : report.of("pieces")) {
      named = named || has(finding.evidence + ":", kind + " " + store.schema() + "." + name + ":");
      CHECK(finding.severity == (has(finding.evidence, "view ") ? "warning" : "error"));
      CHECK(has(finding.remedy, "pgcache init"));
    }
    /* Without the table cache there is no cache. */
    if (piece == "table cache")
      CHECK(report.the("schema").severity == "error");
    else
      CHECK(named);
    dropped++;
  }
  CHECK(dropped > longer(20, 65));
}

TEST_CASE("Doctor: a table that is missing is one finding, not one for each of its columns", "[doctor]") {
  Store store;
  store.pg.exec(store.sql("DROP TABLE {s}.leases; DROP FUNCTION {s}.put(text, bytea, interval, text, integer)"));
  const Report report = examine(store.cache);
  REQUIRE(report.of("pieces").size() == 2);
  CHECK(report.of("pieces")[0].evidence == "table " + store.schema() + ".leases");
  CHECK(has(report.of("pieces")[1].evidence, "function " + store.schema() + ".put: 1 of 2 forms"));
}

TEST_CASE("Doctor: options of tables that were changed or reset", "[doctor]") {
  Store store;
  store.pg.exec(store.sql("ALTER TABLE {s}.entries SET (autovacuum_vacuum_scale_factor = 0.3, fillfactor = 90)"));
  Report report = examine(store.cache);
  REQUIRE(report.of("options").size() == 1);
  CHECK(report.the("options").severity == "info");
  CHECK(has(report.the("options").evidence, "entries autovacuum_vacuum_scale_factor=0.05"));
  CHECK(has(report.the("options").evidence, "now it is 0.3"));
  store.pg.exec(store.sql("ALTER TABLE {s}.entries RESET (autovacuum_vacuum_scale_factor, "
                          "toast.autovacuum_vacuum_cost_delay, fillfactor)"));
  report = examine(store.cache);
  REQUIRE(report.of("options").size() == 3);
  for (const auto &finding : report.of("options")) {
    CHECK(finding.severity == "warning");
    CHECK(has(finding.evidence, "the server's default"));
    CHECK(has(finding.remedy, "ALTER TABLE"));
  }
  for (const char *off : {"autovacuum_enabled = false", "toast.autovacuum_enabled = off"}) {
    Store again;
    again.pg.exec(again.sql("ALTER TABLE {s}.entries SET (" + string(off) + ")"));
    const Finding finding = examine(again.cache).the("autovacuum");
    CHECK(finding.severity == "warning");
    CHECK(has(finding.evidence, "autovacuum_enabled="));
  }
}

TEST_CASE("Doctor: a schema that is not there, or is no cache, or whose row is gone", "[doctor]") {
  Store store;
  Schema another;
  Cache elsewhere = store.open({{"schema", another.name()}});
  Finding finding = examine(elsewhere).the("schema");
  CHECK(finding.severity == "error");
  CHECK(has(finding.evidence, another.name()));
  CHECK(has(finding.remedy, "pgcache init"));
  store.pg.exec("CREATE SCHEMA " + another.name());
  finding = examine(elsewhere).the("schema");
  CHECK(finding.severity == "error");
  CHECK(has(finding.finding, "not the cache's tables"));
  /* Nothing else is said about what is not there. */
  CHECK(examine(elsewhere).above("info") == std::set<string>{"schema"});

  store.pg.exec(store.sql("DELETE FROM {s}.cache"));
  finding = examine(store.cache).the("schema");
  CHECK(finding.severity == "error");
  CHECK(has(finding.evidence, "0 rows"));
}

TEST_CASE("Doctor: a schema that is older or newer, of another kind, or from another cluster", "[doctor]") {
  Store store;
  store.pg.exec(store.sql("UPDATE {s}.cache SET schema_version = 99"));
  Finding finding = examine(store.cache).the("schema");
  CHECK(finding.severity == "error");
  CHECK(has(finding.finding, "newer"));
  CHECK(has(finding.evidence, "version 99"));
  CHECK(has(finding.remedy, "upgrade the library"));
  store.pg.exec(store.sql("UPDATE {s}.cache SET schema_version = 0"));
  finding = examine(store.cache).the("schema");
  CHECK(finding.severity == "error");
  CHECK(has(finding.finding, "older"));
  CHECK(finding.remedy == "run `pgcache upgrade`");
  store.pg.exec(store.sql("UPDATE {s}.cache SET schema_version = 1, system_identifier = 7"));
  finding = examine(store.cache).the("schema");
  CHECK(finding.severity == "info");
  CHECK(has(finding.finding, "another cluster"));
  CHECK(examine(store.cache).the("coherence").severity == "ok");
  finding = examine(store.open({{"coherence", "off"}})).the("coherence");
  CHECK(finding.severity == "error");
  CHECK(finding.evidence == "made with coherence=on, the setting is coherence=off");
  CHECK(finding.remedy == "set coherence=on, or use another schema");
  store.pg.exec(
      store.sql("UPDATE {s}.cache SET system_identifier = (SELECT system_identifier FROM pg_control_system())"));

  Cache logged = store.open({{"table", "logged"}});
  finding = examine(logged).the("table");
  CHECK(finding.severity == "error");
  CHECK(has(finding.remedy, "table=unlogged"));
  CHECK(examine(store.cache).the("table").severity == "ok");
  store.pg.exec(store.sql("ALTER TABLE {s}.entries SET LOGGED"));
  finding = examine(store.cache).the("table");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "entries is logged"));
  CHECK(has(finding.remedy, "SET UNLOGGED"));
}

TEST_CASE("Doctor: a role follows its remedies until it lacks nothing, and then can do everything", "[doctor]") {
  Store store;
  Role role("LOGIN");
  const Settings as_role = {{"url", url_with({{"user", role.name()}})}};
  Cache poor = store.open(as_role);
  Report report = examine(poor);
  INFO(report.json());
  CHECK(report.the("grants").severity == "error");
  CHECK(has(report.the("grants").evidence, "USAGE ON SCHEMA " + store.schema()));
  CHECK(report.the("content").severity == "info");
  CHECK(has(report.the("content").remedy, "SELECT"));
  CHECK(report.of("marker").empty());
  CHECK(report.of("bloat").empty());
  CHECK(poor.get("k") == PGCACHE_DENIED);

  store.pg.exec(as_owner(report.the("grants")));
  Cache rich = store.open(as_role);
  report = examine(rich);
  INFO(report.json());
  CHECK(report.above("info") == let_in_by_superuser);
  CHECK(report.the("grants").severity == "ok");
  CHECK(rich.put("k", "v") == PGCACHE_OK);
  CHECK(rich.get("k").bytes() == "v");
  CHECK(rich.touch("k", 1000) == PGCACHE_OK);
  CHECK(rich.increment("n") == PGCACHE_OK);
  CHECK(rich.remove("k") == PGCACHE_OK);
  CHECK(rich.flush(PGCACHE_FLUSH_ALL) == PGCACHE_OK);
  CHECK(rich.cleanup() == PGCACHE_OK);
  CHECK(rich.stats().entries == 0);
  store.pg.exec(store.sql("DELETE FROM {s}.marker"));
  CHECK(rich.put("k", "v") == PGCACHE_OK);
}

TEST_CASE("Doctor: a role that may call functions only is told what the schema is", "[doctor][roles]") {
  Store store;
  Role role("LOGIN");
  store.pg.exec(store.sql("SELECT {s}.grant_access('" + role.name() + "', NULL, 'functions')"));
  const Report report = examine(store.open({{"url", url_with({{"user", role.name()}})}}));
  for (const char *check : {"schema", "table", "coherence"}) {
    INFO(report.json());
    REQUIRE(report.of(check).size() == 1);
    CHECK(report.the(check).severity == "ok");
  }
}

TEST_CASE("Doctor: each privilege that a role lacks is named, with what it ends", "[doctor]") {
  Store store;
  Role role("LOGIN");
  store.pg.exec(store.sql("GRANT SELECT ON {s}.entries TO \"" + role.name() + "\"")); /* one that works on the tables */
  Cache rich = store.open({{"url", url_with({{"user", role.name()}})}});
  store.pg.exec(as_owner(examine(rich).the("grants")));
  /* Which is enough for whatever works on the tables, in a namespace with limits, too. */
  REQUIRE(pgcache_set_limits(store.cache.raw(), PGCACHE_LIMIT_NAMESPACE, 100, 0, nullptr, nullptr) == PGCACHE_OK);
  CHECK(rich.put("k", "v") == PGCACHE_OK);
  CHECK(rich.get("k").bytes() == "v");
  CHECK(rich.exists("k") == PGCACHE_OK);
  CHECK(rich.stats().entries == 1);
  CHECK(rich.cleanup() == PGCACHE_OK);
  CHECK(rich.flush(PGCACHE_FLUSH_NAMESPACE) == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT has_table_privilege('" + role.name() + "', '{s}.namespaces', 'SELECT')")) ==
        "f");
  CHECK(examine(rich).above("info") == let_in_by_superuser);
  for (const auto &[what, severity] :
       std::vector<std::pair<string, string>>{{"USAGE ON SCHEMA {s}", "error"},
                                              {"SELECT ON TABLE {s}.entries", "error"},
                                              {"INSERT ON TABLE {s}.entries", "warning"},
                                              {"UPDATE ON TABLE {s}.entries", "warning"},
                                              {"DELETE ON TABLE {s}.entries", "warning"},
                                              {"SELECT ON TABLE {s}.marker", "warning"},
                                              {"INSERT (slot, kind, event) ON TABLE {s}.changes", "warning"},
                                              {"SELECT ON TABLE {s}.changes", "warning"},
                                              {"SELECT ON TABLE {s}.relay", "warning"},
                                              {"INSERT ON TABLE {s}.relay", "warning"},
                                              {"UPDATE ON TABLE {s}.relay", "warning"},
                                              {"USAGE ON SEQUENCE {s}.version_seq", "warning"}}) {
    const string privilege = store.sql(what);
    INFO(privilege);
    store.pg.exec("REVOKE " + privilege + " FROM \"" + role.name() + "\"");
    const Report lacking = examine(rich);
    INFO(lacking.json());
    CHECK(lacking.the("grants").severity == severity);
    CHECK(has(lacking.the("grants").evidence, "lacks " + privilege));
    CHECK(has(lacking.the("grants").remedy, "GRANT " + privilege + " TO "));
    store.pg.exec("GRANT " + privilege + " TO \"" + role.name() + "\"");
  }
  CHECK(examine(rich).above("info") == let_in_by_superuser);
}

TEST_CASE("Doctor: what a role may not see is an info that names the privilege", "[doctor]") {
  Store store;
  Role role("LOGIN");
  let_in(store, role);
  Cache cache = store.open({{"url", url_with({{"user", role.name()}})}});
  CHECK(examine(cache).above("info") == let_in_by_superuser);
  const Finding hidden = examine(cache).of("info").front();
  CHECK(hidden.check == "transactions");
  CHECK(has(hidden.evidence, "pg_read_all_stats"));
  CHECK(has(hidden.remedy, "GRANT pg_read_all_stats TO"));
  store.pg.exec("GRANT pg_read_all_stats TO \"" + role.name() + "\"");
  CHECK(examine(cache).the("transactions").severity == "ok");
  store.pg.exec(store.sql("REVOKE SELECT ON {s}.entries FROM \"" + role.name() + "\""));
  const Finding denied = examine(cache).the("bloat");
  CHECK(denied.severity == "info");
  CHECK(has(denied.finding, "privilege"));
  CHECK(has(denied.evidence, "entries"));
}

TEST_CASE("Doctor: functions with a superuser's rights that others may execute", "[doctor]") {
  Store store;
  Role owner(""), role(""), other("");
  CHECK(examine(store.cache).the("owner").severity == "ok"); /* they are nobody's but the owner's */
  const auto let = [&](const string &what, const string &whom) {
    store.pg.exec(store.sql("GRANT EXECUTE ON FUNCTION {s}." + what + " TO " + whom));
  };
  let("digest(bytea, text)", role.name()); /* has its caller's rights */
  CHECK(examine(store.cache).the("owner").severity == "ok");
  let("new_epoch()", role.name());
  let("entry_digest(bytea, text)", role.name());
  Finding finding = examine(store.cache).the("owner");
  INFO(finding.evidence);
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "2 functions run with the rights of " + store.pg.one("SELECT current_user")));
  CHECK(has(finding.evidence, "executed by " + role.name()));
  CHECK(has(finding.remedy, "DROP SCHEMA " + store.schema() + " CASCADE"));
  let("new_epoch()", other.name());
  CHECK(has(examine(store.cache).the("owner").evidence, "executed by 2 roles"));
  let("new_epoch()", "PUBLIC");
  CHECK(has(examine(store.cache).the("owner").evidence, "executed by 3 roles, PUBLIC for one"));

  for (const char *name : {"new_epoch()", "entry_digest(bytea, text)"})
    store.pg.exec(store.sql("ALTER FUNCTION {s}." + string(name) + " OWNER TO " + owner.name()));
  CHECK(examine(store.cache).the("owner").severity == "ok"); /* the rest is still the superuser's, and for nobody */
}

TEST_CASE("Doctor: sessions that are read-only", "[doctor]") {
  Store store;
  Role role("LOGIN SUPERUSER");
  store.pg.exec("ALTER ROLE \"" + role.name() + "\" SET default_transaction_read_only = on");
  Cache cache = store.open({{"url", url_with({{"user", role.name()}})}});
  const Report report = examine(cache);
  CHECK(report.the("standby").severity == "warning");
  CHECK(has(report.the("standby").evidence, "default_transaction_read_only"));
}

TEST_CASE("Doctor: the marker, the epoch and the sequence of versions", "[doctor]") {
  Store store;
  store.pg.exec(store.sql("DELETE FROM {s}.marker"));
  Finding finding = examine(store.cache).the("marker");
  CHECK(finding.severity == "info");
  CHECK(has(finding.evidence, "0 rows"));
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  CHECK(examine(store.cache).the("marker").severity == "ok");

  store.pg.exec(store.sql("SELECT setval('{s}.version_seq', 130000000000000)"));
  finding = examine(store.cache).the("versions");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "sequence 92.4 % used"));
  const int64_t last = store.cache.put("k", "v").version;
  store.pg.exec(finding.remedy);
  CHECK(examine(store.cache).the("versions").severity == "ok");
  CHECK(store.cache.put("k", "v").version > last);

  store.pg.exec(store.sql("UPDATE {s}.cache SET epoch = 60001"));
  finding = examine(store.cache).the("versions");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "epoch 60001 of 65535"));
  CHECK(has(finding.remedy, "pgcache init"));
}

TEST_CASE("Doctor: expired rows that nobody deletes", "[doctor]") {
  Store store;
  store.pg.exec(store.sql("SELECT {s}.put('k' || i, '\\x00'::bytea) FROM generate_series(1, 1000) i"));
  CHECK(examine(store.cache).the("expired").severity == "ok");
  store.pg.exec(store.sql("UPDATE {s}.entries SET expires_at = now() - interval '59 minutes'"));
  CHECK(examine(store.cache).the("expired").severity == "ok"); /* a janitor may come yet */
  store.pg.exec(store.sql("UPDATE {s}.entries SET expires_at = now() - interval '3 hours'"));
  const Finding finding = examine(store.cache).the("expired");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "1000 of 1000 rows have expired"));
  CHECK(has(finding.evidence, "03:00:"));
  CHECK(has(finding.remedy, "pgcache cleanup"));
  CHECK(store.cache.cleanup() == PGCACHE_OK);
  CHECK(examine(store.cache).the("expired").severity == "ok");
}

TEST_CASE("Doctor: a table that is much larger than its content", "[doctor]") {
  Store store;
  store.pg.exec(
      store.sql("SELECT {s}.put('k' || i, decode(repeat('ab', 4000), 'hex')) FROM generate_series(1, 16000) i"));
  CHECK(examine(store.cache).the("bloat").severity == "ok");
  store.pg.exec(store.sql(
      "DELETE FROM {s}.entries WHERE namespace = 'default' AND digest > '30000000-0000-0000-0000-000000000000'"));
  const Finding finding = examine(store.cache).the("bloat");
  INFO(finding.evidence);
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, " MB on disk for "));
  CHECK(has(finding.remedy, "VACUUM FULL " + store.schema() + ".entries"));
  /* Dead rows stay as long as an older snapshot is open, be it of what another test left to the server. */
  INFO("older snapshots: " << store.pg.one("SELECT string_agg(concat_ws(' ', backend_type, state, wait_event, "
                                           "backend_xmin, backend_xid, age(backend_xmin), "
                                           "now() - xact_start, now() - state_change, query), '; ') FROM "
                                           "pg_stat_activity WHERE backend_xmin IS NOT NULL "
                                           "OR backend_xid IS NOT NULL")
                           << "; prepared " << store.pg.one("SELECT count(*) FROM pg_prepared_xacts") << "; slots "
                           << store.pg.one("SELECT count(*) FROM pg_replication_slots"));
  CHECK(eventually(
      [&] {
        store.pg.exec(store.sql("VACUUM FULL {s}.entries"));
        return examine(store.cache).the("bloat").severity == "ok";
      },
      20000));
}

TEST_CASE("Doctor: limits on connections", "[doctor]") {
  Store store;
  Role role("LOGIN CONNECTION LIMIT 3");
  let_in(store, role);
  const string address = url_with({{"user", role.name()}});
  Cache cache = store.open({{"url", address}, {"pool_max", "4"}});
  REQUIRE(cache.get("k") == PGCACHE_MISS); /* one of three is open, two are left */
  const Finding finding = examine(cache).the("connections");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.evidence, "the role has 2 connections left, pool_max is 4 and 1 of them are open"));
  CHECK(has(finding.remedy, "pool_max"));
  Cache fits = store.open({{"url", address}, {"pool_max", "2"}});
  REQUIRE(fits.get("k") == PGCACHE_MISS);
  CHECK(examine(fits).the("connections").severity == "ok");
  Cache huge = store.open({{"pool_max", "1000"}});
  const Finding server = examine(huge).the("connections");
  CHECK(server.severity == "warning");
  CHECK(has(server.evidence, "the server has "));
}

TEST_CASE("Doctor: a clock that is off, either way", "[doctor]") {
  Store store;
  CHECK(examine(store.cache).the("clock").severity == "ok");
  for (const int seconds : {-3600, -2, 2, 3600}) {
    WrongClock clock(seconds);
    const Report report = examine(store.cache);
    CHECK(report.the("clock").severity == "warning");
    CHECK(has(report.the("clock").finding, "by the server's alone"));
    const string evidence = report.the("clock").evidence;
    const double ahead = std::stod(evidence.substr(evidence.find("by ") + 3));
    INFO(evidence);
    CHECK(ahead > -1000.0 * seconds - 500);
    CHECK(ahead < -1000.0 * seconds + 500);
    CHECK(report.above("info") == std::set<string>{"clock"});
  }
}

TEST_CASE("Doctor: a slow network alone is no wrong clock", "[doctor]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}});
  REQUIRE(cache.get("k") == PGCACHE_MISS);
  Answers slow(proxy, Answers::rows([](Columns &columns) {
                 if (columns.size() == 3) /* who are you, and what is the time */
                   sleep_ms(1100);
                 return true;
               }));
  const Finding finding = examine(cache).the("clock");
  INFO(finding.evidence);
  CHECK(finding.severity == "ok");
}

TEST_CASE("Doctor: a pooler that answers for another process, and one that changes it", "[doctor]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}});
  REQUIRE(cache.get("k") == PGCACHE_MISS);
  CHECK(examine(cache).the("pooler").severity == "ok");
  int answers = 0;
  /* The answers to "who are you" have three columns, the first a process's number. */
  const auto edit = [&](bool changes) {
    return Answers::rows([&answers, changes](Columns &columns) {
      if (columns.size() == 3 && columns[2] && columns[2]->size() == 16)
        columns[0] = std::to_string(4000000 + (changes ? answers++ : 0));
      return true;
    });
  };
  {
    Answers in_session_mode(proxy, edit(false));
    const Finding finding = examine(cache).the("pooler");
    CHECK(finding.severity == "info");
    CHECK(has(finding.finding, "session mode"));
    CHECK(has(finding.evidence, "4000000 in the first answer and in later ones"));
  }
  {
    Answers in_transaction_mode(proxy, edit(true));
    const Finding finding = examine(cache).the("pooler");
    CHECK(finding.severity == "info");
    CHECK(has(finding.finding, "changes the session"));
  }
  {
    /* What was prepared is gone: the statement's description never comes, an error does. */
    const auto pids = edit(true);
    int executed = 0;
    Answers losing(proxy, [&, pids](const Message &message) -> std::vector<Message> {
      if (message.type == '2' && ++executed > 2)
        return {wire::error("26000")};
      return pids(message);
    });
    const Finding finding = examine(cache).the("pooler");
    CHECK(finding.severity == "error");
    CHECK(has(finding.finding, "loses prepared statements"));
    CHECK(finding.remedy == "set prepared=off, or let the url name the server itself");
  }
  CHECK(examine(cache).above("info").empty());
}

TEST_CASE("Doctor: a lock on a table does not end the examination", "[doctor]") {
  Store store;
  REQUIRE(store.cache.get("k") == PGCACHE_MISS);
  Pg holder(url());
  for (const char *table : {"entries", "cache"}) {
    INFO(table);
    holder.exec(store.sql("BEGIN; LOCK TABLE {s}." + string(table) + " IN ACCESS EXCLUSIVE MODE"));
    const int64_t start = now_ms();
    const Report report = examine(store.cache);
    INFO(report.json());
    CHECK(now_ms() - start < 30000);
    const Finding finding = report.the(string(table) == "cache" ? "schema" : "bloat");
    CHECK(finding.severity == "warning");
    CHECK(has(finding.finding, "holds a lock"));
    CHECK(has(finding.remedy, "pg_locks"));
    CHECK(report.of("durability").size() == 1); /* the last check was made */
    holder.exec("ROLLBACK");
  }
  CHECK(examine(store.cache).above("info").empty());
}

TEST_CASE("Doctor: when the time or the connection ends in the middle the report says so", "[doctor]") {
  Store store;
  REQUIRE(store.cache.get("k") == PGCACHE_MISS);
  Pg holder(url());
  holder.exec(store.sql("BEGIN; LOCK TABLE {s}.entries IN ACCESS EXCLUSIVE MODE"));
  const int64_t start = now_ms();
  Report report = examine(store.cache, deadline(500));
  CHECK(now_ms() - start < 10000);
  CHECK(report.the("examination").severity == "error");
  CHECK(has(report.the("examination").remedy, "maintenance_timeout_ms"));
  CHECK_FALSE(report.of("version").empty()); /* what was found before is there */
  CHECK(report.of("durability").empty());
  holder.exec("ROLLBACK");
  CHECK(examine(store.cache).above("info").empty());

  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}});
  REQUIRE(cache.get("k") == PGCACHE_MISS);
  proxy.cut_after(Proxy::TO_CLIENT, 3000);
  report = examine(cache);
  INFO(report.json());
  CHECK(proxy.was_cut());
  CHECK(report.the("examination").severity == "error");
  CHECK(examine(cache).above("info").empty());
}

TEST_CASE("Doctor: only where nothing can be examined is there an error and no report", "[doctor]") {
  Store store;
  pgcache_value *report = reinterpret_cast<pgcache_value *>(1);
  Error error;
  const auto ask = [&](const Settings &settings, const Options &options = {}) {
    Cache cache = store.open(settings);
    report = reinterpret_cast<pgcache_value *>(1);
    return pgcache_doctor(cache.raw(), &report, &options, &error);
  };
  CHECK(ask({{"url", "host=/nonexistent/folder"}}) == PGCACHE_UNAVAILABLE);
  CHECK(report == nullptr);
  CHECK(has(error.text(), "cannot connect"));
  CHECK(ask({{"url", url_with({{"user", "no_such_role"}})}}) == PGCACHE_DENIED);
  CHECK(report == nullptr);
  CHECK(ask({}, deadline(0)) == PGCACHE_TIMEOUT);
  CHECK(report == nullptr);
  Cache closed = store.open();
  closed.shutdown();
  CHECK(pgcache_doctor(closed.raw(), &report, nullptr, &error) == PGCACHE_CLOSED);
  CHECK(report == nullptr);
  CHECK(ask({}) == PGCACHE_OK);
  CHECK(report != nullptr);
  pgcache_value_free(report);
}

TEST_CASE("[A51] Doctor: the null cache says that it is switched off", "[A51][doctor][null]") {
  Config config;
  Cache cache(config.set("url", "null:"));
  const Report report = examine(cache);
  REQUIRE(report.findings.size() == 1);
  CHECK(report.worst == "info");
  CHECK(has(report.findings[0].finding, "switched off"));
}

TEST_CASE("Doctor: it changes nothing and keeps its connection, whatever it finds", "[doctor]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  const auto settings = [&] { return store.pg.one(store.sql("SELECT md5(string_agg(c::text, '')) FROM {s}.cache c")); };
  const string before = settings();
  for (int i = 0; i < 3; i++)
    examine(store.cache);
  store.pg.exec(store.sql("DROP TABLE {s}.marker"));
  examine(store.cache);
  CHECK(settings() == before);
  CHECK(store.cache.get("k").bytes() == "v");
  pgcache_counters counters = PGCACHE_COUNTERS_INIT;
  REQUIRE(pgcache_read_counters(store.cache.raw(), &counters, nullptr) == PGCACHE_OK);
  CHECK(counters.connections_opened == 1);
  CHECK(counters.connections_lost == 0);
  /* The session is as it was: no scans of whole tables, no time limits. */
  CHECK(store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == "0");
}

TEST_CASE("[A62] Doctor: no key, value, statement, password or name of a session is in a report",
          "[A62][doctor][secrets]") {
  Role role("LOGIN SUPERUSER PASSWORD '" + canary + "'");
  Store store({{"url", url_with({{"user", role.name()}, {"password", canary}, {"application_name", canary}})},
               {"namespace", canary}});
  REQUIRE(store.cache.put(canary, canary) == PGCACHE_OK);
  REQUIRE(store.cache.put("expired" + canary, canary, 1) == PGCACHE_OK);
  Pg other(url_with({{"application_name", canary}}));
  other.exec("BEGIN; SELECT '" + canary + "', txid_current()");
  string said = examine(store.cache).json();
  store.pg.exec(store.sql("DROP TABLE {s}.marker; ALTER TABLE {s}.entries DROP COLUMN expires_at CASCADE"));
  said += examine(store.cache).json();
  CHECK_FALSE(shows_canary(said));
}

TEST_CASE("Doctor: on the application's connection, also inside of its transaction, all is as it was found",
          "[doctor][borrowed]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  store.pg.exec(store.sql("ALTER TABLE {s}.entries RENAME COLUMN expires_at TO gone")); /* so that some checks fail */
  Pg own(url());
  Config config = store.config();
  pgcache *self = nullptr;
  REQUIRE(pgcache_new_on_connection(&self, config.get(), own.raw(), nullptr) == PGCACHE_OK);
  const auto ask = [&] {
    pgcache_value *report = nullptr;
    Error error;
    REQUIRE(pgcache_doctor(self, &report, nullptr, &error) == PGCACHE_OK);
    return Report(Value(report).bytes());
  };
  const string settings =
      "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN "
      "('transaction_read_only', 'lock_timeout', 'statement_timeout', 'enable_seqscan', 'search_path')";
  const string before = own.one(settings);
  const Report outside = ask();
  INFO(outside.json());
  CHECK(outside.above("info") == std::set<string>{"pieces"});
  CHECK(has(outside.the("bloat").finding, "schema is not complete"));
  CHECK(outside.of("connections").empty()); /* they are the application's business */
  CHECK(own.one(settings) == before);

  own.exec(store.sql("BEGIN; CREATE TABLE {s}.mine (x int)"));
  const Report inside = ask();
  INFO(inside.json());
  CHECK(inside.above("info") == std::set<string>{"pieces"});
  CHECK(inside.findings.size() == outside.findings.size());
  CHECK(own.one(settings) == before);
  /* A search_path that finds other functions before PostgreSQL's own. */
  own.exec(store.sql("CREATE FUNCTION {s}.pg_backend_pid() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
                     "CREATE FUNCTION {s}.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS "
                     "$$ BEGIN RAISE 'no'; END $$; SET LOCAL search_path = {s}, pg_catalog"));
  CHECK(ask().above("info") == std::set<string>{"pieces"});
  own.exec(store.sql("INSERT INTO {s}.mine VALUES (1); COMMIT"));
  CHECK(own.one(store.sql("SELECT count(*) FROM {s}.mine")) == "1");
  pgcache_free(self);
}

TEST_CASE("Doctor: nobody's functions are called, whatever the session's search_path finds first",
          "[doctor][borrowed]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Pg own(url());
  Config config = store.config();
  pgcache *self = nullptr;
  REQUIRE(pgcache_new_on_connection(&self, config.get(), own.raw(), nullptr) == PGCACHE_OK);
  const auto ask = [&] {
    pgcache_value *report = nullptr;
    Error error;
    const pgcache_status status = pgcache_doctor(self, &report, nullptr, &error);
    INFO(error.text());
    REQUIRE(status == PGCACHE_OK);
    return Report(Value(report).bytes());
  };
  const size_t usual = ask().findings.size();
  /* Whoever may create functions anywhere on the path could have them called with the rights of who asks the doctor. */
  const string evil = "evil_" + store.schema();
  const string body = " LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;";
  store.pg.exec(
      "CREATE SCHEMA " + evil + "; CREATE FUNCTION " + evil + ".set_config(text, text, boolean) RETURNS text" + body +
      "CREATE FUNCTION " + evil + ".current_setting(text) RETURNS text" + body + "CREATE FUNCTION " + evil +
      ".pg_backend_pid() RETURNS int" + body + "CREATE FUNCTION " + evil + ".clock_timestamp() RETURNS timestamptz" +
      body + "CREATE FUNCTION " + evil + ".times(numeric, int) RETURNS numeric" + body + "CREATE OPERATOR " + evil +
      ".* (LEFTARG = numeric, RIGHTARG = int, FUNCTION = " + evil + ".times); CREATE FUNCTION " + evil +
      ".format(text, text, text) RETURNS text" + body + "CREATE VIEW " + evil +
      ".pg_namespace AS SELECT NULL::oid AS oid, ''::name AS nspname");
  for (const string &path : {evil + ", pg_catalog", "pg_catalog, " + evil}) {
    for (const bool inside : {false, true}) {
      INFO(path << (inside ? ", inside" : ", outside"));
      own.exec("SET search_path = " + path + (inside ? "; BEGIN" : ""));
      const Report report = ask();
      INFO(report.json());
      CHECK(report.findings.size() == usual);
      CHECK(report.above("info").empty());
      CHECK_FALSE(has(report.json(), "hijacked"));
      CHECK_FALSE(has(report.json(), "could not be examined"));
      own.exec(inside ? "COMMIT" : "SELECT 1");
    }
  }
  pgcache_free(self);
  store.pg.exec("DROP SCHEMA " + evil + " CASCADE");
}

TEST_CASE("Doctor: what has been open for days is not shown as hours", "[doctor]") {
  Store store;
  const string fake = "fake_" + store.schema();
  /* Nobody waits for days: views in place of the catalog's say that somebody did. */
  store.pg.exec("CREATE SCHEMA " + fake + "; CREATE VIEW " + fake +
                ".pg_stat_activity AS SELECT 4711 AS pid, current_database()::name AS datname, 'active' AS state, "
                "clock_timestamp() - interval '3 days 01:00:30' AS xact_start, '3'::xid AS backend_xmin, NULL::xid AS "
                "backend_xid, 'client backend' AS backend_type; CREATE VIEW " +
                fake +
                ".pg_prepared_xacts AS SELECT '3'::xid AS transaction, current_database()::name AS database, "
                "clock_timestamp() - interval '3 days 01:00:30' AS prepared");
  Pg pg(url());
  pg.exec("SET search_path = " + fake + ", pg_catalog");
  CHECK(has(pg.query(resolve(store, pgc_sql_statements_doctor_transactions)).at(0).at(3), "open for 73:00:3"));
  CHECK(has(pg.query(resolve(store, pgc_sql_statements_doctor_prepared)).at(0).at(3), "prepared 73:00:3"));
  store.pg.exec("DROP SCHEMA " + fake + " CASCADE");
}
