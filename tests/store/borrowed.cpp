/*
 * borrowed.cpp - the application's own connections: given back as they came, inside and outside of its transactions, on
 * success, on errors and at deadlines, whatever they are set to.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include "pgcache_hooks.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <mutex>
#include <set>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

Cache on_connection(const Store &store, PGconn *pg, const Settings &settings = {}) {
  pgcache *self = nullptr;
  Error error;
  if (pgcache_new_on_connection(&self, store.config(settings).get(), pg, &error) != PGCACHE_OK)
    throw std::runtime_error(error.message);
  return Cache(self);
}

/* The ways to lend one connection: to the handle for good, or by hooks for each operation. */
struct Loan {
  Pg &pg;
  const bool by_hooks;
  int acquired = 0, sound = 0, unsound = 0;

  Loan(Pg &lent, bool hooks) : pg(lent), by_hooks(hooks) {}
  Loan(const Loan &) = delete;
  Loan &operator=(const Loan &) = delete;
  Cache open(const Store &store, const Settings &settings = {}) {
    if (!by_hooks)
      return on_connection(store, pg.raw(), settings);
    pgcache_connection_hooks hooks = PGCACHE_CONNECTION_HOOKS_INIT;
    hooks.acquire = [](void *context, int64_t, PGconn **connection, pgcache_error *) {
      Loan *self = static_cast<Loan *>(context);
      *connection = self->pg.raw();
      self->acquired++;
      return PGCACHE_OK;
    };
    hooks.release = [](void *context, PGconn *, int was_sound) {
      Loan *self = static_cast<Loan *>(context);
      (was_sound != 0 ? self->sound : self->unsound)++;
    };
    hooks.context = this;
    pgcache *self = nullptr;
    Error error;
    if (pgcache_new_with_hooks(&self, store.config(settings).get(), &hooks, &error) != PGCACHE_OK)
      throw std::runtime_error(error.message);
    return Cache(self);
  }
};

/* All that can be seen of a session and of libpq's side of it. Names are qualified: the session may be hostile. */
std::vector<string> picture(const Pg &pg) {
  std::vector<string> seen;
  PGconn *raw = pg.raw();
  seen.push_back("status " + std::to_string(PQtransactionStatus(raw)));
  seen.push_back("nonblocking " + std::to_string(PQisnonblocking(raw)));
  seen.push_back("pipeline " + std::to_string(PQpipelineStatus(raw)));
  seen.push_back("encoding " + std::to_string(PQclientEncoding(raw)));
  seen.push_back("receiver " + std::to_string(reinterpret_cast<uintptr_t>(PQsetNoticeReceiver(raw, nullptr, nullptr))));
  seen.push_back("processor " +
                 std::to_string(reinterpret_cast<uintptr_t>(PQsetNoticeProcessor(raw, nullptr, nullptr))));
  const char *texts[] = {
      /* those of PL/pgSQL are there from the first function on that uses it */
      "SELECT name, setting FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.!~~) 'plpgsql.%' ORDER BY name",
      "SELECT name, statement FROM pg_catalog.pg_prepared_statements ORDER BY name",
      "SELECT name, statement FROM pg_catalog.pg_cursors WHERE name IS NOT NULL ORDER BY name",
      "SELECT relname, relkind FROM pg_catalog.pg_class WHERE relpersistence OPERATOR(pg_catalog.=) 't' ORDER BY 1",
      "SELECT pg_listening_channels, '' FROM pg_catalog.pg_listening_channels()",
      ("SELECT locktype, classid FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' "
       "AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()"),
  };
  for (const char *text : texts) {
    PGresult *result = PQexec(raw, text);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
      const string message = PQerrorMessage(raw);
      PQclear(result);
      throw std::runtime_error(message);
    }
    for (int row = 0; row < PQntuples(result); row++)
      seen.push_back(string(PQgetvalue(result, row, 0)) + " = " + PQgetvalue(result, row, 1));
    PQclear(result);
  }
  return seen;
}

/* What is different; empty when nothing is. */
string difference(const std::vector<string> &before, const std::vector<string> &after) {
  string out;
  for (const string &line : before) {
    if (std::find(after.begin(), after.end(), line) == after.end())
      out += "- " + line + "\n";
  }
  for (const string &line : after) {
    if (std::find(before.begin(), before.end(), line) == before.end())
      out += "+ " + line + "\n";
  }
  return out;
}

struct Step {
  const char *name;
  pgcache_status expected;
  std::function<pgcache_status(Cache &)> run;
};

