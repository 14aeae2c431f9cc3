/*
 * run.cpp - see run.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/run.hpp"

#include "harness/faults.hpp"
#include "harness/loader.hpp"
#include "harness/process.hpp"
#include "harness/reader.hpp"
#include "harness/row_writer.hpp"
#include "harness/writer.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace harness {

using std::string;

namespace {

/* A stopped server or network may take away the deadlines of several calls after each other. */
const int END_MS = 60000;
/* What was stopped or lost is noticed within so many bounds. */
const int QUIET_BOUNDS = 2;

/* The schema on the user's server is dropped all the same. */
volatile sig_atomic_t interrupted = 0;
extern "C" void interrupt(int) {
  interrupted = 1;
}

/* Ended with this process. */
int start(Block &block, int process) {
  fflush(stdout);
  const pid_t parent = getpid(), child = fork();
  if (child != 0)
    return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(1);
  setpgid(0, 0); /* with what it starts itself */
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_DFL);
  int status = 0;
  try {
    const bool writes = process < block.options.writers;
    if (block.options.loads)
      writes ? run_row_writer(block, process) : run_loader(block, process);
    else
      writes ? run_writer(block, process) : run_reader(block, process);
  } catch (const std::exception &error) {
    block.violation(string("process ") + std::to_string(process) + " ended: " + error.what());
    status = 1;
  }
  fflush(stdout);
  _exit(status);
}

/* The schema is dropped when the run is over. */
class OwnSchema {
public:
  /* `owner`: who makes and drops it. */
  OwnSchema(const Block &block, const string &owner) : address_(owner), name_(block.schema) {
    drop();
    test::Config config;
    config.set("url", owner).set("schema", name_).set("table", block.options.logged ? "logged" : "unlogged");
    if (*block.options.grants != '\0')
      config.set("app_role", role).set("owner_role", string(role) + "_owner").set("grants", block.options.grants);
    test::Cache cache(config);
    const test::Answer made = cache.init();
    if (made != PGCACHE_OK)
      throw std::runtime_error(string("the schema ") + name_ + " could not be made: " + made.error.message);
    if (block.options.loads)
      test::Pg(owner).exec(make_rows(block));
  }
  OwnSchema(const OwnSchema &) = delete;
  OwnSchema &operator=(const OwnSchema &) = delete;
  ~OwnSchema() {
    try {
      drop();
    } catch (const std::exception &error) {
      fprintf(stderr, "harness: the schema %s could not be dropped: %s\n", name_.c_str(), error.what());
    }
  }

private:
  void drop() {
    test::Pg(address_).exec("SET client_min_messages = error; DROP SCHEMA IF EXISTS \"" + name_ + "\", \"" +
                            rows_schema(name_) + "\" CASCADE");
  }
  const string address_, name_;
};

class Run {
public:
  Run(const Options &options, const string &address, test::PrivateServer *server)
      : block_(new_block(), free_block), options_(options), server_(server),
        address_(server != nullptr ? server->conninfo(role) : address) {
    block_->options = options;
    strcpy(block_->schema, ("pgcache_harness_" + std::to_string(getpid())).c_str());
    if (server != nullptr)
      make_role();
  }

  Outcome go(const string &fault, double every) {
    const bool lets_in = *options_.grants != '\0';
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    OwnSchema schema(*block_, lets_in ? server_->conninfo() : address_);
    try {
      for (int process = 0; process < processes(); process++)
        pids_.push_back(start(*block_, process));
      wait_for("start", [&] { return block_->ready == processes(); });
      prepare_addresses();
      block_->phase = FILL;
      wait_for("store the keys", [&] { return block_->ready == processes() + options_.writers; });
      work(fault, every);
      if (block_->violations == 0)
        settle();
    } catch (const std::exception &error) {
      block_->violation(error.what());
    }
    end();
    return judged();
  }

private:
  int processes() const {
    return options_.writers + options_.readers;
  }

  void make_role() {
    test::Pg pg(server_->conninfo());
    if (pg.one("SELECT count(*) FROM pg_roles WHERE rolname = '" + string(role) + "'") == "0")
      pg.exec("CREATE ROLE " + string(role) + " LOGIN; GRANT CREATE ON DATABASE postgres TO " + role);
  }

  /* After the processes were started: a proxy is a thread. */
  void prepare_addresses() {
    if (address_.size() >= sizeof block_->address[0])
      throw std::runtime_error("the address is too long");
    for (int process = 0; process < processes(); process++)
      strcpy(block_->address[process], address_.c_str());
    strcpy(block_->sql_address, address_.c_str());
    if (server_ == nullptr)
      return;
    proxy_ = std::make_unique<test::Proxy>(address_);
    for (int process = options_.writers; process < processes(); process++) {
      if (options_.hold_answers || process % 2 == 0)
        strcpy(block_->address[process], proxy_->conninfo().c_str());
    }
    if (options_.hold_answers)
      strcpy(block_->listen_address, address_.c_str());
  }

