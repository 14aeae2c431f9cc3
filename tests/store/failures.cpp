/*
 * failures.cpp - each way in which a server can refuse has its own status and a message that helps; and the handle
 * recovers when the trouble is over.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <fstream>
#include <memory>
#include <thread>

using namespace test;
using std::string;

namespace {

bool mentions(const Answer &answer, const string &text) {
  return answer.error.text().find(text) != string::npos;
}

/* What every error owes its reader. */
void check_error(const Answer &answer, pgcache_status expected, const string &sqlstate = "") {
  INFO(answer);
  CHECK(answer == expected);
  CHECK(answer.error.status == expected);
  CHECK(answer.error.text().size() > 20);
  CHECK(answer.error.text().find('\n') == string::npos);
  CHECK(string(answer.error.sqlstate) == sqlstate);
}

} // namespace

TEST_CASE("[A22] An unreachable server is UNAVAILABLE in one line, quickly", "[A22][unavailable]") {
  Config config;
  const int64_t start = now_ms();
  check_error(Cache(config.set("url", "host=/nonexistent/folder dbname=x")).get("k"), PGCACHE_UNAVAILABLE);
  check_error(Cache(config.set("url", "host=127.0.0.1 port=1 dbname=x")).get("k"), PGCACHE_UNAVAILABLE);
  check_error(Cache(config.set("url", "postgresql://user:secret@127.0.0.1:1/x")).put("k", "v"), PGCACHE_UNAVAILABLE);
  CHECK(now_ms() - start < 15000);
}

TEST_CASE("[A22] A url that nobody can understand is refused when the handle is made", "[A22]") {
  for (const char *bad : {"", "no such thing", "host='unclosed", "http://localhost/", "postgresql://[::1/x",
                          "no_such_parameter=1", "local:relative/path"}) {
    INFO(bad);
    Config config;
    Error error;
    pgcache *out = reinterpret_cast<pgcache *>(1);
    pgcache_status status = pgcache_config_set(config.get(), "url", bad, &error);
    if (status == PGCACHE_OK)
      status = pgcache_new(&out, config.get(), &error);
    else
      out = nullptr;
    CHECK(status == PGCACHE_BAD_SETTING);
    CHECK(out == nullptr);
    CHECK_FALSE(error.text().empty());
  }
}

TEST_CASE("[A22] An address of a local server that does not run names the command that starts it", "[A22][local]") {
  Config config;
  config.set("url", "local:" + scratch_folder() + "/nobody");
  const Answer answer = Cache(config).get("k");
  check_error(answer, PGCACHE_UNAVAILABLE);
  CHECK(mentions(answer, "pgcache local start"));
}

TEST_CASE("A refused log-in is DENIED", "[denied]") {
  Config config;
  check_error(Cache(config.set("url", url_with({{"user", "no_such_role"}}))).get("k"), PGCACHE_DENIED, "28000");
  check_error(Cache(config.set("url", url_with({{"dbname", "no_such_database"}}))).get("k"), PGCACHE_DENIED, "3D000");
  Role role("NOLOGIN");
  check_error(Cache(config.set("url", url_with({{"user", role.name()}}))).get("k"), PGCACHE_DENIED, "28000");
}

TEST_CASE("A role without privileges is DENIED, and served as soon as it has them", "[denied]") {
  Store store;
  Role role("LOGIN");
  Cache poor = store.open({{"url", url_with({{"user", role.name()}})}});
  check_error(poor.get("k"), PGCACHE_DENIED, "42501");
  check_error(poor.put("k", "v"), PGCACHE_DENIED, "42501");
  Schema another;
  Cache maker = store.open({{"url", url_with({{"user", role.name()}})}, {"schema", another.name()}});
  check_error(maker.init(), PGCACHE_DENIED, "42501");
  const string name = role.name();
  store.pg.exec(store.sql("GRANT USAGE ON SCHEMA {s} TO \"" + name +
                          "\"; GRANT SELECT ON ALL TABLES IN SCHEMA {s} TO \"" + name +
                          "\"; GRANT EXECUTE ON FUNCTION {s}.check_schema(text) TO \"" + name + "\""));
  CHECK(poor.get("k") == PGCACHE_MISS);
  check_error(poor.put("k", "v"), PGCACHE_DENIED, "42501");
  CHECK(poor.get("k") == PGCACHE_MISS);
  store.pg.exec(store.sql("GRANT ALL ON ALL TABLES IN SCHEMA {s} TO \"" + name +
                          "\"; GRANT ALL ON ALL SEQUENCES IN SCHEMA {s} TO \"" + name +
                          "\"; GRANT ALL ON ALL FUNCTIONS IN SCHEMA {s} TO \"" + name + "\""));
  CHECK(poor.put("k", "v") == PGCACHE_OK);
  CHECK(poor.get("k").bytes() == "v");
}

