/*
 * pool.cpp - connections that end: for their age, because nobody needs them, and because they are dead without saying so.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <atomic>
#include <cstdio>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <set>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

/* A handle whose sessions can be told from others. */
struct Named {
  Store store;
  string name = store.schema();
  Cache cache;

  Named(std::initializer_list<Settings::value_type> given) {
    Settings settings = given;
    settings.insert(settings.begin(), {"url", url_with({{"application_name", name}})});
    cache = store.open(settings);
  }
  std::set<string> sessions() {
    std::set<string> pids;
    for (const Row &row : store.pg.query("SELECT pid FROM pg_stat_activity WHERE application_name = $1", {name}))
      pids.insert(row[0]);
    return pids;
  }
  /* Has n calls under way at once, each with a connection of its own. */
  void use(int n) {
    const string key = "busy";
    if (cache.put(key, "v") != PGCACHE_OK)
      throw std::runtime_error("put failed");
    Pg holder(url());
    holder.exec("BEGIN");
    holder.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at WHERE key = 'busy'"));
    std::vector<std::thread> writers;
    std::atomic<int> failed{0};
    for (int i = 0; i < n; i++)
      writers.emplace_back([&] { failed += cache.put(key, "w", deadline(60000)) != PGCACHE_OK; });
    /* One that has only just logged in serves nobody yet, and a writer may get another's when that is given back. */
    const bool all = eventually([&] {
      return store.pg
                 .query("SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'",
                        {name})
                 .size() == static_cast<size_t>(n);
    });
    holder.exec("COMMIT");
    for (auto &writer : writers)
      writer.join();
    if (!all || failed != 0)
      throw std::runtime_error("the connections were not all in use");
  }
};

pgcache_counters counters(const Cache &cache) {
  pgcache_counters out = PGCACHE_COUNTERS_INIT;
  if (pgcache_read_counters(cache.raw(), &out, nullptr) != PGCACHE_OK)
    throw std::runtime_error("pgcache_read_counters failed");
  return out;
}

} // namespace

TEST_CASE("Idle connections beyond pool_min are closed while the application is quiet", "[pool][idle]") {
  Named f{{"pool_min", "1"}, {"pool_max", "4"}, {"pool_idle_ms", "400"}};
  f.use(4);                                                    /* at the same time */
  CHECK(eventually([&] { return f.sessions().size() == 1; })); /* no call is made meanwhile */
  const auto left = f.sessions();
  sleep_ms(1000);
  CHECK(f.sessions() == left); /* pool_min is not idle for too long */
  CHECK(f.cache.get("busy").bytes() == "w");
  CHECK(f.sessions() == left);
  CHECK(counters(f.cache).connections_lost == 0);
  f.use(3);
  CHECK(eventually([&] { return f.sessions().size() == 1; }));
  CHECK(counters(f.cache).connections_lost == 0);
}

TEST_CASE("With pool_min 0 a quiet handle has no connection, and opens one again", "[pool][idle]") {
  Named f{{"pool_idle_ms", "200"}};
  for (int round = 0; round < 3; round++) {
    f.use(2);
    CHECK(eventually([&] { return f.sessions().empty(); }));
  }
  /* One that is in use again and again is not idle, unless this thread has to wait for so long. */
  CHECK(in_one_of(20, [&] {
    REQUIRE(f.cache.get("busy") == PGCACHE_OK);
    const auto session = f.sessions();
    for (int i = 0; i < 20; i++) {
      sleep_ms(50);
      REQUIRE(f.cache.get("busy") == PGCACHE_OK);
    }
    return f.sessions() == session;
  }));
}

TEST_CASE("0 keeps idle connections for ever", "[pool][idle]") {
  Named f{{"pool_idle_ms", "0"}, {"pool_max_lifetime_ms", "0"}};
  f.use(3);
  const auto before = f.sessions();
  sleep_ms(700);
  CHECK(f.sessions() == before);
}

TEST_CASE("A connection ends at its age, in use or idle, and pool_min others take their place", "[pool][lifetime]") {
  Named f{{"pool_min", "2"}, {"pool_max", "2"}, {"pool_max_lifetime_ms", "500"}, {"pool_idle_ms", "0"}};
  f.use(2);
  auto first = f.sessions();
  REQUIRE(eventually([&] { return (first = f.sessions()).size() == 2; }));
  const auto replaced = [&] {
    const auto now = f.sessions();
    if (now.size() != 2)
      return false;
    for (const string &pid : now) {
      if (first.count(pid) != 0)
        return false;
    }
    return true;
  };
  CHECK(eventually(replaced)); /* while nobody calls */
  /* Under load no call notices. */
  const int64_t start = now_ms();
  std::atomic<int> failed{0}, calls{0};
  in_threads(4, [&](int) {
    while (now_ms() - start < 1500 || (counters(f.cache).connections_opened < 6 && now_ms() - start < 30000)) {
      failed += f.cache.get("busy") != PGCACHE_OK;
      calls++;
    }
  });
  CHECK(failed == 0);
  const pgcache_counters counted = counters(f.cache);
  INFO(calls << " calls, " << counted.connections_opened << " connections");
  CHECK(counted.connections_opened >= 6);
  CHECK(counted.connections_opened < 60 + (now_ms() - start) / 100);
  CHECK(counted.connections_lost == 0);
}

