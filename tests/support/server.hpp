/*
 * server.hpp - the tests' own way to PostgreSQL (plain libpq, nothing of the library) and a schema of its own for each
 * test, dropped afterwards. Never touches anything in the database but what it made.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_SERVER_HPP
#define PGCACHE_TESTS_SERVER_HPP

#include "support/handles.hpp"

#include <libpq-fe.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace test {

using Row = std::vector<std::string>;

class Pg {
public:
  /* Throws std::runtime_error when the connection fails, as every method when its statement fails. */
  explicit Pg(const std::string &conninfo);
  std::vector<Row> query(const std::string &sql, const std::vector<std::string> &params = {});
  std::string one(const std::string &sql, const std::vector<std::string> &params = {});
  void exec(const std::string &sql) {
    query(sql);
  }
  /* "00000" when the statement succeeds. */
  std::string sqlstate(const std::string &sql);
  int pid() const {
    return PQbackendPID(connection_.get());
  }
  PGconn *raw() const {
    return connection_.get();
  }

private:
  std::unique_ptr<PGconn, void (*)(PGconn *)> connection_;
};

/* The server under test: PGCACHE_TEST_URL, or else a private one that is started once for all tests. A superuser. */
const std::string &url();
/* The same address in another form: parsed by libpq, the named parameters replaced ("" removes one). */
std::string url_with(const std::map<std::string, std::string> &changes);
std::string conninfo_with(const std::string &conninfo, const std::map<std::string, std::string> &changes);
std::map<std::string, std::string> conninfo_parts(const std::string &conninfo);

/* A schema name that nobody else uses; whatever has that name at the end is dropped. */
class Schema {
public:
  explicit Schema(const std::string &server = url());
  Schema(const Schema &) = delete;
  Schema &operator=(const Schema &) = delete;
  ~Schema();
  const std::string &name() const {
    return name_;
  }

private:
  std::string server_;
  std::string name_;
};

/* A role (or database) that is dropped at the end, with all it owns. */
class Role {
public:
  explicit Role(const std::string &attributes, const std::string &server = url());
  Role(const Role &) = delete;
  Role &operator=(const Role &) = delete;
  ~Role();
  const std::string &name() const {
    return name_;
  }

private:
  std::string server_;
  std::string name_;
};

using Settings = std::vector<std::pair<const char *, std::string>>;

/* With PGCACHE_TEST_ACCESS=functions, tables or restricted the tests' handles log in as an application role that was let in
   so: what they show then holds for these, too. The role may log in, and is dropped with the program. */
const std::string &access_role(); /* "" without the variable */

/* Most tests start with this: a schema, made by the library, and a handle on it. */
class Store {
public:
  explicit Store(const Settings &settings = {}, const std::string &server = url());
  /* One more configuration or handle for the same schema; later settings win. */
  Config config(const Settings &settings = {}) const;
  Cache open(const Settings &settings = {}) const {
    return Cache(config(settings));
  }
  /* `{s}` in the SQL stands for the schema. */
  std::string sql(std::string text) const;
  const std::string &schema() const {
    return schema_.name();
  }

private:
  Answer let_in();
  Settings settings_;
  std::string server_;
  Schema schema_;

public:
  Cache cache;
  Pg pg;
};

void sleep_ms(int milliseconds);
int64_t now_ms();
/* True as soon as `done` is, false when it still is not after the time given: as long as a slow and busy machine may need. */
bool eventually(const std::function<bool()> &done, int milliseconds = 30000);
/* Runs `attempt` until it gives true, so many times at most: for what is right unless the machine was too busy for it at that
   moment. What is always wrong is wrong each time. */
bool in_one_of(int times, const std::function<bool()> &attempt);
/* Somebody's statement waits for a lock on this server; true as soon as one does. */
bool somebody_waits(Pg &pg);
/* Starts n threads at once, each with its number, and joins them. What they throw is thrown again. */
void in_threads(int n, const std::function<void(int)> &body);
/* The test's own numbers: reproducible from the seed printed with a failure. */
uint64_t seed();
/* PGCACHE_TEST_POOLER is set: every Store on the server under test goes through PgBouncer, with prepared=off. */
bool through_pooler();
/* PGCACHE_TEST_NEAR is set: every Store's handles have a near cache. */
bool with_near();
/* PGCACHE_LONG is set: `make check-long`. */
bool is_long();
/* The first number usually, the second in a long run. */
inline int longer(int usual, int in_a_long_run) {
  return is_long() ? in_a_long_run : usual;
}

} // namespace test

#endif
