/*
 * main.cpp - the harness: processes that write and processes with near caches that read, every read checked. Three uses:
 *   load        how fast it is on a server of the user's, or a private one; counts what was inconsistent
 *   staleness   small bound, all ways to write, and faults of each kind; ends with 0 only if nothing was wrong
 *   loads       values loaded from rows that others change and invalidate, and faults; the same
 *   self-test   mistakes made on purpose: each must be noticed
 *
 * Owns the options and what is printed. Touches nothing on a server but a schema of its own, which it drops.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/faults.hpp"
#include "harness/run.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <getopt.h>
#include <random>

/* The processes of a run are forked when those of the one before are gone, and its proxy's thread with them. */
extern "C" const char *__tsan_default_options();
extern "C" const char *__tsan_default_options() {
  return "die_after_fork=0";
}

namespace {

using namespace harness;
using std::string;

enum Mode { LOAD, STALENESS, LOADS, SELF_TEST };

struct Command {
  Mode mode = LOAD;
  Options options;
  string url;
  string faults = "none";
  double every = 1;
  bool help = false;
};

const char *const usage =
    "usage: harness [load | staleness | loads | self-test] [OPTION...]\n"
    "\n"
    "Processes that write and processes that read through their near caches, all at once. Every read is checked "
    "against\n"
    "what had been acknowledged when it began: a hit in a near cache may be as old as the bound, what comes from the\n"
    "store may not be old at all, and nobody may see what was rolled back, or go back. Ends with 0 only if all was "
    "right.\n"
    "\n"
    "  load        puts and reads; prints rates, latencies, the hit ratio and consistency violations (default)\n"
    "  staleness   also removes, counters, touches, batches, fences, SQL in transactions, and faults; prints how old\n"
    "              values were; at the end each near cache is compared with the store\n"
    "  loads       processes change rows in transactions that invalidate, others load, fill and read what is made of "
    "them:\n"
    "              nobody may be given what a commit had made false, with near caches and without\n"
    "  self-test   mistakes made on purpose, each of which must be found\n"
    "\n"
    "options (default of load / staleness):\n"
    "  --url STRING             a server of yours, a libpq connection string; a schema pgcache_harness_N is made there "
    "and\n"
    "                           dropped; the role needs CREATE on the database. Default: a private server, which is\n"
    "                           started and removed; staleness and self-test always have one of their own\n"
    "  --loads N                loads: go on until so many loads were done in all runs together, too (0)\n"
    "  --seconds N              how long (30 / 8 for each kind of fault)\n"
    "  --reads N                go on until so many reads were done, too (0)\n"
    "  --writers N              processes that write (2 / 2)\n"
    "  --readers N              processes that read (4 / 3)\n"
    "  --threads N              threads in each reader; latencies are told apart with one alone (1)\n"
    "  --keys N                 keys, each with a history of 2 KiB in memory (10000 / 400)\n"
    "  --value-bytes N          size of a value (200 / 100)\n"
    "  --writes-per-second N    of all writers together (1000 / 800)\n"
    "  --staleness-ms N         the setting near_staleness_ms: the bound (2000 / 200)\n"
    "  --near-bytes N           the setting near_max_bytes, 0: no near cache (67108864)\n"
    "  --absent-ms N            the setting near_absent_ms (0 / 1000)\n"
    "  --contended N            of the keys, so many are written by all writers (0 / 32)\n"
    "  --logged                 entries survive a crash: the setting table (staleness)\n"
    "  --grants WHAT            functions or tables: the handles' role owns nothing and was let in (staleness)\n"
    "  --hold-answers           the store's answers come late, the change stream does not (staleness)\n"
    "  --faults KIND,...        staleness: one kind after the other, or all (none):\n"
    "                           ";

string fault_list(const char *between, bool loads) {
  string out;
  for (const auto &kind : fault_kinds(loads))
    out += (out.empty() ? "" : between) + kind;
  return out;
}

void print_usage(FILE *to) {
  fprintf(to,
          "%s%s\n"
          "  --every N                seconds from strike to strike (1)\n"
          "  --seed N                 repeats each process's choices; the one of a run is printed\n"
          "  --help                   prints this\n",
          usage, fault_list(" ", true).c_str());
}

void defaults_for(Command *command) {
  if (command->mode == LOAD)
    return;
  Options &options = command->options;
  options.seconds = 8;
  options.readers = 3;
  options.keys = 400;
  options.value_bytes = 100;
  options.writes_per_second = 800;
  options.staleness_ms = 200;
  options.absent_ms = 1000;
  options.contended = 32;
  if (command->mode == LOADS) {
    options.loads = true;
    options.readers = 4;
    options.threads = 2;
    options.keys = 60;
    options.contended = 0;
    options.writes_per_second = 1500;
    return;
  }
  options.sql = true;
  options.all_operations = true;
}

bool parse(int argc, char **argv, Command *command) {
  static const char *const modes[] = {"load", "staleness", "loads", "self-test"};
  if (argc > 1 && argv[1][0] != '-') {
    const auto *found =
        std::find_if(std::begin(modes), std::end(modes), [&](const char *m) { return strcmp(m, argv[1]) == 0; });
    if (found == std::end(modes))
      return false;
    command->mode = static_cast<Mode>(found - modes);
    argc--;
    argv++;
  }
  defaults_for(command);
  Options &options = command->options;
  static const struct option names[] = {
      {"url", required_argument, nullptr, 'u'},
      {"seconds", required_argument, nullptr, 's'},
      {"loads", required_argument, nullptr, 'R'},
      {"reads", required_argument, nullptr, 'R'},
      {"writers", required_argument, nullptr, 'w'},
      {"readers", required_argument, nullptr, 'r'},
      {"threads", required_argument, nullptr, 't'},
      {"keys", required_argument, nullptr, 'k'},
      {"value-bytes", required_argument, nullptr, 'v'},
      {"writes-per-second", required_argument, nullptr, 'p'},
      {"staleness-ms", required_argument, nullptr, 'b'},
      {"near-bytes", required_argument, nullptr, 'n'},
      {"absent-ms", required_argument, nullptr, 'a'},
      {"contended", required_argument, nullptr, 'c'},
      {"logged", no_argument, nullptr, 'l'},
      {"grants", required_argument, nullptr, 'g'},
      {"hold-answers", no_argument, nullptr, 'H'},
      {"faults", required_argument, nullptr, 'f'},
      {"every", required_argument, nullptr, 'e'},
      {"seed", required_argument, nullptr, 'd'},
      {"help", no_argument, nullptr, 'h'},
      {nullptr, 0, nullptr, 0},
  };
  const auto integer = [] { return static_cast<int>(strtol(optarg, nullptr, 10)); };
  for (int option; (option = getopt_long(argc, argv, "", names, nullptr)) != -1;) {
    switch (option) {
    case 'u':
      command->url = optarg;
      break;
    case 's':
      options.seconds = strtod(optarg, nullptr);
      break;
    case 'R':
      options.reads = strtoll(optarg, nullptr, 10);
      break;
    case 'w':
      options.writers = integer();
      break;
    case 'r':
      options.readers = integer();
      break;
    case 't':
      options.threads = integer();
      break;
    case 'k':
      options.keys = integer();
      break;
    case 'v':
      options.value_bytes = integer();
      break;
    case 'p':
      options.writes_per_second = strtoll(optarg, nullptr, 10);
      break;
    case 'b':
      options.staleness_ms = strtoll(optarg, nullptr, 10);
      break;
    case 'n':
      options.near_bytes = strtoll(optarg, nullptr, 10);
      break;
    case 'a':
      options.absent_ms = strtoll(optarg, nullptr, 10);
      break;
    case 'c':
      options.contended = integer();
      break;
    case 'l':
      options.logged = true;
      break;
    case 'g':
      options.grants = optarg;
      break;
    case 'H':
      options.hold_answers = true;
      break;
    case 'f':
      command->faults = strcmp(optarg, "all") == 0 ? fault_list(",", command->mode == LOADS) : optarg;
      break;
    case 'e':
      command->every = strtod(optarg, nullptr);
      break;
    case 'd':
      options.seed = strtoull(optarg, nullptr, 10);
      break;
    case 'h':
      command->help = true;
      break;
    default:
      return false;
    }
  }
  const bool private_alone =
      command->mode != LOAD || options.hold_answers || *options.grants != '\0' || command->faults != "none";
  return optind == argc && options.seconds > 0 && options.writers > 0 && options.readers > 0 &&
         options.writers + options.readers <= PROCESSES && options.threads > 0 && options.threads <= THREADS &&
         options.keys <= (options.loads ? ROWS_MOST : KEYS_MOST) && options.contended >= 0 &&
         options.keys - options.contended >= 4 * options.writers && options.value_bytes > 0 &&
         options.writes_per_second > 0 && command->every > 0 && !(private_alone && !command->url.empty());
}

std::vector<string> split(const string &list) {
  std::vector<string> out(1);
  for (const char c : list) {
    if (c == ',')
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

void print_findings(const Outcome &outcome) {
  for (const auto &finding : outcome.findings)
    printf("  WRONG: %s\n", finding.c_str());
}

string failures_of(const Outcome &outcome) {
  string out;
  for (int status = 1; status < ERRORS; status++) {
    if (const int64_t count = outcome.block->errors[status])
      out += (out.empty() ? "" : ", ") + std::to_string(count) + " " +
             pgcache_status_name(static_cast<pgcache_status>(-status));
  }
  return out.empty() ? "none" : out;
}

void print_times(const char *name, const Distribution &times) {
  if (times.count() > 0)
    printf("%-12s %12lld %12.1f %12.1f %12.1f %12.1f\n", name, static_cast<long long>(times.count()),
           times.percentile_us(50), times.percentile_us(99), times.percentile_us(99.9), times.most_us());
}

string share(int64_t part, int64_t whole) {
  char text[32];
  snprintf(text, sizeof text, "%.2f %%",
           whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0);
  return text;
}

int64_t hits_of(const Outcome &outcome) {
  return outcome.sum(&pgcache_counters::near_hits) + outcome.sum(&pgcache_counters::near_absent_hits);
}

/* What the near caches went through; nothing of what did not happen. */
void print_near(const Outcome &outcome) {
  static const struct {
    const char *name;
    int64_t pgcache_counters::*counter;
  } counters[] = {
      {"invalidations", &pgcache_counters::near_invalidations},
      {"fills refused", &pgcache_counters::near_fills_refused},
      {"evictions", &pgcache_counters::near_evictions},
      {"lapses", &pgcache_counters::near_lapses},
      {"flushes: start", &pgcache_counters::near_flushes_start},
      {"epoch", &pgcache_counters::near_flushes_epoch},
      {"gap", &pgcache_counters::near_flushes_gap},
      {"stream", &pgcache_counters::near_flushes_stream},
      {"polls", &pgcache_counters::near_polls},
      {"messages", &pgcache_counters::near_messages},
      {"refused", &pgcache_counters::near_messages_refused},
      {"gaps", &pgcache_counters::near_gaps},
  };
  string text;
  for (const auto &one : counters) {
    if (const int64_t count = outcome.sum(one.counter))
      text += (text.empty() ? "" : ", ") + string(one.name) + " " + std::to_string(count);
  }
  if (!text.empty())
    printf("  near caches: %s\n", text.c_str());
}

void print_load(const Outcome &outcome) {
  const double seconds = outcome.seconds;
  const int64_t reads = outcome.sum(&Figures::reads), writes = outcome.sum(&Figures::writes);
  const int64_t hits = hits_of(outcome), misses = outcome.sum(&pgcache_counters::near_misses);
  printf("%.1f s: %.0f reads/s, %.0f writes/s, near hits %s of %lld\n", seconds, static_cast<double>(reads) / seconds,
         static_cast<double>(writes) / seconds, share(hits, hits + misses).c_str(),
         static_cast<long long>(hits + misses));
  printf("%-12s %12s %12s %12s %12s %12s\n", "latency, us", "measured", "p50", "p99", "p99.9", "max");
  print_times("near hit", outcome.times(Time::NEAR_HIT));
  print_times("store read", outcome.times(Time::STORE_READ));
  print_times("write", outcome.times(Time::WRITE));
  print_times("fence", outcome.times(Time::FENCE));
  print_times("stale age", outcome.times(Time::STALE));
  printf("stale reads, all within the bound: %s\n", share(outcome.times(Time::STALE).count(), reads).c_str());
  print_near(outcome);
  printf("entries compared at the end: %lld\n", static_cast<long long>(outcome.sum(&Figures::compared)));
  printf("failed calls: %s\n", failures_of(outcome).c_str());
  printf("consistency violations: %d\n", outcome.block->violations.load());
}

/* A wrong value is one violation or thousands: it counts as failed either way. */
int load(const Command &command) {
  std::unique_ptr<test::PrivateServer> server;
  if (command.url.empty())
    server =
        std::make_unique<test::PrivateServer>(std::vector<string>{"max_connections = 200", "shared_buffers = 128MB"});
  const Options &options = command.options;
  printf("%d writers, %d readers of %d threads, %d keys, values of %d bytes, bound %lld ms, near cache %lld bytes, "
         "seed %llu\n",
         options.writers, options.readers, options.threads, options.keys, options.value_bytes,
         static_cast<long long>(options.staleness_ms), static_cast<long long>(options.near_bytes),
         static_cast<unsigned long long>(options.seed));
  fflush(stdout);
  const Outcome outcome = run(options, command.url, server.get(), "none", 1);
  print_load(outcome);
  print_findings(outcome);
  return outcome.findings.empty() ? 0 : 1;
}

void print_staleness_header() {
  printf("%-15s %7s %6s %11s %10s %9s %8s %8s %9s %9s %9s %9s %10s\n", "fault", "struck", "s", "reads", "reads/s",
         "near", "writes", "fences", "p50 ms", "p99 ms", "max ms", "compared", "violations");
}

void print_staleness(const string &fault, const Outcome &outcome) {
  const Distribution stale = outcome.times(Time::STALE);
  const int64_t reads = outcome.sum(&Figures::reads);
  const int64_t hits = hits_of(outcome), misses = outcome.sum(&pgcache_counters::near_misses);
  printf("%-15s %7d %6.1f %11lld %10.0f %9s %8lld %8lld %9.2f %9.2f %9.2f %9lld %10d\n", fault.c_str(), outcome.struck,
         outcome.seconds, static_cast<long long>(reads), static_cast<double>(reads) / outcome.seconds,
         share(hits, hits + misses).c_str(), static_cast<long long>(outcome.sum(&Figures::writes)),
         static_cast<long long>(outcome.sum(&Figures::fences)), stale.percentile_us(50) / 1000,
         stale.percentile_us(99) / 1000, stale.most_us() / 1000,
         static_cast<long long>(outcome.sum(&Figures::compared)), outcome.block->violations.load());
  print_near(outcome);
  const string failures = failures_of(outcome);
  if (failures != "none")
    printf("  failed calls: %s\n", failures.c_str());
  print_findings(outcome);
  fflush(stdout);
}

std::unique_ptr<test::PrivateServer> private_server() {
  return std::make_unique<test::PrivateServer>(std::vector<string>{
      "max_connections = 120", "shared_buffers = 64MB", "autovacuum_naptime = 5s", "max_prepared_transactions = 20"});
}

void print_loads(const string &fault, const Outcome &outcome) {
  const LoadFigures &is = outcome.block->loads;
  const auto number = [](int64_t n) { return static_cast<long long>(n); };
  printf("%-15s %4s %6d %6.1f %9lld %9lld %8lld %8lld %8lld %10lld %8lld %6lld %6lld %9lld %10d\n", fault.c_str(),
         outcome.block->options.near_bytes > 0 ? "yes" : "no", outcome.struck, outcome.seconds, number(is.leases),
         number(is.fills), number(is.refused), number(is.stale), number(is.waited), number(is.reads),
         number(outcome.sum(&Figures::writes)), number(is.late), number(is.killed), number(is.compared),
         outcome.block->violations.load());
  const string failures = failures_of(outcome);
  if (failures != "none")
    printf("  failed calls: %s\n", failures.c_str());
  print_findings(outcome);
  fflush(stdout);
}

/* With and without near caches. */
int loads(Command command) {
  const auto server = private_server();
  printf("%-15s %4s %6s %6s %9s %9s %8s %8s %8s %10s %8s %6s %6s %9s %10s\n", "fault", "near", "struck", "s", "leases",
         "filled", "refused", "stale", "waited", "checked", "commits", "late", "killed", "compared", "violations");
  int passed = 0, failed = 0;
  int64_t all = 0;
  const std::vector<string> faults = split(command.faults);
  /* Without near caches nobody listens. */
  const auto needs_near = [](const string &fault) {
    return fault == "kill-listeners" || fault == "kill-relay" || fault == "stop-relay";
  };
  const auto once = std::count_if(faults.begin(), faults.end(), needs_near);
  const int64_t runs = 2 * static_cast<int64_t>(faults.size()) - once;
  command.options.reads = (command.options.reads + runs - 1) / runs;
  for (const string &fault : faults) {
    const auto &kinds = fault_kinds(true);
    if (std::find(kinds.begin(), kinds.end(), fault) == kinds.end()) {
      fprintf(stderr, "harness: there is no fault \"%s\"; there are %s\n", fault.c_str(),
              fault_list(", ", true).c_str());
      return 2;
    }
    for (const int64_t near : {command.options.near_bytes, int64_t{0}}) {
      if (near == 0 && needs_near(fault))
        continue;
      Options options = command.options;
      options.near_bytes = near;
      const Outcome outcome = run(options, "", server.get(), fault, command.every);
      print_loads(fault, outcome);
      const LoadFigures &is = outcome.block->loads;
      const bool struck = fault == "none" || outcome.struck > 0, loaded = is.fills > 0 && is.refused > 0;
      if (!struck)
        printf("  TOO LITTLE: %s never found anything to strike\n", fault.c_str());
      if (!loaded)
        printf("  TOO LITTLE: %s were never any\n", is.fills > 0 ? "fills that were refused" : "fills");
      struck &&loaded &&outcome.findings.empty() ? passed++ : failed++;
      all += is.fills + is.refused;
    }
  }
  printf("harness: %lld loads with seed %llu, %d passed, %d failed\n", static_cast<long long>(all),
         static_cast<unsigned long long>(command.options.seed), passed, failed);
  return failed == 0 ? 0 : 1;
}

int staleness(const Command &command) {
  const auto server = private_server();
  printf(
      "stale age: how long before a near read began a newer write had been acknowledged; at most %lld ms are allowed\n",
      static_cast<long long>(command.options.staleness_ms));
  print_staleness_header();
  int passed = 0, failed = 0;
  for (const string &fault : split(command.faults)) {
    const auto &kinds = fault_kinds(false);
    if (std::find(kinds.begin(), kinds.end(), fault) == kinds.end()) {
      fprintf(stderr, "harness: there is no fault \"%s\"; there are %s\n", fault.c_str(),
              fault_list(", ", false).c_str());
      return 2;
    }
    const Outcome outcome = run(command.options, "", server.get(), fault, command.every);
    print_staleness(fault, outcome);
    const bool struck = fault == "none" || outcome.struck > 0;
    if (!struck)
      printf("  TOO LITTLE: %s never found anything to strike\n", fault.c_str());
    struck &&outcome.findings.empty() ? passed++ : failed++;
  }
  printf("harness: staleness with seed %llu, %d passed, %d failed\n",
         static_cast<unsigned long long>(command.options.seed), passed, failed);
  return failed == 0 ? 0 : 1;
}

int self_test(Command command) {
  static const struct {
    Fake fake;
    const char *name, *found_as;
  } fakes[] = {
      {NO_FAKE, "nothing", ""},
      {STALE_COPY, "a copy kept for three bounds", "overwritten or removed"},
      {LOST_ENTRY, "an entry lost", "a miss, where there is an entry"},
      {ROLLED_BACK, "a value that was rolled back", "rolled back"},
      {STALE_WHEN_QUIET, "an old value when all is quiet", "when all is quiet"},
      {FENCE_WITHOUT_EFFECT, "a fence without effect", "overwritten or removed"},
      {LOADS_BEFORE_LEASE, "a loader who reads before he has the lease", "a commit had made false"},
      {GUARD_OFF, "reads without the guard", "a commit had made false"},
  };
  const auto server = private_server();
  int passed = 0, failed = 0;
  for (const auto &one : fakes) {
    const Fake fake = one.fake;
    command.mode = fake == LOADS_BEFORE_LEASE || fake == GUARD_OFF ? LOADS : STALENESS;
    defaults_for(&command);
    command.options.fake = fake;
    command.options.seconds = fake == NO_FAKE || fake == STALE_WHEN_QUIET ? 1 : 30; /* until it is found */
    const Outcome outcome = run(command.options, "", server.get(), "none", 1);
    const string words = one.found_as;
    const auto &findings = outcome.findings;
    const bool found = std::any_of(findings.begin(), findings.end(),
                                   [&](const string &text) { return text.find(words) != string::npos; });
    const bool good = fake == NO_FAKE ? findings.empty() : found;
    good ? passed++ : failed++;
    printf("%-44s %s%s\n", one.name,
           good ? "found: " : "NOT FOUND: ", findings.empty() ? "nothing" : findings[0].c_str());
    fflush(stdout);
  }
  printf("harness: self-test, %d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
  Command command;
  if (!parse(argc, argv, &command)) {
    print_usage(stderr);
    return 2;
  }
  if (command.help) {
    print_usage(stdout);
    return 0;
  }
  if (command.options.seed == 0)
    command.options.seed = std::random_device{}();
  try {
    switch (command.mode) {
    case LOAD:
      return load(command);
    case STALENESS:
      return staleness(command);
    case LOADS:
      return loads(command);
    default:
      return self_test(command);
    }
  } catch (const std::exception &error) {
    fprintf(stderr, "harness: %s\n", error.what());
    return 1;
  }
}