TEST_CASE("A read-only session reads, and its writes are READ_ONLY", "[readonly]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Role role("LOGIN SUPERUSER");
  store.pg.exec("ALTER ROLE \"" + role.name() + "\" SET default_transaction_read_only = on");
  Cache cache = store.open({{"url", url_with({{"user", role.name()}})}});
  CHECK(cache.get("k").bytes() == "v");
  CHECK(cache.exists("k") == PGCACHE_OK);
  check_error(cache.put("k", "w"), PGCACHE_READ_ONLY, "25006");
  check_error(cache.add("n", "w"), PGCACHE_READ_ONLY, "25006");
  check_error(cache.remove("k"), PGCACHE_READ_ONLY, "25006");
  check_error(cache.touch("k", 1000), PGCACHE_READ_ONLY, "25006");
  check_error(cache.increment("n"), PGCACHE_READ_ONLY, "25006");
  check_error(cache.flush(PGCACHE_FLUSH_ALL), PGCACHE_READ_ONLY, "25006");
  check_error(cache.cleanup(), PGCACHE_READ_ONLY, "25006");
  Items items;
  items.add("a", "v");
  CHECK(pgcache_put_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_READ_ONLY);
  CHECK(pgcache_remove_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_READ_ONLY);
  Schema another;
  CHECK(store.open({{"url", url_with({{"user", role.name()}})}, {"schema", another.name()}}).init() ==
        PGCACHE_READ_ONLY);
  CHECK(store.cache.get("k").bytes() == "v");
}

TEST_CASE("A full server is FULL, and the entry keeps its old value", "[full]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  for (const char *code : {"53100", "53200"}) {
    store.pg.exec(store.sql("CREATE OR REPLACE FUNCTION {s}.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                            "RAISE 'no room' USING ERRCODE = '" +
                            string(code) +
                            "'; END $$;"
                            "CREATE OR REPLACE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {s}.entries "
                            "FOR EACH ROW EXECUTE FUNCTION {s}.full()"));
    check_error(store.cache.put("k", "new"), PGCACHE_FULL, code);
    check_error(store.cache.add("n", "new"), PGCACHE_FULL, code);
    check_error(store.cache.touch("k", 1000), PGCACHE_FULL, code);
    Items items;
    items.add("n", "new");
    CHECK(pgcache_put_many(store.cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_FULL);
    CHECK(items[0].status == PGCACHE_FULL);
  }
  CHECK(store.cache.get("k").bytes() == "old");
  CHECK(store.cache.get("n") == PGCACHE_MISS);
  store.pg.exec(store.sql("DROP TRIGGER full_disk ON {s}.entries"));
  CHECK(store.cache.put("k", "new") == PGCACHE_OK);
}

TEST_CASE("A full disk in earnest is FULL", "[full]") {
  /* The file system under a table space is the real thing; here the server's own limit on temporary files stands for
     it, and a value for which the server has no memory. */
  Store store;
  Role role("LOGIN SUPERUSER");
  store.pg.exec("ALTER ROLE \"" + role.name() + "\" SET temp_file_limit = '0kB'; ALTER ROLE \"" + role.name() +
                "\" SET work_mem = '64kB'");
  store.pg.exec(store.sql("SELECT {s}.put('k' || i || repeat('x', 500), 'v'::bytea) FROM generate_series(1, 3000) i"));
  Cache cache = store.open({{"url", url_with({{"user", role.name()}})}});
  std::vector<pgcache_value *> keys(1000);
  size_t count = 0;
  Error error;
  const pgcache_status status =
      pgcache_keys(cache.raw(), keys.data(), keys.size(), &count, nullptr, 0, nullptr, 0, nullptr, &error);
  for (size_t i = 0; i < count; i++)
    pgcache_value_free(keys[i]);
  INFO(error.text());
  CHECK(status == PGCACHE_FULL);
  CHECK(string(error.sqlstate) == "53400");
}

TEST_CASE("A server before PostgreSQL 15 is refused, by name", "[old]") {
  Store store;
  Proxy proxy;
  proxy.rewrite([](Proxy::Direction direction, string &data) {
    const string name("server_version\0", 15);
    const size_t at = direction == Proxy::TO_CLIENT ? data.find(name) : string::npos;
    if (at != string::npos)
      data.replace(at + name.size(), 2, "14");
  });
  Cache cache = store.open({{"url", proxy.conninfo()}});
  const Answer answer = cache.get("k");
  check_error(answer, PGCACHE_SERVER_TOO_OLD);
  CHECK(mentions(answer, "14"));
  CHECK(mentions(answer, "15"));
  check_error(cache.put("k", "v"), PGCACHE_SERVER_TOO_OLD);
  check_error(cache.init(), PGCACHE_SERVER_TOO_OLD);
}

