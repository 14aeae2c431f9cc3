/*
 * session.hpp - one actor of an interleaving: a session of PostgreSQL that is told one statement after the other, and that
 * may have to wait for a lock another one holds. That is noticed, so that a schedule goes on with the others.
 *
 * Owns its connection. Must never wait for a statement that the server makes wait.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_LOADS_SESSION_HPP
#define PGCACHE_TESTS_LOADS_SESSION_HPP

#include "support/server.hpp"

#include <string>
#include <vector>

namespace loads {

/* What a statement gave: an error's SQLSTATE, or the rows. NULL is "NULL", as with test::Pg. */
struct Result {
  std::string sqlstate = "00000";
  std::vector<test::Row> rows;
};

class Session {
public:
  /* `monitor` tells who waits; it is used while this one is asked. */
  Session(const std::string &conninfo, test::Pg &monitor) : pg_(conninfo), monitor_(monitor) {}
  void prepare(const std::string &name, const std::string &sql);
  /* Begins a statement: a prepared one, or with an empty name the text. It must not be busy. */
  void send(const std::string &name, const std::string &sql, const std::vector<std::string> &params);
  /* True: it has ended, and result() is there. False: it waits for a lock. */
  bool settle();
  bool busy() const {
    return busy_;
  }
  const Result &result() const {
    return result_;
  }
  /* Both at once, for what cannot have to wait. */
  const Result &run(const std::string &name, const std::vector<std::string> &params);
  test::Pg &pg() {
    return pg_;
  }

private:
  bool answered(int milliseconds);
  test::Pg pg_;
  test::Pg &monitor_;
  bool busy_ = false;
  Result result_;
};

} // namespace loads

#endif
