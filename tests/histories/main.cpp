/*
 * main.cpp - writes histories of operations on the cache, one file for each kind of fault that strikes meanwhile: threads
 * with calls and with requests, over two handles, on few keys. check/ says whether they are linearizable, [rule:linear].
 *
 * Owns the options, the server and the faults. Judges nothing.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "histories/client.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>

namespace {

using namespace histories;
using std::string;

constexpr int CALLERS = 4, REQUESTERS = 2; /* threads, of each handle */
constexpr int HANDLES = 2, SLOTS = 10;

const struct {
  const char *name;
  int every_ms; /* from strike to strike */
} faults[] = {
    {"none", 1000},          /* nothing strikes */
    {"kill-backends", 40},   /* some of the server's processes are told to end */
    {"restart", 300},        /* the server is stopped at once, and unlogged tables are empty then */
    {"restart-logged", 300}, /* the same with a logged table, which keeps all */
    {"cut", 40},             /* the connections of one handle are closed by the network */
    {"stall", 60},           /* answers of one handle come late, and calls have deadlines of milliseconds */
    {"lies", 1000},          /* nothing strikes, but some reads give what was there before: the checker must notice */
};

class Run {
public:
  Run(test::PrivateServer &server, const string &fault, const string &path, uint64_t seed)
      : fault_(fault), record_(path), server_(server), proxy_(server_.conninfo()), keys_(SLOTS), random_(seed) {
    string schema = "histories_" + fault;
    std::replace(schema.begin(), schema.end(), '-', '_');
    for (int i = 0; i < HANDLES; i++) {
      test::Config config;
      config.set("url", i == 0 ? proxy_.conninfo() : server_.conninfo()).set("schema", schema);
      config.set("table", fault == "restart-logged" ? "logged" : "unlogged").set("timeout_ms", "20000");
      config.set("breaker_failures", "0").set("async_connections", "2");
      caches_.emplace_back(config);
    }
    if (const test::Answer made = caches_[1].init(); made != PGCACHE_OK)
      throw std::runtime_error("the schema could not be made: " + made.error.text());
  }

  void go(int64_t operations, int every_ms) {
    std::atomic<int64_t> done{0}, failures{0}, unsure{0};
    std::atomic<int> working{HANDLES * (CALLERS + REQUESTERS)};
    const auto enough = [&] { return done >= operations; };
    std::vector<std::thread> threads;
    const int64_t began = now_ns();
    for (int i = 0; i < working; i++) {
      Plan plan;
      plan.requests = i % (CALLERS + REQUESTERS) >= CALLERS;
      plan.short_deadlines = fault_ == "stall";
      plan.lies = fault_ == "lies" && i % HANDLES == 0;
      plan.seed = random_();
      threads.emplace_back([this, plan, i, &enough, &done, &failures, &unsure, &working] {
        Client client(caches_[static_cast<size_t>(i % HANDLES)], keys_, record_, plan);
        client.work(enough, &done);
        failures += client.failures();
        unsure += client.unsure();
        working--;
      });
    }
    int strikes = 0;
    for (int64_t next = now_ns(); working > 0; test::sleep_ms(2)) {
      if (enough() || now_ns() < next + every_ms * INT64_C(1000000) || !strike())
        continue;
      strikes++;
      next = now_ns();
    }
    for (std::thread &thread : threads)
      thread.join();
    record_.close();
    const double seconds = static_cast<double>(now_ns() - began) / 1e9;
    printf("%-15s %9lld operations, %6.0f/s, %5d strikes, %6lld errors, %5lld writes of unknown fate\n", fault_.c_str(),
           static_cast<long long>(done), static_cast<double>(done) / seconds, strikes, static_cast<long long>(failures),
           static_cast<long long>(unsure));
    fflush(stdout);
    if (strikes == 0 && fault_ != "none" && fault_ != "lies")
      throw std::runtime_error(fault_ + " never struck: more operations are needed");
  }

private:
  int some(int least, int most) {
    return least + static_cast<int>(random_() % static_cast<uint64_t>(most - least + 1));
  }

  /* False: there is nothing to do. */
  bool strike() {
    if (fault_ == "kill-backends") {
      test::Pg(server_.conninfo())
          .exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND "
                "pid <> pg_backend_pid() AND random() < 0.3");
    } else if (fault_ == "restart" || fault_ == "restart-logged") {
      const int64_t began = now_ns();
      server_.crash();
      test::sleep_ms(some(0, 50));
      server_.start();
      if (fault_ == "restart")
        record_.wiped(began, now_ns());
    } else if (fault_ == "cut") {
      if (some(0, 1) == 0)
        proxy_.cut();
      else
        proxy_.cut_after(some(0, 1) == 0 ? test::Proxy::TO_SERVER : test::Proxy::TO_CLIENT, some(1, 2000));
    } else if (fault_ == "stall") {
      proxy_.hold_answers(true);
      test::sleep_ms(some(1, 60));
      proxy_.hold_answers(false);
    } else {
      return false;
    }
    return true;
  }

  const string fault_;
  Record record_;
  test::PrivateServer &server_;
  test::Proxy proxy_;
  Keys keys_;
  std::vector<test::Cache> caches_;
  std::mt19937_64 random_;
};

} // namespace

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: histories FOLDER OPERATIONS SEED FAULT...\n"
                    "Writes FOLDER/FAULT.history of each. FAULT:");
    for (const auto &fault : faults)
      fprintf(stderr, " %s", fault.name);
    fprintf(stderr, "\n");
    return 2;
  }
  try {
    test::PrivateServer server({"max_connections = 100", "shared_buffers = 64MB"});
    for (int i = 4; i < argc; i++) {
      const auto *fault = std::find_if(std::begin(faults), std::end(faults),
                                       [&](const auto &one) { return strcmp(one.name, argv[i]) == 0; });
      if (fault == std::end(faults))
        throw std::runtime_error(string("there is no fault ") + argv[i]);
      Run(server, fault->name, string(argv[1]) + "/" + fault->name + ".history", strtoull(argv[3], nullptr, 10))
          .go(strtoll(argv[2], nullptr, 10), fault->every_ms);
    }
  } catch (const std::exception &error) {
    fprintf(stderr, "histories: %s\n", error.what());
    return 1;
  }
  return 0;
}
