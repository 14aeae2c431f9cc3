/*
 * endpoint.cpp - the endpoint over HTTP: answers, formats, handles that come and go, connections, life. Handles on `null:`, so no
 * server is needed.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "http.hpp"
#include "prometheus.hpp"
#include "support/fork.hpp"
#include "support/server.hpp"

#include <atomic>
#include <csignal>
#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

Cache null_cache() {
  Config config;
  config.set("url", "null:");
  return Cache(config);
}

/* One that listens on a free port of the loopback. To be made after the handles that it serves, so that it ends before them. */
class Endpoint {
public:
  Endpoint() {
    Error error;
    if (pgcache_prometheus_start(&server_, nullptr, 0, &error) != PGCACHE_OK)
      throw std::runtime_error(error.message);
  }
  Endpoint(const Endpoint &) = delete;
  Endpoint &operator=(const Endpoint &) = delete;
  ~Endpoint() {
    stop();
  }
  void stop() {
    pgcache_prometheus_stop(std::exchange(server_, nullptr));
  }
  pgcache_prometheus_server *raw() const {
    return server_;
  }
  int port() const {
    return pgcache_prometheus_port(server_);
  }
  pgcache_status serve(const Cache &cache, const char *name = nullptr) const {
    return pgcache_prometheus_serve(server_, cache.raw(), name, nullptr);
  }
  pgcache_status withdraw(const Cache &cache) const {
    return pgcache_prometheus_withdraw(server_, cache.raw(), nullptr);
  }
  Response get(const string &path = "/metrics", const string &headers = "") const {
    return Connection(port()).ask("GET " + path + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n");
  }

private:
  pgcache_prometheus_server *server_ = nullptr;
};

int open_descriptors() {
  int count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr)
    count++;
  closedir(folder);
  return count;
}

} // namespace

