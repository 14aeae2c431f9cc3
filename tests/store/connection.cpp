/*
 * connection.cpp - what one connection says about a statement that could not even begin. Calls the library's own code
 * beneath the public interface: through it no connection gets into this state but when memory runs out inside libpq.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <functional>

extern "C" {
#include "store/connection.h"
}

using namespace test;
using std::string;

namespace {

struct Connection {
  pgc_connection *self;
  explicit Connection(const string &conninfo) : self(pgc_connection_new(PQconnectdb(conninfo.c_str()))) {}
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;
  ~Connection() {
    pgc_connection_free(self);
  }
};

/* Every way to send something, with what must be sent before it. */
void check_not_sent(pgc_connection *self, pgc_reply_kind expected) {
  const pgc_deadline soon = pgc_deadline_in(5000);
  const pgc_parameters none = {};
  const auto check = [&](const char *what, const std::function<pgc_reply()> &send) {
    INFO(what);
    const pgc_reply reply = send();
    CHECK(reply.kind == expected);
    CHECK_FALSE(reply.sent);
    CHECK(reply.result == nullptr);
  };
  check("text", [&] { return pgc_connection_run(self, "SELECT 1", soon); });
  check("text with a parameter", [&] { return pgc_connection_run_with(self, "SELECT $1", "x", soon); });
  const auto execute = [&](pgc_statement_id id) {
    return pgc_connection_execute(self, id, &none, "public", {false, true}, soon);
  };
  self->prepared = 0;
  check("preparing", [&] { return execute(PGC_STATEMENT_CHECK_SCHEMA); });
  check("allowing scans", [&] { return execute(PGC_STATEMENT_STATS); });
  CHECK(self->prepared == 0);
  CHECK_FALSE(self->scans_allowed);
  self->prepared = UINT32_C(1) << PGC_STATEMENT_CHECK_SCHEMA;
  check("a prepared statement", [&] { return execute(PGC_STATEMENT_CHECK_SCHEMA); });
}

} // namespace

TEST_CASE("What cannot be sent was not sent: the connection is lost, or else libpq has no room", "[connection]") {
  {
    Connection dead(url());
    REQUIRE(dead.self != nullptr);
    Pg(url()).exec("SELECT pg_terminate_backend(" + std::to_string(PQbackendPID(dead.self->pg)) + ", 5000)");
    const pgc_reply last = pgc_connection_run(dead.self, "SELECT 1", pgc_deadline_in(5000));
    CHECK(last.kind == PGC_REPLY_LOST);
    PQclear(last.result);
    check_not_sent(dead.self, PGC_REPLY_LOST);
  }
  {
    Connection busy(url());
    REQUIRE(busy.self != nullptr);
    REQUIRE(PQsendQuery(busy.self->pg, "SELECT pg_sleep(5)") == 1);
    check_not_sent(busy.self, PGC_REPLY_NO_MEMORY);
  }
}

TEST_CASE("A connection that is none is refused", "[connection]") {
  CHECK(Connection("host=/nonexistent/pgcache dbname=x").self == nullptr);
  pgc_connection_free(nullptr);
}
