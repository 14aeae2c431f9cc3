/*
 * connections.cpp - how connections are made and kept as callers see it: a pool's least size, servers of which only some
 * will do, TLS, a server that refuses or is silent; threads that are cancelled or get signals while they wait.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/answers.hpp"
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/requests.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"
#include "support/variable.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

TEST_CASE("pool_min connections are opened beside the first one, and opened again", "[pool]") {
  Store store;
  const string name = store.schema();
  Cache cache = store.open({{"url", url_with({{"application_name", name}})}, {"pool_min", "3"}, {"pool_max", "5"}});
  const auto sessions = [&] {
    return store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", {name});
  };
  const auto opened = [&](int count) {
    return eventually([&] {
      const pgcache_store_stats stats = cache.stats();
      return stats.pool_open == count && stats.pool_idle == count;
    });
  };
  CHECK(sessions() == "0"); /* nothing is opened before it is needed */
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  CHECK(opened(3));
  CHECK(sessions() == "3");
  store.pg.query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1", {name});
  sleep_ms(150); /* longer than a connection is trusted without a look */
  CHECK(eventually([&] { return cache.get("k") == PGCACHE_OK && sessions() == "3"; }));
  CHECK(opened(3));
  pgcache_counters counters = PGCACHE_COUNTERS_INIT;
  CHECK(pgcache_read_counters(cache.raw(), &counters, nullptr) == PGCACHE_OK);
  CHECK(counters.connections_opened == 6);
  CHECK(counters.connections_lost == 3);
}

namespace {

/* A server in recovery, with the cache made before. */
void make_standby(PrivateServer &server) {
  server.stop();
  std::ofstream(server.socket_folder() + "/standby.signal").close();
  server.start();
}

Config on(const string &address) {
  Config config;
  config.set("url", address).set("table", "logged").set("timeout_ms", "20000");
  return config;
}

} // namespace

TEST_CASE("Of a primary and a standby in one address target_session_attrs takes the one it means", "[hosts][standby]") {
  PrivateServer primary, standby;
  for (const auto &[server, name] : {std::pair(&primary, "primary"), std::pair(&standby, "standby")}) {
    Cache cache(on(server->conninfo()));
    REQUIRE(cache.init() == PGCACHE_OK);
    REQUIRE(cache.put("who", name) == PGCACHE_OK);
  }
  make_standby(standby);
  const auto address = [&](bool standby_first, const char *wanted) {
    const string one = primary.socket_folder(), other = standby.socket_folder();
    return "host=" + (standby_first ? other + "," + one : one + "," + other) +
           " port=5432 user=postgres dbname=postgres target_session_attrs=" + wanted;
  };
  for (const bool standby_first : {false, true}) {
    INFO("standby " << (standby_first ? "first" : "last"));
    for (const char *wanted : {"read-write", "primary"}) {
      INFO(wanted);
      Cache cache(on(address(standby_first, wanted)));
      CHECK(cache.get("who").bytes() == "primary");
      CHECK(cache.put("k", "v") == PGCACHE_OK);
    }
    for (const char *wanted : {"read-only", "standby", "prefer-standby"}) {
      INFO(wanted);
      Cache cache(on(address(standby_first, wanted)));
      CHECK(cache.get("who") == PGCACHE_READ_ONLY);
      CHECK(cache.put("k", "v") == PGCACHE_READ_ONLY);
    }
  }
  /* No standby is there: prefer-standby takes what there is, standby does not. */
  standby.stop();
  CHECK(Cache(on(address(true, "prefer-standby"))).get("who").bytes() == "primary");
  const Answer none = Cache(on(address(true, "standby"))).get("who");
  INFO(none);
  CHECK(none == PGCACHE_UNAVAILABLE);
  CHECK(Cache(on(primary.conninfo() + " target_session_attrs=standby")).get("who") == PGCACHE_UNAVAILABLE);
}

namespace {

int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr *>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size) != 0)
    throw std::runtime_error("no port on 127.0.0.1");
  close(fd);
  return ntohs(address.sin_port);
}

/* A key and a certificate for "localhost", signed by itself: NAME.key and NAME.crt. False without openssl. */
bool make_certificate(const string &name) {
  const string command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
                         "-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout " +
                         name + ".key -out " + name + ".crt >/dev/null 2>&1";
  if (system(command.c_str()) != 0)
    return false;
  struct stat folder;
  return stat(scratch_folder().c_str(), &folder) == 0 && chmod((name + ".key").c_str(), 0600) == 0 &&
         chown((name + ".key").c_str(), folder.st_uid, folder.st_gid) == 0;
}

} // namespace