TEST_CASE("A child's pool ends its idle connections, too, and the parent's keeper stays with the parent",
          "[pool][idle][rule:fork]") {
  Named f{{"pool_idle_ms", "300"}};
  REQUIRE(f.cache.put("k", "v") == PGCACHE_OK);
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(120);
    if (f.cache.get("k") != PGCACHE_OK)
      _exit(1);
    for (int i = 0; i < 20; i++) {
      sleep_ms(1200);
      pgcache_store_stats stats = PGCACHE_STORE_STATS_INIT;
      if (pgcache_stats(f.cache.raw(), &stats, nullptr, nullptr) != PGCACHE_OK)
        _exit(2);
      pgcache_counters counted = PGCACHE_COUNTERS_INIT;
      pgcache_read_counters(f.cache.raw(), &counted, nullptr);
      if (counted.connections_opened == 3) /* the parent's one, and two of its own */
        _exit(0);
    }
    _exit(3);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(eventually([&] { return f.sessions().empty(); }));
  CHECK(f.cache.get("k") == PGCACHE_OK);
}

TEST_CASE("Handles are freed while their keeper sleeps or works", "[pool][idle][rule:free]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  for (int i = 0; i < 30; i++) {
    Cache cache = store.open({{"pool_idle_ms", "1"}, {"pool_max_lifetime_ms", std::to_string(1 + i)}});
    REQUIRE(cache.get("k") == PGCACHE_OK);
    sleep_ms(i);
    REQUIRE(cache.get("k") == PGCACHE_OK);
    if (i % 2 == 0)
      cache.shutdown();
  }
}

TEST_CASE("Of connections that went silent while idle only the first one costs a call its deadline",
          "[pool][blackhole]") {
  Store store;
  Proxy proxy;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_min", "4"}, {"pool_max", "4"}});
  REQUIRE(cache.get("k") == PGCACHE_OK);
  REQUIRE(eventually([&] { return cache.stats().pool_idle == 4; }));
  proxy.strand();
  const int64_t start = now_ms();
  CHECK(cache.get("k", deadline(1500)) == PGCACHE_TIMEOUT);
  const int64_t silent = now_ms();
  const Answer next = cache.get("k");
  printf("a black hole beneath 4 idle connections: %lld ms for the first call, %lld ms for the next\n",
         static_cast<long long>(silent - start), static_cast<long long>(now_ms() - silent));
  INFO(next);
  CHECK(next.bytes() == "v");
  CHECK(now_ms() - start < 10000); /* the next one has 20 s */
  CHECK(counters(cache).connections_lost == 4);
}

TEST_CASE("A call that chose to wait for less than a server needs leaves the other connections alone",
          "[pool][blackhole]") {
  Store store;
  Proxy proxy;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_min", "3"}, {"pool_max", "3"}});
  REQUIRE(cache.get("k") == PGCACHE_OK);
  REQUIRE(eventually([&] { return cache.stats().pool_idle == 3; }));
  proxy.hold_answers(true);
  CHECK(cache.get("k", deadline(50)) == PGCACHE_TIMEOUT);
  proxy.hold_answers(false);
  CHECK(cache.get("k") == PGCACHE_OK);
  CHECK(counters(cache).connections_lost == 1);
}

TEST_CASE("Dead connections beneath a live one do not cost a call each", "[pool][reconnect]") {
  Named f{{"pool_max", "5"}};
  f.use(5);
  REQUIRE(f.cache.get("busy") == PGCACHE_OK); /* its session is the warmest */
  f.store.pg.query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1 "
                   "AND query_start < (SELECT max(query_start) FROM pg_stat_activity WHERE application_name = $1)",
                   {f.name});
  REQUIRE(f.sessions().size() == 1);
  std::atomic<int> failed{0};
  in_threads(5, [&](int) { failed += f.cache.put("busy", "x") != PGCACHE_OK; });
  CHECK(failed == 0);
}

namespace {

/* The TCP sockets of this process that lead to the port. */
std::vector<int> sockets_to(int port) {
  std::vector<int> found;
  DIR *folder = opendir("/proc/self/fd");
  while (const dirent *entry = readdir(folder)) {
    const int fd = atoi(entry->d_name);
    sockaddr_in peer = {};
    socklen_t size = sizeof peer;
    if (getpeername(fd, reinterpret_cast<sockaddr *>(&peer), &size) == 0 && peer.sin_family == AF_INET &&
        ntohs(peer.sin_port) == port)
      found.push_back(fd);
  }
  closedir(folder);
  return found;
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

} // namespace

TEST_CASE("Over TCP the kernel is told to find a server that is gone within three seconds, unless the url says other",
          "[pool][blackhole]") {
  const int port = 20000 + getpid() % 20000;
  PrivateServer server({"listen_addresses = '127.0.0.1'", "port = " + std::to_string(port)},
                       {"host all all 127.0.0.1/32 trust"});
  const string address = "host=127.0.0.1 port=" + std::to_string(port) + " user=postgres dbname=postgres";
  {
    Config config;
    Cache cache(config.set("url", address));
    REQUIRE(cache.init() == PGCACHE_OK);
    const auto sockets = sockets_to(port);
    REQUIRE(sockets.size() == 2); /* libpq's, and the one that shutdown needs */
    for (const int fd : sockets) {
      CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
      CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 1);
      CHECK(option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 1);
      CHECK(option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 2);
      CHECK(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 3000);
    }
  }
  CHECK(eventually([&] { return sockets_to(port).empty(); }));
  Config config;
  Cache cache(config.set("url", address + " keepalives_idle=60 tcp_user_timeout=7000"));
  REQUIRE(cache.get("k") == PGCACHE_MISS);
  REQUIRE(sockets_to(port).size() == 2);
  CHECK(option(sockets_to(port)[0], IPPROTO_TCP, TCP_KEEPIDLE) == 60);
  CHECK(option(sockets_to(port)[0], IPPROTO_TCP, TCP_USER_TIMEOUT) == 7000);
}