/* Every operation, each with what it gives after those before it. leases: not in a transaction that sees older rows than they. */
std::vector<Step> steps(bool leases) {
  const auto many = [](auto function) {
    return [function](Cache &cache) {
      Items items;
      items.add("many1", "1");
      items.add("many2", "2");
      return function(cache.raw(), items.data(), items.size(), nullptr, nullptr);
    };
  };
  const auto load = std::make_shared<std::shared_ptr<pgcache_load>>();
  const auto begin = [load](Cache &cache) {
    pgcache_value *value = nullptr;
    pgcache_load *begun = nullptr;
    const pgcache_status status = pgcache_load_begin(cache.raw(), &value, &begun, "load", 4, nullptr, nullptr, nullptr);
    pgcache_value_free(value);
    load->reset(begun, pgcache_load_free);
    return status;
  };
  const pgcache_status begun = leases ? PGCACHE_LEASE : PGCACHE_INVALID;
  const auto of_load = [leases](pgcache_status status) { return leases ? status : PGCACHE_INVALID; };
  const auto dependency = [](const char *name) {
    pgcache_dependency out = PGCACHE_DEPENDENCY_INIT;
    out.name = name;
    out.name_len = strlen(name);
    return out;
  };
  return {
      {"get, a miss", PGCACHE_MISS, [](Cache &c) { return c.get("nothing").status; }},
      {"remove, a miss", PGCACHE_MISS, [](Cache &c) { return c.remove("nothing").status; }},
      {"put", PGCACHE_OK, [](Cache &c) { return c.put("k", "v").status; }},
      {"get", PGCACHE_OK, [](Cache &c) { return c.get("k").status; }},
      {"put, large", PGCACHE_OK, [](Cache &c) { return c.put("large", string(3000000, 'x')).status; }},
      {"get, large", PGCACHE_OK, [](Cache &c) { return c.get("large").status; }},
      {"get_into", PGCACHE_OK,
       [](Cache &c) {
         char buffer[8];
         size_t size = 0;
         return pgcache_get_into(c.raw(), buffer, sizeof buffer, &size, "k", 1, nullptr, nullptr);
       }},
      {"get_into, too small", PGCACHE_TOO_SMALL,
       [](Cache &c) {
         char buffer[8];
         size_t size = 0;
         return pgcache_get_into(c.raw(), buffer, sizeof buffer, &size, "large", 5, nullptr, nullptr);
       }},
      {"exists", PGCACHE_OK, [](Cache &c) { return c.exists("k").status; }},
      {"add", PGCACHE_EXISTS, [](Cache &c) { return c.add("k", "w").status; }},
      {"replace", PGCACHE_OK, [](Cache &c) { return c.replace("k", "w").status; }},
      {"compare_and_swap, the version is another", PGCACHE_EXISTS,
       [](Cache &c) { return c.compare_and_swap("k", "x", 1).status; }},
      {"touch", PGCACHE_OK, [](Cache &c) { return c.touch("k", 5000).status; }},
      {"touch, a miss", PGCACHE_MISS, [](Cache &c) { return c.touch("nothing", 5000).status; }},
      {"increment", PGCACHE_OK, [](Cache &c) { return c.increment("n").status; }},
      {"increment, no counter", PGCACHE_NOT_A_COUNTER, [](Cache &c) { return c.increment("k").status; }},
      {"increment, overflow", PGCACHE_OVERFLOW, [](Cache &c) { return c.increment("n", INT64_MAX).status; }},
      {"put_many", PGCACHE_OK, many(pgcache_put_many)},
      {"get_many", PGCACHE_OK, many(pgcache_get_many)},
      {"remove_many", PGCACHE_OK, many(pgcache_remove_many)},
      {"remove", PGCACHE_OK, [](Cache &c) { return c.remove("k").status; }},
      {"load_begin", begun, begin},
      {"load_extend", of_load(PGCACHE_OK),
       [load](Cache &) { return pgcache_load_extend(load->get(), 60000, nullptr, nullptr); }},
      {"load_fill", of_load(PGCACHE_OK),
       [load, dependency](Cache &) {
         const pgcache_dependency tag = dependency("tag");
         Options options;
         options.dependencies = &tag;
         options.dependency_count = 1;
         return pgcache_load_fill(load->get(), nullptr, "v", 1, PGCACHE_FORMAT_BYTES, &options, nullptr);
       }},
      {"load_fill, again", PGCACHE_INVALID,
       [load](Cache &) {
         return pgcache_load_fill(load->get(), nullptr, "v", 1, PGCACHE_FORMAT_BYTES, nullptr, nullptr);
       }},
      {"load_begin, it is there", of_load(PGCACHE_OK), begin},
      {"dependents", PGCACHE_OK,
       [dependency](Cache &c) {
         const pgcache_dependency tag = dependency("tag");
         pgcache_value *report = nullptr;
         const pgcache_status status = pgcache_dependents(c.raw(), &report, &tag, 1, nullptr, nullptr);
         pgcache_value_free(report);
         return status;
       }},
      {"invalidate", PGCACHE_OK,
       [dependency](Cache &c) {
         const pgcache_dependency tag = dependency("tag");
         return pgcache_invalidate(c.raw(), &tag, 1, nullptr, nullptr);
       }},
      {"load_begin, for a load that fails", begun, begin},
      {"load_fail", of_load(PGCACHE_MISS),
       [load](Cache &) {
         pgcache_value *stale = nullptr;
         const pgcache_status status = pgcache_load_fail(load->get(), &stale, nullptr, nullptr);
         pgcache_value_free(stale);
         return status;
       }},
      {"load_begin, for one that is abandoned", begun, begin},
      {"load_abandon", of_load(PGCACHE_OK),
       [load](Cache &) { return pgcache_load_abandon(load->get(), nullptr, nullptr); }},
      {"load_begin, for one that is freed", begun, begin},
      {"load_free", PGCACHE_OK,
       [load](Cache &) {
         load->reset();
         return PGCACHE_OK;
       }},
      {"set_limits", PGCACHE_OK, [](Cache &c) { return c.set_limits(PGCACHE_LIMIT_ALL, 1000000, 0).status; }},
      {"read_usage", PGCACHE_OK,
       [](Cache &c) {
         pgcache_usage usage = PGCACHE_USAGE_INIT;
         size_t count = 0;
         return pgcache_read_usage(c.raw(), &usage, 1, &count, nullptr, nullptr, nullptr);
       }},
      {"stats", PGCACHE_OK,
       [](Cache &c) {
         pgcache_store_stats out = PGCACHE_STORE_STATS_INIT;
         return pgcache_stats(c.raw(), &out, nullptr, nullptr);
       }},
      {"keys", PGCACHE_OK,
       [](Cache &c) {
         pgcache_value *found[10];
         size_t count = 0;
         const pgcache_status status = pgcache_keys(c.raw(), found, 10, &count, "", 0, "", 0, nullptr, nullptr);
         while (count > 0)
           pgcache_value_free(found[--count]);
         return status;
       }},
      {"cleanup_some", PGCACHE_OK,
       [](Cache &c) {
         pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
         return c.cleanup_some(progress, 1).status;
       }},
      {"cleanup", PGCACHE_OK, [](Cache &c) { return c.cleanup().status; }},
      {"flush a namespace", PGCACHE_OK, [](Cache &c) { return c.flush(PGCACHE_FLUSH_NAMESPACE).status; }},
      {"flush all", PGCACHE_OK, [](Cache &c) { return c.flush(PGCACHE_FLUSH_ALL).status; }},
      {"no time at all", PGCACHE_TIMEOUT, [](Cache &c) { return c.get("k", deadline(0)).status; }},
  };
}

/* Runs every operation on the connection as it is, and compares what is seen of it before and after each. */
void check_all(Loan &loan, Cache &cache) {
  const bool leases = PQtransactionStatus(loan.pg.raw()) == PQTRANS_IDLE ||
                      loan.pg.one("SHOW transaction_isolation") == "read committed";
  const std::vector<string> before = picture(loan.pg);
  for (const Step &step : steps(leases)) {
    INFO(step.name);
    CHECK(step.run(cache) == step.expected);
    CHECK(difference(before, picture(loan.pg)) == "");
    CHECK(loan.sound == loan.acquired);
  }
  CHECK(loan.unsound == 0);
  CHECK((loan.acquired > 0) == loan.by_hooks);
}

