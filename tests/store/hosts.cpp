/*
 * hosts.cpp - lists of hosts mean to the library what they mean to libpq.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

using namespace test;
using std::string;

TEST_CASE("In a list of hosts ports may be left out, be one for all, or stand alone", "[hosts]") {
  Store store;
  auto parts = conninfo_parts(url());
  const string host = parts.count("host") ? parts["host"] : "/var/run/postgresql";
  const string port = parts.count("port") ? parts["port"] : "5432";
  const string nowhere = "/nonexistent/pgcache";
  std::vector<std::pair<string, string>> lists = {{nowhere + "," + host, "5999," + port},
                                                  {nowhere + "," + host, port},
                                                  {nowhere + "," + host, "," + port},
                                                  {host + "," + nowhere, port + ","}};
  if (port == "5432") /* what an empty port means */
    lists.push_back({nowhere + "," + host, "5999,"});
  for (const auto &[hosts, ports] : lists) {
    INFO("host=" << hosts << " port=" << ports);
    Cache cache = store.open({{"url", url_with({{"host", hosts}, {"hostaddr", ""}, {"port", ports}})}});
    CHECK(cache.put("k", ports) == PGCACHE_OK);
    CHECK(store.cache.get("k").bytes() == ports);
  }
}
