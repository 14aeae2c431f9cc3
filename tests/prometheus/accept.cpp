/*
 * accept.cpp - which format a scraper gets, by its header Accept.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "prometheus.hpp"

extern "C" {
#include "accept.h"
}

#include <memory>
#include <random>

TEST_CASE("A scraper gets OpenMetrics if it names it, and wants it no less than text", "[accept]") {
  for (const char *header : {
           /* Prometheus itself. */
           "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
           "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
           "application/openmetrics-text",
           "application/openmetrics-text; version=1.0.0; charset=utf-8",
           "Application/OpenMetrics-Text;Version=1.0.0",
           "text/plain;q=0.5,application/openmetrics-text;q=0.501",
           "text/plain;q=0.5, application/openmetrics-text;q=0.5",
           "text/plain;version=0.0.3,application/openmetrics-text;q=0.1",
           "application/openmetrics-text;q=0.3,text/*;q=0.2",
           "application/openmetrics-text;q=0.3,text/plain;q=0.2,*/*;q=1",
           "text/plain;q=0,application/openmetrics-text;q=1.000",
           ",, ;,application/openmetrics-text",
       }) {
    INFO(header);
    CHECK(pgc_accept_format(header) == PGCACHE_PROMETHEUS_OPENMETRICS);
  }
}

TEST_CASE("Everybody else gets text", "[accept]") {
  CHECK(pgc_accept_format(nullptr) == PGCACHE_PROMETHEUS_TEXT);
  for (const char *header : {
           "",
           "*/*",
           "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
           "text/plain;version=0.0.4",
           "application/openmetrics-text;version=0.0.1",
           "application/openmetrics-text;version=2.0.0,*/*;q=0.1",
           "application/openmetrics-text;q=0",
           "application/openmetrics-text;q=0.000,text/plain;q=0",
           "application/openmetrics-text;q=0.5,text/plain",
           "application/openmetrics-text;q=0.5,*/*;q=0.6",
           "application/openmetrics-text;q=.9",
           "application/openmetrics-text;q=2",
           "application/openmetrics-text;q=0x1",
           "application/openmetrics-text;q=0.9z",
           "application/openmetrics-text;q=",
           "application/openmetrics-textual",
           "xapplication/openmetrics-text",
           "application/*",
           "image/png",
           ";;;,,,===",
       }) {
    INFO(header);
    CHECK(pgc_accept_format(header) == PGCACHE_PROMETHEUS_TEXT);
  }
}

TEST_CASE("Any bytes are a header, and are read up to their NUL", "[accept]") {
  const std::string pieces[] = {"application/openmetrics-text",
                                "text/plain",
                                "*/*",
                                ";",
                                ",",
                                "q=",
                                "version=",
                                "1.0.0",
                                "0",
                                ".",
                                "9",
                                " ",
                                "\t",
                                "=",
                                "\xff"};
  std::mt19937 random(7);
  for (int i = 0; i < 20000; i++) {
    std::string header;
    for (unsigned count = random() % 12; count > 0; count--)
      header += pieces[random() % std::size(pieces)];
    /* As long as it is, so that ASan sees a step beyond. */
    const auto exact = std::make_unique<char[]>(header.size() + 1);
    header.copy(exact.get(), header.size());
    const pgcache_prometheus_format format = pgc_accept_format(exact.get());
    if (header.find("application/openmetrics-text") == std::string::npos)
      CHECK(format == PGCACHE_PROMETHEUS_TEXT);
  }
}