TEST_CASE("TLS works as in any client of libpq: required, verified, and refused with a reason", "[tls]") {
  const string file = scratch_folder() + "/tls";
  INFO("openssl makes the certificates; ci/setup check installs it");
  REQUIRE((make_certificate(file) && make_certificate(file + "-other")));
  const string port = std::to_string(free_port());
  PrivateServer server({"listen_addresses = '127.0.0.1'", "port = " + port, "ssl = on",
                        "ssl_cert_file = '" + file + ".crt'", "ssl_key_file = '" + file + ".key'",
                        "password_encryption = 'scram-sha-256'"},
                       {"hostssl all keeper 127.0.0.1/32 scram-sha-256", "host all all all reject"});
  Pg pg(server.conninfo());
  pg.exec("CREATE ROLE keeper LOGIN PASSWORD 'a secret'; GRANT CREATE ON DATABASE postgres TO keeper");
  const auto address = [&](const string &more) {
    return "host=localhost hostaddr=127.0.0.1 port=" + port + " user=keeper password='a secret' dbname=postgres " +
           more;
  };
  {
    Cache cache(on(address("sslmode=require application_name=tls")));
    const Answer made = cache.init();
    INFO(made);
    REQUIRE(made == PGCACHE_OK);
    const string large(3 * 1024 * 1024, 'x'); /* many records, in both directions */
    CHECK(cache.put("k", large) == PGCACHE_OK);
    CHECK(cache.get("k").bytes() == large);
    CHECK(pg.one("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                 "WHERE application_name = 'tls'") == "t");
    in_threads(8, [&](int thread) {
      for (int i = 0; i < 20; i++) {
        const string key = std::to_string(thread) + "." + std::to_string(i);
        if (cache.put(key, key) != PGCACHE_OK || cache.get(key).bytes() != key)
          throw std::runtime_error("lost over TLS: " + key);
      }
    });
    /* Requests read what TLS has decrypted and poll() does not see: values of many sizes about that of a record. */
    const Requests requests(cache);
    std::vector<std::pair<string, uint64_t>> under_way;
    for (int i = 0; i < 60; i++) {
      const string value(static_cast<size_t>(16384 - 600 + 20 * i), 'x');
      REQUIRE(cache.put("r" + std::to_string(i), value) == PGCACHE_OK);
    }
    for (int round = 0; round < 3; round++) {
      for (int i = 0; i < 60; i++)
        under_way.emplace_back(std::to_string(i), requests.get("r" + std::to_string(i)).id);
      for (const auto &one : under_way) {
        const Completion got = requests.wait(one.second);
        CHECK(got == PGCACHE_OK);
        CHECK(got.bytes().size() == static_cast<size_t>(16384 - 600 + 20 * std::stoi(one.first)));
      }
      under_way.clear();
    }
    /* The server goes away while connections are open: over TLS that looks different on the wire, and to us the same. */
    server.stop();
    CHECK(cache.get("k") == PGCACHE_UNAVAILABLE);
    server.start();
    CHECK(eventually([&] { return cache.get("k").bytes() == large; }, 20000));
  }
  CHECK(Cache(on(address("sslmode=verify-full sslrootcert=" + file + ".crt"))).get("k") == PGCACHE_OK);
  for (const string &bad : {"sslmode=verify-full sslrootcert=" + file + "-other.crt",
                            "sslmode=verify-ca sslrootcert=" + scratch_folder() + "/no-such-file"}) {
    INFO(bad);
    const Answer refused = Cache(on(address(bad))).get("k");
    INFO(refused);
    CHECK(refused == PGCACHE_UNAVAILABLE);
  }
  const Answer plain = Cache(on(address("sslmode=disable"))).get("k");
  INFO(plain);
  CHECK(plain == PGCACHE_DENIED);
  CHECK(string(plain.error.sqlstate) == "28000");
}

TEST_CASE("A service of pg_service.conf and a password file give the address, as in any client of libpq", "[service]") {
  PrivateServer server({}, {"local all keeper scram-sha-256"});
  Pg pg(server.conninfo());
  pg.exec("CREATE ROLE keeper LOGIN PASSWORD 'a \\ : secret'; GRANT CREATE ON DATABASE postgres TO keeper");
  const string services = scratch_folder() + "/pg_service.conf", passwords = scratch_folder() + "/pgpass";
  std::ofstream(services) << "[pgcache_test]\nhost=" << server.socket_folder()
                          << "\nuser=keeper\ndbname=postgres\napplication_name=of the service\n";
  const auto write_passwords = [&](const string &password) {
    std::ofstream(passwords) << server.socket_folder() << ":5432:postgres:keeper:" << password << "\n";
    REQUIRE(chmod(passwords.c_str(), 0600) == 0);
  };
  const Variable service_file("PGSERVICEFILE", services.c_str()), password_file("PGPASSFILE", passwords.c_str());
  const Variable no_password("PGPASSWORD", nullptr);
  write_passwords("a \\\\ \\: secret"); /* with the file's own escapes */
  const Answer made = Cache(on("service=pgcache_test")).init();
  INFO(made);
  REQUIRE(made == PGCACHE_OK);
  for (const string address : {"service=pgcache_test", "postgresql:///?service=pgcache_test"}) {
    INFO(address);
    Cache cache(on(address));
    CHECK(cache.put("k", "v") == PGCACHE_OK);
    CHECK(cache.get("k").bytes() == "v");
    CHECK(pg.one("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'keeper' "
                 "AND application_name = 'of the service'") == "t");
  }
  write_passwords("another");
  const Answer wrong = Cache(on("service=pgcache_test")).get("k");
  CHECK(wrong == PGCACHE_DENIED);
  CHECK(string(wrong.error.sqlstate) == "28P01");
  CHECK(unlink(passwords.c_str()) == 0);
  const Answer without = Cache(on("service=pgcache_test")).get("k");
  INFO(without);
  CHECK(without.status < 0);
  CHECK(Cache(on("service=no_such_service")).get("k") != PGCACHE_OK);
}

namespace {

/* A put that waits for a row that another transaction holds, in a thread of its own. */
struct Waiting {
  Cache cache;
  Options options = deadline(20000);
  std::atomic<bool> inside{false};
  std::atomic<int> status{1000};
  std::atomic<bool> went_on{false};
  pthread_t thread;

  static void *body(void *argument) {
    auto *self = static_cast<Waiting *>(argument);
    self->inside = true;
    self->status =
        pgcache_put(self->cache.raw(), nullptr, "k", 1, "new", 3, 0, PGCACHE_TTL_DEFAULT, &self->options, nullptr);
    pthread_testcancel();
    self->went_on = true;
    return nullptr;
  }
  explicit Waiting(Cache &&handle) : cache(std::move(handle)) {
    if (pthread_create(&thread, nullptr, body, this) != 0)
      throw std::runtime_error("pthread_create failed");
  }
  void *join() {
    void *result = nullptr;
    pthread_join(thread, &result);
    return result;
  }
};

} // namespace

TEST_CASE("A thread that is cancelled between two slices of cleanup finishes the call first", "[rule:signals]") {
  struct Cleaning {
    Store store;
    std::atomic<int> status{1000};
    static void *body(void *argument) {
      auto *self = static_cast<Cleaning *>(argument);
      self->status = pgcache_cleanup(self->store.cache.raw(), nullptr, nullptr, nullptr);
      pthread_testcancel();
      return nullptr;
    }
  } cleaning;
  const string value(500, 'v');
  for (int page = 0; page < 20; page++) {
    std::vector<string> keys;
    for (int i = 0; i < 1000; i++)
      keys.push_back(std::to_string(page * 1000 + i));
    Items items;
    for (const auto &key : keys)
      items.add(key, value);
    REQUIRE(pgcache_put_many(cleaning.store.cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
  }
  pthread_t thread;
  REQUIRE(pthread_create(&thread, nullptr, Cleaning::body, &cleaning) == 0);
  sleep_ms(30);
  CHECK(pthread_cancel(thread) == 0);
  void *result = nullptr;
  REQUIRE(pthread_join(thread, &result) == 0);
  CHECK(result == PTHREAD_CANCELED);
  CHECK(cleaning.status == PGCACHE_OK);
}

TEST_CASE("A thread that is cancelled while it waits in a call finishes the call first", "[rule:signals]") {
  Store store;
  REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
  store.pg.exec(store.sql("BEGIN; SELECT FROM {s}.entries FOR UPDATE"));
  Waiting waiting(store.open({{"pool_max", "1"}}));
  Pg other(url());
  REQUIRE(eventually([&] { return other.one("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == "t"; }));
  /* One more waits for the only connection. */
  struct Queued {
    Cache *cache;
    std::atomic<int> status{1000};
    static void *body(void *argument) {
      auto *self = static_cast<Queued *>(argument);
      self->status = pgcache_exists(self->cache->raw(), "k", 1, nullptr, nullptr);
      pthread_testcancel();
      return nullptr;
    }
  } queued{&waiting.cache};
  pthread_t queued_thread;
  REQUIRE(pthread_create(&queued_thread, nullptr, Queued::body, &queued) == 0);
  sleep_ms(100);
  CHECK(pthread_cancel(waiting.thread) == 0);
  CHECK(pthread_cancel(queued_thread) == 0);
  sleep_ms(100);
  CHECK(waiting.status == 1000); /* still in the call */
  CHECK(queued.status == 1000);
  store.pg.exec("COMMIT");
  CHECK(waiting.join() == PTHREAD_CANCELED);
  void *result = nullptr;
  CHECK(pthread_join(queued_thread, &result) == 0);
  CHECK(result == PTHREAD_CANCELED);
  CHECK(waiting.status == PGCACHE_OK);
  CHECK(queued.status == PGCACHE_OK);
  CHECK_FALSE(waiting.went_on);
  CHECK(waiting.cache.get("k").bytes() == "new"); /* the connection was given back */
  const pgcache_store_stats stats = waiting.cache.stats();
  CHECK(stats.pool_open == 1);
}

TEST_CASE("Signals that a thread handles while it waits in a call do not end the wait", "[rule:signals]") {
  static std::atomic<int> handled{0};
  struct sigaction action = {}, before;
  action.sa_handler = [](int) { handled++; };
  REQUIRE(sigaction(SIGUSR1, &action, &before) == 0); /* without SA_RESTART */
  {
    Store store;
    REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
    store.pg.exec(store.sql("BEGIN; SELECT FROM {s}.entries FOR UPDATE"));
    Waiting waiting(store.open({{"pool_max", "1"}}));
    Pg other(url());
    REQUIRE(eventually([&] { return other.one("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == "t"; }));
    for (int i = 0; i < 20; i++) {
      pthread_kill(waiting.thread, SIGUSR1);
      sleep_ms(5);
    }
    CHECK(handled > 5);
    CHECK(waiting.status == 1000);
    store.pg.exec("COMMIT");
    CHECK(waiting.join() == nullptr);
    CHECK(waiting.status == PGCACHE_OK);
    CHECK(waiting.cache.get("k").bytes() == "new");
  }
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("Inputs may be overwritten as soon as the call has returned", "[rule:inputs]") {
  Store store;
  string address = url(), schema = store.schema(), name_space = "inputs", key = "key", value = "value", span = "span";
  const auto wipe = [](string &text) { text.assign(text.size(), '#'); };
  Config config;
  REQUIRE(pgcache_config_set(config.get(), "url", address.c_str(), nullptr) == PGCACHE_OK);
  REQUIRE(pgcache_config_set(config.get(), "schema", schema.c_str(), nullptr) == PGCACHE_OK);
  wipe(address);
  wipe(schema);
  pgcache *self = nullptr;
  REQUIRE(pgcache_new(&self, config.get(), nullptr) == PGCACHE_OK);
  {
    Config wiped = std::move(config);
    wiped.set("url", "null:").set("schema", "elsewhere");
  }
  Options options = in_namespace(name_space.c_str());
  options.span_name = span.c_str();
  REQUIRE(pgcache_put(self, nullptr, key.data(), key.size(), value.data(), value.size(), 0, PGCACHE_TTL_DEFAULT,
                      &options, nullptr) == PGCACHE_OK);
  for (string *text : {&name_space, &key, &value, &span})
    wipe(*text);
  options = deadline(0);
  const Answer found = store.cache.get("key", in_namespace("inputs"));
  CHECK(found.bytes() == "value");

  std::vector<string> many = {"one", "two", "three"};
  std::vector<pgcache_item> items(many.size(), PGCACHE_ITEM_INIT);
  for (size_t i = 0; i < many.size(); i++) {
    items[i].key = items[i].value = many[i].data();
    items[i].key_len = items[i].value_len = many[i].size();
  }
  REQUIRE(pgcache_put_many(self, items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
  for (string &text : many)
    wipe(text);
  for (const char *one : {"one", "two", "three"})
    CHECK(store.cache.get(one).bytes() == one);

  string prefix = "t", after = "three";
  pgcache_value *listed[4];
  size_t count = 0;
  REQUIRE(pgcache_keys(self, listed, 4, &count, prefix.data(), prefix.size(), after.data(), after.size(), nullptr,
                       nullptr) == PGCACHE_OK);
  wipe(prefix);
  wipe(after);
  REQUIRE(count == 1);
  CHECK(Value(listed[0]).bytes() == "two");
  pgcache_free(self);
}

TEST_CASE("A session whose settings are refused, not understood or never answered is no connection",
          "[answers][pool][direct]") {
  Store store;
  Proxy proxy;
  const size_t settings = 9; /* the columns of the answer to session.sql */
  const auto first_call = [&](const std::vector<Message> &said, bool silent = false) {
    Answers answers(proxy, [=, open = std::make_shared<bool>(false)](const Message &message) -> std::vector<Message> {
      if (message.type == 'T' && wire::number_at(message.body, 0, 2) == settings) {
        *open = true;
        return said;
      }
      if (!*open || (message.type == 'Z' && !silent))
        return {message};
      return {};
    });
    Cache cache = store.open({{"url", proxy.conninfo({{"connect_timeout", "1"}})}});
    return cache.get("k", deadline(20000));
  };
  const Answer refused = first_call({wire::error("42501")});
  INFO(refused);
  CHECK(refused == PGCACHE_SERVER_ERROR);
  CHECK(string(refused.error.sqlstate) == "42501");
  CHECK(first_call({{'E', wire::fields({"SERROR", "VERROR", "Mno code"})}}) == PGCACHE_NO_MEMORY);
  const int64_t start = now_ms();
  const Answer silent = first_call({}, true);
  INFO(silent);
  CHECK(silent == PGCACHE_UNAVAILABLE);
  CHECK(now_ms() - start < 15000);
  CHECK(store.open({{"url", proxy.conninfo()}}).get("k") == PGCACHE_MISS);
}

TEST_CASE("shutdown breaks off an attempt to connect", "[rule:shutdown][pool]") {
  Store store;
  Proxy proxy;
  proxy.black_hole(true);
  Cache cache = store.open({{"url", proxy.conninfo()}});
  Answer answer;
  std::thread waiting([&] { answer = cache.get("k", deadline(20000)); });
  CHECK(eventually([&] { return proxy.accepted() > 0; }));
  sleep_ms(50);
  const int64_t start = now_ms();
  cache.shutdown();
  waiting.join();
  CHECK(answer == PGCACHE_CLOSED);
  CHECK(now_ms() - start < 10000);
  sleep_ms(300); /* the attempt itself ends, too: nothing is left in the sanitizers' eyes */
}

TEST_CASE("A server that refuses for long is asked now and then, one connection at a time, and found soon after",
          "[reconnect][pool]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_min", "3"}});
  proxy.refuse(true);
  const int64_t start = now_ms();
  int calls = 0;
  while (now_ms() - start < 4000) {
    const Answer answer = cache.get("k", deadline(2000));
    if (answer != PGCACHE_UNAVAILABLE)
      FAIL_CHECK(answer);
    calls++;
  }
  INFO(calls << " calls, " << proxy.accepted() << " attempts");
  CHECK(proxy.accepted() > 15);
  CHECK(proxy.accepted() < 400); /* random pauses of up to a quarter of a second */
  proxy.refuse(false);
  CHECK(eventually([&] { return cache.get("k") == PGCACHE_MISS; }));
  CHECK(eventually([&] { return cache.stats().pool_open == 3; }));
}

TEST_CASE("A call that waited for the server in vain says why the attempt before failed", "[rule:deadline][pool]") {
  Store store;
  Proxy proxy;
  proxy.refuse(true);
  Cache cache = store.open({{"url", proxy.conninfo()}, {"breaker_failures", "0"}});
  CHECK(cache.get("k") == PGCACHE_UNAVAILABLE);
  proxy.refuse(false);
  proxy.black_hole(true); /* the next attempt is accepted and not answered */
  Answer answer;
  CHECK(eventually([&] { return (answer = cache.get("k", deadline(500))) == PGCACHE_TIMEOUT; }));
  INFO(answer);
  CHECK(answer.error.text().find("the last attempt") != string::npos);
  CHECK(answer.error.text().find("cannot connect") != string::npos);
}

TEST_CASE("Without a free file descriptor no connection is made; with one again it is", "[pool][descriptors]") {
  Store store;
  rlimit before;
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  for (const int left : {0, 1}) { /* one is enough for a socket, but not for a connection */
    INFO(left << " descriptors left");
    Cache cache = store.open();
    Answer answer;
    std::vector<int> taken;
    {
      rlimit small = before;
      small.rlim_cur = 200;
      REQUIRE(setrlimit(RLIMIT_NOFILE, &small) == 0);
      for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
        taken.push_back(fd);
      for (int i = 0; i < left; i++) {
        close(taken.back());
        taken.pop_back();
      }
      answer = cache.get("k");
      for (int fd : taken)
        close(fd);
      REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    }
    INFO(answer);
    CHECK(taken.size() > 10);
    CHECK(answer.status < 0);
    if (left == 1) {
      CHECK(answer == PGCACHE_NO_MEMORY);
      CHECK(answer.error.text().find("file descriptor") != string::npos);
    }
    CHECK(eventually([&] { return cache.get("k") == PGCACHE_MISS; }));
  }
}
