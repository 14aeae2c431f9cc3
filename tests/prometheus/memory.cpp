/*
 * memory.cpp - what is left when memory runs out in the middle: each allocation fails once, and nothing is lost, half written or
 * leaked (ASan looks). libmicrohttpd's and libc's own are not ours to fail.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "failing.hpp"
#include "http.hpp"
#include "prometheus.hpp"

using namespace test;
using std::string;

TEST_CASE("Without memory there is no text, and it says so", "[memory]") {
  Made made;
  for (int i = 0; i < 200; i++) /* so many names that their list grows */
    made.value(PGCACHE_GAUGE, ("g" + std::to_string(i)).c_str(), "", "", {}, i);
  const pgcache_prometheus_source source = made.source();
  const string whole = exposition({source}, PGCACHE_PROMETHEUS_TEXT);
  const int count = failing_each([&] {
    char *text = nullptr;
    size_t length = 0;
    pgcache_error error = PGCACHE_ERROR_INIT;
    const pgcache_status status = pgcache_prometheus_text(&text, &length, &source, 1, PGCACHE_PROMETHEUS_TEXT, &error);
    const bool failed = has_failed();
    CHECK(status == (failed ? PGCACHE_NO_MEMORY : PGCACHE_OK));
    CHECK((text == nullptr) == failed);
    CHECK(string(text != nullptr ? text : "", length) == (failed ? "" : whole));
    CHECK(error.status == status);
    pgcache_prometheus_text_free(text);
  });
  CHECK(count >= 3); /* the parts, and the list twice */
}

TEST_CASE("An endpoint without memory refuses, and is there again with it", "[memory]") {
  Config config;
  config.set("url", "null:");
  Cache cache(config);
  pgcache_prometheus_server *server = nullptr;
  CHECK(failing_each([&] {
          pgcache_prometheus_stop(std::exchange(server, nullptr));
          const pgcache_status status = pgcache_prometheus_start(&server, nullptr, 0, nullptr);
          CHECK(status == (has_failed() ? PGCACHE_NO_MEMORY : PGCACHE_OK));
          CHECK((server == nullptr) == (status != PGCACHE_OK));
        }) >= 1);
  REQUIRE(server != nullptr);
  CHECK(failing_each([&] {
          const pgcache_status status = pgcache_prometheus_serve(server, cache.raw(), "name", nullptr);
          CHECK(status == (has_failed() ? PGCACHE_NO_MEMORY : PGCACHE_OK));
        }) == 1);
  const int port = pgcache_prometheus_port(server);
  const string request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
  const int count = failing_each([&] {
    const Response response = Connection(port).ask(request);
    CHECK(response.status == (has_failed() ? 500 : 200));
  });
  CHECK(count >= 2); /* the name, and what the text takes */
  CHECK(Connection(port).ask(request).status == 200);
  pgcache_prometheus_stop(server);
}