const char *const odd_settings =
    "SET DateStyle = 'German, DMY'; SET bytea_output = escape; SET TimeZone = 'Pacific/Chatham';"
    "SET standard_conforming_strings = off; SET row_security = off; SET IntervalStyle = sql_standard;"
    "SET extra_float_digits = -15; SET client_encoding = LATIN1; SET default_transaction_isolation = serializable;"
    "SET statement_timeout = '1h'; SET lock_timeout = '50s'; SET array_nulls = off; SET transform_null_equals = on;"
    "SET quote_all_identifiers = on; SET escape_string_warning = on; SET enable_indexscan = off;"
    "SET plan_cache_mode = force_custom_plan; SET session_replication_role = replica; SET synchronous_commit = off";

/* What a hostile search_path finds before pg_catalog: everything in it fails when it is used. */
const char *const evil =
    "CREATE SCHEMA {s}_evil;"
    "CREATE FUNCTION {s}_evil.boom() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;"
    "CREATE FUNCTION {s}_evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT "
    "{s}_evil.boom()::timestamptz $$;"
    "CREATE FUNCTION {s}_evil.statement_timestamp() RETURNS timestamptz LANGUAGE sql AS "
    "$$ SELECT {s}_evil.boom()::timestamptz $$;"
    "CREATE FUNCTION {s}_evil.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT {s}_evil.boom() $$;"
    "CREATE FUNCTION {s}_evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT {s}_evil.boom() "
    "$$;"
    "CREATE FUNCTION {s}_evil.nextval(regclass) RETURNS bigint LANGUAGE sql AS $$ SELECT {s}_evil.boom()::bigint $$;"
    "CREATE FUNCTION {s}_evil.equal(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT {s}_evil.boom()::boolean $$;"
    "CREATE OPERATOR {s}_evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = {s}_evil.equal);"
    "CREATE FUNCTION {s}_evil.later(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS "
    "$$ SELECT {s}_evil.boom()::boolean $$;"
    "CREATE OPERATOR {s}_evil.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = {s}_evil.later);"
    "CREATE FUNCTION {s}_evil.times(bigint, interval) RETURNS interval LANGUAGE sql AS "
    "$$ SELECT {s}_evil.boom()::interval $$;"
    "CREATE OPERATOR {s}_evil.* (LEFTARG = bigint, RIGHTARG = interval, FUNCTION = {s}_evil.times);"
    "CREATE DOMAIN {s}_evil.uuid AS text CHECK (VALUE = 'hijacked'); CREATE DOMAIN {s}_evil.text AS int";

struct Evil {
  Store &store;
  explicit Evil(Store &s) : store(s) {
    store.pg.exec(store.sql(evil));
  }
  Evil(const Evil &) = delete;
  Evil &operator=(const Evil &) = delete;
  ~Evil() {
    try {
      store.pg.exec(store.sql("SET lock_timeout = '10s'; DROP SCHEMA {s}_evil CASCADE"));
    } catch (const std::exception &) {
    }
  }
};

} // namespace

TEST_CASE("[A52] A borrowed connection is given back as it came, after every operation", "[A52][rule:found]") {
  Store store;
  Evil hostile(store);
  Pg pg(url());
  Loan loan(pg, GENERATE(false, true));
  Cache cache = loan.open(store);
  const string begin = GENERATE(as<string>(), "", "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ",
                                "BEGIN ISOLATION LEVEL SERIALIZABLE");
  const bool odd = GENERATE(false, true);
  INFO((loan.by_hooks ? "by hooks, " : "for good, ")
       << (begin.empty() ? "outside of a transaction" : begin) << (odd ? ", odd settings" : ""));
  pg.exec("PREPARE mine AS SELECT 1; LISTEN something; CREATE TEMP TABLE scratch (x int)");
  if (odd) {
    pg.exec(odd_settings);
    pg.exec("CREATE TEMP TABLE uuid (x int)");
    pg.exec(store.sql("SET search_path = {s}_evil, pg_temp, pg_catalog"));
    CHECK(pg.sqlstate("SELECT clock_timestamp()") == "P0001"); /* it is hostile */
  }
  if (!begin.empty()) {
    pg.exec(begin);
    pg.exec("DECLARE mine CURSOR FOR SELECT 1; INSERT INTO pg_temp.scratch VALUES (1)");
    if (odd)
      pg.exec("SET LOCAL statement_timeout = '2h'");
  }
  SECTION("on a blocking connection") {
    check_all(loan, cache);
  }
  if (!loan.by_hooks) { /* what waits for the connection is the same */
    SECTION("on one that does not block") {
      REQUIRE(PQsetnonblocking(pg.raw(), 1) == 0);
      check_all(loan, cache);
    }
  }
  CHECK(pg.one("EXECUTE mine") == "1");
  if (!begin.empty()) {
    CHECK(pg.query("FETCH ALL FROM mine").size() == 1);
    pg.exec("COMMIT");
    CHECK(PQtransactionStatus(pg.raw()) == PQTRANS_IDLE);
    CHECK(pg.query("SELECT x FROM pg_temp.scratch").size() == 1);
  }
}

TEST_CASE("[A52] Removals from logged tables leave synchronous_commit as the application has set it",
          "[A52][rule:found]") {
  Store store(Settings{{"table", "logged"}});
  Pg pg(url());
  Loan loan(pg, GENERATE(false, true));
  Cache cache = loan.open(store);
  pg.exec("SET synchronous_commit = off");
  const bool inside = GENERATE(true, false);
  INFO((loan.by_hooks ? "by hooks, " : "for good, ")
       << (inside ? "inside of a transaction" : "outside of transactions"));
  if (inside)
    pg.exec("BEGIN");
  check_all(loan, cache);
}

TEST_CASE("[A50] No janitor's thread uses the application's only connection", "[A50][janitor][rule:refuse]") {
  Store store;
  Pg pg(url());
  Cache cache = on_connection(store, pg.raw());
  pgcache_janitor *janitor = reinterpret_cast<pgcache_janitor *>(1);
  Error error;
  CHECK(pgcache_janitor_start(&janitor, cache.raw(), 1, &error) == PGCACHE_INVALID);
  CHECK(janitor == nullptr);
  CHECK(error.text().find("connection of its own") != string::npos);
  CHECK(cache.cleanup() == PGCACHE_OK);
}

