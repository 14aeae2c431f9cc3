/*
 * faults.cpp - see faults.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "soak/faults.hpp"

#include "support/server.hpp"

#include <algorithm>
#include <csignal>
#include <list>

namespace soak {

const char *const role = "soak";

namespace {

enum Kind {
  TERMINATE_ONE,
  TERMINATE_ALL,
  CRASH,
  FREEZE,
  CUT,
  BLACK_HOLE,
  EXHAUST,
  READ_ONLY,
  LOCK,
  FULL,
  EMPTY,
  KINDS
};

/* Beside TIMEOUT and UNKNOWN of a deadline that passed, which anything may cause. */
const struct {
  const char *name;
  std::vector<pgcache_status> explains;
} kinds[KINDS] = {
    {"terminate-one", {PGCACHE_UNAVAILABLE, PGCACHE_UNKNOWN}},
    {"terminate-all", {PGCACHE_UNAVAILABLE, PGCACHE_UNKNOWN}},
    {"crash", {PGCACHE_UNAVAILABLE, PGCACHE_UNKNOWN, PGCACHE_CONFLICT}},
    {"freeze", {PGCACHE_UNAVAILABLE}}, /* here and for lock: the circuit breaker, after some deadlines that passed */
    {"cut", {PGCACHE_UNAVAILABLE, PGCACHE_UNKNOWN}},
    {"black-hole", {PGCACHE_UNAVAILABLE, PGCACHE_UNKNOWN}},
    {"exhaust", {PGCACHE_UNAVAILABLE, PGCACHE_UNKNOWN, PGCACHE_TOO_MANY_CONNECTIONS}},
    {"read-only", {PGCACHE_READ_ONLY}},
    {"lock", {PGCACHE_UNAVAILABLE}},
    {"full", {PGCACHE_FULL}},
    {"empty", {}},
};

} // namespace

bool faults_explain(uint32_t faults, pgcache_status status) {
  for (int kind = 0; kind < KINDS; kind++) {
    const auto &explains = kinds[kind].explains;
    if ((faults & (1u << kind)) != 0 && std::find(explains.begin(), explains.end(), status) != explains.end())
      return true;
  }
  return false;
}

std::string fault_names(uint32_t faults) {
  std::string out;
  for (int kind = 0; kind < KINDS; kind++) {
    if ((faults & (1u << kind)) != 0)
      out += (out.empty() ? "" : ", ") + std::string(kinds[kind].name);
  }
  return out.empty() ? "none" : out;
}

Faults::Faults(Block &block, test::PrivateServer &server, test::Proxy *proxy, uint64_t seed)
    : block_(block), server_(server), proxy_(proxy), random_(seed) {}

int64_t Faults::some_ms(int64_t least, int64_t most) {
  return least + static_cast<int64_t>(random_() % static_cast<uint64_t>(most - least + 1));
}

std::string Faults::strike() {
  if (waiting_.empty()) {
    for (int kind = 0; kind < KINDS; kind++) {
      if (proxy_ != nullptr || (kind != CUT && kind != BLACK_HOLE))
        waiting_.push_back(kind);
    }
    std::shuffle(waiting_.begin(), waiting_.end(), random_);
  }
  int kind = waiting_.back();
  waiting_.pop_back();
  if ((kind == CRASH || kind == EMPTY) && block_.wipes_begun >= WIPES - 1)
    kind = TERMINATE_ALL;
  block_.faults = 1u << kind | before_; /* what broke before may be noticed only now */
  before_ = 1u << kind;
  switch (kind) {
  case TERMINATE_ONE:
    terminate("LIMIT 1");
    break;
  case TERMINATE_ALL:
    terminate("");
    break;
  case CRASH:
    crash();
    break;
  case FREEZE:
    freeze();
    break;
  case CUT:
    proxy_->cut();
    break;
  case BLACK_HOLE:
    proxy_->black_hole(true);
    test::sleep_ms(static_cast<int>(some_ms(500, 2500)));
    proxy_->black_hole(false);
    break;
  case EXHAUST:
    exhaust();
    break;
  case READ_ONLY:
    read_only();
    break;
  case LOCK:
    lock();
    break;
  case FULL:
    full();
    break;
  default:
    empty();
  }
  return kinds[kind].name;
}

void Faults::terminate(const char *limit) {
  test::Pg(admin()).exec("SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE usename = '" +
                         std::string(role) + "' ORDER BY random() " + limit + ") a");
}

void Faults::crash() {
  block_.wipes_begun++;
  server_.crash();
  test::sleep_ms(static_cast<int>(some_ms(0, 500)));
  server_.start();
  block_.wipes_done++;
}

void Faults::freeze() {
  std::vector<pid_t> stopped;
  for (const auto &row :
       test::Pg(admin()).query("SELECT pid FROM pg_stat_activity WHERE usename = '" + std::string(role) + "'")) {
    stopped.push_back(static_cast<pid_t>(std::stol(row[0])));
    kill(stopped.back(), SIGSTOP);
  }
  test::sleep_ms(static_cast<int>(some_ms(1000, 2000)));
  for (const pid_t pid : stopped)
    kill(pid, SIGCONT);
}

/* Takes every connection the server has for others than superusers, those of the workers included. */
void Faults::exhaust() {
  std::list<test::Pg> taken;
  const auto take_all = [&] {
    try {
      for (;;)
        taken.emplace_back(server_.conninfo("others"));
    } catch (const std::exception &) {
      /* none left */
    }
  };
  take_all();
  terminate("");
  take_all();
  test::sleep_ms(static_cast<int>(some_ms(500, 2000)));
}

void Faults::read_only() {
  test::Pg pg(admin());
  pg.exec("SET default_transaction_read_only = off");
  pg.exec("ALTER SYSTEM SET default_transaction_read_only = on");
  pg.exec("SELECT pg_reload_conf()");
  test::sleep_ms(static_cast<int>(some_ms(500, 2000)));
  pg.exec("ALTER SYSTEM RESET default_transaction_read_only");
  pg.exec("SELECT pg_reload_conf()");
}

void Faults::lock() {
  test::Pg pg(admin());
  pg.exec("BEGIN; LOCK TABLE " + std::string(block_.schema) + ".entries IN ACCESS EXCLUSIVE MODE");
  test::sleep_ms(1000);
  pg.exec("ROLLBACK");
}

/* The server says of every write what it says when the disk is full. */
void Faults::full() {
  test::Pg pg(admin());
  pg.exec("CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON " + std::string(block_.schema) +
          ".entries EXECUTE FUNCTION public.disk_full()");
  test::sleep_ms(static_cast<int>(some_ms(500, 1500)));
  pg.exec("DROP TRIGGER disk_full ON " + std::string(block_.schema) + ".entries");
}

/* Somebody empties the cache. */
void Faults::empty() {
  block_.wipes_begun++;
  test::Config config;
  config.set("url", admin()).set("schema", block_.schema);
  test::Cache cache(config);
  const test::Answer answer = cache.flush(PGCACHE_FLUSH_ALL, test::deadline(30000));
  if (answer != PGCACHE_OK)
    block_.violation(std::string("flush of everything gave ") + pgcache_status_name(answer.status) + ": " +
                     answer.error.message);
  block_.wipes_done++;
}

} // namespace soak
