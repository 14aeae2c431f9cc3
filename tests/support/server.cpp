/*
 * server.cpp - see server.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/server.hpp"

#include "support/pooler.hpp"
#include "support/private_server.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>
#include <unistd.h>

namespace test {

namespace {

struct Result {
  PGresult *result;
  explicit Result(PGresult *r) : result(r) {}
  Result(const Result &) = delete;
  Result &operator=(const Result &) = delete;
  ~Result() {
    PQclear(result);
  }
};

std::string unique_name(const char *prefix) {
  static std::atomic<int> count{0};
  return std::string(prefix) + "_" + std::to_string(getpid()) + "_" + std::to_string(++count);
}

} // namespace

Pg::Pg(const std::string &conninfo) : connection_(PQconnectdb(conninfo.c_str()), PQfinish) {
  if (PQstatus(raw()) != CONNECTION_OK)
    throw std::runtime_error(PQerrorMessage(raw()));
  PQsetNoticeProcessor(
      raw(), [](void *, const char *) {}, nullptr);
}

std::vector<Row> Pg::query(const std::string &sql, const std::vector<std::string> &params) {
  std::vector<const char *> values;
  for (const auto &param : params)
    values.push_back(param.c_str());
  Result r(params.empty() ? PQexec(raw(), sql.c_str())
                          : PQexecParams(raw(), sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                                         nullptr, nullptr, 0));
  const ExecStatusType status = PQresultStatus(r.result);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    throw std::runtime_error(PQerrorMessage(raw()) + ("in: " + sql));
  }
  std::vector<Row> rows;
  for (int i = 0; i < PQntuples(r.result); i++) {
    Row row;
    for (int j = 0; j < PQnfields(r.result); j++) {
      row.emplace_back(PQgetisnull(r.result, i, j) ? "NULL" : PQgetvalue(r.result, i, j));
    }
    rows.push_back(row);
  }
  return rows;
}

std::string Pg::one(const std::string &sql, const std::vector<std::string> &params) {
  const auto rows = query(sql, params);
  if (rows.size() != 1 || rows[0].empty())
    throw std::runtime_error("not one row: " + sql);
  return rows[0][0];
}

std::string Pg::sqlstate(const std::string &sql) {
  Result r(PQexec(raw(), sql.c_str()));
  const char *state = PQresultErrorField(r.result, PG_DIAG_SQLSTATE);
  return state != nullptr ? state : "00000";
}

const std::string &url() {
  static const std::string address = [] {
    const char *given = getenv("PGCACHE_TEST_URL");
    return given != nullptr && *given != '\0' ? std::string(given) : PrivateServer::shared().conninfo();
  }();
  return address;
}

std::map<std::string, std::string> conninfo_parts(const std::string &conninfo) {
  std::map<std::string, std::string> parts;
  char *message = nullptr;
  PQconninfoOption *options = PQconninfoParse(conninfo.c_str(), &message);
  if (options == nullptr)
    throw std::runtime_error("cannot parse the address of the test server");
  for (PQconninfoOption *o = options; o->keyword != nullptr; o++) {
    if (o->val != nullptr && *o->val != '\0')
      parts[o->keyword] = o->val;
  }
  PQconninfoFree(options);
  return parts;
}

std::string conninfo_with(const std::string &conninfo, const std::map<std::string, std::string> &changes) {
  auto parts = conninfo_parts(conninfo);
  for (const auto &[name, value] : changes)
    parts[name] = value;
  std::string out;
  for (const auto &[name, value] : parts) {
    if (value.empty())
      continue;
    out += (out.empty() ? "" : " ") + name + "='";
    for (char c : value) {
      if (c == '\'' || c == '\\')
        out += '\\';
      out += c;
    }
    out += "'";
  }
  return out;
}

std::string url_with(const std::map<std::string, std::string> &changes) {
  return conninfo_with(url(), changes);
}

Schema::Schema(const std::string &server) : server_(server), name_(unique_name("t")) {}

Schema::~Schema() {
  try {
    Pg(server_).exec("SET lock_timeout = '10s'; DROP SCHEMA IF EXISTS \"" + name_ + "\" CASCADE");
  } catch (const std::exception &) {
    /* The server may be gone on purpose; a private one is deleted as a whole. */
  }
}

Role::Role(const std::string &attributes, const std::string &server) : server_(server), name_(unique_name("r")) {
  Pg(server_).exec("CREATE ROLE \"" + name_ + "\" " + attributes);
}