TEST_CASE("[A52] An operation that fails leaves the application's transaction in use", "[A52][rule:inside]") {
  Store store;
  Pg pg(url());
  Pg other(url());
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  Loan loan(pg, GENERATE(false, true));
  INFO((loan.by_hooks ? "by hooks" : "for good"));
  Cache cache = loan.open(store);
  pg.exec("CREATE TEMP TABLE mine (x int)");
  pg.exec("BEGIN");
  pg.exec("INSERT INTO mine VALUES (1)");
  const std::vector<string> before = picture(pg);
  const auto undisturbed = [&] {
    CHECK(difference(before, picture(pg)) == "");
    CHECK(pg.query("SELECT x FROM mine").size() == 1);
    CHECK(loan.sound == loan.acquired); /* refused is not broken */
  };
  SECTION("the schema is not there") {
    Cache elsewhere = loan.open(store, {{"schema", "nothing_here"}});
    CHECK(elsewhere.get("k") == PGCACHE_SCHEMA_MISSING);
    CHECK(elsewhere.put("k", "v") == PGCACHE_SCHEMA_MISSING);
    undisturbed();
  }
  SECTION("a privilege is missing") {
    Role role("NOLOGIN");
    pg.exec("SET LOCAL ROLE " + role.name());
    CHECK(cache.get("k") == PGCACHE_DENIED);
    CHECK(PQtransactionStatus(pg.raw()) == PQTRANS_INTRANS);
    pg.exec("RESET ROLE");
    undisturbed();
    pg.exec("ROLLBACK");
    return;
  }
  SECTION("a row is locked until the deadline") {
    other.exec(store.sql("BEGIN; SELECT 1 FROM {s}.entries FOR UPDATE"));
    const int64_t start = now_ms();
    const Answer answer = cache.put("k", "new", deadline(500));
    CHECK(now_ms() - start < 10000);
    CHECK(answer == PGCACHE_TIMEOUT);
    CHECK(string(answer.error.sqlstate) == "57014");
    other.exec("ROLLBACK");
    undisturbed();
  }
  SECTION("a row is locked for longer than lock_timeout") {
    pg.exec("SET lock_timeout = '100ms'");
    const std::vector<string> with_limit = picture(pg);
    other.exec(store.sql("BEGIN; SELECT 1 FROM {s}.entries FOR UPDATE"));
    CHECK(cache.put("k", "new", deadline(5000)) == PGCACHE_TIMEOUT);
    other.exec("ROLLBACK");
    CHECK(difference(with_limit, picture(pg)) == "");
  }
  SECTION("the application's own statement_timeout is shorter than the deadline") {
    pg.exec("SET LOCAL statement_timeout = '100ms'");
    other.exec(store.sql("BEGIN; SELECT 1 FROM {s}.entries FOR UPDATE"));
    const int64_t start = now_ms();
    CHECK(cache.put("k", "new", deadline(20000)) == PGCACHE_TIMEOUT);
    CHECK(now_ms() - start < 15000); /* and not at its deadline */
    other.exec("ROLLBACK");
    CHECK(pg.one("SHOW statement_timeout") == "100ms");
  }
  SECTION("two transactions wait for each other") {
    REQUIRE(store.cache.put("k2", "old") == PGCACHE_OK);
    REQUIRE(cache.put("k", "mine") == PGCACHE_OK);
    Pg second(url());
    Loan other_loan(second, loan.by_hooks);
    Cache theirs = other_loan.open(store);
    second.exec("BEGIN");
    REQUIRE(theirs.put("k2", "theirs") == PGCACHE_OK);
    Answer here, answer;
    std::atomic<int> in_use{0};
    const auto meet = [&](Pg &own, Cache &through, const char *key, Answer &out) {
      out = through.put(key, "x", deadline(10000));
      in_use += PQtransactionStatus(own.raw()) == PQTRANS_INTRANS;
      if (out == PGCACHE_CONFLICT)
        own.exec("ROLLBACK"); /* lets the other one go on */
    };
    std::thread waits([&] { meet(second, theirs, "k", answer); });
    meet(pg, cache, "k2", here);
    waits.join();
    INFO(here << " " << answer);
    CHECK((here == PGCACHE_CONFLICT) != (answer == PGCACHE_CONFLICT));
    CHECK(in_use == 2);
    return;
  }
  SECTION("init and upgrade are for outside") {
    CHECK(cache.init() == PGCACHE_INVALID);
    CHECK(cache.upgrade() == PGCACHE_INVALID);
    undisturbed();
  }
  CHECK(cache.get("k").bytes() == "old");
  CHECK(cache.put("k", "new") == PGCACHE_OK);
  pg.exec("COMMIT");
  CHECK(store.cache.get("k").bytes() == "new");
  CHECK(pg.query("SELECT x FROM mine").size() == 1);
}

TEST_CASE("Inside of a read-only transaction reads work and writes say READ_ONLY", "[A52][rule:inside]") {
  Store store;
  Pg pg(url());
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Cache cache = on_connection(store, pg.raw());
  pg.exec("BEGIN READ ONLY");
  const std::vector<string> before = picture(pg);
  CHECK(cache.get("k").bytes() == "v");
  CHECK(cache.put("k", "w") == PGCACHE_READ_ONLY);
  CHECK(cache.remove("k") == PGCACHE_READ_ONLY);
  CHECK(difference(before, picture(pg)) == "");
  CHECK(cache.get("k").bytes() == "v");
}

TEST_CASE("Writes inside of a transaction come with its commit and go with its rollback", "[rule:inside]") {
  Store store;
  Pg pg(url());
  Cache cache = on_connection(store, pg.raw());
  REQUIRE(cache.put("k", "first") == PGCACHE_OK);
  pg.exec("BEGIN");
  const Answer second = cache.put("k", "second");
  CHECK(cache.get("k").bytes() == "second");
  CHECK(store.cache.get("k").bytes() == "first");
  REQUIRE(cache.put("new", "x") == PGCACHE_OK);
  pg.exec("ROLLBACK");
  CHECK(cache.get("k").bytes() == "first");
  CHECK(cache.get("new") == PGCACHE_MISS);
  const Answer third = cache.put("k", "third");
  CHECK(third.version > second.version); /* what was rolled back is not given out again */
  pg.exec("BEGIN");
  REQUIRE(cache.remove("k") == PGCACHE_OK);
  CHECK(store.cache.get("k").bytes() == "third");
  pg.exec("COMMIT");
  CHECK(store.cache.get("k") == PGCACHE_MISS);
}