TEST_CASE("[A24] No connection left: TOO_MANY_CONNECTIONS, and the message names the remedy", "[A24]") {
  PrivateServer server({"max_connections = 5", "superuser_reserved_connections = 3"});
  Pg admin(server.conninfo());
  admin.exec("CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app");
  Config config;
  config.set("url", server.conninfo("app")).set("pool_max", "5");
  Cache cache(config);
  REQUIRE(eventually(
      [&] { return cache.init() == PGCACHE_OK; })); /* who has looked whether the server is up may still be there */
  cache = Cache(config);
  REQUIRE(eventually([&] { return admin.one("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'") == "0"; }));
  auto first = std::make_unique<Pg>(server.conninfo("app"));
  CHECK(eventually([&] { return admin.one("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'") == "1"; }));
  /* Two sessions, and the three places that are left are the superuser's. */
  Answer answer = cache.get("k");
  INFO(answer);
  check_error(answer, PGCACHE_TOO_MANY_CONNECTIONS, "53300");
  CHECK(mentions(answer, "pool_max"));
  CHECK(mentions(answer, "max_connections"));
  check_error(cache.put("k", "v"), PGCACHE_TOO_MANY_CONNECTIONS, "53300");
  first.reset();
  /* Served again as soon as there is a place. */
  CHECK(eventually([&] { return cache.put("k", "v") == PGCACHE_OK; }));

  /* With one place for a pool of five, callers take turns rather than fail. */
  std::atomic<int> failed{0};
  in_threads(5, [&](int) {
    for (int i = 0; i < 20; i++)
      failed += cache.get("k") != PGCACHE_OK;
  });
  CHECK(failed == 0);
}

TEST_CASE("[A24] One who waits gets a connection as soon as the server has one, though an attempt failed before",
          "[A24]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(store.cache.put("other", "v") == PGCACHE_OK);
  Role role("LOGIN SUPERUSER CONNECTION LIMIT -1");
  const string name = role.name();
  store.pg.exec("ALTER ROLE \"" + name + "\" NOSUPERUSER CONNECTION LIMIT 1");
  store.pg.exec(store.sql("SELECT {s}.grant_access('" + name + "', grants => 'tables')"));
  Cache cache = store.open({{"url", url_with({{"user", name}})}, {"pool_max", "2"}});
  REQUIRE(cache.get("other") == PGCACHE_OK);
  Pg holder(url());
  holder.exec("BEGIN");
  holder.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at WHERE key = 'k'"));
  std::thread busy([&] { cache.put("k", "w", deadline(60000)); }); /* has the only connection */
  CHECK(somebody_waits(store.pg));
  Answer waited;
  std::thread waiter([&] { waited = cache.get("other", deadline(30000)); });
  sleep_ms(300);
  store.pg.exec("ALTER ROLE \"" + name + "\" CONNECTION LIMIT 5");
  waiter.join(); /* while the first connection is still busy */
  INFO(waited);
  CHECK(waited == PGCACHE_OK);
  holder.exec("COMMIT");
  busy.join();
}

TEST_CASE("A silent first host does not keep the second from being asked", "[hosts][rule:deadline]") {
  Store store;
  Proxy silent;
  silent.black_hole(true);
  auto parts = conninfo_parts(url());
  const string host = parts.count("host") ? parts["host"] : "/var/run/postgresql";
  const string port = parts.count("port") ? parts["port"] : "5432";
  Cache cache = store.open({{"url", url_with({{"host", silent.folder() + "," + host},
                                              {"hostaddr", ""},
                                              {"port", "5432," + port},
                                              {"connect_timeout", "1"}})}});
  const int64_t start = now_ms();
  const Answer answer = cache.put("k", "v", deadline(60000));
  INFO(answer);
  CHECK(answer == PGCACHE_OK);
  CHECK(now_ms() - start < 30000);
  CHECK(silent.accepted() >= 1);
  CHECK(store.cache.get("k").bytes() == "v");
}

TEST_CASE("[A24] A role's own limit of connections is named as one", "[A24]") {
  Store store;
  Role role("LOGIN CONNECTION LIMIT 0");
  check_error(store.open({{"url", url_with({{"user", role.name()}})}}).get("k"), PGCACHE_TOO_MANY_CONNECTIONS, "53300");
}

