/*
 * main.cpp - the soak: processes and threads that do random operations on a private PostgreSQL for a long time, while a
 * fault strikes every few seconds. Ends with 0 only if nothing was wrong, nothing leaked and nothing hung.
 *
 * Owns the options and the order of a run. Never touches a server that it did not start.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "soak/calls.hpp"
#include "soak/faults.hpp"
#include "soak/watch.hpp"
#include "soak/process.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <getopt.h>
#include <random>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

/* The workers are forked before this program has threads, except in a self-test, whose runs follow each other. */
extern "C" const char *__tsan_default_options();
extern "C" const char *__tsan_default_options() {
  return "die_after_fork=0";
}

namespace {

using namespace soak;
using std::string;

struct Options {
  double seconds = 60;
  double every = 5;
  int64_t slack_ms = 5000;
  uint64_t seed = 0;
  int plant = NO_PLANT;
  bool faults = true;
  bool self_test = false;
  bool help = false;
};

const char *const usage =
    "usage: soak [--seconds N] [--every N] [--seed N] [--slack-ms N] [--no-faults] [--plant NAME] [--self-test]\n"
    "            [--help]\n"
    "  --seconds    how long it works (default: 60)\n"
    "  --every      seconds from fault to fault (default: 5)\n"
    "  --seed       repeats the order of faults and the operations of each thread; the one of a run is printed\n"
    "  --slack-ms   how long after its deadline a call may end (default: 5000)\n"
    "  --no-faults  nothing strikes\n"
    "  --plant      a bug that the soak must find; the run has to fail\n"
    "  --self-test  plants one after the other, and sees that each is found\n"
    "  --help       prints this\n"
    "plants:";

/* Forked before anything here has started a thread, and ended with this process. */
pid_t start_worker(Block &block, int process) {
  fflush(stdout);
  const pid_t parent = getpid(), child = fork();
  if (child != 0)
    return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(1);
  signal(SIGINT, SIG_IGN);
  int status = 0;
  try {
    work(block, process);
  } catch (const std::exception &error) {
    block.violation(string("a worker ended: ") + error.what());
    status = 1;
  }
  _exit(status);
}

void prepare(Block &block, test::PrivateServer &server) {
  test::Pg pg(server.conninfo());
  const string name = block.schema;
  pg.exec("SET client_min_messages = error; DROP SCHEMA IF EXISTS " + name + " CASCADE");
  pg.exec("CREATE OR REPLACE FUNCTION public.disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted' "
          "USING "
          "ERRCODE = 'disk_full'; END $$");
  if (pg.one("SELECT count(*) FROM pg_roles WHERE rolname = '" + string(role) + "'") == "0")
    pg.exec("CREATE ROLE " + string(role) + " LOGIN; CREATE ROLE others LOGIN; GRANT CREATE ON DATABASE postgres TO " +
            role);
  test::Config config;
  config.set("url", server.conninfo(role)).set("schema", name);
  test::Cache cache(config);
  const test::Answer made = cache.init();
  if (made != PGCACHE_OK)
    throw std::runtime_error(string("init: ") + made.error.message);
  if (block.plant == PLANT_BLOAT)
    pg.exec("CREATE UNLOGGED TABLE " + name + ".bloat (filler text); ALTER TABLE " + name +
            ".bloat ALTER filler SET STORAGE PLAIN; INSERT INTO " + name +
            ".bloat SELECT repeat('x', 8000) FROM generate_series(1, 70000)");
}

/* The workers' connections that the server still has when they should all be gone. */
int64_t connections_left(test::PrivateServer &server) {
  test::Pg pg(server.conninfo());
  int64_t count = 0;
  test::eventually(
      [&] {
        count = std::stoll(pg.one("SELECT count(*) FROM pg_stat_activity WHERE usename = '" + string(role) + "'"));
        return count == 0;
      },
      20000);
  return count;
}

std::vector<string> run(const Options &options, test::PrivateServer &server, bool verbose) {
  Block &block = *new_block();
  block.seed = options.seed;
  block.plant = options.plant;
  block.slack_us = options.slack_ms * 1000;
  strcpy(block.schema, "soak");
  prepare(block, server);
  std::array<int, PROCESSES> pids = {};
  for (int process = 0; process < PROCESSES; process++)
    pids[static_cast<size_t>(process)] = start_worker(block, process);
  if (!test::eventually([&] { return block.ready == PROCESSES; }, 60000))
    throw std::runtime_error("the workers did not start");

  /* The first process reaches the server directly, the last through a network that can fail. */
  std::unique_ptr<test::Proxy> proxy;
  if (options.faults)
    proxy = std::make_unique<test::Proxy>(server.conninfo(role));
  for (auto &address : block.address)
    strcpy(address, server.conninfo(role).c_str());
  if (proxy)
    strcpy(block.address[PROCESSES - 1], proxy->conninfo().c_str());
  Watch watch(block, server.conninfo(), pids, verbose);
  const int64_t begin = now_us();
  const auto second = [&] { return static_cast<double>(now_us() - begin) / 1e6; };
  block.go = true;

  std::mutex mutex; /* guards the two below */
  string struck;
  double quiet_since = 0;
  std::atomic<bool> stop{false};
  std::thread watcher([&] {
    for (double next = 1; !stop; next += 1) {
      while (!stop && second() < next)
        test::sleep_ms(20);
      std::unique_lock<std::mutex> lock(mutex);
      const string names = struck;
      const bool quiet = quiet_since >= 0 && second() - quiet_since > 1;
      struck.clear();
      lock.unlock();
      watch.look(second(), quiet, names);
    }
  });
  /* Faults strike from this thread: the server ends with the thread that started it. */
  Faults faults(block, server, proxy.get(), options.seed);
  /* None in the last seconds, in which everything must come back to what it was. */
  const double last_fault = options.seconds - (options.seconds < 30 ? 4 : 8);
  double next_fault = std::min(3.0, options.every);
  string trouble;
  try {
    while (second() < options.seconds && !(options.plant != NO_PLANT && block.violations > 0)) {
      test::sleep_ms(10);
      if (!options.faults || second() < next_fault || second() > last_fault)
        continue;
      {
        std::lock_guard<std::mutex> lock(mutex);
        quiet_since = -1;
      }
      const string name = faults.strike();
      std::lock_guard<std::mutex> lock(mutex);
      struck += (struck.empty() ? "" : ", ") + name;
      quiet_since = second();
      next_fault += options.every;
    }
  } catch (const std::exception &error) {
    trouble = string("a fault could not be made: ") + error.what();
  }
  const double seconds = second();
  stop = true;
  watcher.join();
  block.stop = true;
  for (const int pid : pids) {
    int status = 0;
    if (!test::eventually([&] { return waitpid(pid, &status, WNOHANG) == pid; }, 60000)) {
      block.violation("a worker did not end within 60 s");
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
    } else if (status != 0) {
      block.violation("a worker ended with the wait status " + std::to_string(status));
    }
  }
  std::vector<string> findings = watch.judge(connections_left(server));
  if (!trouble.empty())
    findings.push_back(trouble);
  if (verbose)
    watch.print_summary(seconds, findings);
  return findings;
}

/* Each plant must be found, as what it is. */
int self_test(Options options, test::PrivateServer &server) {
  int passed = 0, failed = 0;
  options.faults = false;
  for (options.plant = NO_PLANT; options.plant < PLANTS; options.plant++) {
    /* Figures are judged at the end, answers at once. */
    options.seconds = options.plant >= PLANT_DESCRIPTOR || options.plant == NO_PLANT ? 4 : 20;
    const string words = plants[options.plant].found_as;
    std::vector<string> findings;
    bool good = false;
    /* On a machine that is too busy for a moment something else may come first: then once more. */
    for (int attempt = 0; attempt < 2 && !good; attempt++) {
      findings = run(options, server, false);
      good = options.plant == NO_PLANT ? findings.empty()
                                       : std::any_of(findings.begin(), findings.end(), [&](const string &text) {
                                           return text.find(words) != string::npos;
                                         });
    }
    good ? passed++ : failed++;
    printf("%-17s %s%s\n", plants[options.plant].name,
           good ? "found: " : "NOT FOUND: ", findings.empty() ? "nothing" : findings[0].substr(0, 150).c_str());
    fflush(stdout);
  }
  printf("soak: self-test, %d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

void print_usage(FILE *to) {
  fputs(usage, to);
  for (int plant = NO_PLANT + 1; plant < PLANTS; plant++)
    fprintf(to, " %s", plants[plant].name);
  fputc('\n', to);
}

bool parse(int argc, char **argv, Options *options) {
  static const struct option names[] = {
      {"seconds", required_argument, nullptr, 's'},
      {"every", required_argument, nullptr, 'e'},
      {"seed", required_argument, nullptr, 'd'},
      {"slack-ms", required_argument, nullptr, 'l'},
      {"no-faults", no_argument, nullptr, 'n'},
      {"plant", required_argument, nullptr, 'p'},
      {"self-test", no_argument, nullptr, 't'},
      {"help", no_argument, nullptr, 'h'},
      {nullptr, 0, nullptr, 0},
  };
  for (int option; (option = getopt_long(argc, argv, "", names, nullptr)) != -1;) {
    switch (option) {
    case 's':
      options->seconds = strtod(optarg, nullptr);
      break;
    case 'e':
      options->every = strtod(optarg, nullptr);
      break;
    case 'd':
      options->seed = strtoull(optarg, nullptr, 10);
      break;
    case 'l':
      options->slack_ms = strtoll(optarg, nullptr, 10);
      break;
    case 'n':
      options->faults = false;
      break;
    case 'p':
      for (options->plant = PLANTS - 1; options->plant > NO_PLANT; options->plant--) {
        if (strcmp(plants[options->plant].name, optarg) == 0)
          break;
      }
      if (options->plant == NO_PLANT)
        return false;
      break;
    case 't':
      options->self_test = true;
      break;
    case 'h':
      options->help = true;
      break;
    default:
      return false;
    }
  }
  return optind == argc && options->seconds >= 1 && options->every > 0 && options->slack_ms > 0;
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  if (!parse(argc, argv, &options)) {
    print_usage(stderr);
    return 2;
  }
  if (options.help) {
    print_usage(stdout);
    return 0;
  }
  if (options.seed == 0)
    options.seed = std::random_device{}();
  printf("pgcache %s, %d processes with %d threads each, seed %llu\n", pgcache_version(), PROCESSES, THREADS,
         static_cast<unsigned long long>(options.seed));
  fflush(stdout);
  try {
    test::PrivateServer server({"max_connections = 30", "superuser_reserved_connections = 5", "shared_buffers = 64MB",
                                "autovacuum_naptime = 5s"});
    if (options.self_test)
      return self_test(options, server);
    const std::vector<string> findings = run(options, server, true);
    for (const auto &finding : findings)
      printf("WRONG: %s\n", finding.c_str());
    printf("soak: %s, seed %llu\n", findings.empty() ? "nothing is wrong" : "FAILED",
           static_cast<unsigned long long>(options.seed));
    return findings.empty() ? 0 : 1;
  } catch (const std::exception &error) {
    fprintf(stderr, "soak: %s\n", error.what());
    return 1;
  }
}
