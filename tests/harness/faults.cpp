/*
 * faults.cpp - see faults.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/faults.hpp"

#include "harness/process.hpp"
#include "support/server.hpp"

#include <csignal>

namespace harness {

const char *const role = "harness";

namespace {

/* What the last statement of a session tells of its part. Whoever has led once goes on listening as the relay. */
const char *const LISTENS = "query ~* 'poll_changes|pg_current_snapshot|lead_relay|relay|listen '";
const char *const LEADS = "query ~* 'lead_relay|publish|pg_notify|trim_changes|relay'";
const char *const WRITES = "application_name ~ '^harness-[0-9]+$' AND query ~* 'insert|update|delete|library_'";

} // namespace

const std::vector<std::string> &fault_kinds(bool loads) {
  static const std::vector<std::string> of_loads = {
      "none",       "kill-loaders", "kill-listeners", "kill-relay", "kill-writers", "crash", "stop-reader",
      "stop-relay", "stop-server",  "network",        "truncate",   "flush",        "mixed"};
  static const std::vector<std::string> kinds = {"none",    "kill-listeners", "kill-relay", "kill-writers",
                                                 "crash",   "stop-reader",    "stop-relay", "stop-server",
                                                 "network", "truncate",       "flush",      "mixed"};
  return loads ? of_loads : kinds;
}

Faults::Faults(Block &block, test::PrivateServer &server, test::Proxy &proxy, const std::vector<int> &pids)
    : block_(block), server_(server), proxy_(proxy), pids_(pids), random_(block.options.seed) {}

int64_t Faults::some_ms(int64_t least, int64_t most) {
  return least + static_cast<int64_t>(random_() % static_cast<uint64_t>(most - least + 1));
}

bool Faults::strike(const std::string &kind) {
  if (kind == "mixed") /* any of those between the first and this one */
  {
    const auto &kinds = fault_kinds(block_.options.loads);
    return strike(kinds[static_cast<size_t>(some_ms(1, static_cast<int64_t>(kinds.size()) - 2))]);
  }
  if (kind == "kill-loaders") {
    block_.doomed = static_cast<int>(some_ms(1, block_.options.readers));
    return true;
  }
  if (kind == "kill-listeners")
    return terminate(LISTENS);
  if (kind == "kill-relay")
    return terminate(LEADS);
  if (kind == "kill-writers")
    return terminate(std::string("application_name ~ '-sql$' OR ") + WRITES);
  if (kind == "crash") {
    crash();
  } else if (kind == "stop-reader") {
    const size_t readers = static_cast<size_t>(block_.options.readers);
    return stop({-pids_[pids_.size() - 1 - random_() % readers]});
  } else if (kind == "stop-relay") {
    std::vector<int> leaders;
    for (const auto &row : sessions(LEADS)) {
      for (size_t i = 0; i < pids_.size(); i++) {
        if (row[1] == application_name(static_cast<int>(i)))
          leaders.push_back(-pids_[i]);
      }
    }
    return stop(leaders);
  } else if (kind == "stop-server") {
    std::vector<int> backends;
    for (const auto &row : sessions("true")) {
      if (some_ms(0, 2) > 0) /* not always all of them */
        backends.push_back(std::stoi(row[0]));
    }
    return stop(backends);
  } else if (kind == "network") {
    network();
  } else if (kind == "truncate" || kind == "flush") {
    remove_all(kind == "truncate");
  } else {
    test::sleep_ms(100);
  }
  return true;
}

std::vector<test::Row> Faults::sessions(const std::string &condition) {
  return test::Pg(server_.conninfo())
      .query("SELECT pid, application_name FROM pg_stat_activity WHERE usename = '" + std::string(role) + "' AND (" +
             condition + ")");
}

bool Faults::terminate(const std::string &condition) {
  const auto rows = sessions(condition);
  test::Pg pg(server_.conninfo());
  /* All of them, or one. */
  const bool all = some_ms(0, 1) == 0;
  for (const auto &row : rows) {
    pg.query("SELECT pg_terminate_backend(" + row[0] + ")");
    if (!all)
      break;
  }
  return !rows.empty();
}

/* For several bounds. A negative number: a process with its children. */
bool Faults::stop(const std::vector<int> &pids) {
  for (const int pid : pids)
    kill(pid, SIGSTOP);
  test::sleep_ms(static_cast<int>(some_ms(block_.options.staleness_ms, 4 * block_.options.staleness_ms)));
  for (const int pid : pids)
    kill(pid, SIGCONT);
  return !pids.empty();
}

/* Unlogged tables are emptied, and transaction numbers and versions begin where they were some time ago. */
void Faults::crash() {
  const bool empties = !block_.options.logged;
  if (empties)
    block_.wipes.begin();
  server_.crash();
  test::sleep_ms(static_cast<int>(some_ms(0, 2 * block_.options.staleness_ms)));
  server_.start();
  if (empties)
    block_.wipes.end();
}

void Faults::network() {
  const int pause = static_cast<int>(some_ms(block_.options.staleness_ms / 2, 3 * block_.options.staleness_ms));
  switch (some_ms(0, 4)) {
  case 0:
    proxy_.cut();
    break;
  case 1:
    proxy_.black_hole(true);
    test::sleep_ms(pause);
    proxy_.black_hole(false);
    break;
  case 2:
    proxy_.strand();
    break;
  case 3:
    proxy_.delay(static_cast<int>(some_ms(1, 20)));
    test::sleep_ms(pause);
    proxy_.delay(0);
    break;
  default:
    proxy_.hold_answers(true);
    test::sleep_ms(pause);
    proxy_.hold_answers(false);
  }
}

void Faults::remove_all(bool by_hand) {
  block_.wipes.begin();
  if (by_hand) {
    test::Pg(server_.conninfo()).exec("TRUNCATE " + std::string(block_.schema) + ".entries");
  } else {
    test::Config config;
    config.set("url", server_.conninfo(role))
        .set("schema", block_.schema)
        .set("table", block_.options.logged ? "logged" : "unlogged");
    test::Cache cache(config);
    const auto scope = some_ms(0, 1) == 0 ? PGCACHE_FLUSH_ALL : PGCACHE_FLUSH_NAMESPACE;
    const test::Answer answer = cache.flush(scope, test::deadline(30000));
    if (answer != PGCACHE_OK)
      block_.violation(std::string("flush gave ") + pgcache_status_name(answer.status) + ": " + answer.error.message);
  }
  block_.wipes.end();
}

} // namespace harness