TEST_CASE("GET /metrics gives what was measured of the handles, in the format that is wanted", "[endpoint]") {
  Cache cache = null_cache();
  Endpoint endpoint;
  CHECK(endpoint.get().body.empty()); /* no handle yet */
  REQUIRE(endpoint.serve(cache) == PGCACHE_OK);
  Options options;
  options.span_name = "front \"page\"";
  CHECK(cache.get("key", options) == PGCACHE_MISS);

  const Response text = endpoint.get();
  CHECK(text.status == 200);
  CHECK(text.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(text.body.find("\npgcache_misses_total{source=\"store\",span_name=\"front \\\"page\\\"\"} 1\n") !=
        string::npos);
  CHECK(text.body.find("# EOF") == string::npos);

  const Response open = endpoint.get("/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n");
  CHECK(open.status == 200);
  CHECK(open.header("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8");
  CHECK(open.body.find("# TYPE pgcache_misses counter\n") != string::npos);
  CHECK(open.body.find("# EOF\n") == open.body.size() - 6);

  CHECK(endpoint.get("/metrics?name[]=x").status == 200); /* what is asked for beside the path is ignored */
  cache.shutdown();                                       /* what was measured is still there */
  CHECK(endpoint.get().body == text.body);
  CHECK(endpoint.withdraw(cache) == PGCACHE_OK);
  CHECK(endpoint.get().body.empty());
}

TEST_CASE("HEAD is GET without its body; other methods are 405, other paths 404", "[endpoint]") {
  Cache cache = null_cache();
  Endpoint endpoint;
  REQUIRE(endpoint.serve(cache) == PGCACHE_OK);
  const auto ask = [&](const string &first_line, const string &rest = "\r\n") {
    return Connection(endpoint.port()).ask(first_line + " HTTP/1.1\r\nHost: x\r\n" + rest);
  };
  const Response head = ask("HEAD /metrics");
  CHECK(head.status == 200);
  CHECK(head.header("Content-Length") == std::to_string(endpoint.get().body.size()));
  CHECK(head.body.empty());
  for (const char *method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"}) {
    INFO(method);
    const Response refused = ask(string(method) + " /metrics");
    CHECK(refused.status == 405);
    CHECK(refused.header("Allow") == "GET, HEAD");
  }
  CHECK(ask("POST /metrics", "Content-Length: 3\r\n\r\nabc").status == 405);
  CHECK(ask("GET /metrics", "Content-Length: 3\r\n\r\nabc").status == 200);
  for (const char *path :
       {"/", "/metric", "/metrics/", "/metricsx", "//metrics", "/../metrics", "/favicon.ico", "/%00"}) {
    INFO(path);
    CHECK(ask(string("GET ") + path).status == 404);
  }
  CHECK(ask("POST /").status == 404);
}

TEST_CASE("Several scrapes share a connection; what is no HTTP ends its own alone", "[endpoint]") {
  Cache cache = null_cache();
  Endpoint endpoint;
  REQUIRE(endpoint.serve(cache) == PGCACHE_OK);
  Connection connection(endpoint.port());
  for (int i = 0; i < 3; i++)
    CHECK(connection.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").status == 200);
  Connection(endpoint.port()).send(string("\0\xff\x16\x03\r\n\r\n", 8));
  Connection(endpoint.port()).send("GET /metrics HTTP/1.1\r\nX: " + string(100000, 'x'));
  Connection silent(endpoint.port());
  CHECK(connection.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").status == 200);
  CHECK(endpoint.get().status == 200);
}

TEST_CASE("Handles are told apart by their names, come and go", "[endpoint]") {
  Cache one = null_cache(), two = null_cache(), three = null_cache(), four = null_cache();
  Endpoint endpoint;
  CHECK(endpoint.withdraw(one) == PGCACHE_MISS);
  REQUIRE(endpoint.serve(one, "one") == PGCACHE_OK);
  CHECK(endpoint.serve(one, "another") == PGCACHE_INVALID);
  CHECK(endpoint.serve(two, "one") == PGCACHE_INVALID);
  REQUIRE(endpoint.serve(two, "tw\"o") == PGCACHE_OK);
  REQUIRE(endpoint.serve(three) == PGCACHE_OK);
  CHECK(endpoint.serve(four) == PGCACHE_INVALID); /* a second one without a name */
  CHECK(one.get("k") == PGCACHE_MISS);
  CHECK(two.get("k") == PGCACHE_MISS);
  CHECK(two.get("k") == PGCACHE_MISS);
  const auto misses = [&](const string &label) {
    return endpoint.get().body.find("pgcache_misses_total{" + label) != string::npos;
  };
  CHECK(misses("cache=\"one\",source=\"store\",span_name=\"\"} 1\n"));
  CHECK(misses("cache=\"tw\\\"o\",source=\"store\",span_name=\"\"} 2\n"));
  const string body = endpoint.get().body;
  const size_t first = body.find("# TYPE pgcache_misses_total ");
  CHECK(first != string::npos);
  CHECK(body.find("# TYPE pgcache_misses_total ", first + 1) == string::npos); /* once for all */
  CHECK(endpoint.withdraw(one) == PGCACHE_OK);
  CHECK(endpoint.withdraw(one) == PGCACHE_MISS);
  CHECK_FALSE(misses("cache=\"one\""));
  CHECK(misses("cache=\"tw\\\"o\""));
  CHECK(endpoint.serve(one, "one") == PGCACHE_OK);

  CHECK(pgcache_prometheus_serve(nullptr, one.raw(), nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_prometheus_serve(endpoint.raw(), nullptr, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_prometheus_withdraw(nullptr, one.raw(), nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_prometheus_withdraw(endpoint.raw(), nullptr, nullptr) == PGCACHE_INVALID);
}

TEST_CASE("An endpoint serves so many handles", "[endpoint]") {
  std::vector<Cache> caches;
  for (int i = 0; i <= PGCACHE_PROMETHEUS_HANDLES_MAX; i++)
    caches.push_back(null_cache());
  Endpoint endpoint;
  for (int i = 0; i < PGCACHE_PROMETHEUS_HANDLES_MAX; i++)
    REQUIRE(endpoint.serve(caches[static_cast<size_t>(i)], std::to_string(i).c_str()) == PGCACHE_OK);
  CHECK(endpoint.serve(caches.back(), "more") == PGCACHE_QUEUE_FULL);
  CHECK(endpoint.get().status == 200);
  CHECK(endpoint.withdraw(caches[10]) == PGCACHE_OK);
  CHECK(endpoint.serve(caches.back(), "more") == PGCACHE_OK);
}

TEST_CASE("It listens on the loopback alone, on the port and address that it is told", "[endpoint]") {
  Error error;
  pgcache_prometheus_server *server = nullptr;
  Endpoint endpoint;
  CHECK(listening_address(endpoint.port()) == "0100007F");
  const auto port = static_cast<uint16_t>(endpoint.port());
  CHECK(pgcache_prometheus_start(&server, nullptr, port, &error) == PGCACHE_UNAVAILABLE);
  CHECK(server == nullptr);
  CHECK(error.text().find(std::to_string(port)) != string::npos);
  endpoint.stop();
  REQUIRE(pgcache_prometheus_start(&server, "127.0.0.1", port, &error) == PGCACHE_OK); /* free again, at once */
  CHECK(pgcache_prometheus_port(server) == port);
  pgcache_prometheus_stop(server);
  for (const char *address : {"", "localhost", "127.0.0.1:80", "127.0.0.256", "::g"}) {
    INFO(address);
    CHECK(pgcache_prometheus_start(&server, address, 0, &error) == PGCACHE_INVALID);
    CHECK(server == nullptr);
  }
  CHECK(pgcache_prometheus_start(&server, "192.0.2.1", 0, &error) == PGCACHE_UNAVAILABLE); /* no one of this machine */
  CHECK(pgcache_prometheus_start(nullptr, nullptr, 0, &error) == PGCACHE_INVALID);
  const pgcache_status six = pgcache_prometheus_start(&server, "::1", 0, &error);
  CHECK((six == PGCACHE_OK || six == PGCACHE_UNAVAILABLE)); /* not every machine has IPv6 */
  pgcache_prometheus_stop(server);
  pgcache_prometheus_stop(nullptr);
  CHECK(pgcache_prometheus_port(nullptr) == 0);
}

TEST_CASE("Stopping ends all connections and gives everything back", "[endpoint]") {
  Cache cache = null_cache();
  const auto once = [&] {
    Endpoint endpoint;
    REQUIRE(endpoint.serve(cache, "a") == PGCACHE_OK);
    Connection idle(endpoint.port()), half(endpoint.port());
    CHECK(idle.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").status == 200);
    half.send("GET /met");
    endpoint.stop();
    CHECK(idle.is_closed());
    CHECK(half.is_closed());
  };
  once();
  const int before = open_descriptors();
  for (int i = 0; i < 5; i++)
    once();
  CHECK(open_descriptors() == before);
}

TEST_CASE("Its thread takes no signal of the application", "[endpoint]") {
  static std::atomic<pthread_t> taken;
  struct sigaction action = {}, old = {};
  action.sa_handler = [](int) { taken = pthread_self(); };
  sigaction(SIGUSR1, &action, &old);
  Endpoint endpoint;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  taken = pthread_t{};
  kill(getpid(), SIGUSR1); /* no thread but the endpoint's could take it */
  sleep_ms(50);
  CHECK(taken == pthread_t{});
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  CHECK(taken == pthread_self());
  sigaction(SIGUSR1, &old, nullptr);
}

TEST_CASE("A forked child cannot use the parent's endpoint, may stop it, and start its own", "[endpoint][rule:fork]") {
  if (!can_fork_among_threads) {
    WARN("skipped: a sanitizer's child can hang when other threads ran at the fork");
    return;
  }
  Cache cache = null_cache();
  Endpoint endpoint;
  REQUIRE(endpoint.serve(cache) == PGCACHE_OK);
  const int port = endpoint.port();
  CHECK(in_child([&] {
          if (endpoint.serve(cache, "x") != PGCACHE_UNSUPPORTED || endpoint.withdraw(cache) != PGCACHE_UNSUPPORTED)
            return 1;
          pgcache_prometheus_stop(endpoint.raw());
          pgcache_prometheus_server *own = nullptr;
          if (pgcache_prometheus_start(&own, nullptr, 0, nullptr) != PGCACHE_OK)
            return 2;
          if (pgcache_prometheus_serve(own, cache.raw(), nullptr, nullptr) != PGCACHE_OK)
            return 3;
          try {
            if (Connection(pgcache_prometheus_port(own)).ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").status != 200)
              return 4;
          } catch (const std::exception &error) {
            fprintf(stderr, "in the child: %s\n", error.what());
            return 5;
          }
          pgcache_prometheus_stop(own);
          return 0;
        }) == 0);
  CHECK(endpoint.get().status == 200); /* the parent's goes on */
  endpoint.stop();
  CHECK(Connection::refused(port));
}

TEST_CASE("Scrapes, handles that come and go, and calls at once", "[endpoint][threads]") {
  Cache steady = null_cache();
  Endpoint endpoint;
  REQUIRE(endpoint.serve(steady, "steady") == PGCACHE_OK);
  std::atomic<bool> over{false};
  std::atomic<int> scrapes{0};
  in_threads(4, [&](int number) {
    if (number < 2) {
      Connection connection(endpoint.port());
      for (int i = 0; i < longer(60, 2000); i++) {
        const Response response = connection.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        if (response.status != 200 || response.body.find("cache=\"steady\"") == string::npos)
          throw std::runtime_error("a scrape failed");
        scrapes++;
      }
      if (number == 0)
        over = true;
    } else if (number == 2) {
      while (!over) {
        Cache passing = null_cache();
        if (endpoint.serve(passing, "passing") != PGCACHE_OK)
          throw std::runtime_error("serve failed");
        (void)passing.get("k");
        if (endpoint.withdraw(passing) != PGCACHE_OK)
          throw std::runtime_error("withdraw failed");
      }
    } else {
      while (!over)
        (void)steady.get("k");
    }
  });
  CHECK(scrapes == 2 * longer(60, 2000));
}