  double second() const {
    return static_cast<double>(now_ns() - begin_) / 1e9;
  }

  void work(const string &fault, double every) {
    begin_ = now_ns();
    block_->phase = WORK;
    std::unique_ptr<Faults> faults;
    if (server_ != nullptr && fault != "none")
      faults = std::make_unique<Faults>(*block_, *server_, *proxy_, pids_);
    double next = std::min(1.0, every);
    while ((second() < options_.seconds || done() < options_.reads) && block_->violations == 0 && interrupted == 0) {
      test::sleep_ms(10);
      if (options_.hold_answers) { /* long enough for the change stream to overtake an answer */
        proxy_->hold_answers(true);
        test::sleep_ms(25);
        proxy_->hold_answers(false);
      }
      if (faults == nullptr || second() < next)
        continue;
      if (faults->strike(fault))
        struck_++;
      next = std::max(next, second() - every) + every;
    }
    seconds_ = second();
    if (interrupted != 0)
      throw std::runtime_error("it was interrupted");
  }

  /* The writers end, then all must be quiet and equal. */
  void settle() {
    const int ready = block_->ready;
    block_->phase = SETTLE;
    wait_for("end their writes", [&] { return block_->ready >= ready + options_.writers; });
    test::sleep_ms(static_cast<int>(QUIET_BOUNDS * options_.staleness_ms));
    block_->phase = COMPARE;
    wait_for("compare", [&] { return block_->ready >= ready + options_.writers + processes(); });
  }

  void wait_for(const char *what, const std::function<bool()> &done) {
    const bool in_time = test::eventually(
        [&] {
          for (const int pid : pids_) {
            if (waitpid(pid, nullptr, WNOHANG | WNOWAIT) != 0 && ended(pid))
              return true;
          }
          return done();
        },
        END_MS);
    if (!in_time || !done())
      throw std::runtime_error(string("the processes did not ") + what + (in_time ? "" : " within 60 s"));
  }

  static bool ended(int pid) {
    siginfo_t info = {};
    return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
  }

  void end() {
    block_->phase = END;
    for (const int pid : pids_) {
      int status = 0;
      kill(-pid, SIGCONT);
      if (!test::eventually([&] { return waitpid(pid, &status, WNOHANG) == pid; }, END_MS)) {
        block_->violation("a process did not end within 60 s");
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
      } else if (status != 0) {
        block_->violation("a process ended with the wait status " + std::to_string(status));
      }
    }
    proxy_.reset();
  }

  Outcome judged() {
    Outcome out;
    out.block = block_;
    out.seconds = seconds_;
    out.struck = struck_;
    const int violations = block_->violations;
    for (int i = 0; i < std::min(violations, NOTES); i++) {
      if (block_->note_written[i])
        out.findings.emplace_back(block_->notes[i]);
    }
    if (violations > NOTES)
      out.findings.push_back("and " + std::to_string(violations - NOTES) + " more");
    return out;
  }

  int64_t done() const {
    int64_t all = block_->loads.fills + block_->loads.refused;
    for (int process = options_.writers; process < processes(); process++) {
      for (const Figures &figures : block_->figures[process])
        all += figures.reads;
    }
    return all;
  }

  std::shared_ptr<Block> block_;
  const Options options_;
  test::PrivateServer *const server_;
  const string address_;
  std::vector<int> pids_;
  std::unique_ptr<test::Proxy> proxy_;
  int64_t begin_ = 0;
  double seconds_ = 0;
  int struck_ = 0;
};

} // namespace

int64_t Outcome::sum(std::atomic<int64_t> Figures::*counter) const {
  int64_t all = 0;
  for (const auto &process : block->figures) {
    for (const auto &thread : process)
      all += thread.*counter;
  }
  return all;
}

int64_t Outcome::sum(int64_t pgcache_counters::*counter) const {
  int64_t all = 0;
  for (const auto &counters : block->counters)
    all += counters.*counter;
  return all;
}

Distribution Outcome::times(Time what) const {
  Distribution out;
  for (const auto &process : block->figures) {
    for (const auto &thread : process)
      out.add(thread.times[static_cast<int>(what)]);
  }
  return out;
}

Outcome run(const Options &options, const string &address, test::PrivateServer *server, const string &fault,
            double every) {
  return Run(options, address, server).go(fault, every);
}

} // namespace harness