TEST_CASE("A standby says READ_ONLY; promoted, it serves, and no version repeats", "[readonly][epoch]") {
  PrivateServer server;
  Config config;
  config.set("url", server.conninfo()).set("table", "logged");
  Cache cache(config);
  REQUIRE(cache.init() == PGCACHE_OK);
  const int64_t version = cache.put("k", "v").version;
  server.stop();
  std::ofstream(server.socket_folder() + "/standby.signal").close();
  server.start();
  const auto get_in_time = [&] {
    Answer answer;
    eventually([&] { return (answer = cache.get("k")) != PGCACHE_UNAVAILABLE; }, 20000);
    return answer;
  };
  const Answer read = get_in_time();
  INFO(read);
  CHECK(read == PGCACHE_READ_ONLY); /* a logged table could be read, but lags behind */
  CHECK(mentions(read, "primary"));
  Answer write = cache.put("k", "w");
  INFO(write);
  CHECK(write == PGCACHE_READ_ONLY);
  CHECK(cache.remove("k") == PGCACHE_READ_ONLY);
  CHECK(cache.flush(PGCACHE_FLUSH_ALL) == PGCACHE_READ_ONLY);
  CHECK(cache.increment("n") == PGCACHE_READ_ONLY);
  Pg(server.conninfo()).exec("SELECT pg_promote()");
  CHECK(eventually([&] { return (write = cache.put("k", "w")) == PGCACHE_OK; }, 20000));
  INFO(write);
  CHECK(write.version > version);
}

TEST_CASE("A session that the server closed is replaced, and a waiting handle recovers by itself", "[reconnect]") {
  Store store;
  const string name = store.schema();
  Cache cache = store.open({{"url", url_with({{"application_name", name}})}});
  const auto kill = [&] {
    return store.pg.one(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = $1", {name});
  };
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  for (int i = 0; i < 3; i++) {
    CHECK(kill() == "1");
    CHECK(cache.get("k").bytes() == "v"); /* a dead idle session is noticed before anything is sent on it */
    CHECK(kill() == "1");
    CHECK(cache.put("k", "v") == PGCACHE_OK);
  }
}

TEST_CASE("A connection lost while a read is under way: the read is repeated or says UNAVAILABLE", "[reconnect]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
  REQUIRE(cache.get("k") == PGCACHE_OK);
  for (int64_t byte = 1; byte <= 3; byte++) {
    proxy.cut_after(Proxy::TO_CLIENT, byte);
    const Answer answer = cache.get("k");
    INFO(answer);
    CHECK(proxy.was_cut());
    CHECK(((answer == PGCACHE_OK && answer.bytes() == "v") || answer == PGCACHE_UNAVAILABLE));
  }
  CHECK(eventually([&] { return cache.get("k") == PGCACHE_OK; }));
}

TEST_CASE("A server that closes every connection at once is UNAVAILABLE within the deadline", "[unavailable]") {
  Store store;
  Proxy proxy;
  proxy.refuse(true);
  Cache cache = store.open({{"url", proxy.conninfo()}});
  const int64_t start = now_ms();
  for (int i = 0; i < 3; i++) {
    const Answer answer = cache.get("k", deadline(1000));
    INFO(answer);
    CHECK((answer == PGCACHE_UNAVAILABLE || answer == PGCACHE_TIMEOUT));
  }
  CHECK(now_ms() - start < 15000);
  CHECK(proxy.accepted() < 100 + (now_ms() - start) / 50); /* it does not hammer on the door */
  proxy.refuse(false);
  CHECK(eventually([&] { return cache.get("k", deadline(1000)) == PGCACHE_MISS; }, 15000));
}

TEST_CASE("Serialization failures of the server are tried again, and then CONFLICT", "[conflict]") {
  Store store;
  store.pg.exec(store.sql("CREATE SEQUENCE {s}.tries;"
                          "CREATE FUNCTION {s}.quarrel() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                          "IF nextval('{s}.tries') <= current_setting('pgcache_test.fail', true)::int "
                          "THEN RAISE 'quarrel' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;"
                          "CREATE TRIGGER quarrel BEFORE INSERT ON {s}.entries FOR EACH ROW "
                          "EXECUTE FUNCTION {s}.quarrel()"));
  Cache once = store.open({{"url", url_with({{"options", "-c pgcache_test.fail=1"}})}});
  CHECK(once.put("k", "v") == PGCACHE_OK);
  CHECK(std::stoi(store.pg.one(store.sql("SELECT last_value FROM {s}.tries"))) == 2);
  Cache always = store.open({{"url", url_with({{"options", "-c pgcache_test.fail=1000000"}})}, {"timeout_ms", "3000"}});
  const int64_t start = now_ms();
  check_error(always.put("k", "w"), PGCACHE_CONFLICT, "40001");
  CHECK(now_ms() - start < 15000);
  CHECK(std::stoi(store.pg.one(store.sql("SELECT last_value FROM {s}.tries"))) > 3);
  CHECK(store.cache.get("k").bytes() == "v");
}