TEST_CASE("Outside of a transaction each operation is one of its own, done when it returns", "[rule:outside]") {
  Store store;
  Pg pg(url());
  Cache cache = on_connection(store, pg.raw());
  REQUIRE(cache.put("one", "v") == PGCACHE_OK);
  CHECK(store.cache.get("one").bytes() == "v"); /* there for others at once, with nothing to commit */
  REQUIRE(cache.put("two", "v") == PGCACHE_OK);
  CHECK(cache.increment("two") == PGCACHE_NOT_A_COUNTER); /* takes nothing of the others back */
  REQUIRE(cache.put("three", "v") == PGCACHE_OK);
  CHECK(PQtransactionStatus(pg.raw()) == PQTRANS_IDLE);
  CHECK(store.pg.one(store.sql("SELECT count(DISTINCT xmin::text) FROM {s}.entries")) == "3");
  CHECK(store.cache.get("two").bytes() == "v");
  REQUIRE(cache.remove("one") == PGCACHE_OK);
  CHECK(store.cache.get("one") == PGCACHE_MISS);
}

TEST_CASE("How a role may work with the cache is known from the first call on its connection on", "[A52][A81]") {
  Store store;
  Role role("LOGIN");
  store.pg.exec(store.sql("SELECT {s}.grant_access('" + role.name() + "')")); /* the functions, not the tables */
  Pg own(url_with({{"user", role.name()}}));
  Cache cache = on_connection(store, own.raw());
  for (int round = 0; round < 3; round++) {
    CHECK(cache.put("k", "v") == PGCACHE_OK);
    CHECK(cache.get("k").bytes() == "v");
  }
  own.exec("BEGIN");
  CHECK(cache.put("k", "w") == PGCACHE_OK);
  CHECK(cache.get("k").bytes() == "w");
  own.exec("ROLLBACK");
  CHECK(cache.get("k").bytes() == "v");
}

TEST_CASE("The application's savepoints stay its own, whatever they are called", "[rule:inside]") {
  Store store;
  Pg pg(url());
  Cache cache = on_connection(store, pg.raw());
  pg.exec("BEGIN");
  REQUIRE(cache.put("before", "x") == PGCACHE_OK);
  pg.exec("SAVEPOINT pgcache");
  REQUIRE(cache.put("behind", "x") == PGCACHE_OK);
  CHECK(cache.increment("before") == PGCACHE_NOT_A_COUNTER);
  pg.exec("ROLLBACK TO SAVEPOINT pgcache");
  CHECK(cache.get("behind") == PGCACHE_MISS);
  CHECK(cache.get("before") == PGCACHE_OK);
  pg.exec("COMMIT");
  CHECK(store.cache.get("before") == PGCACHE_OK);
}

TEST_CASE("A serialization failure inside of a transaction is reported, not repeated", "[rule:inside]") {
  Store store;
  Pg pg(url());
  Cache cache = on_connection(store, pg.raw());
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  pg.exec("BEGIN ISOLATION LEVEL REPEATABLE READ");
  CHECK(cache.get("k").bytes() == "old");
  REQUIRE(store.cache.put("k", "new") == PGCACHE_OK);
  CHECK(cache.get("k").bytes() == "old");
  const int64_t start = now_ms();
  const Answer answer = cache.put("k", "mine");
  CHECK(answer == PGCACHE_CONFLICT);
  CHECK(string(answer.error.sqlstate) == "40001");
  CHECK(now_ms() - start < 10000); /* and not at its deadline */
  CHECK(PQtransactionStatus(pg.raw()) == PQTRANS_INTRANS);
  CHECK(cache.get("k").bytes() == "old");
  pg.exec("COMMIT");
  CHECK(cache.get("k").bytes() == "new");
}