Role::~Role() {
  try {
    Pg(server_).exec("DROP OWNED BY \"" + name_ + "\" CASCADE; DROP ROLE \"" + name_ + "\"");
  } catch (const std::exception &) {
  }
}

namespace {

std::string access() {
  const char *given = getenv("PGCACHE_TEST_ACCESS");
  return given != nullptr ? given : "";
}

/* The namespaces that the tests use. */
const char *const access_namespaces = "default,other,none,a,b,x,n,one,two,ns0,ns1,ns2,ns3,ns4,ns5,ns6";

} // namespace

const std::string &access_role() {
  struct Roles {
    Role app{"LOGIN"};
    ~Roles() {
      for (const char *made : {"_owner_restricted", "_owner"}) { /* by init */
        const std::string name = "\"" + app.name() + made + "\"";
        try {
          Pg(url()).exec("DROP OWNED BY " + name + "; DROP ROLE " + name);
        } catch (const std::exception &) {
        }
      }
    }
  };
  static const std::string none;
  if (access().empty())
    return none;
  static const Roles roles;
  return roles.app.name();
}

Store::Store(const Settings &settings, const std::string &server)
    : settings_(settings), server_(server), schema_(server), cache(config()), pg(server) {
  const Answer answer = access_role().empty() ? cache.init() : let_in();
  if (answer != PGCACHE_OK) {
    throw std::runtime_error(std::string("init: ") + pgcache_status_name(answer.status) + " " + answer.error.message);
  }
}

/* The superuser makes the schema, and the handle is the role's. */
Answer Store::let_in() {
  Config owners;
  owners.set("url", server_).set("schema", schema_.name());
  for (const auto &[name, value] : settings_)
    owners.set(name, value);
  owners.set("app_role", access_role()).set("owner_role", access_role() + "_owner");
  owners.set("grants", access() == "tables" ? "tables" : "functions");
  owners.set("app_namespaces", access() == "restricted" ? access_namespaces : "");
  return Cache(owners).init();
}

Config Store::config(const Settings &settings) const {
  Config config;
  const std::string &role = access_role();
  config.set("url", role.empty() ? server_ : conninfo_with(server_, {{"user", role}})).set("schema", schema_.name());
  config.set("timeout_ms", "20000"); /* that a busy machine keeps: tests of deadlines say theirs */
  /* Tests of the near cache ask for it, because it holds a connection of its own; or all do: make test-near-store. */
  if (with_near())
    config.set("near_max_bytes", "16777216");
  if (through_pooler() && server_ == url())
    config.set("url", Pooler::shared().conninfo()).set("prepared", "off");
  for (const auto &[name, value] : settings_)
    config.set(name, value);
  for (const auto &[name, value] : settings)
    config.set(name, value);
  return config;
}

std::string Store::sql(std::string text) const {
  for (size_t at; (at = text.find("{s}")) != std::string::npos;)
    text.replace(at, 3, schema());
  return text;
}

void sleep_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool eventually(const std::function<bool()> &done, int milliseconds) {
  const int64_t end = now_ms() + milliseconds;
  while (!done()) {
    if (now_ms() > end)
      return false;
    sleep_ms(5);
  }
  return true;
}

bool in_one_of(int times, const std::function<bool()> &attempt) {
  while (times-- > 0) {
    if (attempt())
      return true;
  }
  return false;
}

bool somebody_waits(Pg &pg) {
  return eventually([&] { return pg.one("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == "t"; });
}

void in_threads(int n, const std::function<void(int)> &body) {
  std::atomic<bool> go{false};
  std::mutex mutex;
  std::exception_ptr failure;
  std::vector<std::thread> threads;
  for (int i = 0; i < n; i++) {
    threads.emplace_back([&, i] {
      while (!go)
        std::this_thread::yield();
      try {
        body(i);
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex);
        failure = std::current_exception();
      }
    });
  }
  go = true;
  for (auto &thread : threads)
    thread.join();
  if (failure)
    std::rethrow_exception(failure);
}

uint64_t seed() {
  static const uint64_t value = [] {
    const char *given = getenv("PGCACHE_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return value;
}

bool through_pooler() {
  const char *given = getenv("PGCACHE_TEST_POOLER");
  return given != nullptr && *given != '\0' && *given != '0';
}

bool with_near() {
  const char *given = getenv("PGCACHE_TEST_NEAR");
  return given != nullptr && *given != '\0' && *given != '0';
}

bool is_long() {
  const char *given = getenv("PGCACHE_LONG");
  return given != nullptr && *given != '\0' && *given != '0';
}

} // namespace test