TEST_CASE("The first write after the unlogged tables were emptied is refused inside, and made outside",
          "[rule:inside]") {
  Store store;
  Pg pg(url());
  Cache cache = on_connection(store, pg.raw());
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  store.pg.exec(store.sql("TRUNCATE {s}.marker"));
  const string epoch = store.pg.one(store.sql("SELECT epoch FROM {s}.cache"));
  pg.exec("BEGIN");
  const std::vector<string> before = picture(pg);
  const Answer answer = cache.put("k", "w");
  CHECK(answer == PGCACHE_CONFLICT);
  CHECK(answer.error.text().find("outside") != string::npos);
  CHECK(difference(before, picture(pg)) == "");
  CHECK(cache.get("k").bytes() == "v");
  CHECK(cache.remove("k") == PGCACHE_OK);
  pg.exec("COMMIT");
  CHECK(store.pg.one(store.sql("SELECT epoch FROM {s}.cache")) == epoch);
  CHECK(cache.put("k", "w") == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT epoch FROM {s}.cache")) != epoch);
}

TEST_CASE("Inside of a transaction that has written an entry says nothing of other transactions' order",
          "[rule:inside]") {
  Store store;
  Pg pg(url());
  Pg other(url());
  Cache cache = on_connection(store, pg.raw());
  other.exec("BEGIN; SELECT pg_current_xact_id()"); /* in progress */
  REQUIRE(store.cache.put("warm", "x") == PGCACHE_OK);
  const auto has_snapshot = [&] {
    return store.pg.one(store.sql("SELECT snapshot IS NOT NULL FROM {s}.entries WHERE key = 'k'"));
  };
  REQUIRE(cache.put("k", "outside") == PGCACHE_OK);
  CHECK(has_snapshot() == "t");
  pg.exec("BEGIN; SELECT pg_current_xact_id()");
  REQUIRE(cache.put("k", "inside") == PGCACHE_OK);
  pg.exec("COMMIT");
  CHECK(has_snapshot() == "f");
}

TEST_CASE("No answer by the deadline: the connection is broken off, and says so until it is reset",
          "[A52][rule:limit]") {
  Store store;
  Proxy proxy;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  const bool inside = GENERATE(false, true);
  INFO((inside ? "inside" : "outside"));
  Pg pg(proxy.conninfo());
  Cache cache = on_connection(store, pg.raw());
  REQUIRE(cache.get("k").bytes() == "old");
  if (inside) {
    pg.exec("BEGIN");
    REQUIRE(cache.put("other", "x") == PGCACHE_OK);
  }
  proxy.hold_answers(true);
  const int64_t start = now_ms();
  const Answer answer = cache.put("k", "new", deadline(700));
  CHECK(now_ms() - start < 10000);
  CHECK(answer == (inside ? PGCACHE_TIMEOUT : PGCACHE_UNKNOWN));
  CHECK(PQstatus(pg.raw()) == CONNECTION_BAD);
  CHECK(PQisnonblocking(pg.raw()) >= 0);
  proxy.hold_answers(false);
  const Answer next = cache.get("k");
  CHECK(next == PGCACHE_UNAVAILABLE);
  CHECK(next.error.text().find("PQreset") != string::npos);
  PQreset(pg.raw());
  REQUIRE(PQstatus(pg.raw()) == CONNECTION_OK);
  CHECK(cache.get("k") == PGCACHE_OK);
  if (inside) {
    CHECK(eventually([&] { return cache.get("k").bytes() == "old"; }));
    CHECK(cache.get("other") == PGCACHE_MISS);
    CHECK(eventually([&] { return store.cache.put("k", "free", deadline(1000)) == PGCACHE_OK; }));
  }
  CHECK(cache.put("k", "last") == PGCACHE_OK);
}

TEST_CASE("What was not sent by the deadline is never sent", "[A52][rule:limit]") {
  Store store;
  Proxy proxy;
  Pg pg(proxy.conninfo());
  Cache cache = on_connection(store, pg.raw());
  REQUIRE(cache.put("k", "old") == PGCACHE_OK);
  proxy.black_hole(true);
  CHECK(cache.put("k", string(8000000, 'n'), deadline(300)) == PGCACHE_TIMEOUT);
  proxy.black_hole(false);
  CHECK(PQstatus(pg.raw()) == CONNECTION_BAD);
  PQreset(pg.raw());
  CHECK(cache.get("k").bytes() == "old");
}

TEST_CASE("A connection that cannot be used is refused and not touched", "[rule:refused]") {
  Store store;
  Pg pg(url());
  PGconn *raw = pg.raw();
  Cache cache = on_connection(store, raw);
  REQUIRE(cache.get("k") == PGCACHE_MISS);
  SECTION("busy") {
    REQUIRE(PQsendQuery(raw, "SELECT 42") == 1);
    CHECK(cache.get("k") == PGCACHE_INVALID);
    PGresult *result = PQgetResult(raw);
    CHECK(string(PQgetvalue(result, 0, 0)) == "42");
    PQclear(result);
    CHECK(cache.get("k") == PGCACHE_INVALID); /* the last NULL has not been fetched */
    CHECK(PQgetResult(raw) == nullptr);
  }
  SECTION("in a COPY") {
    pg.exec("CREATE TEMP TABLE t (x int)");
    PQclear(PQexec(raw, "COPY t FROM STDIN"));
    CHECK(cache.put("k", "v") == PGCACHE_INVALID);
    REQUIRE(PQputCopyData(raw, "7\n", 2) == 1);
    REQUIRE(PQputCopyEnd(raw, nullptr) == 1);
    PQclear(PQgetResult(raw));
    CHECK(PQgetResult(raw) == nullptr);
    CHECK(pg.one("SELECT x FROM t") == "7");
  }
  SECTION("in pipeline mode") {
    REQUIRE(PQenterPipelineMode(raw) == 1);
    CHECK(cache.get("k") == PGCACHE_INVALID);
    CHECK(PQpipelineStatus(raw) == PQ_PIPELINE_ON);
    REQUIRE(PQexitPipelineMode(raw) == 1);
  }
  SECTION("in a failed transaction") {
    pg.exec("BEGIN");
    pg.sqlstate("SELECT 1/0");
    CHECK(cache.get("k") == PGCACHE_INVALID);
    CHECK(PQtransactionStatus(raw) == PQTRANS_INERROR);
    pg.exec("ROLLBACK");
  }
  SECTION("broken") {
    store.pg.one("SELECT pg_terminate_backend(" + std::to_string(pg.pid()) + ", 5000)");
    CHECK(cache.get("k") == PGCACHE_UNAVAILABLE);
    CHECK(cache.get("k") == PGCACHE_UNAVAILABLE);
    PQreset(raw);
  }
  CHECK(cache.get("k") == PGCACHE_MISS);
}

TEST_CASE("init makes the schema on the application's connection, or leaves it as it came", "[A52]") {
  Schema schema;
  Pg pg(url());
  pg.exec(odd_settings);
  Config config;
  config.set("schema", schema.name());
  pgcache *self = nullptr;
  REQUIRE(pgcache_new_on_connection(&self, config.get(), pg.raw(), nullptr) == PGCACHE_OK);
  Cache cache(self);
  const std::vector<string> before = picture(pg);
  CHECK(cache.upgrade() == PGCACHE_SCHEMA_MISSING);
  CHECK(difference(before, picture(pg)) == "");
  pg.exec("BEGIN; SET TRANSACTION READ ONLY; COMMIT; SET default_transaction_read_only = on");
  const std::vector<string> read_only = picture(pg);
  CHECK(cache.init() == PGCACHE_READ_ONLY);
  CHECK(difference(read_only, picture(pg)) == "");
  pg.exec("SET default_transaction_read_only = off");
  int notices = 0;
  PQsetNoticeProcessor(
      pg.raw(), [](void *count, const char *) { ++*static_cast<int *>(count); }, &notices);
  const std::vector<string> heard = picture(pg);
  CHECK(cache.init() == PGCACHE_OK);
  CHECK(cache.init() == PGCACHE_EXISTS);
  CHECK(difference(heard, picture(pg)) == "");
  CHECK(notices == 0);
  CHECK(cache.put("k", "v") == PGCACHE_OK);
}

TEST_CASE("on_error=miss does not hide that a connection cannot be used as it is", "[rule:refused][on_error]") {
  Store store;
  Pg pg(url());
  Cache cache = on_connection(store, pg.raw(), {{"on_error", "miss"}});
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  pg.exec("BEGIN");
  REQUIRE(pg.sqlstate("SELECT 1/0") == "22012");
  Answer answer = cache.get("k");
  CHECK(answer == PGCACHE_INVALID);
  CHECK_FALSE(answer.error.text().empty());
  CHECK(cache.exists("k") == PGCACHE_INVALID);
  pg.exec("ROLLBACK");
  CHECK(cache.get("k").bytes() == "v");
}

TEST_CASE("What the server says to the application in the meantime reaches it", "[A52]") {
  Store store;
  Pg pg(url());
  Cache cache = on_connection(store, pg.raw());
  pg.exec("LISTEN borrowed_news");
  store.pg.exec("NOTIFY borrowed_news");
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  PGnotify *news = PQnotifies(pg.raw());
  REQUIRE(news != nullptr);
  CHECK(string(news->relname) == "borrowed_news");
  PQfreemem(news);
}

TEST_CASE("One call has the one connection at a time; others wait for it, up to their deadline", "[threads]") {
  Store store;
  Pg pg(url());
  Cache cache = on_connection(store, pg.raw());
  in_threads(4, [&](int) {
    for (int i = 0; i < 50; i++) {
      if (cache.increment("n") != PGCACHE_OK)
        throw std::runtime_error("an increment failed");
    }
  });
  CHECK(cache.get("n").bytes() == "200");

  store.pg.exec(store.sql("BEGIN; SELECT 1 FROM {s}.entries FOR UPDATE"));
  Answer slow, late, woken;
  std::thread holds([&] { slow = cache.increment("n", 1, 0, 60000, deadline(3000)); });
  sleep_ms(100);
  late = cache.get("n", deadline(100));
  CHECK(late == PGCACHE_TIMEOUT);
  std::thread waits([&] { woken = cache.get("n", deadline(60000)); });
  sleep_ms(100);
  cache.shutdown();
  waits.join();
  CHECK(woken == PGCACHE_CLOSED);
  store.pg.exec("ROLLBACK");
  holds.join();
  CHECK(slow == PGCACHE_OK);
  CHECK(cache.get("n") == PGCACHE_CLOSED);
  CHECK(pg.one("SELECT 1") == "1");
}

namespace {

/* An application's pool, which counts. */
struct Lender {
  std::mutex mutex;
  std::vector<std::unique_ptr<Pg>> idle;
  std::map<PGconn *, std::unique_ptr<Pg>> lent;
  std::set<std::thread::id> borrowers;
  int acquired = 0, sound = 0, unsound = 0;
  pgcache_status refuse = PGCACHE_OK;
  bool give_null = false;
  int64_t last_deadline_ms = -1;

  static pgcache_status acquire(void *context, int64_t deadline_ms, PGconn **connection, pgcache_error *error) {
    Lender *self = static_cast<Lender *>(context);
    std::lock_guard<std::mutex> lock(self->mutex);
    self->last_deadline_ms = deadline_ms;
    self->borrowers.insert(std::this_thread::get_id());
    if (self->refuse != PGCACHE_OK) {
      snprintf(error->message, sizeof error->message, "the application has none");
      return self->refuse;
    }
    if (self->give_null)
      return PGCACHE_OK;
    if (self->idle.empty())
      self->idle.push_back(std::make_unique<Pg>(url()));
    *connection = self->idle.back()->raw();
    self->lent[*connection] = std::move(self->idle.back());
    self->idle.pop_back();
    self->acquired++;
    return PGCACHE_OK;
  }
  static void release(void *context, PGconn *connection, int sound) {
    Lender *self = static_cast<Lender *>(context);
    std::lock_guard<std::mutex> lock(self->mutex);
    if (sound != 0)
      self->idle.push_back(std::move(self->lent[connection]));
    self->lent.erase(connection);
    (sound != 0 ? self->sound : self->unsound)++;
  }
  pgcache_connection_hooks hooks() {
    pgcache_connection_hooks out = PGCACHE_CONNECTION_HOOKS_INIT;
    out.acquire = acquire;
    out.release = release;
    out.context = this;
    return out;
  }
};

Cache with_hooks(const Store &store, Lender &lender, const Settings &settings = {}) {
  pgcache *self = nullptr;
  Error error;
  const pgcache_connection_hooks hooks = lender.hooks();
  if (pgcache_new_with_hooks(&self, store.config(settings).get(), &hooks, &error) != PGCACHE_OK)
    throw std::runtime_error(error.message);
  return Cache(self);
}

} // namespace

TEST_CASE("Hooks lend a connection to each operation and get it back", "[hooks]") {
  Store store;
  Lender lender;
  Cache cache = with_hooks(store, lender, {{"pool_min", "5"}});
  CHECK(lender.acquired == 0);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  CHECK(cache.get("k", deadline(4000)).bytes() == "v");
  CHECK(lender.last_deadline_ms <= 4000);
  CHECK(lender.last_deadline_ms > 2000);
  CHECK(cache.increment("k") == PGCACHE_NOT_A_COUNTER);
  CHECK(lender.acquired == 3);
  CHECK(lender.sound == 3);
  CHECK(lender.unsound == 0);
  const pgcache_store_stats stats = cache.stats();
  CHECK(stats.pool_open == 0);
  CHECK(stats.pool_idle == 0);
  CHECK(stats.server_version >= 150000);

  SECTION("what a hook refuses is the call's answer") {
    lender.refuse = PGCACHE_TOO_MANY_CONNECTIONS;
    const Answer answer = cache.get("k");
    CHECK(answer == PGCACHE_TOO_MANY_CONNECTIONS);
    CHECK(answer.error.text() == "the application has none");
  }
  SECTION("a hook that gives nothing") {
    lender.give_null = true;
    CHECK(cache.get("k") == PGCACHE_INVALID);
    CHECK(lender.sound == lender.acquired);
  }
  SECTION("a connection that broke is given back as unsound, and another one asked for") {
    store.pg.one("SELECT pg_terminate_backend(" + std::to_string(lender.idle.back()->pid()) + ", 5000)");
    CHECK(cache.get("k").bytes() == "v");
    CHECK(lender.unsound == 1);
    CHECK(lender.lent.empty());
  }
  SECTION("but never inside of a transaction: there the call would work on another one") {
    lender.idle.back()->exec("BEGIN");
    store.pg.one("SELECT pg_terminate_backend(" + std::to_string(lender.idle.back()->pid()) + ", 5000)");
    CHECK(cache.get("k") == PGCACHE_UNAVAILABLE);
    CHECK(lender.unsound == 1);
    CHECK(lender.lent.empty());
  }
  SECTION("after a shutdown none is asked for") {
    cache.shutdown();
    const int before = lender.acquired;
    CHECK(cache.get("k") == PGCACHE_CLOSED);
    CHECK(lender.acquired == before);
  }
}

TEST_CASE("[A50] A janitor borrows the application's connections on a thread of its own, and gives each back",
          "[A50][hooks][janitor][threads]") {
  Store store;
  Lender lender;
  Cache cache = with_hooks(store, lender);
  std::mutex &mutex = lender.mutex;
  const auto all_given_back = [&] {
    std::lock_guard<std::mutex> lock(mutex);
    return lender.lent.empty() && lender.sound == lender.acquired && lender.unsound == 0;
  };
  const auto rows = [&] { return store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")); };
  Pg *lent = nullptr;
  for (int round = 0; round < 2; round++) { /* another one may be started on the same handle */
    lender.borrowers.clear();
    REQUIRE(cache.put("expired", "v", 1) == PGCACHE_OK);
    lent = lender.idle.back().get();
    const std::vector<string> before = picture(*lent);
    Janitor janitor(cache, 20);
    CHECK(eventually([&] { return rows() == "0"; }));
    int walked;
    {
      std::lock_guard<std::mutex> lock(mutex);
      lender.borrowers.erase(std::this_thread::get_id());
      CHECK(lender.borrowers.size() == 1); /* the janitor's */
      walked = lender.acquired;
    }
    CHECK(eventually([&] { /* again and again */
                           std::lock_guard<std::mutex> lock(mutex);
                           return lender.acquired > walked + 2;
    }));
    CHECK(cache.get("expired") == PGCACHE_MISS); /* meanwhile the handle is used as before */
    if (round == 0)
      CHECK(janitor.stop(30000) == PGCACHE_OK);
    else
      janitor.free();
    CHECK(all_given_back());
    for (const auto &idle : lender.idle) {
      if (idle.get() == lent)
        CHECK(difference(before, picture(*lent)) == "");
    }
  }
  const int at_end = lender.acquired;
  CHECK(cache.counters().cleanup_failures == 0);

  lender.refuse = PGCACHE_TOO_MANY_CONNECTIONS;
  Janitor refused(cache, 20);
  CHECK(eventually([&] { return cache.counters().cleanup_failures > 1; })); /* it tries again */
  {
    std::lock_guard<std::mutex> lock(mutex);
    lender.refuse = PGCACHE_OK;
  }
  REQUIRE(cache.put("expired", "v", 1) == PGCACHE_OK);
  CHECK(eventually([&] { return rows() == "0"; }));
  cache.shutdown(); /* ends it, too */
  CHECK(refused.stop(30000) == PGCACHE_OK);
  CHECK(lender.acquired > at_end);
  CHECK(all_given_back());
}

TEST_CASE("Eight threads on the application's connections", "[hooks][threads]") {
  Store store;
  Lender lender;
  Cache cache = with_hooks(store, lender);
  in_threads(8, [&](int thread) {
    const string own = "own" + std::to_string(thread);
    for (int i = 0; i < longer(30, 500); i++) {
      if (cache.put(own, std::to_string(i)) != PGCACHE_OK || cache.get(own).bytes() != std::to_string(i) ||
          cache.increment("all") != PGCACHE_OK)
        throw std::runtime_error("an operation failed");
    }
  });
  CHECK(cache.get("all").bytes() == std::to_string(8 * longer(30, 500)));
  CHECK(lender.lent.empty());
  CHECK(lender.unsound == 0);
}

TEST_CASE("Bad arguments, and settings that have no effect on borrowed connections", "[arguments][rule:unused]") {
  Config config;
  pgcache *self = reinterpret_cast<pgcache *>(1);
  Pg pg(url());
  Lender lender;
  pgcache_connection_hooks hooks = lender.hooks();
  CHECK(pgcache_new_on_connection(nullptr, config.get(), pg.raw(), nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_new_on_connection(&self, config.get(), nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(self == nullptr);
  CHECK(pgcache_new_on_connection(&self, nullptr, pg.raw(), nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_new_with_hooks(nullptr, config.get(), &hooks, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_new_with_hooks(&self, config.get(), nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_new_with_hooks(&self, nullptr, &hooks, nullptr) == PGCACHE_INVALID);
  hooks.struct_size = 0;
  CHECK(pgcache_new_with_hooks(&self, config.get(), &hooks, nullptr) == PGCACHE_INVALID);
  hooks.struct_size = sizeof hooks + 8; /* a newer caller's: what we do not know is not looked at */
  CHECK(pgcache_new_with_hooks(&self, config.get(), &hooks, nullptr) == PGCACHE_OK);
  pgcache_free(self);
  self = nullptr;
  hooks = lender.hooks();
  hooks.acquire = nullptr;
  CHECK(pgcache_new_with_hooks(&self, config.get(), &hooks, nullptr) == PGCACHE_INVALID);
  hooks = lender.hooks();
  hooks.release = nullptr;
  CHECK(pgcache_new_with_hooks(&self, config.get(), &hooks, nullptr) == PGCACHE_INVALID);
  config.set("pool_min", "7").set("pool_max", "3");
  hooks = lender.hooks();
  CHECK(pgcache_new_with_hooks(&self, config.get(), &hooks, nullptr) == PGCACHE_BAD_SETTING);
  CHECK(self == nullptr);

  config.set("pool_min", "0").set("url", "host=/nonexistent"); /* not asked */
  {
    Store store;
    Cache cache = on_connection(store, pg.raw(), {{"url", "host=/nonexistent"}});
    CHECK(cache.get("k") == PGCACHE_MISS);
  }
  config.set("url", "null:");
  REQUIRE(pgcache_new_with_hooks(&self, config.get(), &hooks, nullptr) == PGCACHE_OK);
  Cache cache(self);
  CHECK(cache.put("k", "v") == PGCACHE_OK);
  CHECK(cache.get("k") == PGCACHE_MISS);
  CHECK(lender.acquired == 0);
}

TEST_CASE("A forked child does not touch its parent's connection", "[A52][A53]") {
  Store store;
  Pg pg(url());
  Lender lender;
  Cache cache = on_connection(store, pg.raw());
  Cache hooked = with_hooks(store, lender);
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(hooked.get("k") == PGCACHE_OK);
  pg.exec("BEGIN");
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    for (auto &idle : lender.idle)
      (void)idle.release(); /* the parent's */
    lender.idle.clear();
    if (cache.get("k") != PGCACHE_CLOSED || cache.put("k", "w") != PGCACHE_CLOSED)
      _exit(1);
    if (hooked.get("k").bytes() != "v") /* on a connection that the child's hook has opened */
      _exit(2);
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(PQtransactionStatus(pg.raw()) == PQTRANS_INTRANS);
  CHECK(cache.get("k").bytes() == "v");
  pg.exec("COMMIT");
  CHECK(hooked.get("k").bytes() == "v");
}
